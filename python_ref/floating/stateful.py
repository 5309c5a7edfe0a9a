"""Layers of a network with state, one class each: what they multiply with their weights, their outputs, and their gradient.

A layer is evaluated once in every frame of a sample. Arrays have a column for each sample of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from python_ref.floating.layers import Dense
from python_ref.spec.activations import Activation

__all__ = ["Evaluation", "FramedLayer", "Leaky", "Lif", "Memoryless"]


class Evaluation(NamedTuple):
    """Values of a layer after a frame (shape (n_out, B)): f(z) or the spike, the state, and what the layer passes on."""

    y: np.ndarray
    state: np.ndarray
    output: np.ndarray


class FramedLayer(Protocol):
    """A layer that is evaluated in every frame.

    Attributes
    ----------
    kind : str
        Name of the kind of the layer.
    stateful : bool
        Whether a neuron keeps a state from one frame to the next.
    recurrent : bool
        Whether the outputs of the frame before are operands as well, behind the inputs.
    """

    kind: ClassVar[str]
    stateful: ClassVar[bool]
    recurrent: ClassVar[bool]

    @property
    def n_out(self) -> int: ...

    @property
    def differentiable(self) -> bool:
        """Whether back-propagation is defined."""
        ...

    def evaluate(self, z: np.ndarray, state: np.ndarray) -> Evaluation:
        """Return the values of the layer for pre-activations z and the state of the frame before (both shape (n_out, B))."""
        ...

    def backward(self, made: Evaluation, output: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂C/∂z and ∂C/∂(state before), the latter without what goes through z, from ∂C/∂output and ∂C/∂(state after)."""
        ...


@dataclass(frozen=True)
class Memoryless:
    """A dense layer without state, among layers with state.

    Parameters
    ----------
    layer : Dense
        Layer that is evaluated in every frame.
    """

    layer: Dense

    kind: ClassVar[str] = "dense"
    stateful: ClassVar[bool] = False
    recurrent: ClassVar[bool] = False

    @property
    def n_out(self) -> int:
        """Number of neurons."""
        return self.layer.n_out

    @property
    def differentiable(self) -> bool:
        """Whether the activation has a slope."""
        return self.layer.activation.differentiable

    def evaluate(self, z: np.ndarray, state: np.ndarray) -> Evaluation:
        """Return y = f(z); the state stays."""
        y = self.layer.activation.activate(z)
        return Evaluation(y, state, y)

    def backward(self, made: Evaluation, output: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`FramedLayer`."""
        return output * self.layer.activation.slope(made.y), state


@dataclass(frozen=True)
class Leaky:
    """y = f(W·x + U·h + b), h ← h + (y − h)·2⁻ᵏ; the output is h. With k = 0 it is Elman's network.

    Parameters
    ----------
    n_out : int
        Number of neurons, each with a state of its own.
    activation : Activation
        Function f applied to each pre-activation.
    leak : int
        k, the number of places of the shift.
    """

    n_out: int
    activation: Activation = Activation.TANH
    leak: int = 0

    kind: ClassVar[str] = "leaky"
    stateful: ClassVar[bool] = True
    recurrent: ClassVar[bool] = True

    @property
    def differentiable(self) -> bool:
        """Whether the activation has a slope."""
        return self.activation.differentiable

    def evaluate(self, z: np.ndarray, state: np.ndarray) -> Evaluation:
        """See :class:`FramedLayer`."""
        y = self.activation.activate(z)
        kept = state + (y - state) * z.dtype.type(2.0**-self.leak)
        return Evaluation(y, kept, kept)

    def backward(self, made: Evaluation, output: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`FramedLayer`."""
        error, share = output + state, output.dtype.type(2.0**-self.leak)
        return error * share * self.activation.slope(made.y), error * (1 - share)


@dataclass(frozen=True)
class Lif:
    """Leaky integrate-and-fire: v ← v − v·2⁻ᵏ + W·x + b; where v ≥ 1 the neuron fires, which takes 1 from v; the output is the spike.

    Back-propagation takes 1/(1 + α·|v − 1|)² for the slope of a spike, v before the spike is taken from it (Zenke & Ganguli, Neural
    Computation 30, 1514 (2018)), and leaves the subtraction of the spike out, as Zenke & Vogels, Neural Computation 33, 899 (2021),
    found better.

    Parameters
    ----------
    n_out : int
        Number of neurons, each with a state of its own.
    leak : int
        k, the number of places of the shift.
    steepness : float
        α, by which the slope falls on both sides of the threshold. With a large one, neurons far from the threshold hardly learn.
    """

    n_out: int
    leak: int = 0
    steepness: float = 1.0

    kind: ClassVar[str] = "lif"
    stateful: ClassVar[bool] = True
    recurrent: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True

    def evaluate(self, z: np.ndarray, state: np.ndarray) -> Evaluation:
        """See :class:`FramedLayer`."""
        charged = state * z.dtype.type(1.0 - 2.0**-self.leak) + z
        spike = (charged >= 1).astype(z.dtype)
        return Evaluation(spike, charged - spike, spike)

    def backward(self, made: Evaluation, output: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`FramedLayer`."""
        distance = np.abs(made.state + made.y - 1)
        error = output / np.square(1 + output.dtype.type(self.steepness) * distance) + state
        return error, error * output.dtype.type(1.0 - 2.0**-self.leak)
