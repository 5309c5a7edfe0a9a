"""A core's netlist in the place of its Verilog: synthesised, and its cells given models, for a co-simulation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mgd_hw.common.progress import Progress
from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    from boards.parts.netlist import Netlist
    from python_ref.spec.design import DesignSpec

__all__ = ["SIMULATOR", "check_netlist", "simulable"]

SIMULATOR = "verilator"
"""What runs a netlist unless the user says otherwise: CXXRTL's compiler needs ten minutes for one, Verilator's one."""


def check_netlist(part: str | None, verilog: Path | None) -> None:
    """Refuse what is no netlist, or is two things at once.

    Raises
    ------
    Refusal
        Naming the option.
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


def simulable(spec: DesignSpec, part: str, folder: Path, progress: Progress) -> tuple[Path, Netlist]:
    """The Verilog that simulates a design's netlist, and the netlist, ``netlist.v`` in ``folder``.

    The folder holds the design's own Verilog.
    """
    from boards.parts.netlist import write_netlist
    from rtl_gen.emit import VERILOG
    from sim.netlist import with_models

    progress.status(f"Synthesising {spec.name} for {part}.")
    made = write_netlist(spec, part, folder, (folder / VERILOG).read_text(encoding="utf-8"), notify=progress.status)
    model = with_models(made.verilog, f"{spec.module}_core", made.models.files, defines=made.models.defines, notify=progress.status)
    return model, made
