"""Diagnosis by runs, of a network with state or with stochastic neurons.

It tells what the probes measure, which neurons take no part, and whether the learning rate is too large.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.common import style
from mgd_hw.common.progress import Progress
from mgd_hw.common.results import Result, plain
from mgd_hw.data import Data
from mgd_hw.data.kinds import Kind
from mgd_hw.design.description import Design
from mgd_hw.design.float_model import opened, start
from mgd_hw.learn.divergence import failure, saturation_shares
from mgd_hw.learn.findings import Finding
from mgd_hw.learn.judging import judge_fixed
from mgd_hw.learn.rates import is_worse, run_costs, shown
from python_ref.datasets import quantise
from python_ref.fixed.narrowing import narrow
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.design import DesignSpec
from python_ref.spec.layers import Lif
from python_ref.spec.probes import COUNTERS

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["SeriesDiagnosis", "diagnose_series", "silent_advice", "silent_outputs"]

SAMPLES = 64
"""Number of training samples whose probes are measured."""
JUDGED = 512
"""Largest number of training samples whose mean cost compares learning rates."""
STEPS = 4_000
"""Least number of steps that the fixed model runs."""
SILENT = 0.5
"""Share of the neurons of a spiking layer that may stay silent in all samples."""
UNMOVED = 0.5
"""Share of the probes that may leave the cost as it was."""
LOST = 0.5
"""Share of the errors that may round to zero."""
SATURATED = {"activation": 0.05, "state": 0.2, "cost_change": 0.01}
"""Share of casts that may be out of range, by kind; 1e-3 for the other kinds."""
_FORMATS = {"momentum": "optimizer.format", "update": "formats.weight"}


@dataclass(frozen=True)
class SeriesDiagnosis(Result):
    """What the fixed model of a network with state or with stochastic neurons measures at first, and what prevents it from learning.

    Attributes
    ----------
    design, source : str
        Name of the design, and a sentence on the origin of its data and their split.
    quantities, perturbations : int
        Number of perturbed quantities D, and number K of perturbations of one sample.
    unmoved : float
        Share of the probes of the first samples for which C̃ is 0.
    lost : float
        Share of the errors of their presentations that round to zero though E is not zero; in weight perturbation, of the gradients g
        though C̃ is not zero.
    rates : dict of str to float
        Mean number of spikes of a neuron in a frame, by the name of each spiking layer.
    silent : dict of str to float
        Share of the neurons of each spiking layer that spike in none of the samples.
    run_costs : dict of int to float
        Mean cost of training samples at the end of short runs of the float model, by log₂ of their learning rates, from the design's down.
    saturations : dict of str to float
        Share of casts that were out of range in the run, by kind.
    kind : Kind
        Kind of task, which judges the answers; in JSON its name, with the ``baseline`` of its measures.
    steps : int
        Number of steps that the fixed model ran.
    scores : dict of str to float
        Measures of the fixed model after these steps, by name.
    findings : tuple of Finding
        Causes that prevent learning, the most likely first; empty if none was found.
    """

    design: str
    source: str
    quantities: int
    perturbations: int
    unmoved: float
    lost: float
    rates: dict[str, float]
    silent: dict[str, float]
    run_costs: dict[int, float]
    saturations: dict[str, float]
    kind: Kind = field(repr=False)
    steps: int
    scores: dict[str, float]
    findings: tuple[Finding, ...]

    ALSO = ("good",)

    @property
    def good(self) -> bool:
        """Whether there are no findings."""
        return not self.findings

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tables "result", which has one row, and "findings", with one row per finding."""
        return {**super().tables(), "findings": [finding.to_json() for finding in self.findings]}

    def to_json(self) -> dict:
        """Return the fields as plain data, with the name and the baseline of the kind of task in place of the kind."""
        return {**super().to_json(), "kind": self.kind.name, "baseline": plain(self.kind.baseline)}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{style.escape(self.design)}[/bold]: {style.escape(self.source)}"
        table = style.table("measured at the initial parameters", "")
        table.add_row("perturbed quantities D, perturbations of a sample K", f"{self.quantities:,}, {self.perturbations:,}")
        table.add_row("probes that leave the cost as it was", style.percent(self.unmoved))
        table.add_row("errors of neurons, or gradients of weights, that round to zero", style.percent(self.lost))
        for name, rate in self.rates.items():
            table.add_row(f"{name}: spikes of a neuron in a frame", style.number(rate))
            table.add_row(f"{name}: silent neurons", style.percent(self.silent[name]))
        for log2, cost in self.run_costs.items():
            table.add_row(f"mean cost at the end of a short run at 2^{log2}", style.number(cost))
        yield table
        values, baseline = self.kind.describe(self.scores)
        yield f"The fixed model after {self.steps:,} steps: {values} ({style.escape(baseline)})"
        counted = ", ".join(f"{kind} {100 * share:.2g} %" for kind, share in self.saturations.items() if share)
        yield style.wrapped(f"Saturations: {counted or 'none'}")
        for finding in self.findings:
            advice = style.escape(f"{finding.message[:1].upper()}{finding.message[1:]}. {finding.remedy}")
            yield f"[bold]{style.escape(finding.what)}[/bold] ({style.escape(finding.key)}): {advice}"
        if not self.findings:
            yield style.wrapped("Nothing stands in the way of learning.")


def silent_outputs(spec: DesignSpec, answers: np.ndarray) -> list[int]:
    """Return the numbers of outputs that spike for none of the samples, from answers (shape (n, n_out)); none unless outputs spike."""
    if not isinstance(spec.network.layers[-1].kind, Lif):
        return []
    return [number for number, column in enumerate(answers.T) if not column.any()]


def diagnose_series(design: Design, data: Data, progress: Progress) -> SeriesDiagnosis:
    """Measure a design whose network has state, or stochastic neurons, on these samples, and return the measurements with the findings."""
    from python_ref.fixed.fast import train
    from python_ref.fixed.machine import initial_state

    spec, raw = design.spec, quantise_parameters(design.spec, initial_parameters(design.spec))
    progress.status("Measuring C̃.")
    unmoved, lost = _probes(design, raw, data)
    rates, silent = _spikes(spec, raw, data)
    progress.status("Comparing rates.")
    costs = _run_costs(design, raw, data)
    progress.status("Running the fixed model.")
    period = max(spec.schedule.sample_period, spec.schedule.update_period)
    steps = -(-STEPS // period) * period if period <= 20 * STEPS else STEPS
    found = train(spec, initial_state(spec, raw), *quantise(spec, data.train), data.order, steps)
    counted = dict(zip(COUNTERS, found.state.counters.tolist(), strict=True))
    shares = saturation_shares(spec, counted, found.evaluations)
    start, final = (judge_fixed(spec, parameters, data) for parameters in (raw, found.state.parameters))
    failed = failure(data, final.cost, start.cost, final.saturated)
    mute = silent_outputs(spec, final.answers)
    findings = tuple(_findings(design, unmoved, lost, silent, costs, shares, failed, mute))
    quantities = int(spec.unrolled.perturbed(spec.unrolled.frames).sum()) if spec.node else spec.quantities
    scores, perturbations = data.kind.scores(final.answers), _perturbations(spec)
    return SeriesDiagnosis(
        design.name, data.source, quantities, perturbations, unmoved, lost, rates, silent, costs, shares, data.kind, steps,
        scores, findings,
    )  # fmt: skip


def _perturbations(spec: DesignSpec) -> int:
    """Return the number K of perturbations of a sample: the steps of the longest presentation, or those that a sample stays."""
    return spec.longest_presentation if spec.node else spec.schedule.sample_period


def _probes(design: Design, raw: np.ndarray, data: Data) -> tuple[float, float]:
    """Return the share of the probes of the first samples whose C̃ is 0, and that of errors which round to zero though E does not.

    In weight perturbation, the errors are the gradients g, which all parameters receive, and C̃ takes the place of E.
    """
    from python_ref.fixed.fast import train
    from python_ref.fixed.machine import initial_state

    spec, changes, seen, there, gone = design.spec, list[np.ndarray](), 0, 0, 0

    def observe(block: dict[str, np.ndarray]) -> None:
        nonlocal seen, there, gone
        changes.append(block["cost_change"][:, 0])
        if spec.node:
            ends = np.array([spec.schedule.begins(n + 1) for n in range(seen, seen + len(changes[-1]))])
            measured, error = block["error_sum"][ends] != 0, block["error"][ends]
        else:
            source = spec.cost_change_format.scaled(spec.gradient_exponent_at(seen))
            measured, error = changes[-1] != 0, narrow(changes[-1], source, spec.gradient_format, spec.formats.gradient_cast)[0]
        there, gone = there + int(measured.sum()), gone + int((measured & (error == 0)).sum())
        seen += len(changes[-1])

    steps = min(SAMPLES * _perturbations(spec), 4 * STEPS)
    inputs, targets = quantise(spec, data.train)
    train(spec, initial_state(spec, raw), inputs, targets, data.order, steps, record_every=steps, observe=observe)
    return float(np.mean(np.concatenate(changes) == 0)), gone / there if there else 0.0


def _run_costs(design: Design, raw: np.ndarray, data: Data) -> dict[int, float]:
    """Return the mean cost of some training samples at the end of short runs, by log₂ of their rates; see :func:`run_costs`."""
    judged = data.train.take(data.order.indices(0, min(JUDGED, len(data.train))))
    with opened(design) as problem:
        theta = start(design, design.spec.network.initial.seed, raw)
        before = float(problem.costs(theta, judged.records, judged.targets).mean())
        return run_costs(design, problem, raw, data, judged, before)


def _spikes(spec: DesignSpec, raw: np.ndarray, data: Data) -> tuple[dict[str, float], dict[str, float]]:
    """Return the mean number of spikes of a neuron in a frame, and the share of silent neurons, of each spiking layer."""
    from python_ref.fixed.series import unroll

    if not any(isinstance(kind, Lif) for kind in spec.network.kinds):
        return {}, {}
    samples = data.train.take(data.order.indices(0, min(SAMPLES, len(data.train))))
    inputs, targets = quantise(spec, samples)
    rates, silent, frames = {}, {}, sum(spec.unrolled.length_of(words) for words in inputs)
    passes = [unroll(spec, raw, sample).activation for sample in zip(inputs, targets, strict=True)]
    for number, layer in enumerate(spec.network.layers):
        if isinstance(layer.kind, Lif):
            places = [spec.unrolled.first_evaluation(number, frame) for frame in range(spec.unrolled.frames)]
            counts = sum(activation[place : place + layer.n_out] for activation in passes for place in places)
            rates[f"layer {number + 1}"] = float(np.mean(counts)) / frames
            silent[f"layer {number + 1}"] = float(np.mean(counts == 0))
    return rates, silent


def _findings(
    design: Design,
    unmoved: float,
    lost: float,
    silent: dict[str, float],
    costs: dict[int, float],
    shares: dict[str, float],
    failed: str,
    mute: list[int],
) -> Iterator[Finding]:
    """Yield the causes that prevent learning."""
    spec = design.spec
    log2, rate = spec.perturbation.amplitude_log2, spec.schedule.rate_at(0)
    if is_worse(costs):
        message, best = f"the learning rate 2^{rate} is too large: {shown(costs)}", min(costs, key=costs.__getitem__)
        yield Finding("learning rate", "schedule.learning_rate", message, f"Take learning_rate = {best}.")
    if unmoved > UNMOVED:
        message = f"{100 * unmoved:.0f} % of the probes leave the cost as it was: they measure nothing"
        yield Finding("amplitude", "perturbation.amplitude", message, f'Take amplitude = "2^{log2 + 1}", or more.')
    for name, share in silent.items():
        if share > SILENT:
            message = f"{100 * share:.0f} % of the neurons of {name} never spike"
            yield Finding(
                "network", "network.scale", message, f"Take a network.scale above {spec.network.initial.scale:g}, say twice that."
            )
    if lost > LOST:
        what, key = ("errors of neurons", "formats.error") if spec.node else ("gradients", "formats.gradient")
        message = f"{100 * lost:.0f} % of the {what} round to zero"
        yield Finding("format", key, message, f"Take a larger learning rate, or more fraction bits in {key}.")
    if failed and not is_worse(costs):
        yield Finding("learning rate", "schedule.learning_rate", f"the run failed: {failed}", f"Take learning_rate = {rate - 2}.")
    for kind, share in shares.items():
        if share > SATURATED.get(kind, 1e-3):
            key = _FORMATS.get(kind, f"formats.{kind}")
            message = f"{100 * share:.2g} % of the casts of {kind} are out of range"
            yield Finding("format", key, message, f"Give {key} another integer bit, or take learning_rate = {rate - 1}.")
    if mute:
        yield Finding("network", "network.layers", *silent_advice(mute))


def silent_advice(mute: list[int]) -> tuple[str, str]:
    """Return what is to be said of outputs that never spike, as a clause, and the remedy, as a sentence."""
    listed = ", ".join(map(str, mute[:12])) + (", …" if len(mute) > 12 else "")
    outputs = f"output {listed} never spikes" if len(mute) == 1 else f"outputs {listed} never spike"
    remedy = 'End network.layers with a dense layer behind the spiking ones and write readout = "sum"; or raise network.scale.'
    return f"{outputs} for any judged sample, so that no probe moves the cost through it", remedy
