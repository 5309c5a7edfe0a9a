"""Updates, parameter writes and cycles of the core that optimisers take to an accuracy, each at several rates and update periods.

``python -m mgd_hw.sweeps.reach digits --until 0.96 --rule sgd=-5,-6 --rule shift-adam=-9,-10 --samples 1,8 --seeds 5`` prints a table in
Markdown: docs/results/optimizers.md is made of such tables.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mgd_hw.common.results import Result
from mgd_hw.data import Data
from mgd_hw.design.description import Design
from mgd_hw.design.reader import find, parse
from mgd_hw.design.samples import load_design
from mgd_hw.learn.costs import cycles_of_mgd
from mgd_hw.learn.trainers import start_of
from mgd_hw.sweeps.vary import Editor
from python_ref.datasets import quantise
from python_ref.spec.error import Refusal

__all__ = ["Reached", "reach", "table"]


_VARIED = ("optimizer.name", "schedule.learning_rate", "schedule.sample_period", "schedule.update_period", "formats.rounding.gradient")
"""Keys that a run replaces. What is added to G is rounded to the nearest for all optimisers, since a sum of values that are rounded down
would drift."""


@dataclass(frozen=True)
class Reached(Result):
    """What the fixed model of one optimiser takes to an accuracy, at one rate and one update period.

    Attributes
    ----------
    optimizer : str
        Name of the optimiser, as in a design file.
    rate : int
        Binary logarithm of the learning rate.
    samples : int
        Number of samples of an update.
    updates : tuple of int or None
        Updates until the first record with the accuracy, one entry for each seed; None for a run that did not reach it.
    parameters : int
        Number of parameters, each of which an update writes.
    cycles : tuple of int or None
        Clock cycles of the core to that record, one entry for each seed.
    """

    optimizer: str
    rate: int
    samples: int
    updates: tuple[int | None, ...]
    parameters: int
    cycles: tuple[int | None, ...]

    ALSO = ("updates_mean", "writes_mean", "cycles_mean")

    @staticmethod
    def _mean(values: Sequence[int | None]) -> float:
        found = [value for value in values if value is not None]
        return float(np.mean(found)) if len(found) == len(values) else math.inf

    @property
    def updates_mean(self) -> float:
        """Mean number of updates; infinite if a run did not reach the accuracy."""
        return self._mean(self.updates)

    @property
    def writes_mean(self) -> float:
        """Mean number of parameter writes; infinite if a run did not reach the accuracy."""
        return self.updates_mean * self.parameters

    @property
    def cycles_mean(self) -> float:
        """Mean number of clock cycles; infinite if a run did not reach the accuracy."""
        return self._mean(self.cycles)


def reach(
    design: Design, until: float, rules: Iterable[tuple[str, int]], samples: Sequence[int], seeds: int, images: int, every: int
) -> Iterator[Reached]:
    """Yield what each optimiser takes, at each of its rates and for each number of samples of an update.

    Parameters
    ----------
    design : Design
        Design whose optimiser, rate and update period are replaced.
    until : float
        Accuracy on the judged samples, from 0 to 1.
    rules : iterable of (str, int)
        Names of optimisers with binary logarithms of rates.
    samples : sequence of int
        Numbers of samples of an update.
    seeds : int
        Number of runs; run k has the design's own seed plus k.
    images : int
        Number of samples after which a run ends without the accuracy.
    every : int
        Number of samples from one record to the next.
    """
    editor = Editor(design.text, _VARIED)
    data, period = load_design(design), design.spec.schedule.sample_period
    for name, rate in rules:
        for count in samples:
            own = parse(editor.edited((name, rate, period, period * count, "half-even")), design.path)
            found = [_run(own, data, number, until, images, every) for number in range(seeds)]
            updates, cycles = zip(*found, strict=True)
            yield Reached(name, rate, count, updates, own.spec.network.n_parameters, cycles)


def _run(design: Design, data: Data, number: int, until: float, images: int, every: int) -> tuple[int | None, int | None]:
    """Return the updates and the cycles of one run to the accuracy."""
    from python_ref.fixed.fast import train
    from python_ref.fixed.machine import initial_state

    seed = design.spec.network.initial.seed + number
    spec = (design.with_seed(seed) if number else design).spec
    order, period = replace(data.order, seed=data.order.seed + number), spec.schedule.sample_period
    state, evaluation = initial_state(spec, start_of(spec, seed, None)), quantise(spec, data.test)
    inputs, targets = quantise(spec, data.train)
    run = train(
        spec, state, inputs, targets, order, images * period, evaluation=evaluation, record_every=every * period, until=until
    )  # fmt: skip
    if run.curve.accuracy[-1] < until:
        return None, None
    return run.state.updates, cycles_of_mgd(spec, run.state.steps)


def table(found: Sequence[Reached], plain: str = "sgd") -> str:
    """Return a table in Markdown, a row for each optimiser, rate and number of samples; the best of each optimiser is bold.

    The last column compares its updates with those of ``plain`` at its best rate, for the same number of samples.
    """
    rows = ["| optimiser | samples of an update | log₂ η | updates | ± | parameter writes | cycles | updates, of plain's best |"]
    rows.append("|---|---|---|---|---|---|---|---|")
    for each in found:
        alike = [other.updates_mean for other in found if other.samples == each.samples and other.optimizer == plain]
        same = [other.updates_mean for other in found if other.samples == each.samples and other.optimizer == each.optimizer]
        best = min(alike, default=math.inf)
        if not math.isfinite(each.updates_mean):
            done = sum(value is not None for value in each.updates)
            shown = [f"{done} of {len(each.updates)} runs", "", "", "", ""]
        else:
            spread = float(np.std([value for value in each.updates if value is not None]))
            share = f"{100 * each.updates_mean / best:.0f} %" if math.isfinite(best) else ""
            shown = [f"{each.updates_mean:,.0f}", f"{spread:,.0f}", f"{each.writes_mean:,.3g}", f"{each.cycles_mean:,.3g}", share]
            if each.updates_mean == min(same):
                shown[0] = f"**{shown[0]}**"
        rows.append(f"| {' | '.join((each.optimizer, str(each.samples), str(each.rate), *shown))} |")
    return "\n".join(rows)


def _rule(text: str) -> list[tuple[str, int]]:
    name, _, rates = text.partition("=")
    return [(name, int(rate)) for rate in rates.split(",")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mgd_hw.sweeps.reach", description=__doc__)
    parser.add_argument("design", help="a design file, or the name of a shipped one")
    parser.add_argument("--until", type=float, required=True, help="accuracy, from 0 to 1")
    parser.add_argument("--rule", type=_rule, action="append", required=True, help="an optimiser and its rates: sgd=-5,-6")
    parser.add_argument("--samples", type=lambda text: [int(each) for each in text.split(",")], default=[1], help="samples of an update")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, default=40_000, help="samples after which a run ends")
    parser.add_argument("--every", type=int, default=100, help="samples between two records")
    given = parser.parse_args(arguments)
    path, found = find(Path(given.design)), []
    try:
        design = parse(path.read_text(encoding="utf-8"), path)
        rules = [pair for rule in given.rule for pair in rule]
        for each in reach(design, given.until, rules, given.samples, given.seeds, given.images, given.every):
            print(each.optimizer, each.rate, each.samples, each.updates, file=sys.stderr, flush=True)
            found.append(each)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 2
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
