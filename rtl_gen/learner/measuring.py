# amaranth: UnusedElaboratable=no
"""The measurement of a learner: waits, the mean of the cost words, and the change of the cost."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.learner import MAX_CYCLES, LearnerSpec
from rtl_gen.cast import cast_in_two
from rtl_gen.probe import shape_of
from rtl_gen.slot import delayed

__all__ = ["CostChange", "Measurement", "Timer"]


_LESS_ONE = signed(MAX_CYCLES.bit_length() + 1)
"""Shape of a number of cycles less one."""


class Timer(wiring.Component):
    """Counts cycles down.

    Members
    -------
    load, i : In(1), In(signed(33))
        Strobe that sets the timer, and the number of cycles less one, from −1.
    done : Out(1)
        As many cycles as the number have passed since the one after ``load``: high in the next cycle for 0, one later for 1.
    """

    def __init__(self):
        super().__init__({"load": In(1), "i": In(_LESS_ONE), "done": Out(1)})

    def elaborate(self, platform):
        m = Module()
        left = Signal(_LESS_ONE)
        m.d.comb += self.done.eq(left < 0)
        with m.If(self.load):
            m.d.sync += left.eq(self.i)
        with m.Elif(~self.done):
            m.d.sync += left.eq(left - 1)
        return m


class Measurement(wiring.Component):
    """Waits until the outside has settled, and takes the mean of 2^a cost words.

    Parameters
    ----------
    spec : LearnerSpec
        The learner whose costs are measured.

    Members
    -------
    begin : In(1)
        Strobe: all words of a pass have been applied. It is the port ``apply_stb``.
    settle, timeout, average : In
        Settings of the host: cycles until the cost may be measured, less two; cycles without a cost word after which the measurement is
        given up; and a.
    cost : In(stream.Signature(shape_of(spec.formats.cost)))
        Cost words from the outside.
    measure_ready : Out(1)
        The cost may be measured.
    done : Out(1)
        Strobe: ``total`` is the mean, ``latency`` cycles after the last word.
    late : Out(1)
        Strobe: a cost did not come in time, and there is no mean.
    total : Out
        Raw C, from ``done`` until the next measurement.
    """

    latency = 2
    """Cycles from the transfer of the last cost word to ``done``: add it, align the sum."""

    def __init__(self, spec: LearnerSpec):
        self.spec = spec
        super().__init__(
            {
                "begin": In(1),
                "settle": In(range(MAX_CYCLES + 1)),
                "timeout": In(range(MAX_CYCLES + 1)),
                "average": In(range(max(2, spec.outside.average + 1))),
                "cost": In(stream.Signature(shape_of(spec.formats.cost))),
                "measure_ready": Out(1),
                "done": Out(1),
                "late": Out(1),
                "total": Out(shape_of(spec.cost_format)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        most = self.spec.outside.average
        m.submodules.timer = timer = Timer()
        settling, aligns = Signal(), Signal()
        left, total = Signal(range((1 << most) + 1)), Signal.like(self.total, name="sum")
        transfer, final, opens = Signal(), Signal(), Signal()
        # Subtracted long before they are used, so that no adder lies before the one of the timer.
        settle, timeout = Signal(_LESS_ONE, reset_less=True), Signal(_LESS_ONE, reset_less=True)
        m.d.sync += [settle.eq(self.settle - 1), timeout.eq(self.timeout - 1)]
        m.d.comb += [
            self.cost.ready.eq(self.measure_ready & ~timer.done),
            transfer.eq(self.cost.valid & self.cost.ready),
            final.eq(transfer & (left == 1)),
            opens.eq(settling & timer.done),
            self.late.eq(self.measure_ready & timer.done),
            timer.load.eq(self.begin | opens | transfer),
            timer.i.eq(timeout),
        ]
        with m.If(self.begin):
            m.d.comb += timer.i.eq(settle)
        m.d.sync += [
            settling.eq(self.begin | (settling & ~opens)),
            self.measure_ready.eq(opens | (self.measure_ready & ~final & ~self.late)),
            aligns.eq(final),
            self.done.eq(aligns),
        ]
        with m.If(opens):
            m.d.sync += [total.eq(0), left.eq(1 << self.average if most else 1)]
        with m.If(transfer):
            m.d.sync += [total.eq(total + self.cost.payload), left.eq(left - 1)]
        aligned = total
        if most:
            up = Signal(range(most + 1))
            m.d.sync += up.eq(most - self.average)
            aligned = total << up
        with m.If(aligns):
            m.d.sync += self.total.eq(aligned)
        return m


class CostChange(wiring.Component):
    """Keeps the costs of the two passes of a step, and forms C̃.

    Parameters
    ----------
    spec : LearnerSpec
        The learner whose costs are compared.

    Members
    -------
    stb, second, total : In(1), In(1), In
        Strobe of a cost, whether it is that of pass 1, and its raw value.
    cost0, cost1 : Out
        Raw costs of the last pass 0 and of the last pass 1.
    change_stb : Out(1)
        Strobe of a C̃, ``latency`` cycles after the cost of pass 1.
    cost_change, outside : Out
        Raw C̃ and whether its cast was out of range, from ``change_stb`` on.
    """

    latency = 3
    """Cycles from the cost of pass 1 to C̃: one for the difference, and two for its cast."""

    def __init__(self, spec: LearnerSpec):
        self.spec = spec
        cost = shape_of(spec.cost_format)
        super().__init__(
            {
                "stb": In(1),
                "second": In(1),
                "total": In(cost),
                "cost0": Out(cost),
                "cost1": Out(cost),
                "change_stb": Out(1),
                "cost_change": Out(shape_of(spec.cost_change_format)),
                "outside": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec, cast = self.spec, self.spec.formats.cost_change_cast
        source, target = spec.cost_difference_format, spec.cost_change_format
        with m.If(self.stb & ~self.second):
            m.d.sync += self.cost0.eq(self.total)
        with m.If(self.stb & self.second):
            m.d.sync += self.cost1.eq(self.total)
        difference = Signal(shape_of(source), reset_less=True)
        m.d.sync += difference.eq(self.cost0 - self.total if spec.two_sided else self.total - self.cost0)
        dropped = source.fraction_bits - target.fraction_bits
        limited, outside = cast_in_two(m, difference, dropped, target, cast.rounding, cast.overflow, "change")
        ends = delayed(m, self.stb & self.second, 2, "ends", reset_less=False)
        m.d.sync += self.change_stb.eq(ends)
        with m.If(ends):
            m.d.sync += [self.cost_change.eq(limited), self.outside.eq(outside)]
        return m
