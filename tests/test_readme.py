"""The README can be followed: its commands are real, their output is what it shows, its examples run.

``python -m tests.test_readme`` runs the quick commands and writes their output into the page; with ``--all`` the long ones too, and
the picture.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mgd_hw.cli import commands

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").rglob("*.md")))

LONG = {"compare", "synth", "demo"}
"""Commands that take more than seconds."""


def text() -> str:
    return README.read_text(encoding="utf-8")


# -- Commands on the pages --------------------------------------------------------------------------------------------


def console(page: str) -> list[list[tuple[str, str]]]:
    """The console blocks of a page: their commands, each with the output shown."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)
        assert parts[0] == "", block
        found.append(list(zip(parts[1::2], parts[2::2], strict=True)))
    return found


def mentioned() -> Iterator[tuple[str, bool]]:
    """Every command line of ours on any page, and whether it stands by itself, to be typed as it is."""
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        for block in console(page):
            yield from ((command, True) for command, _ in block)
        fenceless = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
        for line in re.findall(r"^ {4}(.+)$", fenceless, re.MULTILINE):
            yield from ((part.strip(), True) for part in re.split(r"&&|;", line))
        yield from ((span, False) for span in re.findall(r"`(mgd-hw [^`]+)`", fenceless))


OURS = sorted({(line, exact) for line, exact in mentioned() if line.startswith("mgd-hw ")})


def test_there_are_commands_to_check() -> None:
    assert len(OURS) > 15
    assert {shlex.split(line)[1] for line, _ in OURS} >= set(commands.commands)


@pytest.mark.parametrize("line, exact", OURS)
def test_commands_are_real(line: str, exact: bool) -> None:
    words = shlex.split(line)[1:]
    while words and words[0] == "--debug":
        words.pop(0)
    if not exact and words and words[0].isupper():
        return
    command = commands.commands[words[0]]
    if exact:
        command.make_context(words[0], words[1:])
        return
    # In running text arguments may be placeholders or left out, but options must exist.
    known = {name for parameter in command.params if isinstance(parameter, click.Option) for name in parameter.opts} | {"--help"}
    assert {word for word in words[1:] if word.startswith("-")} <= known, line


def test_the_two_commands_stand_at_the_top() -> None:
    lines = [line for line in text().splitlines() if line]
    assert lines[1:3] == ["    pip install . && mgd-hw demo", "    pip install '.[test]' && pytest"]


# -- What they print --------------------------------------------------------------------------------------------------


def masked(output: str) -> str:
    """Without what differs from run to run."""
    return re.sub(r"\b[\d,]+\.\d s\b", "… s", output).strip()


class Shell:
    """Runs the commands of the page one after the other, ours in this process."""

    def __init__(self) -> None:
        self.code = 0

    def run(self, line: str) -> str:
        """Standard output of a command."""
        if line == "echo $?":
            return f"{self.code}\n"
        if line.startswith("mgd-hw "):
            result = CliRunner().invoke(commands, shlex.split(line)[1:])
            assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
            self.code = result.exit_code
            return result.stdout
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
        self.code = done.returncode
        assert not done.stderr, done.stderr
        return done.stdout


def is_long(block: list[tuple[str, str]]) -> bool:
    return any(command.startswith("mgd-hw ") and shlex.split(command)[1] in LONG for command, _ in block)


@pytest.fixture
def quick_builds(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile simulations without optimising, since they are short, and the same Verilog only once; the results are the same."""
    from sim import cxxrtl

    build, kept = cxxrtl.build_cxxrtl, tmp_path_factory.getbasetemp() / "builds"

    def build_once(verilog: Path, ports: object, directory: Path, **options: object) -> Path:
        name = hashlib.sha256(verilog.read_bytes()).hexdigest()[:16]
        return build(verilog, ports, kept / name, **options, optimize="-O0")

    monkeypatch.setattr(cxxrtl, "build_cxxrtl", build_once)


def follow(blocks: list[list[tuple[str, str]]]) -> None:
    shell = Shell()
    for command, shown in (pair for block in blocks for pair in block):
        assert masked(shell.run(command)) == masked(shown), f"{command}: `python -m tests.test_readme` writes the new output"


@pytest.mark.usefixtures("quick_builds")
def test_quick_commands_print_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in console(text()) if not is_long(block)]
    commands_run = [command for block in blocks for command, _ in block]
    assert any("cosim" in command for command in commands_run) and any("--verilog" in command for command in commands_run)
    follow(blocks)


def test_the_broken_core_is_told_apart() -> None:
    block = next(block for block in console(text()) if any("--verilog" in command for command, _ in block))
    (_, said), (_, code) = block[-2:]
    assert said.startswith("Different: ")
    assert code == "1\n"


@pytest.mark.slow
def test_synthesis_prints_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    follow([block for block in console(text()) if any(" synth " in command for command, _ in block)])


# -- Python -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_builds")
def test_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```$", text(), re.MULTILINE | re.DOTALL)
    statements = [line for line in block.splitlines() if line and not line.startswith("#")]
    assert len(statements) <= 10
    exec(compile(block, str(README), "exec"), {})
    assert "(2, 4, 1)" in capsys.readouterr().out


# -- Writing it -------------------------------------------------------------------------------------------------------


def refresh(everything: bool) -> None:
    """Write the output of the commands into the page."""
    page = text()
    shell = Shell()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for block in console(page):
            if is_long(block) and not everything:
                continue
            old = "".join(f"$ {command}\n{shown}" for command, shown in block)
            new = ""
            for command, _ in block:
                print(command, file=sys.stderr)
                new += f"$ {command}\n{shell.run(command)}"
            page = page.replace(f"```console\n{old}```", f"```console\n{new}```")
        if everything:
            shutil.copyfile("mgd-hw-out/digits/learning.png", ROOT / "docs" / "images" / "digits.png")
    README.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    refresh("--all" in sys.argv[1:])
