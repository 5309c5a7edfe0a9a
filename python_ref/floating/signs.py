"""Random signs at speed: 64-bit words of the generator x¹²⁷ + x + 1, produced where they are used, and compiled loops that use them.

Import this module only where it is used, since it imports numba. A stream is a window of 127 words that advances by
w[t + 127] = w[t] ⊕ w[t + 1], which is the recurrence of its bits, since 64 is a power of two. Weight perturbation can thus move a
million parameters, and correlate as many signs, with one kilobyte of state. A set bit means −1.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from python_ref.compiled import compiled
from python_ref.fixed.perturbation import BitStream
from python_ref.spec.perturbation import Trinomial

__all__ = ["SignStream", "sign_stream"]

DEGREE = 127
"""Degree of the generator, and number of words of a window."""
REMEMBERED = 8
"""Number of cached windows, from which a stream can continue, or repeat the same signs, without a jump."""
FARTHEST = 1 << 20
"""Maximum number of words to advance step by step; a jump is faster for more."""


_compiled = compiled(error_model="numpy")


@_compiled
def _roll(window):
    """Replace a window by the next 127 words, in place."""
    for i in range(DEGREE - 1):
        window[i] ^= window[i + 1]
    window[DEGREE - 1] ^= window[0]


@_compiled
def _emit(window, word, words):
    """Write words number ``word`` … of a window to ``words``; return the number of times that the window advanced."""
    rolls, done = 0, 0
    while done < len(words):
        if word >= DEGREE:
            _roll(window)
            rolls, word = rolls + 1, word - DEGREE
            continue
        count = min(DEGREE - word, len(words) - done)
        words[done : done + count] = window[word : word + count]
        done, word = done + count, word + count
    return rolls


@_compiled
def _add(window, at, value, source, out):
    """Compute out = source + s·value; return the number of times that the window advanced.

    The first sign is bit ``at`` of the window.
    """
    size, done, rolls = len(out), 0, 0
    while done < size:
        if at >= 64 * DEGREE:
            _roll(window)
            rolls, at = rolls + 1, at - 64 * DEGREE
            continue
        bits, count = window[at >> 6] >> np.uint64(at & 63), min(64 - (at & 63), size - done)
        half = np.uint32(bits & np.uint64(0xFFFFFFFF))
        if count >= 32:
            for i in range(32):
                out[done + i] = source[done + i] + (-value if (half >> np.uint32(i)) & np.uint32(1) else value)
            done, at, count = done + 32, at + 32, count - 32
            half = np.uint32(bits >> np.uint64(32))
        if count == 32:
            for i in range(32):
                out[done + i] = source[done + i] + (-value if (half >> np.uint32(i)) & np.uint32(1) else value)
        else:
            for i in range(count):
                out[done + i] = source[done + i] + (-value if (half >> np.uint32(i)) & np.uint32(1) else value)
        done, at = done + count, at + count
    return rolls


@_compiled
def _spread(words, at, stride, values, out):
    """Compute out[i, b] += s·values[b], where s is bit at + b·stride + i.

    The loop runs over tiles, since consecutive signs are in one row while samples are the last axis.
    """
    nodes, batch = out.shape
    tile = np.empty(64, np.uint32)
    for i0 in range(0, nodes, 32):
        height = min(32, nodes - i0)
        for b0 in range(0, batch, 64):
            width = min(64, batch - b0)
            for b in range(width):
                first = at + (b0 + b) * stride + i0
                word, shift = first >> 6, np.uint64(first & 63)
                bits = words[word] >> shift
                if shift > np.uint64(32):
                    bits |= words[word + 1] << (np.uint64(64) - shift)
                tile[b] = np.uint32(bits & np.uint64(0xFFFFFFFF))
            for i in range(height):
                for b in range(width):
                    value = values[b0 + b]
                    out[i0 + i, b0 + b] += -value if (tile[b] >> np.uint32(i)) & np.uint32(1) else value


class SignStream:
    """Stream of the signs of a seed; bit 1 means −1.

    Parameters
    ----------
    seed : int
        Seed that determines the starting state of the bit generator.
    """

    def __init__(self, seed: int) -> None:
        self._bits = BitStream(Trinomial(DEGREE, 64, "signs"), seed)
        self._windows: dict[int, np.ndarray] = {}  # keys are the numbers of their first words, the most recently used last
        self._words: tuple[int, np.ndarray] = (0, np.empty(0, np.uint64))

    def add(self, first: int, value: float, source: np.ndarray, out: np.ndarray) -> None:
        """Compute out = source + s·value (all of shape (n,) and one type), s from bit ``first`` on; they may be the same array."""
        start, window = self._window(first >> 6)
        rolls = _add(window, first - 64 * start, out.dtype.type(value), source, out)
        self._keep(start + DEGREE * rolls, window)

    def spread(self, first: int, stride: int, values: np.ndarray, out: np.ndarray) -> None:
        """Compute out[i, b] += s·values[b] (shapes (n, B) and (B,), one type), where s is bit first + b·stride + i."""
        nodes, batch = out.shape
        word, count = first >> 6, ((first & 63) + (batch - 1) * stride + nodes >> 6) + 2
        if self._words[0] != word or len(self._words[1]) < count:
            start, window = self._window(word)
            words = np.empty(count, np.uint64)
            rolls = _emit(window, word - start, words)
            self._keep(start + DEGREE * rolls, window)
            self._words = word, words
        _spread(self._words[1], first & 63, stride, values, out)

    def _window(self, word: int) -> tuple[int, np.ndarray]:
        """Return a copy of a window that begins less than :data:`FARTHEST` words before ``word``, and the number of its first word."""
        starts = [start for start in self._windows if start <= word < start + FARTHEST]
        if starts:
            return max(starts), self._windows[max(starts)].copy()
        window = self._bits.packed(64 * word, 64 * DEGREE)[:DEGREE].astype(np.uint64)
        self._keep(word, window.copy())
        return word, window

    def _keep(self, start: int, window: np.ndarray) -> None:
        self._windows.pop(start, None)
        self._windows[start] = window
        while len(self._windows) > REMEMBERED:
            del self._windows[next(iter(self._windows))]


@lru_cache(maxsize=32)
def sign_stream(seed: int) -> SignStream:
    """Return the stream of a seed, which all callers share."""
    return SignStream(seed)
