"""What users give to the programs, sound and damaged: strategies of Hypothesis."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mgd_hw.design.keys import KEYS
from mgd_hw.design.reader import shipped_folder

__all__ = ["csv_texts", "damaged", "design_texts", "idx_files", "npz_files", "reply_streams"]

TOKENS = (
    b"", b"0", b"-1", b"1e309", b"-inf", b"nan", b"9" * 40, b"0x1p", b"1_0", b'"', b"'", b"[[", b"]", b"{", b"}", b"=", b"\n", b"\r\n",
    b",", b";", b"\t", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", "é∞".encode(), b"#", b".", b"true", b"\x80" * 8, b"A" * 300,
)  # fmt: skip
"""Pieces that a damaged input may contain anywhere."""

VALUES = (
    "0", "1", "-1", "2", "3", "255", "4097", "1e9", "99999999999999999999", "0.5", "-0.0", "inf", "-inf", "nan", "true", "false", '""',
    '"a"', '"2^-4"', '"2^99"', '"SQ4.12"', '"SQ1.62"', '"UQ0.8"', '"SQ0.0"', '"node"', '"weight"', '"lfsr"', '"walsh"', '"sequential"',
    '"tanh"', '"relu"', '"leaky-relu"', '"sgd"', '"momentum"', '"shift-adam"', '"stochastic"', '"floor"', '"two-sided"', "[]", "[1]",
    "[2, 1]", "[2, 3, 1]", "[[0, -4]]", "[[0, -4], [0, -5]]", "[[1, 1]]", "[[1, 2], [2, 2]]",
    '[2, {neurons = 3, kind = "sparse", fan_in = 1}, 1]',
    '[2, {neurons = 3, kind = "lif", leak = 2}, 1]', '[2, {neurons = 3, kind = "stochastic", draws = 2}, 1]', "{}", "{a = 1}",
    "1979-05-27", "07:32:00", '"""\n"""', "0x7fffffffffffffff", "[[[[1]]]]", '"xor"', '"digits"', '"csv"', '"../x"',
)  # fmt: skip
"""Values that a key of a design file may be given, whatever it takes."""

LARGEST = 1 << 14
"""Longest damaged input, in bytes."""


@st.composite
def damaged(draw: Callable[..., Any], sound: Sequence[bytes], most: int = 5) -> bytes:
    """A sound input with a few places that are overwritten, removed, doubled, exchanged, or filled with something else."""
    data = draw(st.sampled_from(sound))
    for _ in range(draw(st.integers(0, most))):
        first = draw(st.integers(0, len(data)))
        last = min(len(data), first + draw(st.sampled_from((0, 1, 2, 4, 16, 64))))
        match draw(st.integers(0, 5)):
            case 0:
                data = data[:first] + draw(st.binary(min_size=1, max_size=8)) + data[last:]
            case 1:
                data = data[:first] + data[last:]
            case 2:
                data = data[:last] + data[first:last] * draw(st.sampled_from((1, 2, 40))) + data[last:]
            case 3:
                data = data[:first] + draw(st.sampled_from(TOKENS)) + data[last:]
            case 4 if first < len(data):
                data = data[:first] + bytes((data[first] ^ 1 << draw(st.integers(0, 7)),)) + data[first + 1 :]
            case _:
                data = data[:first]
    return data[:LARGEST]


@cache
def _designs() -> tuple[bytes, ...]:
    shipped = [path.read_bytes() for path in sorted(shipped_folder().glob("*.toml"))]
    return (*shipped, b"network = {layers = [2, 3, 1]}\ndata.task = 'xor'\n", b"[network]\nexternal = 4\n[schedule]\nlearning_rate = -4\n")


@st.composite
def _with_values(draw: Callable[..., Any]) -> bytes:
    """A design file of a few keys, each with any value."""
    start = draw(st.sampled_from((b"network.layers = [2, 3, 1]\n", b"network.external = 4\nschedule.learning_rate = -4\n", b"")))
    given = {line.split(b" = ")[0].decode() for line in start.splitlines()}
    rows = []
    for _ in range(draw(st.integers(1, 5))):
        key = draw(st.sampled_from([key.dotted for key in KEYS]))
        if key not in given:
            given.add(key)
            rows.append(f"{key} = {draw(st.sampled_from(VALUES))}\n")
    return start + "".join(rows).encode()


def design_texts() -> st.SearchStrategy[bytes]:
    """Design files."""
    return st.one_of(_with_values(), _with_values(), damaged(_designs()))


def csv_texts() -> st.SearchStrategy[bytes]:
    """Files of comma-separated values, sound ones among them."""
    cell = st.one_of(
        st.integers(-9, 9).map(str), st.floats().map(str), st.sampled_from(["", "a", "b c", '"x,y"', "1,5", "NA", "nan", "1e400", " 2 "])
    )
    table = st.builds(
        lambda rows, delimiter, end, head: end.join(delimiter.join(row) for row in ([head] if head else []) + rows).encode(),
        st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(cell, min_size=width, max_size=width), max_size=8)),
        st.sampled_from([",", ";", "\t", " ", "|"]),
        st.sampled_from(["\n", "\r\n"]),
        st.sampled_from([None, ["x", "y", "label"], ["x", "x", ""], ["id", "1", "2", "3"]]),
    )
    rows = b"x,y,label\n" + b"".join(b"%d,%d.5,%d\n" % (n, n % 5, n % 2) for n in range(12))
    return st.one_of(table, damaged((rows, rows.replace(b",", b";"), rows.replace(b"label\n", b"label\r\n"))))


@cache
def _archives() -> tuple[bytes, ...]:
    found = []
    rng = np.random.default_rng(1)
    for arrays in (
        {"x": rng.random((12, 2)), "y": np.arange(12) % 2},
        {"x_train": rng.random((8, 2)), "y_train": np.arange(8) % 2, "x_test": rng.random((4, 2)), "y_test": np.arange(4) % 2},
        {"x": rng.random((12, 2)).astype(np.float16), "y": rng.random((12, 1))},
        {"x": np.full((4, 2), np.nan), "y": np.array(["a", "b", "a", "b"])},
        {"quantities": np.zeros(4)},
    ):
        for save in (np.savez, np.savez_compressed):
            content = io.BytesIO()
            save(content, **arrays)  # type: ignore[arg-type]
            found.append(content.getvalue())
    return tuple(found)


@st.composite
def _arrays(draw: Callable[..., Any]) -> bytes:
    """An archive of arrays of any shape and type."""
    names = draw(
        st.lists(st.sampled_from(("x", "y", "X", "x_train", "y_train", "x_test", "y_test", "z", "quantities")), max_size=4, unique=True)
    )
    arrays = {}
    for name in names:
        shape = draw(st.lists(st.integers(0, 5), max_size=3))
        kind = draw(st.sampled_from(("f8", "f4", "i8", "u1", "?", "c8", "U3", "S2", "M8[s]", "V4")))
        arrays[name] = (
            np.frombuffer(b"\x01\x7f\xff\0" * 600, "u1")[: int(np.prod(shape)) * np.dtype(kind).itemsize].copy().view(kind).reshape(shape)
        )
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def npz_files() -> st.SearchStrategy[bytes]:
    """Archives of arrays."""
    return st.one_of(_arrays(), damaged(_archives()))


def idx_files() -> st.SearchStrategy[tuple[bytes, bytes]]:
    """Images and labels in the format IDX."""
    images = struct.pack(">4B3I", 0, 0, 8, 3, 6, 2, 1) + bytes(range(12))
    labels = struct.pack(">4BI", 0, 0, 8, 1, 6) + bytes((0, 1, 0, 1, 2, 9))
    return st.tuples(damaged((images,)), damaged((labels,)))


def reply_streams() -> st.SearchStrategy[list[bytes]]:
    """Contents of frames from a device, whose checksums are right, or bytes of a line that are not."""
    return st.lists(st.binary(max_size=40), max_size=6)
