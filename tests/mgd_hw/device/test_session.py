"""A training over a link ends in the same state as the model's, despite noise, lost links and interrupts."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from boards.link import LinkLost, PortError, SerialLink, Statistics, open_port
from mgd_hw.data import load as load_data
from mgd_hw.design.reader import load
from mgd_hw.design.run import run_of
from mgd_hw.device.checkpoint import Checkpoint, RunDigest
from mgd_hw.device.session import Model, Session
from python_ref.fixed.machine import initial_state, step
from python_ref.spec.error import Refusal
from python_ref.spec.probes import COUNTERS
from sim.virtual import VirtualBoard
from tests.support.fake_device import Noise
from tests.support.marks import LONG
from tests.support.virtual_board import DIVISOR, build, build_xor, node_design

ROOT = Path(__file__).parents[3]
STEPS = 400


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return build_xor(tmp_path_factory)


@pytest.fixture
def board(program):
    with VirtualBoard(program, DIVISOR) as running:
        yield running


@pytest.fixture(scope="module")
def run():
    design = load("xor")
    return run_of(design, load_data(design.data), STEPS)


@pytest.fixture(scope="module")
def learned(run):
    """Final state of the reference model after the run."""
    state = run.initial_state()
    for number in range(run.steps):
        state, _ = step(run.spec, state, run.sample(number))
    return state


class Wire:
    """Port whose traffic passes through noise, and that fails as if unplugged once ``pulled`` returns true."""

    def __init__(self, port, noise, pulled=lambda: False):
        self._port, self._noise, self._pulled = port, noise, pulled

    def __getattr__(self, name):
        return getattr(self._port, name)

    @property
    def timeout(self):
        return self._port.timeout

    @timeout.setter
    def timeout(self, seconds):
        self._port.timeout = seconds

    def read(self, size=1):
        return self._noise.through(self._port.read(size))

    def write(self, data):
        if self._pulled():
            raise OSError(5, "Input/output error")
        self._port.write(self._noise.through(data))


def opened(board, run, statistics=None, wire=lambda port: port):
    """Return a function that opens the link of a session."""
    return lambda: SerialLink(wire(open_port(f"serial:{board.port}")), run.spec, statistics=statistics)


def test_a_core_learns_what_the_model_learns(board, run, learned, tmp_path):
    statistics = Statistics()
    session = Session(run, opened(board, run, statistics), tmp_path / "checkpoint.npz", model=Model(run))
    session.train()
    assert (session.done, session.mismatches, session.difference, session.interrupted) == (STEPS, 0, "", False)
    np.testing.assert_array_equal(session.final["parameter"], learned.parameters)
    assert session.totals()["changed"] == learned.counters[4]
    assert session.verified > run.spec.network.n_parameters
    kept = Checkpoint.read(tmp_path / "checkpoint.npz", RunDigest(run))
    assert kept.step == STEPS and kept.counters == session.totals()
    np.testing.assert_array_equal(kept.memories["parameter"], learned.parameters)


def test_noise_is_never_trained_on(board, run, learned, tmp_path):
    statistics = Statistics()
    noise = Noise(0.0008, 3, range(600, 610))
    connect = opened(board, run, statistics, lambda port: Wire(port, noise))
    session = Session(run, connect, tmp_path / "checkpoint.npz", model=Model(run))
    session.train()
    assert session.done == STEPS and not session.mismatches, session.difference
    np.testing.assert_array_equal(session.final["parameter"], learned.parameters)
    assert statistics.errors > 0 and statistics.repeated > 0


def test_a_link_that_comes_back_goes_on(board, run, learned, tmp_path):
    written, said = [0], []

    def pulled():
        written[0] += 1
        return written[0] in (25, 60)

    class Progress:
        def status(self, text):
            said.append(text)

        def update(self, *_):
            pass

    connect = opened(board, run, wire=lambda port: Wire(port, Noise(), pulled))
    session = Session(run, connect, tmp_path / "checkpoint.npz", model=Model(run), progress=Progress(), block_steps=16)
    session.train()
    assert session.outages == 2 and len(said) == 2
    assert said[0] == "The port is gone (Input/output error). Training resumes from step 0 when the link is open again."
    assert session.done == STEPS and not session.mismatches
    np.testing.assert_array_equal(session.final["parameter"], learned.parameters)


def test_a_link_that_stays_away_is_told(board, run, tmp_path):
    there = [True]

    def connect():
        if not there[0]:
            raise LinkLost("Nothing has answered for 5 s", "Plug it in.")
        return opened(board, run, wire=lambda port: Wire(port, Noise(), lambda: not there[0]))()

    def stopping():
        there[0] = False
        return False

    session = Session(run, connect, tmp_path / "checkpoint.npz", stopping=stopping, reconnect=0.1)
    with pytest.raises(
        LinkLost, match=r"^The link could not be opened again within 0\.1 s \(Nothing has answered for 5 s\)\. Plug it in\.$"
    ):
        session.train()


def test_an_interrupt_keeps_what_was_trained(board, run, learned, tmp_path):
    path, asked = tmp_path / "checkpoint.npz", []
    session = Session(run, opened(board, run), path, stopping=lambda: len(asked) > 1 or bool(asked.append(1)), block_steps=16)
    session.train()
    assert session.interrupted and 0 < session.done < STEPS
    assert Checkpoint.read(path, RunDigest(run)).step == session.done
    going_on = Session(run, opened(board, run), path, begun=Checkpoint.read(path, RunDigest(run)), model=Model(run))
    assert going_on.resumed_from == session.done
    going_on.train()
    assert going_on.done == STEPS and not going_on.mismatches, going_on.difference
    np.testing.assert_array_equal(going_on.final["parameter"], learned.parameters)
    assert going_on.totals()["writes"] == learned.counters[3]


@pytest.mark.parametrize("late", [False, True], ids=["at once", "while the link is waited for"])
def test_a_link_that_dies_with_an_interrupt_leaves_the_last_checkpoint(board, run, tmp_path, monkeypatch, late):
    """Steps, parameters and memories are those of the checkpoint, because nothing later can be read from the core."""
    monkeypatch.setattr("mgd_hw.device.session.MARK_SECONDS", 0.0)
    path, pulled, asked = tmp_path / "checkpoint.npz", [], []

    def connect():
        if pulled:
            asked.append("while waiting")
            raise PortError("there is no port", "Plug the board in.")
        return opened(board, run, wire=lambda port: Wire(port, Noise(), lambda: bool(pulled)))()

    def stopping():
        if session.done > session.mark.step > 0:
            pulled.append("the plug")
        return bool(asked if late else pulled)

    session = Session(run, connect, path, stopping=stopping, block_steps=16)
    session.train()
    kept = Checkpoint.read(path, RunDigest(run))
    assert session.interrupted and session.done == kept.step > 0
    assert session.final.keys() == kept.memories.keys()
    for name, values in kept.memories.items():
        np.testing.assert_array_equal(session.final[name], values)
    assert bool(asked) == late


def test_a_checkpoint_is_of_its_run(board, run, tmp_path):
    path = tmp_path / "checkpoint.npz"
    short = dataclasses.replace(run, steps=40)
    Session(short, opened(board, short), path).train()
    longer = Checkpoint.read(path, RunDigest(run))
    assert longer.step == 40, "a longer run with the same beginning can use the checkpoint"
    for other, reason in (
        (dataclasses.replace(run, seed=5), "it belongs to another run: "),
        (dataclasses.replace(run, parameters=run.parameters + 1), "it belongs to another run: "),
        (dataclasses.replace(run, steps=30), "it was written at step 40, and the run ends at 30"),
        (dataclasses.replace(run, steps=30, seed=5), "it belongs to another run: "),
    ):
        with pytest.raises(Refusal, match=reason):
            Checkpoint.read(path, RunDigest(other))
    with pytest.raises(Refusal, match="there is no checkpoint to resume from"):
        Checkpoint.read(tmp_path / "none.npz", RunDigest(run))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(Refusal, match="it is not a checkpoint"):
        Checkpoint.read(path, RunDigest(run))


def test_a_core_that_differs_is_found(board, run, tmp_path):
    other = dataclasses.replace(run, parameters=run.parameters + (np.arange(len(run.parameters)) == 3))
    session = Session(run, opened(board, run), tmp_path / "checkpoint.npz", model=Model(other))
    session.train()
    assert session.mismatches > 0 and session.done < STEPS
    assert session.difference.startswith("in steps 0 to 15, signature, ")
    assert not (tmp_path / "checkpoint.npz").exists(), "no checkpoint is written after a mismatch"


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on(board, run, learned, tmp_path):
    program = [sys.executable, "-m", "mgd_hw", "train", "xor", "--link", f"serial:{board.port}", "-o", str(tmp_path), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    first = subprocess.run([*program, "--steps", "100"], env=environment, capture_output=True, check=True)
    assert b'"steps": 100' in first.stdout
    driver = subprocess.Popen(
        [*program, "--steps", str(10**6), "--resume"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert driver.stderr is not None
    assert b"Training xor" in driver.stderr.readline()
    time.sleep(0.2)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert not (tmp_path / "train.json.partial").exists()
    again = subprocess.run([*program, "--steps", str(STEPS), "--resume", "--verify"], env=environment, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr.decode()
    kept = Checkpoint.read(tmp_path / "checkpoint.npz", RunDigest(run))
    assert kept.step == STEPS
    np.testing.assert_array_equal(kept.memories["parameter"], learned.parameters)
    assert initial_state(run.spec, kept.memories["parameter"]).steps == 0


# -- Node perturbation ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def node_run():
    design = node_design()
    return run_of(design, load_data(design.data), 130)


@pytest.fixture(scope="module")
def node_learned(node_run):
    """States of the reference model before each step of the run, and after the last one."""
    states = [node_run.initial_state()]
    for number in range(node_run.steps):
        states.append(step(node_run.spec, states[-1], node_run.sample(number))[0])
    return states


@pytest.fixture
def node_board(tmp_path_factory):
    with VirtualBoard(build(tmp_path_factory, node_design()), DIVISOR) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("block_steps", [pytest.param(1, marks=LONG), pytest.param(3, marks=LONG), 7, 40])
def test_blocks_may_end_within_a_presentation(node_board, node_run, node_learned, tmp_path, block_steps):
    """Presentations are steps 0-3, 4-5, 6-7 and 8-11 of 12, and the run ends within one: 130 is 10 beyond a multiple of 12."""
    path = tmp_path / "checkpoint.npz"
    model = Model(node_run)
    session = Session(node_run, opened(node_board, node_run), path, model=model, block_steps=block_steps)
    ends, block = [], session._block

    def watched(link, count):
        found = block(link, count)
        state = node_learned[session.done]
        for place, name in enumerate(COUNTERS):
            assert found[name] == state.counters[place], (session.done, name)
        assert (found["signature"] & 0xFFFFFFFF, found["signature"] >> 32) == state.signature, session.done
        ends.append(session.done)
        return found

    session._block = watched
    session.train()
    assert ends[-1] == 130 and (block_steps > 3) == all(node_run.spec.schedule.begins(end) for end in ends[:-1])
    np.testing.assert_array_equal(session.final["parameter"], node_learned[-1].parameters)
    np.testing.assert_array_equal(session.final["gradient"], node_learned[-1].gradient)
    assert (session.mismatches, session.difference) == (0, "") and session.verified > 2 * node_run.spec.network.n_parameters
    model.close()
    kept = Checkpoint.read(path, RunDigest(node_run))
    assert kept.step == 120, "no checkpoint is possible after 130 steps, where a presentation and the sum of G are open"
    np.testing.assert_array_equal(kept.memories["parameter"], node_learned[120].parameters)


@pytest.mark.slow
def test_a_run_with_presentations_is_resumed_where_none_is_open(node_board, node_run, node_learned, tmp_path, monkeypatch):
    monkeypatch.setattr("mgd_hw.device.session.MARK_SECONDS", 0.0)
    path, marks = tmp_path / "checkpoint.npz", []
    written = Session._write_checkpoint

    def watched(self, memories):
        written(self, memories)
        marks.append(self.mark.step)

    monkeypatch.setattr(Session, "_write_checkpoint", watched)
    session = Session(node_run, opened(node_board, node_run), path, block_steps=7, stopping=lambda: session.done > 40)
    session.train()
    kept = Checkpoint.read(path, RunDigest(node_run))
    assert session.interrupted and 0 < kept.step <= session.done and all(mark % 12 == 0 for mark in marks)
    model = Model(node_run)
    going_on = Session(node_run, opened(node_board, node_run), path, begun=kept, model=model, block_steps=9)
    going_on.train()
    model.close()
    assert not going_on.mismatches, going_on.difference
    assert (going_on.resumed_from, going_on.done) == (kept.step, 130)
    np.testing.assert_array_equal(going_on.final["parameter"], node_learned[-1].parameters)
    np.testing.assert_array_equal(going_on.final["gradient"], node_learned[-1].gradient)
    assert [going_on.totals()[name] for name in COUNTERS] == node_learned[-1].counters.tolist()
