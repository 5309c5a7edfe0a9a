"""A network unrolled over its frames: the numbers of evaluations and quantities, tight formats, and what its digest covers."""

import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, MachineKind
from python_ref.spec.error import DesignError
from python_ref.spec.events import event_fields
from python_ref.spec.hardware import Hardware
from python_ref.spec.layers import DENSE, Leaky, Lif
from python_ref.spec.network import Network, Readout
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.registers import register_map
from python_ref.spec.schedule import Schedule
from tests.python_ref.test_formats import ends, exact, form
from tests.support.series_designs import random_series

NETWORK = Network((3, 4, 2, 5, 2), kinds=(DENSE, Leaky(1), DENSE, DENSE), frames=5)
SPEC = DesignSpec("x", NETWORK, Perturbation(Kind.NODE, hold=2), Schedule(((0, -6),)))


def test_numbers_of_evaluations_and_quantities_by_hand() -> None:
    """Layers of 4 and 2 neurons are framed, those of 5 and 2 are the tail; five frames have three segments of two frames."""
    unrolled = SPEC.unrolled
    assert (unrolled.framed_neurons, unrolled.tail_neurons, unrolled.segments) == (6, 7, 3)
    assert (SPEC.evaluations, SPEC.quantities, SPEC.draws) == (5 * 6 + 7, 3 * 6 + 7, 25)
    assert [unrolled.first_evaluation(layer, 3) for layer in range(4)] == [18, 22, 30, 35]
    assert [unrolled.first_quantity(layer, 3) for layer in range(4)] == [6, 10, 18, 23]
    assert unrolled.visits == (*(0, 1) * 5, 2, 3)
    assert np.flatnonzero(~unrolled.evaluated(3)).tolist() == list(range(18, 30))
    assert np.flatnonzero(~unrolled.perturbed(2)).tolist() == list(range(6, 18))
    assert np.flatnonzero(~unrolled.perturbed(3)).tolist() == list(range(12, 18))
    assert SPEC.machine is MachineKind.SERIES
    assert NETWORK.record_inputs == 16 and replace(NETWORK, held=True).record_inputs == 3
    words = np.arange(16)
    assert [unrolled.length_of(np.array([length, *words[1:]])) for length in (0, 1, 5, 6)] == [5, 1, 5, 5]
    assert unrolled.frame_of(words, 2).tolist() == [7, 8, 9]


def test_quantities_group_by_group_by_hand() -> None:
    """Of two lanes: the segments of neurons 0 and 1, of 2 and 3, of 4 and 5, and then the tail; a short sample has no last segment."""
    framed = [0, 1, 6, 7, 12, 13, 2, 3, 8, 9, 14, 15, 4, 5, 10, 11, 16, 17]
    assert SPEC.unrolled.group_by_group(2).tolist() == [*framed, *range(18, 25)]
    assert SPEC.unrolled.group_by_group(3).tolist()[:12] == [0, 1, 2, 6, 7, 8, 12, 13, 14, 3, 9, 15]
    assert SPEC.shown_errors(5).tolist() == list(range(25))
    by_group = replace(SPEC, hardware=Hardware(2, gradient_memory=False))
    assert by_group.sums_by_group and not by_group.direct_update
    assert by_group.shown_errors(5).tolist() == [*framed, *range(18, 25)]
    assert by_group.shown_errors(3).tolist() == [each for each in [*framed, *range(18, 25)] if not 12 <= each < 18]


@given(st.integers(0, 2**32))
def test_every_evaluation_has_one_quantity(seed: int) -> None:
    """Visits in order number evaluations from 0 without gaps; those of one neuron in one segment share a quantity, others do not."""
    spec = random_series(random.Random(seed))
    unrolled, number, owners = spec.unrolled, 0, dict[int, tuple[int, ...]]()
    for visit, layer in enumerate(unrolled.visits):
        frame = visit // spec.network.framed if layer < spec.network.framed else 0
        assert unrolled.first_evaluation(layer, frame) == number
        for neuron in range(spec.network.layers[layer].n_out):
            quantity = unrolled.first_quantity(layer, frame) + neuron
            segment = frame // unrolled.hold if layer < spec.network.framed else -1
            assert owners.setdefault(quantity, (layer, neuron, segment)) == (layer, neuron, segment)
            number += 1
    assert number == spec.evaluations
    unused = (unrolled.segments - -(-spec.network.frames // unrolled.hold)) * unrolled.framed_neurons
    assert len(owners) == spec.quantities - unused
    assert max(owners) < spec.quantities


@given(form(True), form(None), form(None), st.integers(1, 4), st.integers(1, 4), st.integers(-6, 2))
def test_preactivations_of_a_leaky_layer(weight: Fixed, x: Fixed, h: Fixed, n_in: int, n_out: int, amplitude: int) -> None:
    """The widest sum of products has every operand, and the bias, at an end of its own format, and Δ added."""
    network = Network((n_in, n_out), kinds=(Leaky(0),), output=Activation.IDENTITY if h.signed else Activation.RELU)
    try:
        spec = DesignSpec(
            "x",
            network,
            Perturbation(Kind.NODE, amplitude_log2=amplitude),
            Schedule(((0, 0),)),
            formats=Formats(input=x, weight=weight, activation=h, gradient=Fixed(True, 20, 8)),
        )
    except DesignError:
        assume(False)
        return
    last = Fraction(1, 2) ** spec.operand_format(0).fraction_bits
    assert last == Fraction(1, 2) ** max(x.fraction_bits, h.fraction_bits)
    for operand in (x, h):
        assert ends(spec.operand_format(0))[0] <= ends(operand)[0] and ends(operand)[1] <= ends(spec.operand_format(0))[1]
    reach = [[w * value for w in ends(weight) for value in ends(operand)] for operand in (x, h)]
    low = n_in * min(reach[0]) + n_out * min(reach[1]) + ends(weight)[0] - Fraction(2) ** amplitude
    high = n_in * max(reach[0]) + n_out * max(reach[1]) + ends(weight)[1] + Fraction(2) ** amplitude
    exact(spec.preactivation_format(0), [low, high], weight.fraction_bits + max(x.fraction_bits, h.fraction_bits))


@given(form(None), st.integers(1, 40), st.booleans())
def test_sums_over_the_frames_and_costs(activation: Fixed, frames: int, spiking: bool) -> None:
    """T outputs at an end of their format, and their distance to a target, squared."""
    kind = Lif(1) if spiking else Leaky(1)
    network = Network((1, 2), Activation.RELU, Activation.RELU, kinds=(kind,), frames=frames, readout=Readout.SUM)
    try:
        spec = DesignSpec(
            "x",
            network,
            Perturbation(Kind.NODE, amplitude_log2=-2),
            Schedule(((0, 0),)),
            formats=Formats(activation=activation, weight=Fixed(True, 4, 8)),
        )
    except DesignError:
        assume(False)
        return
    one = (Fraction(0), Fraction(1)) if spiking else ends(activation)
    sums = [frames * end for end in one]
    exact(spec.outputs_format, sums, 0 if spiking else activation.fraction_bits)
    low, high = (Fraction(bound) / 2**spec.outputs_format.fraction_bits for bound in (spec.outputs_format.min, spec.outputs_format.max))
    distances = [end - target for end in (low, high) for target in ends(activation)]
    exact(spec.residual_format, distances, max(activation.fraction_bits, spec.outputs_format.fraction_bits))


def test_the_first_layer_of_the_tail_takes_the_sum() -> None:
    network = Network((3, 4, 2), kinds=(Lif(2), DENSE), frames=9, readout=Readout.SUM)
    spec = replace(SPEC, network=network, perturbation=Perturbation(Kind.NODE, amplitude_log2=-3))
    assert str(spec.operand_format(1)) == "UQ4.0"
    assert str(spec.output_format(0)) == "UQ1.0"
    assert str(replace(spec, network=replace(network, readout=Readout.LAST)).operand_format(1)) == "UQ1.0"


@pytest.mark.parametrize(
    "field, value, changes",
    [
        ("frames", 6, True),
        ("held", True, True),
        ("readout", Readout.SUM, True),
        ("kinds", (DENSE, Leaky(2), DENSE, DENSE), True),
        ("hold", 4, True),  # two segments
        ("hold", 3, True),
        ("segments", 3, False),
        ("segments", 4, True),
    ],
)
def test_what_the_digest_covers(field: str, value: object, changes: bool) -> None:
    network = replace(NETWORK, **{field: value}) if hasattr(NETWORK, field) else NETWORK
    perturbation = replace(SPEC.perturbation, **{field: value}) if hasattr(SPEC.perturbation, field) else SPEC.perturbation
    if field == "held":  # with as many segments
        perturbation = replace(perturbation, hold=2)
    other = replace(SPEC, network=network, perturbation=perturbation)
    assert (other.digest != SPEC.digest) == changes
    assert other.run_digest != SPEC.run_digest or not changes


def test_the_digest_covers_the_hold_only_by_its_segments() -> None:
    wide = replace(SPEC, network=replace(NETWORK, frames=8), perturbation=replace(SPEC.perturbation, hold=5))
    assert wide.digest == replace(wide, perturbation=replace(SPEC.perturbation, hold=7)).digest
    spiking = replace(wide, network=replace(wide.network, kinds=(DENSE, Lif(1), DENSE, DENSE)))
    for formats in (
        Formats(state=Fixed(True, 5, 10)),
        Formats(state_cast=Cast(Rounding.FLOOR)),
        Formats(state_cast=Cast(overflow=Overflow.WRAP)),
    ):
        assert replace(spiking, formats=formats).digest != spiking.digest


def test_what_the_host_and_the_probes_see() -> None:
    registers = register_map(SPEC)
    assert registers["hold"].meaning.startswith("H in frames, from 2 to 5")
    assert "saturated_state" in registers
    dense = replace(SPEC, network=Network((3, 4, 2)), perturbation=Perturbation(Kind.NODE))
    assert not {"hold", "saturated_state"} & register_map(dense).keys()
    assert [field.name for field in event_fields(SPEC)["neuron"]] == [
        *("pass", "preactivation", "activation", "state", "outside", "state_outside")
    ]
    assert SPEC.sample_width == 14
    assert (
        replace(
            SPEC, network=replace(NETWORK, frames=1000), formats=Formats(input=Fixed(False, 0, 4), activation=Fixed(True, 3, 4))
        ).sample_width
        == 10
    )
