"""The outside of a learner as a process, and the training run of a learner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from mgd_hw.design.external import ExternalDesign
from python_ref.spec.error import Refusal, naming

if TYPE_CHECKING:
    from python_ref.floating.outside import Process
    from python_ref.spec.learner import LearnerSpec
    from python_ref.trace import LearnerRun

__all__ = ["ChipProcess", "learner_run", "opened_chip"]


class ChipProcess:
    """A process as the outside of a learner (:data:`python_ref.fixed.learner.Chip`), which takes real numbers and answers costs.

    A measurement is one request of the protocol of :mod:`python_ref.floating.outside`. Its parameters are the words as real numbers. It has
    a row of inputs for each cost word that is wanted, which is the index of the sample, and no targets. With node currents, the first
    request after an update has its errors, which the process applies before it measures.

    Parameters
    ----------
    spec : LearnerSpec
        Learner whose words and cost words the process takes and gives.
    process : Process
        Process that runs already, and is asked for costs.

    Attributes
    ----------
    words, clipped : int
        Number of cost words so far, and of those that ``formats.cost`` could not hold.
    errors : array of float64, shape (N,), or None
        Errors of node currents that the process gets with the next measurement.
    restored : str
        Weights that the process gets with the next measurement, as JSON; "" for none.
    """

    def __init__(self, spec: LearnerSpec, process: Process) -> None:
        self.spec = spec
        self.process = process
        self.words = self.clipped = 0
        self.errors: np.ndarray | None = None
        self.restored = ""

    def real_costs(self, parameters: np.ndarray, sample: int, count: int = 1, **more: object) -> np.ndarray:
        """Measure the cost of a sample with real parameters ``count`` times (float64, shape (count,)); ``more`` is for the process."""
        if self.restored:
            more["weights"] = json.loads(self.restored)
        errors, self.errors, self.restored = self.errors, None, ""
        return self.process.costs(parameters, np.full((count, 1), float(sample)), np.empty((count, 0)), errors, **more)

    def apply_real(self, errors: np.ndarray) -> None:
        """Keep the errors of node currents (float64, shape (N,)) for the next measurement, before which the process applies them."""
        self.errors = errors if self.errors is None else self.errors + errors

    def apply(self, errors: np.ndarray) -> None:
        """Keep raw errors of node currents for the next measurement, as :class:`~python_ref.fixed.learner.NodeChip` says."""
        self.apply_real(self.spec.node_error_format.to_real(errors))

    def keep(self, words: np.ndarray) -> str:
        """Return the weights of the chip as JSON, after all errors, or "" if the process does not tell them; it measures once with these
        raw words."""
        self.real_costs(self.spec.formats.weight.to_real(words), 0, keep=True)
        return "" if self.process.weights is None else json.dumps(self.process.weights)

    def restore(self, weights: str) -> None:
        """Have the process set weights that :meth:`keep` returned, before the next measurement; errors that it has not applied are void."""
        self.errors, self.restored = None, weights

    def sample_costs(self, parameters: np.ndarray, most: int) -> list[float]:
        """Measure the cost of each sample with real parameters, of at most so many: the mean of as many words as the learner takes."""
        outside = self.spec.outside
        samples, words = range(min(outside.samples, most)), 1 << outside.average
        return [float(np.mean(self.real_costs(parameters, sample, words))) for sample in samples]

    def __call__(self, words: np.ndarray, sample: int, count: int) -> list[int]:
        """Return the raw cost words of a measurement, the nearest to the process's costs."""
        form = self.spec.formats.cost
        raw = np.rint(self.real_costs(self.spec.formats.weight.to_real(words), sample, count) * 2.0**form.fraction_bits)
        self.words += count
        self.clipped += int(np.count_nonzero((raw < form.min) | (raw > form.max)))
        return [int(value) for value in np.clip(raw, form.min, form.max)]


@contextmanager
def opened_chip(design: ExternalDesign) -> Iterator[ChipProcess]:
    """Run the process of a design's outside within a block.

    Raises
    ------
    Refusal
        If the design file names none, if it cannot be started, or if it violates the protocol.
    """
    from python_ref.floating.outside import OutsideError, Process

    outside = design.outside()
    with (
        naming(design.path, key="external.command", value=" ".join(outside.command), of=OutsideError),
        Process(
            outside.arguments, outside.parameters, frames=outside.frames, timeout=outside.timeout, folder=design.path.parent.absolute()
        ) as process,
    ):
        yield ChipProcess(design.spec, process)


def learner_run(design: ExternalDesign, steps: int) -> LearnerRun:
    """Return the run of ``steps`` steps that the design of a learner describes.

    Raises
    ------
    Refusal
        If the run is longer than the period of the perturbation code.
    """
    from python_ref.parameters import initial_parameters, quantise_parameters
    from python_ref.spec.design import code_period
    from python_ref.trace import LearnerRun

    spec = design.spec
    period = code_period(spec)
    if period is not None and steps > period:
        reason = f"the random signs repeat after {period} steps"
        raise Refusal(reason, "Take fewer steps.", file=design.path, key="--steps", value=steps)
    return LearnerRun(spec, quantise_parameters(spec, initial_parameters(spec)), steps, spec.perturbation.seed)
