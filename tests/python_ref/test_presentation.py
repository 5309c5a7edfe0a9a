"""The longest presentation of a design, the formats that follow from it, and what is refused because of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.error import DesignError
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed, Rounding
from python_ref.spec.optimizer import Momentum
from python_ref.spec.perturbation import CODES, Code, Kind, LfsrCode, Perturbation, SequentialCode, WalshCode
from python_ref.spec.probes import probes
from python_ref.spec.registers import adjustable_periods, register_map
from python_ref.spec.schedule import Difference, Schedule
from tests.python_ref.test_formats import ends, exact

SIZES = (3, 4, 2)
WEIGHT = Fixed(True, 4, 12)


def design(
    periods: tuple[int, int, int] = (1, 1, 1),
    rates: tuple[tuple[int, int], ...] = ((0, -6),),
    code: Code = WalshCode(),  # noqa: B008  # frozen
    difference: Difference = Difference.ONE_SIDED,
    **changes,
) -> DesignSpec:
    """A design of node perturbation; ``changes`` are formats, or other settings."""
    formats = {name: changes.pop(name) for name in list(changes) if hasattr(Formats(), name)}
    perturbation = Perturbation(changes.pop("kind", Kind.NODE), code)
    schedule = Schedule(rates, *periods, difference)
    return DesignSpec("presented", Network(SIZES), perturbation, schedule, formats=Formats(**formats), **changes)


PERIODS = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))


@given(PERIODS, st.integers(1, 40))
@settings(max_examples=100)
def test_presentations_are_the_runs_between_samples_and_updates(periods, steps):
    schedule = Schedule(((0, -6),), *periods)
    begins = [n for n in range(steps) if n % periods[1] == 0 or n % periods[2] == 0]
    assert [n for n in range(steps) if schedule.begins(n)] == begins
    assert schedule.presentations(steps) == len(begins)
    ends_at = [n for n in range(1, 500) if schedule.begins(n)]
    assert design(periods).longest_presentation == max(np.diff([0, *ends_at]))


@given(PERIODS, st.sampled_from(sorted(CODES)), st.integers(1, 3))
@settings(max_examples=100)
def test_measurements_of_a_neuron_are_counted(periods, name, neurons):
    """Over all places of a code at which a presentation may begin."""
    spec = replace(design(periods, code=CODES[name]()), network=Network((2, neurons)))
    longest = spec.longest_presentation
    index, p = np.arange(neurons), np.arange(0, 120)[:, None] // periods[0]
    code = spec.code
    signs = code.signs(index, code.phase(p, neurons), np.zeros((len(p), neurons), dtype=np.uint8))
    counted = max(np.count_nonzero(signs[first : first + longest], axis=0).max() for first in range(100))
    found = spec.presentation.measurements
    assert counted <= found <= longest
    if periods[0] == 1:
        assert counted == found


CHANGES = st.none() | st.builds(Fixed, st.just(True), st.integers(1, 5), st.integers(1, 9))
RATES = st.lists(st.integers(-16, 2), min_size=1, max_size=3)


@given(PERIODS, st.sampled_from(sorted(CODES)), st.sampled_from(Difference), CHANGES, RATES, st.integers(1, 6))
@settings(max_examples=200)
def test_the_formats_of_a_presentation(periods, name, difference, cost_change, rates, integer_bits):
    pairs = tuple((10 * i, rate) for i, rate in enumerate(rates))
    try:
        spec = design(periods, pairs, CODES[name](), difference, cost_change=cost_change, weight=Fixed(True, integer_bits, 12))
    except DesignError as error:
        assert error.key == "schedule.learning_rate"  # every error rounds to zero
        return
    change, longest = spec.cost_change_format, spec.longest_presentation
    # A neuron is perturbed as often as is counted, but the host may lengthen τ_p unless it is 1.
    steps = spec.presentation.measurements if periods[0] == 1 else longest
    sums = [steps * sign * value for sign in ((0, 1) if name == "sequential" else (-1, 1)) for value in ends(change)]
    exact(spec.error_sum_format, [min(sums), max(sums)], change.fraction_bits)
    assert spec.presentation.once == (periods[0] == steps == 1)
    # One more factor of two in the range holds, one less does not: |δ| < 4, measured so many times at the largest rate. But θ − err·x has
    # at most 32 bits, its sign and the 10 fraction bits of an activation among them, if that leaves the range of a weight.
    reach = Fraction(2) ** max(rates) * 4 * spec.presentation.measurements
    form = spec.error_format
    assert form.signed
    assert form.width == 16
    assert reach <= -ends(form)[0] or form.integer_bits == integer_bits
    assert reach > -ends(form)[0] / 2 or form.fraction_bits == max(31 - integer_bits - 10, 16 - integer_bits)
    assert form.fraction_bits <= max(21 - integer_bits, 16 - integer_bits)
    assert form.integer_bits <= integer_bits
    for layer, operand in enumerate((spec.formats.input, spec.formats.activation)):
        values = [e * x for e in ends(form) for x in (*ends(operand), Fraction(1))]
        exact(spec.error_product_format(layer), values, form.fraction_bits + operand.fraction_bits)
        direct = spec.sample_buffers == 2 and spec.direct_update
        assert spec.update_source(layer) == (spec.error_product_format(layer) if direct else spec.update_source_format)
    assert spec.gradient_memory == (periods[1] % periods[2] != 0)
    sources = [spec.update_source(layer).fraction_bits for layer in range(2)]
    assert spec.stochastic_bits == max(0, *(fraction - 12 for fraction in sources))


def test_a_format_of_the_error_that_the_user_chose_is_kept():
    chosen = Fixed(True, -2, 12)
    spec = design(error=chosen)
    assert spec.error_format == chosen
    assert {probe.name: probe.formats for probe in probes(spec)}["error"] == (chosen,)


@pytest.mark.parametrize(
    ("periods", "memory", "momentum", "direct"),
    [((1, 4, 4), None, False, True), ((1, 8, 4), False, False, True), ((1, 8, 4), True, False, False), ((1, 4, 8), None, False, False),
     ((1, 3, 2), None, False, False), ((1, 4, 4), None, True, False)],
)  # fmt: skip
def test_what_moves_the_parameters(periods, memory, momentum, direct):
    optimizer = {"optimizer": Momentum()} if momentum else {}
    spec = design(periods, hardware=Hardware(4, memory), **optimizer)
    assert spec.direct_update == direct
    assert spec.gradient_memory == (periods[1] % periods[2] != 0 if memory is None else memory)
    assert "update_period" in adjustable_periods(spec)
    shown = {probe.name: probe.shape for probe in probes(spec)}
    assert ("gradient" in shown) != direct


def test_a_core_of_one_probe_updates_after_every_step():
    assert "update_period" not in adjustable_periods(design())


def test_the_generators_of_a_design_do_not_depend_on_its_lanes():
    for lanes in (1, 8, 200):
        (generator,) = design(code=LfsrCode(), hardware=Hardware(lanes)).sign_generators
        assert (generator.degree, generator.outputs, generator.stream) == (63, 1, "signs")
        weight = design(code=LfsrCode(), hardware=Hardware(lanes), kind=Kind.WEIGHT)
        assert sum(generator.outputs for generator in weight.sign_generators) == lanes


def test_saturations_have_registers_of_their_own():
    for kind in Kind:
        registers = register_map(design(kind=kind))
        assert registers["saturated_activation"].address == 0x40
        taken = [register.address + i for register in registers.values() for i in range(register.words)]
        assert len(set(taken)) == len(taken)


def test_weight_perturbation_has_no_presentations():
    with pytest.raises(ValueError, match=r"^Kind of perturbation must be node, since only its steps form presentations, not weight$"):
        _ = design(kind=Kind.WEIGHT).error_format


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "an unsigned error": (
        lambda: design(error=Fixed(False, 1, 8)),
        "formats.error = \"UQ1.8\": errors have negative values. Take a signed format, such as 'SQ1.15'.",
    ),
    "an error of 17 bits beside few lanes": (
        lambda: design(error=Fixed(True, 1, 16), hardware=Hardware(8)),
        'formats.error = "SQ1.16": it has 17 bits, and a factor of one multiplier has at most 16. Take at most 16 bits, or leave it out.',
    ),
    "an error of 19 bits beside many lanes": (
        lambda: design(error=Fixed(True, 1, 18), hardware=Hardware(9)),
        'formats.error = "SQ1.18": it has 19 bits, and a factor of one multiplier has at most 18. Take at most 18 bits, or leave it out.',
    ),
    "a stochastic error": (
        lambda: design(error_cast=Cast(Rounding.STOCHASTIC)),
        'formats.rounding.error = "stochastic": only updates are rounded stochastically (weight, and momentum\'s own).'
        " Take 'half-even' or 'floor'.",
    ),
    "no memory where a sample ends a presentation": (
        lambda: design((1, 4, 8), hardware=Hardware(4, False)),
        "schedule.update_period = 8: a core without a gradient memory updates at the end of every presentation, also where a new"
        " sample ends it. Set hardware.gradient_memory = true, or leave it out, or take an update_period that divides sample_period = 4.",
    ),
    "a presentation that is too long": (
        lambda: design((1, 1 << 23, 1 << 22), cost_change=Fixed(True, 30, 20)),
        "schedule.update_period = 4194304: the sum of so many cost changes, each in SQ30.20, exceeds 63 bits."
        " Take a shorter period, or a narrower formats.cost_change.",
    ),
    "a presentation that is too long by its sample": (
        lambda: design((1, 1 << 22, 1 << 23), cost_change=Fixed(True, 30, 20)),
        "schedule.sample_period = 4194304: the sum of so many cost changes, each in SQ30.20, exceeds 63 bits."
        " Take a shorter period, or a narrower formats.cost_change.",
    ),
    "errors that are always zero": (
        lambda: design(rates=((0, -20),), code=SequentialCode(), error=Fixed(True, 8, 8), cost_change=Fixed(True, 4, 10)),
        "schedule.learning_rate = [[0, -20]]: the largest error is below the last place of its format, SQ8.8: it always rounds to zero."
        " Take a larger rate, or more fraction bits in formats.error.",
    ),
    "an error beyond 63 bits": (
        lambda: design((1, 1 << 22, 1 << 22), rates=((0, 12),), error=Fixed(True, -20, 36), cost_change=Fixed(True, 20, 20)),
        "schedule.learning_rate = [[0, 12]]: 2^18 times the sum of the cost changes takes 97 bits in the error's fraction, more than 63."
        " Take a smaller rate, or fewer fraction bits in formats.error.",
    ),
    "products beyond 63 bits": (
        lambda: design(error=Fixed(True, 1, 15), input=Fixed(False, 30, 20), weight=Fixed(True, 2, 6)),
        "formats.error = \"SQ1.15\": an intermediate that follows from it exceeds 63 bits",
    ),
    "stochastic words of too many bits": (
        lambda: design(rates=((0, -40),), error=Fixed(True, -26, 42), input=Fixed(False, -10, 40), weight=Fixed(True, -7, 10)),
        'formats.rounding.weight = "stochastic": a stochastic cast drops ',
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_built_is_refused(what):
    make, said = REFUSED[what]
    with pytest.raises(DesignError, match=rf"^{re.escape(said)}"):
        make()


def test_the_widest_error_that_a_multiplier_takes_is_accepted():
    assert design(error=Fixed(True, 1, 15), hardware=Hardware(8)).error_format.width == 16
    assert design(error=Fixed(True, 1, 17), hardware=Hardware(9)).error_format.width == 18
