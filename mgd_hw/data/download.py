"""Download MNIST, Fashion-MNIST and CIFAR-10 once, verify their checksums, and keep them in the user's cache."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mgd_hw.common import style
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result
from python_ref.spec.error import Refusal, ToolError

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["SOURCES", "Fetched", "Source", "cached", "fetch"]


@dataclass(frozen=True)
class Source:
    """Download source of a data set.

    Attributes
    ----------
    mirrors : tuple of str
        URLs of the folder that holds the files, tried in order.
    files : dict of str to str
        Checksum of each file, as published by its authors and by torchvision; a download with another checksum is refused.
    """

    mirrors: tuple[str, ...]
    files: dict[str, str]


SOURCES = {
    "mnist": Source(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        {
            "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "fashion-mnist": Source(
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        {
            "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
    "cifar-10": Source(("https://www.cs.toronto.edu/~kriz/",), {"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"}),
}
"""Download sources by the name of the task."""


@dataclass(frozen=True)
class Fetched(Result):
    """Result of :func:`fetch`.

    Attributes
    ----------
    task : str
        Name of the data set, which is a key of :data:`SOURCES`.
    directory : Path
        Directory that now holds the files.
    files : tuple of str
        Names of the downloaded files in that directory.
    """

    task: str
    directory: Path
    files: tuple[str, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"{style.escape(', '.join(self.files))} in {style.escape(str(self.directory))}"


def cached(task: str) -> Path:
    """Return the default directory of :func:`fetch` for a data set, which need not exist."""
    import pooch

    return Path(pooch.os_cache("mgd-hw")) / task


def fetch(task: str, directory: Path | None = None, *, progress: Progress | None = None) -> Fetched:
    """Download the files of a data set that are missing or damaged.

    Parameters
    ----------
    task : str
        Name of the data set, one of :data:`SOURCES`.
    directory : path or None
        Directory to download into; None takes the user's cache, where designs look for it.
    progress : Progress or None
        Receives a line before each file is checked or fetched; None discards it.

    Raises
    ------
    Refusal
        If there is no such data set, or the directory cannot be written to.
    ToolError
        If no mirror can be reached, or a downloaded file does not have the published checksum.
    """
    import pooch

    if task not in SOURCES:
        raise Refusal("there is no such data set to fetch", f"Take one of {', '.join(SOURCES)}.", key="TASK", value=task)
    progress, source = progress or NullProgress(), SOURCES[task]
    place = cached(task) if directory is None else Path(directory)
    pooch.get_logger().setLevel(logging.ERROR)
    for name, checksum in source.files.items():
        failures: list[str] = []
        for mirror in source.mirrors:
            try:
                progress.status(f"Fetching {name}.")
                pooch.retrieve(mirror + name, known_hash=checksum, fname=name, path=place)
                break
            except PermissionError as error:
                raise Refusal(f"it cannot be written ({error.strerror})", "Give another directory with -o.", file=place) from None
            except (OSError, ValueError) as error:  # requests raises the first, and pooch the second for a wrong checksum
                failures.append("it is not the file that was published" if isinstance(error, ValueError) else _describe(error))
        else:
            listed = "; ".join(f"{mirror}: {why}" for mirror, why in zip(source.mirrors, failures, strict=True))
            remedy = "Try again later, or put the files into a folder yourself, and name it with data.path or MGD_DATA."
            raise ToolError(f"{name} cannot be fetched ({listed})", remedy)
    return Fetched(task, place, tuple(source.files))


def _describe(error: OSError) -> str:
    """Return a short description of a failed download: its HTTP status, or else the name of the exception."""
    response = getattr(error, "response", None)
    return f"HTTP {response.status_code}" if response is not None else type(error).__name__
