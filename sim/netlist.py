"""A netlist of a part's cells, made into Verilog that every simulator runs: its cells replaced by their models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from rtl_gen.yosys import run_yosys
from sim.error import SimulationError

__all__ = ["with_models"]


def with_models(
    netlist: Path,
    top: str,
    models: Sequence[str],
    *,
    defines: Sequence[str] = (),
    notify: Callable[[str], None] | None = None,
) -> Path:
    """Put the models of its cells into a netlist.

    Parameters
    ----------
    netlist : Path
        Verilog. Beside it stay ``<name>_models.v``, the script and the log.
    top : str
        Its module.
    models : sequence of str
        Files of Verilog, as Yosys names its own ("+/ice40/cells_sim.v").
    defines : sequence of str
        Macros with which they are read.
    notify : callable or None
        Is told when the user has to wait for what happens only once.

    Returns
    -------
    Path
        Verilog with the module ``top`` alone.

    Raises
    ------
    SimulationError
        If a cell has no model.
    rtl_gen.yosys.YosysError
        If Yosys refuses the netlist.
    """
    directory, name = netlist.parent, f"{netlist.stem}_models"
    macros = "".join(f"-D{define} " for define in defines)
    commands = [
        # Deferred, or each of hundreds of models that are not needed would be worked out for half a minute.
        *(f"read_verilog -defer {macros}{model}" for model in models),
        f"read_verilog {netlist.name}",
        f"hierarchy -check -top {top} -purge_lib",
        "proc",
        "flatten",
        "opt",  # all of it: ports that a memory's mode does not use would be left, without an address, which Verilator refuses
        "clean -purge",
        f"tee -q -o {name}.json stat -json",
        f"write_verilog -noattr {name}.v",
    ]
    run_yosys(commands, directory, name=name, notify=notify)
    counted = directory / f"{name}.json"
    left = json.loads(counted.read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
    counted.unlink()
    missing = sorted(kind for kind in left if not kind.startswith("$"))
    if missing:
        raise SimulationError(f"{netlist} has cells without a model: {', '.join(missing)}", "Add the files of their models.")
    return directory / f"{name}.v"
