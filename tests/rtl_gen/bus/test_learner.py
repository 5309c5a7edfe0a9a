"""A learner behind a bus, whose outside is the processor: bus models that are not ours read its words, write its costs, and it trains as
the model does."""

import json
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest

import mgd_hw
from mgd_hw.design.reader import parse_any
from python_ref.fixed import learner as model
from python_ref.spec.bus import Bus, Interrupt, OutsidePorts, SampleSource, window_map, wrapper_name
from python_ref.spec.error import Refusal
from python_ref.spec.hardware import Hardware
from python_ref.spec.learner import stream_names
from python_ref.spec.probes import COUNTERS
from python_ref.spec.registers import Command, Status, register_map
from python_ref.spec.relay import FIRST_SAMPLE_BIT, packed_words, unpacked
from rtl_gen.bus.top import bus_wrapper
from rtl_gen.emit import emit_verilog
from sim import host
from sim.program import ProgramLink, ReplayLink
from tests.rtl_gen.learner.test_core import ONE_SIDED
from tests.rtl_gen.learner.test_nodes import NODES
from tests.rtl_gen.test_emit import check, lint
from tests.support.bus_simulation import BusSimulation, actions_of
from tests.support.faults import Fault, planted
from tests.support.marks import slow_unless
from tests.support.virtual_chip import VirtualChip

ICARUS = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus does not come with the package")
SPEC = replace(ONE_SIDED, name="behind", hardware=Hardware(2), outside=replace(ONE_SIDED.outside, average=1, timeout_cycles=50_000))
"""Five quantities in two streams, whose words the registers put in order; three words in a row."""
STEPS = 6
TINY = "[network]\nexternal = 3\n[schedule]\nlearning_rate = -4\n"


def for_each_bus(quick):
    """Run a test for both buses, one of them every day."""
    return pytest.mark.parametrize("bus", [pytest.param(bus, id=bus.value, marks=slow_unless(bus is quick)) for bus in Bus])


@pytest.fixture(scope="module")
def simulations(tmp_path_factory):
    """A learner behind each bus, built when it is first asked for."""
    built = {}

    def of(bus):
        if bus not in built:
            built[bus] = BusSimulation(SPEC, bus, SampleSource.BUS, tmp_path_factory.mktemp("learner")).build()
        return built[bus]

    return of


def recorded(action):
    link = ProgramLink()
    action(link)
    return actions_of(SPEC, link.program().ops.tolist())


@ICARUS
@for_each_bus(Bus.AXI4_LITE)
def test_a_processor_is_the_outside(bus, simulations):
    processor_is_the_outside(simulations(bus))


def processor_is_the_outside(simulation):
    """It waits for the interrupt of each pass, reads the words, and writes their costs."""
    rng = np.random.default_rng(4)
    at, start = simulation.registers, rng.integers(-200, 200, SPEC.quantities)
    chip, passes = VirtualChip(SPEC, 3, gain=0.2, offset=0.1, noise=0.05), []

    def logged(words, sample, count):
        passes.append((words.tolist(), sample, chip(words, sample, count)))
        return passes[-1][2]

    state, actions, checks = model.initial_learner(SPEC, start), recorded(lambda link: host.prepare(SPEC, link, start)), []
    rows = -(-SPEC.quantities // packed_words(SPEC))
    actions.append(["write", at["interrupt_enable"], int(Interrupt.STARVED)])
    for first, count in host.runs(SPEC, 0, STEPS):
        passes.clear()
        for _ in range(count):
            state, _ = model.step(SPEC, state, logged)
        actions += recorded(lambda link, first=first: host.set_rate(SPEC, link, first))
        actions += [["write", at["count"], count], ["write", at["command"], int(Command.TRAIN)]]
        for words, sample, costs in passes:
            actions += [["until irq"], ["write", at["interrupt_status"], int(Interrupt.STARVED)], ["read", at["outside"]]]
            actions += [["read", at["words"]]] * rows
            checks.append((len(actions) - rows, words, sample << FIRST_SAMPLE_BIT | 3))
            actions += [["write", at["cost_word"], cost & 0xFFFFFFFF] for cost in costs]
        actions += [["wait", at["status"]], ["read", at["outside"]], *[["read", at["words"]]] * rows]
        checks.append((len(actions) - rows, state.parameters.tolist(), sample << FIRST_SAMPLE_BIT))
    ends = recorded(lambda link: (host.read_counters(SPEC, link), host.read_register(SPEC, link, "signature")))
    found = simulation.run([*actions, *ends], pauses=7)
    assert all(done is True for action, done in zip(actions, found, strict=False) if action[0] == "write")
    for place, words, flags in checks:
        assert found[place - 1] == [True, flags]
        assert unpacked(SPEC, np.array([row[1] for row in found[place : place + rows]])).tolist() == words
    answers = [done[1] for action, done in zip(ends, found[len(actions) :], strict=True) if action[0] == "read"]
    link = ReplayLink(answers)
    counters, signature = host.read_counters(SPEC, link), host.read_register(SPEC, link, "signature")
    del counters["cycles"]
    assert counters == dict(zip(COUNTERS, state.counters.tolist(), strict=True)) and counters["steps"] == STEPS
    assert signature == state.signature[0] | state.signature[1] << 32


@ICARUS
@pytest.mark.slow
@pytest.mark.parametrize("spec", [SPEC, NODES], ids=lambda spec: spec.name)
def test_a_session_trains_it_over_a_window_of_memory(spec, tmp_path):
    """Behind Wishbone, after a run that was left alone; with node currents, the chip changes its weights by their errors."""
    spec = replace(spec, outside=replace(spec.outside, timeout_cycles=50_000))
    simulation = BusSimulation(spec, Bus.WISHBONE, SampleSource.BUS, tmp_path).build()
    ((equal, verified, done, measurements, weights),) = simulation.run(
        [["learner session", pickle.dumps(spec).hex(), 8, str(tmp_path)]], pauses=3
    )
    assert equal and done == 8 and verified > measurements * (spec.quantities + 1) > 8 * spec.quantities
    assert np.any(weights) == spec.sends_errors


@ICARUS
@for_each_bus(Bus.WISHBONE)
def test_a_busy_learner_takes_stop_and_what_the_outside_writes(bus, simulations):
    busy_learner_takes_stop(simulations(bus))


def busy_learner_takes_stop(simulation):
    at = simulation.registers
    start = [["write", at["settle"], 0], ["write", at["timeout"], 9_000], ["write", at["samples"], 1], ["write", at["count"], 3]]
    begin = [["write", at["command"], int(Command.TRAIN)], ["cycles", 200], ["read", at["outside"]], ["read", at["status"]]]
    wrong = [
        ["write", at["count"], 3],
        ["write", at["settle"], 1],
        ["read", at["data"]],
        ["write", at["words"], 1],
        ["read", at["cost_word"]],
    ]
    right = [["write", at["row"], 0], ["write", at["cost_word"], 5], ["write", at["command"], int(Command.STOP)]]
    idle = [["write", at["command"], int(Command.INFER)], ["write", at["command"], int(Command.DISCARD)], ["read", at["interrupt_status"]]]
    finish = [["cycles", 200], ["write", at["cost_word"], 5]] * 5  # of the passes of the step that has begun; the last ones are dropped
    found = simulation.run([*start, *begin, *wrong, *right, *finish, ["wait", at["status"]], *idle, ["read", at["steps"]]])
    assert found[: len(start) + 2] == [True] * len(start) + [True, None]
    place = len(start) + 2
    assert found[place : place + 2] == [[True, 3], [True, Status.BUSY]]
    assert [done is False or done[0] is False for done in found[place + 2 : place + 7]] == [True] * 5
    assert found[place + 7 : place + 10] == [True] * 3
    assert found[-4:] == [False, False, [True, int(Interrupt.RUN_ENDED | Interrupt.STARVED)], [True, 1]]


@ICARUS
@pytest.mark.slow
@pytest.mark.parametrize("bus", list(Bus), ids=lambda bus: bus.value)
def test_its_streams_are_ports(bus, tmp_path):
    """The processor starts runs and reads what was learned; words and costs pass by it, and it cannot give a cost."""
    simulation, rng = BusSimulation(SPEC, bus, OutsidePorts.PORTS, tmp_path).build(), np.random.default_rng(4)
    at, start = simulation.registers, rng.integers(-200, 200, SPEC.quantities)
    chip, sent, given = VirtualChip(SPEC, 3, gain=0.2, offset=0.1, noise=0.05), [], []

    def logged(words, sample, count):
        sent.append(words.tolist())
        given.extend(found := chip(words, sample, count))
        return found

    state, actions = model.initial_learner(SPEC, start), recorded(lambda link: host.prepare(SPEC, link, start))
    for first, count in host.runs(SPEC, 0, STEPS):
        for _ in range(count):
            state, _ = model.step(SPEC, state, logged)
        sent.append(state.parameters.tolist())  # the last pass of the run
        actions += recorded(lambda link, first=first: host.set_rate(SPEC, link, first))
        actions += [["write", at["count"], count], ["write", at["command"], int(Command.TRAIN)], ["wait", at["status"]]]
    ends = recorded(lambda link: (host.read_counters(SPEC, link), host.read_register(SPEC, link, "signature")))
    outside = ["outside", given, list(stream_names(SPEC)), SPEC.formats.weight.width]
    assert "cost_word" not in at
    refused = [["write", 4 * 0x53, 1], ["read", 4 * 0x50]]
    found = simulation.run([outside, *actions, *ends, ["outside words"], *refused], pauses=7)
    assert found[-3] == sent and found[-2] is False and found[-1][0] is False
    link = ReplayLink([done[1] for action, done in zip(ends, found[1 + len(actions) :], strict=False) if action[0] == "read"])
    counters, signature = host.read_counters(SPEC, link), host.read_register(SPEC, link, "signature")
    del counters["cycles"]
    assert counters == dict(zip(COUNTERS, state.counters.tolist(), strict=True)) and counters["steps"] == STEPS
    assert signature == state.signature[0] | state.signature[1] << 32


def test_ports_are_described(tmp_path):
    """Also the files of a learner's registers, with and without them."""
    for outside, registers in (("ports", []), ("registers", ["outside", "row", "words", "cost_word"])):
        made = mgd_hw.generate(parse_any(TINY, "tiny.toml"), tmp_path / outside, bus="wishbone", outside=outside, headers=True)
        described = json.loads((tmp_path / outside / "manifest.json").read_text(encoding="utf-8"))["bus"]
        assert [row["name"] for row in described["registers"]] == [*registers, "interrupt_status", "interrupt_enable"]
        assert ("mgd_tiny_litex.py" in made.files) == (outside == "registers")
        assert {"registers.h", "setup.h", "component.xml"} <= set(made.files)
        assert ("perturbed__payload" in (tmp_path / outside / "component.xml").read_text(encoding="utf-8")) == (outside == "ports")
        setup = (tmp_path / outside / "setup.h").read_text(encoding="utf-8")
        assert f"0x{4 * register_map(parse_any(TINY, 'tiny.toml').spec)['settle'].address:08x}"[-4:] in setup


@pytest.mark.parametrize(
    ("design", "options", "said"),
    [
        (TINY, {"outside": "ports"}, "no bus is named"),
        (TINY, {"outside": "wires", "bus": "wishbone"}, "it is not known"),
        ("xor", {"outside": "ports", "bus": "wishbone"}, "only a learner has an outside"),
    ],
)
def test_ports_that_cannot_be_are_refused(design, options, said, tmp_path):
    with pytest.raises(Refusal, match=said) as caught:
        mgd_hw.generate("xor" if design == "xor" else parse_any(design, "tiny.toml"), tmp_path / "out", **options)
    assert caught.value.key == "--outside" and not (tmp_path / "out").exists()


_BRIDGE = "bus.top:LearnerBridge"
FAULTS = (
    Fault(
        "the outside writes nothing during a run", f"{_BRIDGE}.always", "stops | (words[4:] == RELAY_ADDRESSES.start >> 4)", "stops", "busy"
    ),
    Fault("everything is written during a run", f"{_BRIDGE}.always", "return stops |", "return 1 | stops |", "busy"),
    Fault("no interrupt of a pass", f"{_BRIDGE}.raised", "self.awaits & ~before", "self.awaits & 0 & ~before", "processor"),
    Fault("no interrupt of the end", f"{_BRIDGE}.raised", 'before["busy"] & ~self.busy', "0", "busy"),
    Fault("streams in disorder", "learner.streams:StreamMerger.elaborate", "here.last | (turn == lanes - 1)", "turn == 1", "processor"),
)


@ICARUS
@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_seen_behind_a_bus(fault, tmp_path, monkeypatch):
    planted(fault, monkeypatch.setattr)
    simulation = BusSimulation(SPEC, Bus.WISHBONE, SampleSource.BUS, tmp_path).build()
    with pytest.raises((AssertionError, TypeError)):
        {"busy": busy_learner_takes_stop, "processor": processor_is_the_outside}[fault.design](simulation)


@for_each_bus(Bus.AXI4_LITE)
def test_verilator_and_yosys_find_nothing(bus, tmp_path):
    verilog = emit_verilog(SPEC, bus_wrapper(SPEC, bus, SampleSource.BUS))
    assert lint(verilog, tmp_path) == ""
    check(verilog, tmp_path, wrapper_name(SPEC, bus))


@pytest.mark.parametrize("bus", [bus.value for bus in Bus])
def test_generate_describes_it(bus, tmp_path):
    found = mgd_hw.generate(parse_any(TINY, "tiny.toml"), tmp_path, bus=bus)
    assert {"design.v", "registers.rdl", f"mgd_tiny_{bus.replace('-', '_')}.core"} <= set(found.files)
    described = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["bus"]
    assert [row["name"] for row in described["registers"]] == [
        "outside",
        "row",
        "words",
        "cost_word",
        "interrupt_status",
        "interrupt_enable",
    ]
    text = (tmp_path / "registers.rdl").read_text(encoding="utf-8")
    spec = parse_any(TINY, "tiny.toml").spec
    assert all(f"}} {name}" in text for name in window_map(spec, SampleSource.BUS)) and "@ 0x14C" in text  # the register cost_word


def test_samples_of_a_learner_are_refused(tmp_path):
    for samples in SampleSource:
        with pytest.raises(Refusal, match="a learner has no samples") as caught:
            mgd_hw.generate(parse_any(TINY, "tiny.toml"), tmp_path / "out", bus="wishbone", samples=samples.value)
        assert caught.value.key == "--samples" and not (tmp_path / "out").exists()
