# amaranth: UnusedElaboratable=no
"""The memories of the lanes: what is read is what was written last, so that no update is lost, for whichever word of whichever lane."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

from amaranth.hdl import Array, Assume, Cat, Module, Mux, ResetSignal, Signal, signed
from amaranth.lib.wiring import In

from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Fixed, Rounding
from python_ref.spec.optimizer import Momentum, Optimizer
from python_ref.spec.registers import Memory
from rtl_gen.slot import by_layer, delayed, ends_pass
from rtl_gen.weight_core import Core
from tests.formal.harness import Bench, Induction, Opened, Property, always, control, opened, whichever
from tests.formal.signs import weights
from tests.support.faults import DESIGNS

__all__ = ["PROPERTIES", "averaged", "kept", "limited", "limits", "thin"]


def kept(m: Module, lane: Opened, name: str, own: Signal, reads: Any, writes: Any) -> None:
    """Assert that a read of the word gives what was written last there, from its ``store`` in a lane."""
    store, _ = lane.module._named_submodules[f"{name}s"]
    look, block = store.read_port(domain="comb"), lane.names["self"]
    value, read = getattr(block, name), Signal()
    stored = Mux(block.gradient_clear, 0, value) if name == "gradient" else value
    held = Signal(len(value))
    with m.If(writes):
        m.d.sync += held.eq(stored)
    m.d.sync += read.eq(reads)
    m.d.comb += look.addr.eq(own)
    always(m, look.data.as_unsigned() == held, ~read | (getattr(block, f"host_{name}").as_unsigned() == held))


def limited(value: Any, low: int, high: int) -> Any:
    """The value, saturated."""
    return Mux(value > high, high, Mux(value < low, low, value))


def limits(width: int) -> tuple[int, int]:
    """Smallest and largest number of so many bits."""
    return -(1 << width - 1), (1 << width - 1) - 1


def averaged(m: Module, spec: DesignSpec, lane: Opened, gradient: Any, visited: Any, update: Signal) -> Any:
    """Assert that m of a lane's word becomes ⌊m − m·2⁻ᵏ + G⌋, saturated, with each update; return that, valid with ``visited``."""
    (variable,), block = spec.optimizer_state, lane.names["self"]
    assert variable.rounding is Rounding.FLOOR and variable.format.fraction_bits == spec.gradient_format.fraction_bits
    k, mean = spec.optimizer.k, Signal.like(block.momentum)  # type: ignore[attr-defined]
    exact = ((mean << k) - mean + (gradient << k)) >> k
    following = limited(exact, *limits(variable.format.width))
    with m.If(visited & update):
        m.d.sync += mean.eq(following)
    always(m, ~visited | ~update | (block.momentum == following))
    store, _ = lane.module._named_submodules["momentums"]
    always(m, store.read_ports[-1].data == mean)
    return following


class Passes(Bench):
    """The sequencer and the array of lanes, step after step: no update of a word is lost, whichever word of whichever lane and memory.

    The steps are those of a controller: it begins the next one as many cycles after the last one's end as its contract needs, less those
    that the outputs take, or later. The position of each slot in the layout says which word it is for. Each memory must have exactly that
    address where a slot reads it, and where the same slot, some cycles later, writes it; it writes if and only if its pass correlates,
    and, but for G, updates. No slot reads a word while a write of it is on its way. So each read gives the word that was written last.
    What is written is compared with a sum of its own, where the lane sums: θ less s·u of each visit that updates, in range; or G, s·g of
    all visits, saturated, and 0 after one that updates; and with momentum m, from G and the m before. All memories are 0 at the start.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.core = Core(spec)
        self.array = array = self.core.array
        self.rounds = 1 if spec.optimizer_state else 2
        self.earliest = max(6, array.timing.parameter + 3)
        """Cycles after the last one of a step from which on the next one may start; the update is decided together with the start."""
        assert self.earliest <= self.core.contract.wait - self.core.broadcast.latency - 4
        super().__init__(
            {name: In(1) for name in ("start", "again", "correlate", "second", "both", "update")}
            | {"broadcast": In(array.broadcast.shape()), "replay": In(array.replay.shape())}
        )

    def state(self, m: Module) -> None:
        sequencer, array = self.core.sequencer, self.core.array
        m.d.comb += Assume(~ResetSignal())  # which loses the write of a word that was read
        counts, inner = opened(sequencer), opened(array)
        m.submodules.sequencer, m.submodules.array = counts.module, inner.module
        lanes = [inner.within(f"lane{number}") for number in range(len(array.lanes))]
        m.d.sync += array.slot.eq(sequencer.slot)
        m.d.comb += [array.slot_ahead.eq(sequencer.slot), array.broadcast.eq(self.broadcast), array.replay.eq(self.replay)]
        pair, since, update = self._steps(m, counts)
        m.d.comb += array.update.eq(update)
        words = self._words(m, counts, inner, since)
        slots, own = inner.names["slots"][: array.timing.parameter + 1], whichever(m, "word", range(self.spec.layout.words))
        m.d.comb += Assume(own < self.spec.layout.words)
        here = [slot.real & (word == own) for slot, word in zip(slots, words, strict=True)]
        visited = [each & slot.correlate for each, slot in zip(here, slots, strict=True)]
        for name, read, write, when in self._memories(update):
            reads = (here if name == "parameter" else visited)[read]  # no other pass needs what it reads of the others
            always(m, ~(reads & Cat(visited[read + 1 : write + 1]).any() & when))
            for lane, block in zip(lanes, array.lanes, strict=True):
                always(m, getattr(block, f"{name}_read") == words[read], getattr(block, f"{name}_write") == words[write])
                always(m, getattr(block, f"{name}_en") == (slots[write].real & slots[write].correlate & when))
                kept(m, lane, name, own, reads, visited[write] & when)
        if self.spec.gradient_memory or self.spec.direct_update:
            for number, lane in enumerate(lanes):
                self._summed(m, lane, number, visited, update)
        rounds = Signal(2)
        m.d.sync += rounds.eq(rounds + visited[array.timing.parameter])
        self.reach(m, here[0] & (rounds == self.rounds) & update & (pair if len(self.spec.layout.layers) > 1 else 1))

    def _memories(self, update: Signal) -> list[tuple[str, int, int, Any]]:
        """Each memory of a lane: its name, the stages of its read and of its write, and when a correlating pass writes it."""
        spec, timing = self.spec, self.array.timing
        rows: list[tuple[str, int, int, Any]] = [("parameter", timing.parameter_read, timing.parameter, update)]
        if spec.gradient_memory:
            rows.append(("gradient", timing.gradient_read, timing.gradient, 1))
        return rows + [(name, timing.state_read, stage, update) for name, stage in timing.state.items()]

    def _given(self, number: int) -> Any:
        """What is broadcast to a lane."""
        return self.broadcast

    def _summed(self, m: Module, lane: Opened, number: int, visited: list[Any], update: Signal) -> None:
        """Assert that θ of a lane's word, or G, is the sum of what its visits gave, and m a mean of such sums."""
        timing, spec, direct = self.array.timing, self.spec, self.spec.direct_update
        name, read, write = ("parameter", timing.parameter_read, timing.parameter) if direct else ("gradient", 0, timing.gradient)
        assert (read, write) == (0, 3)
        low, high = spec.parameter_limits if direct else limits(spec.gradient_format.width)
        block, g = lane.names["self"], self._given(number)
        total = Signal.like(getattr(block, name))
        shares = [Signal(signed(len(g) + 1), name=f"share{stage}") for stage in (1, 2, 3)]
        m.d.comb += shares[0].eq(Mux(self.replay.active[number], Mux(self.replay.negative[number] ^ direct, -g, g), 0))
        m.d.sync += [after.eq(before) for before, after in pairwise(shares)]
        summed = limited(total + shares[2], low, high)
        with m.If(visited[3] & (update if direct else 1)):
            m.d.sync += total.eq(summed if direct else Mux(update, 0, summed))
        always(m, ~visited[1] | (getattr(block, f"host_{name}") == total), ~visited[3] | (getattr(block, name) == summed))
        store, _ = lane.module._named_submodules[f"{name}s"]
        always(m, store.read_ports[-1].data == total)
        if isinstance(spec.optimizer, Momentum):
            stage = timing.state["momentum"]
            averaged(m, spec, lane, delayed(m, summed, stage - 3, "gradient_before"), visited[stage], update)

    def _words(self, m: Module, counts: Opened, inner: Opened, since: Signal) -> list[Any]:
        """The word that the slot at each stage of the array is for, or the next one if there is no slot, from the sequencer's count.

        What induction needs is asserted here: that the sequencer's registers have to do with each other, and neighbouring stages too.
        """
        layers, count = self.spec.layout.layers, counts.names
        running, layer, group, k, kind = (count[name] for name in ("running", "layer", "group", "k", "kind"))
        words, final = self.spec.layout.words, len(layers) - 1
        behind = layers[1].first_word if final else 0
        shape, fan_in = range(words + 1), by_layer([each.layer.fan_in for each in layers], layer)
        firsts = Array(each.first_word + number * each.group_words for each in layers for number in range(each.groups))
        places = Array(sum(each.groups for each in layers[:number]) for number in range(len(layers)))[layer] + group
        both = kind[self.core.sequencer._kinds.index("both")]
        now, ends = Signal(shape, name="word_counted"), (layer == final) & count["tail"]
        over = Mux(ends, Mux(both, behind, 0), firsts[places + 1])
        m.d.comb += now.eq(Mux(running, Mux(k <= fan_in, firsts[places] + k, over), 0))
        self._counts(m, count, ends)
        counted, slots = count["counted"], inner.names["slots"][: self.core.array.timing.parameter + 1]
        issued, within = self.core.sequencer.slot, count["within"]
        stages = [(counted, within), (issued, 1), *((slot, 1) for slot in slots)]
        numbers: list[Any] = [now]
        for place, (slot, real) in enumerate(stages):
            later = Signal(shape, name=f"word{place}")
            m.d.sync += later.eq(numbers[-1])
            following = Mux(ends_pass(self.spec, slot), Mux(slot.both, behind, 0), later + 1)
            always(m, numbers[-1] == Mux(slot.real & real, following, later), ~(slot.real & real) | (since <= place))
            always(m, ~(slot.real & real) | (later < words))
            numbers.append(later)
        return numbers[3:]

    def _counts(self, m: Module, count: dict[str, Any], ends: Any) -> None:
        """Assert what the sequencer's registers have to do with each other."""
        sequencer, layers = self.core.sequencer, self.spec.layout.layers
        running, layer, group, k = (count[name] for name in ("running", "layer", "group", "k"))
        both, tail = count["kind"][sequencer._kinds.index("both")] & (layer == 0), count["tail"]
        groups = by_layer([each.groups for each in layers], layer)
        one = by_layer([each.group_slots for each in layers], layer)
        last = by_layer([each.group_slots + sequencer.bubble(number) for number, each in enumerate(layers)], layer)
        last += Mux(sequencer.again & (layer == len(layers) - 1), sequencer.gap, 0)
        length = Mux(tail, last, one)
        paired = Mux(tail, layers[0].group_slots + sequencer.bubble(0, both=True), sequencer.group_cycles(0, both=True))
        length = Mux(both, paired, length)
        always(m, layer < len(layers), group < groups, ~running | (k < length), running | ((layer == 0) & (group == 0) & (k == 0)))
        always(m, count["last_cycle"] == (running & (k == length - 1)), ~count["last_cycle"] | (count["closes"] == ends))

    def _steps(self, m: Module, counts: Opened) -> tuple[Signal, Signal, Signal]:
        """Begin steps: of one pass, or of two; a correlating pass is the first of its step.

        Returns
        -------
        tuple of Signal
            Whether a step of two passes has ended, the cycles since a step ended, and whether the step updates.
        """
        sequencer = self.core.sequencer
        most = max(self.earliest, self.core.array.timing.parameter + 4)
        busy, kept, since, update = Signal(), Signal(), Signal(range(most + 1), init=most), Signal()
        ends = sequencer.done & ~kept
        twice = self.both if len(self.spec.layout.layers) > 1 else 0
        m.d.comb += [
            Assume(~self.start | (~busy & (since >= self.earliest))),
            *(Assume(~self.start | ~getattr(self, name) | ~self.second) for name in ("both", "correlate")),
            sequencer.start.eq(self.start),
            sequencer.again.eq(kept),
            sequencer.correlate.eq(self.start & self.correlate),
            sequencer.both.eq(self.start & self.both),
            sequencer.second.eq(Mux(self.start, ~self.both, 1)),
            sequencer.perturb.eq(sequencer.second),
            sequencer.forward.eq(1),
        ]
        m.d.sync += [
            busy.eq(self.start | (busy & ~ends)),
            kept.eq(Mux(self.start, twice, kept & ~sequencer.done)),
            since.eq(Mux(self.start | busy, 0, Mux(since == most, most, since + 1))),
        ]
        with m.If(self.start):
            m.d.sync += update.eq(self.update)
        both = counts.names["kind"][sequencer._kinds.index("both")]
        always(m, busy == counts.names["running"], ~busy | (since == 0), kept == (busy & both if len(self.spec.layout.layers) > 1 else 0))
        ended = Signal()
        m.d.sync += ended.eq(ended | (sequencer.done & kept))
        return ended, since, update


class Host(Bench):
    """The host at the memories of the lanes, in any order: a word that is read is the one that was written last at its place."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.array = Core(spec).array
        array = self.array
        names = ("host_lane", "host_memory", "host_address", "host_data")
        super().__init__({"moves": In(1), "write": In(1), **{name: In(getattr(array, name).shape()) for name in names}})

    def state(self, m: Module) -> None:
        spec, array = self.spec, self.array
        inner = opened(array)
        m.submodules.array = inner.module
        lanes = [inner.within(f"lane{number}") for number in range(spec.hardware.lanes)]
        m.d.comb += [array.host_mode.eq(1), Assume(~ResetSignal())]
        # The host's position and word stay for some cycles; a write comes two cycles after a move or later, and a read needs its time.
        latency = array.host_latency
        age, place = Signal(range(latency + 3)), {}
        m.d.sync += age.eq(Mux(self.moves, 0, Mux(age == latency + 2, age, age + 1)))
        for name in ("host_lane", "host_memory", "host_address", "host_data"):
            place[name] = Signal.like(getattr(self, name), name=name)
            with m.If(self.moves):
                m.d.sync += place[name].eq(getattr(self, name))
            m.d.comb += getattr(array, name).eq(place[name])
        wrote, words = Signal(range(8), init=7), spec.layout.words
        memories = {"parameter": Memory.PARAMETER, "gradient": Memory.GRADIENT} if spec.gradient_memory else {"parameter": Memory.PARAMETER}
        memories |= {variable.name: variable.memory for variable in spec.optimizer_state}
        m.d.sync += wrote.eq(Mux(self.write, 0, Mux(wrote == 7, wrote, wrote + 1)))
        m.d.comb += [
            Assume(~self.write | ((age >= 2) & ~self.moves)),
            Assume(~self.moves | (wrote >= 2)),
            Assume(place["host_lane"] < len(lanes)),
            Assume(place["host_address"] < words),
            Assume(Cat(place["host_memory"] == each for each in memories.values()).any()),
            array.host_write.eq(self.write),
        ]
        word, ready = whichever(m, "word", range(words)), (age >= latency) & (wrote >= 1 + latency)
        m.d.comb += Assume(word < words)
        happened = []
        always(m, (age >= 2) | (wrote >= 2))
        for number, lane in enumerate(lanes):
            for name, memory in memories.items():
                own = (place["host_lane"] == number) & (place["host_memory"] == memory)
                here = own & (place["host_address"] == word)
                kept = self._kept(m, lane, name, word, place["host_data"], age, wrote, own, here)
                always(m, ~(here & ready) | (array.host_read_data.as_signed() == kept))
                happened.append(here & ready & (kept == 5))
        self.reach(m, Cat(happened).any())

    def _kept(
        self, m: Module, lane: Opened, name: str, word: Signal, data: Signal, age: Signal, wrote: Signal, own: Any, here: Any
    ) -> Signal:
        """The number of a memory's word; assert where it is until the host sees it, which induction needs."""
        block = lane.names["self"]
        value, found = getattr(block, name), getattr(block, f"host_{name}")
        kept = Signal.like(value, name=f"kept_{name}")
        with m.If(self.write & here):
            m.d.sync += kept.eq(data)
        store, _ = lane.module._named_submodules[f"{name}s"]
        look = store.read_port(domain="comb")
        m.d.comb += look.addr.eq(word)
        always(m, (age == 0) | (block.host_word == data), ~block.gradient_clear)
        always(m, getattr(block, f"{name}_en") == (own & (wrote == 0)), (age < 2) | (value.as_unsigned() == data[: len(value)]))
        always(m, (look.data == kept) | (here & (wrote == 0)), ~(here & (age >= 1) & (wrote >= 2)) | (found == kept))
        return kept


def thin(spec: DesignSpec, sizes: tuple[int, ...], lanes: int, optimizer: Optimizer | None = None) -> DesignSpec:
    """The design with a small network and narrow formats, since no address depends on the numbers."""
    narrow = {name: Fixed(True, 0, 4) for name in ("weight", "cost_change", "gradient")}
    formats = replace(spec.formats, activation=Fixed(True, 1, 2), input=Fixed(True, 1, 2), **narrow)
    schedule = replace(spec.schedule, learning_rate=((0, -1),))
    network, hardware = replace(spec.network, sizes=sizes), replace(spec.hardware, lanes=lanes)
    return replace(spec, network=network, hardware=hardware, formats=formats, schedule=schedule, optimizer=optimizer or spec.optimizer)


_MEMORIES, _ADDRESS = "array:CorrelatingArray.memories", "array:CorrelatingArray._address"
_GAP = control("no cycles between two passes", "weight_core:Core._gap", "return max(0, written", "return min(0, written", 30)
_FAR = control("written one word too far", _MEMORIES, '("write", write)', '("write", write - 1)', 20)
_ON = control(
    "the next pass goes on behind the last word", _ADDRESS, "Mux(ends_pass(self.spec, slot), first, address + 1)", "address + 1", 30
)
_SIGN = control(
    "updated with the wrong sign",
    "lane:CorrelatingLane.learn",
    "self._update(m, read, self.u, ~self.negative, self.active)",
    "self._update(m, read, self.u, self.negative, self.active)",
    20,
)
_CLEARED = control("G is not cleared", "lane:BaseLane._old_gradient", "Mux(self.gradient_clear, 0, self.gradient)", "self.gradient", 20)
_CLEARS = control("G is cleared without an update", _MEMORIES, "updates & ~self.host_mode", "~self.host_mode", 20)
_ONCE = control(
    "G is written with updates alone",
    _MEMORIES,
    "timing.gradient_read, timing.gradient, 1)",
    "timing.gradient_read, timing.gradient, updates)",
    20,
)
_OVER = control("G wraps around", "lane:CorrelatingLane._correlate", "Overflow.SATURATE", "Overflow.WRAP", 40)
_STATE = control(
    "m is written without an update", _MEMORIES, "timing.state[variable.name], updates)", "timing.state[variable.name], 1)", 20
)
_LATE = control(
    "m takes the G of the slot before",
    "lane:MomentumStage.build",
    "old, lane.gradient)",
    'old, delayed(m, lane.gradient, 1, "late"))',
    30,
)
_DECAY = control("m decays twice as fast", "lane:MomentumStage.decayed_sum", "up - k)", "up - k + 1)", 40)

PROPERTIES = (
    *(
        Property(
            f"updates of {kind}, {'-'.join(map(str, spec.network.sizes))} on {spec.hardware.lanes} lanes",
            "array.LaneArray, sequencer.Sequencer",
            partial(Passes, spec),
            Induction(depth),
            reach,
            faults,
        )
        for kind, spec, depth, reach, faults in (
            ("θ", weights((2, 1, 1), 1), 8, 50, (_GAP, _FAR, _ON, _SIGN)),
            ("θ", weights((2, 3), 2), 8, 50, (_FAR, _ON, _SIGN)),
            ("G", thin(DESIGNS["accumulating"], (2, 3), 2), 12, 60, (_FAR, _ON, _CLEARED, _CLEARS, _ONCE)),
            (
                "m",
                thin(DESIGNS["accumulating"], (2, 1, 1), 1, Momentum(2, rounding=Rounding.FLOOR)),
                15,
                50,
                (_CLEARED, _STATE, _LATE, _DECAY),
            ),
            ("m and v", thin(DESIGNS["adam_weights"], (2, 1, 1), 1), 24, 60, (_GAP, _STATE)),
        )
    ),
    Property(
        "the host at the lanes' memories",
        "array.LaneArray",
        partial(Host, thin(DESIGNS["accumulating"], (2, 3), 2, Momentum(2))),
        Induction(4),
        12,
        (
            control(
                "written in the other lane",
                _MEMORIES,
                "self.host_write & chosen & (self.host_lane == number)",
                "self.host_write & chosen & (self.host_lane != number)",
                12,
            ),
            control(
                "written in every memory",
                _MEMORIES,
                "self.host_write & chosen & (self.host_lane == number)",
                "self.host_write & (self.host_lane == number)",
                12,
            ),
            control(
                "read at the slot's address",
                _MEMORIES,
                "Mux(self.host_mode, self.host_address, address)",
                "Mux(self.host_mode & self.host_write, self.host_address, address)",
                12,
            ),
            control("an update in the host's word", "lane:BaseLane._hold", "with m.If(self.host_mode):", "with m.If(0):", 12),
        ),
    ),
)
