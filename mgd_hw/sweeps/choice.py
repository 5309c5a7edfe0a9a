"""Results of a sweep per design, the Pareto front of the designs, and the best design that satisfies a condition."""

from __future__ import annotations

import math
import operator
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mgd_hw.common.results import Result
from mgd_hw.data.kinds import KINDS, MEASURES, Measure
from mgd_hw.learn.runs import interval
from mgd_hw.sweeps.jobs import DONE, FIT, SYNTH, TRAIN
from mgd_hw.sweeps.journal import Journal
from mgd_hw.sweeps.plan import Place
from mgd_hw.sweeps.vary import nearest
from python_ref.spec.error import Refusal, shown

__all__ = ["Condition", "Found", "best", "measures_of", "read_condition", "size_of", "summary", "unbeaten"]

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_TERM = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(>=|<=|==|!=|=|>|<)\s*(\"[^\"]*\"|'[^']*'|[^\s\"'<>=!]+)\s*")


@dataclass(frozen=True)
class Found(Result):
    """Results of one combination over all its seeds, with the area and speed of its core on one part.

    Attributes
    ----------
    combination : int
        Index of the combination in the sweep, counted from 0.
    vary : dict
        Value of each varied key.
    runs : int
        Number of runs of the combination that finished.
    figures : dict
        Mean of each numeric column over the runs. For the accuracy, or another measure of the kind of task, also ``accuracy_min``,
        ``accuracy_max``, ``accuracy_std`` and ``accuracy_interval`` (half the width of the 95 % interval of the mean). ``diverged`` is
        the share of the runs that diverged. Also the area of the core, and ``steps_per_second`` at the board's clock.
    unbeaten : bool
        Whether the design is Pareto-optimal: no other is at least as good in first measure, size and speed, and better in one of them.
    """

    combination: int
    vary: dict[str, Any]
    runs: int
    figures: dict[str, Any]
    unbeaten: bool = False

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return a table of one row, with the varied keys and the figures as columns."""
        row = {"combination": self.combination, **self.vary, "runs": self.runs, **self.figures, "unbeaten": self.unbeaten}
        return {"result": [row]}

    def value(self, name: str) -> Any:
        """Return the value of a varied key or of a figure; None if it has neither."""
        return self.vary[name] if name in self.vary else self.figures.get(name)


def summary(journal: Journal, places: Sequence[Place]) -> tuple[Found, ...]:
    """Return the results of each planned combination that has finished runs, in the order of the plan.

    A combination whose core was judged for several parts has one result for each of them.
    """
    cores: dict[int, list[dict[str, Any]]] = {}
    clocks = {place.target: place for place in places}
    for number, row, _ in journal.planned(FIT, SYNTH):
        if row.status == DONE:
            cores.setdefault(number, []).append(_clocked(row.columns, clocks))
    runs: dict[int, list[dict[str, Any]]] = {}
    varied: dict[int, dict[str, Any]] = {}
    for number, row, about in journal.planned(TRAIN):
        if row.status == DONE:
            runs.setdefault(number, []).append(row.columns)
            varied[number] = about["vary"]
    found = [
        Found(number, varied[number], len(runs[number]), _means(runs[number]) | core)
        for number in sorted(runs)
        for core in cores.get(number) or [{}]
    ]
    front = unbeaten([_objectives(each) for each in found])
    return tuple(Found(each.combination, each.vary, each.runs, each.figures, beats) for each, beats in zip(found, front, strict=True))


def _clocked(columns: Mapping[str, Any], places: Mapping[str, Place]) -> dict[str, Any]:
    """Return the columns of a core, with its board, its clock and the steps per second at that clock."""
    place = places[columns["target"]]
    rate = 1e6 * place.clock_mhz / columns["cycles_per_step"]
    return {**columns, "board": place.board, "clock_mhz": place.clock_mhz, "steps_per_second": rate}


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean of each numeric column over the runs, and the spread of each measure; text is taken from the first run."""
    found: dict[str, Any] = {}
    for name, value in rows[0].items():
        if isinstance(value, str):
            found[name] = value
            continue
        values = [row[name] for row in rows if row.get(name) is not None]
        found[name] = float(np.mean(values)) if values else None
    for name in MEASURES:
        measured = np.array([row[name] for row in rows if row.get(name) is not None])
        if len(measured):
            found |= {f"{name}_min": float(measured.min()), f"{name}_max": float(measured.max())}
        if len(measured) > 1:
            found |= {f"{name}_std": float(np.std(measured, ddof=1)), f"{name}_interval": interval(measured)}
    return found


def measures_of(found: Sequence[Found]) -> tuple[Measure, ...]:
    """Return the first measure of each kind of task among the designs; accuracy if no design has a measure."""
    first = [kind.measures[0] for kind in KINDS.values()]
    return tuple(measure for measure in first if any(each.figures.get(measure.name) is not None for each in found)) or (first[0],)


def size_of(found: Found) -> float | None:
    """Return the number of LUTs, or the bits of memory if the number of LUTs is unknown; None if both are."""
    value = found.figures.get("lut")
    return found.figures.get("memory_bits") if value is None else value


def _objectives(found: Found) -> tuple[float, float, float]:
    """Return quality, negated size, and speed; larger is better for each, and minus infinity stands for an unknown value."""
    size, speed = size_of(found), found.figures.get("steps_per_second")
    measure, worst = measures_of([found])[0], -math.inf
    value = None if found.figures.get("diverged") else found.figures.get(measure.name)
    quality = worst if value is None else value if measure.larger_is_better else -value
    return quality, worst if size is None else -size, worst if speed is None else speed


def unbeaten(points: Sequence[tuple[float, float, float]]) -> list[bool]:
    """Return for each point whether it is Pareto-optimal: no other is at least as large in all coordinates and larger in one.

    The points are visited in descending order of the first coordinate. The Pareto front of the visited points in the second and the third
    coordinate is a descending staircase, and a point below it is dominated. The search takes about n·log n comparisons for n points.
    """
    found = [False] * len(points)
    seconds: list[float] = []  # ascending
    thirds: list[float] = []  # descending
    before: tuple[float, float, float] | None = None
    alike = False
    for index in sorted(range(len(points)), key=points.__getitem__, reverse=True):
        _, second, third = points[index]
        if points[index] != before:
            right = bisect_left(seconds, second)
            alike = right == len(seconds) or thirds[right] < third
            if alike:
                left = right
                while left and thirds[left - 1] <= third:
                    left -= 1
                right += right < len(seconds) and seconds[right] == second
                seconds[left:right], thirds[left:right] = [second], [third]
        before, found[index] = points[index], alike
    return found


# -- The best ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Condition:
    """Condition on the columns of a design.

    Attributes
    ----------
    text : str
        The condition as the user wrote it.
    terms : tuple of (str, str, object)
        Comparisons that must all hold: column, operator and value.
    """

    text: str
    terms: tuple[tuple[str, str, Any], ...]

    def holds(self, found: Found) -> bool:
        """Return whether a design satisfies the condition; an unknown value satisfies no comparison."""
        return all(_holds(found.value(name), comparison, value) for name, comparison, value in self.terms)


def _holds(value: Any, comparison: str, wanted: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, (int, float)) and not isinstance(value, bool) and isinstance(wanted, float):
        return _COMPARISONS[comparison](value, wanted)
    shown_value = shown(value).strip('"')
    return _COMPARISONS[comparison](shown_value, str(wanted)) if comparison in ("=", "==", "!=") else False


def read_condition(text: str) -> Condition:
    """Parse comparisons joined by "and" or commas, such as "accuracy>0.9 and lut<5000".

    Raises
    ------
    Refusal
        If a part of the text is not a comparison.
    """
    terms = []
    for term in re.split(r"\s*(?:,|&&?|\band\b)\s*", text.strip()) if text.strip() else []:
        match = _TERM.fullmatch(term)
        if not match:
            remedy = 'Write a column, one of > >= < <= == !=, and a value, as in "accuracy>0.9 and lut<5000".'
            raise Refusal(f"{shown(term)} is not a comparison", remedy, key="--best", value=text)
        name, comparison, value = match.groups()
        terms.append((name, comparison, _wanted(value)))
    return Condition(text, tuple(terms))


def _wanted(value: str) -> float | str:
    """Parse a value: a number, a percentage as its fraction, or else text without its quotation marks."""
    try:
        return float(value[:-1]) / 100 if value.endswith("%") else float(value)
    except ValueError:
        return value.strip("\"'")


def _columns(found: Sequence[Found]) -> list[str]:
    return list(dict.fromkeys(name for each in found for name in (*each.vary, *each.figures)))


def best(found: Sequence[Found], condition: Condition, key: str, largest: bool) -> Found:
    """Return the design with the smallest, or largest, ``key`` among those that satisfy a condition and have no diverged run.

    Ties are broken by quality, then size, then speed.

    Raises
    ------
    Refusal
        If a column is unknown or not numeric, or if no design without a diverged run satisfies the condition.
    """
    option = "--maximize" if largest else "--minimize"
    known = _columns(found)
    for name, where in (*((name, "--best") for name, _, _ in condition.terms), (key, option)):
        if name not in known:
            listed = f"Columns: {', '.join(known)}."
            raise Refusal("the sweep has no such column", nearest(name, known) + listed, key=where, value=name)
    allowed = [each for each in found if condition.holds(each)]
    if not allowed:
        raise Refusal(f"none of the {len(found)} designs satisfies it", _closest(found, condition), key="--best", value=condition.text)
    allowed = [each for each in allowed if not each.figures.get("diverged")]
    if not allowed:
        reason = "every design that satisfies it has a run that diverged"
        raise Refusal(reason, "Take smaller learning rates, or wider formats.", key="--best", value=condition.text)
    ranked = [each for each in allowed if isinstance(each.value(key), (int, float))]
    if not ranked:
        raise Refusal("it is not a number for any design that satisfies --best", "Name another column.", key=option, value=key)
    sign = -1 if largest else 1
    return min(ranked, key=lambda each: (sign * each.value(key), *(-value for value in _objectives(each))))


def _closest(found: Sequence[Found], condition: Condition) -> str:
    """Return a remedy that gives the extreme value of the first column of the condition that has numbers."""
    for name, comparison, _ in condition.terms:
        values = [each.value(name) for each in found]
        numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
        if numbers:
            extreme = max(numbers) if comparison.startswith(">") else min(numbers)
            return f"The {'largest' if comparison.startswith('>') else 'smallest'} {name} is {extreme:.4g}."
    return "Ask for less."
