"""Interfaces of a forward pass, which define all that multiplexed gradient descent requires of a network: parameters, perturbable
quantities, and the outputs of a batch.

There are three levels, each of which adds to the one before:

- :class:`Measurable`: parameters to costs. This suffices for weight perturbation, and is all that a chip in the loop can provide.
- :class:`ForwardPass`: parameters to outputs, so that there is an accuracy.
- :class:`NodePass`: pre-activations can be perturbed, and the error at a node becomes a gradient by local information only: the node's
  own inputs. This suffices for node perturbation, without derivatives or transposed weights.

:class:`Measured` combines a forward pass and an objective into a :class:`Measurable`. A recurrent, spiking or sparse network is one more
class with these methods; nothing in this module requires that a pass consists of layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol, runtime_checkable

import numpy as np

__all__ = ["Block", "ForwardPass", "Measurable", "Measured", "NodePass", "Objective", "of_all_nodes", "split", "total"]


@dataclass(frozen=True)
class Block:
    """A named array, which is a part of a flat vector.
    Parameters
    ----------
    name : str
        Name of the layer to which the array belongs, such as "dense1".
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
    """Return the number of values of all blocks together."""
    return sum(block.size for block in blocks)


def of_all_nodes(values: np.ndarray, nodes: int) -> np.ndarray:
    """Return values of the last nodes of a network (shape (B, n)) as values of all of its ``nodes`` (shape (B, N)), the others zero."""
    missing = nodes - values.shape[1]
    return values if not missing else np.pad(values, ((0, 0), (missing, 0)))


def split(flat: np.ndarray, blocks: Sequence[Block]) -> dict[str, np.ndarray]:
    """Return the blocks of flat vectors (shape (…, size)) by name, as views (shape (…, *block.shape)).

    Raises
    ------
    ValueError
        If the last axis does not have as many values as the blocks.
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
    """A cost as a function of parameters, which is all that weight perturbation requires.

    Attributes
    ----------
    parameters : tuple of Block
        Blocks of which θ consists, in this order.
    """

    @property
    def parameters(self) -> tuple[Block, ...]: ...

    def costs(self, theta: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return C of each sample (shape (B,)) at θ (shape (P,)), for inputs and targets (shapes (B, n_in) and (B, n_out))."""
        ...


@runtime_checkable
class ForwardPass(Protocol):
    """A network: outputs as a function of parameters and inputs.

    Attributes
    ----------
    parameters : tuple of Block
        Blocks of which θ consists, in this order.
    """

    @property
    def parameters(self) -> tuple[Block, ...]: ...

    def forward(self, theta: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Return the outputs (shape (B, n_out)) of a batch (shape (B, n_in)) at θ (shape (P,)), in the type of θ."""
        ...


@runtime_checkable
class NodePass(ForwardPass, Protocol):
    """A network whose pre-activations can be perturbed, with a separate perturbation for each sample.

    Attributes
    ----------
    nodes : tuple of Block
        Blocks of the perturbable pre-activations of one sample, N in total, in this order.
    """

    @property
    def nodes(self) -> tuple[Block, ...]: ...

    def trace(self, theta: np.ndarray, inputs: np.ndarray, shift: np.ndarray | None = None, base: Any = None) -> tuple[np.ndarray, Any]:
        """Return the outputs (shape (B, n_out)), and the values of the pass that :meth:`correlate` requires.

        Parameters
        ----------
        theta : array, shape (P,)
            Flat vector θ of all parameters, unperturbed.
        inputs : array, shape (B, n_in)
            Inputs x of the batch, a row per sample.
        shift : array, shape (B, N), or None
            Perturbation that is added to each pre-activation of each sample; or, of shape (B, n), to those of the last n nodes alone.
        base : trace or None
            Trace of the unperturbed pass at the same θ and inputs; values that do not depend on ``shift`` need not be computed again. That
            of a single sample takes any number of perturbations, and each row of the outputs is then the sample with one of them.
        """
        ...

    def correlate(self, trace: Any, errors: np.ndarray) -> np.ndarray:
        """Return Σ over samples of errorⱼ·∂zⱼ/∂θ (shape (P,)), which is error times input at each synapse.

        ``errors`` has an error for each node (shape (B, N)), or for the last n nodes (shape (B, n)), all others being zero.
        """
        ...


class Objective(Protocol):
    """A cost as a function of outputs and targets."""

    def costs(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return C of each sample (shape (B,)) for outputs and targets (shape (B, n_out))."""
        ...

    def slopes(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return ∂C/∂y (shape (B, n_out)); for back-propagation only."""
        ...


@dataclass(frozen=True)
class Measured:
    """A :class:`Measurable` that consists of a network and an objective.

    Parameters
    ----------
    network : ForwardPass
        Network whose outputs the objective evaluates.
    objective : Objective
        Cost of the network's outputs.
    """

    network: ForwardPass
    objective: Objective

    @property
    def parameters(self) -> tuple[Block, ...]:
        """Blocks of the network's parameters."""
        return self.network.parameters

    def costs(self, theta: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return C of each sample (shape (B,))."""
        return self.objective.costs(self.network.forward(theta, inputs), targets)
