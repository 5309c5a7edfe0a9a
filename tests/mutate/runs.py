"""Run scenarios on a compiled core that has mutants, and tell whether the comparison with the model sees a difference."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sim.engines.frames import OutputReceiver
from sim.error import CoreError
from sim.run import Outcome, Stalls
from tests.mutate.netlist import SELECT
from tests.support.learner_host import LearnerRehearsal
from tests.support.lockstep import Rehearsal

__all__ = ["Rehearsed", "Shown", "run", "verdict"]

SECONDS = 120.0
"""Seconds after which a run is ended, if nothing else is said: a change has made a loop of gates."""
NOT_RUN = 2
"""Exit code of a simulator that cannot run the program."""
LONGER = 3
"""A run is ended when it has this many times the cycles of the core as it is, since a change has made it endless."""


@dataclass(frozen=True)
class Rehearsed:
    """A scenario that is ready to run.

    Attributes
    ----------
    name : str
        Name of the scenario.
    rehearsal : Rehearsal or LearnerRehearsal
        Its program, and the comparison with the model.
    stalls : Stalls or None
        Random stalls of all streams; without them, the number of cycles is compared as well.
    patience : int
        Cycles without progress after which a core is stuck.
    """

    name: str
    rehearsal: Rehearsal | LearnerRehearsal
    stalls: Stalls | None
    patience: int = 5_000


@dataclass
class Shown:
    """What a core showed in a run.

    Attributes
    ----------
    output : bytes
        Output of the simulator.
    outcome : Outcome
        Cycles and responses.
    events : dict of str to array of uint32, shape (events, words)
        Payloads of the events.
    failure : str
        Why the run ended early; empty if it did not.
    """

    output: bytes
    outcome: Outcome = field(default_factory=Outcome)
    events: dict[str, np.ndarray] = field(default_factory=dict)
    failure: str = ""


def run(
    model: Path,
    scenario: Rehearsed,
    directory: Path,
    number: int | None = None,
    unchanged: Shown | None = None,
    seconds: float = SECONDS,
) -> Shown:
    """Run a scenario on a compiled core.

    Parameters
    ----------
    model : Path
        Program that simulates the core.
    scenario : Rehearsed
        What runs.
    directory : Path
        Directory for the files of the run.
    number : int or None
        Number of the mutant, or 0 for the core as it is; None if the model has no mutants.
    unchanged : Shown or None
        What the core as it is shows; a run that takes many more cycles is ended.
    seconds : float
        Seconds after which the run is ended.
    """
    ports, program, presets = scenario.rehearsal.ports, scenario.rehearsal.program, scenario.rehearsal.presets
    directory.mkdir(parents=True, exist_ok=True)
    program.save(directory / "program.bin")
    lines = [f"in {name} {width}" for name, width in ports.inputs.items()] + [
        f"out {name} {width}" for name, width in ports.outputs.items()
    ]
    lines += [f"send {ports.stream} 0", *([] if number is None else [f"set {SELECT} {number}"]), f"preset {presets[number is not None]}"]
    (directory / "ports.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    stalls = scenario.stalls or Stalls(1, 0)
    command = [str(model.resolve()), "program.bin", "ports.txt", str(scenario.patience), str(stalls.seed), str(stalls.share)]
    rows: dict[str, list[np.ndarray]] = {event: [np.empty((0, ports.payload_words(event)), dtype=np.uint32)] for event in ports.kinds}

    def forget() -> None:
        for blocks in rows.values():
            del blocks[1:]

    receiver = OutputReceiver(ports, program, lambda event, new: rows[event].append(new), scenario.patience, reset=forget)
    most = LONGER * unchanged.outcome.cycles + 2 * scenario.patience if unchanged is not None else 1 << 62
    with (directory / "errors.txt").open("wb") as errors:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        output, failure = _received(process, receiver, most, seconds)
    if process.returncode == NOT_RUN:
        raise AssertionError((directory / "errors.txt").read_text(encoding="utf-8"))
    if not failure and not receiver.done:
        failure = f"the simulator ended with exit code {process.returncode}"
    return Shown(output, receiver.outcome, {event: np.concatenate(blocks) for event, blocks in rows.items()}, failure)


def _received(process: subprocess.Popen, receiver: OutputReceiver, most: int, seconds: float) -> tuple[bytes, str]:
    """Output of a simulator, and why it is ended before its program is: a change can make a loop of gates, or a run without end."""
    output, failure = bytearray(), ""
    limit = threading.Timer(seconds, process.kill)
    limit.start()
    assert process.stdout is not None
    try:
        with process.stdout as pipe:
            while not failure and (block := pipe.read1(1 << 16)):
                output += block
                receiver.receive(block)
                if receiver.outcome.cycles > most:
                    failure = f"the run has not ended after {receiver.outcome.cycles} cycles"
    except CoreError as error:
        failure = error.reason
    finally:
        limit.cancel()
        if failure:
            process.kill()
        process.wait()
    return bytes(output), failure


def verdict(scenario: Rehearsed, shown: Shown, unchanged: Shown | None) -> str | None:
    """Tell how a run of a mutant differs from that of the core as it is, and whether the check of the scenario sees it.

    Without ``unchanged``, ``shown`` is checked, whatever the core shows without a change.

    Returns
    -------
    str or None
        Why the check fails, as a phrase; an empty string if the output differs and the check does not fail; None if the output is the same.
    """
    if unchanged is not None and shown.output == unchanged.output:
        return None
    if shown.failure:
        return shown.failure
    try:
        scenario.rehearsal.judge(shown.events, shown.outcome)
    except (AssertionError, StopIteration) as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    if unchanged is not None and scenario.stalls is None and shown.outcome.busy_cycles != unchanged.outcome.busy_cycles:
        return f"{shown.outcome.busy_cycles} busy cycles, not {unchanged.outcome.busy_cycles}"
    return ""
