# amaranth: UnusedElaboratable=no
"""The core of weight perturbation in a network with state: the composition of its blocks, and its cycle contract."""

from __future__ import annotations

from typing import Any, ClassVar

from amaranth.hdl import Shape, Value

from python_ref.spec.design import DesignSpec
from python_ref.spec.events import UNSIGNED_FIELDS
from rtl_gen.activation import ActivationUnit
from rtl_gen.controller import StepController
from rtl_gen.cost import CostUnit
from rtl_gen.probe import event_layouts
from rtl_gen.series.frames import FrameCount, stored_outputs
from rtl_gen.series.layouts import evaluation_layout, operand_outputs_format
from rtl_gen.series.readout import sums, sums_memory_bits
from rtl_gen.series.state import StateUnit, state_memory_bits
from rtl_gen.series.weight_array import FramedArray
from rtl_gen.series.weight_blocks import WeightEvaluationStream, WeightOperands
from rtl_gen.series.weight_contract import SeriesWeightContract
from rtl_gen.series.weight_sequencer import WeightSequencer
from rtl_gen.series.weight_signs import sign_source
from rtl_gen.slot import delayed, in_last_layer
from rtl_gen.weight_core import Core

__all__ = ["SeriesWeightCore"]


class SeriesWeightCore(Core):
    """A network with state that trains itself by weight perturbation over the frames of a sample.

    Its ports are those of :class:`rtl_gen.weight_core.Core`, and its blocks, but for those that count frames and keep states. Every pass
    visits all frames and the tail; parameters are correlated in the first frame, and in the tail, of a step's first pass.

    Parameters
    ----------
    spec : DesignSpec
        The design that the core implements.
    starved_port : bool
        Whether the core has the port ``starved``, which a wrapper for a bus needs for its interrupt.
    """

    def _plan(self) -> None:
        """See :class:`~rtl_gen.weight_core.Core`."""
        self.array = FramedArray(self.spec)
        self.sequencer = WeightSequencer(self.spec, depth=self._depth())
        # A frame takes longer than that, so a parameter is written before the next frame reads it.
        assert self.array.timing.parameter - self.array.timing.parameter_read < self.sequencer.depth
        self.contract = self._contract()

    @staticmethod
    def factors(spec: DesignSpec) -> list[tuple[int, Shape]]:
        """See :class:`~rtl_gen.weight_core.Core`."""
        return [(spec.formats.weight.width, WeightOperands.shape(spec))]

    @staticmethod
    def activation_banks(spec: DesignSpec) -> int:
        """See :class:`~rtl_gen.weight_core.Core`; the memory of outputs is one of :meth:`own_memory_bits`."""
        return 0

    @staticmethod
    def own_memory_bits(spec: DesignSpec) -> int:
        """Number of bits in the memories of the outputs, the states and the sums of outputs."""
        return max(2, stored_outputs(spec)) * operand_outputs_format(spec).width + state_memory_bits(spec) + sums_memory_bits(spec)

    # -- The cycle contract --------------------------------------------------------------------------------------

    @property
    def _neuron_latency(self) -> int:
        """Cycles from ``accumulator_slot`` to the group's first output."""
        return WeightEvaluationStream.latency + ActivationUnit.latency + StateUnit.latency(self.spec)

    def _depth(self) -> int:
        """The pipeline depth D of the contract: an output is written as many cycles after its operand's slot, less one, and read in the
        cycle behind."""
        return self.array.latency - self.array.operand_latency + self._neuron_latency - 1

    @property
    def _begin_latency(self) -> int:
        """See :class:`~rtl_gen.weight_core.Core`."""
        return StepController.begin_latency + WeightSequencer.START + 1 + self.sequencer.latency

    @property
    def _complete_lead(self) -> int:
        """See :class:`~rtl_gen.weight_core.Core`."""
        to_change = ActivationUnit.latency + StateUnit.latency(self.spec) + CostUnit.latency(self.spec)
        return max(0, to_change - self._begin_latency)

    def _contract(self) -> SeriesWeightContract:
        spec, sequencer = self.spec, self.sequencer
        last, frames = spec.layout.layers[-1], spec.network.frames
        waits = sequencer._forward(len(spec.layout.layers) - 1)[1] - last.group_words
        cycles = sequencer.pass_cycles_of(frames)
        to_drain = self.broadcast.latency + self.array.latency + WeightEvaluationStream.latency + last.last_lanes - 1
        wait = max(StepController.begin_latency + WeightSequencer.START, to_drain + self._complete_lead + self._begin_latency - 1 - waits)
        framed = range(spec.network.framed)
        placed = enumerate(spec.layout.layers)
        visits = sum((frames if number in framed else 1) * each.n_parameters for number, each in enumerate(spec.network.layers))
        return SeriesWeightContract(
            slots=sum((frames if number in framed else 1) * each.groups * each.group_slots for number, each in placed),
            depth=sequencer.depth,
            pass_cycles=cycles,
            pair_cycles=2 * cycles,
            gap=0,
            wait=wait,
            correlate_latency=self.broadcast.latency + 1,
            accumulate_latency=self.broadcast.latency + self.array.timing.accumulator,
            busy_lanes=2 * visits / (spec.hardware.lanes * (2 * cycles + wait)),
            frames=frames,
            frame_cycles=sequencer.frame_cycles,
            tail_cycles=sequencer.tail_cycles,
            layers=sequencer.layer_visits,
        )

    # -- Composition ---------------------------------------------------------------------------------------------

    def _blocks(self) -> dict[str, Any]:
        """See :class:`~rtl_gen.weight_core.Core`."""
        spec, blocks = self.spec, super()._blocks()
        del blocks["neuron_serializer"]
        return blocks | {
            "signs": sign_source(spec),
            "operands": WeightOperands(spec),
            "operand_frames": FrameCount(spec),
            "neurons": WeightEvaluationStream(spec),
            "activation": ActivationUnit(spec, evaluation_layout(spec)),
            "state": StateUnit(spec),
        }

    _kinds: ClassVar[tuple[str, ...]] = ("start", "again", *WeightSequencer.KINDS)

    def _connect_lanes(self, m, *, sequencer, broadcast, array, operands, operand_frames, neurons, state, **_):
        """Connect the frames of a pass to what depends on them, and the lanes to their neurons."""
        spec, slot = self.spec, sequencer.slot
        # The frame of the operand that comes is counted two cycles before its slot reaches the operands.
        late = broadcast.latency + array.operand_latency - 2
        for name, strobe in (("begin", slot.begin & slot.initial), ("advance", slot.begin & ~slot.initial)):
            m.d.comb += getattr(operand_frames, name).eq(delayed(m, strobe, late, f"frame_{name}s", reset_less=False))
        m.d.comb += [
            *(block.length.eq(operands.length) for block in (sequencer, operand_frames, neurons)),
            *(operand_frames.hold.eq(spec.network.frames), operands.frame.eq(operand_frames.o)),
            *(neurons.slot.eq(array.accumulator_slot), neurons.accumulators.eq(array.accumulators)),
        ]
        if sums(spec) and spec.network.framed < len(spec.network.layers):
            m.d.comb += [state.sum_address.eq(operands.sum_address), operands.sum.eq(state.sum)]

    def _connect_neurons(self, m, *, controller, neurons, activation, state, operands, cost, answer_check, broadcast, registers, **_):
        """Connect pre-activations to activations, these to states and outputs, and outputs to operands, cost and answer check."""
        spec, neuron = self.spec, state.neuron_o
        output = neuron.valid & in_last_layer(spec, neuron) & neuron.final
        # A target is read one cycle before its output is valid.
        to_target = ActivationUnit.latency + StateUnit.latency(spec) - 1
        shown = neuron.valid & controller.training
        m.d.comb += [
            *(activation.neuron.eq(neurons.neuron), activation.z.eq(neurons.z)),
            *(state.coming.eq(neurons.neuron), state.z.eq(neurons.z)),
            *(state.neuron.eq(activation.neuron_o), state.activation.eq(activation.y), state.saturated.eq(activation.outside)),
            *(operands.neuron.eq(neuron), operands.y.eq(state.output)),
            operands.target_neuron.eq(delayed(m, neurons.neuron, to_target, "target_neuron", reset_less=False)),
            *(cost.stb.eq(output), cost.last.eq(neuron.last), cost.first.eq(~neuron.second), cost.second.eq(neuron.second)),
            *(cost.y.eq(state.result), cost.target.eq(operands.target)),
            *(broadcast.error.eq(cost.error), cost.square.eq(broadcast.square)),
            answer_check.stb.eq(output & ~neuron.second & controller.check_answer),
            *(answer_check.last.eq(neuron.last), answer_check.y.eq(state.result), answer_check.target.eq(operands.target)),
            registers.i_saturated_activation.eq(delayed(m, shown & state.outside, 1, "saturated_activation", reset_less=False)),
            registers.i_saturated_state.eq(delayed(m, shown & state.state_outside, 1, "saturated_state", reset_less=False)),
        ]
        left = neurons.neuron
        ends_step = left.valid & left.last & (left.second | ~controller.training)
        m.d.comb += controller.complete_stb.eq(delayed(m, ends_step, self._complete_lead, "complete", reset_less=False))

    def _signed_fields(self) -> Value:
        """See :class:`~rtl_gen.weight_core.Core`."""
        unsigned_fields = [field.offset for name, field in event_layouts(self.spec)["neuron"] if name in UNSIGNED_FIELDS]
        return Value.cast(self.probe_neuron)[: min(unsigned_fields)]

    def _connect_probes(self, m, *, state, activation, **blocks):
        """See :class:`~rtl_gen.weight_core.Core`."""
        super()._connect_probes(m, activation=state, **blocks)
        m.d.comb += [getattr(self.probe_neuron, name).eq(getattr(state, name)) for name in ("state", "outside", "state_outside")]
