"""The cast over two cycles equals the reference over every input of small formats, whether low bits were jammed before or not."""

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.sim import Simulator

from python_ref.spec.number import Fixed, Overflow, Rounding, cast_raw
from rtl_gen.cast import cast_in_two, jam
from rtl_gen.fixed import limit, round_value
from tests.rtl_gen.test_fixed import EXACT
from tests.support.bench import settled

SOURCES = [Fixed(True, 3, 4), Fixed(False, 3, 3), Fixed(True, 1, 0), Fixed(True, -2, 6)]
TARGETS = [
    Fixed(is_signed, width - fraction, fraction)
    for is_signed in (True, False)
    for width in (1, 2, 4)
    for fraction in (-4, -1, 0, 2, 3, 4, 5)
]


def shape(form: Fixed):
    return signed(form.width) if form.signed else unsigned(form.width)


def shown(m: Module, raw: Signal, word: Signal, stimuli: list[tuple[int, int]], results: list[Signal]) -> np.ndarray:
    """Registered results of every stimulus."""
    rows = []

    async def bench(ctx):
        for value, random in stimuli:
            ctx.set(raw, value)
            ctx.set(word, random)
            await ctx.tick()
            rows.append([ctx.get(result) for result in results])

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(rows)


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_every_cast_over_two_cycles_equals_the_reference(source, stochastic):
    m, raw, word = Module(), Signal(shape(source)), Signal(9)
    casts, results = [], []
    for number, target in enumerate(TARGETS):
        for rounding in (Rounding.STOCHASTIC,) if stochastic else EXACT:
            for overflow in Overflow:
                dropped = source.fraction_bits - target.fraction_bits
                value, outside = cast_in_two(m, raw, dropped, target, rounding, overflow, f"{rounding.value}{overflow.value}{number}", word)
                o, out = Signal(shape(target)), Signal()
                m.d.comb += [o.eq(value), out.eq(outside)]
                casts.append((target, rounding, overflow))
                results += [o, out]
    words = [0, 1, 5, 100, 255, 256, 387, 511] if stochastic else [0]
    stimuli = [(value, random) for value in range(source.min, source.max + 1) for random in words]
    got = shown(m, raw, word, stimuli, results).reshape(len(stimuli), -1, 2)
    raws, randoms = np.array(stimuli).T
    for number, (target, rounding, overflow) in enumerate(casts):
        values, outside = cast_raw(raws, source, target, rounding, overflow, randoms)
        np.testing.assert_array_equal(got[:, number, 0], values, err_msg=f"{target} {rounding} {overflow}")
        np.testing.assert_array_equal(got[:, number, 1], outside, err_msg=f"{target} {rounding} {overflow}")


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("jammed", [0, 1, 3])
def test_no_cast_to_two_bits_fewer_sees_that_bits_were_jammed(jammed, is_signed):
    source, rows = Fixed(is_signed, 2, 5), []
    m, raw = Module(), Signal(shape(source))
    for further in (2, 3):
        for rounding in EXACT:
            target, dropped = Fixed(is_signed, 2, 5 - jammed - further), jammed + further
            value, _ = limit(round_value(jam(raw, jammed), further, rounding), target, Overflow.SATURATE)
            o = Signal(shape(target))
            m.d.comb += o.eq(value)
            rows.append((target, rounding, o))
            assert dropped == source.fraction_bits - target.fraction_bits
    every = np.arange(source.min, source.max + 1)
    got = np.array(settled(m, raw, every.tolist(), [o for _, _, o in rows]))
    for number, (target, rounding, _) in enumerate(rows):
        values, _ = cast_raw(every, source, target, rounding, Overflow.SATURATE)
        np.testing.assert_array_equal(got[:, number], values)
