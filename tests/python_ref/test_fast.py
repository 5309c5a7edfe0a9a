"""The compiled machine equals the plain one, bit for bit."""

import random
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_ref import fast
from python_ref.batch import batchable
from python_ref.machine import State, initial_state, sample_number, step
from python_ref.spec.design import DesignSpec, Hardware
from python_ref.spec.number import Fixed
from python_ref.spec.perturbation import Kind
from python_ref.spec.probes import probes
from tests.designs import random_design, random_parameters, random_samples


def assert_same(fast_state: State, state: State, note: object) -> None:
    for name in ("seed", "steps", "updates", "due"):
        assert getattr(fast_state, name) == getattr(state, name), (name, note)
    for name in ("parameters", "gradient", "momentum", "counters"):
        np.testing.assert_array_equal(getattr(fast_state, name), getattr(state, name), err_msg=f"{name} {note}")
    np.testing.assert_array_equal(fast_state.baseline.preactivation, state.baseline.preactivation, err_msg=str(note))
    np.testing.assert_array_equal(fast_state.baseline.activation, state.baseline.activation, err_msg=str(note))
    assert fast_state.baseline.cost == state.baseline.cost, note
    assert fast_state.signature == state.signature, note


def check(spec: DesignSpec, rng: random.Random, steps: int) -> None:
    state = initial_state(spec, random_parameters(rng, spec), seed=rng.randrange(1 << 63))
    inputs, targets = random_samples(rng, spec, 6)
    order = np.array([rng.randrange(6) for _ in range(sample_number(spec, steps) + 1)])
    whole = fast.train(spec, state, inputs, targets, order, steps, signatures=True)
    blocks: list[dict[str, np.ndarray]] = []
    half = fast.train(spec, state, inputs, targets, order, steps // 2, record_every=rng.randint(1, 7), observe=blocks.append)
    loaded = rng.random() < 0.5
    between = half.state.with_load() if loaded else half.state
    rest = fast.train(spec, between, inputs, targets, order, steps - steps // 2, observe=blocks.append)
    shown = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    assert list(shown) == [probe.name for probe in probes(spec)]
    plain = state
    for n in range(steps):
        index = order[sample_number(spec, n)]
        if loaded and n == steps // 2:
            plain = plain.with_load()
        plain, observed = step(spec, plain, (inputs[index], targets[index]))
        for name, values in observed.items():
            np.testing.assert_array_equal(shown[name][n], values, err_msg=f"step {n}, {name} of {spec}")
    assert_same(rest.state, plain, spec)
    if not loaded:
        assert_same(whole.state, plain, spec)
        np.testing.assert_array_equal(whole.signatures, shown["signature"] if spec.hardware.signature else np.empty((0, 2)))


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_every_observable_equals_the_plain_machine(seed):
    rng = random.Random(seed)
    check(random_design(rng, max_lanes=rng.choice((4, 10, 140))), rng, 25)


@pytest.mark.parametrize("seed", range(5))
def test_wide_formats_equal_the_plain_machine(seed):
    """Beyond 32 bits the parameters are kept in 64."""
    rng = random.Random(seed)
    spec = random_design(rng, max_size=4)
    forms = replace(spec.formats, weight=Fixed(True, 6, 28), gradient=None, cost_change=Fixed(True, 4, 12), input=Fixed(True, 2, 6))
    rates = tuple((n, rate - 6) for n, rate in spec.schedule.learning_rate)
    spec = replace(spec, formats=replace(forms, activation=Fixed(True, 3, 8)), schedule=replace(spec.schedule, learning_rate=rates))
    check(spec, rng, 25)


def test_blocks_leave_no_seam(monkeypatch):
    rng = random.Random(3)
    spec = random_design(rng)
    state, (inputs, targets) = initial_state(spec, random_parameters(rng, spec)), random_samples(rng, spec, 6)
    order = np.arange(300) % 6
    whole = fast.train(spec, state, inputs, targets, order, 300)
    for size in (1, 100, 3000):
        monkeypatch.setattr(fast, "BLOCK_BYTES", size)
        assert_same(fast.train(spec, state, inputs, targets, order, 300).state, whole.state, size)


def test_signatures_that_were_left_out_are_not_made_up():
    rng = random.Random(4)
    spec = random_design(rng, signature=True)
    state, (inputs, targets) = initial_state(spec, random_parameters(rng, spec)), random_samples(rng, spec, 6)
    order = np.arange(300) % 6
    unsigned = fast.train(spec, state, inputs, targets, order, 10).state
    assert unsigned.signature is None
    with pytest.raises(ValueError, match=r"^Signatures of the state must be known, "):
        fast.train(spec, unsigned, inputs, targets, order, 10, signatures=True)
    with pytest.raises(ValueError, match=r"^Signatures of the state must be known, "):
        step(spec, unsigned, (inputs[0], targets[0]))
    cleared = fast.train(spec, unsigned.with_clear(), inputs, targets, order, 10, signatures=True)
    assert cleared.state.signature == tuple(cleared.signatures[-1].tolist())


@pytest.mark.parametrize("seed", range(6))
def test_quiet_steps_at_once_leave_no_seam(monkeypatch, seed):
    rng = random.Random(seed)
    spec = replace(random_design(rng, kinds=[Kind.NODE], signature=False), hardware=Hardware(3, True, False))
    spec = replace(spec, schedule=replace(spec.schedule, update_period=40))
    assert batchable(spec)
    state, (inputs, targets) = initial_state(spec, random_parameters(rng, spec)), random_samples(rng, spec, 6)
    order = np.arange(400) % 6
    one_by_one = fast.train(spec, state, inputs, targets, order, 400)
    monkeypatch.setattr(fast, "QUIET_STEPS", 5)
    at_once = fast.train(spec, state, inputs, targets, order, 400)
    assert_same(at_once.state, one_by_one.state, spec)
    assert at_once.evaluations == one_by_one.evaluations
    for column in fields(fast.Curve):
        np.testing.assert_array_equal(getattr(at_once.curve, column.name), getattr(one_by_one.curve, column.name), err_msg=column.name)
