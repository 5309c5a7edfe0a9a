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
    assert derived["schedule.learning_rate"].value == str(-int(np.ceil(np.log2(8 * (power + 1)))))
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


def with_few_beyond(count: int, value: float) -> np.ndarray:
    """4,000 numbers from -0.9 to 0.9 in 1,000 rows, and ``count`` of them replaced by a value beyond what is allowed."""
    table = np.linspace(-0.9, 0.9, 4000).reshape(1000, 4)
    table[:count, 1] = value
    return table


LONG = np.linspace(0.0, 1.0, 4000).reshape(1000, 4)


@pytest.mark.parametrize("what", ["inputs", "targets"])
def test_a_thousandth_of_the_values_may_lie_beyond_their_format_and_no_more(what: str, tmp_path: Path) -> None:
    def of(count: int) -> Design:
        table = with_few_beyond(count, -9.0)
        if what == "inputs":
            return design(tmp_path, table, np.arange(1000.0) % 2, '[formats]\ninput = "SQ4.8"\n', 'scaling = "none"\n')
        return design(tmp_path, LONG, table, '[formats]\nactivation = "SQ4.10"\n', 'target_scaling = "none"\n')

    format_ = {"inputs": "SQ4.8", "targets": "SQ4.10"}[what]
    assert load_design(of(4)).summary.warnings == (
        f"4 of 4,000 {what} of the training samples lie beyond {format_}; the hardware gets its nearest end.",
    )
    assert f"5 of 4,000 training {what} lie beyond it: they reach from -9 to 0.9, and it holds -8 to 7.99" in refused(of(5))


@pytest.mark.parametrize(
    ("low", "high", "like", "width", "expected"),
    [
        (-0.5, 0.5, "UQ0.8", 12, "SQ0.12"),
        (-1.0, 15.0, "UQ4.8", 12, "SQ5.7"),
        (-1e-6, 15.0, "UQ4.8", 12, "UQ4.8"),
        (-0.01, 15.0, "UQ4.8", 12, "SQ5.7"),
        (0.0, 300.0, "UQ4.8", 12, "UQ9.3"),
        (0.0, 300.0, "SQ4.8", 12, "SQ10.2"),
        (0.0, 2.0**40, "UQ4.8", 12, "UQ40.0"),
        (0.0, 2.0**40, "UQ4.8", None, "UQ40.8"),
        (-(2.0**62), 0.0, "UQ4.8", 12, "SQ63.0"),
        (-(2.0**63), 0.0, "UQ4.8", 12, None),
        (0.0, 2.0**60, "UQ4.8", None, None),
        (0.0, 1e30, "SQ4.8", 12, None),
    ],
)
def test_a_covering_format_is_signed_where_values_are(low: float, high: float, like: str, width: int | None, expected: str | None) -> None:
    found = covering(low, high, Fixed.parse(like), width)
    assert (found and str(found)) == expected


def test_the_format_that_a_refusal_proposes_is_signed_where_values_are_negative(tmp_path: Path) -> None:
    x = X / 64 - 2
    said = refused(design(tmp_path, x, Y, '[formats]\ninput = "UQ4.8"\n', 'scaling = "none"\n'))
    assert "they reach from -2 to 1.98438, and it holds 0 to 15.9961" in said
    assert 'Write input = "SQ4.8" in [formats]' in said
    assert load_design(design(tmp_path, x, Y, '[formats]\ninput = "SQ4.8"\n', 'scaling = "none"\n')).summary.warnings == ()


def test_values_too_large_for_any_format_are_refused_with_no_format_proposed(tmp_path: Path) -> None:
    given = '[formats]\ninput = "SQ4.8"\n'
    rate = "[schedule]\nlearning_rate = -6\n"
    said = refused(design(tmp_path, X * 1e27, Y, given + rate, 'scaling = "none"\n'))
    assert said.endswith("and it holds -8 to 7.99609. Leave data.scaling out, so that they are scaled.")
    with pytest.raises(
        Refusal, match=r'data\.scaling = "none": the inputs reach from 0 to 2\.55e\+29, which no format of 63 bits holds\. '
    ):
        design(tmp_path, X * 1e27, Y, data='scaling = "none"\n')
    with pytest.raises(Refusal, match=r'data\.scaling = "none": the inputs reach from 0 to 2\.55e\+14, .*\. Leave it out, so that inputs '):
        design(tmp_path, X * 1e12, Y, data='scaling = "none"\n')


@pytest.mark.parametrize("x", [X / 64, X])
def test_samples_are_not_blamed_for_what_the_file_says(x: np.ndarray, tmp_path: Path) -> None:
    """What cannot be built with scaled samples either is refused by its own key."""
    wide = '[formats]\nweight = "SQ20.12"\nactivation = "SQ20.12"\n'
    with pytest.raises(Refusal, match=r'a\.toml: formats\.weight = "SQ20\.12": '):
        design(tmp_path, x, Y, wide, 'scaling = "none"\n')
    period = "[schedule]\nupdate_period = 8\n[hardware]\ngradient_memory = false\n"
    with pytest.raises(Refusal, match=r"a\.toml: schedule\.update_period = 8: "):
        design(tmp_path, x, Y, period, 'scaling = "none"\n')


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


def test_a_saturated_format_that_makes_all_values_one_is_refused_for_a_wider_one(tmp_path: Path) -> None:
    """All values but one are the format's greatest, and that one is beyond it."""
    x = np.ones((2000, 4))
    x[0, 0] = 50.0
    y = np.arange(2000.0) % 2
    said = refused(design(tmp_path, x, y, '[formats]\ninput = "UQ0.8"\n', 'scaling = "none"\n'))
    assert 'Write input = "UQ6.3" in [formats]' in said
    assert not [
        warning
        for warning in load_design(design(tmp_path, x, y, '[formats]\ninput = "UQ6.3"\n', 'scaling = "none"\n')).summary.warnings
        if "UQ6.3" in warning
    ]


def test_differences_too_small_for_any_format_are_refused_with_no_format_proposed(tmp_path: Path) -> None:
    said = refused(design(tmp_path, X * 1e-13, Y, data='scaling = "none"\n'))
    assert said.endswith("its last place is 0.00390625. Leave data.scaling out, so that they are scaled.")
    said = refused(design(tmp_path, X, REAL, data="target_values = [0, 1e-10]\n"))
    assert said.endswith("its last place is 0.000976562. Give data.target_values that lie further apart.")
    fine = refused(design(tmp_path, X * 1e-9, Y, data='scaling = "none"\n'))
    assert 'Write input = "SQ1.30" in [formats]' in fine
    assert load_design(design(tmp_path, X * 1e-9, Y, '[formats]\ninput = "SQ1.30"\n', 'scaling = "none"\n')).summary.warnings == ()


@pytest.mark.parametrize("values", [2, 10, 11, 100])
def test_columns_that_become_constant_while_others_do_not_are_said(values: int, tmp_path: Path) -> None:
    """However many different values they have: none of them is left."""
    x = X / 256
    x[:, 1] = 0.5 + (np.arange(100) % values) * 1e-6
    text, data = '[formats]\ninput = "SQ4.8"\n', 'scaling = "none"\n'
    assert load_design(design(tmp_path, x, Y, text, data)).summary.warnings == (
        "Input number 1 differs between training samples, and is always the same in SQ4.8, so nothing can be learned from it.",
    )
    x[:, 3] = x[:, 1]
    assert load_design(design(tmp_path, x, Y, text, data)).summary.warnings == (
        "Inputs number 1, 3 differ between training samples, and are always the same in SQ4.8, so nothing can be learned from them.",
    )
    x[:, 0] = x[:, 2] = x[:, 1]
    assert "are all the same in it" in refused(design(tmp_path, x, Y, text, data))


def test_more_than_ten_values_of_which_two_are_left_are_said(tmp_path: Path) -> None:
    """One column of ten different values, and one of eleven; in the format one value differs from all others."""
    x = X / 256
    for column, values in ((1, 10), (2, 11)):
        x[:, column] = (np.arange(100) % (values - 1)) * 1e-5
        x[7, column] = 1.0
        assert len(np.unique(x[:, column])) == values
    assert load_design(design(tmp_path, x, Y, '[formats]\ninput = "SQ4.8"\n', 'scaling = "none"\n')).summary.warnings == (
        "Input number 2 has many different values, and only one or two in SQ4.8: an outlier, or a range far larger than most of them.",
    )


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


REAL_NUMBERS = '[optimizer]\nname = "adam"\n'


@pytest.mark.parametrize("more", ["", REAL_NUMBERS])
def test_a_thousandth_of_the_targets_may_be_out_of_reach_and_no_more(more: str, tmp_path: Path) -> None:
    def of(count: int) -> Design:
        return design(tmp_path, LONG, with_few_beyond(count, 1.25), f'output = "tanh"\n{more}', 'target_scaling = "none"\n')

    assert load_design(of(0)).summary.warnings == ()
    assert load_design(of(1)).summary.warnings == ("1 of 4,000 training targets lies beyond what tanh can give, from -1 to 1.",)
    assert load_design(of(4)).summary.warnings == ("4 of 4,000 training targets lie beyond what tanh can give, from -1 to 1.",)
    assert 'network.output = "tanh": 5 of 4,000 training targets lie beyond what tanh can give, from -1 to 1. ' in refused(of(5))


def test_targets_that_the_output_cannot_give_are_said_for_real_numbers_too(tmp_path: Path) -> None:
    found = design(tmp_path, X, Y, f'output = "sigmoid"\n{REAL_NUMBERS}', "target_values = [-1, 2]\n")
    assert found.float_only.requests
    assert load_design(found).summary.warnings == ("100 of 100 training targets lie beyond what sigmoid can give, from 0 to 1.",)


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


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.sampled_from([None, 12, 16]),
    st.sampled_from([Fixed(True, 4, 8), Fixed(False, 4, 8), Fixed(False, 0, 8)]),
)
def test_a_covering_format_holds_both_ends_and_is_no_wider_than_it_must_be(
    one: float, other: float, width: int | None, like: Fixed
) -> None:
    low, high = min(one, other), max(one, other)
    found = covering(low, high, like, width)
    assert found is not None
    unit = 2.0**found.fraction_bits
    assert found.min - 1 <= low * unit and high * unit <= found.max + 1
    assert found.integer_bits >= like.integer_bits
    if found.integer_bits > like.integer_bits:
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
