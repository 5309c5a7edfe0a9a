"""Perturbation of a design: the perturbed quantities, the amplitude, and the code of the signs."""

from __future__ import annotations

import enum
import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

import numpy as np

from python_ref.spec.digest import UNLESS_DEFAULT
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
    "draw_generator",
    "stochastic_generator",
]


class Kind(enum.Enum):
    """Quantities to which the perturbation is added."""

    WEIGHT = "weight"
    """Every weight and bias: θ + sΔ."""
    NODE = "node"
    """Every neuron's pre-activation, including the output neurons': z + sΔ."""


@dataclass(frozen=True)
class Trinomial:
    """A leap-forward LFSR with b[t + degree] = b[t] ⊕ b[t + 1], that is, x^degree + x + 1.

    The polynomials of both degrees in use, 63 and 127, are primitive (Zierler & Brillhart, Information and Control 13, 1968),
    so the sequence has period 2^degree − 1. A step may advance by up to ``degree − 1`` bits at the cost of one gate each.

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
        """Return the smallest generator that draws ``outputs`` bits per word, 1 to 126."""
        return cls(63 if outputs < 63 else 127, outputs, stream)

    def seed_state(self, seed: int) -> int:
        """Return the starting state, of which bit i is b[i].

        It is the low bits of SHA-256 of "seed:stream", read little-endian, with 1 in place of 0. A hash avoids the long runs of zeros that
        small numbers as states would give.
        """
        digest = hashlib.sha256(f"{seed}:{self.stream}".encode()).digest()
        return int.from_bytes(digest, "little") & ((1 << self.degree) - 1) or 1


_Number = TypeVar("_Number", int, np.ndarray)
_SIGN_OF_BIT = np.array([1, -1], dtype=np.int8)


class Code(ABC):
    """A perturbation code, which gives the sign of every perturbed quantity in every sign vector.

    The sign of a quantity in sign vector number p is a function of three things: its index, which counts the perturbed
    quantities from 0 in hardware order; the phase, which is p modulo :meth:`period`; and the bit that a generator draws for it,
    if the code has generators. The models, the registers and the hardware derive everything that depends on the code from this class.

    Attributes
    ----------
    name : str
        Name of the code in a design file.
    values : tuple of int
        Possible values of a sign, in rising order: (−1, 1), (0, 1) or (−1, 0, 1).
    single : bool
        Whether a sign vector perturbs one quantity alone: the one whose index is the phase.
    """

    name: ClassVar[str]
    values: ClassVar[tuple[int, ...]]
    single: ClassVar[bool] = False

    @abstractmethod
    def generators(self, lanes: int) -> tuple[Trinomial, ...]:
        """Return the generators that draw one bit per lane and word, in order of the lanes; one lane draws a stream of single bits.

        Each serves 126 lanes, the last one the rest; there are none if the signs are not random.
        """

    @abstractmethod
    def period(self, quantities: int) -> int:
        """Return the number of phases: sign vectors whose p are equal modulo this number differ only in the bits that are drawn."""

    @abstractmethod
    def visits(self, steps: int, quantities: int) -> int:
        """Return the largest number of sign vectors, among ``steps`` consecutive ones, in which the sign of one quantity is not 0."""

    @abstractmethod
    def signs(self, index: np.ndarray, phase: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return the signs of quantities at phases.

        Parameters
        ----------
        index : array of int64, shape (quantities,)
            Index of each quantity.
        phase : array of int64, shape (count, 1)
            Phase of each sign vector.
        drawn : array of uint8, shape (count, quantities)
            Bits that the generators drew; 0 if the code has no generators.

        Returns
        -------
        array of int8, shape (count, quantities)
            Sign of each quantity in each sign vector: −1 or +1, or 0 if it is not perturbed.
        """

    def phase(self, p: _Number, quantities: int) -> _Number:
        """Return the phase of sign vector number p, or of each of an array of numbers."""
        return p % self.period(quantities)

    def phase_bits(self, quantities: int) -> int:
        """Return the number of bits that hold every phase, at least 1."""
        return max(1, (self.period(quantities) - 1).bit_length())


@dataclass(frozen=True)
class LfsrCode(Code):
    """Random signs ±1: a generator's bit 1 gives −1, and all signs of odd p are inverted.

    The inversion cancels the trinomial's own third-order correlation s[t]·s[t+1]·s[t+degree]. Without it, this correlation has a constant
    sign and biases a one-sided gradient by a second-order term that does not average out.
    """

    name = "lfsr"
    values = (-1, 1)

    def generators(self, lanes: int) -> tuple[Trinomial, ...]:
        """Return generators with one output per lane; see :class:`Code`."""
        widths = [min(126, lanes - first) for first in range(0, lanes, 126)]
        return tuple(Trinomial.for_outputs(width, "signs" if g == 0 else f"signs.{g}") for g, width in enumerate(widths))

    def period(self, quantities: int) -> int:
        """Return 2, since only the parity of p matters."""
        return 2

    def visits(self, steps: int, quantities: int) -> int:
        """Return ``steps``, since every sign vector perturbs every quantity."""
        return steps

    def signs(self, index: np.ndarray, phase: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return the signs; see :class:`Code`."""
        return _SIGN_OF_BIT.take(drawn ^ phase.astype(np.uint8))


@dataclass(frozen=True)
class WalshCode(Code):
    """Signs ±1 from a Sylvester-Hadamard matrix: −1 where the parity of (index AND phase) is odd.

    Indices count rows of the matrix from 1, since row 0 is constant and would accumulate curvature.
    """

    name = "walsh"
    values = (-1, 1)

    def generators(self, lanes: int) -> tuple[Trinomial, ...]:
        """Return no generators."""
        return ()

    def period(self, quantities: int) -> int:
        """Return the smallest power of two above the number of quantities."""
        return 1 << quantities.bit_length()

    def visits(self, steps: int, quantities: int) -> int:
        """Return ``steps``, since every sign vector perturbs every quantity."""
        return steps

    def signs(self, index: np.ndarray, phase: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return the signs; see :class:`Code`."""
        odd = (index + 1) & phase
        for shift in (16, 8, 4, 2, 1):
            odd ^= odd >> shift
        return _SIGN_OF_BIT[odd & 1]


@dataclass(frozen=True)
class WalshGrayCode(WalshCode):
    """The sign vectors of the Walsh code in Gray-code order: −1 where the parity of (index AND gray(phase)) is odd.

    Here indices count from 1, and gray(phase) = phase ⊕ ⌊phase/2⌋. From one sign vector to the next, and from the last of a period to the
    first, one bit b of gray(phase) changes, so that the signs of the indices whose bit b is set flip: one Rademacher function, a row of
    the Hadamard matrix with a single bit. Over a period, both codes have the same sign vectors.
    """

    name = "walsh-gray"

    def signs(self, index: np.ndarray, phase: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return the signs; see :class:`Code`."""
        return super().signs(index, phase ^ (phase >> 1), drawn)


@dataclass(frozen=True)
class SequentialCode(Code):
    """One perturbed quantity at a time: +1 for the one whose index is the phase, 0 for the others."""

    name = "sequential"
    values = (0, 1)
    single = True

    def generators(self, lanes: int) -> tuple[Trinomial, ...]:
        """Return no generators."""
        return ()

    def period(self, quantities: int) -> int:
        """Return the number of quantities."""
        return quantities

    def visits(self, steps: int, quantities: int) -> int:
        """Return ⌈steps/quantities⌉, since each sign vector perturbs the next quantity."""
        return -(-steps // quantities)

    def signs(self, index: np.ndarray, phase: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return the signs; see :class:`Code`."""
        return (index == phase).astype(np.int8)


CODES: dict[str, type[Code]] = {code.name: code for code in (LfsrCode, WalshCode, WalshGrayCode, SequentialCode)}
"""Codes that the hardware supports, by their names in a design file."""


def stochastic_generator(bits: int) -> Trinomial:
    """Return the generator of stochastic words of ``bits`` bits."""
    return Trinomial.for_outputs(bits, "stochastic")


def draw_generator(bits: int) -> Trinomial:
    """Return the generator of the thresholds of stochastic neurons, of ``bits`` bits for each neuron."""
    return Trinomial.for_outputs(bits, "draws")


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
        Seed of the random streams, 0 to 2^63 − 1.
    parts : tuple of (int, int) or None
        Number of consecutive layers that a probe perturbs together, and number of probes of a round that perturb them, for each part of the
        network (:mod:`python_ref.spec.parts`); None perturbs all layers in every probe.
    hold : int or None
        H, the number of frames that one sign lasts in a network with state; None is T where the input is held, and 1 elsewhere.
    segments : int or None
        S, the number of signs of a neuron that a core is built for, where it is more than ⌈T/H⌉; None is ⌈T/H⌉. With it, a specification
        describes a core whose register of H was set to a longer hold than that of its design file.

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
    parts: tuple[tuple[int, int], ...] | None = None
    hold: int | None = field(default=None, metadata={UNLESS_DEFAULT: True})
    segments: int | None = field(default=None, metadata={UNLESS_DEFAULT: True})

    def __post_init__(self) -> None:
        check_member("Kind", self.kind, Kind)
        if not -40 <= self.amplitude_log2 <= 10:
            raise DesignError("perturbation.amplitude", f"2^{self.amplitude_log2}", "it must lie between 2^-40 and 2^10", "Take 2^-6, say.")
        if not 0 <= self.seed < 1 << 63:
            raise DesignError("perturbation.seed", self.seed, "it must be a whole number from 0 to 2^63 - 1", "Take 1, say.")
