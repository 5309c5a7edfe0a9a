"""From changes of the cost to a gradient: weight and node perturbation of batches.

What comes out is the *unbiased* estimate mean(s·C̃/Δ) of the gradient of the mean cost of a batch. Other conventions, exactly:

- 2023 (McCaughan et al., APL Machine Learning 1, 026118): perturbations of one vector norm, Δ = norm/√D, and G/norm², which is our estimate
  over D. **Their η is D times ours.**
- 2025 (Oripov et al., APL Machine Learning 3, 026107): an update as long as the true gradient whatever D and the number K of
  perturbations in the mean. The mean of K estimates is longer than the gradient by √((D + K − 1)/K), since their noise adds to it;
  :func:`normalised` takes that out. **Their η is back-propagation's; ours times that factor.** In their symbols the factor is
  √D·√(1/D + 1/K − 1/(D·K)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any, Protocol

import numpy as np

from python_ref.learning.codes import Code, RandomCode
from python_ref.learning.passes import Block, Measurable, NodePass, Objective, total

__all__ = ["Base", "Estimate", "Estimator", "NodePerturbation", "WeightPerturbation", "cosine_expected", "length_expected", "normalised"]

BLOCK_SIGNS = 1 << 16
"""Signs of parameters regenerated at once: the memory they take does not depend on the network."""

Instrument = Callable[[np.ndarray], np.ndarray]
"""What stands between a cost and its measured value (shapes (B,)); noise."""


@dataclass(frozen=True, eq=False)
class Base:
    """The unperturbed measurement in force: C of each sample (shape (B,)), the trace and outputs of the pass where they are known."""

    costs: np.ndarray
    trace: Any = None
    outputs: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Estimate:
    """What was measured in a step.

    Attributes
    ----------
    gradient : array, shape (P,)
        mean(s·C̃/Δ).
    changes : array
        C̃, one per perturbation; of a two-sided difference C₊ − C₋.
    cost : float
        Mean of C: unperturbed, or of both sides.
    base : Base or None
        What a later step with the same samples and θ may use; None where the difference is two-sided.
    evaluations : int
        Forward passes of one sample.
    """

    gradient: np.ndarray
    changes: np.ndarray
    cost: float
    base: Base | None
    evaluations: int


class Estimator(Protocol):
    """Measures a gradient."""

    @property
    def parameters(self) -> tuple[Block, ...]:
        """What θ consists of."""
        ...

    @property
    def quantities(self) -> int:
        """D, the perturbed quantities."""
        ...

    @property
    def amplitude(self) -> float:
        """Δ."""
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
        """Measure with perturbation number ``p`` at θ (shape (P,)), on a batch (shapes (B, n_in) and (B, n_out)).

        ``base`` is the unperturbed measurement of the same batch and θ, if it is known; ``instrument`` what each measured cost goes
        through.
        """
        ...


def cosine_expected(perturbations: int, quantities: int) -> float:
    """√(K/(K + D − 1)): cosine of the mean of K random perturbations of one example to its gradient."""
    return sqrt(perturbations / (perturbations + quantities - 1))


def length_expected(perturbations: int, quantities: int) -> float:
    """√((D + K − 1)/K): how much longer than the gradient the mean of K random perturbations is."""
    return 1.0 / cosine_expected(perturbations, quantities)


def normalised(mean: np.ndarray, perturbations: int, quantities: int) -> np.ndarray:
    """The mean of K estimates, as long as the true gradient (Oripov et al. 2025; see the head of this page)."""
    return mean * mean.dtype.type(cosine_expected(perturbations, quantities))


def _check(amplitude: float, repeats: int) -> None:
    if not amplitude > 0:
        raise ValueError(f"Amplitude must be positive, not {amplitude!r}")
    if repeats < 1:
        raise ValueError(f"Perturbations per sample must be positive, not {repeats!r}")


def _same(costs: np.ndarray) -> np.ndarray:
    return costs


@dataclass(frozen=True)
class NodePerturbation:
    """Perturb pre-activations; the error at a node is C̃·s/Δ, and a synapse's gradient that error times its own input.

    A batch costs three products: the unperturbed pass, the perturbed one, in which the first layer's product is not done again, and the
    correlation; a repeat costs no more than a perturbed pass, since one product correlates them all (one-sided). Each sample has
    its own perturbation: sample b of perturbation p, repeat r, takes row (p·repeats + r)·B + b of the code.

    Parameters
    ----------
    network : NodePass
        Network.
    objective : Objective
        Its cost.
    code : Code
        s.
    amplitude : float
        Δ.
    two_sided : bool
        C₊ − C₋, the inputs of synapses being those of the + pass; else C₊ − C₀, and those of the unperturbed pass.
    apart : bool
        Whether each layer is perturbed in a pass of its own, as in 2025, so that it sees no noise of others; else all at once.
    repeats : int
        Perturbations of each sample; one unperturbed pass serves them all.
    shared : bool
        Whether all samples of a batch take the same row, as a machine does that has one perturbation per step.
    """

    network: NodePass
    objective: Objective
    code: Code = RandomCode()
    amplitude: float = 0.01
    two_sided: bool = False
    apart: bool = False
    repeats: int = 1
    shared: bool = False

    def __post_init__(self) -> None:
        _check(self.amplitude, self.repeats)

    @property
    def parameters(self) -> tuple[Block, ...]:
        """The network's."""
        return self.network.parameters

    @property
    def quantities(self) -> int:
        """N, the network's nodes."""
        return total(self.network.nodes)

    def _shift(self, row: int, batch: int, kind: np.dtype) -> np.ndarray:
        """sΔ of a batch (shape (B, N)), stored node by node."""
        signs = self.code.rows(row, 1 if self.shared else batch, self.quantities)
        shift = np.empty((self.quantities, batch), kind)
        np.multiply(signs.T, kind.type(self.amplitude), out=shift, casting="unsafe")
        return shift.T

    def _parts(self, shift: np.ndarray) -> list[np.ndarray]:
        """The perturbations of as many passes: everything, or layer by layer; of the last nodes only, where the others are zero."""
        if not self.apart:
            return [shift]
        found, first = [], 0
        for block in self.network.nodes:
            alone = np.zeros((shift.shape[1] - first, shift.shape[0]), shift.dtype)
            alone[: block.size] = shift.T[first : first + block.size]
            found.append(alone.T)
            first += block.size
        return found

    def estimate(
        self,
        theta: np.ndarray,
        inputs: np.ndarray,
        targets: np.ndarray,
        p: int,
        base: Base | None = None,
        instrument: Instrument | None = None,
    ) -> Estimate:
        """See :class:`Estimator`."""
        read, batch, evaluations = instrument or _same, len(inputs), 0
        if base is None:
            outputs, trace = self.network.trace(theta, inputs)
            base = Base(np.empty(0) if self.two_sided else read(self.objective.costs(outputs, targets)), trace, outputs)
            evaluations += 0 if self.two_sided else batch
        gradient = np.zeros(total(self.parameters), theta.dtype)
        errors: np.ndarray | None = None
        changes, costs = [], [] if self.two_sided else [base.costs]
        for repeat in range(self.repeats):
            shift = self._shift((p * self.repeats + repeat) * (1 if self.shared else batch), batch, theta.dtype)
            for part in self._parts(shift):
                outputs, trace = self.network.trace(theta, inputs, part, base.trace)
                plus, origin, span = read(self.objective.costs(outputs, targets)), base.costs, self.amplitude
                evaluations += batch
                if self.two_sided:
                    origin = read(self.objective.costs(self.network.trace(theta, inputs, -part, base.trace)[0], targets))
                    span, evaluations = 2 * self.amplitude, evaluations + batch
                    costs += [plus, origin]
                change = plus - origin
                changes.append(change)
                scale = (change / (span * self.amplitude * batch * self.repeats)).astype(theta.dtype)  # part holds sΔ, not s
                part.T[...] *= scale
                if self.two_sided:
                    gradient += self.network.correlate(trace, part)
                elif errors is None:  # all of them see the same inputs: one product does
                    errors = part
                else:
                    errors[:, self.quantities - part.shape[1] :] += part
        if errors is not None:
            gradient = self.network.correlate(base.trace, errors)
        kept = None if self.two_sided else base
        return Estimate(gradient, np.concatenate(changes), float(np.mean(np.concatenate(costs))), kept, evaluations)


@dataclass(frozen=True)
class WeightPerturbation:
    """Perturb every parameter; its gradient is C̃·s/Δ. Works on anything that has a cost.

    Signs are regenerated, a block at a time, when parameters are moved and again when C̃ is correlated; no more than a block is ever held.

    Parameters
    ----------
    problem : Measurable
        What has a cost.
    code : Code
        s.
    amplitude : float
        Δ.
    two_sided : bool
        C₊ − C₋; else C₊ − C₀.
    apart : bool
        Whether each block of parameters is perturbed in a pass of its own; else all at once.
    repeats : int
        Perturbations of each group; one unperturbed measurement serves them all.
    groups : int or None
        Into how many groups of samples one after the other a batch is divided, each with its own perturbation: group g of perturbation p,
        repeat r, takes row (p·repeats + r)·groups + g of the code. None: each sample is a group.
    """

    problem: Measurable
    code: Code = RandomCode()
    amplitude: float = 0.01
    two_sided: bool = False
    apart: bool = False
    repeats: int = 1
    groups: int | None = 1

    def __post_init__(self) -> None:
        _check(self.amplitude, self.repeats)
        if self.groups is not None and self.groups < 1:
            raise ValueError(f"Number of groups must be positive, not {self.groups!r}")

    @property
    def parameters(self) -> tuple[Block, ...]:
        """The problem's."""
        return self.problem.parameters

    @property
    def quantities(self) -> int:
        """P, the parameters."""
        return total(self.problem.parameters)

    def _blocks(self, start: int, stop: int) -> list[slice]:
        return [slice(first, min(first + BLOCK_SIGNS, stop)) for first in range(start, stop, BLOCK_SIGNS)]

    def _move(self, theta: np.ndarray, row: int, direction: float, start: int, stop: int, moved: np.ndarray) -> np.ndarray:
        """θ + direction·Δ·s from ``start`` to ``stop``, into ``moved``."""
        delta = theta.dtype.type(direction * self.amplitude)
        for part in self._blocks(start, stop):
            signs = self.code.rows(row, 1, self.quantities, part.start, part.stop)[0]
            np.multiply(signs, delta, out=moved[part], casting="unsafe")
            moved[part] += theta[part]
        return moved

    def _correlate(self, gradient: np.ndarray, row: int, value: float, start: int, stop: int) -> None:
        for part in self._blocks(start, stop):
            signs = self.code.rows(row, 1, self.quantities, part.start, part.stop)[0]
            gradient[part] += signs * gradient.dtype.type(value)

    def _ranges(self) -> list[tuple[int, int]]:
        if not self.apart:
            return [(0, self.quantities)]
        ends = np.cumsum([block.size for block in self.problem.parameters]).tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))

    def estimate(
        self,
        theta: np.ndarray,
        inputs: np.ndarray,
        targets: np.ndarray,
        p: int,
        base: Base | None = None,
        instrument: Instrument | None = None,
    ) -> Estimate:
        """See :class:`Estimator`."""
        read, batch = instrument or _same, len(inputs)
        groups = batch if self.groups is None else min(self.groups, batch)
        evaluations, gradient, changes, costs = 0, np.zeros_like(theta), [], []
        if base is None and not self.two_sided:
            base, evaluations = Base(read(self.problem.costs(theta, inputs, targets))), batch
        if base is not None:
            costs.append(base.costs)
        ends = np.linspace(0, batch, groups + 1).astype(int)
        for repeat in range(self.repeats):
            for group, own in enumerate(map(slice, ends[:-1], ends[1:])):
                row = (p * self.repeats + repeat) * groups + group
                x, y = inputs[own], targets[own]
                for start, stop in self._ranges():
                    moved = self._move(theta, row, +1.0, start, stop, theta.copy())
                    plus, span = read(self.problem.costs(moved, x, y)), self.amplitude
                    evaluations += len(x)
                    if self.two_sided:
                        origin = read(self.problem.costs(self._move(theta, row, -1.0, start, stop, moved), x, y))
                        span, evaluations = 2 * self.amplitude, evaluations + len(x)
                        costs += [plus, origin]
                    else:
                        assert base is not None
                        origin = base.costs[own]
                    change = plus - origin
                    self._correlate(gradient, row, float(change.sum(dtype=np.float64)) / (span * batch * self.repeats), start, stop)
                    changes.append(change.mean(keepdims=True))
        kept = None if self.two_sided else base
        return Estimate(gradient, np.concatenate(changes), float(np.mean(np.concatenate(costs))), kept, evaluations)
