"""Perturbation: what is perturbed, by how much, and by which code."""

from __future__ import annotations

import enum
import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

from python_ref.spec.error import DesignError, check_member

__all__ = [
    "CODES",
    "Code",
    "Kind",
    "LfsrCode",
    "Perturbation",
    "SequentialCode",
    "Trinomial",
    "WalshCode",
    "WalshGrayCode",
    "stochastic_generator",
]


class Kind(enum.Enum):
    """What the perturbation is added to."""

    WEIGHT = "weight"
    """Every weight and bias: θ + sΔ."""
    NODE = "node"
    """Every neuron's pre-activation, the output's included: z + sΔ."""


@dataclass(frozen=True)
class Trinomial:
    """A leap-forward LFSR over b[t + degree] = b[t] ⊕ b[t + 1], so x^degree + x + 1.

    Both degrees in use, 63 and 127, give primitive polynomials (Zierler & Brillhart, Information and Control 13, 1968),
    so the sequence has period 2^degree − 1. A step may leap over as many as ``degree − 1`` bits at one gate each.

    Parameters
    ----------
    degree : int
        Number of state bits, 63 or 127.
    outputs : int
        Bits drawn per word, 1 to ``degree − 1``. Bit i of word w is b[w·outputs + i].
    stream : str
        Name of the stream; with the seed it determines the starting state.
    """

    degree: int
    outputs: int
    stream: str

    def __post_init__(self) -> None:
        if self.degree not in (63, 127):
            raise ValueError(f"Degree of the trinomial must be 63 or 127, not {self.degree!r}")
        if not 1 <= self.outputs < self.degree:
            raise ValueError(f"Bits drawn per word must be 1 to {self.degree - 1}, not {self.outputs!r}")

    @classmethod
    def for_outputs(cls, outputs: int, stream: str) -> Trinomial:
        """The smallest generator that draws ``outputs`` bits per word, 1 to 126."""
        return cls(63 if outputs < 63 else 127, outputs, stream)

    def seed_state(self, seed: int) -> int:
        """Starting state, bit i being b[i]: the low bits of SHA-256 of "seed:stream", read little-endian; zero becomes 1.

        A hash, since small numbers as states give long runs of zeros.
        """
        digest = hashlib.sha256(f"{seed}:{self.stream}".encode()).digest()
        return int.from_bytes(digest, "little") & ((1 << self.degree) - 1) or 1


_Number = TypeVar("_Number", int, np.ndarray)
_SIGN_OF_BIT = np.array([1, -1], dtype=np.int8)


class Code(ABC):
    """A perturbation code: the sign of every perturbed quantity in every sign vector.

    The sign of a quantity in sign vector number p is a function of three things: its index, which counts the perturbed
    quantities from 0 in hardware order; the phase, which is p modulo :meth:`period`; and the bit that a generator draws for it,
    if the code has generators. The models, the registers and the hardware take everything they need to know from this class.

    Attributes
    ----------
    name : str
        Name in a design file.
    values : tuple of int
        The values that a sign can have, in rising order: (−1, 1), (0, 1) or (−1, 0, 1).
    """

    name: ClassVar[str]
    values: ClassVar[tuple[int, ...]]

    @abstractmethod
    def generators(self, lanes: int) -> tuple[Trinomial, ...]:
        """The generators that draw a bit per lane, in order; each serves 126 lanes, the last one the rest. Empty if signs are not drawn."""

    @abstractmethod
    def period(self, quantities: int) -> int:
        """Number of phases: sign vectors whose p are equal modulo this number differ only in the bits that are drawn."""

    @abstractmethod
    def signs(self, index: np.ndarray, phase: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Signs of quantities at phases.

        Parameters
        ----------
        index : array of int64, shape (quantities,)
            Index of each quantity.
        phase : array of int64, shape (count, 1)
            Phase of each sign vector.
        drawn : array of uint8, shape (count, quantities)
            The bits drawn; 0 where the code has no generators.

        Returns
        -------
        array of int8, shape (count, quantities)
            Sign of each quantity in each sign vector: −1 or +1, or 0 if it is not perturbed.
        """

    def phase(self, p: _Number, quantities: int) -> _Number:
        """The phase of sign vector number p, or of each of an array of numbers."""
        return p % self.period(quantities)

    def phase_bits(self, quantities: int) -> int:
        """Bits that hold every phase; 1 at least."""
        return max(1, (self.period(quantities) - 1).bit_length())


@dataclass(frozen=True)
class LfsrCode(Code):
    """Random signs ±1: bit 1 of the generator means −1, and all signs of odd p are inverted.

    The inversion cancels the trinomial's own third-order correlation s[t]·s[t+1]·s[t+degree], which is constant in
    sign otherwise and biases a one-sided gradient by a second-order term that never averages out.
    """

    name = "lfsr"
    values = (-1, 1)

    def generators(self, lanes: int) -> tuple[Trinomial, ...]:
        """See :class:`Code`; an output per lane."""
        widths = [min(126, lanes - first) for first in range(0, lanes, 126)]
        return tuple(Trinomial.for_outputs(width, "signs" if g == 0 else f"signs.{g}") for g, width in enumerate(widths))

    def period(self, quantities: int) -> int:
        """2: only whether p is odd matters."""
        return 2

    def signs(self, index: np.ndarray, phase: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """See :class:`Code`."""
        return _SIGN_OF_BIT[drawn ^ phase.astype(np.uint8)]


@dataclass(frozen=True)
class WalshCode(Code):
    """Signs ±1: −1 where the parity of (index AND phase) is odd, Sylvester-Hadamard.

    Rows of the matrix are counted from 1 (row 0 is constant and would collect curvature).
    """

    name = "walsh"
    values = (-1, 1)

    def generators(self, lanes: int) -> tuple[Trinomial, ...]:
        """None."""
        return ()

    def period(self, quantities: int) -> int:
        """The smallest power of two above the number of quantities."""
        return 1 << quantities.bit_length()

    def signs(self, index: np.ndarray, phase: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """See :class:`Code`."""
        odd = (index + 1) & phase
        for shift in (16, 8, 4, 2, 1):
            odd ^= odd >> shift
        return _SIGN_OF_BIT[odd & 1]


@dataclass(frozen=True)
class WalshGrayCode(WalshCode):
    """The sign vectors of the Walsh code in Gray-code order: −1 where the parity of (index AND gray(phase)) is odd.

    With indices counted from 1 and gray(phase) = phase ⊕ ⌊phase/2⌋. From one sign vector to the next, the last and the first of a
    period included, one bit b of gray(phase) changes, so that the signs that flip are those of the indices whose bit b is set: one
    Rademacher function, a row of the Hadamard matrix with a single bit. Over a period both codes have the same sign vectors.
    """

    name = "walsh-gray"

    def signs(self, index: np.ndarray, phase: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """See :class:`Code`."""
        return super().signs(index, phase ^ (phase >> 1), drawn)


@dataclass(frozen=True)
class SequentialCode(Code):
    """One quantity at a time: +1 for the one whose index is the phase, 0 for the others."""

    name = "sequential"
    values = (0, 1)

    def generators(self, lanes: int) -> tuple[Trinomial, ...]:
        """None."""
        return ()

    def period(self, quantities: int) -> int:
        """The number of quantities."""
        return quantities

    def signs(self, index: np.ndarray, phase: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """See :class:`Code`."""
        return (index == phase).astype(np.int8)


CODES: dict[str, type[Code]] = {code.name: code for code in (LfsrCode, WalshCode, WalshGrayCode, SequentialCode)}
"""The codes that the hardware has, by their names in a design file."""


def stochastic_generator(bits: int) -> Trinomial:
    """The generator of stochastic words of ``bits`` bits."""
    return Trinomial.for_outputs(bits, "stochastic")


@dataclass(frozen=True)
class Perturbation:
    """The perturbation of a design.

    Parameters
    ----------
    kind : Kind
        Quantities that are perturbed: parameters or pre-activations.
    code : Code
        Code that generates the sign vectors s.
    amplitude_log2 : int
        log₂ Δ, −40 to 10.
    seed : int
        Of the random streams, 0 to 2^63 − 1.

    Raises
    ------
    TypeError
        If ``kind`` is not a :class:`Kind`.
    DesignError
        If a number is out of bounds.
    """

    kind: Kind
    code: Code = LfsrCode()
    amplitude_log2: int = -6
    seed: int = 1

    def __post_init__(self) -> None:
        check_member("Kind", self.kind, Kind)
        if not -40 <= self.amplitude_log2 <= 10:
            raise DesignError("perturbation.amplitude", f"2^{self.amplitude_log2}", "it must lie between 2^-40 and 2^10", "Take 2^-6, say.")
        if not 0 <= self.seed < 1 << 63:
            raise DesignError("perturbation.seed", self.seed, "it must be a whole number from 0 to 2^63 - 1", "Take 1, say.")
