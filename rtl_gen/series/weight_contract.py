"""The cycle contract of weight perturbation in a network with state, whose passes take as many frames as their sample has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from python_ref.spec.design import DesignSpec
from rtl_gen.weight_core import Contract

__all__ = ["SeriesWeightContract"]


@dataclass(frozen=True)
class SeriesWeightContract(Contract):
    """Clock cycles of a core of weight perturbation in a network with state; simulation asserts them.

    The attributes of :class:`~rtl_gen.weight_core.Contract` are those of a sample of T frames.

    Attributes
    ----------
    frames : int
        T, the number of frames of the longest sample.
    frame_cycles : int
        Cycles of a frame, with the waits behind its layers.
    tail_cycles : int
        Cycles of the layers behind the last one with state, which a pass visits once.
    layers : tuple of (int, int)
        First cycle of each visit of a layer in a pass of T frames, and the number of cycles to the end of its last slot.
    """

    frames: int
    frame_cycles: int
    tail_cycles: int
    layers: tuple[tuple[int, int], ...]

    def table(self) -> dict[str, Any]:
        """See :class:`~rtl_gen.weight_core.Contract`; the layers follow from the other figures."""
        return {name: value for name, value in super().table().items() if name != "layers"}

    def pass_cycles_of(self, frames: int) -> int:
        """Cycles of a pass, its waits included, of a sample of ``frames`` frames."""
        return frames * self.frame_cycles + self.tail_cycles

    def step_cycles_of(self, passes: int, frames: int) -> int:
        """Cycles of a step with ``passes`` passes of a sample of ``frames`` frames, which is there."""
        return passes * self.pass_cycles_of(frames) + self.wait

    def first_visits(self, spec: DesignSpec, steps: int) -> int:
        """Number of visits of synapses and biases in the first steps of a run, whose samples have T frames."""
        one, two = spec.schedule.passes(steps)
        framed = sum(layer.n_parameters for layer in spec.network.layers[: spec.network.framed])
        return (one + 2 * two) * (self.frames * framed + spec.network.n_parameters - framed)

    def rows(self) -> list[tuple[str, float, str]]:
        """See :class:`~rtl_gen.weight_core.Contract`."""
        each = f"{self.frames:,} frames of {self.frame_cycles:,}, and {self.tail_cycles:,} of the tail; correlating and updating or not"
        return [("pass", self.pass_cycles, f"D = {self.depth}; {each}"), *super().rows()[1:]]
