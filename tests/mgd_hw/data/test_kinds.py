"""Measures of classification and regression, compared with their definitions in exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgd_hw.data.kinds import KINDS, MEASURES, Classification, Regression

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=30)


def names(count: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(count))


def hot(labels: list[int], count: int) -> np.ndarray:
    return np.eye(count)[labels]


def recalls(truth: list[int], answers: list[int]) -> Fraction:
    """Return the recall, averaged over the classes that occur."""
    of_class = []
    for label in sorted(set(truth)):
        own = [answer == label for one, answer in zip(truth, answers, strict=True) if one == label]
        of_class.append(Fraction(sum(own), len(own)))
    return sum(of_class, Fraction(0)) / len(of_class)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30), LABELS)
def test_scores_of_classes(pairs: list[tuple[int, int]], training: list[int]) -> None:
    truth, answers = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    kind = Classification(names(4), np.array(truth), np.array(training))
    found = kind.scores(hot(answers, 4))
    right = Fraction(sum(one == answer for one, answer in pairs), len(pairs))
    assert found["accuracy"] == pytest.approx(float(right))
    assert found["balanced_accuracy"] == pytest.approx(float(recalls(truth, answers)))
    confusion = kind.confusion(hot(answers, 4))
    assert confusion is not None
    assert confusion.tolist() == [[pairs.count((row, column)) for column in range(4)] for row in range(4)]


@given(LABELS, LABELS)
def test_the_baseline_is_the_best_constant_answer(truth: list[int], training: list[int]) -> None:
    largest = min(set(truth), key=lambda label: (-truth.count(label), label))
    kind = Classification(names(4), np.array(truth), np.array(training))
    assert kind.baseline_title == f'always "class {largest}"'
    assert kind.baseline["accuracy"] == pytest.approx(max(truth.count(label) for label in range(4)) / len(truth))
    assert kind.baseline["balanced_accuracy"] == pytest.approx(float(recalls(truth, [largest] * len(truth))))


def test_ties_and_single_outputs() -> None:
    kind = Classification(names(3), np.array([0, 1, 2]), np.array([0]))
    assert kind.answers(np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [5.0, 5.0, 5.0]])).tolist() == [0, 1, 0]
    kind = Classification(("no", "yes"), np.array([0, 1, 1]), np.array([0]))
    assert kind.answers(np.array([[0.499], [0.5], [7.0]])).tolist() == [0, 1, 1]


@pytest.mark.parametrize(("ones", "uneven"), [(50, False), (60, False), (75, False), (76, True), (98, True)])
def test_balanced_accuracy_is_shown_where_classes_are_uneven(ones: int, uneven: bool) -> None:
    labels = np.array([1] * ones + [0] * (100 - ones))
    kind = Classification(("a", "b"), labels, labels)
    assert [measure.name for measure in kind.shown_measures] == ["accuracy", "balanced_accuracy"][: 1 + uneven]


def test_uneven_training_samples_count_too() -> None:
    even, uneven = np.array([0, 1] * 10), np.array([0] * 19 + [1])
    for truth, training in ((even, uneven), (uneven, even)):
        assert Classification(("a", "b"), truth, training).uneven
    assert not Classification(("a", "b"), even, even).uneven


def test_a_class_without_samples_does_not_make_the_others_uneven() -> None:
    labels = np.array([0] * 6 + [2] * 5)
    assert not Classification(names(3), labels, labels).uneven


def test_an_answer_that_never_differs_is_told() -> None:
    kind = Classification(("a", "b"), np.array([0, 1, 1]), np.array([0]))
    assert kind.constant(np.array([[0.9], [0.7], [0.6]])) == '"b"'
    assert kind.constant(np.array([[0.9], [0.1], [0.6]])) == ""
    assert Classification(("a", "b"), np.array([1, 1]), np.array([0])).constant(np.array([[0.9], [0.7]])) == "", "right, with one class"
    values = Regression(np.array([[1.0], [2.0]]), np.array([[1.0]]), np.zeros(1), np.ones(1))
    assert values.constant(np.array([[3.0], [3.0]])) == "the same numbers"
    assert values.constant(np.array([[3.0], [3.1]])) == values.constant(np.array([[np.nan], [3.0]])) == ""


def test_many_classes_have_no_matrix() -> None:
    labels = np.arange(65)
    kind = Classification(names(65), labels, labels)
    assert kind.confusion(np.eye(65)) is None
    assert kind.scores(np.eye(65))["accuracy"] == 1.0
    matrix = Classification(names(64), labels[:64], labels[:64]).confusion(np.eye(64))
    assert matrix is not None and (matrix == np.eye(64)).all()


VALUES = st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=20)


@given(VALUES, st.integers(-9, 9), st.integers(1, 9))
def test_scores_of_real_targets(pairs: list[tuple[int, int]], offset: int, factor: int) -> None:
    """Outputs are scaled, while errors are in the unit of the file."""
    truth = [offset + factor * pair[0] for pair in pairs]
    answers = [offset + factor * pair[1] for pair in pairs]
    kind = Regression(np.array(truth, float)[:, None], np.array([[1.0], [4.0]]), np.array([float(offset)]), np.array([float(factor)]))
    found = kind.scores(np.array([[pair[1]] for pair in pairs], dtype=float))
    squares = sum((Fraction(one) - answer) ** 2 for one, answer in zip(truth, answers, strict=True))
    assert found["rmse"] == pytest.approx(math.sqrt(squares / len(pairs)))
    mean = Fraction(sum(truth), len(truth))
    around = sum((one - mean) ** 2 for one in truth)
    if around:
        assert found["r2"] == pytest.approx(float(1 - squares / around))
    assert kind.baseline["rmse"] == pytest.approx(math.sqrt(sum((Fraction(one) - Fraction(5, 2)) ** 2 for one in truth) / len(truth)))


def test_several_targets_are_measured_one_by_one() -> None:
    truth = np.array([[0.0, 0.0], [2.0, 2000.0]])
    kind = Regression(truth, truth, np.zeros(2), np.ones(2))
    found = kind.scores(truth + np.array([1.0, 100.0]))
    assert found["rmse"] == pytest.approx((1.0 + 100.0) / 2)
    assert found["r2"] == pytest.approx(((1 - 1.0) + (1 - 0.01)) / 2)
    assert [measure.title for measure in kind.shown_measures] == ["RMSE, mean of 2", "R², mean of 2"]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_answers_that_are_no_numbers_have_no_finite_error(value: float) -> None:
    truth = np.array([[1.0], [2.0], [4.0]])
    kind = Regression(truth, truth, np.zeros(1), np.ones(1))
    assert kind.scores(np.array([[1.0], [value], [3.0]])) == {"rmse": math.inf, "r2": -math.inf}


def test_one_sample_has_no_r2() -> None:
    kind = Regression(np.array([[2.0]]), np.array([[1.0], [3.0]]), np.zeros(1), np.ones(1))
    scores = kind.scores(np.array([[5.0]]))
    assert scores["rmse"] == 3.0 and np.isnan(scores["r2"])


def test_the_tables_are_complete() -> None:
    assert set(KINDS) == {"classification", "regression"}
    assert set(MEASURES) == {measure.name for kind in KINDS.values() for measure in kind.measures}
    for kind in (Classification(("a", "b"), np.array([0, 1]), np.array([1])), Regression(np.eye(2), np.eye(2), np.zeros(2), np.ones(2))):
        assert KINDS[kind.name] is type(kind)
        assert set(kind.baseline) == {measure.name for measure in kind.measures}


def test_values_as_a_person_reads_them() -> None:
    accuracy, rmse = MEASURES["accuracy"], MEASURES["rmse"]
    assert [accuracy.text(0.98765), accuracy.text(math.nan), accuracy.text(None), rmse.text(53.12345)] == ["98.77 %", "–", "–", "53.12"]
    assert accuracy.difference(-0.0061, 0.0075) == "-0.61 ± 0.75 points"
    assert rmse.difference(1.5, math.nan) == "+1.5"
