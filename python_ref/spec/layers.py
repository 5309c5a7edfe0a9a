"""Kinds of layers: which operands a neuron multiplies with its weights, and whether it keeps a state from frame to frame.

Each kind is one class, a frozen dataclass whose fields are its keys in an entry of ``network.layers`` of a design file, such as
``{neurons = 32, kind = "sparse", fan_in = 8}``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import MISSING, dataclass, fields
from typing import ClassVar

__all__ = ["DENSE", "LAYER_KINDS", "Dense", "LayerKind"]


class LayerKind(ABC):
    """A kind of layer: a frozen dataclass whose fields are its parameters.

    Attributes
    ----------
    name : str
        Name of the kind in a design file.
    meaning : str
        Description of the kind for the reference page of the design file, as a phrase, with its equations.
    stateful : bool
        Whether a neuron keeps a state from one frame of a sample to the next.
    """

    name: ClassVar[str]
    meaning: ClassVar[str]
    stateful: ClassVar[bool] = False

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """Return the names of the kind's parameters, which are its keys in an entry of ``network.layers``."""
        return tuple(field.name for field in fields(cls))  # type: ignore[arg-type]  # every kind is a dataclass

    @classmethod
    def required(cls) -> tuple[str, ...]:
        """Return the names of the parameters that have no default."""
        found = fields(cls)  # type: ignore[arg-type]  # every kind is a dataclass
        return tuple(field.name for field in found if field.default is MISSING and field.default_factory is MISSING)

    @abstractmethod
    def operands(self, n_in: int, n_out: int) -> int:
        """Return the number of operands that a neuron multiplies with weights; the constant 1 of its bias is not counted.

        Parameters
        ----------
        n_in, n_out : int
            Number of the layer's inputs and of its neurons.
        """

    @abstractmethod
    def check(self, n_in: int, n_out: int) -> None:
        """Check the parameters of the kind in a layer of ``n_in`` inputs and ``n_out`` neurons.

        Raises
        ------
        DesignError
            If the layer cannot have them. The key is ``network.layers``.
        """


@dataclass(frozen=True)
class Dense(LayerKind):
    """y = f(W·x + b): each neuron has a weight for each input."""

    name = "dense"
    meaning = "y = f(W·x + b), a weight for each input"

    def operands(self, n_in: int, n_out: int) -> int:
        """Return the number of inputs."""
        return n_in

    def check(self, n_in: int, n_out: int) -> None:
        """Accept every layer, since the kind has no parameters."""


DENSE = Dense()
"""The kind of a layer of which a design says nothing else."""

LAYER_KINDS: dict[str, type[LayerKind]] = {kind.name: kind for kind in (Dense,)}
"""Kinds of layers, by their names in a design file."""
