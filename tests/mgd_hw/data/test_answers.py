"""Conversion of answers to targets: the kind of task, the order of the classes, and the scale."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgd_hw.data import Data, load
from mgd_hw.data.answers import guess_kind
from mgd_hw.design.reader import parse
from python_ref.spec.error import Refusal


def read(folder: Path, layers: list[int], y: np.ndarray, more: str = "", network: str = "", **arrays: np.ndarray) -> Data:
    """Load samples with the answers ``y`` and arbitrary inputs from an npz file."""
    x = np.arange(len(y) * layers[0], dtype=float).reshape(len(y), layers[0]) % 7
    np.savez(folder / "d.npz", **({"x": x, "y": y} | arrays))  # type: ignore[arg-type]
    text = f'[network]\nlayers = {layers}\n{network}[data]\npath = "d.npz"\ntest_fraction = 0\n{more}'
    return load(parse(text, folder / "a.toml").data)


def refused(folder: Path, layers: list[int], y: np.ndarray, more: str = "", network: str = "") -> str:
    with pytest.raises(Refusal) as caught:
        read(folder, layers, y, more, network)
    return str(caught.value)


CLASSES = [
    (np.array(["setosa", "virginica", "versicolor", "setosa"]), ["setosa", "versicolor", "virginica"], [0, 2, 1, 0]),
    (np.array([-1, 1, 0, -1]), ["-1", "0", "1"], [0, 2, 1, 0]),
    (np.array([1, 2, 3, 1]), ["1", "2", "3"], [0, 1, 2, 0]),
    (np.array([1.0, 2.0, 3.0, 1.0]), ["1", "2", "3"], [0, 1, 2, 0]),
    (np.array([0, 2, 1, 0], dtype=np.uint8), ["0", "1", "2"], [0, 2, 1, 0]),
    (np.array([[0], [2], [1], [0]]), ["0", "1", "2"], [0, 2, 1, 0]),
    (np.array([b"x", b"z", b"y", b"x"]), ["x", "y", "z"], [0, 2, 1, 0]),
    (np.array([2**63, 5, 7, 5], dtype=np.uint64), ["5", "7", "9223372036854775808"], [2, 0, 1, 0]),
    (np.eye(3)[[0, 2, 1, 0]], ["0", "1", "2"], [0, 2, 1, 0]),
]


@pytest.mark.parametrize(("y", "classes", "labels"), CLASSES, ids=[str(n) for n in range(len(CLASSES))])
def test_classes_of_any_kind_are_mapped_in_order(tmp_path: Path, y: np.ndarray, classes: list[str], labels: list[int]) -> None:
    data = read(tmp_path, [2, 3, 3], y)
    assert list(data.kind.classes) == classes
    assert data.train.targets.tolist() == np.eye(3)[labels].tolist()
    assert [(each.name, each.train) for each in data.summary.classes] == [
        (name, labels.count(number)) for number, name in enumerate(classes)
    ]


@pytest.mark.parametrize("y", [np.array([-1, 1, 1, -1]), np.array([False, True, True, False]), np.array(["no", "yes", "yes", "no"])])
def test_two_classes_of_one_output(tmp_path: Path, y: np.ndarray) -> None:
    data = read(tmp_path, [2, 3, 1], y)
    assert data.train.targets.ravel().tolist() == [0, 1, 1, 0]
    assert list(data.kind.classes) == [str(value) for value in y[:2]]


def test_whole_numbers_that_outputs_can_count_stand_for_themselves(tmp_path: Path) -> None:
    """Part of a data set in which one class does not occur keeps the class numbers of the whole; the summary warns of it."""
    data = read(tmp_path, [2, 3, 4], np.array([1, 2, 3, 1]))
    assert data.train.labels.tolist() == [1, 2, 3, 1]
    assert "Class 0: there is no sample at all." in data.summary.warnings


KIND_OF = [
    (np.array([0.5, 1.5, 2.0, 1.0]), 1, "regression", "not whole numbers"),
    (np.array([25, 346, 100, 7]), 1, "regression", "the network has one output, and the answers are 4 different numbers"),
    (np.array([25, 346, 25, 346]), 1, "classification", "2 different whole numbers"),
    (np.array([25, 346, 100, 7]), 4, "classification", "4 different whole numbers, and the network has 4 outputs"),
    (np.array(["a", "b", "a", "b"]), 1, "classification", "words"),
    (np.array([True, False, True, False]), 1, "classification", "true and false"),
    (np.array([[0.1, 2.0], [3.0, 4.0]]), 2, "regression", "several answers"),
    (np.eye(2), 2, "classification", "one-hot"),
    (np.array([[1.0, 1.0], [0.0, 1.0]]), 2, "regression", "several answers"),
]


@pytest.mark.parametrize(("y", "n_out", "kind", "why"), KIND_OF, ids=[str(n) for n in range(len(KIND_OF))])
def test_the_kind_follows_from_the_answers(tmp_path: Path, y: np.ndarray, n_out: int, kind: str, why: str) -> None:
    data = read(tmp_path, [2, 3, n_out], y)
    assert data.kind.name == data.summary.kind == kind
    guess = data.summary.guesses[0]
    assert (guess.what, guess.value, guess.key) == ("kind", kind, "data.kind")
    assert why in guess.why


def test_the_design_file_says_the_kind(tmp_path: Path) -> None:
    whole = np.array([3, 5, 4, 3])
    assert read(tmp_path, [2, 3, 1], whole[:2], 'kind = "regression"\n').train.targets.ravel().tolist() == [0, 1]
    real = np.array([0.25, 0.75, 0.5, 0.25])
    data = read(tmp_path, [2, 3, 3], real, 'kind = "classification"\n')
    assert data.kind.classes == ("0.25", "0.5", "0.75")
    shares = np.array([[0.2, 0.8], [0.6, 0.4]])
    data = read(tmp_path, [2, 3, 2], shares, 'kind = "classification"\n')
    assert data.train.targets.tolist() == shares.astype(np.float32).tolist()
    assert data.kind.scores(np.eye(2)[[1, 0]])["accuracy"] == 1.0


def test_targets_are_scaled_and_errors_are_not(tmp_path: Path) -> None:
    y = np.array([25.5, 346.5, 100.0, 200.0])
    data = read(tmp_path, [2, 3, 1], y)
    assert (data.train.targets.min(), data.train.targets.max()) == (0, 1)
    assert data.kind.scores(data.test.targets)["rmse"] == pytest.approx(0, abs=1e-4)
    assert data.kind.scores(data.test.targets + 0.1)["rmse"] == pytest.approx(32.1, rel=1e-4)
    assert data.summary.target_range == (25.5, 346.5)


def test_targets_of_tanh_lie_around_zero(tmp_path: Path) -> None:
    data = read(tmp_path, [2, 3, 1], np.array([1.5, 2.5, 9.5]), network='output = "tanh"\n')
    assert (data.train.targets.min(), data.train.targets.max()) == (-1, 1)


def test_how_targets_are_scaled(tmp_path: Path) -> None:
    y = np.array([[0.0, 10.0], [1.0, 30.0], [0.5, 20.0]])
    assert read(tmp_path, [2, 3, 2], y).train.targets.tolist() == [[0, 0], [1, 1], [0.5, 0.5]]
    common = read(tmp_path, [2, 3, 2], y, 'target_scaling = "range"\n').train.targets
    assert np.allclose(common, y / 30)
    unscaled = read(tmp_path, [2, 3, 2], y, 'target_scaling = "none"\n')
    assert unscaled.train.targets.tolist() == y.tolist()
    assert unscaled.kind.scores(y + 1)["rmse"] == pytest.approx(1)


def test_a_constant_target_is_no_division_by_zero(tmp_path: Path) -> None:
    data = read(tmp_path, [2, 3, 1], np.array([2.5, 2.5, 2.5]))
    assert data.train.targets.ravel().tolist() == [0, 0, 0]
    assert data.kind.scores(data.test.targets)["rmse"] == 0


REFUSED = [
    (
        [2, 3, 2],
        np.array([0, 5, 7, 9]),
        "",
        r".* has 4 classes \(0, 5, 7, 9\), the network tells apart 2\. End network\.layers with 4\. .*",
    ),
    ([2, 3, 1], np.array(["a", "b", "c"]), "", r".* has 3 classes \(a, b, c\), the network tells apart 2\. End network\.layers with 3\."),
    ([2, 3, 3], np.array([0.5, 1.5, 2.5]), "", r".* has 1 target per sample \(.*\), the network 3 outputs\. End network\.layers with 1\."),
    ([2, 3, 2], np.eye(3), "", r".* has 3 targets per sample, the network 2 outputs\. End network\.layers with 3\."),
    (
        [2, 3, 1],
        np.array(["1.5", "two", "3.5"]),
        'kind = "regression"\n',
        r".*d\.npz: the answer of sample 2 is 'two', and a regression needs numbers\. .*",
    ),
    (
        [2, 3, 2],
        np.array([[1.0, 1.0], [0.0, 1.0]]),
        'kind = "classification"\n',
        r".*data\.kind = \"classification\": the answers of sample 1 are neither .*",
    ),
    (
        [2, 3, 2],
        np.array([[0.5, 0.5], [-0.5, 1.5]]),
        'kind = "classification"\n',
        r".* the answers of sample 2 are neither one-hot nor shares .*",
    ),
    ([2, 3, 1], np.array([0.5, 1.5, 2.5]), "stratify = true\n", r".*data\.stratify = true: only classes can keep their shares, .*"),
    (
        [2, 3, 1],
        np.array([0, 1, 1]),
        "target_values = [0.6, 1.0]\n",
        r".*data\.target_values = \[0\.6, 1\.0\]: a network with one output .*",
    ),
    (
        [2, 3, 1],
        np.array([0, 1, 1]),
        "target_values = [0.0, 0.4]\n",
        r".*data\.target_values = \[0\.0, 0\.4\]: a network with one output .*",
    ),
]


@pytest.mark.parametrize(("layers", "y", "more", "message"), REFUSED, ids=[str(n) for n in range(len(REFUSED))])
def test_answers_that_do_not_fit(tmp_path: Path, layers: list[int], y: np.ndarray, more: str, message: str) -> None:
    more = more.replace("stratify = true\n", "stratify = true\n")
    said = ""
    if "stratify" in more:
        x = np.arange(len(y) * layers[0], dtype=float).reshape(len(y), layers[0])
        np.savez(tmp_path / "d.npz", x=x, y=y)
        with pytest.raises(Refusal) as caught:
            load(parse(f'[network]\nlayers = {layers}\n[data]\npath = "d.npz"\n{more}', tmp_path / "a.toml").data)
        said = str(caught.value)
    else:
        said = refused(tmp_path, layers, y, more)
    assert re.fullmatch(message, said), said


@given(st.lists(st.integers(-5, 5), min_size=3, max_size=40))
def test_numbering_keeps_the_order_of_numbers(values: list[int]) -> None:
    """The class names are the numbers in ascending order, and equal answers have the same class."""
    from mgd_hw.data.answers import _from_column
    from mgd_hw.data.raw import RawSamples
    from mgd_hw.data.tasks import DataSpec

    answers = np.array(values)
    labels, names = _from_column(DataSpec("npz", 1, 11), RawSamples(answers[:, None], answers, "", "d.npz"), answers)
    for one, label in zip(values, labels, strict=True):
        assert names[label] == str(one)


GUESSED = [
    (np.arange(150) % 3, "classification"),
    (np.arange(442), "regression"),
    (np.arange(1000) % 26 + 1, "classification"),
    (np.array([1.5, 2.0, 3.0]), "regression"),
    (np.array(["a", "b"]), "classification"),
    (np.array([25, 346]), "classification"),
    (np.arange(30) % 19, "regression"),
    (np.arange(4), "classification"),
    (np.arange(4) * 10, "regression"),
]


@pytest.mark.parametrize(("answers", "kind"), GUESSED, ids=[str(n) for n in range(len(GUESSED))])
def test_the_kind_that_answers_suggest_before_there_is_a_network(answers: np.ndarray, kind: str) -> None:
    found, why = guess_kind(answers)
    assert found == kind
    assert why
