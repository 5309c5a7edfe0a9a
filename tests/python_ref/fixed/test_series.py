"""Networks with state: the page of a step has the properties that its definition gives it, and the compiled loops equal the page."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_ref.fixed import fast
from python_ref.fixed.machine import initial_state, sample_number, step
from python_ref.fixed.neurons import respond
from python_ref.fixed.series import unroll
from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.layers import DENSE, Leaky, Lif
from python_ref.spec.network import Network, Readout
from python_ref.spec.number import Fixed, Rounding
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.probes import COUNTERS, probes
from python_ref.spec.schedule import Schedule
from tests.python_ref.fixed.test_fast import assert_same
from tests.support.designs import random_parameters
from tests.support.series_designs import random_series, random_series_samples

NODE = Perturbation(Kind.NODE, amplitude_log2=-3)
SCHEDULE = Schedule(((0, -4),), sample_period=3, update_period=3)


def check(spec: DesignSpec, rng: random.Random, steps: int) -> None:
    """Compare the compiled loops with the page: whole, and in two halves between which the host may load."""
    state = initial_state(spec, random_parameters(rng, spec), seed=rng.randrange(1 << 63))
    inputs, targets = random_series_samples(rng, spec, 5)
    order = np.array([rng.randrange(5) for _ in range(sample_number(spec, steps) + 1)])
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
        plain = plain.with_load() if loaded and n == steps // 2 else plain
        plain, observed = step(spec, plain, (inputs[index], targets[index]))
        for probe in probes(spec):
            values = observed[probe.name]
            assert values.shape == probe.shape
            np.testing.assert_array_equal(shown[probe.name][n], values, err_msg=f"step {n}, {probe.name} of {spec}")
            low = np.array([form.min for form in probe.formats])
            assert (low <= values).all() and (values <= [form.max for form in probe.formats]).all(), (probe.name, spec)
    assert_same(rest.state, plain, spec)
    for name in ("state", "outputs"):
        np.testing.assert_array_equal(getattr(rest.state.baseline, name), getattr(plain.baseline, name))
    if not loaded:
        assert_same(whole.state, plain, spec)
    found, _ = fast.outputs(spec, plain.parameters, inputs)
    np.testing.assert_array_equal(found, [unroll(spec, plain.parameters, sample).outputs for sample in zip(inputs, targets, strict=True)])


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_compiled_loops_equal_the_page(seed):
    rng = random.Random(seed)
    check(random_series(rng), rng, 16)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_compiled_loops_equal_the_page_more_often(seed):
    rng = random.Random(seed)
    check(random_series(rng, max_frames=12, max_period=9, max_lanes=rng.choice((4, 70))), rng, 40)


def run(spec: DesignSpec, parameters: np.ndarray, samples: tuple[np.ndarray, np.ndarray], steps: int) -> list[dict[str, np.ndarray]]:
    """Observables of each step, with one sample after the other."""
    state, found = initial_state(spec, parameters), []
    for n in range(steps):
        number = sample_number(spec, n) % len(samples[0])
        state, observed = step(spec, state, (samples[0][number], samples[1][number]))
        found.append(observed)
    return found


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_one_frame_of_elman_neurons_is_a_network_without_state(seed):
    """h is 0 before the first frame, so that U plays no part; the machine without frames computes the same."""
    rng = random.Random(seed)
    size, activation = rng.randint(1, 4), rng.choice(tuple(Activation))
    exact = Cast(Rounding.HALF_UP)
    formats = Formats(activation=Fixed(True, 3, 8), weight_cast=exact, input=Fixed(False, 0, 8))
    hardware = Hardware(rng.randint(1, 3), True, False)
    plain = DesignSpec("plain", Network((3, size, 2), activation, activation), NODE, SCHEDULE, formats=formats, hardware=hardware)
    series = replace(plain, network=replace(plain.network, kinds=(Leaky(0), DENSE), held=True))
    w, v = random_parameters(rng, plain)[: 4 * size].reshape(size, 4), random_parameters(rng, plain)[-2 * (size + 1) :]
    u = np.array([[rng.randint(-500, 500) for _ in range(size)] for _ in range(size)])
    samples = random_series_samples(rng, series, 4)
    one = run(plain, np.concatenate((w.ravel(), v)), samples, 12)
    other = run(series, np.concatenate((np.hstack((w, u)).ravel(), v)), samples, 12)
    own = np.concatenate(
        [np.arange(4) + row * (4 + size) for row in range(size)] + [np.arange(size * (4 + size), len(other[0]["parameter"]))]
    )
    for before, after in zip(one, other, strict=True):
        for name in ("cost", "cost_change", "sign", "error_sum", "error", "activation"):
            np.testing.assert_array_equal(before[name], after[name], err_msg=name)
        for name in ("parameter", "gradient"):
            np.testing.assert_array_equal(before[name], after[name][own], err_msg=name)
        assert not np.delete(after["gradient"], own).any()  # those of U, whose operands are 0


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_held_inputs_are_frames_that_are_alike(seed):
    rng = random.Random(seed)
    while not (held := random_series(rng, max_frames=5)).network.held:
        pass
    held = replace(held, perturbation=replace(held.perturbation, hold=held.unrolled.hold))
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
    while (spec := random_series(rng, max_frames=5)).network.held:
        pass
    n_in, frames = spec.network.n_in, spec.network.frames
    inputs, targets = random_series_samples(rng, spec, 3)
    lengths = np.where((inputs[:, 0] < 1) | (inputs[:, 0] > frames), frames, inputs[:, 0])
    cut = inputs.copy()
    cut[:, 0] = lengths
    cut[:, 1:][np.arange(frames * n_in) // n_in >= lengths[:, None]] = 0
    parameters = random_parameters(rng, spec)
    for n, (one, other) in enumerate(
        zip(run(spec, parameters, (inputs, targets), 9), run(spec, parameters, (cut, targets), 9), strict=True)
    ):
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name], err_msg=name)
        length = lengths[sample_number(spec, n) % 3]
        for name in ("preactivation", "activation", "state"):
            assert not one[name][:, ~spec.unrolled.evaluated(length)].any()
        for name in ("sign", "error_sum", "error"):
            assert not one[name][~spec.unrolled.perturbed(length)].any()


def test_leaks_and_spikes_by_hand():
    """Two frames of each kind, computed by hand from docs/design/series.md in units of the last place."""
    formats = Formats(activation=Fixed(True, 4, 2), state=Fixed(True, 3, 2), weight=Fixed(True, 4, 2))
    network = Network((1, 3, 3), Activation.IDENTITY, kinds=(Leaky(1), Lif(1)))
    spec = DesignSpec("x", network, replace(NODE, amplitude_log2=-2), SCHEDULE, formats=formats)
    z = np.array([5, -5, 0]) << (spec.preactivation_format(0).fraction_bits - 2)
    first = respond(spec, 0, z, np.zeros(3, dtype=np.int64))
    assert first.state.tolist() == [2, -3, 0]  # half of the way, rounded down
    assert respond(spec, 0, z, first.state).state.tolist() == [3, -4, 0]
    # v ← v − (v >>> 1) + i, the threshold 1 is 4, and −16 … 15 are all states.
    exactly = respond(spec, 1, np.array([4, 3, 5]) << (spec.preactivation_format(1).fraction_bits - 2), np.zeros(3, dtype=np.int64))
    assert exactly.output.tolist() == [1, 0, 1] and exactly.state.tolist() == [0, 3, 1]
    current = np.array([4, 3, -16]) << (spec.preactivation_format(1).fraction_bits - 2)
    found = respond(spec, 1, current, np.array([3, 0, -3]))
    assert found.output.tolist() == [1, 0, 0]
    assert found.state.tolist() == [3 - 1 + 4 - 4, 3, -16]
    assert found.state_outside.tolist() == [False, False, True]


@pytest.mark.parametrize("current, outside", [(31, 3), (40, 4)])
def test_states_out_of_range_are_counted_once_for_each_evaluation(current, outside):
    """Of four frames: with a current of 31 the sum is beyond 31 where v was positive, and 40 is beyond it by itself."""
    spec = DesignSpec(
        "x",
        Network((1, 1), kinds=(Lif(5),), frames=4, held=True, readout=Readout.SUM),
        replace(NODE, amplitude_log2=-4),
        SCHEDULE,
        formats=Formats(state=Fixed(True, 2, 4), weight=Fixed(True, 4, 8)),
    )
    parameters, sample = np.array([current << 4, 0]), (np.array([0]), np.array([0]))
    found = unroll(spec, parameters, sample)
    assert found.state_saturated == outside
    assert found.outputs.tolist() == [4]
    _, observed = step(spec, initial_state(spec, parameters), sample)
    sign = int(observed["sign"][0])  # the probe has a current of 1/16 more or less, which changes nothing but that of 31 − 1
    counters = dict(zip(COUNTERS, observed["counter"].tolist(), strict=True))
    assert counters["saturated_state"] == outside + (4 if current + sign > 31 else 3)
    assert counters["saturated_activation"] == 0


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_a_longer_hold_in_the_same_core(seed):
    """The register takes a longer hold. Quantities keep their numbers and signs, and segments without a frame have no perturbation."""
    rng = random.Random(seed)
    while not ((spec := random_series(rng, max_frames=6)).network.frames > 2 and spec.perturbation.segments is None):
        pass
    hold = rng.randint(spec.unrolled.hold, spec.network.frames)
    longer = replace(spec, perturbation=replace(spec.perturbation, hold=hold, segments=spec.unrolled.segments))
    assert longer.digest == spec.digest
    assert longer.quantities == spec.quantities
    parameters, samples = random_parameters(rng, spec), random_series_samples(rng, spec, 2)
    for one, other in zip(run(spec, parameters, samples, 2), run(longer, parameters, samples, 2), strict=True):
        both = (one["sign"] != 0) & (other["sign"] != 0)
        np.testing.assert_array_equal(one["sign"][both], other["sign"][both])
        assert not other["sign"][~longer.unrolled.perturbed(spec.network.frames)].any()
