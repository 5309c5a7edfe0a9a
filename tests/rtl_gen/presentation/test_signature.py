"""Both signatures equal a register that is written down word by word, although passes overlap and errors come before their words."""

import random

import pytest

from rtl_gen.presentation.signature import ForwardSignature, LearnedSignature
from rtl_gen.signature import MAX_COPIED
from tests.rtl_gen.presentation.slots import drive
from tests.support.oracle import signed_by_events
from tests.support.probe_signature import folded, register_after

WIDTHS = {"neuron": 45, "cost": 20, "change": 70}


def play(block, rows):
    """Drive a signature; return its value in every cycle."""
    found = []

    def each(ctx, cycle):
        for name, value in rows[cycle].items():
            ctx.set(getattr(block, name), value)
        found.append(ctx.get(block.o))

    drive(block, len(rows), each)
    return found


@pytest.mark.parametrize("in_parts", [False, True])
def test_the_forward_signature_has_a_word_for_each_pass_and_step(in_parts):
    rng, block = random.Random(int(in_parts)), ForwardSignature(*WIDTHS.values(), in_parts=in_parts)
    idle = dict.fromkeys(("neuron_stb", "cost_stb", "change_stb", "clear"), 0)
    rows, expected, state = [idle] * 3, {}, 0
    register = {}

    def add(**row):
        rows.append(idle | row)

    def neuron(bank):
        value = rng.getrandbits(WIDTHS["neuron"])
        register.setdefault(bank, []).append([(value, WIDTHS["neuron"])])
        add(neuron_stb=1, neuron_bank=bank, neuron=value)

    def cost(bank, state):
        value = rng.getrandbits(WIDTHS["cost"])
        add(cost_stb=1, cost_bank=bank, cost=value)
        word = register_after(register.pop(bank)) ^ folded([(value, WIDTHS["cost"])])
        return signed_by_events(state, [[(word, 32)]])

    for _ in range(4):  # presentations of some probes, each of which begins before the one before has ended
        for _ in range(5):
            neuron(2)
        neuron(0)
        state = cost(2, state)
        bank = 0
        for _ in range(rng.randint(1, 4)):
            for _ in range(rng.randint(0, 3)):
                neuron(bank)
            neuron(1 - bank)
            neuron(bank)
            state = cost(bank, state)
            value = rng.getrandbits(WIDTHS["change"])
            add(change_stb=1, change=value)
            state = signed_by_events(state, [[(value, WIDTHS["change"])]])
            expected[len(rows) - 1 + block.latency] = state
            bank = 1 - bank
        neuron(bank)
        state = cost(bank, state)
        rows += [idle] * block.latency
        if rng.random() < 0.5:
            add(clear=1)
            rows += [idle] * 4
            state = 0
    rows += [idle] * (block.latency + 1)
    found = play(block, rows)
    assert {cycle: found[cycle] for cycle in expected} == expected
    assert found[-1] == state


@pytest.mark.parametrize(("in_parts", "width"), [(False, 90), (True, 90), (True, MAX_COPIED + 90)])
def test_the_learned_signature_covers_the_errors_in_its_last_word(in_parts, width):
    rng, error = random.Random(int(in_parts)), 16
    block = LearnedSignature(width, error, in_parts=in_parts)
    idle = dict.fromkeys(("word_stb", "word_last", "error_stb", "clear"), 0)
    rows, expected, state = [idle] * 3, {}, 0
    for _ in range(5):
        errors = [rng.getrandbits(error) for _ in range(rng.randint(2, 6))]
        words = [rng.getrandbits(width) for _ in range(rng.randint(1, 7))]
        for value in errors[:2]:
            rows.append(idle | {"error_stb": 1, "error": value})
        rows += [idle] * 3
        for number, value in enumerate(words):
            row = {"word_stb": 1, "word": value, "word_last": int(number == len(words) - 1)}
            if number == 0:  # the errors of other groups come while the words of the first one do
                row |= {"error_stb": int(len(errors) > 2), "error": errors[2] if len(errors) > 2 else 0}
                if len(words) == 1:
                    errors = errors[:2]
                    row["error_stb"] = 0
                else:
                    errors = errors[:3]
            rows.append(idle | row)
            if number == 0:
                rows += [idle] * 2
        folds = [folded([(value, width)]) for value in words]
        folds[-1] ^= register_after([[(value, error)] for value in errors])
        state = signed_by_events(state, [[(word, 32)] for word in folds])
        expected[len(rows) - 1 + block.latency] = state
        if len(words) == 1:  # the last row was not the word's
            expected[len(rows) - 1 + block.latency] = state
        rows += [idle] * (block.latency + 3)
    found = play(block, rows)
    assert {cycle: found[cycle] for cycle in expected} == expected
