"""From one design file to an FPGA core that learns on its own: the verbs of the command line as functions.

>>> import mgd_hw
>>> print(mgd_hw.fit("xor"))  # doctest: +SKIP

A verb takes a design, which is the path of a file, the name of a shipped design, or what :func:`read` returned. It checks its arguments
before long work starts, and returns a frozen result, which prints itself, draws itself (``.plot()``) and has ``.rows()``, ``.frame()``
and ``.to_json()``. A request that is refused for a reason the user can remedy raises :class:`Refusal`. A verb is
imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mgd_hw.data.download import fetch
    from mgd_hw.design.argument import read
    from mgd_hw.design.new import new
    from mgd_hw.device.serve import serve
    from mgd_hw.device.standalone import run_standalone
    from mgd_hw.device.train import train
    from mgd_hw.efficiency.compare import compare_efficiency
    from mgd_hw.hardware.boards import boards
    from mgd_hw.hardware.build import build
    from mgd_hw.hardware.cosim import cosim
    from mgd_hw.hardware.doctor import doctor
    from mgd_hw.hardware.fit import fit
    from mgd_hw.hardware.generate import generate
    from mgd_hw.hardware.standalone import build_standalone
    from mgd_hw.hardware.synth import synth
    from mgd_hw.importing.import_network import import_network
    from mgd_hw.learn.compare import compare
    from mgd_hw.learn.diagnose import diagnose
    from mgd_hw.replication.paper import paper
    from mgd_hw.reports.demo import demo
    from mgd_hw.reports.report import report
    from mgd_hw.sweeps.sweep import sweep
    from python_ref.spec.error import Refusal, ToolError

__all__ = [
    "Refusal",
    "ToolError",
    "boards",
    "build",
    "build_standalone",
    "compare",
    "compare_efficiency",
    "cosim",
    "demo",
    "diagnose",
    "doctor",
    "fetch",
    "fit",
    "generate",
    "import_network",
    "new",
    "paper",
    "read",
    "report",
    "run_standalone",
    "serve",
    "sweep",
    "synth",
    "train",
]

_MODULES = {
    "Refusal": "python_ref.spec.error",
    "ToolError": "python_ref.spec.error",
    "boards": "mgd_hw.hardware.boards",
    "build": "mgd_hw.hardware.build",
    "build_standalone": "mgd_hw.hardware.standalone",
    "compare": "mgd_hw.learn.compare",
    "compare_efficiency": "mgd_hw.efficiency.compare",
    "cosim": "mgd_hw.hardware.cosim",
    "demo": "mgd_hw.reports.demo",
    "diagnose": "mgd_hw.learn.diagnose",
    "doctor": "mgd_hw.hardware.doctor",
    "fetch": "mgd_hw.data.download",
    "fit": "mgd_hw.hardware.fit",
    "generate": "mgd_hw.hardware.generate",
    "import_network": "mgd_hw.importing.import_network",
    "new": "mgd_hw.design.new",
    "paper": "mgd_hw.replication.paper",
    "read": "mgd_hw.design.argument",
    "report": "mgd_hw.reports.report",
    "run_standalone": "mgd_hw.device.standalone",
    "serve": "mgd_hw.device.serve",
    "sweep": "mgd_hw.sweeps.sweep",
    "synth": "mgd_hw.hardware.synth",
    "train": "mgd_hw.device.train",
}
"""The module of each public name."""

_FORMER = {"UserError": "Refusal"}
"""Former names, kept for one release."""


def __getattr__(name: str) -> object:
    name = _FORMER.get(name, name)
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_MODULES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
