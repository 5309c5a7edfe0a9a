"""The timeline of a step, or of a presentation of node perturbation, is its cycle contract, which simulation holds the core to."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from mgd_hw.design.reader import load, parse
from mgd_hw.hardware.timeline import contract_rows, step_contract, timeline_of
from python_ref.spec.perturbation import Kind
from tests.support.designs import random_design
from tests.support.series_designs import random_series


@pytest.mark.parametrize("seed", range(12))
def test_spans_of_a_step_add_up_to_the_contract(seed: int) -> None:
    spec = random_design(random.Random(seed), kinds=(Kind.WEIGHT,), sparse=0.4)
    contract: Any = step_contract(spec)
    timeline = timeline_of(spec)
    assert timeline.cycles == contract.step_cycles(2)
    forward = [span for span in timeline.spans if span.what == "network"]
    layers = spec.layout.layers
    if len(layers) == 1:
        assert [(span.name, span.cycles) for span in forward] == [("both passes, layer 1", contract.pair_cycles - layers[0].last_lanes)]
        assert timeline.second_pass == contract.pair_cycles
    else:
        assert [span.name for span in forward].count("both passes, layer 1") == 1
        assert sum(span.cycles for span in forward[1:]) == 2 * (contract.slots - layers[1].first_slot)
        assert timeline.second_pass == forward[len(layers)].first
        assert timeline.second_pass - contract.gap == forward[len(layers) - 1].first + forward[len(layers) - 1].cycles
    busy = sorted((span.first, span.first + span.cycles) for span in timeline.spans if span.what != "learning")
    assert all(end <= start for (_, end), (start, _) in pairwise(busy))
    assert busy[-1][1] == timeline.cycles


@pytest.mark.parametrize("seed", range(4))
def test_spans_of_a_step_of_frames_add_up_to_the_contract(seed: int) -> None:
    spec = random_series(random.Random(seed), max_frames=4, kind=Kind.WEIGHT)
    contract: Any = step_contract(spec)
    timeline = timeline_of(spec)
    assert timeline.cycles == contract.step_cycles(2)
    forward = [span for span in timeline.spans if span.what == "network"]
    assert sum(span.cycles for span in forward) == 2 * contract.slots
    assert timeline.second_pass == contract.pass_cycles
    learning = sum(span.cycles for span in timeline.spans if span.what == "learning")
    assert learning == contract.frame_cycles + contract.tail_cycles == contract.pass_cycles_of(1)
    busy = sorted((span.first, span.first + span.cycles) for span in timeline.spans if span.what != "learning")
    assert all(end <= start for (_, end), (start, _) in pairwise(busy))
    assert busy[-1][1] == timeline.cycles


@pytest.mark.parametrize("seed", range(12))
def test_spans_of_a_presentation_add_up_to_the_contract(seed: int) -> None:
    spec = random_design(random.Random(seed), kinds=(Kind.NODE,), parts=0.7, sparse=0.4)
    contract: Any = step_contract(spec)
    timeline = timeline_of(spec)
    assert timeline.cycles == contract.presentation_cycles(spec.longest_presentation)
    *unperturbed, probes = (span for span in timeline.spans if span.what == "network")
    assert sum(span.cycles for span in unperturbed) == contract.slots
    assert unperturbed[-1].first + unperturbed[-1].cycles + contract.sequencer.closing == contract.unperturbed_cycles == probes.first
    every = sorted((span.first, span.first + span.cycles) for span in timeline.spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(every)) and all(first < end for first, end in every)
    (apply,) = (span for span in timeline.spans if span.what == "learning")
    assert (apply.cycles, every[-1][1]) == (contract.apply_cycles, timeline.cycles)


@pytest.mark.parametrize("seed", range(4))
def test_errors_applied_just_in_time_are_drawn_during_the_unperturbed_pass(seed: int) -> None:
    spec = random_design(random.Random(seed), kinds=(Kind.NODE,), parts=0.7, sparse=0.4)
    spec = replace(spec, hardware=replace(spec.hardware, multipliers_per_lane=2))
    contract: Any = step_contract(spec)
    timeline = timeline_of(spec)
    assert timeline.cycles == contract.presentation_cycles(spec.longest_presentation)
    *unperturbed, _ = (span for span in timeline.spans if span.what == "network")
    (applying,) = (span for span in timeline.spans if span.what == "learning")
    assert (applying.first, applying.cycles) == (0, unperturbed[-1].first + unperturbed[-1].cycles)
    others = sorted((span.first, span.first + span.cycles) for span in timeline.spans if span is not applying)
    assert all(end <= start for (_, end), (start, _) in pairwise(others)) and others[-1][1] == timeline.cycles
    rows = {name: cycles for name, cycles, _ in contract_rows(spec)}
    assert rows["flushing pass"] == contract.flush_cycles > contract.apply_cycles == 0


def test_a_presentation_is_described_by_its_probes() -> None:
    text = 'data.task = "digits"\nschedule.sample_period = 16\nschedule.update_period = 16\n'
    one, many, two_sided = (
        parse(text.replace("16", steps) + sided, "x.toml").spec
        for steps, sided in (("1", ""), ("16", ""), ("16", 'schedule.difference = "two-sided"\n'))
    )
    assert timeline_of(one).title == "One presentation of 1 step"
    assert timeline_of(many).title == "One presentation of 16 steps"
    for spec, probes, said in ((one, 1, "one probe"), (many, 16, "16 probes"), (two_sided, 32, "32 probes")):
        contract: Any = step_contract(spec)
        span = next(span for span in timeline_of(spec).spans if "probe" in span.name)
        assert span.name == said
        assert span.cycles == pytest.approx(probes * contract.probe_cycles, abs=contract.probe_cycles)
        rows = {name: (cycles, meaning) for name, cycles, meaning in contract_rows(spec)}
        assert rows["probe"][0] == contract.probe_cycles
        assert rows["presentation"][0] == contract.presentation_cycles(spec.longest_presentation)
        assert rows["presentation"][1].startswith(f"{said}; ")


@pytest.mark.parametrize("name", ["digits_rows", "digits_lif"])
def test_a_presentation_of_frames_names_each_visit(name: str) -> None:
    """The recurrent layer is visited in every frame, and the dense one behind it once; the passes add up to the contract."""
    spec = load(name).spec
    contract: Any = step_contract(spec)
    timeline, frames = timeline_of(spec), spec.network.frames
    *unperturbed, probes = (span for span in timeline.spans if span.what == "network")
    visits = [f"frame {number}, layer 1" for number in range(1, frames + 1)]
    assert [span.name for span in unperturbed] == [f"unperturbed pass, {visit}" for visit in (*visits, "layer 2")]
    assert timeline.title == f"One presentation of {spec.longest_presentation} steps, a sample of {frames} frames"
    assert (timeline.cycles, timeline.second_pass) == (contract.presentation_cycles(spec.longest_presentation), probes.first)
    assert probes.first == contract.unperturbed_cycles and probes.name == f"{spec.longest_presentation} probes"
    every = sorted((span.first, span.first + span.cycles) for span in timeline.spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(every)) and every[-1][1] == timeline.cycles
