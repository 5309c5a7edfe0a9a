"""The whole algorithm: multiplexed gradient descent in raw integers, bit for bit what the hardware computes.

McCaughan et al., APL Machine Learning 1, 026118 (2023), describe weight perturbation, and Oripov et al., APL Machine Learning 3,
026107 (2025), node perturbation. The symbols are theirs: θ parameters, s signs, Δ amplitude, C cost, C̃ its change,
G the correlation of s with C̃, η the learning rate, τ_p, τ_x and τ_θ the periods of perturbation, sample and update.

A step of each machine is one page: :mod:`~python_ref.fixed.weight`, :mod:`~python_ref.fixed.node`, :mod:`~python_ref.fixed.series` and
:mod:`~python_ref.fixed.series_weight`.
"""

from __future__ import annotations

import numpy as np

from python_ref.fixed import node, series, series_weight, weight
from python_ref.fixed.state import COUNTER_LIMITS, Pass, Sample, State, initial_state, sample_number
from python_ref.spec.design import DesignSpec, MachineKind
from python_ref.spec.error import unknown

__all__ = ["COUNTER_LIMITS", "Pass", "Sample", "State", "initial_state", "sample_number", "step"]


_STEPS = {
    MachineKind.WEIGHT: weight.step,
    MachineKind.NODE: node.step,
    MachineKind.SERIES: series.step,
    MachineKind.SERIES_WEIGHT: series_weight.step,
}
"""Step of each machine."""


def step(spec: DesignSpec, state: State, sample: Sample) -> tuple[State, dict[str, np.ndarray]]:
    """Compute one training step.

    Parameters
    ----------
    spec : DesignSpec
        Design being simulated, with its network, schedule and formats.
    state : State
        State before the step; it is not modified.
    sample : (array of int64, array of int64)
        Current sample, which must stay the same until the schedule or ``state.due`` requires a new one.

    Returns
    -------
    (State, dict of arrays)
        The state after the step, and its observables, with the names, shapes and formats of ``probes(spec)``.
    """
    if spec.machine not in _STEPS:
        raise unknown("Machine", spec.machine, "python_ref.fixed.machine._STEPS")
    return _STEPS[spec.machine](spec, state, sample)
