"""The signatures that the hardware keeps, against those of the model."""

import random

import numpy as np
import pytest

from python_ref.fixed.signature import event_words, signed
from python_ref.spec.events import EventField
from rtl_gen.signature import MAX_COPIED, ForwardSignature, Signature
from tests.support.bench import cycles

WIDTHS = {"neuron": 70, "cost": 41, "change": 35}
ALL_ONES = 0xFFFFFFFF


def word(payload: int, width: int) -> int:
    """The word of a payload, by the model."""
    parts = [payload >> first & ALL_ONES for first in range(0, width, 32)]
    fields = tuple(EventField(f"part{n}", 32, offset=32 * n) for n in range(len(parts)))
    return int(event_words(fields, {field.name: np.array([part]) for field, part in zip(fields, parts, strict=True)})[0])


def after(signature: int, words: list[int]) -> int:
    return signed(signature, np.array(words, dtype=np.uint32))


@pytest.mark.parametrize(
    ("in_parts", "width"), [(False, 200), (True, 200), (True, MAX_COPIED), (True, MAX_COPIED + 37), (True, 3 * MAX_COPIED)]
)
def test_words_of_one_kind_equal_the_model(in_parts, width):
    rng = random.Random(1)
    block = Signature(width, in_parts=in_parts)
    stimuli, expected = [], []
    words: list[int] = []
    for _ in range(60):
        stb, payload = rng.random() < 0.6, rng.getrandbits(width)
        stimuli.append({"stb": int(stb), "payload": payload})
        words += [word(payload, width)] if stb else []
        expected.append(after(0, words))
    found = cycles(block, stimuli, ("o",), extra=block.latency)
    assert [row["o"] for row in found][block.latency :] == expected


@pytest.mark.parametrize("in_parts", (False, True))
@pytest.mark.parametrize("interleaved", (False, True))
def test_passes_equal_the_model_however_their_neurons_are_interleaved(in_parts, interleaved):
    rng = random.Random(2)
    block = ForwardSignature(*WIDTHS.values(), in_parts=in_parts)
    idle = {"neuron_stb": 0, "cost_stb": 0, "change_stb": 0}
    stimuli: list[dict] = [idle] * 3
    words: list[int] = []
    for _ in range(4):
        neurons = [[rng.getrandbits(WIDTHS["neuron"]) for _ in range(5)] for _ in range(2)]
        events = [(number, payload) for number in range(2) for payload in neurons[number]]
        if interleaved:
            events = sorted(events, key=lambda _: rng.random())
            neurons = [[payload for number, payload in events if number == each] for each in range(2)]
        stimuli += [{**idle, "neuron_stb": 1, "neuron": payload, "neuron_second": number} for number, payload in events]
        stimuli += [idle] * block.latency
        for number in range(2):
            cost = rng.getrandbits(WIDTHS["cost"])
            stimuli.append({**idle, "cost_stb": 1, "cost": cost, "cost_second": number})
            register = after(0, [word(each, WIDTHS["neuron"]) for each in neurons[number]]) ^ ALL_ONES
            words.append(register ^ word(cost, WIDTHS["cost"]))
        change = rng.getrandbits(WIDTHS["change"])
        stimuli += [idle] * 2 + [{**idle, "change_stb": 1, "change": change}] + [idle] * block.latency
        words.append(word(change, WIDTHS["change"]))
    found = cycles(block, stimuli, ("o",), extra=2)
    assert found[-1]["o"] == after(0, words)
