"""Faults planted in the hardware, for checks that must see them: one line of its source is changed before a core is built."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed, Rounding
from python_ref.spec.optimizer import Momentum
from python_ref.spec.perturbation import Kind, LfsrCode, Perturbation, SequentialCode, WalshCode
from python_ref.spec.schedule import Difference, Schedule

__all__ = ["DESIGNS", "FAULTS", "Fault", "planted"]


@dataclass(frozen=True)
class Fault:
    """A line of the hardware's source, and what it is changed into.

    Attributes
    ----------
    name : str
        What is wrong.
    where : str
        Module, and function or method: ``perturbation:RandomSigns.elaborate``.
    right, wrong : str
        Text, found once, and what takes its place.
    design : str
        Name of the design in which it is planted.
    """

    name: str
    where: str
    right: str
    wrong: str
    design: str


def planted(fault: Fault, patch: Callable[[Any, str, Any], None]) -> None:
    """Change the hardware.

    Parameters
    ----------
    fault : Fault
        What to change.
    patch : callable
        Sets an attribute of an object, such as ``monkeypatch.setattr``.
    """
    module_name, path = fault.where.split(":")
    __import__(f"rtl_gen.{module_name}")
    module = sys.modules[f"rtl_gen.{module_name}"]
    owner: Any = module
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(getattr(owner, name))))
    assert source.count(fault.right) == 1, f"{fault.where} must have {fault.right!r} once, not {source.count(fault.right)} times"
    scope = dict(vars(module)) | {"Rounding": Rounding}
    exec(compile(source.replace(fault.right, fault.wrong), f"<{fault.name}>", "exec"), scope)
    original = getattr(owner, name)
    holders = (
        [owner] if parents else [m for key, m in sys.modules.items() if key.startswith("rtl_gen.") and getattr(m, name, None) is original]
    )
    for holder in holders:
        patch(holder, name, scope[name])


def _design(name: str, sizes: tuple[int, ...], lanes: int, kind: Kind, **changes: Any) -> DesignSpec:
    """A small design that learns fast enough for its parameters to move in a dozen steps."""
    two_sided = changes.get("difference") is Difference.TWO_SIDED
    formats = Formats(
        input=Fixed(False, 0, 4),
        weight=Fixed(True, 2, 8),
        activation=Fixed(True, 3, 7),
        table=Fixed(True, 3, 4),
        weight_cast=Cast(changes.get("rounding", Rounding.HALF_EVEN)),
    )
    schedule = {key: changes[key] for key in ("perturbation_period", "sample_period", "update_period", "difference") if key in changes}
    return DesignSpec(
        name,
        Network(sizes, changes.get("hidden", Activation.RELU), changes.get("output", Activation.IDENTITY)),
        Perturbation(kind, changes.get("code", LfsrCode()), -3, 5),
        Schedule(changes.get("rates", ((0, -5 + two_sided),)), **schedule),
        **({"optimizer": changes["optimizer"]} if "optimizer" in changes else {}),
        formats=changes.get("formats", formats),
        hardware=Hardware(lanes, changes.get("gradient_memory")),
    )


def _narrow(spec: DesignSpec) -> DesignSpec:
    """The design with casts that saturate often."""
    tight = Fixed(True, 1, 5)
    formats = replace(spec.formats, weight=Fixed(True, 1, 5), activation=tight, cost_change=Fixed(True, 1, 6), gradient=Fixed(True, 0, 8))
    return replace(spec, formats=formats, schedule=replace(spec.schedule, learning_rate=((0, -1),)))


def _wide(spec: DesignSpec) -> DesignSpec:
    """The design with a change of the cost that is wider than a multiplier."""
    return replace(spec, formats=replace(spec.formats, cost_change=Fixed(True, 5, 18)))


def _even(spec: DesignSpec) -> DesignSpec:
    """The design with a broadcast that is rounded to the nearest, and often half-way."""
    formats = replace(spec.formats, gradient=Fixed(True, 2, 9), gradient_cast=Cast(Rounding.HALF_EVEN))
    return replace(spec, formats=formats)


DESIGNS: dict[str, DesignSpec] = {
    spec.name: spec
    for spec in (
        _design("node", (3, 4, 2), 2, Kind.NODE),
        _design("weight", (2, 7, 2), 4, Kind.WEIGHT),
        _design("random_rounding", (3, 4, 1), 4, Kind.WEIGHT, rounding=Rounding.STOCHASTIC, hidden=Activation.TANH),
        _design("two_sided", (3, 3, 2), 2, Kind.NODE, difference=Difference.TWO_SIDED, perturbation_period=2),
        _design("accumulating", (3, 3, 2), 3, Kind.WEIGHT, update_period=3, sample_period=2, perturbation_period=2),
        _design("momentum", (3, 3, 2), 3, Kind.NODE, optimizer=Momentum(2), update_period=2, rates=((0, -5), (5, -7))),
        _design("long", (24, 3), 2, Kind.NODE),
        _design("walsh", (3, 3, 2), 2, Kind.WEIGHT, code=WalshCode()),
        _design("sequential", (2, 3, 2), 2, Kind.NODE, code=SequentialCode()),
        _narrow(_design("narrow", (3, 4, 3), 4, Kind.WEIGHT, update_period=2)),
        _even(_design("node_even", (3, 4, 2), 2, Kind.NODE)),
        _design("many", (2, 10), 9, Kind.WEIGHT),
        _narrow(_design("narrow_node", (3, 4, 3), 2, Kind.NODE, hidden=Activation.IDENTITY)),
        _design("weight_two_sided", (3, 5, 3, 2), 2, Kind.WEIGHT, difference=Difference.TWO_SIDED),
        _design("weight_held", (3, 5, 2), 2, Kind.WEIGHT, difference=Difference.TWO_SIDED, perturbation_period=2),
        _design("walsh_two_sided", (3, 3, 2), 2, Kind.WEIGHT, code=WalshCode(), difference=Difference.TWO_SIDED),
        _design("weight_alone", (2, 5), 2, Kind.WEIGHT),
        _design("follows", (2, 1, 6), 6, Kind.WEIGHT),
        _wide(_design("many_nodes", (2, 10, 2), 9, Kind.NODE)),
    )
}

FAULTS = (
    Fault("another trinomial", "perturbation:leap", "state[1 : generator.outputs + 1]", "state[2 : generator.outputs + 2]", "node"),
    Fault("odd vectors not inverted", "perturbation:RandomSigns.elaborate", " ^ parity.replicate(generator.outputs)", "", "node"),
    Fault(
        "every other word replayed",
        "perturbation:RandomSigns._states",
        "(drawing.replay, replay, replay_now)",
        "(drawing.replay, replay, Mux(loads, replay_now, leap(generator, replay_now)))",
        "weight",
    ),
    Fault(
        "signs replayed from the wrong vector", "perturbation:RandomSigns._states", "m.d.comb += replay_now.eq(held)", "pass", "two_sided"
    ),
    Fault("the minus pass draws new signs", "perturbation:RandomSigns._states", "~fresh | slot.second & ", "~fresh & ", "two_sided"),
    Fault("padding draws no signs", "perturbation:_SignSource.follow_slots", "else slot.valid", "else slot.real", "weight"),
    Fault("Walsh rows counted from 0", "perturbation:WalshSigns.sign", "(index + 1)", "index", "walsh"),
    Fault("one quantity too many", "perturbation:CountedSigns.following", "phase == period - 1", "phase == period", "sequential"),
    Fault(
        "random words stand still",
        "perturbation:RoundingNoise.elaborate",
        "advances.eq(draw | self.load_en)",
        "advances.eq(self.load_en)",
        "random_rounding",
    ),
    Fault(
        "biases not written",
        "array:LaneArray._memories",
        "slots[write - 1].correlate & when",
        "slots[write - 1].correlate & when & ~slots[write - 1].first",
        "weight",
    ),
    Fault(
        "Δ of the wrong sign in the minus pass",
        "activation:NeuronSerializer._perturbed",
        "second = slot.second & spec.two_sided",
        "second = Const(0, 1)",
        "two_sided",
    ),
    Fault(
        "perturbed where nothing is",
        "array:LaneArray._data",
        "self.live.active & perturbed.perturb.replicate(len(self.lanes))",
        "self.live.active",
        "weight",
    ),
    Fault(
        "a neuron of an unperturbed pass is perturbed",
        "activation:NeuronSerializer._perturbed",
        "perturb.eq(slot.perturb)",
        "perturb.eq(1)",
        "node",
    ),
    Fault("the next group's signs", "array:LaneArray.elaborate", "(self.latency + 1 if", "(self.latency - 1 if", "node"),
    Fault("idle lanes counted", "array:LaneArray._existing", "active_lanes(self.spec, slot) > lane", "1 > 0", "sequential"),
    Fault("−u without its carry", "fixed:plus_or_minus", "Cat(minus, inverted)", "Cat(Const(0, 1), inverted)", "node"),
    Fault("what stays at its limit is called changed", "lane:Lane._update", "~(outside & at_limit.all())", "1", "narrow_node"),
    Fault(
        "activations rounded down",
        "activation:ActivationUnit._apply",
        "narrow, cast.rounding, overflow",
        "narrow, Rounding.FLOOR, overflow",
        "node",
    ),
    Fault("ReLU lets a negative pass", "activation:_Pieces.value", "selected & (z <", "selected & 0 & (z <", "node"),
    Fault("saturates one short", "cast:cast_in_two", "(target.min, target.max)", "(target.min + 1, target.max)", "narrow_node"),
    Fault("a sticky bit is lost", "broadcast:Scaler.elaborate", "moved = moved | shifted", "moved = moved & ~shifted", "node_even"),
    Fault(
        "a stale activation is correlated",
        "operands:Operands._bank",
        "~self.old_bank ^ (self.two_passes & second)",
        "~self.old_bank",
        "node",
    ),
    Fault("old sample overwritten", "operands:SampleLoader.elaborate", "free = free & (filling != self.old_buffer)", "pass", "node"),
    Fault(
        "cost judged by the next sample",
        "operands:Operands._targets",
        "_pick([b * n_out for b in range(buffers)], self.buffer)",
        "_pick([(b + 1) % buffers * n_out for b in range(buffers)], self.buffer)",
        "weight",
    ),
    Fault(
        "update after the first step of a period",
        "controller:StepController._count",
        'periods["update"].ends)',
        '~periods["update"].ends)',
        "accumulating",
    ),
    Fault(
        "baseline kept over an update",
        "controller:StepController._settle",
        'sample_due | periods["update"].begins',
        "sample_due",
        "accumulating",
    ),
    Fault(
        "the rate is not followed",
        "broadcast:Broadcast.elaborate",
        "spec.exponents[1] - self.exponent",
        "spec.exponents[1] - spec.exponent_at(0)",
        "momentum",
    ),
    Fault("remembered while the multiplier squares", "broadcast:Broadcast._reuse", "Mux(repeat, remembered, fresh)", "fresh", "long"),
    Fault("updated with the wrong sign", "lane:Lane._update", "(old, u, minus, active)", "(old, u, ~minus, active)", "accumulating"),
    Fault("G not cleared", "lane:Lane._correlate", "Mux(self.gradient_clear, 0, self.gradient)", "self.gradient", "accumulating"),
    Fault("m decays twice as fast", "lane:MomentumStage.decayed_sum", "up - k)", "up - k + 1)", "momentum"),
    Fault("θ + Δ may overflow", "lane:Lane._update", "above >= (high + 1) >> places", "above > (high + 1) >> places", "narrow"),
    Fault(
        "C̃ of the wrong sign",
        "cost:CostUnit.elaborate",
        "~less if spec.two_sided",
        "~less if not spec.two_sided",
        "node",
    ),
    Fault("the last of equals wins", "cost:AnswerCheck._better", "Cat(1, best) + Cat(1, above)", "Cat(0, best) + Cat(0, above)", "narrow"),
    Fault("a lane gets its neighbour's signs", "fanout:connect_lanes", "value[number]", "value[number - 1]", "many"),
    Fault("words are read a slot late", "array:LaneArray.elaborate", "ahead if timing.fanout", "slots if timing.fanout", "many"),
    Fault("a piece of a factor out of place", "broadcast:Multiplier._in_parts", "at_a + at_b", "at_a - at_b - 1", "many_nodes"),
    Fault("a bias too early", "broadcast:Broadcast._multiply", "slots[self._read_latency]", "slots[1]", "many_nodes"),
    Fault("a sum too early", "lane:MultiplyAccumulate.elaborate", "2 * self.pipelined", "int(self.pipelined)", "many_nodes"),
    Fault("an operand too late", "operands:Operands._fetch", "1 + behind", "2 + behind", "many_nodes"),
    Fault("a part is folded too early", "signature:_word", "(m, part, int(in_parts),", "(m, part, 0,", "many"),
    Fault("a lane is not counted", "array:LaneArray._count", "list(taken), name", "list(taken)[1:], name", "weight"),
    Fault(
        "what comes during a visit is lost",
        "registers:RegisterFile._count",
        "Mux(taken[each], counted, waiting[each] + counted)",
        "Mux(taken[each], 0, waiting[each] + counted)",
        "weight",
    ),
    Fault("counts are cleared, not added to", "registers:RegisterFile._drop", "shown | Mux(restarts, restarting, clearing)", "1", "node"),
    Fault("a stale sum of signs", "lane:Lane._add_signs", "Mux(self.sum_load, bias, total.as_signed())", "total.as_signed()", "weight"),
    Fault("the bias's sign is left out", "lane:Lane._add_signs", "Cat(Const(0, fraction), counts, minus)", "Const(0, 2)", "weight"),
    Fault("−x without its carry", "lane:Lane._add_signs", "Cat(minus, addend)", "Cat(Const(0, 1), addend)", "weight"),
    Fault(
        "a sign meets the next operand",
        "array:LaneArray._data",
        "timing.addend - timing.parameter",
        "timing.weight - timing.parameter - 1",
        "many",
    ),
    Fault("an operand meets the next sign", "array:LaneArray._data", "timing.addend - timing.weight", "0", "many"),
    Fault(
        "the minus pass is the plus pass",
        "activation:NeuronSerializer._return",
        "z.shift_right(low) - sign_sum if",
        "z.shift_right(low) + sign_sum if",
        "weight_two_sided",
    ),
    Fault("half of 2Δ", "activation:NeuronSerializer._return", " + spec.two_sided", "", "weight_two_sided"),
    Fault("pass 1 has the z of pass 0", "activation:NeuronSerializer._return", ".eq(moved)", ".eq(waiting[0])", "weight"),
    Fault(
        "a short group returns behind the others",
        "activation:NeuronSerializer._return",
        "placed.last_lanes: tail}",
        "lanes: tail}",
        "weight",
    ),
    Fault("both passes' activations in one bank", "operands:Operands._bank", "return second", "return Const(0, 1)", "weight"),
    Fault(
        "a target for each output of either pass",
        "operands:_counted",
        "stb & (second == number) if alternating else stb",
        "stb",
        "weight_alone",
    ),
    Fault("squares of both passes in one cost", "cost:CostUnit._add_squares", "stb & (second == number)", "stb", "weight_alone"),
    Fault("a square of the next pass is lost", "cost:CostUnit._add_squares", "layers > 1 + one_visit", "layers > 1", "follows"),
    Fault("pass 1 begins with the first word", "array:LaneArray._address", "Mux(slot.both, layers[1].first_word, 0)", "0", "weight"),
    Fault("no time for pass 1's neurons", "sequencer:Sequencer.group_cycles", "2 * self.spec.hardware.lanes", "0", "weight_alone"),
    Fault("a baseline's visit draws no signs", "perturbation:_SignSource._perturbs", " | serves_both(self.spec, slot)", "", "weight"),
    Fault(
        "pass 1 draws new signs behind the first layer",
        "perturbation:RandomSigns._states",
        "m.d.comb += live_now.eq(branched)",
        "pass",
        "weight_two_sided",
    ),
    Fault(
        "pass 1 draws the first layer's signs again",
        "perturbation:RandomSigns._states",
        "m.d.sync += branched.eq(live)",
        "m.d.sync += branched.eq(held)",
        "weight_held",
    ),
    Fault(
        "pass 1 counts on behind the first layer",
        "perturbation:CountedSigns.elaborate",
        "again = Mux(slot.branch, (self.spec.network.n_in + 1) * self.spec.network.sizes[1], index)",
        "again = index",
        "walsh_two_sided",
    ),
    Fault(
        "a step of one pass has two",
        "controller:StepController._decide",
        "self.both.eq(first & pair)",
        "self.both.eq(first & training)",
        "accumulating",
    ),
    Fault(
        "neurons of both passes in one word",
        "signature:ForwardSignature.elaborate",
        "neuron_valid & (second == number)",
        "neuron_valid",
        "weight",
    ),
    Fault("the signature skips a word", "signature:fold", "range(32, len(payload), 32)", "range(64, len(payload), 32)", "accumulating"),
)
