"""The lanes: in a forward pass they sum products, and in an applying pass they move every synapse by its neuron's error times its input.

All of it against sums of Python's integers and one cast each, on both paths of an update: with the multiplier's adder, and without.
"""

import random
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import signed

from python_ref.spec.number import Fixed, Rounding, cast_raw
from python_ref.spec.optimizer import Momentum
from python_ref.spec.registers import Memory
from rtl_gen.fanout import MAX_DIRECT_LANES
from rtl_gen.presentation.arithmetic import adds_in_multiplier
from rtl_gen.presentation.array import NodeArray
from rtl_gen.presentation.lane import MultiplyAdd
from rtl_gen.presentation.operands import Operands
from tests.rtl_gen.presentation.slots import IDLE, drive, pass_slots
from tests.support.designs import random_parameters
from tests.support.faults import DESIGNS
from tests.support.marks import slow_unless
from tests.support.node_designs import SHAPES, node_design

SPECS = {name: DESIGNS[name] for name in ("floor_probes", "fused_probes", "fused_narrow")}
SPECS |= {name: SHAPES[name] for name in ("half-even", "half-up", "momentum", "momentum-and-memory", "samples-within-an-update", "deep")}
SPECS["pipelined"] = node_design(sizes=(3, 11, 4), lanes=10, weight_cast=SHAPES["stochastic"].formats.weight_cast)
SPECS["many lanes"] = SPECS["pipelined"]
SPECS["many lanes, momentum"] = replace(SHAPES["momentum-and-memory"], hardware=replace(SHAPES["momentum-and-memory"].hardware, lanes=10))
NAMES = [pytest.param(name, marks=slow_unless(name not in ("pipelined", "many lanes, momentum"))) for name in SPECS]
FUSED = {"floor_probes", "fused_probes", "fused_narrow", "half-up", "deep", "pipelined", "many lanes"}
"""Designs whose multiplier's adder computes the update."""


@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize(("a", "b", "width"), [(16, 9, 32), (5, 4, 14), (20, 14, 45)])
def test_a_multiplier_adds_what_comes_a_cycle_before_its_sum(a, b, width, pipelined):
    rng, block = random.Random(width), MultiplyAdd(signed(a), signed(b), width, pipelined=pipelined)
    rows = [[rng.randint(-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (a, b, width - 2)] for _ in range(40)]
    found = []

    def each(ctx, cycle):
        if cycle < len(rows):
            ctx.set(block.a, rows[cycle][0])
            ctx.set(block.b, rows[cycle][1])
        summed = cycle - block.latency + 1
        if 0 <= summed < len(rows):
            ctx.set(block.c, rows[summed][2])
        found.append(ctx.get(block.o))

    drive(block, len(rows) + block.latency, each)
    for (x, y, c), o in zip(rows, found[block.latency :], strict=True):
        assert o == (c + x * y + (1 << width - 1)) % (1 << width) - (1 << width - 1)


@pytest.fixture(autouse=True)
def many_lanes(request, monkeypatch):
    """Designs of this name have so many lanes that they are across a part."""
    if "many lanes" in request.node.name:
        monkeypatch.setattr("rtl_gen.fanout.MAX_NEAR_LANES", MAX_DIRECT_LANES)


class Bench:
    """An array with its host, operands and errors.

    Parameters
    ----------
    name : str
        Name of its design.
    """

    def __init__(self, name):
        self.spec, self.rng = SPECS[name], random.Random(name)
        self.array = NodeArray(self.spec)
        self.rows: list[dict] = []
        self.parameters = random_parameters(self.rng, self.spec)
        self.seen: dict[str, list] = {"accumulators": [], "words": [], "counts": dict.fromkeys(self.array.counts, 0)}

    def host(self, memory, lane, address, write=None):
        """Access a word."""
        row = {"host_mode": 1, "host_memory": memory, "host_lane": lane, "host_address": address, "host_write": 0}
        if write is None:
            begins = not self.rows[-1]["host_mode"]  # the addresses are the host's a few cycles after it has got the memories
            self.rows += [row] * (self.array.host_latency + 1 + 2 * begins)
            return len(self.rows) - 1
        self.rows += [row | {"host_data": write & 0xFFFFFFFF}] * 3
        self.rows += [row | {"host_data": write & 0xFFFFFFFF, "host_write": 1}, *[row | {"host_data": write & 0xFFFFFFFF}] * 6]
        return None

    def load(self, memory, values):
        """Write a memory of all lanes."""
        words = np.zeros((self.spec.hardware.lanes, self.spec.layout.words), dtype=int)
        words[self.spec.layout.parameter_lane, self.spec.layout.parameter_word] = values
        for lane, row in enumerate(words.tolist()):
            for address, value in enumerate(row):
                self.host(memory, lane, address, value)

    def forward(self, x, wait):
        """Rows of a forward pass with operand ``x[layer][k]``."""
        common = {"host_mode": 0, "applying": 0}
        self.rows += [dict(common)] * 2
        self._visit(pass_slots(self.spec, wait=wait), x, common)

    def apply(self, x, errors, update, wait, noise):
        """Rows of an applying pass, with aligned operands, the errors of all neurons, and the noise of each layer and input."""
        common = {"host_mode": 0, "applying": 1, "update": update}
        self.rows += [dict(common) for _ in range(12)]
        self._visit(pass_slots(self.spec, apply=1, wait=wait), x, common, errors, noise)
        self.rows += [common] * (self.array.learned_latency + 3)

    def _visit(self, slots, x, common, errors=None, noise=None):
        latency, lanes = Operands.latency(self.spec), self.spec.hardware.lanes
        k, first = 0, len(self.rows)
        placed = [(number, group) for number, each in enumerate(self.spec.layout.layers) for group in range(each.groups)]
        neurons = [sum(each.layer.n_out for each in self.spec.layout.layers[:number]) + group * lanes for number, group in placed]
        self.rows += [dict(common) for _ in range(len(slots) + latency + self.array.timing.accumulator + 10)]
        group = -1
        for place, slot in enumerate(slots):
            row = self.rows[first + place]
            row["slot"] = slot
            k = 0 if slot["first"] else k + 1
            if slot["real"]:
                unused = self.array.lanes[0].fused and common["applying"] and not common["update"]
                self.rows[first + place + latency]["x"] = 0 if unused else x[slot["layer"]][k]
                row["place"] = (slot["layer"], k)
            if slot["first"] and errors is not None:
                group += 1
                mine = errors[neurons[group] : neurons[group] + self.spec.layout.layers[slot["layer"]].lanes_of(placed[group][1])]
                for lane, value in enumerate(mine):  # before the group before has ended where that is needed
                    self.rows[first + place - len(mine) + lane + 1] |= {"error": value, "error_en": 1 << lane}
        self.noise = noise

    def play(self):
        """Simulate all rows."""
        array, spec = self.array, self.spec
        latest = [None, None, None]
        found = []

        def each(ctx, cycle):
            row = self.rows[cycle]
            after = self.rows[cycle + 1].get("slot", IDLE) if cycle + 1 < len(self.rows) else IDLE
            for name, slot in (("slot", row.get("slot", IDLE)), ("ahead", after)):
                for field, value in slot.items():
                    ctx.set(getattr(array, name)[field], value)
            for name in ("host_mode", "host_memory", "host_lane", "host_address", "host_data", "applying", "update", "error"):
                if name in row:
                    ctx.set(getattr(array, name), row[name])
            ctx.set(array.host_write, row.get("host_write", 0))
            ctx.set(array.error_en, row.get("error_en", 0))
            ctx.set(array.x, row.get("x", 0))
            if spec.stochastic_bits:
                latest.append((ctx.get(array.noise_slot.first), ctx.get(array.noise_slot.real), ctx.get(array.noise_slot.layer)))
                ctx.set(array.noise, self._word(latest))
            if ctx.get(array.word_stb):
                event = array.word_event
                self.seen["words"].append({name: list(ctx.get(event[name])) for name in event.shape().members})
            if ctx.get(array.accumulator_slot.last) and not ctx.get(array.accumulator_slot.apply):
                self.seen["due"] = cycle + 1
            if self.seen.get("due") == cycle:
                self.seen["accumulators"].append(ctx.get(array.accumulators))
            for name in array.counts:
                self.seen["counts"][name] += ctx.get(getattr(array, name))
            found.append(ctx.get(array.host_read_data))

        drive(array, len(self.rows), each)
        return found

    def _word(self, latest):
        """Rounding noise, two cycles after its slot: a word for each layer and input."""
        place = len(latest) - 3
        if latest[place] is None or not latest[place][1]:
            return 0
        k = place
        while not latest[k][0]:
            k -= 1
        return self.noise[latest[place][2]][place - k] if self.noise else 0


def operands_of(spec, rng):
    """Raw operands by layer, the 1 of the bias first."""
    found = []
    for number, layer in enumerate(spec.network.layers):
        form = spec.operand_format(number)
        found.append([1 << form.fraction_bits, *(rng.randint(form.min, form.max) for _ in range(layer.n_in))])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_forward_pass_sums_products(name):
    bench = Bench(name)
    spec = bench.spec
    assert adds_in_multiplier(spec) == (name in FUSED)
    x = operands_of(spec, bench.rng)
    bench.load(Memory.PARAMETER, bench.parameters)
    for wait in (0, 3):
        bench.forward(x, wait)
    bench.play()
    expected, first, width = [], 0, spec.accumulator_width
    for number, placed in enumerate(spec.layout.layers):
        n_in, n_out = placed.layer.n_in, placed.layer.n_out
        weights = bench.parameters[first : first + n_out * (n_in + 1)].reshape(n_out, n_in + 1)
        first += weights.size
        z = (weights @ np.array(x[number])).tolist()
        for group in range(placed.groups):
            expected.append(z[group * spec.hardware.lanes :][: placed.lanes_of(group)])
    seen = [
        [(packed >> width * lane & (1 << width) - 1) for lane in range(len(values))]
        for packed, values in zip(bench.seen["accumulators"], 2 * expected, strict=True)
    ]
    assert seen == [[value & (1 << width) - 1 for value in values] for values in 2 * expected]


@pytest.mark.parametrize("name", NAMES)
def test_an_applying_pass_moves_every_synapse(name):
    bench = Bench(name)
    spec, rng = bench.spec, bench.rng
    layers = range(len(spec.layout.layers))
    finest = max(spec.operand_format(number).fraction_bits for number in layers)
    model = Model(spec, bench.parameters)
    bench.load(Memory.PARAMETER, bench.parameters)
    for memory in spec.memories:
        if memory is not Memory.PARAMETER:
            bench.load(memory, np.zeros(spec.network.n_parameters, dtype=int))
    updates = [1, 0, 1] if spec.gradient_memory else [1, 1]
    noise = [[rng.getrandbits(max(1, spec.stochastic_bits)) for _ in range(spec.network.layers[number].n_in + 1)] for number in layers]
    for update in updates:
        x = operands_of(spec, rng)
        errors = [rng.choice((spec.error_format.min, spec.error_format.max, rng.randint(-99, 99))) for _ in range(spec.network.n_neurons)]
        sign = -1 if adds_in_multiplier(spec) else 1
        aligned = [[sign * value << finest - spec.operand_format(number).fraction_bits for value in x[number]] for number in layers]
        bench.apply(aligned, errors, update, 2 * spec.hardware.lanes + 12, noise)
        model.apply(x, errors, update, noise)
    reads = {}
    for place in range(0, spec.network.n_parameters, 3):
        lane, word = int(spec.layout.parameter_lane[place]), int(spec.layout.parameter_word[place])
        reads[place] = bench.host(Memory.PARAMETER, lane, word)
    found = bench.play()
    shown = {name: [] for name in bench.seen["words"][0]}
    for number in range(len(updates)):
        words = bench.seen["words"][number * spec.layout.words : (number + 1) * spec.layout.words]
        for name, values in shown.items():
            values.append(np.array([word[name] for word in words])[spec.layout.parameter_word, spec.layout.parameter_lane].tolist())
    assert len(bench.seen["words"]) == len(updates) * spec.layout.words
    for name, values in shown.items():
        np.testing.assert_array_equal(values, model.shown[name], err_msg=name)
    assert bench.seen["counts"] == {name: model.counts[name] for name in bench.seen["counts"]}
    mask = (1 << spec.formats.weight.width) - 1
    assert {place: found[cycle] & mask for place, cycle in reads.items()} == {
        place: model.shown["parameter"][-1][place] & mask for place in reads
    }


class Model:
    """Parameters, G and the momentum of a design, in Python's integers."""

    def __init__(self, spec, parameters):
        self.spec = spec
        self.theta = parameters.tolist()
        self.g, self.m = [0] * len(self.theta), [0] * len(self.theta)
        self.shown = {name: [] for name in ("parameter", "gradient", "momentum")}
        kinds = ("update", "weight", "gradient", "momentum")
        self.counts = dict.fromkeys(("writes", "changed", *(f"saturated_{kind}" for kind in kinds)), 0)

    def apply(self, x, errors, update, noise):
        """Apply errors."""
        spec, f = self.spec, self.spec.formats
        place = neuron = 0
        gradients = []
        for number, layer in enumerate(spec.network.layers):
            product = spec.error_format.fraction_bits + spec.operand_format(number).fraction_bits
            for _ in range(layer.n_out):
                for k in range(layer.n_in + 1):
                    exact = errors[neuron] * x[number][k]
                    word = noise[number][k]
                    if spec.direct_update:
                        u, outside = self.cast(exact, product, f.weight, f.weight_cast, word)
                    else:
                        g, outside = self.cast(exact, product, spec.gradient_format, f.gradient_cast)
                        if spec.gradient_memory:
                            g, beyond = self.limited(self.g[place] + g, spec.gradient_format)
                            outside = outside or beyond
                        self.counts["saturated_gradient"] += outside
                        gradients.append(g)
                        self.g[place] = 0 if update else g
                        source, fraction = g, spec.gradient_format.fraction_bits
                        if update and isinstance(spec.optimizer, Momentum):
                            source, fraction = self.momentum(place, g, word)
                        u, outside = self.cast(source, fraction, f.weight, f.weight_cast, word)
                    if update:
                        self.counts["saturated_update"] += outside
                        self.move(place, u)
                    place += 1
                neuron += 1
        self.shown["parameter"].append(list(self.theta))
        self.shown["gradient"].append(gradients)
        self.shown["momentum"].append(list(self.m))

    def momentum(self, place, g, word):
        """m ← m − m/2^k + G."""
        spec = self.spec
        (variable,), k = spec.optimizer_state, spec.optimizer.k
        fraction = variable.exact.fraction_bits
        exact = (self.m[place] << fraction - variable.format.fraction_bits) + (g << fraction - spec.gradient_format.fraction_bits)
        exact -= self.m[place] << fraction - variable.format.fraction_bits - k
        self.m[place], outside = self.cast(exact, fraction, variable.format, spec.optimizer, word)
        self.counts["saturated_momentum"] += outside
        return self.m[place], variable.format.fraction_bits

    def move(self, place, u):
        """θ ← saturate(θ − u)."""
        after, outside = self.limited(self.theta[place] - u, self.spec.formats.weight)
        self.counts["saturated_weight"] += outside
        self.counts["writes"] += 1
        self.counts["changed"] += after != self.theta[place]
        self.theta[place] = after

    @staticmethod
    def limited(value, form):
        """The value within the range of a format, and whether it was outside."""
        return min(max(value, form.min), form.max), not form.min <= value <= form.max

    @staticmethod
    def cast(exact, fraction, form, cast, word=0):
        """A cast with the low bits of a random word, as many as it drops."""
        dropped = fraction - form.fraction_bits
        source = Fixed(True, 63 - fraction, fraction)
        if cast.rounding is Rounding.STOCHASTIC:
            exact += word & (1 << max(0, dropped)) - 1
            value, outside = cast_raw(exact, source, form, Rounding.FLOOR, cast.overflow)
        else:
            value, outside = cast_raw(exact, source, form, cast.rounding, cast.overflow)
        return int(value), bool(outside)
