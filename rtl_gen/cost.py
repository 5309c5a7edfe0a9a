# amaranth: UnusedElaboratable=no
"""The cost of a pass, the cost change between passes, and the check of answers."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.broadcast import Multiplier, factors
from rtl_gen.cast import cast_in_two
from rtl_gen.fanout import fanout_latency
from rtl_gen.fixed import shift
from rtl_gen.lane import MultiplyAccumulate
from rtl_gen.probe import shape_of
from rtl_gen.slot import and_or_mux, delayed

__all__ = ["AnswerCheck", "CostUnit"]


class CostUnit(wiring.Component):
    """Computes C = Σ(y − y*)² over a pass's outputs, and C̃ after the second pass.

    The auxiliary multiplier of the core computes the squares, and sums them where :meth:`sums_in_multiplier` says so.

    Parameters
    ----------
    spec : DesignSpec
        The design whose costs are computed.
    others : tuple of int or None
        Widths of the two factors that the multiplier has otherwise, where it sums the squares.

    Members
    -------
    stb, last, first, second : In(1)
        Strobe of an output; whether it is the last of its pass, and whether the pass is one of the two between which C̃ is the difference.
    y, target : In
        Raw output and its raw target, valid with ``stb``.
    error : Out
        Raw error y* − y for the multiplier, one cycle after the output.
    others, factors : In, Out
        The multiplier's two other factors, which are 0 where there is an output, and one cycle later its factors, which are the error
        twice after an output (with ``others`` in place of ``error``).
    square : In
        Square of the error, after the multiplier's latency; or the sum of all squares of the pass, which is 0 after ``cost_stb`` and
        where a run begins.
    cost_stb, cost_second : Out(1)
        Strobe of a finished cost, ``cost_latency`` cycles after the pass's last output, and whether it is that of pass 1.
    total : Out
        Raw cost of the finished pass, valid with ``cost_stb``.
    cost0_complement, cost1 : Out
        Raw costs of the last pass 0, as its complement, and of the last pass 1, from the cycle after ``cost_stb`` on; both costs are 0
        from some cycles after a reset until then.
    cost_change, outside : Out
        Raw C̃ and whether its cast was out of range, ``latency`` cycles after the last output of pass 1.
    """

    @staticmethod
    def sums_in_multiplier(spec: DesignSpec) -> bool:
        """Whether one multiplier with its adder sums the squares. There must be a cycle without a square between two passes."""
        fits = max(factors(spec)) <= Multiplier.WIDEST and spec.cost_format.width < MultiplyAccumulate.WIDEST
        return spec.node and len(spec.network.layers) > 1 and fits and fanout_latency(spec.hardware.lanes) == 0

    @staticmethod
    def multiplier(spec: DesignSpec) -> Multiplier | MultiplyAccumulate:
        """Return the multiplier for the squares of a core of node perturbation."""
        a, b = factors(spec)
        if CostUnit.sums_in_multiplier(spec):
            return MultiplyAccumulate(signed(a), signed(b), MultiplyAccumulate.WIDEST)
        return Multiplier.of(spec)

    @staticmethod
    def cost_latency(spec: DesignSpec) -> int:
        """Cycles from a pass's last output to its cost: one for the error, those of the multiplier, one for the sum."""
        if CostUnit.sums_in_multiplier(spec):
            return 1 + CostUnit.multiplier(spec).latency
        return 2 + Multiplier.of(spec).latency

    @staticmethod
    def latency(spec: DesignSpec) -> int:
        """Cycles from pass 1's last output to C̃: those of the cost, one to register it where the multiplier sums, one for the difference,
        and two for its cast."""
        return CostUnit.cost_latency(spec) + CostUnit.sums_in_multiplier(spec) + 3

    def __init__(self, spec: DesignSpec, others: tuple[int, int] | None = None):
        self.spec = spec
        self.shared = others is not None
        y, target = shape_of(spec.outputs_format), shape_of(spec.formats.activation)
        error, cost = shape_of(spec.residual_format), shape_of(spec.cost_format)
        widths = others or ()
        pairs = {
            "others": In(data.StructLayout({f"of{n}": signed(width) for n, width in enumerate(widths)})),
            "factors": Out(data.StructLayout({f"of{n}": signed(max(width, error.width)) for n, width in enumerate(widths)})),
        }
        super().__init__(
            {
                **(pairs if self.shared else {"error": Out(error)}),
                "stb": In(1),
                "last": In(1),
                "first": In(1),
                "second": In(1),
                "y": In(y),
                "target": In(target),
                "square": In(max(2 * error.width, cost.width)),
                "cost_stb": Out(1),
                "cost_second": Out(1),
                "total": Out(cost),
                "cost0_complement": Out(cost),
                "cost1": Out(cost),
                "cost_change": Out(shape_of(spec.cost_change_format)),
                "outside": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        sums = self.sums_in_multiplier(spec)
        if self.shared:
            error = Signal(shape_of(spec.residual_format), name="residual")
            m.d.comb += error.eq(self._residual())
            for name in self.factors.shape().members:
                m.d.sync += self.factors[name].eq((error & self.stb.replicate(len(error)).as_signed()) | self.others[name])
        else:
            m.d.sync += self.error.eq(self._residual())
            if sums:
                with m.If(~self.stb):
                    m.d.sync += self.error.eq(0)

        cost_latency = self.cost_latency(spec)
        m.d.comb += self.cost_stb.eq(delayed(m, self.stb & self.last, cost_latency, "cost_stb", reset_less=False))
        takes = {
            which: delayed(m, self.stb & self.last & when, cost_latency, f"takes_{which}", reset_less=False)
            for which, when in (("first", self.first), ("second", self.second))
        }
        square_second = delayed(m, self.second, cost_latency - 1, "square_second")
        m.d.comb += self.cost_second.eq(delayed(m, square_second, 1, "cost_second"))
        if sums:
            m.d.comb += self.total.eq(self.square)
        else:
            self._add_squares(m, delayed(m, self.stb, cost_latency - 1, "square_stb", reset_less=False), square_second)
        # C₀ is kept as its complement, so that an adder without logic in front of it subtracts. After a reset, it becomes that of 0 once
        # the sum is 0.
        below0 = Cat(self.cost0_complement, 1).as_signed()
        begun = delayed(m, Const(1, 1), 4, "begun", reset_less=False)
        with m.If(takes["second"]):
            m.d.sync += self.cost1.eq(self.total)
        with m.If(takes["first"] | ~begun):
            m.d.sync += self.cost0_complement.eq(~self.total)

        source, target, cast = spec.cost_difference_format, spec.cost_change_format, spec.formats.cost_change_cast
        less = Signal(shape_of(source), reset_less=True)
        # Where two-sided, it is one less than C₋ − C₊: the complement of C₊ − C₋.
        carry, split = Const(not spec.two_sided, 1), len(self.total) // 2 if sums else 0
        if sums:  # the low bits are added while the high ones are registered, so that both carry chains are short
            low = Signal(split + 1)
            m.d.sync += low.eq(self.total[:split] + below0[:split] + carry)
            carry = low[split]
        high = (Cat(1, (self.cost1 if sums else self.total)[split:]) + Cat(carry, below0[split:]).as_signed()) >> 1
        m.d.sync += less.eq(Cat(low[:split], high).as_signed() if sums else high)
        difference = ~less if spec.two_sided else less
        dropped = source.fraction_bits - target.fraction_bits
        limited, outside = cast_in_two(m, difference, dropped, target, cast.rounding, cast.overflow, "change")
        with m.If(delayed(m, self.cost_stb & self.cost_second, 2 + sums, "change_stb", reset_less=False)):
            m.d.sync += [self.cost_change.eq(limited), self.outside.eq(outside)]
        return m

    def _residual(self):
        """y* − y, both aligned to the same binary point."""
        forms = {"target": self.spec.formats.activation, "y": self.spec.outputs_format}
        fraction = self.spec.residual_format.fraction_bits
        target, y = (shift(getattr(self, name), fraction - form.fraction_bits) for name, form in forms.items())
        return target - y

    def _add_squares(self, m, stb, second):
        """Add the squares of a pass's errors up in ``total``, which is cleared after the pass's cost.

        ``stb`` is the strobe of a square, and ``second`` tells whether its pass is pass 1.
        """
        one_visit, layers = self.spec.one_visit, len(self.spec.network.layers)
        if layers > 1 + one_visit:
            with m.If(stb):
                m.d.sync += self.total.eq(self.total + self.square)
            with m.If(self.cost_stb):
                m.d.sync += self.total.eq(0)
            return
        # Where a pass has only the last layer to visit, its first square may follow the previous pass's last one without a gap; otherwise
        # neurons of other layers come in between.
        if layers > 1 or not one_visit:
            sum_so_far = Mux(self.cost_stb, 0, self.total)
            m.d.sync += self.total.eq(Mux(stb, sum_so_far + self.square, sum_so_far))
            return
        # The first layer's groups are the outputs of both passes in turn.
        totals = []
        for number in range(2):
            total = Signal.like(self.total, name=f"total{number}")
            with m.If(stb & (second == number)):
                m.d.sync += total.eq(total + self.square)
            with m.If(self.cost_stb & (self.cost_second == number)):
                m.d.sync += total.eq(0)
            totals.append(total)
        m.d.comb += self.total.eq(Mux(self.cost_second, totals[1], totals[0]))


class AnswerCheck(wiring.Component):
    """Detects correct answers: the largest output has the index of the largest target, or a single output is on its target's side of ½.

    The first of equal values is taken for the largest.

    Members
    -------
    stb, last : In(1)
        Strobe of an output to check, and whether it is the last of its pass.
    y, target : In
        Raw output and its raw target, valid with ``stb``.
    correct : Out(1)
        The pass's answer is correct; high for one cycle, ``latency`` cycles after the last output.
    """

    latency = 3
    """Cycles from a pass's last output to ``correct``: register the values, compare them, register the result."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        y, target = shape_of(spec.outputs_format), shape_of(spec.formats.activation)
        super().__init__({"stb": In(1), "last": In(1), "y": In(y), "target": In(target), "correct": Out(1)})

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        ends = delayed(m, self.stb & self.last, 2, "ends", reset_less=False)
        if spec.network.n_out == 1:
            y, target = delayed(m, self.y, 2, "y"), delayed(m, self.target, 2, "target")
            fractions = spec.outputs_format.fraction_bits, spec.formats.activation.fraction_bits
            half, half_target = (1 << (fraction - 1) if fraction > 0 else 1 for fraction in fractions)
            right = (y >= half) == (target >= half_target)
        else:
            agree, begins = Signal(), Signal(init=1)
            m.d.sync += begins.eq(self.stb & self.last)
            better_y, better_target = (self._better(m, each, begins, name) for each, name in ((self.y, "y"), (self.target, "target")))
            right = Mux(better_y ^ better_target, 0, better_y | agree)
            m.d.sync += agree.eq(right)
        m.d.sync += self.correct.eq(ends & right)
        return m

    def _better(self, m, value, begins, name):
        """Whether a value exceeds all earlier ones of its pass, two cycles later; true for the first value.

        Values are offset so that 0 is below all of them and stands for no value. The value is kept as its complement, so that an adder
        without logic in front of it compares.
        """
        width = len(value) + 1
        above = Signal(width, name=f"above_{name}", reset_less=True)
        best = Signal(width, name=f"best_{name}")
        m.d.sync += above.eq(~Mux(self.stb, value + (1 << width - 1), 0))
        better = Signal(name=f"better_{name}")
        m.d.comb += better.eq(~(Cat(1, best) + Cat(1, above))[-1])
        m.d.sync += best.eq(and_or_mux(better, ~above, best))
        with m.If(begins):
            m.d.sync += best.eq(0)
        return delayed(m, better, 1, f"better_{name}", reset_less=False)
