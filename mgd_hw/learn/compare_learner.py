"""Comparison of a learner's bits with float MGD, both on the chip of the design file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.common import figures, style
from mgd_hw.common.files import atomic_directory, results_directory, write_json
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result
from mgd_hw.design.external import ExternalDesign
from mgd_hw.hardware.outside import ChipProcess, learner_run, opened_chip
from mgd_hw.learn.parameters import read_parameters, write_parameters
from python_ref.floating.passes import Block
from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

    from python_ref.spec.learner import LearnerSpec

__all__ = ["STEPS", "LearnerComparison", "LearnerRuns", "compare_learner", "train_once"]

STEPS, SEEDS = 10_000, 3
"""Number of steps of a run and number of runs, unless the user says otherwise."""
RECORDS = 100
"""Number of points of a learning curve."""
MOST_JUDGED = 1_000
"""Largest number of samples that are measured at the end of a run."""


@dataclass(frozen=True)
class LearnerRuns(Result):
    """Runs of one model, each on the chip as it is when its process begins.

    Attributes
    ----------
    name : str
        Name of the model, as tables and plots show it.
    costs : tuple of float
        Mean cost of the samples at the end of each run, one per seed.
    accuracies : tuple of float
        Share of the samples whose cost is below ``external.right_below``, one per seed; NaN where the design file does not give that.
    curves : tuple of tuple of float
        Mean of the costs that were measured in each part of a run, one curve per seed.
    seconds : float
        Wall-clock time of all runs, in seconds.
    """

    name: str
    costs: tuple[float, ...]
    accuracies: tuple[float, ...]
    curves: tuple[tuple[float, ...], ...] = field(repr=False)
    seconds: float

    ALSO = ("cost", "accuracy")

    @property
    def cost(self) -> float:
        """Mean of the costs at the end of the runs."""
        return float(np.mean(self.costs))

    @property
    def accuracy(self) -> float:
        """Mean of the accuracies at the end of the runs."""
        return float(np.mean(self.accuracies))


@dataclass(frozen=True)
class LearnerComparison(Result):
    """Float MGD and the learner's fixed model on the same chip.

    Attributes
    ----------
    design, digest : str
        Name of the design; digest of its specification.
    chip : str
        Command of the process that is the outside.
    steps, seeds : int
        Number of steps of a run, and number of runs of each model.
    float_mgd, fixed : LearnerRuns
        Runs of weight perturbation in real numbers, and of the model that the hardware equals bit for bit.
    """

    design: str
    digest: str
    chip: str
    steps: int
    seeds: int
    float_mgd: LearnerRuns
    fixed: LearnerRuns

    ALSO = ("diverged", "interrupted")

    @property
    def diverged(self) -> bool:
        """False: a cost word is limited, and says nothing of a divergence."""
        return False

    @property
    def interrupted(self) -> bool:
        """False: of an interrupted comparison nothing is kept."""
        return False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{style.escape(self.design)}[/bold], {self.steps:,} steps, {self.seeds} {'seed' if self.seeds == 1 else 'seeds'}"
        judged = not math.isnan(self.fixed.accuracy)
        table = style.table("", "cost at the end", "worst seed", *(["samples right"] if judged else []), "seconds")
        for runs in (self.float_mgd, self.fixed):
            right = [f"{100 * runs.accuracy:.1f} %"] if judged else []
            table.add_row(runs.name, style.number(runs.cost), style.number(max(runs.costs)), *right, f"{runs.seconds:.1f}")
        yield table
        yield style.wrapped(f"Chip: {style.escape(self.chip)}")

    def plot(self) -> Figure:
        with figures.style():
            figure = figures.empty_figure(figures.COLUMN, 2.6)
            axes = figures.plain_axes(figure, xlabel="step", ylabel="cost", title=f"{self.design}: {self.steps:,} steps")
            for runs, colour in ((self.float_mgd, figures.BLUE), (self.fixed, figures.ORANGE)):
                for number, curve in enumerate(runs.curves):
                    x = self.steps * (np.arange(len(curve)) + 1) / len(curve)
                    axes.plot(x, curve, color=colour, linewidth=0.9, label=runs.name if number == 0 else None)
            figures.legend(figure, axes)
        return figure


_Train = Callable[[ExternalDesign, ChipProcess, int, np.ndarray | None, list[float], Callable[[int], None]], np.ndarray]
"""A model that trains on a chip: it appends the costs that it measures, calls a function with the steps done, and returns θ."""


class _Problem:
    """A chip as the forward pass of the float model, which measures the mean of as many words as the learner does."""

    def __init__(self, spec: LearnerSpec, chip: ChipProcess, measured: list[float]) -> None:
        self.spec, self.chip, self.measured = spec, chip, measured

    @property
    def parameters(self) -> tuple[Block, ...]:
        """All quantities as one block."""
        return (Block("outside", (self.spec.quantities,)),)

    def costs(self, theta: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """C of the sample whose index is the only input (float64, shape (1,))."""
        found = float(np.mean(self.chip.real_costs(theta, round(inputs[0, 0]), 1 << self.spec.outside.average)))
        self.measured.append(found)
        return np.array([found])


def compare_learner(
    design: ExternalDesign,
    *,
    seeds: int | None = None,
    steps: int | None = None,
    save: Path | None = None,
    start: Path | None = None,
    validate: bool = False,
    board: str | None = None,
    until: float | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> LearnerComparison:
    """Train float MGD and the learner's fixed model on the chip of a design, from the same parameters, once per seed.

    The arguments are those of :func:`mgd_hw.learn.compare.compare`, but for ``validate``, ``board`` and ``until``, which are refused.

    Raises
    ------
    Refusal
        If an argument is refused, the design file names no chip, or the chip does not answer.
    """
    progress, seeds, steps = progress or NullProgress(), seeds or SEEDS, steps or STEPS
    command = " ".join(design.outside().command)
    for key, value in (("--validate", validate), ("--board", board), ("--until", until)):
        if value:
            shown = None if value is True else value
            raise Refusal(
                "a network outside has no samples of its own, and no time", "Leave it out.", file=design.path, key=key, value=shown
            )
    directory = results_directory(out, design.name)
    given = None if start is None else read_parameters(design.spec, Path(start))
    learner_run(design, steps)
    fixed, learned = _runs(*_MODELS["fixed"], design, seeds, steps, given, progress)
    float_mgd, _ = _runs(*_MODELS["float"], design, seeds, steps, given, progress)
    result = LearnerComparison(design.name, design.spec.digest, command, steps, seeds, float_mgd, fixed)
    with atomic_directory(directory) as folder:
        write_json(folder / "compare.json", result)
        (folder / "learning.png").write_bytes(figures.saved(result.plot(), "png", f"{result.design}-{result.digest}"))
    if save is not None:
        write_parameters(design.spec, learned, Path(save))
    return result


def train_once(design: ExternalDesign, model: str, number: int, steps: int) -> LearnerRuns:
    """Train a model, "fixed" or "float", once on the chip of a design, with the seed of the design plus ``number``.

    Raises
    ------
    Refusal
        If the chip does not answer.
    """
    name, train = _MODELS[model]
    return _runs(name, train, design.with_seed(design.spec.perturbation.seed + number), 1, steps, None, NullProgress())[0]


def _runs(
    name: str, train: _Train, design: ExternalDesign, seeds: int, steps: int, given: np.ndarray | None, progress: Progress
) -> tuple[LearnerRuns, np.ndarray]:
    """Run a model once per seed, each time on a chip whose process has just begun; return the runs, and what the first one learned."""
    began, costs, rights, curves, learned = time.perf_counter(), list[float](), list[float](), list[tuple[float, ...]](), list[np.ndarray]()
    for number in range(seeds):
        seeded, measured = design.with_seed(design.spec.perturbation.seed + number), list[float]()

        def show(done: int, number: int = number) -> None:
            progress.update(f"Training {design.name}, {name}", number * steps + done, seeds * steps, f"step {done:,}")

        with opened_chip(seeded) as chip:
            learned.append(train(seeded, chip, steps, given, measured, show))
            judged = chip.sample_costs(learned[-1], MOST_JUDGED)
        costs.append(float(np.mean(judged)))
        rights.append(design.share_right(judged))
        curves.append(tuple(float(np.mean(part)) for part in np.array_split(measured, min(RECORDS, len(measured)))))
    return LearnerRuns(name, tuple(costs), tuple(rights), tuple(curves), time.perf_counter() - began), learned[0]


def _initial(design: ExternalDesign, given: np.ndarray | None) -> np.ndarray:
    """Raw quantities from which a run starts."""
    from python_ref.parameters import initial_parameters, quantise_parameters

    return quantise_parameters(design.spec, initial_parameters(design.spec) if given is None else given)


def _train_float(
    design: ExternalDesign, chip: ChipProcess, steps: int, given: np.ndarray | None, measured: list[float], show: Callable[[int], None]
) -> np.ndarray:
    """Train weight perturbation in real numbers; return the quantities at the end."""
    from python_ref.floating import of_design
    from python_ref.floating.estimators import WeightPerturbation
    from python_ref.floating.learner import Learner, initial_state, step

    spec, schedule = design.spec, design.spec.schedule
    estimator = WeightPerturbation(
        _Problem(spec, chip, measured), of_design.code(spec), 2.0**spec.perturbation.amplitude_log2, spec.two_sided
    )
    rule = of_design.rule(spec.optimizer, 2.0 ** schedule.rate_at(0))
    periods = schedule.perturbation_period, schedule.sample_period, schedule.update_period
    learner = Learner(estimator, rule, 1, *periods, decay=of_design.decay(spec))
    state = initial_state(learner, spec.formats.weight.to_real(_initial(design, given)))
    for number in range(steps):
        index = np.array([[float(number // schedule.sample_period % spec.outside.samples)]])
        before = state
        state, _ = step(learner, state, index, np.empty((1, 0)))
        if spec.sends_errors and state.updates > before.updates:
            chip.apply_real(before.theta - state.theta)
        if number % 64 == 63:
            show(number + 1)
    return np.asarray(state.theta, dtype=np.float64)


def _train_fixed(
    design: ExternalDesign, chip: ChipProcess, steps: int, given: np.ndarray | None, measured: list[float], show: Callable[[int], None]
) -> np.ndarray:
    """Train the fixed model; return the quantities at the end, as real numbers."""
    from python_ref.fixed import learner as model

    spec = design.spec
    state = model.initial_learner(spec, _initial(design, given))
    scale: Any = 2.0**spec.formats.cost.fraction_bits

    class Asked:
        def __call__(self, words: np.ndarray, sample: int, count: int) -> list[int]:
            found = chip(words, sample, count)
            measured.append(sum(found) / len(found) / scale)
            return found

        def apply(self, errors: np.ndarray) -> None:
            chip.apply(errors)

    asked = Asked()
    for number in range(steps):
        state, _ = model.step(spec, state, asked)
        if number % 64 == 63:
            show(number + 1)
    return spec.formats.weight.to_real(state.parameters)


_MODELS: dict[str, tuple[str, _Train]] = {"fixed": ("fixed, the learner's bits", _train_fixed), "float": ("float MGD", _train_float)}
"""Title and function of each model."""
