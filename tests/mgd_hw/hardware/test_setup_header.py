"""The C header that sets up a core behind a bus: its words are the accesses of the host, in their order."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from mgd_hw.hardware.setup_header import setup_header
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.bus import Bus, SampleSource, byte_address, window_map
from python_ref.spec.design import DesignSpec
from python_ref.spec.registers import Command
from sim import host
from tests.support.faults import DESIGNS


class Window:
    """A link that keeps the writes of the host, as byte offsets and words."""

    def __init__(self) -> None:
        self.written: list[tuple[int, int]] = []

    def write(self, address: int, data: int) -> None:
        self.written.append((4 * address, data & 0xFFFFFFFF))

    def read(self, address: int) -> int:
        raise AssertionError("nothing is read before a run")

    def send(self, words: object) -> None:
        raise AssertionError("no sample is sent before a run")

    def wait_idle(self) -> None:
        raise AssertionError("nothing is waited for before a run")


def parameters(spec: DesignSpec) -> np.ndarray:
    return quantise_parameters(spec, initial_parameters(spec))


def writes_of(text: str) -> list[tuple[int, int]]:
    """What the function of the header writes: a group begins with its offset (16 bits) and its number of words (16 bits)."""
    length, body = re.findall(r"_setup\[(\d+)\] = \{(.*?)\};", text, re.DOTALL)[0]
    words = [int(word, 16) for word in re.findall(r"0x[0-9a-f]{8}", body)]
    assert len(words) == int(length)
    found = []
    while words:
        offset, number = words[0] & 0xFFFF, words[0] >> 16
        found += [(offset, word) for word in words[1 : 1 + number]]
        del words[: 1 + number]
    return found


@pytest.mark.parametrize("name", DESIGNS)
def test_its_words_are_the_accesses_of_the_host(name: str) -> None:
    spec = DESIGNS[name]
    found = writes_of(setup_header(spec, Bus.WISHBONE, parameters(spec)))
    at = {name: byte_address(register) for name, register in window_map(spec, SampleSource.BUS).items()}
    window = Window()
    host.prepare(spec, window, parameters(spec))
    assert found == [(at["command"], Command.DISCARD), *window.written]
    assert (at["command"], Command.RESTART) in found and sum(offset == at["data"] for offset, _ in found) >= spec.n_parameters


def test_rates_are_those_of_the_schedule() -> None:
    spec = DESIGNS["weight"]
    spec = replace(spec, schedule=replace(spec.schedule, learning_rate=((0, -4), (1000, -6))))
    text = setup_header(spec, Bus.AXI4_LITE, parameters(spec))
    ((count, rows),) = re.findall(r"_rates\[(\d+)\] = \{(.*)\};", text)
    pairs = [(int(step), int(exponent)) for step, exponent in re.findall(r"\{(\d+), (-?\d+)\}", rows)]
    assert pairs == [(step, spec.exponent_at(step)) for step in (0, 1000)] and int(count) == 2
    assert pairs[0][1] - pairs[1][1] == 2
