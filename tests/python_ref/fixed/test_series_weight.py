"""Weight perturbation of networks with state: the page of a step has the properties that its definition gives it, and the compiled loops
equal the page."""

import math
import random
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_ref.fixed import series_weight, weight
from python_ref.fixed.machine import initial_state, sample_number, step
from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.layers import DENSE, Leaky
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed, Rounding
from python_ref.spec.perturbation import Kind, Perturbation, SequentialCode
from python_ref.spec.probes import COUNTERS
from python_ref.spec.schedule import Difference, Schedule
from tests.python_ref.fixed.test_series import check, run
from tests.support.designs import random_parameters
from tests.support.series_designs import random_series, random_series_samples

WEIGHT = Perturbation(Kind.WEIGHT, amplitude_log2=-3)


@dataclass(frozen=True)
class Given:
    """A source of sign vectors that are given (int8, shape (vectors, quantities)), and repeat."""

    vectors: np.ndarray

    def signs(self, p):
        """Return sign vector number p."""
        return self.vectors[p % len(self.vectors)]


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_compiled_loops_equal_the_page(seed):
    rng = random.Random(seed)
    check(random_series(rng, kind=Kind.WEIGHT), rng, 16)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_compiled_loops_equal_the_page_more_often(seed):
    rng = random.Random(seed)
    check(random_series(rng, kind=Kind.WEIGHT, max_frames=12, max_period=9, max_lanes=rng.choice((4, 70))), rng, 40)


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_one_frame_of_elman_neurons_is_a_network_without_state(seed):
    """h is 0 before the first frame, so that U plays no part; the machine without frames computes the same with the same signs."""
    rng = random.Random(seed)
    size, activation = rng.randint(1, 4), rng.choice(tuple(Activation))
    formats = Formats(activation=Fixed(True, 3, 8), weight_cast=Cast(Rounding.HALF_UP), input=Fixed(False, 0, 8))
    schedule = Schedule(((0, -4),), 2, rng.randint(1, 3), rng.randint(1, 3), rng.choice(tuple(Difference)))
    hardware = Hardware(rng.randint(1, 3), True, False)
    plain = DesignSpec("plain", Network((3, size, 2), activation, activation), WEIGHT, schedule, formats=formats, hardware=hardware)
    series = replace(plain, network=replace(plain.network, kinds=(Leaky(0), DENSE), held=True))
    own = np.concatenate([*(row * (4 + size) + np.arange(4) for row in range(size)), size * (4 + size) + np.arange(2 * (size + 1))])
    parameters = random_parameters(rng, plain)
    wide = np.array([rng.randint(-500, 500) for _ in range(series.n_parameters)])
    wide[own] = parameters
    samples = random_series_samples(rng, series, 4)
    signs = np.array([[rng.choice((-1, 1)) for _ in wide] for _ in range(8)], dtype=np.int8)
    with pytest.MonkeyPatch.context() as patch:  # the two designs number their slots differently, so both take given signs
        patch.setattr(weight, "sign_source", lambda spec, seed: Given(signs[:, own]))
        patch.setattr(series_weight, "sign_source", lambda spec, seed: Given(signs))
        one, other = run(plain, parameters, samples, 12), run(series, wide, samples, 12)
    for before, after in zip(one, other, strict=True):
        for name in ("preactivation", "activation", "cost", "cost_change"):
            np.testing.assert_array_equal(before[name], after[name], err_msg=name)
        for name in ("sign", "gradient", "parameter"):
            np.testing.assert_array_equal(before[name], after[name][own], err_msg=name)


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_held_inputs_are_frames_that_are_alike(seed):
    rng = random.Random(seed)
    while not (held := random_series(rng, kind=Kind.WEIGHT, max_frames=5)).network.held:
        pass
    series = replace(held, network=replace(held.network, held=False))
    parameters, (inputs, targets) = random_parameters(rng, held), random_series_samples(rng, held, 3)
    frames = held.network.frames
    words = np.column_stack((np.full(3, frames), np.tile(inputs, frames)))
    for one, other in zip(run(held, parameters, (inputs, targets), 10), run(series, parameters, (words, targets), 10), strict=True):
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name], err_msg=name)


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_frames_that_a_sample_does_not_have_play_no_part(seed):
    rng = random.Random(seed)
    while (spec := random_series(rng, kind=Kind.WEIGHT, max_frames=5)).network.held:
        pass
    n_in, frames = spec.network.n_in, spec.network.frames
    inputs, targets = random_series_samples(rng, spec, 3)
    lengths = np.where((inputs[:, 0] < 1) | (inputs[:, 0] > frames), frames, inputs[:, 0])
    cut = inputs.copy()
    cut[:, 0] = lengths
    cut[:, 1:][np.arange(frames * n_in) // n_in >= lengths[:, None]] = 0
    parameters = random_parameters(rng, spec)
    both = run(spec, parameters, (inputs, targets), 9), run(spec, parameters, (cut, targets), 9)
    for n, (one, other) in enumerate(zip(*both, strict=True)):
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name], err_msg=name)
        beyond = ~spec.unrolled.evaluated(lengths[sample_number(spec, n) % 3])
        for name in ("preactivation", "activation", "state"):
            assert not one[name][:, beyond].any()


def test_a_recurrent_weight_is_perturbed_in_every_frame_and_moves_once():
    """One leaky neuron with k = 0 and f(z) = z over three frames, by hand: θ = (b, w, u) = (0, 1, ½), Δ = ¼, and one parameter at a time.

    The unperturbed states of the inputs 1, 1, 0 are 1, 3/2, 3/4. With u + Δ = ¾ they are 1, 7/4, 21/16, and with w + Δ = 5/4 they are
    5/4, 15/8, 15/16; the bias alone, b + Δ, adds ¼, then ¼ + ⅛, then ¼ + 3/16.
    """
    formats = Formats(input=Fixed(False, 2, 4), weight=Fixed(True, 3, 10), activation=Fixed(True, 4, 10), weight_cast=Cast(Rounding.FLOOR))
    network = Network((1, 1), output=Activation.IDENTITY, kinds=(Leaky(0),), frames=3)
    perturbation = Perturbation(Kind.WEIGHT, SequentialCode(), amplitude_log2=-2)
    spec = DesignSpec("hand", network, perturbation, Schedule(((0, -3),), sample_period=3), formats=formats, hardware=Hardware(1))
    one, sample = 1 << 10, (np.array([3, 16, 16, 0]), np.array([0]))
    parameters = np.array([0, one, one // 2])
    last = {0: 19 / 16, 1: 15 / 16, 2: 21 / 16}
    state = initial_state(spec, parameters)
    for moved in range(3):
        state = replace(state, parameters=parameters, due=True)
        state, observed = step(spec, state, sample)
        assert observed["sign"].tolist() == [int(number == moved) for number in range(3)]
        assert observed["state"][0].tolist() == [one, 3 * one // 2, 3 * one // 4]
        assert observed["state"][1][-1] == last[moved] * one
        change = last[moved] ** 2 - (3 / 4) ** 2
        assert observed["cost_change"][0] == change * 2**20
        # η/Δ = ½: θ ← θ − s·C̃/2, once, though the parameter was used in every frame
        update = math.floor(change / 2 * one)
        assert (parameters - observed["parameter"]).tolist() == [update * int(number == moved) for number in range(3)]
    assert observed["counter"][COUNTERS.index("writes")] == 9
