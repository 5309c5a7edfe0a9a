"""The oracle of node perturbation by probes, against formulas that are written here and share nothing with it."""

import hashlib
import math
import random
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

import pytest

from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.error import DesignError
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import Momentum, Sgd
from python_ref.spec.perturbation import CODES, Kind, Perturbation
from python_ref.spec.schedule import Difference, Schedule
from tests.support.designs import random_design, random_parameters, random_samples
from tests.support.probe_oracle import ProbeOracle, round_of

SEED = 11
DELTA = Fraction(1, 4)
WEIGHT = Fixed(True, 6, 26)
WIDE = Fixed(True, 12, 40)
"""A format of the error in which nothing is rounded."""
FLOOR = Cast(Rounding.FLOOR)
STEPWISE = Cast(Rounding.STOCHASTIC)

# -- The machine's definitions, without formats -------------------------------------------------------------------------


@lru_cache
def stream(name: str, count: int) -> list[int]:
    """The first bits of a serial stream over x⁶³ + x + 1."""
    state = int(hashlib.sha256(f"{SEED}:{name}".encode()).digest()[::-1].hex(), 16) & (1 << 63) - 1
    bits = [state >> i & 1 for i in range(63)]
    while len(bits) < count:
        bits.append((bits[-63] + bits[-62]) % 2)
    return bits


@lru_cache
def hadamard(size: int) -> list[list[int]]:
    """Sylvester's matrix."""
    if size == 1:
        return [[1]]
    half = hadamard(size // 2)
    return [row + row for row in half] + [row + [-x for x in row] for row in half]


@lru_cache(1000)
def signs(code: str, n: int, p: int) -> list[int]:
    """Sign vector number p of n neurons."""
    if code == "sequential":
        return [int(j == p % n) for j in range(n)]
    if code == "lfsr":
        bits = stream("signs", (p + 1) * n)[p * n : (p + 1) * n]
        return [(-1) ** (bit + p) for bit in bits]
    size = 2 ** math.ceil(math.log2(n + 1))
    phase = p % size
    if code == "walsh-gray":
        phase ^= phase // 2
    return [hadamard(size)[j + 1][phase] for j in range(n)]


def forward(spec: DesignSpec, theta: list[Fraction], x: list[Fraction], shift: list) -> tuple[list[list[Fraction]], list[Fraction]]:
    """The inputs of every layer, and the outputs; ``shift`` is added to the pre-activations of all neurons."""
    theta, shift, inputs = list(theta), list(shift), []
    for layer in spec.network.layers:
        inputs.append(x)
        z = []
        for _ in range(layer.n_out):
            bias, *weights = [theta.pop(0) for _ in range(layer.n_in + 1)]
            z.append(bias + sum(w * a for w, a in zip(weights, x, strict=True)) + shift.pop(0))
        x = [max(each, Fraction(0)) for each in z] if layer.activation is Activation.RELU else z
    assert not theta
    assert not shift
    return inputs, x


def cost(spec: DesignSpec, theta: list[Fraction], x: list[Fraction], target: list[Fraction], shift: list) -> Fraction:
    return sum((y - t) ** 2 for y, t in zip(forward(spec, theta, x, shift)[1], target, strict=True))


def neuron_of_synapses(spec: DesignSpec) -> list[tuple[int, int, int]]:
    """Of each parameter in order: its layer, the number of its neuron over all layers, and its input, −1 for the bias."""
    found, j = [], 0
    for number, layer in enumerate(spec.network.layers):
        for _ in range(layer.n_out):
            found += [(number, j, i - 1) for i in range(layer.n_in + 1)]
            j += 1
    return found


def gradient(spec: DesignSpec, theta: list[Fraction], sample: tuple, numbers: range, e: int, part: range | None = None) -> list[Fraction]:
    """Σ over the sign vectors of these numbers of s_j·C̃·x_i·2^e, for each parameter; in a part, all other signs are 0."""
    x, target = sample
    n = spec.network.n_neurons
    unperturbed = cost(spec, theta, x, target, [Fraction(0)] * n)
    total = [Fraction(0)] * len(theta)
    inputs = forward(spec, theta, x, [Fraction(0)] * n)[0]
    for p in numbers:
        s = [sign if part is None or j in part else 0 for j, sign in enumerate(signs(spec.perturbation.code.name, n, p))]
        change = cost(spec, theta, x, target, [each * DELTA for each in s])
        if spec.schedule.difference is Difference.TWO_SIDED:
            change -= cost(spec, theta, x, target, [-each * DELTA for each in s])
        else:
            change -= unperturbed
        for index, (layer, j, i) in enumerate(neuron_of_synapses(spec)):
            total[index] += s[j] * change * (Fraction(1) if i < 0 else inputs[layer][i]) * Fraction(2) ** e
    return total


# -- Designs ------------------------------------------------------------------------------------------------------------


def design(
    sizes: tuple[int, ...] = (2, 3, 2),
    code: str = "lfsr",
    difference: Difference = Difference.ONE_SIDED,
    periods: tuple[int, int, int] = (1, 1, 1),
    rate: int | tuple[tuple[int, int], ...] = -6,
    parts: tuple[tuple[int, int], ...] | None = None,
    **changes,
) -> DesignSpec:
    """A design whose formats are wide enough for the numbers of :func:`numbers`; ``rate`` is log₂ η."""
    formats = Formats(input=Fixed(True, 3, 2), weight=WEIGHT, activation=Fixed(True, 7, 8), gradient=Fixed(True, 6, 26), weight_cast=FLOOR)
    built = {"hardware": Hardware(3), "formats": formats, "optimizer": Sgd(), **changes}
    hidden = built.pop("hidden", Activation.RELU)
    return DesignSpec(
        "probes",
        Network(sizes, hidden, Activation.IDENTITY),
        Perturbation(Kind.NODE, CODES[code](), int(math.log2(DELTA)), parts=parts),
        Schedule(rate if isinstance(rate, tuple) else ((0, rate),), *periods, difference),
        **built,
    )


def oracle(spec: DesignSpec, raw: list[int], error: Fixed = WIDE, error_cast: Cast = FLOOR, **more) -> ProbeOracle:
    return ProbeOracle(spec, raw, SEED, error=error, error_cast=error_cast, **more)


def numbers(spec: DesignSpec, seed: int, samples: int) -> tuple[list[int], list[tuple[list[int], list[int]]]]:
    """Raw parameters and samples with so few binary places that the formats of :func:`design` hold every result."""
    draw = random.Random(seed)
    raw = [draw.choice((-1, 0, 1, 1)) * 2 ** (WEIGHT.fraction_bits - 1) for _ in range(spec.network.n_parameters)]
    return raw, [
        ([draw.randint(-4, 4) for _ in range(spec.network.n_in)], [draw.randint(0, 2) * 128 for _ in range(spec.network.n_out)])
        for _ in range(samples)
    ]


def real(spec: DesignSpec, raw: list[int], sample: tuple[list[int], list[int]]) -> tuple[list[Fraction], tuple]:
    """Raw parameters and a raw sample in real numbers."""
    f = spec.formats
    x, target = sample
    return (
        [Fraction(each, 2**f.weight.fraction_bits) for each in raw],
        ([Fraction(each, 2**f.input.fraction_bits) for each in x], [Fraction(each, 2**f.activation.fraction_bits) for each in target]),
    )


def exponent(spec: DesignSpec, rate: int) -> int:
    """log₂(η/Δ), or log₂(η/2Δ)."""
    return rate + 2 - (1 if spec.schedule.difference is Difference.TWO_SIDED else 0)


DIFFERENCES = pytest.mark.parametrize("difference", list(Difference), ids=lambda each: each.value)
EVERY_CODE = pytest.mark.parametrize("code", ["lfsr", "walsh", "walsh-gray", "sequential"])


# -- The gradient -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repeated", [1, 2], ids=["new signs", "signs twice"])
@pytest.mark.parametrize("sizes", [(3, 2), (2, 3, 2), (2, 2, 3, 1)], ids=str)
@DIFFERENCES
@EVERY_CODE
def test_exact_formats_give_the_gradient_of_the_definition(code, difference, sizes, repeated):
    """G of presentations of six probes, summed over three samples, then the update by G."""
    spec = design(sizes, code, difference, (repeated, 6, 18))
    raw, samples = numbers(spec, 5, 3)
    core, expected = oracle(spec, raw), [Fraction(0)] * len(raw)
    for n in range(18):
        found = core.step(*samples[n // 6])
        theta, sample = real(spec, raw, samples[n // 6])
        one = gradient(spec, theta, sample, range(n // repeated, n // repeated + 1), exponent(spec, -6))
        expected = [a + b for a, b in zip(expected, one, strict=True)]
        if n % 6 == 5:
            assert found["gradient"] == expected
    assert any(expected)
    assert found["parameter"] == [a - b for a, b in zip(theta, expected, strict=True)]
    assert core.step(*samples[0])["gradient"] == [0] * len(raw), "an update clears G"


@DIFFERENCES
@EVERY_CODE
def test_without_a_gradient_memory_the_sum_goes_into_the_parameters(code, difference):
    """Presentations of four probes; a load between two steps leaves the numbers of steps and of sign vectors alone."""
    spec = design(code=code, difference=difference, periods=(1, 8, 4))
    raw, samples = numbers(spec, 6, 3)
    core = oracle(spec, raw)
    assert not core.memory
    for n in range(24):
        found = core.step(*samples[n // 8 if n % 8 < 4 else n % 3])
        if n % 4 == 3:
            theta, sample = real(spec, raw, samples[n // 8 if n % 8 < 4 else n % 3])
            wanted = gradient(spec, theta, sample, range(n - 3, n + 1), exponent(spec, -6))
            assert found["update"] == wanted
            assert found["parameter"] == [a - b for a, b in zip(theta, wanted, strict=True)]
            assert found["gradient"] is None
            core.load(raw)
        elif n % 8 > 3:  # the load made a new sample due, which stays until the next presentation
            samples[(n + 1) % 3] = samples[n % 3]


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("memory", [True, False], ids=["memory", "no memory"])
def test_momentum_takes_the_sum(memory, k):
    spec = design(periods=(1, 3, 6 if memory else 3), optimizer=Momentum(k, Fixed(True, 6, 26)))
    raw, samples = numbers(spec, 7, 4)
    core = oracle(spec, raw)
    m, updates, total = [Fraction(0)] * len(raw), 0, []
    for n in range(12):
        found = core.step(*samples[n // 3])
        if n % 3 == 2:
            theta, sample = real(spec, raw, samples[n // 3])
            one = gradient(spec, theta, sample, range(n - 2, n + 1), exponent(spec, -6))
            total = [a + b for a, b in zip(total, one, strict=True)] if memory and n % 6 == 5 else one
            assert found["gradient"] == total
            if found["updates"]:
                rounded = Fraction(2) ** 26
                m = [Fraction(round((a - a / 2**k + b) * rounded)) / rounded for a, b in zip(m, total, strict=True)]
                assert found["momentum"] == m
                assert found["parameter"] == [a - b for a, b in zip(theta, m, strict=True)]
                core.load(raw)
                updates += 1
    assert updates == (2 if memory else 4)
    assert any(m)


def slopes(spec: DesignSpec, theta: list[Fraction], sample: tuple) -> tuple[list[Fraction], list[list[Fraction]]]:
    """∂C/∂z of every neuron of a network without activations, and half of C's second derivatives: chains of weights, layer by layer."""
    layers, at, weights = spec.network.layers, 0, []
    for layer in layers:
        size = layer.n_in + 1
        weights.append([theta[at + o * size + 1 : at + (o + 1) * size] for o in range(layer.n_out)])
        at += layer.n_out * size
    n_out = spec.network.n_out
    gains = [[Fraction(int(k == o)) for k in range(n_out)] for o in range(n_out)]  # of each neuron of a layer, on every output
    reach = gains
    for matrix in reversed(weights[1:]):
        gains = [
            [sum((matrix[o][i] * gains[o][k] for o in range(len(matrix))), Fraction(0)) for k in range(n_out)]
            for i in range(len(matrix[0]))
        ]
        reach = gains + reach
    x, target = sample
    y = forward(spec, theta, x, [Fraction(0)] * spec.network.n_neurons)[1]
    first = [sum(2 * (y[k] - target[k]) * row[k] for k in range(n_out)) for row in reach]
    return first, [[sum(a[k] * b[k] for k in range(n_out)) for b in reach] for a in reach]


@pytest.mark.parametrize("sizes", [(3, 4), (2, 3, 2)], ids=str)
@DIFFERENCES
def test_a_sequential_period_measures_every_slope(sizes, difference):
    """E_j of one period is Δ·∂C/∂z_j + Δ²·½∂²C/∂z_j²; the second order cancels in a two-sided difference."""
    n = sum(sizes[1:])
    spec = design(sizes, "sequential", difference, (1, n, n), hidden=Activation.IDENTITY)
    raw, samples = numbers(spec, 8, 1)
    first, second = slopes(spec, *real(spec, raw, samples[0]))
    core = oracle(spec, raw)
    found = [core.step(*samples[0]) for _ in range(n)][-1]
    if difference is Difference.TWO_SIDED:
        assert found["error_sum"] == [2 * DELTA * slope for slope in first]
    else:
        assert found["error_sum"] == [DELTA * first[j] + DELTA**2 * second[j][j] for j in range(n)]
    assert found["error"] == [each * Fraction(2) ** exponent(spec, -6) for each in found["error_sum"]]


@pytest.mark.parametrize("offset", [0, 3], ids=["aligned", "shifted"])
@pytest.mark.parametrize("sizes", [(3, 4), (2, 3, 2)], ids=str)
@pytest.mark.parametrize("code", ["walsh", "walsh-gray"])
@DIFFERENCES
def test_a_walsh_period_measures_every_slope(code, sizes, difference, offset):
    """E_j of one period of T vectors is T·Δ·∂C/∂z_j, and of second order only the pairs of neurons whose indices give j's by XOR.

    One layer has none of these, since its second derivatives have no such pairs. It does not matter where the period begins.
    """
    n, period = sum(sizes[1:]), 8
    spec = design(sizes, code, difference, (1, period + offset, period + offset), hidden=Activation.IDENTITY)
    raw, samples = numbers(spec, 9, 1)
    first, second = slopes(spec, *real(spec, raw, samples[0]))
    core = oracle(spec, raw)
    before = [core.step(*samples[0]) for _ in range(offset)]
    found = [core.step(*samples[0]) for _ in range(period)][-1]["error_sum"]
    if before:
        found = [a - b for a, b in zip(found, before[-1]["error_sum"], strict=True)]
    if difference is Difference.TWO_SIDED:
        assert found == [2 * period * DELTA * slope for slope in first]
    else:
        pairs = [sum(second[i][k] for i in range(n) for k in range(n) if (i + 1) ^ (k + 1) == j + 1) for j in range(n)]
        assert found == [period * (DELTA * first[j] + DELTA**2 * pairs[j]) for j in range(n)]
        assert len(sizes) == 3 or not any(pairs)
        assert len(sizes) == 2 or any(pairs)


# -- Parts --------------------------------------------------------------------------------------------------------------


def test_parts_take_turns_in_rounds():
    assert round_of([(6, 1), (3, 4)]) == ((0, 5), *[(6, 8)] * 4)
    assert round_of([(1, 2), (2, 1), (1, 3)]) == ((0, 0), (1, 2), (3, 3), (0, 0), (3, 3), (3, 3))


LAYERS = ((0, 1), (2, 3, 4), (5, 6))
"""Numbers of the neurons of each layer of the network of :func:`test_parts_are_perturbed_in_turn`."""
ROUNDS = {
    ((1, 1), (2, 2)): [(0,), (1, 2), (1, 2)],
    ((1, 3), (2, 1)): [(0,), (1, 2), (0,), (0,)],
    ((2, 2), (1, 1)): [(0, 1), (2,), (0, 1)],
    ((1, 1), (1, 1), (1, 1)): [(0,), (1,), (2,)],
    ((1, 1), (1, 3), (1, 2)): [(0,), (1,), (2,), (1,), (2,), (1,)],
    ((3, 2),): [(0, 1, 2), (0, 1, 2)],
}
"""Layers that the probes of a round perturb, in order."""


@pytest.mark.parametrize("repeated", [1, 2, 6])
@pytest.mark.parametrize("parts", ROUNDS, ids=str)
@DIFFERENCES
@pytest.mark.parametrize("code", ["lfsr", "walsh", "walsh-gray"])
def test_parts_are_perturbed_in_turn(code, parts, difference, repeated):
    """G of a presentation of two rounds and of one that a load shortened, as the definition gives it; and what each pass evaluates."""
    turns = ROUNDS[parts]
    period = 2 * len(turns)
    try:
        spec = design((2, 2, 3, 2), code, difference, (repeated, period, period), parts=parts)
    except DesignError as error:
        assert code != "lfsr" and error.key == "schedule.perturbation_period"
        return
    raw, samples = numbers(spec, 10, 1)
    core = oracle(spec, raw)
    theta, sample = real(spec, raw, samples[0])
    for interrupted in (None, len(turns) - 1):
        total, probe = [Fraction(0)] * len(raw), 0
        for n in range(period):
            found, p = core.step(*samples[0]), (n + period * (interrupted is not None)) // repeated
            layers = turns[probe % len(turns)]
            part = range(LAYERS[layers[0]][0], LAYERS[layers[-1]][-1] + 1)
            assert found["sign"] == [s if j in part else 0 for j, s in enumerate(signs(code, 7, p))]
            assert found["evaluated"] == [[True] * 7, *[[j >= part.start for j in range(7)]] * (len(found["cost"]) - 1)]
            for each in range(1, len(found["cost"])):
                assert found["preactivation"][each][: part.start] == found["preactivation"][0][: part.start]
            one = gradient(spec, theta, sample, range(p, p + 1), exponent(spec, -6), part)
            total, probe = [a + b for a, b in zip(total, one, strict=True)], probe + 1
            if n == interrupted:
                core.load(raw)
                total, probe = [Fraction(0)] * len(raw), 0
        assert found["update"] == total
        core.load(raw)
    assert any(total)


def test_a_stop_does_not_begin_a_round():
    spec = design(periods=(1, 8, 8), parts=((1, 1), (1, 3)))
    raw, samples = numbers(spec, 10, 1)
    core, perturbed = oracle(spec, raw), []
    for _ in range(8):
        core.stop()
        perturbed.append([j for j, s in enumerate(core.step(*samples[0])["sign"]) if s])
    assert perturbed == [[0, 1, 2], [3, 4], [3, 4], [3, 4]] * 2


# -- Presentations ------------------------------------------------------------------------------------------------------

PERIODS = [(1, 1, 1), (1, 4, 4), (1, 6, 2), (1, 2, 6), (2, 3, 5), (3, 5, 3), (5, 4, 6), (2, 1, 3), (1, 3, 1)]


@pytest.mark.parametrize("periods", PERIODS, ids=str)
@DIFFERENCES
def test_a_presentation_lasts_while_sample_and_parameters_do(periods, difference):
    """Its unperturbed pass is kept, E is the sum of its probes, and its end applies E; samples are judged once each."""
    repeated, per_sample, per_update = periods
    spec = design(difference=difference, periods=periods)
    raw, samples = numbers(spec, 12, 31)
    core = oracle(spec, raw)
    theta = real(spec, raw, samples[0])[0]
    correct, kept, total = 0, None, []
    for n in range(30):
        lasting = [(step // per_sample, step // per_update) for step in (n - 1, n, n + 1)]
        assert core.sample_due == (n % per_sample == 0)
        found = core.step(*samples[n // per_sample])
        assert found["begins"] == (n == 0 or lasting[0] != lasting[1])
        assert found["ends"] == (lasting[1] != lasting[2])
        assert found["updates"] == ((n + 1) % per_update == 0)
        assert found["sign"] == signs("lfsr", 5, n // repeated)
        passes = [found[name] for name in ("preactivation", "activation", "cost")]
        assert [len(each) for each in passes] == [3 if difference is Difference.TWO_SIDED else 2] * 3
        if found["begins"]:
            kept, total = [each[0] for each in passes], [Fraction(0)] * 5
        assert [each[0] for each in passes] == kept
        total = [a + s * found["cost_change"] for a, s in zip(total, found["sign"], strict=True)]
        assert found["error_sum"] == total
        assert (found["error"] is not None) == found["ends"]
        assert (found["parameter"] != theta) == (found["updates"] and any(found["update"]))
        theta = found["parameter"]
        assert (found["judged"] is not None) == (n % per_sample == 0)
        if found["judged"] is not None:
            y, target = found["activation"][0][-2:], samples[n // per_sample][1]
            assert found["judged"] == ((y[1] > y[0]) == (target[1] > target[0]))
            correct += found["judged"]
    assert found["counter"]["correct"] == correct
    assert (found["counter"]["steps"], found["counter"]["updates"]) == (30, 30 // per_update)
    assert found["counter"]["writes"] == 30 // per_update * len(raw)


def test_one_output_is_judged_by_one_half():
    spec = design((1, 1), periods=(1, 1, 1))
    half = 2 ** (WEIGHT.fraction_bits - 1)
    for bias, right in ((half, True), (half - 2**18, False)):
        assert oracle(spec, [bias, 0]).step([0], [256])["judged"] is right
        assert oracle(spec, [bias, 0]).step([0], [0])["judged"] is not right


def test_the_answer_of_a_two_sided_design_is_that_of_the_unperturbed_network():
    """Two outputs that are equal, of which the first wins; each perturbed network prefers one of them."""
    spec = design((1, 2), "walsh", Difference.TWO_SIDED, (4, 4, 4))
    core = oracle(spec, [0, 0, 0, 0])
    for _ in range(8):
        found = core.step([1], [256, 0])
    y = found["activation"]
    assert (y[1][1] > y[1][0]) != (y[2][1] > y[2][0])
    assert found["counter"]["correct"] == 2


def test_the_rate_is_that_of_the_last_step():
    spec = design(periods=(1, 4, 4), rate=((0, -6), (3, -4), (4, -5), (8, -3)))
    raw, samples = numbers(spec, 13, 3)
    core = oracle(spec, raw)
    for n in range(12):
        found = core.step(*samples[n // 4])
        if n % 4 == 3:
            theta, sample = real(spec, raw, samples[n // 4])
            assert found["update"] == gradient(spec, theta, sample, range(n - 3, n + 1), exponent(spec, (-4, -5, -3)[n // 4]))
            core.load(raw)


def test_only_the_sample_that_is_due_is_taken():
    spec = design(periods=(1, 2, 2))
    raw, samples = numbers(spec, 14, 2)
    core = oracle(spec, raw)
    core.step(*samples[0])
    with pytest.raises(ValueError, match=r"^Sample must be the present one"):
        core.step(*samples[1])
    assert core.step(*samples[0])["ends"]
    assert core.step(*samples[1])["begins"]


# -- What interrupts a run ----------------------------------------------------------------------------------------------


def random_case(seed: int) -> tuple[DesignSpec, list[int], list[tuple], dict]:
    """A random design, raw parameters, raw samples, and the other arguments; most presentations have several steps."""
    rng = random.Random(seed)
    while True:
        spec = random_design(rng, kinds=(Kind.NODE,), optimizers=(Sgd, Momentum), max_size=4, parts=0.5)
        if min(spec.schedule.sample_period, spec.schedule.update_period) > 1 or rng.random() < 0.01:
            break
    inputs, targets = random_samples(rng, spec, 8)
    cast = Cast(rng.choice((Rounding.FLOOR, Rounding.HALF_UP, Rounding.HALF_EVEN)), rng.choice(tuple(Overflow)))
    more = {"error": Fixed(True, rng.randint(1, 8), rng.randint(0, 12)), "error_cast": cast}
    samples = [(x.tolist(), y.tolist()) for x, y in zip(inputs, targets, strict=True)]
    return spec, random_parameters(rng, spec).tolist(), samples, more


@pytest.mark.parametrize("seed", range(6))
def test_the_number_of_lanes_changes_nothing(seed):
    spec, raw, samples, more = random_case(seed)
    runs = []
    for lanes in (1, 3, 6, 8):
        core = ProbeOracle(replace(spec, hardware=replace(spec.hardware, lanes=lanes)), raw, SEED, **more)
        runs.append([core.step(*samples[n // spec.schedule.sample_period % 8]) for n in range(10)])
    assert runs[1:] == runs[:-1]


@pytest.mark.parametrize("seed", range(13))
def test_a_run_that_stops_and_goes_on_equals_one_that_does_not(seed):
    spec, raw, samples, more = random_case(100 + seed)
    whole, stopped = (ProbeOracle(spec, raw, SEED, **more) for _ in range(2))
    rng = random.Random(seed)
    assert stopped.stop()["flushed"] is False
    for n in range(16):
        sample = samples[n // spec.schedule.sample_period % 8]
        found = stopped.step(*sample)
        assert found == whole.step(*sample)
        if rng.random() < 0.6:
            shown = stopped.stop()
            assert shown["flushed"] == found["ends"]
            assert shown["presenting"] != found["ends"]
            assert shown["error_sum"] == ([0] * len(found["error_sum"]) if found["ends"] else found["error_sum"])
            for name in ("momentum", "parameter", "counter"):
                assert shown[name] == found[name]
            assert stopped.stop()["flushed"] is False, "what is applied is applied once"


EVENTS = {
    "load": lambda core, raw, sample: core.load(raw),
    "infer": lambda core, raw, sample: core.infer(*sample),
    "restart": lambda core, raw, sample: core.restart(SEED),
}


@pytest.mark.parametrize("stops", [False, True], ids=["at once", "after a stop"])
@pytest.mark.parametrize("event", EVENTS)
def test_load_inference_and_restart_discard_the_errors(event, stops):
    """The next step takes a new sample, and G is that of its own, shorter presentation; a restart begins all periods anew."""
    spec = design(periods=(1, 5, 20))
    raw, samples = numbers(spec, 15, 4)
    core = oracle(spec, raw)
    theta = real(spec, raw, samples[0])[0]
    for n in range(7):
        core.step(*samples[n // 5])
    if stops:
        assert any(core.stop()["error_sum"])
    shown = EVENTS[event](core, raw, samples[3])
    assert not any(shown["error_sum"])
    assert shown["gradient"] == gradient(spec, theta, real(spec, raw, samples[0])[1], range(5), exponent(spec, -6)), "G stays"
    assert shown["parameter"] == theta
    assert shown["counter"]["steps"] == (0 if event == "restart" else 7)
    first = 0 if event == "restart" else 7
    assert core.sample_due
    for n in range(first, 10 if first else 5):
        found = core.step(*samples[2])
        assert found["begins"] == (n == first)
        assert (found["judged"] is None) == (n != first)
    own = gradient(spec, theta, real(spec, raw, samples[2])[1], range(first, n + 1), exponent(spec, -6))
    assert found["ends"]
    assert found["gradient"] == [a + b for a, b in zip(shown["gradient"], own, strict=True)]


def test_an_inference_is_judged_and_changes_nothing_else():
    spec = design(periods=(1, 2, 2))
    raw, samples = numbers(spec, 16, 2)
    core = oracle(spec, raw)
    before = core.step(*samples[0])
    theta, (x, target) = real(spec, raw, samples[1])
    y = forward(spec, theta, x, [0] * 5)[1]
    found = core.infer(*samples[1])
    assert found["activation"][-2:] == y
    assert found["cost"] == cost(spec, theta, x, target, [0] * 5)
    assert found["judged"] == ((y[1] > y[0]) == (target[1] > target[0]))
    correct = before["counter"]["correct"] + found["judged"]
    assert found["counter"] == {**before["counter"], "correct": correct}


def test_a_load_writes_the_parameters():
    spec = design()
    raw, samples = numbers(spec, 17, 1)
    core = oracle(spec, raw)
    core.step(*samples[0])
    other = [each + 2**20 for each in raw]
    assert core.load(other)["parameter"] == real(spec, other, samples[0])[0]


def test_a_restart_begins_as_a_machine_of_its_seed_does():
    """With the signs, the rounding words and the rate of its first steps, whatever was drawn before."""
    spec = design(periods=(1, 3, 3), rate=((0, -4), (3, -6)), formats=stochastic_formats())
    raw, samples = numbers(spec, 18, 1)
    raw = [each >> 17 for each in raw]
    used, fresh = (ProbeOracle(spec, raw, seed, error=WIDE, error_cast=FLOOR) for seed in (5, SEED))
    for _ in range(7):
        used.step(*samples[0])
    used.restart(SEED)
    used.load(raw)
    for p in range(6):
        found, wanted = used.step(*samples[0]), fresh.step(*samples[0])
        assert found["sign"] == signs("lfsr", 5, p)
        for name in ("begins", "update", "parameter"):
            assert found[name] == wanted[name]
        assert found["counter"]["updates"] == wanted["counter"]["updates"]
        assert found["counter"]["writes"] == wanted["counter"]["writes"] + 2 * len(raw), "a restart clears no counter"


@pytest.mark.parametrize("event", EVENTS)
def test_momentum_outlives_what_interrupts_a_run(event):
    spec = design(periods=(1, 2, 2), optimizer=Momentum(2))
    raw, samples = numbers(spec, 26, 1)
    core = oracle(spec, raw)
    core.step(*samples[0])
    found = core.step(*samples[0])
    assert any(found["momentum"])
    assert EVENTS[event](core, raw, samples[0])["momentum"] == found["momentum"]


# -- Narrowing ----------------------------------------------------------------------------------------------------------


def stochastic_formats(weight: Fixed = Fixed(True, 4, 9), **changes) -> Formats:
    return Formats(input=Fixed(True, 3, 2), weight=weight, activation=Fixed(True, 7, 8), weight_cast=STEPWISE, **changes)


def random_numbers(width: int, count: int) -> list[int]:
    """The first words of the stream of stochastic rounding."""
    bits = stream("stochastic", width * count)
    return [sum(bits[width * word + i] << i for i in range(width)) for word in range(count)]


def test_rounding_words_count_updates_layers_and_inputs():
    """Plain descent without a memory: the synapses of a layer drop as many bits as err_j·x_i has too many, the bias with them."""
    spec = design((2, 3, 2), periods=(1, 2, 2), formats=stochastic_formats())
    error = Fixed(True, 5, 10)  # with 2 or 8 places of the inputs and 9 of a weight: 3 and 9 bits are dropped
    raw, samples = numbers(spec, 19, 4)
    core = oracle(spec, [each >> 17 for each in raw], error)
    width, places = 9, 3 + 4
    words, odd = random_numbers(width, 4 * places), 0
    for u in range(4):
        core.step(*samples[u])
        found = core.step(*samples[u])
        x = [Fraction(each, 4) for each in samples[u][0]]
        operands = [[Fraction(1), *x], [Fraction(1), *found["activation"][0][:3]]]
        for (layer, j, i), update in zip(neuron_of_synapses(spec), found["update"], strict=True):
            dropped, place = (3, 9)[layer], (0, 3)[layer] + i + 1
            r = Fraction(words[u * places + place] % 2**dropped, 2**dropped)
            exact = found["error"][j] * operands[layer][i + 1] * 2**9
            assert update == Fraction(math.floor(exact + r), 2**9)
            odd += exact.denominator > 1 and i < 0
    assert odd, "a bias is rounded by its word too"


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "no memory"])
def test_rounding_words_of_a_momentum(memory):
    """The cast of m and that of u take the low bits of one word."""
    optimizer = Momentum(3, Fixed(True, 6, 14), Rounding.STOCHASTIC)
    formats = stochastic_formats(gradient=Fixed(True, 5, 16))
    spec = design((2, 3, 2), periods=(1, 2, 2), formats=formats, optimizer=optimizer, hardware=Hardware(2, memory or None))
    raw, samples = numbers(spec, 20, 4)
    core = oracle(spec, [each >> 17 for each in raw], Fixed(True, 5, 10))
    words, m = random_numbers(5, 4 * 7), [Fraction(0)] * len(raw)  # 14 + 3 − 14 and 14 − 9 bits
    for u in range(4):
        core.step(*samples[u])
        found = core.step(*samples[u])
        for index, (layer, _, i) in enumerate(neuron_of_synapses(spec)):
            word = words[u * 7 + (0, 3)[layer] + i + 1]
            exact = (m[index] * Fraction(7, 8) + found["gradient"][index]) * 2**14
            m[index] = Fraction(math.floor(exact + Fraction(word % 8, 8)), 2**14)
            assert found["update"][index] == Fraction(math.floor(m[index] * 2**9 + Fraction(word, 32)), 2**9)
        assert found["momentum"] == m
    assert any(m)


def inside(value: Fraction, form: Fixed) -> bool:
    return form.min <= value * Fraction(2) ** form.fraction_bits <= form.max


@pytest.mark.parametrize("rounding", [Rounding.FLOOR, Rounding.HALF_EVEN], ids=lambda each: each.value)
@pytest.mark.parametrize("overflow", list(Overflow), ids=lambda each: each.value)
def test_errors_are_narrowed_and_counted_once_a_neuron_and_presentation(overflow, rounding):
    error = Fixed(True, -2, 7)
    spec = design(periods=(1, 4, 4), rate=-2)
    raw, samples = numbers(spec, 21, 6)
    core, saturated = oracle(spec, raw, error, Cast(rounding, overflow)), 0
    for n in range(24):
        found = core.step(*samples[n // 4])
        if found["ends"]:
            for narrowed, total in zip(found["error"], found["error_sum"], strict=True):
                exact = total * 2**7  # e = 0
                whole = math.floor(exact) if rounding is Rounding.FLOOR else round(exact)
                saturated += not -16 <= whole <= 15
                if overflow is Overflow.SATURATE:
                    assert narrowed * 2**7 == max(-16, min(15, whole))
                else:
                    assert narrowed * 2**7 == (whole + 16) % 32 - 16
            core.load(raw)
        assert found["counter"]["error"] == saturated
    assert 0 < saturated < 6 * 5


def test_the_gradient_saturates_and_counts_once_a_synapse_and_presentation():
    """Whether the product is out of range, or its sum with G."""
    form = Fixed(True, -1, 10)
    spec = design(periods=(1, 2, 12), rate=-2, formats=replace(design().formats, gradient=form))
    raw, samples = numbers(spec, 22, 6)
    core, saturated, kinds = oracle(spec, raw), 0, set()
    G = [Fraction(0)] * len(raw)
    for n in range(12):
        found = core.step(*samples[n // 2])
        if found["ends"]:
            operands = [[Fraction(1), *(Fraction(x, 4) for x in samples[n // 2][0])], [Fraction(1), *found["activation"][0][:3]]]
            for index, (layer, j, i) in enumerate(neuron_of_synapses(spec)):
                exact = Fraction(math.floor(found["error"][j] * operands[layer][i + 1] * 2**10), 2**10)
                cast = min(max(exact, Fraction(form.min, 2**10)), Fraction(form.max, 2**10))
                total = G[index] + cast
                kinds.add((inside(exact, form), inside(total, form)))
                saturated += not (inside(exact, form) and inside(total, form))
                G[index] = min(max(total, Fraction(form.min, 2**10)), Fraction(form.max, 2**10))
            assert found["gradient"] == G
        assert found["counter"]["gradient"] == saturated
    assert len(kinds) == 4, "every combination comes up"


def test_updates_and_weights_saturate_and_count_once_a_synapse_and_update():
    weight = Fixed(True, 0, 8)
    spec = design(periods=(1, 2, 2), rate=-1, formats=replace(design().formats, weight=weight))
    raw, samples = numbers(spec, 23, 4)
    core = oracle(spec, [each >> 18 for each in raw])
    theta, update, bounded, changed = [Fraction(each >> 18, 256) for each in raw], 0, 0, 0
    for n in range(8):
        found = core.step(*samples[n // 2])
        if found["updates"]:
            operands = [[Fraction(1), *(Fraction(x, 4) for x in samples[n // 2][0])], [Fraction(1), *found["activation"][0][:3]]]
            for index, (layer, j, i) in enumerate(neuron_of_synapses(spec)):
                exact = math.floor(found["error"][j] * operands[layer][i + 1] * 256)
                update += not -128 <= exact <= 127
                moved = theta[index] - Fraction(min(max(exact, -128), 127), 256)
                bounded += not inside(moved, weight)
                moved = min(max(moved, Fraction(-128, 256)), Fraction(127, 256))
                changed += moved != theta[index]
                theta[index] = moved
            assert found["parameter"] == theta
        count = found["counter"]
        assert (count["update"], count["weight"], count["changed"]) == (update, bounded, changed)
    assert update
    assert bounded
    assert 0 < changed < count["writes"]


@pytest.mark.parametrize("stops", [False, True], ids=["at once", "with stops"])
@DIFFERENCES
@pytest.mark.parametrize(
    ("code", "parts"), [("lfsr", None), ("sequential", None), ("lfsr", ((1, 1), (1, 1)))], ids=["lfsr", "sequential", "parts"]
)
def test_activations_count_the_neurons_that_a_pass_evaluates(code, difference, parts, stops):
    """A probe of the last layer evaluates the last layer alone; a neuron whose sign is 0 is evaluated with its layer.

    Where only one neuron is perturbed, in a network with one hidden layer, the probe evaluates that neuron and the outputs.
    """
    form = Fixed(True, 0, 6)
    spec = design(code=code, difference=difference, periods=(1, 4, 4), parts=parts, formats=replace(design().formats, activation=form))
    raw, samples = numbers(spec, 24, 3)
    core, saturated = oracle(spec, raw), 0
    samples = [(x, [each // 16 for each in y]) for x, y in samples]
    for n in range(12):
        found = core.step(*samples[n // 4])
        for number, z in enumerate(found["preactivation"]):
            skipped = 3 if number and parts and n % 2 == 1 else 0
            if number or found["begins"]:
                values = [max(each, Fraction(0)) if j < 3 else each for j, each in enumerate(z)]
                if number and code == "sequential":
                    values = [each for j, each in enumerate(values) if j >= 3 or j == n % 5]
                values = values[skipped:]
                saturated += sum(not -32 <= round(each * 64) <= 31 for each in values)
        assert found["counter"]["activation"] == saturated
        if stops:
            core.stop()
    assert saturated


def test_a_cost_change_is_narrowed_before_it_is_correlated():
    form = Fixed(True, -1, 4)
    spec = design(periods=(1, 4, 4), formats=replace(design().formats, cost_change=form, cost_change_cast=Cast(Rounding.HALF_UP)), rate=-2)
    raw, samples = numbers(spec, 25, 4)
    core, saturated, total = oracle(spec, raw), 0, []
    for n in range(16):
        found = core.step(*samples[n // 4])
        exact = math.floor((found["cost"][1] - found["cost"][0]) * 16 + Fraction(1, 2))
        saturated += not -4 <= exact <= 3
        change = Fraction(max(-4, min(3, exact)), 16)
        assert found["cost_change"] == change
        total = [(0 if n % 4 == 0 else total[j]) + s * change for j, s in enumerate(found["sign"])]
        assert found["error_sum"] == total
        assert found["counter"]["cost_change"] == saturated
    assert 0 < saturated < 16


@pytest.mark.parametrize("name", ["relu", "leaky-relu", "sigmoid", "hard-sigmoid", "tanh", "identity", "sign"])
def test_activations(name):
    """All pre-activations that a small format has, through a network of one neuron."""
    formats = Formats(Fixed(True, 4, 3), Fixed(True, 2, 4), Fixed(True, 3, 6), table=Fixed(True, 3, 2), weight_cast=FLOOR)
    spec = DesignSpec(
        "one", Network((1, 1), output=Activation(name)), Perturbation(Kind.NODE, amplitude_log2=-2), Schedule(((0, -8),)), formats=formats
    )
    half_even = {"relu": lambda z: max(z, 0), "leaky-relu": lambda z: z if z > 0 else z / 8, "identity": lambda z: z}
    half_even["hard-sigmoid"] = lambda z: max(Fraction(0), min(Fraction(1), Fraction(1, 2) + z / 4))
    for raw in range(-64, 64):
        found = oracle(spec, [0, 16]).infer([raw], [0])
        (z,), (y,) = found["preactivation"], found["activation"]
        assert z == Fraction(raw, 8)
        if name == "sign":
            assert y == (1 if raw >= 0 else -1)
        elif name in half_even:
            assert y == Fraction(max(-256, min(255, round(half_even[name](z) * 64))), 64)
        else:
            address = max(-16, min(15, round(z * 4))) / 4
            smooth = math.tanh(address) if name == "tanh" else 1 / (1 + math.exp(-address))
            assert y == Fraction(round(smooth * 64), 64)


# -- Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "more", "message"),
    [
        ({"kind": Kind.WEIGHT}, {}, r"^The oracle perturbs nodes"),
        ({}, {"error_cast": STEPWISE}, r"^The error must not be rounded stochastically"),
    ],
)
def test_refusals(changes, more, message):
    spec = design(rate=-8)
    spec = replace(spec, perturbation=replace(spec.perturbation, **changes))
    with pytest.raises(ValueError, match=message):
        oracle(spec, [0] * spec.network.n_parameters, **more)


@pytest.mark.parametrize(
    ("code", "parts", "message"),
    [
        ("lfsr", ((1, 1),), r"^Parts must be positive and have 2 layers together"),
        ("lfsr", ((1, 1), (1, 1), (1, 1)), r"^Parts must be positive and have 2 layers together"),
        ("lfsr", ((1, 0), (1, 1)), r"^Parts must be positive"),
        ("lfsr", ((2, 3),), r"^Presentations must consist of whole rounds, of 3 probes each"),
        ("sequential", ((1, 1), (1, 1)), r"^A code that perturbs one neuron at a time must have no parts"),
    ],
)
def test_parts_that_the_machine_does_not_have_are_refused(code, parts, message):
    spec = design(code=code, periods=(1, 4, 4))
    object.__setattr__(spec.perturbation, "parts", parts)  # the design itself refuses them
    with pytest.raises(ValueError, match=message):
        oracle(spec, [0] * spec.network.n_parameters)


def test_a_missing_gradient_memory_is_refused():
    spec = design(periods=(1, 3, 1), hardware=Hardware(2, False))
    assert not oracle(spec, [0] * spec.network.n_parameters).memory
    spec = design(periods=(1, 3, 2))
    assert oracle(spec, [0] * spec.network.n_parameters).memory
    object.__setattr__(spec.hardware, "gradient_memory", False)  # the design itself refuses it
    with pytest.raises(ValueError, match=r"^A design without a gradient memory"):
        oracle(spec, [0] * spec.network.n_parameters)
