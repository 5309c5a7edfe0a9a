"""What plain runs do not reach: resets in the middle of anything, counters at their limits, and what a host seldom does."""

import random
from itertools import count

import pytest

from python_ref.spec.learning import LearningSpec
from rtl_gen.core import contract
from rtl_gen.emit import emit_verilog
from sim.engines.cxxrtl import build_cxxrtl
from tests.mutate.__main__ import rehearsed, simulated, spec_of
from tests.mutate.learner import LEARNERS
from tests.mutate.runs import run, verdict
from tests.soak.designs import Limits, draw
from tests.support import lockstep
from tests.support.faults import Fault, planted
from tests.support.marks import in_turn

NAMES = (
    *("no commands", "ties", "counters", "reset 1", "reset 2", "cut", "large counts"),
    *("writes while busy", "drop a part", "starving", "long periods", "near limits", "other rates"),
)
"""Scenarios that the other tests do not run."""

FAULTS = (
    Fault(
        "probes in flight survive a reset",
        "presentation.controller:PresentationController.elaborate",
        "ending, in_flight, errors_ready = Signal(), Signal(range(3)), Signal()",
        "ending, in_flight, errors_ready = Signal(), Signal(range(3), reset_less=True), Signal()",
        "reset 1",
    ),
    Fault("no carry beyond 32 bits", "registers:RegisterFile.elaborate", "carry.eq(summed[HALF] & (slot != 1))", "carry.eq(0)", "counters"),
    Fault("a command's high half", "host:HostPort._write", "short.all()", "short[0]", "no commands"),
    Fault(
        "any command stops a run",
        "host:HostPort._write",
        "(value[:bits] == command)",
        "((value[:bits] == command) | (command is Command.STOP))",
        "writes while busy",
    ),
    Fault(
        "a read during a run counts the address up",
        "host:HostPort.elaborate",
        'counts.eq(ends & at["data"] & ~self.busy)',
        'counts.eq(ends & at["data"])',
        "writes while busy",
    ),
    Fault(
        "the low part of a count ends a run",
        "controller:DownCounter.elaborate",
        "self.none.eq(Cat(none).all())",
        "self.none.eq(none[0])",
        "large counts",
    ),
    Fault(
        "a dropped sample leaves its number of words",
        "operands:SampleLoader.elaborate",
        "m.d.sync += [index.eq(0), targets.eq(0), ends.eq(n_in == 1), filling",
        "m.d.sync += [targets.eq(0), ends.eq(n_in == 1), filling",
        "drop a part",
    ),
    Fault(
        "a core that waits does not say so",
        "presentation.controller:PresentationController.elaborate",
        "self.starved.eq(run.await_sample & sample_due & ~self.available & ~ends)",
        "self.starved.eq(0)",
        "starving",
    ),
    Fault(
        "an answer survives a reset",
        "host:HostPort.elaborate",
        "m.d.sync += response.valid.eq(self.file_high | (response.valid & ~response.ready))",
        "answered = Signal(reset_less=True)\n    m.d.comb += response.valid.eq(answered)\n"
        "    m.d.sync += answered.eq(self.file_high | (answered & ~response.ready))",
        "cut",
    ),
    Fault(
        "a request survives a reset",
        "host:HostPort.elaborate",
        "begin, standing, last = Signal(), Signal(), Signal()",
        "begin, standing, last = Signal(), Signal(reset_less=True), Signal()",
        "cut",
    ),
    Fault(
        "a long period loses its upper bits",
        "host:HostPort._write",
        "getattr(self, name).eq(part) for",
        "getattr(self, name).eq(part[:16]) for",
        "long periods",
    ),
    Fault(
        "the last of the equal outputs is the answer",
        "cost:AnswerCheck._better",
        "Cat(1, best) + Cat(1, above)",
        "Cat(1, best) + Cat(0, above)",
        "ties",
    ),
)
"""Faults, each with the scenario that must see it in the design ``node``."""

_SHOW = "presentation.array:NodeArray._show"
ELSEWHERE = (
    (
        "sparse:plain",
        Fault(
            "the best of three outputs is the last one",
            "cost:AnswerCheck._better",
            "best.eq(and_or_mux(better, ~above, best))",
            "best.eq(~above)",
            "ties",
        ),
    ),
    (
        "sparse:plain",
        Fault(
            "a bit of an output, or of a target, depends on the one above it",
            "cost:AnswerCheck._better",
            "value + (1 << width - 1)",
            "(value + (1 << width - 1)) ^ Mux(value[5], 0, 16)",
            "ties",
        ),
    ),
    (
        "momentum",
        Fault(
            "a parameter that is not updated is shown otherwise",
            _SHOW,
            'stage - timing.update, f"old_parameter{number}")',
            'stage - timing.update, f"old_parameter{number}") ^ 1',
            "plain",
        ),
    ),
    (
        "momentum",
        Fault(
            "a momentum that is not updated is shown otherwise",
            _SHOW,
            'stage - timing.gradient, f"old_{name}{number}")',
            'stage - timing.gradient, f"old_{name}{number}") ^ 1',
            "plain",
        ),
    ),
    (
        "node:two-steps",
        Fault(
            "a bit of E is lost from step to step",
            "presentation.errors:ErrorUnit._sum",
            "Mux(self._fresh, 0, old)",
            "Mux(self._fresh, 0, old & ~4)",
            "plain",
        ),
    ),
    (
        "node:rates",
        Fault(
            "the second bit of an amount shifts nothing",
            "broadcast:Scaler.elaborate",
            "Mux(amount[place], moved, shifted)",
            "Mux(amount[place] & (place != 1), moved, shifted)",
            "plain",
        ),
    ),
    (
        "momentum",
        Fault(
            "words of a group that is not full are counted in pairs",
            "presentation.array:NodeArray._count",
            "count.eq(active_lanes(spec, slot))",
            "count.eq(active_lanes(spec, slot) & ~1)",
            "plain",
        ),
    ),
    (
        "series:leaky",
        Fault(
            "the number of frames of a sign loses its upper bit",
            "series.controller:SeriesController.elaborate",
            "self.hold.eq(self.hold_set)",
            "self.hold.eq(self.hold_set[:1])",
            "other periods",
        ),
    ),
    (
        "xor",
        Fault(
            "a parameter is at its limit whatever its third group of bits is",
            "lane:BaseLane._update",
            "at_limit.all()",
            "Cat(at_limit[:2], at_limit[3:]).all()",
            "near limits",
        ),
    ),
    (
        "xor",
        Fault(
            "a bit of the rounding noise is lost",
            "perturbation:RoundingNoise.elaborate",
            "self.o.eq(self.words(state))",
            "self.o.eq(self.words(state) & ~4)",
            "other rates",
        ),
    ),
    (
        "node:two-steps",
        Fault(
            "the cost of a repeated pass is shown",
            "presentation.core:NodeCore._connect_probes",
            "(~is_unperturbed(self._cost_bank) | controller.shown)",
            "1",
            "stop 1",
        ),
    ),
    (
        "node:two-steps",
        Fault(
            "all probes have one bank",
            "presentation.sequencer:PassSequencer.elaborate",
            "bank.eq(self.bank)",
            "bank.eq(self.bank & 2)",
            "plain",
        ),
    ),
    (
        "node",
        Fault(
            "a pass that begins behind the first layer begins with its first word",
            "presentation.array:NodeArray._address",
            "ahead.begin & ~loads",
            "ahead.begin",
            "plain",
        ),
    ),
    (
        "node",
        Fault(
            "the neurons of all passes have one signature",
            "presentation.signature:ForwardSignature.elaborate",
            '(self.neuron_bank.any() == number), f"takes{number}")\n        ends = waits(self.cost_stb & (self.cost_bank.any() == number)',
            '(number == 1), f"takes{number}")\n        ends = waits(self.cost_stb & (number == 1)',
            "plain",
        ),
    ),
    (
        "node_memory",
        Fault(
            "a bit of the host's word of G is lost",
            "presentation.lane:NodeLane._sum",
            "self.host_word[: len(self.gradient)]",
            "(self.host_word[: len(self.gradient)] & ~128)",
            "host access",
        ),
    ),
    (
        "series:leaky",
        Fault(
            "outputs are read at another address",
            "series.operands:SeriesOperands._fetch",
            "outputs.addr.eq(address)",
            "outputs.addr.eq(address ^ 1)",
            "plain",
        ),
    ),
    (
        "series:lif",
        Fault(
            "a bit of a current is lost",
            "series.state:StateUnit._current",
            "aligned.eq(by_binary_point(fractions, shifted, self.coming.layer))",
            "aligned.eq(by_binary_point(fractions, shifted, self.coming.layer) & ~(1 << 15))",
            "plain",
        ),
    ),
    (
        "stochastic:plain",
        Fault(
            "a bit of a loaded state is lost",
            "perturbation:StateLoader.elaborate",
            "self.beat.eq(kept)",
            "self.beat.eq(kept & ~(1 << 16))",
            "plain",
        ),
    ),
)
"""Faults of what the design ``node`` does not have, each with a design that has it."""


def failing(spec: LearningSpec, directory, names=NAMES) -> dict[str, str]:
    """The scenarios whose comparison fails on a core, and why."""
    (directory / "core.v").write_text(emit_verilog(spec), encoding="utf-8")
    scenarios, found = rehearsed(spec), {}
    model = build_cxxrtl(simulated(spec, directory / "core.v"), scenarios[0].rehearsal.ports, directory / "build", optimize="-O0")
    for scenario in scenarios:
        if scenario.name in names:
            why = verdict(scenario, run(model, scenario, directory / "run"), None)
            if why:
                found[scenario.name] = why
    return found


@pytest.mark.slow
def test_a_core_is_its_model_in_what_is_rare(tmp_path):
    assert failing(spec_of("node"), tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["xor", *(pytest.param(name, marks=pytest.mark.long) for name in ("series:leaky", "node:sequential", "sparse:plain", "adam"))]
)
def test_other_cores_are_their_models_in_what_is_rare(name, tmp_path):
    assert failing(spec_of(name), tmp_path) == {}


@pytest.mark.slow
def test_a_core_of_many_cycles_is_its_model_while_it_is_written_to(tmp_path):
    """The host reads until the steps that it waits for have ended, however long they take."""
    drawn = (draw(random.Random(number), "recurrent, weight", Limits(16, 3)) for number in count())
    spec = next(each for each in drawn if len(each.exponent_changes) == 1 and contract(each).first_steps(each, 8) > 4000)
    assert failing(spec, tmp_path, ("writes while busy", "large counts")) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["learner", *(pytest.param(name, marks=pytest.mark.long) for name in LEARNERS if name != "learner")])
def test_learners_are_their_models_beside_a_chip(name, tmp_path):
    assert failing(spec_of(name), tmp_path, ("plain", "silences", "other outsides", "waits", "cut")) == {}


@pytest.mark.slow
def test_a_fault_of_a_learner_is_seen(tmp_path, monkeypatch):
    """A wait that is too short shows the chip before it has settled, which the costs tell."""
    fault = "learner.measuring:Measurement.elaborate", "opens.eq(settling & timer.done)", "opens.eq(settling)"
    planted(Fault("no time to settle", *fault, "learner"), monkeypatch.setattr)
    assert failing(spec_of("learner"), tmp_path, ("plain",)).keys() == {"plain"}


@pytest.mark.slow
def test_a_sample_of_a_learner_is_seen_with_other_periods(tmp_path, monkeypatch):
    """An index that is wrong behind every other step is right where a sample lasts for two steps, as the design says."""
    right = "with m.If(flags.takes):\n                m.d.sync += self.sample.payload.eq(following)"
    wrong = "m.d.sync += self.sample.payload.eq(Mux(flags.takes, following, self.sample.payload) ^ 1 << 17)"
    fault = "learner.controller:LearnerController.elaborate", right, wrong
    planted(Fault("another sample", *fault, "learner:adam"), monkeypatch.setattr)
    assert failing(spec_of("learner:adam"), tmp_path, ("other periods",)).keys() == {"other periods"}


@pytest.mark.slow
def test_long_waits_and_many_samples_of_a_learner_are_seen(tmp_path, monkeypatch):
    """What the host sets loses its upper bits."""
    fault = "host:HostPort._write", "getattr(self, name).eq(part) for", "getattr(self, name).eq(part[:20]) for"
    planted(Fault("long waits and many samples lose their upper bits", *fault, "learner"), monkeypatch.setattr)
    assert failing(spec_of("learner"), tmp_path, ("other outsides",)).keys() == {"other outsides"}


@pytest.mark.slow
@pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name, marks=in_turn(number, 3)) for number, fault in enumerate(FAULTS)])
def test_a_fault_is_seen(fault, tmp_path, monkeypatch):
    planted(fault, monkeypatch.setattr)
    assert failing(spec_of("node"), tmp_path, (fault.design,)).keys() == {fault.design}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("design", "fault"),
    [pytest.param(design, fault, id=fault.name, marks=in_turn(number, 3)) for number, (design, fault) in enumerate(ELSEWHERE)],
)
def test_a_fault_is_seen_in_a_design_that_has_it(design, fault, tmp_path, monkeypatch):
    planted(fault, monkeypatch.setattr)
    assert failing(spec_of(design), tmp_path, (fault.design,)).keys() == {fault.design}


@pytest.mark.slow
def test_a_reset_of_one_cycle_leaves_words_in_flight(tmp_path, monkeypatch):
    """That is why a frame RESET lasts longer (``rtl_gen.serial.linked``)."""
    monkeypatch.setattr(lockstep, "RESET_CYCLES", 1)
    assert failing(spec_of("node"), tmp_path, ("reset 1", "reset 2")).keys() == {"reset 1", "reset 2"}
