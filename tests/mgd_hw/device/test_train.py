"""``mgd-hw train`` and ``mgd-hw virtual`` on the command line: results, messages, exit codes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from boards.link import PortError, SerialLink
from mgd_hw.cli import commands
from mgd_hw.design.reader import load
from mgd_hw.device.train import _advice, train
from mgd_hw.learn.parameters import read_parameters
from rtl_gen.serial.linked import emit_linked
from sim.virtual import VirtualBoard
from tests.support.virtual_board import DIVISOR, build_xor

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MGD_HW_DEBUG", raising=False)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return build_xor(tmp_path_factory)


@pytest.fixture
def link(program):
    with VirtualBoard(program, DIVISOR) as board:
        yield f"serial:{board.port}"


def run(*arguments):
    return CliRunner().invoke(commands, list(map(str, arguments)))


def fails(code, *arguments):
    """Run a command that fails with an exit code, and return its one-line message."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("mgd-hw: ")]
    assert len(lines) == 1 and "Traceback" not in result.stderr, result.stderr
    return lines[0].removeprefix("mgd-hw: ")


def test_train_says_what_came_of_it(link):
    result = run("train", "xor", "--link", link, "--steps", 60, "--verify", "--save", "learned.npz", "--clock", 48, "--json")
    assert result.exit_code == 0, result.output
    observed = json.loads(result.stdout)
    assert (observed["steps"], observed["mismatches"], observed["link_errors"], observed["equal"]) == (60, 0, 0, True)
    assert observed["verified"] > 17 and observed["seconds"] > 0 and 0 <= observed["accuracy"] <= 1
    assert observed["core_steps_per_second"] == pytest.approx(48e6 / observed["cycles_per_step"])
    assert {"steps_per_second", "cycles_per_step", "bytes_sent", "bytes_received", "digest", "link"} <= set(observed)
    assert json.loads(Path("mgd-hw-out/xor/train.json").read_text()) == observed
    assert len(read_parameters(load("xor").spec, Path("learned.npz"))) == 17
    shown = run("train", "xor", "--link", link, "--steps", 80, "--resume", "--verify")
    assert shown.exit_code == 0, shown.output
    assert re.search(r"^Equal: [\d,]+ values compared with the model, bit for bit\.$", shown.stdout, re.MULTILINE)
    assert "xor, 80 steps over serial:" in shown.stdout and "through the link" in shown.stdout and "the core alone" in shown.stdout
    assert ", the 60 steps before it was resumed included" in shown.stdout and "repeated; no errors" in " ".join(shown.stdout.split())
    assert "checkpoint.previous" not in shown.stderr
    again = run("train", "xor", "--link", link, "--steps", 20, "--start", "learned.npz", "--json")
    assert again.exit_code == 0 and "It is kept as checkpoint.previous.npz" in again.stderr
    assert Path("mgd-hw-out/xor/checkpoint.previous.npz").exists()


def test_what_is_wrong_with_a_link_is_told(link, monkeypatch):
    train = ("train", "xor", "--steps", 10, "--link")
    assert fails(2, *train, "usb").startswith('--link = "usb": it is not a link. Name virtual, serial:DEVICE such as ')
    assert "there is no port /dev/there-is-none. Plug the board in, or " in fails(2, *train, "serial:/dev/there-is-none")
    assert "is in use by another program. End that program" in _in_use(train, link)
    other = Path("other.toml")
    other.write_text('name = "xor"\n[network]\nlayers = [2, 5, 1]\n[data]\ntask = "xor"\n')
    said = fails(2, "train", other, "--steps", 10, "--link", link)
    assert re.search(r"The core's digest must be \w+, not \w+: it was built from another design\. Load the bitstream that ", said)
    assert not Path("mgd-hw-out/xor/train.json").exists()
    monkeypatch.setitem(SerialLink.__init__.__kwdefaults__, "silence", 0.2)
    ours, theirs = os.openpty()
    said = fails(2, *train, f"serial:{os.ttyname(theirs)}")
    assert re.search(r"Nothing has answered for 0\.2 s\. Load the bitstream of xor into the board, and see that ", said)
    os.close(ours)
    os.close(theirs)
    monkeypatch.setitem(sys.modules, "serial", None)
    assert "pyserial is not installed. Run: pip install 'mgd-hw[boards]'." in fails(2, *train, link)


@pytest.mark.parametrize("verify", [(), ("--verify",)], ids=["unverified", "verified"])
def test_nothing_is_compiled_for_a_training_that_cannot_begin(monkeypatch, verify):
    monkeypatch.setattr("mgd_hw.device.train.virtual_board", _never)
    monkeypatch.setattr("mgd_hw.device.session.Model.__init__", _never)
    train = ("train", "xor", "--steps", 10, *verify, "--link")
    assert "there is no checkpoint to resume from" in fails(2, *train, "virtual", "--resume")
    assert "there is no port /dev/there-is-none" in fails(2, *train, "serial:/dev/there-is-none")
    assert "it is not a link" in fails(2, *train, "usb")
    monkeypatch.setitem(sys.modules, "serial", None)
    assert "pyserial is not installed. Run: pip install 'mgd-hw[boards]'." in fails(2, *train, "virtual")
    assert not any(path.is_file() for path in Path().rglob("*"))


def _never(*arguments, **options):
    raise AssertionError("this must not be called")


def _in_use(train, link):
    from boards.link import open_port

    port = open_port(link)
    try:
        return fails(2, *train, link)
    finally:
        port.close()


def test_what_is_wrong_with_a_checkpoint_is_told(link):
    train = ("train", "xor", "--link", link, "--resume", "--steps")
    assert "checkpoint.npz: there is no checkpoint to resume from. Leave --resume out" in fails(2, *train, 10)
    assert run("train", "xor", "--link", link, "--steps", 20).exit_code == 0
    assert "it belongs to another run: the design, its seed, its initial parameters or its data have" in fails(2, *train, 30, "--seed", 9)
    assert "it was written at step 20, and the run ends at 10" in fails(2, *train, 10)
    assert "it belongs to another run: " in fails(2, *train, 10, "--seed", 9)
    assert run(*train, 20).exit_code == 0, "there is nothing left to do"
    Path("file").write_text("")
    assert '-o = "file": it is a file' in fails(2, "train", "xor", "--link", link, "--steps", 10, "-o", "file")


@pytest.mark.slow
def test_a_virtual_board_runs_until_it_is_interrupted(program):
    place = Path("out/virtual")
    shutil.copytree(program.parent, place)
    spec = load("xor").spec
    (place / "linked.v").write_text(emit_linked(spec, DIVISOR))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "mgd_hw", "virtual", "xor", "--divisor", str(DIVISOR), "-o", "out", "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        observed = json.loads(served.stdout.readline())
        assert observed["digest"] == spec.digest and observed["link"] == f"serial:{observed['port']}"
        result = run("train", "xor", "--link", observed["link"], "--steps", 20, "--verify", "--json")
        assert result.exit_code == 0 and json.loads(result.stdout)["mismatches"] == 0
        served.send_signal(signal.SIGTERM)
        assert served.wait(20) == 0
    assert not Path(observed["port"]).exists()


@pytest.mark.slow
@pytest.mark.usefixtures("quick_builds")
def test_a_fault_in_the_verilog_is_found(link):
    text = emit_linked(load("xor").spec, DIVISOR)
    line = next(line for line in text.splitlines() if " = live_negative & live_active;" in line)
    Path("wrong.v").write_text(text.replace(line, line.replace(" & ", " ^ ", 1), 1))
    result = run("train", "xor", "--link", "virtual", "--divisor", DIVISOR, "--verilog", "wrong.v", "--steps", 50, "--verify", "--json")
    assert result.exit_code == 1, (result.output, line)
    observed = json.loads(result.stdout)
    assert observed["mismatches"] > 0 and not observed["equal"]
    assert re.match(r"in steps 0 to 15, signature, \w+: the model has 0x\w{8}, the core 0x\w{8}$", observed["first_difference_text"])


def test_a_period_is_suggested_where_the_link_is_the_limit():
    assert _advice(1, 900.0, 1000.0) == ""
    assert "schedule.sample_period = 3 would let " in _advice(1, 2500.0, 1000.0)
    assert _advice(3, 2500.0, 1000.0) == ""
    assert _advice(1, float("nan"), 1000.0) == ""


@pytest.mark.long
@pytest.mark.slow
def test_digits_over_a_virtual_board():
    from mgd_hw.data import load as load_data
    from mgd_hw.design.run import run_of
    from python_ref.datasets import quantise
    from python_ref.fixed.fast import evaluate, train

    result = run("train", "digits", "--link", "virtual", "--steps", 20_000, "--verify", "--json")
    assert result.exit_code == 0, result.output
    observed = json.loads(result.stdout)
    assert (observed["steps"], observed["mismatches"], observed["link_errors"]) == (20_000, 0, 0)
    design = load("digits")
    data = load_data(design.data)
    steps = run_of(design, data, 20_000)
    state = train(design.spec, steps.initial_state(), steps.inputs, steps.targets, steps.order, 20_000).state
    assert observed["accuracy"] == evaluate(design.spec, state.parameters, *quantise(design.spec, data.test))[0]
    print(f"\n{observed['steps_per_second']:.0f} steps per second, {observed['clock_hz'] / 1e6:.2f} M cycles per second")


def test_a_window_of_memory_that_cannot_be_mapped_is_refused(tmp_path):
    missing = tmp_path / "uio0"
    link = f"mmio:0x0@{missing}"
    with pytest.raises(PortError, match=rf"^--link = \"{re.escape(link)}\": {re.escape(str(missing))} cannot be mapped at 0x0 \("):
        train("xor", link=link, steps=1, out=tmp_path)
    with pytest.raises(PortError, match=r"^--link = \"mmio:0x10\": 0x10 is not the address of a page\. Name a multiple of 0x"):
        train("xor", link="mmio:0x10", steps=1, out=tmp_path)
