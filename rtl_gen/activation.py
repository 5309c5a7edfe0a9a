"""Serialisation of the lanes' accumulators into neurons, and the activation unit that all neurons pass through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TypeGuard

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.activations import Activation, Form, Piece, Piecewise, Tabulated
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.number import Overflow
from python_ref.spec.tables import activation_table
from rtl_gen.cast import cast_in_two, jam
from rtl_gen.probe import shape_of
from rtl_gen.slot import active_lanes, by_layer, delayed, in_last_layer, serves_both, slot_layout

__all__ = ["ActivationUnit", "NeuronSerializer", "activations", "by_binary_point", "is_halved", "neuron_layout", "stored_table"]


def neuron_layout(spec: DesignSpec) -> data.StructLayout:
    """Layout of the fields that accompany a neuron's value.

    Members
    -------
    valid : unsigned(1)
        There is a neuron in this cycle.
    second : unsigned(1)
        The pass is pass 1, not pass 0.
    last : unsigned(1)
        The neuron is the last one of its pass.
    layer : unsigned
        Number of the neuron's layer, from 0.
    """
    return data.StructLayout({"valid": unsigned(1), "second": unsigned(1), "last": unsigned(1), "layer": slot_layout(spec)["layer"].shape})


class NeuronSerializer(wiring.Component):
    """Captures the accumulators of a finished group in one cycle and outputs them one per cycle, lane 0 first.

    A group of a visit that serves both passes of a step leaves twice, first as pass 0's neurons and then as pass 1's: the pre-activation
    that leaves for pass 0 goes to the end of the queue, moved to pass 1's by one adder for all lanes. It is z₀ + Δ·Σs·x, or with a
    two-sided difference z₋ = z₊ − 2Δ·Σs·x.

    Members
    -------
    slot : In(slot_layout(spec))
        The slot whose product the accumulators include one cycle later.
    accumulators : In(unsigned)
        Accumulators of all lanes, lane 0's in the lowest bits.
    sign_sums : In(unsigned)
        Σs·x of all lanes, lane 0's in the lowest bits, valid with the accumulators (only where ``spec.one_visit``).
    neuron : Out(neuron_layout(spec))
        Fields of the neuron that is output, the first one ``latency`` cycles after ``slot``.
    z : Out(signed)
        Pre-activation of that neuron.
    """

    latency = 2
    """Cycles from ``slot`` to the first neuron: one to qualify the slot, one to capture the accumulators."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        ports = {
            "slot": In(slot_layout(spec)),
            "accumulators": In(unsigned(spec.hardware.lanes * spec.accumulator_width)),
            "neuron": Out(neuron_layout(spec)),
            "z": Out(signed(spec.accumulator_width)),
        }
        if spec.one_visit:
            ports["sign_sums"] = In(unsigned(spec.hardware.lanes * spec.sign_sum_format.width))
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        spec, slot = self.spec, delayed(m, self.slot, 1, "slot")
        width, take = spec.accumulator_width, Signal()
        m.d.sync += take.eq(self.slot.last & self.slot.forward)
        waiting = [Signal(width, name=f"waiting{lane}", reset_less=True) for lane in range(spec.hardware.lanes)]
        occupied = Signal(spec.hardware.lanes)
        pass_ends = Signal()
        neuron = Signal.like(self.neuron, name="first")
        m.d.sync += [occupied.eq(occupied >> 1), *(value.eq(following) for value, following in pairwise(waiting))]
        ends = occupied[0] & ~occupied[1:2].any()
        if spec.one_visit:
            second, ends = self._return(m, waiting, occupied, take, slot)
            m.d.comb += neuron.second.eq(second)
        with m.If(take):
            m.d.sync += [
                *(value.eq(self.accumulators.word_select(lane, width)) for lane, value in enumerate(waiting)),
                occupied.eq(Cat(active_lanes(spec, slot) > lane for lane in range(spec.hardware.lanes))),
                *([] if spec.one_visit else [neuron.second.eq(slot.second)]),
                neuron.layer.eq(slot.layer),
                pass_ends.eq(slot.tail & in_last_layer(spec, slot)),
            ]
        m.d.comb += [neuron.valid.eq(occupied[0]), neuron.last.eq(ends & pass_ends)]
        m.d.comb += [self.z.eq(waiting[0].as_signed()), self.neuron.eq(neuron)]
        return m

    def _return(self, m, waiting, occupied, take, slot):
        """Put what leaves for pass 0 back into the queue for pass 1, where the visit serves both.

        Returns
        -------
        (Value, Value)
            Whether the neuron that is output belongs to pass 1, and whether it is the last one of its group and pass.
        """
        spec, placed = self.spec, self.spec.layout.layers[0]
        lanes, form = spec.hardware.lanes, spec.sign_sum_format
        sums = [Signal(form.width, name=f"sum{lane}", reset_less=True) for lane in range(lanes)]
        seconds, pair, tail = Signal(lanes), Signal(), Signal()
        m.d.sync += [seconds.eq(seconds >> 1), *(value.eq(following) for value, following in pairwise(sums))]
        # Δ is a power of two, so the bits of z below it stay.
        low = spec.formats.weight.fraction_bits + spec.perturbation.amplitude_log2 + spec.two_sided
        z, sign_sum = waiting[0].as_signed(), sums[0].as_signed()
        moved = Cat(z[:low], z.shift_right(low) - sign_sum if spec.two_sided else z.shift_right(low) + sign_sum)
        # The end of the queue is behind the last lane of a group.
        ends = {lanes: ~tail, placed.last_lanes: tail} if placed.groups > 1 and placed.last_lanes < lanes else {placed.last_lanes: 1}
        for end, when in ends.items():
            with m.If(pair & occupied[0] & ~seconds[0] & when):
                m.d.sync += [waiting[end - 1].eq(moved), occupied[end - 1].eq(1), seconds[end - 1].eq(1)]
        with m.If(take):
            m.d.sync += [
                *(value.eq(self.sign_sums.word_select(lane, form.width)) for lane, value in enumerate(sums)),
                seconds.eq(slot.second.replicate(lanes)),
                pair.eq(serves_both(spec, slot)),
                tail.eq(slot.tail),
            ]
        turns = (seconds[1:2] & ~seconds[0]).any()
        return seconds[0], occupied[0] & (~occupied[1:2].any() | turns)


class ActivationUnit(wiring.Component):
    """Computes y = cast_activation(f(z)) with the activation function f of the neuron's layer, in ``latency`` cycles.

    Parameters
    ----------
    spec : DesignSpec
        The design whose activations are computed.
    layout : data.StructLayout or None
        Layout of a neuron's fields; None for :func:`neuron_layout`.
    complement : bool
        Whether the complement of ``y`` is registered, so that an adder without logic in front of it subtracts ``y``.

    Members
    -------
    neuron : In(neuron_layout(spec))
        Fields of the neuron whose pre-activation is ``z``.
    z : In(signed)
        Raw pre-activation in the exact format of the neuron's layer.
    neuron_o, z_o : Out
        The inputs ``neuron`` and ``z``, ``latency`` cycles later.
    y : Out
        Raw activation in the activation format, valid with ``neuron_o``.
    outside : Out(1)
        The cast to the activation format was out of range; valid with ``y``.
    """

    latency = 3
    """Cycles from ``z`` to ``y``: one to align, one to round, one for the limits or the table."""

    def __init__(self, spec: DesignSpec, layout: data.StructLayout | None = None, *, complement: bool = False):
        self.spec = spec
        self.complement = complement
        layout = layout or neuron_layout(spec)
        super().__init__(
            {
                "neuron": In(layout),
                "z": In(signed(spec.accumulator_width)),
                "neuron_o": Out(layout),
                "z_o": Out(signed(spec.accumulator_width)),
                "y": Out(shape_of(spec.formats.activation)),
                "outside": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        pieces = _Pieces(spec)
        aligned = Signal(signed(pieces.width), reset_less=True)
        m.d.sync += aligned.eq(pieces.value(self.z, self.neuron.layer))

        neuron = delayed(m, self.neuron, self.latency - 1, "neuron", reset_less=False)
        m.d.sync += [self.neuron_o.eq(neuron), self.z_o.eq(delayed(m, self.z, self.latency - 1, "z"))]

        # Sloped pieces are already evaluated at this point; only the cast remains for them.
        functions = [Activation.IDENTITY if _is_sloped(each.form) else each for each in activations(spec)]
        used = sorted(set(functions), key=lambda a: a.value)
        function = by_layer([used.index(each) for each in functions], neuron.layer)
        chosen = Signal.like(function)
        m.d.sync += chosen.eq(function)
        with m.Switch(chosen):
            for number, activation in enumerate(used):
                y, outside = self._apply(m, activation, aligned, pieces.fraction)
                with m.Case(number):
                    m.d.comb += [self.y.eq(y), self.outside.eq(outside)]
        return m

    def _apply(self, m, activation, aligned, fraction):
        """One activation: its value, and whether it was out of range, both two cycles after ``aligned``."""
        formats = self.spec.formats
        target, cast = formats.activation, formats.activation_cast
        name = activation.value
        y = Signal(shape_of(target), name=f"{name}_y", reset_less=True)
        outside = Signal(name=f"{name}_outside")
        if isinstance(activation.form, Piecewise) and activation.form.flat:
            m.d.sync += self._flat(activation, aligned, fraction, y)
            return y, outside
        narrow = formats.table if activation.tabulated else target
        overflow = Overflow.SATURATE if activation.tabulated else cast.overflow
        dropped = fraction - narrow.fraction_bits
        limited, is_outside = cast_in_two(m, aligned, dropped, narrow, cast.rounding, overflow, name)
        m.d.sync += outside.eq(is_outside)
        if not activation.tabulated:
            if self.complement:
                complement = Signal.like(y, name=f"{name}_complement")
                m.d.sync += complement.eq(~limited)
                m.d.comb += y.eq(~complement)
            else:
                m.d.sync += y.eq(limited)
            return y, outside
        if is_halved(self.spec, activation):
            return self._of_magnitude(m, name, stored_table(self.spec, activation), limited), outside
        rows = [int(row) for row in stored_table(self.spec, activation)]
        m.submodules[f"{name}_table"] = rom = memory.Memory(shape=shape_of(target), depth=len(rows), init=rows)
        read = rom.read_port()
        address = Signal(narrow.width, name=f"{name}_address")
        m.d.comb += [address.eq(limited), read.addr.eq(address)]
        return read.data, outside

    def _of_magnitude(self, m, name, rows, value):
        """f(value) of an odd function from its table for positive values."""
        bits, target = (len(rows) - 1).bit_length(), shape_of(self.spec.formats.activation)
        m.submodules[f"{name}_table"] = rom = memory.Memory(
            shape=unsigned(target.width - 1), depth=len(rows), init=[int(row) for row in rows]
        )
        read, magnitude = rom.read_port(), Signal(bits + 1, name=f"{name}_magnitude")
        m.d.comb += [
            magnitude.eq(Mux(value < 0, -value, value)),
            read.addr.eq(magnitude[:bits] | magnitude[bits].replicate(bits)),  # the lowest value has the magnitude of the highest
        ]
        y = Signal(target, name=f"{name}_of_magnitude")
        m.d.comb += y.eq(Mux(delayed(m, value < 0, 1, f"{name}_negative"), -read.data, read.data))
        return y

    def _flat(self, activation, aligned, fraction, y):
        """Assignments for an activation whose pieces are constants: compare with the breaks, and select a constant a cycle later."""
        form, unit = activation.form, 2**self.spec.formats.activation.fraction_bits
        below = [
            Signal(name=f"{activation.value}_negative" if begin == 0 else f"{activation.value}_below{n}")
            for n, begin in enumerate(form.breaks)
        ]
        *others, chosen = (int(piece.offset * unit) for piece in form.pieces)
        for mark, constant in reversed(list(zip(below, others, strict=True))):
            chosen = Mux(mark, constant, chosen)
        begins = [math.ceil(begin * 2**fraction) for begin in form.breaks]
        return [*(mark.eq(aligned < begin) for mark, begin in zip(below, begins, strict=True)), y.eq(chosen)]


def is_halved(spec: DesignSpec, activation: Activation) -> bool:
    """Whether the core stores a table of an activation for positive values alone: in a network with state, where the table is odd."""
    if not (spec.series and spec.formats.activation.signed):
        return False
    table = activation_table(activation, spec.formats.table, spec.formats.activation)
    positive, negative = table[: len(table) // 2], table[len(table) // 2 :]  # addressed by the two's complement
    mirrored = np.append(positive, positive[-1])[1:][::-1]
    return bool(np.array_equal(negative, -mirrored) and positive[0] == 0 and positive.min() >= 0)


def stored_table(spec: DesignSpec, activation: Activation) -> np.ndarray:
    """Return the rows of the table of an activation that the core stores (int64)."""
    table = activation_table(activation, spec.formats.table, spec.formats.activation)
    return table[: len(table) // 2] if is_halved(spec, activation) else table


def activations(spec: DesignSpec) -> list[Activation]:
    """Return the activation of each layer; that of a layer which has none does not matter, and is one of the others."""
    used = [layer.activation for layer in spec.network.layers if layer.kind.activated] or [Activation.IDENTITY]
    return [layer.activation if layer.kind.activated else used[-1] for layer in spec.network.layers]


def by_binary_point(fractions: Sequence[int], values: Sequence[Value | int], layer: Value) -> Value:
    """The value that belongs to ``layer``, of values that differ only where the binary points of layers do.

    Parameters
    ----------
    fractions : sequence of int
        Number of fraction bits in each layer.
    values : sequence of Value or int
        Value for each layer; those of layers with as many fraction bits are the same.
    layer : Value
        Number of the layer, from 0.
    """
    *others, found = values
    chosen = Value.cast(found)
    for number in reversed(range(max(1, len(others)))):
        if number == 0 or fractions[number] != fractions[-1]:
            chosen = Mux(layer == number, values[number], chosen)
    return chosen


def _is_sloped(form: Form) -> TypeGuard[Piecewise]:
    """Whether an activation is pieces pieces of which one has a slope."""
    if not isinstance(form, (Tabulated, Piecewise)):
        raise unknown("Form of an activation", form, "rtl_gen.activation")
    return isinstance(form, Piecewise) and not form.flat


class _Pieces:
    """Evaluates sloped pieces and aligns all pre-activations to one binary point, in one cycle of logic.

    Without a state, only the first layer can have another binary point than the rest, since its inputs have their own format. Low bits
    that no cast keeps are reduced to one (:func:`~rtl_gen.cast.jam`).

    Attributes
    ----------
    width, fraction : int
        Total bits and fraction bits of the result.
    """

    def __init__(self, spec: DesignSpec):
        self._forms = forms = [each.form for each in activations(spec)]
        self._fractions = [spec.preactivation_format(n).fraction_bits for n in range(len(forms))]
        sloped = [form for form in forms if _is_sloped(form)]
        self._exact_fraction = max(self._fractions) + max((form.extra_bits for form in sloped), default=0)
        width = 0
        for n, form in enumerate(forms):
            source = spec.preactivation_format(n)
            for each in (source, form.exact_format(source) if form in sloped else source):
                width = max(width, each.width + (not each.signed) + self._exact_fraction - each.fraction_bits)
        kept = max(spec.formats.table.fraction_bits, spec.formats.activation.fraction_bits) + 2
        self._jammed = max(0, min(self._exact_fraction - kept, width - 2))
        self.width, self.fraction = width - self._jammed, self._exact_fraction - self._jammed

    def value(self, z: Value, layer: Value) -> Value:
        """Value of a pre-activation ``z`` of ``layer``, aligned to the common binary point."""
        found = self._line(z, layer, 0)
        for form in dict.fromkeys(self._forms):
            if not _is_sloped(form):
                continue
            selected = by_layer([each == form for each in self._forms], layer)
            *others, last = form.pieces
            if last != Piece(0):
                found = Mux(selected, self._piece(z, layer, last), found)
            for begin, piece in reversed(list(zip(form.breaks, others, strict=True))):
                found = Mux(selected & (z < self._break(begin, layer)), self._piece(z, layer, piece), found)
        return found

    def _line(self, z: Value, layer: Value, shift: int) -> Value:
        """z·2^(−shift), aligned to the common binary point."""
        found = [jam(z.shift_left(self._exact_fraction - each - shift), self._jammed) for each in self._fractions]
        return by_binary_point(self._fractions, found, layer)

    def _piece(self, z: Value, layer: Value, piece: Piece) -> Value | int:
        offset = piece.offset * 2**self.fraction
        if offset.denominator != 1:
            raise ValueError(f"Offset of a piece must have at most {self.fraction} fraction bits, not be {piece.offset!r}")
        return int(offset) if piece.shift is None else self._line(z, layer, piece.shift) + int(offset)

    def _break(self, begin: Fraction, layer: Value) -> Value | int:
        """⌈b·2^f⌉, the smallest raw pre-activation of ``layer`` that is not below break b."""
        found = [math.ceil(begin * 2**each) for each in self._fractions]
        return found[0] if len(set(found)) == 1 else by_binary_point(self._fractions, found, layer)
