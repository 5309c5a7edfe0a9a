"""The figures of the paper: no run is dropped, a bound is never a value, a finished run is not done again. On a few images of noise."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from mgd_hw.cli import PAPER_FIGURES, commands
from mgd_hw.replication import paper as paper_module
from mgd_hw.replication.paper import PaperFigure, points_of
from mgd_hw.replication.picture import POINTS
from mgd_hw.replication.published import parameters_of, published
from mgd_hw.replication.request import FIGURES, tasks_of
from mgd_hw.replication.tasks import first_crossing
from mgd_hw.sweeps.jobs import DONE, Row
from sim.process import child_environment
from tests.support.inline_executor import InlineExecutor


@pytest.fixture(autouse=True)
def _few_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    x, y = random.integers(256, size=(60, 28, 28), dtype=np.uint8), random.integers(10, size=60)
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "fashion_mnist.npz", x=x, y=y, n_train=40)
    monkeypatch.setenv("MGD_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paper_module, "executor_for", lambda *_: InlineExecutor())


def paper(*arguments: str) -> Result:
    return CliRunner().invoke(commands, ["paper", *arguments])


@pytest.mark.slow
def test_runs_that_fall_short_are_bounds_and_are_not_done_again() -> None:
    arguments = ("fig3", "--n", "1", "--seeds", "2", "--iterations", "16", "-o", "out", "--json")
    first = paper(*arguments)
    assert first.exit_code == 0, first.output
    observed = json.loads(first.stdout)
    assert (observed["runs"], observed["finished_now"], observed["files"]) == (4, 4, ["fig3.json", "fig3.pdf", "fig3.svg"])
    assert [(each["series"], each["median"], each["beyond"], each["lower_bound"]) for each in observed["points"]] == [
        ("weight", None, 16.0, True),
        ("node", None, 16.0, True),
    ]
    again = json.loads(paper(*arguments).stdout)
    assert (again["finished_now"], again["points"]) == (0, observed["points"])
    more = json.loads(paper("fig3", "--n", "1", "--seeds", "3", "--iterations", "16", "-o", "out", "--json").stdout)
    assert (more["runs"], more["finished_now"]) == (6, 2)


def test_every_point_is_drawn_and_a_bound_never_as_a_value() -> None:
    of, tasks = tasks_of("fig3", (1,), 3)
    rows = [(500, True), (700, True), (900, False)]
    done = [
        (task, Row(str(n), DONE, "", 1.0, {"reached": reached, "iterations": count}))
        for n, (task, (count, reached)) in enumerate(zip([each for each in tasks if each.series == "weight"], rows, strict=True))
    ]
    (point,) = points_of(of, done)
    assert (point.median, point.reached, point.seeds, point.beyond) == (600, 2, 3, 900)
    result = PaperFigure("fig3", "", Path(), (), (1,), 3, 900, 3, 3, 0, 0, (), (point,), published("fig3"), (), 0.0, False)
    (axes,) = result.plot().axes
    drawn = {name: [list(line.get_ydata()) for line in axes.lines if line.get_gid() == name] for name in ("median", "seeds", "bound")}
    assert drawn == {"median": [[600]], "seeds": [[500, 700]], "bound": [[900]]}
    theirs = [line for line in axes.lines if str(line.get_gid()).startswith("paper-")]
    assert sum(len(line.get_ydata()) for line in theirs) == len(published("fig3"))
    assert len({(line.get_marker(), line.get_linestyle()) for line in theirs}) == len(theirs)
    assert POINTS >= 7
    assert axes.get_xlabel() and axes.get_ylabel()


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off(name: str) -> None:
    """A legend of all that a figure can have, a lower bound with it, stands within the column."""
    of, tasks = tasks_of(name, (1,), 2)
    columns = {"reached": False, "iterations": 9, "writes": 9, "updates": 9, "accuracy": 0.5}
    done = [(task, Row(str(n), DONE, "", 1.0, columns)) for n, task in enumerate(tasks)]
    result = PaperFigure(name, "", Path(), (), (1,), 2, 9, 2, 2, 0, 0, (), tuple(points_of(of, done)), published(name), (), 0.0, False)
    figure = result.plot()
    (legend,) = figure.legends
    assert legend.get_texts()
    for text in [*legend.get_texts(), *(label for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label))]:
        (left, bottom), (right, top) = text.get_window_extent().get_points()
        assert left >= 0 and bottom >= 0 and right <= figure.bbox.width and top <= figure.bbox.height, text.get_text()


def test_first_crossing_follows_the_law() -> None:
    random, true = np.random.default_rng(2), np.ones(200)

    def mean(p: int, count: int) -> np.ndarray:
        s = random.choice((-1.0, 1.0), (count, 200))
        return (s * (s @ true)[:, None]).mean(axis=0)

    done, cosine = first_crossing(mean, true, 10**6)
    assert cosine >= 0.95
    assert done == pytest.approx(0.95**2 / (1 - 0.95**2) * 199, rel=0.2)


def test_published_points() -> None:
    assert [parameters_of(n) for n in (1, 24, 64)] == [520, 254_578, 1_802_698]
    assert set(FIGURES) == set(PAPER_FIGURES)
    assert all(published(name) and all(each.sources for each in published(name)) for name in FIGURES)
    assert {each.n for name in FIGURES for each in published(name)} == {1, 4, 8, 16, 24, 32, 64}


@pytest.mark.parametrize("arguments", [("fig9",), ("fig3", "--n", "1,x"), ("fig3", "--n", "0"), ("fig3", "--n", "65")])
def test_what_is_refused(arguments: tuple[str, ...]) -> None:
    assert paper(*arguments).exit_code == 2


def test_a_plan_writes_nothing() -> None:
    done = paper("table2", "--n", "1", "--seeds", "1", "--iterations", "2", "--dry-run", "-o", "out", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["jobs"] == 3
    assert not Path("out").exists()


# -- What goes wrong --------------------------------------------------------------------------------------------------


def started(*arguments: str) -> subprocess.Popen:
    """The program itself, in a session of its own."""
    command = [sys.executable, "-m", "mgd_hw", "paper", *arguments]
    return subprocess.Popen(
        command, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def kept() -> list[tuple[str, str, str]]:
    """Key, status and columns but for time, of the rows that are in the journal."""
    try:
        with closing(sqlite3.connect("out/paper.sqlite")) as journal:
            rows = journal.execute("SELECT key, status, columns FROM rows ORDER BY key").fetchall()
    except sqlite3.Error:
        return []
    return [(key, status, json.dumps(json.loads(columns) | {"processor_seconds": 0})) for key, status, columns in rows]


@pytest.mark.long
@pytest.mark.slow
def test_a_figure_that_is_killed_in_a_run_goes_on() -> None:
    """Nothing is lost, nothing doubled; at the end it is as if it had been left alone."""
    arguments = ("fig3", "--n", "1", "--seeds", "4", "--iterations", "512", "--workers", "1", "--json")
    with started(*arguments, "-o", "out") as process:
        end = time.monotonic() + 300
        while len(kept()) < 3:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)
        second = paper(*arguments, "-o", "out")
        assert second.exit_code == 2
        assert f"another figure of the paper, process {process.pid}, is writing to this folder" in second.stderr
        process.kill()
    before = kept()
    assert 3 <= len(before) < 8, "the kill came in the middle"
    again = paper(*arguments, "-o", "out")
    assert again.exit_code == 0, again.output
    found = json.loads(again.stdout)
    assert (found["runs"], found["finished_now"], found["failed"], found["missing"]) == (8, 8 - len(before), 0, 0)
    after = kept()
    assert len(after) == 8
    assert set(before) < set(after)
    alone = json.loads(paper(*arguments, "-o", "alone").stdout)
    assert found["points"] == alone["points"]
