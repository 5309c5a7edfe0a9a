# amaranth: UnusedElaboratable=no
"""A core behind a bus, driven by bus models that are not ours: it trains bit for bit, refuses what it must, and raises its interrupt."""

import json
import pickle
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.lib.wiring import In

from mgd_hw.design.reader import load
from python_ref.spec.bus import Bus, Interrupt, SampleSource, sample_words, wrapper_name
from python_ref.spec.registers import MAGIC, Command, Status
from rtl_gen.bus.top import BusCore, bus_wrapper
from rtl_gen.emit import emit_verilog
from rtl_gen.toolchain.verilog import component_verilog
from rtl_gen.toolchain.yosys import run_yosys
from sim.program import ProgramLink, ReplayLink, sample_table
from tests.rtl_gen.test_emit import check, lint
from tests.support.bus_simulation import BusSimulation, actions_of
from tests.support.designs import random_parameters, random_samples
from tests.support.faults import DESIGNS
from tests.support.lockstep import SAMPLES, Lockstep
from tests.support.marks import slow_unless
from tests.support.node_designs import SHAPES

ICARUS = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus does not come with the package")
QUICK = [(Bus.AXI4_LITE, SampleSource.AXI4_STREAM, "node"), (Bus.WISHBONE, SampleSource.BUS, "weight")]
KINDS = [(bus, samples, name) for name in ("node", "weight") for bus in Bus for samples in SampleSource]
SPECS = {"node": replace(SHAPES["one-of-each"], name="node"), "weight": DESIGNS["weight"]}


@pytest.fixture(scope="module")
def simulation(request, tmp_path_factory):
    """A core behind a bus, built once for all tests of this bus."""
    bus, samples, name = request.param
    return BusSimulation(SPECS[name], bus, samples, tmp_path_factory.mktemp("bus")).build()


def for_each(*, stream_only: bool = False):
    """Run a test for each bus, each source of samples and each kind of perturbation; two of these are quick enough for every day."""
    kinds = [kind for kind in KINDS if not stream_only or kind[1] is SampleSource.AXI4_STREAM]
    ids = ["-".join((bus.value, samples.value, name)) for bus, samples, name in kinds]
    given = [pytest.param(kind, id=name, marks=slow_unless(kind in QUICK)) for kind, name in zip(kinds, ids, strict=True)]
    return pytest.mark.parametrize("simulation", given, indirect=True, scope="module")


def frames(words, size):
    """Actions that send whole samples as frames."""
    return [["frame", words[first : first + size]] for first in range(0, len(words), size)]


def train_as_the_model_does(simulation, *, over_link=False):
    """Train over the bus, or by the link for a window of memory, and compare all that is read with the fixed model."""
    spec, rng = simulation.spec, random.Random(5)
    parameters = random_parameters(rng, spec)
    inputs, targets = random_samples(rng, spec, SAMPLES)
    order = [rng.randrange(SAMPLES) for _ in range(40)]

    def scenario(link):
        lockstep = Lockstep(spec, link, ((inputs[k], targets[k]) for k in order), parameters)
        lockstep.prepare()
        for steps in (5, 4):
            lockstep.train(steps)
            lockstep.check_registers()
        return lockstep

    recorded = ProgramLink()
    scenario(recorded)
    program = recorded.program(sample_table(spec, inputs, targets), np.array(order))
    actions, words = actions_of(spec, program.ops.tolist()), list(program.words())
    if over_link:
        (read,) = simulation.run([["link", pickle.dumps(spec).hex(), program.ops.tolist()]], words=words, pauses=7)
        assert scenario(ReplayLink(read)).history
        return
    if simulation.samples is SampleSource.AXI4_STREAM:
        right = frames(words, sample_words(spec))
        # A frame that is one word short, or long, is not a sample.
        actions = [right[0], ["frame", words[:-1][: sample_words(spec) - 1]], right[1], ["frame", [*right[2][1], 1]], *right[2:], *actions]
    found = simulation.run(actions, words=words, pauses=7)
    assert all(done is True for action, done in zip(actions, found, strict=True) if action[0] == "write")
    read = [done for action, done in zip(actions, found, strict=True) if action[0] == "read"]
    assert all(accepted for accepted, _ in read)
    assert scenario(ReplayLink([word for _, word in read])).history


@ICARUS
@for_each()
def test_a_core_trains_over_the_bus_as_the_model_does(simulation):
    train_as_the_model_does(simulation)


@ICARUS
@pytest.mark.parametrize("simulation", [pytest.param(QUICK[1], id="wishbone-bus")], indirect=True, scope="module")
def test_the_link_for_a_window_of_memory_trains_it(simulation):
    train_as_the_model_does(simulation, over_link=True)


@ICARUS
@pytest.mark.slow
def test_a_session_trains_a_shipped_design_as_its_model(tmp_path):
    simulation = BusSimulation(load("xor").spec, Bus.AXI4_LITE, SampleSource.BUS, tmp_path / "built").build()
    ((equal, verified, steps, sent),) = simulation.run([["session", "xor", 20, str(tmp_path)]])
    assert equal and verified > 30 and steps == 20 and sent > 20 * 3 * 4
    assert (tmp_path / "checkpoint.npz").exists()


def refusals(at):
    """Accesses that an idle core must refuse: kind, address and what else is given."""
    yield from (["write", at["exponent"], 1, strobes] for strobes in (1, 3, 7, 14))
    yield from (["write", at["interrupt_enable"], 7, strobes] for strobes in (1, 12))
    yield from (["read", at["magic"] + offset] for offset in (1, 2, 3))
    yield from (["read", address] for address in (0x0E * 4, 0x3C * 4, 0x3FC, 0x414, 0x7FC, 0x800, 0xFFC))
    yield from (["write", address, 0] for address in (0x0E * 4, 0x3C * 4, 0x3FC, 0x414, 0x7FC, 0x800, 0xFFC))
    yield from (["write", at[name], 0] for name in ("magic", "digest", "status", "steps", "signature"))
    yield from (["read", at[name]] for name in ("command", "count", "select", "stream"))
    yield from (["write", at["command"], value] for value in (0, 7, 8, 1 << 31 | 1))


@ICARUS
@for_each()
def test_what_cannot_be_done_is_refused_and_does_nothing(simulation):
    at, spec = simulation.registers, simulation.spec
    before = [["write", at["exponent"], spec.exponent_at(0) & 0xFFFFFFFF], ["write", at["interrupt_enable"], 0]]
    wrong = list(refusals(at))
    held = ["write", at["address"], 0], ["write", at["data"], 5]
    idle = [["read", at["status"]], ["read", at["interrupt_enable"]], held[0], ["read", at["data"]]]
    found = simulation.run([*before, *held, *wrong, *idle], pauses=3)
    assert found[: len(before) + 2] == [True] * (len(before) + 2)
    for action, done in zip(wrong, found[len(before) + 2 :], strict=False):
        assert done is False or done[0] is False, action
    assert found[-4:] == [[True, 0], [True, 0], True, [True, 5]]


@ICARUS
@for_each()
def test_a_busy_core_takes_only_stop(simulation):
    at = simulation.registers
    start = [["read", at["magic"]], ["write", at["count"], 3], ["write", at["command"], int(Command.TRAIN)]]
    wrong = [["write", at["count"], 3], ["write", at["exponent"], 1], ["write", at["command"], int(Command.CLEAR)], ["read", at["data"]]]
    # The first write comes as soon after the command as the bus can.
    end = [wrong[0], ["cycles", 50], ["read", at["status"]], *wrong, ["write", at["command"], int(Command.STOP)], ["wait", at["status"]]]
    # No sample is there: the run waits for one, until it is stopped.
    found = simulation.run([*start, *end, ["read", at["steps"]]])
    assert found[:3] == [[True, MAGIC], True, True]
    assert found[3] is False
    assert found[5] == [True, Status.BUSY | Status.STARVED]
    assert [done is False or done[0] is False for done in found[6:10]] == [True] * 4
    assert found[10:] == [True, None, [True, 0]]


@ICARUS
@for_each()
def test_the_interrupt(simulation):
    at, spec = simulation.registers, simulation.spec
    size = sample_words(spec)
    sample = [1] * size
    if simulation.samples is SampleSource.AXI4_STREAM:
        give = [["frame", sample], ["sent"]]
    else:
        give = [["write", at["sample"], word] for word in sample]
    clear = ["write", at["interrupt_status"], 7]
    actions = [
        *(["irq"], ["write", at["count"], 1], ["write", at["command"], int(Command.TRAIN)], ["cycles", 60]),
        *(["irq"], ["read", at["interrupt_status"]]),  # starved, but not enabled
        *(["write", at["interrupt_enable"], 7], ["cycles", 2], ["irq"]),
        *(clear, ["cycles", 60], ["irq"]),  # the same wait raises no second interrupt
        *give,
        *(["until irq"], ["read", at["interrupt_status"]], ["read", at["status"]], ["read", at["steps"]]),
        *(["write", at["interrupt_status"], 6], ["cycles", 2], ["irq"], clear, ["cycles", 2], ["irq"], ["read", at["interrupt_status"]]),
    ]
    found = simulation.run(actions)
    shown = [done for action, done in zip(actions, found, strict=True) if action[0] in ("irq", "read")]
    starved, ended = [True, int(Interrupt.STARVED)], [True, int(Interrupt.RUN_ENDED)]
    assert shown == [0, 0, starved, 1, 0, ended, [True, 0], [True, 1], 1, 0, [True, 0]]


@ICARUS
@for_each(stream_only=True)
def test_a_wrong_frame_is_dropped_counted_and_reported(simulation):
    at, size = simulation.registers, sample_words(simulation.spec)
    wrong = [["frame", [1] * count] for count in (size - 1, size + 1, 1, 3 * size)]
    start = [["write", at["interrupt_enable"], int(Interrupt.FRAME_ERROR)], *wrong, ["sent"], ["irq"], ["read", at["frames_dropped"]]]
    run = [["write", at["count"], 1], ["write", at["command"], int(Command.INFER)], ["cycles", 60], ["read", at["status"]]]
    end = [["frame", [1] * size], ["wait", at["status"]], ["read", at["interrupt_status"]], ["read", at["frames_dropped"]]]
    found = simulation.run([*start, *run, *end], pauses=2)
    assert found[6:8] == [1, [True, 4]]
    assert found[11] == [True, Status.BUSY | Status.STARVED]  # no wrong frame is a sample
    assert found[-2:] == [[True, int(Interrupt.RUN_ENDED | Interrupt.STARVED | Interrupt.FRAME_ERROR)], [True, 4]]


@ICARUS
@pytest.mark.parametrize("simulation", [pytest.param(QUICK[1], id="wishbone-bus")], indirect=True, scope="module")
def test_a_word_without_room_is_refused_and_discard_makes_room(simulation):
    at, size = simulation.registers, sample_words(simulation.spec)
    held = simulation.spec.sample_buffers - 1  # samples that the core takes ahead of a run
    room, write = ["read", at["sample_room"]], ["write", at["sample"], 1]
    fill = [room, *[write] * (held * size), ["cycles", 10 * size], room, write, room, *[write] * (2 * size - 1), room, write]
    found = simulation.run([*fill, ["write", at["command"], int(Command.DISCARD)], room, write, room])
    shown = [done[1] for action, done in zip(fill, found, strict=False) if action == room]
    assert shown == [2 * size, 2 * size, 2 * size - 1, 0]
    assert found[: len(fill)].count(False) == 1 and found[len(fill) - 1] is False
    assert found[len(fill) :] == [True, [True, 2 * size], True, [True, 2 * size - 1]]


@pytest.mark.parametrize(
    ("bus", "samples"),
    [
        pytest.param(bus, samples, id=f"{bus.value}-{samples.value}", marks=slow_unless((bus, samples) == QUICK[0][:2]))
        for bus in Bus
        for samples in SampleSource
    ],
)
def test_verilator_and_yosys_find_nothing(bus, samples, tmp_path):
    spec = SPECS["node"]
    verilog = emit_verilog(spec, bus_wrapper(spec, bus, samples))
    assert lint(verilog, tmp_path) == ""
    check(verilog, tmp_path, wrapper_name(spec, bus))


@pytest.mark.slow
@pytest.mark.parametrize("samples", SampleSource)
@pytest.mark.parametrize("bus", Bus)
@pytest.mark.parametrize("name", ["xor", "digits"])
def test_the_wrapper_is_as_small_as_the_page_says(name, bus, samples, tmp_path):
    spec = load(name).spec
    page = (Path(__file__).parents[3] / "docs/design/buses.md").read_text(encoding="utf-8")
    claim = re.search(r"takes (\d+) to (\d+) LUTs of an iCE40 and one block RAM", page)
    assert claim is not None
    text = component_verilog(BusCore(spec, bus, samples), "top")
    # The core is a black box with the ports by which the wrapper instantiates it.
    ports = {}
    core = BusCore(spec, bus, samples).core
    for path, member, value in core.signature.flatten(core):
        ports["__".join(map(str, path))] = ("input" if member.flow is In else "output", len(Value.cast(value)))
    declared = ", ".join(["input clk, rst", *(f"{way} [{width - 1}:0] {port}" for port, (way, width) in ports.items())])
    (tmp_path / "top.v").write_text(f"(* blackbox *) module {spec.module}({declared}); endmodule\n{text}", encoding="utf-8")
    log = run_yosys(["read_verilog top.v", "synth_ice40 -device u -top top", "tee -q -o stat.json stat -json"], tmp_path)
    assert log
    counts = json.loads((tmp_path / "stat.json").read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
    assert int(claim[1]) <= counts["SB_LUT4"] <= int(claim[2])
    assert counts["SB_RAM40_4K"] == 1
