"""The command line: exit codes, one JSON object, one line for every failure, nothing half-written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import mgd_hw
from mgd_hw.cli import SECTIONS, TASKS, commands
from mgd_hw.data import load as load_data
from mgd_hw.design.reader import load, parse, shipped
from mgd_hw.efficiency.training import Task, run_task
from mgd_hw.efficiency.variants import FIXED
from mgd_hw.learn import trainers
from mgd_hw.learn.compare import compare_models
from python_ref.spec.error import ToolError
from tests.support.marks import slow_unless

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MGD_HW_DEBUG", raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(commands, list(arguments))


def fails(code: int, *arguments: str) -> str:
    """The one line that a failing command says."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("mgd-hw: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0].removeprefix("mgd-hw: ")


def program(*arguments: str) -> subprocess.CompletedProcess:
    """The program itself, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", "mgd_hw", *arguments], capture_output=True, text=True, env=environment, check=False)


# -- Help and usage ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [(), *((name,) for name in commands.commands)])
def test_help(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage:")


def test_commands_are_those_promised() -> None:
    assert set(commands.commands) >= {"new", "generate", "cosim", "compare", "synth", "doctor", "demo"}


def test_help_lists_every_command_under_one_heading() -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(commands.commands)
    lines = CliRunner().invoke(commands, ["--help"], terminal_width=80).stdout.splitlines()
    shown, heading = {title: list[str]() for title in SECTIONS}, ""
    for line in lines:
        if line.endswith(":") and line[:-1] in shown:
            heading = line[:-1]
        elif heading and line.strip():
            shown[heading].append(line.split()[0])
            assert not line.endswith("..."), f"the first sentence of the command is cut off: {line}"
    assert {title: tuple(names) for title, names in shown.items()} == SECTIONS


@pytest.mark.parametrize(
    "arguments",
    [("generat",), ("cosim",), ("cosim", "xor", "--steps", "0"), ("cosim", "xor", "--steps", "many"), ("synth", "xor", "--target", "asic")],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr


# -- new --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_new_writes_a_design_that_runs(task: str) -> None:
    result = run("new", "mine", "--task", task)
    assert result.exit_code == 0, result.output
    design = load("mine.toml")
    assert design.name == "mine"
    assert design.data.task == {"fashion": "fashion-mnist", "series": "csv"}.get(task, task.split("_")[0])
    assert design.text.startswith("#")
    if task not in ("mnist", "fashion"):
        from mgd_hw.data import load as load_data

        load_data(design.data)


@pytest.mark.slow
def test_new_series_runs_from_end_to_end() -> None:
    """The example of series trains on a virtual board, which equals its model."""
    assert run("new", "turn", "--task", "series").exit_code == 0
    design = load("turn.toml")
    assert design.spec.series and not design.spec.network.held and design.spec.network.frames == 12
    trained = run("train", "turn.toml", "--link", "virtual", "--steps", "32", "--verify", "--json")
    assert trained.exit_code == 0, trained.output
    said = json.loads(trained.stdout)
    assert said["steps"] == 32 and said["verified"] > 97 and said["mismatches"] == 0


@pytest.mark.slow
def test_the_example_of_series_is_learned() -> None:
    """Which way a point turns, of which the better constant answer knows a half."""
    assert run("new", "turn", "--task", "series").exit_code == 0
    curve = run_task(Task(FIXED, load("turn.toml"), 0, 40_000))["curve"]
    assert curve["accuracy"][0] < 0.8 and curve["accuracy"][-1] > 0.9


def test_new_for_the_user_s_series() -> None:
    """A row is a frame; the frames of a series are counted, and so are the classes; a column that counts frames is kept."""
    rows = [
        (name, frame, 0.5 * frame, kind)
        for name, kind, frames in (("a", "up", 3), ("b", "down", 5), ("c", "flat", 2))
        for frame in range(frames)
    ]
    Path("my.csv").write_text("walk,t,x,label\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    result = run("new", "mine", "--task", "series", "--data", "my.csv", "--series", "walk", "--json")
    assert result.exit_code == 0, result.output
    network = load("mine").spec.network
    assert (network.sizes, network.frames, network.record_inputs) == ((2, 8, 3), 5, 11)
    assert load("mine").data.series == "walk"
    said = fails(2, "new", "other", "--task", "series", "--data", "my.csv")
    assert '"series"' in said and "walk" in said
    Path("odd.csv").write_text("walk,x,label\na,1,up\nb,2,down\na,3,up\n")
    said = fails(2, "new", "other", "--task", "series", "--data", "odd.csv", "--series", "walk")
    assert "series 'a' goes on in line 4 of odd.csv, after another series" in said
    Path("long.csv").write_text("walk,x,label\n" + "".join(f"{number},{frame},up\n" for number in (1, 2) for frame in range(1025)))
    said = fails(2, "new", "other", "--task", "series", "--data", "long.csv", "--series", "walk")
    assert "its longest series has 1,025 frames, and a sample has at most 1,024" in said
    assert "--task csv takes none" in fails(2, "new", "other", "--task", "csv", "--data", "my.csv", "--series", "walk")
    assert not Path("other.toml").exists()


def test_new_does_not_replace() -> None:
    assert run("new", "mine").exit_code == 0
    before = Path("mine.toml").read_text()
    said = fails(2, "new", "mine", "--task", "digits")
    assert re.fullmatch(r'NAME = "mine\.toml": it is there already\. Choose another name, or replace it with --force\.', said)
    assert Path("mine.toml").read_text() == before
    assert run("new", "mine", "--task", "digits", "--force").exit_code == 0
    assert load("mine").data.task == "digits"


@pytest.mark.parametrize("name", ["my net", "", "a/b c", "é", "a" * 65])
def test_new_refuses_names(name: str) -> None:
    assert "it becomes part of a Verilog module" in fails(2, "new", name)
    assert not list(Path().iterdir())


def test_new_for_the_user_s_csv() -> None:
    Path("my.csv").write_text("a,b,kind\n1,2,0\n3,4,3\n5,6,1\n7,8,2\n")
    result = run("new", "mine", "--task", "csv", "--data", "my.csv", "--json")
    assert json.loads(result.stdout)["files"] == ["mine.toml"]
    assert load("mine").spec.network.sizes == (2, 4, 4)
    Path("bad.csv").write_text("a,b,kind\n1,2,0\n3,,3\n")
    assert 'bad.csv: line 3, column 1 ("b"): the value is missing' in fails(2, "new", "other", "--task", "csv", "--data", "bad.csv")
    assert not Path("other.toml").exists()
    assert "--data" in fails(2, "new", "other", "--task", "xor", "--data", "my.csv")


# -- generate ---------------------------------------------------------------------------------------------------------


def test_generate_writes_and_says_what_was_derived() -> None:
    Path("short.toml").write_text('[data]\ntask = "xor"\n')
    result = run("generate", "short.toml", "-o", "out")
    assert result.exit_code == 0, result.output
    for key in ("network.layers", "formats.error", "hardware.lanes", "schedule.learning_rate"):
        assert key in result.stdout
    assert {"design.v", "manifest.json"} <= {path.name for path in Path("out").iterdir()}
    assert json.loads(Path("out/manifest.json").read_text())["digest"] == load("short.toml").spec.digest


def test_generate_twice_gives_the_same_and_keeps_what_is_not_ours() -> None:
    assert run("generate", "xor", "-o", "out").exit_code == 0
    before = {path.name: path.read_bytes() for path in Path("out").iterdir() if path.is_file()}
    Path("out/notes.txt").write_text("mine")
    assert run("generate", "xor", "-o", "out").exit_code == 0
    after = {path.name: path.read_bytes() for path in Path("out").iterdir() if path.is_file()}
    assert after == before | {"notes.txt": b"mine"}


def test_json_is_one_object() -> None:
    result = run("generate", "xor", "-o", "out", "--json")
    found = json.loads(result.stdout)
    assert found["design"] == "xor"
    assert found["digest"] == load("xor").spec.digest
    assert "design.v" in found["files"]


@pytest.mark.parametrize("command", ["generate", "cosim", "compare", "synth"])
def test_output_that_cannot_be_written(command: str) -> None:
    Path("file").write_text("mine")
    for out in ("file", "file/below"):
        said = fails(2, command, "xor", "-o", out)
        assert re.fullmatch(rf'-o = "{out}": (it|.*file) is a file, not a directory\. Name another directory\.', said)
    said = fails(2, command, "xor", "-o", "/proc/mgd")
    assert re.fullmatch(r'-o = "/proc/mgd": it cannot be written to \(.*\)\. .*', said)
    assert [path.name for path in Path().iterdir()] == ["file"]


def test_names_that_are_too_long() -> None:
    said = fails(2, "generate", "xor", "-o", "a" * 300)
    assert re.fullmatch(r'-o = "a+…: a name in it has more than \d+ bytes\. Name another directory\.', said)


def test_demo_checks_its_directory_first() -> None:
    Path("file").write_text("mine")
    assert "not a directory" in fails(2, "demo", "-o", "file")


def test_nothing_is_left_of_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(spec: object, folder: Path, *_: object) -> dict:
        (folder / "design.v").write_text("half")
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("rtl_gen.emit.emit", half)
    fails(2, "generate", "xor", "-o", "new/out")
    assert not list(Path().iterdir())
    Path("out").mkdir()
    Path("out/design.v").write_text("old")
    fails(2, "generate", "xor", "-o", "out")
    assert [(path.name, path.read_text()) for path in Path("out").iterdir()] == [("design.v", "old")]


# -- What goes wrong --------------------------------------------------------------------------------------------------


def test_bad_design_is_one_line_and_one_object() -> None:
    Path("bad.toml").write_text("[hardware]\nlane = 3\n")
    assert fails(2, "generate", "bad.toml") == "bad.toml: hardware.lane: there is no such key. Did you mean hardware.lanes?"
    result = run("generate", "bad.toml", "--json")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert (found["file"], found["key"]) == ("bad.toml", "hardware.lane")
    assert found["error"] in result.stderr


@pytest.mark.parametrize("command", ["generate", "cosim", "compare", "synth"])
def test_no_design(command: str) -> None:
    assert "there is no such file" in fails(2, command, "none.toml")
    assert not list(Path().iterdir())


def test_unexpected_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted\nin two lines")

    monkeypatch.setattr(mgd_hw, "generate", broken)
    said = fails(2, "generate", "xor")
    assert said.startswith("Unexpected error (ZeroDivisionError: planted in two lines). Please report it")
    assert "Traceback" in run("--debug", "generate", "xor").stderr
    monkeypatch.setenv("MGD_HW_DEBUG", "1")
    assert "Traceback" in run("generate", "xor").stderr


def test_missing_tool_ends_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ToolError("it was not found", "Install it.", tool="iverilog")

    monkeypatch.setattr(mgd_hw, "cosim", missing)
    assert fails(2, "cosim", "xor") == "iverilog: it was not found. Install it. `mgd-hw doctor` looks for every tool."


def test_interrupted_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mgd_hw, "generate", interrupted)
    assert fails(130, "generate", "xor") == "Interrupted; nothing was kept."


# -- cosim ------------------------------------------------------------------------------------------------------------


def test_cosim_refuses_files_that_are_no_verilog() -> None:
    assert re.fullmatch(
        r'--verilog = "none\.v": it cannot be read \(No such file or directory\)\. .*', fails(2, "cosim", "xor", "--verilog", "none.v")
    )
    Path("folder").mkdir()
    assert "it is a directory" in fails(2, "cosim", "xor", "--verilog", "folder")
    Path("other.v").write_text("module other(input a); endmodule\n")
    said = fails(2, "cosim", "xor", "--verilog", "other.v", "-o", "out")
    assert re.match(r"other\.v: --verilog: it cannot be simulated: .*mgd_xor_core", said)
    assert not Path("out").exists()
    mgd_hw.generate("xor", Path("made"))
    lines = Path("made/design.v").read_text().splitlines(keepends=True)
    number = next(number for number, line in enumerate(lines) if re.search(r"\+ \$signed.*cost0_complement, ", line))
    lines[number] = lines[number].replace("+ $signed", "+ ($signed")
    Path("mine.v").write_text("".join(lines))
    assert re.fullmatch(
        rf"mine\.v: --verilog: it is refused: line {number + 1}: syntax error, .*\. Mend the file, or leave --verilog out\.",
        fails(2, "cosim", "xor", "--verilog", "mine.v", "-o", "out"),
    )


def test_cosim_that_differs_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    from sim import cosim as simulation

    def different(run_: object, *_: object, **__: object) -> simulation.CosimResult:
        return simulation.CosimResult("xor", "d", "cxxrtl", 9, 693, 5, None, {"sign": 5}, "The core is stuck", 99, 11.0, 0.1)

    monkeypatch.setattr(simulation, "cosim", different)
    result = run("cosim", "xor", "--steps", "9", "-o", "out")
    assert result.exit_code == 1
    assert re.match(r"Different: 5 of \d+ observables × 9 steps = 693 values\.", result.stdout)
    assert "The core is stuck" in result.stdout
    result = run("cosim", "xor", "--steps", "9", "-o", "out", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert {"design", "digest", "simulator", "steps", "compared", "mismatches", "cycles", "cycles_per_step", "seconds"} <= found.keys()
    assert found["mismatches"] == 5


def test_a_change_that_makes_no_difference_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from sim import cosim as simulation

    def equal(*_: object, **__: object) -> simulation.CosimResult:
        return simulation.CosimResult("xor", "d", "cxxrtl", 9, 693, 0, None, {}, None, 99, 11.0, 0.1)

    monkeypatch.setattr(simulation, "cosim", equal)
    mgd_hw.generate("xor", Path("made"))
    text = Path("made/design.v").read_text()
    monkeypatch.setattr("rtl_gen.emit.emit_verilog", lambda *_: text)
    lines = text.splitlines(keepends=True)
    cases = {
        text: (0, 0),
        text.replace("\n  assign", "\n\tassign"): (0, 0),
        "".join([*lines[:99], "// other\n", *lines[100:]]): (1, 100),
        "".join([*lines[:99], "// more\n", "// more\n", *lines[99:]]): (2, 100),
        "".join([*lines[:99], *lines[100:]]): (1, 100),
        text + "// end\n": (1, len(lines) + 1),
        "".join([*lines[:9], "// a\n", *lines[10:99], "// b\n", *lines[100:]]): (2, 10),
    }
    for changed, expected in cases.items():
        Path("mine.v").write_text(changed)
        result = run("cosim", "xor", "--steps", "9", "--verilog", "mine.v", "-o", "out", "--json")
        assert result.exit_code == 0
        found = json.loads(result.stdout)
        assert (found["changed_lines"], found["first_changed_line"]) == expected
    said = run("cosim", "xor", "--steps", "9", "--verilog", "mine.v", "-o", "out").stdout
    assert "Note: mine.v is not the Verilog of this design: it differs in 2 lines, from line 10 on." in said
    found = json.loads(run("cosim", "xor", "--steps", "9", "-o", "out", "--json").stdout)
    assert found["changed_lines"] == 0


def test_cosim_longer_than_the_disk_is_refused() -> None:
    said = fails(2, "cosim", "mnist" if os.environ.get("MGD_DATA") else "digits", "--steps", "1000000000")
    assert re.fullmatch(r"--steps = 1000000000: the traces of so many steps take .* GB, and .* GB free\. .*", said)


@pytest.mark.slow
def test_program_co_simulates() -> None:
    done = program("cosim", "xor", "--steps", "100", "--json", "-o", "out")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["steps"], found["mismatches"], found["compared"]) == (100, 0, 100 * found["observables"])


# -- compare ----------------------------------------------------------------------------------------------------------


def test_compare_has_the_promised_keys_and_files() -> None:
    result = run("compare", "xor", "--seeds", "2", "--steps", "300", "--json", "-o", "out", "--save", "learned.npz")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["steps"], found["seeds"]) == (300, 2)
    for model in ("float", "fixed", "backprop"):
        assert {"accuracy_mean", "accuracy_std", "cost_mean", "seconds"} <= found[model].keys()
        assert len(found[model]["runs"]) == 2
    assert set(found["fixed"]["saturations"]) == {
        "activation",
        "cost_change",
        "broadcast",
        "gradient",
        "momentum",
        "error",
        "update",
        "weight",
    }
    assert json.loads(Path("out/compare.json").read_text()) == found
    assert Path("out/learning.png").read_bytes().startswith(b"\x89PNG")
    with np.load("learned.npz") as arrays:
        assert arrays["layer1.weight"].shape == (4, 2)
        assert arrays["layer2.bias"].shape == (1,)


@pytest.mark.usefixtures("without_pictures")
def test_compare_starts_where_it_was_saved() -> None:
    assert run("compare", "xor", "--seeds", "1", "--steps", "6000", "-o", "a", "--save", "learned.npz").exit_code == 0
    result = run("compare", "xor", "--seeds", "1", "--steps", "1", "-o", "b", "--start", "learned.npz", "--json")
    assert json.loads(result.stdout)["fixed"]["accuracy_mean"] == 1.0


@pytest.mark.usefixtures("without_pictures")
def test_compare_judges_by_validation_samples() -> None:
    result = run("compare", "digits", "--seeds", "1", "--steps", "100", "--validate", "--json")
    found = json.loads(result.stdout)
    assert found["judged_by"] == "validation" and "288 to validate" in found["source"]
    assert "nothing is kept for validation" in fails(2, "compare", "xor", "--validate")


def test_compare_refuses_files_of_parameters() -> None:
    assert re.fullmatch(
        r"none\.npz: --start: it cannot be read as npz \(No such file or directory\)\. .*",
        fails(2, "compare", "xor", "--start", "none.npz"),
    )
    Path("text.npz").write_text("no")
    assert re.match(r"text\.npz: --start: it cannot be read as npz \((?!.*pickle)", fails(2, "compare", "xor", "--start", "text.npz"))
    good = {"layer1.weight": np.zeros((4, 2)), "layer1.bias": np.zeros(4), "layer2.weight": np.zeros((1, 4)), "layer2.bias": np.zeros(1)}
    cases = [
        ({"layer2.bias": None}, r"it lacks layer2\.bias"),
        (
            {"layer1.weight": np.zeros((2, 4))},
            r"layer1\.weight has shape \(2, 4\) and type float64, the network needs numbers of shape \(4, 2\)",
        ),
        ({"layer1.bias": np.array([0, 0, np.nan, 0])}, r"layer1\.bias has a value that is missing or infinite"),
        ({"layer3.bias": np.zeros(1)}, r"it has layer3\.bias, which the network has not"),
        ({"layer1.bias": np.array(["a"] * 4)}, r"layer1\.bias has shape \(4,\) and type <U1, .*"),
    ]
    for change, message in cases:
        np.savez("p.npz", **{name: value for name, value in (good | change).items() if value is not None})  # type: ignore[arg-type]
        said = fails(2, "compare", "xor", "--start", "p.npz")
        assert re.match(rf"p\.npz: --start: {message}\. Give an npz file with layer1\.weight, .*", said), said
    Path("file").write_text("")
    assert "is a file, not a directory" in fails(2, "compare", "xor", "--save", "file/x.npz")


WITHOUT_AGREEMENT = ("mnist", "fashion", "vowels")
"""Shipped designs whose samples are downloaded, or come from a package that is not needed."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=slow_unless(name != "nist7x7")) for name in shipped() if name not in WITHOUT_AGREEMENT]
)
@pytest.mark.usefixtures("without_pictures")
def test_the_gradient_of_shipped_designs_is_compared(name: str) -> None:
    """Both models' estimates point along the true gradient, as well as the number of steps allows."""
    design = load(name)
    found = compare_models(design, load_data(design.data), seeds=1, steps=1).agreement
    assert found is not None
    assert min(found.cosine_float, found.cosine_fixed) > 0.7


@pytest.mark.parametrize("gradient", ["SQ4.20", "SQ12.20", "SQ4.36"])
@pytest.mark.usefixtures("without_pictures")
def test_the_gradient_is_compared_whatever_its_format(gradient: str) -> None:
    """A sum of G goes beyond a word: it is taken in parts."""
    text = load("xor").text.replace('gradient = "SQ3.20"', f'gradient = "{gradient}"')
    assert gradient in text
    design = parse(text, "xor.toml")
    data = load_data(design.data)
    found = compare_models(design, data, seeds=1, steps=1).agreement
    usual = compare_models(load("xor"), data, seeds=1, steps=1).agreement
    assert found is not None and usual is not None
    assert found.cosine_fixed == pytest.approx(usual.cosine_fixed, abs=2e-3)


@pytest.mark.usefixtures("without_pictures")
def test_compare_interrupted_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    trainer = trainers._TRAINERS["float"]

    def impatient(task: object, progress: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return trainer(task, progress)  # type: ignore[arg-type]

    monkeypatch.setitem(trainers._TRAINERS, "float", impatient)  # type: ignore[arg-type]
    result = run("compare", "xor", "--seeds", "3", "--steps", "100", "--json", "-o", "out")
    assert result.exit_code == 130
    found = json.loads(result.stdout)
    assert found["interrupted"] is True
    assert found["seeds"] == 1
    assert "Interrupted; what was finished is kept." in result.stderr
    assert Path("out/compare.json").exists()
    calls[:] = [1]
    assert fails(130, "compare", "xor", "--seeds", "3", "--steps", "100", "-o", "other") == "Interrupted; nothing was kept."
    assert not Path("other").exists()


@pytest.mark.usefixtures("without_pictures")
def test_compare_without_slopes() -> None:
    Path("s.toml").write_text('[network]\nlayers = [2, 4, 1]\nhidden = "sign"\n[data]\ntask = "xor"\n')
    found = json.loads(run("compare", "s.toml", "--seeds", "1", "--steps", "50", "--json", "-o", "out").stdout)
    assert found["backprop"]["accuracy_mean"] is None
    assert "no slope" in found["backprop"]["note"]
    assert found["agreement"] is None


# -- The program itself -----------------------------------------------------------------------------------------------


def test_program_keeps_standard_output_to_itself() -> None:
    done = program("compare", "xor", "--seeds", "1", "--steps", "50", "--json", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 50
    assert done.stdout.count("\n") == 1
    assert "compiled models" in done.stderr


def test_program_fails_in_one_line() -> None:
    done = program("generate", "none.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_doctor() -> None:
    result = run("doctor", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == (0 if found["good"] else 2)
    names = {tool["name"] for tool in found["tools"]}
    assert {"Python", "numpy", "yosys", "verilator", "g++", "make", "perl", "iverilog"} <= names
    assert all(tool["remedy"] for tool in found["tools"] if not tool["found"])
    assert "Python" in run("doctor").stdout


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ((), "Every tool is installed."),
        (("apycula", "pyserial"), "Every required tool is installed; optional and missing: apycula, pyserial."),
    ],
)
def test_doctor_says_what_is_not_needed(missing: tuple[str, ...], said: str) -> None:
    from mgd_hw.hardware.doctor import Doctor, Tool

    tools = [
        Tool(name, "something", "" if name in missing else "1.0", "", name == "numpy", "") for name in ("numpy", "apycula", "pyserial")
    ]
    assert str(Doctor(tuple(tools))).splitlines()[-1] == said


def test_doctor_tells_of_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    result = run("doctor", "--json")
    assert result.exit_code == 2
    tools = {tool["name"]: tool for tool in json.loads(result.stdout)["tools"]}
    assert tools["g++"]["found"] is False
    assert "apt install g++" in tools["g++"]["remedy"]
    assert tools["numpy"]["found"] is True


def test_new_says_what_it_chose_and_why() -> None:
    rows = "".join(f"{n},{n % 3}.5,{n % 4}.25,{('setosa', 'virginica', 'versicolor')[n % 3]}\n" for n in range(30))
    Path("flowers.csv").write_text(",a,b,species\n" + rows)
    result = run("new", "flowers", "--task", "csv", "--data", "flowers.csv")
    assert 'Chosen: label = "species": ' in result.stdout
    assert 'Chosen: kind = "classification": the answers are words; data.kind overrides it.' in result.stdout
    assert "Warning: column 0 looks like an index, and the design file leaves it out (data.drop)." in result.stdout
    assert re.search(r"^3 classes +setosa \(\d+ \+ \d+\), versicolor", result.stdout, re.MULTILINE)
    design = load("flowers")
    assert (design.spec.network.sizes, design.data.drop, design.data.label) == ((2, 4, 3), (0,), "species")
    fewer = run("new", "fewer", "--task", "csv", "--data", "flowers.csv", "--drop", "0", "--drop", "b", "--label", "species", "--json")
    assert json.loads(fewer.stdout)["notes"] == ['Chosen: kind = "classification": the answers are words; data.kind overrides it.']
    assert load("fewer").data.drop == (0, "b")
    assert "--task xor takes none" in fails(2, "new", "other", "--label", "species")
    assert "no file is named" in fails(2, "new", "other", "--task", "csv", "--drop", "a")
