"""Signs and stochastic words against a shift register of one bit at a time, and their statistics."""

import random
from itertools import combinations, islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_ref.fixed.perturbation import BitStream, SignSource, StochasticSource
from python_ref.spec.design import DesignSpec, Hardware
from python_ref.spec.network import Network
from python_ref.spec.perturbation import Kind, LfsrCode, Perturbation, SequentialCode, Trinomial, WalshCode, WalshGrayCode
from python_ref.spec.schedule import Schedule
from tests.support.designs import random_design
from tests.support.oracle import serial_bits
from tests.support.oracles import oracle_of, signs_of


def design(sizes: tuple[int, ...], kind: Kind, code: object, lanes: int, seed: int = 1) -> DesignSpec:
    return DesignSpec("signs", Network(sizes), Perturbation(kind, code, -6, seed), Schedule(((0, -8),)), hardware=Hardware(lanes))


@pytest.mark.parametrize("degree", [63, 127])
@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_a_stream_equals_a_serial_register(degree, seed):
    stream = BitStream(Trinomial(degree, 5, "signs"), seed)
    serial = np.array(list(islice(serial_bits(degree, seed, "signs"), 20_000)))
    np.testing.assert_array_equal(stream.bits(0, len(serial)), serial)
    np.testing.assert_array_equal(stream.words(100, 50).ravel(), serial[500:750])
    for first in (1, 62, 63, 64, 126, 127, 128, 5000, 19_900):
        np.testing.assert_array_equal(BitStream(stream.generator, seed).bits(first, 100), serial[first : first + 100])


@pytest.mark.parametrize("degree", [63, 127])
def test_far_jumps_agree_with_near_ones(degree):
    """Beyond what a serial register reaches: a block across 2⁵⁰, and the whole period back to the start."""
    stream, far = BitStream(Trinomial(degree, 5, "signs"), 7), 1 << 50
    bits = stream.bits(far - 300, 100_000)
    np.testing.assert_array_equal(bits[degree:], bits[:-degree] ^ bits[1 : 1 - degree])
    np.testing.assert_array_equal(BitStream(stream.generator, 7).bits(far, 1000), bits[300:1300])
    assert stream.state(2**degree - 1) == stream.state(0) != stream.state((2**degree - 1) // 7 if degree == 63 else 1)


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_signs_equal_the_oracle_in_any_order(seed):
    rng = random.Random(seed)
    spec = random_design(rng, max_lanes=256 if rng.random() < 0.3 else 10)
    other = rng.randrange(1 << 63)
    oracle, source = oracle_of(spec, seed=other), SignSource(spec, other)
    for p in [0, 1, 2, *(rng.randrange(40) for _ in range(4))]:
        assert source.signs(p).tolist() == signs_of(oracle, p)
    np.testing.assert_array_equal(source.block(3, 5), [source.signs(p) for p in range(3, 8)])


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("lanes", [62, 63, 126, 127, 252, 253])
def test_wide_arrays_take_bits_from_several_generators(kind, lanes):
    spec = design((1, lanes + 2), kind, LfsrCode(), lanes)
    oracle, source = oracle_of(spec, seed=3), SignSource(spec, 3)
    for p in (0, 1, 5):
        assert source.signs(p).tolist() == signs_of(oracle, p)


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_stochastic_words_equal_the_oracle(seed):
    rng = random.Random(seed)
    spec = random_design(rng)
    oracle, source = oracle_of(spec, seed=5), StochasticSource(spec, 5)
    for update in (0, 1, rng.randrange(20), rng.randrange(20)):
        words = source.words(update)
        assert words.shape == (spec.rounding_words,)
        oracle.u = update
        if spec.node:
            places = [(layer, i) for layer, n_in in enumerate(spec.network.sizes[:-1]) for i in range(n_in + 1)]
            for word, (layer, i) in zip(words.tolist(), places, strict=True):
                for kind, dropped in oracle.dropped(layer).items():
                    assert word % 2 ** max(0, dropped) == oracle.random(layer, i, kind) * 2 ** max(0, dropped)
        else:
            expected = [oracle.random(slot, spec.stochastic_bits) * 2**spec.stochastic_bits for slot, *_ in oracle.words_of_pass]
            assert words[spec.layout.word_slot].tolist() == expected


def test_seeds_and_streams_differ():
    spec = design((3, 4), Kind.WEIGHT, LfsrCode(), 4, seed=9)
    runs = {seed: SignSource(spec, seed).block(0, 40).tobytes() for seed in (None, 9, 10, 11)}
    assert runs[None] == runs[9]
    assert len(set(runs.values())) == 3
    states = {Trinomial(127, 3, stream).seed_state(seed) for stream in ("signs", "signs.1", "stochastic") for seed in range(20)}
    assert len(states) == 60


# -- Statistics. Bounds are five standard deviations of what independent fair signs would show. ----------------------


@pytest.fixture(scope="module")
def random_signs() -> np.ndarray:
    """200,000 sign vectors of a node-perturbed network of 2 layers with 12 neurons, on 5 lanes."""
    return SignSource(design((3, 7, 5), Kind.NODE, LfsrCode(), 5)).block(0, 200_000).astype(np.int64)


def test_random_signs_are_balanced(random_signs):
    assert set(np.unique(random_signs)) == {-1, 1}
    assert np.abs(random_signs.mean(axis=0)).max() < 5 / len(random_signs) ** 0.5


def test_random_signs_are_uncorrelated_in_pairs(random_signs):
    bound = 5 / len(random_signs) ** 0.5
    for lag in (0, 1, 2, 3, 7):
        later, earlier = random_signs[lag:], random_signs[: len(random_signs) - lag]
        pairs = earlier.T @ later / len(earlier)
        assert np.abs(pairs - (np.eye(len(pairs)) if lag == 0 else 0)).max() < bound, lag


def test_random_signs_are_uncorrelated_in_triples(random_signs):
    bound = 5 / len(random_signs) ** 0.5
    for a, b, c in combinations(range(random_signs.shape[1]), 3):
        assert abs((random_signs[:, a] * random_signs[:, b] * random_signs[:, c]).mean()) < bound


def test_the_inversion_cancels_the_triple_of_the_trinomial():
    """s[t]·s[t + 1]·s[t + 63] of one vector: the same sign for ever without the inversion of odd p, none on average with it.

    80 weights in the slots and lanes of a single layer draw bits t, t + 1 and t + 63 at once.
    """
    spec = design((19, 4), Kind.WEIGHT, LfsrCode(), 4)
    vectors = np.empty((1000, 80), dtype=np.int64)
    vectors[:, spec.layout.parameter_order] = SignSource(spec).block(0, 1000)  # by order of drawing: no slot is padding
    uninverted = vectors * np.where(np.arange(1000) % 2, -1, 1)[:, None]
    for t in range(17):
        inverted_triple = vectors[:, t] * vectors[:, t + 1] * vectors[:, t + 63]
        plain_triple = uninverted[:, t] * uninverted[:, t + 1] * uninverted[:, t + 63]
        assert abs(plain_triple.sum()) == 1000
        assert inverted_triple.sum() == 0


@pytest.mark.parametrize("code", [WalshCode(), WalshGrayCode()], ids=lambda code: code.name)
def test_walsh_signs_are_orthogonal_over_a_period(code):
    for kind, lanes in ((Kind.NODE, 3), (Kind.WEIGHT, 2), (Kind.WEIGHT, 16)):
        spec = design((3, 4, 2), kind, code, lanes)
        period = 1 << int(spec.quantities).bit_length()
        signs = SignSource(spec).block(0, period).astype(np.int64)
        np.testing.assert_array_equal(signs.T @ signs, period * np.eye(spec.quantities))
        np.testing.assert_array_equal(signs.sum(axis=0), 0)
        np.testing.assert_array_equal(SignSource(spec).block(5 * period, period), signs)


@pytest.mark.parametrize("quantities", [1, 2, 7, 8, 9, 64])
def test_walsh_gray_flips_one_rademacher_row_from_probe_to_probe(quantities):
    """Over a whole period, its end included. A Rademacher row is ±1 by one bit of the index, which counts from 1."""
    code = WalshGrayCode()
    period = code.period(quantities)
    bits = period.bit_length() - 1
    rademacher = [[1 - 2 * (index >> bit & 1) for index in range(1, quantities + 1)] for bit in range(bits)]
    phase = np.arange(period + 1)[:, None] % period
    signs = code.signs(np.arange(quantities), phase, np.zeros((period + 1, quantities), np.uint8)).astype(int)
    flipped = [rademacher.index(row) for row in (signs[1:] * signs[:-1]).tolist()]
    assert flipped == [*((q & -q).bit_length() - 1 for q in range(1, period)), bits - 1]
    walsh = WalshCode().signs(np.arange(quantities), phase[:-1], np.zeros((period, quantities), np.uint8))
    assert sorted(walsh.tolist()) == sorted(signs[:-1].tolist()), "the same sign vectors, in another order"
    np.testing.assert_array_equal(signs[:-1].T @ signs[:-1], period * np.eye(quantities))


def test_sequential_signs_visit_every_quantity_once():
    for kind, lanes in ((Kind.NODE, 3), (Kind.WEIGHT, 2), (Kind.WEIGHT, 16)):
        spec = design((3, 4, 2), kind, SequentialCode(), lanes)
        signs = SignSource(spec).block(0, spec.quantities)
        np.testing.assert_array_equal(np.sort(signs, axis=0)[:-1], 0)
        np.testing.assert_array_equal(signs.sum(axis=0), 1)
        np.testing.assert_array_equal(signs.sum(axis=1), 1)


def test_stochastic_words_are_uniform_and_unlike_the_signs():
    spec = design((31, 8), Kind.WEIGHT, LfsrCode(), 8)
    source = StochasticSource(spec)
    words = np.concatenate([source.words(update) for update in range(3_000)])
    counts = np.bincount(words, minlength=1 << spec.stochastic_bits)
    assert len(counts) == 256
    assert np.abs(counts - len(words) / 256).max() < 6 * (len(words) / 256) ** 0.5
    signs = (SignSource(spec).block(0, 300) < 0).astype(np.int64)
    bits = words[: signs.size].reshape(signs.shape) & 1
    assert abs((signs ^ bits).mean() - 0.5) < 5 * 0.5 / signs.size**0.5
