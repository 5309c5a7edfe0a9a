"""Faults planted in the hardware, for checks that must see them: one line of its source is changed before a core is built."""

from __future__ import annotations

import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed, Rounding
from python_ref.spec.optimizer import Momentum, ShiftAdam
from python_ref.spec.perturbation import Kind, LfsrCode, Perturbation, SequentialCode, WalshCode
from python_ref.spec.schedule import Difference, Schedule

__all__ = ["DESIGNS", "FAULTS", "NODE_FAULTS", "Fault", "planted"]


@dataclass(frozen=True)
class Fault:
    """A line of the hardware's source, and what it is changed into.

    Attributes
    ----------
    name : str
        What is wrong.
    where : str
        Module of ``rtl_gen``, or the whole name of one of ``mgd_hw``, and function or method: ``perturbation:RandomSigns.elaborate``.
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
    """Change the hardware, or the program.

    Parameters
    ----------
    fault : Fault
        What to change.
    patch : callable
        Sets an attribute of an object, such as ``monkeypatch.setattr``.
    """
    module_name, path = fault.where.split(":")
    full = module_name if module_name.startswith("mgd_hw.") else f"rtl_gen.{module_name}"
    __import__(full)
    module, package = sys.modules[full], f"{full.partition('.')[0]}."
    owner: Any = module
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(getattr(owner, name))))
    assert source.count(fault.right) == 1, f"{fault.where} must have {fault.right!r} once, not {source.count(fault.right)} times"
    scope = dict(vars(module)) | {"Rounding": Rounding}
    changed = source.replace(fault.right, fault.wrong)
    if "super()" in source:  # which finds the class in a variable of the scope in which the method is defined
        changed = f"def of_class(__class__):\n{textwrap.indent(changed, '    ')}\n    return {name}\n"
    # As in the module itself, a block that only tells a latency may stay unused. Amaranth reads that in the first line of the file.
    changed, file = f"# amaranth: UnusedElaboratable=no\n{changed}", f"<{fault.name}>"
    linecache.cache[file] = (len(changed), None, changed.splitlines(keepends=True), file)
    exec(compile(changed, file, "exec"), scope)
    if "super()" in source:
        scope[name] = scope["of_class"](owner)
    original = getattr(owner, name)
    holders = (
        [owner] if parents else [m for key, m in sys.modules.items() if key.startswith(package) and getattr(m, name, None) is original]
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
        Perturbation(kind, changes.get("code", LfsrCode()), -3, 5, changes.get("parts")),
        Schedule(changes.get("rates", ((0, -5 + two_sided),)), **schedule),
        **({"optimizer": changes["optimizer"]} if "optimizer" in changes else {}),
        formats=changes.get("formats", formats),
        hardware=Hardware(lanes, changes.get("gradient_memory"), multipliers_per_lane=changes.get("multipliers", 1)),
    )


def _narrow(spec: DesignSpec) -> DesignSpec:
    """The design with casts that saturate often."""
    tight = Fixed(True, 1, 5)
    formats = replace(spec.formats, weight=Fixed(True, 1, 5), activation=tight, cost_change=Fixed(True, 1, 6), gradient=Fixed(True, 0, 8))
    return replace(spec, formats=formats, schedule=replace(spec.schedule, learning_rate=((0, -1),)))


def _saturating(spec: DesignSpec) -> DesignSpec:
    """The design with narrow weights at a high rate, so that parameters reach their limits."""
    formats = replace(spec.formats, weight=Fixed(True, 0, 8), error=Fixed(True, -3, 13))
    return replace(spec, formats=formats, schedule=replace(spec.schedule, learning_rate=((0, 6),)))


def _small_errors(spec: DesignSpec) -> DesignSpec:
    """The design with errors whose products with any operand are in the range of the weights, so that the multiplier's adder updates."""
    return replace(spec, formats=replace(spec.formats, error=Fixed(True, -1, 13)))


def _wide(spec: DesignSpec) -> DesignSpec:
    """The design with a change of the cost that is wider than a multiplier."""
    return replace(spec, formats=replace(spec.formats, cost_change=Fixed(True, 5, 18)))


def _adapted(spec: DesignSpec) -> DesignSpec:
    """The design with a G and a v that saturate often."""
    return replace(spec, formats=replace(spec.formats, gradient=Fixed(True, -2, 10), error=Fixed(True, 1, 12)))


def _even(spec: DesignSpec) -> DesignSpec:
    """The design with errors that are rounded to the nearest, and often half-way but for bits that a lower rate shifts out."""
    return replace(spec, formats=replace(spec.formats, error=Fixed(True, 0, 14), error_cast=Cast(Rounding.HALF_EVEN)))


_TWO_SIDED = {"difference": Difference.TWO_SIDED}
_BY_TWO = {"sample_period": 2, "update_period": 2, "multipliers": 2}
_WALSH_BY_ROUND = {"code": WalshCode(), "perturbation_period": 2, "sample_period": 4, "update_period": 4}

DESIGNS: dict[str, DesignSpec] = {
    spec.name: spec
    for spec in (
        _design("node", (3, 4, 2), 2, Kind.NODE),
        _design("weight", (2, 7, 2), 4, Kind.WEIGHT),
        _design("random_rounding", (3, 4, 1), 4, Kind.WEIGHT, rounding=Rounding.STOCHASTIC, hidden=Activation.TANH),
        _design("two_sided", (3, 3, 2), 2, Kind.NODE, difference=Difference.TWO_SIDED, perturbation_period=2),
        _design("accumulating", (3, 3, 2), 3, Kind.WEIGHT, update_period=3, sample_period=2, perturbation_period=2),
        _design("adam", (3, 4, 2), 2, Kind.NODE, optimizer=ShiftAdam(2, 3), rates=((0, -3), (5, -4))),
        _design("adam_weights", (3, 4, 2), 2, Kind.WEIGHT, optimizer=ShiftAdam(2, 3), rates=((0, -3), (5, -4))),
        _adapted(_design("adam_narrow", (3, 4, 2), 2, Kind.NODE, optimizer=ShiftAdam(1, 1, square_format=Fixed(False, -8, 18)))),
        _design("adam_steep", (3, 4, 2), 2, Kind.NODE, optimizer=ShiftAdam(1, 4), rates=((0, 2),)),
        _design("momentum", (3, 3, 2), 3, Kind.NODE, optimizer=Momentum(2), update_period=2, rates=((0, -5), (5, -7))),
        _design("long", (24, 3), 2, Kind.NODE),
        _design("walsh", (3, 3, 2), 2, Kind.WEIGHT, code=WalshCode()),
        _design("sequential", (2, 3, 2), 2, Kind.NODE, code=SequentialCode()),
        _narrow(_design("narrow", (3, 4, 3), 4, Kind.WEIGHT, update_period=2)),
        _even(_design("node_even", (3, 4, 2), 2, Kind.NODE, rates=((0, -5), (2, -9)))),
        _design("many", (2, 10), 9, Kind.WEIGHT),
        _narrow(_design("narrow_node", (3, 4, 3), 2, Kind.NODE, hidden=Activation.IDENTITY)),
        _design("weight_two_sided", (3, 5, 3, 2), 2, Kind.WEIGHT, difference=Difference.TWO_SIDED),
        _design("weight_held", (3, 5, 2), 2, Kind.WEIGHT, difference=Difference.TWO_SIDED, perturbation_period=2),
        _design("walsh_two_sided", (3, 3, 2), 2, Kind.WEIGHT, code=WalshCode(), difference=Difference.TWO_SIDED),
        _design("weight_alone", (2, 5), 2, Kind.WEIGHT),
        _design("follows", (2, 1, 6), 6, Kind.WEIGHT),
        _design("rated", (2, 3, 2), 2, Kind.WEIGHT, rates=((0, -5), (5, -7))),
        _wide(_design("many_wide", (2, 10, 2), 9, Kind.WEIGHT)),
        _design("probes", (3, 4, 2), 2, Kind.NODE, sample_period=4, update_period=4, rounding=Rounding.STOCHASTIC),
        _design("floor_probes", (3, 4, 2), 3, Kind.NODE, sample_period=4, update_period=2, rounding=Rounding.FLOOR),
        _small_errors(_design("fused_probes", (3, 4, 2), 2, Kind.NODE, sample_period=4, update_period=4, rounding=Rounding.STOCHASTIC)),
        _design("deep_probes", (2, 3, 2, 3), 2, Kind.NODE, sample_period=3, update_period=3, code=WalshCode()),
        _design("wide_output", (2, 3, 12), 4, Kind.NODE, sample_period=4, update_period=4, code=WalshCode()),
        _saturating(_design("fused_narrow", (3, 4, 3), 2, Kind.NODE, rounding=Rounding.FLOOR)),
        _design("two_sided_probes", (3, 3, 2), 2, Kind.NODE, sample_period=4, update_period=4, perturbation_period=2, **_TWO_SIDED),
        _design("node_memory", (3, 3, 2), 3, Kind.NODE, sample_period=2, update_period=4, rates=((0, -5), (6, -7))),
        _design("one_at_a_time", (3, 6, 22), 9, Kind.NODE, code=SequentialCode(), sample_period=8, update_period=8, hidden=Activation.TANH),
        _design("several_hidden", (3, 4, 3, 5, 2), 2, Kind.NODE, code=SequentialCode(), sample_period=14, update_period=14),
        _design("wide_behind", (2, 2, 2, 12, 1), 1, Kind.NODE, code=SequentialCode(), sample_period=17, update_period=17),
        _design("many_probes", (2, 10, 2), 9, Kind.NODE, sample_period=3, update_period=3),
        _design("turns", (3, 4, 3, 2), 2, Kind.NODE, parts=((1, 1), (1, 1), (1, 2)), sample_period=8, update_period=8),
        _design("pair_of_layers", (3, 4, 3, 2), 2, Kind.NODE, parts=((1, 2), (2, 1)), sample_period=6, update_period=6),
        _design("outputs_alone", (2, 6, 3), 1, Kind.NODE, parts=((1, 1), (1, 1)), **_WALSH_BY_ROUND),
        _design("wide_before_outputs", (2, 28, 2), 4, Kind.NODE, parts=((1, 1), (1, 1)), **_WALSH_BY_ROUND),
        _small_errors(_design("in_time", (3, 4, 2), 2, Kind.NODE, rounding=Rounding.STOCHASTIC, **_BY_TWO)),
        _design("in_time_deep", (2, 3, 2, 3), 2, Kind.NODE, code=WalshCode(), **_BY_TWO),
        _design("in_time_alone", (2, 4, 2), 2, Kind.NODE, code=SequentialCode(), hidden=Activation.TANH, **_BY_TWO),
        _design("in_time_memory", (3, 3, 2), 3, Kind.NODE, sample_period=2, update_period=4, multipliers=2),
        _design("in_time_turns", (3, 4, 2), 2, Kind.NODE, parts=((1, 1), (1, 1)), **_BY_TWO),
    )
}

NODE_FAULTS = (
    Fault(
        "the first neuron's z is stale",
        "presentation.neurons:NeuronStream.elaborate",
        "kept.en.eq(keeps)",
        "kept.en.eq(keeps & found.index.any())",
        "probes",
    ),
    Fault(
        "an unperturbed pass is perturbed",
        "presentation.neurons:NeuronStream._perturbed",
        " & ~is_unperturbed(neuron.bank)",
        "",
        "probes",
    ),
    Fault(
        "the minus pass is not inverted",
        "presentation.neurons:NeuronStream._perturbed",
        "self.sign.negative ^ neuron.minus",
        "self.sign.negative",
        "two_sided_probes",
    ),
    Fault(
        "Δ of the first layer in all layers",
        "presentation.neurons:NeuronStream._perturbed",
        "Mux(neuron.layer == 0, first, others)",
        "first",
        "probes",
    ),
    Fault(
        "a replayed neuron collides with one that leaves",
        "presentation.neurons:NeuronStream._replay",
        "replaying & ~follows",
        "replaying",
        "wide_output",
    ),
    Fault(
        "the sign of the wrong probe perturbs",
        "presentation.signs:NeuronSigns._keep",
        "Mux(self.bank, kept[1], kept[0]), swept",
        "Mux(self.bank, kept[0], kept[1]), swept",
        "probes",
    ),
    Fault(
        "the sign of the wrong probe is correlated",
        "presentation.signs:NeuronSigns._keep",
        "sweeping = Mux(self.sweep_bank, kept[1], kept[0])",
        "sweeping = current",
        "probes",
    ),
    Fault(
        "odd vectors of neurons not inverted",
        "presentation.signs:RandomNeuronSigns.elaborate",
        "state[0] ^ odd",
        "state[0]",
        "probes",
    ),
    Fault("E not cleared", "presentation.errors:ErrorUnit._sum", "Mux(self._fresh, 0, old)", "old", "probes"),
    Fault(
        "the error is rounded twice",
        "presentation.errors:ErrorUnit._scale",
        "scaler.i.eq(value)",
        "scaler.i.eq(value & -64)",
        "probes",
    ),
    Fault(
        "the rate of the errors is not followed",
        "presentation.errors:ErrorUnit._scale",
        "self.spec.gradient_exponents[1] - self.exponent",
        "self.spec.gradient_exponents[1] - self.spec.exponent_at(0)",
        "node_memory",
    ),
    Fault(
        "the errors of the next group come too early",
        "presentation.errors:ErrorUnit._end_group",
        "next_ends | (lane == lanes - 2 if lanes > 1 else 1)",
        "next_ends",
        "probes",
    ),
    Fault(
        "the last sweep is not the final one",
        "presentation.controller:PresentationController.elaborate",
        "self.final.eq(ending & (in_flight == 1))",
        "self.final.eq(0)",
        "probes",
    ),
    Fault(
        "a probe begins before the activations of the one before are free",
        "presentation.controller:PresentationController.elaborate",
        "self.signs_ready & (in_flight != 2)",
        "self.signs_ready",
        "wide_output",
    ),
    Fault(
        "a probe overwrites the bank of the unperturbed pass",
        "presentation.controller:PresentationController._keep_bank",
        "self.bank.eq(self.bank ^ 1)",
        "self.bank.eq(Mux(self.bank == 0, UNPERTURBED, 0))",
        "probes",
    ),
    Fault(
        "an update does not end a presentation",
        "presentation.controller:PresentationController.elaborate",
        'sample_begins | periods["update"].begins',
        "sample_begins",
        "floor_probes",
    ),
    Fault(
        "an update is due in every presentation",
        "presentation.controller:PresentationController.elaborate",
        'Mux(prepared & opens_step, periods["update"].ends, update)',
        "1",
        "node_memory",
    ),
    Fault(
        "an answer is checked again after an update",
        "presentation.core:NodeCore._connect_outputs",
        "output & unperturbed & controller.check_answer",
        "output & unperturbed",
        "floor_probes",
    ),
    Fault(
        "a probe begins one layer too late",
        "presentation.sequencer:PassSequencer.elaborate",
        "begin = self.probe",
        "begin = self.probe << 1",
        "deep_probes",
    ),
    Fault(
        "a layer is read before it is written",
        "presentation.sequencer:PassSequencer.bubble",
        "self.depth - ",
        "self.depth - 3 - ",
        "deep_probes",
    ),
    Fault(
        "x of the next sample is applied",
        "presentation.operands:Operands._fetch",
        "multiple(n_in, buffer, ",
        "multiple(n_in, buffer ^ self.ahead.apply, ",
        "probes",
    ),
    Fault(
        "a probe's activation is applied",
        "presentation.operands:Operands._fetch",
        "multiple(hidden, self._bank(self.ahead.bank), banks)",
        "multiple(hidden, Mux(self.ahead.apply, 0, self._bank(self.ahead.bank)), banks)",
        "deep_probes",
    ),
    *(
        Fault(name, f"presentation.{where}", right, wrong, "one_at_a_time")
        for name, where, right, wrong in (
            ("the column of the next neuron", "array:NodeArray._probed", "second + 1 + column", "second + 2 + column"),
            ("a column within its group alone", "array:NodeArray._address", "placed[1].layer.fan_in + 1", "placed[1].layer.fan_in"),
            ("the first group's change for all", "operands:Operands._fetch", "(held, follows)", "(held & 1, follows)"),
            ("an output changes hidden activations", "operands:Operands._fetch", "moves.eq(self.moves)", "moves.eq(1)"),
            (
                "the change of another activation",
                "operands:Operands._fetch",
                "Mux(self.replay, self.column, begin)",
                "Mux(self.replay, 0, begin)",
            ),
            (
                "no kept z behind a product",
                "neurons:IncrementalStream._replay",
                "Mux(unperturbed, kept_neurons(self.spec), ",
                "Mux(1, kept_neurons(self.spec), ",
            ),
            (
                "the perturbed output moves by its product",
                "neurons:IncrementalStream._perturbed",
                "self.sign.active & self._probing",
                "Const(0, 1)",
            ),
            ("z of the hidden layer alone is kept", "neurons:IncrementalStream._is_kept", "Const(1, 1)", "neuron.layer == 0"),
            ("E of the neuron before", "errors:IncrementalErrorUnit._begin", "index.eq(self.column)", "index.eq(self.column - 1)"),
            ("E of the last presentation", "errors:IncrementalErrorUnit._begin", "self.clear | waits[-1]", "waits[-1]"),
            ("E begins with the last cost change", "errors:IncrementalErrorUnit._sum", "total.eq(0)", "total.eq(self.cost_change)"),
            ("a probe within a group too long", "sequencer:PassSequencer._count", "(starts & single)", "(~starts & single)"),
        )
    ),
    *(
        Fault(name, f"presentation.{where}", right, wrong, "several_hidden")
        for name, where, right, wrong in (
            (
                "a probe begins a layer too late",
                "perturbed:PerturbedNeuron.elaborate",
                "self.layer + 1, last)",
                "Mux(self.layer == last - 1, last, self.layer + 2), last)",
            ),
            (
                "the column of another layer",
                "array:NodeArray._probed_or_first",
                "each.first_word + 1 for each in placed",
                "each.first_word + 1 for each in (*placed[1:], placed[1])",
            ),
            (
                "a column counted over all layers",
                "perturbed:PerturbedNeuron.elaborate",
                "self.index - by_layer(starts, self.layer)",
                "self.index",
            ),
            ("a step within a group alone", "array:NodeArray._probed_or_first", "each.group_words for each", "1 for each"),
            (
                "a layer in full from the column's word on",
                "array:NodeArray._probed_or_first",
                "return Mux(ahead.single, probed, ",
                "return Mux(ahead.layer == self.layer + 1, probed + 1, ",
            ),
            (
                "a layer in full of unperturbed activations",
                "operands:Operands._fetch",
                "multiple(hidden, self._bank(self.ahead.bank), banks)",
                "multiple(hidden, Const(0, 1), banks)",
            ),
            (
                "activations of probes instead of unperturbed ones",
                "operands:Operands._bank",
                "~is_unperturbed(bank) if",
                "Const(0, 1) if",
            ),
            ("the change of an activation behind", "operands:Operands._moved", "neuron.replayed if", "~neuron.replayed if"),
            (
                "kept z of the layer before",
                "neurons:DeepStream._first_index",
                "sum(sizes[:number])",
                "sum(sizes[: number - (number > 1)])",
            ),
            (
                "kept z behind a layer in full",
                "neurons:DeepStream._is_complete",
                "~Mux(self._take, self._taken.single, held)",
                "Const(0, 1)",
            ),
            (
                "Δ of the first layer for all",
                "neurons:DeepStream._replayed_fields",
                '"layer": layer',
                '"layer": 0',
            ),
            ("a probe of an output multiplies", "perturbed:PerturbedNeuron.elaborate", "self.moves.eq(is_hidden)", "self.moves.eq(1)"),
            ("every layer of a probe has one slot", "sequencer:PassSequencer.elaborate", "single.eq(0)", "single.eq(probe)"),
            ("a layer in full too early", "sequencer:PassSequencer._probe", "1 + self.bubble(layer)", "1"),
            ("outputs of two probes at once", "sequencer:PassSequencer._behind", "placed.group_words - 1 + distance", "0"),
        )
    ),
    Fault(
        "a replayed activation is stored",
        "presentation.operands:Operands._activations",
        "~self.neuron.replayed",
        "Const(1, 1)",
        "wide_behind",
    ),
    Fault("a short probe too early", "presentation.sequencer:PassSequencer._behind", "_SHOWN - ", "0 - ", "wide_behind"),
    *(
        Fault(name, f"presentation.{where}", right, wrong, design)
        for name, where, right, wrong, design in (
            (
                "the new x times the old error",
                "just_in_time:JustInTimeOperands._fetch",
                "*others, held, bank",
                "*others, buffer, bank",
                "in_time",
            ),
            (
                "the new activation times the old error",
                "just_in_time:JustInTimeOperands._fetch",
                "*others, held, bank",
                "*others, held, self._bank(Const(UNPERTURBED, 2))",
                "in_time_deep",
            ),
            (
                "new activations in the place of the old ones",
                "just_in_time:JustInTimeOperands._take_turns",
                "self._current.eq(~self._current)",
                "self._current.eq(0)",
                "in_time_deep",
            ),
            (
                "the parameter before its update is multiplied",
                "just_in_time:JustInTimeLane._accumulate",
                "mac.a.eq(self.parameter)",
                'mac.a.eq(delayed(m, self.host_parameter, timing.parameter - timing.update, "old_weight"))',
                "in_time",
            ),
            ("the error of the group before", "just_in_time:JustInTimeArray._controls", "loading.first &", "loading.last &", "in_time"),
            (
                "E is cleared before it is cast",
                "just_in_time:JustInTimeController._clears",
                "begins & ~self._pending",
                "begins",
                "in_time_alone",
            ),
            (
                "E is kept for the next errors",
                "errors:IncrementalErrorUnit._sum",
                "self._clears | self._outputs",
                "self._clears",
                "in_time_alone",
            ),
            ("E of parts is kept for the next errors", "errors:PartErrorUnit._kept", "Mux(delayed", "Mux(0 & delayed", "in_time_turns"),
            (
                "the next presentation decides of the update",
                "just_in_time:JustInTimeController._update_due",
                "with m.If(applies)",
                "with m.If(1)",
                "in_time_memory",
            ),
            ("words of an update serve the next one", "noise:RenewedNoise._renewed", "filling | renews", "filling", "in_time"),
            (
                "words are replaced before all groups took them",
                "noise:RenewedNoise._renewed",
                "self.slot.tail",
                "~self.slot.tail",
                "in_time",
            ),
            (
                "a word is replaced in the place of the next",
                "noise:RenewedNoise._renewed",
                'delayed(m, place, 1, "used_place")',
                "place",
                "in_time",
            ),
            (
                "a group does not wait for its errors",
                "just_in_time:JustInTimeSequencer._both",
                "return max(inner, applying[0]), max(tail + waits, applying[1])",
                "return inner, tail + waits",
                "in_time",
            ),
            (
                "an operand before its parameter is updated",
                "just_in_time:JustInTimeOperands._fetch_measured",
                "delayed(m, self.slot, self.delay,",
                "delayed(m, self.slot, self.delay - 1,",
                "in_time",
            ),
            (
                "the change of the probe that follows",
                "just_in_time:JustInTimeOperands._fetch_measured",
                "(self.column, self.moves)",
                "(0 * self.column, self.moves)",
                "in_time_alone",
            ),
            ("the lanes begin with the part itself", "sequencer:PassSequencer.elaborate", "[each.first + 1 if", "[each.first if", "turns"),
            ("the last layer of a part is replayed", "neurons:PartStream._replay", "part.begin + spec", "part.begin + 1 + spec", "turns"),
            (
                "E before the part changes too",
                "errors:PartErrorUnit._follow_part",
                "(index >= begins) & (index < ends)",
                "index < ends",
                "turns",
            ),
            (
                "E behind the part changes too",
                "errors:PartErrorUnit._follow_part",
                "(index >= begins) & (index < ends)",
                "index >= begins",
                "pair_of_layers",
            ),
            ("E of the part that comes", "core:NodeCore._connect_errors", "signs.sweep_part", "controller.part", "turns"),
            (
                "E of a part is not cleared",
                "errors:PartErrorUnit._begin",
                "with m.If(self.clear)",
                "with m.If(0)",
                "turns",
            ),
            (
                "a part loses its last neuron",
                "errors:PartErrorUnit._follow_part",
                "each.end - 1 for",
                "max(each.begin, each.end - 2) for",
                "turns",
            ),
            ("a layer behind the part is perturbed", "signs:NeuronSigns._perturbs", "return self.index <", "return ~self.index <", "turns"),
            (
                "the part of the wrong probe is perturbed",
                "signs:NeuronSigns._perturbs",
                "Mux(self.bank, kept[1], kept[0]))",
                "Mux(self.bank, kept[0], kept[1]))",
                "turns",
            ),
            ("z of a part is not kept", "neurons:PartStream._is_kept", "number in first", "number in first and number != 1", "turns"),
            ("neurons of a probe counted from the second layer", "neurons:PartStream._first_index", "sizes[:number]", "sizes[:1]", "turns"),
            (
                "a part as often as the others",
                "controller:PresentationController._take_turns",
                " & (turn < part.times)",
                "",
                "pair_of_layers",
            ),
            (
                "the next turn begins with every part",
                "controller:PresentationController._take_turns",
                "(next_turn <",
                "(0 * next_turn <",
                "turns",
            ),
            (
                "outputs are replayed among outputs",
                "controller:PresentationController._has_way",
                "(settled & (wait == 0))",
                "1",
                "outputs_alone",
            ),
            (
                "outputs do not wait for the sweep of a wide part",
                "controller:PresentationController._has_way",
                "wait.eq(self.sweep_wait)",
                "wait.eq(0)",
                "wide_before_outputs",
            ),
            (
                "words of the second layer for all parts",
                "array:NodeArray._address",
                "each.first_word for",
                "placed[min(1, each.first_word)].first_word for",
                "turns",
            ),
        )
    ),
    Fault("an operand of a probe too late", "presentation.operands:Operands._fetch", "2 + behind", "3 + behind", "many_probes"),
    Fault(
        "rounding noise of the wrong sign",
        "presentation.lane:NodeLane._addend",
        'low = ~self._near(m, "update_noise")[:places]',
        'low = self._near(m, "update_noise")[:places]',
        "fused_probes",
    ),
    Fault(
        "the words of a layer are not drawn again",
        "presentation.noise:InputNoise.elaborate",
        "Mux(jumps, by_layer(starts, slot.layer), following)",
        "place + 1",
        "probes",
    ),
    Fault(
        "half-way between rounding down and up",
        "presentation.lane:NodeLane._addend",
        "(1 << places) - 1, places",
        "0, places",
        "floor_probes",
    ),
    Fault(
        "a new parameter is not limited",
        "presentation.lane:NodeLane._replace",
        "register.eq(limited.as_unsigned()",
        "register.eq(total.shift_right(places).as_unsigned()",
        "fused_narrow",
    ),
    Fault(
        "G of neurons not cleared",
        "lane:BaseLane._old_gradient",
        "Mux(self.gradient_clear, 0, self.gradient)",
        "self.gradient",
        "node_memory",
    ),
    Fault(
        "an error comes a group late",
        "presentation.lane:NodeLane._store_error",
        "with m.If(self.error_en):",
        "with m.If(self.error_en & ~self.loads & ~self.applies):",
        "probes",
    ),
    Fault(
        "idle lanes of neurons counted",
        "presentation.array:NodeArray._existing",
        "active_lanes(self.spec, slot) > lane",
        "1 > 0",
        "floor_probes",
    ),
    Fault(
        "a probe reads the words of the first layer",
        "presentation.array:NodeArray._memories",
        "self.host_mode | (coming.begin & (coming.layer != 0))",
        "self.host_mode",
        "probes",
    ),
    Fault(
        "the signature forgets the neurons",
        "presentation.signature:ForwardSignature.elaborate",
        'words["cost"] ^ of_cost',
        'words["cost"]',
        "probes",
    ),
    Fault(
        "the signature forgets the errors",
        "presentation.signature:LearnedSignature.elaborate",
        "Mux(last, errors, 0)",
        "0",
        "probes",
    ),
)
"""Faults of node perturbation."""

FAULTS = (
    *NODE_FAULTS,
    Fault("another trinomial", "perturbation:leap", "state[1 : generator.outputs + 1]", "state[2 : generator.outputs + 2]", "node"),
    Fault("odd vectors not inverted", "perturbation:RandomSigns.elaborate", " ^ parity.replicate(len(taken))", "", "weight"),
    Fault(
        "every other word replayed",
        "perturbation:RandomSigns._states",
        "(drawing.replay, replay, replay_now)",
        "(drawing.replay, replay, Mux(loads, replay_now, leap(generator, replay_now)))",
        "weight",
    ),
    Fault(
        "signs replayed from the wrong vector",
        "perturbation:RandomSigns._states",
        "m.d.comb += replay_now.eq(held)",
        "pass",
        "weight_held",
    ),
    Fault("a repeated vector is drawn anew", "perturbation:RandomSigns._states", "begin & ~fresh", "begin & 0", "weight_held"),
    Fault("padding draws no signs", "perturbation:_SignSource.follow_slots", "slot.valid & when", "slot.real & when", "weight"),
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
        "array:CorrelatingArray.memories",
        "slots[write - 1].correlate & when",
        "slots[write - 1].correlate & when & ~slots[write - 1].first",
        "weight",
    ),
    Fault(
        "perturbed where nothing is",
        "array:CorrelatingArray.signs",
        "self.live.active & perturbed.perturb.replicate(len(self.lanes))",
        "self.live.active",
        "weight",
    ),
    Fault("idle lanes counted", "array:CorrelatingArray._existing", "active_lanes(self.spec, slot) > lane", "1 > 0", "weight"),
    Fault("−u without its carry", "fixed:plus_or_minus", "Cat(minus, inverted)", "Cat(Const(0, 1), inverted)", "node"),
    Fault("what stays at its limit is called changed", "lane:BaseLane._update", "~(outside & at_limit.all())", "1", "narrow_node"),
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
        "the sample that errors still need is overwritten",
        "operands:SampleLoader.elaborate",
        "buffers - 1 - spec.kept_samples",
        "buffers - 1",
        "in_time",
    ),
    Fault(
        "cost judged by the next sample",
        "operands:Operands._targets",
        "_pick([b * n_out for b in range(buffers)], buffer)",
        "_pick([(b + 1) % buffers * n_out for b in range(buffers)], buffer)",
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
        "self.spec.gradient_exponents[1] - self.exponent",
        "self.spec.gradient_exponents[1] - self.spec.exponent_at(0)",
        "rated",
    ),
    Fault("updated with the wrong sign", "lane:BaseLane._update", "(old, u, minus, active)", "(old, u, ~minus, active)", "accumulating"),
    Fault("G not cleared", "lane:BaseLane._old_gradient", "Mux(self.gradient_clear, 0, self.gradient)", "self.gradient", "accumulating"),
    Fault("m decays twice as fast", "lane:MomentumStage.decayed_sum", "up - k)", "up - k + 1)", "momentum"),
    Fault(
        "a leading one off by a pair", "shift_adam:RootShift._leading_pair", "Const(number, 2), high", "Const(number ^ 1, 2), high", "adam"
    ),
    Fault("the root of the old v", "lane:ShiftAdamStage.build", "root.v.eq(lane.square)", "root.v.eq(delayed(m, old, 3, 'v'))", "adam"),
    Fault("c of the other half", "shift_adam:RootShift.elaborate", "second ^ even", "second", "adam"),
    Fault("c added, not subtracted", "shift_adam:RootShift.elaborate", "eighths, even)", "eighths, Const(0, 1))", "adam_weights"),
    Fault("the bit behind from the pair above", "shift_adam:RootShift._leading_pair", "bits[at - 1] if at", "bits[at + 1] if at", "adam"),
    Fault(
        "the square of a G that wraps", "lane:ShiftAdamStage.build", "product.a.eq(g)", "product.a.eq(g[:-1].as_signed())", "adam_narrow"
    ),
    Fault("v decays as m", "lane:ShiftAdamStage._keep_mean", "shift(old, up - k)", "shift(old, up - 2)", "adam"),
    Fault("v wraps", "lane:BaseLane.keep", "variable.overflow)", "Overflow.WRAP)", "adam_narrow"),
    Fault(
        "v is not written where it is out of range",
        "lane:BaseLane.state_memory",
        'for port in ("read", "write", "en"))',
        'for port in ("read", "write", "en"))\n    if name == "square": ports = [*list(ports)[:2], self.square_en & ~self.square_outside]',
        "adam_narrow",
    ),
    Fault("m a cycle late", "lane:ShiftAdamStage.build", "later, ", "later + 1, ", "adam_weights"),
    Fault("the rate of an update is not followed", "lane:exponent_places", "high - array.exponent", "high - spec.exponent_at(0)", "adam"),
    Fault(
        "the near shift of the next synapse",
        "shift_adam:RootShift.elaborate",
        "delayed(module, right[:2], 1,",
        "delayed(module, right[:2], 0,",
        "adam",
    ),
    Fault("the far shift is half as far", "shift_adam:RootShift.elaborate", "len(near))), done", "len(near) - 1)), done", "adam"),
    Fault("d is not limited", "shift_adam:RootShift.elaborate", "Overflow.SATURATE", "Overflow.WRAP", "adam_steep"),
    Fault("θ + Δ may overflow", "lane:CorrelatingLane.outside", "above >= (high + 1) >> places", "above > (high + 1) >> places", "narrow"),
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
    Fault("a piece of a factor out of place", "broadcast:Multiplier._in_parts", "at_a + at_b", "at_a - at_b - 1", "many_wide"),
    Fault("a sum too early", "lane:MultiplyAccumulate.elaborate", "2 * self.pipelined", "int(self.pipelined)", "many"),
    Fault("an operand too late", "operands:Operands._fetch", "1 + behind", "2 + behind", "many_wide"),
    Fault("a part is folded too early", "signature:folded", "(m, part, int(in_parts),", "(m, part, 0,", "many"),
    Fault("a lane is not counted", "array:CorrelatingArray.count", "(m, which,", "(m, None if which is None else which[1:],", "weight"),
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
        "array:LaneArray.data",
        "timing.addend - timing.parameter",
        "timing.weight - timing.parameter - 1",
        "many",
    ),
    Fault("an operand meets the next sign", "array:LaneArray.data", "timing.addend - timing.weight", "0", "many"),
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
    Fault("both passes' activations in one bank", "operands:Operands._bank", "return second if", "return Const(0, 1) if", "weight"),
    Fault(
        "a target for each output of either pass",
        "operands:_counted",
        "stb & (second == number) if alternating else stb",
        "stb",
        "weight_alone",
    ),
    Fault("squares of both passes in one cost", "cost:CostUnit._add_squares", "stb & (second == number)", "stb", "weight_alone"),
    Fault("a square of the next pass is lost", "cost:CostUnit._add_squares", "layers > 1 + one_visit", "layers > 1", "follows"),
    Fault("pass 1 begins with the first word", "array:LaneArray.following_word", "Mux(slot.both, layers[1].first_word, 0)", "0", "weight"),
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
        "again = Mux(slot.branch, self.spec.layout.layers[0].layer.n_parameters, index)",
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
