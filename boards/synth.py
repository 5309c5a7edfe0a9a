"""Synthesis with Yosys: what a core takes of a part, in all and by component, and whether the part has it."""

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

from boards.target import TARGETS, Part, Resources, target
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import DesignError
from python_ref.spec.layout import Layout

__all__ = ["SynthResult", "check_memory", "components_of", "count", "cycles_per_step", "fitting_lanes", "over", "synthesise"]

KEPT = "lanes"
"""The component that is all lanes together."""


@dataclass(frozen=True)
class SynthResult:
    """What a core takes of a part.

    Attributes
    ----------
    target, device : str
        The part, and what its maker calls it.
    lanes : int
        L.
    total : Resources
        Of the core, synthesised as one.
    components : dict of str to Resources
        Of its components, each synthesised apart from the others; empty for Verilog that has none of ours. Their sum
        is more than ``total``: logic that two of them have in common, or that only one of them needs, is shared or
        dropped when they are synthesised as one.
    limits : Resources
        What the part has.
    limits_source : str
        Where that stands.
    memory_bits : int
        Bits of all memories, read-only tables included.
    cycles_one_pass, cycles_two_passes : int
        Cycles of a step of one and of two passes.
    cycles_per_step : float
        Cycles of a step, on average over the design's schedule.
    over : dict of str to int
        By how much the part is exceeded, by kind; empty if it fits.
    predicted_lanes : int
        The most lanes that fit, predicted by scaling the components; 0 if none do.
    """

    target: str
    device: str
    lanes: int
    total: Resources
    components: dict[str, Resources]
    capacity: Resources
    limits_source: str
    memory_bits: int
    cycles_one_pass: int
    cycles_two_passes: int
    cycles_per_step: float
    over: dict[str, int]
    predicted_lanes: int

    @property
    def fits(self) -> bool:
        """Whether the part has as much of everything."""
        return not self.over

    @property
    def lut(self) -> int:
        """Look-up tables."""
        return self.total.lut

    @property
    def ff(self) -> int:
        """Flip-flops."""
        return self.total.ff

    @property
    def dsp(self) -> int:
        """Multipliers."""
        return self.total.dsp

    @property
    def bram(self) -> int:
        """Block memories."""
        return self.total.bram

    @property
    def limits(self) -> dict[str, int]:
        """What the part has, by kind."""
        return self.capacity.to_json()

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "target": self.target,
            "device": self.device,
            "lanes": self.lanes,
            **self.total.to_json(),
            "memory_bits": self.memory_bits,
            "cycles_per_step": self.cycles_per_step,
            "cycles_one_pass": self.cycles_one_pass,
            "cycles_two_passes": self.cycles_two_passes,
            "fits": self.fits,
            "over": dict(self.over),
            "predicted_lanes": self.predicted_lanes,
            "limits": self.limits,
            "limits_source": self.limits_source,
            "components": {name: counts.to_json() for name, counts in self.components.items()},
        }


def synthesise(
    spec: DesignSpec,
    target_name: str,
    directory: Path,
    *,
    verilog: Path | None = None,
    by_component: bool = True,
    notify: Callable[[str], None] | None = None,
) -> SynthResult:
    """Synthesise a core for a part.

    Parameters
    ----------
    spec : DesignSpec
        The design.
    target_name : str
        One of :data:`boards.target.TARGETS`.
    directory : Path
        Where Yosys runs and leaves its scripts and logs; must exist.
    verilog : Path or None
        The core's Verilog; None takes the design's own, which is ``design.v`` in ``directory`` or else is written.
    by_component : bool
        Whether to synthesise once more, for the counts of each component.
    notify : callable or None
        Is told when the user has to wait for what happens only once.

    Raises
    ------
    ValueError
        If there is no such target.
    DesignError
        If the core's memories are more than the part has; known before synthesis begins.
    rtl_gen.yosys.ToolError, rtl_gen.yosys.YosysError
        If Yosys is not there, or refuses the Verilog.
    """
    from rtl_gen.core import contract
    from rtl_gen.emit import VERILOG, emit_verilog, kept_modules
    from rtl_gen.yosys import find_yosys

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
    cycles = contract(spec)
    return SynthResult(
        target=part.name,
        device=part.device,
        lanes=spec.hardware.lanes,
        total=total,
        components=components,
        capacity=part.capacity,
        limits_source=part.source,
        memory_bits=memory_bits,
        cycles_one_pass=cycles.step_cycles(1),
        cycles_two_passes=cycles.step_cycles(2),
        cycles_per_step=cycles_per_step(spec),
        over=over(total, part),
        predicted_lanes=fitting_lanes(spec, part, total, components.get(KEPT, Resources())),
    )


def _at_once(runs: Sequence[Callable[[], tuple]]) -> list[tuple]:
    """What runs of Yosys return, each in a thread; when one fails, or the user interrupts, none is left running."""
    from rtl_gen.child import end_all

    with ThreadPoolExecutor(len(runs)) as pool:
        futures = [pool.submit(run) for run in runs]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            return [future.result() for future in futures if future.done()]
        finally:
            while wait(futures, timeout=0.1).not_done:  # one may have been about to start
                end_all()


def _run(part: Part, top: str, directory: Path, name: str, kept: tuple[str, ...], *, notify: Callable[[str], None] | None) -> tuple:
    """Netlist with these modules kept, and bits of its memories before they are mapped."""
    from rtl_gen.yosys import run_yosys

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
        (directory / file).unlink()  # tens of megabytes that the script can write again
    return written[f"{name}.json"], written[f"{name}_memory.json"]["design"]["num_memory_bits"]


# -- Counting ---------------------------------------------------------------------------------------------------------


def components_of(verilog: str, spec: DesignSpec) -> dict[str, str]:
    """Modules of a core's Verilog that are components, with their paths below the core: its blocks, and its lanes."""
    found = {}
    for match in re.finditer(r"^module\s+\\?(\S+?)\s*[(;]", verilog, re.MULTILINE):
        inside = match[1].removeprefix(f"{spec.module}_core.")
        if inside != match[1] and (inside.count(".") == 0 or re.fullmatch(r"array(\$\d+)?\.lane\d+(\$\d+)?", inside)):
            found[match[1]] = re.sub(r"\$\d+", "", inside)
    return found


def count(netlist: Mapping[str, Any], top: str, part: Part) -> dict[str, Resources]:
    """Resources of a netlist of ``write_json``, by the path of instances of the modules that were kept; each its own cells only."""
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
    """Logic cells of an iCE40 that hold no look-up table: flip-flops whose input is not a look-up table's only output, and
    carries without one that adds at their place."""
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


def _components(counted: Mapping[str, Resources], spec: DesignSpec) -> dict[str, Resources]:
    """Counts by path brought together: all lanes in one, each block with what is in it, the rest as "core"."""
    found: dict[str, Resources] = {}
    for path, resources in counted.items():
        inside = path.removeprefix("core").removeprefix(".")
        is_lane = re.match(r"array\.lane\d+", inside)
        name = KEPT if is_lane else inside.split(".")[0] or "core"
        found[name] = found.get(name, Resources()) + resources
    return dict(sorted(found.items(), key=lambda item: (item[0] != KEPT, item[0] == "core", item[0])))


# -- Does it fit? -----------------------------------------------------------------------------------------------------


def over(taken: Resources, part: Part) -> dict[str, int]:
    """By how much each kind of a part's resources is exceeded; what the part has none of, and does not list, is not checked."""
    excess = {}
    for each in fields(Resources):
        has, takes = getattr(part.capacity, each.name), getattr(taken, each.name)
        if has and takes > has:
            excess[each.name] = takes - has
    return excess


def _lane_memories(spec: DesignSpec) -> tuple[int, ...]:
    """Widths of a lane's memories."""
    return tuple(form.width for form in spec.memories.values())


def _lane_blocks(spec: DesignSpec, part: Part, lanes: int) -> int:
    """Block memories that the lanes' memories take, where there are so many lanes."""
    words = max(2, Layout(spec.network, lanes).words)
    return lanes * sum(part.blocks(words, width) for width in _lane_memories(spec))


def check_memory(spec: DesignSpec, part: Part) -> None:
    """Refuse a core whose memories cannot fit a part, whatever synthesis makes of it.

    Raises
    ------
    DesignError
        It names the layers, says by how much they are too large, and which parts have the memory.
    """
    from rtl_gen.emit import memory_bits

    needed = memory_bits(spec)
    if needed <= part.block_bits:
        return
    larger = [name for name, other in TARGETS.items() if other.block_bits >= needed]
    ways = [f"Take --target {' or '.join(larger)}"] if larger else []
    ways.append("smaller layers" if ways else "Take smaller layers")
    raise DesignError(
        "network.layers",
        list(spec.network.sizes),
        f"the core's memories take {needed:,} bits, {needed - part.block_bits:,} more than the {part.block_bits:,} of block memory "
        f"in {part.name} ({part.device})",
        ", ".join(ways) + f", or a narrower formats.weight than {spec.formats.weight}.",
    )


def fitting_lanes(spec: DesignSpec, part: Part, total: Resources, lanes_taken: Resources) -> int:
    """The most lanes that fit a part, predicted: the lanes' share grows with them, what is shared stays, and a lane's
    memories get shallower.

    Parameters
    ----------
    total, lanes_taken : Resources
        Of the whole core as it was synthesised, and of all its lanes.

    Returns
    -------
    int
        Lanes, at most as many as the widest layer has neurons; 0 if none fit, or nothing is known of a lane.
    """
    built = spec.hardware.lanes
    if not lanes_taken.lut:
        return 0

    def fits(lanes: int) -> bool:
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


def cycles_per_step(spec: DesignSpec) -> float:
    """Cycles of a step, on average over the design's schedule."""
    from rtl_gen.core import contract

    cycles, steps = contract(spec), lcm(spec.schedule.sample_period, spec.schedule.update_period)
    one, two = spec.schedule.passes(steps)
    return float(Fraction(one * cycles.step_cycles(1) + two * cycles.step_cycles(2), steps))
