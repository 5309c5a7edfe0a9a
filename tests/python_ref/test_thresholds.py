"""Stochastic layers of a specification: what they refuse, the formats that follow, and the words of thresholds that a run takes."""

from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np
import pytest

from mgd_hw.design.reader import parse
from python_ref.fixed.machine import initial_state, step
from python_ref.fixed.perturbation import BitStream
from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import DesignError
from python_ref.spec.layers import DENSE, LayerKind, Leaky, Sparse, Stochastic
from python_ref.spec.number import Fixed
from python_ref.spec.perturbation import Code, LfsrCode, SequentialCode, WalshCode
from python_ref.spec.registers import stream_beats, stream_widths
from sim.host import seed_words
from tests.support.node_designs import node_design

SIGMOID = Activation.SIGMOID


def design(kinds: tuple[LayerKind, ...] = (Stochastic(2), Stochastic(4), DENSE), code: Code | None = None, **changes: object) -> DesignSpec:
    given: dict = {"sizes": (3, 4, 3, 2), "hidden": SIGMOID, "periods": (1, 9, 9)} | changes
    return node_design(code=SequentialCode() if code is None else code, kinds=kinds, **given)


# -- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draws", [0, 3, 32, True, 2.0, "2"])
def test_other_numbers_of_draws_are_refused(draws: object) -> None:
    with pytest.raises(DesignError, match=r"draws must be 1, 2, 4, 8 or 16\. Write draws = 8, say\."):
        design((Stochastic(draws), DENSE, DENSE))  # type: ignore[arg-type]


@pytest.mark.parametrize("activation", [each for each in Activation if each.signed or not each.bounded])
def test_an_activation_is_a_probability(activation: Activation) -> None:
    with pytest.raises(DesignError, match=r"network\.hidden = .*Write hidden = \"sigmoid\" or hidden = \"hard-sigmoid\""):
        design(hidden=activation)
    with pytest.raises(DesignError, match=r"network\.output = .*Write output = \"sigmoid\""):
        design((DENSE, DENSE, Stochastic()), output=activation)
    assert design((Stochastic(), DENSE, DENSE), output=activation).network.random  # a layer that is not stochastic may have it


def test_a_word_holds_the_thresholds() -> None:
    for draws in Stochastic.COUNTS:
        least, most = draws.bit_length(), min(16, 126 // draws)
        for bits in (least, most):
            assert design((Stochastic(draws), DENSE, DENSE), activation=Fixed(True, 2, bits)).thresholds
        with pytest.raises(DesignError, match=f"need {least} fraction bits"):
            design((Stochastic(draws), DENSE, DENSE), activation=Fixed(True, 2, least - 1))
    with pytest.raises(DesignError, match=r"layer 1 draws 8 thresholds of 16 bits, and a word has 126\. .*such as 'SQ2\.15'"):
        design((Stochastic(8), DENSE, DENSE), activation=Fixed(True, 2, 16))


def test_state_beside_random_outputs_is_refused() -> None:
    with pytest.raises(DesignError, match="layer 2 is stochastic, and no network with state is built"):
        design((Leaky(1), Stochastic(2), DENSE))


# -- What follows -----------------------------------------------------------------------------------------------------


def test_formats_and_offsets() -> None:
    spec, same = design(), design(())
    assert [spec.output_format(layer) for layer in range(3)] == [Fixed(False, 1, 1), Fixed(False, 1, 2), spec.formats.activation]
    assert [spec.operand_format(layer).fraction_bits for layer in range(3)] == [6, 1, 2]
    assert spec.factor_format == Fixed.covering(-4, 4, 0)
    assert same.factor_format == Fixed(True, 2, 0)
    assert [spec.delta(layer) > 0 for layer in range(3)] == [False, False, True]
    assert [spec.error_offset(layer) for layer in range(3)] == [-5, -5, 0]  # the amplitude is 2^-4
    assert design(two_sided=True).error_offset(0) == -4
    change = spec.cost_change_format
    assert spec.error_sum_format == Fixed.covering(min(4 * change.min, -4 * change.max), 4 * -change.min, change.fraction_bits)
    assert not spec.incremental
    assert same.incremental


def test_the_amplitude_is_that_of_neurons_without_noise() -> None:
    """Where all neurons are stochastic it is added nowhere, so that no format limits it, and errors do not depend on it."""
    spec = design((Stochastic(),) * 3, output=SIGMOID)
    tiny = replace(spec, perturbation=replace(spec.perturbation, amplitude_log2=-30))
    assert tiny.exponent_at(0) + tiny.error_offset(0) == spec.exponent_at(0) + spec.error_offset(0) == spec.schedule.rate_at(0) - 1
    with pytest.raises(DesignError, match="below the last place"):
        replace(design(), perturbation=replace(spec.perturbation, amplitude_log2=-30))


def test_a_derived_activation_fits_a_word() -> None:
    layers = 'name = "x"\n[network]\nlayers = [2, {{neurons = 4, kind = "stochastic"{}}}, 1]\nhidden = "sigmoid"\n[data]\ntask = "xor"\n'
    found = [parse(layers.format(more), "x.toml").spec.formats.activation.fraction_bits for more in ("", ", draws = 8", ", draws = 16")]
    assert found == [10, 10, 7]


def test_fixed_thresholds_round_to_the_nearest() -> None:
    for draws in Stochastic.COUNTS:
        spec = design((Stochastic(draws), DENSE, DENSE), activation=Fixed(True, 2, 7))
        assert spec.thresholds
        for f in range(129):
            assert np.count_nonzero(f > spec.thresholds.fixed(draws)) == floor(Fraction(f * draws, 128) + Fraction(1, 2))


def test_a_digest_has_the_draws() -> None:
    assert len({design((Stochastic(draws), DENSE, DENSE)).digest for draws in (1, 2, 4)} | {design(()).digest}) == 4


# -- The words that a run takes ---------------------------------------------------------------------------------------

RUNS = {
    "sequential": design(periods=(1, 18, 18)),
    "each neuron twice": design(periods=(2, 18, 9)),
    "random": design(code=LfsrCode(), periods=(1, 4, 6), gradient_memory=True),
    "two-sided": design(code=LfsrCode(), periods=(2, 4, 4), two_sided=True),
    "walsh, sparse": design((Stochastic(2), Sparse(2, 3), Stochastic(1)), WalshCode(), output=SIGMOID, periods=(1, 16, 16)),
    "parts": design(code=LfsrCode(), parts=((1, 2), (2, 1)), periods=(1, 6, 3)),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_resumed_run_takes_the_words_that_follow(name: str) -> None:
    """At steps where all periods begin, by the count of the model; and the host loads the state of the generator there."""
    spec, rng = RUNS[name], np.random.default_rng(1)
    x, t = rng.integers(0, 64, 3), rng.integers(0, 128, 2)
    state, seen = initial_state(spec, rng.integers(-500, 500, spec.network.n_parameters)), 0
    schedule, thresholds = spec.schedule, spec.thresholds
    assert thresholds
    for number in range(73):
        if all(number % period == 0 for period in (schedule.perturbation_period, schedule.sample_period, schedule.update_period)):
            assert state.drawn == spec.threshold_words(number)
            words, beats = seed_words(spec, None, number), stream_beats(spec)
            per_beat, widths = len(words) // beats, stream_widths(spec)
            packed = [sum(word << 32 * place for place, word in enumerate(words[k * per_beat :][:per_beat])) for k in range(beats)]
            own = sum((beat >> sum(widths[:-1])) << k * widths[-1] for k, beat in enumerate(packed))
            loaded = own >> beats * widths[-1] - thresholds.generator.degree
            assert loaded == BitStream(thresholds.generator, spec.perturbation.seed).state(state.drawn * thresholds.word_bits)
            seen += 1
        state, _ = step(spec, state, (x, t))
    assert seen >= 3
    assert state.drawn > spec.threshold_words(0) == 0


def test_a_load_does_not_move_the_stream() -> None:
    spec, rng = RUNS["random"], np.random.default_rng(2)
    sample = rng.integers(0, 64, 3), rng.integers(0, 128, 2)
    state = initial_state(spec, rng.integers(-500, 500, spec.network.n_parameters))
    before, _ = step(spec, state, sample)
    loaded = before.with_load()
    assert loaded.drawn == before.drawn == 14  # seven neurons in the unperturbed pass, and in the probe
    after, _ = step(spec, loaded, sample)
    assert after.drawn == 28
