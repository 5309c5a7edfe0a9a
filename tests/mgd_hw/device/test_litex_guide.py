"""The worked examples of docs/guides/litex.md, followed as they are written: simulated SoCs of LiteX's, trained over its own server and by
their own processor."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from serial import Serial

from boards.link import MemoryLink, open_litex
from mgd_hw import read
from mgd_hw.cli import commands
from mgd_hw.design.reader import load_any
from mgd_hw.design.run import run_of
from mgd_hw.design.samples import load_design
from python_ref.fixed.fast import train
from python_ref.spec.learner import MAX_CYCLES
from python_ref.spec.registers import Command, Status
from sim import host

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


def followed(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> None:
    """Go to a folder with these files of the guide, and its board."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    Path("board.py").write_text(block("text", "import time"))
    for name, text in files.items():
        Path(name.replace("_", ".")).write_text(text)


def build(program: str) -> None:
    """Run a program of the guide that writes soc.v."""
    done = subprocess.run([sys.executable, program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def port_of(board: subprocess.Popen[str]) -> str:
    """The pseudo-terminal of a board that has begun to run."""
    assert board.stdout
    pty = board.stdout.readline().strip()
    assert pty.startswith("/dev/"), Path("log.txt").read_text()
    return pty


def with_a_compiler(program: str) -> str:
    """The guide's program with its compiler, which comes with the packages of the tests; without that, with the other one that it names."""
    if find_spec("ziglang"):
        return program
    if not shutil.which("riscv64-unknown-elf-gcc"):
        pytest.fail("There is no C compiler for RISC-V. Run: pip install 'mgd-hw[test]', or apt install gcc-riscv64-unknown-elf.")
    other = block("python", "COMPILER")
    changed, count = re.subn(r"^ZIG = .*\nCOMPILER = .*\nOBJCOPY = .*\n", other, program, flags=re.MULTILINE)
    assert count == 1
    return changed


@pytest.mark.slow
def test_the_processor_of_a_simulated_soc_trains_the_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program prints what the guide shows, and its counters and signatures are those of the fixed model."""
    program, script, soc = block("c", "#include"), block("text", "ENTRY"), with_a_compiler(block("python", "import re"))
    followed(tmp_path, monkeypatch, xor_c=program, program_ld=script, cpu_py=soc)
    build("cpu.py")
    with running(sys.executable, "board.py") as board, Serial(port_of(board), timeout=120) as line:
        printed = [line.readline().decode().strip() for _ in range(5)]
    assert printed == block("text", "steps ").splitlines()
    run = run_of(design := read("xor"), load_design(design), 10_000)
    state = train(run.spec, run.initial_state(), run.inputs, run.targets, run.order, run.steps, signatures=True).state
    assert state.signature is not None
    found = {name: int(value, 16) for name, value in map(str.split, printed)}
    assert (found["steps"], found["forward"], found["learned"]) == (state.steps, *state.signature)
    assert found["correct"] == 4


@contextmanager
def served() -> Iterator[str]:
    """The port at which LiteX's server serves the bridge of the SoC that is built here, on the guide's board."""
    server = block("text", "python soc.py && python board.py").splitlines()[1]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    with running(sys.executable, "board.py") as board:
        program, *arguments = shlex.split(server.replace("/dev/pts/3", port_of(board)).replace("1234", port))
        assert program == "litex_server"
        with running(sys.executable, "-m", "litex.tools.litex_server", *arguments):
            until = time.monotonic() + 30
            while time.monotonic() < until:
                with socket.socket() as probe:
                    if probe.connect_ex(("localhost", int(port))) == 0:
                        break
                time.sleep(0.2)
            yield port


def trained(command: str, port: str) -> dict[str, Any]:
    """What a command of the guide prints as JSON, with the server at this port."""
    result = CliRunner().invoke(commands, [*shlex.split(command.replace("1234", port))[1:], "--json"])
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout))


@pytest.mark.slow
@pytest.mark.long
def test_a_simulated_soc_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    followed(tmp_path, monkeypatch, soc_py=block("python", "import sys"))
    build("soc.py")
    with served() as port:
        found = trained(block("text", "python soc.py && python board.py").splitlines()[2], port)
    assert found["equal"] and found["verified"] and found["link"] == f"litex:localhost:{port}"
    assert found["steps"] == 10_000 and found["accuracy"] == 1.0


NODES = """
network = {external = 4}
perturbation = {kind = "node", code = "sequential", amplitude = "2^-5"}
schedule = {difference = "two-sided", learning_rate = -3, sample_period = 4, update_period = 4}
[external]
command = "python -m mgd_hw.chip --nodes --hidden 3 --gain 0.1 --noise 0.01"
samples = 4
"""
"""A learner of the currents of four nodes, whose weights are the chip's own."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "design"), [("chip", "chip"), pytest.param("nodes", NODES, marks=pytest.mark.long)], ids=["weights", "node currents"]
)
def test_a_learner_in_a_simulated_soc_trains(name: str, design: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host is its outside over the bridge. It begins after another host that ended in the midst of a run, and resumes."""
    soc = block("python", "import sys").replace('"xor"', '"chip"').replace("mgd_xor_litex", "mgd_chip_litex")
    command = re.search(r"mgd-hw train chip --link litex:.*", GUIDE)
    assert command and soc.count("chip") == 2
    if design != name:
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\n{design}')
        soc = soc.replace('"chip"', 'Path("nodes.toml")').replace("mgd_chip_litex", "mgd_nodes_litex")
        design = f"{name}.toml"
    train = command[0].replace("train chip", f"train {design}").replace("48", "16")
    followed(tmp_path, monkeypatch, soc_py=soc)
    build("soc.py")
    spec = load_any(design).spec
    with served() as port:
        link = MemoryLink(open_litex(f"litex:localhost:{port}", name), spec)
        host.prepare(spec, link, np.zeros(spec.n_parameters, dtype=np.int64))
        host.write_register(spec, link, "timeout", MAX_CYCLES)  # the learner waits for a cost until somebody gives one
        host.write_register(spec, link, "count", 3)
        host.write_register(spec, link, "command", Command.TRAIN)
        assert host.read_register(spec, link, "status") & Status.BUSY
        link.close()
        first, rest = trained(train, port), trained(f"{train.replace('16', '32')} --resume", port)
    for found, begun in ((first, 0), (rest, 16)):
        assert found["equal"] and found["resumed_from"] == begun and found["measurements"] == 32
        assert found["verified"] > 32 * (spec.quantities + 1) and found["counters"]["steps"] == begun + 16
        assert found["link"] == f"litex:localhost:{port}" and not found["outages"]
    assert rest["cost_before"] > 0 and rest["cost"] > 0
