"""The cycle contract of node perturbation is what simulation counts, and its parts are the sums that the design document gives."""

from itertools import cycle, pairwise

import numpy as np
import pytest

from mgd_hw.design.reader import load, shipped
from python_ref.spec.design import DesignSpec
from python_ref.spec.perturbation import SequentialCode, WalshCode
from python_ref.spec.registers import Command
from python_ref.spec.schedule import MAX_PERIOD
from rtl_gen.core import contract, core_of
from sim import host
from sim.program import ProgramLink, sample_table
from tests.rtl_gen.presentation.test_core import start_of
from tests.support.core_bench import run_bench
from tests.support.marks import LONG, in_turn, long_unless, slow_unless
from tests.support.node_designs import DEEP_SHAPES, PART_SHAPES, SHAPES, SPARSE_SHAPES, node_design, single_port, two_multipliers

MORE = {
    "sixteen-layers": node_design(sizes=(2, 3, *(2, 1) * 6, 2, 3), lanes=2, periods=(1, 3, 3)),
    "many-groups": node_design(sizes=(2, 33, 3), lanes=4, periods=(1, 16, 16)),
    "signs-thrice": node_design(sizes=(2, 12), periods=(3, 9, 9), lanes=16),
    "long-presentation": node_design(sizes=(4, 6, 3), periods=(1, 30, 30), code=WalshCode()),
    "probes-in-pairs": node_design(sizes=(2, 3, 1), periods=(1, 40, 40), code=SequentialCode()),
    "long-stretches": node_design(sizes=(2, 2, 3, 1), periods=(15, 90, 90), code=SequentialCode()),
    "long-and-two-sided": node_design(sizes=(3, 5, 2), periods=(2, 20, 20), two_sided=True),
}
DESIGNS = SHAPES | MORE | {f"one at a time, {name}": spec for name, spec in DEEP_SHAPES.items()}
DESIGNS |= {f"sparse, {name}": spec for name, spec in SPARSE_SHAPES.items()}
QUICK = (
    *("one-layer", "more-lanes-than-neurons", "two-sided"),
    *("probes-in-pairs", "one at a time, not-by-period", "sparse, fan-in-one"),
)

LONG_TO_RUN = ("one at a time, pipelined", "many-groups", "long-presentation", "adam-pipelined")
"""Designs whose simulation takes long; others have what they have."""


def measured(spec: DesignSpec, presentations: int) -> tuple[list[int], list[int], int]:
    """Lengths of presentations in steps, the cycles from the start of each to the next one's, and the busy cycles of the whole run."""
    parameters, inputs, targets = start_of(spec, 3)
    table, core, begins, busy = sample_table(spec, inputs, targets), core_of(spec), [], []
    edges = [n for n in range(10_000) if spec.schedule.begins(n)][: presentations + 1]
    sequencer = core.sequencer
    applies_alone = sequencer.apply & ~sequencer.measure if spec.just_in_time else sequencer.apply

    async def scenario(bench):
        link = ProgramLink()
        host.prepare(spec, link, parameters)
        for _, address, data in link.program().ops.tolist():
            await bench._request(1, address, data)
        await bench.ticks(200)  # the first samples are there

        def watch(ctx):
            busy.append(ctx.get(core.busy))
            if ctx.get(core.sequencer.started) and not ctx.get(core.sequencer.probe) and not ctx.get(applies_alone):
                begins.append(bench.cycle)

        bench.watch.append(watch)
        await bench.start(Command.TRAIN, edges[-1])
        await bench.idle()

    run_bench(spec, scenario, cycle(table.ravel().tolist()), core=core)
    return np.diff(edges).tolist(), np.diff(begins).tolist(), sum(busy)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=LONG if name in LONG_TO_RUN else () if name in QUICK else in_turn(number, 2))
        for number, name in enumerate(DESIGNS)
    ],
)
def test_presentations_take_the_cycles_of_the_contract(name):
    check(DESIGNS[name], 4)


def test_long_stretches_of_probes_are_as_steady_as_short_ones():
    """A walk through whole periods, layer by layer, takes what the walk of one adds up to."""
    spec = MORE["long-stretches"]
    promised, period = contract(spec), 15 * 6
    one = promised.presentation_cycles(3 * period) - promised.presentation_cycles(2 * period)
    for first in (0, 7, 40):
        long = promised.presentation_cycles(MAX_PERIOD // period * period, first)
        assert long == promised.presentation_cycles(2 * period, first) + (MAX_PERIOD // period - 2) * one


TWO = {f"{name}, two": two_multipliers(spec) for name, spec in DESIGNS.items()}
TWO |= {f"{name}, parts, two": two_multipliers(spec) for name, spec in PART_SHAPES.items()}
QUICK_TWO = ("one-neuron, two", "sequential, two", "one-layer, parts, two")


@pytest.mark.parametrize("name", [pytest.param(name, marks=long_unless(name in QUICK_TWO)) for name in TWO])
def test_presentations_that_apply_just_in_time_take_the_cycles_of_the_contract(name):
    check(TWO[name], 4)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [SHAPES["one-lane"], two_multipliers(SHAPES["one-lane"])], ids=["one", "two"])
def test_presentations_with_memories_of_one_port_take_the_cycles_of_the_contract(spec):
    """Which are more than with memories of two ports, where the cycles without slots would be odd in number."""
    check(single_port(spec), 4)
    steps = spec.longest_presentation
    assert contract(single_port(spec)).presentation_cycles(steps) > contract(spec).presentation_cycles(steps)


@pytest.mark.parametrize(("name", "of_two"), [("probes-in-pairs", 11 + 15), ("long-presentation", 22 + 23)])
def test_the_longest_presentations_are_as_steady_as_short_ones(name, of_two):
    """Two more probes take as many cycles in each. The walk ends where the waits repeat: through 16 million probes it would take hours."""
    promised = contract(DESIGNS[name])
    for steps in (30, 31, 1_000, MAX_PERIOD - 2):
        assert promised.presentation_cycles(steps + 2) - promised.presentation_cycles(steps) == of_two


LARGE = ("mnist", "fashion", "digits_sparse", "digits_stochastic")
"""Shipped designs whose simulation takes minutes."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow, pytest.mark.long] if name in LARGE else slow_unless(name == "nist7x7"))
        for name in shipped()
        if load(name).spec.node and not load(name).spec.series
    ],
)
def test_shipped_designs_keep_the_contract(name):
    check(load(name).spec, 3)


def check(spec: DesignSpec, presentations: int) -> None:
    """Presentations take what the contract says."""
    lengths, cycles, busy = measured(spec, presentations)
    promised = contract(spec)
    firsts = np.cumsum([0, *lengths]).tolist()
    expected = [promised.presentation_cycles(length, first, opens=first == 0) for length, first in zip(lengths, firsts, strict=False)]
    assert cycles == expected[: len(cycles)]
    assert len(cycles) == len(lengths) - 1
    steps = sum(lengths)
    assert promised.first_steps(spec, steps) == sum(expected)
    # A run takes what its presentations take, and some cycles to begin and to end.
    assert 0 <= busy - promised.first_steps(spec, steps) - promised.flush_cycles <= 8


def test_a_run_in_parts_counts_an_open_presentation_in_full():
    spec = SHAPES["periods-that-cross"]  # presentations begin at the steps 0, 2, 3, 4 and 6
    promised = contract(spec)
    assert promised.first_steps(spec, 0) == 0
    two, one = promised.presentation_cycles(2), promised.presentation_cycles(1)
    assert [promised.first_steps(spec, steps) for steps in range(1, 9)] == [
        *(one, two, two + one, two + 2 * one, two + 3 * one, 2 * two + 2 * one),
        *(2 * two + 3 * one, 3 * two + 2 * one),
    ]


def slots_of(sizes, lanes: int) -> int:
    """Slots N of a pass: each group visits all inputs and the bias, and waits until its neurons have left."""
    found = 0
    for n_in, n_out in pairwise(sizes):
        groups = -(-n_out // lanes)
        found += groups * (n_in + 1 if groups == 1 else max(n_in + 1, lanes))
    return found


@pytest.mark.parametrize(("sizes", "lanes"), [((784, 32, 10), 8), ((64, 32, 10), 6), ((196, 64, 32, 10), 16)])
def test_a_probe_costs_the_layers_behind_the_first(sizes, lanes):
    spec = node_design(sizes=sizes, lanes=lanes, periods=(1, 64, 64), code=WalshCode())
    promised = contract(spec)
    assert promised.slots == slots_of(sizes, lanes)
    behind = slots_of(sizes[1:], lanes)
    bubbles = (len(sizes) - 2) * promised.depth
    assert promised.slots <= promised.unperturbed_cycles <= promised.slots + bubbles + 16
    # As many cycles as slots behind the first layer, or as neurons of the network, whichever are more.
    least = max(behind, sizes[1])
    assert least <= promised.probe_cycles <= max(behind + bubbles, sum(sizes[1:])) + 8
    words = sum(-(-n_out // lanes) * (n_in + 1) for n_in, n_out in pairwise(sizes))
    assert words <= promised.apply_cycles <= promised.slots + bubbles + 16
    total = promised.unperturbed_cycles + 64 * promised.probe_cycles + promised.apply_cycles + promised.wait
    assert promised.presentation_cycles(64) == pytest.approx(total, abs=1)
    assert promised.wait <= sizes[-1] + lanes + 60


def test_long_presentations_of_the_shipped_network_cost_what_the_design_document_says():
    spec = node_design(sizes=(784, 32, 10), lanes=8, periods=(1, 64, 64), code=WalshCode())
    promised = contract(spec)
    assert promised.slots == 4 * 785 + 2 * 33 == 3206
    assert promised.presentation_cycles(64) <= 2 * 3206 + 64 * 74 + 150


def test_incremental_probes_cost_a_slot_for_each_group_of_outputs():
    """A presentation of 42 probes, the exact gradient, takes fewer cycles than back-propagation's three passes, 9,618."""
    spec = node_design(sizes=(784, 32, 10), lanes=8, periods=(1, 42, 42), code=SequentialCode())
    promised = contract(spec)
    assert promised.unperturbed_cycles == promised.apply_cycles == 3206
    assert promised.probe_cycles <= 20
    assert promised.presentation_cycles(42) <= 7_500
    visits = promised.busy_lanes * 8 * promised.presentation_cycles(42)
    assert visits == pytest.approx(2 * spec.network.n_parameters + 42 * 10)


def test_incremental_probes_of_several_hidden_layers_compute_few_of_them_in_full():
    spec = node_design(sizes=(784, 64, 32, 10), lanes=8, periods=(1, 106, 106), code=SequentialCode())
    promised = contract(spec)
    slots = 2 * 33  # of the outputs, for a neuron of the first layer; the 32 neurons of the second one leave in as many cycles
    assert promised.sequencer.probe_cycles_from(1) <= 32 + slots
    assert promised.sequencer.probe_cycles_from(2) == 11
    assert promised.presentation_cycles(106) <= 2 * 6_606 + 64 * (32 + slots) + 42 * 20 + 100
    visits = promised.busy_lanes * 8 * promised.presentation_cycles(106)
    assert visits == pytest.approx(2 * spec.network.n_parameters + 64 * (32 + 330) + 42 * 10)
    assert promised.presentation_cycles(64, 0) - promised.presentation_cycles(64, 64) > 42 * 70  # by the layers that the steps perturb


def test_two_multipliers_apply_the_errors_without_cycles_of_their_own():
    spec = node_design(sizes=(784, 32, 10), lanes=8, periods=(1, 42, 42), code=SequentialCode())
    one, two = contract(spec), contract(two_multipliers(spec))
    assert (two.unperturbed_cycles, two.apply_cycles) == (one.unperturbed_cycles, 0)
    assert two.flush_cycles == pytest.approx(one.apply_cycles, abs=30)
    assert two.presentation_cycles(42) <= one.presentation_cycles(42) - one.apply_cycles
    assert two.presentation_cycles(42) <= 4_100
    assert two.busy_lanes <= 1


@pytest.mark.slow
def test_a_stream_of_one_word_per_cycle_keeps_up():
    """The shortest presentations and the most outputs; simulation checks cycles with such a stream."""
    tight = (node_design(sizes=sizes, lanes=lanes, periods=(1, 1, 1)) for sizes, lanes in (((1, 250), 250), ((1, 40, 99), 5), ((1, 1), 1)))
    for spec in (*TWO.values(), *(two_multipliers(spec) for spec in tight)):
        assert contract(spec).sample_cycles < contract(spec).presentation_cycles(1, opens=True)


def test_lanes_of_a_large_first_layer_are_busy_in_a_short_presentation():
    for sizes in ((64, 32, 8), (784, 32, 8)):
        for lanes in (2, 4, 8):
            spec = node_design(sizes=sizes, lanes=lanes, periods=(1, 1, 1))
            promised = contract(spec)
            visits = promised.busy_lanes * lanes * promised.presentation_cycles(spec.longest_presentation)
            inner, behind = sizes[1] * (sizes[0] + 1), sizes[2] * (sizes[1] + 1)
            assert visits == pytest.approx(2 * (inner + behind) + spec.longest_presentation * behind)
            if sizes[0] == 784:
                assert promised.busy_lanes >= 0.9
