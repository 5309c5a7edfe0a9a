"""What a specification accepts and refuses at its limits, and what it counts, from plain arithmetic; model and hardware share all of it.

So are the digests of machines that differ only in what the rate hides.
"""

from dataclasses import replace
from fractions import Fraction

import pytest

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import DesignError
from python_ref.spec.formats import Cast
from python_ref.spec.layers import DENSE, Leaky, Lif, Stochastic
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import Momentum
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Difference, Schedule
from tests.python_ref.test_formats import ends, exact, small
from tests.support.series_shapes import SERIES_SHAPES
from tests.support.stochastic_designs import STOCHASTIC_SHAPES

TWO_LIF = SERIES_SHAPES["two-lif"]
"""Two spiking layers, with leaks of 3 and 0."""


def with_formats(spec: DesignSpec, **formats: object) -> DesignSpec:
    return replace(spec, formats=replace(spec.formats, **formats))


@pytest.mark.parametrize("sample", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("update", [1, 2, 3, 6])
def test_presentations_begin_and_end_where_a_sample_or_an_update_does(sample, update):
    """Each is told step by step: one begins with a new sample and behind an update, and the one that is open ends there."""
    schedule, begun, ended = Schedule(((0, 0),), 1, sample, update), 0, 0
    for steps in range(40):
        assert (schedule.presentations(steps), schedule.presentations_ended(steps)) == (begun, ended)
        assert schedule.passes(steps) == (steps - begun, begun)
        assert replace(schedule, difference=Difference.TWO_SIDED).passes(steps) == (0, steps)
        begun += steps % sample == 0 or steps % update == 0
        ended += (steps + 1) % sample == 0 or (steps + 1) % update == 0


def test_the_state_of_a_spiking_layer_has_a_sign_and_reaches_the_threshold():
    for state in (Fixed(True, 1, 9), Fixed(False, 3, 8)):
        with pytest.raises(DesignError, match="the state of a lif neuron has a sign, and reaches the threshold, 1"):
            with_formats(TWO_LIF, state=state)
    assert with_formats(TWO_LIF, state=Fixed(True, 2, 9)).formats.state == Fixed(True, 2, 9)
    Lif(1).check_state(1, Fixed(True, 2, 0))  # holds −2, −1, 0 and the threshold itself


def test_a_leak_is_of_fewer_bits_than_the_state_and_the_layer_is_named():
    with pytest.raises(DesignError, match=r"layer 1 is lif with leak = 3, and its state is SQ2\.1, of 3 bits"):
        with_formats(TWO_LIF, state=Fixed(True, 2, 1))
    second = replace(TWO_LIF, network=replace(TWO_LIF.network, kinds=(Leaky(1), TWO_LIF.network.kinds[0])))
    with pytest.raises(DesignError, match=r"layer 2 is lif with leak = 3, and its state is SQ2\.1, of 3 bits"):
        with_formats(second, state=Fixed(True, 2, 1))
    for leak, accepted in ((10, True), (11, False)):  # of a state of 11 bits
        network = replace(TWO_LIF.network, kinds=(Lif(leak), TWO_LIF.network.kinds[1]))
        if accepted:
            assert with_formats(replace(TWO_LIF, network=network), state=Fixed(True, 3, 8))
        else:
            with pytest.raises(DesignError, match="layer 1 is lif with leak = 11"):
                with_formats(replace(TWO_LIF, network=network), state=Fixed(True, 3, 8))


@pytest.mark.parametrize("number", [1, 2])
def test_the_layer_whose_thresholds_need_more_bits_is_named(number):
    spec = STOCHASTIC_SHAPES["both"]
    kinds = tuple(Stochastic(4) if layer == number else DENSE for layer in (1, 2))
    with pytest.raises(DesignError, match=f"layer {number} has 4 draws, whose fixed thresholds need 3 fraction bits"):
        with_formats(replace(spec, network=replace(spec.network, kinds=kinds)), activation=Fixed(True, 2, 2))


def test_an_amplitude_of_half_the_largest_weight_leaves_room():
    """Of SQ1.2, whose largest value is 3 places, the parameters keep −3 to 2 beside an amplitude of one place."""
    spec = with_formats(small(Kind.WEIGHT), weight=Fixed(True, 1, 2))
    assert spec.parameter_limits == (-3, 2)
    with pytest.raises(DesignError, match="it leaves no room"):
        replace(spec, perturbation=Perturbation(Kind.WEIGHT, amplitude_log2=-1))


@pytest.mark.parametrize("rounding", [Rounding.HALF_EVEN, Rounding.HALF_UP])
def test_a_gradient_that_counts_for_2_to_the_24_steps_moves_a_parameter(rounding):
    """An update sums up to 2²⁴ steps; where even they are below half of a parameter's last place, a rate is refused."""
    base = with_formats(
        small(Kind.WEIGHT), weight=Fixed(True, 2, 2), gradient=Fixed(True, 1, 31), weight_cast=Cast(rounding, Overflow.SATURATE)
    )

    def at(rate: int) -> DesignSpec:
        return replace(base, schedule=Schedule(((0, rate),), update_period=2))

    change = base.cost_change_format
    largest = Fraction(max(change.max, -change.min), 1 << change.fraction_bits)
    accepted = []
    for rate in range(-36, -12):
        reach = largest * Fraction(2) ** (rate - base.perturbation.amplitude_log2)
        moves = reach * (1 << 24) >= Fraction(1, 8)
        accepted.append(moves)
        if moves:
            at(rate)
        else:
            with pytest.raises(DesignError, match=r"the largest update, .* always rounds to zero"):
                at(rate)
    assert set(accepted) == {False, True}


@pytest.mark.parametrize(
    ("weight", "momentum", "bits"),
    [
        (Rounding.HALF_EVEN, None, 0),
        (Rounding.STOCHASTIC, None, 3),
        (Rounding.HALF_EVEN, Rounding.STOCHASTIC, 2),
        (Rounding.STOCHASTIC, Rounding.STOCHASTIC, 4),
        (Rounding.STOCHASTIC, Rounding.HALF_EVEN, 4),
    ],
)
def test_a_stochastic_word_has_the_bits_that_the_widest_stochastic_cast_drops(weight, momentum, bits):
    """Of G in SQ2.7, or of m in SQ3.8, to a weight in SQ2.4; of m + (g − m)·2⁻² with G in SQ2.7, which has 10 places, to 8."""
    optimizer = {} if momentum is None else {"optimizer": Momentum(2, Fixed(True, 3, 8), momentum)}
    spec = replace(
        with_formats(small(Kind.WEIGHT), weight=Fixed(True, 2, 4), gradient=Fixed(True, 2, 7), weight_cast=Cast(weight, Overflow.SATURATE)),
        **optimizer,
    )
    assert spec.stochastic_bits == bits


@pytest.mark.parametrize("operand", [Fixed(False, 0, 4), Fixed(False, -1, 5), Fixed(True, 0, 4), Fixed(True, 1, 4), Fixed(True, 2, 4)])
@pytest.mark.parametrize("error", [Fixed(True, 1, 6), Fixed(True, 3, 3)])
def test_a_product_of_an_error_holds_the_error_itself(operand, error):
    """The input of a bias is 1, which may be beyond the format of the others."""
    spec = with_formats(small(), input=operand, error=error)
    values = [err * x for err in ends(error) for x in (*ends(operand), Fraction(1))]
    exact(spec.error_product_format(0), values, error.fraction_bits + operand.fraction_bits)


@pytest.mark.parametrize(
    ("rates", "lowest", "highest"),
    [
        pytest.param([-5], -12, -5, id="one-rate"),
        pytest.param([-5, -12], -12, -5, id="eight-settings"),
        pytest.param([-5, -13], -20, -5, id="nine-settings-take-sixteen"),
        pytest.param([-13, -5, -20], -20, -5, id="sixteen-settings"),
    ],
)
def test_a_core_takes_the_exponents_of_the_schedule_and_lower_ones(rates, lowest, highest):
    """Their number is a power of two, and at least 8, so that a user can lower the rate of a core that is built."""
    amplitude = TWO_LIF.perturbation.amplitude_log2
    steps = tuple((10 * number, rate + amplitude) for number, rate in enumerate(rates))
    one_sided = replace(TWO_LIF.schedule, difference=Difference.ONE_SIDED, learning_rate=steps)
    formats = replace(TWO_LIF.formats, gradient=Fixed(True, 4, 28))
    assert replace(TWO_LIF, schedule=one_sided, formats=formats).exponents == (lowest, highest)


LEARNERS = {
    kind: LearnerSpec("of", 4, Perturbation(kind, amplitude_log2=-3), Schedule(((0, -1),), difference=Difference.ONE_SIDED))
    for kind in Kind
}
DESIGNS = {kind: small(kind) for kind in Kind}


@pytest.mark.parametrize("base", [*LEARNERS.values(), *DESIGNS.values()], ids=lambda spec: f"{spec.name}-{spec.perturbation.kind.value}")
def test_what_a_rate_hides_has_another_digest(base):
    """Δ and the difference move the exponent e = log2(η/Δ), or log2(η/2Δ); with another η they do not, and the machines are two."""

    def rated(log2: int, schedule: Schedule) -> Schedule:
        return replace(schedule, learning_rate=tuple((step, rate + log2) for step, rate in schedule.learning_rate))

    perturbation, schedule = base.perturbation, base.schedule
    smaller = replace(
        base, perturbation=replace(perturbation, amplitude_log2=perturbation.amplitude_log2 - 1), schedule=rated(-1, schedule)
    )
    two_sided = replace(base, schedule=rated(1, replace(schedule, difference=Difference.TWO_SIDED)))
    assert smaller.exponents == two_sided.exponents == base.exponents
    formats = replace(base.formats, error=base.error_format) if base in DESIGNS.values() and base.node else base.formats
    if base in DESIGNS.values():
        base, smaller, two_sided = (replace(each, formats=formats) for each in (base, smaller, two_sided))
    assert len({base.digest, smaller.digest, two_sided.digest}) == 3
