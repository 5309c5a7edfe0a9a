"""What a forward pass is: parameters, perturbable quantities, and outputs of a batch. All that multiplexed gradient descent asks of
a network.

Three levels, each with what the one before has:

- :class:`Measurable`: parameters in, costs out. Enough for weight perturbation, and all that a chip in the loop can do.
- :class:`ForwardPass`: parameters in, outputs out, so that there is an accuracy.
- :class:`NodePass`: pre-activations can be perturbed, and an error at each of them becomes a gradient by what is known *at* the node: its
  own inputs. Enough for node perturbation. No derivative, no transposed weight.

:class:`Measured` makes the first of the second and an objective. A recurrent, spiking or sparse network is one more class with
these methods; nothing here says that a pass is made of layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol, runtime_checkable

import numpy as np

__all__ = ["Block", "ForwardPass", "Measurable", "Measured", "NodePass", "Objective", "split", "total"]


@dataclass(frozen=True)
class Block:
    """A named array, one of those that a flat vector consists of.

    Parameters
    ----------
    name : str
        Such as "dense1": the layer it belongs to.
    shape : tuple of int
        Dimensions of the array; their product is the number of values.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)


def total(blocks: Sequence[Block]) -> int:
    """Values of all blocks together."""
    return sum(block.size for block in blocks)


def split(flat: np.ndarray, blocks: Sequence[Block]) -> dict[str, np.ndarray]:
    """The blocks of flat vectors (shape (…, size)) by name, as views (shape (…, *block.shape)).

    Raises
    ------
    ValueError
        If the last axis has not as many values as the blocks.
    """
    if flat.shape[-1:] != (total(blocks),):
        raise ValueError(f"Number of values must be {total(blocks)}, as the blocks have together, not {flat.shape!r}")
    found, first = {}, 0
    for block in blocks:
        found[block.name] = flat[..., first : first + block.size].reshape(flat.shape[:-1] + block.shape)
        first += block.size
    return found


@runtime_checkable
class Measurable(Protocol):
    """A cost that depends on parameters: what weight perturbation needs.

    Attributes
    ----------
    parameters : tuple of Block
        What θ consists of, in this order.
    """

    @property
    def parameters(self) -> tuple[Block, ...]: ...

    def costs(self, theta: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """C of each sample (shape (B,)) at θ (shape (P,)), of samples (shapes (B, n_in) and (B, n_out))."""
        ...


@runtime_checkable
class ForwardPass(Protocol):
    """A network: outputs that depend on parameters and inputs.

    Attributes
    ----------
    parameters : tuple of Block
        What θ consists of, in this order.
    """

    @property
    def parameters(self) -> tuple[Block, ...]: ...

    def forward(self, theta: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Outputs (shape (B, n_out)) of a batch (shape (B, n_in)) at θ (shape (P,)), in the type of θ."""
        ...


@runtime_checkable
class NodePass(ForwardPass, Protocol):
    """A network whose pre-activations can be perturbed, each sample by a perturbation of its own.

    Attributes
    ----------
    nodes : tuple of Block
        The perturbable pre-activations of one sample, N in all, in this order.
    """

    @property
    def nodes(self) -> tuple[Block, ...]: ...

    def trace(self, theta: np.ndarray, inputs: np.ndarray, shift: np.ndarray | None = None, base: Any = None) -> tuple[np.ndarray, Any]:
        """Outputs (shape (B, n_out)), and what :meth:`correlate` needs to know of the pass.

        Parameters
        ----------
        theta : array, shape (P,)
            Flat vector θ of all parameters, unperturbed.
        inputs : array, shape (B, n_in)
            Inputs x of the batch, a row per sample.
        shift : array, shape (B, N), or None
            What is added to each pre-activation of each sample.
        base : trace or None
            Of the unperturbed pass at the same θ and inputs: what does not depend on ``shift`` need not be computed again.
        """
        ...

    def correlate(self, trace: Any, errors: np.ndarray) -> np.ndarray:
        """Σ over samples of errorⱼ·∂zⱼ/∂θ (shape (P,)), for an error at each node (shape (B, N)): error times input, at each synapse."""
        ...


class Objective(Protocol):
    """A cost of outputs."""

    def costs(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """C of each sample (shape (B,)), of outputs and targets (shape (B, n_out))."""
        ...

    def slopes(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """∂C/∂y (shape (B, n_out)); for back-propagation only."""
        ...


@dataclass(frozen=True)
class Measured:
    """A network and an objective: a :class:`Measurable`.

    Parameters
    ----------
    network : ForwardPass
        Network whose outputs the objective judges.
    objective : Objective
        What its outputs cost.
    """

    network: ForwardPass
    objective: Objective

    @property
    def parameters(self) -> tuple[Block, ...]:
        """Those of the network."""
        return self.network.parameters

    def costs(self, theta: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """C of each sample (shape (B,))."""
        return self.objective.costs(self.network.forward(theta, inputs), targets)
