"""The README, the tutorial and the page on verification can be followed: their commands are real and print what is shown.

``python -m tests.test_readme`` runs the quick commands and writes their output into the pages; with ``--all`` the long ones too, and
the picture.
"""

from __future__ import annotations

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

TUTORIAL = ROOT / "docs" / "tutorial.md"
VERIFICATION = ROOT / "docs" / "design" / "verification.md"
FOLLOWED = (README, TUTORIAL, VERIFICATION)
"""The pages whose commands are run, each page in a folder of its own."""

LONG = {"compare", "demo", "diagnose", "synth", "train"}
"""Commands that take more than seconds."""
VARYING = {"compare", "diagnose", "train"}
"""Commands whose figures depend on the machine: sums of real numbers on its processor, rates and blocks of steps on its speed."""
QUICK_DESIGN = "xor"
"""The one design whose co-simulation compiles within seconds."""


def text(page: Path = README) -> str:
    return page.read_text(encoding="utf-8")


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
    before, _, after = text().partition("    pip install . && mgd-hw demo\n    pip install '.[test]' && pytest\n")
    assert after, "the two commands are not there"
    assert "```" not in before and "\n## " not in before
    title, *paragraphs = [part for part in before.split("\n\n") if part.strip()]
    assert title == "# mgd-hw" and len(paragraphs) == 1, "one paragraph above says what this is"


def test_the_readme_is_short() -> None:
    lines = text().splitlines()
    assert len(lines) <= 120
    prose = re.sub(r"^```.*?^```$", "", text(), flags=re.MULTILINE | re.DOTALL)
    assert all(len(line) <= 140 or line.startswith("|") for line in prose.splitlines())


# -- What they print --------------------------------------------------------------------------------------------------


def masked(output: str, command: str = "") -> str:
    """An output without times; of a command whose figures depend on the machine, without any number."""
    output = re.sub(r"\b[\d,]+(?:\.\d)? (?:s|steps/s)(?![\w/])", "… s", output).strip()
    if name_of(command) in VARYING:
        output = re.sub(r" +", " ", re.sub(r"[-+±]?\d[\d,.]*(?:e[-+]?\d+)?", "#", output))
    return output


def name_of(command: str) -> str:
    """The name of a command of ours; "" for another program's."""
    return shlex.split(command)[1] if command.startswith("mgd-hw ") else ""


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
        line = re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", line)
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
        self.code = done.returncode
        assert not done.stderr, done.stderr
        return done.stdout


def is_long(block: list[tuple[str, str]]) -> bool:
    """Whether a block takes more than seconds."""
    names = [(name_of(command), command) for command, _ in block]
    return any(name in LONG or (name == "cosim" and f" {QUICK_DESIGN} " not in command) for name, command in names)


def follow(blocks: list[list[tuple[str, str]]]) -> None:
    shell = Shell()
    for command, shown in (pair for block in blocks for pair in block):
        found = masked(shell.run(command), command)
        assert found == masked(shown, command), f"{command}: `python -m tests.test_readme` writes the new output"


@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.stem)
@pytest.mark.usefixtures("quick_builds")
def test_quick_commands_print_what_is_shown(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in console(text(page)) if not is_long(block)]
    assert blocks
    follow(blocks)


def test_a_core_and_a_broken_one_are_among_the_quick_commands() -> None:
    """So that every run of the tests sees the one equal and the other told apart."""
    quick = [pair for page in FOLLOWED for block in console(text(page)) if not is_long(block) for pair in block]
    assert any(" cosim " in command and shown.startswith("Equal: ") for command, shown in quick)
    assert any("--verilog" in command and shown.startswith("Different: ") for command, shown in quick)


def test_the_broken_core_is_told_apart() -> None:
    block = next(block for block in console(text(VERIFICATION)) if any("--verilog" in command for command, _ in block))
    (_, said), (_, code) = block[-2:]
    assert said.startswith("Different: ")
    assert code == "1\n"


@pytest.mark.slow
def test_the_tutorial_prints_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its commands, one after the other."""
    monkeypatch.chdir(tmp_path)
    follow(console(text(TUTORIAL)))


# -- Writing it -------------------------------------------------------------------------------------------------------


def refresh(page: Path, everything: bool) -> None:
    """Write the output of the commands into a page."""
    content = text(page)
    shell = Shell()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for block in console(content):
            if is_long(block) and not everything:
                continue
            old = "".join(f"$ {command}\n{shown}" for command, shown in block)
            new = ""
            for command, _ in block:
                print(command, file=sys.stderr)
                new += f"$ {command}\n{shell.run(command)}"
            content = content.replace(f"```console\n{old}```", f"```console\n{new}```")
        if everything and page == README:
            shutil.copyfile("mgd-hw-out/digits/learning.png", ROOT / "docs" / "images" / "digits.png")
    page.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    for each in FOLLOWED:
        refresh(each, "--all" in sys.argv[1:])
