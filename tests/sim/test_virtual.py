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

from python_ref.spec.frames import Answer, Decoder, Frame, Kind, Reply, read_payload, stuffed
from python_ref.spec.registers import MAGIC
from sim.error import SimulationError
from sim.virtual import Pins, VirtualBoard
from tests.virtual import DIVISOR, build_xor


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


def test_it_sleeps_when_nothing_happens(program):
    with VirtualBoard(program, DIVISOR) as board, serial.Serial(board.port, 3_000_000, timeout=0.05) as port:
        ask(port, Frame(Kind.RESET, 0))
        time.sleep(0.5)
        before = cpu_seconds(board)
        time.sleep(0.5)
        assert cpu_seconds(board) == before
        assert ask(port, Frame(Kind.READ, 0, read_payload([0]))) == Reply(Answer.DONE, 0, (MAGIC,))


def cpu_seconds(board):
    fields = Path(f"/proc/{board._process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


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
    with pytest.raises(SimulationError, match=r"^The virtual board ended with exit code 2: the module has no input uart_rx of one bit$"):
        board.check()
    assert board.close() == (0, 0.0)
