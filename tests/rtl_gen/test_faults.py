"""The check can fail: every planted fault is a mismatch for the ordinary comparison, which knows nothing of them."""

import random
from pathlib import Path

import numpy as np
import pytest

from python_ref.record import write_reference
from python_ref.spec.design import DesignSpec
from python_ref.trace import Run, Trace
from rtl_gen.core import core_of
from sim.compare import compare
from sim.cosim import cosim, record_hardware
from sim.ports import Ports
from sim.simulators import Options
from tests.support.designs import random_samples
from tests.support.faults import DESIGNS, FAULTS, Fault, planted
from tests.support.marks import LONG, in_turn, long_unless

STEPS, FEW_STEPS = 16, 4
"""Steps of a run, and those of a first try: most faults are seen in few."""
LATE = ("another trinomial", "what stays at its limit is called changed", "saturates one short")
"""Quick faults that few steps do not show, so that they are not tried."""


def a_run(spec: DesignSpec, steps: int = STEPS, samples: int = 6) -> Run:
    """A run whose parameters, inputs and targets are spread over their ranges."""
    rng = random.Random(1)
    inputs, targets = random_samples(rng, spec, samples)
    low, high = spec.parameter_limits
    parameters = np.array([rng.randint(low // 2, high // 2) for _ in range(spec.network.n_parameters)])
    return Run(spec, parameters, inputs, targets, np.arange(steps) % samples, steps, 4)


def quick_faults() -> list[Fault]:
    """The first fault of every third module; the ordinary suite plants these, the slow suite all others."""
    found: dict[str, Fault] = {}
    for fault in FAULTS:
        found.setdefault(fault.where.partition(":")[0], fault)
    return list(found.values())[::3]


QUICK = quick_faults()


def tries(fault: Fault) -> tuple[int, ...]:
    """The steps of the runs that are made until one shows the fault."""
    return (STEPS,) if fault.name in LATE else (FEW_STEPS, STEPS)


QUICK_RUNS = {design: max(tries(fault)[0] for fault in QUICK if fault.design == design) for design in {fault.design for fault in QUICK}}
"""For each design of a quick fault, the most steps of a first try."""
CONTROLS = ("node", "weight", "probes")
"""Designs whose run without a fault is in the ordinary suite; other tests there compare every design without one."""


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        *(pytest.param(name, steps, marks=long_unless(name in CONTROLS)) for name, steps in sorted(QUICK_RUNS.items())),
        *(pytest.param(name, STEPS, marks=LONG) for name in DESIGNS if QUICK_RUNS.get(name) != STEPS),
    ],
)
@pytest.mark.usefixtures("reference_in_process")
def test_without_a_fault_nothing_differs(name, steps, tmp_path):
    run = a_run(DESIGNS[name], steps)
    result = cosim(run, core_of(run.spec), tmp_path, simulator="amaranth", options=Options(patience=2_000))
    assert result.equal, result


def differs(run: Run, folder: Path) -> bool:
    """Whether the comparison sees a difference between the reference and the core of a run."""
    folder.mkdir()
    write_reference(run, folder / "reference")
    ports, options = Ports.of(run.spec), Options(patience=2_000)
    record_hardware(run, core_of(run.spec), ports, folder / "hardware", folder, simulator="amaranth", options=options)
    found = compare(run.spec, Trace.open(folder / "reference"), Trace.open(folder / "hardware"))
    return found.mismatches > 0


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=fault.name, marks=() if fault in QUICK else in_turn(number, 3)) for number, fault in enumerate(FAULTS)]
)
def test_a_planted_fault_is_a_mismatch(fault, tmp_path, monkeypatch):
    spec = DESIGNS[fault.design]
    planted(fault, monkeypatch.setattr)
    assert any(differs(a_run(spec, steps), tmp_path / str(steps)) for steps in tries(fault))
