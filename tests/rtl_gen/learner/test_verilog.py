"""The Verilog that is written, beside a chip in Verilog: after a run, what the host reads equals the model with the chip's twin.

The chip takes a word in every third cycle, settles late, floors words to the steps of its converters, and pauses between cost words. The
signatures cover every word, every cost and every parameter of all steps.
"""

from dataclasses import replace

import numpy as np
import pytest

from python_ref.fixed import learner as model
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.hardware import Hardware
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.probes import COUNTERS
from python_ref.spec.registers import Command, Status
from sim import host
from tests.rtl_gen.learner.test_core import ONE_SIDED, TWO_SIDED
from tests.support import verilog_chip
from tests.support.verilog_chip import IntegerChip, play

STREAMS = replace(
    TWO_SIDED, name="streams", external=8, hardware=Hardware(3), outside=replace(TWO_SIDED.outside, settle=6, timeout_cycles=40)
)
"""Three streams, each of which is taken at a pace of its own."""

SPECS = [
    replace(ONE_SIDED, external=6, outside=replace(ONE_SIDED.outside, settle=6, timeout_cycles=40)),
    replace(TWO_SIDED, outside=replace(TWO_SIDED.outside, settle=6, timeout_cycles=40)),
]


def run_equals_model(spec: LearnerSpec, steps: int, silent: int, folder, language: int = 2005) -> None:
    start = quantise_parameters(spec, initial_parameters(spec))
    state, abandoned, chip = model.initial_learner(spec, start), 0, IntegerChip(spec, silent=silent)
    while state.steps < steps:
        state, observed = model.step(spec, state, chip)
        abandoned += observed is None
    assert abandoned == (silent >= 0)

    def action(link):
        host.prepare(spec, link, start)
        late = []
        for first, count in host.runs(spec, 0, steps):
            host.set_rate(spec, link, first)
            host.write_register(spec, link, "count", count)
            host.write_register(spec, link, "command", Command.TRAIN)
            link.wait_idle()
            late.append(host.read_register(spec, link, "status"))
            host.write_register(spec, link, "command", Command.TRAIN)  # goes on after an abandoned step, and else does nothing
            link.wait_idle()
        counters = host.read_counters(spec, link)
        memories = {memory: host.read_memory(spec, link, memory) for memory in spec.memories}
        return late, counters, memories, host.read_register(spec, link, "signature")

    late, counters, memories, signature = play(spec, IntegerChip(spec, silent=silent), action, folder, language=language)
    assert [each for each in late if each] == [Status.LATE] * abandoned
    del counters["cycles"]
    assert counters == dict(zip(COUNTERS, state.counters.tolist(), strict=True))
    kept = {"parameter": state.parameters, "gradient": state.gradient, **state.optimizer}
    for memory, found in memories.items():
        assert np.array_equal(found, kept[memory.name.lower()]), memory
    assert signature == state.signature[0] | state.signature[1] << 32


@pytest.mark.parametrize(
    "spec, steps, silent, language",
    [
        pytest.param(SPECS[1], 20, 7, 2012, id="short, SystemVerilog"),
        pytest.param(STREAMS, 20, 7, 2005, id="streams"),
        *(
            pytest.param(spec, 100, silent, 2005, id=f"{spec.name} {silent}", marks=pytest.mark.slow)
            for spec in SPECS
            for silent in (-1, 8)
        ),
    ],
)
def test_the_verilog_equals_the_model(spec, steps, silent, language, tmp_path):
    """By either standard; in SystemVerilog, initial values come before the blocks that wait for their events."""
    run_equals_model(spec, steps, silent, tmp_path, language)


@pytest.mark.slow
@pytest.mark.parametrize(
    "before, after",
    [("noisy = analog + (words * 7) % 5 - 2", "noisy = analog"), ("sent[k] >>> FLOOR", "sent[k] / 4"), ("shown * 37", "0")],
)
def test_another_chip_is_noticed(before, after, tmp_path, monkeypatch):
    """What the chip does enters the learner: without its ripple, its rounding, or its samples, the core is not the model's."""
    source = verilog_chip.SOURCE.read_text(encoding="utf-8")
    assert source.count(before) == 1
    (tmp_path / "chip.v").write_text(source.replace(before, after), encoding="utf-8")
    monkeypatch.setattr(verilog_chip, "SOURCE", tmp_path / "chip.v")
    with pytest.raises(AssertionError):
        run_equals_model(SPECS[0], 20, -1, tmp_path)
