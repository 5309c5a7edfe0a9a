"""Blocks of stochastic neurons: the stream of thresholds, the counts, what they change by, and the errors that follow from it."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from python_ref.spec.activations import Activation
from python_ref.spec.layers import DENSE, Stochastic
from python_ref.spec.number import Fixed
from python_ref.spec.perturbation import LfsrCode, SequentialCode, WalshCode
from rtl_gen.presentation.draws import Counts, DrawUnit, ThresholdStream, keeps_thresholds
from rtl_gen.presentation.factors import FactorErrorUnit
from tests.rtl_gen.presentation.slots import drive
from tests.support.bench import cycles
from tests.support.narrowing import narrow
from tests.support.node_designs import node_design
from tests.support.oracle import Stream
from tests.support.stochastic_oracle import fixed_thresholds

SEED, BITS = 5, 7


def design(*draws: int | None, sizes: tuple[int, ...] = (2, 3, 2), **changes):
    """A design whose layers have so many draws, or none."""
    kinds = tuple(DENSE if each is None else Stochastic(each) for each in draws)
    return node_design(sizes=sizes, kinds=kinds, hidden=Activation.SIGMOID, output=Activation.SIGMOID, **changes)


def beats(generator) -> list[int]:
    """What is shifted into a generator so that it begins with the state of the seed."""
    count = -(-generator.degree // generator.outputs)
    whole = generator.seed_state(SEED) << count * generator.outputs - generator.degree
    return [whole >> number * generator.outputs & (1 << generator.outputs) - 1 for number in range(count)]


def loading(generator) -> list[dict[str, int]]:
    """Inputs of the cycles that shift the state in."""
    return [row for beat in beats(generator) for row in ({"load_en": 1, "load": beat}, {"load_en": 0})]


@pytest.mark.parametrize("draws", [1, 8, 16])
def test_words_are_bits_of_one_stream_and_wait_until_they_are_taken(draws):
    """Of 7, 56 and 112 bits: by the register of 63 bits and by that of 127."""
    block, rng = ThresholdStream(design(draws, None)), random.Random(draws)
    expected, takes = Stream(draws * BITS, SEED, "draws"), [rng.random() < 0.6 for _ in range(60)]
    begin = loading(block.generator)
    found = cycles(block, [*begin, {}, *({"take": int(take)} for take in takes)], ["word"])[len(begin) + 1 :]
    for number, row in enumerate(found):
        taken = sum(takes[:number])
        assert row["word"] == sum(expected.bit(taken, bit) << bit for bit in range(draws * BITS))


def test_counts_are_of_the_thresholds_of_the_layer_below_the_activation():
    block, rng = Counts(design(4, 8)), random.Random(3)
    rows = []
    for _ in range(200):
        thresholds = [rng.randrange(1 << BITS) for _ in range(8)]
        rows.append((rng.choice((0, 128, rng.randint(0, 128), thresholds[0], thresholds[5])), rng.randrange(2), thresholds))
    for activation in range(129):  # an inference rounds
        rows.append((activation, 1, fixed_thresholds(8, BITS)))
    inputs = [
        {"activation": activation, "layer": layer, "word": sum(u << place * BITS for place, u in enumerate(thresholds))}
        for activation, layer, thresholds in rows
    ]
    found = [row["count"] for row in cycles(block, inputs, ["count"], extra=2)][2:]
    assert found == [sum(activation > u for u in thresholds[: (4, 8)[layer]]) for activation, layer, thresholds in rows]
    assert found[200:] == [int(Fraction(8 * activation, 128) + Fraction(1, 2)) for activation in range(129)]


@pytest.mark.parametrize("code", [SequentialCode(), LfsrCode()], ids=["thresholds kept", "counts kept"])
@pytest.mark.parametrize("two_sided", [False, True])
def test_outputs_and_what_they_change_by(two_sided, code):
    """Passes of a dense and a stochastic layer, some of whose neurons are not active, in any banks; a pass is repeated, one is inferred.

    With the code one neuron is perturbed at a time, so that activations behind it change; with the other one counts are kept.
    """
    spec = design(None, 4, two_sided=two_sided, code=code)
    keeps = keeps_thresholds(spec)
    assert keeps == code.single
    block, rng, words = DrawUnit(spec), random.Random(int(two_sided)), Stream(4 * BITS, SEED, "draws")
    number, kept, repeated, counted = 0, {}, {}, {}
    fed, expected, sweeps = [], [], []

    def draw():
        nonlocal number
        number += 1
        return [sum(words.bit(number - 1, place * BITS + bit) << bit for bit in range(BITS)) for place in range(4)]

    def run_pass(bank, *, minus=0, training=1, draws=1):
        changed = {}
        for index in range(5):
            layer, activation, active = int(index >= 3), rng.randint(0, 128), int(bank != 2 and rng.random() < 0.6)
            fields = {"valid": 1, "last": int(index == 4), "minus": minus, "bank": bank, "layer": layer, "index": index, "active": active}
            fed.append((fields, activation, training, draws))
            if not layer:
                expected.append(activation)
                continue
            if not training:
                thresholds = fixed_thresholds(4, BITS)
            elif active or (bank == 2 and draws):
                thresholds = draw()
            else:
                thresholds = kept[index]
            if training and bank == 2:
                kept[index] = thresholds
            count = sum(activation > u for u in thresholds)
            if training and not keeps and not active and not (bank == 2 and draws):
                count = repeated[index]
            expected.append(count)
            if bank == 2:
                repeated[index] = count
            if bank == (0 if two_sided else 2) and not minus:
                counted[index] = count
            elif bank != 2:
                changed[index] = counted[index] - count if two_sided else count - counted[index]
        fed.extend([None] * 6)
        if changed:
            sweeps.append((len(fed), bank, changed))
            fed.extend([None] * 8)

    run_pass(2)
    for probe in range(6):
        run_pass(0 if two_sided else probe % 2)
        if two_sided:
            run_pass(1, minus=1)
        if probe == 2:
            run_pass(2, draws=0)
        if probe == 3:
            run_pass(2, training=0)
            run_pass(2)
    begin, rows = loading(block.stream.generator), []
    for cycle in range(len(fed) + 6):
        row = {"coming.valid": 0, "neuron.valid": 0, "sweep_begin": 0}
        for port, late in (("coming", 0), ("neuron", 2)):
            now = fed[cycle - late] if 0 <= cycle - late < len(fed) else None
            if now:
                row |= {f"{port}.{name}": value for name, value in now[0].items()}
                row |= {"training": now[2], "draws": now[3]} if port == "coming" else {"activation": now[1]}
        for at, bank, _ in sweeps:
            if cycle == at:
                row |= {"sweep_begin": 1, "sweep_bank": bank}
            if at < cycle <= at + 5:
                row["sweep_index"] = cycle - at - 1
        rows.append(row)
    found = cycles(block, [*begin, {}, *rows], ["neuron_o.valid", "y", "change"])[len(begin) + 1 :]
    assert [row["y"] for row in found if row["neuron_o.valid"]] == expected
    for at, _, changed in sweeps:
        assert {index: found[at + 2 + index]["change"] for index in (3, 4)} == changed
    assert len(sweeps) == 6


@pytest.mark.parametrize("draws", [1, 4, 16])
def test_errors_are_sums_of_counts_times_changes_with_an_offset(draws):
    spec = design(draws, None, sizes=(2, 5, 3), lanes=3, code=WalshCode(), rates=((0, -4),), error=Fixed(True, 2, 13))
    unit, rng, n = FactorErrorUnit(spec), random.Random(draws), spec.network.n_neurons
    change, total, pause = spec.cost_change_format, spec.error_sum_format, n + 40
    factors, costs = [], []
    for _ in range(4):
        costs.append(rng.choice((change.min, change.max, rng.randint(change.min, change.max))) >> rng.choice((0, 3)))
        noisy = [rng.choice((-draws, draws, rng.randint(-draws, draws))) for _ in range(5)]
        factors.append([*noisy, *(rng.choice((-1, 1)) for _ in range(3))])
    asked, found, errors = [0], [], []

    def each(ctx, cycle):
        step, place = min(cycle // pause, 3), cycle - min(cycle // pause, 3) * pause
        ctx.set(unit.change_stb, place == 1)
        ctx.set(unit.cost_change, costs[step])
        ctx.set(unit.fresh, step == 0)
        ctx.set(unit.final, step == 3)
        ctx.set(unit.exponent, spec.exponent_at(0))
        ctx.set(unit.next_group, place > 1 and place % pause == 2)
        factor = factors[step][asked[-1]] if asked[-1] < n else 0
        ctx.set(unit.change, factor if asked[-1] < 5 else draws)
        ctx.set(unit.sign.negative, factor < 0 if asked[-1] >= 5 else rng.randrange(2))
        ctx.set(unit.sign.active, 1)
        asked.append(ctx.get(unit.sign_index))
        if ctx.get(unit.correlation_stb):
            found.append((ctx.get(unit.sign_o), ctx.get(unit.error_sum)))
        if ctx.get(unit.error_stb):
            errors.append(ctx.get(unit.error))

    drive(unit, 7 * pause, each)
    sums = [0] * n
    for step in range(4):
        sums = [before + factor * costs[step] for before, factor in zip(sums, factors[step], strict=True)]
        assert found[step * n : (step + 1) * n] == list(zip(factors[step], sums, strict=True))
    scales = [Fraction(2) ** -4 / 2] * 5 + [Fraction(2) ** -4 / Fraction(2) ** spec.perturbation.amplitude_log2] * 3
    real = [scale * raw / Fraction(2) ** total.fraction_bits for scale, raw in zip(scales, sums, strict=True)]
    assert errors == [narrow(value, spec.error_format, "half-even", "saturate")[0] * 2**13 for value in real]
    assert len(errors) == n
