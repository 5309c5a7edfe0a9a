"""Output directories and files: checked before long work starts, and written completely or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from python_ref.spec.error import Refusal
from rtl_gen.toolchain.child import shielded

__all__ = ["FOLDER", "atomic_directory", "check_directory", "check_file", "results_directory", "write_file", "write_json"]

FOLDER = Path("mgd-hw-out")
"""Default output directory, with one subdirectory per design."""


def _nearest(path: Path) -> Path:
    """Return the path if it exists, or else its nearest parent that does."""
    return next((place for place in (path, *path.absolute().parents) if os.path.lexists(place)), Path("/"))


def check_directory(directory: Path, option: str = "-o") -> Path:
    """Return a directory after checking that it is writable, or that it can be created.

    The check creates and removes a temporary directory there, or in the nearest existing parent.

    Parameters
    ----------
    directory : Path
        Directory for the results, which need not exist.
    option : str
        Command-line option that names the directory, for error messages.

    Raises
    ------
    Refusal
        If the path is invalid, is a file, or cannot be written to.
    """
    value = str(directory)
    if not value or "\0" in value:
        raise Refusal("it is not a path", "Name a directory.", key=option, value=value)
    try:
        place = _nearest(directory)
        longest = os.pathconf(place if place.is_dir() else place.parent, "PC_NAME_MAX")
        if any(len(os.fsencode(part)) > longest for part in directory.parts):
            raise Refusal(f"a name in it has more than {longest} bytes", "Name another directory.", key=option, value=value)
        if not place.is_dir():
            what = "it is a file" if place == directory else f"{place} is a file"
            raise Refusal(f"{what}, not a directory", "Name another directory.", key=option, value=value)
        with tempfile.TemporaryDirectory(prefix=".mgd-hw-", dir=place):
            pass
    except OSError as error:
        raise Refusal(
            f"it cannot be written to ({error.strerror})", "Name another directory, or change its permissions.", key=option, value=value
        ) from None
    return directory


def results_directory(out: Path | None, *parts: str) -> Path:
    """Return the output directory, checked by :func:`check_directory`: ``out``, or by default ``parts`` below :data:`FOLDER`.

    Raises
    ------
    Refusal
        If the directory cannot be written to.
    """
    return check_directory(FOLDER.joinpath(*parts) if out is None else Path(out))


def check_file(path: Path, option: str, force: bool = True) -> Path:
    """Return the path of an output file after checking that the file can be written.

    Raises
    ------
    Refusal
        If the path is a directory, if its directory cannot be written to, or if the file exists and ``force`` is false.
    """
    if path.is_dir():
        raise Refusal("it is a directory", "Name a file.", key=option, value=str(path))
    check_directory(path.parent, option)
    if path.exists() and not force:
        raise Refusal("it is there already", "Choose another name, or replace it with --force.", key=option, value=str(path))
    return path


@contextmanager
def atomic_directory(directory: Path, option: str = "-o") -> Iterator[Path]:
    """Yield a temporary directory whose contents move to ``directory`` if the block succeeds, and are deleted if it fails.

    Files and subdirectories of the same names are replaced one by one; the other contents of ``directory`` stay. Signals are
    deferred during the move.

    Raises
    ------
    Refusal
        If the directory cannot be written to.
    """
    check_directory(directory, option)
    made = [place for place in (directory, *directory.absolute().parents) if not place.exists()]
    temporary = None
    try:
        with shielded():
            directory.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".mgd-hw-", dir=directory))
        yield temporary
        with shielded():
            _move(temporary, directory)
    except OSError as error:
        if error.filename is not None and str(error.filename).startswith(str(directory)):
            raise Refusal(
                f"writing failed ({error.strerror})", "Free some space, or name another directory.", key=option, value=str(directory)
            ) from error
        raise
    finally:
        with shielded():
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
            for place in made:
                with suppress(OSError):
                    place.rmdir()


def _move(source: Path, target: Path) -> None:
    """Move the contents of one directory into another, replacing entries of the same names."""
    for path in sorted(source.iterdir()):
        old = target / path.name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        path.replace(old)


def write_file(path: Path, content: str | bytes, option: str = "-o") -> None:
    """Write a file atomically: if writing fails, an existing file stays unchanged.

    Raises
    ------
    Refusal
        If the file cannot be written.
    """
    check_file(path, option)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".mgd-hw-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except OSError as error:
        raise Refusal(
            f"writing failed ({error.strerror})", "Free some space, or name another place.", key=option, value=str(path)
        ) from None
    finally:
        Path(name).unlink(missing_ok=True)


class Described(Protocol):
    """Object with a JSON form, such as a result."""

    def to_json(self) -> dict:
        """Return the object as plain data."""


def write_json(path: Path, result: Described) -> None:
    """Write a result as JSON in UTF-8, with one value per line."""
    path.write_text(json.dumps(result.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
