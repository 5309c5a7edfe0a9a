"""What each way to learn takes: against counts of a trace, energies by hand, and curves that are written down here."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mgd_hw.cli import commands
from mgd_hw.data import Data
from mgd_hw.data import load as load_data
from mgd_hw.design.reader import parse
from mgd_hw.efficiency import compare as verb
from mgd_hw.efficiency import work
from mgd_hw.efficiency.compare import Efficiency, compare_efficiency
from mgd_hw.efficiency.counts import ENDURANCES, Counts, counts_at, energy_range, wear_of
from mgd_hw.efficiency.training import COLUMNS, Task, run_task
from mgd_hw.efficiency.variants import Variant, variants_of
from mgd_hw.learn.costs import Energy
from mgd_hw.sweeps.jobs import Job
from python_ref.datasets import quantise
from python_ref.fixed import machine
from python_ref.fixed.tally import REASONS
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.error import Refusal

pytestmark = pytest.mark.usefixtures("without_pictures")

XOR = 'data.task = "xor"\nnetwork.layers = [2, 3, 1]\ncompare.steps = 96\ncompare.seeds = 1\ncompare.backprop_epochs = 5\n'


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Efficiency:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mgd_hw.common.figures.saved", lambda figure, form, salt, dpi=150: b"not drawn")
        place = tmp_path_factory.mktemp("efficiency")
        return compare_efficiency(parse(XOR, place / "x.toml"), board="icebreaker", workers=1, out=place, until=1.0)


# -- The hardware's bits ----------------------------------------------------------------------------------------------


def traced(variant: Variant, data: Data, steps: int) -> dict[str, int]:
    """Passes, writes, and changes, counted in the one-page model step by step."""
    spec = variant.design.spec
    state = machine.initial_state(spec, quantise_parameters(spec, initial_parameters(spec, spec.network.initial.seed)))
    (inputs, targets), order = quantise(spec, data.train), data.order
    changes, found = np.zeros(spec.network.n_parameters, np.int64), {"evaluations": 0, "writes": 0}
    for n in range(steps):
        row = order.indices(n // spec.schedule.sample_period, 1)[0]
        fresh = n % spec.schedule.sample_period == 0 or n % spec.schedule.update_period == 0  # the unperturbed pass is due
        found["evaluations"] += 1 + (fresh if not spec.two_sided or spec.node else 1) + (spec.two_sided and spec.node)
        after, _ = machine.step(spec, state, (inputs[row], targets[row]))
        found["writes"] += spec.network.n_parameters * ((n + 1) % spec.schedule.update_period == 0)
        changes += after.parameters != state.parameters
        state = after
    return {**found, "changed": int(changes.sum()), "most_changed": int(changes.max())}


@pytest.mark.parametrize("name", ["node-sequential", "node-walsh", "weight-lfsr", "weight-sequential"])
def test_counts_are_those_of_a_trace(result: Efficiency, name: str) -> None:
    """Of a run that does not reach the accuracy, and is counted to its end."""
    design = parse(XOR, "x.toml")
    variant = next(each for each in variants_of(design, 96, 4) if each.name == name)
    found = result.variant(name)
    (run,) = found.runs
    assert not run.reached and run.counts.to_json() == found.counts.to_json()
    counts, wanted = run.counts, traced(variant, load_data(design.data), variant.steps)
    assert {key: getattr(counts, key) for key in wanted} == wanted
    assert counts.steps == variant.steps and counts.most_written * 13 == counts.writes
    assert sum(counts.unchanged.values()) + counts.changed == counts.writes
    assert list(counts.unchanged) == list(REASONS)
    assert counts.samples == variant.steps / found.settings["sample_period"]
    assert counts.seconds["icebreaker"].core == counts.cycles / 60e6
    assert counts.seconds["icebreaker"].line == pytest.approx(counts.samples * 10 * 4 / 3e6)  # 2 + 1 words, of a byte and of two


def test_full_passes_are_multiplications(result: Efficiency) -> None:
    """Of 2·3 + 3·1 synapses: a probe of node perturbation visits those behind the first layer, or one of them."""
    assert result.variant("weight-lfsr").counts.full_evaluations == result.variant("weight-lfsr").counts.evaluations
    # Four probes and an unperturbed pass a presentation, of 9 products, and 9 more to apply; each probe of a neuron moves one output.
    assert result.variant("node-sequential").counts.full_evaluations == pytest.approx(24 * (9 + 9 + 4) / 9)
    assert result.variant("node-lfsr").counts.full_evaluations == pytest.approx(
        result.variant("node-lfsr").counts.updates * (18 + 4 * 3) / 9
    )


# -- Back-propagation -------------------------------------------------------------------------------------------------

LINE = (
    'data.task = "xor"\nnetwork.layers = [2, 1]\nformats.weight = "SQ3.4"\nformats.rounding.weight = "half-up"\ndata.shuffle = false\n'
    'perturbation.amplitude = "2^-4"\nformats.input = "UQ1.0"\nhardware.lanes = 1\nschedule.learning_rate = -3\n'
)
"""One neuron, whose gradient is 2·(y − t)·x."""


def test_plain_back_propagation_rounds_every_update() -> None:
    design = parse(LINE, "x.toml")
    variant = next(each for each in variants_of(design, 60, 4) if each.name == "backprop-plain")
    assert variant.settings["learning_rate"] == [[0, -3]]
    run = run_task(Task(variant.model, variant.design, 0, variant.steps))
    raw = quantise_parameters(design.spec, initial_parameters(design.spec, design.spec.network.initial.seed))
    theta, last = [Fraction(int(value), 16) for value in raw], Fraction(1, 16)
    changes, gradients = [0, 0, 0], 0
    for step in range(variant.steps):
        x = [Fraction(1), Fraction(step % 4 // 2), Fraction(step % 4 % 2)]
        wrong = sum(w * value for w, value in zip(theta, x, strict=True)) - (1 if x[1] != x[2] else 0)
        for k in range(3):
            moved = theta[k] - Fraction(1, 8) * 2 * wrong * x[k]
            rounded = math.floor(moved / last + Fraction(1, 2)) * last
            changes[k] += rounded != theta[k]
            gradients += wrong * x[k] == 0
            theta[k] = rounded
    curve = run["curve"]
    end = {name: values[-1] for name, values in curve.items()}
    assert (end["changed"], end["most_changed"], end["unchanged_gradient"]) == (sum(changes), max(changes), gradients)
    assert end["unchanged_rounded"] == 3 * variant.steps - sum(changes) - gradients > 0
    assert (end["evaluations"], end["writes"]) == (variant.steps, 3 * variant.steps)


def test_adam_writes_what_a_batch_moves(result: Efficiency) -> None:
    found = result.variant("backprop-adam")
    assert (found.counts.updates, found.counts.evaluations, found.counts.writes) == (5, 20, 65)
    assert found.budget_cycles == found.counts.cycles


# -- Energy -----------------------------------------------------------------------------------------------------------

PUBLISHED = {"add 8": Fraction(3, 100), "add 32": Fraction(1, 10), "multiply 32": Fraction(31, 10), "8 KB, 64 bits": Fraction(10)}
"""Energies in pJ of Horowitz, ISSCC 2014, figure 1.1.9."""


def added(bits: int) -> Fraction:
    """Energy of an addition, in a line through the published ones."""
    return PUBLISHED["add 8"] + (PUBLISHED["add 32"] - PUBLISHED["add 8"]) * (bits - 8) / 24


def multiplied(left: int, right: int) -> Fraction:
    """Energy of a multiplication, as the product of the widths."""
    return PUBLISHED["multiply 32"] * left * right / 1024


def test_the_energy_of_plain_back_propagation_by_hand() -> None:
    """One neuron of two inputs, a sample: θ SQ3.4, x UQ1.0 and y SQ4.10, so that z has 5 + 9 bits and the residual y − t has 15."""
    design = parse(LINE, "x.toml")
    variant = next(each for each in variants_of(design, 60, 4) if each.name == "backprop-plain")
    spec = variant.design.spec
    weight, activation, accumulator, residual = 7, 14, spec.accumulator_width, 15
    assert (spec.formats.weight.width, spec.formats.activation.width, spec.residual_format.width) == (weight, activation, residual)
    arithmetic = 2 * multiplied(weight, 1) + 2 * added(accumulator)  # forward
    arithmetic += added(residual) + multiplied(residual, activation)  # error and slope
    arithmetic += 2 * multiplied(residual, 1) + 3 * added(weight)  # error times input, and θ less that
    bits = 3 * weight + 2 * 1 + activation  # θ, x and y of the forward pass
    bits += 2 * 1 + 3 * weight + 3 * weight + 2 * 1  # x again, θ read and written, and the sample
    memory = PUBLISHED["8 KB, 64 bits"] * bits / 64
    record = dict.fromkeys((*COLUMNS, "accuracy", "cost"), 0) | {"steps": 7, "updates": 7, "evaluations": 7, "writes": 21}
    counts = counts_at(variant, record, ())
    assert counts.energy.arithmetic * 1e12 == pytest.approx(float(7 * arithmetic), rel=1e-12)
    assert counts.energy.memory * 1e12 == pytest.approx(float(7 * memory), rel=1e-12)
    assert counts.energy.joules == counts.energy.arithmetic + counts.energy.memory
    assert counts.cycles == 7 * 3 * spec.layout.slots


def test_the_range_of_an_energy_by_hand() -> None:
    """Memories of a quarter and of four times 8 KB take half and twice its energy; every operation takes what 32 bits do."""
    energy = Energy("fixed", 10, 20, 640, 5e-12, 100e-12)
    found = energy_range(energy, 16 * 1024, 256 * 1024)
    assert found.joules == pytest.approx(105e-12)
    assert found.low == pytest.approx(5e-12 + 50e-12)
    assert found.high == pytest.approx(10 * 3.1e-12 + 20 * 0.1e-12 + 200e-12)
    same = energy_range(energy, 1 << 20, 1024)  # neither more for a small memory, nor less for a large one
    assert same.low == pytest.approx(105e-12) and same.high == pytest.approx(33e-12 + 100e-12)


# -- Endurance, and the way to an accuracy ----------------------------------------------------------------------------


def counts(written: float, changed: float) -> Counts:
    base: dict[str, Any] = dict.fromkeys(Counts.__dataclass_fields__, 0.0)
    energy = energy_range(Energy("fixed", 0, 0, 0, 0.0, 0.0), 1, 1)
    return Counts(**base | {"unchanged": {}, "energy": energy, "seconds": {}, "most_written": written, "most_changed": changed})


def test_whole_trainings_until_the_first_cell_fails() -> None:
    """The run that writes a cell most decides: 3,000 writes, of which 7 change it; and 20 in another run."""
    found = wear_of([counts(3000, 7), counts(2000, 20)])
    assert [each.endurance for each in found] == [10**5, 10**6, 10**7, 10**8, 10**9] == list(ENDURANCES)
    assert [each.always for each in found] == [33, 333, 3333, 33333, 333333]
    assert [each.if_changed for each in found] == [5000, 50000, 500000, 5000000, 50000000]
    (never, *_) = wear_of([counts(0, 0)])
    (unknown, *_) = wear_of([counts(10, math.nan)])
    assert (never.always, never.if_changed, unknown.always, unknown.if_changed) == (None, None, 10_000, None)


def curve(*accuracy: float | None) -> dict[str, list[Any]]:
    """A curve of an xor design with a record after every 4 steps: an update of 13 parameters each, of which one changes."""
    n = np.arange(1, len(accuracy) + 1)
    rows = {name: (n * 0).tolist() for name in COLUMNS} | {"steps": (4 * n).tolist(), "updates": n.tolist()}
    rows |= {"evaluations": (5 * n).tolist(), "writes": (13 * n).tolist(), "changed": n.tolist(), "most_changed": n.tolist()}
    return {**rows, "accuracy": list(accuracy), "cost": (n * 0.0).tolist()}


def finished(design: Any, *curves: dict[str, list[Any]]) -> Any:
    """What replaces the training: these runs of the design as it is written, and none of the others."""

    def train(variants: Any, *_: Any) -> tuple[dict[str, list[Any]], bool]:
        runs = [
            {"seed": seed, "scores": {"accuracy": each["accuracy"][-1], "balanced_accuracy": 0.5}, "failure": "", "curve": each}
            for seed, each in enumerate(curves)
        ]
        return {each.name: runs if each.written and each.mgd else [] for each in variants}, False

    return train


def of_curves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *curves: dict[str, list[Any]], **more: Any) -> Efficiency:
    design = parse(XOR, "x.toml")
    monkeypatch.setattr(verb, "train_all", finished(design, *curves))
    monkeypatch.setattr(verb, "_fits", lambda variant, boards: {})
    return compare_efficiency(design, out=tmp_path, **more)


def test_the_first_record_with_the_accuracy_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = of_curves(monkeypatch, tmp_path, curve(0.5, 0.9, 0.2, 1.0), curve(0.5, 0.5, 0.95, 0.5), curve(0.8, 0.8, 0.8, 0.8), until=0.9)
    one = found.variant("node-sequential")
    assert [(run.reached, run.counts.updates) for run in one.runs] == [(True, 2), (True, 3), (False, 4)]
    assert [run.late for run in one.runs] == [0.5, 1 - 8 / 12, 0.0]
    assert (one.reached, one.late, one.counts.updates, one.counts.writes) == (2, 0.5, 2.5, 32.5)
    assert one.wear[0].always == 10**5 // 3  # of the runs that reached it, that with most writes
    assert one.score_mean == pytest.approx((1.0 + 0.5 + 0.8) / 3)
    assert "up to 50 % of a count" in str(found)


def test_what_is_not_reached_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = of_curves(monkeypatch, tmp_path, curve(0.5, 0.6), until=0.9)
    text = str(found)
    assert "Not reached by any run, and counted to their end (>): node sequential." in text
    assert ">26" in text and "0 of 1" in text and "<50 k" in text


def test_the_accuracy_is_derived_from_the_worst_seed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = of_curves(monkeypatch, tmp_path, curve(0.5, 0.99), curve(0.5, 0.97), curve(0.9, 0.968))
    assert found.until == 0.95 and "a point below the worst of 3 seeds of the design as it is written (node sequential)" in found.until_why
    poor = of_curves(monkeypatch, tmp_path, curve(0.5, 0.99), curve(0.5, 0.5))
    assert poor.until is None and "hardly above" in poor.until_why
    assert poor.variant("node-sequential").reached == 0 and "whole runs" in str(poor)


# -- The command ------------------------------------------------------------------------------------------------------

KEYS = {
    *("design", "digest", "source", "judged_by", "steps", "seeds", "lanes", "parameters", "until", "until_why", "variants", "boards"),
    *("energy_source", "uncertainties", "data", "kind", "interrupted", "diverged"),
}
VARIANT_KEYS = {
    *("name", "title", "model", "written", "settings", "budget_steps", "budget_cycles", "runs", "counts", "wear", "fits", "refused"),
    *("reached", "score_mean", "score_interval", "late", "diverged"),
}
COUNT_KEYS = {
    *("steps", "updates", "samples", "evaluations", "full_evaluations", "cycles", "writes", "changed", "unchanged", "most_written"),
    *("most_changed", "energy", "float_joules", "seconds"),
}


def test_json_has_its_keys(result: Efficiency) -> None:
    found = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert set(found) == KEYS
    for each in found["variants"]:
        assert set(each) == VARIANT_KEYS
        assert set(each["counts"]) == COUNT_KEYS
        assert set(each["counts"]["energy"]) == {"joules", "low", "high", "arithmetic", "memory"}
        assert [set(wear) for wear in each["wear"]] == [{"endurance", "always", "if_changed"}] * 5
        assert set(each["runs"][0]) == {"seed", "score", "reached", "counts", "late", "failure", "curve"}
        assert each["fits"] == ({} if each["model"].startswith("backprop") else {"icebreaker": "yes"})
    assert set(result.tables()) == {"variants", "runs", "endurance"}
    assert len(result.rows("endurance")) == 50 and len(result.rows("runs")) == 10
    with pytest.raises(Refusal, match="there is no such variant"):
        result.variant("node-fourier")


def test_the_command_prints_and_writes_one_object(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(XOR)
    monkeypatch.setattr(verb, "train_all", finished(None, curve(0.5, 1.0)))
    monkeypatch.setattr(verb, "_fits", lambda variant, boards: {})
    got = CliRunner().invoke(commands, ["compare", str(tmp_path / "x.toml"), "--efficiency", "--json", "-o", str(tmp_path / "out")])
    assert got.exit_code == 0, got.output
    printed = json.loads(got.stdout)
    assert printed == json.loads((tmp_path / "out" / "efficiency.json").read_text())
    assert {each["name"] for each in printed["boards"]} == {"arty-a7-35t", "icebreaker", "tang-nano-20k", "tang-nano-9k", "ulx3s-85f"}
    assert (tmp_path / "out" / "efficiency.png").exists()


@pytest.mark.parametrize(
    ("design", "more", "message"),
    [
        ("chip", [], r"chip.toml: network.external = 17: the network is outside"),
        ("xor", ["--save", "x.npz"], r"--save = \"x.npz\": --efficiency trains with many settings"),
        ("xor", ["--until", "1.5"], r"--until = 1.5: an accuracy is a share above 0 and at most 1"),
        ("xor", ["--board", "papilio"], r"--board = \"papilio\": there is no such board"),
        ("xor", ["--start", "none.npz"], r"none.npz"),
    ],
)
def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, design: str, more: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    got = CliRunner().invoke(commands, ["compare", design, "--efficiency", *more])
    assert got.exit_code == 2
    assert got.exception is None or isinstance(got.exception, SystemExit)
    assert re.search(message, got.stderr), got.stderr
    assert not list(tmp_path.iterdir())


def test_a_regression_is_counted_whole(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    x = random.random((30, 2))
    np.savez(tmp_path / "line.npz", x=x, y=x.sum(axis=1))
    text = f'data.path = "{tmp_path / "line.npz"}"\nnetwork.layers = [2, 1]\ncompare.steps = 24\ncompare.seeds = 1\n'
    design = parse(text + "compare.backprop_epochs = 2\n", tmp_path / "x.toml")
    with pytest.raises(Refusal, match="the task is a regression"):
        compare_efficiency(design, until=0.9, out=tmp_path)
    found = compare_efficiency(design, workers=1, board="icebreaker", out=tmp_path)
    assert found.until is None and "a regression has no accuracy" in found.until_why
    assert not found.variant("node-sequential").reached and found.variant("node-sequential").score_mean > 0  # RMSE
    assert found.variant("node-sequential").counts.steps == 24
    found.plot()


def test_an_interrupt_keeps_what_is_finished(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = work.run_jobs

    def rows(stop: int) -> Any:
        def some(jobs: list[Job], *_: Any) -> Iterator[Any]:
            for job in jobs[:stop]:
                yield from whole([job], work.version())
            raise KeyboardInterrupt

        return some

    design = parse(XOR, "x.toml")
    monkeypatch.setattr(work, "_rows", rows(2))
    found = compare_efficiency(design, workers=1, board="icebreaker", out=tmp_path / "some")
    assert found.interrupted and [each.name for each in found.variants if each.runs] == ["weight-lfsr", "weight-walsh"]
    assert found.until is None and "no run of the design as it is written was finished" in found.until_why
    assert json.loads((tmp_path / "some" / "efficiency.json").read_text())["interrupted"]
    monkeypatch.setattr(work, "_rows", rows(0))
    with pytest.raises(KeyboardInterrupt):
        compare_efficiency(design, workers=1, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_has_no_hardware_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    text = XOR.replace("[2, 3, 1]", "[2, 3, 2]") + 'learning.cost = "cross-entropy"\n'
    found = compare_efficiency(parse(text, "x.toml"), workers=1, out=tmp_path, until=1.0)
    one = found.variant("as-written")
    assert (one.model, one.budget_cycles, one.fits) == ("float", None, {})
    assert math.isnan(one.counts.cycles) and math.isnan(one.counts.changed) and one.counts.seconds == {}
    assert one.counts.writes == 17 * one.counts.updates > 0
    assert one.wear[0].always == 10**5 // one.counts.most_written and one.wear[0].if_changed is None
    assert one.counts.energy.joules > 0 and found.boards == ()
    assert "Not trained: weight lfsr. learning.cost: this cost has no hardware yet." in str(found)
    json.dumps(found.to_json(), allow_nan=False)
