"""A signature against CRC-32: what zlib makes of a word is what the word and 32 zeros behind it leave in the register."""

import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from python_ref.fixed.signature import INITIAL, signed

WORDS = st.integers(0, 0xFFFFFFFF)
EMPTY = 0xFFFFFFFF
"""The signature whose register is zero."""


def sign(signature, *words):
    return signed(signature, np.array(words, dtype=np.uint32))


@given(WORDS)
def test_a_word_is_divided_as_zlib_divides_it(word):
    assert sign(EMPTY, word, *[0] * 32) == zlib.crc32(word.to_bytes(4, "little"), EMPTY)


@given(WORDS, WORDS, WORDS)
def test_a_word_lies_one_place_behind_the_one_before(signature, first, second):
    assert sign(sign(signature, first), second) == sign(signature, first, second)
    assert sign(signature, first, 0) == sign(signature, 0, 0) ^ sign(EMPTY, first, 0) ^ EMPTY
    assert sign(EMPTY, first & ~1, second) == sign(EMPTY, 0, (first & ~1) >> 1 ^ second)


def test_zeros_in_front_are_counted():
    assert len({sign(INITIAL[0], *[0] * count) for count in range(100)}) == 100
