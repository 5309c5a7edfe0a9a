"""Measure what a co-simulation does before its first step, and for how long: ``python -m sim.first_step [LAYERS …]``.

The host's load of all parameters is part of it. Samples are synthetic, as in :mod:`sim.benchmark`. The ratio to a core of six lanes,
measured in the same run, holds whatever else the machine does; seconds of the wall clock are those of an idle machine on an idle one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from python_ref.spec.design import DesignSpec, Hardware
from python_ref.spec.network import Initialization, Network, Scheme
from sim.benchmark import LARGE, SMALL, samples_of
from sim.engines.cxxrtl import build_cxxrtl, run_cxxrtl
from sim.ports import Ports
from sim.program import training_program

__all__ = ["FirstStep", "measure", "wide"]

LAYERS = ("784-256-10", "784-192-10", "64-256")
"""Networks that are measured unless others are named; the lanes of each are as many as the neurons of its largest layer."""
BESIDE = "64-32-10, node"
"""The design of :data:`sim.benchmark.SMALL` to which the ratios refer."""


@dataclass
class FirstStep:
    """Times of what happens before and in the first step.

    Attributes
    ----------
    design : str
        Sizes of the network's layers, such as 784-256-10.
    lanes : int
        Number of lanes in the core's array, at most 256.
    processor, wall : dict of str to float
        Seconds of processor time, of all processes together, and of the wall clock, for each part: "generate", "simulator" (Yosys and
        the C++ compiler) and "load".
    cycles : int
        Simulated cycles of the load and the step.
    """

    design: str
    lanes: int
    processor: dict[str, float] = field(default_factory=dict)
    wall: dict[str, float] = field(default_factory=dict)
    cycles: int = 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure the block as the part of that name."""
        began, spent = time.monotonic(), _processor_time()
        yield
        self.processor[name], self.wall[name] = _processor_time() - spent, time.monotonic() - began


def _processor_time() -> float:
    """Processor time of this process and of its finished children, in seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def wide(layers: Sequence[int]) -> DesignSpec:
    """Return a design of node perturbation with a lane for each neuron of its largest layer."""
    return replace(
        LARGE,
        name="wide",
        network=Network(tuple(layers), initial=Initialization(Scheme.HE)),
        hardware=Hardware(max(layers[1:])),
    )


def measure(spec: DesignSpec) -> FirstStep:
    """Generate a design's core, build its simulator, load it through its host port as a co-simulation does, and run one step."""
    from rtl_gen.emit import emit_verilog

    found, ports = FirstStep("-".join(map(str, spec.network.sizes)), spec.hardware.lanes), Ports.of(spec)
    inputs, targets, start = samples_of(spec)
    with tempfile.TemporaryDirectory(prefix="mgd-hw-") as name:
        verilog = Path(name, "design.v")
        with found.part("generate"):
            verilog.write_text(emit_verilog(spec), encoding="utf-8")
        with found.part("simulator"):
            model = build_cxxrtl(verilog, ports, Path(name, "build"))
        with found.part("load"):
            program = training_program(spec, start, inputs, targets, np.zeros(1, dtype=np.int64), 1, read_back=False)
            found.cycles = run_cxxrtl(model, ports, program, lambda *_: None).cycles
    return found


def _line(*cells: str) -> str:
    return f"{cells[0]:12} {cells[1]:>5} " + " ".join(f"{cell:>10}" for cell in cells[2:])


def _shown(found: FirstStep, beside: FirstStep) -> str:
    parts = [f"{found.processor[name]:.1f} s" for name in ("generate", "simulator", "load")]
    total, ratio = sum(found.processor.values()), sum(found.processor.values()) / sum(beside.processor.values())
    last = (f"{found.cycles:,}", f"{total:.1f} s", f"{ratio:.2f} ×", f"{sum(found.wall.values()):.0f} s")
    return _line(found.design, str(found.lanes), *parts, *last)


def main(arguments: list[str] | None = None) -> int:
    """Measure the networks that are named; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sim.first_step", description="Measure what precedes a co-simulation's first step.")
    parser.add_argument("layers", nargs="*", default=LAYERS, help=f"sizes of a network's layers; {' '.join(LAYERS)} by default")
    options = parser.parse_args(arguments)
    networks = []
    for text in options.layers:
        sizes = text.split("-")
        if len(sizes) < 2 or not all(size.isdecimal() and int(size) for size in sizes):
            parser.error(f"{text} must be the sizes of two or more layers, such as 784-256-10")
        networks.append([int(size) for size in sizes])
    print(_line("network", "lanes", "generate", "simulator", "load", "cycles", "together", "ratio", "wall"), flush=True)
    beside = measure(SMALL[BESIDE])
    print(_shown(beside, beside), flush=True)
    for layers in networks:
        print(_shown(measure(wide(layers)), beside), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
