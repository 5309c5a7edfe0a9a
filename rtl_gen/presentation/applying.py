# amaranth: UnusedElaboratable=no
"""How a core applies the errors of a presentation: the classes of the blocks that depend on it."""

from __future__ import annotations

from python_ref.spec.design import DesignSpec
from rtl_gen.indices import replayed_before
from rtl_gen.presentation.array import NodeArray
from rtl_gen.presentation.contract import PresentationContract
from rtl_gen.presentation.controller import PresentationController
from rtl_gen.presentation.draws import output_latency
from rtl_gen.presentation.just_in_time import (
    JustInTimeArray,
    JustInTimeContract,
    JustInTimeController,
    JustInTimeOperands,
    JustInTimeSequencer,
)
from rtl_gen.presentation.neurons import NeuronStream
from rtl_gen.presentation.noise import InputNoise, RenewedNoise
from rtl_gen.presentation.operands import Operands
from rtl_gen.presentation.sequencer import PassSequencer

__all__ = ["ApplyingAlone", "ApplyingJustInTime", "applying"]


class ApplyingAlone:
    """A presentation ends with a pass that applies its errors, for which each lane uses the multiplier that also measures.

    Parameters
    ----------
    spec : DesignSpec
        The design whose blocks are built.
    """

    array_class: type[NodeArray] = NodeArray
    controller: type[PresentationController] = PresentationController
    contract: type[PresentationContract] = PresentationContract
    noise: type[InputNoise] = InputNoise

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.array = self.array_class(spec)

    @property
    def operand_delay(self) -> int:
        """Cycles by which the operand of a forward pass comes later than that of an applying pass."""
        return self.array.timing.operand_delay

    def sequencer(self, *, depth: int, error_cycles: int, error_pace: int) -> PassSequencer:
        """Return the sequencer of the passes."""
        return PassSequencer(self.spec, depth=depth, error_cycles=error_cycles, error_pace=error_pace)

    def operands(self) -> Operands:
        """Return the memories of the operands."""
        return Operands(self.spec)

    def replay_wait(self) -> int:
        """Return the cycles by which a probe's pass of the lanes waits after the replay, so that its operands are written in time."""
        return self._wait(self.operand_delay)

    def _wait(self, delay: int) -> int:
        """Cycles by which that pass waits, if its operands are read ``delay`` cycles later than they could be."""
        if self.spec.incremental:  # the change of the activation is there when the operand of the first slot is prepared
            return max(0, output_latency(self.spec) - Operands.latency(self.spec) - delay)
        written, layers = NeuronStream.replay_latency + output_latency(self.spec) + 1 - delay, self.spec.layout.layers
        first = [part.first for part in self.spec.round.parts if part.first < len(layers) - 1 or not self.spec.in_parts]
        return max(0, *(written - replayed_before(layers[number], *layers[number + 1 : number + 2]) for number in first))

    def connections(self, controller, *, array, operands, sequencer):
        """Return the statements that connect what depends on how errors are applied."""
        return [array.applying.eq(controller.applying)]


class ApplyingJustInTime(ApplyingAlone):
    """The errors of a presentation are applied in the unperturbed pass of the next one, by a second multiplier of each lane."""

    array_class = JustInTimeArray
    controller = JustInTimeController
    contract = JustInTimeContract
    noise = RenewedNoise

    def sequencer(self, *, depth: int, error_cycles: int, error_pace: int) -> PassSequencer:
        """Return the sequencer of the passes."""
        timing = self.array.timing
        written = timing.parameter + timing.write_delay - timing.parameter_read + 1
        return JustInTimeSequencer(self.spec, depth=depth, error_cycles=error_cycles, error_pace=error_pace, written=written)

    def operands(self) -> Operands:
        """Return the memories of the operands."""
        late = self.operand_delay + self._wait(self.operand_delay) - self._wait(0)
        return JustInTimeOperands(self.spec, delay=self.operand_delay, late=late)

    def connections(self, controller, *, array, operands, sequencer):
        """Return the statements that connect what depends on how errors are applied."""
        return [
            sequencer.measure.eq(controller.measure),
            operands.turn.eq(controller.turn),
            operands.hold.eq(controller.hold),
            array.x_applied.eq(operands.x_applied),
        ]


def applying(spec: DesignSpec) -> ApplyingAlone:
    """Return how the core of a design applies errors."""
    return ApplyingJustInTime(spec) if spec.just_in_time else ApplyingAlone(spec)
