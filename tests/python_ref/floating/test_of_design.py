"""The float side of a design against what the mathematics says, and step by step against the oracle."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from python_ref.floating import of_design
from python_ref.floating.codes import Code as FloatCode
from python_ref.floating.codes import SinusoidalCode
from python_ref.floating.layers import Dense, Sequential
from python_ref.floating.learner import Learner, State, initial_state, step
from python_ref.floating.series import Series
from python_ref.floating.sparse import Sparse
from python_ref.floating.stateful import Leaky, Lif, Memoryless
from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec
from python_ref.spec.optimizer import OPTIMIZERS, Momentum, Optimizer, Sgd
from python_ref.spec.perturbation import CODES, Code, Kind, LfsrCode, SequentialCode, WalshCode
from python_ref.spec.schedule import Difference
from tests.support import float_oracle
from tests.support.float_designs import HELD, design, problem

KINDS, DIFFERENCES = tuple(Kind), tuple(Difference)
ORTHOGONAL = ("walsh", "sequential", "sinusoidal")
PERIODS = ((1, 1, 1), (2, 1, 4), (3, 4, 2), (1, 6, 3), (5, 2, 1))


def code_of(name: str) -> Code:
    """A code by its name; the hardware's in place of one that no hardware has."""
    return CODES[name]() if name in CODES else LfsrCode()


def learner_of(spec: DesignSpec, name: str, seed: int = 1) -> Learner:
    """The learner of a design, with the code of this name."""
    learner = of_design.learner(spec, seed)
    return replace(learner, estimator=replace(learner.estimator, code=SinusoidalCode())) if name == "sinusoidal" else learner  # type: ignore[type-var]


def code_length(name: str, quantities: int) -> tuple[int, int]:
    """Steps of a whole period of an orthogonal code, and the sum of s² over it."""
    return {
        "walsh": (1 << quantities.bit_length(),) * 2,
        "sequential": (quantities, 1),
        "sinusoidal": (2 * (quantities + 1),) * 2,
    }[name]


def accumulated(spec: DesignSpec, name: str, steps: int, *, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """G over ``steps`` steps on one sample, and the gradient there."""
    theta, x, target = problem(spec)
    learner = learner_of(spec, name, seed)
    state = initial_state(learner, theta)
    for _ in range(steps):
        state, _ = step(learner, state, x, target)
    return state.gradient, of_design.gradient(spec, theta, x, target)


# -- Against the oracle -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer", [*(kind() for kind in OPTIMIZERS.values()), Momentum(1)], ids=lambda each: f"{each.name}{getattr(each, 'k', '')}"
)
@pytest.mark.parametrize("periods", PERIODS, ids=str)
@pytest.mark.parametrize("difference", DIFFERENCES)
@pytest.mark.parametrize("code", [*CODES, "sinusoidal"])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_the_oracle_s(kind: Kind, code: str, difference: Difference, periods: tuple[int, int, int], optimizer: Optimizer) -> None:
    """The same θ, G and counts after every step. Signs that are not drawn come from the oracle, as it defines them; random ones are the
    learner's own, which the tests of the codes check."""
    spec = design(
        kind,
        difference,
        code_of(code),
        (4, 3, 2),
        output=Activation.SIGMOID,
        amplitude_log2=-6,
        rate=-6,
        periods=periods,
        optimizer=optimizer,
    )
    learner, eta = learner_of(spec, code), 2.0**-6
    theta, x, t = problem(spec, 20)
    ours, theirs = initial_state(learner, theta), float_oracle.initial_state(spec, theta)
    for n in range(20):
        sample, p = n // periods[1], n // periods[0]
        drawn: FloatCode = learner.estimator.code  # type: ignore[attr-defined]
        s = drawn.rows(p, 1, spec.quantities)[0].astype(float) if code == "lfsr" else float_oracle.signs(spec, 1, p, code)
        ours, found = step(learner, ours, x[[sample]], t[[sample]])
        theirs, seen = float_oracle.step(spec, theirs, (x[sample], t[sample]), s=s)
        assert found.changes == pytest.approx([seen["cost_change"]], abs=1e-12)
        assert ours.theta == pytest.approx(theirs.parameters, abs=1e-11)
        assert ours.gradient * eta == pytest.approx(theirs.gradient, abs=1e-11)
        assert (ours.evaluations, ours.writes) == (theirs.evaluations, theirs.writes)


@pytest.mark.parametrize("optimizer", [Sgd(), Momentum(1)])
@pytest.mark.parametrize("periods", [(1, 1, 1), (1, 1, 4)], ids=str)
def test_listed_rates_are_the_oracle_s(periods: tuple[int, int, int], optimizer: Optimizer) -> None:
    """G contains the rate of each of its steps, also where the rate changes before the next update or while m decays."""
    spec = design(rate=((0, -6), (5, -8), (10, -4)), periods=periods, optimizer=optimizer, code=WalshCode())
    learner, (theta, x, t) = of_design.learner(spec), problem(spec)
    ours, theirs = initial_state(learner, theta), float_oracle.initial_state(spec, theta)
    for _ in range(20):
        ours, _ = step(learner, ours, x, t)
        theirs, _ = float_oracle.step(spec, theirs, (x[0], t[0]))
        assert ours.theta == pytest.approx(theirs.parameters, abs=1e-11)
        assert ours.gradient * 2.0**-6 == pytest.approx(theirs.gradient, abs=1e-11)


@pytest.mark.parametrize("hidden", Activation)
@pytest.mark.parametrize("kind", KINDS)
def test_the_network_is_the_oracle_s(kind: Kind, hidden: Activation) -> None:
    """Outputs, accuracy and cost, and the costs with shifted quantities, for every activation."""
    spec = design(kind, sizes=(3, 5, 4, 2), hidden=hidden, output=hidden)
    theta, x, target = problem(spec, 9)
    shift = np.random.default_rng(2).normal(size=spec.quantities) / 8
    answers = [float_oracle.forward(spec, theta, each)[-1] for each in x]
    assert of_design.outputs(spec, theta, x) == pytest.approx(np.array(answers), abs=1e-13)
    assert of_design.evaluate(spec, theta, x, target) == pytest.approx(float_oracle.evaluate(spec, theta, x, target))
    wanted = [float_oracle.cost(float_oracle.forward(spec, theta, each, shift)[-1], wish) for each, wish in zip(x, target, strict=True)]
    assert of_design.costs(spec, theta, x, target, shift) == pytest.approx(wanted, abs=1e-12)


def test_evaluate_judges_one_output_by_a_half_and_samples_by_batches() -> None:
    spec = design(sizes=(3, 4, 1))
    theta, x, target = problem(spec, of_design.BATCH + 100)
    accuracy, cost = of_design.evaluate(spec, theta, x, target)
    assert (accuracy, cost) == pytest.approx(float_oracle.evaluate(spec, theta, x, target))
    assert 0.2 < accuracy < 0.8


# -- The estimate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("difference", DIFFERENCES)
def test_sequential_code_is_finite_differences(kind: Kind, difference: Difference) -> None:
    """Exactly: G of parameter i is (C(θ + Δeᵢ) − C(θ))/Δ, or (C(θ + Δeᵢ) − C(θ − Δeᵢ))/2Δ."""
    spec = design(kind, difference, SequentialCode(), periods=(1, 1, HELD))
    theta, x, target = problem(spec)
    found, _ = accumulated(spec, "sequential", spec.quantities)
    delta, two_sided = 2.0**-10, difference is Difference.TWO_SIDED

    def cost(shift: np.ndarray) -> float:
        return float_oracle.cost(float_oracle.forward(spec, theta, x[0], shift)[-1], target[0])

    quotients = np.array([(cost(delta * e) - cost(-delta * e * two_sided)) / (delta * (1 + two_sided)) for e in np.eye(spec.quantities)])
    if kind is Kind.NODE:
        plain = float_oracle.forward(spec, theta, x[0])
        operand = np.concatenate([np.tile([1.0, *v], layer.n_out) for layer, v in zip(spec.network.layers, plain, strict=False)])
        quotients = quotients[spec.layout.parameter_neuron] * operand  # which its own perturbation does not reach
    np.testing.assert_allclose(found, quotients, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("difference", DIFFERENCES)
@pytest.mark.parametrize("code", ORTHOGONAL)
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_period_is_the_gradient(kind: Kind, code: str, difference: Difference) -> None:
    """G/Σs² → ∇C: with an error of Δ² for a two-sided difference, and of Δ for a one-sided one."""
    errors = []
    for amplitude_log2 in (-7, -10):
        spec = design(kind, difference, code_of(code), periods=(1, 1, HELD), amplitude_log2=amplitude_log2)
        length, norm = code_length(code, spec.quantities)
        found, gradient = accumulated(spec, code, length)
        errors.append(np.linalg.norm(found / norm - gradient) / np.linalg.norm(gradient))
    assert errors[1] < 0.01
    second_order = difference is Difference.TWO_SIDED and kind is Kind.WEIGHT
    assert errors[1] < errors[0] / (40 if second_order else 4) or errors[0] < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_one_linear_layer_is_exact_in_a_two_sided_difference(kind: Kind) -> None:
    """C is quadratic there, so a Walsh period gives the gradient 2·(y − y*)·(1, x) to rounding, at any Δ."""
    spec = design(kind, Difference.TWO_SIDED, WalshCode(), sizes=(3, 2), amplitude_log2=-1, periods=(1, 1, HELD))
    theta, x, target = problem(spec)
    length, norm = code_length("walsh", spec.quantities)
    found, _ = accumulated(spec, "walsh", length)
    error = theta.reshape(2, 4) @ np.array([1.0, *x[0]]) - target[0]
    np.testing.assert_allclose(found / norm, (2 * np.outer(error, [1.0, *x[0]])).ravel(), rtol=1e-12)


@pytest.mark.parametrize("steps", [30, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_cosine_to_the_gradient(kind: Kind, steps: int) -> None:
    """√(K/(K + D − 1)) after K random perturbations of D quantities; in one layer of node perturbation all have the same inputs."""
    spec = design(kind, Difference.TWO_SIDED, sizes=(3, 12), amplitude_log2=-12, periods=(1, 1, HELD))
    cosines = []
    for seed in range(40):
        found, gradient = accumulated(spec, "lfsr", steps, seed=seed)
        cosines.append(found @ gradient / np.linalg.norm(found) / np.linalg.norm(gradient))
    assert np.mean(cosines) == pytest.approx(np.sqrt(steps / (steps + spec.quantities - 1)), rel=0.04)


# -- The periods and the optimiser ------------------------------------------------------------------------------------


def run(spec: DesignSpec, steps: int, n: int = 3) -> tuple[np.ndarray, list[State], list[float]]:
    """Parameters at the start, the state after every step, and C̃ of every step."""
    theta, x, target = problem(spec, n)
    learner = of_design.learner(spec)
    state, states, changes = initial_state(learner, theta), list[State](), list[float]()
    for k in range(steps):
        index = [k // spec.schedule.sample_period % n]
        state, found = step(learner, state, x[index], target[index])
        states.append(state)
        changes.append(float(found.changes[0]))
    return theta, states, changes


def test_gradient_is_a_sum_over_the_update_period() -> None:
    spec = design(periods=(1, 1, 5), rate=-8)
    theta, states, changes = run(spec, 10)
    s = of_design.code(spec).rows(0, 10, spec.quantities).astype(float)
    terms = np.array(changes)[:, None] / 2.0**-10 * s
    for k in range(10):
        if k % 5 < 4:
            assert np.array_equal(states[k].theta, states[k - 1].theta if k else theta)
            np.testing.assert_allclose(states[k].gradient, terms[k - k % 5 : k + 1].sum(axis=0), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(states[4].theta, theta - 2.0**-8 * terms[:5].sum(axis=0), rtol=1e-13)
    assert not states[9].gradient.any()


@pytest.mark.parametrize(("tau_x", "tau_t"), [(1, 1), (3, 1), (1, 3), (3, 2), (4, 6)])
def test_the_baseline_is_measured_when_the_schedule_says(tau_x: int, tau_t: int) -> None:
    _, states, _ = run(design(periods=(1, tau_x, tau_t), rate=-8), 13)
    due = [n % tau_x == 0 or n % tau_t == 0 for n in range(13)]
    assert np.diff([0] + [state.evaluations for state in states]).tolist() == [1 + measured for measured in due]
    for n in range(1, 13):
        if not due[n]:
            assert states[n].base is states[n - 1].base


@pytest.mark.parametrize("k", [1, 3])
def test_momentum_of_a_constant_gradient_tends_to_2_to_the_k(k: int) -> None:
    """m = G·2ᵏ·(1 − (1 − 2⁻ᵏ)ⁿ) after n updates by G: one linear neuron whose cost is all slope."""
    spec = design(sizes=(1, 1), rate=-30, optimizer=Momentum(k), code=SequentialCode(), periods=(1, 1, 2))
    _, held, _ = run(replace(spec, optimizer=Sgd(), schedule=replace(spec.schedule, update_period=HELD)), 2, n=1)
    _, states, _ = run(spec, 200, n=1)
    for n in (1, 2, 50, 100):
        np.testing.assert_allclose(states[2 * n - 1].memory[0], held[1].gradient * 2**k * (1 - (1 - 2.0**-k) ** n), rtol=1e-4)


def test_writes_count_every_parameter_of_every_update() -> None:
    spec = design(periods=(1, 1, 4), rate=-8)
    _, states, _ = run(spec, 9)
    assert [state.writes // spec.network.n_parameters for state in states] == [0, 0, 0, 1, 1, 1, 1, 2, 2]


def layer_of(n_in: int, n_out: int, name: str, **given: object) -> SimpleNamespace:
    kind = SimpleNamespace(name=name, stateful=name in ("leaky", "lif"), **{key: given.pop(key) for key in ("leak",) if key in given})
    return SimpleNamespace(n_in=n_in, n_out=n_out, activation=Activation.TANH, kind=kind, **given)


def design_of(*layers: SimpleNamespace, hold: int | None = None, **frames: object) -> SimpleNamespace:
    shape = {"frames": 6, "held": False, "readout": SimpleNamespace(value="last")} | frames
    network = SimpleNamespace(n_in=layers[0].n_in, layers=layers, random=False, **shape)
    return SimpleNamespace(network=network, perturbation=SimpleNamespace(hold=hold))


def test_every_kind_of_layer_has_its_float_layer() -> None:
    lists = np.array([[0, 2], [1, 2]])
    found = of_design.network(design_of(layer_of(3, 4, "sparse", lists=lists, block=2), layer_of(4, 2, "dense")))
    assert isinstance(found, Sequential)
    assert [(type(layer), layer.n_out) for layer in found.layers] == [(Sparse, 4), (Dense, 2)]
    assert found.layers[0].lists is lists
    layers = layer_of(3, 4, "leaky", leak=2), layer_of(4, 5, "dense"), layer_of(5, 2, "lif", leak=3)
    series = of_design.network(design_of(*layers, held=True, readout=SimpleNamespace(value="sum")))
    assert isinstance(series, Series)
    assert series.layers == (Leaky(4, Activation.TANH, 2), Memoryless(Dense(5, Activation.TANH)), Lif(2, 3))
    assert (series.inputs, series.frames, series.held, series.summed, series.hold) == (3, 6, True, True, 6)
    assert of_design.network(design_of(*layers)).hold == 1
    assert not of_design.network(design_of(*layers)).summed
    assert of_design.network(design_of(*layers, hold=4)).hold == 4
    with pytest.raises(TypeError, match=r"python_ref\.floating\.of_design\.LAYERS"):
        of_design.network(design_of(layer_of(3, 4, "other")))
