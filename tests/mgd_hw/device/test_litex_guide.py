"""The worked example of docs/guides/litex.md, followed as it is written: a simulated SoC of LiteX's, trained over its own server."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from mgd_hw.cli import commands

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "guides" / "litex.md").read_text(encoding="utf-8")


def block(language: str, start: str) -> str:
    """The block of the guide that starts so."""
    found = re.search(rf"^```{language}\n({re.escape(start)}.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert found, start
    return found[1]


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A program of the guide that runs until it is ended."""
    with Path("log.txt").open("a") as log, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.long
def test_a_simulated_soc_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("soc.py").write_text(block("python", "import sys"))
    Path("board.py").write_text(block("text", "import time"))
    _, server, train = block("text", "python soc.py && python board.py").splitlines()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    subprocess.run([sys.executable, "soc.py"], check=True, capture_output=True)
    with running(sys.executable, "board.py") as board:
        assert board.stdout
        pty = board.stdout.readline().strip()
        assert pty.startswith("/dev/"), Path("log.txt").read_text()
        program, *arguments = shlex.split(server.replace("/dev/pts/3", pty).replace("1234", port))
        assert program == "litex_server"
        with running(sys.executable, "-m", "litex.tools.litex_server", *arguments):
            until = time.monotonic() + 30
            while time.monotonic() < until:
                with socket.socket() as probe:
                    if probe.connect_ex(("localhost", int(port))) == 0:
                        break
                time.sleep(0.2)
            result = CliRunner().invoke(commands, [*shlex.split(train.replace("1234", port))[1:], "--json"])
            assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["equal"] and found["verified"] and found["link"] == f"litex:localhost:{port}"
