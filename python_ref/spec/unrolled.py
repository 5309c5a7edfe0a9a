"""A network unrolled over the frames of a sample: what is evaluated, and which perturbed quantity it belongs to.

A layer with state keeps a word for each neuron from one frame to the next. The layers up to the last one with state are *framed*: they are
evaluated in every frame. Those behind it form the *tail*, which is evaluated once, after the last frame. A network without state has one
frame, and is all tail.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from python_ref.spec.error import DesignError
from python_ref.spec.hardware import Hardware
from python_ref.spec.layers import Dense, LayerKind, Leaky, Lif
from python_ref.spec.network import Network
from python_ref.spec.perturbation import Kind, Perturbation

__all__ = ["MAX_SIGNS", "Unrolled", "check_unrolled"]

MAX_SIGNS = 1 << 20
"""Maximum number D of perturbed quantities of a network with state."""

_KINDS: tuple[type[LayerKind], ...] = (Dense, Leaky, Lif)
"""Kinds of layers that a network with state may have."""


@dataclass(frozen=True)
class Unrolled:
    """A network unrolled over its frames.

    Evaluation t·F + j is that of framed neuron j of F in frame t, and evaluation T·F + j that of neuron j of the tail. One sign lasts H
    frames, a *segment*: quantity g·F + j is framed neuron j in segment g of S, and quantity S·F + j neuron j of the tail.

    Attributes
    ----------
    network : Network
        Network with its number T of frames.
    hold : int
        H, the number of frames of a segment; T in weight perturbation, where a sign lasts for all frames.
    segments : int
        S, the number of segments that the core is built for; those from ⌈T/H⌉ on have no frames.
    """

    network: Network
    hold: int
    segments: int

    @classmethod
    def of(cls, network: Network, perturbation: Perturbation) -> Unrolled:
        """Return the network unrolled, with the hold of the perturbation, or the default one."""
        usual = network.frames if network.held or perturbation.kind is Kind.WEIGHT else 1
        hold = usual if perturbation.hold is None else perturbation.hold
        return cls(network, hold, perturbation.segments or -(-network.frames // hold))

    @property
    def frames(self) -> int:
        """T, the largest number of frames of a sample."""
        return self.network.frames

    @property
    def framed_neurons(self) -> int:
        """F, the number of neurons of the framed layers."""
        return sum(self.network.sizes[1 : 1 + self.network.framed])

    @property
    def tail_neurons(self) -> int:
        """R, the number of neurons of the tail."""
        return self.network.n_neurons - self.framed_neurons

    @property
    def quantities(self) -> int:
        """D = S·F + R, the number of perturbed quantities of node perturbation."""
        return self.segments * self.framed_neurons + self.tail_neurons

    @property
    def evaluations(self) -> int:
        """T·F + R, the number of evaluations of neurons in a pass of T frames."""
        return self.frames * self.framed_neurons + self.tail_neurons

    @property
    def visits(self) -> tuple[int, ...]:
        """Numbers of the layers in the order in which a pass of T frames visits them."""
        framed, layers = self.network.framed, len(self.network.layers)
        return (*self.frames * tuple(range(framed)), *range(framed, layers))

    def first_evaluation(self, layer: int, frame: int) -> int:
        """Return the number of the first evaluation of a layer in a frame, which is ignored for a layer of the tail."""
        before = sum(self.network.sizes[1 : 1 + layer])
        behind = self.frames * self.framed_neurons + before - self.framed_neurons
        return frame * self.framed_neurons + before if layer < self.network.framed else behind

    def first_quantity(self, layer: int, frame: int) -> int:
        """Return the number of the quantity that is the first neuron of a layer in a frame, which is ignored for a layer of the tail."""
        before = sum(self.network.sizes[1 : 1 + layer])
        behind = self.segments * self.framed_neurons + before - self.framed_neurons
        return frame // self.hold * self.framed_neurons + before if layer < self.network.framed else behind

    def evaluated(self, length: int) -> np.ndarray:
        """Return which evaluations a sample of ``length`` frames has (bool, shape (evaluations,)): those of its frames, and the tail's."""
        number = np.arange(self.evaluations)
        return (number < length * self.framed_neurons) | (number >= self.frames * self.framed_neurons)

    def perturbed(self, length: int) -> np.ndarray:
        """Return which quantities a sample of ``length`` frames has (bool, shape (quantities,)): those of segments with one of its frames,
        and the tail's. The signs of the others are dropped."""
        number, used = np.arange(self.quantities), -(-length // self.hold)
        return (number < used * self.framed_neurons) | (number >= self.segments * self.framed_neurons)

    def group_by_group(self, lanes: int) -> np.ndarray:
        """Return all quantities (int64, shape (quantities,)), those of each group of ``lanes`` neurons together: segment by segment the
        neurons of the first group of the first framed layer, then those of the next group, and in the end the tail."""
        segment, found = self.framed_neurons * np.arange(self.segments)[:, None], []
        for layer in range(self.network.framed):
            first = self.first_quantity(layer, 0)
            own = np.arange(first, first + self.network.sizes[layer + 1])
            found += [(segment + own[begin : begin + lanes]).ravel() for begin in range(0, len(own), lanes)]
        return np.concatenate([*found, np.arange(self.segments * self.framed_neurons, self.quantities)])

    def length_of(self, inputs: np.ndarray) -> int:
        """Return the number n of frames of a sample: T if its input is held, or if the length that its inputs begin with is not 1 to T."""
        given = self.frames if self.network.held or not self.network.framed else int(inputs[0])
        return given if 1 <= given <= self.frames else self.frames

    def frame_of(self, inputs: np.ndarray, frame: int) -> np.ndarray:
        """Return the inputs (shape (n_in,)) of a frame from the input words of a sample (shape (record_inputs,))."""
        n_in = self.network.n_in
        return inputs if self.network.record_inputs == n_in else inputs[1 + frame * n_in : 1 + (frame + 1) * n_in]


def check_unrolled(network: Network, perturbation: Perturbation, hardware: Hardware) -> None:
    """Refuse what a network with state does not do, and a hold without one.

    Raises
    ------
    DesignError
        If it is not possible, or not built.
    """
    hold, segments, frames = perturbation.hold, perturbation.segments, network.frames
    if not network.framed:
        if hold is not None or segments is not None:
            reason = "one sign lasts for the one frame of a network without state"
            raise DesignError("perturbation.hold", hold, reason, "Remove it, or give a layer a state in network.layers.")
        return
    if perturbation.kind is Kind.WEIGHT and (hold is not None or segments is not None):
        reason = "in weight perturbation the sign of a parameter lasts for all frames"
        raise DesignError("perturbation.hold", hold, reason, 'Remove it, or write kind = "node" in [perturbation].')
    if hold is not None and (not isinstance(hold, int) or isinstance(hold, bool) or not 1 <= hold <= frames):
        reason = f"a sign lasts 1 to network.frames = {frames} frames"
        raise DesignError("perturbation.hold", hold, reason, f"Take {frames}, say, or leave it out.")
    unrolled = Unrolled.of(network, perturbation)
    if segments is not None and segments < -(-frames // unrolled.hold):
        reason = f"{frames} frames have {-(-frames // unrolled.hold)} signs of {unrolled.hold} frames, and the core has room for {segments}"
        raise DesignError("perturbation.hold", hold, reason, f"Take at least {-(-frames // segments)}.")
    if perturbation.kind is Kind.NODE and unrolled.quantities > MAX_SIGNS:
        reason = f"{unrolled.quantities:,} perturbed quantities are more than the limit of {MAX_SIGNS:,}"
        raise DesignError("perturbation.hold", unrolled.hold, reason, "Take a longer hold, fewer frames or smaller layers.")
    sizes = list(network.sizes)
    for number, layer in enumerate(network.layers, 1):
        if type(layer.kind) not in _KINDS:
            reason = f"layer {number} is {layer.kind.name}, and no network with state is built with such a layer"
            raise DesignError("network.layers", sizes, reason, f"Take layers of the kinds {', '.join(kind.name for kind in _KINDS)}.")
    if perturbation.parts is not None:
        reason = "a network with state is perturbed in all of its layers together"
        raise DesignError("learning.parts", [list(part) for part in perturbation.parts], reason, "Remove it.")
    if hardware.multipliers_per_lane == 2 and perturbation.kind is Kind.NODE:
        reason = "a network with state applies its errors in a pass of their own"
        raise DesignError("hardware.multipliers_per_lane", 2, reason, "Leave it out.")
