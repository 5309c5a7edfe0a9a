"""What a host may do at any cycle of a presentation: stop, go on, load, infer, restart, read; and samples that come late.

The events of the whole run must be those of the model, which knows nothing of cycles.
"""

import itertools
import random

import numpy as np
import pytest

from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec
from python_ref.spec.optimizer import Momentum
from python_ref.spec.perturbation import SequentialCode
from python_ref.spec.registers import Command
from rtl_gen.core import contract
from sim.program import ReplayLink
from tests.support.core_bench import CoreBench, run_bench
from tests.support.faults import Fault, planted
from tests.support.lockstep import Lockstep, compare_events, samples_of, stream_table
from tests.support.marks import LONG, SLOW, long_unless, slow_unless
from tests.support.node_designs import node_design, two_multipliers
from tests.support.stochastic_faults import STOCHASTIC_DESIGNS, STOCHASTIC_RUN_FAULTS

SAMPLES, ENDLESS = 5, 1_000_000
DESIGNS = {
    "nine-probes": node_design(sizes=(2, 3, 2), periods=(1, 9, 9), hidden=Activation.TANH),
    "two-sided": node_design(sizes=(2, 2, 2), periods=(2, 6, 6), two_sided=True, hidden=Activation.IDENTITY),
    "one-layer": node_design(sizes=(2, 3), periods=(1, 8, 8), lanes=4),
    "memory": node_design(sizes=(2, 3, 2), periods=(1, 6, 12), lanes=1, hidden=Activation.TANH),
    "many-lanes": node_design(sizes=(2, 9, 2), periods=(1, 6, 6), lanes=9),
    "sequential": node_design(code=SequentialCode(), periods=(1, 12, 12), optimizer=Momentum(2), hidden=Activation.SIGMOID),
    "sequential-twice": node_design(code=SequentialCode(), periods=(2, 9, 9), two_sided=True, lanes=1, hidden=Activation.SIGMOID),
    "several-hidden": node_design(sizes=(2, 3, 2, 2), code=SequentialCode(), periods=(1, 9, 9), hidden=Activation.TANH),
    "several-hidden-twice": node_design(
        sizes=(2, 2, 3, 2, 1), code=SequentialCode(), periods=(2, 10, 5), two_sided=True, lanes=4, hidden=Activation.SIGMOID
    ),
}
DESIGNS |= {name: spec for name, spec in STOCHASTIC_DESIGNS.items() if spec.schedule.sample_period > 4}
DESIGNS |= {f"{name}, two": two_multipliers(spec) for name, spec in DESIGNS.items()}


class Scene:
    """A core and its model, and the samples of both.

    Parameters
    ----------
    name : str
        Name of the design.
    seed : int
        Seed of parameters, samples and actions.
    spec : DesignSpec or None
        The design; None takes that of the name.
    """

    def __init__(self, name: str, seed: int = 1, spec: DesignSpec | None = None):
        self.spec, self.rng = spec or DESIGNS[name], random.Random(f"{name} {seed}")
        reach = 1 << self.spec.formats.weight.fraction_bits - 1  # so that neither neurons nor parameters stay at their limits
        self.parameters = np.array([self.rng.randint(-reach, reach) for _ in range(self.spec.network.n_parameters)])
        inputs, targets = samples_of(self.rng, self.spec, SAMPLES)
        order = [self.rng.randrange(SAMPLES) for _ in range(3_000)]
        table = stream_table(self.spec, inputs, targets).tolist()
        self.words = (word for k in order for word in table[k])
        self.model = Lockstep(self.spec, ReplayLink([]), ((inputs[k], targets[k]) for k in order), self.parameters)

    def run(self, scenario, **options) -> CoreBench:
        """Run a scenario after both have been set up; every event must be the model's."""

        async def whole(bench: CoreBench) -> None:
            await bench.act(self.model, lambda model: model.prepare())
            await scenario(bench)
            await bench.act(self.model, lambda model: model.check_registers())

        bench = run_bench(self.spec, whole, self.words, **options)
        compare_events(self.spec, self.model.history, bench.shown())
        assert self.model.history
        return bench

    async def stop(self, bench: CoreBench, delay: int) -> None:
        """Begin an endless run, stop it some cycles later, and let the model do the steps that the core has done."""
        await bench.start(Command.TRAIN, ENDLESS)
        await bench.ticks(delay)
        await bench.write("command", Command.STOP)
        await bench.idle()
        self.model.follow(await bench.read("steps") - self.model.steps)


def presentation_cycles(name: str) -> int:
    """Cycles of the longest presentation of a design."""
    return contract(DESIGNS[name]).presentation_cycles(DESIGNS[name].longest_presentation)


STRIDE = 11
"""Every so many cycles a run is stopped in one part of the sweep; the parts together stop it at every cycle."""


@pytest.mark.parametrize(
    "part",
    [
        0,
        *(pytest.param(part, marks=LONG) for part in range(1, STRIDE)),
    ],
)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=SLOW if name in ("runs", "nine-probes, two") else long_unless(name == "nine-probes")) for name in DESIGNS],
)
def test_a_run_that_is_stopped_at_any_cycle_equals_the_uninterrupted_one(name, part):
    scene = Scene(name, part)

    async def scenario(bench):
        for delay in range(part, presentation_cycles(name) + 20, STRIDE):
            await scene.stop(bench, delay)
        await bench.act(scene.model, lambda model: model.train(5))

    scene.run(scenario)
    uninterrupted = Scene(name, part)
    uninterrupted.model.follow(scene.model.steps)
    for shown, expected in zip(scene.model.history, uninterrupted.model.history, strict=True):
        assert shown.passes == expected.passes  # an unperturbed pass that is repeated is not shown
    steps = {shown.observed["counter"][0] % scene.spec.schedule.sample_period for shown in scene.model.history if shown.restarts}
    assert len(steps) > 3, "runs began in the middle of a presentation"


def test_what_is_pending_is_applied_where_a_run_ends():
    """Runs that end with a presentation, in the pass that applies the errors, and in the middle of the probes that follow."""
    spec = two_multipliers(node_design(sizes=(1, 1, 1), periods=(1, 2, 2), lanes=1))
    scene = Scene("pending", spec=spec)

    async def scenario(bench):
        await bench.act(scene.model, lambda model: model.train(2))
        cycles = contract(spec).presentation_cycles(2)
        for delay in (cycles - 8, cycles + 3, cycles + 30):
            await scene.stop(bench, delay)
        await bench.act(scene.model, lambda model: model.train(3))

    scene.run(scenario)
    assert len({tuple(shown.observed["parameter"]) for shown in scene.model.history}) > 3


ACTIONS = {
    "load": lambda scene: lambda model: model.load(scene.parameters[::-1] + model.steps % 5),
    "infer": lambda scene: lambda model: model.infer(2),
    "restart": lambda scene: lambda model: model.restart(model.steps + 3),
    "clear": lambda scene: lambda model: model.clear(),
    "check": lambda scene: lambda model: model.check_registers(),
}
"""What a host does between two runs."""


@pytest.mark.parametrize(
    "actions",
    [pytest.param(tuple(ACTIONS), marks=pytest.mark.slow), *(pytest.param((name,), marks=LONG) for name in ACTIONS)],
    ids="-".join,
)
@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == "nine-probes" else LONG) for name in DESIGNS])
def test_what_a_host_does_in_the_middle_of_a_presentation(name, actions):
    """Stop after each of many delays, and do something then: one thing after each in turn, or, in a longer test, the same after all."""
    scene, opened = Scene(name), []

    async def scenario(bench):
        delays = range(30, presentation_cycles(name), max(7, min(31, presentation_cycles(name) // 16)))
        for delay, action in zip(delays, itertools.cycle(actions), strict=False):
            await scene.stop(bench, delay)
            opened.append(np.any(scene.model.state.error_sum))
            await bench.act(scene.model, ACTIONS[action](scene))
            if action in ("load", "infer", "restart"):
                assert not np.any(scene.model.state.error_sum)
                await bench.act(scene.model, lambda model: model.check_registers())
        await bench.act(scene.model, lambda model: model.train(4))

    scene.run(scenario)
    assert sum(opened) > 2, "presentations were open"


LATE = ("two-sided", "memory", "runs", "nine-probes, two", "sequential, two", "memory, two")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nine-probes", *LATE])
def test_samples_that_come_late_change_nothing(name):
    scene, steps, offered = Scene(name), 12 * DESIGNS[name].longest_presentation, {}

    def offers(word, cycle):
        """Each word comes some cycles after the one before it: from none to more than a presentation has."""
        first = offered.setdefault(word, cycle)
        return cycle - first >= word * 29 % 97

    async def scenario(bench):
        await bench.act(scene.model, lambda model: model.train(steps))

    scene.run(scenario, offers=offers)


@pytest.mark.parametrize("name", ["nine-probes", pytest.param("nine-probes, two", marks=pytest.mark.slow)])
def test_a_stop_while_a_presentation_waits_for_its_sample(name):
    scene = Scene(name)
    size = scene.spec.network.n_in + scene.spec.network.n_out
    samples = 3
    opened = []

    def offers(word, cycle):
        return word < samples * size or bool(opened)

    async def scenario(bench):
        await bench.start(Command.TRAIN, ENDLESS)
        for _ in range(200):
            status = await bench.read("status", wait=bench.cycle % 3)
        assert status == 3
        await bench.write("command", Command.STOP)
        await bench.idle()
        scene.model.follow(await bench.read("steps"))
        assert scene.model.steps == samples * scene.spec.schedule.sample_period
        opened.append(True)
        await bench.act(scene.model, lambda model: model.train(4))

    scene.run(scenario, offers=offers)


def test_reads_during_a_run_that_wait_for_their_answers_change_nothing():
    scene = Scene("nine-probes")

    async def scenario(bench):
        await bench.start(Command.TRAIN, 12)
        wait = 0
        while bench.ctx.get(bench.core.busy):
            for name in ("steps", "status", "saturated_error"):
                await bench.read(name, wait=wait % 9)
                wait += 1
        await bench.idle()
        scene.model.follow(12)
        assert wait > 10

    scene.run(scenario)


@pytest.mark.parametrize("multipliers", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("edge", [pytest.param(edge, marks=slow_unless(edge == 6)) for edge in (4, 5, 6, 7, 8)])
def test_a_rate_that_changes_within_a_presentation_takes_the_rate_of_its_last_step(edge, multipliers):
    spec = node_design(sizes=(2, 3, 2), periods=(1, 4, 4), rates=((0, -5), (edge, -7)))
    scene = Scene("rates", spec=spec if multipliers == 1 else two_multipliers(spec))

    async def scenario(bench):
        await bench.act(scene.model, lambda model: model.train(3))
        await bench.act(scene.model, lambda model: model.train(10))

    scene.run(scenario)
    exponents = [scene.spec.exponent_at(n) for n in (3, 7, 11)]
    assert exponents == [exponents[0], exponents[0] - 2 * (edge <= 7), exponents[0] - 2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["memory", "memory, two"])
def test_a_run_in_pieces_equals_the_whole_run(name):
    whole, pieces = Scene(name), Scene(name)

    async def at_once(bench):
        await bench.act(whole.model, lambda model: model.train(25))

    async def one_by_one(bench):
        for count in (1, 1, 3, 2, 5, 8, 1, 4):
            await bench.act(pieces.model, lambda model, count=count: model.train(count))

    whole.run(at_once)
    pieces.run(one_by_one)
    for name in ("parameters", "gradient", "error_sum", "counters"):
        np.testing.assert_array_equal(getattr(whole.model.state, name), getattr(pieces.model.state, name))
    assert whole.model.state.signature == pieces.model.state.signature


def _fault(name: str, right: str, wrong: str, design: str = "nine-probes") -> Fault:
    """A fault of the controller."""
    return Fault(name, "presentation.controller:PresentationController.elaborate", right, wrong, design)


FAULTS = (
    _fault("a repeated unperturbed pass is shown", "self.shown.eq(begins_one)", "self.shown.eq(1)"),
    _fault("E is cleared where a run goes on", "self.first.eq((taking & begins_one)", "self.first.eq(taking"),
    _fault("a load leaves the presentation open", 'needs_all.eq(commands["loaded"] | ', "needs_all.eq("),
    _fault("a restart leaves the presentation open", 'commands["restart"] | (measured & inferring)', "(measured & inferring)"),
    _fault("an inference leaves the presentation open", " | (measured & inferring) | (needs_all", " | (needs_all"),
    _fault(
        "a stop ends a step between its probes",
        "(closes_step & (ending | stopping | left.none))",
        "(closes_step & (ending | left.none) | stopping)",
        "two-sided",
    ),
    _fault("a stop applies what is not complete", "run.drain & ending & errors_ready", "run.drain & (ending & errors_ready | stopping)"),
    Fault(
        "a flushing pass does not write",
        "presentation.array:NodeArray._writes",
        "slot.apply & (",
        "slot.apply & slot.measure & (",
        "nine-probes, two",
    ),
    Fault(
        "sample and activations of the pass before a stop",
        "presentation.just_in_time:JustInTimeOperands._fetch",
        "with m.If(self.hold)",
        "with m.If(self.turn)",
        "nine-probes, two",
    ),
    Fault(
        "errors are applied again after a stop",
        "presentation.just_in_time:JustInTimeController._keep_pending",
        "~(self.apply & self.started)",
        "~(run.apply & self.started)",
        "nine-probes, two",
    ),
    *STOCHASTIC_RUN_FAULTS,
)
"""Faults that an uninterrupted run does not show."""


def a_run_with_everything(name: str) -> None:
    """Stop some runs, and load, infer and restart in the middle of presentations."""
    scene = Scene(name)

    async def scenario(bench):
        for number, action in enumerate((None, "load", None, "infer", None, "restart", None)):
            for delay in range(30 + 7 * number, presentation_cycles(name), 37):
                await scene.stop(bench, delay)
                if action and np.any(scene.model.state.error_sum):
                    await bench.act(scene.model, ACTIONS[action](scene))
                    await bench.act(scene.model, lambda model: model.check_registers())
                    break
        await bench.act(scene.model, lambda model: model.train(4))

    scene.run(scenario)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["nine-probes", "runs", *(pytest.param(name, marks=pytest.mark.long) for name in ("two-sided", "nine-probes, two"))]
)
def test_without_a_fault_nothing_differs(name):
    a_run_with_everything(name)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_that_only_an_interrupted_run_shows_is_seen(fault, monkeypatch):
    planted(fault, monkeypatch.setattr)
    with pytest.raises(AssertionError):
        a_run_with_everything(fault.design)
