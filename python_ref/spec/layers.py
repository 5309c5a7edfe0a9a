"""Kinds of layers: which operands a neuron multiplies with its weights, and whether it keeps a state from frame to frame.

Each kind is one class, a frozen dataclass whose fields are its keys in an entry of ``network.layers`` of a design file, such as
``{neurons = 32, kind = "sparse", fan_in = 8}``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import MISSING, dataclass, fields
from typing import ClassVar

from python_ref.spec.error import DesignError
from python_ref.spec.number import Fixed

__all__ = ["DENSE", "LAYER_KINDS", "SPIKE", "Dense", "LayerKind", "Leaky", "Lif"]

SPIKE = Fixed(False, 1, 0)
"""Format of the output of a spiking neuron, 0 or 1."""


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
    recurrent : bool
        Whether the operands of a neuron are the layer's inputs, then the outputs of the layer itself in the frame before.
    activated : bool
        Whether the activation of the network turns pre-activations into outputs, or the kind's own equations do.
    """

    name: ClassVar[str]
    meaning: ClassVar[str]
    stateful: ClassVar[bool] = False
    recurrent: ClassVar[bool] = False
    activated: ClassVar[bool] = True

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

    def output_format(self, activation: Fixed) -> Fixed:
        """Return the format of the outputs, which is that of activations unless the kind has its own."""
        return activation

    def state_format(self, activation: Fixed, state: Fixed) -> Fixed | None:
        """Return the format of a neuron's state, or None if it has none.

        Parameters
        ----------
        activation, state : Fixed
            The design's formats of activations and of states.
        """
        return None

    def check_state(self, number: int, form: Fixed) -> None:  # noqa: B027  # a kind without state has nothing to check
        """Check the parameters of the kind against the format of the state of a layer.

        Parameters
        ----------
        number : int
            Number of the layer, from 1, for the message.
        form : Fixed
            Format of the state of its neurons.

        Raises
        ------
        DesignError
            If they do not fit. The key is ``network.layers``, or that of the format.
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


def _check_leak(kind: str, leak: object, number: int, form: Fixed) -> None:
    """Refuse a leak that no shift of a state of the given format has."""
    if not isinstance(leak, int) or isinstance(leak, bool) or not 0 <= leak < form.width:
        reason = f"layer {number} is {kind} with leak = {leak!r}, and its state is {form}, of {form.width} bits"
        raise DesignError("network.layers", None, reason, f"Give leak a whole number from 0 to {form.width - 1}, or the state more bits.")


@dataclass(frozen=True)
class Leaky(LayerKind):
    """h ← h + ((f(W·x + U·h + b) − h) >>> k): a recurrent layer whose outputs follow their activations with a leak.

    Parameters
    ----------
    leak : int
        k, from 0 to one less than the bits of an activation; with 0, the layer is Elman's, h ← f(W·x + U·h + b).
    """

    leak: int

    name = "leaky"
    meaning = "h ← h + (f(W·x + U·h + b) − h)·2^−leak in every frame, a weight for each input and for each output h of the frame before"
    stateful = True
    recurrent = True

    def operands(self, n_in: int, n_out: int) -> int:
        """Return the number of inputs and of neurons together."""
        return n_in + n_out

    def check(self, n_in: int, n_out: int) -> None:
        """Accept every layer; the leak is checked against the format of the state."""

    def state_format(self, activation: Fixed, state: Fixed) -> Fixed:
        """Return the format of activations: h lies between two of them."""
        return activation

    def check_state(self, number: int, form: Fixed) -> None:
        """Refuse a leak of as many bits as h has, or more; see :class:`LayerKind`."""
        _check_leak(self.name, self.leak, number, form)


@dataclass(frozen=True)
class Lif(LayerKind):
    """v ← v − (v >>> k) + W·x + b, a spike where v ≥ 1, then v ← v − 1: leaky integration and fire, with a reset that keeps the rest.

    Parameters
    ----------
    leak : int
        k, from 0 to one less than the bits of a state; with 0, a neuron forgets its state in every frame.
    """

    leak: int

    name = "lif"
    meaning = "v ← v − v·2^−leak + W·x + b in every frame; where v ≥ 1, the output is a spike, 1, and v ← v − 1; elsewhere it is 0"
    stateful = True
    activated = False

    def operands(self, n_in: int, n_out: int) -> int:
        """Return the number of inputs."""
        return n_in

    def check(self, n_in: int, n_out: int) -> None:
        """Accept every layer; the leak is checked against the format of the state."""

    def output_format(self, activation: Fixed) -> Fixed:
        """Return the format of a spike."""
        return SPIKE

    def state_format(self, activation: Fixed, state: Fixed) -> Fixed:
        """Return the design's format of states."""
        return state

    def check_state(self, number: int, form: Fixed) -> None:
        """Refuse a state without a sign or without room for the threshold, and a leak of as many bits or more; see :class:`LayerKind`."""
        if not form.signed or form.max < 1 << form.fraction_bits:
            reason = "the state of a lif neuron has a sign, and reaches the threshold, 1"
            raise DesignError("formats.state", str(form), reason, "Take a signed format with at least 2 integer bits, such as 'SQ4.10'.")
        _check_leak(self.name, self.leak, number, form)


DENSE = Dense()
"""The kind of a layer of which a design says nothing else."""

LAYER_KINDS: dict[str, type[LayerKind]] = {kind.name: kind for kind in (Dense, Leaky, Lif)}
"""Kinds of layers, by their names in a design file."""
