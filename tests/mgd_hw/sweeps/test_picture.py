"""The plot shows each design as a point at its size and accuracy, and marks the Pareto-optimal ones with a ring."""

from __future__ import annotations

import numpy as np

from mgd_hw.common.figures import saved
from mgd_hw.sweeps import picture
from mgd_hw.sweeps.choice import Found
from mgd_hw.sweeps.picture import pareto


def found(number: int, accuracy: float | None, unbeaten: bool, **sizes: int) -> Found:
    figures = {"accuracy": accuracy, "accuracy_min": accuracy, "accuracy_max": 1.0, "steps_per_second": 10.0 * number, **sizes}
    return Found(number, {"k": f"name{number}"}, 3, figures, unbeaten)


FOUND = (found(0, 0.5, True, lut=100), found(1, 0.25, False, lut=200), found(2, 0.75, True, lut=300))


def test_points_stand_where_their_figures_are() -> None:
    axes = pareto(FOUND).axes[0]
    points, rings = axes.collections[-2:]
    assert np.allclose(points.get_offsets(), [(100, 50), (200, 25), (300, 75)])  # type: ignore[arg-type]
    assert np.allclose(rings.get_offsets(), [(100, 50), (300, 75)])  # type: ignore[arg-type]
    assert [text.get_text() for text in axes.texts] == ["name0", "name2"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("LUTs", "accuracy (%)")


def test_the_front_of_a_regression_goes_down_to_the_smallest_error() -> None:
    errors = ((5.0, 100), (6.0, 200), (2.0, 300))
    designs = [
        Found(number, {"k": f"name{number}"}, 1, {"rmse": error, "rmse_min": error, "rmse_max": error, "lut": lut}, error != 6.0)
        for number, (error, lut) in enumerate(errors)
    ]
    axes = pareto(designs).axes[0]
    assert [text.get_text() for text in axes.texts] == ["name0", "name2"]
    assert np.allclose(axes.lines[-1].get_xydata(), [(100, 5), (300, 2)])  # type: ignore[arg-type]
    assert axes.get_ylabel() == "RMSE"


def test_memory_is_taken_where_there_are_no_luts_and_what_is_unknown_is_left_out() -> None:
    designs = (found(0, 0.5, True, memory_bits=100), found(1, None, False, memory_bits=1), found(2, 0.9, False))
    axes = pareto(designs).axes[0]
    assert np.allclose(axes.collections[-2].get_offsets(), [(100, 50)])  # type: ignore[arg-type]
    assert axes.get_xlabel() == "bits of memory"


def test_many_points_are_no_larger_a_file(monkeypatch) -> None:
    designs = tuple(found(number, 0.5 + 0.001 * (number % 7), False, lut=number) for number in range(500))
    vectors = saved(pareto(designs), "svg", "x")
    monkeypatch.setattr(picture, "MOST_VECTORS", 100)
    assert len(saved(pareto(designs), "svg", "x")) < len(vectors) / 2
    assert pareto(()).axes
