"""Prediction before synthesis: rules for memories and multipliers, a fitted model for logic, and errors that are honest."""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rtl_gen
from boards.parts import fit_calibrate
from boards.parts.fit import (
    FAMILIES,
    CoreMemory,
    _close,
    calibration,
    features,
    fit,
    generator_digest,
    memories,
    multipliers,
    on_blocks,
    parts,
    predicted,
)
from boards.parts.fit_calibrate import design, fitted, synthesised
from boards.parts.synth import check_memory, cycles_per_step, over
from boards.parts.target import TARGETS, Resources
from mgd_hw.design.reader import load
from python_ref.spec.frames import RING_BYTES
from python_ref.spec.perturbation import Kind, WalshCode
from python_ref.spec.schedule import Difference
from rtl_gen.activation import activations, is_halved, stored_table
from rtl_gen.emit import memory_bits
from tests.boards.test_synth import WIDE, shipped_digits
from tests.boards.test_synth import design as small
from tests.support.designs import random_design
from tests.support.series_designs import random_series
from tests.support.stochastic_designs import random_stochastic_design

UP5K, ECP5, GOWIN = (TARGETS[name] for name in ("ice40-up5k", "ecp5-85k", "gowin-gw1nr9"))


@pytest.mark.parametrize("seed", range(24))
def test_memories_are_all_there(seed):
    rng = random.Random(f"memories {seed}")
    spec = random_design(rng, parts=1.0, sparse=0.3) if seed < 20 else random_stochastic_design(rng, parts=0.5)
    tables = len({layer.activation for layer in spec.network.layers if layer.activation.tabulated})
    bits = sum(memory.count * memory.bits for memory in memories(spec) if not memory.fixed)
    bits += tables * (spec.formats.activation.width << spec.formats.table.width)
    listed = [memory.bits for memory in memories(spec) if memory.name == "indices"]
    assert len(listed) == any(layer.lists is not None for layer in spec.network.layers)
    assert bits + sum(listed) == memory_bits(spec) + 8 * RING_BYTES
    assert all(memory.width <= spec.formats.activation.width for memory in memories(spec) if memory.fixed and memory.name != "indices")


def test_memories_of_presentations():
    """3-4-2 has 6 neurons, 4 of them in the first layer; random signs of 4 sequences of up to 8 neurons are read at two places."""
    found = {memory.name: (memory.depth, memory.width, memory.reads) for memory in memories(small())}
    change = small().cost_change_format.width
    assert found["sums"] == (6, change + 1, 1), "the sum of one change of either sign"
    assert found["kept"] == (4, small().accumulator_width, 1)
    assert found["vectors"] == (4 * 8, 1, 2)
    assert found["activations"] == (3 * 4, 14, 1), "the unperturbed pass and two probes"
    counted = small()
    counted = replace(counted, perturbation=replace(counted.perturbation, code=WalshCode()))
    assert "vectors" not in {memory.name for memory in memories(counted)}
    assert not {"sums", "kept", "signs"} & {memory.name for memory in memories(small(kind=Kind.WEIGHT))}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("seed", range(10))
def test_memories_of_networks_with_state_are_all_there(seed, kind):
    spec = random_series(random.Random(f"memories {seed}"), max_frames=4, kind=kind)
    spec = replace(spec, hardware=replace(spec.hardware, single_port=bool(seed % 2) and kind is Kind.NODE))
    bits = sum(memory.count * memory.bits for memory in memories(spec) if not memory.fixed)
    found = activations(spec)
    bits += sum(
        len(stored_table(spec, each)) * (spec.formats.activation.width - is_halved(spec, each)) for each in set(found) if each.tabulated
    )
    assert bits == memory_bits(spec) + 8 * RING_BYTES


def test_shipped_networks_with_state_fit_a_up5k_with_their_serial_link():
    """Of its 30 block memories; a network with state stores half of a table of tanh, and G of one group."""
    for name, large in (("vowels", 4), ("digits_rows", 4), ("digits_lif", 0)):
        spec = load(name).spec
        assert on_blocks(spec, UP5K) <= UP5K.capacity.bram, name
        assert predicted(spec, UP5K).spram == large
        check_memory(spec, UP5K)
    vowels = {memory.name: (memory.depth, memory.width, memory.reads) for memory in memories(load("vowels").spec)}
    assert vowels["group_sums"] == (1 + 12 + 32, 4 * 24, 1)
    assert vowels["samples"] == (2 * (1 + 29 * 12 + 9), 11, 1)
    assert vowels["tanh_table"][0] == 512


@pytest.mark.parametrize(
    ("part", "depth", "width", "blocks"),
    [
        # As Yosys 0.70 placed them: what is too small for a block is in look-up tables or flip-flops.
        (UP5K, 8, 9, 0),
        (UP5K, 9, 9, 1),
        (UP5K, 627, 17, 4),
        (ECP5, 121, 11, 0),
        (ECP5, 216, 5, 1),
        (ECP5, 84, 17, 1),
        (GOWIN, 216, 5, 0),
        (GOWIN, 84, 17, 1),
        (ECP5, 2351, 11, 3),
    ],
)
def test_a_memory_takes_blocks_where_they_are_cheaper(part, depth, width, blocks):
    assert CoreMemory("some", depth, width).blocks(part) == blocks


@pytest.mark.parametrize("current", [True, False])
def test_what_is_surely_too_large(monkeypatch, current):
    """Blocks and multipliers are counted by rules; logic is predicted, and only for the generator that the model is of."""
    monkeypatch.setattr("boards.parts.fit.calibration", lambda: ("2026-01-01", current))
    assert fit(shipped_digits(), "ice40-up5k").surely_over == {}
    digits = shipped_digits()
    wide = replace(digits, network=replace(digits.network, sizes=(64, 128, 10)), hardware=replace(digits.hardware, lanes=128))
    large = fit(wide, "ice40-up5k")
    assert set(large.over) >= {"lut", "logic", "dsp", "bram"}
    assert set(large.surely_over) & {"lut", "logic", "dsp", "bram"} == ({"lut", "logic", "dsp", "bram"} if current else {"dsp", "bram"})


def test_a_table_that_is_small_is_logic_and_each_read_port_needs_a_copy():
    assert CoreMemory("table", 64, 10, fixed=True).blocks(UP5K) == 0
    assert CoreMemory("table", 512, 8, fixed=True).blocks(UP5K) == 1
    assert CoreMemory("inputs", 18, 9, reads=2).blocks(UP5K) == 2


def test_multipliers_are_one_for_each_lane_and_one_for_all():
    assert multipliers(shipped_digits(), UP5K) == 7
    assert multipliers(shipped_digits(lanes=20), ECP5) == 21
    wide = small(lanes=2, **WIDE)
    assert multipliers(wide, UP5K) > 3


def test_the_most_lanes_fit_and_one_more_would_not():
    spec = shipped_digits()
    for name in parts():
        found = fit(spec, name)
        assert found.fits == (not over(found.taken, TARGETS[name]))
        if found.most_lanes and found.most_lanes < min(32, TARGETS[name].capacity.dsp):
            more = replace(spec, hardware=replace(spec.hardware, lanes=found.most_lanes + 1))
            assert over(predicted(more, TARGETS[name]), TARGETS[name])
        assert found.cycles_per_step == cycles_per_step(spec)
        assert found.taken.bram == on_blocks(spec, TARGETS[name])
        assert {
            "target",
            "fits",
            "most_lanes",
            "lut",
            "ff",
            "dsp",
            "bram",
            "memory_bits",
            "cycles_per_step",
            "error",
        } <= found.to_json().keys()


def test_what_does_not_fit_is_said_by_how_much():
    found = fit(small((784, 32, 10), lanes=8), "ice40-up5k")
    assert not found.fits
    assert found.over["bram"] == found.taken.bram - UP5K.capacity.bram
    assert found.most_lanes == 0


def test_what_is_too_close_to_tell_is_said():
    error = {kind: {"mean": 0.1} for kind in ("lut", "ff", "logic")}
    limit = UP5K.capacity.logic
    for logic, close in ((0.85, False), (0.95, True), (1.05, True), (1.2, False)):
        assert _close(Resources(logic=round(limit * logic)), UP5K, error) is close
    assert not _close(Resources(logic=limit, bram=31), UP5K, error), "what is known exactly settles it"


def test_every_part_has_a_model_with_its_errors():
    assert set(parts()) == set(TARGETS)
    assert calibration()[0]
    for name in parts():
        found = fit(shipped_digits(), name)
        assert found.designs >= 16
        for kind in ("lut", "ff", "logic"):
            assert 0 < found.error[kind]["mean"] <= found.error[kind]["worst"] < 1
        for kind in ("bram", "dsp"):
            assert 0.9 <= found.error[kind]["exact"] <= 1


# -- Calibration ------------------------------------------------------------------------------------------------------


def test_designs_are_seeded():
    some = [design(number).digest for number in range(30)]
    assert some == [design(number).digest for number in range(30)]
    assert len(set(some)) == 30


class Chooser(random.Random):
    """A generator that always chooses the option of one number."""

    def __init__(self, number: int) -> None:
        super().__init__("fit")
        self.number = number

    def choice(self, options):
        return options[self.number]


def test_designs_are_various():
    first, second = (fit_calibrate._drawn(Chooser(number), kind) for number, kind in enumerate(Kind))
    assert first is not None and second is not None
    assert {first.perturbation.kind, second.perturbation.kind} == set(Kind)
    assert {first.schedule.difference, second.schedule.difference} == set(Difference)
    assert first.formats != second.formats and first.network.output is not second.network.output


def made_up(noise=0.0, designs=64, odd=None):
    """Rows of designs whose counts are exactly linear in their features, or nearly; one of them may be odd."""
    rng, rows = random.Random(3), []
    for number in range(designs):
        spec = design(number)
        named = features(spec, UP5K)
        count = 500 * named["core"] + 40 * named["lanes"] + 2 * named["lanes: weight"] + 100 * named["node perturbation"]
        count = round(count * (1 + noise * rng.uniform(-1, 1)) * (3 if number == odd else 1))
        rows.append({"design": number, "family": "ice40", "lut": count, "ff": count, "logic": count, "blocks": []})
        rows[-1] |= {"bram": on_blocks(spec, UP5K), "dsp": multipliers(spec, UP5K)}
    return rows


def test_a_linear_world_is_predicted_and_errors_are_of_designs_not_seen():
    exact, noisy, odd = (fitted(rows, "ice40")["error"]["lut"] for rows in (made_up(), made_up(noise=0.2), made_up(odd=5)))
    assert exact["worst"] < 0.15
    assert exact["mean"] < noisy["mean"]
    assert odd["worst"] > 0.4, "a design unlike all others is predicted badly by a model that has not seen it"


def test_no_feature_gives_logic_back():
    for kind, found in fitted(made_up(noise=0.3), "ice40")["coefficients"].items():
        assert found and min(found.values()) > 0, kind


def test_a_rule_that_is_wrong_is_told(monkeypatch):
    rows = made_up(designs=3)
    assert list(fit_calibrate._wrong(rows)) == []
    rows[1]["bram"] += 1
    assert next(fit_calibrate._wrong(rows)).startswith("design 1, ice40: bram ")
    assert fitted(rows, "ice40")["error"]["bram"] == {"exact": round(2 / 3, 4), "worst": 1}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", [names[0] for names in FAMILIES.values()])
def test_a_real_build_is_as_predicted(name, tmp_path):
    spec, part = design(1000), TARGETS[name]
    found = synthesised(spec, part, tmp_path)
    expected, error = predicted(spec, part), fit(spec, name).error
    assert (expected.bram, expected.dsp) == (found["bram"], found["dsp"])
    assert expected.lut == pytest.approx(found["lut"], rel=1.5 * error["lut"]["worst"])
    assert part.family in FAMILIES
    assert np.isfinite(list(features(spec, part).values())).all()


def test_every_source_of_the_generator_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in folders of it too, but for blocks that neither a core the model was fitted to nor its serial link has."""
    copy = tmp_path / "rtl_gen"
    shutil.copytree(Path(rtl_gen.__path__[0]), copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = generator_digest()
    monkeypatch.setattr(rtl_gen, "__path__", [str(copy)])
    assert generator_digest() == before
    sources = sorted(copy.rglob("*.py"))
    assert {path.parent.relative_to(copy).as_posix() for path in sources} == {
        ".",
        "alone",
        "bus",
        "learner",
        "presentation",
        "serial",
        "series",
        "toolchain",
    }
    for path in sources:
        text = path.read_bytes()
        path.write_bytes(text + b"#")
        changed = generator_digest() != before
        assert changed == (path.parent.name not in ("alone", "bus", "learner", "series")), path
        path.write_bytes(text)
