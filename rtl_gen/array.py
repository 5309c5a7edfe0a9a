# amaranth: UnusedElaboratable=no
"""The array of lanes with what they share: addresses, strobes, signs and words at the right cycle, and the counts."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.registers import Memory
from rtl_gen.broadcast import operand_shape
from rtl_gen.lane import Lane
from rtl_gen.operands import Operands
from rtl_gen.perturbation import DRAW_LATENCY, sign_layout
from rtl_gen.probe import event_layouts, shape_of
from rtl_gen.registers import count_latency, count_ones
from rtl_gen.slot import active_lanes, ahead_layout, delayed, ends_pass, pipeline, slot_layout
from rtl_gen.station import MANY, tell

__all__ = ["LaneArray"]

_PLACES = (MANY - 1).bit_length()
"""Places of a lane's number within so many."""


class LaneArray(wiring.Component):
    """L lanes in step.

    Parameters
    ----------
    spec : DesignSpec
        The design.

    Members
    -------
    slot_ahead : In(slot_layout(spec))
        The slot that comes a cycle later.
    slot : In(slot_layout(spec))
        The slot, a cycle before its broadcast and replayed signs are valid.
    broadcast : In
        g, or u, and whether its casts were out of range.
    replay, live : In(sign_layout(spec))
        Signs of the step being correlated, a cycle after ``slot``; of the step under way, two cycles after ``live_slot`` (weight
        perturbation; in node perturbation they stand beside the accumulators, where they are not the lanes' concern).
    word_slot, word : Out, In
        The random word, two cycles after its slot (where an update is not rounded before the sign).
    update : In(1)
        An update is due in the correlating pass.
    operand_slot, operand_ahead, x : Out, Out, In
        The slot when its input's address must stand, and what comes after it; the input as much later as :class:`Operands` takes.
    drain_slot, accumulators : Out
        The slot, a cycle before the accumulators hold its product.
    word_stb, word_event : Out
        A word was correlated: what :func:`rtl_gen.probe.event_layouts` says.
    learned_stb : Out(1)
        The pass's last word is written, and what it counts was shown in the cycle before.
    writes, changed, saturated_* : Out(range(L + 1))
        To be counted in this cycle, existing lanes only.
    host_* : access to the lanes' memories, in force while ``host_mode`` is high, when the core is idle: ``host_lane``, ``host_memory``,
        ``host_address``, ``host_data``, which must stand from two cycles before ``host_write`` to the cycle after it; ``host_read_data``
        ``host_latency`` cycles after the address.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.lanes = [Lane(spec) for _ in range(spec.hardware.lanes)]
        self.timing = self.lanes[0].timing
        slot, count = slot_layout(spec), spec.hardware.lanes
        ports = {
            "slot_ahead": In(slot),
            "slot": In(slot),
            "broadcast": In(shape_of(spec.broadcast_format)),
            "broadcast_outside": In(1),
            "replay": In(sign_layout(spec)),
            "live_slot": Out(slot),
            "update": In(1),
            "operand_slot": Out(slot),
            "operand_ahead": Out(ahead_layout(spec)),
            "x": In(operand_shape(spec)),
            "drain_slot": Out(slot),
            "accumulators": Out(unsigned(count * spec.accumulator_width)),
            "word_stb": Out(1),
            "word_event": Out(event_layouts(spec)["word"]),
            "learned_stb": Out(1),
            **{name: Out(range(count + 1)) for name in self.counts},
            "host_lane": In(range(max(2, count))),
            "host_memory": In(2),
            "host_address": In(range(max(2, spec.layout.words))),
            "host_mode": In(1),
            "host_data": In(32),
            "host_write": In(1),
            "host_read_data": Out(32),
        }
        if not spec.node:
            ports |= {"live": In(sign_layout(spec))}
        if spec.plain:
            ports |= {"update_outside": In(1)}
        elif spec.stochastic_bits:
            ports |= {"word_slot": Out(slot), "word": In(spec.stochastic_bits)}
        super().__init__(ports)

    @property
    def counts(self) -> tuple[str, ...]:
        """Names of what it counts."""
        kinds = ["broadcast", "update", "weight", *([] if self.spec.plain else ["gradient"])]
        kinds += [variable.name for variable in self.spec.optimizer_state]
        return ("writes", "changed", *(f"saturated_{kind}" for kind in kinds))

    @property
    def operand_latency(self) -> int:
        """Cycles from ``slot`` to ``operand_slot``."""
        return self.timing.weight - self.timing.reach - Operands.latency(self.spec)

    @property
    def latency(self) -> int:
        """Cycles from ``slot`` to ``drain_slot``."""
        return self.timing.accumulator - 1

    @property
    def host_latency(self) -> int:
        """Cycles from ``host_address`` to ``host_read_data``."""
        return self.timing.reach + self.timing.read + 1 + (len(self.lanes) > MANY)

    @property
    def count_latency(self) -> int:
        """Cycles from a word's parameter until it is counted."""
        return count_latency(self.spec.hardware.lanes) + 1

    def elaborate(self, platform):
        m = Module()
        timing = self.timing
        slots = pipeline(m, self.slot, max(timing.accumulator, timing.parameter + self.count_latency))
        ahead = [self.slot_ahead, *slots]
        m.d.comb += [
            self.live_slot.eq(slots[(self.latency + 1 if self.spec.node else timing.parameter - timing.reach) - DRAW_LATENCY]),
            self.operand_slot.eq(slots[self.operand_latency]),
            *(self.operand_ahead[name].eq(ahead[self.operand_latency][name]) for name in self.operand_ahead.shape().members),
            self.drain_slot.eq(slots[self.latency]),
        ]
        for number, lane in enumerate(self.lanes):
            m.submodules[f"lane{number}"] = lane
        m.d.comb += self.accumulators.eq(Cat(lane.accumulator for lane in self.lanes))
        # By the cycle in which lanes hear what they are told of it.
        told = ahead if timing.reach else slots
        (shared, own), (more_shared, more_own) = self._memories(m, told), self._data(m, told)
        tell(m, self.lanes, shared | more_shared, own | more_own)
        self._count(m, slots)
        self._show(m, slots)
        return m

    def _address(self, m, slot, name):
        """Word of a slot: a counter that stands beside it."""
        address = Signal(range(max(2, self.spec.layout.words)), name=name)
        with m.If(slot.real):
            m.d.sync += address.eq(Mux(ends_pass(self.spec, slot), 0, address + 1))
        return address

    def _memories(self, m, slots):
        """Addresses and enables of the lanes' memories, and the host's access to them: what all lanes share, and what is each one's own."""
        spec, timing = self.spec, self.timing
        updates = self.update
        rows = [("parameter", Memory.PARAMETER, timing.parameter_read, timing.parameter, updates)]
        if spec.gradient_memory:
            rows.append(("gradient", Memory.GRADIENT, timing.gradient_read, timing.gradient, 1))
        for variable in spec.optimizer_state:
            rows.append((variable.name, variable.memory, timing.state_read, timing.state[variable.name], updates))
        word = Signal(32, name="host_word", reset_less=timing.reach > 0)
        m.d.sync += word.eq(Mux(self.host_mode, self.host_data, 0))
        shared, own = {"host_word": word, "host_mode": self.host_mode}, {}
        if spec.gradient_memory:
            shared["gradient_clear"] = updates & ~self.host_mode
        found = [Signal(32, name=f"found{first}") for first in range(0, len(self.lanes), MANY)]
        for name, memory, read, write, when in rows:
            for way, stage in (("read", read), ("write", write)):
                address = self._address(m, slots[stage], f"{name}_{way}")
                shared[f"{name}_{way}"] = Mux(self.host_mode, self.host_address, address)
            enable = slots[write - 1].real & slots[write - 1].correlate & when
            chosen = self.host_memory == memory
            written = Cat(self.host_write & chosen & (self.host_lane == number) for number in range(len(self.lanes)))
            own[f"{name}_en"] = Signal(len(self.lanes), name=f"{name}_enables")
            m.d.sync += own[f"{name}_en"].eq(enable.replicate(len(self.lanes)) | written)
            for group, read_data in enumerate(found):
                with m.If(chosen), m.Switch(self.host_lane[:_PLACES]):
                    for number, lane in enumerate(self.lanes[group * MANY : (group + 1) * MANY]):
                        with m.Case(number):
                            m.d.comb += read_data.eq(getattr(lane, f"host_{name}"))
        found = [delayed(m, read_data, 1, "host_read_data") for read_data in found]
        chosen = found[0] if len(found) == 1 else delayed(m, Array(found)[self.host_lane[_PLACES:]], 1, "host_read_data_chosen")
        m.d.comb += self.host_read_data.eq(chosen)
        return shared, own

    def _data(self, m, slots):
        """Broadcast, signs, operand and random words to the lanes: what they share, and what is each one's own."""
        spec, timing = self.spec, self.timing
        perturbed = slots[timing.parameter]
        minus_pass = perturbed.second & spec.two_sided
        slot = slots[timing.update - 1]
        counted = self._existing(m, slot, slot.real & slot.correlate & self.update)
        own = {"negative": self.replay.negative, "active": self.replay.active, "counted": counted}
        if not spec.node:
            own["live_negative"] = self.live.negative ^ minus_pass.replicate(len(self.lanes))
            own["live_active"] = self.live.active & perturbed.perturb.replicate(len(self.lanes))
        weighed = slots[timing.weight]
        shared = {"load": delayed(m, weighed.first, 1, "load"), "hidden": weighed.layer.any(), "x": self.x}
        if spec.plain:
            return shared | {"u": self.broadcast}, own
        entry = slots[timing.update - 1]
        shared |= {"g": self.broadcast, "update_en": entry.real & entry.correlate & self.update}
        if not spec.stochastic_bits:
            return shared, own
        # The word is valid when the first of the stochastic casts rounds, and comes to the others later.
        first = min(timing.words.values())
        m.d.comb += self.word_slot.eq(slots[first - DRAW_LATENCY])
        return shared | {name: delayed(m, self.word, cycle - first, name) for name, cycle in timing.words.items()}, own

    def _count(self, m, slots):
        """Saturations, writes and changes, counted over existing lanes beside the parameter."""
        spec, timing = self.spec, self.timing
        stage = timing.parameter
        slot = slots[stage - 1]
        correlated, updated = Signal(), Signal()
        count = Signal(range(spec.hardware.lanes + 1))
        m.d.sync += [
            correlated.eq(slot.real & slot.correlate),
            updated.eq(slot.real & slot.correlate & self.update),
            count.eq(active_lanes(spec, slot)),
        ]
        mask = self._existing(m, slot)

        def flags(name, valid_at):
            """Existing lanes of which it is true."""
            which = delayed(m, Cat(getattr(lane, name) for lane in self.lanes), stage - valid_at, f"{name}s")
            return which & mask

        def all_if(value, valid_at, name):
            """All existing lanes, or none."""
            return delayed(m, value, stage - valid_at, name)

        rows = {
            "changed": (Cat(lane.changed for lane in self.lanes), 1),
            "writes": (None, updated),
            "saturated_weight": (Cat(lane.weight_outside for lane in self.lanes), 1),
            "saturated_broadcast": (None, correlated & all_if(self.broadcast_outside, 1, "broadcast_outside")),
        }
        if spec.plain:
            rows["saturated_update"] = (None, updated & all_if(self.update_outside, 1, "update_outside"))
        else:
            rows["saturated_update"] = (flags("update_outside", timing.update), updated)
            rows["saturated_gradient"] = (flags("gradient_outside", timing.gradient), correlated)
        for name, valid_at in timing.state.items():
            rows[f"saturated_{name}"] = (flags(f"{name}_outside", valid_at), updated)
        for name, (which, when) in rows.items():
            if which is None:
                number = delayed(m, Mux(when, count, 0), count_latency(spec.hardware.lanes), name)
            else:
                taken = Signal(spec.hardware.lanes, name=f"{name}_taken")
                m.d.comb += taken.eq(Mux(when, which, 0))
                number = count_ones(m, list(taken), name)
            m.d.comb += getattr(self, name).eq(number)

    def _existing(self, m, slot, when=1):
        """Lanes that have a neuron, one cycle after the slot; none where not ``when``."""
        # A reset's wire to all that hangs on many lanes is a long one.
        mask = Signal(self.spec.hardware.lanes, reset_less=self.timing.reach > 0)
        m.d.sync += mask.eq(Mux(when, Cat(active_lanes(self.spec, slot) > lane for lane in range(self.spec.hardware.lanes)), 0))
        return mask

    def _show(self, m, slots):
        """The events of a correlating pass."""
        spec, timing = self.spec, self.timing
        stage = timing.parameter
        slot = slots[stage]
        m.d.comb += self.word_stb.eq(slot.real & slot.correlate)
        event = self.word_event
        m.d.comb += event.broadcast.eq(delayed(m, self.broadcast, stage - 1, "broadcast"))
        replay = delayed(m, self.replay, stage - 1, "replay")
        mask = self._existing(m, slots[stage - 1])
        for number, lane in enumerate(self.lanes):
            shown = {
                "sign": Mux(replay.active[number], Mux(replay.negative[number], -1, 1), 0),
                "parameter": lane.parameter,
            }
            if not spec.plain:
                shown["gradient"] = delayed(m, lane.gradient, stage - timing.gradient, f"gradient{number}")
            for name, valid_at in timing.state.items():
                kept = delayed(m, getattr(lane, f"host_{name}"), stage - timing.state_read - timing.read, f"old_{name}{number}")
                updated = delayed(m, getattr(lane, name), stage - valid_at, f"{name}{number}")
                shown[name] = Mux(self.update, updated, kept)
            with m.If(mask[number]):
                m.d.comb += [event[name][number].eq(value) for name, value in shown.items()]
        counted = slots[stage + self.count_latency - 1]
        m.d.sync += self.learned_stb.eq(ends_pass(spec, counted) & counted.correlate)
