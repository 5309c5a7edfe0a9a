"""Power-up: the reset alone brings a core to a defined state, whatever its registers and memories hold before."""

import random
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from python_ref.spec.design import DesignSpec
from python_ref.spec.layers import Sparse
from python_ref.trace import LearnerRun
from rtl_gen.emit import emit_verilog
from sim.cosim import CosimResult
from sim.error import CoreError
from sim.learner_cosim import cosim_learner
from sim.ports import Ports
from sim.run import Stalls
from sim.simulators import Options, simulate
from tests.support.faults import DESIGNS, Fault, planted
from tests.support.learner_designs import random_chip, random_learner, random_quantities
from tests.support.lockstep import Lockstep, Rehearsal, fields_of
from tests.support.node_designs import SPARSE_SHAPES, single_port
from tests.support.power_up import PoweredUp, at_random, undefined, undefined_after
from tests.support.series_shapes import SERIES_SHAPES
from tests.support.stochastic_designs import STOCHASTIC_SHAPES

RESET = 32
"""Cycles of the reset, as docs/design/host.md asks for where power-up values are unknown."""
STEPS = 24

SPECS: dict[str, DesignSpec] = {
    "weight": DESIGNS["accumulating"],
    "weight, nine lanes": DESIGNS["many_wide"],
    "node": DESIGNS["probes"],
    "incremental": DESIGNS["several_hidden"],
    "momentum": DESIGNS["momentum"],
    "adam": DESIGNS["adam"],
    "single port": single_port(DESIGNS["fused_probes"]),
    "sparse": SPARSE_SHAPES["dense-between"],
    "stochastic": STOCHASTIC_SHAPES["deep"],
    "leaky": SERIES_SHAPES["leaky"],
    "spiking": SERIES_SHAPES["two-lif"],
}


def scenario(lockstep: Lockstep) -> None:
    """A host that sets the core up, trains, judges and trains on."""
    lockstep.prepare(seed=5)
    lockstep.train(STEPS)
    lockstep.infer(2)
    lockstep.train(STEPS // 2)
    lockstep.check_registers()


def compare(spec: DesignSpec, changed: PoweredUp, directory, simulator: str, *, reset_cycles: int = RESET) -> None:
    """Run the scenario on the changed Verilog; fail where the core differs from the model."""
    rehearsal, ports = Rehearsal(spec, scenario, random.Random(f"power up {spec.name}")), Ports.of(spec)
    rows: dict[str, list[np.ndarray]] = {event: [np.empty((0, ports.payload_words(event)), dtype=np.uint32)] for event in ports.kinds}
    verilog = directory / "design.v"
    verilog.write_text(changed.verilog, encoding="utf-8")
    options = Options(stalls=Stalls(3, 0.2), patience=5_000, reset_cycles=reset_cycles)
    found = simulate(
        verilog,
        ports,
        rehearsal.program,
        lambda event, new: rows[event].append(new),
        directory / "build",
        simulator=simulator,
        options=options,
    )
    rehearsal.compare(fields_of(ports, {event: np.concatenate(blocks) for event, blocks in rows.items()}), found)


def without_values(spec: DesignSpec) -> PoweredUp:
    """Return the Verilog of a design, without initial values."""
    words = random.Random(1) if spec.hardware.single_port or any(isinstance(each.kind, Sparse) for each in spec.network.layers) else None
    return undefined(emit_verilog(spec), incremental=spec.incremental, words=words)


def with_values(spec: DesignSpec, seed: int) -> PoweredUp:
    """Return the Verilog of a design, with random initial values."""
    return at_random(emit_verilog(spec), random.Random(seed), incremental=spec.incremental)


def learner(verilog, directory, simulator: str) -> CosimResult:
    """Co-simulate a learner, whose Verilog ``verilog`` changes."""
    rng = random.Random(7)
    spec = random_learner(rng, most=5)
    spec = replace(spec, outside=replace(spec.outside, timeout_cycles=10_000))
    run, chip = LearnerRun(spec, np.array(random_quantities(rng, spec)), STEPS, 3), random_chip(rng, spec)
    file = directory / "design.v"
    file.write_text(verilog(emit_verilog(spec)).verilog, encoding="utf-8")
    return cosim_learner(run, chip, file, directory, simulator=simulator, options=Options(stalls=Stalls(3, 0.2), reset_cycles=RESET))


SHORT = ("weight", "incremental", "spiking")
each_kind = pytest.mark.parametrize("kind", [pytest.param(kind, marks=() if kind in SHORT else pytest.mark.long) for kind in SPECS])
kinds = pytest.mark.parametrize("kind", [pytest.param(kind, marks=() if kind == "node" else pytest.mark.slow) for kind in SPECS])


@kinds
def test_the_reset_defines_all_that_it_can(kind, tmp_path):
    """Twice the cycles of the reset define nothing more; what stays undefined is data, which no output shows before it is valid."""
    spec, ports = SPECS[kind], Ports.of(SPECS[kind])
    verilog = without_values(spec)
    assert verilog.registers > 100 and verilog.memories > 3
    left = undefined_after(RESET, verilog.verilog, ports, tmp_path)
    assert left == undefined_after(2 * RESET, verilog.verilog, ports, tmp_path)
    assert len(left) < len(undefined_after(1, verilog.verilog, ports, tmp_path))
    shown = {name for name in ports.outputs if f"bench.core.{name}" in left}
    assert all(name.endswith("__payload") or name.startswith("probe_") for name in shown) and "probe_stb" not in shown, shown


@pytest.mark.slow
@each_kind
def test_no_undefined_value_reaches_a_result(kind, tmp_path):
    """In Icarus, every register and every word of a memory begins undefined; no valid output shows an undefined bit."""
    compare(SPECS[kind], without_values(SPECS[kind]), tmp_path, "icarus")


@pytest.mark.slow
@each_kind
def test_no_result_depends_on_power_up_values(kind, tmp_path):
    """A simulator may take an undefined condition for a false one, and hide a fault; random values cannot hide it."""
    compare(SPECS[kind], with_values(SPECS[kind], len(kind)), tmp_path, "cxxrtl")


@pytest.mark.slow
def test_icarus_takes_a_memory_without_initial_words(tmp_path):
    """It begins with words of 0, as in the other simulators, so that padding slots have no X."""
    spec = SPECS["single port"]
    verilog = emit_verilog(spec)
    assert "even_parameters" in verilog and "even_parameters[0] =" not in verilog
    compare(spec, PoweredUp(verilog, 0, 0), tmp_path, "icarus", reset_cycles=2)


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["icarus", "cxxrtl"])
def test_a_learner_powers_up_in_any_state(simulator, tmp_path):
    found = learner(undefined if simulator == "icarus" else partial(at_random, rng=random.Random(1)), tmp_path, simulator)
    assert found.equal and found.compared > STEPS, (found.first_difference, found.failure)


def test_without_a_reset_the_core_is_undefined(tmp_path):
    """The comparison needs the reset: the same Verilog with one cycle of it shows undefined bits."""
    spec = SPECS["node"]
    with pytest.raises(CoreError, match="undefined bits"):
        compare(spec, without_values(spec), tmp_path, "icarus", reset_cycles=1)


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["icarus", "cxxrtl"])
def test_a_register_without_a_reset_is_seen(simulator, tmp_path, monkeypatch):
    """The sequencer's flag of a pass that is running is not reset."""
    right = '(Signal(name=name) for name in ("running", '
    wrong = right.replace("name=name", "name=name, reset_less=True")
    planted(Fault("flag", "series.sequencer:SeriesSequencer.elaborate", right, wrong, ""), monkeypatch.setattr)
    changed = without_values(SPECS["leaky"]) if simulator == "icarus" else with_values(SPECS["leaky"], 1)
    with pytest.raises((CoreError, AssertionError)):
        compare(SPECS["leaky"], changed, tmp_path, simulator)
