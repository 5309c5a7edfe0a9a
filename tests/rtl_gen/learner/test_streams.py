"""A learner with several streams of words: the same values as with one, ⌈N/L⌉ words a pass in each, whatever the pace of each stream."""

import random
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from python_ref.fixed import learner as model
from python_ref.spec.error import DesignError
from python_ref.spec.formats import Cast, LearnerFormats
from python_ref.spec.hardware import Hardware
from python_ref.spec.learner import LearnerSpec, stream_names
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import Momentum, ShiftAdam
from python_ref.spec.perturbation import SequentialCode, WalshGrayCode
from python_ref.spec.probes import COUNTERS
from rtl_gen.learner.core import learner_core
from rtl_gen.learner.streams import noise_of
from tests.rtl_gen.learner.test_core import ONE_SIDED, TWO_SIDED, lockstep_of
from tests.support.bench import cycles
from tests.support.learner_bench import run_learner
from tests.support.learner_designs import random_chip, random_learner, random_quantities
from tests.support.marks import SLOW
from tests.support.oracle import serial_bits

STREAMS = replace(
    TWO_SIDED,
    name="streams",
    external=8,
    hardware=Hardware(3),
    schedule=replace(TWO_SIDED.schedule, learning_rate=((0, 2),)),
    formats=LearnerFormats(
        Fixed(True, 2, 6), Fixed(True, 3, 12), gradient=Fixed(True, 4, 12), weight_cast=Cast(Rounding.STOCHASTIC, Overflow.SATURATE)
    ),
)
"""Direct updates, each rounded by a random word of its own, and some of them out of range; one lane has no word in the last slot."""

MANY = replace(TWO_SIDED, name="many", external=134, hardware=Hardware(4))
"""More words in each stream than its queue has room for; two streams have one less."""

ROUNDED = replace(STREAMS, name="rounded", external=134, hardware=Hardware(4))
"""The same with a random word for each quantity: where the queues are full, a pass waits, and may do so right before its last slot."""


def check(spec: LearnerSpec, steps: int = 4, **given) -> None:
    lockstep = lockstep_of(spec, **given)

    async def scenario(bench):
        await lockstep.prepare()
        await lockstep.train(steps)
        await lockstep.check_registers()

    run_learner(lockstep.bench, scenario)


@pytest.mark.parametrize(
    "spec",
    [
        STREAMS,
        replace(ONE_SIDED, hardware=Hardware(2)),
        pytest.param(MANY, marks=SLOW),
        pytest.param(ROUNDED, marks=SLOW),
        pytest.param(replace(ONE_SIDED, external=8, hardware=Hardware(8)), marks=SLOW),
        pytest.param(replace(STREAMS, perturbation=replace(STREAMS.perturbation, code=SequentialCode())), marks=SLOW),
        pytest.param(replace(STREAMS, perturbation=replace(STREAMS.perturbation, code=WalshGrayCode())), marks=SLOW),
        pytest.param(replace(STREAMS, optimizer=ShiftAdam(2, 4)), marks=SLOW),
        pytest.param(replace(STREAMS, optimizer=Momentum(2), external=9), marks=SLOW),
    ],
    ids=lambda spec: f"{spec.quantities}x{spec.hardware.lanes}{type(spec.optimizer).__name__}{spec.code.name}",
)
def test_a_core_with_several_streams_equals_the_model(spec):
    check(spec, stalls=0.4)


def test_updates_round_and_saturate():
    """What the first design is chosen for does happen."""
    state, chip = model.initial_learner(STREAMS, np.zeros(8, dtype=np.int64)), random_chip(random.Random(1), STREAMS)
    moved = []
    for _ in range(10):
        before = state.parameters
        state, observed = model.step(STREAMS, state, chip)
        moved.append(np.abs(observed["broadcast"]))
        assert (before != state.parameters).any()
    assert any(len(set(row.tolist())) > 1 for row in moved), "quantities of a step round differently"
    assert dict(zip(COUNTERS, state.counters.tolist(), strict=True))["saturated_update"] > 0


@pytest.mark.parametrize("gap", [0, 1, 3])
def test_the_last_slot_draws_a_word_for_each_of_its_quantities_after_a_wait(gap):
    """A pass of 8 quantities in slots of 3, 3 and 2: the next pass begins with the ninth word."""
    noise, bits = noise_of(STREAMS), STREAMS.stochastic_bits
    state, none = noise.generator.seed_state(3), {"slot.valid": 0, "slot.last": 0}
    beats = range(0, noise.generator.degree, noise.load_width)
    pushed = state << len(beats) * noise.load_width - noise.generator.degree  # the first bits are pushed out again
    flags = {"slot.correlate": 1, "update": 1}
    stimuli = [flags | none | {"load_en": 1, "load": pushed >> place & (1 << noise.load_width) - 1} for place in beats]
    stimuli = [row for each in stimuli for row in (each, each | {"load_en": 0})]
    slots = [0, 0, *[None] * gap, 1, 0]
    stimuli += [flags | (none if last is None else {"slot.valid": 1, "slot.last": last}) for last in slots]
    found = cycles(noise, stimuli, ("o",), extra=3)
    drawn = [found[2 * len(beats) + place + noise.latency]["o"] for place, last in enumerate(slots) if last is not None]
    stream = list(islice(serial_bits(noise.generator.degree, 3, noise.generator.stream), 11 * bits))
    words = [sum(bit << place for place, bit in enumerate(stream[first : first + 3 * bits])) for first in (0, 3 * bits, 6 * bits, 8 * bits)]
    assert drawn == words


def test_a_late_cost_repeats_the_signs_of_all_streams():
    check(STREAMS, silent=(1, 2))


@pytest.mark.parametrize("seed", range(6))
def test_the_bits_do_not_depend_on_the_streams(seed):
    """Everything that the model shows but its signatures."""
    rng = random.Random(seed)
    spec = replace(random_learner(rng), external=7)
    start, shown = random_quantities(rng, spec), []
    for lanes in (1, 2, 3, 7):
        other = replace(spec, hardware=replace(spec.hardware, lanes=lanes))
        chip, state, rows = random_chip(random.Random(seed), spec), model.initial_learner(other, np.array(start), seed=3), []
        for _ in range(5):
            state, observed = model.step(other, state, chip)
            rows.append({name: values.tolist() for name, values in observed.items()})
        shown.append(rows)
    signatures = [[row.pop("signature", None) for row in rows] for rows in shown]
    assert shown[0] == shown[1] == shown[2] == shown[3]
    assert not spec.hardware.signature or len({str(each) for each in signatures}) == 4


def test_the_contract_shrinks_with_the_streams():
    one, four = (learner_core(replace(MANY, hardware=Hardware(lanes))).contract for lanes in (1, 4))
    assert one.pass_cycles - four.pass_cycles == 134 - 34 and four.words == 34
    assert "34 words in each of 4 streams" in four.rows(MANY)[0][2]


def test_each_lane_has_a_port():
    core = learner_core(STREAMS)
    assert stream_names(STREAMS) == ("perturbed0", "perturbed1", "perturbed2")
    assert set(stream_names(STREAMS)) < set(core.signature.members) and "perturbed" not in core.signature.members


@pytest.mark.parametrize(("quantities", "lanes"), [(20, 9), (3, 4)])
def test_more_streams_than_there_are_quantities_or_lanes_are_refused(quantities, lanes):
    with pytest.raises(DesignError) as caught:
        replace(TWO_SIDED, external=quantities, hardware=Hardware(lanes))
    assert caught.value.key == "hardware.lanes" and f"Take {min(8, quantities)} at most" in str(caught.value)
