"""What is made once for all tests, whichever worker makes it first: a folder of the session, and one worker at a time in it."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from python_ref.spec.design import DesignSpec
from python_ref.spec.serial import to_dict

__all__ = ["folder_of", "key_of_spec", "shared_folder"]


@contextmanager
def shared_folder(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """Yield a folder of this test session that all workers share; while the block runs, it belongs to this worker alone.

    Parameters
    ----------
    factory : pytest.TempPathFactory
        The fixture ``tmp_path_factory``.
    name : str
        Name of the folder.
    """
    place = folder_of(factory) / name
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield place


def folder_of(factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the test session; with pytest-xdist, that of a worker is in it."""
    base = factory.getbasetemp()
    return base.parent if base.name.startswith("popen-") else base


def key_of_spec(spec: DesignSpec) -> str:
    """Return a name that tells designs apart by everything that a design says."""
    return hashlib.sha256(json.dumps(to_dict(spec), sort_keys=True).encode()).hexdigest()[:20]
