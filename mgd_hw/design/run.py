"""Training run that a design describes: raw parameters, samples, and the order of the samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mgd_hw.data import Data
from mgd_hw.design.description import Design
from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    from python_ref.trace import Run

__all__ = ["check_length", "run_of"]


def run_of(design: Design, data: Data, steps: int) -> Run:
    """Return the run of ``steps`` steps that a design describes: raw parameters, samples and their order.

    Raises
    ------
    Refusal
        If the run is longer than the period of the perturbation code.
    """
    from python_ref.datasets import quantise
    from python_ref.fixed.machine import sample_number
    from python_ref.parameters import initial_parameters, quantise_parameters
    from python_ref.trace import Run

    spec = design.spec
    check_length(design, steps)
    inputs, targets = quantise(spec, data.train)
    order = data.order.indices(0, sample_number(spec, steps - 1) + 1)
    parameters = quantise_parameters(spec, initial_parameters(spec))
    return Run(spec, parameters, inputs, targets, order, steps, spec.perturbation.seed)


def check_length(design: Design, steps: int) -> None:
    """Refuse a run in which the random signs repeat."""
    from python_ref.spec.design import code_period

    period = code_period(design.spec)
    if period is not None and steps > period:
        raise Refusal(
            f"the random signs repeat after {period} steps",
            "Take fewer steps.",
            file=design.path,
            key="--steps",
            value=steps,
        )
