"""The float model against what the mathematics says, and the compiled one against the page."""

import random
from dataclasses import replace

import numpy as np
import pytest

from python_ref.backprop import true_gradient
from python_ref.datasets import SampleOrder, Samples, parity, xor
from python_ref.fast_float import train
from python_ref.float_machine import SinusoidalCode, block_length, correct, cost, evaluate, forward, initial_state, signs, step
from python_ref.parameters import initial_parameters
from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec, Formats
from python_ref.spec.network import Initialization, Network, Scheme
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import Momentum, Sgd
from python_ref.spec.perturbation import Kind, LfsrCode, Perturbation, SequentialCode, WalshCode, WalshGrayCode
from python_ref.spec.schedule import MAX_PERIOD, Difference, Schedule
from tests.designs import random_design

KINDS, DIFFERENCES = tuple(Kind), tuple(Difference)
ORTHOGONAL = (WalshCode(), WalshGrayCode(), SequentialCode(), SinusoidalCode())
FINE = Formats(weight=Fixed(True, 4, 20), table=Fixed(True, 1, 13))
"""Formats that refuse none of the amplitudes and rates below; the float model knows no format."""
HELD = MAX_PERIOD
"""A period that no run here reaches: θ, or the sample, stays."""


def design(
    kind=Kind.WEIGHT,
    difference=Difference.ONE_SIDED,
    code=LfsrCode(),  # noqa: B008
    sizes=(3, 4, 2),
    hidden=Activation.TANH,
    output=Activation.IDENTITY,
    amplitude_log2=-10,
    rate=0,
    periods=(1, 1, 1),
    optimizer=Sgd(),
):
    spec = DesignSpec(
        "net",
        Network(sizes, hidden, output, Initialization(Scheme.UNIFORM)),
        Perturbation(kind, LfsrCode(), amplitude_log2),
        Schedule(((0, rate),) if isinstance(rate, int) else rate, *periods, difference),
        optimizer,
        FINE,
    )
    return replace(spec, perturbation=replace(spec.perturbation, code=code))


def problem(spec, n=1):
    generator = np.random.default_rng(3)
    return initial_parameters(spec, 5), generator.normal(size=(n, spec.network.n_in)), generator.normal(size=(n, spec.network.n_out))


def code_length(spec):
    """Steps of a whole period of an orthogonal code, and the sum of s² over it."""
    match spec.perturbation.code:
        case WalshCode():
            return (1 << spec.quantities.bit_length(),) * 2
        case SequentialCode():
            return spec.quantities, 1
        case _:
            return (2 * (spec.quantities + 1),) * 2


def accumulated(spec, steps, *, seed=1):
    """G over ``steps`` steps on one sample, the gradient there, and the parameters."""
    theta, x, target = problem(spec)
    state = initial_state(spec, theta, seed)
    for _ in range(steps):
        state, seen = step(spec, state, (x[0], target[0]))
    return seen["gradient"], true_gradient(spec, theta, x, target)


# -- The codes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", ORTHOGONAL)
def test_orthogonal_codes_are_orthogonal_over_their_period(code, kind):
    spec = design(kind, code=code)
    length, norm = code_length(spec)
    s = np.array([signs(spec, 1, p) for p in range(length)])
    np.testing.assert_allclose(s.T @ s, norm * np.eye(spec.quantities), atol=1e-9)
    np.testing.assert_allclose([signs(spec, 1, p + length) for p in range(length)], s, atol=1e-9)


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


def test_sinusoids_collect_no_curvature():
    """Over a period the product of any three sums to zero."""
    spec = design(Kind.NODE, code=SinusoidalCode())
    s = np.array([signs(spec, 1, p) for p in range(code_length(spec)[0])])
    np.testing.assert_allclose(np.einsum("pi,pj,pk->ijk", s, s, s), 0, atol=1e-9)


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


# -- The estimate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("difference", DIFFERENCES)
def test_sequential_code_is_finite_differences(kind, difference):
    """Exactly: G of parameter i is η·(C(θ + Δeᵢ) − C(θ))/Δ, or η·(C(θ + Δeᵢ) − C(θ − Δeᵢ))/2Δ."""
    spec = design(kind, difference, SequentialCode(), periods=(1, 1, HELD), rate=-3)
    theta, x, target = problem(spec)
    found, _ = accumulated(spec, spec.quantities)
    delta, two_sided = 2.0**-10, difference is Difference.TWO_SIDED
    quotients = np.array(
        [
            (
                cost(forward(spec, theta, x[0], delta * e)[-1], target[0])
                - cost(forward(spec, theta, x[0], -delta * e * two_sided)[-1], target[0])
            )
            / (delta * (1 + two_sided))
            for e in np.eye(spec.quantities)
        ]
    )
    if kind is Kind.NODE:
        plain = forward(spec, theta, x[0])
        neuron = spec.layout.parameter_neuron
        operand = np.concatenate([np.tile([1.0, *v], layer.n_out) for layer, v in zip(spec.network.layers, plain, strict=False)])
        quotients = quotients[neuron] * operand  # which its own perturbation does not reach
    np.testing.assert_allclose(found, quotients / 8, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("difference", DIFFERENCES)
@pytest.mark.parametrize("code", ORTHOGONAL)
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_period_is_the_gradient(kind, code, difference):
    """G/Σs² → ∇C: with an error of Δ² for a two-sided difference, and of Δ for a one-sided one."""
    errors = []
    for amplitude_log2 in (-7, -10):
        spec = design(kind, difference, code, periods=(1, 1, HELD), amplitude_log2=amplitude_log2)
        length, norm = code_length(spec)
        found, gradient = accumulated(spec, length)
        errors.append(np.linalg.norm(found / norm - gradient) / np.linalg.norm(gradient))
    assert errors[1] < 0.01
    second_order = difference is Difference.TWO_SIDED and kind is Kind.WEIGHT
    assert errors[1] < errors[0] / (40 if second_order else 4) or errors[0] < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_one_linear_layer_is_exact_in_a_two_sided_difference(kind):
    """C is quadratic there, so a Walsh period gives the gradient 2·(y − y*)·(1, x) to rounding, at any Δ."""
    spec = design(kind, Difference.TWO_SIDED, WalshCode(), sizes=(3, 2), amplitude_log2=-1, periods=(1, 1, HELD))
    theta, x, target = problem(spec)
    length, norm = code_length(spec)
    found, _ = accumulated(spec, length)
    error = theta.reshape(2, 4) @ np.array([1.0, *x[0]]) - target[0]
    np.testing.assert_allclose(found / norm, (2 * np.outer(error, [1.0, *x[0]])).ravel(), rtol=1e-12)


@pytest.mark.parametrize("steps", [30, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_cosine_to_the_gradient(kind, steps):
    """√(K/(K + D − 1)) after K random perturbations of D quantities; in one layer of node perturbation all have the same inputs."""
    spec = design(kind, Difference.TWO_SIDED, sizes=(3, 12), amplitude_log2=-12, periods=(1, 1, HELD))
    cosines = []
    for seed in range(40):
        found, gradient = accumulated(spec, steps, seed=seed)
        cosines.append(found @ gradient / np.linalg.norm(found) / np.linalg.norm(gradient))
    assert np.mean(cosines) == pytest.approx(np.sqrt(steps / (steps + spec.quantities - 1)), rel=0.04)


# -- The periods, the rate and the optimiser --------------------------------------------------------------------------


def run(spec, steps, n=3, seed=1):
    theta, x, target = problem(spec, n)
    state, seen = initial_state(spec, theta, seed), []
    for k in range(steps):
        index = k // spec.schedule.sample_period % n
        state, one = step(spec, state, (x[index], target[index]))
        seen.append(one | {"parameters": state.parameters, "after": state})
    return theta, seen


def test_gradient_is_a_sum_over_the_update_period():
    spec = design(periods=(1, 1, 5), rate=-8)
    theta, seen = run(spec, 10)
    for k in range(10):
        if k % 5 < 4:
            assert np.array_equal(seen[k]["parameters"], seen[k - 1]["parameters"] if k else theta)
        terms = [2.0**-8 * one["cost_change"] / 2.0**-10 * one["sign"] for one in seen[k - k % 5 : k + 1]]
        np.testing.assert_allclose(seen[k]["gradient"], np.sum(terms, axis=0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(seen[4]["parameters"], theta - seen[4]["gradient"], rtol=1e-15)
    assert not seen[9]["after"].gradient.any()


def test_the_perturbation_holds_for_its_period():
    _, seen = run(design(periods=(3, 1, 1), rate=-8), 9)
    held = [np.array_equal(seen[k]["sign"], seen[k - 1]["sign"]) for k in range(1, 9)]
    assert held == [True, True, False, True, True, False, True, True]


@pytest.mark.parametrize(("tau_x", "tau_t"), [(1, 1), (3, 1), (1, 3), (3, 2), (4, 6)])
def test_the_baseline_is_measured_when_the_schedule_says(tau_x, tau_t):
    spec = design(periods=(1, tau_x, tau_t), rate=-8)
    _, seen = run(spec, 13)
    due = [n % tau_x == 0 or n % tau_t == 0 for n in range(13)]
    assert np.diff([0] + [one["after"].evaluations for one in seen]).tolist() == [1 + measured for measured in due]
    for n in range(1, 13):
        if not due[n]:
            assert seen[n]["cost"][0] == seen[n - 1]["cost"][0]


def test_a_load_makes_the_baseline_due():
    spec = design(periods=(1, HELD, HELD))
    theta, x, target = problem(spec)
    state, _ = step(spec, initial_state(spec, theta), (x[0], target[0]))
    loaded = replace(state, parameters=theta + 0.1, baseline_due=True)
    after, seen = step(spec, loaded, (x[0], target[0]))
    assert seen["cost"][0] == cost(forward(spec, theta + 0.1, x[0])[-1], target[0])
    assert after.evaluations == state.evaluations + 2


def test_the_rate_is_that_of_the_step():
    """Where the other factors are held, G grows by steps that follow η."""
    spec = design(rate=((0, -8), (2, -10), (3, -9)), periods=(HELD, HELD, HELD))
    _, seen = run(spec, 5, n=1)
    grown = np.diff([np.zeros(spec.network.n_parameters)] + [one["gradient"] for one in seen], axis=0)
    np.testing.assert_allclose(grown[:, 0] / grown[0, 0], [1, 1, 0.25, 0.5, 0.5], rtol=1e-12)


@pytest.mark.parametrize("k", [1, 3])
def test_momentum_of_a_constant_gradient_tends_to_2_to_the_k(k):
    """m = G·2ᵏ·(1 − (1 − 2⁻ᵏ)ⁿ) after n updates by G: one linear neuron whose cost is all slope."""
    spec = design(sizes=(1, 1), rate=-30, optimizer=Momentum(k), code=SequentialCode(), periods=(1, 1, 2))
    _, seen = run(spec, 200, n=1)
    gradient = seen[1]["gradient"]
    for n in (1, 2, 50, 100):
        np.testing.assert_allclose(seen[2 * n - 1]["after"].momentum, gradient * 2**k * (1 - (1 - 2.0**-k) ** n), rtol=1e-4)


def test_writes_count_every_parameter_of_every_update():
    spec = design(periods=(1, 1, 4), rate=-8)
    _, seen = run(spec, 9)
    assert [one["after"].writes // spec.network.n_parameters for one in seen] == [0, 0, 0, 1, 1, 1, 1, 2, 2]


# -- Judging ----------------------------------------------------------------------------------------------------------


def test_correct_takes_the_lowest_index_of_a_tie_and_a_half_for_one():
    assert correct(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]), np.array([[1, 0, 0], [0, 0, 1]])).tolist() == [True, False]
    assert correct(np.array([[0.5], [0.49], [3.0]]), np.array([[1.0], [1.0], [0.0]])).tolist() == [True, False, False]


def test_evaluate_is_the_mean_over_samples():
    spec = design(sizes=(3, 4, 2))
    theta, x, target = problem(spec, 5000)  # more than are evaluated at once
    accuracy, mean = evaluate(spec, theta, x, target)
    outputs = np.array([forward(spec, theta, one)[-1] for one in x])
    assert accuracy == np.mean(outputs.argmax(axis=1) == target.argmax(axis=1))
    assert mean == pytest.approx(np.mean(np.sum((outputs - target) ** 2, axis=1)))


def test_refuses_parameters_of_another_network():
    with pytest.raises(ValueError, match=r"^Number of parameters must be 26, not \(3,\)"):
        initial_state(design(), np.zeros(3))
    with pytest.raises(ValueError, match=r"^Inputs must be of shape \(4, 3\), not \(4, 2\)"):
        samples = xor()
        train(design(), np.zeros(26), samples.inputs, samples.targets, SampleOrder(4, False), 1)
    with pytest.raises(TypeError, match=r"^Code 'random' is unknown to python_ref\.float_machine\.sign_block\."):
        signs(replace(design(), perturbation=replace(design().perturbation, code="random")), 1, 0)


# -- The compiled model -----------------------------------------------------------------------------------------------


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
@pytest.mark.parametrize("code", [LfsrCode(), *ORTHOGONAL])
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_equals_the_page(kind, code, difference, periods, optimizer):
    spec = design(kind, difference, code, (4, 3, 5, 2), Activation.SIGMOID, periods=periods, optimizer=optimizer, rate=((0, -7), (37, -9)))
    samples = Samples(parity(4).inputs, np.eye(2)[parity(4).labels])
    assert_equal_runs(spec, samples, 61, record_every=7)


@pytest.mark.parametrize("seed", range(60))
def test_compiled_equals_the_page_for_any_design(seed):
    """Over every key of a design; rates small enough that a difference in the last place does not grow."""
    rng = random.Random(seed)
    spec = random_design(rng, activations=[a for a in Activation if a is not Activation.SIGN])
    spec = replace(
        spec,
        formats=FINE,
        schedule=replace(spec.schedule, learning_rate=tuple((n, -9 - i) for i, (n, _) in enumerate(spec.schedule.learning_rate))),
    )
    generator = np.random.default_rng(seed)
    inputs = generator.integers(0, 3, (6, spec.network.n_in)) / 2
    assert_equal_runs(spec, Samples(inputs, generator.random((6, spec.network.n_out))), 50)


def test_compiled_equals_the_page_across_blocks_of_signs():
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
