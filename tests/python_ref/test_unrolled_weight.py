"""Weight perturbation of a network with state: numbers, formats, digest and what the host sees, by hand."""

import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from python_ref.spec.design import Formats, MachineKind
from python_ref.spec.error import DesignError
from python_ref.spec.events import event_fields
from python_ref.spec.hardware import Hardware
from python_ref.spec.layers import DENSE, Leaky
from python_ref.spec.network import Network, Readout
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import Momentum
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.probes import probes
from python_ref.spec.registers import register_map
from python_ref.spec.schedule import Schedule
from tests.python_ref.test_unrolled import NETWORK
from tests.python_ref.test_unrolled import SPEC as NODE

SPEC = replace(NODE, perturbation=Perturbation(Kind.WEIGHT), hardware=Hardware(2))


def test_numbers_by_hand() -> None:
    """Layers of 4, 2, 5 and 2 neurons, with 3, 4 and 2, 2, and 5 operands; a group takes a slot for each and its bias."""
    assert SPEC.machine is MachineKind.SERIES_WEIGHT
    assert SPEC.quantities == SPEC.n_parameters == 4 * 4 + 2 * 7 + 5 * 3 + 2 * 6
    assert SPEC.draws == SPEC.rounding_words == 2 * 4 + 1 * 7 + 3 * 3 + 1 * 6
    assert (SPEC.passes, SPEC.evaluations, SPEC.unrolled.segments) == (2, 5 * 6 + 7, 1)
    assert [generator.outputs for generator in SPEC.sign_generators] == [2]
    assert not SPEC.one_visit and not SPEC.segmented


def test_there_is_a_gradient_memory_only_where_g_is_a_sum_over_steps() -> None:
    assert not SPEC.gradient_memory and SPEC.direct_update and not SPEC.sums_by_group
    assert not replace(SPEC, optimizer=Momentum(3)).direct_update
    assert replace(SPEC, schedule=Schedule(((0, -6),), update_period=2)).gradient_memory
    with pytest.raises(DesignError, match="updates every step"):
        replace(SPEC, schedule=Schedule(((0, -6),), update_period=2), hardware=Hardware(2, gradient_memory=False))


def test_preactivations_hold_every_perturbed_sum() -> None:
    """A leaky layer with inputs in UQ0.4 and its own outputs in SQ3.5: every sum of (θ ± Δ)·x fits, and the ends are near."""
    formats = Formats(input=Fixed(False, 0, 4), weight=Fixed(True, 2, 6), activation=Fixed(True, 3, 5))
    spec = replace(SPEC, network=Network((3, 4, 2), kinds=(Leaky(1), DENSE), frames=3), formats=formats)
    form, (least, greatest), rng = spec.preactivation_format(0), spec.parameter_limits, random.Random(1)
    low, high = Fraction(form.min, 2**form.fraction_bits), Fraction(form.max, 2**form.fraction_bits)
    delta, sums = Fraction(1, 64), []
    for ends in (True, False):
        for _ in range(200):
            extreme = rng.choice((least, greatest))
            weights = [Fraction(extreme if ends else rng.randint(least, greatest), 64) for _ in range(8)]
            signs = [(1 if extreme > 0 else -1) if ends else rng.choice((-1, 1)) for _ in range(8)]
            inputs = [Fraction(rng.choice((0, 15)), 16) for _ in range(3)]
            own = [Fraction(rng.choice((formats.activation.min, formats.activation.max)), 32) for _ in range(4)]
            sums.append(sum((w + s * delta) * x for w, s, x in zip(weights, signs, [Fraction(1), *inputs, *own], strict=True)))
    assert all(low <= z <= high and (z * 2**form.fraction_bits).denominator == 1 for z in sums)
    assert max(sums) > high / 4 and min(sums) < low / 4


@pytest.mark.parametrize(
    "changed",
    [
        NODE,
        replace(SPEC, network=replace(NETWORK, frames=6)),
        replace(SPEC, network=replace(NETWORK, held=True)),
        replace(SPEC, network=replace(NETWORK, readout=Readout.SUM)),
        replace(SPEC, network=replace(NETWORK, kinds=(DENSE, Leaky(2), DENSE, DENSE))),
        replace(SPEC, perturbation=Perturbation(Kind.WEIGHT, amplitude_log2=-5)),
    ],
)
def test_the_digest_tells_structures_apart(changed: object) -> None:
    assert changed.digest != SPEC.digest  # type: ignore[attr-defined]


def test_what_the_host_and_the_probes_see() -> None:
    registers = register_map(SPEC)
    assert "hold" not in registers and "saturated_state" in registers
    shapes = {probe.name: probe.shape for probe in probes(SPEC)}
    words = 2 * 4 + 1 * 7 + 3 * 3 + 1 * 6
    assert shapes["preactivation"] == shapes["activation"] == shapes["state"] == (2, 37)
    assert shapes["sign"] == shapes["parameter"] == (57,) and shapes["broadcast"] == (words,)
    assert not {"error", "error_sum", "gradient"} & shapes.keys()
    fields = {event: [field.name for field in found] for event, found in event_fields(SPEC).items()}
    assert fields["neuron"] == ["pass", "preactivation", "activation", "state", "outside", "state_outside"]
    assert fields["word"] == ["broadcast", "sign", "parameter"] and fields["step"][0] == "cost_change"
    assert not {"error", "correlation"} & fields.keys()


def test_a_hold_or_segments_are_refused() -> None:
    for given in ({"hold": 5}, {"segments": 2}):
        with pytest.raises(DesignError, match="lasts for all frames") as caught:
            replace(SPEC, perturbation=Perturbation(Kind.WEIGHT, **given))
        assert caught.value.key == "perturbation.hold"


def test_as_many_parameters_as_memories_hold_are_no_quantities_of_frames() -> None:
    """The limit of perturbed quantities is one of neurons in segments: many frames of many neurons do not count against weights."""
    network = Network((3, 1200, 2), kinds=(Leaky(1), DENSE), frames=1024)
    assert replace(SPEC, network=network).quantities == 1200 * 1204 + 2 * 1201
    with pytest.raises(DesignError, match="perturbed quantities"):
        replace(NODE, network=network, perturbation=Perturbation(Kind.NODE))


def test_a_network_of_one_frame_has_the_numbers_of_one_without_state() -> None:
    plain = replace(SPEC, network=Network((3, 4, 2)))
    held = replace(SPEC, network=Network((3, 4, 2), kinds=(Leaky(0), DENSE), frames=1))
    assert held.evaluations == plain.evaluations == 6
    assert np.array_equal(held.unrolled.evaluated(1), np.ones(6, dtype=bool))
