"""Netlists for co-simulation: a core is synthesised for a part, and its cells are combined with their simulation models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mgd_hw.common.progress import Progress
from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    from boards.parts.netlist import Netlist
    from python_ref.spec.learning import LearningSpec

__all__ = ["SIMULATOR", "check_netlist", "simulable"]

SIMULATOR = "verilator"
"""Default simulator of a netlist: Verilator compiles one in a minute, CXXRTL in ten."""


def check_netlist(part: str | None, verilog: Path | None) -> None:
    """Check that the cells of a part have simulation models, and that the user gives no Verilog of their own besides.

    Raises
    ------
    Refusal
        If either is not so.
    """
    from boards.parts.netlist import MODELS

    if part is None:
        return
    if part not in MODELS:
        raise Refusal("Yosys has no models of its cells", f"Take {', '.join(MODELS)}.", key="--netlist", value=part)
    if verilog is not None:
        raise Refusal(
            "a netlist is of the design's own Verilog, and --verilog takes another file in its place",
            "Leave one of them out.",
            key="--netlist",
            value=part,
        )


def simulable(spec: LearningSpec, part: str, folder: Path, progress: Progress) -> tuple[Path, Netlist]:
    """Synthesise a design for a part, and write the netlist, and Verilog that simulates it, into ``folder``.

    Parameters
    ----------
    spec : LearningSpec
        The design that is synthesised.
    part : str
        Name of the part, one of ``boards.parts.netlist.MODELS``.
    folder : Path
        Directory that already holds the Verilog of the design.
    progress : Progress
        Receives a status message for each stage.

    Returns
    -------
    (Path, Netlist)
        Path of the Verilog to simulate, and the netlist, ``netlist.v``.
    """
    from boards.parts.netlist import write_netlist
    from rtl_gen.emit import VERILOG
    from sim.netlist import with_models

    progress.status(f"Synthesising {spec.name} for {part}.")
    made = write_netlist(spec, part, folder, (folder / VERILOG).read_text(encoding="utf-8"), notify=progress.status)
    models = made.models
    model = with_models(made.verilog, f"{spec.module}_core", models.files, defines=models.defines, ours=models.ours, notify=progress.status)
    return model, made
