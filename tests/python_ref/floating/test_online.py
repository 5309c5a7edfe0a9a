"""The compiled learner of a design against the oracle, and what it learns."""

import random
from dataclasses import dataclass, replace

import numpy as np
import pytest

from python_ref.datasets import SampleOrder, Samples, parity, xor
from python_ref.floating import learner, of_design
from python_ref.floating.of_design import evaluate
from python_ref.floating.online import block_length, has_rule, signs, train
from python_ref.parameters import initial_parameters
from python_ref.spec import perturbation
from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec
from python_ref.spec.network import Initialization, Network, Scheme
from python_ref.spec.optimizer import OPTIMIZERS, Momentum, Sgd
from python_ref.spec.perturbation import CODES, Kind, LfsrCode, Perturbation, SequentialCode, WalshCode, WalshGrayCode
from python_ref.spec.schedule import Difference, Schedule
from tests.support.designs import random_design
from tests.support.float_designs import FINE, design
from tests.support.float_oracle import correct, initial_state, step
from tests.support.float_oracle import signs as oracle_signs

KINDS, DIFFERENCES = tuple(Kind), tuple(Difference)


# -- The codes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_signs_are_the_oracle_s(code, kind):
    """Also from one block of random signs to the next."""
    spec = design(kind, code=code(), sizes=(5, 6, 4))
    for p in (*range(2 * spec.quantities + 3), block_length(spec) - 1, block_length(spec), 3 * block_length(spec) + 7):
        assert np.array_equal(signs(spec, 7, p), oracle_signs(spec, 7, p))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", [WalshCode(), WalshGrayCode(), SequentialCode()], ids=lambda code: code.name)
def test_orthogonal_codes_are_orthogonal_over_their_period(code, kind):
    spec = design(kind, code=code)
    length = code.period(spec.quantities)
    s = np.array([signs(spec, 1, p) for p in range(length)])
    norm = 1 if code.values == (0, 1) else length
    np.testing.assert_array_equal(s.T @ s, norm * np.eye(spec.quantities))
    np.testing.assert_array_equal([signs(spec, 1, p + length) for p in range(length)], s)


def test_walsh_is_sylvesters_matrix():
    """H(2n) = [[H, H], [H, −H]]; the quantities are its rows from 1 on."""
    spec = design(Kind.NODE, code=WalshCode(), sizes=(2, 3, 2))
    hadamard = np.ones((1, 1))
    while len(hadamard) <= spec.quantities:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    for p in range(2 * len(hadamard)):
        assert np.array_equal(signs(spec, 1, p), hadamard[1 : spec.quantities + 1, p % len(hadamard)])


def test_sequential_follows_the_hardware_order():
    spec = design(code=SequentialCode())
    for p in range(2 * spec.quantities):
        assert np.array_equal(signs(spec, 1, p), spec.layout.parameter_order == p % spec.quantities)


@pytest.mark.parametrize("kind", KINDS)
def test_random_signs_are_balanced_independent_and_seeded(kind):
    spec = design(kind, sizes=(5, 6, 4))
    n = 4000
    s = np.array([signs(spec, 7, p) for p in range(n)])
    assert set(np.unique(s)) == {-1.0, 1.0}
    for moment in (s.mean(axis=0), (s[1:] * s[:-1]).mean(axis=0), (s.T @ s / n)[np.triu_indices(spec.quantities, 1)]):
        assert np.abs(moment).max() < 5 / np.sqrt(n)
    assert not np.array_equal(s[:9], [signs(spec, 8, p) for p in range(9)])
    assert not np.array_equal(s[:9], [signs(spec, 7, block_length(spec) + p) for p in range(9)])


def test_signs_do_not_depend_on_the_order_of_access():
    spec = design(Kind.NODE)
    numbers = [0, 3 * block_length(spec), 1, block_length(spec), block_length(spec) - 1]
    once = [signs(spec, 1, p).copy() for p in numbers]
    assert all(np.array_equal(a, signs(spec, 1, p)) for a, p in zip(reversed(once), reversed(numbers), strict=True))


@dataclass(frozen=True)
class HalfCode(LfsrCode):
    """Signs 0 or 1, drawn."""

    name = "half"
    values = (0, 1)

    def signs(self, index, phase, drawn):
        return drawn.astype(np.int8)


def test_another_code_that_draws_has_independent_bits_and_its_own_signs(monkeypatch):
    monkeypatch.setitem(perturbation.CODES, "half", HalfCode)
    spec = design(Kind.NODE, code=HalfCode(), sizes=(5, 6, 4))
    s = np.array([signs(spec, 7, p) for p in range(40)])
    np.testing.assert_array_equal(s, [(1 - oracle_signs(spec, 7, p, "lfsr")) / 2 for p in range(40)])


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"^Inputs must be of shape \(4, 3\), not \(4, 2\)"):
        samples = xor()
        train(design(), np.zeros(26), samples.inputs, samples.targets, SampleOrder(4, False), 1)
    with pytest.raises(TypeError, match=r"^Code 'random' is unknown to python_ref\.spec\.perturbation\.CODES\."):
        signs(replace(design(), perturbation=replace(design().perturbation, code="random")), 1, 0)


# -- Against the oracle -----------------------------------------------------------------------------------------------


def assert_equal_runs(spec, samples, steps, *, record_every=None):
    theta = initial_parameters(spec, 2)
    order = SampleOrder(len(samples), True, 3)
    state = initial_state(spec, theta, 4)
    judged = []
    for n in range(steps):
        sample = order.indices(n // spec.schedule.sample_period, 1)[0]
        state, seen = step(spec, state, (samples.inputs[sample], samples.targets[sample]))
        if n % spec.schedule.sample_period == 0:
            judged.append((correct(seen["output"], samples.targets[sample]), seen["cost"][0]))
    result = train(spec, theta, samples.inputs, samples.targets, order, steps, 4, record_every=record_every)
    np.testing.assert_allclose(result.parameters, state.parameters, rtol=1e-9, atol=1e-9)
    assert (result.steps, result.evaluations, result.writes) == (steps, state.evaluations, state.writes)
    if record_every is None or record_every >= steps:
        return
    curve = result.curve
    judged_by = [-(-n // spec.schedule.sample_period) for n in curve.steps.tolist()]
    windows = [judged[a:b] for a, b in zip([0, *judged_by], judged_by, strict=False)]
    for row, window in enumerate(windows):
        if window:
            assert (curve.online_accuracy[row], curve.online_cost[row]) == pytest.approx(tuple(np.mean(window, axis=0)))
        else:
            assert np.isnan(curve.online_cost[row])


@pytest.mark.parametrize("optimizer", [Sgd(), Momentum(2)])
@pytest.mark.parametrize("periods", [(1, 1, 1), (1, 1, 4), (3, 2, 1), (2, 5, 3)])
@pytest.mark.parametrize("difference", DIFFERENCES)
@pytest.mark.parametrize("code", [code() for code in CODES.values()], ids=CODES)
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_equals_the_oracle(kind, code, difference, periods, optimizer):
    spec = design(kind, difference, code, (4, 3, 5, 2), Activation.SIGMOID, periods=periods, optimizer=optimizer, rate=((0, -7), (37, -9)))
    samples = Samples(parity(4).inputs, np.eye(2)[parity(4).labels])
    assert_equal_runs(spec, samples, 61, record_every=7)


COMPILED = (Sgd, *(optimizer for optimizer in OPTIMIZERS.values() if has_rule(optimizer())))
"""Optimisers whose rules the compiled loops have, plain descent twice."""


@pytest.mark.parametrize("seed", range(60))
def test_compiled_equals_the_oracle_for_any_design(seed):
    """Over every key of a design; rates small enough that a difference in the last place does not grow."""
    rng = random.Random(seed)
    activations = [function for function in Activation if function is not Activation.SIGN]
    spec = random_design(rng, activations=activations, optimizers=COMPILED, parts=1.0)
    spec = replace(
        spec,
        formats=FINE,
        schedule=replace(spec.schedule, learning_rate=tuple((n, -9 - i) for i, (n, _) in enumerate(spec.schedule.learning_rate))),
    )
    generator = np.random.default_rng(seed)
    inputs = generator.integers(0, 3, (6, spec.network.n_in)) / 2
    assert_equal_runs(spec, Samples(inputs, generator.random((6, spec.network.n_out))), 50)


def test_compiled_equals_the_oracle_across_blocks_of_signs():
    spec = design(sizes=(64, 64, 10), rate=-14)
    assert block_length(spec) < 60
    generator = np.random.default_rng(1)
    assert_equal_runs(spec, Samples(generator.random((5, 64)), generator.random((5, 10))), 125)


def test_sign_activation_runs():
    spec = design(Kind.NODE, hidden=Activation.SIGN, sizes=(2, 3, 1), amplitude_log2=-2, rate=-6)
    assert_equal_runs(spec, xor(), 40)


def test_a_run_stops_when_it_is_good_enough():
    spec = design(sizes=(2, 4, 1), output=Activation.SIGMOID, amplitude_log2=-6, rate=-4)
    samples, called = xor(), []
    result = train(
        spec,
        initial_parameters(spec, 1),
        samples.inputs,
        samples.targets,
        SampleOrder(4, False),
        50_000,
        1,
        evaluation=(samples.inputs, samples.targets),
        record_every=100,
        until=1.0,
        progress=called.append,
    )
    assert result.steps < 50_000
    assert result.curve.accuracy[-1] == 1.0 == evaluate(spec, result.parameters, samples.inputs, samples.targets)[0]
    assert called == result.curve.steps.tolist() == list(range(100, result.steps + 1, 100))


def test_no_steps():
    samples = xor()
    spec = design(sizes=(2, 4, 1))
    theta = initial_parameters(spec)
    result = train(spec, theta, samples.inputs, samples.targets, SampleOrder(4, False), 0)
    assert np.array_equal(result.parameters, theta)
    assert result.curve.steps.size == 0


# -- Learning ---------------------------------------------------------------------------------------------------------


def test_solves_xor():
    """2-4-1, weight perturbation: at least 9 of 10 seeds."""
    spec = design(sizes=(2, 4, 1), output=Activation.SIGMOID, amplitude_log2=-5, rate=-4)
    samples, solved = xor(), 0
    for seed in range(10):
        order = SampleOrder(4, False)
        result = train(spec, initial_parameters(spec, seed), samples.inputs, samples.targets, order, 15_000, seed)
        solved += evaluate(spec, result.parameters, samples.inputs, samples.targets)[0] == 1.0
    assert solved >= 9


def test_learns_digits(digits):
    """64-32-10, node perturbation: 200,000 steps are enough for 92 %, seed by seed."""
    network = Network((64, 32, 10), initial=Initialization(Scheme.HE))
    schedule = Schedule(((0, -10), (100_000, -12), (150_000, -13)))
    spec = DesignSpec("digits", network, Perturbation(Kind.NODE, amplitude_log2=-5), schedule)
    train_set, test_set = digits
    for seed in range(2):
        order = SampleOrder(len(train_set), True, seed)
        result = train(spec, initial_parameters(spec, seed), train_set.inputs, train_set.targets, order, 200_000, seed)
        assert evaluate(spec, result.parameters, test_set.inputs, test_set.targets)[0] >= 0.92


# -- Parts ------------------------------------------------------------------------------------------------------------


def in_parts(periods: tuple[int, int, int], difference: Difference = Difference.ONE_SIDED) -> DesignSpec:
    """A design whose probes perturb its first two layers once in a round, and the last one twice."""
    spec = design(Kind.NODE, difference, WalshCode(), (4, 5, 3, 2), amplitude_log2=-6, rate=-5, periods=periods)
    return replace(spec, perturbation=replace(spec.perturbation, parts=((2, 1), (1, 2))))


def started(spec: DesignSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters, and the inputs and targets of two samples."""
    rng = np.random.default_rng(3)
    return rng.normal(0, 0.5, spec.network.n_parameters), rng.random((2, 4)).astype(np.float32), rng.random((2, 2)).astype(np.float32)


@pytest.mark.parametrize("times", [1, 2])
def test_parts_take_turns(times):
    """By the definition, each step adds s·C̃/Δ·x at the synapses of its part alone."""
    spec = in_parts((times, 6, 12))
    (theta, inputs, targets), delta = started(spec), 2.0**spec.perturbation.amplitude_log2
    moved = theta.copy()
    for n in range(12):
        s = oracle_signs(spec, 1, n // times)
        s = np.where((np.arange(10) < 8) == (n % 3 == 0), s, 0.0)
        x, y = inputs[[n // 6]].astype(float), targets[[n // 6]].astype(float)
        plus, none = (of_design.costs(spec, theta, x, y, shift)[0] for shift in (delta * s, 0 * s))
        values, neuron, at = np.append(1.0, x), 0, 0
        for n_in, n_out in ((4, 5), (5, 3), (3, 2)):
            own = slice(at, at + n_out * (n_in + 1))
            moved[own] -= 2.0**-5 * (plus - none) / delta * np.outer(s[neuron : neuron + n_out], values).ravel()
            values = np.append(1.0, np.tanh(theta[own].reshape(n_out, n_in + 1) @ values))
            neuron, at = neuron + n_out, own.stop
    found = train(spec, theta, inputs, targets, SampleOrder(2, False), 12)
    np.testing.assert_allclose(found.parameters, moved, rtol=0, atol=1e-9)
    assert found.evaluations == 12 + 2


@pytest.mark.parametrize("difference", DIFFERENCES)
@pytest.mark.parametrize("periods", [(1, 3, 3), (2, 6, 3), (3, 3, 6)])
def test_parts_take_turns_in_the_learner_that_supports_every_rule_too(periods, difference):
    spec = in_parts(periods, difference)
    theta, inputs, targets = started(spec)
    order = SampleOrder(2, False)
    slow = learner.train(of_design.learner(spec), theta, inputs, targets, order, 30).state
    fast = train(spec, theta, inputs, targets, order, 30)
    assert np.abs(fast.parameters - theta).max() > 0.01
    np.testing.assert_allclose(slow.theta, fast.parameters, rtol=0, atol=1e-9)
    assert slow.evaluations == fast.evaluations
