"""The worked example of docs/guides/import.md, followed as it is written: its commands run, and its figures come out."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mgd_hw.cli import commands

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "import.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (mgd-hw .+)$", GUIDE, re.MULTILINE)
PROGRAM = re.search(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
SHARE = 100 / 360
"""What one image of the test samples is, in per cent."""

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pictures")]


def figure(network: str, images: str = "rotated") -> float:
    """The accuracy in a row of the guide's table, in per cent."""
    row = re.search(rf"^\| {re.escape(network)} \| {images} \| ([\d.]+) % \|$", GUIDE, re.MULTILINE)
    assert row, network
    return float(row[1])


def run(line: str, *more: str) -> dict[str, Any]:
    """The JSON of a command of the guide."""
    result = CliRunner().invoke(commands, [*shlex.split(line)[1:], *more, "--json"])
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the guide's program writes."""
    monkeypatch.chdir(tmp_path)
    assert PROGRAM
    Path("train.py").write_text(PROGRAM[1])
    subprocess.run([sys.executable, "train.py"], check=True)
    return tmp_path


def test_drift_and_adaptation(trained: Path) -> None:
    """A float network, exported and imported, loses a quarter of its answers to rotated images, and the hardware's bits win them back."""
    upright, rotated, compare, _ = COMMANDS
    before = run(upright)["scores"]["accuracy"]
    after = run(rotated)["scores"]["accuracy"]
    assert 100 * before == pytest.approx(figure("as exported, in real numbers", "upright"), abs=4 * SHARE)
    assert 100 * after == pytest.approx(figure("as exported, in the hardware's numbers"), abs=8 * SHARE)
    found = run(compare)
    assert found["start"]["fixed"]["accuracy"] == pytest.approx(after, abs=0.01)
    assert found["start"]["real"]["accuracy"] == pytest.approx(after, abs=1e-9)
    adapted = found["fixed"]["accuracy_mean"]
    assert 100 * adapted == pytest.approx(figure("adapted to 4,000 rotated images"), abs=3)
    assert after + 0.15 < adapted < before + 0.01
    assert (trained / "adapted.npz").is_file()


@pytest.mark.long
def test_few_images_and_random_parameters(trained: Path) -> None:
    """With few images, the network that was trained elsewhere is far ahead of random parameters."""
    _, rotated, compare, _ = COMMANDS
    run(rotated)
    few = run(compare, "--steps", "42000")["fixed"]["accuracy_mean"]
    words = shlex.split(compare)
    at = words.index("--start")
    afresh = run(shlex.join(words[:at] + words[at + 2 :]), "--steps", "42000")["fixed"]["accuracy_mean"]
    assert 100 * few == pytest.approx(figure("adapted to 1,000 rotated images (`--steps 42000`)"), abs=4)
    assert 100 * afresh == pytest.approx(figure("from random parameters, 1,000 rotated images (`--steps 42000`, without `--start`)"), abs=6)
    assert few > afresh + 0.04


@pytest.mark.long
def test_the_virtual_board_starts_from_the_file(trained: Path) -> None:
    _, rotated, _, train = COMMANDS
    run(rotated)
    found = run(train)
    assert found["equal"] and found["verified"]
