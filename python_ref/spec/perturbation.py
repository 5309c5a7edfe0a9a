"""Perturbation: what is perturbed, by how much, and by which code."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass

from python_ref.spec.error import DesignError

__all__ = ["CODES", "Code", "Kind", "LfsrCode", "Perturbation", "SequentialCode", "Trinomial", "WalshCode", "stochastic_generator"]


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
        63 or 127.
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


@dataclass(frozen=True)
class LfsrCode:
    """Random signs ±1: bit 1 of the generator means −1, and all signs of odd p are inverted.

    The inversion cancels the trinomial's own third-order correlation s[t]·s[t+1]·s[t+degree], which is constant in
    sign otherwise and biases a one-sided gradient by a second-order term that never averages out.
    """

    name = "lfsr"

    def generators(self, lanes: int) -> tuple[Trinomial, ...]:
        """The generators that feed ``lanes`` lanes, in order; each serves up to 126 of them."""
        widths = [min(126, lanes - first) for first in range(0, lanes, 126)]
        return tuple(Trinomial.for_outputs(width, "signs" if g == 0 else f"signs.{g}") for g, width in enumerate(widths))


@dataclass(frozen=True)
class WalshCode:
    """Signs ±1: −1 where the parity of (index AND phase) is odd, Sylvester-Hadamard.

    Indices count the perturbed quantities in hardware order from 1 (row 0 is constant and would collect curvature);
    phase = p mod 2^m, 2^m the smallest power of two above the largest index.
    """

    name = "walsh"

    @staticmethod
    def phase_bits(quantities: int) -> int:
        """m for a number of perturbed quantities."""
        return quantities.bit_length()


@dataclass(frozen=True)
class SequentialCode:
    """One quantity at a time: +1 for the one whose index, in hardware order from 0, is p mod P; 0 for the others."""

    name = "sequential"


Code = LfsrCode | WalshCode | SequentialCode
CODES: dict[str, type[LfsrCode] | type[WalshCode] | type[SequentialCode]] = {
    code.name: code for code in (LfsrCode, WalshCode, SequentialCode)
}
"""The codes by the name they have in a design file."""


def stochastic_generator(bits: int) -> Trinomial:
    """The generator of stochastic words of ``bits`` bits."""
    return Trinomial.for_outputs(bits, "stochastic")


@dataclass(frozen=True)
class Perturbation:
    """The perturbation of a design.

    Parameters
    ----------
    kind : Kind
        What is perturbed.
    code : Code
        Which signs.
    amplitude_log2 : int
        log₂ Δ, −40 to 10.
    seed : int
        Of the random streams, 0 to 2^63 − 1.

    Raises
    ------
    DesignError
        If a number is out of bounds.
    """

    kind: Kind
    code: Code = LfsrCode()
    amplitude_log2: int = -6
    seed: int = 1

    def __post_init__(self) -> None:
        if not -40 <= self.amplitude_log2 <= 10:
            raise DesignError("perturbation.amplitude", f"2^{self.amplitude_log2}", "it must lie between 2^-40 and 2^10", "Take 2^-6, say.")
        if not 0 <= self.seed < 1 << 63:
            raise DesignError("perturbation.seed", self.seed, "it must be a whole number from 0 to 2^63 - 1", "Take 1, say.")
