"""Layers of a network with state, one class each: what they multiply with their weights, their outputs, and their gradient.

A layer is evaluated once in every frame of a sample. Arrays have a column for each sample of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from python_ref.floating.layers import Dense
from python_ref.spec.activations import Activation

__all__ = ["FramedLayer", "Leaky", "Lif", "Memoryless"]


class FramedLayer(Protocol):
    """A layer that is evaluated in every frame.

    Attributes
    ----------
    kind : str
        Name of the kind of the layer.
    stateful : bool
        Whether a neuron keeps a state from one frame to the next.
    recurrent : bool
        Whether the states of the frame before are operands as well, behind the inputs.
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

    def evaluate(self, z: np.ndarray, before: np.ndarray, y: np.ndarray, after: np.ndarray) -> None:
        """Write f(z) or the spike to ``y``, and the state to ``after``, for pre-activations z and the state of the frame before.

        All are of shape (n_out, B). A layer without state leaves ``before`` and ``after`` alone.
        """
        ...

    def output(self, y: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Return what the layer passes on, which is one of the two: y, or the state after the frame (any shape)."""
        ...

    def backward(self, y: np.ndarray, after: np.ndarray, output: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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

    def evaluate(self, z: np.ndarray, before: np.ndarray, y: np.ndarray, after: np.ndarray) -> None:
        """See :class:`FramedLayer`."""
        _activate(self.layer.activation, z, y)

    def output(self, y: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Return y."""
        return y

    def backward(self, y: np.ndarray, after: np.ndarray, output: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`FramedLayer`."""
        return output * self.layer.activation.slope(y), state


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

    def evaluate(self, z: np.ndarray, before: np.ndarray, y: np.ndarray, after: np.ndarray) -> None:
        """See :class:`FramedLayer`."""
        _activate(self.activation, z, y)
        np.subtract(y, before, out=after)
        after *= z.dtype.type(2.0**-self.leak)
        after += before

    def output(self, y: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Return the state."""
        return state

    def backward(self, y: np.ndarray, after: np.ndarray, output: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`FramedLayer`."""
        error, share = output + state, output.dtype.type(2.0**-self.leak)
        return error * share * self.activation.slope(y), error * (1 - share)


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

    def evaluate(self, z: np.ndarray, before: np.ndarray, y: np.ndarray, after: np.ndarray) -> None:
        """See :class:`FramedLayer`."""
        np.multiply(before, z.dtype.type(1.0 - 2.0**-self.leak), out=after)
        after += z
        np.greater_equal(after, 1, out=y)
        after -= y

    def output(self, y: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Return the spike."""
        return y

    def backward(self, y: np.ndarray, after: np.ndarray, output: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`FramedLayer`."""
        distance = np.abs(after + y - 1)
        error = output / np.square(1 + output.dtype.type(self.steepness) * distance) + state
        return error, error * output.dtype.type(1.0 - 2.0**-self.leak)


def _activate(activation: Activation, z: np.ndarray, y: np.ndarray) -> None:
    """Write f(z) to ``y``."""
    found = activation.activate(z, y)
    if found is not y:
        y[...] = found
