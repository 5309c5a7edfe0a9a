# amaranth: UnusedElaboratable=no
"""The core of a network with state: the composition of its blocks."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Signal
from amaranth.lib import wiring

from python_ref.spec.design import DesignSpec
from rtl_gen.activation import ActivationUnit
from rtl_gen.cost import AnswerCheck, CostUnit
from rtl_gen.host import HostPort, gradient_exponent, register_file
from rtl_gen.presentation.contract import Latencies
from rtl_gen.presentation.core import NodeCore
from rtl_gen.presentation.noise import noise_words
from rtl_gen.presentation.signs import RandomNeuronSigns, sign_source
from rtl_gen.series.array import SeriesArray, SeriesNoise, group_sums_bits
from rtl_gen.series.banks import bank_words
from rtl_gen.series.contract import SeriesContract
from rtl_gen.series.controller import SeriesController
from rtl_gen.series.errors import SeriesErrorUnit
from rtl_gen.series.frames import stored_outputs
from rtl_gen.series.layouts import evaluation_layout, operand_outputs_format
from rtl_gen.series.neurons import EvaluationStream
from rtl_gen.series.operands import SeriesOperands
from rtl_gen.series.readout import sums, sums_memory_bits
from rtl_gen.series.sequencer import SeriesSequencer
from rtl_gen.series.state import StateUnit, state_memory_bits
from rtl_gen.slot import delayed, in_last_layer

__all__ = ["SeriesCore"]


class SeriesCore(NodeCore):
    """A network with state that trains itself by node perturbation over the frames of a sample.

    Its ports are those of :class:`rtl_gen.core.Core`; its events are those of networks with state.

    Parameters
    ----------
    spec : DesignSpec
        The design that the core implements.
    starved_port : bool
        Whether the core has the port ``starved``, which a wrapper for a bus needs for its interrupt.
    """

    def _plan(self) -> None:
        """See :class:`~rtl_gen.presentation.core.NodeCore`."""
        spec = self.spec
        self.array = SeriesArray(spec)
        self.errors = SeriesErrorUnit(spec)
        # An output is written as many cycles after its slot, less one, and read in the cycle behind.
        depth = self.array.latency + EvaluationStream.latency + ActivationUnit.latency + StateUnit.latency(spec) - 1
        self.sequencer = SeriesSequencer(spec, depth=depth, error_cycles=self._error_cycles)
        latencies = Latencies.of(spec, self.array, self.errors, (0, 0))
        self.contract = SeriesContract(spec, self.sequencer, latencies, self.array, self.errors)

    @staticmethod
    def activation_banks(spec: DesignSpec) -> int:
        """Number of passes whose hidden activations the core stores at once; the memory of outputs is one of :meth:`own_memory_bits`."""
        return 0

    @staticmethod
    def own_memory_bits(spec: DesignSpec) -> int:
        """Number of bits in the memories of E, the outputs, the states, the sums of outputs and of a group, random signs, and noise."""
        sums_of_errors = 2 * bank_words(spec) if spec.hardware.single_port else max(2, spec.quantities)
        bits = sums_of_errors * spec.error_sum_format.width + max(2, stored_outputs(spec)) * operand_outputs_format(spec).width
        bits += state_memory_bits(spec) + sums_memory_bits(spec) + group_sums_bits(spec)
        signs = RandomNeuronSigns.memory_bits(spec) if spec.sign_generators else 0
        return bits + signs + noise_words(spec) * spec.stochastic_bits

    def _blocks(self) -> dict[str, Any]:
        """See :class:`~rtl_gen.presentation.core.NodeCore`."""
        spec = self.spec
        blocks = {
            "controller": SeriesController(spec),
            "sequencer": self.sequencer,
            "signs": sign_source(spec),
            "array": self.array,
            "operands": SeriesOperands(spec),
            "neurons": EvaluationStream(spec),
            "activation": ActivationUnit(spec, evaluation_layout(spec)),
            "state": StateUnit(spec),
            "cost": CostUnit(spec),
            "multiplier": self._multiplier(),
            "answer_check": AnswerCheck(spec),
            "errors": self.errors,
            "host": HostPort(spec, self.array.host_latency),
            "registers": register_file(spec),
        }
        if spec.stochastic_bits:
            blocks["noise"] = SeriesNoise(spec)
        return blocks

    def _connect_passes(self, m, *, controller, sequencer, signs, array, operands, neurons, errors, **_):
        """Connect the pipeline of slots, and the blocks whose values join it."""
        wiring.connect(m, wiring.flipped(self.sample), operands.sample)
        for block in (sequencer, neurons, errors):
            m.d.comb += [block.length.eq(operands.length), block.hold.eq(controller.hold)]
        m.d.comb += [
            *(getattr(sequencer, name).eq(getattr(controller, name)) for name in ("request", "probe", "apply", "minus")),
            controller.started.eq(sequencer.started),
            *(array.slot.eq(sequencer.slot), array.ahead.eq(sequencer.ahead), array.x.eq(operands.x)),
            *(array.applying.eq(controller.applying), array.update.eq(controller.update)),
            *(operands.slot.eq(sequencer.slot), operands.ahead.eq(sequencer.ahead), operands.frame.eq(sequencer.frame)),
            *(operands.take.eq(controller.take), controller.available.eq(operands.available)),
            *(neurons.slot.eq(array.accumulator_slot), neurons.accumulators.eq(array.accumulators)),
            *(signs.index.eq(neurons.sign_index), neurons.sign.eq(signs.sign)),
            *(signs.begin.eq(controller.begin), signs.advance.eq(controller.advance), signs.fresh.eq(controller.fresh)),
            controller.signs_ready.eq(signs.ready),
        ]

    def _connect_neurons(self, m, *, controller, neurons, activation, state, operands, cost, multiplier, answer_check, **_):
        """Connect pre-activations to activations, these to states and outputs, and outputs to operands, cost and answer check."""
        spec, neuron, output = self.spec, state.neuron_o, Signal()
        # A target is read one cycle before its output is valid.
        to_target = ActivationUnit.latency + StateUnit.latency(spec) - 1
        m.d.comb += [
            *(activation.neuron.eq(neurons.neuron), activation.z.eq(neurons.z)),
            *(state.coming.eq(neurons.neuron), state.z.eq(neurons.z)),
            *(state.neuron.eq(activation.neuron_o), state.activation.eq(activation.y), state.saturated.eq(activation.outside)),
            *(operands.neuron.eq(neuron), operands.y.eq(state.output)),
            operands.target_neuron.eq(delayed(m, neurons.neuron, to_target, "target_neuron", reset_less=False)),
            output.eq(neuron.valid & in_last_layer(spec, neuron) & neuron.final),
        ]
        if sums(spec) and spec.network.framed < len(spec.network.layers):
            m.d.comb += [state.sum_address.eq(operands.sum_address), operands.sum.eq(state.sum)]
        self._connect_outputs(m, output, neuron, state.result, operands.target, controller, cost, answer_check, multiplier)

    def _connect_errors(self, m, *, controller, sequencer, signs, state, array, cost, errors, host, **_):
        """Connect the costs of the probes to the errors, and the errors to the lanes."""
        to_change = self._follow_costs(m, state.neuron_o, cost)
        m.d.comb += [
            controller.settled_stb.eq(delayed(m, cost.cost_stb, to_change, "settled_stb", reset_less=False)),
            controller.change_stb.eq(self._change_stb),
            *(controller.errors_busy.eq(errors.busy), controller.errors_ready.eq(errors.ready)),
            controller.learned_stb.eq(delayed(m, array.learned_stb, 1, "learned_stb", reset_less=False)),
            *(errors.change_stb.eq(self._change_stb), errors.cost_change.eq(cost.cost_change)),
            *(errors.fresh.eq(controller.first), *gradient_exponent(self.spec, host.exponent, errors, array)),
            *(errors.begin.eq(controller.fetch), errors.next_group.eq(sequencer.slot.first & sequencer.slot.apply)),
            *(signs.sweep_begin.eq(self._change_stb), signs.sweep_index.eq(errors.sign_index), errors.sign.eq(signs.sweep_sign)),
            signs.sweeps.eq(errors.busy),
            *(array.error.eq(errors.error), array.error_en.eq(errors.error_en)),
        ]

    def _connect_host(self, m, *, host, controller, **blocks):
        """Connect the host port to commands, settings, memories and registers."""
        super()._connect_host(m, host=host, controller=controller, **blocks)
        m.d.comb += controller.hold_set.eq(host.hold)

    def _connect_probes(self, m, *, state, activation, registers, controller, **blocks):
        """Connect the counts of the passes, the events that :mod:`python_ref.spec.events` describes, and their signatures."""
        super()._connect_probes(m, activation=state, registers=registers, controller=controller, **blocks)
        shown = self.probe_stb[0] & state.state_outside
        m.d.comb += registers.i_saturated_state.eq(delayed(m, shown, 1, "saturated_state", reset_less=False))

    def _shown_fields(self, activation):
        """See :class:`~rtl_gen.presentation.core.NodeCore`."""
        return [self.probe_neuron.state.eq(activation.state), self.probe_neuron.state_outside.eq(activation.state_outside)]
