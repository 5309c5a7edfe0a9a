"""The tally of writes, against a count of what the one-page model shows step by step."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import pytest

from python_ref.fixed import fast, machine
from python_ref.fixed.tally import REASONS, Tally
from python_ref.spec.design import Cast, DesignSpec
from python_ref.spec.number import Rounding
from python_ref.spec.optimizer import Momentum
from python_ref.spec.perturbation import Kind, LfsrCode, SequentialCode, WalshCode
from python_ref.spec.schedule import Difference, Schedule
from tests.support.node_designs import node_design

NODE = node_design((3, 4, 2), SequentialCode(), 2, (1, 6, 6))


def weight_design(code: object, periods: tuple[int, int, int] = (1, 1, 1), *, two_sided: bool = False, rate: int = -6) -> DesignSpec:
    """A small design of weight perturbation."""
    difference = Difference.TWO_SIDED if two_sided else Difference.ONE_SIDED
    perturbation = replace(NODE.perturbation, kind=Kind.WEIGHT, code=code)
    return replace(NODE, perturbation=perturbation, schedule=Schedule(((0, rate),), *periods, difference))


NEAREST = replace(NODE, formats=replace(NODE.formats, weight_cast=Cast(Rounding.HALF_EVEN)))
DESIGNS = {
    "node, each neuron": NODE,
    "node, nearest": NEAREST,
    "node, random, two-sided": node_design((3, 4, 2), LfsrCode(), 2, (1, 4, 4), two_sided=True),
    "node, samples change between updates": node_design((3, 4, 2), WalshCode(), 2, (1, 2, 4)),
    "node, momentum": node_design((3, 4, 2), SequentialCode(), 2, (1, 6, 6), optimizer=Momentum(2)),
    "node, updates within a sample": node_design((3, 4, 2), LfsrCode(), 2, (1, 8, 2)),
    "weight, random": weight_design(LfsrCode()),
    "weight, two-sided": weight_design(WalshCode(), two_sided=True),
    "weight, one at a time": weight_design(SequentialCode(), rate=-2),
    "weight, slow": weight_design(LfsrCode(), rate=-12),
    "weight, a sum": weight_design(LfsrCode(), (1, 2, 4)),
}
STEPS = 48


@dataclass
class Counted:
    """What is counted from a trace: changes of each parameter, and the reasons of the values that stay."""

    changes: np.ndarray
    unchanged: Counter[str] = field(default_factory=Counter)


def samples(spec: DesignSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Initial parameters, and samples of which many inputs are 0."""
    random = np.random.default_rng(7)
    inputs = random.integers(0, 64, (5, spec.network.n_in)) * random.integers(0, 2, (5, spec.network.n_in))
    targets = random.integers(-128, 128, (5, spec.network.n_out))
    targets[0] = 0
    return random.integers(-250, 250, spec.network.n_parameters), inputs, targets, np.arange(STEPS) % 5


def reason(spec: DesignSpec, seen: dict[str, np.ndarray], x: np.ndarray, n: int, layer: int, o: int, k: int, i: int) -> str:
    """The reason why parameter i stays, which is that of input k (0 for the bias) of neuron o of a layer."""
    if not spec.direct_update:
        return "gradient" if seen["gradient"][i] == 0 else "rounded"
    if not spec.node:
        places = spec.exponent_at(n) + spec.gradient_format.fraction_bits - spec.cost_change_format.fraction_bits
        sent = math.floor(Fraction(int(seen["cost_change"][0])) * Fraction(2) ** places)
        return "error" if sent == 0 else "unperturbed" if seen["sign"][i] == 0 else "rounded"
    first = [0, *np.cumsum([each.n_out for each in spec.network.layers]).tolist()]
    if seen["error"][first[layer] + o] == 0:
        return "error"
    operands = x if layer == 0 else seen["activation"][0][first[layer - 1] : first[layer]]
    return "input" if k > 0 and operands[k - 1] == 0 else "rounded"


def counted(spec: DesignSpec, raw: np.ndarray, inputs: np.ndarray, targets: np.ndarray, order: np.ndarray) -> Counted:
    """Count by the observables of each step."""
    state, found = machine.initial_state(spec, raw), Counted(np.zeros(len(raw), np.int64))
    for n in range(STEPS):
        sample = order[n // spec.schedule.sample_period]
        after, seen = machine.step(spec, state, (inputs[sample], targets[sample]))
        if (n + 1) % spec.schedule.update_period == 0:
            i = 0
            for number, layer in enumerate(spec.network.layers):
                for o in range(layer.n_out):
                    for k in range(layer.n_in + 1):
                        if after.parameters[i] != state.parameters[i]:
                            found.changes[i] += 1
                        else:
                            found.unchanged[reason(spec, seen, inputs[sample], n, number, o, k, i)] += 1
                        i += 1
        state = after
    return found


@pytest.mark.parametrize("name", DESIGNS)
def test_a_tally_is_what_a_trace_shows(name: str) -> None:
    spec = DESIGNS[name]
    raw, inputs, targets, order = samples(spec)
    wanted, tally = counted(spec, raw, inputs, targets, order), Tally.begun(spec, raw)
    state, stops = machine.initial_state(spec, raw), (13, STEPS)  # the second run continues the tally of the first
    for stop in stops:
        state = fast.train(spec, state, inputs, targets, order, stop - state.steps, tally=tally).state
    np.testing.assert_array_equal(tally.changes, wanted.changes)
    assert dict(zip(REASONS, tally.unchanged.tolist(), strict=True)) == {each: wanted.unchanged[each] for each in REASONS}
    assert tally.changes.sum() + tally.unchanged.sum() == state.updates * spec.network.n_parameters
    assert tally.changes.max() > 0 and tally.unchanged.sum() > 0


def test_every_reason_is_met() -> None:
    met = Counter[str]()
    for spec in DESIGNS.values():
        met += counted(spec, *samples(spec)).unchanged
    assert met.keys() == set(REASONS)


def test_a_run_without_a_tally_is_the_same() -> None:
    for spec in (NODE, DESIGNS["weight, a sum"]):
        raw, inputs, targets, order = samples(spec)
        start = machine.initial_state(spec, raw)
        plain = fast.train(spec, start, inputs, targets, order, STEPS)
        tallied = fast.train(spec, start, inputs, targets, order, STEPS, tally=Tally.begun(spec, raw))
        np.testing.assert_array_equal(plain.state.parameters, tallied.state.parameters)
        np.testing.assert_array_equal(plain.state.counters, tallied.state.counters)
        np.testing.assert_array_equal(plain.state.gradient, tallied.state.gradient)
