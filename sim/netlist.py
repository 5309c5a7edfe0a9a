"""Turn a netlist of a part's cells into Verilog that every simulator runs, by replacing the cells with their models."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rtl_gen.toolchain.yosys import run_yosys
from sim.error import SimulationError

__all__ = ["with_models"]


def with_models(
    netlist: Path,
    top: str,
    models: Sequence[str],
    *,
    defines: Sequence[str] = (),
    ours: Mapping[str, str] | None = None,
    notify: Callable[[str], None] | None = None,
) -> Path:
    """Replace the cells of a netlist with their models.

    Parameters
    ----------
    netlist : Path
        Verilog file of the netlist. ``<name>_models.v``, the script and the log are written beside it.
    top : str
        Name of the netlist's module.
    models : sequence of str
        Verilog files of the models, as Yosys names those of its share directory ("+/ice40/cells_sim.v").
    defines : sequence of str
        Macros to define when the models are read.
    ours : dict of str to str, or None
        Further files by their names, with their text, which are written beside the netlist: models (``.v``), each of which takes the place
        of the one of that cell in ``models``, and what they read.
    notify : callable or None
        Called with a sentence when the user has to wait for a step that happens only once.

    Returns
    -------
    Path
        Verilog file that contains only the module ``top``.

    Raises
    ------
    SimulationError
        If a cell has no model.
    rtl_gen.toolchain.yosys.YosysError
        If Yosys refuses the netlist.
    """
    directory, name = netlist.parent, f"{netlist.stem}_models"
    macros = "".join(f"-D{define} " for define in defines)
    for file, text in (ours or {}).items():
        (directory / file).write_text(text, encoding="utf-8")
    commands = [
        *(f"read_verilog -defer {file}" for file in ours or {} if file.endswith(".v")),
        # Deferred, since elaborating the hundreds of models that are not needed would take half a minute.
        *(f"read_verilog -defer -nooverwrite {macros}{model}" for model in models),
        f"read_verilog {netlist.name}",
        f"hierarchy -check -top {top} -purge_lib",
        "proc",
        "flatten",
        "opt",  # the whole of opt, which removes unused memory ports; without an address Verilator would refuse them
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
