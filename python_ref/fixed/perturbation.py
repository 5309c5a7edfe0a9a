"""The signs of all perturbed quantities at any p, and the words of stochastic rounding, with random access.

The hardware advances its shift registers word by word. This model computes blocks of a stream from any position: x^J mod (x^d + x + 1)
gives the state at that position, and b[t + d·2ᵏ] = b[t] ⊕ b[t + 2ᵏ], the polynomial squared k times, continues from there.
"""

from __future__ import annotations

import numpy as np

from python_ref.spec.learning import LearningSpec
from python_ref.spec.perturbation import Trinomial, stochastic_generator

__all__ = ["BitStream", "SignSource", "StochasticSource"]

BLOCK_BITS = 1 << 17
"""Minimum number of bits that are computed at once."""

TABLE_SIGNS = 1 << 22
"""Maximum number of signs of a period, of a code that draws none at random, that are kept."""


def _power_of_x(exponent: int, degree: int) -> int:
    """Return x^exponent mod (x^degree + x + 1) over GF(2); bit i is the coefficient of xⁱ."""
    mask, value = (1 << degree) - 1, 1
    for bit in f"{exponent:b}":
        value = int(f"{value:b}", 4) << (bit == "1")  # binary digits, read in base 4, give the square over GF(2)
        while high := value >> degree:
            value = (value & mask) ^ high ^ (high << 1)
    return value


class BitStream:
    """Stream of bits b[t] from a trinomial generator.

    Parameters
    ----------
    generator : Trinomial
        Recurrence, width of a word, and name of the stream.
    seed : int
        Seed of the starting state.
    """

    def __init__(self, generator: Trinomial, seed: int) -> None:
        self.generator = generator
        self.seed = seed
        self._first = 0
        self._block = np.zeros(0, dtype=np.uint8)

    def state(self, position: int) -> int:
        """Return b[position] … b[position + degree − 1] as the bits of an integer, lowest bit first."""
        degree, start = self.generator.degree, self.generator.seed_state(self.seed)
        window = start
        for i in range(degree):
            window |= ((window >> i ^ window >> (i + 1)) & 1) << (i + degree)
        jump, value = _power_of_x(position, degree), 0
        for i in range(degree):
            if jump >> i & 1:
                value ^= window >> i
        return value & ((1 << degree) - 1)

    def bits(self, first: int, count: int) -> np.ndarray:
        """Return b[first] … b[first + count − 1] (uint8, shape (count,), read-only)."""
        offset = first - self._first
        if offset < 0 or offset + count > len(self._block):
            self._first, self._block, offset = first, self._generate(first, max(count, BLOCK_BITS)), 0
        return self._block[offset : offset + count]

    def words(self, first: int, count: int) -> np.ndarray:
        """Return the bits of words ``first`` … ``first + count − 1`` (uint8, shape (count, outputs), read-only)."""
        outputs = self.generator.outputs
        return self.bits(first * outputs, count * outputs).reshape(count, outputs)

    def packed(self, first: int, count: int) -> np.ndarray:
        """Return b[first] … b[first + count − 1], packed by 64 (uint64, shape (count // 64 + 2,)).

        b[first + i] is bit i mod 64 of word ⌊i/64⌋. Since 64 is a power of two, the words obey the recurrence of the bits:
        w[i + d] = w[i] ⊕ w[i + 1].
        """
        degree, state = self.generator.degree, self.state(first)
        bits = np.empty(64 * degree, dtype=np.uint8)
        bits[:degree] = [state >> i & 1 for i in range(degree)]
        _extend(bits, degree)
        words = np.empty(max(degree, count // 64 + 2), dtype="<u8")
        words[:degree] = np.packbits(bits, bitorder="little").view("<u8")
        _extend(words, degree)
        return words[: count // 64 + 2]

    def _generate(self, first: int, count: int) -> np.ndarray:
        bits = np.unpackbits(self.packed(first, count).view(np.uint8), count=count, bitorder="little")
        bits.setflags(write=False)
        return bits


def _extend(sequence: np.ndarray, degree: int) -> None:
    """Fill a sequence by a[i + degree] = a[i] ⊕ a[i + 1] from its first ``degree`` entries, in blocks of growing length."""
    done, leap = degree, 1
    while done < len(sequence):
        if done >= 2 * degree * leap:
            leap *= 2
        more = min(leap * (degree - 1), len(sequence) - done)
        start = done - degree * leap
        sequence[done : done + more] = sequence[start : start + more] ^ sequence[start + leap : start + leap + more]
        done += more


class SignSource:
    """Source of a design's sign vectors, with random access to any p; it is fastest if p rises.

    Parameters
    ----------
    spec : LearningSpec
        Design that gives the code, its quantities and their layout in the lanes.
    seed : int or None
        Seed of the random streams; None takes the design's own.
    """

    def __init__(self, spec: LearningSpec, seed: int | None = None) -> None:
        self.spec = spec
        self.seed = spec.perturbation.seed if seed is None else seed
        self._order = np.arange(spec.quantities) if spec.node else spec.layout.parameter_order
        self._streams = [BitStream(generator, self.seed) for generator in spec.sign_generators]
        self._table: np.ndarray | None = None

    def signs(self, p: int) -> np.ndarray:
        """Return sign vector number p (int8, shape (quantities,)): −1, 0 or +1, in canonical order of neurons or parameters."""
        return self.block(p, 1)[0]

    def block(self, first: int, count: int) -> np.ndarray:
        """Return sign vectors ``first`` … ``first + count − 1`` (int8, shape (count, quantities))."""
        code, quantities = self.spec.code, self.spec.quantities
        phase = code.phase(np.arange(first, first + count, dtype=np.int64), quantities)
        if not self._streams and count > 1 and code.period(quantities) * quantities <= TABLE_SIGNS:
            return self._every_phase()[phase]
        return code.signs(self._order, phase[:, None], self._bits(first, count))

    def _every_phase(self) -> np.ndarray:
        """Return the sign vectors of a period of a code that draws no bits (int8, shape (period, quantities)), which are kept."""
        if self._table is None:
            code, quantities = self.spec.code, self.spec.quantities
            phase = np.arange(code.period(quantities), dtype=np.int64)[:, None]
            self._table = code.signs(self._order, phase, np.zeros((len(phase), quantities), dtype=np.uint8))
        return self._table

    def _bits(self, first: int, count: int) -> np.ndarray:
        """Return the drawn bit of every quantity (uint8, shape (count, quantities)).

        In weight perturbation, lane l takes bit l mod 126 of generator ⌊l/126⌋ in each slot. In node perturbation, each neuron takes the
        next bit of the only generator.
        """
        found = np.zeros((count, self.spec.quantities), dtype=np.uint8)
        if not self._streams:
            return found
        if self.spec.node:
            return self._streams[0].words(first * self.spec.quantities, found.size).reshape(found.shape)
        slot, lane = self.spec.layout.parameter_slot, self.spec.layout.parameter_lane
        for number, stream in enumerate(self._streams):
            outputs, draws = stream.generator.outputs, self.spec.draws
            drawn = stream.bits(first * draws * outputs, count * draws * outputs).reshape(count, draws * outputs)
            mine = lane // 126 == number
            found[:, mine] = drawn[:, slot[mine] * outputs + lane[mine] % 126]
        return found


class StochasticSource:
    """Source of the random words of stochastic rounding, which all neurons of a layer, or all lanes of the hardware, share.

    Parameters
    ----------
    spec : LearningSpec
        Design that sets the number of random bits per word; with none, every word is zero.
    seed : int or None
        Seed of the random stream; None takes the design's own.
    """

    def __init__(self, spec: LearningSpec, seed: int | None = None) -> None:
        self.spec = spec
        self.seed = spec.perturbation.seed if seed is None else seed
        self._stream = BitStream(stochastic_generator(spec.stochastic_bits), self.seed) if spec.stochastic_bits else None

    def words(self, update: int) -> np.ndarray:
        """Return the random words of update number ``update`` (int64, shape (spec.rounding_words,)).

        They are words update·count, …, of the stream, where count is their number: one per slot of a pass in weight perturbation, one per
        place of an input in node perturbation (:attr:`Layout.parameter_place`). All words are zero if the design has no stochastic cast.
        """
        count = self.spec.rounding_words
        if self._stream is None:
            return np.zeros(count, dtype=np.int64)
        drawn = self._stream.words(update * count, count)
        return drawn.astype(np.int64) @ (np.int64(1) << np.arange(self.spec.stochastic_bits, dtype=np.int64))

    def packed(self, update: int, count: int) -> np.ndarray:
        """Return the stream from the first word of an update on, for ``count`` updates, packed as by :meth:`BitStream.packed` (uint64)."""
        if self._stream is None:
            return np.zeros(2, dtype=np.uint64)
        bits = self.spec.rounding_words * self.spec.stochastic_bits
        return self._stream.packed(update * bits, count * bits)
