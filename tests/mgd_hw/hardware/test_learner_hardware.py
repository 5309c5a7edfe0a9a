"""Synthesis, boards and co-simulation of a learner through the verbs."""

import json
import re
from dataclasses import replace

import pytest

import mgd_hw
from boards.flow.too_large import check_fit, too_large
from boards.parts.synth import check_memory, cycles_per_step
from boards.parts.target import target
from mgd_hw.design.reader import load_any, parse_any
from mgd_hw.hardware.build import _line_bytes
from python_ref.spec.error import DesignError, Refusal
from python_ref.spec.relay import relay_map
from rtl_gen.learner.core import learner_core

TINY = "[network]\nexternal = 3\n[schedule]\nlearning_rate = -4\n[external]\nsettle = 5\naverage = 1\n"
"""A learner without a process as its outside."""

CHIP = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"costs": [sum((value - 0.5) ** 2 for value in asked["parameters"])] * len(asked["inputs"])}), flush=True)
"""
"""A process that measures a bowl."""


def test_generate_writes_the_top_of_a_board(tmp_path):
    found = mgd_hw.generate(parse_any(TINY, "tiny.toml"), tmp_path, board="icebreaker")
    assert {"top.v", "icebreaker.pcf", "manifest.json"} <= set(found.files)
    assert re.search(r"^module mgd_tiny_top\(", (tmp_path / "top.v").read_text(encoding="utf-8"), re.MULTILINE)
    written = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in written["outside_registers"]] == list(relay_map(load_any("chip").spec))
    assert found.timeline is None and found.contract


def test_cycles_of_a_step_are_those_of_the_contract():
    spec = load_any("chip").spec
    contract, outside = learner_core(spec).contract, spec.outside
    assert cycles_per_step(spec) == contract.step_cycles(2, outside.settle, outside.average) + 1  # an index in every step


def test_bytes_on_the_line_of_a_pass():
    """Four rows of words: frames of a question and of two costs, and two answers."""
    design = parse_any(TINY, "tiny.toml")
    found, steps = _line_bytes(design.spec)
    assert found == (8 + 1 + 2) + (8 + 10) + 4 * 3 + 2 * 7
    assert steps == 1 / 2


def test_a_learner_that_is_too_large_is_named():
    spec = load_any("chip").spec
    part = target("ice40-up5k")
    check_fit(spec, part)
    with pytest.raises(DesignError, match="the memories of so many quantities take") as caught:
        check_memory(replace(spec, external=50_000), part)
    assert caught.value.key == "network.external" and "--target" in caught.value.remedy
    assert too_large(spec, part, {"lut": 3}, 0, "").key == "network.external"


def test_what_cosim_cannot_do_with_a_learner_is_refused(tmp_path):
    with pytest.raises(Refusal, match="nothing that answers the learner with costs"):
        mgd_hw.cosim(parse_any(TINY, "tiny.toml"), out=tmp_path)


@pytest.mark.slow
def test_the_netlist_of_a_learner_is_equal(tmp_path):
    """The cells of a part, beside a chip that is a program."""
    (tmp_path / "chip.py").write_text(CHIP, encoding="utf-8")
    design = parse_any(TINY + 'command = "python chip.py"\n', tmp_path / "tiny.toml")
    found = mgd_hw.cosim(design, netlist="ice40-up5k", simulator="icarus", steps=20, out=tmp_path / "out")
    assert found.equal and found.compared == 20 * found.observables and found.netlist == "ice40-up5k"
    assert any("Timing" in sentence for sentence in found.not_covered)
    assert "SB_LUT4" in (tmp_path / "out" / "netlist.v").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.long
def test_a_learner_is_synthesised(tmp_path):
    found = mgd_hw.synth(parse_any(TINY, "tiny.toml"), out=tmp_path)
    assert found.fits and found.network_outside and found.dsp == 0 and found.predicted_lanes == 1
    assert {"measurement", "queue", "sequencer", "controller"} <= set(found.components)


@pytest.mark.slow
@pytest.mark.long
def test_the_shipped_chip_is_equal(tmp_path):
    found = mgd_hw.cosim("chip", steps=300, out=tmp_path)
    assert found.equal and found.compared == 300 * found.observables and found.clipped == 0


@pytest.mark.slow
@pytest.mark.long
def test_a_learner_is_built_for_a_board(tmp_path):
    found = mgd_hw.build(parse_any(TINY, "tiny.toml"), "icebreaker", seeds=1, out=tmp_path)
    assert found.bitstream.exists() and found.steps_per_second and found.visits_per_second is None
    assert found.learning == {} and found.frequency_mhz > 40
