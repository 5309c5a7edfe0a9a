"""Choice of a design: means over the seeds, the Pareto front, conditions, and the best design."""

from __future__ import annotations

import math
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgd_hw.design.reader import parse
from mgd_hw.sweeps.choice import Found, best, read_condition, summary, unbeaten
from mgd_hw.sweeps.jobs import DONE, FAILED, REFUSED, Row
from mgd_hw.sweeps.journal import Journal
from mgd_hw.sweeps.plan import Place
from mgd_hw.sweeps.sweep import choose
from python_ref.spec.error import Refusal

few = st.integers(0, 4).map(float) | st.just(-math.inf)


@given(st.lists(st.tuples(few, few, few), max_size=40))
def test_unbeaten_is_what_no_other_point_beats(points: list[tuple[float, float, float]]) -> None:
    def beats(one: tuple, other: tuple) -> bool:
        return all(a >= b for a, b in zip(one, other, strict=True)) and one != other

    assert unbeaten(points) == [not any(beats(other, point) for other in points) for point in points]


def test_unbeaten_compares_no_pair_of_many() -> None:
    class Counted(float):
        count = 0

        def __lt__(self, other: float) -> bool:
            Counted.count += 1
            return float(self) < float(other)

        def __le__(self, other: float) -> bool:
            Counted.count += 1
            return float(self) <= float(other)

    random = np.random.default_rng(1)
    spent = []
    for count in (1000, 4000):
        Counted.count = 0
        unbeaten([(Counted(a), Counted(b), Counted(c)) for a, b, c in random.random((count, 3))])
        spent.append(Counted.count)
    assert spent[1] < 6 * spent[0], "comparisons grow little more than the number of points, which is four times as large"


def found(number: int, accuracy: float, lut: int | None = None, speed: float = 1.0, **vary: object) -> Found:
    size = {} if lut is None else {"lut": lut}
    return Found(number, vary, 3, {"accuracy": accuracy, "steps_per_second": speed, "memory_bits": 1000 + number, **size})


FOUND = (
    found(0, 0.95, 4000, weight="SQ4.12"),
    found(1, 0.92, 3000, weight="SQ4.8"),
    found(2, 0.92, 3000, weight="SQ3.8", speed=2.0),
    found(3, 0.50, 2000, weight="SQ4.4"),
)


@pytest.mark.parametrize(
    ("condition", "key", "largest", "number"),
    [
        ("accuracy>0.9", "lut", False, 2),
        ("accuracy > 92% and lut < 5000", "lut", False, 0),
        ("", "lut", False, 3),
        ("", "accuracy", True, 0),
        ("lut<=3000, weight!=SQ4.4", "accuracy", True, 2),
        ('weight=="SQ4.8"', "lut", False, 1),
        ("lut>=3000 && lut<4000 and steps_per_second<2", "memory_bits", False, 1),
    ],
)
def test_the_best(condition: str, key: str, largest: bool, number: int) -> None:
    assert best(FOUND, read_condition(condition), key, largest).combination == number


def test_of_equal_regressions_the_smaller_error_is_better() -> None:
    one, other = (Found(number, {}, 1, {"rmse": error, "lut": 100}) for number, error in enumerate((3.0, 2.0)))
    assert best((one, other), read_condition(""), "lut", False) is other
    assert best((other, one), read_condition(""), "lut", False) is other


@pytest.mark.parametrize(
    ("condition", "key", "said"),
    [
        ("acuracy>0.9", "lut", "the sweep has no such column. Did you mean accuracy?"),
        ("accuracy>0.9", "luts", "Did you mean lut?"),
        ("accuracy>0.99", "lut", "none of the 4 designs satisfies it. The largest accuracy is 0.95."),
        ("lut<100", "lut", "The smallest lut is 2000."),
        ("accuracy>0.9", "weight", "it is not a number"),
    ],
)
def test_no_best(condition: str, key: str, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        best(FOUND, read_condition(condition), key, False)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["accuracy", "accuracy>", ">0.9", "accuracy>>0.9", "0.9<accuracy", "accuracy>0.9 or lut<3", "a>1 b>2"])
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(Refusal, match="is not a comparison"):
        read_condition(text)


def test_a_summary_takes_means_over_seeds_and_gives_the_core_to_each(tmp_path: Path) -> None:
    places = (Place("part", "board", 10.0, True), Place("other", "board2", 20.0, True))
    with Journal(tmp_path, write=True) as journal:
        journal.plan([("a0", 0), ("b0", 1), ("a1", 0), ("c0", 2), ("b1", 1), ("x", 0), ("y", 0), ("x", 1)], {})
        accuracies = {"a0": 0.5, "a1": 0.9, "b0": 0.7}
        for key, accuracy in accuracies.items():
            columns = {"model": "fixed", "accuracy": accuracy, "cost": None if key == "a0" else 2.0}
            journal.add([(Row(key, DONE, "", 1.0, columns), "train", {"vary": {"k": key[0]}})])
        journal.add([(Row("b1", FAILED, "why", 1.0, {}), "train", {"vary": {"k": "b"}})])
        journal.add([(Row("c0", DONE, "", 1.0, {"model": "float", "accuracy": None}), "train", {"vary": {"k": "c"}})])
        journal.add([(Row("x", DONE, "", 1.0, {"target": "part", "lut": 100, "cycles_per_step": 1000.0}), "synth", {})])
        journal.add([(Row("y", REFUSED, "no", 1.0, {}), "synth", {})])
        one, two, three = summary(journal, places)
    assert (one.combination, one.vary, one.runs) == (0, {"k": "a"}, 2)
    assert (one.figures["accuracy"], one.figures["cost"]) == (pytest.approx(0.7), 2.0)
    assert one.figures["accuracy_std"] == pytest.approx(np.std([0.5, 0.9], ddof=1))
    assert (one.figures["lut"], one.figures["board"], one.figures["steps_per_second"]) == (100, "board", 10_000.0)
    assert (two.runs, two.figures["lut"], "accuracy_std" in two.figures) == (1, 100, False)
    assert (three.figures["accuracy"], "lut" in three.figures, three.unbeaten) == (None, False, False)


def test_the_sweep_of_a_regression_chooses_the_smallest_error(tmp_path: Path) -> None:
    """Of three designs of the same size, without a word about what is best; a run that diverged has the smallest of all."""
    errors = {"a": 3.0, "b": 2.0, "c": 5.0, "d": 1.0}
    text = "[network]\nlayers = [2, 1]\n"
    place = Place("part", "board", 10.0, True)
    notes = {"text": text, "path": str(tmp_path / "d.toml"), "keys": ["network.seed"], "combinations": 4, "refused": 0}
    with Journal(tmp_path, write=True) as journal:
        planned = [(name, number) for number, name in enumerate(errors)]
        journal.plan([*planned, *((f"{name} core", number) for name, number in planned)], notes | {"places": [astuple(place)]})
        for number, (name, error) in enumerate(errors.items()):
            columns = {"model": "fixed", "rmse": error, "r2": 1 - error / 9, "diverged": float(name == "d")}
            journal.add([(Row(name, DONE, "", 1.0, columns), "train", {"vary": {"network.seed": number}})])
            core = {"target": "part", "lut": 100, "cycles_per_step": 1000.0}
            journal.add([(Row(f"{name} core", DONE, "", 1.0, core), "synth", {})])
    found = choose(tmp_path, condition="")
    assert [each.unbeaten for each in found.found] == [False, True, False, False]
    assert found.best is not None
    assert (found.best.key, found.best.largest, found.best.found.figures["rmse"]) == ("rmse", False, 2.0)
    assert "the smallest rmse." in found.best.commented()
    assert parse(found.best.text, "best.toml").spec.network.initial.seed == 1
    for options, error in (({"minimize": "lut"}, 2.0), ({"maximize": "rmse"}, 5.0), ({"maximize": "r2"}, 2.0)):
        best_one = choose(tmp_path, **options).best
        assert best_one is not None and best_one.found.figures["rmse"] == error
