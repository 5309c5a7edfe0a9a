"""Read labelled images: IDX files, the MNIST family, and CIFAR-10."""

from __future__ import annotations

import gzip
import math
import os
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from mgd_hw.data.npz import read_npz
from mgd_hw.data.raw import RawSamples
from mgd_hw.data.tasks import DataSpec
from python_ref.spec.error import Refusal

__all__ = ["CLASS_NAMES", "read_images"]

CLASS_NAMES = {
    "mnist": tuple("0123456789"),
    "fashion-mnist": ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
    "cifar-10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}
"""Class names of the public sets in the order of the class numbers, as published."""

_SOURCE_OF_IMAGES = (
    "Put mnist.npz (fashion_mnist.npz) or the four IDX files (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
    "t10k-labels-idx1-ubyte, each also as .gz; `mgd-hw fetch` downloads them) into a folder, and name it with data.path or the "
    "environment variable MGD_DATA."
)
_SOURCE_OF_CIFAR = (
    "Put cifar-10-binary.tar.gz, unpacked or not, or cifar_10.npz (`mgd-hw fetch` downloads the first) into a folder, and name it with "
    "data.path or the environment variable MGD_DATA."
)


def _fetched(task: str) -> Path | None:
    """Return the cache directory of a data set if `mgd-hw fetch` has downloaded all its files, or else None."""
    from mgd_hw.data.download import SOURCES, cached

    if task not in SOURCES:
        return None
    try:
        place = cached(task)
    except ImportError:
        return None
    return place if all((place / name).is_file() for name in SOURCES[task].files) else None


def read_images(spec: DataSpec) -> RawSamples:
    """Read IDX files, a set of the MNIST family, or CIFAR-10 from a folder or an npz file.

    The location is ``data.path``, or else the environment variable ``MGD_DATA``, or else the cache of `mgd-hw fetch`.

    Raises
    ------
    Refusal
        If the files are missing, cannot be read, or do not fit together.
    """
    given, key = spec.path, "data.path"
    way_out = _SOURCE_OF_CIFAR if spec.task == "cifar-10" else _SOURCE_OF_IMAGES
    if given is None and os.environ.get("MGD_DATA", "").strip():
        given, key = Path(os.environ["MGD_DATA"]).expanduser(), "MGD_DATA"
    elif given is None:
        given = _fetched(spec.task)
        if given is None:
            reason = f"the images of {spec.task} are not shipped, and neither data.path nor MGD_DATA says where they are"
            raise spec.refuse(reason, way_out, "data.task", spec.task)
    try:
        if given.is_file():
            raw = read_npz(given)
        elif given.is_dir():
            raw = _folder(spec, given, key)
        else:
            raise spec.refuse("there is no such folder", way_out, key, str(given))
    except OSError as error:
        raise spec.refuse(f"it cannot be read ({error.strerror})", "Check the path and its permissions.", key, str(given)) from None
    return replace(raw, class_names=CLASS_NAMES.get(spec.task, ()))


def _folder(spec: DataSpec, folder: Path, key: str) -> RawSamples:
    """Read a data set from a folder, or from the subfolders in which its publishers and torchvision keep it."""
    stem = spec.task.replace("-", "_")
    folders = [folder, folder / spec.task, folder / stem]
    folders += {"mnist": [folder / "MNIST" / "raw"], "fashion-mnist": [folder / "FashionMNIST" / "raw"]}.get(spec.task, [])
    names = [f"{stem}.npz", f"{spec.task}.npz"]
    for place in folders:
        for name in names:
            if (place / name).is_file():
                return read_npz(place / name)
    if spec.task == "cifar-10":
        return _cifar(spec, folders, key)
    for place in folders:
        if _idx_file(place, "train", "images", 3):
            return _read_idx(place)
    raise spec.refuse(f"the folder has neither {names[0]} nor train-images-idx3-ubyte", _SOURCE_OF_IMAGES, key, str(folder))


def _idx_file(folder: Path, part: str, what: str, dimensions: int) -> Path | None:
    """Return the path of an IDX file in a folder, by any of its usual names, or None if there is none."""
    for dash in "-.":
        for ending in ("", ".gz"):
            path = folder / f"{part}-{what}{dash}idx{dimensions}-ubyte{ending}"
            if path.is_file():
                return path
    return None


def _read_idx(folder: Path) -> RawSamples:
    """Read the IDX files of a folder; the test pair is optional, and without it the samples have no split of their own."""
    images, labels = [], []
    for part in ("train", "t10k"):
        found = [_idx_file(folder, part, what, dimensions) for what, dimensions in (("images", 3), ("labels", 1))]
        if found == [None, None] and part == "t10k":
            continue
        for path, name in zip(found, ("images-idx3-ubyte", "labels-idx1-ubyte"), strict=True):
            if path is None:
                raise Refusal(f"it lacks {part}-{name}", _SOURCE_OF_IMAGES, file=folder)
        x, y = _idx_array(found[0], 3), _idx_array(found[1], 1)  # type: ignore[arg-type]
        if len(x) != len(y):
            raise Refusal(f"{len(y)} labels for {len(x)} images", "Fetch both files again.", file=found[1])
        images.append(x.reshape(len(x), -1))
        labels.append(y.astype(np.int64))
    if len({part.shape[1] for part in images}) > 1:
        raise Refusal("training and test images differ in size", "Fetch the files again.", file=folder)
    n_train = len(images[0]) if len(images) == 2 else None
    samples = np.concatenate(images)
    return RawSamples(
        samples, np.concatenate(labels), f"{len(samples):,} images of {folder.name}", str(folder), n_train, full_scale=(0.0, 255.0)
    )


def _idx_array(path: Path, dimensions: int) -> np.ndarray:
    """Return the array in an IDX file, uint8.

    The file consists of 0, 0, 8 (the type code of unsigned bytes) and the number of dimensions, one byte each; of the size of each
    dimension, 32 bits, big-endian; and of the data.
    """

    def wrong(reason: str) -> Refusal:
        return Refusal(reason, "Fetch the file again.", file=path)

    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise wrong(f"it cannot be read ({error})") from None
    head = 4 + 4 * dimensions
    if len(content) < head or content[:4] != bytes([0, 0, 8, dimensions]):
        raise wrong(f"it is not an IDX file of bytes with {dimensions} dimension{'s' * (dimensions > 1)}")
    sizes = tuple(int.from_bytes(content[4 + 4 * d : 8 + 4 * d], "big") for d in range(dimensions))
    if len(content) - head != math.prod(sizes) or not math.prod(sizes):
        raise wrong(f"it holds {len(content) - head:,} bytes of data where its head says {' × '.join(map(str, sizes))}")
    return np.frombuffer(content, np.uint8, offset=head).reshape(sizes)


# -- CIFAR-10 ---------------------------------------------------------------------------------------------------------

_CIFAR_FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_CIFAR_RECORD = 1 + 3 * 32 * 32
"""Bytes of a record: the label, then the red, green and blue planes, each row by row."""


def _cifar(spec: DataSpec, folders: list[Path], key: str) -> RawSamples:
    """Read the binary version of CIFAR-10 from its unpacked files or from the archive, without unpickling or writing to disk."""
    for folder in folders:
        for place in (folder, folder / "cifar-10-batches-bin"):
            if all((place / name).is_file() for name in _CIFAR_FILES):
                return _cifar_records([(place / name).read_bytes() for name in _CIFAR_FILES], place)
        archive = folder / "cifar-10-binary.tar.gz"
        if archive.is_file():
            try:
                with tarfile.open(archive, "r:gz") as packed:
                    members = [packed.extractfile(f"cifar-10-batches-bin/{name}") for name in _CIFAR_FILES]
                    return _cifar_records([b"" if member is None else member.read() for member in members], archive)
            except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error) as error:
                raise Refusal(f"it cannot be read ({error})", "Fetch the file again.", file=archive) from None
    raise spec.refuse("the folder has neither cifar_10.npz nor cifar-10-binary.tar.gz", _SOURCE_OF_CIFAR, key, str(folders[0]))


def _cifar_records(contents: list[bytes], where: Path) -> RawSamples:
    """Return the samples in the contents of the six binary files, of which the last holds the test samples."""
    for name, content in zip(_CIFAR_FILES, contents, strict=True):
        if not content or len(content) % _CIFAR_RECORD:
            raise Refusal(f"{name} has {len(content):,} bytes, not a multiple of {_CIFAR_RECORD:,}", "Fetch it again.", file=where)
    records = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, _CIFAR_RECORD)
    n_train = len(records) - len(contents[-1]) // _CIFAR_RECORD
    source = f"{len(records):,} images of CIFAR-10"
    return RawSamples(records[:, 1:], records[:, 0].astype(np.int64), source, str(where), n_train, full_scale=(0.0, 255.0))
