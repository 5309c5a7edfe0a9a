"""Diagnosis of a learner with its chip in the loop: what can be measured of a network outside, of which nothing but the cost is known.

The chip is asked at the initial quantities: for the same cost again and again, which shows its noise; for the costs on either side of
perturbations, which shows slope and curvature; and for the costs on either side of updates that the fixed model computes. Where these
make a learning rate suspect, or cannot be tried, runs at this rate and at lower ones decide. Then the fixed model trains the chip for a
while, and its counters tell of formats that are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.common import figures, style
from mgd_hw.common.files import atomic_directory, results_directory, write_json
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result
from mgd_hw.design.external import ExternalDesign
from mgd_hw.hardware.outside import ChipProcess, learner_run, opened_chip
from mgd_hw.learn.compare_learner import STEPS
from mgd_hw.learn.findings import Finding
from mgd_hw.learn.learner_rates import RateRuns, rate_runs
from mgd_hw.learn.rates import shown
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.probes import COUNTERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["LearnerDiagnosis", "diagnose_learner"]

SAMPLES = 16
"""Largest number of samples whose costs are measured."""
REPEATS = 256
"""Least number of measurements that show the noise, those of all samples together."""
PROBES = 256
"""Number of perturbations whose costs are measured on either side."""
UPDATES = 96
"""Number of updates that are tried, all from the initial quantities."""
MOST_STEPS = 400
"""Largest number of steps of an update that is tried; longer updates are not."""
RUN = 1_000
"""Number of steps that the fixed model trains the chip."""
CURVED = 0.5
"""Ratio of curvature to slope in C̃ above which the amplitude is too large."""
BURIED = 1.0
"""Signal-to-noise ratio below which C̃ is buried in noise."""
CERTAIN = 2.0
"""Number of standard errors by which a mean must differ from what would be no finding."""
STANDS_OUT = 3.0
"""Number of standard errors by which the mean square of a part of C̃ must exceed that of the noise."""
SATURATED = {"cost_change": 0.01}
"""Share of casts that may saturate, by kind; 1e-4 for the other kinds."""
LOST = 0.01
"""Share of writes of a quantity that must change it, unless rounding is stochastic."""
CLIPPED = 1e-3
"""Share of cost words that formats.cost may not hold."""

_KEYS = {"broadcast": "formats.gradient", "update": "formats.weight"}
"""Key of the format of a cast whose kind has another name; that of a state variable is its own."""


@dataclass(frozen=True)
class LearnerDiagnosis(Result):
    """What a learner's chip shows at the initial quantities and in a short run, and what prevents it from learning.

    Attributes
    ----------
    design, digest : str
        Name of the design; digest of its specification.
    chip : str
        Command of the process that is the outside.
    quantities, perturbations : int
        Number N of quantities, and number K of perturbations in one update.
    cost : float
        Mean cost of the samples at the initial quantities.
    signal, noise : float
        Root mean square of the part of C̃ that is odd in Δ, and standard deviation of its error by the noise of the costs. The noise is
        subtracted from the signal, which is 0 where it does not stand out.
    curvature : float
        Root mean square of the even part of C̃, divided by that of the odd part; infinite without a signal.
    gain, loss : float
        Mean decrease of the mean cost by the slope of an update, and mean increase by its curvature; NaN where an update has more steps
        than are tried, or changes the chip's own weights.
    run_costs : dict of int to float
        Mean cost at the end of short runs of the fixed model, by log₂ of their first learning rates; empty where single updates leave no
        doubt, or where runs would be too long.
    clipped : float
        Share of the cost words of the run that ``formats.cost`` could not hold.
    saturations : dict of str to float
        Share of the casts of the run that saturated, by kind.
    changed : float
        Share of the writes of quantities in the run that changed them; NaN where the run was too short for an update.
    steps : int
        Number of steps of the run.
    cost_after : float
        Mean cost of the samples after the run.
    findings : tuple of Finding
        Causes that prevent learning, the most likely first; empty if none was found.
    """

    design: str
    digest: str
    chip: str
    quantities: int
    perturbations: int
    cost: float
    signal: float
    noise: float
    curvature: float
    gain: float
    loss: float
    run_costs: dict[int, float]
    clipped: float
    saturations: dict[str, float]
    changed: float
    steps: int
    cost_after: float
    findings: tuple[Finding, ...]

    ALSO = ("good", "signal_to_noise")

    @property
    def good(self) -> bool:
        """Whether there are no findings."""
        return not self.findings

    @property
    def signal_to_noise(self) -> float:
        """Signal divided by noise; NaN if there is no noise."""
        return self.signal / self.noise if self.noise else math.nan

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tables "result", which has one row, and "findings", with one row per finding."""
        return {**super().tables(), "findings": [finding.to_json() for finding in self.findings]}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{style.escape(self.design)}[/bold], chip: {style.escape(self.chip)}"
        table = style.table("measured at the initial quantities", "")
        ratio = "no noise" if math.isnan(self.signal_to_noise) else style.number(self.signal_to_noise)
        table.add_row("quantities N, perturbations in an update K", f"{self.quantities:,}, {self.perturbations:,}")
        table.add_row("mean cost of the samples", style.number(self.cost))
        table.add_row("C̃: signal, noise", f"{style.number(self.signal)}, {style.number(self.noise)}")
        table.add_row("C̃: signal to noise", ratio)
        table.add_row("C̃: curvature over slope", style.number(self.curvature))
        table.add_row("an update: gain by slope, loss by curvature", f"{style.number(self.gain)}, {style.number(self.loss)}")
        table.add_row("quantities changed per write", style.percent(self.changed))
        for log2, cost in self.run_costs.items():
            table.add_row(f"mean cost at the end of a short run at 2^{log2}", style.number(cost))
        yield table
        yield f"The fixed model after {self.steps:,} steps: cost {style.number(self.cost_after)}"
        counted = ", ".join(f"{kind} {100 * share:.2g} %" for kind, share in self.saturations.items() if share)
        yield style.wrapped(f"Saturations: {counted or 'none'}")
        for finding in self.findings:
            advice = style.escape(f"{finding.message[:1].upper()}{finding.message[1:]}. {finding.remedy}")
            yield f"[bold]{style.escape(finding.what)}[/bold] ({style.escape(finding.key)}): {advice}"
        if not self.findings:
            yield style.wrapped("Nothing stands in the way of learning.")

    def plot(self) -> Figure:
        rows = {"gain by slope": self.gain, "loss by curvature": self.loss}
        return figures.bars(rows, f"{self.design}: an update, at the initial quantities", "mean cost")


def diagnose_learner(design: ExternalDesign, *, out: Path | None = None, progress: Progress | None = None) -> LearnerDiagnosis:
    """Measure with the chip in the loop what prevents a learner from learning, and write diagnose.json; see :func:`mgd_hw.diagnose`.

    Raises
    ------
    Refusal
        If the design file names no chip, the chip does not answer, or the directory cannot be written to.
    """
    progress, command = progress or NullProgress(), " ".join(design.outside().command)
    directory, spec = results_directory(out, design.name), design.spec
    run = learner_run(design, RUN)
    with opened_chip(design) as chip:
        measuring = _Measuring(spec, chip, run.parameters)
        progress.status("Measuring C̃.")
        noise = measuring.noise()
        signal, curvature = measuring.odd_and_even(noise)
        progress.status("Trying updates.")
        tried = measuring.try_updates()
    runs = RateRuns(math.nan, {})
    if math.isnan(tried.gain) or tried.raises:
        runs = rate_runs(spec, run.parameters, lambda: opened_chip(design), lambda log2: progress.status(f"A run at the rate 2^{log2}."))
    with opened_chip(design) as chip:
        progress.status("Training the chip with the fixed model.")
        measuring = _Measuring(spec, chip, run.parameters)
        before = measuring.mean_cost(run.parameters)
        asked, clipped = chip.words, chip.clipped
        counted, learned = measuring.trained(RUN)
        clipped_share = (chip.clipped - clipped) / max(1, chip.words - asked)
        after = measuring.mean_cost(learned)
    schedule = spec.schedule
    measured = LearnerDiagnosis(
        design.name,
        spec.digest,
        command,
        spec.quantities,
        max(1, schedule.update_period // schedule.perturbation_period),
        before,
        signal,
        noise * math.sqrt(2.0) / (2 if spec.two_sided else 1),
        curvature,
        tried.gain,
        tried.loss,
        runs.costs,
        clipped_share,
        _shares(spec, counted),
        counted["changed"] / counted["writes"] if counted["writes"] else math.nan,
        RUN,
        after,
        (),
    )
    result = replace(measured, findings=tuple(_findings(spec, measured, tried, runs)))
    with atomic_directory(directory) as folder:
        write_json(folder / "diagnose.json", result)
    return result


@dataclass(frozen=True)
class _Tried:
    """Means over the updates that were tried, and their standard errors; NaN without any."""

    gain: float = math.nan
    loss: float = math.nan
    gain_error: float = math.nan
    loss_error: float = math.nan

    @property
    def raises(self) -> bool:
        """Whether an update raises the mean cost by curvature more than it lowers it by slope, beyond doubt; False without any."""
        return self.loss - CERTAIN * self.loss_error > max(0.0, self.gain + CERTAIN * self.gain_error)


class _Measuring:
    """Measurements of a chip around some raw quantities.

    Parameters
    ----------
    spec : LearnerSpec
        Learner whose words and costs the measurements have.
    chip : ChipProcess
        The process of the outside, which is asked for every cost.
    start : array of int64, shape (N,)
        Raw quantities around which the chip is measured, and from which it is trained.
    """

    def __init__(self, spec: LearnerSpec, chip: ChipProcess, start: np.ndarray) -> None:
        self.spec, self.chip, self.start = spec, chip, start
        self.samples = range(min(spec.outside.samples, SAMPLES))

    def cost(self, words: np.ndarray, sample: int) -> float:
        """C of a pass: the mean of as many cost words as the learner takes."""
        found = self.chip(words, sample, 1 << self.spec.outside.average)
        return sum(found) / len(found) * 2.0**-self.spec.formats.cost.fraction_bits

    def mean_cost(self, words: np.ndarray) -> float:
        """Mean of C over the samples."""
        return float(np.mean([self.cost(words, sample) for sample in self.samples]))

    def noise(self) -> float:
        """Standard deviation of C."""
        each = -(-REPEATS // len(self.samples))
        again = np.array([[self.cost(self.start, sample) for _ in range(each)] for sample in self.samples])
        return float(np.sqrt(np.mean(np.var(again, axis=1, ddof=1))))

    def odd_and_even(self, noise: float) -> tuple[float, float]:
        """Root mean square of the odd part of C̃ at +Δ, and the ratio of the even part's to it, both without the noise of C."""
        from python_ref.fixed.state import sign_source

        spec, source = self.spec, sign_source(self.spec, self.spec.perturbation.seed)
        amplitude = spec.amplitude_raw(spec.formats.weight.fraction_bits)
        odd, even = np.empty(PROBES), np.empty(PROBES)
        for number in range(PROBES):
            move, sample = source.signs(number).astype(np.int64) * amplitude, self.samples[number % len(self.samples)]
            above, below, here = (self.cost(self.start + side * move, sample) for side in (1, -1, 0))
            odd[number], even[number] = (above - below) / 2, (above + below) / 2 - here
        slope, curved = _beyond(odd, noise**2 / 2), _beyond(even, 1.5 * noise**2)
        return slope, curved / slope if slope else math.inf

    def try_updates(self) -> _Tried:
        """Compute updates at the initial quantities, and measure the mean cost on either side of them, which are enlarged to about Δ."""
        from python_ref.fixed.learner import initial_learner, step

        spec, period = self.spec, self.spec.schedule.update_period
        if period > MOST_STEPS or spec.sends_errors:  # weights that the chip has changed cannot be taken back
            return _Tried()
        low, high = spec.parameter_limits
        amplitude = spec.amplitude_raw(spec.formats.weight.fraction_bits)
        state, gains, losses = initial_learner(spec, self.start), list[float](), list[float]()
        for number in range(UPDATES):
            for _ in range(period):
                state, _ = step(spec, state, self.chip)
            move = state.parameters - self.start
            state = state.with_load(self.start)
            if state.optimizer and number < UPDATES // 2:
                continue  # the state of the optimiser has to settle first
            if not move.any():
                gains.append(0.0)
                losses.append(0.0)
                continue
            longer = max(1, round(amplitude / float(np.sqrt(np.mean(move.astype(np.float64) ** 2)))))
            along, against, here = (self.mean_cost(np.clip(self.start + side * longer * move, low, high)) for side in (1, -1, 0))
            gains.append((against - along) / (2 * longer))
            losses.append(((against + along) / 2 - here) / longer**2)
        errors = [float(np.std(found)) / math.sqrt(len(found)) for found in (gains, losses)]
        return _Tried(float(np.mean(gains)), float(np.mean(losses)), *errors)

    def trained(self, steps: int) -> tuple[dict[str, int], np.ndarray]:
        """Train the chip with the fixed model; return its counters by name, and the raw quantities at the end."""
        from python_ref.fixed.learner import initial_learner, step

        state = initial_learner(self.spec, self.start)
        for _ in range(steps):
            state, _ = step(self.spec, state, self.chip)
        return dict(zip(COUNTERS, state.counters.tolist(), strict=True)), state.parameters


def _beyond(values: np.ndarray, variance: float) -> float:
    """Root mean square of values without the variance of their noise; 0 where they do not stand out from it."""
    power = float(np.mean(values**2)) - variance
    error = variance * math.sqrt(2 / len(values) + 2 / REPEATS)
    return math.sqrt(power) if power > STANDS_OUT * error else 0.0


def _shares(spec: LearnerSpec, counted: dict[str, int]) -> dict[str, float]:
    """Share of casts that saturated, by kind."""
    visited, updated = counted["steps"] * spec.quantities, counted["updates"] * spec.quantities
    casts = {"cost_change": counted["steps"], "broadcast": visited, "gradient": visited}  # all others are casts of an update
    return {kind: counted[f"saturated_{kind}"] / max(1, casts.get(kind, updated)) for kind in spec.shown_saturations}


# -- Judgement --------------------------------------------------------------------------------------------------------


def _findings(spec: LearnerSpec, found: LearnerDiagnosis, tried: _Tried, runs: RateRuns) -> Iterator[Finding]:
    """Yield the causes that prevent learning, causes before their effects."""
    yield from _of_costs(spec, found)
    yield from _of_rate(spec, found, tried, runs)
    yield from _of_formats(spec, found)


def _of_costs(spec: LearnerSpec, found: LearnerDiagnosis) -> Iterator[Finding]:
    """Yield the findings on C̃: its format clips, nothing moves it, it is mostly curvature, or buried in noise."""
    log2, key, cost = spec.perturbation.amplitude_log2, "perturbation.amplitude", spec.formats.cost
    if found.clipped > CLIPPED:
        message = f"{100 * found.clipped:.2g} % of the cost words are beyond formats.cost = {cost}"
        yield Finding("format", "formats.cost", message, "Give formats.cost more integer bits, or scale the cost down outside.")
    if not found.signal:
        buried = f"it drowns in the noise, which changes it by {found.noise:.2g}" if found.noise else "it is zero whatever is perturbed"
        message = f"no perturbation by 2^{log2} shows in C̃: {buried}"
        finer = "give external.average more" if found.noise else f"give formats.cost more fraction bits than {cost.fraction_bits}"
        remedy = f'Take amplitude = "2^{log2 + 2}", or more; or {finer}; or see whether the chip takes the words.'
        yield Finding("amplitude", key, message, remedy)
        return
    if found.curvature > CURVED:
        down = max(1, math.ceil(math.log2(found.curvature / (CURVED / 2))))
        sided = "" if spec.two_sided else ' Or take difference = "two-sided", in which curvature cancels.'
        share = f"the part of C̃ that is curvature is {found.curvature:.2g} times the part that is slope"
        yield Finding(
            "amplitude", key, f"the amplitude 2^{log2} is too large: {share}", f'Take amplitude = "2^{log2 - down}", or less.{sided}'
        )
    if found.noise and found.signal_to_noise < BURIED:
        ratio = f"the noise of the costs changes C̃ by {found.noise:.2g}, and its signal is {found.signal:.2g}"
        more = math.ceil(2 * math.log2(2 * BURIED / found.signal_to_noise))
        remedy = (
            f"Take average = {spec.outside.average + more}, the mean of more cost words, a larger amplitude, or a longer update_period."
        )
        yield Finding("integration time", "external.average", f"C̃ is buried: {ratio}", remedy)


def _of_rate(spec: LearnerSpec, found: LearnerDiagnosis, tried: _Tried, runs: RateRuns) -> Iterator[Finding]:
    """Yield the finding on a learning rate that is too large or too small, if it is either."""
    log2, key, costs = spec.schedule.rate_at(0), "schedule.learning_rate", found.run_costs
    if runs.too_large or (runs.too_large is None and tried.raises):
        ratio = tried.loss / tried.gain if tried.gain > 0 else 2.0**6
        down = min(12, max(1, math.ceil(math.log2(ratio)) + 1))
        trade = f"an update lowers the mean cost by {max(0.0, tried.gain):.2g} by slope, and raises it by {tried.loss:.2g} by curvature"
        if runs.too_large:
            down = log2 - min(costs, key=costs.__getitem__)
            trade = f"{trade}; {shown(costs)}" if tried.raises else shown(costs)
        remedy = f"Take learning_rate = {log2 - down}; or a longer update_period, with a lower rate, for fewer and better updates."
        yield Finding("learning rate", key, f"the learning rate 2^{log2} is too large: {trade}", remedy)
        return
    if math.isnan(tried.gain):
        return
    updates = STEPS / spec.schedule.update_period
    most = updates * (tried.gain + tried.gain_error)
    if found.cost > 0 and most < 0.2 * found.cost and tried.loss < tried.gain / 8:
        up = min(30, max(1, math.floor(math.log2(min(tried.gain / max(tried.loss, 1e-300), 2.0**32) / 4))))
        share = f"at the initial slope, {STEPS:,} steps lower the cost by {100 * updates * tried.gain / found.cost:.2g} %"
        yield Finding("learning rate", key, f"the learning rate 2^{log2} is too small: {share}", f"Take learning_rate = {log2 + up}.")


def _of_formats(spec: LearnerSpec, found: LearnerDiagnosis) -> Iterator[Finding]:
    """Yield the findings on casts that saturate, and on updates that round to nothing."""
    from python_ref.spec.number import Rounding

    own = {variable.name: variable.key for variable in spec.optimizer_state}
    for kind, share in found.saturations.items():
        if share > SATURATED.get(kind, 1e-4):
            key = own.get(kind) or _KEYS.get(kind, f"formats.{kind}")
            message = f"{100 * share:.2g} % of the casts of {kind} saturate"
            yield Finding("format", key, message, f"Give {key} more integer bits, or take a smaller learning_rate.")
    if found.changed < LOST and spec.formats.weight_cast.rounding is not Rounding.STOCHASTIC:  # False for NaN
        message = (
            f"only {100 * found.changed:.2g} % of the writes change a quantity: the updates are below the last place of formats.weight"
        )
        remedy = 'Give formats.weight more fraction bits, take a larger learning_rate, or formats.rounding.weight = "stochastic".'
        yield Finding("format", "formats.weight", message, remedy)
