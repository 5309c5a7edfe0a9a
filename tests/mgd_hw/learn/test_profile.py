"""What is seen of a run's numbers: counts by place, bits that are never used, the ends of the range, the same run as that of compare."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mgd_hw.data import load as load_data
from mgd_hw.design.reader import load, parse
from mgd_hw.learn.compare import compare_models
from mgd_hw.learn.profile import NumericProfile, profile_numbers, values_of
from python_ref.datasets import quantise
from python_ref.fixed import machine
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.number import Fixed


@pytest.fixture(scope="module")
def observed() -> NumericProfile:
    design = load("xor")
    return profile_numbers(design, load_data(design.data), steps=600, points=4, window=8)


@pytest.mark.parametrize("text", ["SQ3.2", "UQ2.3", "SQ1.5"])
def test_counts_of_every_value(text: str) -> None:
    """All values of a format: every bit is used, each place twice as often as the one below, and the ends are two (or one)."""
    form = Fixed.parse(text)
    found = values_of(np.arange(form.min, form.max + 1), form)
    assert (found.count, found.zero) == (1 << form.width, 1)
    assert (found.idle_high, found.idle_low, found.at_limits) == (0, 0, 1 + form.signed)
    assert (
        (found.least, found.greatest)
        == (found.lowest, found.highest)
        == (form.min / 2**form.fraction_bits, form.max / 2**form.fraction_bits)
    )
    sizes = Counter(min(abs(raw).bit_length() - 1, len(found.leading) - 1) for raw in range(form.min, form.max + 1) if raw)
    assert found.leading == tuple(sizes[place] for place in range(len(found.leading)))


@pytest.mark.parametrize(
    "raw, high, low",
    [([0, 0], 7, 7), ([-1], 7, 0), ([-128], 0, 7), ([64, -4], 0, 2), ([3, -4], 5, 0), ([1, 0, -2], 6, 0), ([32], 1, 5)],
)
def test_bits_that_are_never_used(raw: list[int], high: int, low: int) -> None:
    """By hand, in SQ8.0: bits below the sign that repeat it; lowest bits that are 0."""
    found = values_of(np.array(raw), Fixed(True, 8, 0))
    assert (found.idle_high, found.idle_low) == (high, low)


def test_what_is_looked_at(observed: NumericProfile) -> None:
    spec = load("xor").spec
    kinds = {values.key: values for values in observed.values if values.key}
    assert {"formats.input", "formats.weight", "formats.activation"} <= kinds.keys()
    assert {values.format for values in observed.values} >= {str(spec.cost_format), str(spec.preactivation_format(1))}
    for values in observed.values:
        assert sum(values.leading) + values.zero == values.count > 0
        assert values.lowest <= values.least <= values.greatest <= values.highest
    assert observed.moments[0] == 0 and observed.moments[-1] == observed.steps == 600
    assert [each.step for each in observed.directions] == list(observed.moments)


def test_the_run_is_that_of_compare(observed: NumericProfile) -> None:
    """Looking does not change it: parameters end where they end in a comparison, and at its start the cosine is the same."""
    design = load("xor")
    result = compare_models(design, load_data(design.data), seeds=1, steps=600)
    counted = result.fixed.saturations
    by_key = {values.name: values for values in observed.values}
    assert by_key["activations y"].saturated == counted["activation"]
    assert by_key["weights and biases θ"].saturated == counted["update"] + counted["weight"]
    assert result.agreement is not None
    assert observed.directions[0].cosine_fixed == result.agreement.cosine_fixed
    final = result.fixed.runs[0].parameters
    assert by_key["weights and biases θ"].greatest >= final.max()


def test_saturation_is_seen() -> None:
    text = load("digits").text.replace("scale = 0.25", "scale = 1.0")
    design = parse(text, "digits.toml")
    narrow = replace(design, spec=replace(design.spec, formats=replace(design.spec.formats, activation=Fixed(True, 1, 9))))
    found = profile_numbers(narrow, load_data(design.data), steps=40, points=2, window=8)
    values = next(each for each in found.values if each.key == "formats.activation")
    assert values.saturated and values.at_limits and not values.idle_high


@pytest.mark.parametrize("update_period", [4, 12])
def test_errors_are_observed_where_presentations_end(update_period: int) -> None:
    """The first 24 steps have 6 presentations of 4 steps each; with an update after every third one, G is kept."""
    text = f'data.task = "xor"\nperturbation.kind = "node"\nschedule.sample_period = 4\nschedule.update_period = {update_period}\n'
    design = parse(text, "probes.toml")
    neurons, parameters = design.spec.network.n_neurons, design.spec.network.n_parameters
    found = profile_numbers(design, load_data(design.data), steps=24, points=1, window=24)
    values = {each.name: each for each in found.values}
    assert values["errors of neurons"].count == 6 * neurons and values["errors of neurons"].key == "formats.error"
    assert values["sums E of cost changes at the neurons"].count == 24 * neurons
    assert values["errors of neurons"].zero < 6 * neurons
    assert ("sums of gradients G" in values) == (update_period == 12)
    if update_period == 12:
        assert values["sums of gradients G"].count == 6 * parameters
    assert "updates u before their sign" not in values


STATEFUL = """
network.layers = [2, {neurons = 3, kind = "lif", leak = 1}, {neurons = 2, kind = "leaky", leak = 1}, 2]
network.frames = 4
network.scale = 4.0
hardware.lanes = 2
data.task = "random"
schedule.sample_period = 3
schedule.update_period = 3
"""


def test_layers_with_state_are_told_apart_and_missing_frames_left_out() -> None:
    """Against the one-page model, step by step; evaluation 5·t + j is neuron j in frame t, and 20 and 21 are the outputs."""
    design = parse(STATEFUL, "stateful.toml")
    spec, data, steps = design.spec, load_data(design.data), 24
    found = {each.name: each for each in profile_numbers(design, data, steps=steps, points=1, window=steps).values}
    inputs, targets = quantise(spec, data.train)
    state = machine.initial_state(spec, quantise_parameters(spec, initial_parameters(spec)))
    seen: dict[str, list[int]] = {}
    lengths = set()
    for n in range(steps):
        row = data.order.indices(n // 3, 1)[0]
        state, shown = machine.step(spec, state, (inputs[row], targets[row]))
        length = int(inputs[row][0])
        lengths.add(length)
        for number in (0, 1):
            for frame in range(length):
                first = 5 * frame
                seen.setdefault("spikes of layer 1", []).extend(shown["activation"][number][first : first + 3])
                seen.setdefault("states v of layer 1", []).extend(shown["state"][number][first : first + 3])
                seen.setdefault("pre-activations z of layer 1", []).extend(shown["preactivation"][number][first : first + 3])
                seen.setdefault("activations y", []).extend(shown["activation"][number][first + 3 : first + 5])
                seen.setdefault("states h of layer 2", []).extend(shown["state"][number][first + 3 : first + 5])
                seen.setdefault("pre-activations z of layer 2", []).extend(shown["preactivation"][number][first + 3 : first + 5])
            seen["activations y"].extend(shown["activation"][number][20:])
            seen.setdefault("pre-activations z of layer 3", []).extend(shown["preactivation"][number][20:])
        if (n + 1) % 3 == 0:
            seen.setdefault("errors of neurons", []).extend([*shown["error"][: 5 * length], *shown["error"][20:]])
        seen.setdefault("sums E of cost changes at the neurons", []).extend([*shown["error_sum"][: 5 * length], *shown["error_sum"][20:]])
    assert len(lengths) > 1
    for name, raw in seen.items():
        last = 2.0 ** -Fixed.parse(found[name].format).fraction_bits
        assert (found[name].count, found[name].zero) == (len(raw), raw.count(0)), name
        assert (found[name].least, found[name].greatest) == (min(raw) * last, max(raw) * last), name
    assert found["spikes of layer 1"].zero < found["spikes of layer 1"].count
    assert (found["states v of layer 1"].key, found["states h of layer 2"].key) == ("formats.state", "formats.activation")
    given = [value for words in inputs for value in words[1 : 1 + 2 * words[0]]]
    assert (found["inputs x"].count, found["inputs x"].zero) == (len(given), given.count(0))
    assert found["inputs x"].greatest == max(given) * 2.0**-spec.formats.input.fraction_bits
    places = Counter(int(value).bit_length() - 1 for value in given if value)
    assert found["inputs x"].leading == tuple(places[place] for place in range(len(found["inputs x"].leading)))
