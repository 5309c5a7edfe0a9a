"""How a soak compares a design: a long run of its core against its model, and then what a host may do."""

from __future__ import annotations

import random
import resource
import shutil
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from boards.parts.netlist import write_netlist
from python_ref.fixed.fast import write_trace
from python_ref.spec.bus import Bus, SampleSource
from python_ref.spec.design import DesignSpec
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.probes import values_per_step
from python_ref.trace import LearnerRun, Run
from rtl_gen.core import contract
from rtl_gen.emit import emit_verilog
from rtl_gen.learner.core import learner_core
from sim.cosim import CosimResult, compared_runs, record_hardware
from sim.engines.cxxrtl import build_cxxrtl
from sim.learner_cosim import cosim_learner
from sim.netlist import with_models
from sim.ports import Ports
from sim.run import Stalls
from sim.simulators import Options
from tests.mutate.__main__ import rehearsed
from tests.mutate.runs import run as run_life
from tests.mutate.runs import verdict
from tests.soak.designs import Limits, draw
from tests.support.bus_simulation import BusSimulation, actions_of
from tests.support.designs import random_parameters
from tests.support.learner_designs import random_chip, random_quantities
from tests.support.lockstep import Rehearsal, samples_of
from tests.support.scenarios import random_scenario

__all__ = ["SIMULATORS", "Case", "Result", "Simulator", "attempt", "soak"]

PART = "ice40-up5k"
"""Part of the netlists."""
SAMPLES = 64
"""Samples of the data set of a long run."""
LIVES = 3
"""Scenarios of a host that run on a design."""
PATIENT = Options(timeout=6 * 3600.0, silence=3600.0, compiled=True)
"""Options of a soak, which gets what a machine leaves over: seconds that a tool may take, and that a simulator may be silent."""
LEARNER_STEPS = 8_000
"""Most steps of a learner, whose model is not compiled."""
BUS = "icarus"
"""Simulator of cores behind a bus: it runs the bus models."""


@dataclass(frozen=True)
class Simulator:
    """A simulator of a soak.

    Attributes
    ----------
    engine : str
        Name of the simulator, one of :data:`sim.simulators.SIMULATORS`.
    limits : Limits
        Upper limits of the designs.
    values, cycles : int
        Most values and most clock cycles of the long run of a design.
    netlist : bool
        Whether it simulates the netlist of :data:`PART`, and not the Verilog that it was made of.
    """

    engine: str
    limits: Limits
    values: int
    cycles: int
    netlist: bool = False


SIMULATORS = {
    "cxxrtl": Simulator("cxxrtl", Limits(32, 8), 100_000_000, 20_000_000),
    "verilator": Simulator("verilator", Limits(32, 12), 40_000_000, 10_000_000),
    "netlist": Simulator("verilator", Limits(8, 3), 2_500_000, 2_000_000, netlist=True),
}
"""Simulators by name."""


@dataclass(frozen=True)
class Case:
    """One design of a soak.

    Attributes
    ----------
    simulator, kind : str
        Names of the simulator and of the kind of the design.
    seed, number : int
        Seed of the soak, and number of the design in it.
    """

    simulator: str
    kind: str
    seed: int
    number: int

    @property
    def rng(self) -> random.Random:
        """Source of everything that is random in the case."""
        return random.Random(f"soak {self.seed}, {self.simulator} {self.number}, {self.kind}")


@dataclass
class Result:
    """What came of a design.

    Attributes
    ----------
    kind, simulator : str
        Kind of the design, and the simulator in which its core ran.
    number, seed : int
        Number of the design, and seed of the soak.
    design, digest : str
        Sizes of the design, and digest of its structure.
    steps, cycles : int
        Steps and busy cycles of the long run.
    values, differences : int
        Values compared, those of the scenarios included, and how many of them differ; 1 where a core fails in another way.
    lives : list of str
        Names of the scenarios that ran.
    why : str
        The first difference; empty if there is none.
    seconds : float
        Wall-clock time in seconds.
    cpu : dict of str to float
        Processor time in seconds, children included: of ``build``, ``model``, ``simulation`` and ``lives``.
    """

    kind: str
    simulator: str
    number: int
    seed: int
    design: str = ""
    digest: str = ""
    steps: int = 0
    cycles: int = 0
    values: int = 0
    differences: int = 0
    lives: list[str] = field(default_factory=list)
    why: str = ""
    seconds: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Count the processor time of a block."""
        before = _cpu()
        yield
        self.cpu[what] = round(self.cpu.get(what, 0.0) + _cpu() - before, 2)

    def take(self, found: CosimResult) -> None:
        """Count a co-simulation."""
        self.steps, self.cycles = found.steps, found.cycles
        self.differ(found.compared, found.mismatches, "" if found.equal else str(found.failure or found.first_difference))

    def differ(self, values: int, differences: int, why: str) -> None:
        """Count compared values, of which some may differ; ``why`` says so even if no value does."""
        self.values += values
        self.differences += max(differences, bool(why))
        self.why = self.why or why


def _cpu() -> float:
    """Processor time of this process and of its children that have ended, in seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def soak(case: Case, directory: Path, values: int | None = None) -> Result:
    """Draw the design of a case and compare it with its model.

    Parameters
    ----------
    case : Case
        What to draw.
    directory : Path
        Directory to work in, which is emptied before.
    values : int or None
        Most values of the long run; None takes those of the simulator.
    """
    began, rng, simulator = time.monotonic(), case.rng, SIMULATORS[case.simulator]
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    spec = draw(rng, case.kind, simulator.limits)
    result = Result(case.kind, case.simulator, case.number, case.seed, _sizes(spec), spec.digest)
    most = simulator.values if values is None else values
    if case.kind == "bus":
        result.simulator = BUS
        _soak_bus(spec, rng, directory, result)
    elif isinstance(spec, LearnerSpec):
        _soak_learner(spec, rng, simulator, directory, most, result)
    else:
        _soak_network(spec, rng, simulator, directory, most, result)
    result.seconds = round(time.monotonic() - began, 1)
    return result


def attempt(case: Case, directory: Path, values: int | None) -> Result:
    """Soak a design; one that ends in an error of the tools or of the core counts as a difference, with the error."""
    try:
        return soak(case, directory, values)
    except Exception:
        result = Result(case.kind, case.simulator, case.number, case.seed)
        result.differ(0, 1, traceback.format_exc(limit=-4))
        return result


def _sizes(spec: LearningSpec) -> str:
    """Sizes and lanes of a design."""
    sizes = f"{spec.quantities} quantities" if isinstance(spec, LearnerSpec) else "-".join(map(str, spec.network.sizes))
    return f"{sizes}, {spec.hardware.lanes} lanes"


def _hardware(spec: LearningSpec, simulator: Simulator, directory: Path) -> Path:
    """The Verilog that is simulated."""
    text = emit_verilog(spec)
    hardware = directory / "core.v"
    hardware.write_text(text, encoding="utf-8")
    if not simulator.netlist:
        return hardware
    made = write_netlist(spec, PART, directory, text)
    models = made.models
    return with_models(made.verilog, f"{spec.module}_core", models.files, defines=models.defines, ours=models.ours)


def _steps(spec: LearningSpec, simulator: Simulator, most: int) -> int:
    """Number of steps of the long run, within the limits of values and cycles."""
    found = learner_core(spec).contract if isinstance(spec, LearnerSpec) else contract(spec)
    cycles = max(1, found.first_steps(spec, 64) // 64)
    return max(20, min(most // values_per_step(spec), simulator.cycles // cycles))


def _stalls(rng: random.Random) -> Stalls | None:
    """Random stalls of all streams, so that samples starve the core and events are held back; often none, or few."""
    share = rng.choice((0.0, 0.0, 0.02, 0.1, 0.4))
    return Stalls(rng.randrange(1, 1 << 32), share) if share else None


def _soak_network(spec: DesignSpec, rng: random.Random, simulator: Simulator, directory: Path, most: int, result: Result) -> None:
    """A long run of a network, and random lives of it where the simulator runs them."""
    with result.timed("build"):
        hardware, ports, build = _hardware(spec, simulator, directory), Ports.of(spec), directory / "build"
        if simulator.engine == "cxxrtl":
            build_cxxrtl(hardware, ports, build, timeout=PATIENT.timeout)
    inputs, targets = samples_of(rng, spec, SAMPLES)
    if spec.network.record_inputs > spec.network.n_in:  # a host sends no length that is out of range
        inputs = inputs.copy()
        inputs[:, 0] = [spec.unrolled.length_of(each) for each in inputs]
    steps = _steps(spec, simulator, most)
    order = np.array([rng.randrange(SAMPLES) for _ in range(-(-steps // spec.schedule.sample_period))])
    run = Run(spec, random_parameters(rng, spec), inputs, targets, order, steps, rng.randrange(1 << 63))
    with result.timed("model"):
        write_trace(run, directory / "reference")
    began, options = time.monotonic(), replace(PATIENT, stalls=_stalls(rng))
    with result.timed("simulation"):
        outcome, failure = record_hardware(run, hardware, ports, directory / "hardware", build, simulator=simulator.engine, options=options)
        result.take(compared_runs(run, directory, simulator.engine, outcome, failure, began))
    if simulator.engine == "cxxrtl" and not simulator.netlist and not result.differences:
        with result.timed("lives"):
            _live(spec, rng, directory, result)


def _live(spec: DesignSpec, rng: random.Random, directory: Path, result: Result) -> None:
    """Some scenarios of a host on the core that was built: loads, restarts, stops, resets, starvation, other periods."""
    for scenario in rng.sample(rehearsed(spec, rng.randrange(1 << 32)), LIVES):
        shown = run_life(directory / "build" / "model", scenario, directory / "life", seconds=PATIENT.silence)
        why = verdict(scenario, shown, None)
        values = len(shown.outcome.responses)
        for event, fields in Ports.of(spec).events.items():
            values += len(shown.events[event]) * sum(each.count for each in fields)
        result.lives.append(scenario.name)
        result.differ(values, 0, f"{scenario.name}: {why}" if why else "")


def _soak_learner(spec: LearnerSpec, rng: random.Random, simulator: Simulator, directory: Path, most: int, result: Result) -> None:
    """A long run of a learner beside a random chip."""
    with result.timed("build"):
        hardware = _hardware(spec, simulator, directory)
        if simulator.engine == "cxxrtl":
            build_cxxrtl(hardware, Ports.of(spec), directory / "build", timeout=PATIENT.timeout)
    chip = random_chip(rng, spec)
    steps = min(_steps(spec, simulator, most), LEARNER_STEPS)
    run = LearnerRun(spec, np.array(random_quantities(rng, spec)), steps, rng.randrange(1 << 63))
    with result.timed("simulation"):
        options = replace(PATIENT, stalls=_stalls(rng))
        result.take(cosim_learner(run, chip, hardware, directory, simulator=simulator.engine, options=options))


def _soak_bus(spec: DesignSpec, rng: random.Random, directory: Path, result: Result) -> None:
    """A random life of a core behind a random bus, whose models pause at random; all that is read is compared."""
    simulation = BusSimulation(spec, rng.choice(list(Bus)), SampleSource.BUS, directory / "bus", PATIENT.timeout)
    with result.timed("build"):
        simulation.build()
    rehearsal = Rehearsal(spec, random_scenario(rng, spec), rng)
    actions = actions_of(spec, rehearsal.program.ops.tolist())
    with result.timed("simulation"):
        found = simulation.run(actions, words=list(rehearsal.program.words()), pauses=rng.randrange(1 << 32))
    refused = sum(done is not True for action, done in zip(actions, found, strict=True) if action[0] == "write")
    read = [done for action, done in zip(actions, found, strict=True) if action[0] == "read"]
    refused += sum(not accepted for accepted, _ in read)
    seen = [word for _, word in read]
    result.lives.append(simulation.bus.value)
    with result.timed("lives"):
        try:
            rehearsal.follow(seen)
            why = f"{refused} accesses were refused" if refused else ""
        except AssertionError as error:
            why = (str(error).strip().splitlines() or ["the model differs"])[0]
    result.differ(len(read), refused, why)
