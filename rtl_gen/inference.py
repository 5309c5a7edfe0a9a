# amaranth: UnusedElaboratable=no
"""A core for the same network without learning, made of the same blocks; the cost of learning is the difference between both.

It has the lanes, parameter memories, sequencer, operands, neuron serializer, activation unit and answer check. It lacks the signs,
the broadcast, correlation and update, the cost and its change, the second banks, and the operands kept for a later correlation.
"""

from __future__ import annotations

from dataclasses import fields

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.activation import ActivationUnit, NeuronSerializer
from rtl_gen.broadcast import operand_shape
from rtl_gen.cost import AnswerCheck
from rtl_gen.fanout import connect_lanes, fanout_latency, read_latency
from rtl_gen.fixed import shift
from rtl_gen.lane import MultiplyAccumulate
from rtl_gen.operands import Operands
from rtl_gen.probe import shape_of
from rtl_gen.sequencer import Sequencer
from rtl_gen.slot import delayed, ends_pass, in_last_layer, pipeline, slot_layout

__all__ = ["ForwardSpec", "InferenceArray", "InferenceCore", "InferenceLane"]


class ForwardSpec(DesignSpec):
    """A design reduced to its forward pass: nothing is perturbed, and no operands are kept for correlation.

    It makes the blocks that learning and inference share build only what inference needs. It is never used as a design by itself.
    """

    node = False
    one_visit = False

    def __post_init__(self) -> None:
        """Skip the checks, since the original design has passed them."""

    @classmethod
    def of(cls, spec: DesignSpec) -> ForwardSpec:
        """Return the reduced form of a design."""
        return cls(**{each.name: getattr(spec, each.name) for each in fields(spec)})

    @property
    def sample_buffers(self) -> int:
        """Number of sample buffers in the core: the current sample and the next."""
        return 2

    def amplitude_raw(self, fraction_bits: int) -> int:
        """Amplitude of the perturbation, which is 0 here."""
        return 0


class InferenceLane(wiring.Component):
    """A lane without learning: a parameter memory and a multiply-accumulate.

    Members
    -------
    read : In
        Address of the word to read; its parameter reaches the multiplier ``read_latency`` cycles later.
    load : In(1)
        The word is a bias; valid one cycle after the parameter.
    hidden : In(1)
        The word's layer reads activations, not inputs; valid with the parameter.
    x : In(operand_shape(spec))
        Raw operand of the synapse, valid with the parameter.
    accumulator : Out(signed)
        Sum of the products, updated one multiply-accumulate latency after the operand.
    write, write_en, data : In
        Address, strobe and raw value of the host's write to the memory.
    parameter : Out
        Raw parameter that was read, ``read_latency`` cycles after ``read``.
    """

    def __init__(self, spec: ForwardSpec):
        self.spec = spec
        self.read_latency = read_latency(spec.hardware.lanes)
        pipelined = fanout_latency(spec.hardware.lanes) > 0
        self.mac = MultiplyAccumulate(shape_of(spec.formats.weight), operand_shape(spec), spec.accumulator_width, pipelined=pipelined)
        words = range(max(2, spec.layout.words))
        weight = shape_of(spec.formats.weight)
        super().__init__(
            {
                "read": In(words),
                "load": In(1),
                "hidden": In(1),
                "x": In(operand_shape(spec)),
                "accumulator": Out(signed(spec.accumulator_width)),
                "write": In(words),
                "write_en": In(1),
                "data": In(weight),
                "parameter": Out(weight),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        m.submodules.parameters = store = memory.Memory(shape=self.parameter.shape(), depth=max(2, spec.layout.words), init=[])
        write, read = store.write_port(), store.read_port()
        m.submodules.mac = mac = self.mac
        bias = [shift(self.parameter, form.fraction_bits) for form in (spec.formats.input, spec.formats.activation)]
        m.d.comb += [
            read.addr.eq(self.read),
            write.addr.eq(self.write),
            write.data.eq(self.data),
            write.en.eq(self.write_en),
            self.parameter.eq(delayed(m, read.data, self.read_latency - 1, "found")),
            mac.a.eq(self.parameter),
            mac.b.eq(self.x),
            mac.load.eq(self.load),
            # The result of an operator, as in a lane with learning.
            mac.c.eq(Mux(self.hidden, bias[1], bias[0]) | Const(0, signed(spec.accumulator_width))),
            self.accumulator.eq(mac.o),
        ]
        return m


class InferenceArray(wiring.Component):
    """The lanes of a core without learning, which work in lockstep.

    Members
    -------
    slot : In(slot_layout(spec))
        The slot to process, given with the address of its operand.
    x : In(operand_shape(spec))
        Raw operand of the slot, ``Operands.latency`` cycles after ``slot``.
    accumulator_slot : Out(slot_layout(spec))
        The slot, ``latency`` cycles later; the accumulators include its product after one more cycle.
    accumulators : Out
        Accumulators of all lanes, lane 0's in the lowest bits.
    host_mode : In(1)
        The host has access to the lanes' memories; only while no pass runs.
    host_lane, host_address : In
        Position that the host accesses.
    host_data, host_write : In(32), In(1)
        Raw value and strobe of the host's write.
    host_read_data : Out(32)
        Word at the position, ``host_latency`` cycles after a change of it.
    """

    def __init__(self, spec: ForwardSpec):
        self.spec = spec
        self.lanes = [InferenceLane(spec) for _ in range(spec.hardware.lanes)]
        self.fanout = fanout_latency(spec.hardware.lanes)
        slot, count = slot_layout(spec), spec.hardware.lanes
        super().__init__(
            {
                "slot": In(slot),
                "x": In(operand_shape(spec)),
                "accumulator_slot": Out(slot),
                "accumulators": Out(count * spec.accumulator_width),
                "host_lane": In(range(max(2, count))),
                "host_address": In(range(max(2, spec.layout.words))),
                "host_mode": In(1),
                "host_data": In(32),
                "host_write": In(1),
                "host_read_data": Out(32),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from ``slot`` to ``accumulator_slot``."""
        return Operands.latency(self.spec) + self.fanout + self.lanes[0].mac.latency - 1

    @property
    def host_latency(self) -> int:
        """Cycles from ``host_address`` to ``host_read_data``."""
        return self.fanout + self.lanes[0].read_latency + 1

    def elaborate(self, platform):
        m = Module()
        slots = pipeline(m, self.slot, self.latency)
        operand = Operands.latency(self.spec)
        read, arriving = slots[operand - self.lanes[0].read_latency], slots[operand]
        address = Signal(range(max(2, self.spec.layout.words)))
        with m.If(read.real):
            m.d.sync += address.eq(Mux(ends_pass(self.spec, read), 0, address + 1))
        shared = {
            "read": Mux(self.host_mode, self.host_address, address),
            "load": delayed(m, arriving.first, 1, "load"),
            "hidden": arriving.layer.any(),
            "x": self.x,
            "write": self.host_address,
            "data": self.host_data,
        }
        written = self.host_write.replicate(len(self.lanes)) & (1 << self.host_lane)
        connect_lanes(m, self.lanes, shared, {"write_en": written})
        chosen = Signal(32)
        for number, lane in enumerate(self.lanes):
            m.submodules[f"lane{number}"] = lane
            with m.If(self.host_lane == number):
                m.d.comb += chosen.eq(lane.parameter)
        m.d.sync += self.host_read_data.eq(chosen)
        m.d.comb += [self.accumulator_slot.eq(slots[self.latency]), self.accumulators.eq(Cat(lane.accumulator for lane in self.lanes))]
        return m


class InferenceController(wiring.Component):
    """Runs samples through the network one after another.

    Members
    -------
    infer, count : In(1), In(32)
        Strobe that starts a run, and its number of samples.
    available, take : In(1), Out(1)
        Whether a new sample is loaded, and the strobe that makes it the current one.
    start : Out(1)
        Strobe that starts a pass in the sequencer.
    complete : In(1)
        Strobe: the last output of the pass has been checked.
    busy : Out(1)
        A run is in progress.
    """

    def __init__(self):
        super().__init__(
            {
                **{name: In(1) for name in ("infer", "available", "complete")},
                **{name: Out(1) for name in ("take", "start", "busy")},
                "count": In(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        left = Signal(32)
        m.d.comb += self.busy.eq(1)
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.busy.eq(0)
                m.d.sync += left.eq(self.count)
                with m.If(self.infer & self.count.any()):
                    m.next = "Await sample"
            with m.State("Await sample"), m.If(self.available):
                m.d.comb += self.take.eq(1)
                m.d.sync += left.eq(left - 1)
                m.next = "Begin pass"
            with m.State("Begin pass"):
                m.d.comb += self.start.eq(1)
                m.next = "Await outputs"
            with m.State("Await outputs"), m.If(self.complete):
                with m.If(left.any()):
                    m.next = "Await sample"
                with m.Else():
                    m.next = "Idle"
        return m


class InferenceCore(wiring.Component):
    """A network with fixed parameters: it takes samples, and outputs the network's outputs and whether its answers are correct.

    Parameters
    ----------
    spec : DesignSpec
        The design; everything that concerns learning is left out.

    Members
    -------
    sample : In(stream)
        Raw inputs of a sample, then its raw targets, one word per transfer.
    infer, count : In(1), In(32)
        Strobe that starts a run, and its number of samples.
    busy : Out(1)
        A run is in progress.
    y_stb, y : Out
        Strobe and raw value of each output of the network, in order.
    saturated, correct : Out(1)
        Strobes to count: an activation was out of range; an answer is correct.
    host_lane, host_address, host_data, host_write, host_read_data
        As those of :class:`InferenceArray`; the host has access while the core is not busy.

    Attributes
    ----------
    pass_cycles : int
        Cycles of a pass, as many as in the core with learning, since D is the same.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = forward = ForwardSpec.of(spec)
        self.array = InferenceArray(forward)
        self.activation = ActivationUnit(forward)
        # As in the core with learning: an activation is written one cycle after it is valid, and two slots lie in between anyway.
        depth = self.array.latency + NeuronSerializer.latency + ActivationUnit.latency + 1 - 2
        self.sequencer = Sequencer(forward, depth=depth)
        self.pass_cycles = self.sequencer.pass_cycles
        host = {name: member for name, member in self.array.signature.members.items() if name.startswith("host_") and name != "host_mode"}
        super().__init__(
            {
                "sample": In(stream.Signature(forward.sample_width)),
                "infer": In(1),
                "count": In(32),
                **{name: Out(1) for name in ("busy", "y_stb", "saturated", "correct")},
                "y": Out(shape_of(forward.formats.activation)),
                **host,
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec, array, activation, sequencer = self.spec, self.array, self.activation, self.sequencer
        controller, operands, neuron_serializer, answer_check = (
            InferenceController(),
            Operands(spec),
            NeuronSerializer(spec),
            AnswerCheck(spec),
        )
        blocks = {
            "controller": controller,
            "sequencer": sequencer,
            "array": array,
            "operands": operands,
            "neuron_serializer": neuron_serializer,
            "activation": activation,
            "answer_check": answer_check,
        }
        for name, block in blocks.items():
            setattr(m.submodules, name, block)
        wiring.connect(m, wiring.flipped(self.sample), operands.sample)
        neuron = activation.neuron_o
        m.d.comb += [
            controller.infer.eq(self.infer),
            controller.count.eq(self.count),
            controller.available.eq(operands.available),
            controller.complete.eq(delayed(m, self.y_stb & neuron.last, AnswerCheck.latency, "complete", reset_less=False)),
            sequencer.start.eq(controller.start),
            sequencer.forward.eq(1),
            operands.take.eq(controller.take),
            operands.slot.eq(sequencer.slot),
            operands.ahead.eq(sequencer.ahead),
            array.slot.eq(sequencer.slot),
            array.x.eq(operands.x),
            neuron_serializer.slot.eq(array.accumulator_slot),
            neuron_serializer.accumulators.eq(array.accumulators),
            activation.neuron.eq(neuron_serializer.neuron),
            activation.z.eq(neuron_serializer.z),
            operands.neuron.eq(neuron),
            operands.y.eq(activation.y),
            operands.target_neuron.eq(delayed(m, neuron_serializer.neuron, ActivationUnit.latency - 1, "target_neuron", reset_less=False)),
            answer_check.stb.eq(self.y_stb),
            answer_check.last.eq(neuron.last),
            answer_check.y.eq(activation.y),
            answer_check.target.eq(operands.target),
            self.y_stb.eq(neuron.valid & in_last_layer(spec, neuron)),
            self.y.eq(activation.y),
            self.saturated.eq(neuron.valid & activation.outside),
            self.correct.eq(answer_check.correct),
            self.busy.eq(controller.busy),
            array.host_mode.eq(~controller.busy),
            self.host_read_data.eq(array.host_read_data),
        ]
        m.d.comb += [getattr(array, f"host_{name}").eq(getattr(self, f"host_{name}")) for name in ("lane", "address", "data", "write")]
        return m
