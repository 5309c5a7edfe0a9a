"""The cycle contract of a network with state: sums of latencies, since every pass waits for the cost of the one before."""

from __future__ import annotations

from dataclasses import dataclass

from rtl_gen.activation import ActivationUnit
from rtl_gen.cost import CostUnit
from rtl_gen.presentation.contract import PresentationContract
from rtl_gen.series.array import SeriesArray
from rtl_gen.series.controller import SeriesController
from rtl_gen.series.errors import SeriesErrorUnit
from rtl_gen.series.neurons import EvaluationStream
from rtl_gen.series.sequencer import SeriesSequencer
from rtl_gen.series.state import StateUnit

__all__ = ["SeriesContract"]


@dataclass(frozen=True, eq=False)
class SeriesContract(PresentationContract):
    """Clock cycles of a core of a network with state; simulation asserts them. Where nothing else is said, samples have T frames.

    Attributes
    ----------
    sequencer : SeriesSequencer
        The core's sequencer, which knows the cycles of passes.
    array, errors : SeriesArray, SeriesErrorUnit
        The core's lanes, and its error unit.
    """

    sequencer: SeriesSequencer
    array: SeriesArray
    errors: SeriesErrorUnit

    @property
    def frames(self) -> int:
        """T, the number of frames of the longest sample."""
        return self.spec.network.frames

    @property
    def slots(self) -> int:
        """Number of slots N of a pass, those of its frames and of the tail."""
        layers, framed = self.spec.layout.layers, self.spec.network.framed
        return sum((self.frames if n < framed else 1) * placed.groups * placed.group_slots for n, placed in enumerate(layers))

    def pass_cycles(self, frames: int) -> int:
        """Cycles from the start of a forward pass to the strobe that tells that its cost is known."""
        last = self.spec.layout.layers[-1].last_lanes
        leaving = self.array.latency + EvaluationStream.latency + last - 1
        activated = leaving + ActivationUnit.latency + StateUnit.latency(self.spec)
        return 1 + SeriesSequencer.latency + self.sequencer.forward_cycles(frames) - 1 + activated + CostUnit.latency(self.spec)

    def unperturbed_cycles_of(self, frames: int) -> int:
        """Cycles from the start of an unperturbed pass to that of the first probe."""
        return self.pass_cycles(frames) + 2

    def probe_cycles_of(self, frames: int) -> float:
        """Cycles from the start of a probe to the next one, on average of the two of a two-sided step: the pass, and in each step the sums
        of the errors."""
        return self.pass_cycles(frames) + 2 + self.errors.sum_cycles / (self.spec.passes - 1)

    def apply_cycles_of(self, frames: int) -> int:
        """Cycles from the start of an applying pass to that of the next unperturbed pass, whose sample is there."""
        learned = 1 + SeriesSequencer.latency + self.sequencer.apply_cycles(frames) - 1 + self.array.learned_latency + 1
        return learned + 2 * SeriesController.SETTLE + 2

    def cast_cycles(self) -> int:
        """Cycles from the end of the last sums of a presentation, where another probe would begin, to the start of the applying pass."""
        return self.spec.layout.layers[0].lanes_of(0) + self.errors.ready_latency

    def presentation_cycles_of(self, steps: int, frames: int) -> int:
        """Cycles of a presentation of ``steps`` steps, with a sample of ``frames`` frames that is there."""
        probes = round(steps * (self.spec.passes - 1) * self.probe_cycles_of(frames))
        return self.unperturbed_cycles_of(frames) + probes + self.cast_cycles() + self.apply_cycles_of(frames)

    @property
    def unperturbed_cycles(self) -> int:
        """Cycles of the unperturbed pass."""
        return self.unperturbed_cycles_of(self.frames)

    @property
    def apply_cycles(self) -> int:
        """Cycles of the pass that applies the errors."""
        return self.apply_cycles_of(self.frames)

    @property
    def probe_cycles(self) -> float:  # type: ignore[override]  # a sum, which is not worth keeping
        """Cycles from one probe to the next, on average."""
        return self.probe_cycles_of(self.frames)

    @property
    def wait(self) -> float:
        """Cycles T of a presentation beyond its passes: those of the errors of the first group."""
        return self.cast_cycles()

    @property
    def cycle(self) -> int:
        """See :class:`~rtl_gen.presentation.contract.PresentationContract`: every probe takes the same cycles."""
        return 1

    @property
    def _sign_steps(self) -> int:
        return 1

    @property
    def _evaluated_synapses(self) -> int:
        """Number of synapses and biases that a pass visits, once in each frame."""
        layers, framed = self.spec.network.layers, self.spec.network.framed
        return sum((self.frames if n < framed else 1) * layer.n_parameters for n, layer in enumerate(layers))

    def _visits(self, steps: int, first: int = 0) -> int:
        """Number of visits of synapses and biases in a presentation: those of all passes, and of the applying one."""
        return (2 + steps * (self.spec.passes - 1)) * self._evaluated_synapses

    def presentation_cycles(self, steps: int, first: int = 0, *, opens: bool = False) -> int:
        """Cycles of a presentation of ``steps`` steps that ends, and does not wait for its sample."""
        return self.presentation_cycles_of(steps, self.frames)

    @property
    def sample_cycles(self) -> int:
        """Cycles in which a stream of one word per cycle loads a sample."""
        return self.spec.network.record_inputs + self.spec.network.n_out + 3

    @property
    def _kind_of_probes(self) -> str:
        """What a probe computes, as a phrase."""
        frames = "one frame" if self.frames == 1 else f"{self.frames:,} frames"
        return f"{frames} of the framed layers, and the tail"

    def unperturbed_layers(self) -> list[tuple[int, int]]:
        """Return the first cycle of each visit of a layer in the unperturbed pass, and the number of cycles to the end of its last slot."""
        found, cycle = [], 0
        for number in self.spec.unrolled.visits:
            placed = self.spec.layout.layers[number]
            inner, tail = self.sequencer._forward(number)
            found.append((cycle, (placed.groups - 1) * inner + placed.group_slots))
            cycle += (placed.groups - 1) * inner + tail
        return found
