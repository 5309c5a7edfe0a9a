"""Weight perturbation once more, as slowly and plainly as can be: loops over neurons and synapses, real numbers as exact fractions.

Written from the description of the machine alone. It shares no arithmetic, no order of parameters in the array and no
random stream with ``python_ref``: what it takes from a design is what the design file says.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, NamedTuple

from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Fixed
from tests.support.adam_oracle import AdamOracle, scale_of
from tests.support.narrowing import narrow
from tests.support.neuron_inputs import neuron_inputs

__all__ = ["Oracle", "activated", "counted_sign", "narrow", "rule_of", "serial_bits"]

HALF = Fraction(1, 2)


def serial_bits(degree: int, seed: int, stream: str) -> Iterator[int]:
    """b[0], b[1], …: a list of bits that shifts by one, x^degree + x + 1."""
    number = int.from_bytes(hashlib.sha256(f"{seed}:{stream}".encode()).digest(), "little") % 2**degree or 1
    register = [number // 2**i % 2 for i in range(degree)]
    while True:
        yield register[0]
        register = [*register[1:], register[0] ^ register[1]]


class Stream:
    """Bits of a serial stream by their number."""

    def __init__(self, outputs: int, seed: int, stream: str) -> None:
        self.outputs = outputs
        self._source = serial_bits(63 if outputs <= 62 else 127, seed, stream)
        self._bits: list[int] = []

    def bit(self, word: int, number: int) -> int:
        while len(self._bits) <= word * self.outputs + number:
            self._bits.append(next(self._source))
        return self._bits[word * self.outputs + number]


def folded(fields: list[tuple[int, int]]) -> int:
    """The XOR of the 32-bit words of a payload, fields of (raw value, width) from the lowest bit up."""
    packed = offset = 0
    for value, width in fields:
        packed |= value % 2**width << offset
        offset += width
    while packed >> 32:
        packed = packed >> 32 ^ packed % 2**32
    return packed


def signed_by_events(signature: int, payloads: list[list[tuple[int, int]]]) -> int:
    """Signature after events: each payload, fields of (raw value, width) from the lowest bit up, is folded to 32 bits, and lies one place
    behind the one before; what all of them leave when CRC-32's polynomial, its lowest bit the highest power, divides them."""
    dividend = signature ^ 0xFFFFFFFF
    for place, fields in enumerate(payloads, 1):
        dividend ^= folded(fields) << place
    for place in range(len(payloads)):
        dividend ^= (0xEDB88320 << 1 | 1) << place if dividend >> place & 1 else 0
    return dividend >> len(payloads) ^ 0xFFFFFFFF


def counted_sign(code: str, index: int, count: int, p: int) -> int:
    """s in sign vector p of the quantity at an index, from 0, of ``count`` quantities; of the codes that draw nothing at random."""
    if code == "sequential":
        return int(index == p % count)
    if code not in ("walsh", "walsh-gray"):
        raise ValueError(f"Code must be one that the oracle knows, not {code}")
    size = 1
    while size <= count:
        size *= 2
    row = p % size
    if code == "walsh-gray":  # step by step: the bit that changes in step q is the lowest one of q
        row = 0
        for q in range(1, p % size + 1):
            row ^= q & -q
    return 1 - 2 * (bin((index + 1) & row).count("1") % 2)


class Rule(NamedTuple):
    """An optimiser with one state variable, m, whose fields are functions.

    Attributes
    ----------
    moved, source : callable
        From m, G and k to the new m before its cast; from the new m, G and k to the source of the update.
    moved_bits, source_bits : callable
        From the fraction bits of m and of G and k to those of the exact new m, and to those of the source.
    """

    moved: Callable[[Fraction, Fraction, int], Fraction]
    source: Callable[[Fraction, Fraction, int], Fraction]
    moved_bits: Callable[[int, int, int], int]
    source_bits: Callable[[int, int, int], int]


RULES: dict[str, Rule | None] = {
    "sgd": None,
    "shift-adam": None,
    "momentum": Rule(lambda m, g, k: m - m / 2**k + g, lambda m, g, k: m, lambda m, g, k: max(m + k, g), lambda m, g, k: m),
}
"""The optimisers, by name; None for plain descent, whose source is G, and for shift-adam, which :class:`AdamOracle` computes."""


def rule_of(optimizer: Any) -> tuple[Rule | None, int]:
    """The rule of an optimiser, and its k."""
    if optimizer.name not in RULES:
        raise ValueError(f"Optimizer must be one that the oracle knows, not {optimizer.name}")
    rule = RULES[optimizer.name]
    return rule, getattr(optimizer, "k", 0) if rule else 0


def straight_value(name: str, z: Fraction) -> Fraction:
    """The value of an activation that consists of straight pieces."""
    if name == "relu":
        return max(z, Fraction(0))
    if name == "leaky-relu":
        return z if z >= 0 else z / 8
    if name == "hard-sigmoid":
        return min(max(z / 4 + HALF, Fraction(0)), Fraction(1))
    if name == "identity":
        return z
    if name == "sign":
        return Fraction(1 if z >= 0 else -1)
    raise ValueError(f"Activation must be one that the oracle knows, not {name}")


CURVES: dict[str, Callable[[Decimal], Decimal]] = {
    "sigmoid": lambda z: 1 / (1 + (-z).exp()),
    "tanh": lambda z: 1 - 2 / ((2 * z).exp() + 1),
}
"""The activations that are read from a table, by name."""


def activated(spec: DesignSpec, name: str, z: Fraction) -> tuple[Fraction, bool]:
    """y of a neuron's pre-activation, and whether it was out of range."""
    f = spec.formats
    rounding, overflow = f.activation_cast.rounding.value, f.activation_cast.overflow.value
    if name not in CURVES:
        return narrow(straight_value(name, z), f.activation, rounding, overflow)
    address, outside = narrow(z, f.table, rounding, "saturate")
    with localcontext(prec=60):
        exact = CURVES[name](Decimal(address.numerator) / Decimal(address.denominator))
    return narrow(Fraction(exact), f.activation, "half-even", "saturate")[0], outside


class Oracle:
    """A machine of plain Python numbers; the observables of a step as lists of fractions."""

    def __init__(self, spec: DesignSpec, parameters: list[int], seed: int) -> None:
        if spec.perturbation.kind.value != "weight":
            raise ValueError("The oracle perturbs weights, not nodes")
        f, self.spec = spec.formats, spec
        self.sizes, self.inputs = spec.network.sizes, self.inputs_of(spec)
        self.lanes = spec.hardware.lanes
        self.delta = Fraction(2) ** spec.perturbation.amplitude_log2
        self.two_sided = spec.schedule.difference.value == "two-sided"
        self.rule, self.k = rule_of(spec.optimizer)
        memory = spec.hardware.gradient_memory
        self.memory = spec.schedule.update_period > 1 if memory is None else memory
        self.direct_update = not self.memory and spec.optimizer.name == "sgd"
        self.g_format = f.gradient or Fixed(True, f.weight.integer_bits, f.weight.fraction_bits + 8)
        self.adam, self.scale = None, Fraction(1)
        if spec.optimizer.name == "shift-adam":
            self.g_format = f.gradient or Fixed(True, 1, 15)
            self.adam = AdamOracle(spec.optimizer, self.g_format, f.weight)
            self.scale = scale_of(self.g_format, *self.scale_counts())
        if self.rule is not None:
            whole, fraction = self.g_format.integer_bits + self.k, self.g_format.fraction_bits
            while whole + fraction > 32 and fraction > 1:  # a memory's word is the host's
                fraction -= 1
            self.m_format = spec.optimizer.format or Fixed(True, whole, fraction)
        # Where synapses sit: (lane, slot) by (layer, neuron, synapse), synapse 0 being the bias.
        self.place, self.words_of_pass, slot = {}, [], 0
        for layer, n_out in enumerate(self.sizes[1:]):
            groups, fan_in = math.ceil(n_out / self.lanes), len(self.inputs[layer, 0])
            length = fan_in + 1 if groups == 1 else max(fan_in + 1, self.lanes)
            for own in range(groups):
                members = range(own * self.lanes, min(n_out, (own + 1) * self.lanes))
                self.words_of_pass += [(slot + k, layer, k, list(members)) for k in range(fan_in + 1)]
                for neuron in members:
                    for k in range(fan_in + 1):
                        self.place[layer, neuron, k] = (neuron - own * self.lanes, slot + k)
                slot += length
        self.slots = slot
        self.neurons = [(la, o) for la in range(len(self.sizes) - 1) for o in range(self.sizes[la + 1])]
        self.keys = [(la, o, k) for la, o in self.neurons for k in range(len(self.inputs[la, o]) + 1)]
        by_hardware = sorted(self.keys, key=lambda key: (self.place[key][1], self.place[key][0]))
        self.index = {key: i for i, key in enumerate(by_hardware)}
        self._begin_streams(seed)
        # State.
        unit = Fraction(2) ** -f.weight.fraction_bits
        self.theta = {key: raw * unit for key, raw in zip(self.keys, parameters, strict=True)}
        self.G = dict.fromkeys(self.keys, Fraction(0))
        self.m, self.v = (dict.fromkeys(self.keys, Fraction(0)) for _ in range(2))
        self.n = self.u = 0
        self.loaded = True
        self.baseline: tuple | None = None
        self.signature = [0, 0]
        self.count = dict.fromkeys(
            [
                *(
                    "correct",
                    "writes",
                    "changed",
                    "activation",
                    "cost_change",
                    "broadcast",
                    "gradient",
                    "momentum",
                    "error",
                    "update",
                    "weight",
                ),
                *("square", "state"),
            ],
            0,
        )

    def inputs_of(self, spec: DesignSpec) -> dict[tuple[int, int], list[int]]:
        """The inputs of each neuron (layer, neuron), in the order of its weights."""
        return neuron_inputs(spec)

    def scale_counts(self) -> list[tuple[int, bool]]:
        """What the scale of G with Adam by shifts counts, and whether by its root."""
        power = 1 + math.floor(Fraction(3, 10) * max(self.sizes[:-1]))
        return [(power, True), (self.spec.schedule.update_period, True)]

    def _begin_streams(self, seed: int) -> None:
        """Streams of the signs and of the rounding words, and the bits that the casts of an update drop."""
        self.signs_of = [
            Stream(min(126, self.lanes - 126 * g), seed, "signs" if g == 0 else f"signs.{g}") for g in range(math.ceil(self.lanes / 126))
        ]
        drops = [0]
        source = self.g_format.fraction_bits
        if self.rule is not None:
            bits = self.m_format.fraction_bits, self.g_format.fraction_bits, self.k
            source = self.rule.source_bits(*bits)
            self.decay_drops = self.rule.moved_bits(*bits) - self.m_format.fraction_bits
            if self.spec.optimizer.rounding.value == "stochastic":
                drops.append(self.decay_drops)
        self.update_drops = source - self.spec.formats.weight.fraction_bits
        if self.spec.formats.weight_cast.rounding.value == "stochastic":
            drops.append(self.update_drops)
        if self.adam:
            drops = [0, *self.adam.drops(self.spec.formats.weight_cast.rounding.value == "stochastic").values()]
            self.update_drops = self.adam.source_fraction - self.spec.formats.weight.fraction_bits
        self.word_bits = max(drops)
        self.stochastic = Stream(self.word_bits, seed, "stochastic") if self.word_bits else None

    def sign(self, key: tuple[int, ...], p: int) -> int:
        """s of a synapse (layer, neuron, synapse)."""
        code = self.spec.perturbation.code.name
        if code != "lfsr":
            return counted_sign(code, self.index[key], len(self.index), p)
        lane, slot = self.place[key]
        bit = self.signs_of[lane // 126].bit(p * self.slots + slot, lane % 126)
        return (-1 if bit else 1) * (-1 if p % 2 else 1)

    def random(self, slot: int, dropped: int) -> Fraction:
        """r of a cast that drops so many bits in a slot of the present update."""
        if self.stochastic is None:
            return Fraction(0)
        word = sum(2**i * self.stochastic.bit(self.u * self.slots + slot, i) for i in range(self.word_bits))
        return Fraction(word % 2**dropped, 2**dropped) if dropped > 0 else Fraction(0)

    def activate(self, name: str, z: Fraction) -> Fraction:
        """y of z; counts what is out of range."""
        y, outside = activated(self.spec, name, z)
        self.count["activation"] += outside
        return y

    def run_pass(self, x: list[Fraction], target: list[Fraction], signs: dict, direction: int) -> tuple[dict, dict, Fraction]:
        """z and y by neuron, and C."""
        z, y = {}, {}
        for layer in range(len(self.sizes) - 1):
            name = (self.spec.network.output if layer == len(self.sizes) - 2 else self.spec.network.hidden).value
            for o in range(self.sizes[layer + 1]):
                total = Fraction(0)
                for k, value in enumerate([Fraction(1), *(x[i] for i in self.inputs[layer, o])]):
                    total += (self.theta[layer, o, k] + direction * signs[layer, o, k] * self.delta) * value
                z[layer, o], y[layer, o] = total, self.activate(name, total)
            x = [y[layer, o] for o in range(self.sizes[layer + 1])]
        return z, y, sum(((a - b) ** 2 for a, b in zip(x, target, strict=True)), Fraction(0))

    def take(self, x: list[int], target: list[int]) -> tuple[list[Fraction], list[Fraction]]:
        """A raw sample in real numbers."""
        f = self.spec.formats
        real_x = [value / Fraction(2) ** f.input.fraction_bits for value in x]
        return real_x, [value / Fraction(2) ** f.activation.fraction_bits for value in target]

    def outputs_of(self, found: tuple) -> list[Fraction]:
        """Outputs of the network in a pass."""
        return [found[1][len(self.sizes) - 2, o] for o in range(self.sizes[-1])]

    @staticmethod
    def is_correct(out: list[Fraction], target: list[Fraction]) -> bool:
        """Whether the answer is that of the target: the largest output, the first of equals; or y ≥ ½ if there is one."""
        if len(out) == 1:
            return (out[0] >= HALF) == (target[0] >= HALF)
        return out.index(max(out)) == target.index(max(target))

    def passes(self, x: list[int], target: list[int], signs: dict) -> tuple[list[int], tuple, tuple, Fraction]:
        """The numbers of the passes that the core runs in this step, what both passes find, and the change of the cost between them."""
        f, schedule, n = self.spec.formats, self.spec.schedule, self.n
        real_x, real_t = self.take(x, target)
        fresh = self.loaded or n % schedule.sample_period == 0
        run = [0, 1]
        if self.two_sided:
            first, second = self.run_pass(real_x, real_t, signs, +1), self.run_pass(real_x, real_t, signs, -1)
            change = first[2] - second[2]
        else:
            if fresh or n % schedule.update_period == 0:
                self.baseline = self.run_pass(real_x, real_t, signs, 0)
            else:
                run = [1]
            first, second = self.baseline, self.run_pass(real_x, real_t, signs, +1)
            change = second[2] - first[2]
        if fresh:
            self.count["correct"] += self.is_correct(self.outputs_of(first), real_t)
        if f.cost_change:
            change, outside = narrow(change, f.cost_change, f.cost_change_cast.rounding.value, f.cost_change_cast.overflow.value)
            self.count["cost_change"] += outside
        return run, first, second, change

    def broadcasts(self, change: Fraction) -> tuple[list[Fraction], dict]:
        """The value that goes to all lanes for each word of a pass, and the same by synapse."""
        f, schedule, n, count = self.spec.formats, self.spec.schedule, self.n, self.count
        eta = Fraction(2) ** [rate for start, rate in schedule.learning_rate if start <= n][-1]
        factor = (self.scale if self.adam else eta) / self.delta / (2 if self.two_sided else 1)
        weight_modes = (f.weight_cast.rounding.value, f.weight_cast.overflow.value)
        broadcast, g_of = [], {}
        for slot, layer, k, members in self.words_of_pass:
            g, outside = narrow(factor * change, self.g_format, f.gradient_cast.rounding.value, f.gradient_cast.overflow.value)
            count["broadcast"] += outside * len(members)
            if self.direct_update:
                g, outside = narrow(g, f.weight, *weight_modes, self.random(slot, self.update_drops))
                count["update"] += outside * len(members)
            broadcast.append(g)
            for o in members:
                g_of[layer, o, k] = g
        return broadcast, g_of

    def step(self, x: list[int], target: list[int]) -> dict[str, list[Fraction]]:
        """A step on a raw sample; every observable as real values."""
        spec, f, schedule, n, count = self.spec, self.spec.formats, self.spec.schedule, self.n, self.count
        signs = {key: self.sign(key, n // schedule.perturbation_period) for key in self.index}
        run, first, second, change = self.passes(x, target, signs)
        broadcast, g_of = self.broadcasts(change)
        updating = (n + 1) % schedule.update_period == 0
        weight_modes = (f.weight_cast.rounding.value, f.weight_cast.overflow.value)

        def within(value: Fraction, low: Fraction, high: Fraction, kind: str) -> Fraction:
            count[kind] += not low <= value <= high
            return min(max(value, low), high)

        def ends(form: Fixed, margin: Fraction = Fraction(0)) -> tuple[Fraction, Fraction]:
            last, reach = Fraction(2) ** -form.fraction_bits, Fraction(2) ** (form.integer_bits - 1)
            return -reach + margin, reach - last - margin

        correlated = {}
        for key in self.keys:
            s = signs[key]
            slot = self.place[key][1]
            if self.direct_update:
                change_of_theta = s * g_of[key]
            else:
                self.G[key] = within(self.G[key] + s * g_of[key], *ends(self.g_format), "gradient")
                correlated[key] = source = self.G[key]
                if updating and self.rule is not None:
                    self.m[key], outside = narrow(
                        self.rule.moved(self.m[key], self.G[key], self.k),
                        self.m_format,
                        spec.optimizer.rounding.value,
                        spec.optimizer.overflow.value,
                        self.random(slot, self.decay_drops),
                    )
                    count["momentum"] += outside
                    source = self.rule.source(self.m[key], self.G[key], self.k)
                if updating and self.adam:
                    rate, drops = [rate for start, rate in schedule.learning_rate if start <= n][-1], self.adam.decay_drops
                    moved = self.adam.move(
                        self.m[key], self.v[key], source, rate, self.u, lambda kind, at=slot, of=drops: self.random(at, of[kind])
                    )
                    source, self.m[key], self.v[key] = moved.source, moved.m, moved.v
                    for kind, outside in moved.outside.items():
                        count[kind] += outside
                if updating:
                    change_of_theta, outside = narrow(source, f.weight, *weight_modes, self.random(slot, self.update_drops))
                    count["update"] += outside
                    self.G[key] = Fraction(0)
            if updating:
                old = self.theta[key]
                self.theta[key] = within(old - change_of_theta, *ends(f.weight, self.delta), "weight")
                count["writes"] += 1
                count["changed"] += self.theta[key] != old
        self.n, self.u, self.loaded = n + 1, self.u + updating, False
        if spec.hardware.signature:
            self.keep_signatures([(number, (first, second)[number]) for number in run], change, broadcast, signs, correlated)
        kinds = ("activation", "cost_change", "broadcast", "gradient", "momentum", "error", "update", "weight", "square", "state")
        return {
            "signature": [Fraction(each) for each in self.signature],
            **self.shown(first, second),
            "cost": [first[2], second[2]],
            "cost_change": [change],
            "broadcast": broadcast,
            "sign": [Fraction(signs[key]) for key in self.keys],
            "gradient": [correlated.get(key, Fraction(0)) for key in self.keys],
            "momentum": [self.m[key] for key in self.keys],
            "square": [self.v[key] for key in self.keys],
            "parameter": [self.theta[key] for key in self.keys],
            "counter": [self.n, self.u, count["correct"], count["writes"], count["changed"], *(count[kind] for kind in kinds)],
        }

    def shown(self, first: tuple, second: tuple) -> dict[str, list[Fraction]]:
        """What both passes show of the neurons."""
        return {
            name: [done[column][key] for done in (first, second) for key in self.neurons]
            for name, column in (("preactivation", 0), ("activation", 1))
        }

    def keep_signatures(
        self, run: list[tuple[int, tuple]], change: Fraction, broadcast: list[Fraction], signs: dict, correlated: dict
    ) -> None:
        """Continue the signatures by the events of a step."""
        spec, f = self.spec, self.spec.formats

        def raw(value: Fraction, fraction_bits: int) -> int:
            scaled = value * Fraction(2) ** fraction_bits
            assert scaled.denominator == 1
            return scaled.numerator

        def width(form: Fixed) -> int:
            return form.integer_bits + form.fraction_bits

        c_fraction = 2 * f.activation.fraction_bits
        forward = []
        for number, (z, y, c) in run:
            neurons = []
            for layer, o in self.neurons:
                z_fraction = f.weight.fraction_bits + (f.activation if layer else f.input).fraction_bits
                shown_z = (raw(z[layer, o], z_fraction), spec.accumulator_width)
                neurons.append([(number, 1), shown_z, (raw(y[layer, o], f.activation.fraction_bits), width(f.activation))])
            left = signed_by_events(0, neurons) ^ 0xFFFFFFFF
            forward.append([(left ^ folded([(number, 1), (raw(c, c_fraction), width(spec.cost_format))]), 32)])
        change_fraction = f.cost_change.fraction_bits if f.cost_change else c_fraction
        forward.append([(raw(change, change_fraction), width(spec.cost_change_format))])
        self.signature[0] = signed_by_events(self.signature[0], forward)
        words = []
        for (_, layer, k, members), value in zip(self.words_of_pass, broadcast, strict=True):
            keys = [(layer, o, k) for o in members] + [None] * (self.lanes - len(members))
            columns = [(f.weight, self.theta)]
            if self.rule is not None:
                columns.insert(0, (self.m_format, self.m))
            if self.adam:
                columns.insert(0, (self.adam.v_format, self.v))
                if spec.optimizer.k1:
                    columns.insert(0, (self.adam.m_format, self.m))
            if not self.direct_update:
                columns.insert(0, (self.g_format, correlated))
            form = f.weight if self.direct_update else self.g_format
            fields = [(raw(value, form.fraction_bits), width(form))]
            fields += [(0 if key is None else signs[key], 2) for key in keys]
            for form, column in columns:
                fields += [(0 if key is None else raw(column[key], form.fraction_bits), width(form)) for key in keys]
            words.append(fields)
        self.signature[1] = signed_by_events(self.signature[1], words)
