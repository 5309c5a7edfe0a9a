"""The whole walk of a co-simulation, with a stand-in that plays the reference's own observables, and faults planted in them."""

import dataclasses

import numpy as np
import pytest

from python_ref.fixed.machine import step
from python_ref.spec.probes import COUNTERS, probes, values_per_step
from python_ref.trace import Run
from rtl_gen.probe import event_layouts
from sim.cosim import cosim
from sim.simulators import Options
from tests.support.mock_core import DESIGNS, MockCore, events, stored_answers

STEPS = 6


def a_run(spec, steps=STEPS):
    """A run on random samples."""
    random = np.random.default_rng(5)
    parameters = random.integers(-3000, 3000, spec.network.n_parameters)
    inputs = random.integers(0, 256, (4, spec.network.n_in))
    targets = random.integers(-500, 500, (4, spec.network.n_out))
    return Run(spec, parameters, inputs, targets, np.arange(steps) % 4, steps, 11)


def reference(run):
    """Its observables."""
    state, found = run.initial_state(), []
    for number in range(run.steps):
        state, observed = step(run.spec, state, run.sample(number))
        found.append(observed)
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


def test_equal(tmp_path):
    for name in ("one-sided", "two-sided", "momentum", "rates", "rates-inside", "two-probes", "one-at-a-time"):
        spec = DESIGNS[name]
        run = a_run(spec)
        found = reference(run)
        core = MockCore(spec, events(spec, found), answers=stored_answers(spec, found))
        result = cosim(run, core, tmp_path / name, simulator="amaranth")
        assert result.equal, result
        assert result.compared == STEPS * values_per_step(spec)
        assert (result.mismatches, result.first_difference, result.failure) == (0, None, None)
        assert result.cycles > 0 and result.cycles_per_step == result.cycles / STEPS


@pytest.mark.usefixtures("reference_in_process")
@pytest.mark.parametrize(
    ("name", "observable"),
    [(name, probe.name) for name in ("momentum", "weight-momentum", "two-probes") for probe in probes(DESIGNS[name])],
)
def test_a_flipped_bit_is_found_in_every_observable(tmp_path, name, observable):
    spec = DESIGNS[name]
    run = a_run(spec)
    found = reference(run)
    probe = next(probe for probe in probes(spec) if probe.name == observable)
    random = np.random.default_rng(len(observable))
    index = (STEPS - 1, *(int(random.integers(size)) for size in probe.shape))  # in node perturbation, a presentation ends there
    if observable in ("preactivation", "activation", "cost"):
        index = (STEPS - 1, spec.passes - 1, *index[2:])
    if observable == "counter":  # one of those that the core has
        shown = [*COUNTERS[:5], *(f"saturated_{kind}" for kind in spec.shown_saturations)]
        index = (STEPS - 1, COUNTERS.index(shown[int(random.integers(len(shown)))]))
    broken = {key: values.copy() for key, values in found.items()}
    broken[observable][index] ^= 1
    core = MockCore(spec, events(spec, broken), answers=stored_answers(spec, broken))
    result = cosim(run, core, tmp_path, simulator="amaranth")
    assert not result.equal
    assert result.mismatches == 1 and result.by_observable == {observable: 1}
    first = result.first_difference
    assert (first.step, first.observable, first.index) == (STEPS - 1, observable, index[1:])
    assert (first.expected_raw, first.found_raw) == (found[observable][index], broken[observable][index])
    assert first.place in str(first)


@pytest.mark.usefixtures("reference_in_process")
@pytest.mark.parametrize(("observable", "index"), [("sign", 6), ("error_sum", 5), ("error", 0)])
def test_a_difference_at_a_neuron_names_the_neuron(tmp_path, observable, index):
    spec = DESIGNS["two-probes"]
    run = a_run(spec)
    broken = reference(run)
    broken[observable][STEPS - 1, index] ^= 1
    result = cosim(run, MockCore(spec, events(spec, broken), answers=stored_answers(spec, broken)), tmp_path, simulator="amaranth")
    layer, neuron = divmod(index, 5)
    assert str(result.first_difference).startswith(f"step 5, {observable}[{index}] (layer {layer}, neuron {neuron}): the reference has ")


@pytest.mark.usefixtures("reference_in_process")
def test_the_first_difference_is_the_first_in_time(tmp_path):
    spec = DESIGNS["two-sided"]
    run = a_run(spec)
    found = reference(run)
    broken = {name: values.copy() for name, values in found.items()}
    broken["parameter"][2, 0] ^= 1
    broken["preactivation"][3, 0, 1] ^= 1
    broken["activation"][2, 0, 6] ^= 1  # layer 1
    broken["activation"][2, 0, 4] ^= 1  # layer 0, before it
    broken["preactivation"][2, 1, 0] ^= 1  # pass 1, after it
    core = MockCore(spec, events(spec, broken), answers=stored_answers(spec, broken))
    result = cosim(run, core, tmp_path, simulator="amaranth")
    assert result.mismatches == 5
    assert str(result.first_difference).startswith("step 2, activation[0, 4] (pass 0, layer 0, neuron 4): the reference has ")


@pytest.mark.usefixtures("reference_in_process")
@pytest.mark.parametrize("fast", [False, True])
def test_before_a_window_only_signatures_are_compared(tmp_path, fast):
    spec = DESIGNS["one-sided"]
    run = a_run(spec, 9)
    found = reference(run)
    core = MockCore(spec, events(spec, found), answers=stored_answers(spec, found))
    result = cosim(run, core, tmp_path, simulator="amaranth", first=7, fast_reference=fast)
    assert result.equal and result.compared == 2 * values_per_step(spec) + 7 * 2
    found["signature"][3, 1] ^= 1
    found["parameter"][3, 0] ^= 1
    result = cosim(run, MockCore(spec, events(spec, found)), tmp_path, simulator="amaranth", first=7, fast_reference=fast)
    assert result.mismatches == 1
    assert str(result.first_difference).startswith("step 3, signature[1] (learned): the reference has ")


@pytest.mark.usefixtures("reference_in_process")
def test_a_core_that_stops_short_is_unequal(tmp_path):
    spec = DESIGNS["one-sided"]
    run = a_run(spec)
    core = MockCore(spec, events(spec, reference(a_run(spec, 4))), hang=True)
    result = cosim(run, core, tmp_path, simulator="amaranth", options=Options(patience=200))
    assert not result.equal
    assert result.failure.startswith("The core made no progress for 200 cycles: in cycle ")
    assert result.mismatches == 2 * values_per_step(spec)


@pytest.mark.usefixtures("reference_in_process")
def test_a_core_that_goes_on_and_on_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("sim.cosim._MAX_PENDING_WORDS", 64)
    spec = DESIGNS["one-sided"]
    run = a_run(spec)
    shown = events(spec, reference(run))
    neuron = next(event for event in shown if event[0] == "neuron")
    core = MockCore(spec, [*shown, *1000 * [neuron]], hang=True)
    result = cosim(run, core, tmp_path, simulator="amaranth", options=Options(patience=300))
    assert not result.equal
    assert result.failure.startswith("The core goes on and on: it showed ")


@pytest.mark.usefixtures("reference_in_process")
def test_a_missing_pass_is_a_failure(tmp_path):
    spec = DESIGNS["weight-momentum"]
    run = a_run(spec)
    shown = events(spec, reference(run))
    layouts = event_layouts(spec)

    def unperturbed(kind):
        return [i for i, (event, payload) in enumerate(shown) if event == kind and layouts[kind].from_bits(payload)["pass"] == 0]

    gone = {*unperturbed("neuron")[spec.network.n_neurons :], *unperturbed("cost")[1:]}
    core = MockCore(spec, [each for place, each in enumerate(shown) if place not in gone])
    result = cosim(run, core, tmp_path, simulator="amaranth", options=Options(patience=200))
    assert not result.equal
    assert result.failure.startswith("Step 4: the core's neuron events must belong to pass 0, and do not: ")
    assert result.mismatches == 2 * values_per_step(spec)


@pytest.mark.usefixtures("reference_in_process")
@pytest.mark.parametrize("kept", ["cost", "neither"])
def test_a_missing_unperturbed_pass_is_a_failure(tmp_path, kept):
    spec = DESIGNS["momentum"]
    run = a_run(spec)
    shown, layouts = events(spec, reference(run)), event_layouts(spec)

    def unperturbed(kind):
        return [i for i, (event, payload) in enumerate(shown) if event == kind and layouts[kind].from_bits(payload)["pass"] == 0]

    gone = {*unperturbed("neuron")[spec.network.n_neurons :], *(unperturbed("cost")[1:] if kept == "neither" else ())}
    core = MockCore(spec, [each for place, each in enumerate(shown) if place not in gone])
    result = cosim(run, core, tmp_path, simulator="amaranth", options=Options(patience=200))
    assert not result.equal
    assert result.failure.startswith("The core showed 4 complete steps of 6, and then ")
    assert result.mismatches == 2 * values_per_step(spec)


@pytest.mark.usefixtures("reference_in_process")
def test_what_the_host_reads_is_checked(tmp_path):
    spec = DESIGNS["one-sided"]
    run = a_run(spec)
    found = reference(run)
    answers = stored_answers(spec, found)
    for place, message in ((0, "The host reads 7 from register steps, and the core showed 6 "), (-1, "The host reads raw ")):
        changed = list(answers)
        changed[place] ^= 1
        result = cosim(run, MockCore(spec, events(spec, found), answers=changed), tmp_path, simulator="amaranth")
        assert not result.equal and result.mismatches == 0
        assert result.failure.startswith(message)


def test_traces_of_other_runs_are_refused(tmp_path):
    from python_ref.record import write_reference
    from python_ref.trace import Trace
    from sim.compare import compare

    run = a_run(DESIGNS["one-sided"])
    write_reference(run, tmp_path / "a")
    write_reference(dataclasses.replace(run, seed=12), tmp_path / "b")
    with pytest.raises(ValueError, match=r"^Traces must be of the same run, not "):
        compare(run.spec, Trace.open(tmp_path / "a"), Trace.open(tmp_path / "b"))
    with pytest.raises(ValueError, match=r"^Traces must be of the design "):
        compare(DESIGNS["two-sided"], Trace.open(tmp_path / "a"), Trace.open(tmp_path / "a"))
