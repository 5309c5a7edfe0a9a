"""Boards from the user's side."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from boards.board import board_files
from mgd_hw.cli import commands
from mgd_hw.design.reader import load, shipped
from mgd_hw.hardware.boards import board_of, boards
from mgd_hw.hardware.build import Build, build
from mgd_hw.hardware.fit import fit
from mgd_hw.hardware.generate import generate
from python_ref.spec.error import Refusal


def test_boards_are_listed_with_what_fits() -> None:
    """As ``mgd-hw fit`` has it: mnist's memories go into a Tang Nano 9K bit by bit, but not block by block."""
    rows = {row.name: row for row in boards().boards}
    assert set(rows) == set(board_files())
    assert rows["ulx3s-85f"].largest == "fashion" and rows["icebreaker"].largest == "digits_sparse"
    for name in shipped():
        found = fit(name)
        for board, part in found.boards.items():
            assert rows[board].designs[name] == {key: found.parts[part][key] for key in ("fits", "close", "most_lanes")}
    shown = CliRunner().invoke(commands, ["boards"])
    assert shown.exit_code == 0 and "? is too close to tell" in shown.stdout
    assert [name for name, row in rows.items() if not row.bitstream] == ["arty-a7-35t"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("icebraker", r'^--board = "icebraker": there is no such board\. Did you mean icebreaker\?'),
        ("none.toml", r'^--board = "none.toml": it cannot be read \(No such file or directory\)'),
    ],
)
def test_no_such_board(name: str, message: str) -> None:
    with pytest.raises(Refusal, match=message):
        board_of(name)


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(board_files()["icebreaker"].read_text().replace("pin =", "pins =", 1))
    with pytest.raises(Refusal, match=rf"^{path}: clock\.pins = \"35\": there is no such key\. Did you mean clock\.pin\?$"):
        board_of(str(path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("core_mhz = 60", "core_mhz = 14", r"clock\.core_mhz = 14\.0: mine makes 12 to"),
        ("baud = 3_000_000", "baud = 11_000_000", r"link\.baud = 11000000: at 60 MHz a bit of"),
    ],
)
@pytest.mark.parametrize("command", ["build", "generate"])
def test_a_file_whose_clock_or_rate_cannot_be_made_is_named(
    command: str, old: str, new: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(re.sub(rf"\b{old}", new, board_files()["icebreaker"].read_text(encoding="utf-8")), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(commands, [command, "xor", "--board", "mine.toml"])
    assert said.exit_code == 2
    assert re.search(rf"^mgd-hw: mine\.toml: {message}", said.stderr, re.MULTILINE) and "--" not in said.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"mine.toml"}


def test_a_file_of_the_package_is_checked_before_it_is_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = board_files()["icebreaker"].read_text(encoding="utf-8")
    (tmp_path / "icebreaker.toml").write_text(text.replace("core_mhz = 60", "core_mhz = 14"), encoding="utf-8")
    monkeypatch.setattr("boards.board.board_files", lambda: {"icebreaker": tmp_path / "icebreaker.toml"})
    said = CliRunner().invoke(commands, ["boards"])
    assert said.exit_code == 2 and "icebreaker.toml: clock.core_mhz = 14.0: icebreaker makes 12 to" in said.stderr


def test_generate_writes_top_constraints_and_scripts(tmp_path: Path) -> None:
    found = generate("xor", board="icebreaker", out=tmp_path)
    assert set(found.files) == {"top.v", "icebreaker.pcf", "synth.ys", "reset_copies.py", "carry_registers.py", "build.sh", "manifest.json"}
    assert {path.name for path in tmp_path.iterdir()} == set(found.files)
    observed = json.loads((tmp_path / "manifest.json").read_text())
    assert observed["top"] == "mgd_xor_top" and observed["digest"] == load("xor").spec.digest
    assert observed["board"] == {"name": "icebreaker", "clock_mhz": 60.0, "baud": 3_000_000, "divisor": 20}
    subprocess.run(["sh", "-n", "build.sh"], cwd=tmp_path, check=True)


def test_a_clock_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"^--clock = 14\.0: icebreaker makes 12 to"):
        generate("xor", board="icebreaker", clock=14.0, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", ["build", "generate"])
def test_what_cannot_fit_is_refused_before_any_tool_runs(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it must not run")

    monkeypatch.setattr("rtl_gen.toolchain.yosys.run_yosys", never)
    monkeypatch.setattr("boards.flow.build.run_yosys", never)
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(commands, [command, "mnist", "--board", "tang-nano-9k"])
    assert said.exit_code == 2, said.output
    (line,) = [line for line in said.stderr.splitlines() if line.startswith("mgd-hw: ")]
    assert re.search(
        r"mnist\.toml: network\.layers = \[784, 32, 10\]: it does not fit gowin-gw1nr9: by prediction, its link included, it takes "
        r"\d+ more bram than its 26\. Take .*ulx3s-85f.*, or smaller layers\.$",
        line,
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.slow
def test_no_rate_is_quoted_at_a_clock_that_nothing_verified(tmp_path: Path) -> None:
    found = build("xor", "arty-a7-35t", out=tmp_path)
    assert found.bitstream is None and found.frequency_mhz is None
    assert (found.steps_per_second, found.visits_per_second, found.ceiling_percent) == (None, None, None)
    assert found.unverified.startswith("nothing here places and routes this part")
    assert json.loads((tmp_path / "build.json").read_text())["steps_per_second"] is None


def test_an_unverified_clock_is_shown_as_such() -> None:
    of = dataclasses.fields(Build)
    rates = {"clock_mhz": 100.0, "cycles_per_step": 49.0, "baud": 2_000_000, "link_steps_per_second": 5.0, "unverified": "so it is"}
    result = Build(**{**{each.name: None for each in of}, **rates})
    assert result.rates() == (
        "49.0 cycles per step; through the link of 2,000,000 baud 5 steps per second. UNVERIFIED at 100 MHz: so it is."
    )


@pytest.mark.parametrize(("program", "said"), [("load x.bin", "Wrote x.bin. Load it: load x.bin\n"), ("", "Wrote x.bin.\n")])
@pytest.mark.parametrize(("seeds", "of_seeds"), [(1, "60.00 MHz, one seed (60.00 to"), (3, "60.00 MHz, median of 3 seeds (60.00 to")])
def test_a_board_without_a_command_to_load_is_not_given_one(program: str, said: str, seeds: int, of_seeds: str) -> None:
    texts = ("design", "board", "digest", "frequency_source", "limited_by", "unverified")
    numbers = (
        "lanes",
        "lut",
        "ff",
        "dsp",
        "bram",
        "frequency_mhz",
        "frequency_min_mhz",
        "frequency_max_mhz",
        "clock_mhz",
        "cycles_per_step",
    )
    given: dict[str, object] = {each.name: None for each in dataclasses.fields(Build)}
    given |= dict.fromkeys(texts, "a") | dict.fromkeys(numbers, 60.0)
    given |= {
        "baud": 2_000_000,
        "link_steps_per_second": 5.0,
        "seconds": 1.0,
        "learning_lut_per_lane": 1.0,
        "utilisation": {},
        "history": (),
    }
    given |= {"learning": {"lut": 2}, "inference_only": {"lut": 1}, "stages": {}, "bitstream": "x.bin", "program": program, "seeds": seeds}
    console = Console(file=io.StringIO(), width=200)
    console.print(Build(**given))
    assert console.file.getvalue().endswith(said)  # type: ignore[attr-defined]
    assert of_seeds in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in board_files() if name != "arty-a7-35t"])
def test_xor_becomes_a_bitstream(name: str, tmp_path: Path) -> None:
    found = build("xor", name, seeds=1, out=tmp_path)
    assert found.bitstream is not None and found.bitstream.stat().st_size > 10_000
    assert found.frequency_max_mhz is not None and found.clock_mhz <= found.frequency_max_mhz
    assert json.loads((tmp_path / "build.json").read_text())["digest"] == load("xor").spec.digest
    (clock,) = json.loads((tmp_path / "seed1.report.json").read_text())["fmax"].values()
    assert clock["constraint"] == pytest.approx(found.clock_mhz, abs=0.01), "the goal of the build counts"
    assert (tmp_path / "placement.svg").read_text().startswith("<?xml")
    assert not list(tmp_path.glob(".mgd-hw-*"))


@pytest.mark.long
@pytest.mark.slow
def test_a_clock_that_is_missed_leaves_no_bitstream(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"^--clock = 120\.0: the best seed reaches .* --clock .* would be met\.$"):
        build("xor", "icebreaker", seeds=1, clock=120.0, out=tmp_path)
    assert not list(tmp_path.iterdir())
