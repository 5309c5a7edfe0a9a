"""The compiled machine equals the plain one, bit for bit."""

import random
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_ref.fixed import blocks, fast
from python_ref.fixed.cost import correct, cost
from python_ref.fixed.kernels import round_by_adding
from python_ref.fixed.machine import State, initial_state, sample_number, step
from python_ref.fixed.network import forward
from python_ref.fixed.plan import FLOOR, HALF_EVEN, HALF_UP, working_type
from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed, Rounding, round_raw
from python_ref.spec.optimizer import ShiftAdam
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.probes import COUNTERS, probes
from python_ref.spec.schedule import Schedule
from tests.python_ref.fixed.test_node import CHOICES
from tests.support.designs import random_design, random_parameters, random_samples


def assert_same(fast_state: State, state: State, note: object) -> None:
    for name in ("seed", "steps", "updates", "due"):
        assert getattr(fast_state, name) == getattr(state, name), (name, note)
    for name in ("parameters", "gradient", "error_sum", "counters"):
        np.testing.assert_array_equal(getattr(fast_state, name), getattr(state, name), err_msg=f"{name} {note}")
    assert fast_state.optimizer.keys() == state.optimizer.keys()
    for name, values in state.optimizer.items():
        np.testing.assert_array_equal(fast_state.optimizer[name], values, err_msg=f"{name} {note}")
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


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_every_observable_equals_the_plain_machine(seed):
    rng = random.Random(seed)
    check(random_design(rng, max_lanes=rng.choice((4, 10, 140))), rng, 25)


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_presentations_equal_the_plain_machine(seed):
    """Longer ones, which blocks of steps and loads cut anywhere."""
    rng = random.Random(seed)
    check(random_design(rng, max_layers=4, max_period=9, kinds=[Kind.NODE], parts=0.3), rng, 40)


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_sparse_layers_equal_the_plain_machine(seed):
    rng = random.Random(seed)
    check(random_design(rng, max_layers=4, max_lanes=rng.choice((2, 4, 10)), parts=0.3, sparse=1.0), rng, 25)


@pytest.mark.slow
@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_many_more_equal_the_plain_machine(seed):
    rng = random.Random(seed)
    check(random_design(rng, max_layers=4, max_period=9, max_lanes=rng.choice((4, 10, 140))), rng, 40)


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_of_node_perturbation_equals_the_plain_machine(name):
    check(CHOICES[name], random.Random(name), 25)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("rounding", Rounding)
def test_layers_that_fill_vector_registers_equal_the_plain_machine(kind, rounding):
    """More synapses and neurons than a vector has elements, and some beyond; one weight in ten is near the end of its range."""
    rng = random.Random(f"{kind.value} {rounding.value}")
    formats = Formats(
        weight=Fixed(True, 2, 10),
        weight_cast=Cast(rounding),
        activation_cast=Cast(rounding if rounding is not Rounding.STOCHASTIC else Rounding.HALF_UP),
    )
    hidden = rng.choice((Activation.LEAKY_RELU, Activation.HARD_SIGMOID))
    network = Network((101, 37, 19), hidden, Activation.IDENTITY)
    spec = DesignSpec(
        "wide",
        network,
        Perturbation(kind),
        Schedule(((0, -5),), 1, 5, 1 if kind is Kind.WEIGHT else 5),
        formats=formats,
        hardware=Hardware(6),
    )
    check(spec, rng, 25)


@pytest.mark.parametrize("bits", range(12, 18))
@pytest.mark.parametrize("rounding", [Rounding.STOCHASTIC, Rounding.HALF_UP])
def test_products_around_32_bits_equal_the_plain_machine(bits, rounding):
    """Errors at the end of 16 bits times inputs of so many: up to 30 bits, the compiled loops compute in 32."""
    formats = Formats(Fixed(False, 0, bits), Fixed(True, 4, 12), Fixed(True, 4, 6), error=Fixed(True, 1, 15), weight_cast=Cast(rounding))
    network, schedule = Network((3, 4), output=Activation.IDENTITY), Schedule(((0, -1),), 1, 2, 2)
    spec = DesignSpec("products", network, Perturbation(Kind.NODE, amplitude_log2=-3), schedule, formats=formats, hardware=Hardware(2))
    assert (working_type(spec) is np.int32) == (bits < 15)
    rng = random.Random(bits)
    check(spec, rng, 20)
    state, (inputs, targets) = initial_state(spec, random_parameters(rng, spec)), random_samples(rng, spec, 6)
    saturated = fast.train(spec, state, inputs, targets, np.arange(20) % 6, 20).state.counters[COUNTERS.index("saturated_error")]
    assert saturated > 0


def test_a_sum_rounds_as_the_definition_says():
    """What the loops without branches add before they drop bits, at the ends of 63 bits and around every half."""
    for rounding, number in ((Rounding.FLOOR, FLOOR), (Rounding.HALF_UP, HALF_UP), (Rounding.HALF_EVEN, HALF_EVEN)):
        for dropped in (1, 2, 3, 8, 30, 61, 62, 63):
            added, even = round_by_adding(dropped, number)
            half = 1 << dropped - 1
            for value in {
                end + near for end in (-(1 << 62), 0, (1 << 62) - 1, half, -half, 3 * half, -3 * half) for near in (-2, -1, 0, 1, 2)
            }:
                if -(1 << 62) <= value < 1 << 62:
                    wanted = int(round_raw(value, dropped, rounding))
                    assert value + added + (even & value >> dropped) >> dropped == wanted, (rounding, dropped, value)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_wide_formats_equal_the_plain_machine(seed):
    """From 32 bits on, the widest that a memory may have, the parameters are kept in 64. The square of such a G has more than 63."""
    rng = random.Random(seed)
    spec = random_design(rng, max_size=4)
    while isinstance(spec.optimizer, ShiftAdam):
        spec = random_design(rng, max_size=4)
    forms = replace(spec.formats, weight=Fixed(True, 6, 26), gradient=Fixed(True, 2, 30), cost_change=Fixed(True, 4, 12))
    forms = replace(forms, input=Fixed(True, 2, 6))
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
        monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
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


@pytest.mark.parametrize("seed", range(12))
def test_evaluation_equals_single_passes(seed):
    rng = random.Random(seed)
    spec = random_design(rng)
    parameters, (inputs, targets) = random_parameters(rng, spec), random_samples(rng, spec, 30)
    outputs = np.stack([forward(spec, parameters, x)[1][-spec.network.n_out :] for x in inputs])
    accuracy, mean = fast.evaluate(spec, parameters, inputs, targets)
    assert accuracy == np.mean(correct(spec, outputs, targets))
    assert mean == pytest.approx(float(spec.cost_format.to_real(cost(outputs, targets)).mean()), rel=1e-12)


def test_products_beyond_float64_are_exact():
    """Sums of |a·b| up to 2⁵³, which BLAS holds, and beyond, where it would drop the last bits."""
    for width in (30, 52, 53, 54, 55, 56, 60, 63):
        low, high = (1 << (width - 2)) - 3, (1 << (width - 2)) - 1
        a, b = np.array([[low, high], [high, high], [-high, 1 - low]]), np.array([[1, 1], [1, -1]])
        expected = [[int(x) * int(p) + int(y) * int(q) for p, q in b.T] for x, y in a]
        assert fast.exact_matmul(a, b, width).tolist() == expected, width


def test_the_curve_says_what_happened():
    rng = random.Random(8)
    spec = random_design(rng)
    spec = replace(spec, schedule=replace(spec.schedule, sample_period=2))
    state, (inputs, targets) = initial_state(spec, random_parameters(rng, spec)), random_samples(rng, spec, 6)
    order, reported, plain, rows = np.arange(60) % 6, [], state, []
    result = fast.train(spec, state, inputs, targets, order, 50, record_every=20, evaluation=(inputs, targets), progress=reported.append)
    seen: list[tuple[int, int]] = []
    evaluations = 0
    for n in range(50):
        before, sample = plain.counters[2], (inputs[order[n // 2]], targets[order[n // 2]])
        baseline = plain.due or n % 2 == 0 or n % spec.schedule.update_period == 0 or (spec.two_sided and not spec.node)
        plain, observed = step(spec, plain, sample)
        evaluations += 1 + baseline + (spec.two_sided and spec.node)
        if n % 2 == 0:
            seen.append((plain.counters[2] - before, int(observed["cost"][0])))
        if n + 1 in (20, 40, 50):
            right, costs = np.array(seen).T
            online = right.mean(), float(spec.cost_format.to_real(costs).mean())
            rows.append((n + 1, evaluations, plain.counters[3], *online, *fast.evaluate(spec, plain.parameters, inputs, targets)))
            seen = []
    assert reported == [20, 40, 50]
    assert result.evaluations == evaluations
    np.testing.assert_allclose([getattr(result.curve, column.name) for column in fields(fast.Curve)], np.array(rows).T, rtol=1e-12)


def test_a_run_stops_when_it_is_good_enough():
    rng = random.Random(8)
    spec = random_design(rng)
    state, (inputs, targets) = initial_state(spec, random_parameters(rng, spec)), random_samples(rng, spec, 6)
    result = fast.train(spec, state, inputs, targets, np.arange(60) % 6, 50, record_every=20, evaluation=(inputs, targets), until=0.0)
    assert result.state.steps == 20
    assert result.curve.steps.tolist() == [20]


def test_arrays_that_do_not_fit_are_refused():
    rng = random.Random(9)
    spec = random_design(rng)
    state, (inputs, targets) = initial_state(spec, random_parameters(rng, spec)), random_samples(rng, spec, 6)
    with pytest.raises(ValueError, match=r"^Inputs must be of shape \(6, \d+\), not "):
        fast.train(spec, state, np.hstack((inputs, inputs)), targets, np.zeros(10), 5)
    with pytest.raises(ValueError, match=r"^Targets must be of shape \(6, \d+\), not "):
        fast.train(spec, state, inputs, targets[:5], np.zeros(10), 5)
    for order in (np.full(50, 6), np.full(50, -1), np.zeros(1)):
        with pytest.raises(ValueError, match=r"^Order must name a sample from 0 to 5 for each of the numbers "):
            fast.train(spec, state, inputs, targets, order, 49)
