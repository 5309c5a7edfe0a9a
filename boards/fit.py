# amaranth: UnusedElaboratable=no
"""Whether a design fits a part, known before any synthesis: memories, multipliers and cycles by rule, logic by a fitted model.

The model is linear in what a core is made of: adder bits, register bits, memories. Its coefficients come from real runs of Yosys
(:mod:`boards.fit_calibrate`), and so do the errors that stand beside its predictions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from boards.multipliers import multipliers as product
from boards.multipliers import widest_factor
from boards.synth import cycles_per_step, over
from boards.target import TARGETS, Part, Resources, target
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import DesignError
from python_ref.spec.number import Rounding
from python_ref.spec.registers import adjustable_periods
from python_ref.spec.tables import activation_table

__all__ = [
    "DATA",
    "FAMILIES",
    "Fit",
    "Memory",
    "calibration",
    "family_of",
    "features",
    "fit",
    "generator_digest",
    "memories",
    "multipliers",
    "on_blocks",
    "parts",
    "predicted",
]

DATA = Path(__file__).with_name("data") / "fit.json"
"""What was fitted."""

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "ice40": ("ice40-up5k",),
    "ecp5": ("ecp5-85k",),
    "gowin": ("gowin-gw1nr9", "gowin-gw2ar18"),
    "xc7": ("xc7",),
}
"""Parts that Yosys maps to alike; the first stands for all."""


@dataclass(frozen=True)
class _Costs:
    """What Yosys weighs where it places a memory: of a block, of a bit that is never written, of memories made of look-up tables
    by depth and width, and whether these cost less where they are narrower."""

    block: int
    fixed_bit: float
    tiles: tuple[tuple[int, int, int], ...] = ()
    scaled: bool = False


_COSTS: Mapping[str, _Costs] = {
    "ice40": _Costs(72, 1 / 16),  # 64, and what its read enable takes
    "ecp5": _Costs(128, 1 / 16, ((16, 4, 4),)),
    "gowin": _Costs(128, 1 / 16, ((16, 4, 4),), scaled=True),
    "xc7": _Costs(129, 1 / 64, ((32, 6, 8), (64, 3, 8)), scaled=True),
}


@dataclass(frozen=True)
class Memory:
    """A memory of a core or its serial line.

    Attributes
    ----------
    name : str
        As its Verilog calls it.
    depth, width : int
        Words and their bits.
    count : int
        How many there are.
    reads : int
        Ports that read; each needs a copy.
    fixed : bool
        Whether it is never written.
    """

    name: str
    depth: int
    width: int
    count: int = 1
    reads: int = 1
    fixed: bool = False

    @property
    def bits(self) -> int:
        """Bits of one of them."""
        return self.depth * self.width

    def blocks(self, part: Part) -> int:
        """Block memories that one of them takes: 0 where Yosys finds look-up tables or flip-flops cheaper.

        The costs are those of Yosys's libraries of memories, and some for the multiplexers between rows, as its choices tell.
        """
        costs = _COSTS[family_of(part)]
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


def memories(spec: DesignSpec) -> tuple[Memory, ...]:
    """All memories of a core and of its serial line."""
    from python_ref.spec.frames import RING_BYTES
    from rtl_gen.host import file_depth

    network, words, buffers, reads = spec.network, max(2, spec.layout.words), spec.sample_buffers, 2 if spec.node else 1
    lanes, activation = spec.hardware.lanes, spec.formats.activation.width
    found = [Memory(f"{memory.name.lower()}s", words, form.width, lanes) for memory, form in spec.memories.items()]
    found.append(Memory("inputs", max(2, buffers * network.n_in), spec.formats.input.width, reads=reads))
    if network.n_hidden:
        found.append(Memory("activations", max(2, reads * network.n_hidden), activation, reads=reads))
    found.append(Memory("targets", max(2, buffers * network.n_out), activation))
    last = spec.layout.layers[-1]
    if spec.node and last.groups > 1:
        found.append(Memory("reuse", last.group_words, spec.gradient_format.width + 1))
    tables = {layer.activation for layer in network.layers if layer.activation.tabulated}
    for table in sorted(tables, key=lambda table: table.value):
        rows = activation_table(table, spec.formats.table, spec.formats.activation)
        # A place that is the same in all rows is not kept.
        varying = int(np.bitwise_or.reduce(rows ^ rows[0])) & ((1 << activation) - 1)
        found.append(Memory(f"{table.value}_table", len(rows), max(1, varying.bit_count()), fixed=True))
    return (*found, Memory("words", 2 * file_depth(spec), 16), Memory("ring", RING_BYTES, 8))


def family_of(part: Part) -> str:
    """The family of a part."""
    return next(family for family, parts in FAMILIES.items() if part.name in parts)


def on_blocks(spec: DesignSpec, part: Part) -> int:
    """Block memories of a core and its serial line."""
    return sum(memory.count * memory.blocks(part) for memory in memories(spec))


def multipliers(spec: DesignSpec, part: Part) -> int:
    """Multipliers: one for each lane and one for all, more where factors are wider than the part's, half where Gowin's are narrow."""
    from rtl_gen.broadcast import Multiplier, operand_shape

    family, operand = family_of(part), operand_shape(spec)
    lane = product(family, spec.formats.weight.width, operand.width + (not operand.signed))
    return ceil(spec.hardware.lanes * lane + sum(product(family, a, b) for a, b in Multiplier.of(spec).products))


# -- The model of the logic -------------------------------------------------------------------------------------------


def features(spec: DesignSpec, part: Part) -> dict[str, float]:
    """What the logic of a core is made of, as numbers: each takes look-up tables, flip-flops, places in proportion.

    All are bits, or bits times lanes, or 1 where something is built and 0 where it is not.
    """
    from rtl_gen.broadcast import Broadcast

    lanes, formats, network = spec.hardware.lanes, spec.formats, spec.network
    weight, accumulator, gradient = formats.weight.width, spec.accumulator_width, spec.gradient_format.width
    state = sum(variable.format.width for variable in spec.optimizer_state)
    scaler = Broadcast(spec).scaler
    random_signs = bool(spec.code.generators(lanes))
    tables = [layer.activation for layer in network.layers if layer.activation.tabulated]
    shown = lanes * (weight + 1 + (0 if spec.plain else gradient) + state)
    layers = len(network.layers)
    in_logic = {False: 0, True: 0}
    for memory in memories(spec):
        in_logic[memory.fixed] += 0 if memory.blocks(part) else memory.count * memory.bits
    return {
        "core": 1,
        "node perturbation": spec.node,
        "two-sided": spec.two_sided,
        "layers": layers - 1,
        "lanes": lanes,
        "lanes: weight": lanes * weight,
        "lanes: weight, weight perturbation": lanes * weight * (not spec.node),
        "lanes: accumulator": lanes * accumulator,
        "lanes: accumulator, node perturbation": lanes * accumulator * spec.node,
        "lanes: accumulator beyond a multiplier's": lanes * accumulator * (accumulator > 32),
        "lanes: weight beyond a multiplier's": lanes * weight * (weight > widest_factor(family_of(part))),
        "lanes: gradient": 0 if spec.plain else lanes * gradient,
        "lanes: gradient memory": lanes * gradient * spec.gradient_memory,
        "lanes: momentum": lanes * state,
        "lanes: random signs": lanes * random_signs,
        "lanes: counted signs": lanes * (not random_signs) * spec.quantities.bit_length(),
        "lanes: rounding at random": 0 if spec.plain else lanes * spec.stochastic_bits,
        "random signs": random_signs,
        "signs held": spec.holds_signs,
        "words at random": bool(spec.stochastic_bits),
        "words at random: bits": spec.stochastic_bits,
        "scaler": scaler.latency * scaler.shape.width,
        "gradient": gradient,
        "cost": 2 * spec.cost_format.width + spec.error_format.width,
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


def generator_digest() -> str:
    """Digest of the sources that decide what a core becomes: of ``rtl_gen``."""
    import rtl_gen

    found = hashlib.sha256()
    for path in sorted(Path(next(iter(rtl_gen.__path__))).glob("*.py")):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def calibration() -> tuple[str, bool]:
    """When the model was fitted, and whether to the generator as it is."""
    return _data()["date"], _data()["generator"] == generator_digest()


@cache
def _data() -> dict[str, Any]:
    return json.loads(DATA.read_text(encoding="utf-8"))


def predicted(spec: DesignSpec, part: Part) -> Resources:
    """What a core and its serial line take of a part."""
    found, named = _data()["families"][family_of(part)]["coefficients"], features(spec, part)
    logic = {kind: ceil(sum(value * named.get(name, 0) for name, value in found[kind].items())) for kind in ("lut", "ff", "logic")}
    return Resources(**logic, dsp=multipliers(spec, part), bram=on_blocks(spec, part))


# -- The answer -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """Whether a design fits a part.

    Attributes
    ----------
    target, device : str
        The part, and what its maker calls it.
    fits : bool
        Whether the part has as much of everything.
    over : dict of str to int
        By how much the part is exceeded, by kind.
    close : bool
        Whether the predictions are nearer to what the part has than they are exact, on average: only synthesis can tell.
    surely_over : dict of str to int
        By how much the part is exceeded, by kind, if every prediction is too high by the worst that was ever seen; if that is not
        empty, synthesis need not be asked. Of logic nothing is said here while the model is of another generator.
    lanes, most_lanes : int
        L, and the most that fit, 0 if none do.
    taken, capacity : Resources
        What the core and its serial line take, and what the part has. Of the kinds logic is predicted, memories and multipliers
        follow rules.
    memory_bits : int
        Bits of all memories, those of the serial line included.
    cycles_per_step : float
        On average over the schedule: exact.
    error : dict
        Of the predictions against real builds by Yosys that the model had not seen: for lut, ff and logic the mean and the
        worst, as fractions; for bram and dsp the share of them that was exact and the worst in blocks.
    designs : int
        How many builds these were.
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
        """As plain data."""
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
        If there is no such part.
    """
    part = target(part_name)
    measured = _data()["families"][family_of(part)]
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
    """Whether the answer would be another one if every prediction were off by its mean error, the wrong way."""
    return bool(over(_off(taken, error, "mean", 1), part)) != bool(over(_off(taken, error, "mean", -1), part))


def _surely_over(taken: Resources, part: Part, error: Mapping[str, Any]) -> dict[str, int]:
    """What is exceeded, whatever the error of the predictions; by what is known of the generator as it is."""
    _, current = calibration()
    kinds = ("lut", "ff", "logic", "dsp", "bram") if current else ("dsp", "bram")
    return {kind: number for kind, number in over(_off(taken, error, "worst", -1), part).items() if kind in kinds}


def _off(taken: Resources, error: Mapping[str, Any], which: str, sign: int) -> Resources:
    """What is taken if the predictions are off by an error: "mean" of them, or the "worst", which the rules have one of too."""
    changed = {kind: ceil(getattr(taken, kind) * (1 + sign * error[kind][which])) for kind in ("lut", "ff", "logic")}
    if which == "worst":
        changed |= {kind: getattr(taken, kind) + sign * error[kind]["worst"] for kind in ("dsp", "bram")}
    return replace(taken, **changed)


def _most_lanes(spec: DesignSpec, part: Part) -> int:
    """The most lanes that fit, none of them without a neuron."""
    for lanes in range(min(max(spec.network.sizes[1:]), part.capacity.dsp), 0, -1):
        try:
            other = replace(spec, hardware=replace(spec.hardware, lanes=lanes))
        except DesignError:
            continue  # more than a core may have
        if not over(predicted(other, part), part):
            return lanes
    return 0


def parts() -> tuple[str, ...]:
    """The parts that are known, by name."""
    return tuple(name for names in FAMILIES.values() for name in names if name in TARGETS)
