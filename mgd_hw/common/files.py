"""Where results go: checked before long work starts, and whole or not at all."""

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
"""Where results go when no directory is named, in a folder for each design."""


def _nearest(path: Path) -> Path:
    """The path, or the first of its parents that exists."""
    return next((place for place in (path, *path.absolute().parents) if os.path.lexists(place)), Path("/"))


def check_directory(directory: Path, option: str = "-o") -> Path:
    """A directory that results can be written to, or that can be made.

    Raises
    ------
    Refusal
        If it cannot; nothing is left behind.
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
    """The directory that the user named, or the one of these names in :data:`FOLDER`; results can be written to it.

    Raises
    ------
    Refusal
        If they cannot.
    """
    return check_directory(FOLDER.joinpath(*parts) if out is None else Path(out))


def check_file(path: Path, option: str, force: bool = True) -> Path:
    """A file that can be written.

    Raises
    ------
    Refusal
        If it cannot, or is there already and ``force`` is false.
    """
    if path.is_dir():
        raise Refusal("it is a directory", "Name a file.", key=option, value=str(path))
    check_directory(path.parent, option)
    if path.exists() and not force:
        raise Refusal("it is there already", "Choose another name, or replace it with --force.", key=option, value=str(path))
    return path


@contextmanager
def atomic_directory(directory: Path, option: str = "-o") -> Iterator[Path]:
    """A temporary directory whose content moves to ``directory`` when all went well, and vanishes when it did not.

    Files and folders of the same names are replaced one by one; whatever else is in ``directory`` stays.

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
    """Move what is in one folder into another, in the place of what has the same name there."""
    for path in sorted(source.iterdir()):
        old = target / path.name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        path.replace(old)


def write_file(path: Path, content: str | bytes, option: str = "-o") -> None:
    """Write a file whole, or leave the old one untouched.

    Raises
    ------
    Refusal
        If it cannot be written.
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
    """What a JSON file describes, such as a result."""

    def to_json(self) -> dict:
        """Itself as plain data."""


def write_json(path: Path, result: Described) -> None:
    """Write a result as JSON, one value a line."""
    path.write_text(json.dumps(result.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
