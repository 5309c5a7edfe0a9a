"""Netlist of a core for a part, probes included, and the simulation models of its cells, so that it simulates in place of the core."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from boards.parts.synth import check_memory
from boards.parts.target import LARGE_DEPTH, Part, target
from python_ref.spec.learning import LearningSpec

__all__ = ["MODELS", "Models", "Netlist", "write_netlist"]


@dataclass(frozen=True)
class Models:
    """Simulation models of a family's cells, most of which Yosys ships.

    Attributes
    ----------
    files : tuple of str
        Verilog files, as Yosys names the files of its share directory.
    defines : tuple of str
        Macros to define when the files are read.
    restriction : str
        Synthesis options that avoid cells without a model; "" where every cell has one.
    not_covered : tuple of str
        Statements that simulation of such a netlist does not prove, one sentence each.
    ours : dict of str to str
        Files of this project by their names, with their text: models (``.v``), each in the place of one of Yosys's, and what they read.
    """

    files: tuple[str, ...]
    defines: tuple[str, ...] = ()
    restriction: str = ""
    not_covered: tuple[str, ...] = ()
    ours: Mapping[str, str] = field(default_factory=dict)


_LARGE = Path(__file__).parents[1] / "data" / "ice40_spram.v"
_TIMING = "Timing: cells switch at once, so that it is the function that is proven, not the frequency."
_PLACED = "What place and route does to the netlist: packing, and cells that it duplicates or merges."


def _restricted(blocks: str, dsp: str) -> tuple[str, ...]:
    """Sentences on what is not covered for a family whose block memories and multipliers have no models."""
    return (
        f"Block memories ({blocks}): Yosys has no model of them, so that this netlist keeps all memories in look-up tables.",
        f"Multipliers ({dsp}): Yosys has no model of them, so that this netlist multiplies in look-up tables and carry chains.",
        _TIMING,
        _PLACED,
    )


_GOWIN = Models(
    ("+/gowin/cells_sim.v",),
    restriction="-nodsp -nobram",
    not_covered=_restricted("SDPB, SDPX9B, pROM", "MULT9X9, MULT18X18"),
)

MODELS: Mapping[str, Models] = MappingProxyType(
    {
        "ice40-up5k": Models(
            ("+/ice40/cells_sim.v",),
            ("NO_ICE40_DEFAULT_ASSIGNMENTS",),
            not_covered=(_TIMING, _PLACED),
            ours=MappingProxyType({_LARGE.name: _LARGE.read_text(encoding="utf-8"), "ice40_spram.hex": "a55a\n" * LARGE_DEPTH}),
        ),
        "ecp5-85k": Models(
            ("+/lattice/cells_sim_ecp5.v",),
            ("NO_INCLUDES",),  # without it the file defines twice some flip-flops that Yosys does not use
            restriction="-nodsp -nobram",
            not_covered=_restricted("DP16KD, PDPW16KD", "MULT18X18D"),
        ),
        "gowin-gw1nr9": _GOWIN,
        "gowin-gw2ar18": _GOWIN,
    }
)
"""Simulation models by the name of the part."""


@dataclass(frozen=True)
class Netlist:
    """A netlist together with the models that it needs in simulation.

    Attributes
    ----------
    verilog : Path
        File with the netlist as one module, which has the core's name and ports.
    part : Part
        The part whose cells the netlist consists of.
    models : Models
        Simulation models of these cells.
    cells : dict of str to int
        Number of cells of each type, the most frequent first.
    """

    verilog: Path
    part: Part
    models: Models
    cells: dict[str, int]


def write_netlist(
    spec: LearningSpec,
    part_name: str,
    directory: Path,
    verilog: str,
    *,
    top: str | None = None,
    name: str = "netlist",
    notify: Callable[[str], None] | None = None,
) -> Netlist:
    """Synthesise a core into one module of the part's cells, by the commands of :func:`boards.parts.synth.synthesise`.

    Parameters
    ----------
    spec : LearningSpec
        The design whose core is synthesised.
    part_name : str
        Name of the part, one of :data:`MODELS`.
    directory : Path
        Existing directory in which Yosys runs and leaves ``<name>.v``, its script and its log.
    verilog : str
        Text of the Verilog that contains the core.
    top : str or None
        Name of the module to synthesise; None takes the core with its probes.
    name : str
        Name of the written files without their extensions.
    notify : callable or None
        Called with a sentence when the user has to wait for a step that happens only once.

    Raises
    ------
    ValueError
        If there are no models of the part's cells.
    DesignError
        If the core's memories exceed those of the part, where the netlist uses its block memories.
    rtl_gen.toolchain.yosys.ToolError, rtl_gen.toolchain.yosys.YosysError
        If Yosys is not installed, or refuses the Verilog.
    """
    import json

    from rtl_gen.emit import kept_modules
    from rtl_gen.toolchain.yosys import run_yosys

    part = target(part_name)
    if part_name not in MODELS:
        raise ValueError(f"Netlist must be of one of {', '.join(MODELS)}, not {part_name!r}")
    models = MODELS[part_name]
    if not models.restriction:
        check_memory(spec, part)
    top = top or f"{spec.module}_core"
    (directory / f"{name}_input.v").write_text(verilog, encoding="utf-8")
    commands = [
        f"read_verilog {name}_input.v",
        f"hierarchy -check -top {top}",
        "proc",
        *(f"setattr -mod -set keep_hierarchy 1 {pattern}" for pattern in kept_modules(spec, macs=part.keeps_mac)),
        f"{part.synthesis} {models.restriction} -top {top}",
        "setattr -mod -unset keep_hierarchy *",
        "flatten",
        "opt_clean -purge",
        "check -assert",
        f"tee -q -o {name}_cells.json stat -json",
        f"write_verilog -noattr {name}.v",
    ]
    run_yosys(commands, directory, name=name, notify=notify)
    stat = directory / f"{name}_cells.json"
    counted = json.loads(stat.read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
    stat.unlink()
    (directory / f"{name}_input.v").unlink()
    cells = {kind: number for kind, number in Counter(counted).most_common() if not kind.startswith("$")}
    return Netlist(directory / f"{name}.v", part, models, cells)
