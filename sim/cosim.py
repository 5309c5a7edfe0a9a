"""Co-simulation: the reference and the hardware execute the same run, each in its own process, and their traces are compared."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from python_ref.spec.design import MachineKind
from python_ref.spec.error import unknown
from python_ref.spec.probes import COUNTERS
from python_ref.spec.registers import Memory
from python_ref.trace import Header, LearnerRun, Run, Trace, TraceWriter
from rtl_gen.toolchain.child import end
from sim.compare import TraceDifference, compare
from sim.error import CoreError, SimulationError
from sim.events import EventDecoder
from sim.node_events import NodeEventDecoder, node_decoder
from sim.ports import Ports
from sim.process import child_environment
from sim.program import Program, ReplayLink, read_results, training_program
from sim.run import Outcome
from sim.series_events import SeriesEventDecoder
from sim.series_weight_events import SeriesWeightEventDecoder
from sim.simulators import Options, simulate

__all__ = ["CosimResult", "compared_runs", "cosim", "event_decoder", "record_hardware", "record_program"]

_MAX_PENDING_WORDS = 1 << 21
"""Number of 32-bit words of events that are collected before they are unpacked."""
_RUNAWAY_FACTOR = 4
"""Multiple of that number, or of the words of a step, that stays unpacked only if a core does not end its run."""


@dataclass(frozen=True)
class CosimResult:
    """Result of a co-simulation.

    Attributes
    ----------
    design, digest : str
        Name of the design, and digest of its structure.
    simulator : str
        Name of the simulator that ran the hardware.
    steps : int
        Number of training steps of the run.
    compared, mismatches : int
        Number of values compared, and number of those that differ.
    first_difference : TraceDifference or None
        The earliest difference; None if there is none.
    by_observable : dict of str to int
        Number of mismatches of each observable that has any.
    failure : str or None
        Malfunction of the core as a sentence: it is stuck, a pass is missing, or the host reads values other than those in its
        events. None if there was none.
    cycles : int
        Clock cycles in which the core was busy with the run, the flush included.
    cycles_per_step : float
        Clock cycles in which it was busy, per training step.
    seconds : float
        Wall-clock time of the whole co-simulation, in seconds.
    """

    design: str
    digest: str
    simulator: str
    steps: int
    compared: int
    mismatches: int
    first_difference: TraceDifference | None
    by_observable: dict[str, int]
    failure: str | None
    cycles: int
    cycles_per_step: float
    seconds: float

    @property
    def equal(self) -> bool:
        """Whether the hardware behaved exactly as the reference in this run."""
        return self.mismatches == 0 and self.failure is None


def event_decoder(run: Run, ports: Ports) -> EventDecoder | NodeEventDecoder:
    """Return the decoder of the events of a run's core."""
    if run.spec.machine not in _DECODERS:
        raise unknown("Machine", run.spec.machine, "sim.cosim._DECODERS")
    return _DECODERS[run.spec.machine](run, ports)


def _series_decoder(run: Run, ports: Ports) -> SeriesEventDecoder:
    return SeriesEventDecoder(run.spec, ports, run.parameters, _lengths(run))


def _series_weight_decoder(run: Run, ports: Ports) -> SeriesWeightEventDecoder:
    return SeriesWeightEventDecoder(run.spec, ports, _lengths(run))


def _lengths(run: Run) -> np.ndarray:
    """Number of frames of each sample of a run (int64), in the order in which the core takes them."""
    return np.array([run.spec.unrolled.length_of(run.inputs[sample]) for sample in run.order], dtype=np.int64)


_DECODERS: dict[MachineKind, Callable[[Run, Ports], EventDecoder | NodeEventDecoder]] = {
    MachineKind.WEIGHT: lambda run, ports: EventDecoder(run.spec, ports),
    MachineKind.NODE: lambda run, ports: node_decoder(run.spec, ports, run.parameters),
    MachineKind.SERIES: _series_decoder,
    MachineKind.SERIES_WEIGHT: _series_weight_decoder,
}
"""Decoder of the events of each machine."""


def record_hardware(
    run: Run,
    hardware: Path | Any,
    ports: Ports,
    trace: Path,
    build: Path,
    *,
    simulator: str,
    options: Options,
    first: int = 0,
    steps_done: Callable[[int], None] | None = None,
) -> tuple[Outcome, str | None]:
    """Run the hardware and write its trace from step ``first`` on; return the outcome, and the failure if there was one.

    The trace has only the signatures of the earlier steps. It ends early if the core fails.
    """
    program = training_program(run.spec, run.parameters, run.inputs, run.targets, run.order, run.steps, seed=run.seed)
    more: dict[str, Any] = {"simulator": simulator, "options": options, "first": first, "steps_done": steps_done}
    return record_program(run, program, event_decoder(run, ports), hardware, ports, trace, build, **more)


def record_program(
    run: Run | LearnerRun,
    program: Program,
    decoder: EventDecoder | NodeEventDecoder,
    hardware: Path | Any,
    ports: Ports,
    trace: Path,
    build: Path,
    *,
    simulator: str,
    options: Options,
    first: int = 0,
    steps_done: Callable[[int], None] | None = None,
) -> tuple[Outcome, str | None]:
    """Run a program of a training run on the hardware, and write its trace, as :func:`record_hardware` does.

    Parameters
    ----------
    run : Run or LearnerRun
        Run that the program carries out.
    program : Program
        Operations of the host, with :func:`sim.program.read_results` at the end, and words of the stream.
    decoder : EventDecoder or NodeEventDecoder
        Decoder of the core's events, which has taken none.
    hardware, ports, trace, build, simulator, options, first, steps_done
        As in :func:`record_hardware`.
    """
    spec = run.spec
    step_words = spec.layout.words * ports.payload_words("word")
    last: dict[str, np.ndarray] = {}
    outcome, failure = Outcome(), None
    with TraceWriter(trace, Header.of(run, f"sim.{simulator}", first=first), spec) as writer:

        def drain() -> None:
            while decoder.ready and decoder.steps < first:
                signatures = decoder.skip(first - decoder.steps)
                if spec.hardware.signature:
                    writer.skip(signatures)
            while decoder.ready and decoder.steps < run.steps:
                limit = max(1, _MAX_PENDING_WORDS // step_words)
                block = decoder.take(min(limit, run.steps - decoder.steps))
                last.update({name: values[-1] for name, values in block.items()})
                writer.extend(block)
            if steps_done is not None:
                steps_done(decoder.steps)

        def feed(event: str, rows: np.ndarray) -> None:
            decoder.feed(event, rows)
            if decoder.pending > _MAX_PENDING_WORDS:
                drain()
            if decoder.pending > _RUNAWAY_FACTOR * max(_MAX_PENDING_WORDS, step_words):
                raise CoreError(
                    f"The core goes on and on: it showed {decoder.steps} complete steps of {run.steps}, and then what they do not have"
                )

        try:
            simulate(hardware, ports, program, feed, build, outcome, simulator=simulator, options=options)
            drain()
            failure = _check_end(run, decoder, outcome, last)
        except CoreError as error:
            failure = error.reason
            try:
                drain()
            except CoreError as earlier:
                failure = earlier.reason
    return outcome, failure


def _check_end(
    run: Run | LearnerRun, decoder: EventDecoder | NodeEventDecoder, outcome: Outcome, last: dict[str, np.ndarray]
) -> str | None:
    """Describe what is wrong after a run that reached its end; None if nothing is."""
    if decoder.steps < run.steps:
        return f"The core showed {decoder.steps} complete steps of {run.steps}, and then {decoder.leftover() or 'nothing'}"
    if decoder.ready or decoder.leftover():
        return f"The core showed more events than {run.steps} steps have"
    if not last:
        return None
    spec = run.spec
    try:
        counters, memories = read_results(spec, ReplayLink(outcome.responses))
    except StopIteration:
        return f"The core answered {len(outcome.responses)} reads, and was asked more"
    shown = dict(zip(COUNTERS, last["counter"].tolist(), strict=True))
    if spec.hardware.signature:
        forward, learned = last["signature"].tolist()
        shown["signature"] = forward | learned << 32
    updated = run.steps % spec.schedule.update_period == 0
    for name, value in shown.items():
        if counters[name] != value:
            return f"The host reads {counters[name]} from register {name}, and the core showed {value} in the last step"
    for memory, values in memories.items():
        expected = last[memory.name.lower()] if not (memory is Memory.GRADIENT and updated) else np.zeros_like(values)
        wrong = np.flatnonzero((values ^ expected) & 0xFFFFFFFF)
        if len(wrong):
            where = f"{memory.name.lower()} {wrong[0]}"
            return f"The host reads raw {values[wrong[0]]} from {where}, and the core showed {expected[wrong[0]]} after the last step"
    return None


def cosim(
    run: Run,
    hardware: Path | Any,
    directory: Path,
    *,
    simulator: str = "cxxrtl",
    ports: Ports | None = None,
    options: Options | None = None,
    first: int = 0,
    fast_reference: bool = False,
    steps_done: Callable[[int], None] | None = None,
) -> CosimResult:
    """Run the reference and the hardware side by side, and compare every observable of every step.

    Parameters
    ----------
    run : Run
        Design, initial parameters, samples, and number of steps.
    hardware : Path or Component
        The core's Verilog, or for the simulator ``amaranth`` the component itself.
    directory : Path
        Existing directory for the run (``run``), both traces (``reference``, ``hardware``), and ``build``.
    simulator : str
        Name of the simulator, one of :data:`sim.simulators.SIMULATORS`.
    ports : Ports or None
        Ports of the core; None takes those of the design.
    options : Options or None
        Settings of the simulation; None takes the defaults.
    first : int
        First step to compare in full; only the running signatures of earlier steps are compared, if the core has them.
    fast_reference : bool
        Whether the reference is the compiled model instead of the one in numpy.
    steps_done : callable or None
        Called with the number of hardware steps written to the trace so far.

    Raises
    ------
    SimulationError
        If the hardware cannot be built or run, or the reference model fails.
    ToolError
        If a tool is missing.
    """
    began = time.monotonic()
    ports = ports or Ports.of(run.spec)
    run.save(directory / "run")
    reference = _Reference(directory, first=first, fast=fast_reference)
    try:
        outcome, failure = record_hardware(
            run,
            hardware,
            ports,
            directory / "hardware",
            directory / "build",
            simulator=simulator,
            options=options or Options(),
            first=first,
            steps_done=steps_done,
        )
        reference.wait()
    finally:
        reference.close()
    return compared_runs(run, directory, simulator, outcome, failure, began)


def compared_runs(
    run: Run | LearnerRun, directory: Path, simulator: str, outcome: Outcome, failure: str | None, began: float
) -> CosimResult:
    """Compare the traces ``reference`` and ``hardware`` of a run in a directory, and return the result.

    Parameters
    ----------
    run : Run or LearnerRun
        The run that both computed.
    directory : Path
        Directory with both traces.
    simulator : str
        Name of the simulator that ran the hardware.
    outcome, failure : Outcome, str or None
        What came of the simulation, and why it ended early; None if it did not.
    began : float
        Time at which the co-simulation began, of :func:`time.monotonic`.
    """
    found = compare(run.spec, Trace.open(directory / "reference"), Trace.open(directory / "hardware"))
    return CosimResult(
        run.spec.name,
        run.spec.digest,
        simulator,
        run.steps,
        found.compared,
        found.mismatches,
        found.first,
        found.by_observable,
        failure,
        outcome.busy_cycles,
        outcome.busy_cycles / run.steps if run.steps else 0.0,
        time.monotonic() - began,
    )


class _Reference:
    """The reference model, running in a process of its own."""

    def __init__(self, directory: Path, *, first: int, fast: bool) -> None:
        self._log = directory / "reference.log"
        command = [sys.executable, "-m", "python_ref.record", "run", "reference", "--first", str(first), *(["--fast"] if fast else [])]
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until the reference's trace is complete."""
        if self._process.wait() != 0:
            raise SimulationError.of_log("The reference model failed", self._log)

    def close(self) -> None:
        """End the process if it is still running."""
        end(self._process)
