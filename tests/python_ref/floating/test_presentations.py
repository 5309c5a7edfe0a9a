"""Learning by whole presentations: the same as one step after the other."""

from dataclasses import replace

import numpy as np
import pytest

from python_ref.datasets import SampleOrder, nist7x7
from python_ref.floating import learner, of_design, online, presentations
from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec
from python_ref.spec.layers import DENSE, Leaky, Lif
from python_ref.spec.network import Network, Readout
from python_ref.spec.optimizer import Momentum, Sgd
from python_ref.spec.perturbation import Kind, LfsrCode, Perturbation, SequentialCode, WalshCode
from python_ref.spec.schedule import Difference, Schedule
from tests.support.float_designs import design

DATA = nist7x7()
ORDER = SampleOrder(len(DATA), True, 3)
BASE = DesignSpec(
    "base",
    Network((49, 5, 4), Activation.TANH, Activation.SIGMOID),
    Perturbation(Kind.NODE, WalshCode(), -4, 7),
    Schedule(((0, -3), (24, -4)), 1, 8, 8),
    Sgd(),
)
CASES = {
    "walsh": BASE,
    "sequential": replace(BASE, perturbation=Perturbation(Kind.NODE, SequentialCode(), -6)),
    "random": replace(BASE, perturbation=Perturbation(Kind.NODE, LfsrCode(), -4, 7)),
    "momentum": replace(BASE, optimizer=Momentum(2)),
    "sums": replace(BASE, schedule=Schedule(((0, -5),), 2, 6, 12)),
    "short": replace(BASE, schedule=Schedule(((0, -3),), 1, 8, 4)),
    "parts": replace(
        BASE, perturbation=Perturbation(Kind.NODE, LfsrCode(), -4, 7, parts=((1, 1), (1, 3))), schedule=Schedule(((0, -3),), 1, 8, 8)
    ),
}


def start(spec: DesignSpec) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.3, spec.n_parameters)


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_learner_one_sample_at_a_time(name: str) -> None:
    spec, more = CASES[name], {"evaluation": (DATA.inputs[:50], DATA.targets[:50]), "record_every": 11}
    found = presentations.train(spec, start(spec), DATA.inputs, DATA.targets, ORDER, 50, **more)
    wanted = online.train(spec, start(spec), DATA.inputs, DATA.targets, ORDER, 50, **more)
    assert np.abs(wanted.parameters - start(spec)).max() > 1e-3
    np.testing.assert_allclose(found.parameters, wanted.parameters, atol=1e-12)
    assert (found.evaluations, found.writes) == (wanted.evaluations, wanted.writes)
    for curve in ("steps", "evaluations", "writes", "online_accuracy", "online_cost", "accuracy", "cost"):
        np.testing.assert_allclose(getattr(found.curve, curve), getattr(wanted.curve, curve), atol=1e-12, err_msg=curve)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = presentations.train(BASE, start(BASE), DATA.inputs, DATA.targets, ORDER, 50)
    monkeypatch.setattr(presentations, "CHUNK_VALUES", 3 * BASE.quantities)
    np.testing.assert_allclose(
        presentations.train(BASE, start(BASE), DATA.inputs, DATA.targets, ORDER, 50).parameters, whole.parameters, atol=1e-12
    )


def test_two_sided_takes_the_inputs_of_the_unperturbed_pass() -> None:
    """One presentation of a probe of each neuron, by the network's own passes."""
    spec = replace(
        BASE,
        perturbation=Perturbation(Kind.NODE, SequentialCode(), -2),
        schedule=Schedule(((0, -3),), 1, 9, 9, Difference.TWO_SIDED),
    )
    net, theta, row = of_design.network(spec), start(spec), ORDER.indices(0, 1)
    x, t = DATA.inputs[row].astype(float), DATA.targets[row].astype(float)
    _, base = net.trace(theta, x)
    errors = np.zeros((1, 9))
    for j, s in enumerate(np.eye(9)):
        up, down = (((net.trace(theta, x, side * 0.25 * s[None])[0] - t) ** 2).sum() for side in (1, -1))
        errors[0, j] = (up - down) / 0.5
    found = presentations.train(spec, theta, DATA.inputs, DATA.targets, ORDER, 9)
    np.testing.assert_allclose(found.parameters, theta - net.correlate(base, errors) / 8, atol=1e-12)
    assert found.evaluations == 1 + 2 * 9


def test_weights_form_no_presentations() -> None:
    spec = replace(BASE, perturbation=Perturbation(Kind.WEIGHT, WalshCode(), -4, 7))
    with pytest.raises(ValueError, match="must be node"):
        presentations.train(spec, start(spec), DATA.inputs, DATA.targets, ORDER, 9)


SERIES = {
    "leaky": Network(
        (2, 3, 2, 2), Activation.TANH, Activation.IDENTITY, kinds=(Leaky(1), Leaky(0), DENSE), frames=4, held=False, readout=Readout.LAST
    ),
    "lif": Network((3, 4, 2), Activation.TANH, Activation.IDENTITY, kinds=(Lif(2), DENSE), frames=5, held=True, readout=Readout.SUM),
}


@pytest.mark.parametrize("hold", [1, 2])
@pytest.mark.parametrize("name", SERIES)
def test_series_are_learned_as_probe_by_probe(name: str, hold: int) -> None:
    """All probes of a sample at once, of samples of several lengths, against the learner that measures one at a time."""
    network, generator = SERIES[name], np.random.default_rng(4)
    spec = design(sizes=network.sizes, code=SequentialCode(), kind=Kind.NODE, amplitude_log2=-3, rate=-4)
    hold = network.frames if network.held else hold
    spec = replace(spec, network=network, perturbation=replace(spec.perturbation, hold=hold))
    spec = replace(spec, schedule=Schedule(((0, -4), (4 * spec.quantities, -5)), 1, spec.quantities, spec.quantities))
    x = generator.normal(0, 1, (6, network.record_inputs))
    if not network.held:
        x[:, 0] = 1 + np.arange(6) % network.frames
    t, order = generator.normal(0, 1, (6, network.n_out)), SampleOrder(6, True, 3)
    theta, steps = generator.normal(0, 1, spec.n_parameters), 12 * spec.quantities + 1
    found = presentations.train(spec, theta, x, t, order, steps, record_every=7)
    wanted = learner.train(of_design.learner(spec), theta, x, t, order, steps)
    assert np.abs(found.parameters - theta).max() > 1e-2
    np.testing.assert_allclose(found.parameters, wanted.state.theta, atol=1e-9)


@pytest.mark.parametrize("period", [1, 3])
@pytest.mark.parametrize("name", ["random", "walsh", "parts"])
def test_signs_of_steps(name: str, period: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of steps within a block of signs and across several, one sign vector after the other."""
    monkeypatch.setattr(online, "BLOCK_VALUES", 5 * CASES[name].quantities)
    spec = replace(CASES[name], schedule=Schedule(((0, -3),), period, 24, 24))
    online.sign_block.cache_clear()  # blocks of another length
    signs = presentations.SignsOfSteps(spec, 7)
    for first, stop in ((0, 4), (3, 9), (8, 41), (2, 3)):
        rows = signs.rows(first, stop)
        for row, n in zip(rows, range(first, stop), strict=True):
            wanted = online.signs(spec, 7, n // period)
            assert row.tolist() == (spec.round.part_at(n).within(wanted) if spec.in_parts else wanted).tolist()
        assert np.any(rows)
    online.sign_block.cache_clear()
