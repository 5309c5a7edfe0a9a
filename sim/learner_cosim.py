"""Co-simulation of a learner: the model runs beside the chip, and its Verilog then takes the costs that the chip gave.

The chip is asked once for each measurement, by the model. The hardware takes the same costs, so that a chip with noise can be compared:
where it sends other words than the model, the traces differ, and the chip need not be asked for what they would have cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from python_ref.fixed.learner import Chip
from python_ref.record import write_learner_reference
from python_ref.spec.learner import LearnerSpec
from python_ref.trace import LearnerRun
from sim import host
from sim.cosim import CosimResult, compared_runs, record_program
from sim.events import EventDecoder
from sim.ports import Ports
from sim.program import Program, ProgramLink, read_results
from sim.simulators import Options

__all__ = ["cosim_learner", "learner_program"]


def learner_program(run: LearnerRun, costs: list[int]) -> Program:
    """Return the program of a training run from step 0, which sends these raw cost words, and reads everything back."""
    link = ProgramLink()
    host.prepare(run.spec, link, run.parameters, run.seed)
    host.train(run.spec, link, 0, run.steps)
    read_results(run.spec, link)
    words = np.array(costs, dtype=np.int64) & np.int64((1 << run.spec.formats.cost.width) - 1)
    return link.program(words.astype(np.uint64).reshape(-1, 1), np.arange(len(costs), dtype=np.int64))


def cosim_learner(
    run: LearnerRun,
    chip: Chip,
    hardware: Path | Any,
    directory: Path,
    *,
    simulator: str = "cxxrtl",
    options: Options | None = None,
    steps_done: Callable[[int], None] | None = None,
) -> CosimResult:
    """Run the model of a learner beside a chip, then the hardware with the chip's costs, and compare every observable of every step.

    Parameters
    ----------
    run : LearnerRun
        Learner, initial parameters, and number of steps.
    chip : callable
        The outside, which the model calls once for each measurement.
    hardware : Path or Component
        The core's Verilog, or for the simulator ``amaranth`` the component itself.
    directory : Path
        Existing directory for both traces (``reference``, ``hardware``), and ``build``.
    simulator : str
        Name of the simulator, one of :data:`sim.simulators.SIMULATORS`.
    options : Options or None
        Settings of the simulation; None takes the defaults. Its stalls are those of the outside as well.
    steps_done : callable or None
        Called with the number of steps computed so far, by the model and by the hardware, whose steps follow those of the model.

    Raises
    ------
    SimulationError
        If the hardware cannot be built or run.
    ToolError
        If a tool is missing.
    """
    began, ports, spec = time.monotonic(), Ports.of(run.spec), run.spec
    _, costs = write_learner_reference(run, chip, directory / "reference", steps_done=steps_done)
    outcome, failure = record_program(
        run,
        learner_program(run, costs),
        EventDecoder(spec, ports),
        hardware,
        ports,
        directory / "hardware",
        directory / "build",
        simulator=simulator,
        options=_patient(spec, options or Options()),
        steps_done=None if steps_done is None else lambda done: steps_done(run.steps + done),
    )
    return compared_runs(run, directory, simulator, outcome, failure, began)


def _patient(spec: LearnerSpec, options: Options) -> Options:
    """Return options under which a core that waits for the outside to settle is not taken for one that is stuck."""
    return replace(options, patience=options.patience + spec.outside.settle + 16 * spec.quantities)
