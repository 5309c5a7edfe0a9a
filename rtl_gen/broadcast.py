# amaranth: UnusedElaboratable=no
"""The broadcast of weight perturbation, C̃ scaled and cast once for all synapses; and the scaler and the multiplier of every core."""

from __future__ import annotations

from itertools import pairwise
from itertools import product as product_of

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.number import Fixed, Rounding
from rtl_gen.cast import cast_in_two
from rtl_gen.fanout import fanout_latency
from rtl_gen.fixed import limit, shift
from rtl_gen.perturbation import DRAW_LATENCY
from rtl_gen.probe import shape_of
from rtl_gen.product import Product
from rtl_gen.slot import delayed, pipeline, slot_layout

__all__ = ["Broadcast", "Multiplier", "Scaler", "factors", "operand_shape"]


def operand_shape(spec: DesignSpec):
    """Shape that holds the inputs of every layer, and the constant 1 of the bias."""
    formats = [spec.operand_format(layer) for layer in range(len(spec.network.layers))]
    is_signed = any(f.signed for f in formats)
    width = max(max(f.width + (is_signed and not f.signed), f.fraction_bits + 1 + is_signed) for f in formats)
    return signed(width) if is_signed else unsigned(width)


def factors(spec: DesignSpec) -> tuple[int, int]:
    """Widths of the auxiliary multiplier's two factors, which are the same error of an output twice."""
    return spec.residual_format.width, spec.residual_format.width


class Multiplier(wiring.Component):
    """o = a·b with registers for the factors and the product, in a module of its own so that a DSP block absorbs the registers.

    Parameters
    ----------
    a, b : int
        Widths of the two signed factors.
    in_parts : bool
        Whether to split the factors into pieces that fit one multiplier, and register the partial products before their sum. This
        is faster on large parts, whose multipliers are plentiful but far apart.

    Attributes
    ----------
    latency : int
        Cycles from the factors to ``o``.
    """

    WIDEST = 16
    """Widest factor, in bits, for which the multiplier is one UP5K DSP block."""

    PIECE = 17
    """Width of each piece of a factor but the last, in bits; with a sign bit, it fits the multipliers of most parts."""

    def __init__(self, a: int, b: int, *, in_parts: bool = False):
        self.in_parts = in_parts
        self.latency = 2 + in_parts
        super().__init__({"a": In(signed(a)), "b": In(signed(b)), "o": Out(signed(a + b))})

    @classmethod
    def of(cls, spec: DesignSpec) -> Multiplier:
        """Return the auxiliary multiplier of a design."""
        return cls(*factors(spec), in_parts=fanout_latency(spec.hardware.lanes) > 0)

    @property
    def products(self) -> list[tuple[int, int]]:
        """Widths of the signed factors of each partial product."""
        pieces = ([part.width + (not part.signed) for _, part in self._cut(factor)] for factor in (self.a, self.b))
        return list(product_of(*pieces))

    def _cut(self, factor):
        """Pieces of a factor, each with its lowest bit and its shape; all but the last are unsigned."""
        cuts = [*range(0, max(1, len(factor) - 1), self.PIECE), len(factor)] if self.in_parts else [0, len(factor)]
        *low, high = pairwise(cuts)
        return [*((first, unsigned(after - first)) for first, after in low), (high[0], signed(high[1] - high[0]))]

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(self._in_parts(m) if self.in_parts else self._whole(m))
        return m

    def _whole(self, m):
        a = Signal.like(self.a, name="a_registered", reset_less=True)
        b = Signal.like(self.b, name="b_registered", reset_less=True)
        # The product has all bits of the DSP's product, as in a lane's multiply-accumulate.
        widest = max(self.WIDEST, len(a), len(b))
        a_wide, b_wide = Signal(signed(widest)), Signal(signed(widest))
        product = Signal(signed(2 * widest), reset_less=True)
        m.d.comb += [a_wide.eq(a), b_wide.eq(b)]
        m.d.sync += [a.eq(self.a), b.eq(self.b), product.eq(a_wide * b_wide)]
        return product

    def _in_parts(self, m):
        parts = []
        for (at_a, a), (at_b, b) in product_of(self._cut(self.a), self._cut(self.b)):
            part = m.submodules[f"product_{at_a}_{at_b}"] = Product(a, b, pipelined=True)
            m.d.comb += [part.a.eq(self.a[at_a:]), part.b.eq(self.b[at_b:])]
            parts.append(shift(part.o, at_a + at_b))
        product = Signal.like(self.o, name="product", reset_less=True)
        m.d.sync += product.eq(sum(parts[1:], parts[0]))
        return product


class Scaler(wiring.Component):
    """Multiplies by a power of two and casts: o = cast(i · 2^e), with e in a range fixed at construction.

    Each cycle applies two bits of the shift amount; then follow rounding and the limits. A sticky bit, the OR of all bits shifted out,
    keeps the rounding exact.

    Parameters
    ----------
    shape : Shape
        Shape of the input ``i``.
    dropped : int
        Number of bits dropped at amount 0; negative for a shift to the left.
    amounts : int
        Number of amounts; amount n, from 0 to amounts − 1, drops n bits more.
    target : Fixed
        Format of the output ``o``.
    cast : Cast
        Rounding and overflow mode of the cast.

    Members
    -------
    i, amount : In
        Raw value to scale, and the amount of bits to drop more.
    o : Out
        Raw cast value in ``target``, ``latency`` cycles after ``i``.
    outside : Out(1)
        The value was out of the range of ``target``; valid with ``o``.
    """

    def __init__(self, shape, *, dropped: int, amounts: int, target: Fixed, cast):
        self.shape = shape
        self.dropped = dropped
        self.amounts = amounts
        self.target = target
        self.cast = cast
        super().__init__({"i": In(shape), "amount": In(range(max(2, amounts))), "o": Out(shape_of(target)), "outside": Out(1)})

    @property
    def latency(self) -> int:
        """Cycles from ``i`` to ``o``: one per two bits of the amount, one for rounding unless it is FLOOR, and one for the limits."""
        return self._shift_latency + self._rounds + 1

    @property
    def _shift_latency(self) -> int:
        return max(1, -(-(self.amounts - 1).bit_length() // 2))  # one where there is no amount, too

    @property
    def _rounds(self) -> bool:
        return self.cast.rounding is not Rounding.FLOOR

    def elaborate(self, platform):
        m = Module()
        # The value gets two more low bits, a guard bit and the sticky bit.
        exact = self._rounds
        value, amount = shift(self.i, max(0, -self.dropped) + 2 * exact), self.amount
        for stage in range(self._shift_latency):
            shifted = value
            for place in (2 * stage, 2 * stage + 1):
                if place < len(amount):
                    moved = shifted.shift_right(1 << place)
                    if exact:
                        moved = moved | shifted[: min(1 << place, len(shifted))].any()
                    following = Signal(value.shape(), name=f"shifted{place}")
                    m.d.comb += following.eq(Mux(amount[place], moved, shifted))
                    shifted = following
            register = Signal(value.shape(), name=f"stage{stage}", reset_less=True)
            left = Signal.like(amount, name=f"amount{stage}", reset_less=True)
            m.d.sync += [register.eq(shifted), left.eq(amount)]
            value, amount = register, left
        dropped = max(0, self.dropped) + 2 * exact
        if exact:
            limited, outside = cast_in_two(m, value, dropped, self.target, self.cast.rounding, self.cast.overflow, "cast")
        else:
            limited, outside = limit(shift(value, -dropped), self.target, self.cast.overflow)
        m.d.sync += [self.o.eq(limited), self.outside.eq(outside)]
        return m


class Broadcast(wiring.Component):
    """Computes g = cast_gradient(2^e·C̃) and, for direct updates, u = cast_weight(g); its multiplier squares the errors of the outputs.

    Parameters
    ----------
    spec : LearningSpec
        The design whose broadcast is computed; one without a network has no multiplier.
    lanes : int
        Number of values of a direct update; a class derived from this one rounds more than one.

    Members
    -------
    slot : In(slot_layout(spec))
        Slot whose broadcast word is computed.
    cost_change : In
        Raw C̃, which must be stable from the cycle after the first slot of a correlating pass.
    exponent : In(signed(8))
        Exponent e of the learning rate, within ``spec.gradient_exponents``.
    update : In(1)
        An update is due in the correlating pass.
    noise : In(spec.stochastic_bits)
        Rounding noise, valid two cycles after ``noise_slot`` (direct updates with stochastic rounding only).
    noise_slot : Out(slot_layout(spec))
        The slot, two cycles before its rounding noise is used.
    error : In
        Raw error of an output; only where there is a multiplier, as the next.
    square : Out
        Square of ``error``, after the latency of the multiplier.
    slot_o : Out(slot_layout(spec))
        The slot, ``latency`` cycles after ``slot`` and one cycle before ``o`` is valid for it.
    slot_ahead : Out(slot_layout(spec))
        The slot that follows on ``slot_o`` one cycle later.
    o : Out
        Raw g, or raw u for direct updates; u is 0 where nothing is updated.
    outside, update_outside : Out(1)
        Whether cast_gradient, and cast_weight, was out of range; valid with ``o``.
    """

    def __init__(self, spec: LearningSpec, lanes: int = 1):
        self.spec = spec
        self.multiplier = Multiplier.of(spec) if isinstance(spec, DesignSpec) else None
        low, high = spec.gradient_exponents
        change = shape_of(spec.cost_change_format)
        self.scaler = Scaler(
            change,
            dropped=spec.cost_change_format.fraction_bits - high - spec.gradient_format.fraction_bits,
            amounts=high - low + 1,
            target=spec.gradient_format,
            cast=spec.formats.gradient_cast,
        )
        squares = {}
        if isinstance(spec, DesignSpec):
            error = shape_of(spec.residual_format)
            squares = {"error": In(error), "square": Out(2 * error.width)}
        ports = {
            "slot": In(slot_layout(spec)),
            "cost_change": In(change),
            "exponent": In(signed(8)),
            "update": In(1),
            **squares,
            "slot_o": Out(slot_layout(spec)),
            "slot_ahead": Out(slot_layout(spec)),
            "outside": Out(1),
            "o": Out(shape_of(spec.broadcast_format) if lanes == 1 else lanes * spec.broadcast_format.width),
        }
        if spec.direct_update:
            ports |= {"update_outside": Out(lanes)}
            if spec.stochastic_bits:
                ports |= {"noise": In(lanes * spec.stochastic_bits), "noise_slot": Out(slot_layout(spec))}
        super().__init__(ports)

    @property
    def latency(self) -> int:
        """Cycles from ``slot`` to ``slot_o``: the scaler, and cast_weight for direct updates; less one."""
        return self.scaler.latency + 2 * self.spec.direct_update - 1

    def elaborate(self, platform):
        m = Module()
        m.submodules.scaler = scaler = self.scaler
        slots = pipeline(m, self.slot, self.latency)
        m.d.comb += [self.slot_o.eq(slots[-1]), self.slot_ahead.eq(slots[-2])]

        if self.multiplier is not None:
            m.submodules.multiplier = multiplier = self.multiplier
            m.d.comb += [self.square.eq(multiplier.o), multiplier.a.eq(self.error), multiplier.b.eq(self.error)]
        amount = Signal(range(max(2, scaler.amounts)))
        m.d.sync += amount.eq(self.spec.gradient_exponents[1] - self.exponent)
        m.d.comb += [
            scaler.i.eq(self.cost_change),
            scaler.amount.eq(amount),
        ]

        if self.spec.direct_update:
            self.cast_weight(m, slots)
        else:
            m.d.comb += [self.o.eq(scaler.o), self.outside.eq(scaler.outside)]
        return m

    def cast_weight(self, m, slots):
        """u = cast_weight(g), two cycles after g; 0 where nothing is updated."""
        spec, g, outside, stage = self.spec, self.scaler.o, self.scaler.outside, self.scaler.latency
        source, target, cast = spec.gradient_format, spec.update_format, spec.formats.weight_cast
        if spec.stochastic_bits:
            m.d.comb += self.noise_slot.eq(slots[stage - DRAW_LATENCY])
        dropped, word = source.fraction_bits - target.fraction_bits, self.noise if spec.stochastic_bits else 0
        u, update_outside = cast_in_two(m, g, dropped, target, cast.rounding, cast.overflow, "u", word)
        entry = slots[stage + 1]
        m.d.sync += self.o.eq(Mux(entry.correlate & self.update, u, 0))
        m.d.sync += self.update_outside.eq(update_outside)
        m.d.comb += self.outside.eq(delayed(m, outside, 2, "g_outside"))
