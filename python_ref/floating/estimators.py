"""Estimation of a gradient from changes of the cost: weight and node perturbation of batches.

The result is the *unbiased* estimate mean(s·C̃/Δ) of the gradient of the mean cost of a batch. Other conventions relate to it exactly:

- 2023 (McCaughan et al., APL Machine Learning 1, 026118): perturbations of one vector norm, Δ = norm/√D, and G/norm², which is our estimate
  over D. **Their η is D times ours.**
- 2025 (Oripov et al., APL Machine Learning 3, 026107): an update as long as the true gradient, whatever D and the number K of
  perturbations in the mean. The mean of K estimates is longer than the gradient by √((D + K − 1)/K), since their noise adds to it;
  :func:`normalised` removes this factor. **Their η is that of back-propagation; ours times that factor.** In their symbols the factor is
  √D·√(1/D + 1/K − 1/(D·K)).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, ClassVar, Protocol

import numpy as np

from python_ref.floating.codes import Code, RandomCode
from python_ref.floating.passes import Block, ForwardPass, Measurable, NodePass, Objective, total
from python_ref.floating.stochastic import Random

__all__ = [
    "Base",
    "Differentiable",
    "Estimate",
    "Estimator",
    "Exact",
    "NodePerturbation",
    "OwnNoise",
    "Parts",
    "WeightPerturbation",
    "cosine_expected",
    "length_expected",
    "normalised",
]

Instrument = Callable[[np.ndarray], np.ndarray]
"""Function from a cost to its measured value (shapes (B,)), which may add noise."""


@dataclass(frozen=True, eq=False)
class Base:
    """Current unperturbed measurement: C of each sample (shape (B,)), the trace and the outputs of the pass if available, and the
    thresholds of nodes with random outputs."""

    costs: np.ndarray
    trace: Any = None
    outputs: np.ndarray | None = None
    thresholds: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Estimate:
    """Result of a measurement.

    Attributes
    ----------
    gradient : array, shape (P,)
        Estimated gradient, mean(s·C̃/Δ).
    changes : array
        C̃ of each perturbation; C₊ − C₋ for a two-sided difference.
    cost : float
        Mean of C: unperturbed for a one-sided difference, over both sides for a two-sided one.
    base : Base or None
        Measurement that a later step with the same samples and θ may reuse; None for a two-sided difference.
    evaluations : int
        Number of forward passes of one sample.
    """

    gradient: np.ndarray
    changes: np.ndarray
    cost: float
    base: Base | None
    evaluations: int


Parts = tuple[tuple[int, int], ...]
"""For each part, the number of consecutive blocks that are perturbed together in a pass of their own, and the repeats per sample."""


class Estimator(Protocol):
    """Estimator of a gradient."""

    @property
    def parameters(self) -> tuple[Block, ...]:
        """Blocks of which θ consists."""
        ...

    @property
    def quantities(self) -> int:
        """Number D of perturbed quantities."""
        ...

    @property
    def amplitude(self) -> float:
        """Amplitude Δ of the perturbations."""
        ...

    def estimate(
        self,
        theta: np.ndarray,
        inputs: np.ndarray,
        targets: np.ndarray,
        p: int,
        base: Base | None = None,
        instrument: Instrument | None = None,
    ) -> Estimate:
        """Estimate the gradient with perturbation number ``p`` at θ (shape (P,)), on a batch (shapes (B, n_in) and (B, n_out)).

        ``base`` is the unperturbed measurement of the same batch and θ, if available; ``instrument`` is applied to each measured cost.
        """
        ...


def cosine_expected(perturbations: int, quantities: int) -> float:
    """Return √(K/(K + D − 1)), the cosine between the gradient and the mean of K random perturbations of one example."""
    return sqrt(perturbations / (perturbations + quantities - 1))


def length_expected(perturbations: int, quantities: int) -> float:
    """Return √((D + K − 1)/K), the length of the mean of K random perturbations relative to the gradient."""
    return 1.0 / cosine_expected(perturbations, quantities)


def normalised(mean: np.ndarray, perturbations: int, quantities: int) -> np.ndarray:
    """Return the mean of K estimates, scaled to the length of the true gradient (Oripov et al. 2025; see the module's docstring)."""
    return mean * mean.dtype.type(cosine_expected(perturbations, quantities))


def _check(amplitude: float, repeats: int) -> None:
    if not amplitude > 0:
        raise ValueError(f"Amplitude must be positive, not {amplitude!r}")
    if repeats < 1:
        raise ValueError(f"Perturbations per sample must be positive, not {repeats!r}")


def _same(costs: np.ndarray) -> np.ndarray:
    return costs


class _Readings:
    """Costs measured in one step, and their one-sided or two-sided differences; the two cases differ only in this class.

    Parameters
    ----------
    amplitude, two_sided : float, bool
        Perturbation amplitude Δ, and whether differences are C₊ − C₋ instead of C₊ − C₀.
    instrument : callable or None
        Function that is applied to every measured cost.
    """

    def __init__(self, amplitude: float, two_sided: bool, instrument: Instrument | None) -> None:
        self.sides = (1.0, -1.0) if two_sided else (1.0,)
        self._span = len(self.sides) * amplitude
        self._instrument = instrument or _same
        self._changes: list[np.ndarray] = []
        self._costs: list[np.ndarray] = []
        self.evaluations = 0

    def read(self, costs: np.ndarray) -> np.ndarray:
        """Measure the cost of each sample."""
        self.evaluations += len(costs)
        return self._instrument(costs)

    def known(self, base: Base) -> Base:
        """Count the current unperturbed measurement among the costs of this step."""
        self._costs.append(base.costs)
        return base

    def slope(self, cost: Callable[[float], np.ndarray], origin: np.ndarray | None, *, mean: bool = False) -> np.ndarray:
        """Return C̃/Δ of each sample for C̃ = C₊ − ``origin``, or C̃/2Δ for C̃ = C₊ − C₋.

        ``cost`` returns the costs with +sΔ (argument 1.0) or −sΔ (−1.0). C̃ is recorded per sample, or as its mean if ``mean`` is set.
        """
        found = [self.read(cost(side)) for side in self.sides]
        if len(found) == 2:
            self._costs += found
            origin = found[1]
        assert origin is not None
        change = found[0] - origin
        self._changes.append(change.mean(keepdims=True) if mean else change)
        return change / self._span

    def estimate(self, gradient: np.ndarray, base: Base | None) -> Estimate:
        """Return the estimate of the step from what was measured."""
        kept = None if len(self.sides) == 2 else base
        return Estimate(gradient, np.concatenate(self._changes), float(np.mean(np.concatenate(self._costs))), kept, self.evaluations)


@dataclass(frozen=True)
class _Part:
    """Quantities ``start`` … ``stop − 1``, which are perturbed together ``repeats`` times."""

    start: int
    stop: int
    repeats: int


def _parts(blocks: Sequence[Block], apart: bool, repeats: int, parts: Parts | None) -> list[_Part]:
    """Return the parts that are perturbed in passes of their own: all quantities, each block, or those of ``parts``."""
    together = parts or ([(1, repeats)] * len(blocks) if apart else [(len(blocks), repeats)])
    ends = [0, *np.cumsum([block.size for block in blocks]).tolist()]
    lasts = np.cumsum([count for count, _ in together]).tolist()
    return [_Part(ends[last - count], ends[last], often) for last, (count, often) in zip(lasts, together, strict=True)]


def _whose_turn(parts: Sequence[_Part], estimate: int) -> _Part:
    """Return the part of an estimate, perturbed once: in a round, every part once, then again those that are perturbed twice, and so on."""
    turns = [part for repeat in range(max(part.repeats for part in parts)) for part in parts if repeat < part.repeats]
    return replace(turns[estimate % len(turns)], repeats=1)


def _check_parts(parts: Parts | None, blocks: int) -> None:
    if parts is not None and (sum(count for count, _ in parts) != blocks or min(min(part) for part in parts) < 1):
        raise ValueError(f"Parts must be positive and have {blocks} blocks together, as the network has, not {parts!r}")


@dataclass(frozen=True)
class NodePerturbation:
    """Perturb pre-activations; the error at a node is C̃·s/Δ, and the gradient of a synapse is that error times the synapse's input.

    A batch takes three matrix products: the unperturbed pass; the perturbed one, which does not repeat the first layer's product; and the
    correlation. A repeat takes only one more perturbed pass, since one product correlates all repeats (one-sided). Each sample has
    its own perturbation: sample b of perturbation p, repeat r, takes row (p·repeats + r)·B + b of the code.

    Parameters
    ----------
    network : NodePass
        Network whose pre-activations are perturbed and whose parameters are learned.
    objective : Objective
        Cost function applied to the network's outputs and the targets.
    code : Code
        Source of the perturbation vectors s, a row per perturbation.
    amplitude : float
        Amplitude Δ, the factor on s in each perturbation; positive.
    two_sided : bool
        Whether C̃ is C₊ − C₋, with the inputs of synapses from the + pass, instead of C₊ − C₀, with those of the unperturbed pass.
    apart : bool
        Whether each layer is perturbed in a pass of its own, as in 2025, so that other layers add no noise; otherwise all at once.
    repeats : int
        Perturbations of each sample; all of them use one unperturbed pass.
    shared : bool
        Whether all samples of a batch take the same row, as in a machine that has one perturbation per step.
    skip_dead_nodes : bool
        Whether nodes on which the output does not depend are not perturbed: a ReLU below zero, a pixel that a pool does not select.
        They do not contribute to C̃, and contribute only noise to the gradient. The activation of a node suffices to decide this.
    parts : Parts or None
        Replacement for ``apart`` and ``repeats``: layers with few nodes may be perturbed separately from those with many, and more often,
        so that the noise of the latter does not mask them.
    in_turn : int
        Number of consecutive estimates that take one row of the code where the parts take turns, as in hardware: each estimate perturbs one
        part, once. 0 perturbs all parts in every estimate.

    Raises
    ------
    ValueError
        If a number is not positive, or the network cannot determine on which nodes its output does not depend.
    """

    network: NodePass
    objective: Objective
    code: Code = RandomCode()
    amplitude: float = 0.01
    two_sided: bool = False
    apart: bool = False
    repeats: int = 1
    shared: bool = False
    skip_dead_nodes: bool = False
    parts: Parts | None = None
    in_turn: int = 0

    def __post_init__(self) -> None:
        _check(self.amplitude, self.repeats)
        _check_parts(self.parts, 0 if self.parts is None else len(self.network.nodes))
        if self.in_turn < 0:
            raise ValueError(f"Estimates that take one row must be none or positive, not {self.in_turn!r}")
        if self.skip_dead_nodes and not hasattr(self.network, "awake"):
            raise ValueError(f"A network must have a method awake for nodes to be spared, and {type(self.network).__name__} has none")

    @property
    def parameters(self) -> tuple[Block, ...]:
        """Blocks of the network's parameters."""
        return self.network.parameters

    @property
    def quantities(self) -> int:
        """Number N of the network's nodes."""
        return total(self.network.nodes)

    def _spread(self, row: int, start: int, values: np.ndarray, out: np.ndarray) -> None:
        """Compute out[i, b] += values[b]·s of node ``start + i``, with sample b's row, or the one that all samples share."""
        if self.shared:
            s = np.zeros((len(out), 1), out.dtype)
            self.code.spread(row, self.quantities, start, np.ones(1, out.dtype), s)
            out += s * values
        else:
            self.code.spread(row, self.quantities, start, values, out)

    def estimate(
        self,
        theta: np.ndarray,
        inputs: np.ndarray,
        targets: np.ndarray,
        p: int,
        base: Base | None = None,
        instrument: Instrument | None = None,
    ) -> Estimate:
        """Estimate the gradient; see :class:`Estimator`."""
        readings, batch, kind = _Readings(self.amplitude, self.two_sided, instrument), len(inputs), theta.dtype
        base = base or self._unperturbed(theta, inputs, targets, readings)
        if not self.two_sided:
            readings.known(base)
        awake = self.network.awake(base.trace).T if self.skip_dead_nodes else None  # type: ignore[attr-defined]
        gradient, errors = np.zeros(total(self.parameters), kind), np.zeros((self.quantities, batch), kind)
        parts = _parts(self.network.nodes, self.apart, self.repeats, self.parts)
        if self.in_turn:
            parts, p = [_whose_turn(parts, p)], p // self.in_turn
        most = max(part.repeats for part in parts)
        for repeat in range(most):
            row = (p * most + repeat) * (1 if self.shared else batch)
            for start, stop, often in ((part.start, part.stop, part.repeats) for part in parts if repeat < part.repeats):
                shift = np.zeros((self.quantities - start, batch), kind)  # the nodes before ``start`` are not affected
                self._spread(row, start, np.full(batch, self.amplitude, kind), shift[: stop - start])
                if awake is not None:
                    shift *= awake[start:]
                trace = self._probe(theta, inputs, targets, row, shift, base, readings, errors[start:stop], batch * often)
                if self.two_sided:  # each + pass has inputs of its own; one-sided, one product correlates all passes
                    gradient += self._correlate(trace, errors, awake, start)
                    errors[start:stop] = 0
        if not self.two_sided:
            gradient = self._correlate(base.trace, errors, awake, 0)
        return readings.estimate(gradient, base)

    def _probe(
        self,
        theta: np.ndarray,
        inputs: np.ndarray,
        targets: np.ndarray,
        row: int,
        shift: np.ndarray,
        base: Base,
        readings: _Readings,
        errors: np.ndarray,
        often: int,
    ) -> Any:
        """Add s·C̃/Δ, divided by ``often``, to the errors of a part (shape (nodes, B)); return the trace of the + pass.

        ``shift`` is that of all nodes from the part's first one on (shape (n, B)), with row number ``row`` of the code.
        """
        slopes, trace = self._slopes(theta, inputs, targets, shift, base, readings)
        self._spread(row, self.quantities - len(shift), (slopes / often).astype(theta.dtype), errors)
        return trace

    def _unperturbed(self, theta: np.ndarray, inputs: np.ndarray, targets: np.ndarray, readings: _Readings) -> Base:
        """Run the unperturbed pass.

        Its cost is measured only if a difference needs it; its evaluations also count if its activations determine the nodes to spare.
        """
        outputs, trace = self.network.trace(theta, inputs)
        if not self.two_sided:
            return Base(readings.read(self.objective.costs(outputs, targets)), trace, outputs)
        readings.evaluations += len(inputs) if self.skip_dead_nodes else 0
        return Base(np.empty(0), trace, outputs)

    def _slopes(
        self, theta: np.ndarray, inputs: np.ndarray, targets: np.ndarray, shift: np.ndarray, base: Base, readings: _Readings
    ) -> tuple[np.ndarray, Any]:
        """Return C̃/Δ of each sample, and the trace of the + pass."""
        traces = []

        def cost(side: float) -> np.ndarray:
            outputs, trace = self.network.trace(theta, inputs, shift.T if side > 0 else -shift.T, base.trace)
            traces.append(trace)
            return self.objective.costs(outputs, targets)

        return readings.slope(cost, None if self.two_sided else base.costs), traces[0]

    def _correlate(self, trace: Any, errors: np.ndarray, awake: np.ndarray | None, start: int) -> np.ndarray:
        """Return the sum of error times input for the nodes from ``start`` on."""
        return self.network.correlate(trace, (errors[start:] if awake is None else errors[start:] * awake[start:]).T)


@dataclass(frozen=True)
class OwnNoise(NodePerturbation):
    """Node perturbation of a network with stochastic layers, whose nodes learn from their own noise.

    A perturbation draws the outputs of those of their nodes again whose s is not 0, and adds nothing to their pre-activations. Their error
    is m·C̃/2, m the difference of the two counts of draws: the mean of m·C̃ is 2·p·(1 − p)·∂C/∂p for the probability p, which for the
    logistic function is 2·∂C/∂z. The other nodes have sΔ and s·C̃/Δ, as in :class:`NodePerturbation`, whose parameters this class has.
    """

    network: Random

    def _unperturbed(self, theta: np.ndarray, inputs: np.ndarray, targets: np.ndarray, readings: _Readings) -> Base:
        thresholds = self.network.draw(len(inputs), theta.dtype)
        outputs, trace = self.network.trace(theta, inputs, thresholds=thresholds)
        costs = np.empty(0) if self.two_sided else readings.read(self.objective.costs(outputs, targets))
        return Base(costs, trace, outputs, thresholds)

    def _probe(
        self,
        theta: np.ndarray,
        inputs: np.ndarray,
        targets: np.ndarray,
        row: int,
        shift: np.ndarray,
        base: Base,
        readings: _Readings,
        errors: np.ndarray,
        often: int,
    ) -> Any:
        network, first, thresholds, traces = self.network, self.quantities - len(shift), base.thresholds, []
        assert thresholds is not None
        stochastic = network.draws[first:, None] > 0
        which = np.vstack((np.zeros((first, shift.shape[1]), bool), shift != 0))
        added = np.where(stochastic, 0, shift)

        def cost(side: float) -> np.ndarray:
            outputs, trace = network.trace(theta, inputs, side * added.T, base.trace, network.redraw(thresholds, which))
            traces.append(trace)
            return self.objective.costs(outputs, targets)

        slopes = readings.slope(cost, None if self.two_sided else base.costs)
        plus, minus = (network.counts(trace)[first:] for trace in (traces[0], traces[-1] if self.two_sided else base.trace))
        own = np.where(shift != 0, plus - minus, 0) * (len(readings.sides) * self.amplitude / 2)
        errors += (np.where(stochastic, own, np.sign(shift)) * slopes / often)[: len(errors)].astype(errors.dtype)
        return traces[0]


@dataclass(frozen=True)
class WeightPerturbation:
    """Perturb every parameter; its gradient is C̃·s/Δ. It requires only a cost, not a network.

    Signs are regenerated when parameters are moved and again when C̃ is correlated; a compiled loop generates random ones from 127 words
    at a time.

    Parameters
    ----------
    problem : Measurable
        Problem whose cost is measured.
    code : Code
        Source of the perturbation vectors s, a row per perturbation.
    amplitude : float
        Amplitude Δ, the factor on s in each perturbation; positive.
    two_sided : bool
        Whether C̃ is C₊ − C₋ instead of C₊ − C₀.
    apart : bool
        Whether each block of parameters is perturbed in a pass of its own; otherwise all at once.
    repeats : int
        Perturbations of each group; all of them use one unperturbed measurement.
    groups : int or None
        Number of groups of consecutive samples into which a batch is divided, each with its own perturbation: group g of perturbation p,
        repeat r, takes row (p·repeats + r)·groups + g of the code. None makes each sample a group.
    parts : Parts or None
        Replacement for ``apart`` and ``repeats``, as in :class:`NodePerturbation`.
    """

    problem: Measurable
    code: Code = RandomCode()
    amplitude: float = 0.01
    two_sided: bool = False
    apart: bool = False
    repeats: int = 1
    groups: int | None = 1
    parts: Parts | None = None

    def __post_init__(self) -> None:
        _check(self.amplitude, self.repeats)
        _check_parts(self.parts, 0 if self.parts is None else len(self.parameters))
        if self.groups is not None and self.groups < 1:
            raise ValueError(f"Number of groups must be positive, not {self.groups!r}")

    @property
    def parameters(self) -> tuple[Block, ...]:
        """Blocks of the problem's parameters."""
        return self.problem.parameters

    @property
    def quantities(self) -> int:
        """Number P of parameters."""
        return total(self.problem.parameters)

    def estimate(
        self,
        theta: np.ndarray,
        inputs: np.ndarray,
        targets: np.ndarray,
        p: int,
        base: Base | None = None,
        instrument: Instrument | None = None,
    ) -> Estimate:
        """Estimate the gradient; see :class:`Estimator`."""
        readings, batch = _Readings(self.amplitude, self.two_sided, instrument), len(inputs)
        groups = batch if self.groups is None else min(self.groups, batch)
        if base is None and not self.two_sided:
            base = Base(readings.read(self.problem.costs(theta, inputs, targets)))
        if base is not None:
            readings.known(base)
        gradient, moved, ends = np.zeros_like(theta), theta.copy(), np.linspace(0, batch, groups + 1).astype(int)
        parts = _parts(self.parameters, self.apart, self.repeats, self.parts)
        most = max(part.repeats for part in parts)
        for repeat in range(most):
            for group, own in enumerate(map(slice, ends[:-1], ends[1:])):
                row = (p * most + repeat) * groups + group
                origin = None if base is None else base.costs[own]
                for start, stop, often in ((part.start, part.stop, part.repeats) for part in parts if repeat < part.repeats):
                    part = slice(start, stop)

                    def cost(side: float, row: int = row, own: slice = own, part: slice = part) -> np.ndarray:
                        self.code.add(row, self.quantities, part.start, side * self.amplitude, theta[part], moved[part])
                        return self.problem.costs(moved, inputs[own], targets[own])

                    slopes = readings.slope(cost, origin, mean=True)
                    value = float(slopes.sum(dtype=np.float64)) / (batch * often)
                    self.code.add(row, self.quantities, start, value, gradient[part], gradient[part])
                    if len(parts) > 1:
                        moved[part] = theta[part]
        return readings.estimate(gradient, base)


class Differentiable(ForwardPass, Protocol):
    """A network for which back-propagation is defined."""

    def gradient(self, theta: np.ndarray, inputs: np.ndarray, slopes: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂/∂θ of ΣC over the samples (shape (P,)) and the outputs (shape (B, n_out)); ``slopes`` returns ∂C/∂y of outputs."""
        ...


@dataclass(frozen=True)
class Exact:
    """Estimator that returns the true gradient of a batch's mean cost by back-propagation, for comparison.

    Parameters
    ----------
    network : Differentiable
        Network through which the error is propagated back.
    objective : Objective
        Cost function applied to the network's outputs and the targets.
    """

    network: Differentiable
    objective: Objective

    amplitude: ClassVar[float] = 0.0
    quantities: ClassVar[int] = 1

    @property
    def parameters(self) -> tuple[Block, ...]:
        """Blocks of the network's parameters."""
        return self.network.parameters

    def estimate(
        self,
        theta: np.ndarray,
        inputs: np.ndarray,
        targets: np.ndarray,
        p: int,
        base: Base | None = None,
        instrument: Instrument | None = None,
    ) -> Estimate:
        """Compute the gradient; see :class:`Estimator`. ``changes`` is empty, and backward passes are not counted."""
        gradient, outputs = self.network.gradient(theta, inputs, lambda y: self.objective.slopes(y, targets))
        cost = float(self.objective.costs(outputs, targets).mean(dtype=np.float64))
        return Estimate(gradient / theta.dtype.type(len(inputs)), np.empty(0), cost, None, len(inputs))
