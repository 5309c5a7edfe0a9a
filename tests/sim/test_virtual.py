"""A board made of software is a port that answers, whoever comes and goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import serial

from mgd_hw.design.reader import load
from python_ref.spec.frames import Answer, Decoder, Frame, Kind, Reply, read_payload, stuffed, write_payload
from python_ref.spec.registers import MAGIC, Command, register_map
from sim.error import SimulationError, VerilogError
from sim.virtual import Pins, VirtualBoard
from tests.support.virtual_board import DIVISOR, build_xor


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return build_xor(tmp_path_factory)


def ask(port, frame, patience=20.0):
    """Send a frame, return the next reply; to a reset the next that is one."""
    decoder, until = Decoder(), time.monotonic() + patience
    port.write(stuffed([frame.content()]))
    while time.monotonic() < until:
        for content in decoder.feed(port.read(max(1, port.in_waiting))):
            if frame.kind is not Kind.RESET or Reply.of(content).answer is Answer.RESET:
                return Reply.of(content)
    raise AssertionError("the board does not answer")


def test_it_answers_through_its_own_serial_line(program):
    with VirtualBoard(program, DIVISOR) as board, serial.Serial(board.port, 3_000_000, timeout=0.05, exclusive=True) as port:
        assert ask(port, Frame(Kind.RESET, 0)) == Reply(Answer.RESET, 0)
        assert ask(port, Frame(Kind.READ, 0, read_payload([0]))) == Reply(Answer.DONE, 0, (MAGIC,))
        port.write(b"\x00\x55garbage~")
        assert ask(port, Frame(Kind.READ, 1, read_payload([0]))).answer is Answer.EXPECT
        cycles, seconds = board.close()
    assert cycles > 0 and seconds > 0


def sleeps(board, patience=20.0):
    """Whether it comes to rest: it waits for nothing but the line and its end then."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if Path(f"/proc/{board._process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S":
            return True
        time.sleep(0.001)
    return False


def test_it_sleeps_when_nothing_happens(program):
    with VirtualBoard(program, DIVISOR) as board, serial.Serial(board.port, 3_000_000, timeout=0.05) as port:
        ask(port, Frame(Kind.RESET, 0))
        assert sleeps(board)
        assert ask(port, Frame(Kind.READ, 0, read_payload([0]))) == Reply(Answer.DONE, 0, (MAGIC,))


def test_it_sleeps_when_a_driver_dies_and_a_run_waits_for_samples(program):
    """The run is under way all the time, and goes on when samples come: a driver that finds it so sees the same core."""
    registers = register_map(load("xor").spec)
    count, command, status = (registers[name].address for name in ("count", "command", "status"))
    with VirtualBoard(program, DIVISOR, patience=0.1) as board:
        with serial.Serial(board.port, 3_000_000, timeout=0.05) as port:
            ask(port, Frame(Kind.RESET, 0))
            frame = Frame(Kind.WRITE, 0, write_payload([(count, 10), (command, Command.TRAIN)]))
            assert ask(port, frame) == Reply(Answer.DONE, 0)
            assert ask(port, Frame(Kind.READ, 1, read_payload([status]))).words[0] & 1, "it trains"
        assert sleeps(board)
        with serial.Serial(board.port, 3_000_000, timeout=0.05) as port:
            assert ask(port, Frame(Kind.READ, 2, read_payload([status]))).words[0] & 1, "and does so still"


def test_programs_may_be_killed_and_come_again(program):
    with VirtualBoard(program, DIVISOR) as board:
        for _ in range(2):
            code = f"import serial, os, signal\nserial.Serial({board.port!r}).write(b'half a fr')\nos.kill(os.getpid(), signal.SIGKILL)"
            assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
            with serial.Serial(board.port, 3_000_000, timeout=0.05) as port:
                assert ask(port, Frame(Kind.RESET, 0)) == Reply(Answer.RESET, 0)
        board.check()


def test_it_ends_with_whoever_started_it(program):
    board = VirtualBoard(program, DIVISOR)
    assert board.alive
    board._process.stdin.close()
    assert board._process.wait(20) == 0
    with pytest.raises(SimulationError, match=r"^The virtual board ended with exit code 0: cycles \d+ seconds "):
        board.check()
    board.close()
    board = VirtualBoard(program, DIVISOR)
    with serial.Serial(board.port, 3_000_000, timeout=0.05) as port:
        ask(port, Frame(Kind.RESET, 0))
    os.kill(board._process.pid, signal.SIGTERM)
    assert board._process.wait(20) == 0
    board.close()


def test_a_port_that_the_design_has_not_is_told(program):
    board = VirtualBoard(program, DIVISOR, Pins(rx="uart_rx"))
    board._process.wait(20)
    with pytest.raises(VerilogError, match=r"^The virtual board ended with exit code 2: the module has no input uart_rx of one bit\. "):
        board.check()
    assert board.close() == (0, 0.0)
