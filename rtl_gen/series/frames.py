"""The count of the frames of a pass, and the places that depend on it."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec

__all__ = ["FrameCount", "first_probed", "frame_layout", "kept_frames", "length_shape", "output_base", "stored_outputs", "stored_tail"]

PROBED_FRAMES = 2
"""Number of frames whose outputs a probe stores: the current one, and the one before."""


def stored_tail(spec: DesignSpec) -> int:
    """Return the number of neurons of the tail whose outputs are operands, which are all but those of the last layer."""
    tail = spec.unrolled.tail_neurons
    return tail - spec.network.n_out if tail else 0


def kept_frames(spec: DesignSpec) -> int:
    """Return the number of frames whose outputs a probe stores."""
    return min(PROBED_FRAMES, spec.network.frames)


def first_probed(spec: DesignSpec) -> int:
    """Return the address of the first output of a probe, behind those of all frames of the unperturbed pass and of its tail; in weight
    perturbation no pass keeps those of all frames."""
    return 0 if not spec.node else spec.network.frames * spec.unrolled.framed_neurons + stored_tail(spec)


def stored_outputs(spec: DesignSpec) -> int:
    """Return the number of words of the memory of outputs."""
    return first_probed(spec) + kept_frames(spec) * spec.unrolled.framed_neurons + stored_tail(spec)


def frame_layout(spec: DesignSpec) -> data.StructLayout:
    """Layout of what depends on the frame.

    Members
    -------
    first, last : unsigned(1)
        The frame is the first one, or the last one, of its pass.
    opens : unsigned(1)
        The frame is the first one of a segment.
    odd : unsigned(1)
        The number of the frame is odd.
    segment : unsigned
        Number of the first quantity of the frame's segment, g·F.
    place, before : unsigned
        Number of the first evaluation of the frame, t·F, and of the frame before.
    given : unsigned
        Number of the first input of the frame among the input words of a sample.
    """
    network, unrolled = spec.network, spec.unrolled

    def counting(most: int) -> data.Layout | object:
        return unsigned(max(1, most.bit_length()))

    evaluations = counting(network.frames * unrolled.framed_neurons)
    return data.StructLayout(
        {
            **{name: unsigned(1) for name in ("first", "last", "opens", "odd")},
            "segment": counting(unrolled.segments * unrolled.framed_neurons),
            "place": evaluations,
            "before": evaluations,
            "given": counting(network.record_inputs),
        }
    )


def length_shape(spec: DesignSpec):
    """Shape of a number of frames, from 1 to T."""
    return range(spec.network.frames + 1)


def output_base(spec: DesignSpec, probes, tail, place, odd) -> Value:
    """Address of the output of the first neuron of the network, to which a neuron's number is added.

    Parameters
    ----------
    spec : DesignSpec
        The design whose outputs are stored.
    probes, tail : Value
        Whether the pass is a probe, and whether the neuron belongs to the tail.
    place, odd : Value
        Of the frame that is meant, see :func:`frame_layout`.
    """
    framed, last = spec.unrolled.framed_neurons, kept_frames(spec) - 1
    behind = (spec.network.frames - 1) * framed
    probed = [first_probed(spec) + number * framed for number in range(kept_frames(spec))]
    of_probe = Mux(tail, probed[last], Mux(odd, probed[last], probed[0]))
    if not spec.node:
        return of_probe
    return Mux(probes, of_probe, Mux(tail, behind, place))


class FrameCount(wiring.Component):
    """Counts the frames of a pass.

    Members
    -------
    begin, advance : In(1)
        Strobes: a pass begins with its first frame, or the next frame begins.
    length : In
        Number n of frames of the pass, at least 1.
    hold : In
        Number H of frames of a segment, at least 1.
    o : Out(frame_layout(spec))
        What depends on the frame, from the cycle after the strobe on.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        shape = length_shape(spec)
        super().__init__({"begin": In(1), "advance": In(1), "length": In(shape), "hold": In(shape), "o": Out(frame_layout(spec))})

    def elaborate(self, platform):
        m = Module()
        spec, o = self.spec, self.o
        framed, record = spec.unrolled.framed_neurons, spec.network.record_inputs
        held = record == spec.network.n_in
        number, held_for = Signal(length_shape(spec)), Signal(length_shape(spec))
        changes = Signal()
        m.d.comb += changes.eq(held_for == self.hold)
        m.d.comb += [o.last.eq(number == self.length), o.odd.eq(~number[0])]
        with m.If(self.advance):
            m.d.sync += [
                number.eq(number + 1),
                held_for.eq(Mux(changes, 1, held_for + 1)),
                o.first.eq(0),
                o.opens.eq(changes),
                o.place.eq(o.place + framed),
                o.before.eq(o.place),
            ]
            if not held:
                m.d.sync += o.given.eq(o.given + spec.network.n_in)
            with m.If(changes):
                m.d.sync += o.segment.eq(o.segment + framed)
        with m.If(self.begin):
            m.d.sync += [
                *(number.eq(1), held_for.eq(1), o.first.eq(1), o.opens.eq(1)),
                *(o.place.eq(0), o.before.eq(0), o.segment.eq(0), o.given.eq(Const(0 if held else 1))),
            ]
        return m
