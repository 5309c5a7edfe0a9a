"""The command ``sweep``: plan, journal, rows and choice; also killed, repeated, on a full disk, and twice at the same time."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
import xml.etree.ElementTree
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mgd_hw.cli import commands
from mgd_hw.design.reader import load, parse
from mgd_hw.sweeps import scheduler
from mgd_hw.sweeps import sweep as sweep_module
from mgd_hw.sweeps.estimate import START
from mgd_hw.sweeps.journal import JOURNAL, Journal
from sim.process import child_environment
from tests.support.inline_executor import InlineExecutor


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MGD_HW_DEBUG", raising=False)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "executor_for", lambda *_: InlineExecutor())


def sweep(*arguments: str) -> Result:
    return CliRunner().invoke(commands, ["sweep", *arguments])


def fails(*arguments: str) -> str:
    """Run a sweep that is refused, and return its one-line message."""
    result = sweep(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("mgd-hw: ")]
    assert len(lines) == 1, result.stderr
    return lines[0].removeprefix("mgd-hw: ")


def rows(folder: str = "out") -> list[dict[str, str]]:
    with Path(folder, "rows.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def without_time(table: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if not name.endswith("seconds")} for row in table]


NODE = 'name = "node"\ndata.task = "xor"\nperturbation.kind = "node"\n'

XOR = ("xor", "--vary", "formats.weight=SQ4.4,SQ4.10,SQ4.12", "--vary", "hardware.lanes=2,4", "--seeds", "2", "--steps", "40", "-o", "out")


# -- Results ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("inline")
def test_a_run_that_lanes_share_has_a_row_for_each_number_of_lanes() -> None:
    from mgd_hw.learn.costs import costs_of_mgd

    Path("node.toml").write_text(NODE)
    options = ("--seeds", "2", "--steps", "40", "-o", "out", "--json")
    result = sweep("node.toml", "--vary", "hardware.lanes=1,2,4", *options)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["combinations"], found["runs"]) == (3, 6)
    table = rows()
    assert [(row["hardware.lanes"], row["seed"]) for row in table] == [(lanes, seed) for seed in "12" for lanes in "124"]
    for first, second in ((table[0], table[1]), (table[3], table[5])):
        assert first["accuracy"] == second["accuracy"] != "" and first["float_seconds"] == second["float_seconds"], "one run"
    for row in table:
        design = parse(NODE + f"hardware.lanes = {row['hardware.lanes']}\n", "node.toml")
        assert row["digest"] == design.spec.digest
        assert float(row["float_joules"]) == pytest.approx(costs_of_mgd(design, 40, fixed=False).energy.joules)
    assert len({row["float_joules"] for row in table}) == 3
    again = sweep("node.toml", "--vary", "hardware.lanes=2,4,3", *options)
    assert json.loads(again.stdout)["finished_now"] == 1, "another core, and no run"
    assert [row["hardware.lanes"] for row in rows()] == ["2", "4", "3"] * 2


@pytest.mark.usefixtures("inline")
def test_rows_designs_and_a_picture() -> None:
    result = sweep(*XOR, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["combinations"], found["refused"], found["runs"], found["failed"]) == (6, 2, 8, 0)
    assert [each["vary"] for each in found["found"]] == [
        {"formats.weight": weight, "hardware.lanes": lanes} for weight in ("SQ4.10", "SQ4.12") for lanes in (2, 4)
    ]
    assert found["files"] == ["pareto.svg", "rows.csv", "rows.parquet", "sweep.json"]
    table = rows()
    assert [row["status"] for row in table] == ["refused"] * 2 + ["done"] * 8
    assert "below the last place of formats.weight" in table[0]["message"]
    assert {(row["formats.weight"], row["hardware.lanes"], row["seed"]) for row in table[2:]} == {
        (weight, lanes, seed) for weight in ("SQ4.10", "SQ4.12") for lanes in "24" for seed in "12"
    }
    for row in table[2:]:
        assert row["accuracy"] == row["fixed_accuracy"] != ""
        assert (row["area_by"], row["target"], row["steps"]) == ("prediction", "ice40-up5k", "40")
        assert float(row["lut"]) > 0
    assert xml.etree.ElementTree.parse("out/pareto.svg").getroot().tag.endswith("svg")
    assert json.loads(Path("out/sweep.json").read_text(encoding="utf-8"))["runs"] == 8


@pytest.mark.usefixtures("inline")
def test_parquet_has_the_rows_with_their_types() -> None:
    from pyarrow import parquet

    assert sweep(*XOR, "--vary", "schedule.learning_rate=-4,[[0, -4], [10, -5]]").exit_code == 0
    table = parquet.read_table("out/rows.parquet")
    assert table.num_rows == len(rows()) == 4 + 16
    types = {field.name: str(field.type) for field in table.schema}
    assert types["accuracy"] == "double"
    assert types["hardware.lanes"] == types["seed"] == types["lut"] == "int64"
    assert types["fits"] == "bool"
    assert types["formats.weight"] == types["schedule.learning_rate"] == "string"
    assert set(table["schedule.learning_rate"].to_pylist()) == {"-4", "[[0, -4], [10, -5]]"}
    for ours, theirs in zip(rows(), table.to_pylist(), strict=True):
        assert {name: "" if value is None else str(value) for name, value in theirs.items()} == ours


class _Without:
    """Module finder that hides one package, as if it were not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.usefixtures("inline")
def test_without_pyarrow_there_is_csv_and_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Without("pyarrow"), *sys.meta_path])
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "pyarrow" else real(name, *more))
    result = sweep("xor", "--steps", "3", "-o", "out")
    assert result.exit_code == 0, result.stderr
    assert "rows.parquet was not written: pip install 'mgd-hw[sweep]' brings pyarrow." in result.stdout
    assert len(rows()) == 1
    assert not Path("out/rows.parquet").exists()


@pytest.mark.usefixtures("inline")
def test_a_sweep_goes_on_and_can_grow() -> None:
    assert "8 runs" in sweep(*XOR).stdout
    before = rows()
    again = sweep(*XOR)
    assert "Everything is done already." in again.stderr
    assert "0 jobs done now" in again.stdout
    assert rows() == before
    more = sweep(*(each if each != "2" else "3" for each in XOR), "--json")
    found = json.loads(more.stdout)
    assert (found["runs"], found["finished_now"]) == (12, 4)
    assert [row for row in rows() if row["seed"] != "3"] == before
    other = json.loads(sweep("xor", "--vary", "formats.weight=SQ4.12", "--seeds", "2", "--steps", "40", "-o", "out", "--json").stdout)
    assert (other["runs"], other["finished_now"]) == (2, 2), (
        "a combination that names a value of lanes is another one, even if the value is the design's own"
    )


@pytest.mark.usefixtures("inline")
def test_the_plan_alone_writes_nothing() -> None:
    result = sweep(*XOR, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "8 runs: 4 combinations × 2 seeds, 40 steps each (fixed and float)." in result.stdout
    assert "Refused: formats.weight = SQ4.4, hardware.lanes = 2: " in result.stdout
    assert "on 1 worker, estimated from a few short runs" in result.stdout
    assert not Path("out").exists()
    assert json.loads(sweep(*XOR, "--dry-run", "--json").stdout)["seconds"] > START, "a worker starts before it runs"
    assert sweep(*XOR).exit_code == 0
    found = json.loads(sweep(*XOR, "--dry-run", "--json").stdout)
    assert (found["runs"], found["jobs"], found["finished"], found["cores"], found["seconds"]) == (8, 0, 12, 4, 0.0)


@pytest.mark.usefixtures("inline")
def test_the_best_design_is_a_file_that_loads() -> None:
    assert sweep(*XOR).exit_code == 0
    result = sweep("-o", "out", "--best", "accuracy>0.2", "--minimize", "lut")
    assert result.exit_code == 0, result.stderr
    design = parse(result.stdout, "best.toml")
    table = [row for row in rows() if row["status"] == "done"]
    least = min(table, key=lambda row: float(row["lut"]))
    assert (str(design.spec.formats.weight), str(design.spec.hardware.lanes)) == (least["formats.weight"], least["hardware.lanes"])
    assert "# Exclusive or, learned from a random start" in result.stdout
    found = json.loads(sweep("-o", "out", "--maximize", "steps_per_second", "--json").stdout)
    assert parse(found["best"]["text"], "best.toml").spec.hardware.lanes == 4
    assert found["best"]["of"] == 4
    assert sweep(*XOR, "--best", "accuracy>0.2", "--minimize", "lut").stdout == result.stdout
    assert "the sweep has no such column. Did you mean accuracy?" in fails("-o", "out", "--best", "acuracy>0.2")
    assert "none of the 4 designs satisfies it" in fails("-o", "out", "--best", "accuracy>1")


@pytest.mark.usefixtures("inline")
def test_the_best_is_found_without_a_folder_too_and_its_data_from_anywhere(tmp_path: Path) -> None:
    assert "no sweep is in mgd-hw-out" in fails("--best", "accuracy>0")
    (tmp_path / "mine.csv").write_text("a,b,class\n" + "".join(f"{n},{n % 7},{n % 2}\n" for n in range(20)), encoding="utf-8")
    (tmp_path / "mine.toml").write_text('[data]\npath = "mine.csv"\n[network]\nlayers = [2, 3, 1]\n', encoding="utf-8")
    assert sweep("xor", "--steps", "3").exit_code == 0
    assert sweep("mine.toml", "--vary", "hardware.lanes=1,2", "--steps", "3").exit_code == 0
    os.utime("mgd-hw-out/xor/sweep/sweep.sqlite", (0, 0))
    result = sweep("--maximize", "steps_per_second")
    assert result.exit_code == 0, result.stderr
    (tmp_path / "else" / "where").mkdir(parents=True)
    best = tmp_path / "else" / "where" / "best.toml"
    best.write_text(result.stdout, encoding="utf-8")
    assert load(best).data.path == tmp_path / "mine.csv"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("xor", "--vary", "schedule.learnig_rate=-3"), "Did you mean schedule.learning_rate?"),
        (("xor", "--vary", "hardware.lanes=300"), "hardware.lanes = 300: it must be a whole number from 1 to 256"),
        (("xor", "--vary", "formats.weight=SQ4.4"), "below the last place of formats.weight"),
        (("xor", "--board", "icebraker"), "Did you mean icebreaker?"),
        (("xor", "--board", "icebreaker", "--board", "icebreaker"), "icebreaker has the same part"),
        (("xor", "--minimize", "lut", "--maximize", "lut"), "--minimize is given too"),
        (("--vary", "hardware.lanes=1"), "there are keys to vary, but no design"),
        (("xor", "-o", "/proc/nothing"), "it cannot be written to"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(arguments: tuple[str, ...], said: str) -> None:
    assert said in fails(*arguments)
    assert list(Path().iterdir()) == []


@pytest.mark.usefixtures("inline")
def test_lanes_parts_and_software_in_one_sweep() -> None:
    keys = ("--vary", "optimizer.name=sgd,adam", "--vary", "hardware.lanes=1,2")
    result = sweep("xor", *keys, "--steps", "3", "-o", "out")
    assert result.exit_code == 0, result.stderr
    assert "has no hardware yet" in result.stdout
    table = rows()
    assert [(row["model"], row["lut"] != "") for row in table] == [("fixed", True)] * 2 + [("float", False)] * 2


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("inline")
def test_cores_are_synthesised_for_every_part() -> None:
    parts = ("--target", "ecp5-85k", "--board", "icebreaker")
    result = sweep("xor", "--vary", "hardware.lanes=1,2", *parts, "--steps", "3", "-o", "out", "--json")
    assert result.exit_code == 0, result.stderr
    table = rows()
    assert [(row["hardware.lanes"], row["target"], row["area_by"]) for row in table] == [
        (lanes, target, "synthesis") for lanes in "12" for target in ("ice40-up5k", "ecp5-85k")
    ]
    assert len({row["lut"] for row in table}) == 4


# -- Failures ---------------------------------------------------------------------------------------------------------


def started(*arguments: str) -> subprocess.Popen:
    """Start the command line in a new process and a new session."""
    command = [sys.executable, "-m", "mgd_hw", "sweep", *arguments]
    return subprocess.Popen(
        command, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finished(folder: str = "out") -> int:
    """Return the number of runs in the journal."""
    try:
        with sqlite3.connect(Path(folder) / JOURNAL) as journal:
            return journal.execute("SELECT count(*) FROM rows WHERE kind = 'train'").fetchone()[0]
    except sqlite3.Error:
        return 0
    finally:
        if "journal" in locals():
            journal.close()


def wait_for(count: int, process: subprocess.Popen) -> None:
    end = time.monotonic() + 300
    while finished() < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def killed_and_repeated(*arguments: str, at: int, count: int) -> None:
    """Kill a sweep at ``at`` of ``count`` runs, and repeat it; check that a second one in its folder is refused, and no run is repeated."""
    with started(*arguments, "-o", "out") as process:
        wait_for(at, process)
        process.send_signal(signal.SIGSTOP)  # it holds the journal, and cannot finish in the meantime
        said = fails(*arguments, "-o", "out")
        assert f"another sweep, process {process.pid}, is writing to this folder" in said
        process.kill()
    kept = finished()
    assert at <= kept < count
    with started(*arguments, "-o", "out", "--json") as again:
        out, err = again.communicate()
    assert again.returncode == 0, err
    found = json.loads(out)
    assert (found["runs"], found["failed"]) == (count, 0)
    with Journal(Path("out"), write=False) as journal:
        assert len([row.key for _, row, _ in journal.planned("train")]) == finished() == count
    assert found["finished_now"] < count + len(found["found"]), "runs that were kept are not repeated"


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("xor", "--vary", "formats.weight=SQ4.10,SQ4.12", "--seeds", "4", "--steps", "30000", "--workers", "1")
    killed_and_repeated(*arguments, at=1, count=8)
    before = without_time(rows())
    monkeypatch.setattr(sweep_module, "executor_for", lambda *_: InlineExecutor())
    assert sweep(*arguments, "-o", "alone").exit_code == 0
    assert without_time(rows("alone")) == before


@pytest.mark.long
@pytest.mark.slow
def test_a_long_sweep_that_is_killed_goes_on() -> None:
    arguments = ("digits", "--vary", "formats.weight=SQ4.4,SQ4.8,SQ4.12", "--seeds", "3", "--steps", "2000")
    killed_and_repeated(*arguments, at=1, count=9)


def test_an_interrupt_ends_it_with_130_and_keeps_what_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(InlineExecutor):
        def result(self, future):
            if finished() >= 3:
                raise KeyboardInterrupt
            return super().result(future)

    monkeypatch.setattr(sweep_module, "executor_for", lambda *_: Interrupted())
    monkeypatch.setattr(scheduler, "MAX_CHUNK", 1)  # a fast machine would run all jobs as one chunk
    result = sweep(*XOR)
    assert result.exit_code == 130
    assert "what was finished is kept" in result.stderr
    assert 3 <= len([row for row in rows() if row["status"] == "done"]) == finished() < 8


def test_a_disk_that_is_full_is_one_message_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a full disk by a limit on the size of files."""
    monkeypatch.setattr(sweep_module, "executor_for", lambda *_: InlineExecutor())
    monkeypatch.setattr(scheduler, "MAX_CHUNK", 20)
    arguments = ("xor", "--seeds", "120", "--steps", "1", "-o", "out")
    old, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        said = fails(*arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, action)
    assert "the journal cannot be written" in said
    assert "it goes on after the rows that were kept" in said
    kept = finished()
    assert 0 < kept < 120
    found = json.loads(sweep(*arguments, "--json").stdout)
    assert (found["runs"], finished()) == (120, 120)
    assert found["finished_now"] == 121 - kept


@pytest.mark.usefixtures("inline")
def test_a_disk_that_is_full_at_the_end_keeps_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    from mgd_hw.sweeps import picture

    def full(_: object) -> bytes:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(picture, "pareto", full)
        said = fails(*XOR)
    assert "writing failed (No space left on device). Free some space, and give the same command again: all rows are kept" in said
    assert not list(Path("out").glob("rows.*"))
    assert "0 jobs done now" in sweep(*XOR).stdout
