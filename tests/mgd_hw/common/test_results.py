"""Results of the verbs: printed as on the command line, drawn, and converted to rows and data frames."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

import mgd_hw
from mgd_hw.cli import commands
from mgd_hw.common.figures import saved
from mgd_hw.common.results import Result
from mgd_hw.learn.compare import Comparison
from python_ref.spec.error import Refusal
from tests.support.sample_results import COSIMULATED, DIFFERENT, SYNTHESISED


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return mgd_hw.compare("xor", seeds=2, steps=200, out=tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def results(compared: Comparison, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Results of the fast verbs, by name; those of slow verbs are samples."""
    out = tmp_path_factory.mktemp("out")
    generated = mgd_hw.generate("xor", out)
    return {
        "generate": generated,
        "cosim": COSIMULATED,
        "different": DIFFERENT,
        "compare": compared,
        "synth": SYNTHESISED,
        "fit": mgd_hw.fit("xor"),
        "boards": mgd_hw.boards(),
        "doctor": mgd_hw.doctor(),
        "diagnose": mgd_hw.diagnose("xor", out=out),
        "new": mgd_hw.new(str(out / "mine"), "xor"),
        "timeline": generated.timeline,
    }


UNDRAWN = {"boards", "doctor", "new"}


def test_prints_what_the_command_line_prints(results: dict[str, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("boards", "fit"):
        shown = CliRunner().invoke(commands, [name] if name == "boards" else [name, "xor"]).stdout
        assert [line.rstrip() for line in shown.splitlines()] == str(results[name]).splitlines()


def test_all_print_and_show_in_a_notebook(results: dict[str, Result]) -> None:
    for name, result in results.items():
        assert str(result).strip() and "\x1b" not in str(result), name
        shown = result._repr_html_()
        assert shown.startswith("<pre") and shown.endswith("</pre>"), name
    assert "fixed MGD" in str(results["compare"]) and "fixed MGD" in results["compare"]._repr_html_()


def test_saturations_of_several_runs_are_said_to_be_of_all(compared: Comparison) -> None:
    assert "Saturations of the fixed model, 2 runs together: " in str(compared)


def test_parts_print_as_well(compared: Comparison) -> None:
    said = str(compared.fixed.runs[0])
    assert said.startswith("Training\n") and "accuracy" in said


def test_rows_are_plain_and_even(results: dict[str, Result]) -> None:
    for name, result in results.items():
        for table, rows in result.tables().items():
            assert json.loads(json.dumps(rows, allow_nan=False)) == rows, (name, table)
            for row in rows:
                assert not any(isinstance(value, (list, dict)) for value in row.values()), (name, table)


def test_rows_of_a_comparison(compared: Comparison) -> None:
    rows = compared.rows()
    assert [(row["model"], row["seed"]) for row in rows] == [
        (model, run.seed) for model in ("float", "fixed", "backprop") for run in getattr(compared, model).runs
    ]
    assert [row["accuracy"] for row in rows[:2]] == [run.accuracy for run in compared.float.runs]
    curve = [row["cost"] for row in compared.rows("curve") if row["model"] == "fixed" and row["seed"] == compared.fixed.runs[1].seed]
    assert curve == compared.fixed.runs[1].curve["cost"].tolist()
    assert compared.rows("costs")[1]["energy.joules"] == compared.fixed.costs.energy.joules


def test_an_unknown_table_is_named() -> None:
    with pytest.raises(Refusal, match=r"^table = \"rows\": Synthesised has no such table\. It has: result, components\.$"):
        SYNTHESISED.rows("rows")


def test_frames(results: dict[str, Result]) -> None:
    for result in results.values():
        for table, rows in result.tables().items():
            frame = result.frame(table)
            assert len(frame) == len(rows)
            assert not rows or list(frame.columns)[: len(rows[0])] == list(rows[0])
    assert results["compare"].frame().groupby("model").accuracy.mean()["fixed"] == results["compare"].fixed.accuracy_mean


def test_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(Refusal, match=r"pandas, which is not installed\. Run `pip install 'mgd-hw\[notebook\]'`, or take \.rows\(\)"):
        COSIMULATED.frame()


def test_figures(results: dict[str, Result]) -> None:
    for name, result in results.items():
        if name in UNDRAWN:
            with pytest.raises(
                Refusal, match=r"^plot: there is nothing to draw of \w+\. Its \.rows\(\) and \.frame\(\) hold its values\.$"
            ):
                result.plot()
        else:
            assert saved(result.plot(), "png", "x").startswith(b"\x89PNG"), name


def test_same_figure_same_bytes(compared: Comparison) -> None:
    assert saved(compared.plot(), "svg", "x") == saved(compared.plot(), "svg", "x")


def test_rich_prints_it_as_the_command_line_does(compared: Comparison) -> None:
    """Lines are as wide as the console, and only its width decides where sentences wrap."""
    written = io.StringIO()
    console = Console(file=written, width=110, highlight=False)
    console.print(compared, soft_wrap=True)
    assert [line.rstrip() for line in written.getvalue().splitlines()] == str(compared).splitlines()
    narrow = io.StringIO()
    Console(file=narrow, width=60, highlight=False).print(compared)
    assert max(map(len, narrow.getvalue().splitlines())) == 60


def test_brackets_are_no_markup() -> None:
    assert "step [red]3" in str(replace(DIFFERENT, first_difference_text="step [red]3"))
