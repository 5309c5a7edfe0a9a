"""``mgd-hw fit``: what fits where, before any synthesis."""

import json
import re

import pytest
from click.testing import CliRunner, Result

from mgd_hw import cli
from mgd_hw.hardware.fit import fit
from python_ref.spec.error import ToolError


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.commands, arguments)


def test_every_part_is_named_with_its_error() -> None:
    found = run("fit", "digits", "--json")
    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)
    assert set(said["parts"]) == set(cli.TARGETS)
    for part in said["parts"].values():
        assert {"fits", "most_lanes", "lut", "ff", "dsp", "bram", "limits", "error", "designs"} <= part.keys()
    assert set(said["boards"].values()) <= set(said["parts"]) and said["boards"]["icebreaker"] == "ice40-up5k"
    assert said["cycles_per_step"] > 0 and said["memory_bits"] > 0 and said["calibrated"]


def test_it_says_what_does_not_fit_and_which_lanes_would() -> None:
    found = run("fit", "mnist")
    assert found.exit_code == 0
    assert "ice40-up5k: " in found.stdout and " too many" in found.stdout
    assert "cycles per step, exactly" in found.stdout


def test_another_yosys_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fit("xor").current
    monkeypatch.setattr("boards.parts.fit.yosys_version", lambda: "0.99")
    assert not fit("xor").current
    assert "run python -m mgd_hw.hardware.calibrate" in " ".join(run("fit", "xor").stdout.split())


def test_a_missing_yosys_contradicts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise ToolError("it is not installed", "Install it.", tool="yosys")

    monkeypatch.setattr("boards.parts.fit.yosys_version", missing)
    assert fit("xor").current


def test_a_learner_is_predicted() -> None:
    found = run("fit", "chip", "--json")
    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)
    assert said["design"] == "chip" and said["lanes"] == 1
    assert all(part["fits"] and part["dsp"] == 0 for part in said["parts"].values())
    assert "cycles per step, exactly" in run("fit", "chip").stdout


def test_nothing_is_synthesised(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it must not run")

    monkeypatch.setattr("rtl_gen.toolchain.yosys.run_yosys", never)
    monkeypatch.setattr("rtl_gen.emit.emit_verilog", never)
    assert fit("digits").parts


@pytest.mark.parametrize(("design", "warned"), [("mnist", True), ("xor", False)])
def test_synthesis_of_what_cannot_fit_begins_with_a_warning(design: str, warned: bool, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Minutes before its end would tell; it is done all the same, for its counts."""

    def end(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("boards.parts.synth.synthesise", end)
    said = run("synth", design, "--target", "gowin-gw1nr9", "-o", str(tmp_path / "out")).stderr
    assert "Synthesising for gowin-gw1nr9." in said
    assert bool(re.search(r"By prediction it does not fit: \d+ bram too many; `mgd-hw fit` says", " ".join(said.split()))) == warned


def test_a_design_that_is_not_there_is_refused() -> None:
    assert run("fit", "nothing").exit_code == 2
