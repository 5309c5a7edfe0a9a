# amaranth: UnusedElaboratable=no
"""The core of a network with stochastic layers: the composition of its blocks."""

from __future__ import annotations

from typing import Any

from python_ref.spec.design import DesignSpec
from rtl_gen.activation import ActivationUnit
from rtl_gen.presentation.core import NodeCore
from rtl_gen.presentation.draws import DrawUnit, draw_memories, output_latency
from rtl_gen.presentation.factors import FactorErrorUnit, random_error_unit
from rtl_gen.presentation.layouts import overtakes
from rtl_gen.slot import delayed, in_last_layer

__all__ = ["RandomCore"]


class RandomCore(NodeCore):
    """A network with stochastic layers that trains itself by node perturbation.

    Its ports and its events are those of :class:`~rtl_gen.presentation.core.NodeCore`.

    Parameters
    ----------
    spec : DesignSpec
        The design that the core implements.
    starved_port : bool
        Whether the core has the port ``starved``, which a wrapper for a bus needs for its interrupt.
    """

    def _error_unit(self) -> FactorErrorUnit:
        return random_error_unit(self.spec)

    @staticmethod
    def own_memory_bits(spec: DesignSpec) -> int:
        """Number of bits in the memories of :class:`~rtl_gen.presentation.core.NodeCore`, and in those of thresholds and counts."""
        return NodeCore.own_memory_bits(spec) + sum(depth * width for depth, width in draw_memories(spec).values())

    def _blocks(self) -> dict[str, Any]:
        """See :class:`~rtl_gen.presentation.core.NodeCore`."""
        return super()._blocks() | {"draws": DrawUnit(self.spec)}

    def _connect_passes(self, m, *, controller, neurons, **blocks):
        """Connect the pipeline of slots, and the blocks whose values join it."""
        super()._connect_passes(m, controller=controller, neurons=neurons, **blocks)
        if overtakes(self.spec):
            m.d.comb += controller.drawn.eq(neurons.drawn)

    def _connect_neurons(self, m, *, controller, neurons, activation, draws, operands, cost, multiplier, answer_check, **_):
        """Connect pre-activations to activations, these to outputs, and outputs to operands, cost and answer check."""
        neuron = draws.neuron_o
        m.d.comb += [
            *(activation.neuron.eq(neurons.neuron), activation.z.eq(neurons.z)),
            draws.coming.eq(delayed(m, neurons.neuron, ActivationUnit.latency - 2, "coming_neuron", reset_less=False)),
            *(draws.neuron.eq(activation.neuron_o), draws.z.eq(activation.z_o)),
            *(draws.activation.eq(activation.y), draws.saturated.eq(activation.outside)),
            *(draws.training.eq(controller.training), draws.draws.eq(controller.shown)),
            *(operands.neuron.eq(neuron), operands.y.eq(draws.y)),
            # A target is read one cycle before its output is valid.
            operands.target_neuron.eq(delayed(m, neurons.neuron, output_latency(self.spec) - 1, "target_neuron", reset_less=False)),
        ]
        output = neuron.valid & in_last_layer(self.spec, neuron)
        self._connect_outputs(m, output, neuron, draws.result, operands.target, controller, cost, answer_check, multiplier)

    def _connect_errors(self, m, *, signs, activation, draws, errors, **blocks):
        """Connect the costs of the probes to the errors, and the errors to the lanes."""
        super()._connect_errors(m, signs=signs, activation=draws, errors=errors, **blocks)
        m.d.comb += [
            *(draws.sweep_begin.eq(signs.sweep_begin), draws.sweep_bank.eq(signs.sweep_bank)),
            *(draws.sweep_index.eq(errors.sign_index), errors.change.eq(draws.change)),
        ]

    def _streams(self, blocks: dict[str, Any]) -> list[Any]:
        """See :class:`~rtl_gen.presentation.core.NodeCore`."""
        return [*super()._streams(blocks), blocks["draws"]]

    def _connect_probes(self, m, *, activation, draws, **blocks):
        """Connect the counts of the passes, the events that :mod:`python_ref.spec.events` describes, and their signatures."""
        super()._connect_probes(m, activation=draws, **blocks)
