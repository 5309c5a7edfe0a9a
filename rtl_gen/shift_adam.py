# amaranth: UnusedElaboratable=no
"""The shift of shift-Adam: m times the reciprocal of the root of v, taken from the leading one of v, and the learning rate."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.learning import LearningSpec
from python_ref.spec.number import Overflow
from python_ref.spec.optimizer import ShiftAdam
from rtl_gen.fixed import limit, plus_or_minus, shift
from rtl_gen.probe import shape_of
from rtl_gen.slot import delayed

__all__ = ["RootShift"]

_GROUP = 4
"""Number of pairs of bits among which the first cycle looks for the leading one."""


class RootShift(wiring.Component):
    """o = ⌊m·c·2^(e − h)⌋, kept within the format of the source; see :mod:`python_ref.spec.shift_adam` for c and h.

    Two bits of v with the same h form a pair. The first two cycles find the leading pair that is not 0, the third one multiplies m by c,
    in eighths, the next two shift, and the last one limits.

    Parameters
    ----------
    spec : LearningSpec
        A design whose optimiser is shift-Adam.

    Members
    -------
    m, v : In
        Raw m and raw v, valid together.
    places : In(unsigned)
        Largest exponent of the host less the present one; stable during a run.
    o : Out
        Raw source of the update, ``latency`` cycles later.
    """

    latency = 6

    def __init__(self, spec: LearningSpec):
        assert isinstance(spec.optimizer, ShiftAdam)
        self.optimizer = spec.optimizer
        self.forms = spec.update_forms
        self.exponents = spec.exponents
        m, v = spec.optimizer.formats(spec.gradient_format)
        low, high = spec.exponents
        ports = {"m": In(shape_of(m)), "v": In(shape_of(v)), "places": In(range(high - low + 1))}
        super().__init__({**ports, "o": Out(shape_of(spec.update_source_format))})

    def elaborate(self, platform):
        module = Module()
        number, even, second = self._leading_pair(module)
        held, source = delayed(module, self.m, 2, "m_held"), self.optimizer.source(*self.forms)
        if self.optimizer.refined:
            # m·c in eighths: 8·m + m or 2·m below 2ʰ, 8·m − m or 2·m from there on.
            eighths = Mux(second ^ even, held, shift(held, 1))
            factor = plus_or_minus(shift(held, 3), eighths, even)
            scaled = Signal(signed(len(self.m) + 4), name="scaled", reset_less=True)
        else:
            factor, scaled = held, Signal.like(held, name="scaled", reset_less=True)
        _, high = self.exponents
        least, greatest = self.optimizer.roots(self.forms[0])
        right = Signal(range(greatest - least + (1 << len(self.places))), name="right", reset_less=True)
        module.d.sync += [scaled.eq(factor), right.eq(number + self.places)]
        value = shift(scaled, self.optimizer.left(*self.forms, high) - least)
        # The far shift comes first, so that the near one waits a cycle.
        near, near_places = right[:2], delayed(module, right[:2], 1, "near_places")
        far = Signal(value.shape(), name="far_shifted", reset_less=True)
        done = Signal(value.shape(), name="near_shifted", reset_less=True)
        module.d.sync += [far.eq(self._shifted(value, right[len(near) :], len(near))), done.eq(self._shifted(far, near_places, 0))]
        module.d.sync += self.o.eq(limit(done, source, Overflow.SATURATE)[0])
        return module

    def _shifted(self, value, places, first: int):
        """``value`` shifted to the right by ``places`` times 2^``first``."""
        for bit in range(len(places)):
            amount = min(1 << first + bit, len(value) - 1)
            value = Mux(places[bit], value.shift_right(amount), value).as_signed()
        return value

    def _leading_pair(self, module):
        """Number of the leading pair, counted from that of the least h; whether its upper bit is set; and the bit behind the leading one.

        They are valid two cycles after v.
        """
        v, without = self.v, self.optimizer.formats(self.forms[0])[1].fraction_bits % 2 == 0
        bits = [*([Const(0, 1)] if without else []), *v]  # an h alone has one bit, its upper one
        bits += [Const(0, 1)] if len(bits) % 2 else []
        pairs = [(bits[at], bits[at + 1], bits[at - 1] if at else Const(0, 1)) for at in range(0, len(bits), 2)]
        groups = []
        for first in range(0, len(pairs), _GROUP):
            chosen = Cat(Const(0, 2), Const(int(without and first == 0), 1), Const(0, 1))
            for number, (low, high, below) in enumerate(pairs[first : first + _GROUP]):
                found = Cat(Const(number, 2), high, Mux(high, low, below))
                chosen = Mux(low | high, found, chosen)
            found = Signal(5, name=f"group{first}", reset_less=True)
            some = Cat(bit for pair in pairs[first : first + _GROUP] for bit in pair[:2]).any()
            module.d.sync += found.eq(Cat(chosen, some))
            groups.append(found)
        total = groups[0][:4]
        leading = Cat(total[:2], Const(0, 2), total[2:])
        for number, found in enumerate(groups[1:], 1):
            leading = Mux(found[4], Cat(found[:2], Const(number, 4)[:2], found[2:4]), leading)
        kept = Signal(6, name="leading", reset_less=True)
        module.d.sync += kept.eq(leading)
        return kept[:4], kept[4], kept[5]
