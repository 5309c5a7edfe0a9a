"""The oracle of stochastic layers, against small networks computed by hand and a stream that is written here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from types import SimpleNamespace

import pytest

from python_ref.spec.formats import Cast
from python_ref.spec.number import Fixed, Overflow, Rounding
from tests.support.stochastic_oracle import StochasticOracle, fixed_thresholds

WIDE = Fixed(True, 12, 30)
UNIT = 2**30
"""Of formats in which nothing here is rounded."""
SEED = 7


def oracle(sizes: tuple[int, ...], kinds: list[int | None], theta: list[Fraction], **given: object) -> StochasticOracle:
    """An oracle with formats that round nothing but f(z), of Δ = η = 1/4, hence e = 0; ``kinds`` are the draws of each layer, or None."""
    probes = given.pop("probes", 1)
    bits = {"fraction_bits": 4, "code": "lfsr", "parts": (), "difference": "one-sided", "output": "hard-sigmoid"} | given
    sigmoid, output = SimpleNamespace(value="hard-sigmoid"), SimpleNamespace(value=bits["output"])
    cast = Cast(Rounding.HALF_EVEN, Overflow.SATURATE)
    activation = Fixed(True, 3, bits["fraction_bits"])
    formats = {"input": WIDE, "weight": WIDE, "activation": activation, "gradient": WIDE, "cost_change": None}
    casts = {f"{name}_cast": cast for name in ("activation", "gradient", "weight", "cost_change")}
    layers = [SimpleNamespace(name="dense") if draws is None else SimpleNamespace(name="stochastic", draws=draws) for draws in kinds]
    spec = SimpleNamespace(
        network=SimpleNamespace(sizes=sizes, kinds=layers, hidden=sigmoid, output=output),
        formats=SimpleNamespace(**formats, **casts),
        perturbation=SimpleNamespace(
            parts=bits["parts"], kind=SimpleNamespace(value="node"), code=SimpleNamespace(name=bits["code"]), amplitude_log2=-2
        ),
        schedule=SimpleNamespace(
            difference=SimpleNamespace(value=bits["difference"]),
            perturbation_period=1,
            sample_period=probes,
            update_period=probes,
            learning_rate=((0, -2),),
        ),
        optimizer=SimpleNamespace(name="sgd"),
        hardware=SimpleNamespace(gradient_memory=None),
        gradient_format=WIDE,
    )
    return StochasticOracle(spec, [int(value * UNIT) for value in theta], SEED, error=WIDE, error_cast=cast)


def words(count: int, bits: int) -> Iterator[list[int]]:
    """The words of the stream "draws", each as ``count`` thresholds of so many bits: x⁶³ + x + 1 bit by bit."""
    assert count * bits <= 62
    state = int(hashlib.sha256(f"{SEED}:draws".encode()).digest()[::-1].hex(), 16) & (1 << 63) - 1
    while True:
        found = []
        for _ in range(count):
            threshold = 0
            for place in range(bits):
                threshold |= (state & 1) << place
                state = state >> 1 | ((state ^ state >> 1) & 1) << 62
            found.append(threshold)
        yield found


def count(f: int, thresholds: list[int]) -> int:
    return sum(f > each for each in thresholds)


def over(unit: int, *numerators: float) -> list[Fraction]:
    return [Fraction(each) / unit for each in numerators]


@pytest.mark.parametrize(
    ("draws", "bits", "expected"), [(1, 1, [0]), (1, 4, [7]), (2, 4, [3, 11]), (4, 4, [1, 5, 9, 13]), (8, 4, [0, 2, 4, 6, 8, 10, 12, 14])]
)
def test_thresholds_of_an_inference(draws: int, bits: int, expected: list[int]) -> None:
    """They make the count N·f, rounded to the nearest with ties up."""
    assert fixed_thresholds(draws, bits) == expected == [((2 * i + 1) << bits - 1) // draws - 1 for i in range(draws)]
    for f in range(2**bits + 1):
        assert count(f, expected) == int(Fraction(draws * f, 2**bits) + Fraction(1, 2))


TWO = (1, 2, 1)
"""One input, two stochastic neurons and one output, which is the sum of both."""
# f is 8/16 and 12/16 with the input 0: z = 0, 1; then biases of the neurons and the output's weights.
OF_TWO = over(1, 0, 0, 1, 0, 0, 1, 1)


def test_a_presentation_takes_words_in_order() -> None:
    """Unperturbed pass and two probes of random signs, none of which is 0; E, err and u by hand; then the next presentation."""
    core, source = oracle(TWO, [2, None], OF_TWO, probes=2, output="identity"), words(2, 4)
    for _ in range(2):
        core.load([int(value * UNIT) for value in OF_TWO])
        kept = [count(8, next(source)), count(12, next(source))]
        assert any(kept)
        total = [0, 0, 0]
        for _ in range(2):
            found = core.step([0], [0])
            drawn = [count(8, next(source)), count(12, next(source))]
            assert found["activation"][0] == over(2, *kept, sum(kept))
            assert found["preactivation"][1][:2] == [0, 1]  # not shifted
            assert [each * 2 for each in found["activation"][1][:2]] == drawn
            sign = found["sign"][2]
            assert sign in (-1, 1)
            assert found["activation"][1][2] == Fraction(sum(drawn), 2) + Fraction(sign, 4)
            m = [drawn[0] - kept[0], drawn[1] - kept[1], sign]
            assert found["sign"] == m
            change = (Fraction(sum(drawn), 2) + Fraction(sign, 4)) ** 2 - Fraction(sum(kept), 2) ** 2
            total = [a + each * change for a, each in zip(total, m, strict=True)]
            assert found["error_sum"] == total
        assert found["error"] == [total[0] / 8, total[1] / 8, total[2]]  # 2^o = Δ/2 = 1/8
        assert found["update"][:4] == [total[0] / 8, 0, total[1] / 8, 0]
        assert found["update"][4:] == [total[2], total[2] * Fraction(kept[0], 2), total[2] * Fraction(kept[1], 2)]
    assert any(total)


def test_both_passes_of_a_two_sided_probe_draw() -> None:
    core, source = oracle(TWO, [2, None], OF_TWO, difference="two-sided", output="identity"), words(2, 4)
    next(source), next(source)
    found = core.step([0], [0])
    plus = [count(8, next(source)), count(12, next(source))]
    minus = [count(8, next(source)), count(12, next(source))]
    sign = found["sign"][2]
    assert plus != minus
    assert found["sign"] == [plus[0] - minus[0], plus[1] - minus[1], sign]
    up, down = Fraction(sum(plus), 2) + Fraction(sign, 4), Fraction(sum(minus), 2) - Fraction(sign, 4)
    assert found["cost_change"] == up**2 - down**2
    assert found["error"] == [each * found["cost_change"] * Fraction(1, 8) for each in found["sign"][:2]] + [sign * (up**2 - down**2) / 2]


def test_neurons_with_sign_0_keep_their_thresholds_and_take_no_word() -> None:
    """The sequential code: one of the three neurons draws in a probe, the output none."""
    core, source = oracle(TWO, [2, None], OF_TWO, code="sequential", probes=3, output="identity"), words(2, 4)
    kept = [count(8, next(source)), count(12, next(source))]
    for probe in range(3):
        found, drawn = core.step([0], [0]), list(kept)
        if probe < 2:
            drawn[probe] = count((8, 12)[probe], next(source))
        assert found["activation"][1] == over(2, *drawn, sum(drawn) + (0.5 if probe == 2 else 0))
        assert found["sign"] == [drawn[0] - kept[0], drawn[1] - kept[1], int(probe == 2)]
        assert found["evaluated"] == [[True] * 3] * 2
        assert found["counter"]["steps"] == probe + 1


CHAIN = (1, 1, 1)
OF_CHAIN = over(1, 0, 0, -2, 4)
"""f of the second neuron is 0 or 1, as c of the first one is: its output follows."""


def test_m_of_a_neuron_behind_the_perturbed_ones_is_0() -> None:
    """Parts of one layer each: the second neuron's thresholds are kept in the first probe, and its output changes all the same."""
    core, source = oracle(CHAIN, [1, 1], OF_CHAIN, parts=((1, 1), (1, 1)), probes=2), words(1, 4)
    followed = 0
    for _ in range(16):
        core.load([int(value * UNIT) for value in OF_CHAIN])
        first, second = count(8, next(source)), next(source)
        found, drawn = core.step([0], [0]), count(8, next(source))
        assert found["activation"] == [[first, count(16 * first, second)], [drawn, count(16 * drawn, second)]]
        assert found["sign"] == [drawn - first, 0]
        followed += drawn != first
        found, last = core.step([0], [0]), count(16 * first, next(source))  # of the second part
        assert found["activation"][1] == [first, last]
        assert found["sign"] == [0, last - count(16 * first, second)]
        assert found["evaluated"][1] == [False, True]
    assert followed


def test_the_stream_moves_in_training_alone() -> None:
    """A repeated unperturbed pass has its thresholds, a load and an inference leave the stream, a restart begins it again."""
    core, source = oracle(TWO, [2, None], OF_TWO, probes=8, output="identity"), words(2, 4)

    def drawn() -> list[Fraction]:
        return over(2, count(8, next(source)), count(12, next(source)))

    kept = drawn()
    assert core.step([0], [0])["activation"][0][:2] == kept
    drawn()
    core.stop()
    again = core.step([0], [0])
    assert again["activation"][0][:2] == kept
    assert not again["begins"]
    assert again["activation"][1][:2] == drawn()
    assert core.infer([0], [0])["activation"][:2] == over(2, 1, 2)  # f = 8/16, 12/16: thresholds 3 and 11, so 12/16 is a tie
    assert core.step([0], [0])["activation"][0][:2] == drawn()
    drawn()
    core.load([int(value * UNIT) for value in OF_TWO])
    assert core.step([0], [0])["activation"][0][:2] == drawn()
    core.restart(SEED)
    assert core.step([0], [0])["activation"][0][:2] == kept


def test_fewer_draws_take_the_first_bits_of_a_word() -> None:
    core, source = oracle((1, 1, 1), [4, 2], over(1, 0, 0, 1, 0)), words(4, 4)
    assert core.step([0], [0])["activation"][0] == [Fraction(count(8, next(source)), 4), Fraction(count(12, next(source)[:2]), 2)]
    assert [core.operand_fraction(layer) for layer in range(2)] == [30, 2]


@pytest.mark.parametrize("difference", ["one-sided", "two-sided"])
@pytest.mark.parametrize("draws", [1, 2])
def test_the_mean_of_the_error_is_that_of_the_gradient(draws: int, difference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all thresholds, err is η·p·(1 − p)·∂C/∂p of the expected cost, which is linear in p for one draw, and near for two.

    C of c draws is (c/N)², so that the mean cost is p² + p·(1 − p)/N. For two draws the mean is by the moments of the binomial.
    """
    core = oracle((1, 1), [draws], over(1, 1, 0), difference=difference, fraction_bits=2)  # p = 3/4
    p, total, number = Fraction(3, 4), Fraction(0), 0
    for thresholds in product(product(range(4), repeat=draws), repeat=3 if difference == "two-sided" else 2):
        queue = [list(each) for each in thresholds]
        monkeypatch.setattr(core, "next_word", lambda layer, queue=queue: queue.pop(0))
        core.load([UNIT, 0])
        total += core.step([0], [0])["error"][0]
        assert not queue
        number += 1
    eta = Fraction(1, 4)
    if draws == 1:
        assert total / number == eta * p * (1 - p) * 1  # C = c, so ∂C/∂p = 1
    else:  # cov(c²/4, c) = Σ of the third moments: c is 0, 1, 2 with 1/16, 6/16, 9/16
        chances = over(16, 1, 6, 9)
        mean, square, cube = (sum(q * Fraction(c) ** k for c, q in enumerate(chances)) for k in (1, 2, 3))
        assert total / number == eta / 2 * 2 * (cube - square * mean) / 4


@pytest.mark.parametrize(
    ("draws", "changes", "message"),
    [
        (3, {}, r"must not have 3 draws"),
        (16, {}, r"must not have 16 draws with 4 fraction bits"),
        (16, {"fraction_bits": 8}, r"must not have 16 draws with 8 fraction bits"),
        (2, {"output": "identity"}, r"must not have the activation identity"),
    ],
)
def test_refusals(draws: int, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        oracle((1, 1), [draws], over(1, 0, 0), **changes)
