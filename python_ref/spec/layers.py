"""Kinds of layers: which operands a neuron multiplies with its weights, and whether it keeps a state from frame to frame.

Each kind is one class, a frozen dataclass whose fields are its keys in an entry of ``network.layers`` of a design file, such as
``{neurons = 32, kind = "sparse", fan_in = 8}``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar

import numpy as np

from python_ref.spec.activations import Activation
from python_ref.spec.error import DesignError
from python_ref.spec.number import Fixed

__all__ = [
    "DENSE",
    "DERIVED_BLOCK",
    "LAYER_KINDS",
    "MOST_WORD_BITS",
    "SPIKE",
    "Dense",
    "LayerKind",
    "Leaky",
    "Lif",
    "Sparse",
    "Stochastic",
    "drawn_lists",
]

DERIVED_BLOCK = 8
"""Number of neurons of a block of a sparse layer that gives none: 1, 2, 4 and 8 lanes divide it."""

MOST_WORD_BITS = 126
"""Maximum number of random bits of the thresholds of a neuron, which one word of a generator has."""

_MAX_SEED = (1 << 63) - 1

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
    own_noise : bool
        Whether the output of a neuron is random. Such a neuron learns from its own noise: a probe adds nothing to its pre-activation, but
        draws its output again.
    """

    name: ClassVar[str]
    meaning: ClassVar[str]
    stateful: ClassVar[bool] = False
    recurrent: ClassVar[bool] = False
    activated: ClassVar[bool] = True
    own_noise: ClassVar[bool] = False

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

    def fan_out(self, n_in: int, n_out: int) -> float:
        """Return the mean number of neurons that multiply an input, by which the scheme "glorot" scales the weights."""
        return n_out

    def block_size(self, n_out: int) -> int:
        """Return the number of consecutive neurons that have the same operands."""
        return n_out

    def lists(self, n_in: int, n_out: int) -> np.ndarray | None:
        """Return the numbers of the inputs that are a neuron's operands, in their order, for each block of neurons.

        Returns
        -------
        array of int64, shape (blocks, F), or None
            Lists of the inputs; None if every neuron has all inputs in their order.
        """
        return None

    def fits(self, n_out: int, lanes: int) -> bool:
        """Return whether every group of so many lanes has neurons of one block of the ``n_out`` neurons only."""
        block = self.block_size(n_out)
        return block == n_out or block % lanes == 0

    def check_lanes(self, layer: int, n_out: int, lanes: int) -> None:
        """Check that so many lanes can compute layer ``layer``, counted from 0, of ``n_out`` neurons.

        A group of lanes takes one operand at a time, so its neurons must be of one block.

        Raises
        ------
        DesignError
            If they are not. The key is ``hardware.lanes``.
        """
        block = self.block_size(n_out)
        if not self.fits(n_out, lanes):
            fitting = [str(count) for count in range(1, block + 1) if self.fits(n_out, count)]
            raise DesignError(
                "hardware.lanes",
                lanes,
                f"the lanes take one input at a time, and the neurons of layer {layer + 1} share their inputs in blocks of {block}, "
                f"which {lanes} lanes do not divide",
                f"Take {' or '.join([', '.join(fitting[:-1]), fitting[-1]] if fitting[:-1] else fitting)} lanes, "
                f"or write block = {lanes} in the table of the layer, which changes its inputs.",
            )

    def structure(self, n_in: int, n_out: int) -> object:
        """Return what is fixed in the core about a layer of this kind, from which the design's digest is computed."""
        return self

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

    @property
    def thresholds(self) -> int:
        """Number of random thresholds that an activation is compared with in a pass; 0 if the output is not random."""
        return 0

    def factors(self, signs: tuple[int, ...]) -> tuple[int, ...]:
        """Return values that a neuron's C̃ is multiplied with, the least and the greatest among them, for the signs of a code."""
        return signs

    def error_offset(self, amplitude_log2: int, two_sided: bool) -> int:
        """Return o, with which the error of a neuron is 2^(e + o)·E in its format, for an amplitude and a difference."""
        return 0

    def check_activation(self, key: str, activation: Activation) -> None:  # noqa: B027  # most kinds take every activation
        """Check the activation of a layer of this kind.

        Raises
        ------
        DesignError
            If the kind does not have it. The key is ``key``.
        """

    def check_activation_format(self, number: int, form: Fixed) -> None:  # noqa: B027  # most kinds take every format
        """Check the format of activations, for layer ``number``, counted from 1.

        Raises
        ------
        DesignError
            If a layer of this kind cannot have it. The key is ``formats.activation``.
        """

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


@dataclass(frozen=True)
class Sparse(LayerKind):
    """y = f(W·x + b), where each neuron has weights for ``fan_in`` of the inputs only.

    Consecutive neurons form blocks, whose neurons have the same inputs in the same order: those that the block's list names.

    Parameters
    ----------
    fan_in : int
        Number F of inputs of a neuron.
    block : int or None
        Number of neurons of a block; None takes :data:`DERIVED_BLOCK`. The last block of a layer may have fewer.
    seed : int
        Seed of the lists that :func:`drawn_lists` draws, 0 to 2^63 − 1.
    inputs : tuple of tuples of int
        List of each block, the numbers of its inputs from 0 in rising order; empty if they are drawn.
    """

    fan_in: int
    block: int | None = None
    seed: int = 1
    inputs: tuple[tuple[int, ...], ...] = ()

    name = "sparse"
    meaning = "y = f(W·x + b), weights for `fan_in` of the inputs; the neurons of a block have the same ones, drawn by `seed` unless given"

    def __post_init__(self) -> None:
        if isinstance(self.inputs, list) and all(isinstance(each, (list, tuple)) for each in self.inputs):
            object.__setattr__(self, "inputs", tuple(tuple(each) for each in self.inputs))

    def operands(self, n_in: int, n_out: int) -> int:
        """Return F."""
        return self.fan_in

    def fan_out(self, n_in: int, n_out: int) -> float:
        """Return n_out·F/n_in."""
        return n_out * self.fan_in / n_in

    def block_size(self, n_out: int) -> int:
        """Return the number of neurons of a block, at most all of the layer."""
        return min(n_out, DERIVED_BLOCK if self.block is None else self.block)

    def lists(self, n_in: int, n_out: int) -> np.ndarray:
        """Return the given lists, or drawn ones (int64, shape (blocks, F))."""
        if self.inputs:
            return np.array(self.inputs, dtype=np.int64)
        return drawn_lists(n_in, -(-n_out // self.block_size(n_out)), self.fan_in, self.seed)

    def structure(self, n_in: int, n_out: int) -> object:
        """Return the contents of the index memory, and the number of neurons that share a list."""
        return {"name": self.name, "block": self.block_size(n_out), "lists": self.lists(n_in, n_out).tolist()}

    def check(self, n_in: int, n_out: int) -> None:
        """Check the types and the limits of the parameters, and that the lists name inputs of the layer, each once."""

        def refuse(reason: str, remedy: str) -> DesignError:
            return DesignError("network.layers", _described(self, n_out), reason, remedy)

        if not _is_whole(self.fan_in) or self.fan_in < 1:
            raise refuse("fan_in must be a whole number of 1 or more", "Write fan_in = 8, say.")
        if self.fan_in > n_in:
            raise refuse(f"fan_in = {self.fan_in} is more than the {n_in} outputs of the layer before", f"Take at most {n_in}.")
        if self.block is not None and (not _is_whole(self.block) or self.block < 1):
            raise refuse("block must be a whole number of 1 or more", "Take a multiple of the lanes, or leave it out.")
        if not _is_whole(self.seed) or not 0 <= self.seed <= _MAX_SEED:
            raise refuse("seed must be a whole number from 0 to 2^63 - 1", "Take 1, say.")
        self._check_inputs(n_in, n_out, refuse)

    def _check_inputs(self, n_in: int, n_out: int, refuse: Callable[[str, str], DesignError]) -> None:
        """Check the given lists."""
        if not isinstance(self.inputs, tuple):
            raise refuse("inputs must be a list of lists of whole numbers", "Write inputs = [[0, 3], [1, 2]], say, or leave it out.")
        if not self.inputs:
            return
        blocks = -(-n_out // self.block_size(n_out))
        if len(self.inputs) != blocks:
            reason = f"inputs has {len(self.inputs)} lists, and the layer {blocks} blocks of {self.block_size(n_out)} neurons"
            raise refuse(reason, "Give a list for each block.")
        for number, each in enumerate(self.inputs):
            if len(each) != self.fan_in:
                raise refuse(f"list {number} of inputs has {len(each)} numbers, and fan_in is {self.fan_in}", "Give as many in each list.")
            if not all(_is_whole(index) and 0 <= index < n_in for index in each):
                reason = f"list {number} of inputs names an input out of range"
                raise refuse(reason, f"The layer before has the outputs 0 to {n_in - 1}.")
            if any(after <= before for before, after in pairwise(each)):
                raise refuse(f"list {number} of inputs does not rise", "Sort it, and name no input twice.")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _described(kind: Sparse, n_out: int) -> dict[str, object]:
    """Return the table of a sparse layer in ``network.layers``, without its lists."""
    table: dict[str, object] = {"neurons": n_out, "kind": kind.name, "fan_in": kind.fan_in}
    return table | ({} if kind.block is None else {"block": kind.block}) | ({} if kind.seed == 1 else {"seed": kind.seed})


@lru_cache(maxsize=64)
def drawn_lists(n_in: int, blocks: int, fan_in: int, seed: int) -> np.ndarray:
    """Draw the lists of a sparse layer, so that each input is in as many of them as any other, or in one more.

    For one block after the other, each input draws a key, 64 bits of numpy's generator PCG64 with this seed. The block takes those
    inputs that are in the fewest lists so far, and of those in equally many the ones with the smallest keys.

    Returns
    -------
    array of int64, shape (blocks, fan_in)
        Numbers of the inputs of each block, in rising order and without repetition; not to be written to.
    """
    generator = np.random.PCG64(seed)
    used, found = np.zeros(n_in, dtype=np.int64), np.empty((blocks, fan_in), dtype=np.int64)
    for block in range(blocks):
        keys = generator.random_raw(n_in)
        chosen = np.sort(np.lexsort((keys, used))[:fan_in])
        found[block] = chosen
        used[chosen] += 1
    found.setflags(write=False)
    return found


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


@dataclass(frozen=True)
class Stochastic(LayerKind):
    """y = c/N: c of N random thresholds u are below f(W·x + b), so that f is the probability of each to be; they are fixed in an inference.

    Parameters
    ----------
    draws : int
        N, one of :attr:`COUNTS`.
    """

    draws: int = 1

    name = "stochastic"
    meaning = "y = c/N, c the number of N = `draws` random thresholds below f(W·x + b), drawn again in every pass that perturbs the neuron"
    own_noise = True

    COUNTS: ClassVar[tuple[int, ...]] = (1, 2, 4, 8, 16)
    """Numbers of draws that a neuron may have."""

    @property
    def thresholds(self) -> int:
        """Return N."""
        return self.draws

    def operands(self, n_in: int, n_out: int) -> int:
        """Return the number of inputs."""
        return n_in

    def check(self, n_in: int, n_out: int) -> None:
        """Refuse a number of draws that is not one of :attr:`COUNTS`."""
        if not _is_whole(self.draws) or self.draws not in self.COUNTS:
            given = {"neurons": n_out, "kind": self.name, "draws": self.draws}
            listed = f"{', '.join(map(str, self.COUNTS[:-1]))} or {self.COUNTS[-1]}"
            raise DesignError("network.layers", given, f"draws must be {listed}", "Write draws = 8, say.")

    def check_activation(self, key: str, activation: Activation) -> None:
        """Refuse an activation that is no probability; see :class:`LayerKind`."""
        if activation.signed or not activation.bounded:
            usable = [each.value for each in Activation if each.bounded and not each.signed]
            reason = "the activation of a stochastic neuron is a probability, from 0 to 1"
            listed = " or ".join(f'{key.rpartition(".")[2]} = "{name}"' for name in usable)
            raise DesignError(key, activation.value, reason, f"Write {listed}, or take the layer without its kind.")

    def check_activation_format(self, number: int, form: Fixed) -> None:
        """Refuse a format without room for the middles of N parts, or whose thresholds exceed a word; see :class:`LayerKind`."""
        least, most = 1 + self._log2, MOST_WORD_BITS // self.draws
        if form.fraction_bits < least:
            reason = f"layer {number} has {self.draws} draws, whose fixed thresholds need {least} fraction bits"
            raise DesignError("formats.activation", str(form), reason, f"Take at least {least} fraction bits, or fewer draws.")
        if form.fraction_bits > most:
            reason = f"layer {number} draws {self.draws} thresholds of {form.fraction_bits} bits, and a word has {MOST_WORD_BITS}"
            remedy = f"Take at most {most} fraction bits, such as '{Fixed(form.signed, form.integer_bits, most)}', or fewer draws."
            raise DesignError("formats.activation", str(form), reason, remedy)

    @property
    def _log2(self) -> int:
        return self.draws.bit_length() - 1

    def output_format(self, activation: Fixed) -> Fixed:
        """Return UQ1.log₂N, in which a count c is c/N."""
        return Fixed(False, 1, self._log2)

    def factors(self, signs: tuple[int, ...]) -> tuple[int, ...]:
        """Return −N and N, the least and the greatest difference of two counts."""
        return -self.draws, self.draws

    def error_offset(self, amplitude_log2: int, two_sided: bool) -> int:
        """Return log₂Δ − 1, or log₂Δ if the difference is two-sided; the mean of C̃ times a difference of counts is 2·p·(1 − p)·∂C/∂p."""
        return amplitude_log2 if two_sided else amplitude_log2 - 1


DENSE = Dense()
"""The kind of a layer of which a design says nothing else."""

LAYER_KINDS: dict[str, type[LayerKind]] = {kind.name: kind for kind in (Dense, Sparse, Leaky, Lif, Stochastic)}
"""Kinds of layers, by their names in a design file."""
