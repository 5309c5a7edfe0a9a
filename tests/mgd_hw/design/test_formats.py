"""Samples that the number formats cannot hold: refused, or said."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgd_hw.data import loading
from mgd_hw.design.description import Design
from mgd_hw.design.formats import covering
from mgd_hw.design.reader import parse
from mgd_hw.design.samples import load_design
from python_ref.datasets import quantise
from python_ref.spec.error import Refusal
from python_ref.spec.number import Fixed


def design(folder: Path, x: np.ndarray, y: np.ndarray, text: str = "", data: str = "", n_train: int | None = None) -> Design:
    split = {} if n_train is None else {"n_train": np.array(n_train)}
    np.savez(folder / "d.npz", x=x, y=y, **split)  # type: ignore[arg-type]
    outputs = 1 if y.ndim == 1 else y.shape[1]
    fraction = "test_fraction = 0\n" if n_train is None else ""
    layers = f"[network]\nlayers = [{x.shape[1]}, 3, {outputs}]\n"
    return parse(f'{layers}{text}[data]\npath = "d.npz"\n{fraction}{data}', folder / "a.toml")


def refused(found: Design) -> str:
    with pytest.raises(Refusal) as caught:
        load_design(found)
    assert "\n" not in str(caught.value)
    return str(caught.value)


X = np.linspace(0.0, 255.0, 400).reshape(100, 4)
Y = (np.arange(100) % 2).astype(float)
REAL = np.linspace(25.0, 346.0, 100)


def test_inputs_beyond_their_format_are_refused(tmp_path: Path) -> None:
    said = refused(design(tmp_path, X, Y, '[formats]\ninput = "SQ4.8"\n', 'scaling = "none"\n'))
    assert re.fullmatch(
        r'.*a\.toml: formats\.input = "SQ4\.8": 387 of 400 training inputs lie beyond it: they reach from 0 to 255, and it holds -8 to '
        r'7\.99609\. Write input = "SQ9\.3" in \[formats\], or leave data\.scaling out, so that they are scaled\.',
        said,
    )
    said = refused(design(tmp_path, X, Y, '[formats]\ninput = "SQ0.8"\n'))
    assert said.endswith('Write input = "SQ1.11" in [formats].')


def test_the_format_of_inputs_that_are_not_scaled_follows_from_them(tmp_path: Path) -> None:
    found = design(tmp_path, X, Y, data='scaling = "none"\n')
    assert str(found.spec.formats.input) == "SQ9.3"
    assert load_design(found).summary.warnings == ()
    raw = quantise(found.spec, load_design(found).train)[0]
    assert np.abs(raw / 8 - X).max() <= 1 / 16
    derived = {row.key: row for row in found.derived}
    assert derived["formats.input"].why == "inputs are not scaled, and reach from 0 to 255"
    power = float(np.square(X).sum(axis=1).mean())
    assert derived["schedule.learning_rate"].value == str(-int(np.ceil(np.log2(2 * (power + 1) * 5))))
    small = design(tmp_path, X / 64, Y, data='scaling = "none"\n')
    assert str(small.spec.formats.input) == "SQ4.8", "what holds them stays"


def test_targets_beyond_their_format_are_refused(tmp_path: Path) -> None:
    text = '[formats]\nactivation = "SQ4.10"\n'
    said = refused(design(tmp_path, X, REAL, text, 'target_scaling = "none"\n'))
    assert re.fullmatch(
        r'.*: formats\.activation = "SQ4\.10": 100 of 100 training targets lie beyond it: they reach from 25 to 346, and it holds -8 to '
        r'7\.99902\. Write activation = "SQ10\.10" in \[formats\], or leave data\.target_scaling out, so that they are scaled\.',
        said,
    )
    assert load_design(design(tmp_path, X, REAL, text)).summary.warnings == ()


def test_the_format_of_targets_that_are_not_scaled_follows_from_them(tmp_path: Path) -> None:
    found = design(tmp_path, X, REAL, data='target_scaling = "none"\n')
    assert str(found.spec.formats.activation) == "SQ10.10"
    data = load_design(found)
    raw = quantise(found.spec, data.train)[1]
    assert np.abs(raw / 1024 - REAL[:, None]).max() <= 1 / 2048 + 1e-4
    assert {row.key: row.why for row in found.derived}["formats.activation"].endswith("and targets reach from 25 to 346")


def test_a_few_values_beyond_are_said(tmp_path: Path) -> None:
    """One outlier in 4,000 inputs, and one in what is judged."""
    x = np.linspace(0.0, 1.0, 8000).reshape(2000, 4)
    x[0, 0], x[1999, 1] = 9.0, -9.0
    y = (np.arange(2000) % 2).astype(float)
    data = load_design(design(tmp_path, x, y, '[formats]\ninput = "SQ4.8"\n', 'scaling = "none"\n', n_train=1000))
    assert list(data.summary.warnings) == [
        "1 of 4,000 inputs of the training samples lies beyond SQ4.8; the hardware gets its nearest end.",
        "1 of 4,000 inputs of the judged samples lies beyond SQ4.8; the hardware gets its nearest end.",
    ]


def test_the_last_place_that_one_lacks_is_no_fault(tmp_path: Path) -> None:
    """1 does not fit UQ0.8, and becomes 255/256."""
    assert load_design(design(tmp_path, X, Y)).summary.warnings == ()


def test_values_that_all_become_one_are_refused(tmp_path: Path) -> None:
    said = refused(design(tmp_path, 5 + X * 1e-6, Y, '[formats]\ninput = "SQ4.8"\n', 'scaling = "none"\n'))
    assert "the training inputs differ by at most 0.00025" in said
    assert 'formats.input = "SQ4.8"' in said and "are all the same in it: its last place is 0.00390625" in said
    wide = re.search(r'Write input = "(\w+\.\d+)"', said)
    assert wide
    again = design(tmp_path, 5 + X * 1e-6, Y, f'[formats]\ninput = "{wide[1]}"\n', 'scaling = "none"\n')
    assert load_design(again).summary.warnings == ()


def test_designs_in_real_numbers_have_no_formats(tmp_path: Path) -> None:
    text = '[formats]\ninput = "SQ4.8"\n[optimizer]\nname = "adam"\n'
    assert load_design(design(tmp_path, X, Y, text, 'scaling = "none"\n')).summary.warnings == ()


def test_an_outlier_that_makes_all_others_one_is_said(tmp_path: Path) -> None:
    y = REAL.copy()
    y[7] = 1e7
    said = load_design(design(tmp_path, X, y)).summary.warnings
    assert (
        "Target number 0 has many different values, and only one or two in SQ4.10: an outlier, or a range far larger than most of them."
        in said
    )
    x = X.copy()
    x[3, 2] = 1e9
    said = load_design(design(tmp_path, x, Y)).summary.warnings
    assert (
        "Input number 2 has many different values, and only one or two in UQ0.8: an outlier, or a range far larger than most of them."
        in said
    )
    assert not [warning for warning in load_design(design(tmp_path, X, REAL)).summary.warnings if "many different" in warning]


def test_targets_that_the_output_cannot_give_are_refused(tmp_path: Path) -> None:
    y = np.linspace(-1.0, 3.0, 100)
    said = refused(design(tmp_path, X, y, 'output = "tanh"\n', 'target_scaling = "none"\n'))
    assert re.fullmatch(
        r'.*network\.output = "tanh": 50 of 100 training targets lie beyond what tanh can give, from -1 to 1\. Take another activation, .*',
        said,
    )
    assert load_design(design(tmp_path, X, y, 'output = "tanh"\n')).summary.warnings == ()
    classes = load_design(design(tmp_path, X, Y, 'output = "sigmoid"\n', "target_values = [-1, 2]\n"))
    assert "100 of 100 training targets lie beyond what sigmoid can give, from 0 to 1." in classes.summary.warnings


def test_targets_too_large_for_any_format_are_refused_by_their_own_key(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r'data\.target_scaling = "none": the targets reach from 1000 to 1e\+08, .*\. Leave it out, so that '):
        design(tmp_path, X, np.linspace(1e3, 1e8, 100), "", 'target_scaling = "none"\n')


def test_cross_entropy_of_one_output_is_refused(tmp_path: Path) -> None:
    said = refused(design(tmp_path, X, Y, '[learning]\ncost = "cross-entropy"\n'))
    assert said.endswith(
        "the softmax of one output is always 1, so that the cross-entropy tells nothing. End network.layers with 2, one output per class."
    )


def test_cross_entropy_of_real_targets_is_refused(tmp_path: Path) -> None:
    said = refused(design(tmp_path, X, REAL, '[learning]\ncost = "cross-entropy"\n'))
    assert re.fullmatch(r'.*: learning\.cost = "cross-entropy": the cross-entropy is of classes, and this is a regression\. .*', said)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.sampled_from([None, 12, 16]))
def test_a_covering_format_holds_both_ends_and_is_no_wider_than_it_must_be(one: float, other: float, width: int | None) -> None:
    low, high = min(one, other), max(one, other)
    like = Fixed(True, 4, 8)
    found = covering(low, high, like, width)
    unit = 2.0**found.fraction_bits
    assert found.min - 1 <= low * unit and high * unit <= found.max + 1
    if found != like:
        narrower = 2.0 ** (found.integer_bits - 1 - found.signed)
        assert max(-low, high) >= narrower * (1 - 2.0**-like.fraction_bits), "an integer bit less would not do"


@pytest.mark.parametrize(("data", "reads"), [('scaling = "none"\n', 1), ('target_scaling = "none"\n', 1), ("", 0)])
def test_samples_are_read_once(data: str, reads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a format is derived from is not read again to train with; where nothing is derived, nothing is read before that."""
    read: list[Path] = []
    original = loading.read_npz
    monkeypatch.setattr(loading, "read_npz", lambda path: read.append(path) or original(path))  # type: ignore[func-returns-value]
    found = design(tmp_path, X, REAL, data=data)
    assert len(read) == reads
    samples = load_design(found)
    assert len(read) == 1
    fresh = loading.load(found.data)
    assert len(read) == 2
    assert samples.digest == fresh.digest
    assert found == replace(found, raw=None), "samples do not make designs differ"
