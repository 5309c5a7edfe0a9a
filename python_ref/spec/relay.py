"""The registers through which a host is the outside of a learner: it reads the words of a pass, and writes their costs.

They stand beside those of the core, in a learner behind a serial line. A pass is kept until its costs have come, so that reading its words
again gives the same.
"""

from __future__ import annotations

import numpy as np

from python_ref.spec.learner import LearnerSpec
from python_ref.spec.optimizer import WORD_BITS
from python_ref.spec.registers import Register

__all__ = ["ERRORS_BIT", "FIRST_SAMPLE_BIT", "RELAY_ADDRESSES", "packed_words", "relay_map", "unpacked"]

RELAY_ADDRESSES = range(0x50, 0x60)
"""Addresses of these registers; all others are those of the core."""

FIRST_SAMPLE_BIT = 8
"""Lowest bit of the index of the sample in the register ``outside``."""


ERRORS_BIT = 2
"""Bit of the register ``outside`` that tells that an error of the last pass is not 0."""


def packed_words(spec: LearnerSpec) -> int:
    """Return the number of words of a pass that one read gives: as many as fit into 32 bits."""
    return WORD_BITS // spec.formats.weight.width


def unpacked(spec: LearnerSpec, rows: np.ndarray) -> np.ndarray:
    """Return the raw words of a pass (int64, shape (N,)) in rows as they are read (int64, unsigned)."""
    packed, width = packed_words(spec), spec.formats.weight.width
    words = (rows[:, None] >> width * np.arange(packed) & (1 << width) - 1).ravel()[: spec.quantities]
    return words - (words >> width - 1 << width)


def relay_map(spec: LearnerSpec, *, polled: bool = False) -> dict[str, Register]:
    """Return the registers of a learner's outside by name, in the order of their addresses.

    A read of ``outside`` waits for the next pass, or for the end of the run; ``polled`` is whether it is answered at once instead, as it is
    behind a bus.
    """
    answered = "answered once the cost of a pass may be measured, or the core is idle; row is 0 then"
    if polled:
        answered = "row is 0 then; words are those of a whole pass where bit 0 is set, or neither bit"
    packed = packed_words(spec)
    each = "a word" if packed == 1 else f"{packed} words, the first one in the low bits,"
    wrote = f"bit {ERRORS_BIT} an error of the last pass is not 0, " if spec.sends_errors else ""
    bits = f"bit 0 a cost is awaited, bit 1 busy, {wrote}bits {FIRST_SAMPLE_BIT} and up the index of the sample"
    most = spec.quantities if spec.sends_errors else -(-spec.quantities // packed)
    rows = [
        ("outside", 0x50, 1, "r", f"{bits}; {answered}"),
        ("row", 0x51, 1, "w", f"number of the row that is read next, below {most}"),
        ("words", 0x52, 1, "r", f"a row of the last pass: {each} of {spec.formats.weight.width} bits; then row counts up by one"),
        ("cost_word", 0x53, 1, "w", "a cost word, signed; it is dropped where no cost is awaited"),
    ]
    if spec.sends_errors:
        rows.append(("errors", 0x54, 1, "r", "the error of quantity row in the last pass, signed; then row counts up by one"))
    return {row[0]: Register(*row) for row in rows}
