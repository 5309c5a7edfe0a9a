# amaranth: UnusedElaboratable=no
"""Predict without synthesis whether a design fits a part: memories, multipliers and cycles by rules, logic by a fitted model.

The model is linear in the elements of a core: adder bits, register bits, memories. Its coefficients, and the errors stated with its
predictions, come from runs of Yosys (:mod:`boards.parts.fit_calibrate`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from boards.parts.multipliers import multipliers as product
from boards.parts.multipliers import widest_factor
from boards.parts.synth import cycles_per_step, over
from boards.parts.target import TARGETS, Part, Resources, target
from python_ref.spec.design import DesignSpec, MachineKind
from python_ref.spec.error import DesignError
from python_ref.spec.number import Rounding
from python_ref.spec.registers import adjustable_periods

__all__ = [
    "DATA",
    "FAMILIES",
    "CoreMemory",
    "Fit",
    "calibration",
    "features",
    "fit",
    "generator_digest",
    "memories",
    "multipliers",
    "on_blocks",
    "parts",
    "predicted",
]

DATA = Path(__file__).parents[1] / "data" / "fit.json"
"""File with the fitted coefficients and their errors."""

FAMILIES: Mapping[str, tuple[str, ...]] = {
    family: tuple(part.name for part in TARGETS.values() if part.family == family)
    for family in dict.fromkeys(part.family for part in TARGETS.values())
}
"""Parts by family. Yosys maps to all parts of a family alike, and the first stands for all in calibration."""


@dataclass(frozen=True)
class _Costs:
    """Costs by which Yosys chooses where to place a memory: of a block, of a read-only bit, of look-up-table memories by their depth
    and width, and whether the latter scale with the width that is used."""

    block: int
    fixed_bit: float
    tiles: tuple[tuple[int, int, int], ...] = ()
    scaled: bool = False


_COSTS: Mapping[str, _Costs] = {
    "ice40": _Costs(72, 1 / 16),  # 64, plus the logic of its read enable
    "ecp5": _Costs(128, 1 / 16, ((16, 4, 4),)),
    "gowin": _Costs(128, 1 / 16, ((16, 4, 4),), scaled=True),
    "xc7": _Costs(129, 1 / 64, ((32, 6, 8), (64, 3, 8)), scaled=True),
}


@dataclass(frozen=True)
class CoreMemory:
    """A memory of a core or of its serial link.

    Attributes
    ----------
    name : str
        Name of the memory in the Verilog.
    depth, width : int
        Number of words, and bits of each.
    count : int
        Number of such memories in the core.
    reads : int
        Number of read ports; each needs a copy of the memory.
    fixed : bool
        Whether the memory is read-only, and never written.
    single_port : bool
        Whether it reads or writes in a cycle, so that it may be a large memory with one port.
    """

    name: str
    depth: int
    width: int
    count: int = 1
    reads: int = 1
    fixed: bool = False
    single_port: bool = False

    @property
    def bits(self) -> int:
        """Number of bits in one such memory."""
        return self.depth * self.width

    def blocks(self, part: Part) -> int:
        """Number of block memories that one such memory needs on a part; 0 where Yosys finds look-up tables or flip-flops cheaper.

        The costs are those of Yosys's memory libraries, plus a cost for the multiplexers between rows that was inferred from its
        choices.
        """
        if self.large(part):
            return 0
        costs = _COSTS[part.family]
        needed = part.blocks(self.depth, self.width) * self.reads
        if self.fixed:
            return needed if self.bits * costs.fixed_bit > needed * costs.block else 0
        elsewhere = [float(self.bits)]
        for depth, width, cost in costs.tiles:
            rows = -(-self.depth // depth)
            columns = self.width / width if costs.scaled else -(-self.width // width)
            joined = 0.4 * (rows - 1) * self.width
            elsewhere.append(self.reads * (rows * columns * cost + joined))
        return needed if needed * costs.block < min(elsewhere) else 0

    def large(self, part: Part) -> int:
        """Number of large memories with one port that one such memory needs on a part; 0 where it needs others."""
        return part.large_blocks(self.depth, self.width) if self.single_port else 0


def memories(spec: DesignSpec) -> tuple[CoreMemory, ...]:
    """All memories of a core and of its serial link."""
    from python_ref.spec.frames import RING_BYTES
    from rtl_gen.activation import activations, stored_table
    from rtl_gen.core import core_class
    from rtl_gen.host import file_depth
    from rtl_gen.indices import index_size
    from rtl_gen.operands import sample_stores

    network, words = spec.network, max(2, spec.layout.words)
    lanes, activation = spec.hardware.lanes, spec.formats.activation.width
    found = [CoreMemory(f"{memory.name.lower()}s", words, form.width, lanes) for memory, form in spec.memories.items()]
    if spec.parameter_banks:
        halves = [CoreMemory(f"{half}_parameters", max(2, -(-words // 2)), spec.formats.weight.width, lanes) for half in ("even", "odd")]
        found[:1] = [replace(half, single_port=True) for half in halves]
    core = core_class(spec)
    reads, stores = core.operand_reads(spec), sample_stores(spec)
    found += [CoreMemory(name, *stores[name], reads=reads) for name in ("samples", "inputs") if name in stores]
    banks = core.activation_banks(spec)
    if banks and network.n_hidden:
        found.append(CoreMemory("activations", max(2, banks * network.n_hidden), activation, reads=reads))
    found += [CoreMemory("targets", *stores["targets"])] if "targets" in stores else []
    found += _OF_MACHINES[spec.machine](spec)
    depth, width = index_size(spec)
    found += [CoreMemory("indices", depth, width, fixed=True)] if depth else []
    tables = {each for each in activations(spec) if each.tabulated}
    for table in sorted(tables, key=lambda table: table.value):
        rows = stored_table(spec, table)
        # Yosys does not store a bit that is the same in all rows.
        varying = int(np.bitwise_or.reduce(rows ^ rows[0])) & ((1 << activation) - 1)
        found.append(CoreMemory(f"{table.value}_table", len(rows), max(1, varying.bit_count()), fixed=True))
    return (*found, CoreMemory("words", 2 * file_depth(spec), 16), CoreMemory("ring", RING_BYTES, 8))


def _of_presentations(spec: DesignSpec) -> tuple[CoreMemory, ...]:
    """Memories that only a core of node perturbation without frames has: the kept pre-activations, those of probes and of draws."""
    from rtl_gen.presentation.draws import draw_memories
    from rtl_gen.presentation.neurons import kept_words

    drawn = draw_memories(spec).items() if spec.network.random else ()
    kept = CoreMemory("kept", kept_words(spec), spec.accumulator_width)
    return (kept, *(CoreMemory(name, *size) for name, size in drawn), *_of_probes(spec))


def _of_probes(spec: DesignSpec) -> tuple[CoreMemory, ...]:
    """Memories of E, random signs, and rounding noise, which every core of node perturbation has."""
    from rtl_gen.presentation.noise import noise_words
    from rtl_gen.presentation.signs import RandomNeuronSigns
    from rtl_gen.series.banks import bank_words

    found = [CoreMemory("sums", max(2, spec.quantities), spec.error_sum_format.width)]
    if spec.series and spec.hardware.single_port:
        found = [CoreMemory(f"{half}_sums", bank_words(spec), spec.error_sum_format.width, single_port=True) for half in ("even", "odd")]
    if spec.sign_generators:
        found.append(CoreMemory("vectors", RandomNeuronSigns.memory_bits(spec), 1, reads=1 if spec.series else 2))
    if spec.stochastic_bits:
        found.append(CoreMemory("noise", noise_words(spec), spec.stochastic_bits))
    return tuple(found)


def _of_frames(spec: DesignSpec) -> tuple[CoreMemory, ...]:
    """Memories that only a core of a network with state has: outputs, states, and sums of a group and of outputs; and in node perturbation
    those of its probes."""
    from rtl_gen.series.array import group_sums
    from rtl_gen.series.frames import stored_outputs
    from rtl_gen.series.layouts import operand_outputs_format
    from rtl_gen.series.readout import sums, sums_range
    from rtl_gen.series.state import states_format

    found = [
        CoreMemory("outputs", max(2, stored_outputs(spec)), operand_outputs_format(spec).width),
        CoreMemory("states", max(2, spec.unrolled.framed_neurons), states_format(spec).width),
    ]
    if spec.sums_by_group:
        found.append(CoreMemory("group_sums", group_sums(spec), spec.hardware.lanes * spec.gradient_format.width))
    if sums(spec):
        found.append(CoreMemory("totals", len(sums_range(spec)), spec.passed_format(spec.network.framed - 1).width))
    return (*found, *(_of_probes(spec) if spec.node else ()))


_OF_MACHINES: dict[MachineKind, Callable[[DesignSpec], tuple[CoreMemory, ...]]] = {
    MachineKind.WEIGHT: lambda spec: (),
    MachineKind.NODE: _of_presentations,
    MachineKind.SERIES: _of_frames,
    MachineKind.SERIES_WEIGHT: _of_frames,
}
"""Memories that only the core of a machine has."""


def on_blocks(spec: DesignSpec, part: Part) -> int:
    """Number of block memories that a core and its serial link need on a part."""
    return sum(memory.count * memory.blocks(part) for memory in memories(spec))


def multipliers(spec: DesignSpec, part: Part) -> int:
    """Number of multipliers that a core needs: one or two per lane, one more that squares G if the optimiser does, and a shared one; more
    where factors are wider than the part's multipliers, and half of one for Gowin's narrow multipliers."""
    from rtl_gen.broadcast import Multiplier
    from rtl_gen.core import core_class

    family = part.family
    lane = sum(product(family, factor, operand.width + (not operand.signed)) for factor, operand in core_class(spec).factors(spec))
    lane += spec.optimizer.squares * product(family, spec.gradient_format.width, spec.gradient_format.width)
    return ceil(spec.hardware.lanes * lane + sum(product(family, a, b) for a, b in Multiplier.of(spec).products))


# -- The model of the logic -------------------------------------------------------------------------------------------


def features(spec: DesignSpec, part: Part) -> dict[str, float]:
    """Features of a core to which its look-up tables, flip-flops and logic cells are proportional.

    Each is a number of bits, a number of bits times lanes, or 1 where something is built and 0 where it is not.
    """
    from rtl_gen.broadcast import Broadcast
    from rtl_gen.presentation.errors import ErrorUnit

    lanes, formats, network = spec.hardware.lanes, spec.formats, spec.network
    weight, accumulator, gradient = formats.weight.width, spec.accumulator_width, spec.gradient_format.width
    state = sum(variable.format.width for variable in spec.optimizer_state)
    scaler = (ErrorUnit(spec) if spec.node else Broadcast(spec)).scaler
    random_signs = bool(spec.code.generators(lanes))
    tables = [layer.activation for layer in network.layers if layer.activation.tabulated]
    shown = lanes * (weight + 1 + (0 if spec.direct_update else gradient) + state)
    layers = len(network.layers)
    in_logic = {False: 0, True: 0}
    for memory in memories(spec):
        in_logic[memory.fixed] += 0 if memory.blocks(part) or memory.large(part) else memory.count * memory.bits
    return {
        "core": 1,
        "node perturbation": spec.node,
        "incremental probes": spec.node and spec.incremental,
        "one visit": spec.one_visit,
        "two-sided": spec.two_sided,
        "layers": layers - 1,
        "lanes": lanes,
        "lanes: weight": lanes * weight,
        "lanes: weight, weight perturbation": lanes * weight * (not spec.node),
        "lanes: sign sum": lanes * spec.sign_sum_format.width * spec.one_visit,
        "lanes: accumulator": lanes * accumulator,
        "lanes: accumulator, node perturbation": lanes * accumulator * spec.node,
        "lanes: accumulator beyond a multiplier's": lanes * accumulator * (accumulator > 32),
        "lanes: second multiplier": lanes * spec.just_in_time,
        "lanes: weight beyond a multiplier's": lanes * weight * (weight > widest_factor(part.family)),
        "lanes: gradient": 0 if spec.direct_update else lanes * gradient,
        "lanes: gradient memory": lanes * gradient * spec.gradient_memory,
        "lanes: momentum": lanes * state,
        "lanes: random signs": lanes * random_signs,
        "lanes: counted signs": lanes * (not random_signs) * spec.quantities.bit_length(),
        "lanes: stochastic rounding": 0 if spec.direct_update else lanes * spec.stochastic_bits,
        "random signs": random_signs,
        "signs held": spec.holds_signs,
        "rounding noise": bool(spec.stochastic_bits),
        "rounding noise: bits": spec.stochastic_bits,
        "scaler": scaler.latency * scaler.shape.width,
        "gradient": gradient,
        "cost": 2 * spec.cost_format.width + spec.residual_format.width,
        "cost change": spec.cost_change_format.width,
        "activation": formats.activation.width * len({layer.activation for layer in network.layers}),
        "activation: rounding": accumulator * (formats.activation_cast.rounding is not Rounding.FLOOR),
        "tables": len(set(tables)),
        "addresses": sum((memory.depth - 1).bit_length() * memory.reads for memory in memories(spec) if memory.depth > 2),
        "samples": spec.sample_width,
        "periods": len(adjustable_periods(spec)),
        "signature": spec.hardware.signature,
        "signature: bits": shown * spec.hardware.signature,
        "memory in logic": in_logic[False],
        "tables in logic": in_logic[True],
    }


_OF_OTHER_CORES = ("alone", "bus", "learner", "series")
"""Subpackages of ``rtl_gen`` whose blocks neither a core of those that the model was fitted to nor its serial link has."""


def generator_digest() -> str:
    """Digest of the sources of ``rtl_gen`` that decide the logic of a core and of its serial link."""
    import rtl_gen

    found = hashlib.sha256()
    folder = Path(next(iter(rtl_gen.__path__)))
    for path in sorted(folder.rglob("*.py")):
        if path.relative_to(folder).parts[0] in _OF_OTHER_CORES:
            continue
        found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def calibration() -> tuple[str, bool]:
    """Date on which the model was fitted, and whether the generator is still the one it was fitted to."""
    return _data()["date"], _data()["generator"] == generator_digest()


@cache
def _data() -> dict[str, Any]:
    return json.loads(DATA.read_text(encoding="utf-8"))


def predicted(spec: DesignSpec, part: Part) -> Resources:
    """Predict the resources that a core and its serial link need on a part."""
    found, named = _data()["families"][part.family]["coefficients"], features(spec, part)
    large = sum(memory.count * memory.large(part) for memory in memories(spec))
    logic = {kind: ceil(sum(value * named.get(name, 0) for name, value in found[kind].items())) for kind in ("lut", "ff", "logic")}
    return Resources(**logic, dsp=multipliers(spec, part), bram=on_blocks(spec, part), spram=large)


# -- The answer -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """Prediction whether a design fits a part.

    Attributes
    ----------
    target, device : str
        Name of the part, and its maker's name for it.
    fits : bool
        Whether the part has enough resources of every kind.
    over : dict of str to int
        Number of resources beyond those of the part, by kind.
    close : bool
        Whether the mean error of the predictions could change the answer, so that only synthesis can decide.
    surely_over : dict of str to int
        Number of resources beyond those of the part, by kind, even if every prediction is too high by the worst error ever seen.
        If it is not empty, synthesis would fail. Logic is left out while the model was fitted to another generator.
    lanes, most_lanes : int
        Number of lanes L of the design, and the most that fit, 0 if none do.
    taken, capacity : Resources
        Resources that the core and its serial link need, and those of the part. Logic is predicted by the model, memories and
        multipliers by rules.
    memory_bits : int
        Number of bits in all memories, those of the serial link included.
    cycles_per_step : float
        Exact number of clock cycles of a step, averaged over the schedule.
    error : dict
        Errors of predictions against Yosys for designs that the model had not seen: for lut, ff and logic the mean and the worst,
        as fractions; for bram and dsp the share of exact predictions, and the worst error in blocks.
    designs : int
        Number of synthesised designs behind ``error``.
    """

    target: str
    device: str
    fits: bool
    over: dict[str, int]
    close: bool
    surely_over: dict[str, int]
    lanes: int
    most_lanes: int
    taken: Resources
    capacity: Resources
    memory_bits: int
    cycles_per_step: float
    error: dict[str, Any]
    designs: int

    def to_json(self) -> dict[str, Any]:
        """Return the prediction as plain data for JSON."""
        return {
            "target": self.target,
            "device": self.device,
            "fits": self.fits,
            "over": dict(self.over),
            "close": self.close,
            "surely_over": dict(self.surely_over),
            "lanes": self.lanes,
            "most_lanes": self.most_lanes,
            **self.taken.to_json(),
            "limits": self.capacity.to_json(),
            "memory_bits": self.memory_bits,
            "cycles_per_step": self.cycles_per_step,
            "error": self.error,
            "designs": self.designs,
        }


def fit(spec: DesignSpec, part_name: str) -> Fit:
    """Predict whether a design fits a part.

    Raises
    ------
    ValueError
        If there is no part of that name.
    """
    part = target(part_name)
    measured = _data()["families"][part.family]
    taken = predicted(spec, part)
    excess = over(taken, part)
    return Fit(
        target=part.name,
        device=part.device,
        fits=not excess,
        over=excess,
        close=_close(taken, part, measured["error"]),
        surely_over=_surely_over(taken, part, measured["error"]),
        lanes=spec.hardware.lanes,
        most_lanes=_most_lanes(spec, part),
        taken=taken,
        capacity=part.capacity,
        memory_bits=sum(memory.count * memory.bits for memory in memories(spec)),
        cycles_per_step=cycles_per_step(spec),
        error=measured["error"],
        designs=measured["designs"],
    )


def _close(taken: Resources, part: Part, error: Mapping[str, Any]) -> bool:
    """Whether the answer differs between all predictions too high and all too low by their mean errors."""
    return bool(over(_off(taken, error, "mean", 1), part)) != bool(over(_off(taken, error, "mean", -1), part))


def _surely_over(taken: Resources, part: Part, error: Mapping[str, Any]) -> dict[str, int]:
    """Number of resources exceeded even by the worst error, by kind; without logic if the model is of another generator."""
    _, current = calibration()
    kinds = ("lut", "ff", "logic", "dsp", "bram") if current else ("dsp", "bram")
    return {kind: number for kind, number in over(_off(taken, error, "worst", -1), part).items() if kind in kinds}


def _off(taken: Resources, error: Mapping[str, Any], which: str, sign: int) -> Resources:
    """Resources needed if the predictions are off by the "mean" or the "worst" error in one direction; the rules have only a worst one."""
    changed = {kind: ceil(getattr(taken, kind) * (1 + sign * error[kind][which])) for kind in ("lut", "ff", "logic")}
    if which == "worst":
        changed |= {kind: getattr(taken, kind) + sign * error[kind]["worst"] for kind in ("dsp", "bram")}
    return replace(taken, **changed)


def _most_lanes(spec: DesignSpec, part: Part) -> int:
    """Most lanes that fit a part, up to the widest layer, so that every lane has a neuron."""
    for lanes in range(min(max(spec.network.sizes[1:]), part.capacity.dsp), 0, -1):
        try:
            other = replace(spec, hardware=replace(spec.hardware, lanes=lanes))
        except DesignError:
            continue  # a core may not have so many lanes
        if not over(predicted(other, part), part):
            return lanes
    return 0


def parts() -> tuple[str, ...]:
    """Names of all parts with a fitted model, family by family."""
    return tuple(name for names in FAMILIES.values() for name in names)
