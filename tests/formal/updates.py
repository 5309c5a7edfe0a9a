# amaranth: UnusedElaboratable=no
"""The memories of the lanes of node perturbation: what an applying pass reads and writes, and that no update is lost."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from amaranth.hdl import Array, Assume, Cat, Const, Module, Mux, ResetSignal, Signal
from amaranth.lib.wiring import In

from python_ref.spec.design import Cast, DesignSpec
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import Momentum
from rtl_gen.presentation.contract import outputs_to_change
from rtl_gen.presentation.core import NodeCore
from rtl_gen.presentation.layouts import UNPERTURBED
from rtl_gen.presentation.sequencer import PassSequencer
from rtl_gen.slot import by_layer, delayed, ends_pass
from tests.formal.harness import Bench, Induction, Opened, Property, always, control, opened, whichever
from tests.formal.memories import averaged, kept, limited, thin
from tests.support.faults import DESIGNS

__all__ = ["PROPERTIES"]


class Stage(NamedTuple):
    """What is at one place of the pipeline, from the sequencer's count on.

    Attributes
    ----------
    word : Signal
        Word of the slot, or of the next one of its pass.
    live : Signal
        A slot of a pass, its last word or before it; cycles in which the lanes wait are among them.
    real, first, begins, ends, apply : Value
        The slot has a word; the first one of its group, or of its pass; the last one of its pass; its pass applies errors.
    """

    word: Any
    live: Any
    real: Any
    first: Any
    begins: Any
    ends: Any
    apply: Any


class NodePasses(Bench):
    """The sequencer and the array of lanes of node perturbation, pass after pass: no update of a word is lost, whichever word and lane.

    Unperturbed passes and probes follow each other at once or later. An applying pass is requested when what was measured before has left
    the lanes, as many cycles after the last slot as the neurons, their cost and the errors take, or later; the next pass when the array
    says that it has learned. Errors and operands are free. The position of each slot in the layout says which word it is for. Each memory
    must have exactly that address where a pass reads it, and where the same slot, some cycles later, writes it; it writes if and only if
    its pass applies errors, and, but for G, updates. No slot reads a word while a write of it is on its way, so that each read gives the
    word that was written last. What is written is compared with a sum of its own, of errors times operands. All memories are 0 at the
    start.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.core = NodeCore(spec)
        self.array, self.sequencer = self.core.array, self.core.sequencer
        self.quiet = self.array.learned_latency + 3
        """Cycles from the last one of a pass to the next applying pass."""
        latencies, last, final = self.core.contract.latencies, spec.layout.layers[-1], len(spec.layout.layers) - 1
        leaves = PassSequencer.latency + last.group_words - self.sequencer._forward(final)[1] + self.array.latency + 1 + last.last_lanes
        assert self.quiet <= leaves + outputs_to_change(spec) + latencies.first_errors, "no controller is faster"
        self.given = ("error", "error_en", "x", *(["x_applied"] if spec.just_in_time else []))
        shapes = {name: getattr(self.array, name).shape() for name in self.given}
        super().__init__(
            {name: In(1) for name in ("wants", "probes", "other", "applies", "updates", "flushes")} | {n: In(s) for n, s in shapes.items()}
        )

    def state(self, m: Module) -> None:
        array, sequencer = self.array, self.sequencer
        m.d.comb += Assume(~ResetSignal())  # which loses the write of a word that was read
        counts, inner = opened(sequencer), opened(array)
        m.submodules.sequencer, m.submodules.array = counts.module, inner.module
        lanes = [inner.within(f"lane{number}") for number in range(len(array.lanes))]
        m.d.comb += [array.slot.eq(sequencer.slot), array.ahead.eq(sequencer.ahead)]
        m.d.comb += [getattr(array, name).eq(getattr(self, name)) for name in self.given]
        waiting, applying, since, update = self._passes(m, counts)
        stages = self._stages(m, counts, inner)
        self._alone(m, stages, waiting, applying, since)
        slots, timing = stages[2:], array.timing
        own = whichever(m, "word", range(self.spec.layout.words))
        m.d.comb += Assume(own < self.spec.layout.words)
        here = [each.real & (each.word == own) for each in slots]
        visited = [found & each.apply for found, each in zip(here, slots, strict=True)]
        first = timing.forward_read
        self._begins(m, slots, applying)
        for name, read, write, when in self._memories(update):
            writing = slots[write].live & slots[write].apply
            reads = Mux(applying, visited[read], here[first]) if name == "parameter" else visited[read]
            always(m, ~visited[read] | ~(Cat(visited[read + 1 : write + 1]).any() & when))
            for lane, block in zip(lanes, array.lanes, strict=True):
                address = getattr(block, f"{name}_read")
                always(m, ~(slots[read].live & slots[read].apply) | (address == slots[read].word))
                always(m, ~writing | (getattr(block, f"{name}_write") == slots[write].word))
                always(m, getattr(block, f"{name}_en") == (slots[write].real & slots[write].apply & when))
                kept(m, lane, name, own, reads, visited[write] & when)
        always(m, ~here[first] | applying | ~(Cat(visited[first + 1 : timing.parameter + 1]).any() & update))
        for number, lane in enumerate(lanes):
            self._summed(m, lane, number, slots, here, own, update)
        rounds = Signal(2)
        m.d.sync += rounds.eq(rounds + (visited[timing.parameter] & update))
        self.reach(m, here[first] & ~applying & (rounds == (2 if self.spec.direct_update else 1)))

    def _memories(self, update: Signal) -> list[tuple[str, int, int, Any]]:
        """Each memory of a lane: its name, the stages of its read and of its write, and when an applying pass writes it."""
        timing = self.array.timing
        rows: list[tuple[str, int, int, Any]] = [("parameter", timing.parameter_read, timing.parameter, update)]
        if self.spec.gradient_memory:
            rows.append(("gradient", timing.gradient_read, timing.gradient, 1))
        return rows + [(name, timing.state_read, stage, update) for name, stage in timing.state.items()]

    def _begins(self, m: Module, slots: list[Stage], applying: Signal) -> None:
        """Assert that a forward pass reads the words of its slots, and that an applying pass finds the first word where it begins."""
        first, read, address = self.array.timing.forward_read, self.array.timing.parameter_read, self.array.lanes[0].parameter_read
        always(m, applying | ~slots[first].live | (address == slots[first].word))
        always(m, *(~(applying & slots[place].begins) | (address == 0) for place in range(first, read + 1)))

    def _summed(self, m: Module, lane: Opened, number: int, slots: list[Stage], here: list[Any], own: Signal, update: Signal) -> None:
        """Assert that θ of a lane's word, or G, is the sum of what its visits gave: errors times operands, rounded down, in range.

        An error is the last one that came before the first slot of its group was there. A lane without a neuron keeps nothing.
        """
        spec, timing, block, direct = self.spec, self.array.timing, lane.names["self"], self.spec.direct_update
        exists = Array(int(number < lanes) for lanes in spec.layout.word_lanes)[own]
        stored, error = Signal.like(self.error), Signal.like(self.error)
        entering = slots[timing.weight - 1]
        with m.If(self.error_en[number]):
            m.d.sync += stored.eq(self.error)
        with m.If(entering.first & entering.apply):
            m.d.sync += error.eq(stored)
        held = lane.names["error" if spec.just_in_time else "a"]  # which an applying pass keeps, as induction needs to know
        always(m, stored == lane.names["stored"], ~(slots[timing.weight].live & slots[timing.weight].apply) | (held == error))
        x, works = self.x, slots[timing.weight].real & slots[timing.weight].apply
        if spec.just_in_time:
            x = self.x_applied
            m.d.comb += Assume((works & (update if block.fused else 1)) | (x == 0))
        operand = spec.operand_format(0)
        ends = (operand.min, max(operand.max, 1 << operand.fraction_bits))  # of a value, and the 1 of a bias
        low, high = (-ends[1], -ends[0]) if block.fused else ends
        m.d.comb += Assume(~works | ((x >= low) & (x <= high)))
        product = error * x
        stage = timing.parameter if direct else timing.gradient
        form, cast = (spec.update_format, spec.formats.weight_cast) if direct else (spec.gradient_format, spec.formats.gradient_cast)
        places = spec.error_format.fraction_bits + operand.fraction_bits - form.fraction_bits
        assert cast.rounding is Rounding.FLOOR and cast.overflow is Overflow.SATURATE and places >= 0
        assert len({spec.operand_format(layer).fraction_bits for layer in range(len(spec.network.layers))}) == 1
        share = limited((-product if block.fused else product) >> places, form.min, form.max)
        late = delayed(m, share, stage - timing.weight, f"share{number}_", reset_less=False)
        seen = [each & exists for each in here]
        mine = [each & slot.apply for each, slot in zip(seen, slots, strict=True)]
        at_end = (seen[timing.parameter], mine[timing.parameter] & update)
        if direct:
            self._moved(m, lane, late, exists, *at_end)
            return
        total = Signal.like(block.gradient)
        source = limited(total + late, form.min, form.max)
        with m.If(mine[stage]):
            m.d.sync += total.eq(Mux(update, 0, source))
        store, _ = lane.module._named_submodules["gradients"]
        always(m, ~mine[stage] | (block.gradient == source), ~exists | (store.read_ports[-1].data == total))
        if isinstance(spec.optimizer, Momentum):
            before, stage = delayed(m, source, timing.state["momentum"] - stage, "gradient_before"), timing.state["momentum"]
            source = averaged(m, spec, lane, before, mine[stage], update)
        places = spec.update_source_format.fraction_bits - spec.formats.weight.fraction_bits
        assert places >= 0
        share = limited(source >> places, spec.update_format.min, spec.update_format.max)
        self._moved(m, lane, delayed(m, share, timing.parameter - stage, f"u{number}_", reset_less=False), exists, *at_end)

    def _moved(self, m: Module, lane: Opened, share: Any, exists: Any, seen: Any, updated: Any) -> None:
        """Assert that θ of a lane's word loses the share of each visit that updates, and stays in range."""
        block, form = lane.names["self"], self.spec.formats.weight
        total = Signal.like(block.parameter)
        moved = limited(total - share, form.min, form.max)
        with m.If(updated):
            m.d.sync += total.eq(moved)
        store, _ = lane.module._named_submodules["parameters"]
        always(m, ~exists | (store.read_ports[-1].data == total), ~updated | (block.parameter == moved))
        if self.spec.just_in_time:  # where the parameter is a factor
            always(m, ~seen | updated | (block.parameter == total))

    def _passes(self, m: Module, counts: Opened) -> tuple[Signal, Signal, Signal, Signal]:
        """Request passes.

        Returns
        -------
        tuple of Signal
            Whether a pass is requested, whether it or the present one applies errors, the cycles since a pass ended, and whether an
            applying pass updates.
        """
        sequencer, array = self.sequencer, self.array
        running, layers = counts.names["running"], len(self.spec.layout.layers)
        waiting, applying, update, since = Signal(), Signal(), Signal(), Signal(range(self.quiet + 1), init=self.quiet)
        kinds = {name: Signal(name=f"asks_{name}") for name in ("probe", "apply")}
        bank, wants, applies = Signal(2), Signal(), Signal()
        m.d.comb += [
            wants.eq(self.wants & ~waiting & ~applying),
            applies.eq(wants & self.applies & (since == self.quiet)),
            sequencer.request.eq(waiting),
            sequencer.bank.eq(bank),
            *(getattr(sequencer, name).eq(kind) for name, kind in kinds.items()),
            array.applying.eq(applying),
            array.update.eq(update),
        ]
        m.d.sync += [
            waiting.eq(wants | (waiting & ~sequencer.started)),
            applying.eq(applies | (applying & ~array.learned_stb)),
            since.eq(Mux(running | waiting, 0, Mux(since == self.quiet, since, since + 1))),
        ]
        with m.If(wants):
            probes = self.probes & ~applies if layers > 1 else 0
            m.d.sync += [kinds["probe"].eq(probes), kinds["apply"].eq(applies), bank.eq(Mux(probes, self.other, UNPERTURBED))]
        with m.If(applies):
            m.d.sync += update.eq(self.updates)
        always(m, ~waiting | (kinds["apply"] == applying))
        return waiting, applying, since, update

    def _stages(self, m: Module, counts: Opened, inner: Opened) -> list[Stage]:
        """The count, the slot ahead, and the slots of the array, up to that whose parameter is written and counted.

        What induction needs is asserted here: that the sequencer's registers have to do with each other, and neighbouring stages too.
        """
        layers, count = self.spec.layout.layers, counts.names
        running, layer, group, k = (count[name] for name in ("running", "layer", "group", "k"))
        final, words = len(layers) - 1, self.spec.layout.words
        fan_in, ends = by_layer([each.layer.fan_in for each in layers], layer), (layer == final) & count["tail"]
        firsts = Array([each.first_word + number * each.group_words for each in layers for number in range(each.groups)] + [words])
        places = Array(sum(each.groups for each in layers[:number]) for number in range(final + 1))[layer] + group
        now, live, real = Signal(range(words + 1), name="word_counted"), Signal(name="live_counted"), Signal(name="real_counted")
        begins = running & (k == 0) & (group == 0) & (layer == count["probe"])
        m.d.comb += [
            real.eq(running & (k <= fan_in)),
            live.eq(running & ~(ends & (k > fan_in))),
            now.eq(Mux(real, firsts[places] + k, firsts[places + 1])),
        ]
        self._counts(m, count)
        self._slots = slots = [self.sequencer.ahead, *inner.names["slots"][: self.array.learned_latency]]
        stages = [Stage(now, live, real, real & (k == 0), begins, live & ends & (k == fan_in), count["apply"])]
        for place, slot in enumerate(slots):
            before = stages[-1]
            word, here = (
                delayed(m, before.word, 1, f"word{place}", reset_less=False),
                delayed(m, before.live, 1, f"live{place}", reset_less=False),
            )
            after = Stage(word, here, slot.real, slot.first, slot.begin, ends_pass(self.spec, slot), slot.apply)
            goes_on = after.live & ~after.ends
            always(m, (before.live & ~before.begins) == goes_on, ~goes_on | (before.word == word + after.real))
            always(m, ~goes_on | (before.apply == after.apply), ~after.real | after.live, ~(after.begins | after.ends) | after.real)
            always(m, ~after.begins | (word == Mux(slot.layer == 0, 0, layers[-1].first_word)))
            always(m, ~after.real | (word < words), ~after.begins | ~after.apply | (slot.layer == 0))
            stages.append(after)
        return stages

    def _counts(self, m: Module, count: dict[str, Any]) -> None:
        """Assert what the sequencer's registers have to do with each other."""
        layers = self.spec.layout.layers
        running, layer, group, k, probe, apply = (count[name] for name in ("running", "layer", "group", "k", "probe", "apply"))
        fan_in, groups = by_layer([each.layer.fan_in for each in layers], layer), by_layer([each.groups for each in layers], layer)
        length: Any = 0
        for name, chosen in self._kinds(apply).items():
            inner, tail = (by_layer([self.sequencer._rows()[name](n)[way] for n in range(len(layers))], layer) for way in (0, 1))
            length = Mux(chosen, Mux(count["tail"], tail, inner), length)
        always(m, ~running | ((layer < len(layers)) & (group < groups) & (k < length)), running | ((k == 0) & (group == 0)))
        always(m, ~probe | ~apply, ~running | (layer >= probe))
        always(m, count["last_cycle"] == (running & (k == length - 1)))
        always(m, ~count["last_cycle"] | (count["closes"] == (count["tail"] & (layer == len(layers) - 1))))
        always(m, count["starts"] == (k == 0), ~running | ((count["last"] == (k == fan_in)) & (count["waits"] == (k > fan_in))))

    def _kinds(self, apply: Signal) -> dict[str, Any]:
        """When the present pass has which lengths of groups."""
        return {"forward": ~apply, "apply": apply}

    def _alone(self, m: Module, stages: list[Stage], waiting: Signal, applying: Signal, since: Signal) -> None:
        """Assert that an applying pass is alone in the lanes, and that it has left them when they have learned."""
        live = Cat(each.live for each in stages)
        always(m, ~applying | ~waiting | ~live.any(), ~self.array.learned_stb | (applying & ~waiting & ~live.any()))
        for place, each in enumerate(stages):
            always(m, ~each.live | (each.apply == applying), ~each.live | (since <= place))
            always(m, ~(applying & each.begins) | ~live[place + 1 :].any(), ~(applying & each.ends) | ~live[:place].any())


class JustInTimePasses(NodePasses):
    """The same of lanes with two multipliers, where the pass that applies errors measures as well.

    It is requested when all before has left the lanes; a probe may follow it at once, and reads no parameter that is not yet written.
    After a flushing pass, which does not measure, the next one waits until the array has learned. The first operand is 0 where nothing is
    applied. The parameter that is multiplied is the one that the update gives, and elsewhere the one that was written last.
    """

    def _passes(self, m: Module, counts: Opened) -> tuple[Any, Any, Signal, Signal]:
        sequencer, array = self.sequencer, self.array
        running, layers = counts.names["running"], len(self.spec.layout.layers)
        waiting, pending, blocked, update = Signal(), Signal(), Signal(), Signal()
        since = Signal(range(self.quiet + 1), init=self.quiet)
        kinds = {name: Signal(name=f"asks_{name}") for name in ("probe", "apply", "measure")}
        bank, wants, applies = Signal(2), Signal(), Signal()
        m.d.comb += [
            wants.eq(self.wants & ~waiting & ~blocked),
            applies.eq(self.applies & ~waiting & ~blocked & ~pending & ~wants & (since == self.quiet)),
            sequencer.request.eq(waiting),
            sequencer.bank.eq(bank),
            *(getattr(sequencer, name).eq(kind) for name, kind in kinds.items()),
            array.update.eq(update),
        ]
        m.d.sync += [
            waiting.eq(wants | (waiting & ~sequencer.started)),
            pending.eq(applies | (pending & ~sequencer.started)),
            blocked.eq((wants & pending & self.flushes) | (blocked & ~array.learned_stb)),
            since.eq(Mux(running | waiting, 0, Mux(since == self.quiet, since, since + 1))),
        ]
        with m.If(wants):
            probes = self.probes & ~pending if layers > 1 else 0
            m.d.sync += [kinds["probe"].eq(probes), kinds["apply"].eq(pending), bank.eq(Mux(probes, self.other, UNPERTURBED))]
            m.d.sync += kinds["measure"].eq(~(pending & self.flushes))
        with m.If(applies):
            m.d.sync += update.eq(self.updates)
        always(m, ~waiting | ((kinds["apply"] == pending) & (kinds["measure"] == ~blocked)))
        self._pending, self._blocked = pending, blocked
        return waiting, Const(0, 1), since, update

    def _kinds(self, apply: Signal) -> dict[str, Any]:
        measure = self.sequencer._measuring
        return {"forward": ~apply, "apply": apply & ~measure, "both": apply & measure}

    def _alone(self, m: Module, stages: list[Stage], waiting: Any, applying: Any, since: Signal) -> None:
        live, blocked, pending = Cat(each.live for each in stages), self._blocked, self._pending
        always(m, ~pending | ~live.any(), ~pending | ~self.array.learned_stb, ~(self.array.learned_stb & blocked) | ~(live.any() | waiting))
        measured = [self.sequencer._measuring, *(slot.measure for slot in self._slots)]
        for place, (each, measure) in enumerate(zip(stages, measured, strict=True)):
            always(m, ~each.live | (since <= place), ~(blocked & each.live) | (each.apply & ~measure & ~waiting))
            always(m, ~(each.live & ~measure) | blocked, ~(blocked & each.ends) | ~live[:place].any())
            always(m, ~(each.apply & each.begins) | ~live[place + 1 :].any())


def small(name: str, sizes: tuple[int, ...], lanes: int) -> DesignSpec:
    """A design with a small network, narrow formats, and casts that round down."""
    optimizer = Momentum(2, rounding=Rounding.FLOOR) if isinstance(DESIGNS[name].optimizer, Momentum) else None
    spec = thin(DESIGNS[name], sizes, lanes, optimizer)
    down = Cast(Rounding.FLOOR, Overflow.SATURATE)
    return replace(spec, formats=replace(spec.formats, error=Fixed(True, -2, 4), weight_cast=down, gradient_cast=down))


_ARRAY = "presentation.array:NodeArray"
_EARLY = control("learned before all is written", f"{_ARRAY}._show", "slots[self.learned_latency - 1]", "slots[0]", 60)
_FAR = control("written one word too far", f"{_ARRAY}._memories", '"write": (slots[write], ', '"write": (slots[write - 1], ', 40)
_FORWARD = control(
    "an applying pass reads as early as a forward one", f"{_ARRAY}._parameter_read", "Mux(self.applying, read, forward)", "forward", 40
)
_ALL = control("forward passes write too", f"{_ARRAY}._writes", "slot.real & slot.apply & (", "slot.real & (", 64)
_FIRST = control("a probe begins at the first word", f"{_ARRAY}._memories", "(coming.layer != 0)", "0", 20)
_ERROR = control("the errors of the next group", f"{_ARRAY}._controls", "loading.first & loading.apply", "loading.apply", 40)
_JUST = "presentation.just_in_time:JustInTime"
_GAP = control("no cycles before a probe", f"{_JUST}Sequencer._both", "waits = max(0, self.written", "waits = min(0, self.written", 60)
_ERROR_TOO = control("the errors of the next group", f"{_JUST}Array._controls", "loading.first & loading.apply", "loading.apply", 50)
_LAST = control(
    "read one word too far", f"{_JUST}Array._parameter_read", "(before[read + 1], before[read])", "(before[read], before[read - 1])", 40
)
_CLEARS = control("G is cleared without an update", f"{_ARRAY}._memories", "self._updates(slots[timing.gradient]) & ", "", 60)
_ONCE = control("G is written with updates alone", f"{_ARRAY}._writes", "1 if memory is Memory.GRADIENT else ", "", 40)
_STATE = control("m is written without an update", f"{_ARRAY}._writes", "else self._updates(slot)", "else 1", 50)

_ALONE = (
    ("θ", "fused_narrow", (2, 2, 1), 1, 8, 80, (_EARLY, _FAR, _FORWARD, _ALL, _FIRST, _ERROR)),
    ("θ", "fused_narrow", (2, 3, 1), 2, 8, 80, (_FAR, _FORWARD, _ERROR)),
    ("G", "node_memory", (2, 2, 1), 1, 8, 70, (_EARLY, _FAR, _CLEARS, _ONCE)),
    ("m", "momentum", (2, 2, 1), 1, 8, 70, (_FORWARD, _STATE, _ERROR)),
)
_IN_TIME = (
    ("θ just in time", "in_time", (2, 1, 1), 1, 16, 80, (_FAR, _GAP, _ERROR_TOO, _LAST)),
    ("θ just in time", "in_time", (2, 3, 1), 2, 16, 80, (_FAR, _LAST)),
    ("G just in time", "in_time_memory", (2, 2, 1), 1, 20, 80, (_FAR, _CLEARS, _ONCE, _FIRST)),
)

PROPERTIES = (
    *(
        Property(
            f"applied errors, {kind}, {'-'.join(map(str, sizes))} on {lanes} lanes",
            block,
            partial(bench, small(name, sizes, lanes)),
            Induction(depth),
            reach,
            faults,
        )
        for bench, block, rows in (
            (NodePasses, "presentation.array.NodeArray, presentation.sequencer.PassSequencer", _ALONE),
            (JustInTimePasses, "presentation.just_in_time.JustInTimeArray, JustInTimeSequencer", _IN_TIME),
        )
        for kind, name, sizes, lanes, depth, reach, faults in rows
    ),
)
