"""The states of the neurons: what a layer's kind makes of a pre-activation and of the state of the frame before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.layers import Dense, LayerKind, Leaky, Lif
from python_ref.spec.number import Fixed, Overflow
from rtl_gen.activation import by_binary_point
from rtl_gen.cast import cast_in_two
from rtl_gen.fixed import limit, shift
from rtl_gen.probe import shape_of
from rtl_gen.series.layouts import covering, evaluation_layout, stored_format
from rtl_gen.series.readout import ReadoutSums, sums, sums_range
from rtl_gen.slot import NO_READ_WRITE_CHECK, by_layer, delayed

__all__ = ["StateUnit", "state_memory_bits", "states_format"]


def states_format(spec: DesignSpec) -> Fixed:
    """Return a format that holds the raw state of every layer."""
    return covering([form for form in map(spec.state_format, range(len(spec.network.layers))) if form is not None])


def state_memory_bits(spec: DesignSpec) -> int:
    """Return the number of bits in the memory of states, which has a word for each framed neuron."""
    return max(2, spec.unrolled.framed_neurons) * states_format(spec).width


class StateUnit(wiring.Component):
    """Turns the activation or the pre-activation of each evaluation into its state and its output.

    Each kind of layer is a response of three stages (:data:`_RESPONSES`): what is formed from the old state, the new state before a
    reset, and the new state with the output. States have a memory with a word for each framed neuron; in the first frame the old one is 0.
    One stage more sums the outputs of the last framed layer, where the design wants their sum.

    Parameters
    ----------
    spec : DesignSpec
        The design whose evaluations are turned into outputs.

    Members
    -------
    coming, z : In
        Fields of a neuron and its pre-activation, ``cast_latency`` cycles before its activation.
    neuron, activation, saturated : In
        Fields of a neuron, its raw activation, and whether that was out of range.
    neuron_o, z_o : Out
        The inputs ``neuron`` and its pre-activation, ``latency`` cycles later.
    y : Out
        Raw activation, or the spike of a neuron that has none.
    state, output : Out
        Raw state after the frame, 0 of a neuron without one; and what the next layer receives in this frame.
    result : Out
        Raw output of the network, where the neuron is one of its last layer.
    outside, state_outside : Out(1)
        The cast to the activation, or that of the current or the sum of the state, was out of range.
    """

    cast_latency = 3
    """Cycles from ``z`` to the cast of it, as many as to the activation: one to align, one to round, one for the limits."""

    stages = 3
    """Cycles from an activation to its output: one for each stage of a response."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        neuron, z, last = evaluation_layout(spec), signed(spec.accumulator_width), spec.network.framed - 1
        super().__init__(
            {
                **{name: In(neuron) for name in ("coming", "neuron")},
                "z": In(z),
                "activation": In(shape_of(spec.formats.activation)),
                "saturated": In(1),
                "neuron_o": Out(neuron),
                "z_o": Out(z),
                "y": Out(shape_of(stored_format(spec))),
                "state": Out(shape_of(states_format(spec))),
                "output": Out(shape_of(stored_format(spec))),
                "result": Out(shape_of(spec.outputs_format)),
                "outside": Out(1),
                "state_outside": Out(1),
                **({"sum_address": In(sums_range(spec)), "sum": Out(shape_of(spec.passed_format(last)))} if sums(spec) else {}),
            }
        )

    @staticmethod
    def latency(spec: DesignSpec) -> int:
        """Cycles from an activation to everything that comes of it: the stages of a response, and one for the sum of the outputs."""
        return StateUnit.stages + sums(spec)

    def elaborate(self, platform):
        m = Module()
        spec, kinds = self.spec, [layer.kind for layer in self.spec.network.layers]
        m.submodules.states = store = memory.Memory(
            shape=self.state.shape(), depth=max(2, spec.unrolled.framed_neurons), init=[], attrs=NO_READ_WRITE_CHECK
        )
        read, write = store.read_port(), store.write_port()
        old = Signal(self.state.shape(), name="old")
        m.d.comb += [
            read.addr.eq(delayed(m, self.coming.index, self.cast_latency - 1, "read_index")),
            old.eq(Mux(self.neuron.initial, 0, read.data)),
        ]
        current, current_outside = self._current(m) if any(isinstance(kind, Lif) for kind in kinds) else (Const(0, 1), Const(0, 1))
        responses = {}
        for kind in dict.fromkeys(kinds):
            if type(kind) not in _RESPONSES:
                raise unknown("Kind of a layer", kind, "rtl_gen.series.state._RESPONSES")
            responses[kind] = _RESPONSES[type(kind)](kind).build(self, m, f"{kind.name}{len(responses)}", old, current)

        # What the kind of the neuron's layer makes of it.
        neuron = delayed(m, self.neuron, self.stages, "neuron", reset_less=False)
        names = ("y", "state", "output", "outside", "state_outside")
        found = {name: Signal.like(getattr(self, name), name=f"new_{name}") for name in names}
        saturated = delayed(m, self.saturated, self.stages, "saturated")
        of_current = delayed(m, current_outside, self.stages, "of_current")
        with m.Switch(by_layer([list(responses).index(kind) for kind in kinds], neuron.layer)):
            for number, (kind, (y, state, output, outside)) in enumerate(responses.items()):
                with m.Case(number):
                    m.d.comb += [found["y"].eq(y), found["state"].eq(state), found["output"].eq(output)]
                    m.d.comb += found["outside"].eq(saturated if kind.activated else 0)
                    m.d.comb += found["state_outside"].eq(0 if kind.activated else of_current | outside)
                    m.d.comb += write.en.eq(neuron.valid & int(kind.stateful))
        m.d.comb += [write.addr.eq(neuron.index), write.data.eq(found["state"])]

        late = self.latency(spec) - self.stages
        m.d.comb += [
            self.neuron_o.eq(delayed(m, neuron, late, "neuron_late", reset_less=False)),
            self.z_o.eq(delayed(m, self.z, self.cast_latency + self.latency(spec), "z")),
            *(getattr(self, name).eq(delayed(m, value, late, f"{name}_late")) for name, value in found.items()),
            self.result.eq(self.output),
        ]
        if sums(spec):
            m.submodules.readout = readout = ReadoutSums(spec)
            m.d.comb += [
                readout.coming.eq(delayed(m, self.neuron, self.stages - 1, "summed", reset_less=False)),
                *(readout.neuron.eq(neuron), readout.output.eq(found["output"])),
                *(readout.address.eq(self.sum_address), self.sum.eq(readout.data)),
            ]
            if spec.network.framed == len(kinds):
                m.d.comb += self.result.eq(readout.total)
        return m

    def _current(self, m):
        """cast_state(z), and whether z was out of range, when the activation comes."""
        spec = self.spec
        forms = [spec.preactivation_format(n) for n in range(len(spec.network.layers))]
        fractions = [form.fraction_bits for form in forms]
        width = max(form.width + max(fractions) - form.fraction_bits for form in forms)
        aligned = Signal(signed(width), name="aligned", reset_less=True)
        shifted = [shift(self.z, max(fractions) - fraction) for fraction in fractions]
        m.d.sync += aligned.eq(by_binary_point(fractions, shifted, self.coming.layer))
        form, cast = spec.formats.state, spec.formats.state_cast
        limited, outside = cast_in_two(m, aligned, max(fractions) - form.fraction_bits, form, cast.rounding, cast.overflow, "current")
        return delayed(m, limited, 1, "current"), delayed(m, outside, 1, "cast_outside")


class Response(ABC):
    """What the neurons of a kind of layer do with an activation or a current, and with the state of the frame before.

    Parameters
    ----------
    kind : LayerKind
        Kind of the layer, with its parameters.
    """

    def __init__(self, kind: Any):
        self.kind = kind

    @abstractmethod
    def build(self, unit: StateUnit, m: Module, name: str, old: Value, current: Value) -> tuple[Value, Value, Value, Value]:
        """Build the response in the state unit.

        Parameters
        ----------
        unit : StateUnit
            The unit, whose activation it takes.
        m : Module
            Module of the unit, to which the response adds its statements.
        name : str
            Prefix of the names of the signals.
        old, current : Value
            Raw state of the frame before, and raw cast of the pre-activation to the format of states; both valid with the activation.

        Returns
        -------
        (Value, Value, Value, Value)
            Raw activation, state and output, and whether the sum of the state was out of range, ``StateUnit.stages`` cycles later.
        """


class DenseResponse(Response):
    """y = f(z)."""

    def build(self, unit, m, name, old, current):
        """See :class:`Response`."""
        y = delayed(m, unit.activation, unit.stages, f"{name}_y")
        return y, Const(0, 1), y, Const(0, 1)


class LeakyResponse(Response):
    """h ← h + ((f(z) − h) >>> k), which lies between h and f(z)."""

    def build(self, unit, m, name, old, current):
        """See :class:`Response`."""
        form = unit.spec.formats.activation
        before = old[: form.width].as_signed() if form.signed else old[: form.width]
        difference, h = Signal((unit.activation - before).shape(), name=f"{name}_difference"), Signal(shape_of(form), name=f"{name}_h")
        kept = delayed(m, before, 1, f"{name}_before")
        m.d.sync += [difference.eq(unit.activation - before), h.eq(kept + shift(difference, -self.kind.leak))]
        h = delayed(m, h, unit.stages - 2, f"{name}_h")
        return delayed(m, unit.activation, unit.stages, f"{name}_y"), h, h, Const(0, 1)


class LifResponse(Response):
    """v ← saturate(v − (v >>> k) + i); a spike where v ≥ 1; v ← v − spike."""

    def build(self, unit, m, name, old, current):
        """See :class:`Response`."""
        form = unit.spec.formats.state
        before, one = old[: form.width].as_signed(), 1 << form.fraction_bits
        total = Signal(signed(form.width + 2), name=f"{name}_total")
        v, reset = (Signal(shape_of(form), name=f"{name}_{each}") for each in ("v", "reset"))
        spike, fires, outside = (Signal(name=f"{name}_{each}") for each in ("spike", "fires", "outside"))
        limited, is_outside = limit(total, form, Overflow.SATURATE)
        m.d.comb += fires.eq(v >= one)
        m.d.sync += [
            *(total.eq(before - shift(before, -self.kind.leak) + current), v.eq(limited), outside.eq(is_outside)),
            *(spike.eq(fires), reset.eq(v - Mux(fires, one, 0))),
        ]
        return spike, reset, spike, delayed(m, outside, 1, f"{name}_was_outside")


_RESPONSES: dict[type[LayerKind], type[Response]] = {Dense: DenseResponse, Leaky: LeakyResponse, Lif: LifResponse}
"""Response of the neurons of each kind of layer."""
