"""What a host may do at any cycle of a presentation of a network with state, and samples that come late; and what a wrong one shows."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest

from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast
from python_ref.spec.layers import DENSE, Leaky, Lif
from python_ref.spec.network import Readout
from python_ref.spec.number import Fixed, Rounding
from rtl_gen.core import contract
from sim.error import CoreError
from tests.rtl_gen.presentation.test_runs import ACTIONS, Scene
from tests.support.faults import Fault, planted
from tests.support.lockstep import run_lockstep
from tests.support.marks import LONG, in_turn, long_unless
from tests.support.series_shapes import series_design

DESIGNS = {
    "leaky": series_design((1, 2, 1), (Leaky(1), DENSE), 2, periods=(1, 4, 4)),
    "two-sided": series_design((1, 2), (Lif(1),), 2, two_sided=True, readout=Readout.SUM, periods=(2, 3, 6), lanes=1),
}
STRIDE = 29


def presentation_cycles(name):
    """Cycles of the longest presentation of a design."""
    return contract(DESIGNS[name]).presentation_cycles(DESIGNS[name].longest_presentation)


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=LONG) for part in range(1, STRIDE))])
@pytest.mark.parametrize("name", [pytest.param(name, marks=long_unless(name == "leaky")) for name in DESIGNS])
def test_a_run_that_is_stopped_at_any_cycle_equals_the_uninterrupted_one(name, part):
    scene = Scene(name, part, spec=DESIGNS[name])

    async def scenario(bench):
        for delay in range(part, presentation_cycles(name) + 20, STRIDE):
            await scene.stop(bench, delay)
        await bench.act(scene.model, lambda model: model.train(5))

    scene.run(scenario)
    uninterrupted = Scene(name, part, spec=DESIGNS[name])
    uninterrupted.model.follow(scene.model.steps)
    for shown, expected in zip(scene.model.history, uninterrupted.model.history, strict=True):
        assert shown.passes == expected.passes  # an unperturbed pass that is repeated is not shown


def a_run_with_everything(name):
    """Stop in the middle of presentations, and go on at once, or load, infer, restart, clear and read before."""
    scene, opened = Scene(name, spec=DESIGNS[name]), []

    async def scenario(bench):
        for number, action in enumerate((None, "load", None, "infer", None, "restart", None, "clear", "check")):
            for delay in range(230 + 31 * number, 1_000, 83):
                await scene.stop(bench, delay)
                if np.any(scene.model.state.error_sum):
                    opened.append(action)
                    break
            if action:
                await bench.act(scene.model, ACTIONS[action](scene))
                await bench.act(scene.model, ACTIONS["check"](scene))
        await bench.act(scene.model, lambda model: model.train(4))

    scene.run(scenario)
    assert len(opened) > 7, "presentations were open"


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=long_unless(name == "leaky")) for name in DESIGNS])
def test_what_a_host_does_in_the_middle_of_a_presentation(name):
    a_run_with_everything(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS)
def test_samples_that_come_late_change_nothing(name):
    scene, steps, offered = Scene(name, spec=DESIGNS[name]), 8 * DESIGNS[name].longest_presentation, {}

    def offers(word, cycle):
        """Each word comes some cycles after the one before it: from none to many."""
        return cycle - offered.setdefault(word, cycle) >= word * 29 % 197

    async def scenario(bench):
        await bench.act(scene.model, lambda model: model.train(steps))

    scene.run(scenario, offers=offers)


def test_the_host_sets_a_longer_hold_and_a_restart_puts_it_in_force():
    """The core has room for four signs of a neuron, and takes any hold that needs no more."""
    built = series_design((1, 2, 1), (Leaky(1), DENSE), 4, hold=1, periods=(1, 2, 2))
    longer = [replace(built, perturbation=replace(built.perturbation, hold=hold, segments=4)) for hold in (2, 3, 4)]

    def scenario(model):
        model.prepare()
        model.train(3)
        model.write("hold", 2)  # not in force before RESTART
        model.train(1)
        for spec in longer:
            model.restart(None, spec)
            model.train(5)
        model.train(1)
        model.resume()  # at the end of a presentation, from a checkpoint
        model.train(4)
        model.check_registers()

    run_lockstep(built, scenario, random.Random(5), samples=40)


def _fault(name, where, right, wrong, design="leaky"):
    return Fault(name, f"series.{where}", right, wrong, design)


PLANTED = {
    "leaky": (series_design(periods=(1, 2, 2)), 0.25),
    "two-sided": (
        series_design((2, 2), (Lif(1),), 3, two_sided=True, readout=Readout.SUM, lanes=1, periods=(2, 2, 2), state=Fixed(True, 3, 8)),
        0.25,
    ),
    "at the threshold": (series_design((2, 3), (Lif(2),), readout=Readout.SUM, state=Fixed(True, 3, 8), periods=(1, 2, 2)), 0),
    "held": (series_design(held=True, periods=(1, 2, 2)), 0.25),
    "steep": (series_design(periods=(1, 2, 2)), 3),  # so that neurons have negative pre-activations
    "by group": (
        series_design((2, 3, 3, 2), (DENSE, Leaky(1), DENSE), periods=(1, 2, 2), hold=2, gradient_memory=False, single_port=True),
        0.25,
    ),
    "a sum for a tail": (series_design((2, 3, 2), (Leaky(1), DENSE), readout=Readout.SUM, periods=(1, 2, 2)), 0.25),
    "stochastic": (  # a frame has fewer slots than an update has words
        series_design(
            (1, 1, 20, 1), (Lif(1), DENSE, DENSE), lanes=8, periods=(1, 1, 2), weight_cast=Cast(Rounding.STOCHASTIC), hidden=Activation.RELU
        ),
        0.25,
    ),
}
"""Designs, and magnitudes of their first weights."""

FAULTS = (
    _fault("a pass begins with the state of another", "state:StateUnit.elaborate", "Mux(self.neuron.initial, 0, read.data)", "read.data"),
    _fault("h of the present frame", "operands:SeriesOperands._fetch", "frame.before, ~frame.odd", "frame.place, frame.odd"),
    _fault("h in the first frame", "operands:SeriesOperands._fetch", "ahead.recurrent & ~ahead.initial", "ahead.recurrent"),
    _fault("h decays too fast", "state:LeakyResponse.build", "-self.kind.leak", "-self.kind.leak + 1"),
    _fault("v decays too fast", "state:LifResponse.build", "-self.kind.leak", "-self.kind.leak + 1", "two-sided"),
    _fault("a neuron fires above the threshold alone", "state:LifResponse.build", "v >= one", "v > one", "at the threshold"),
    _fault("a spike leaves v as it is", "state:LifResponse.build", "Mux(fires, one, 0)", "0", "two-sided"),
    _fault(
        "a sum goes on from pass to pass",
        "readout:ReadoutSums.elaborate",
        "Mux(self.neuron.initial, 0, read.data)",
        "read.data",
        "two-sided",
    ),
    _fault(
        "a frame too many", "frames:FrameCount.elaborate", "number == self.length", "number == Mux(self.length == 3, 3, self.length + 1)"
    ),
    _fault("the length is ignored", "operands:SeriesOperands._find_length", "Mux(is_length, loader.data, frames)", "frames"),
    _fault("errors of the first segment", "errors:SeriesErrorUnit._sweep", "behind, frames.o.segment)", "behind, 0)"),
    _fault(
        "the sign of a neighbour", "neurons:EvaluationStream.elaborate", "frame.segment) + leaving.index", "frame.segment) + ~leaving.index"
    ),
    _fault("the sign of another segment", "frames:FrameCount.elaborate", "held_for == self.hold", "held_for > self.hold"),
    _fault("an update in every frame", "array:SeriesArray._updates", "self.update & slot.final", "self.update"),
    _fault("a word is shown in every frame", "array:SeriesArray._is_shown", " & slot.final", ""),
    _fault("an applying pass ends with a frame", "array:SeriesArray._ends_pass", " & slot.final", "", "two-sided"),
    _fault("an error counts in every frame", "errors:SeriesErrorUnit._cast", "~delayed(", "0 & ~delayed(", "held"),
    _fault("segments without a frame have signs", "errors:SeriesErrorUnit._sweep", "tail | (reached < self.length)", "~Signal()"),
    _fault(
        "a probe writes where the unperturbed pass did",
        "neurons:EvaluationStream.elaborate",
        "~is_unperturbed(leaving.bank), tail",
        "0, tail",
    ),
    _fault("parameters of the next frame", "array:SeriesArray._parameter_read", "slot_layout(self.spec)(ahead)", "_"),
    _fault("E goes on from presentation to presentation", "errors:SeriesErrorUnit._sum", "Mux(fresh, 0, old)", "old"),
    _fault("G goes on from group to group", "array:SeriesArray._sum_by_group", "Mux(begins, 0, ", "Mux(0, 0, ", "by group"),
    _fault("the parameters of the next group", "array:SeriesArray._address", "& ~ahead.initial", "& ahead.initial", "by group"),
    _fault(
        "the errors of the next group", "errors:SeriesErrorUnit._stay_in_group", "neuron.eq(first)", "neuron.eq(neuron + 1)", "by group"
    ),
    _fault("a group has one frame", "sequencer:SeriesSequencer._stay_in_group", "~frames.o.last),", "0),", "by group"),
    _fault("a half of E reads and writes", "errors:SeriesErrorUnit._store", "delay=self._write_delay", "delay=0", "by group"),
    _fault("a target is read among the inputs", "operands:SeriesOperands._samples", "words + targets.addr", "targets.addr"),
    _fault("signs of the stream are summed", "core:SeriesCore._connect_errors", "signs.sweeps.eq(errors.busy)", "signs.sweeps.eq(0)"),
    Fault("tanh of magnitudes", "activation:ActivationUnit._of_magnitude", "-read.data, read.data)", "read.data, read.data)", "steep"),
    _fault("a sum is read by the tail alone", "readout:ReadoutSums.elaborate", "self.coming.valid &", "0 &", "a sum for a tail"),
    _fault("rounding words end with a frame", "array:SeriesNoise._begins", " & slot.initial", "", "stochastic"),
)
"""Faults that some presentations show."""

INTERRUPTED = tuple(
    _fault(name, f"controller:SeriesController.{where}", right, wrong)
    for name, where, right, wrong in (
        ("a repeated unperturbed pass is shown", "_take_sample", "self.shown.eq(flags.begins_one)", "self.shown.eq(1)"),
        ("E is cleared where a run goes on", "_take_sample", "self.first | flags.begins_one", "1"),
        ("a load leaves the presentation open", "elaborate", 'commands["loaded"] | ', ""),
        ("a restart leaves the presentation open", "elaborate", 'commands["restart"] | flags.judged', "flags.judged"),
        ("an inference leaves the presentation open", "elaborate", "flags.judged | (flags.needs_all", "(flags.needs_all"),
        ("a stop applies what is not complete", "_measure", "with m.If(flags.ending)", "with m.If(flags.ending | flags.stopping)"),
    )
)
"""Faults that an uninterrupted run does not show."""


def some_presentations(spec, weight):
    """Run some presentations on a core and its model, from biases of 1 and weights of this magnitude, of either sign in turn.

    Where the weights are 0, a spiking neuron reaches its threshold, and does not exceed it.
    """
    steps, one = 3 * max(spec.schedule.sample_period, spec.schedule.update_period), 1 << spec.formats.weight.fraction_bits
    signs = itertools.cycle((1, -1, 1))
    rows = [
        [one, *(int(next(signs) * weight * one) for _ in range(layer.fan_in))] for layer in spec.network.layers for _ in range(layer.n_out)
    ]
    parameters = np.array(list(itertools.chain.from_iterable(rows)))

    def scenario(model):
        model.prepare()
        model.load(parameters)
        model.train(steps)
        model.check_registers()

    run_lockstep(spec, scenario, random.Random(3), samples=steps)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_without_a_fault_nothing_differs(name):
    some_presentations(*PLANTED[name])


@pytest.mark.slow
@pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name, marks=in_turn(number, 2)) for number, fault in enumerate(FAULTS)])
def test_a_fault_is_seen(fault, monkeypatch):
    planted(fault, monkeypatch.setattr)
    with pytest.raises((AssertionError, CoreError)):
        some_presentations(*PLANTED[fault.design])


@pytest.mark.slow
@pytest.mark.parametrize("fault", INTERRUPTED, ids=lambda fault: fault.name)
def test_a_fault_that_only_an_interrupted_run_shows_is_seen(fault, monkeypatch):
    planted(fault, monkeypatch.setattr)
    with pytest.raises(AssertionError):
        a_run_with_everything(fault.design)
