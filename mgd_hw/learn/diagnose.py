"""The verb ``diagnose``: measurements before training that tell why a design does not learn, and what to change.

Everything is measured at the initial parameters, on some of the training samples. The symptoms, and their causes, are:

- C̃ is below the noise, or below the last place of a format: the amplitude is too small, or the integration time too short;
- C̃ is mostly curvature: the amplitude is too large;
- updates raise the cost by curvature more than they lower it by slope, and a run at a quarter of the rate ends lower: the learning rate
  is too large;
- all updates of a run together hardly lower the cost: the learning rate is too small;
- values saturate, or updates round to nothing: a format is too narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.common import figures, style
from mgd_hw.common.files import atomic_directory, results_directory, write_json
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result, plain
from mgd_hw.data import Data
from mgd_hw.data.kinds import Kind
from mgd_hw.design.argument import read, read_any
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.float_model import has_slopes, learner, network, objective, opened, start
from mgd_hw.design.samples import load_design
from mgd_hw.learn.diagnose_learner import LearnerDiagnosis, diagnose_learner
from mgd_hw.learn.diagnose_series import SeriesDiagnosis, diagnose_series
from mgd_hw.learn.divergence import failure, saturation_shares
from mgd_hw.learn.findings import Finding
from mgd_hw.learn.judging import judge_fixed
from mgd_hw.learn.rates import is_worse, run_costs, shown
from python_ref.datasets import Samples, quantise
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.error import Refusal
from python_ref.spec.number import Rounding
from python_ref.spec.probes import COUNTERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

    from python_ref.floating.learner import Learner
    from python_ref.floating.passes import Measurable

__all__ = ["Diagnosis", "Finding", "diagnose", "diagnosis_of"]

SAMPLES = 128
"""Number of training samples on which C̃ is measured."""
UPDATES = 24
"""Number of updates that are tried, all from the initial parameters."""
MOST_STEPS = 400
"""Largest number of steps of an update that are simulated; the gradient of a longer update is scaled up."""
FIXED_STEPS = 1_000
"""Least number of steps that the fixed model runs, to count saturations."""
CURVED = 0.5
"""Ratio of curvature to slope in C̃ above which the amplitude is too large."""
BURIED = 1.0
"""Signal-to-noise ratio below which C̃ is buried in noise: the paper finds no learning below it."""
SATURATED = {"activation": 0.05, "cost_change": 0.01}
"""Share of casts that may saturate, by kind; 1e-4 for the other kinds. Some activations saturate by design."""

LOST = 0.01
"""Share of parameter writes that must change the parameter, unless rounding is stochastic; below it, most updates are lost."""

LOST_ERRORS = 0.5
"""Share of the errors of neurons, in node perturbation, above which too many round to zero."""
PRESENTATIONS = 16
"""Number of presentations whose errors are looked at."""

_CURES = {
    "activation": ("formats.activation", "Give formats.activation (or formats.table) another integer bit, or lower network.scale."),
    "cost_change": ("formats.cost_change", "Leave formats.cost_change out, which keeps C̃ exact, or give it more integer bits."),
    "broadcast": ("formats.gradient", "Give formats.gradient more integer bits, or take a smaller learning_rate."),
    "error": ("formats.error", "Give formats.error more integer bits, or take a smaller learning_rate."),
    "gradient": ("formats.gradient", "Give formats.gradient more integer bits, a shorter update_period, or a smaller learning_rate."),
    "update": ("formats.weight", "Take a smaller learning_rate, or give formats.weight more integer bits."),
    "weight": ("formats.weight", "Give formats.weight more integer bits, or take a smaller network.scale or learning_rate."),
}
"""Key that causes saturations of a kind, and the remedy. State variables of the optimiser are not listed; they name their own keys."""


@dataclass(frozen=True)
class Diagnosis(Result):
    """Measurements of a design at its initial parameters, and the causes that prevent it from learning.

    Attributes
    ----------
    design, source : str
        Name of the design, and a sentence on the origin of its data and their split.
    quantities, perturbations : int
        Number of perturbed quantities D, and number K of perturbations in one update.
    cosine, cosine_expected : float
        Mean cosine of G, as an update uses it, to the true gradient of the same samples; and √(K/(K + D − 1)), its expectation for a
        single sample. The former is NaN where there is no true gradient.
    signal, noise : float
        Root mean square of the part of C̃ that is odd in Δ, and of the error of C̃ by device noise and number formats.
    curvature : float
        Root mean square of the even part of C̃, divided by that of the odd part.
    gain, loss : float
        Mean decrease of the mean cost by the slope of an update, and mean increase by its curvature and noise.
    run_costs : dict of int to float
        Mean cost of training samples at the end of short runs of the float model, by log₂ of their learning rates; empty unless the loss
        exceeds the gain.
    saturations : dict of str to float
        Share of casts that saturated, by kind; empty without a fixed model.
    changed : float
        Share of the fixed model's parameter writes that changed the parameter; NaN without a fixed model.
    kind : Kind
        Kind of task, which judges the answers; in JSON its name, with the ``baseline`` of its measures.
    steps : int
        Number of steps that the fixed model ran; 0 without one.
    scores : dict of str to float
        Measures of the fixed model after these steps, by name; empty without one.
    findings : tuple of Finding
        Causes that prevent learning, the most likely first; empty if none was found.
    """

    design: str
    source: str
    quantities: int
    perturbations: int
    cosine: float
    cosine_expected: float
    signal: float
    noise: float
    curvature: float
    gain: float
    loss: float
    run_costs: dict[int, float]
    saturations: dict[str, float]
    changed: float
    kind: Kind = field(repr=False)
    steps: int
    scores: dict[str, float]
    findings: tuple[Finding, ...]

    ALSO = ("good", "signal_to_noise")

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tables "result", which has one row, and "findings", with one row per finding."""
        return {**super().tables(), "findings": [finding.to_json() for finding in self.findings]}

    def to_json(self) -> dict:
        """Return the fields as plain data, with the name and the baseline of the kind of task in place of the kind."""
        return {**super().to_json(), "kind": self.kind.name, "baseline": plain(self.kind.baseline)}

    @property
    def good(self) -> bool:
        """Whether there are no findings."""
        return not self.findings

    @property
    def signal_to_noise(self) -> float:
        """Signal divided by noise; NaN if there is no noise."""
        return self.signal / self.noise if self.noise else math.nan

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{style.escape(self.design)}[/bold]: {style.escape(self.source)}"
        table = style.table("measured at the initial parameters", "")
        rows = (
            ("perturbed quantities D, perturbations in an update K", f"{self.quantities:,}, {self.perturbations:,}"),
            ("cosine of G to the true gradient", style.number(self.cosine)),
            ("expected of a single sample, √(K/(K + D − 1))", style.number(self.cosine_expected)),
            ("C̃: signal, noise", f"{style.number(self.signal)}, {style.number(self.noise)}"),
            ("C̃: signal to noise", "no noise" if math.isnan(self.signal_to_noise) else style.number(self.signal_to_noise)),
            ("C̃: curvature over slope", style.number(self.curvature)),
            ("an update: gain by slope, loss by curvature and noise", f"{style.number(self.gain)}, {style.number(self.loss)}"),
            ("parameters changed per write", style.percent(self.changed)),
            *((f"mean cost at the end of a short run at 2^{log2}", style.number(cost)) for log2, cost in self.run_costs.items()),
        )
        for row in rows:
            table.add_row(*row)
        yield table
        if self.scores:
            values, baseline = self.kind.describe(self.scores)
            yield f"The fixed model after {self.steps:,} steps: {values} ({style.escape(baseline)})"
        saturated = {kind: share for kind, share in self.saturations.items() if share}
        if self.saturations:
            yield style.wrapped("Saturations: " + (", ".join(f"{kind} {100 * share:.2g} %" for kind, share in saturated.items()) or "none"))
        for finding in self.findings:
            advice = style.escape(f"{finding.message[:1].upper()}{finding.message[1:]}. {finding.remedy}")
            yield f"[bold]{style.escape(finding.what)}[/bold] ({style.escape(finding.key)}): {advice}"
        if not self.findings:
            yield style.wrapped("Nothing stands in the way of learning.")

    def plot(self) -> Figure:
        rows = {"gain by slope": self.gain, "loss by curvature and noise": self.loss}
        return figures.bars(rows, f"{self.design}: an update, at the initial parameters", "mean cost")


def diagnose(
    design: str | Path | Design | ExternalDesign, *, out: Path | None = None, progress: Progress | None = None
) -> Diagnosis | SeriesDiagnosis | LearnerDiagnosis:
    """Measure at the initial parameters what prevents a design from learning, suggest remedies, and write diagnose.json.

    Where the network is outside, its process answers with costs.

    Parameters
    ----------
    design : path, name or Design
        Path of a design file, name of a shipped design, or a design that was read before; its network may be outside.
    out : path or None
        Directory that diagnose.json is written to; None takes mgd-hw-out/DESIGN.
    progress : Progress or None
        Receives status messages and the progress of long tasks; None discards them.

    Raises
    ------
    Refusal
        If a network with stochastic neurons has no fixed model, the samples cannot be loaded, the process of a network outside does not
        answer, or the directory cannot be written to.
    """
    found = read_any(design)
    if isinstance(found, ExternalDesign):
        return diagnose_learner(found, out=out, progress=progress)
    design = read(found)
    by_runs = not design.float_only.requests and (design.spec.series or design.spec.network.random)
    if design.spec.network.random and not by_runs:
        reason = "what is diagnosed is the change of C by Δ, and stochastic neurons learn from draws of their outputs instead"
        remedy = "'mgd-hw compare' tells how well its gradient agrees with the true one, and how often values saturate."
        raise Refusal(reason, remedy, file=design.path, key="network.layers")
    directory = results_directory(out, design.name)
    data = load_design(design, progress=progress)
    if by_runs:
        result: Diagnosis | SeriesDiagnosis = diagnose_series(design, data, progress or NullProgress())
    else:
        result = diagnosis_of(design, data, progress)
    with atomic_directory(directory) as folder:
        write_json(folder / "diagnose.json", result)
    return result


def diagnosis_of(design: Design, data: Data, progress: Progress | None = None) -> Diagnosis:
    """Measure a design on these samples, and return the measurements with the findings; see :func:`diagnose`."""
    progress = progress or NullProgress()
    samples = data.train.take(data.order.indices(0, min(SAMPLES, len(data.train))))
    raw = quantise_parameters(design.spec, initial_parameters(design.spec)) if design.float_only.architecture == "dense" else None
    theta = start(design, design.spec.network.initial.seed, raw).astype(np.float64)
    with opened(design) as problem:
        machine = learner(design, design.compare.steps, problem)
        progress.status("Measuring C̃.")
        signal, curvature = _odd_and_even(machine, theta, samples)
        progress.status("Trying updates.")
        tried = _try_updates(design, machine, problem, theta, data)
        costs: dict[int, float] = {}
        if tried["loss"] > max(tried["gain"], 0.0):
            progress.status("Comparing rates.")
            costs = run_costs(design, problem, raw, data, _judged(data), tried["before"])
    noise = math.hypot(_noise_of_devices(design, machine), 0.0 if design.float_only.requests else _noise_of_formats(design, raw, samples))
    run = _FixedRun(0, {}, math.nan, {}, "")
    if not design.float_only.requests:
        progress.status("Running the fixed model.")
        assert raw is not None
        run = _run_fixed(design, raw, data)
    from python_ref.floating.estimators import cosine_expected

    quantities, perturbations = _perturbed(design, machine)
    measured = Diagnosis(
        design.name,
        data.source,
        quantities,
        perturbations,
        tried["cosine"],
        cosine_expected(perturbations, quantities),
        signal,
        noise,
        curvature,
        tried["gain"],
        tried["loss"],
        costs,
        run.saturations,
        run.changed,
        data.kind,
        run.steps,
        run.scores,
        (),
    )
    return replace(measured, findings=tuple(_judge(design, measured, tried, run)))


def _perturbed(design: Design, machine: Learner) -> tuple[int, int]:
    """Return the number of perturbed quantities, and the number of perturbations whose estimates one update sums.

    Where parts of the network take turns, the numbers are those of the part that has the fewest perturbations of each quantity.
    """
    if design.spec.in_parts:
        return design.spec.round.scarcest(machine.update_period)
    repeats = getattr(machine.estimator, "repeats", 1)
    return machine.estimator.quantities, max(1, machine.update_period // machine.perturbation_period) * machine.batch * repeats


# -- Measurements -----------------------------------------------------------------------------------------------------


def _odd_and_even(machine: Learner, theta: np.ndarray, samples: Samples) -> tuple[float, float]:
    """Return the root mean square of the odd part of C̃ at +Δ, and the ratio of the even part's to it."""
    more: Any = {"repeats": 1, "apart": False} | ({"groups": None} if hasattr(machine.estimator, "groups") else {"in_turn": 0})
    x, t = samples.records.astype(np.float64), samples.targets.astype(np.float64)
    sides = [
        replace(machine.estimator, two_sided=two_sided, **more).estimate(theta, x, t, 0).changes  # type: ignore[type-var]
        for two_sided in (False, True)
    ]
    odd, even = sides[1] / 2, sides[0] - sides[1] / 2
    scale = float(np.sqrt(np.mean(odd**2)))
    return scale, float(np.sqrt(np.mean(even**2))) / scale if scale else math.inf


def _noise_of_devices(design: Design, machine: Learner) -> float:
    """Return the standard deviation of C̃ by the noise of two cost measurements, on the scale of its odd part at +Δ."""
    sigma = dict(design.float_only.device).get("cost_noise", 0.0)
    return sigma * math.sqrt(2.0) / (2 if design.spec.two_sided else 1)


def _noise_of_formats(design: Design, raw: np.ndarray | None, samples: Samples) -> float:
    """Return the root mean square of the error of C̃ by number formats: fixed less float model, with the same signs."""
    from python_ref.fixed import cost
    from python_ref.fixed import network as fixed
    from python_ref.fixed.perturbation import SignSource
    from python_ref.floating import of_design

    spec = design.spec
    assert raw is not None
    theta, source = spec.formats.weight.to_real(raw), SignSource(spec)
    x_raw, t_raw = quantise(spec, samples)
    x, t = spec.formats.input.to_real(x_raw), spec.formats.activation.to_real(t_raw)
    delta, n_out, errors = 2.0**spec.perturbation.amplitude_log2, spec.network.n_out, []
    for number in range(min(len(x), 64)):
        s = spec.round.part_at(number).within(source.signs(number))
        sides = []
        for direction in (1, -1 if spec.two_sided else 0):
            _, y, _ = fixed.forward(spec, raw, x_raw[number], sign=s, direction=direction)
            (ideal,) = of_design.costs(spec, theta, x[[number]], t[[number]], direction * delta * s)
            sides.append(spec.cost_format.to_real(cost.cost(y[-n_out:], t_raw[number])) - ideal)
        errors.append(float(sides[0] - sides[1]) / (2 if spec.two_sided else 1))
    return float(np.sqrt(np.mean(np.square(errors))))


def _judged(data: Data) -> Samples:
    """Return the training samples whose mean cost is measured."""
    return data.train.take(data.order.indices(0, min(4 * SAMPLES, len(data.train))))


def _try_updates(design: Design, machine: Learner, problem: Measurable, theta: np.ndarray, data: Data) -> dict[str, float]:
    """Compute updates at θ, and measure their effect on the mean cost of the training samples; θ itself does not change.

    Returns
    -------
    dict of str to float
        "cosine", "gain" and "loss" as in :class:`Diagnosis`; "before", the mean cost at θ; and "reach", the share of it by which all
        updates of a run would lower the cost if each had this gain.
    """
    from python_ref.floating import devices
    from python_ref.floating.estimators import Exact

    exact = Exact(network(design), objective(design)) if has_slopes(design) else None
    period = machine.update_period
    taken = min(period, MOST_STEPS)
    count = max(1, -(-taken // machine.sample_period)) * machine.batch
    memory, cosines, gains, losses = machine.optimizer.initial(theta), [], [], []
    order, rate = data.order, machine.optimizer.rate
    judged = _judged(data)
    x_all, t_all = judged.records.astype(np.float64), judged.targets.astype(np.float64)
    before = float(problem.costs(theta, x_all, t_all).mean())
    overall = exact.estimate(theta, x_all, t_all, 0).gradient if exact else None
    for update in range(UPDATES):
        total = np.zeros_like(theta)
        chosen = data.train.take(order.indices(update * count, count))
        for n in range(taken):
            first = n // machine.sample_period * machine.batch
            x = chosen.records[first : first + machine.batch].astype(np.float64)
            t = chosen.targets[first : first + machine.batch].astype(np.float64)
            number = iter(range(1 << 30))
            step = update * taken + n

            def instrument(costs: np.ndarray, step: int = step, number: Any = number) -> np.ndarray:
                return devices.measure(machine.devices, costs, step, next(number))

            total += machine.estimator.estimate(theta, x, t, step // machine.perturbation_period, None, instrument).gradient
        if exact:
            true = exact.estimate(theta, chosen.records.astype(np.float64), chosen.targets.astype(np.float64), 0).gradient
            cosines.append(float(total @ true / max(np.linalg.norm(total) * np.linalg.norm(true), 1e-300)))
        total *= period / taken
        if machine.normalise:
            from python_ref.floating.estimators import normalised

            total = normalised(total / period, period, machine.estimator.quantities)
        move, memory = machine.optimizer.step(memory, total, update, rate)
        if update < UPDATES // 2 and memory:
            continue  # the state of the optimiser has to settle first
        with np.errstate(all="ignore"):
            after = float(problem.costs(theta - move, x_all, t_all).mean())
        slope = float(overall @ move) if overall is not None else before - after
        gains.append(slope)
        losses.append(after - before + slope)
    gain, loss = float(np.mean(gains)), float(np.mean(losses))
    loss = loss if math.isfinite(loss) else math.inf
    updates = design.compare.steps / period
    return {
        "cosine": float(np.mean(cosines)) if exact else math.nan,
        "gain": gain,
        "loss": loss,
        "before": before,
        "reach": updates * gain / before if before else math.inf,
    }


@dataclass(frozen=True)
class _FixedRun:
    """Results of a short run of the fixed model; see :class:`Diagnosis`. ``failure`` is "" unless the run failed, and ``lost_errors`` is
    the share of the errors of neurons that round to zero, NaN where there are none."""

    steps: int
    saturations: dict[str, float]
    changed: float
    scores: dict[str, float]
    failure: str
    lost_errors: float = math.nan


def _run_fixed(design: Design, raw: np.ndarray, data: Data) -> _FixedRun:
    """Run the fixed model for at least :data:`FIXED_STEPS` steps, and judge it."""
    from python_ref.fixed.fast import train
    from python_ref.fixed.machine import initial_state

    spec = design.spec
    period = spec.schedule.update_period
    steps = max(FIXED_STEPS, 2 * period) if period <= 20 * FIXED_STEPS else FIXED_STEPS
    found = train(spec, initial_state(spec, raw), *quantise(spec, data.train), data.order, steps)
    counted = dict(zip(COUNTERS, found.state.counters.tolist(), strict=True))
    shares = saturation_shares(spec, counted, found.evaluations)
    changed = counted["changed"] / counted["writes"] if counted["writes"] else math.nan
    final, start = (judge_fixed(spec, parameters, data) for parameters in (found.state.parameters, raw))
    failed, lost = failure(data, final.cost, start.cost, final.saturated), _lost_errors(design, raw, data)
    return _FixedRun(steps, shares, changed, data.kind.scores(final.answers), failed, lost)


def _lost_errors(design: Design, raw: np.ndarray, data: Data) -> float:
    """Return the share of the errors of neurons that round to zero though E is not zero, in the first presentations of the fixed model."""
    from python_ref.fixed.machine import initial_state, sample_number, step

    spec = design.spec
    if not spec.node:
        return math.nan
    state, measured, lost, ended, last = initial_state(spec, raw), 0, 0, 0, -1
    sample: tuple[np.ndarray, np.ndarray] | None = None
    for n in range(MOST_STEPS):
        number = sample_number(spec, n)
        if sample is None or number != last:
            inputs, targets = quantise(spec, data.train.take(data.order.indices(number, 1)))
            sample, last = (inputs[0], targets[0]), number
        state, observed = step(spec, state, sample)
        if spec.schedule.begins(n + 1):
            there = observed["error_sum"] != 0
            measured, lost = measured + int(there.sum()), lost + int((there & (observed["error"] == 0)).sum())
            ended += 1
        if ended == PRESENTATIONS:
            break
    return lost / measured if measured else math.nan


# -- Judgement --------------------------------------------------------------------------------------------------------


def _judge(design: Design, found: Diagnosis, tried: dict[str, float], run: _FixedRun) -> list[Finding]:
    """Return all findings, causes before their effects: a learning rate that diverges comes before the saturations that result."""
    rate = _judge_rate(design, found, tried) if found.signal and math.isfinite(found.curvature) else []
    errors = _judge_errors(design, run.lost_errors)
    formats = [*errors, *_judge_formats(design, found, zero=bool(errors))]
    rate_first = bool(errors) or _raises(found, tried)
    findings = [*_judge_amplitude(design, found), *(rate + formats if rate_first else formats + rate)]
    if run.failure and not findings:
        message, log2 = f"the fixed model diverged within {found.steps:,} steps: {run.failure}", design.spec.schedule.rate_at(0)
        findings = [Finding("learning rate", "schedule.learning_rate", message, f"Take learning_rate = {log2 - 2}.")]
    return findings


def _judge_amplitude(design: Design, found: Diagnosis) -> list[Finding]:
    """Return the findings on C̃: it is zero, mostly curvature, or buried in noise."""
    log2, key = design.spec.perturbation.amplitude_log2, "perturbation.amplitude"
    if not found.signal:
        message = f"C̃ is zero whatever is perturbed by 2^{log2}: no perturbation reaches the cost"
        remedy = "Take another network.seed or network.scale, or a hidden activation without a dead side."
        return [Finding("network", "network.scale", message, remedy)]
    findings = []
    if found.curvature > CURVED:
        down = max(1, math.ceil(math.log2(found.curvature / (CURVED / 2))))
        share = f"the part of C̃ that is curvature is {found.curvature:.2g} times the part that is slope"
        sided = "" if design.spec.two_sided else ' Or take difference = "two-sided", in which curvature cancels.'
        message = f"the amplitude 2^{log2} is too large: {share}"
        findings.append(Finding("amplitude", key, message, f'Take amplitude = "2^{log2 - down}".{sided}'))
    if found.noise and found.signal_to_noise < BURIED:
        findings.append(_buried(design, found))
    return findings


def _buried(design: Design, found: Diagnosis) -> Finding:
    """Return the finding on a C̃ below the noise. The remedy is a larger amplitude, or a longer mean if curvature limits the amplitude."""
    log2, period = design.spec.perturbation.amplitude_log2, design.spec.schedule.update_period
    up = math.ceil(math.log2(3 * BURIED / found.signal_to_noise))
    room = math.floor(math.log2(CURVED / found.curvature)) if found.curvature else 40
    cause = "noise changes" if design.float_only.requests else "the number formats change"
    ratio = f"C̃ is buried: {cause} it by {found.noise:.2g}, its signal is {found.signal:.2g}, a ratio of {found.signal_to_noise:.2g}"
    if up <= room:
        message = f"the amplitude 2^{log2} is too small. {ratio}"
        return Finding("amplitude", "perturbation.amplitude", message, f'Take amplitude = "2^{log2 + up}".')
    longer = period * min(1000, math.ceil((3 * BURIED / found.signal_to_noise) ** 2))
    halvings = math.ceil(math.log2(longer / period))
    remedy = f"Take update_period = {longer}, which averages noise out, and a learning_rate lower by {halvings}"
    if not design.float_only.requests:
        remedy += ", or more fraction bits in formats.activation, which are the noise"
    message = f"the integration time, update_period = {period}, is too short, and a larger amplitude would be curvature. {ratio}"
    return Finding("integration time", "schedule.update_period", message, f"{remedy}.")


def _judge_formats(design: Design, found: Diagnosis, *, zero: bool) -> list[Finding]:
    """Return the findings on number formats: values that saturate, and updates that round to nothing, unless they are ``zero`` before."""
    findings = []
    state = {
        variable.name: (variable.key, f"Give {variable.key} more integer bits, or take a smaller learning_rate.")
        for variable in design.spec.optimizer_state
    }
    for kind, share in sorted(found.saturations.items(), key=lambda item: -item[1]):
        if share > SATURATED.get(kind, 1e-4):
            key, remedy = (_CURES | state)[kind]
            findings.append(Finding("format", key, f"{100 * share:.2g} % of the casts of the kind {kind} saturate", remedy))
    weight, rounding = design.spec.formats.weight, design.spec.formats.weight_cast.rounding
    if not zero and (found.changed == 0 or (found.changed < LOST and rounding is not Rounding.STOCHASTIC)):
        lost = (
            f"only {100 * found.changed:.2g} % of the written parameters change: most"
            if found.changed
            else "no parameter ever changes: all"
        )
        message = f"{lost} updates are below the last place of formats.weight = {weight}"
        how = ' Or formats.rounding.weight = "stochastic", which is right on average.' if rounding is not Rounding.STOCHASTIC else ""
        remedy = f"Give formats.weight more fraction bits, or take a larger learning_rate.{how}"
        findings.append(Finding("format", "formats.weight", message, remedy))
    return findings


def _judge_errors(design: Design, lost: float) -> list[Finding]:
    """Return the finding on a format of errors in which most errors are zero, if it is so; ``lost`` is the share of those."""
    if not lost > LOST_ERRORS:  # NaN where there are no errors
        return []
    message = f"{100 * lost:.0f} % of the errors of neurons round to zero in formats.error = {design.spec.error_format}"
    return [Finding("format", "formats.error", message, "Give formats.error more fraction bits, or take a larger learning_rate.")]


def _raises(found: Diagnosis, tried: dict[str, float]) -> bool:
    """Return whether the learning rate is too large: single updates raise the cost, and runs at this rate do not refute it."""
    if not (found.loss > max(found.gain, 0.0) and found.loss > 1e-12):
        return False
    costs, log2 = found.run_costs, max(found.run_costs, default=0)
    return len(costs) < 2 or costs[log2] >= tried["before"] or is_worse(costs)


def _judge_rate(design: Design, found: Diagnosis, tried: dict[str, float]) -> list[Finding]:
    """Return the finding on a learning rate that is too large or too small, if it is either."""
    log2, key = design.spec.schedule.rate_at(0), "schedule.learning_rate"
    if _raises(found, tried):
        ratio = found.loss / found.gain if found.gain > 0 else math.inf
        down = min(12, max(1, math.ceil(math.log2(ratio)) + 1)) if math.isfinite(ratio) else 6
        trade = f"an update lowers the mean cost by {found.gain:.2g} by slope, and raises it by {found.loss:.2g} by curvature and noise"
        if is_worse(found.run_costs):
            down, trade = log2 - min(found.run_costs, key=found.run_costs.__getitem__), f"{trade}; {shown(found.run_costs)}"
        remedy = f"Take learning_rate = {log2 - down}; or a longer update_period, with a lower rate, for fewer and better updates."
        return [Finding("learning rate", key, f"the learning rate 2^{log2} is too large: {trade}", remedy)]
    if tried["reach"] < 0.2 and found.loss < found.gain / 8:
        up = min(30, max(1, math.floor(math.log2(min(found.gain / max(found.loss, 1e-300), 2.0**32) / 4))))
        share = f"{100 * max(tried['reach'], 0):.2g} %"
        steps = f"{design.compare.steps:,} steps (compare.steps)"
        message = f"the learning rate 2^{log2} is too small: at the initial slope, {steps} lower the cost by {share}"
        return [Finding("learning rate", key, message, f"Take learning_rate = {log2 + up}, or more steps.")]
    return []
