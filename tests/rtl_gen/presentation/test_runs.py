"""What a host may do at any cycle of a presentation: stop, go on, load, infer, restart, read; and samples that come late.

The events of the whole run must be those of the model, which knows nothing of cycles.
"""

import random
from dataclasses import replace

import numpy as np
import pytest

from python_ref.spec.design import DesignSpec
from python_ref.spec.registers import Command
from rtl_gen.core import contract
from sim.program import ReplayLink, sample_table
from tests.support.core_bench import CoreBench, run_bench
from tests.support.designs import random_parameters, random_samples
from tests.support.lockstep import Lockstep, compare_events
from tests.support.node_designs import SHAPES, node_design

SAMPLES, ENDLESS = 5, 1_000_000
DESIGNS = {
    "three-probes": node_design(sizes=(2, 3, 2), periods=(1, 3, 3)),
    "two-sided": node_design(sizes=(2, 2, 2), periods=(2, 3, 3), two_sided=True),
    "one-layer": node_design(sizes=(2, 3), periods=(1, 4, 4), lanes=4),
    "memory": node_design(sizes=(2, 2, 1), periods=(1, 2, 4), lanes=1),
    "many-lanes": node_design(sizes=(2, 9, 2), periods=(1, 2, 2), lanes=9),
    "sequential": replace(SHAPES["momentum"], perturbation=SHAPES["sequential"].perturbation),
}


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
        self.parameters = random_parameters(self.rng, self.spec)
        inputs, targets = random_samples(self.rng, self.spec, SAMPLES)
        order = [self.rng.randrange(SAMPLES) for _ in range(3_000)]
        table = sample_table(self.spec, inputs, targets).tolist()
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


STRIDE = 7
"""Every so many cycles a run is stopped in one part of the sweep; the parts together stop it at every cycle."""


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, STRIDE))])
@pytest.mark.parametrize(
    "name", ["three-probes", "two-sided", *(pytest.param(n, marks=pytest.mark.slow) for n in DESIGNS if n[0] in "oms")]
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
    assert len(steps) > 1, "some run began in the middle of a presentation"


ACTIONS = {
    "load": lambda scene: lambda model: model.load(random_parameters(random.Random(model.steps), scene.spec)),
    "infer": lambda scene: lambda model: model.infer(2),
    "restart": lambda scene: lambda model: model.restart(model.steps + 3),
    "clear": lambda scene: lambda model: model.clear(),
    "check": lambda scene: lambda model: model.check_registers(),
}
"""What a host does between two runs."""


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    "name", ["three-probes", *(pytest.param(name, marks=pytest.mark.slow) for name in DESIGNS if name != "three-probes")]
)
def test_what_a_host_does_in_the_middle_of_a_presentation(name, action):
    scene, opened = Scene(name), []

    async def scenario(bench):
        for delay in range(40, presentation_cycles(name), 23):
            await scene.stop(bench, delay)
            opened.append(np.any(scene.model.state.error_sum))
            await bench.act(scene.model, ACTIONS[action](scene))
            if action in ("load", "infer", "restart"):
                assert not np.any(scene.model.state.error_sum)
                await bench.act(scene.model, lambda model: model.check_registers())
        await bench.act(scene.model, lambda model: model.train(4))

    scene.run(scenario)
    assert any(opened), "some presentation was open"


@pytest.mark.parametrize("name", ["three-probes", *(pytest.param(name, marks=pytest.mark.slow) for name in ("two-sided", "memory"))])
def test_samples_that_come_late_change_nothing(name):
    scene, steps, offered = Scene(name), 20 * DESIGNS[name].longest_presentation, {}

    def offers(word, cycle):
        """Each word comes some cycles after the one before it: from none to more than a presentation has."""
        first = offered.setdefault(word, cycle)
        return cycle - first >= word * 29 % 97

    async def scenario(bench):
        await bench.act(scene.model, lambda model: model.train(steps))

    scene.run(scenario, offers=offers)


def test_a_stop_while_a_presentation_waits_for_its_sample():
    scene = Scene("three-probes")
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
    scene = Scene("three-probes")

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


@pytest.mark.parametrize("edge", [4, 5, 6, 7, 8])
def test_a_rate_that_changes_within_a_presentation_takes_the_rate_of_its_last_step(edge):
    scene = Scene("rates", spec=node_design(sizes=(2, 3, 2), periods=(1, 4, 4), rates=((0, -5), (edge, -7))))

    async def scenario(bench):
        await bench.act(scene.model, lambda model: model.train(3))
        await bench.act(scene.model, lambda model: model.train(10))

    scene.run(scenario)
    exponents = [scene.spec.exponent_at(n) for n in (3, 7, 11)]
    assert exponents == [exponents[0], exponents[0] - 2 * (edge <= 7), exponents[0] - 2]


def test_a_run_in_pieces_equals_the_whole_run():
    whole, pieces = Scene("memory"), Scene("memory")

    async def at_once(bench):
        await bench.act(whole.model, lambda model: model.train(21))

    async def one_by_one(bench):
        for count in (1, 1, 3, 2, 5, 4, 1, 4):
            await bench.act(pieces.model, lambda model, count=count: model.train(count))

    whole.run(at_once)
    pieces.run(one_by_one)
    for name in ("parameters", "gradient", "error_sum", "counters"):
        np.testing.assert_array_equal(getattr(whole.model.state, name), getattr(pieces.model.state, name))
    assert whole.model.state.signature == pieces.model.state.signature
