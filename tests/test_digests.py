"""The digest of a structure tells machines apart: every field of a spec is changed, one at a time, and held against the Verilog."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any

import pytest

from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.error import DesignError
from python_ref.spec.layers import DENSE, Sparse
from python_ref.spec.network import Initialization, Network, Readout, Scheme
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import Momentum, Sgd
from python_ref.spec.perturbation import Kind, Perturbation, SequentialCode, WalshCode, WalshGrayCode
from python_ref.spec.schedule import Difference, Schedule
from rtl_gen.emit import emit_verilog


class Changes(enum.Enum):
    """What a changed field changes."""

    VERILOG = "the Verilog, and so the digest of the structure"
    RESET = "in the Verilog only the reset values of registers that the host writes before every run: the digest of the run alone"
    RUN = "nothing in the Verilog: the digest of the run alone"
    REFUSED = "nothing: the design is refused"


VERILOG, RESET, RUN, REFUSED = Changes

BASE = DesignSpec(
    "base",
    Network((3, 4, 2), Activation.RELU, Activation.SIGMOID, Initialization(Scheme.UNIFORM, 0.5, 3)),
    Perturbation(Kind.NODE, amplitude_log2=-3, seed=4),
    Schedule(((0, -6), (10, -9)), 2, 2, 1, Difference.ONE_SIDED),
    Momentum(2, Fixed(True, 4, 9), Rounding.FLOOR, Overflow.SATURATE),
    Formats(
        input=Fixed(False, 1, 4),
        weight=Fixed(True, 3, 6),
        activation=Fixed(True, 3, 5),
        table=Fixed(True, 3, 4),
        cost_change=Fixed(True, 4, 8),
        gradient=Fixed(True, 1, 10),
        error=Fixed(True, 0, 12),
        activation_cast=Cast(Rounding.HALF_EVEN, Overflow.SATURATE),
        cost_change_cast=Cast(Rounding.HALF_EVEN, Overflow.SATURATE),
        gradient_cast=Cast(Rounding.FLOOR, Overflow.SATURATE),
        weight_cast=Cast(Rounding.HALF_EVEN, Overflow.SATURATE),
        error_cast=Cast(Rounding.HALF_EVEN, Overflow.SATURATE),
    ),
    Hardware(2, True, True),
)
"""A design in which every field matters."""

WEIGHT = replace(
    BASE,
    network=replace(BASE.network, hidden=Activation.RELU, output=Activation.IDENTITY),
    perturbation=replace(BASE.perturbation, kind=Kind.WEIGHT),
    schedule=replace(BASE.schedule, perturbation_period=1),
    optimizer=Sgd(),
    hardware=Hardware(2),
)
"""Another machine: weight perturbation without any memory beside the parameters."""

TABLE: dict[str, list[tuple[Any, Changes]]] = {
    "name": [("other", VERILOG)],
    "network.sizes": [((3, 5, 2), VERILOG), ((3, 4, 4, 2), VERILOG), ((3, 2), VERILOG)],
    "network.hidden": [(Activation.TANH, VERILOG), (Activation.IDENTITY, VERILOG)],
    "network.output": [(Activation.TANH, VERILOG), (Activation.SIGN, VERILOG)],
    "network.kinds": [((DENSE,), REFUSED), ((Sparse(2, 4), DENSE), VERILOG), ((Sparse(2, 4, 2), DENSE), VERILOG)],
    "network.frames": [(2, REFUSED)],
    "network.readout": [(Readout.SUM, REFUSED)],
    "network.held": [(True, REFUSED)],
    "network.initial.scheme": [(Scheme.HE, RUN)],
    "network.initial.scale": [(1.0, RUN)],
    "network.initial.seed": [(9, RUN)],
    "perturbation.kind": [(Kind.WEIGHT, VERILOG)],
    "perturbation.code": [(WalshCode(), VERILOG), (WalshGrayCode(), VERILOG), (SequentialCode(), VERILOG)],
    "perturbation.amplitude_log2": [(-4, VERILOG), (-2, VERILOG)],
    "perturbation.seed": [(9, RUN)],
    "perturbation.parts": [(((2, 1),), RUN), (((1, 1), (1, 1)), REFUSED)],
    "perturbation.hold": [(1, REFUSED)],
    "perturbation.segments": [(1, REFUSED)],
    "schedule.learning_rate": [(((0, -5), (10, -9)), VERILOG), (((0, -6), (10, -8)), RUN), (((0, -6), (11, -9)), RUN)],
    "schedule.perturbation_period": [(3, RESET), (1, VERILOG)],
    "schedule.sample_period": [(3, RESET), (1, RESET)],
    "schedule.update_period": [(2, VERILOG)],
    "schedule.difference": [(Difference.TWO_SIDED, VERILOG)],
    "optimizer": [(Sgd(), VERILOG)],
    "optimizer.k": [(3, VERILOG)],
    "optimizer.format.signed": [(False, REFUSED)],
    "optimizer.format.integer_bits": [(5, VERILOG)],
    "optimizer.format.fraction_bits": [(8, VERILOG)],
    "optimizer.rounding": [(Rounding.HALF_EVEN, VERILOG), (Rounding.STOCHASTIC, VERILOG)],
    "optimizer.overflow": [(Overflow.WRAP, VERILOG)],
    "formats.input.signed": [(True, VERILOG)],
    "formats.input.integer_bits": [(2, VERILOG)],
    "formats.input.fraction_bits": [(5, VERILOG)],
    "formats.weight.signed": [(False, REFUSED)],
    "formats.weight.integer_bits": [(2, VERILOG)],
    "formats.weight.fraction_bits": [(7, VERILOG)],
    "formats.activation.signed": [(False, VERILOG)],
    "formats.activation.integer_bits": [(4, VERILOG)],
    "formats.activation.fraction_bits": [(6, VERILOG)],
    "formats.table.signed": [(False, REFUSED)],
    "formats.table.integer_bits": [(2, VERILOG)],
    "formats.table.fraction_bits": [(3, VERILOG)],
    "formats.cost_change.signed": [(False, REFUSED)],
    "formats.cost_change.integer_bits": [(3, VERILOG)],
    "formats.cost_change.fraction_bits": [(7, VERILOG)],
    "formats.gradient.signed": [(False, REFUSED)],
    "formats.gradient.integer_bits": [(2, VERILOG)],
    "formats.gradient.fraction_bits": [(9, VERILOG)],
    "formats.error.signed": [(False, REFUSED)],
    "formats.error.integer_bits": [(1, VERILOG)],
    "formats.error.fraction_bits": [(11, VERILOG)],
    "formats.state.signed": [(False, REFUSED)],
    "formats.state.integer_bits": [(5, REFUSED)],
    "formats.state.fraction_bits": [(9, REFUSED)],
    "formats.state_cast.rounding": [(Rounding.FLOOR, REFUSED)],
    "formats.state_cast.overflow": [(Overflow.WRAP, REFUSED)],
    "formats.activation_cast.rounding": [(Rounding.FLOOR, VERILOG), (Rounding.HALF_UP, VERILOG)],
    "formats.activation_cast.overflow": [(Overflow.WRAP, VERILOG)],
    "formats.cost_change_cast.rounding": [(Rounding.FLOOR, VERILOG)],
    "formats.cost_change_cast.overflow": [(Overflow.WRAP, VERILOG)],
    "formats.gradient_cast.rounding": [(Rounding.HALF_UP, VERILOG)],
    "formats.gradient_cast.overflow": [(Overflow.WRAP, VERILOG)],
    "formats.error_cast.rounding": [(Rounding.FLOOR, VERILOG), (Rounding.HALF_UP, VERILOG)],
    "formats.error_cast.overflow": [(Overflow.WRAP, VERILOG)],
    "formats.weight_cast.rounding": [(Rounding.FLOOR, VERILOG), (Rounding.STOCHASTIC, VERILOG)],
    "formats.weight_cast.overflow": [(Overflow.WRAP, VERILOG)],
    "hardware.lanes": [(3, VERILOG), (1, VERILOG)],
    "hardware.gradient_memory": [(False, VERILOG)],
    "hardware.signature": [(False, VERILOG)],
    "hardware.multipliers_per_lane": [(2, VERILOG)],
    "hardware.single_port": [(True, VERILOG)],
}
"""For each field, by its path, other values and what they change."""


def paths(value: Any, before: str = "") -> Iterator[str]:
    """The fields of a dataclass and of those within it; a field with a choice of classes, and one whose class has no field, too."""
    for each in fields(value):
        inner, path = getattr(value, each.name), f"{before}{each.name}"
        if not is_dataclass(inner) or not fields(inner) or path == "optimizer":
            yield path
        if is_dataclass(inner):
            yield from paths(inner, f"{path}.")


def changed(value: Any, path: str, other: Any) -> Any:
    """A dataclass with another value at a path."""
    name, _, rest = path.partition(".")
    return replace(value, **{name: changed(getattr(value, name), rest, other) if rest else other})


@lru_cache(maxsize=8)
def verilog(spec: DesignSpec) -> str:
    """The Verilog without the digest, which stands in its header and in a register."""
    copy = replace(spec)
    copy.__dict__["digest"] = "0" * 16
    text = emit_verilog(copy)
    assert spec.digest not in text
    return text


RESET_VALUE = re.compile(r"^(\s*(?:reg (?:\[23:0\] )?\S+ +|\\\$\d+ +|\(\* init )= )(?:24|1)'h[0-9a-f]+", re.MULTILINE)
"""A value at reset of a register of one bit, or of 24, which a period has: in its declaration, its attribute and where it is reset."""


def without_reset_values(spec: DesignSpec) -> str:
    """The Verilog without what :data:`RESET_VALUE` finds."""
    return RESET_VALUE.sub(r"\1", verilog(spec))


def test_every_field_is_in_the_table() -> None:
    assert set(TABLE) == set(paths(BASE))


def rows(*of: Changes) -> list[Any]:
    """The rows of the table that change one of these: path, other value, and what it changes."""
    return [pytest.param(path, *row, id=f"{path}={row[0]}") for path, rows in TABLE.items() for row in rows if row[1] in of]


@pytest.mark.parametrize(("path", "other", "what"), rows(*Changes))
def test_a_changed_field_changes_the_digests(path: str, other: Any, what: Changes) -> None:
    if what is REFUSED:
        with pytest.raises(DesignError):
            changed(BASE, path, other)
        return
    spec = changed(BASE, path, other)
    assert spec.run_digest != BASE.run_digest
    assert (spec.digest == BASE.digest) == (what in (RUN, RESET))


def same_verilog_as_base(spec: DesignSpec, what: Changes) -> None:
    """The Verilog is that of the base, but for values at reset that the host writes before every run."""
    assert spec.digest == BASE.digest
    assert (verilog(spec) == verilog(BASE)) == (what is RUN)
    assert without_reset_values(spec) == without_reset_values(BASE)


@pytest.mark.parametrize("what", [RUN, pytest.param(RESET, marks=pytest.mark.slow)], ids=lambda what: what.name)
def test_a_machine_of_one_digest_has_the_same_verilog(what: Changes) -> None:
    """A design in which every field has changed that may, all at once."""
    spec, fields_changed = BASE, 0
    for path, choices in TABLE.items():
        others = [other for other, effect in choices if effect is what]
        if others:
            spec, fields_changed = changed(spec, path, others[0]), fields_changed + 1
    assert fields_changed >= 2
    same_verilog_as_base(spec, what)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "other", "what"), rows(RUN, RESET))
def test_machines_of_one_digest_have_the_same_verilog(path: str, other: Any, what: Changes) -> None:
    """The same, one field at a time."""
    same_verilog_as_base(changed(BASE, path, other), what)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "other", "what"), rows(VERILOG))
def test_machines_of_two_digests_have_different_verilog(path: str, other: Any, what: Changes) -> None:
    spec = changed(BASE, path, other)
    assert verilog(spec) != verilog(BASE)
    assert without_reset_values(spec) != without_reset_values(BASE)


IN_PARTS = {
    parts: replace(BASE, perturbation=replace(BASE.perturbation, parts=parts), schedule=Schedule(((0, -6),), 2, 12, 12))
    for parts in (None, ((1, 1), (1, 1)), ((1, 2), (1, 1)), ((1, 1), (1, 2)), ((1, 1), (1, 3)))
}
"""Machines that differ only in their parts."""


def test_parts_belong_to_the_structure() -> None:
    assert len({spec.digest for spec in IN_PARTS.values()}) == len(IN_PARTS)
    assert replace(IN_PARTS[None], perturbation=replace(BASE.perturbation, parts=((2, 3),))).digest == IN_PARTS[None].digest


@pytest.mark.slow
def test_machines_of_other_parts_have_different_verilog() -> None:
    assert len({without_reset_values(spec) for spec in IN_PARTS.values()}) == len(IN_PARTS)
    one = replace(IN_PARTS[None], perturbation=replace(BASE.perturbation, parts=((2, 3),)))
    assert verilog(one) == verilog(IN_PARTS[None])


OF_WEIGHT = pytest.mark.parametrize(
    ("path", "other"),
    [
        ("perturbation.amplitude_log2", -4),
        ("schedule.difference", Difference.TWO_SIDED),
        ("schedule.perturbation_period", 2),
        ("schedule.update_period", 2),
        ("hardware.gradient_memory", True),
        ("formats.weight_cast.rounding", Rounding.STOCHASTIC),
        ("formats.activation_cast.overflow", Overflow.WRAP),
        ("network.hidden", Activation.IDENTITY),
        ("optimizer", Momentum()),
    ],
)


@OF_WEIGHT
def test_a_machine_of_weight_perturbation_too(path: str, other: Any) -> None:
    spec = changed(WEIGHT, path, other)
    assert spec.digest != WEIGHT.digest
    assert spec.run_digest != WEIGHT.run_digest


@pytest.mark.slow
@OF_WEIGHT
def test_machines_of_weight_perturbation_have_different_verilog_too(path: str, other: Any) -> None:
    assert verilog(changed(WEIGHT, path, other)) != verilog(WEIGHT)


@pytest.mark.parametrize("base", [BASE, pytest.param(WEIGHT, marks=pytest.mark.slow)], ids=["node", "weight"])
@pytest.mark.parametrize(
    ("path", "other", "rate"),
    [
        ("perturbation.amplitude_log2", -4, -1),
        pytest.param("perturbation.amplitude_log2", -2, +1, marks=pytest.mark.slow),
        pytest.param("schedule.difference", Difference.TWO_SIDED, +1, marks=pytest.mark.slow),
    ],
)
def test_what_a_rate_hides_is_told_apart(base: DesignSpec, path: str, other: Any, rate: int) -> None:
    """Δ and the difference also move e = log2(η/Δ); with another η they do not, and the machines are still two."""
    rates = tuple((step, log2 + rate) for step, log2 in base.schedule.learning_rate)
    spec = changed(changed(base, path, other), "schedule.learning_rate", rates)
    assert spec.exponents == base.exponents
    assert verilog(spec) != verilog(base)
    assert spec.digest != base.digest


def test_lists_are_told_apart_by_what_they_are_and_not_by_where_they_come_from() -> None:
    drawn = changed(BASE, "network.kinds", (Sparse(2, 4, 3), DENSE))
    given = tuple(tuple(each) for each in drawn.network.layers[0].lists.tolist())
    same = changed(BASE, "network.kinds", (Sparse(2, 4, 99, given), DENSE))
    assert same.digest == drawn.digest != changed(BASE, "network.kinds", (Sparse(2, 4, 99), DENSE)).digest
    assert verilog(same) == verilog(drawn)


def test_the_same_lists_for_other_blocks_are_told_apart() -> None:
    """Four neurons have two lists in blocks of two, and in blocks of three and one."""
    base, lists = changed(BASE, "hardware.lanes", 1), ((0, 2), (1, 2))
    two, three = (changed(base, "network.kinds", (Sparse(2, block, 1, lists), DENSE)) for block in (2, 3))
    assert two.network.layers[0].lists.tolist() == three.network.layers[0].lists.tolist()
    assert verilog(two) != verilog(three)
    assert two.digest != three.digest
