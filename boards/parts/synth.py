"""Synthesis with Yosys: the resources that a core needs, in total and by component, and whether a part has them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import partial
from math import ceil, lcm
from pathlib import Path
from typing import Any

from boards.parts.target import TARGETS, Part, Resources, target
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import DesignError, unknown
from python_ref.spec.kinds import network_inside
from python_ref.spec.layout import Layout
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec

__all__ = ["SynthResult", "check_memory", "components_of", "count", "cycles_per_step", "fitting_lanes", "over", "synthesise"]

KEPT = "lanes"
"""Name of the component that stands for all lanes together."""


@dataclass(frozen=True)
class SynthResult:
    """Resources that a core needs on a part.

    Attributes
    ----------
    target, device : str
        Name of the part, and its maker's name for it.
    lanes : int
        Number of lanes L of the core.
    total : Resources
        Resources of the core, synthesised as one.
    components : dict of str to Resources
        Resources of each component, synthesised separately from the others; empty for Verilog without our modules. Their sum
        exceeds ``total``, since synthesis of the whole shares logic that two components have in common, and drops logic that only
        one of them needs.
    capacity : Resources
        Resources that the part has.
    limits_source : str
        Document that the capacity was taken from.
    memory_bits : int
        Number of bits in all memories, read-only tables included.
    cycles : dict of str to float
        Clock cycles by the core's contract: in weight perturbation of a step with one pass and with two passes (``one_pass``,
        ``two_passes``), in node perturbation of the longest presentation and of its parts.
    cycles_summary : str
        The same in words.
    cycles_per_step : float
        Clock cycles of a step, averaged over the design's schedule.
    over : dict of str to int
        Number of resources beyond those of the part, by kind; empty if the core fits.
    predicted_lanes : int
        Most lanes that would fit, predicted by scaling the components; 0 if none do.
    """

    target: str
    device: str
    lanes: int
    total: Resources
    components: dict[str, Resources]
    capacity: Resources
    limits_source: str
    memory_bits: int
    cycles: dict[str, float]
    cycles_summary: str
    cycles_per_step: float
    over: dict[str, int]
    predicted_lanes: int

    @property
    def fits(self) -> bool:
        """Whether the part has enough resources of every kind."""
        return not self.over

    @property
    def lut(self) -> int:
        """Number of look-up tables of the whole core."""
        return self.total.lut

    @property
    def ff(self) -> int:
        """Number of flip-flops of the whole core."""
        return self.total.ff

    @property
    def dsp(self) -> int:
        """Number of multipliers of the whole core."""
        return self.total.dsp

    @property
    def bram(self) -> int:
        """Number of block memories of the whole core."""
        return self.total.bram

    @property
    def spram(self) -> int:
        """Number of large memories with one port of the whole core."""
        return self.total.spram

    @property
    def limits(self) -> dict[str, int]:
        """Capacity of the part as plain data, by kind."""
        return self.capacity.to_json()

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data for JSON."""
        return {
            "target": self.target,
            "device": self.device,
            "lanes": self.lanes,
            **self.total.to_json(),
            "memory_bits": self.memory_bits,
            "cycles_per_step": self.cycles_per_step,
            **{f"cycles_{name}": value for name, value in self.cycles.items()},
            "fits": self.fits,
            "over": dict(self.over),
            "predicted_lanes": self.predicted_lanes,
            "limits": self.limits,
            "limits_source": self.limits_source,
            "components": {name: counts.to_json() for name, counts in self.components.items()},
        }


def synthesise(
    spec: LearningSpec,
    target_name: str,
    directory: Path,
    *,
    verilog: Path | None = None,
    by_component: bool = True,
    notify: Callable[[str], None] | None = None,
) -> SynthResult:
    """Synthesise a core for a part, and count its resources.

    Parameters
    ----------
    spec : LearningSpec
        The design whose core is synthesised.
    target_name : str
        Name of the part, one of :data:`boards.parts.target.TARGETS`.
    directory : Path
        Existing directory in which Yosys runs and leaves its scripts and logs.
    verilog : Path or None
        File with the core's Verilog; None takes ``design.v`` in ``directory`` if it exists, else generates the design's Verilog.
    by_component : bool
        Whether to synthesise a second time, to count each component separately.
    notify : callable or None
        Called with a sentence when the user has to wait for a step that happens only once.

    Raises
    ------
    ValueError
        If there is no part of that name.
    DesignError
        If the core's memories exceed those of the part. This is checked before synthesis starts.
    rtl_gen.toolchain.yosys.ToolError, rtl_gen.toolchain.yosys.YosysError
        If Yosys is not installed, or refuses the Verilog.
    """
    from rtl_gen.emit import VERILOG, emit_verilog, kept_modules
    from rtl_gen.toolchain.yosys import find_yosys

    part = target(target_name)
    check_memory(spec, part)
    find_yosys()
    source = verilog or directory / VERILOG
    text = source.read_text(encoding="utf-8") if source.exists() or verilog else emit_verilog(spec)
    (directory / "synth_input.v").write_text(text, encoding="utf-8")
    whole = kept_modules(spec, macs=part.keeps_mac)
    modules = components_of(text, spec) if by_component else {}
    run = partial(_run, part, spec.module, directory, notify=notify)
    kept = {"synth_whole": whole} | ({"synth_components": (*whole, *modules)} if modules else {})
    (netlist, memory_bits), *apart = _at_once([partial(run, name, each) for name, each in kept.items()])
    total = sum(count(netlist, spec.module, part).values(), Resources())
    components = _components(count(apart[0][0], spec.module, part), spec) if apart else {}
    cycles = _contract(spec)
    return SynthResult(
        target=part.name,
        device=part.device,
        lanes=spec.hardware.lanes,
        total=total,
        components=components,
        capacity=part.capacity,
        limits_source=part.source,
        memory_bits=memory_bits,
        cycles=cycles.figures(),
        cycles_summary=cycles.summary(),
        cycles_per_step=cycles_per_step(spec),
        over=over(total, part),
        predicted_lanes=fitting_lanes(spec, part, total, components.get(KEPT, Resources())),
    )


def _at_once(runs: Sequence[Callable[[], tuple]]) -> list[tuple]:
    """Run several Yosys runs in parallel threads and return their results; if one fails or the user interrupts, all are ended."""
    from rtl_gen.toolchain.child import end_all

    with ThreadPoolExecutor(len(runs)) as pool:
        futures = [pool.submit(run) for run in runs]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            return [future.result() for future in futures if future.done()]
        finally:
            while wait(futures, timeout=0.1).not_done:  # a run may have been about to start its process
                end_all()


def _run(part: Part, top: str, directory: Path, name: str, kept: tuple[str, ...], *, notify: Callable[[str], None] | None) -> tuple:
    """Synthesise with these modules kept whole; return the netlist, and the bits of its memories before mapping."""
    from rtl_gen.toolchain.yosys import run_yosys

    commands = [
        "read_verilog synth_input.v",
        f"hierarchy -check -top {top}",
        "proc",
        f"tee -q -o {name}_memory.json stat -json",
        "check -assert",
        *(f"setattr -mod -set keep_hierarchy 1 {pattern}" for pattern in kept),
        f"{part.synthesis} -top {top}",
        "check -assert",
        f"write_json {name}.json",
    ]
    run_yosys(commands, directory, name=name, notify=notify)
    written = {}
    for file in (f"{name}.json", f"{name}_memory.json"):
        written[file] = json.loads((directory / file).read_text(encoding="utf-8"))
        (directory / file).unlink()  # tens of megabytes, which the script can write again
    return written[f"{name}.json"], written[f"{name}_memory.json"]["design"]["num_memory_bits"]


# -- Counting ---------------------------------------------------------------------------------------------------------


def components_of(verilog: str, spec: LearningSpec) -> dict[str, str]:
    """Modules of a core's Verilog that are components, that is its blocks and its lanes, with their paths below the core."""
    found = {}
    for match in re.finditer(r"^module\s+\\?(\S+?)\s*[(;]", verilog, re.MULTILINE):
        inside = match[1].removeprefix(f"{spec.module}_core.")
        if inside != match[1] and (inside.count(".") == 0 or re.fullmatch(r"array(\$\d+)?\.lane\d+(\$\d+)?", inside)):
            found[match[1]] = re.sub(r"\$\d+", "", inside)
    return found


def count(netlist: Mapping[str, Any], top: str, part: Part) -> dict[str, Resources]:
    """Count the resources of a ``write_json`` netlist by the instance path of each module that was kept, without those of its children."""
    modules = netlist["modules"]
    counted: dict[str, Resources] = {}

    def enter(module: str, path: tuple[str, ...]) -> None:
        cells = modules[module]["cells"]
        kinds: Counter[str] = Counter()
        for cell in cells.values():
            inner = modules.get(cell["type"])
            if inner is None or int(inner["attributes"].get("blackbox", "0"), 2):
                kind, weight = part.kind_of(cell["type"])
                if kind:
                    kinds[kind] += Fraction(weight)  # type: ignore[assignment]
        kinds["logic"] = kinds["lut"] + kinds["lutram"] + (_places(modules[module]) if part.name.startswith("ice40") else kinds["carry"])
        counted[".".join(path)] = Resources(**{kind: ceil(number) for kind, number in kinds.items()})
        for name, cell in cells.items():
            inner = modules.get(cell["type"])
            if inner is not None and not int(inner["attributes"].get("blackbox", "0"), 2):
                enter(cell["type"], (*path, re.sub(r"\$\d+", "", name)))

    enter(top, ())
    return counted


def _places(module: Mapping[str, Any]) -> int:
    """Number of iCE40 logic cells without a look-up table: those of flip-flops whose input is not the only use of a look-up table's
    output, and those of carries without a look-up table that adds at the same position."""
    cells = module["cells"].values()
    driven_by_lut = {cell["connections"]["O"][0] for cell in cells if cell["type"] == "SB_LUT4"}
    uses: Counter[object] = Counter()
    for cell in cells:
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                uses.update(bits)
    for port in module["ports"].values():
        if port["direction"] == "output":
            uses.update(port["bits"])
    adders = set()
    for cell in cells:
        if cell["type"] == "SB_LUT4":
            one, other, carry = (cell["connections"][pin][0] for pin in ("I1", "I2", "I3"))
            adders |= {(one, other, carry), (other, one, carry)}
    lone = 0
    for cell in cells:
        if cell["type"].startswith("SB_DFF"):
            source = cell["connections"]["D"][0]
            lone += source not in driven_by_lut or uses[source] > 1
        elif cell["type"] == "SB_CARRY":
            lone += tuple(cell["connections"][pin][0] for pin in ("I0", "I1", "CI")) not in adders
    return lone


def _components(counted: Mapping[str, Resources], spec: LearningSpec) -> dict[str, Resources]:
    """Combine counts by path into components: all lanes in one, each block with its submodules, and the rest as "core"."""
    found: dict[str, Resources] = {}
    for path, resources in counted.items():
        inside = path.removeprefix("core").removeprefix(".")
        is_lane = re.match(r"array\.lane\d+", inside)
        name = KEPT if is_lane else inside.split(".")[0] or "core"
        found[name] = found.get(name, Resources()) + resources
    return dict(sorted(found.items(), key=lambda item: (item[0] != KEPT, item[0] == "core", item[0])))


# -- Does it fit? -----------------------------------------------------------------------------------------------------


def over(taken: Resources, part: Part) -> dict[str, int]:
    """Number of resources beyond those of a part, by kind; kinds whose capacity is 0 are not checked."""
    excess = {}
    for each in fields(Resources):
        has, takes = getattr(part.capacity, each.name), getattr(taken, each.name)
        if has and takes > has:
            excess[each.name] = takes - has
    return excess


def _lane_memories(spec: LearningSpec) -> tuple[int, ...]:
    """Widths of the memories of one lane, in bits."""
    return tuple(form.width for form in spec.memories.values())


def _lane_blocks(spec: DesignSpec, part: Part, lanes: int) -> int:
    """Number of block memories that the memories of all lanes need, for a given number of lanes."""
    words = max(2, Layout(spec.network, lanes).words)
    large = spec.parameter_banks and part.capacity.spram > 0
    return lanes * sum(part.blocks(words, width) for width in _lane_memories(spec)[large:])


def bits_in_large_memories(spec: LearningSpec, part: Part) -> int:
    """Number of bits in large memories with one port, which are no block memories: of the parameters, or of the sums of errors."""
    if not (spec.hardware.single_port and part.capacity.spram):
        return 0
    if spec.parameter_banks:
        return spec.hardware.lanes * max(2, spec.layout.words) * spec.formats.weight.width
    from rtl_gen.series.banks import bank_words

    assert isinstance(spec, DesignSpec)
    return 2 * bank_words(spec) * spec.error_sum_format.width


def check_memory(spec: LearningSpec, part: Part) -> None:
    """Refuse a core whose memories exceed a part's block memories, before any synthesis.

    Raises
    ------
    DesignError
        If they do; the error names the layers, the excess, and the parts that are large enough.
    """
    from rtl_gen.emit import memory_bits

    needed = memory_bits(spec) - bits_in_large_memories(spec, part)
    if needed <= part.block_bits:
        return
    larger = [name for name, other in TARGETS.items() if other.block_bits >= needed]
    ways = [f"Take --target {' or '.join(larger)}"] if larger else []
    if not network_inside(spec):
        reason = f"the memories of so many quantities take {needed:,} bits, and {part.name} ({part.device}) has {part.block_bits:,}"
        raise DesignError("network.external", spec.quantities, reason, ", ".join([*ways, "Take fewer" if not ways else "or fewer"]) + ".")
    ways.append("smaller layers" if ways else "Take smaller layers")
    raise DesignError(
        "network.layers",
        list(spec.network.sizes),
        f"the core's memories take {needed:,} bits, {needed - part.block_bits:,} more than the {part.block_bits:,} of block memory "
        f"in {part.name} ({part.device})",
        ", ".join(ways) + f", or a narrower formats.weight than {spec.formats.weight}.",
    )


def fitting_lanes(spec: LearningSpec, part: Part, total: Resources, lanes_taken: Resources) -> int:
    """Predict the most lanes that fit a part: the lanes' resources scale with their number, shared ones stay, and the memories of
    each lane get shallower.

    Parameters
    ----------
    total, lanes_taken : Resources
        Resources of the whole core as it was synthesised, and of all its lanes.

    Returns
    -------
    int
        Number of lanes that the design may have, at most the neurons of the widest layer, or one of a learner; 0 if none fit, or if
        ``lanes_taken`` is empty.
    """
    if not network_inside(spec):
        return 0 if over(total, part) else 1
    built = spec.hardware.lanes
    if not lanes_taken.lut:
        return 0

    def fits(lanes: int) -> bool:
        if not all(layer.kind.fits(layer.n_out, lanes) for layer in spec.network.layers):
            return False  # the blocks of a sparse layer are no multiple of the lanes
        for each in fields(Resources):
            has, takes, of_lanes = (getattr(r, each.name) for r in (part.capacity, total, lanes_taken))
            if each.name == "bram":
                takes += _lane_blocks(spec, part, lanes) - _lane_blocks(spec, part, built)
            else:
                takes += ceil(of_lanes * (lanes - built) / built)
            if has and takes > has:
                return False
        return True

    return max((lanes for lanes in range(1, max(spec.network.sizes[1:]) + 1) if fits(lanes)), default=0)


def _contract(spec: LearningSpec) -> Any:
    """The cycle contract of a design's core."""
    from rtl_gen.core import contract
    from rtl_gen.learner.core import learner_core

    match spec:
        case LearnerSpec():
            return learner_core(spec).contract
        case DesignSpec():
            return contract(spec)
        case _:
            raise unknown("Design", spec, "boards.parts.synth")


def cycles_per_step(spec: LearningSpec) -> float:
    """Clock cycles of a step, averaged over the design's schedule; in a learner without the outside's own time."""
    steps, found = lcm(spec.schedule.sample_period, spec.schedule.update_period), _contract(spec)
    # The first presentation of a run may take fewer cycles than those that follow.
    return (found.first_steps(spec, 2 * steps) - found.first_steps(spec, steps)) / steps
