"""Sums of errors are exact, and their casts are the reference's, whatever the groups of lanes."""

import random
from dataclasses import replace

import pytest
from amaranth.hdl import Module, signed
from amaranth.lib import wiring

from python_ref.spec.design import Cast
from python_ref.spec.number import Fixed, Overflow, Rounding, cast_raw
from python_ref.spec.perturbation import SequentialCode
from rtl_gen.lane import MultiplyAccumulate
from rtl_gen.presentation.errors import ErrorUnit, SharedErrorUnit, error_unit
from tests.rtl_gen.presentation.slots import drive
from tests.support.node_designs import node_design

FORMATS = {
    "derived": {},
    "narrow": {"error": Fixed(True, -3, 9), "error_cast": Cast(Rounding.FLOOR, Overflow.SATURATE)},
    "wraps": {"error": Fixed(True, 0, 5), "error_cast": Cast(Rounding.HALF_UP, Overflow.WRAP)},
    "cost-change": {"cost_change": Fixed(True, 2, 6)},
}


@pytest.mark.parametrize("lanes", [1, 2, 3, 10])
@pytest.mark.parametrize("name", FORMATS)
def test_errors_are_summed_and_cast(name, lanes):
    spec = node_design(sizes=(2, 5, 3), lanes=lanes, rates=((0, -5), (3, 1)), **FORMATS[name])
    rng, n = random.Random(f"{name} {lanes}"), spec.network.n_neurons
    unit, change, total = ErrorUnit(spec), spec.cost_change_format, spec.error_sum_format
    rows, signs, expected = [{}], [[0] * n], {"sums": [], "errors": [], "ready": []}
    exponents = sorted({spec.exponent_at(step) for step in (0, 3)})
    groups = [placed.lanes_of(group) for placed in spec.layout.layers for group in range(placed.groups)]
    slack = unit.error_latency + unit.change_latency + n

    def add(row, vector, count=0):
        rows.extend([row, *[{"change_stb": 0, "next_group": 0}] * count])
        signs.extend([vector] * (count + 1))

    for _ in range(5):
        steps, exponent = rng.randint(1, spec.longest_presentation), rng.choice(exponents)
        sums = [0] * n
        for step in range(steps):
            raw = rng.choice((change.min, change.max, rng.randint(change.min, change.max)))
            vector = [rng.choice((-1, 0, 1)) for _ in range(n)]
            sums = [before + sign * raw for before, sign in zip(sums, vector, strict=True)]
            expected["sums"] += list(zip(vector, sums, strict=True))
            final = step == steps - 1
            fields = {"cost_change": raw, "fresh": step == 0, "final": final, "exponent": exponent}
            add({"change_stb": 1, **fields}, vector, slack if final else n + 1)
            for _ in groups if final else ():
                add({"next_group": 1}, vector, slack)
        scaled = total.scaled(exponent)
        for neuron, value in enumerate(sums):
            error, outside = cast_raw(value, scaled, spec.error_format, *modes(spec))
            lane = (neuron if neuron < 5 else neuron - 5) % lanes
            expected["errors"].append((int(error), int(outside), 1 << lane))
    found, asked, busy = {"sums": [], "errors": [], "stored": []}, [0], []

    def each(ctx, cycle):
        for field, value in rows[cycle].items():
            ctx.set(getattr(unit, field), value)
        sign = signs[cycle][asked[-1]] if asked[-1] < n else 0
        ctx.set(unit.sign.negative, sign < 0)
        ctx.set(unit.sign.active, sign != 0)
        asked.append(ctx.get(unit.sign_index))
        busy.append(ctx.get(unit.busy))
        if ctx.get(unit.correlation_stb):
            found["sums"].append((ctx.get(unit.sign_o), ctx.get(unit.error_sum)))
        if ctx.get(unit.error_stb):
            found["errors"].append((ctx.get(unit.error), ctx.get(unit.saturated)))
        if ctx.get(unit.error_en):
            found["stored"].append((ctx.get(unit.error), ctx.get(unit.error_en)))

    drive(unit, len(rows), each)
    assert found["sums"] == expected["sums"]
    assert found["errors"] == [row[:2] for row in expected["errors"]]
    assert found["stored"] == [(row[0], row[2]) for row in expected["errors"]]
    assert sum(busy) == len(expected["sums"])
    assert {outside for _, outside, _ in expected["errors"]} == {0, 1}


def modes(spec):
    """Rounding and overflow of the cast of errors."""
    return spec.formats.error_cast.rounding, spec.formats.error_cast.overflow


@pytest.mark.parametrize("lanes", [2, 3, 12])
def test_the_errors_of_the_first_group_are_ready_and_those_of_the_others_wait(lanes):
    spec = node_design(sizes=(2, 5, 3), lanes=lanes)
    unit, first = ErrorUnit(spec), spec.layout.layers[0].lanes_of(0)
    ready, errors = [], []

    def each(ctx, cycle):
        ctx.set(unit.change_stb, cycle == 2)
        ctx.set(unit.fresh, 1)
        ctx.set(unit.final, 1)
        ctx.set(unit.exponent, spec.exponent_at(0))
        if ctx.get(unit.ready):
            ready.append(cycle)
        errors.append(ctx.get(unit.error_stb))

    drive(unit, 60, each)
    assert ready == [2 + first - 1 + unit.change_latency]
    assert sum(errors) == first
    assert errors[ready[0] + 1] == 1


@pytest.mark.parametrize("width", [20, 40])
def test_the_host_reads_the_sums_of_an_open_presentation(width):
    spec = node_design(sizes=(2, 3, 2), cost_change=Fixed(True, 6, width - 6))
    spec = replace(spec, hardware=replace(spec.hardware, lanes=3))
    unit, n, raw = ErrorUnit(spec), spec.network.n_neurons, -(1 << width - 1) + 77
    words = -(-spec.error_sum_format.width // 32)
    values, asked = {}, [0]

    def each(ctx, cycle):
        ctx.set(unit.change_stb, cycle == 2)
        ctx.set(unit.cost_change, raw)
        ctx.set(unit.fresh, 1)
        ctx.set(unit.sign.negative, asked[-1] % 2)
        ctx.set(unit.sign.active, 1)
        asked.append(ctx.get(unit.sign_index))
        after = cycle - 20
        ctx.set(unit.host_mode, after >= 0)
        if after >= 0:
            address, place = divmod(after, 4)
            is_open, address = divmod(address, n * words)
            ctx.set(unit.readable, 1 - is_open)
            ctx.set(unit.host_address, address)
            if place == 3:
                values[is_open, address] = ctx.get(unit.host_data)

    drive(unit, 20 + 4 * 2 * n * words, each)
    expected = [-raw if neuron % 2 else raw for neuron in range(n)]
    for neuron, value in enumerate(expected):
        for word in range(words):
            assert values[0, neuron * words + word] == value >> 32 * word & 0xFFFFFFFF
            assert values[1, neuron * words + word] == 0


@pytest.mark.parametrize("periods", [(1, 8, 8), (2, 16, 16)])
def test_the_last_sum_of_incremental_probes_is_cast_whichever_neuron_it_is(periods):
    spec = node_design(sizes=(2, 5, 3), lanes=2, code=SequentialCode(), periods=periods, rates=((0, -3),))
    assert spec.incremental
    unit, raw, n, pause = error_unit(spec), 77, spec.network.n_neurons, 40
    found, length = {column: [] for column in range(n)}, 60 + 5 * pause

    def each(ctx, cycle):
        column, place = divmod(cycle, length)
        ctx.set(unit.clear, place == 0)
        ctx.set(unit.change_stb, place == 30)
        ctx.set(unit.final, 1)
        ctx.set(unit.column, column)
        ctx.set(unit.cost_change, raw)
        ctx.set(unit.exponent, spec.exponent_at(0))
        ctx.set(unit.next_group, place > 30 and (place - 30) % pause == 0)
        if ctx.get(unit.error_stb):
            found[column].append(ctx.get(unit.error))

    drive(unit, length * n, each)
    error, _ = cast_raw(raw, spec.error_sum_format.scaled(spec.exponent_at(0)), spec.error_format, *modes(spec))
    assert int(error) != 0
    assert found == {column: [int(error) * (neuron == column) for neuron in range(n)] for column in range(n)}


class WithMultiplier(wiring.Component):
    """An error unit that scales in a multiplier, and that multiplier."""

    def __init__(self, spec):
        self.unit = SharedErrorUnit(spec)
        self.multiplier = MultiplyAccumulate(*(signed(width) for width in SharedErrorUnit.factors(spec)), MultiplyAccumulate.WIDEST)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit, m.submodules.multiplier = unit, multiplier = self.unit, self.multiplier
        m.d.comb += [
            *(multiplier.c.eq(unit.offset), multiplier.load.eq(unit.load), unit.product.eq(multiplier.o)),
        ]
        m.d.sync += [multiplier.a.eq(unit.factor), multiplier.b.eq(unit.power)]
        return m


CASTS = [
    *((rounding, Overflow.SATURATE) for rounding in (Rounding.HALF_EVEN, Rounding.HALF_UP, Rounding.FLOOR)),
    (Rounding.HALF_EVEN, Overflow.WRAP),
]


@pytest.mark.parametrize(("rounding", "overflow"), CASTS)
def test_a_multiplier_scales_the_errors(rounding, overflow):
    """Every error is the reference's at its place, ties and ends of the range included; the multiplier's sum is 0 after each group."""
    formats = {"cost_change": Fixed(True, 2, 6), "error": Fixed(True, 0, 6), "error_cast": Cast(rounding, overflow)}
    spec = node_design(sizes=(2, 3, 2), lanes=2, code=SequentialCode(), periods=(1, 5, 5), rates=((0, -5), (3, 1)), **formats)
    assert SharedErrorUnit.suits(spec)
    block, n, rng = WithMultiplier(spec), spec.network.n_neurons, random.Random(3)
    unit, change = block.unit, spec.cost_change_format
    groups, pause = [placed.lanes_of(group) for placed in spec.layout.layers for group in range(placed.groups)], 24
    rows, expected = [], []
    exponents = range(spec.exponents[0], spec.exponents[1] + 1)
    for number in range(60):
        exponent = exponents[number % len(exponents)]
        values = [rng.choice((change.min, change.max, rng.randint(change.min, change.max), rng.randint(-9, 9))) for _ in range(n)]
        rows += [{"clear": 1, "exponent": exponent}, *[{}] * (n + 6)]
        for column, value in enumerate(values):
            rows += [{"change_stb": 1, "final": int(column == n - 1), "column": column, "cost_change": value}, *[{}] * 5]
        rows += [{}] * pause
        for _ in groups[1:]:
            rows += [{"next_group": 1}, *[{}] * pause]
        for neuron, value in enumerate(values):
            error, outside = cast_raw(value, spec.error_sum_format.scaled(exponent), spec.error_format, rounding, overflow)
            expected.append((int(error), int(outside), 1 << (neuron if neuron < 3 else neuron - 3) % 2))
    found, sums, ready = [], set(), 0

    def each(ctx, cycle):
        nonlocal ready
        for name in ("clear", "change_stb", "next_group"):
            ctx.set(getattr(unit, name), 0)
        for name, value in rows[cycle].items():
            ctx.set(getattr(unit, name), value)
        ready += ctx.get(unit.ready)
        if ctx.get(unit.error_stb):
            found.append((ctx.get(unit.error), ctx.get(unit.saturated), ctx.get(unit.error_en)))
        if "clear" in rows[cycle] or "next_group" in rows[cycle]:
            sums.add(ctx.get(block.multiplier.o))

    drive(block, len(rows), each)
    assert found == expected
    assert sums == {0}
    assert ready == 60
    assert {outside for _, outside, _ in expected} == {0, 1}
