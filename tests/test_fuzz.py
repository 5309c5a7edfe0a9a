"""Damaged inputs of users end in one message and nothing else; :mod:`tests.fuzz` gives 100,000 of them."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from python_ref.spec.error import Refusal
from tests.fuzz import run
from tests.fuzz.__main__ import SHARES, main
from tests.fuzz.run import Hang, Target, fuzz
from tests.fuzz.targets import TARGETS, onnx_models
from tests.support.marks import long_unless


def test_each_target_has_a_share() -> None:
    assert set(SHARES) == set(TARGETS) and sum(SHARES.values()) == 100


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in ("design", "axi")])
def test_a_few_inputs_end_well(name: str) -> None:
    found = fuzz(TARGETS[name], 30)
    assert found.counts.total() >= 20


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=long_unless(name != "axi")) for name in TARGETS])
def test_inputs_end_well(name: str) -> None:
    found = fuzz(TARGETS[name], 12 * SHARES[name])
    assert found.counts["refused"], "nothing is damaged"
    assert found.counts["accepted"] or name == "line", "nothing is sound: what reads it has not been reached"


def raises(given: int, folder: Path) -> None:
    if given > 3:
        raise ValueError("a traceback")


def hangs(given: int, folder: Path) -> None:
    if given > 3:
        time.sleep(5)


def half_written(given: int, folder: Path) -> None:
    folder.mkdir()
    if given > 3:
        (folder / "half.toml").write_text("x", encoding="utf-8")
        raise Refusal("it is wrong", "Mend it.", file="given")


def says_not_where(given: int, folder: Path) -> None:
    if given > 3:
        raise Refusal("it is wrong", "Mend it.")


def says_much(given: int, folder: Path) -> None:
    if given > 3:
        raise Refusal("it is wrong " * 1000, "Mend it.", key="a")


@pytest.mark.parametrize(
    ("take", "what", "said"),
    [
        (raises, ValueError, "a traceback"),
        (hangs, Hang, "took longer"),
        (half_written, AssertionError, r"left \['half.toml'\]"),
        (says_not_where, AssertionError, "nothing says where"),
        (says_much, AssertionError, "it is wrong"),
    ],
)
def test_what_does_not_end_well_is_seen(take, what, said, monkeypatch) -> None:
    monkeypatch.setattr(run, "LONGEST", 0.05)
    with pytest.raises(what, match=said):
        fuzz(Target("planted", lambda: st.integers(0, 9), take), 50)


def test_the_command_says_how_inputs_ended(capsys, monkeypatch) -> None:
    assert main(["idx", "--inputs", "30"]) == 0
    assert "inputs ended well" in capsys.readouterr().out
    monkeypatch.setitem(TARGETS, "idx", Target("idx", lambda: st.integers(0, 9), raises))
    assert main(["idx", "--inputs", "30"]) == 1
    assert "idx: ValueError: a traceback" in capsys.readouterr().out


def archive(**arrays) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def encrypted(content: bytes) -> bytes:
    """An archive whose entries claim to be encrypted."""
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        parts = content.split(mark)
        content = mark.join([parts[0], *(part[: place - 4] + b"\1" + part[place - 3 :] for part in parts[1:])])
    return content


def unnamed(content: bytes) -> bytes:
    """An archive whose first entry has a name of 2,000 bytes, which zipfile quotes."""
    return content[:26] + (2_000).to_bytes(2, "little") + content[28:]


def single() -> bytes:
    """A single array, with the end of an archive behind it."""
    content = io.BytesIO()
    np.save(content, np.zeros(4))
    return content.getvalue() + archive(quantities=np.zeros(4))


def headless() -> bytes:
    """An archive of an array whose header numpy takes for one of Python 2, and then cannot divide into tokens."""
    header = b"{'desc\0\n{'descr': '<f8', 'fortran_order': False, 'shape': (4,), }"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as written:
        for name in ("quantities.npy", "x.npy", "step.npy"):
            written.writestr(name, b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(32))
    return content.getvalue()


def compressed() -> bytes:
    """An archive whose entry is compressed by LZMA, and damaged."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_LZMA) as written:
        written.writestr("x.npy", bytes(range(256)) * 9)
    data = content.getvalue()
    return data[:60] + bytes(40) + data[100:]


def huge_weight() -> bytes:
    """A network with a weight of 10¹⁸, behind its hidden layer."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(onnx_models()[1])
    for stored in model.graph.initializer:
        if stored.name == "w2":
            stored.CopyFrom(numpy_helper.from_array(np.full((3, 2), 1e18, np.float32), "w2"))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("onnx", huge_weight(), "its activations reach"),
        ("npz", (unnamed(archive(x=np.zeros((400, 2)), y=np.zeros(400))), 1), "it cannot be read as npz"),
        ("npz", (headless(), 1), "EOF in multi-line statement"),
        ("parameters", (headless(), "chip"), "EOF in multi-line statement"),
        ("checkpoint", headless(), "EOF in multi-line statement"),
        ("npz", (compressed(), 1), "it cannot be read as npz .Corrupt input data"),
        ("npz", (single(), 1), "a single array, not an archive"),
        ("parameters", (single(), "chip"), "a single array, not an archive"),
        ("checkpoint", single(), "a single array, not an archive"),
        ("parameters", (unnamed(archive(**{"layer1.weight": np.zeros(400)})), "xor"), "it cannot be read as npz"),
        ("checkpoint", unnamed(archive(step=np.zeros(400))), "it is not a checkpoint"),
        ("parameters", (encrypted(archive(**{"layer1.weight": np.zeros(4)})), "xor"), "encrypted"),
        ("checkpoint", encrypted(archive(step=1)), "encrypted"),
        ("checkpoint", archive(step=np.inf, origin="a", digest="b", seconds=0.0), "it is not a checkpoint .cannot convert"),
    ],
)
def test_what_was_found_ends_in_a_message(name: str, given: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=said) as caught:
        TARGETS[name].take(given, tmp_path / "work")
    assert len(str(caught.value)) < run.LONGEST_MESSAGE and "\n" not in str(caught.value)
