"""What models take to an accuracy: read from curves that are written down here, never from the luck of a run."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import mgd_hw
from mgd_hw.cli import commands
from mgd_hw.data import load as load_data
from mgd_hw.design.reader import parse
from mgd_hw.hardware.boards import board_of
from mgd_hw.hardware.timeline import step_contract
from mgd_hw.learn.compare import compare_models
from mgd_hw.learn.costs import cycles_of_backprop, cycles_of_mgd
from mgd_hw.learn.until import FirstReached, Until, check_until, until_of
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal
from python_ref.spec.frames import sample_bytes

pytestmark = pytest.mark.usefixtures("without_pictures")

NEVER = None
PERIODS = 'data.task = "xor"\nperturbation.kind = "weight"\nschedule.sample_period = 3\nschedule.update_period = 4\n'
"""A design whose steps have one pass or two."""
STEPPED = {
    "periods": PERIODS,
    "two-sided": PERIODS + 'schedule.difference = "two-sided"\n',
}
PRESENTED = {
    "one step": 'data.task = "xor"\nperturbation.kind = "node"\n',
    "periods": PERIODS.replace('"weight"', '"node"'),
    "two-sided": PERIODS.replace('"weight"', '"node"') + 'schedule.difference = "two-sided"\n',
}


def curve(*accuracy: float, interval: int = 10) -> dict[str, np.ndarray]:
    """A curve with a record after every ``interval`` steps, in each of which three samples are evaluated."""
    steps = interval * np.arange(1, len(accuracy) + 1)
    return {"steps": steps, "evaluations": 3 * steps, "accuracy": np.array(accuracy), "cost": np.zeros(len(accuracy))}


def passes(spec: DesignSpec, n: int) -> int:
    """Passes of step n: the unperturbed one is due with a new sample and after an update."""
    return 2 if spec.two_sided or n % spec.schedule.sample_period == 0 or n % spec.schedule.update_period == 0 else 1


@pytest.mark.parametrize("name", ["float", "fixed", "backprop"])
@pytest.mark.parametrize(
    ("accuracy", "steps"),
    [
        ((0.95, 0.97, 0.99), 10),
        ((0.5, 0.96, 0.97), 20),
        ((0.5, 0.96, 0.4, 0.99), 20),
        ((0.5, 0.6, 0.95), 30),
        ((0.5, 19 / 20), 20),
        ((0.5, 0.94, 0.9499), NEVER),
        ((math.nan, math.nan), NEVER),
    ],
    ids=["first", "middle", "lost again", "last", "exactly", "never", "no accuracy"],
)
def test_the_first_record_counts(name: str, accuracy: tuple[float, ...], steps: int | None) -> None:
    found = until_of(mgd_hw.read("xor"), name, {7: curve(*accuracy)}, 0.95)
    (run,) = found.runs
    assert (run.seed, run.reached, run.steps) == (7, steps is not NEVER, steps)
    if steps is NEVER:
        assert run == FirstReached(7, False, None, None, None, run.seconds)
        assert found.reached == 0
        assert all(math.isnan(value) for value in (found.steps_mean, found.evaluations_mean, found.cycles_mean, found.seconds_mean))
    else:
        assert run.evaluations == 3 * steps
        assert (found.reached, found.steps_mean, found.evaluations_mean, found.cycles_mean) == (1, steps, 3 * steps, run.cycles)


@pytest.mark.parametrize("name", ["float", "fixed", "backprop"])
def test_the_mean_is_of_the_seeds_that_reached_it(name: str) -> None:
    curves = {1: curve(0.5, 0.9, 1.0), 2: curve(0.5, 0.6, 0.7), 3: curve(1.0, 0.2, 0.1)}
    found = until_of(mgd_hw.read("xor"), name, curves, 0.9, board_of("icebreaker"))
    first, second, third = found.runs
    assert [(run.seed, run.reached, run.steps) for run in found.runs] == [(1, True, 20), (2, False, None), (3, True, 10)]
    assert second.cycles is None and math.isnan(second.seconds)
    assert (found.reached, found.steps_mean, found.evaluations_mean) == (2, 15, 45)
    assert found.cycles_mean == (first.cycles + third.cycles) / 2
    assert found.seconds_mean == pytest.approx((first.seconds + third.seconds) / 2)
    assert found.board == "icebreaker"


def test_the_interval_is_the_longest_of_a_run() -> None:
    uneven = {"steps": np.array([10, 35, 40]), "evaluations": np.array([1, 2, 3]), "accuracy": np.array([0.0, 0.0, 1.0])}
    design = mgd_hw.read("xor")
    assert until_of(design, "fixed", {1: uneven, 2: curve(0.0, 1.0)}, 0.9).interval == 25
    assert until_of(design, "fixed", {1: curve(1.0, interval=70)}, 0.9).interval == 70  # from the beginning of the run


@pytest.mark.parametrize("case", STEPPED)
@pytest.mark.parametrize("name", ["float", "fixed"])
def test_cycles_of_mgd_are_the_sum_of_its_steps(case: str, name: str) -> None:
    design = parse(STEPPED[case], "x.toml")
    spec, contract = design.spec, step_contract(design.spec)
    for steps in (7, 14, 25):
        wanted = contract.run_cycles([passes(spec, n) for n in range(steps)])
        (run,) = until_of(design, name, {1: curve(1.0, interval=steps)}, 0.9).runs
        assert run.cycles == cycles_of_mgd(spec, steps) == wanted


@pytest.mark.parametrize("case", PRESENTED)
@pytest.mark.parametrize("name", ["float", "fixed"])
def test_cycles_of_node_perturbation_are_the_sum_of_its_presentations(case: str, name: str) -> None:
    """An open presentation counts as if it ended: its last cost has to be waited for as well."""
    design = parse(PRESENTED[case], "x.toml")
    spec, contract = design.spec, step_contract(design.spec)
    for steps in (7, 14, 25):
        begins = [n for n in range(steps) if n % spec.schedule.sample_period == 0 or n % spec.schedule.update_period == 0]
        wanted = sum(contract.presentation_cycles(end - begin) for begin, end in pairwise([*begins, steps]))
        (run,) = until_of(design, name, {1: curve(1.0, interval=steps)}, 0.9).runs
        assert run.cycles == cycles_of_mgd(spec, steps) == wanted


def test_cycles_of_backprop_are_three_passes_on_the_same_lanes() -> None:
    """784-32-10 with 8 lanes: 4 groups of 785 slots and 2 of 33, three times."""
    design = mgd_hw.read("mnist")
    assert (design.spec.network.sizes, design.spec.hardware.lanes) == ((784, 32, 10), 8)
    assert cycles_of_backprop(design.spec, 1) == 3 * (4 * 785 + 2 * 33) == 9618
    found = until_of(design, "backprop", {1: curve(0.1, 0.96)}, 0.95)
    assert found.cycles_mean == 60 * 9618  # a sample each, whatever the number of updates
    for part in ("no such core exists", "3 passes (forward, backward, update) of 3,206 slots for each sample", "same 8 lanes"):
        assert part in found.cycles_note


def test_seconds_are_of_the_slower_of_core_and_line() -> None:
    board = board_of("icebreaker")
    hertz, line = 1e6 * float(board.core_mhz), 10 / board.baud
    periods = parse(PERIODS, "x.toml")
    (run,) = until_of(periods, "fixed", {1: curve(1.0, interval=3001)}, 0.9, board).runs
    core, samples = cycles_of_mgd(periods.spec, 3001) / hertz, 1001 * sample_bytes(periods.spec) * line
    assert samples > core
    assert run.seconds == pytest.approx(samples)  # τ_x = 3: a sample every third step, and one for the step begun
    large = mgd_hw.read("mnist")
    (run,) = until_of(large, "backprop", {1: curve(1.0)}, 0.9, board).runs
    assert run.evaluations == 30
    assert run.seconds == pytest.approx(max(30 * 9618 / hertz, 30 * sample_bytes(large.spec) * line))
    assert math.isnan(until_of(large, "backprop", {1: curve(1.0)}, 0.9).seconds_mean)


def test_a_design_without_hardware_has_no_cycles() -> None:
    design = parse('data.task = "xor"\nlearning.batch = 4\n', "x.toml")
    for name in ("float", "backprop"):
        found = until_of(design, name, {1: curve(1.0)}, 0.9, board_of("icebreaker"))
        assert found.runs == (FirstReached(1, True, 10, 30, None, found.runs[0].seconds),)
        assert math.isnan(found.cycles_mean) and math.isnan(found.seconds_mean)
        assert (found.cycles_note, found.board) == ("", "")


def test_json_has_null_for_what_was_not_reached() -> None:
    found = json.loads(json.dumps(until_of(mgd_hw.read("xor"), "fixed", {1: curve(0.5), 2: curve(0.6)}, 0.9).to_json(), allow_nan=False))
    assert (found["accuracy"], found["reached"], found["interval"]) == (0.9, 0, 10)
    assert [found[f"{name}_mean"] for name in ("steps", "evaluations", "cycles", "seconds")] == [None] * 4
    assert found["runs"][0] == {"seed": 1, "reached": False, "steps": None, "evaluations": None, "cycles": None, "seconds": None}


# -- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("until", [0, -0.5, 1.01, 95, math.nan, math.inf, True, "0.95"])
def test_refuses_what_is_no_share(until: object, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"^--until = .*: an accuracy is a share above 0 and at most 1\. Write 0\.95 for 95 %\.$"):
        mgd_hw.compare("xor", until=until, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_accepts_shares() -> None:
    for until in (None, 1e-9, 0.95, np.float32(0.5), 1):
        check_until(mgd_hw.read("xor"), until)


def test_refuses_a_regression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("r.npz", x=np.linspace(0, 1, 40).reshape(20, 2), y=np.linspace(0.0, 7.3, 20))
    Path("r.toml").write_text('network.layers = [2, 3, 1]\ndata.task = "npz"\ndata.path = "r.npz"\ndata.kind = "regression"\n')
    result = CliRunner().invoke(commands, ["compare", "r.toml", "--until", "0.9", "-o", "out"])
    assert result.exit_code == 2 and result.stdout == ""
    assert re.fullmatch(
        r"mgd-hw: r\.toml: --until = 0\.9: the task is a regression, whose learning curves record the cost and no accuracy\. "
        r"Leave --until out; the curves of the cost are in compare\.json\.",
        result.stderr.splitlines()[-1],
    ), result.stderr
    assert not Path("out").exists()


def test_refuses_a_forward_pass_in_another_process() -> None:
    text = 'data.task = "xor"\nperturbation.kind = "weight"\nexternal.command = "chip"\nexternal.parameters = 25\n'
    said = r"^x\.toml: --until = 0\.9: the forward pass is in another process, .* no accuracy\. Leave --until out"
    with pytest.raises(Refusal, match=said):
        mgd_hw.compare(parse(text, "x.toml"), until=0.9)


# -- The verb ---------------------------------------------------------------------------------------------------------


def test_the_command_reads_the_curves_it_writes(tmp_path: Path) -> None:
    arguments = ["--seeds", "2", "--steps", "300", "--until", "0.75", "--board", "icebreaker", "--json", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(commands, ["compare", "xor", *arguments])
    assert result.exit_code == 0, result.stderr
    found, spec = json.loads(result.stdout), mgd_hw.read("xor").spec
    assert json.loads((tmp_path / "out" / "compare.json").read_text()) == found
    for name in ("float", "fixed", "backprop"):
        until, runs = found[name]["until"], found[name]["runs"]
        assert (until["accuracy"], until["board"], len(until["runs"])) == (0.75, "icebreaker", 2)
        for run, of_run in zip(runs, until["runs"], strict=True):
            assert run["curve"]["steps"][-1] == (300 if name != "backprop" else found[name]["costs"]["steps"])  # to the last step
            points = zip(*(run["curve"][column] for column in ("accuracy", "steps", "evaluations")), strict=True)
            first = next(((steps, evaluations) for accuracy, steps, evaluations in points if accuracy >= 0.75), (None, None))
            assert (of_run["seed"], of_run["steps"], of_run["evaluations"]) == (run["seed"], *first)
            if first[0] is not None:
                cycles = first[1] * 3 * spec.layout.slots if name == "backprop" else cycles_of_mgd(spec, first[0])
                assert (of_run["cycles"], of_run["seconds"] > 0) == (cycles, True)


def test_the_result_says_what_was_not_reached() -> None:
    """The curves are replaced after a short run, so that no luck decides which of them reach it."""
    design = mgd_hw.read("xor")
    result = compare_models(design, load_data(design.data), seeds=2, steps=20, until=0.5)
    board = board_of("icebreaker")
    curves = {"float": (curve(0.5), curve(0.6)), "fixed": (curve(0.5, 0.9), curve(0.5, 0.6)), "backprop": (curve(0.9), curve(0.9))}
    models = {
        name: replace(getattr(result, name), until=until_of(design, name, dict(enumerate(found)), 0.9, board))
        for name, found in curves.items()
    }
    result = replace(result, **models)
    shown = str(result)
    lines = {line.split("  ")[0]: line for line in shown[shown.index("to 90 %") :].splitlines()}
    assert "on icebreaker" in lines["to 90 %"]
    assert re.search(r"not reached +– +– +– +–$", lines["float MGD"])
    assert re.search(rf"1 of 2 +20 +60 +{cycles_of_mgd(design.spec, 20):,} ", lines["fixed MGD"])
    assert re.search(rf"2 of 2 +10 +30 +{30 * 3 * design.spec.layout.slots:,} ", lines["back-propagation"])
    flowing = " ".join(shown.split())
    assert "at most one recording interval late (steps, or updates of back-propagation: float MGD 10, fixed MGD 10" in flowing
    assert "hypothetical, since no such core exists" in flowing and "on the test samples" in flowing
    rows = [(row["model"], row["seed"], row["reached"]) for row in result.rows("until")]
    assert rows[2:4] == [("fixed", 0, True), ("fixed", 1, False)]
    assert "on the validation samples" in " ".join(str(replace(result, judged_by="validation")).split())
    without = replace(result, **{name: replace(model, until=None) for name, model in models.items()})
    assert "recording interval" not in str(without) and "until" not in without.tables()


def test_means_of_none_are_no_numbers() -> None:
    assert math.isnan(Until(0.9, 1, ()).steps_mean) and Until(0.9, 1, ()).reached == 0
