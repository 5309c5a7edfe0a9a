# amaranth: UnusedElaboratable=no
"""The broadcast: the one number that reaches every synapse, scaled and narrowed once, outside the lanes.

In node perturbation it is C̃·xⱼ, formed by the core's one auxiliary multiplier, which squares the output errors when it
does not correlate.
"""

from __future__ import annotations

from itertools import pairwise
from itertools import product as product_of

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Fixed, Rounding
from rtl_gen.cast import cast_in_two
from rtl_gen.fixed import limit, shift
from rtl_gen.perturbation import DRAW_LATENCY
from rtl_gen.probe import shape_of
from rtl_gen.product import Product
from rtl_gen.slot import NEVER_COLLIDES, by_layer, delayed, in_last_layer, pipeline, slot_layout
from rtl_gen.station import reach_of, read_latency_of

__all__ = ["Broadcast", "Multiplier", "Scaler", "factors", "operand_shape"]


def operand_shape(spec: DesignSpec):
    """Shape that holds the inputs of every layer, and 1."""
    formats = [spec.operand_format(layer) for layer in range(len(spec.network.layers))]
    is_signed = any(f.signed for f in formats)
    width = max(max(f.width + (is_signed and not f.signed), f.fraction_bits + 1 + is_signed) for f in formats)
    return signed(width) if is_signed else unsigned(width)


def factors(spec: DesignSpec) -> tuple[int, int]:
    """Widths of the auxiliary multiplier's factors: C̃ and x, or an error twice."""
    error = spec.error_format.width
    if not spec.node:
        return error, error
    operand = operand_shape(spec)
    return max(spec.cost_change_format.width, error), max(operand.width + (not operand.signed), error)


class Multiplier(wiring.Component):
    """o = a·b, with registers for the factors and the product; a block of its own, so that a DSP takes the registers too.

    Parameters
    ----------
    a, b : int
        Widths of the factors, signed.
    in_parts : bool
        Whether the part has multipliers in plenty, far from what is told: factors are cut into what one of them takes, and their
        products are held before they are summed.

    Attributes
    ----------
    latency : int
        Cycles from the factors to ``o``.
    """

    WIDEST = 16
    """Widest factor for which it is one UP5K DSP."""

    PIECE = 17
    """Bits of a piece of a factor, all but its last: with their sign as many as most parts multiply."""

    def __init__(self, a: int, b: int, *, in_parts: bool = False):
        self.in_parts = in_parts
        self.latency = 2 + in_parts
        super().__init__({"a": In(signed(a)), "b": In(signed(b)), "o": Out(signed(a + b))})

    @classmethod
    def of(cls, spec: DesignSpec) -> Multiplier:
        """That of a design."""
        return cls(*factors(spec), in_parts=reach_of(spec.hardware.lanes) > 0)

    @property
    def products(self) -> list[tuple[int, int]]:
        """Widths of the factors that are multiplied, signed."""
        pieces = ([part.width + (not part.signed) for _, part in self._cut(factor)] for factor in (self.a, self.b))
        return list(product_of(*pieces))

    def _cut(self, factor):
        """Pieces of a factor, each with its place and its shape: all but the last are unsigned."""
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
        # As in a lane's multiply-accumulate: all bits that the DSP's product has.
        widest = max(self.WIDEST, len(a), len(b))
        a_wide, b_wide = Signal(signed(widest)), Signal(signed(widest))
        product = Signal(signed(2 * widest), reset_less=True)
        m.d.comb += [a_wide.eq(a), b_wide.eq(b)]
        m.d.sync += [a.eq(self.a), b.eq(self.b), product.eq(a_wide * b_wide)]
        return product

    def _in_parts(self, m):
        parts = []
        for (at_a, a), (at_b, b) in product_of(self._cut(self.a), self._cut(self.b)):
            part = m.submodules[f"product_{at_a}_{at_b}"] = Product(a, b, far=True)
            m.d.comb += [part.a.eq(self.a[at_a:]), part.b.eq(self.b[at_b:])]
            parts.append(shift(part.o, at_a + at_b))
        product = Signal.like(self.o, name="product", reset_less=True)
        m.d.sync += product.eq(sum(parts[1:], parts[0]))
        return product


class Scaler(wiring.Component):
    """Multiplies by a power of two and casts: o = cast(i · 2^e) for e within a range fixed at construction.

    Two places of shift a cycle, then rounding, then the limits. A bit that stands for everything shifted out keeps
    the rounding exact.

    Parameters
    ----------
    shape : Shape
        Of ``i``.
    dropped : int
        Bits dropped at amount 0; negative where that shifts left.
    amounts : int
        Number of amounts: 0 … amounts − 1 drop that many bits more.
    target : Fixed
        Format of ``o``.
    cast : Cast
        Modes.

    Members
    -------
    i, amount : In
        Value and amount.
    o, outside : Out
        The cast value ``latency`` cycles later, and whether it was out of range.
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
        """Two places of the amount a cycle, one for rounding where there is any, one for the limits."""
        return self._shift_latency + self._rounds + 1

    @property
    def _shift_latency(self) -> int:
        return -(-(self.amounts - 1).bit_length() // 2)

    @property
    def _rounds(self) -> bool:
        return self.cast.rounding is not Rounding.FLOOR

    def elaborate(self, platform):
        m = Module()
        # Two places more than the value has: a guard place and the place that stands for all that was shifted out.
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
    """Forms g = cast_gradient(2^e·C̃·xⱼ) or, without a gradient memory, u = cast_weight(g).

    Parameters
    ----------
    spec : DesignSpec
        The design.

    Members
    -------
    slot : In(slot_layout(spec))
        The slot, when the old input's address stands (node perturbation).
    old_x : In(operand_shape(spec))
        The input xⱼ of the pass that is correlated, one cycle after ``slot``; taken as 1 for a bias.
    cost_change : In
        C̃; must stand from the cycle after the first slot of a correlating pass.
    exponent : In(signed)
        e, within ``spec.exponents``.
    update : In(1)
        An update is due.
    word : In
        Random word, valid two cycles after ``word_slot``.
    word_slot : Out
        The slot, two cycles before its random word is used.
    error, error_stb : In
        An output's error; ``square`` is its square two cycles later. Never given while products are formed.
    slot_o, slot_ahead : Out(slot_layout(spec))
        The slot, a cycle before ``o`` is valid: ``latency`` cycles after ``slot``; and the slot that comes a cycle later.
    o : Out
        g, or u; 0 in a pass that does not correlate.
    outside, update_outside : Out(1)
        Whether cast_gradient, and cast_weight, was out of range; with ``o``.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.multiplier = Multiplier.of(spec)
        self._read_latency = read_latency_of(spec.hardware.lanes)
        layers = range(len(spec.network.layers))
        products = [spec.product_format(spec.operand_format(layer) if spec.node else None) for layer in layers]
        low, high = spec.exponents
        fractions = [product.fraction_bits for product in products]
        self.offsets = [fraction - min(fractions) for fraction in fractions]
        operand = operand_shape(spec)
        change = shape_of(spec.cost_change_format)
        width = change.width + operand.width if spec.node else change.width
        self.scaler = Scaler(
            signed(width),
            dropped=min(fractions) - high - spec.gradient_format.fraction_bits,
            amounts=high - low + 1 + max(self.offsets),
            target=spec.gradient_format,
            cast=spec.formats.gradient_cast,
        )
        placed = spec.layout.layers[-1]
        self.reuses = spec.node and placed.groups > 1
        error = shape_of(spec.error_format)
        ports = {
            "slot": In(slot_layout(spec)),
            "cost_change": In(change),
            "exponent": In(signed(8)),
            "update": In(1),
            "error_stb": In(1),
            "error": In(error),
            "square": Out(2 * error.width),
            "slot_o": Out(slot_layout(spec)),
            "slot_ahead": Out(slot_layout(spec)),
            "outside": Out(1),
            "o": Out(shape_of(spec.broadcast_format)),
        }
        if spec.node:
            ports["old_x"] = In(operand)
        if spec.plain:
            ports |= {"update_outside": Out(1)}
            if spec.stochastic_bits:
                ports |= {"word": In(spec.stochastic_bits), "word_slot": Out(slot_layout(spec))}
        super().__init__(ports)

    @property
    def _product_latency(self) -> int:
        return self._read_latency + self.multiplier.latency if self.spec.node else 0

    @property
    def latency(self) -> int:
        """Cycles from ``slot`` to ``slot_o``: the product, the scaler, and cast_weight without a gradient memory; less one."""
        return self._product_latency + self.scaler.latency + self.reuses + 2 * self.spec.plain - 1

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        m.submodules.scaler = scaler = self.scaler
        slots = pipeline(m, self.slot, self.latency)
        m.d.comb += [self.slot_o.eq(slots[-1]), self.slot_ahead.eq(slots[-2])]

        product = self._multiply(m, slots)
        # The amount belongs to the cycle in which the product enters the scaler.
        before = slots[max(0, self._product_latency - 1)]
        amount = Signal(range(max(2, scaler.amounts)))
        m.d.sync += amount.eq(spec.exponents[1] - self.exponent + by_layer(self.offsets, before.layer))
        m.d.comb += [
            scaler.i.eq(product),
            scaler.amount.eq(amount),
        ]

        stage = self._product_latency + scaler.latency
        g, outside = scaler.o, scaler.outside
        if self.reuses:
            g, outside = self._reuse(m, g, outside, slots[stage - 1], slots[stage])
            stage += 1
        if spec.plain:
            self._cast_weight(m, g, outside, slots, stage)
        else:
            m.d.comb += [self.o.eq(g), self.outside.eq(outside)]
        return m

    def _multiply(self, m, slots):
        """C̃·x of a slot, when it enters the scaler, or C̃ itself in weight perturbation; and the square of an error."""
        spec = self.spec
        error = self.error
        m.submodules.multiplier = multiplier = self.multiplier
        m.d.comb += self.square.eq(multiplier.o)
        if not spec.node:
            m.d.comb += [multiplier.a.eq(error), multiplier.b.eq(error)]
            return self.cost_change
        operand = operand_shape(spec)
        x, slot = Signal(operand), slots[self._read_latency]
        ones = by_layer([1 << spec.operand_format(n).fraction_bits for n in range(len(spec.network.layers))], slot.layer)
        m.d.comb += x.eq(Mux(slot.first, ones, self.old_x))
        m.d.comb += [
            multiplier.a.eq(Mux(self.error_stb, error, self.cost_change)),
            multiplier.b.eq(Mux(self.error_stb, error, x)),
        ]
        return multiplier.o

    def _reuse(self, m, g, outside, before, slot):
        """Remember g of the last layer's first group for its other groups, so that the multiplier is free for the cost."""
        spec = self.spec
        m.submodules.reuse = store = memory.Memory(
            shape=unsigned(len(g) + 1), depth=spec.layout.layers[-1].group_words, init=[], attrs=NEVER_COLLIDES
        )
        write, read = store.write_port(), store.read_port()
        word = Signal(range(spec.layout.layers[-1].group_words))
        fresh, remembered = Signal(len(g) + 1, reset_less=True), Signal(len(g) + 1, reset_less=True)
        repeat = Signal()
        with m.If(before.real):
            m.d.sync += word.eq(Mux(before.last, 0, word + 1))
        # A word is read a cycle before it is needed, so that no logic follows the memory; it was written a group earlier.
        m.d.comb += [
            write.addr.eq(delayed(m, word, 1, "word")),
            write.data.eq(Cat(g, outside)),
            write.en.eq(slot.real & slot.correlate & in_last_layer(spec, slot) & ~slot.repeat),
            read.addr.eq(word),
        ]
        m.d.sync += [fresh.eq(Cat(g, outside)), remembered.eq(read.data), repeat.eq(slot.repeat)]
        chosen = Signal(len(g) + 1)
        m.d.comb += chosen.eq(Mux(repeat, remembered, fresh))
        return chosen[:-1].as_signed(), chosen[-1]

    def _cast_weight(self, m, g, outside, slots, stage):
        """u = cast_weight(g) two cycles later; 0 where nothing is updated."""
        spec = self.spec
        source, target, cast = spec.gradient_format, spec.update_format, spec.formats.weight_cast
        if spec.stochastic_bits:
            m.d.comb += self.word_slot.eq(slots[stage - DRAW_LATENCY])
        dropped, word = source.fraction_bits - target.fraction_bits, self.word if spec.stochastic_bits else 0
        u, update_outside = cast_in_two(m, g, dropped, target, cast.rounding, cast.overflow, "u", word)
        entry = slots[stage + 1]
        m.d.sync += self.o.eq(Mux(entry.correlate & self.update, u, 0))
        m.d.sync += self.update_outside.eq(update_outside)
        m.d.comb += self.outside.eq(delayed(m, outside, 2, "g_outside"))
