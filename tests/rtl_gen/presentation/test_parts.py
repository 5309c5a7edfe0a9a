"""Probes of parts: what the core shows, counts and signs is the model's, in the cycles of the contract, also where runs are interrupted."""

import random
from collections.abc import Iterator

import numpy as np
import pytest

from python_ref.fixed.machine import initial_state, step
from python_ref.spec.design import DesignSpec
from python_ref.spec.perturbation import WalshCode, WalshGrayCode
from python_ref.spec.probes import probes
from rtl_gen.core import contract, core_of
from sim.engines.amaranth_sim import run_amaranth
from sim.node_events import node_decoder
from sim.ports import Ports
from sim.program import training_program
from tests.rtl_gen.presentation import test_runs
from tests.rtl_gen.presentation.test_contract import measured
from tests.rtl_gen.presentation.test_core import SAMPLES, shown_by_the_core, start_of
from tests.support.faults import Fault, planted
from tests.support.marks import LONG, slow_unless
from tests.support.node_designs import PART_SHAPES, node_design

QUICK = ("layer-by-layer",)


def modelled(spec: DesignSpec, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """Observables of the steps of a run of the one-page model."""
    parameters, inputs, targets = start_of(spec, seed)
    state, n = initial_state(spec, parameters), 0
    while True:
        sample = n // spec.schedule.sample_period % SAMPLES
        state, observed = step(spec, state, (inputs[sample], targets[sample]))
        yield observed
        n += 1


def check(spec: DesignSpec, steps: int) -> None:
    """Every observable of every step is the model's."""
    found = shown_by_the_core(spec, 3, steps)
    assert len(found["cost"]) > steps // 2
    for n, expected in zip(range(len(found["cost"])), modelled(spec, 3), strict=False):
        for probe in probes(spec):
            np.testing.assert_array_equal(found[probe.name][n], expected[probe.name], err_msg=f"step {n}: {probe.name}")


def check_cycles(spec: DesignSpec) -> None:
    """Presentations take what the contract says."""
    lengths, cycles, busy = measured(spec, 4)
    promised, firsts = contract(spec), np.cumsum([0, *lengths]).tolist()
    expected = [promised.presentation_cycles(length, first, opens=first == 0) for length, first in zip(lengths, firsts, strict=False)]
    assert cycles == expected[: len(cycles)]
    assert 0 <= busy - promised.first_steps(spec, sum(lengths)) - promised.flush_cycles <= 8


SHAPES = pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name in QUICK)) for name in PART_SHAPES])


@SHAPES
def test_every_observable_is_the_model_s(name):
    spec = PART_SHAPES[name]
    check(spec, 2 * max(spec.schedule.sample_period, spec.schedule.update_period) + 5)


@SHAPES
def test_presentations_take_the_cycles_of_the_contract(name):
    check_cycles(PART_SHAPES[name])


def test_events_may_come_one_by_one_or_all_at_once():
    """A decoder returns the same steps, whatever it has been given when it is asked."""
    spec = PART_SHAPES["momentum"]
    parameters, inputs, targets = start_of(spec, 3)
    ports, fed = Ports.of(spec), []
    program = training_program(spec, parameters, inputs, targets, np.arange(20) % SAMPLES, 20, read_back=False)
    run_amaranth(core_of(spec), ports, program, lambda event, rows: fed.extend((event, row[None]) for row in rows), patience=3_000)
    taken = {}
    for stride in (1, 7, len(fed)):
        decoder, found = node_decoder(spec, ports, parameters), []
        for number, (event, row) in enumerate(fed, 1):
            decoder.feed(event, row)
            if number % stride == 0 and decoder.ready:
                found.append(decoder.take(number % 3 + 1))
        found.append(decoder.take())
        assert decoder.steps == 20 and not decoder.leftover()
        taken[stride] = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
    for name, values in taken[1].items():
        for stride in taken:
            np.testing.assert_array_equal(taken[stride][name], values, err_msg=f"{name}, {stride}")


def random_parts(seed: int) -> DesignSpec:
    """A random design with at least two parts."""
    rng = random.Random(seed)
    while True:
        layers, parts = rng.randint(2, 5), []
        sizes = tuple(rng.choice((1, 2, 3, rng.randint(1, 20))) for _ in range(layers + 1))
        while layers:
            parts.append((rng.randint(1, layers), rng.choice((1, 1, 2, 3))))
            layers -= parts[-1][0]
        probes_of_a_round = sum(times for _, times in parts)
        code = rng.choice((None, WalshCode(), WalshGrayCode()))
        times = probes_of_a_round if code else rng.choice((1, 1, 2, 3))
        sample, update = (probes_of_a_round * factor for factor in rng.choice(((1, 1), (2, 1), (1, 2), (2, 2), (3, 2))))
        if len(parts) > 1:
            return node_design(
                sizes,
                code,
                rng.choice((1, 2, 3, 5, 9, 16)),
                (times, sample, update),
                two_sided=rng.random() < 0.4,
                parts=tuple(parts),
            )


@pytest.mark.slow
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=() if seed < 3 else pytest.mark.long) for seed in range(24)])
def test_random_parts(seed):
    spec = random_parts(seed)
    check(spec, 2 * max(spec.schedule.sample_period, spec.schedule.update_period) + 5)
    check_cycles(spec)


# -- Interruptions ------------------------------------------------------------------------------------------------------


async def stop_often(scene: test_runs.Scene, bench, first: int, stride: int) -> None:
    """Stop runs at many cycles of a presentation, and complete what is open."""
    for delay in range(first, contract(scene.spec).presentation_cycles(scene.spec.longest_presentation) + 20, stride):
        await scene.stop(bench, delay)
    await bench.act(scene.model, lambda model: model.train(5))


@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("layer-by-layer", 37),
        pytest.param("deep", 7, marks=pytest.mark.slow),
        *(
            pytest.param(name, 7, marks=LONG)
            for name in ("layer-by-layer", "last-layer-thrice", "two-sided", "momentum", "walsh", "wide-output")
        ),
    ],
)
def test_a_run_that_is_stopped_inside_a_round_equals_the_uninterrupted_one(name, stride):
    scene = test_runs.Scene(name, spec=PART_SHAPES[name])

    async def scenario(bench):
        await stop_often(scene, bench, 3, stride)

    scene.run(scenario)
    uninterrupted = test_runs.Scene(name, spec=PART_SHAPES[name])
    uninterrupted.model.follow(scene.model.steps)
    for shown, expected in zip(scene.model.history, uninterrupted.model.history, strict=True):
        assert shown.passes == expected.passes
    resumed = {shown.observed["counter"][0] % scene.spec.round.probes for shown in scene.model.history if shown.restarts}
    assert len(resumed) > 1, "runs went on inside a round"


@pytest.mark.slow
@pytest.mark.parametrize("action", test_runs.ACTIONS)
@pytest.mark.parametrize("name", ["layer-by-layer", pytest.param("last-layer-thrice", marks=LONG)])
def test_a_presentation_begins_with_the_first_part_whatever_the_host_did(name, action):
    scene, opened = test_runs.Scene(name, spec=PART_SHAPES[name]), []
    cycles = contract(scene.spec).presentation_cycles(scene.spec.longest_presentation)

    async def scenario(bench):
        for delay in range(60, cycles, max(23, cycles // 6)):
            await scene.stop(bench, delay)
            opened.append(np.any(scene.model.state.error_sum))
            await bench.act(scene.model, test_runs.ACTIONS[action](scene))
            if action != "check":
                await bench.act(scene.model, lambda model: model.check_registers())
        await bench.act(scene.model, lambda model: model.train(4))

    scene.run(scenario)
    assert any(opened), "a presentation was open"


@pytest.mark.parametrize("right", ["", "with m.If(begins):"], ids=["without a fault", "the round goes on after a load"])
def test_a_round_that_does_not_begin_anew_is_seen(right, monkeypatch):
    if right:
        where = "presentation.controller:PresentationController._take_turns"
        planted(Fault("the round goes on", where, right, "with m.If(begins & 0):", "layer-by-layer"), monkeypatch.setattr)
    scene = test_runs.Scene("layer-by-layer", spec=PART_SHAPES["layer-by-layer"])

    async def scenario(bench):
        await bench.act(scene.model, lambda model: model.train(1))
        await bench.act(scene.model, lambda model: model.load(scene.parameters))
        await bench.act(scene.model, lambda model: model.train(4))

    if not right:
        scene.run(scenario)
        return
    with pytest.raises(AssertionError):
        scene.run(scenario)


# -- What it costs ------------------------------------------------------------------------------------------------------


def test_a_probe_of_the_last_layer_visits_no_synapse():
    spec = node_design(sizes=(784, 32, 10), lanes=8, periods=(1, 64, 64), parts=((1, 1), (1, 1)))
    promised, network = contract(spec), spec.network
    visits = promised.busy_lanes * 8 * promised.presentation_cycles(64)
    assert visits == pytest.approx(2 * network.n_parameters + 32 * network.layers[1].n_parameters)


def test_long_presentations_of_rounds_are_as_long_as_their_walk():
    """The contract stops its walk where the distances between probes repeat; with a longer memory it walks to the end."""
    spec = PART_SHAPES["deep"]
    promised = contract(spec)
    lengths = [promised.presentation_cycles(4 * rounds + more) for rounds in (40, 41, 400) for more in range(4)]
    assert lengths[4:8] == [length + lengths[4] - lengths[0] for length in lengths[:4]]
    assert lengths[8:] == [length + 360 * (lengths[4] - lengths[0]) for length in lengths[:4]]


def test_long_rounds_take_as_much_longer_as_they_have_probes():
    """Rounds of 20,001 probes, over which a walk that compared whole rounds after each probe would take minutes."""
    spec = node_design(periods=(1, 20_001, 20_001), parts=((1, 1), (1, 20_000)))
    cycles = contract(spec).presentation_cycles(3 * 20_001)
    short = contract(node_design(periods=(1, 101, 101), parts=((1, 1), (1, 100)))).presentation_cycles(3 * 101)
    longer = contract(node_design(periods=(1, 201, 201), parts=((1, 1), (1, 200)))).presentation_cycles(3 * 201)
    assert cycles == short + 199 * (longer - short)
