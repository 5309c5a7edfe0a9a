# amaranth: UnusedElaboratable=no
"""Codes, activations, optimisers and the other kinds: every member of every table runs everywhere, and what a table lacks is refused."""

from __future__ import annotations

import copy
import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed

import mgd_hw
from boards.flow.build import pack_job, place_job
from boards.parts.fit import fit
from mgd_hw.data.summary import _target_scaling
from mgd_hw.data.tasks import Scaling
from mgd_hw.design.description import Design
from mgd_hw.design.float_model import learner, objective, opened
from mgd_hw.design.float_only import FLOAT_CODES, OPTIMIZER_KEYS
from mgd_hw.design.reader import parse
from mgd_hw.hardware.boards import board_of
from mgd_hw.learn import costs, learners
from mgd_hw.replication.fashion import Settings, estimator_of
from mgd_hw.replication.theory import perturbations_expected
from python_ref import parameters
from python_ref.datasets import SampleOrder
from python_ref.fixed import fast, kernels, machine, network, plan
from python_ref.fixed.perturbation import SignSource
from python_ref.floating import codes as float_codes
from python_ref.floating import of_design, online
from python_ref.floating import optimizers as float_optimizers
from python_ref.spec import optimizer as spec_optimizer
from python_ref.spec import perturbation
from python_ref.spec.activations import Activation, Piecewise, Tabulated, tabulated_value
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware, code_period
from python_ref.spec.error import Refusal
from python_ref.spec.network import Initialization, Network, Scheme
from python_ref.spec.number import Fixed, Overflow, Rounding, cast_raw, round_raw
from python_ref.spec.optimizer import OPTIMIZERS, Momentum, Optimizer, Sgd
from python_ref.spec.perturbation import CODES, Code, Kind, LfsrCode, Perturbation, SequentialCode
from python_ref.spec.probes import probes
from python_ref.spec.registers import phase_bits
from python_ref.spec.schedule import Difference, Schedule
from python_ref.spec.serial import from_dict, to_dict
from python_ref.spec.tables import activation_table
from python_ref.trace import Run
from rtl_gen import lane
from rtl_gen.activation import _Pieces
from rtl_gen.cast import cast_in_two
from rtl_gen.core import core_of
from rtl_gen.fixed import limit, round_value
from rtl_gen.learner.signs import sign_source as learner_signs
from rtl_gen.perturbation import _SOURCES, RandomSigns, sign_source
from rtl_gen.presentation.signs import sign_source as neuron_signs
from sim.cosim import cosim
from sim.host import seed_words
from tests.rtl_gen.test_perturbation import check
from tests.support.marks import slow_unless
from tests.support.oracles import NodeOracle, oracle_of, signs_of

XOR = 'data.task = "xor"\nnetwork.layers = [2, 3, 1]\ncompare.steps = 50\ncompare.seeds = 1\ncompare.backprop_epochs = 5\n'
pytestmark = pytest.mark.usefixtures("reference_in_process", "without_pictures")

SIZES = (1, 7, 8, 9, 64)
QUICK_SIGNS = ((9, Kind.WEIGHT), (9, Kind.NODE))
"""Numbers of quantities, with the kinds, at which the ordinary suite runs a core with every code."""
"""Numbers of perturbed quantities: the least, and both sides of powers of two."""


def spec_of(code: Code, kind: Kind, quantities: int, **changes: Any) -> DesignSpec:
    """A design of one layer with so many perturbed quantities; the least of weight perturbation is 2."""
    sizes = (2, quantities) if kind is Kind.NODE else (max(1, quantities - 1), 1)
    formats = Formats(Fixed(False, 0, 4), Fixed(True, 2, 8), Fixed(True, 3, 7), weight_cast=Cast(Rounding.HALF_EVEN))
    return DesignSpec(
        "kinds",
        Network(sizes),
        Perturbation(kind, code, -3, 5),
        Schedule(((0, -5),), **changes),
        formats=formats,
        hardware=Hardware(min(8, sizes[-1])),
    )


def run_of(spec: DesignSpec, steps: int) -> Run:
    """A run of a design on random samples."""
    random = np.random.default_rng(5)
    start = random.integers(-300, 300, spec.network.n_parameters)
    inputs = random.integers(0, 16, (3, spec.network.n_in))
    targets = random.integers(-100, 100, (3, spec.network.n_out))
    return Run(spec, start, inputs, targets, np.arange(steps) % 3, steps, 11)


# -- Codes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_a_phase_has_as_many_bits_as_its_period_needs(code: type[Code]) -> None:
    for quantities in (*range(1, 70), 4095, 4096, 4097):
        period, bits = code().period(quantities), code().phase_bits(quantities)
        assert bits >= 1
        assert period <= 1 << bits
        assert bits == 1 or period > 1 << bits - 1, "one bit less would do"
        assert [code().phase(p, quantities) for p in (0, period - 1, period, 5 * period + 1)] == [0, period - 1, 0, 1 % period]


@pytest.mark.parametrize("quantities", SIZES)
@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_signs_have_the_values_and_the_period_they_say(code: type[Code], quantities: int) -> None:
    index, period = np.arange(quantities), code().period(quantities)
    drawn = np.random.default_rng(1).integers(0, 2, (2 * period, quantities), np.uint8)
    drawn[period:] = drawn[:period]
    p = np.arange(2 * period)[:, None]
    signs = code().signs(index, code().phase(p, quantities), drawn)
    assert signs.dtype == np.int8
    assert signs.shape == drawn.shape
    assert set(np.unique(signs)) <= set(code.values)
    if quantities > 1:
        assert set(np.unique(signs)) == set(code.values)
    np.testing.assert_array_equal(signs[period:], signs[:period])
    for shorter in {1, period // 2} - {period, 0}:
        assert (signs[shorter : shorter + period] != signs[:period]).any(), "a shorter period would do"


@pytest.mark.parametrize("quantities", SIZES)
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_signs_are_the_oracle_s_at_every_size(code: type[Code], kind: Kind, quantities: int) -> None:
    spec = spec_of(code(), kind, quantities)
    oracle, source = oracle_of(spec, seed=spec.perturbation.seed), SignSource(spec)
    for p in range(2 * spec.quantities + 3):
        assert source.signs(p).tolist() == signs_of(oracle, p)


@pytest.mark.parametrize("quantities", SIZES)
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("code", [code for code in CODES.values() if not code().generators(1)], ids=lambda code: code.name)
def test_signs_that_are_not_drawn_are_the_float_models_too(code: type[Code], kind: Kind, quantities: int) -> None:
    spec = spec_of(code(), kind, quantities)
    source, count = SignSource(spec), 2 * code().period(spec.quantities) + 3
    rows = of_design.code(spec).rows(0, count, spec.quantities)
    for p in range(count):
        assert online.signs(spec, 1, p).tolist() == source.signs(p).tolist()
        assert rows[p].tolist() == source.signs(p).tolist()


@pytest.mark.parametrize("quantities", [*SIZES[:-1], pytest.param(SIZES[-1], marks=[pytest.mark.slow, pytest.mark.long])])
@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_the_hardware_s_phase_wraps_where_the_code_s_does(code: type[Code], quantities: int) -> None:
    """The lanes' source of signs over more than a period, and from a restart on; that of neurons has tests of its own."""
    spec = spec_of(code(), Kind.WEIGHT, quantities)
    check(spec, steps=code().period(spec.quantities) + 3, restart_at=2)


@pytest.mark.parametrize(
    ("quantities", "kind"),
    [pytest.param(size, kind, marks=slow_unless((size, kind) in QUICK_SIGNS)) for size in SIZES for kind in Kind],
)
@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_the_core_draws_the_model_s_signs_at_every_size(code: type[Code], quantities: int, kind: Kind, tmp_path: Path) -> None:
    spec = spec_of(code(), kind, quantities, difference=Difference.TWO_SIDED)
    steps = 4 if quantities == 64 else max(4, 2 * quantities)
    result = cosim(run_of(spec, steps), core_of(spec), tmp_path, simulator="amaranth")
    assert result.equal and result.compared, result


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_the_host_loads_the_phase_of_any_step(code: type[Code]) -> None:
    """The low bits of each beat hold the phase; the last beat that is shifted in stays."""
    for quantities in SIZES:
        spec = spec_of(code(), Kind.NODE, quantities)
        for step in (0, 1, quantities - 1, quantities, 10 * quantities + 3):
            words = seed_words(spec, step=step)
            beat = len(words) // max(1, -(-sum_of_widths(spec) // 32))
            last = words[(beat - 1) * -(-sum_of_widths(spec) // 32)]
            assert last & (1 << phase_bits(spec)) - 1 == step % code().period(quantities)


def sum_of_widths(spec: DesignSpec) -> int:
    """Bits of a beat of the register ``stream``."""
    drawn = [generator.outputs for generator in spec.sign_generators]
    return spec.code.phase_bits(spec.quantities) + sum(drawn)


# -- Optimisers -------------------------------------------------------------------------------------------------------


def optimizer_spec(optimizer: Optimizer, kind: Kind, period: int, memory: bool | None = None) -> DesignSpec:
    """A design of two layers that learns by an optimiser, with every cast of a mode of its own."""
    formats = Formats(Fixed(False, 0, 4), Fixed(True, 2, 8), Fixed(True, 3, 7), weight_cast=Cast(Rounding.STOCHASTIC))
    network, schedule = Network((2, 3, 2)), Schedule(((0, -5), (9, -6)), update_period=period)
    return DesignSpec("kinds", network, Perturbation(kind, LfsrCode(), -3, 5), schedule, optimizer, formats, Hardware(2, memory))


def variants(kind: type[Optimizer]) -> list[Optimizer]:
    """An optimiser as it is by default, and with a stochastic cast into a narrow state if it has one."""
    narrow = {"k": 2, "format": Fixed(True, 3, 9), "rounding": Rounding.STOCHASTIC, "overflow": Overflow.WRAP}
    chosen = {key: value for key, value in narrow.items() if key in kind.parameters()}
    return [kind(), kind(**chosen)] if chosen else [kind()]


EVERY_OPTIMIZER = [each for kind in OPTIMIZERS.values() for each in variants(kind)]
IN_EVERY_WAY = [
    pytest.param(optimizer, kind, period, id=f"{optimizer.name}-{number}-{kind.value}-{period}")
    for number, optimizer in enumerate(EVERY_OPTIMIZER)
    for kind in Kind
    for period in (1, 3)
]
ON_A_CORE = [pytest.param(*way.values, id=way.id, marks=slow_unless(way.values[1:] == (Kind.NODE, 3))) for way in IN_EVERY_WAY]
"""The same; on a core, the ordinary suite tries node perturbation with one period."""


@pytest.mark.parametrize(("optimizer", "kind", "period"), IN_EVERY_WAY)
def test_an_optimizer_is_the_oracle_s_in_every_model(optimizer: Optimizer, kind: Kind, period: int) -> None:
    """The plain machine and the compiled one, against exact fractions."""
    spec, shown = optimizer_spec(optimizer, kind, period), list[dict[str, np.ndarray]]()
    run = run_of(spec, 24)
    after = fast.train(spec, run.initial_state(), run.inputs, run.targets, run.order, 24, observe=shown.append).state
    compiled = {name: np.concatenate([block[name] for block in shown]) for name in shown[0]}
    oracle, state = oracle_of(spec, run.parameters.tolist(), run.seed), run.initial_state()
    for n in range(24):
        x, target = run.inputs[run.order[n]], run.targets[run.order[n]]
        wanted = (oracle.observed if isinstance(oracle, NodeOracle) else oracle.step)(x.tolist(), target.tolist())
        state, observed = machine.step(spec, state, (x, target))
        for probe in probes(spec):
            raw = [value * Fraction(2) ** probe.format_at(i).fraction_bits for i, value in enumerate(wanted[probe.name])]
            assert observed[probe.name].ravel().tolist() == raw, f"{probe.name} of step {n}, plain machine"
            assert compiled[probe.name][n].ravel().tolist() == raw, f"{probe.name} of step {n}, compiled machine"
    assert state.optimizer.keys() == after.optimizer.keys() == {variable.name for variable in spec.optimizer_state}
    for name, values in state.optimizer.items():
        assert values.any(), "the state moved"
        assert values.tolist() == after.optimizer[name].tolist()


@pytest.mark.parametrize("kind", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_optimizer_s_float_rule_and_gain_are_those_of_its_integers(kind: type[Optimizer]) -> None:
    uncorrected = {"corrected": False} if "corrected" in kind.parameters() else {}  # the correction by a shift is coarser than the root
    optimizer, form, random = kind(**uncorrected), Fixed(True, 4, 20), np.random.default_rng(2)
    off = {"rel": 0.13, "abs": 1e-3} if optimizer.scales_update else {"abs": 1e-4}
    name, parameters = optimizer.float_rule()
    rule = float_optimizers.OPTIMIZERS[name](1.0, **parameters)
    theta = np.zeros(5)
    memory, state = rule.initial(theta), {variable.name: theta.astype(np.int64) for variable in optimizer.state(form)}
    assert len(memory) == len(state) == kind.operations[2]
    constant = form.to_raw(random.uniform(-0.1, 0.1, 5))
    for update in range(400):
        raw = form.to_raw(random.uniform(-1, 1, 5)) if update < 100 else constant
        wanted, memory = rule.step(memory, form.to_real(raw), update, 1.0)
        moved = optimizer.step((form, form), state, raw, np.zeros(5, np.int64), 0)
        state = moved.state
        assert optimizer.source(form, form).to_real(moved.source) == pytest.approx(wanted, **off)
    if optimizer.gain_log2 is not None:
        assert wanted == pytest.approx(2.0**optimizer.gain_log2 * form.to_real(constant), rel=1e-3)


MOMENTUM = 'optimizer.name = "momentum"\n'
LISTED = "schedule.learning_rate = [[0, -3], [20, -5]]\n"


@pytest.mark.parametrize(
    "rule",
    [MOMENTUM, LISTED, MOMENTUM + LISTED, MOMENTUM + LISTED + "schedule.sample_period = 1\nschedule.update_period = 3\n"],
    ids=["momentum", "rates", "momentum with rates", "rates within an update"],
)
def test_a_learner_does_what_the_compiled_float_model_does(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the compiled loops lack an optimiser, the learner takes their place; signs and rates are the same."""
    design = parse(rule + 'perturbation.code = "walsh"\n' + XOR, "kinds.toml")
    costs = [mgd_hw.compare(design).to_json()["float"]["runs"][0]["cost"]]
    monkeypatch.setattr(online, "has_rule", lambda optimizer: False)
    costs.append(mgd_hw.compare(design).to_json()["float"]["runs"][0]["cost"])
    assert costs[0] == pytest.approx(costs[1], rel=1e-9)


@pytest.mark.parametrize(("optimizer", "kind", "period"), ON_A_CORE)
def test_a_core_learns_by_every_optimizer(optimizer: Optimizer, kind: Kind, period: int, tmp_path: Path) -> None:
    spec = optimizer_spec(optimizer, kind, period)
    result = cosim(run_of(spec, 12), core_of(spec), tmp_path, simulator="amaranth")
    assert result.equal and result.compared, result
    assert {variable.name for variable in spec.optimizer_state} <= {probe.name for probe in probes(spec)}


# -- Every member of every table --------------------------------------------------------------------------------------


def test_tables_have_the_same_members() -> None:
    assert set(float_codes.FLOAT_CODES) == set(FLOAT_CODES)
    assert not set(FLOAT_CODES) & set(CODES)
    assert set(OPTIMIZERS) <= set(OPTIMIZER_KEYS)
    assert set(costs.OPTIMIZERS) == set(OPTIMIZER_KEYS)
    for function in Activation:
        z = np.array([-2.0, -0.5, 0.0, 0.5, 2.0])
        y = function.activate(z)
        assert (y.min() < 0) == function.signed
        assert (np.abs(function.activate(100 * z)).max() <= 1) == function.bounded
        for kind in (np.float32, np.float64):
            assert function.activate(z.astype(kind)).dtype == kind
            if function.differentiable:
                assert function.slope(y.astype(kind)).dtype == kind
            else:
                with pytest.raises(Refusal, match=f"^Back-propagation is not defined for the activation '{function.value}'"):
                    function.slope(y)


MEMBERS = (
    *(f'perturbation.code = "{name}"' for name in (*CODES, *FLOAT_CODES)),
    *(f'network.hidden = "{function.value}"\nnetwork.output = "{function.value}"' for function in Activation),
    *(f'optimizer.name = "{name}"' for name in OPTIMIZER_KEYS),
)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda text: text.split('"')[1])
def test_every_member_is_compared_and_diagnosed(member: str) -> None:
    design = parse(member + "\n" + XOR, "kinds.toml")
    compared = mgd_hw.compare(design).to_json()
    models = {"float"} if design.float_only.requests else {"float", "fixed"}
    assert {name for name in ("float", "fixed") if compared[name]["runs"]} == models
    for name in models:
        (run,) = compared[name]["runs"]
        assert np.isfinite(run["cost"])
    diagnosed = mgd_hw.diagnose(design).to_json()
    assert diagnosed["quantities"] == 4
    assert diagnosed["perturbations"] > 0


# -- What is unknown --------------------------------------------------------------------------------------------------


class UnknownCode(Code):
    """A code that no table has."""

    name = "unknown"
    values = (-1, 1)

    def generators(self, lanes: int) -> tuple:
        return ()

    def period(self, quantities: int) -> int:
        return quantities

    def visits(self, steps: int, quantities: int) -> int:
        return steps

    def signs(self, index: np.ndarray, phase: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        return np.where(index == phase, -1, 1).astype(np.int8)


class DerivedCode(SequentialCode):
    """A code that is derived from another one, and is not that one."""

    name = "derived"


@dataclass(frozen=True)
class DerivedMomentum(Momentum):
    """An optimiser that is derived from another one, and is not that one."""

    name = "derived"


@dataclass(frozen=True)
class UnknownOptimizer(Sgd):
    """An optimiser that no table has."""

    name = "unknown"

    def float_rule(self) -> tuple[str, dict[str, float]]:
        return "unknown", {}


def refused(place: str) -> Any:
    return pytest.raises(TypeError, match=rf" is unknown to {re.escape(place)}\. Add it there, or choose one that is there\.$")


UNKNOWN_CODES = [UnknownCode(), DerivedCode()]
BASE = spec_of(LfsrCode(), Kind.NODE, 4)


def with_code(code: Any) -> DesignSpec:
    return replace(BASE, perturbation=replace(BASE.perturbation, code=code))


def design_with(spec: DesignSpec) -> Design:
    return replace(parse(XOR, "kinds.toml"), spec=spec)


def make_learner(design: Design) -> None:
    with opened(design) as problem:
        learner(design, 10, problem)


def take_a_step(spec: DesignSpec) -> None:
    state = machine.initial_state(BASE, np.zeros(BASE.network.n_parameters, dtype=np.int64))
    machine.step(spec, state, (np.zeros(2, np.int64), np.zeros(4, np.int64)))


USES: dict[str, Callable[[DesignSpec], Any]] = {
    "registers": phase_bits,
    "fixed model": SignSource,
    "machine": take_a_step,
    "signs": sign_source,
    "host": seed_words,
    "learner": lambda spec: make_learner(design_with(spec)),
    "online learner": lambda spec: online.signs(spec, 1, 0),
    "period": code_period,
    "fit": lambda spec: fit(spec, "ice40-up5k"),
}


@pytest.mark.parametrize("code", [*UNKNOWN_CODES, "lfsr", float_codes.SinusoidalCode()], ids=["unknown", "derived", "name", "float only"])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_code_without_hardware_is_refused(use: Callable[[DesignSpec], Any], code: Any) -> None:
    online.sign_block.cache_clear()  # another test may have drawn signs of this code while a table had it
    with refused("python_ref.spec.perturbation.CODES"):
        use(with_code(code))


@pytest.mark.parametrize("code", UNKNOWN_CODES, ids=lambda code: code.name)
def test_a_new_code_is_refused_where_it_is_forgotten(code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the table of the spec alone, as if the other place of the guide were left out; the float side needs no place."""
    monkeypatch.setitem(perturbation.CODES, code.name, type(code))
    spec = with_code(code)
    assert phase_bits(spec) == 2
    make_learner(design_with(spec))
    assert np.array_equal(online.signs(spec, 1, 5), code.signs(np.arange(4), np.array([[1]]), np.zeros((1, 4), np.uint8))[0])
    with refused("rtl_gen.perturbation._SOURCES"):
        sign_source(spec)


class DerivedSigns(RandomSigns):
    """A source of signs that is derived from the random one, and computes others."""


def test_a_source_derived_from_random_signs_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Node perturbation and learners have sources of random signs of their own, which would leave out what the class adds."""
    code = DerivedCode()
    monkeypatch.setitem(perturbation.CODES, code.name, DerivedCode)
    monkeypatch.setitem(_SOURCES, DerivedCode, DerivedSigns)
    with refused("rtl_gen.presentation.signs.sign_source"):
        neuron_signs(with_code(code))
    with refused("rtl_gen.learner.signs.sign_source"):
        learner_signs(with_code(code))  # type: ignore[arg-type]  # of the design, only the code matters here


@pytest.mark.parametrize("optimizer", [UnknownOptimizer(), DerivedMomentum()], ids=lambda optimizer: optimizer.name)
def test_an_unknown_optimizer_is_refused(optimizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with refused("python_ref.spec.optimizer.OPTIMIZERS"):
        replace(BASE, optimizer=optimizer)
    # In the table of the spec alone, as if the other places of the guide were left out.
    monkeypatch.setitem(spec_optimizer.OPTIMIZERS, optimizer.name, type(optimizer))
    spec, theta = replace(BASE, optimizer=optimizer), np.zeros(BASE.network.n_parameters)
    samples = np.zeros((1, 2)), np.zeros((1, 4))
    raw = tuple(part.astype(np.int64) for part in samples)
    order = run_of(BASE, 2).order
    start = machine.initial_state(BASE, theta.astype(np.int64))
    with refused("python_ref.fixed.kernels._RULES"):
        fast.train(spec, start, *raw, order, 2)
    with refused("rtl_gen.lane._STAGES"):
        lane.Lane(spec)
    if optimizer.name == "unknown":  # the other has the rule of momentum on the float side
        with refused("python_ref.floating.online._RULES"):
            online.train(spec, theta, *samples, SampleOrder(1, False), 1)
        with refused("python_ref.floating.optimizers.OPTIMIZERS"):
            of_design.learner(spec)
        with refused("python_ref.floating.optimizers.OPTIMIZERS"):
            make_learner(design_with(spec))


def test_an_optimizer_that_is_half_added_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a number in the compiled loops and no branch for it, or with a stage that says nothing of a state variable."""
    optimizer = DerivedMomentum()
    monkeypatch.setitem(spec_optimizer.OPTIMIZERS, optimizer.name, DerivedMomentum)
    spec = replace(BASE, optimizer=optimizer)
    order, start = run_of(BASE, 2).order, machine.initial_state(spec, np.zeros(BASE.network.n_parameters, dtype=np.int64))
    monkeypatch.setitem(kernels._RULES, DerivedMomentum, 1 + max(kernels._RULES.values()))
    with pytest.raises(ValueError, match=r"^The compiled loops have no branch for the optimiser: "):
        fast.train(spec, start, np.zeros((1, 2), dtype=np.int64), np.zeros((1, 4), dtype=np.int64), order, 2)
    monkeypatch.setitem(lane._STAGES, DerivedMomentum, lane.SgdStage)
    with refused("rtl_gen.lane.SgdStage.valid"):
        lane.Lane(spec)


def stranger(kind: type[enum.Enum], **facts: Any) -> Any:
    """A member of an enumeration that no table has."""
    member = object.__new__(kind)
    member._name_, member._value_ = "STRANGER", "stranger"
    for name, value in facts.items():
        setattr(member, name, value)
    return member


def test_an_unknown_form_of_an_activation_is_refused() -> None:
    function = stranger(Activation, form="a curve", signed=True, bounded=False)
    with refused("python_ref.fixed.network.activate"):
        network.activate(BASE, function, np.zeros(2, dtype=np.int64), BASE.preactivation_format(0))
    with refused("python_ref.floating.online._functions"):
        online._functions([function])
    with refused("python_ref.fixed.plan.Pieces.of"):
        plan.Pieces.of(function.form, BASE.preactivation_format(0))
    with refused("rtl_gen.activation"):
        _Pieces(_with_output(function))
    with pytest.raises(ValueError, match=r"^Activation must be tabulated, not <Activation\.STRANGER: 'stranger'>$"):
        activation_table(function, Fixed(True, 2, 2), Fixed(True, 2, 2))
    with pytest.raises(ValueError, match=r"^There is no tabulated activation of this number$"):
        tabulated_value(99, 0.5)


def _with_output(function: Activation) -> DesignSpec:
    """BASE with another activation of the last layer, past the checks of a spec."""
    spec, network = copy.copy(BASE), copy.copy(BASE.network)
    object.__setattr__(network, "output", function)
    object.__setattr__(spec, "network", network)
    return spec


POINTS = [Fraction(n, 8) for n in range(-80, 81)]


@pytest.mark.parametrize("function", Activation, ids=lambda function: function.value)
def test_the_forms_of_an_activation_agree(function: Activation) -> None:
    """What the hardware computes, by pieces or by a table, what the compiled loops compute, and the value in real numbers."""
    z = np.array([float(point) for point in POINTS])
    wanted = function.activate(z)
    form = function.form
    if isinstance(form, Tabulated):
        assert [tabulated_value(form.number, float(point)) for point in POINTS] == pytest.approx(wanted, abs=1e-12)
        assert [float(form.function(Decimal(str(float(point))))) for point in POINTS] == pytest.approx(wanted, abs=1e-12)
        return
    assert isinstance(form, Piecewise)
    source = Fixed(True, 6, 3)
    exact = form.exact_format(source)
    for point, value in zip(POINTS, wanted, strict=True):
        piece = form.pieces[sum(point >= begin for begin in form.breaks)]
        slope = Fraction(0) if piece.shift is None else Fraction(1, 2**piece.shift)
        assert slope * point + piece.offset == Fraction(value)
        assert exact.min <= Fraction(value) * 2**exact.fraction_bits <= exact.max
    if function.differentiable:
        inside = np.array([point not in form.breaks for point in POINTS])
        h = 1e-6
        numeric = (function.activate(z + h) - function.activate(z - h)) / (2 * h)
        assert function.slope(wanted)[inside] == pytest.approx(numeric[inside], abs=1e-6)


def test_unknown_kinds_and_differences_are_refused() -> None:
    with refused("python_ref.spec.design.DesignSpec.node"):
        replace(BASE, perturbation=replace(BASE.perturbation, kind=stranger(Kind)))
    schedule = replace(BASE.schedule, difference=stranger(Difference))
    with refused("python_ref.spec.learning.LearningSpec.two_sided"):
        replace(BASE, schedule=schedule)
    with refused("python_ref.spec.schedule.Schedule.passes"):
        schedule.passes(3)


def test_an_unknown_scheme_is_refused() -> None:
    spec = replace(BASE, network=replace(BASE.network, initial=Initialization(stranger(Scheme))))
    with refused("python_ref.parameters._bound"):
        parameters.initial_parameters(spec)


def test_the_derived_rate_asks_the_code_whether_it_perturbs_single_quantities(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'perturbation.code = "sequential"\n' + XOR
    exact = parse(text, "kinds.toml").spec.schedule.learning_rate
    monkeypatch.setattr(SequentialCode, "single", False)
    assert parse(text, "kinds.toml").spec.schedule.learning_rate < exact


@pytest.mark.parametrize(
    ("use", "name", "value", "place"),
    [
        (objective, "cost", "absolute-error", "mgd_hw.design.float_model.objective"),
        (make_learner, "decay", "linear", "mgd_hw.design.float_model._decay"),
        (lambda design: learners.fresh_machine(design, None, 1, 1, np.zeros(1)), "form", "hybrid", "mgd_hw.learn.learners.fresh_machine"),
    ],
)
def test_an_unknown_kind_of_the_float_side_is_refused(use: Callable[[Design], Any], name: str, value: str, place: str) -> None:
    design = parse(XOR, "kinds.toml")
    with refused(place):
        use(replace(design, float_only=replace(design.float_only, **{name: value})))


def test_an_unknown_scaling_of_targets_is_refused() -> None:
    data = replace(parse(XOR, "kinds.toml").data, target_scaling=stranger(Scaling))
    with pytest.raises(TypeError, match=r"^Scaling of targets must be one of "):
        _target_scaling(data)


def test_unknown_numbers_have_no_energy() -> None:
    with refused("mgd_hw.learn.costs._Work.energy"):
        costs._Work().energy("float64")


def test_an_unknown_kind_of_the_replication_is_refused() -> None:
    with refused("mgd_hw.replication.fashion.estimator_of"):
        estimator_of(Settings(kind="synapse"), of_design.network(BASE), 1)
    with refused("mgd_hw.replication.theory.perturbations_expected"):
        perturbations_expected("synapse", of_design.network(BASE), np.zeros(1), np.zeros(1), lambda y: y, 0.5)


def test_a_family_without_place_and_route_is_refused() -> None:
    board = board_of("arty-a7-35t")
    with refused("boards.flow.build.place_job"):
        place_job(board, board.core_mhz, 1)
    with refused("boards.flow.build.pack_job"):
        pack_job(BASE, board, 1)


def test_unknown_roundings_and_overflows_are_refused() -> None:
    rounding, overflow = stranger(Rounding), stranger(Overflow)
    wide, narrow, values = Fixed(True, 4, 8), Fixed(True, 3, 3), np.arange(4)
    value = Signal(signed(12))
    with refused("python_ref.spec.number.round_raw"):
        round_raw(values, 5, rounding)
    with refused("python_ref.spec.number.cast_raw"):
        cast_raw(values, wide, narrow, Rounding.FLOOR, overflow)
    with refused("python_ref.fixed.plan._ROUNDINGS"):
        plan.Narrowing.of(wide, narrow, Cast(rounding))
    with refused("python_ref.fixed.plan._WRAPS"):
        plan.Narrowing.of(wide, narrow, Cast(overflow=overflow))
    with refused("rtl_gen.fixed.round_value"):
        round_value(value, 5, rounding)
    with refused("rtl_gen.fixed.limit"):
        limit(value, narrow, overflow)
    with refused("rtl_gen.cast.cast_in_two"):
        cast_in_two(Module(), value, 5, narrow, rounding, Overflow.WRAP, "x")
    with refused("rtl_gen.cast.cast_in_two"):
        cast_in_two(Module(), value, 5, narrow, Rounding.FLOOR, overflow, "x")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Perturbation("node"), "Kind must be a member of Kind, not 'node'"),
        (lambda: Schedule(((0, -5),), difference="two-sided"), "Difference must be a member of Difference, not 'two-sided'"),
        (lambda: Network((2, 1), "tanh"), "Hidden activation must be a member of Activation, not 'tanh'"),
        (lambda: Network((2, 1), output=None), "Output activation must be a member of Activation, not None"),
        (lambda: Initialization("he"), "Scheme must be a member of Scheme, not 'he'"),
        (lambda: Cast("floor"), "Rounding must be a member of Rounding, not 'floor'"),
        (lambda: Cast(overflow="wrap"), "Overflow must be a member of Overflow, not 'wrap'"),
        (lambda: Momentum(rounding="floor"), "Rounding must be a member of Rounding, not 'floor'"),
        (lambda: Momentum(overflow=Rounding.FLOOR), "Overflow must be a member of Overflow, not <Rounding.FLOOR: 'floor'>"),
    ],
)  # fmt: skip
def test_a_name_is_not_a_member(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(TypeError, match=rf"^{re.escape(said)}$"):
        make()


def test_a_design_from_elsewhere_names_known_kinds_only() -> None:
    described = to_dict(BASE)
    described["perturbation"]["code"] = {"name": "unknown"}
    with pytest.raises(ValueError, match=rf"^Name must be one of {', '.join(CODES)}, not 'unknown'$"):
        from_dict(described)
    described = to_dict(BASE)
    described["optimizer"]["name"] = "unknown"
    with pytest.raises(ValueError, match=rf"^Name must be one of {', '.join(OPTIMIZERS)}, not 'unknown'$"):
        from_dict(described)
