# amaranth: UnusedElaboratable=no
"""The array of lanes with their shared control: addresses, strobes, signs and operands in the right cycles, and the counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amaranth.hdl import Array, Cat, Module, Mux, Shape, Signal, ValueLike, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Member, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.registers import Memory, memory_number_bits
from rtl_gen.broadcast import operand_shape
from rtl_gen.fanout import MAX_DIRECT_LANES, connect_lanes
from rtl_gen.lane import CorrelatingLane, Lane, exponent_places
from rtl_gen.operands import Operands
from rtl_gen.perturbation import DRAW_LATENCY, sign_layout
from rtl_gen.probe import event_layouts, shape_of
from rtl_gen.registers import count_lanes, count_latency
from rtl_gen.slot import active_lanes, ahead_layout, delayed, ends_pass, pipeline, slot_layout

__all__ = ["CorrelatingArray", "LaneArray", "MeasuringArray"]

_PLACES = (MAX_DIRECT_LANES - 1).bit_length()
"""Number of low bits of a lane's number that give its position within a group of :data:`MAX_DIRECT_LANES`."""


class CorrelatingArray(wiring.Component):
    """What the arrays that perturb parameters share: the memories of their lanes, with the host's access to them, and what correlation
    counts and shows.

    Parameters
    ----------
    spec : LearningSpec
        The design whose lanes are built.
    lanes : sequence of CorrelatingLane
        The lanes in order, lane 0 first.
    ports : mapping of str to Member
        Members that the array has beside those below.

    Members
    -------
    slot : In(slot_layout(spec))
        The slot whose broadcast and replayed signs are valid one cycle later.
    broadcast : In
        Raw g, or raw u for direct updates.
    broadcast_outside, update_outside : In(1)
        Whether the casts to g and to u were out of range; valid with ``broadcast``, the latter for direct updates only.
    replay : In(sign_layout(spec))
        Signs of the step being correlated, one cycle after ``slot``.
    live_slot : Out(slot_layout(spec))
        The slot, two cycles before the signs of the current step are used.
    live : In(sign_layout(spec))
        Signs of the current step, two cycles after ``live_slot``.
    noise_slot, noise : Out(slot_layout(spec)), In
        The slot, and its rounding noise two cycles later (for all updates but direct ones, if a cast is stochastic).
    update : In(1)
        An update is due in the correlating pass.
    exponent : In(signed(8))
        Exponent that the host has set, of an optimiser whose rate scales the update.
    word_stb, word_event : Out
        Strobe and payload of the event that a word was correlated, see :func:`rtl_gen.probe.event_layouts`.
    learned_stb : Out(1)
        Strobe: the last word of the pass has been written, and its counts were output in the cycle before.
    writes, changed, saturated_* : Out(range(L + 1))
        Increments of the counters with these names in this cycle; only lanes with a neuron or a quantity count.
    host_mode : In(1)
        The host has access to the lanes' memories; only while the core is idle.
    host_lane, host_memory, host_address : In
        Position that the host accesses, stable from two cycles before ``host_write`` to the cycle after it.
    host_data, host_write : In(32), In(1)
        Raw value and strobe of the host's write; ``host_data`` must be as stable as the position.
    host_read_data : Out(32)
        Word at the position, ``host_latency`` cycles after a change of it.
    """

    def __init__(self, spec: LearningSpec, lanes: Sequence[CorrelatingLane], ports: Mapping[str, Member]):
        self.spec = spec
        self.lanes = lanes
        self.timing = lanes[0].timing
        slot, count = slot_layout(spec), spec.hardware.lanes
        shared = {
            "slot": In(slot),
            "broadcast": In(self.broadcast_shape(spec)),
            "broadcast_outside": In(1),
            "replay": In(sign_layout(spec)),
            "live_slot": Out(slot),
            "live": In(sign_layout(spec)),
            "update": In(1),
            "word_stb": Out(1),
            "word_event": Out(event_layouts(spec)["word"]),
            "learned_stb": Out(1),
            **{name: Out(range(count + 1)) for name in self.counts},
            "host_lane": In(range(max(2, count))),
            "host_memory": In(memory_number_bits(spec)),
            "host_address": In(range(max(2, spec.layout.words))),
            "host_mode": In(1),
            "host_data": In(32),
            "host_write": In(1),
            "host_read_data": Out(32),
        }
        if spec.direct_update:
            shared |= {"update_outside": In(self.roundings(spec))}
        elif spec.stochastic_bits:
            shared |= {"noise_slot": Out(slot), "noise": In(self.roundings(spec) * spec.stochastic_bits)}
        if spec.optimizer.scales_update:
            shared |= {"exponent": In(signed(8))}
        super().__init__({**shared, **ports})

    def roundings(self, spec: LearningSpec) -> int:
        """Number of roundings of a slot that differ, and so of its random words; here all lanes share one."""
        return 1

    def broadcast_shape(self, spec: LearningSpec):
        """Shape of the port ``broadcast``."""
        return shape_of(spec.broadcast_format)

    @property
    def counts(self) -> tuple[str, ...]:
        """Names of the counters that the lanes increment."""
        kinds = ["broadcast", "update", "weight", *([] if self.spec.direct_update else ["gradient"])]
        kinds += [variable.name for variable in self.spec.optimizer_state]
        return ("writes", "changed", *(f"saturated_{kind}" for kind in kinds))

    @property
    def host_latency(self) -> int:
        """Cycles from ``host_address`` to ``host_read_data``."""
        return self.timing.fanout + self.timing.read + 1 + (len(self.lanes) > MAX_DIRECT_LANES)

    @property
    def count_latency(self) -> int:
        """Cycles from a word's parameter until its events are counted."""
        return count_latency(self.spec.hardware.lanes) + 1

    def _address(self, m, slot, name):
        """Address of a slot's word, from a counter that advances with the slots."""
        address = Signal(range(max(2, self.spec.layout.words)), name=name)
        first = self.following_word(slot)
        with m.If(slot.real):
            m.d.sync += address.eq(Mux(ends_pass(self.spec, slot), first, address + 1))
        return address

    def memories(self, m, slots):
        """Connect the host's access to the lanes' memories; return their addresses and enables, as signals shared and per lane."""
        spec, timing = self.spec, self.timing
        updates = self.update
        rows = [("parameter", Memory.PARAMETER, timing.parameter_read, timing.parameter, updates)]
        if spec.gradient_memory:
            rows.append(("gradient", Memory.GRADIENT, timing.gradient_read, timing.gradient, 1))
        for variable in spec.optimizer_state:
            rows.append((variable.name, variable.memory, timing.state_read, timing.state[variable.name], updates))
        word = Signal(32, name="host_word", reset_less=timing.fanout > 0)
        m.d.sync += word.eq(Mux(self.host_mode, self.host_data, 0))
        shared, per_lane = {"host_word": word, "host_mode": self.host_mode}, {}
        if spec.gradient_memory:
            shared["gradient_clear"] = updates & ~self.host_mode
        found = [Signal(32, name=f"found{first}") for first in range(0, len(self.lanes), MAX_DIRECT_LANES)]
        for name, memory, read, write, when in rows:
            for way, stage in (("read", read), ("write", write)):
                address = self._address(m, slots[stage], f"{name}_{way}")
                shared[f"{name}_{way}"] = Mux(self.host_mode, self.host_address, address)
            enable = slots[write - 1].real & slots[write - 1].correlate & when
            chosen = self.host_memory == memory
            written = Cat(self.host_write & chosen & (self.host_lane == number) for number in range(len(self.lanes)))
            per_lane[f"{name}_en"] = Signal(len(self.lanes), name=f"{name}_enables")
            m.d.sync += per_lane[f"{name}_en"].eq(enable.replicate(len(self.lanes)) | written)
            for group, read_data in enumerate(found):
                with m.If(chosen), m.Switch(self.host_lane[:_PLACES]):
                    for number, lane in enumerate(self.lanes[group * MAX_DIRECT_LANES : (group + 1) * MAX_DIRECT_LANES]):
                        with m.Case(number):
                            m.d.comb += read_data.eq(getattr(lane, f"host_{name}"))
        found = [delayed(m, read_data, 1, "host_read_data") for read_data in found]
        chosen = found[0] if len(found) == 1 else delayed(m, Array(found)[self.host_lane[_PLACES:]], 1, "host_read_data_chosen")
        m.d.comb += self.host_read_data.eq(chosen)
        return shared, per_lane

    def following_word(self, slot) -> ValueLike:
        """Address of the word after the last one of a slot's pass."""
        return 0

    def signs(self, m, slots):
        """Return the signs of the lanes, and which lanes count, as signals per lane."""
        spec, timing = self.spec, self.timing
        perturbed = slots[timing.parameter]
        minus_pass = perturbed.second & spec.two_sided
        slot = slots[timing.update - 1]
        counted = self._existing(m, slot, slot.real & slot.correlate & self.update)
        return {
            "negative": self.replay.negative,
            "active": self.replay.active,
            "counted": counted,
            "live_negative": self.live.negative ^ minus_pass.replicate(len(self.lanes)),
            "live_active": self.live.active & perturbed.perturb.replicate(len(self.lanes)),
        }

    def broadcasts(self, m, slots):
        """Return the broadcast and the rounding noise of the lanes, as shared signals."""
        spec, timing = self.spec, self.timing
        if spec.direct_update:
            return {"u": self.broadcast}
        entry = slots[timing.update - 1]
        shared = {"g": self.broadcast, "update_en": entry.real & entry.correlate & self.update, **exponent_places(m, spec, self)}
        if not spec.stochastic_bits:
            return shared
        # The noise is valid when the first stochastic cast rounds, and is delayed to the others.
        first = min(timing.noise.values())
        m.d.comb += self.noise_slot.eq(slots[first - DRAW_LATENCY])
        return shared | {name: delayed(m, self.noise, cycle - first, name) for name, cycle in timing.noise.items()}

    def count(self, m, slots):
        """Count saturations, writes and changes over the lanes with a neuron, in the cycle of the parameter."""
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
            """Lanes with a neuron whose flag is set."""
            which = delayed(m, Cat(getattr(lane, name) for lane in self.lanes), stage - valid_at, f"{name}s")
            return which & mask

        def all_if(value, valid_at, name):
            """A flag of all lanes, delayed to the cycle of the parameter."""
            return delayed(m, value, stage - valid_at, name)

        rows = {
            "changed": (Cat(lane.changed for lane in self.lanes), 1),
            "writes": (None, updated),
            "saturated_weight": (Cat(lane.weight_outside for lane in self.lanes), 1),
            "saturated_broadcast": (None, correlated & all_if(self.broadcast_outside, 1, "broadcast_outside")),
        }
        if spec.direct_update:
            rows["saturated_update"] = self.update_flags(m, updated, all_if(self.update_outside, 1, "update_outside"), mask)
        else:
            rows["saturated_update"] = (flags("update_outside", timing.update), updated)
            rows["saturated_gradient"] = (flags("gradient_outside", timing.gradient), correlated)
        for name, valid_at in timing.state.items():
            rows[f"saturated_{name}"] = (flags(f"{name}_outside", valid_at), updated)
        for name, (which, when) in rows.items():
            m.d.comb += getattr(self, name).eq(count_lanes(m, which, when, name, lanes=spec.hardware.lanes, every=count))

    def update_flags(self, m, updated, outside, mask):
        """The lanes whose direct update was out of range, as a row of :meth:`count`: all that exist, or none."""
        return None, updated & outside

    def show_broadcast(self, m, event, broadcast, mask):
        """Connect the broadcast of a word's event."""
        m.d.comb += event.broadcast.eq(broadcast)

    def shown_of(self, lane) -> dict:
        """What else the event of a word shows of a lane, by field, at cycle ``parameter``; here nothing."""
        return {}

    def _existing(self, m, slot, when=1):
        """Mask of the lanes with a neuron, one cycle after the slot; 0 unless ``when``."""
        # Without a reset, since its wire to the registers of many lanes would be long.
        mask = Signal(self.spec.hardware.lanes, reset_less=self.timing.fanout > 0)
        m.d.sync += mask.eq(Mux(when, Cat(active_lanes(self.spec, slot) > lane for lane in range(self.spec.hardware.lanes)), 0))
        return mask

    def show(self, m, slots):
        """Connect the events of a correlating pass."""
        spec, timing = self.spec, self.timing
        stage = timing.parameter
        slot = slots[stage]
        m.d.comb += self.word_stb.eq(slot.real & slot.correlate)
        event = self.word_event
        broadcast = delayed(m, self.broadcast, stage - 1, "broadcast")
        replay = delayed(m, self.replay, stage - 1, "replay")
        mask = self._existing(m, slots[stage - 1])
        self.show_broadcast(m, event, broadcast, mask)
        for number, lane in enumerate(self.lanes):
            shown = {
                "sign": Mux(replay.active[number], Mux(replay.negative[number], -1, 1), 0),
                "parameter": lane.parameter,
                **self.shown_of(lane),
            }
            if not spec.direct_update:
                shown["gradient"] = delayed(m, lane.gradient, stage - timing.gradient, f"gradient{number}")
            for name, valid_at in timing.state.items():
                kept = delayed(m, getattr(lane, f"host_{name}"), stage - timing.state_read - timing.read, f"old_{name}{number}")
                updated = delayed(m, getattr(lane, name), stage - valid_at, f"{name}{number}")
                shown[name] = Mux(self.update, updated, kept)
            with m.If(mask[number]):
                m.d.comb += [event[name][number].eq(value) for name, value in shown.items()]
        counted = slots[stage + self.count_latency - 1]
        m.d.sync += self.learned_stb.eq(ends_pass(spec, counted) & counted.correlate)


class MeasuringArray(CorrelatingArray):
    """The L lanes of a core with a network, which multiply operands and correlate, and the control that they share.

    Parameters
    ----------
    spec : DesignSpec
        The design whose lanes are built.
    lanes : list of CorrelatingLane
        The lanes, each with a sum ``accumulator``.
    ports : dict of Member
        Further ports of the kind of array, by name.
    x : Shape
        Shape of an operand: of a raw input, a raw activation, or the 1 of a bias.
    ahead : StructLayout
        What the operands need to know of the slot that comes next: ``ahead_layout(spec)``, or the whole ``slot_layout(spec)``.
    operand_cycles : int
        Cycles from the address of an operand to the operand.

    Members
    -------
    slot_ahead : In(slot_layout(spec))
        The slot that follows on ``slot`` one cycle later.
    operand_slot, operand_ahead : Out
        The slot in the cycle in which its operand's address must be valid, and ``ahead`` of the slot after it.
    x : In
        Raw operand, ``operand_cycles`` cycles after ``operand_slot``.
    accumulator_slot : Out(slot_layout(spec))
        The slot whose product the accumulators include one cycle later.
    accumulators : Out(unsigned)
        Accumulators of all lanes, lane 0's in the lowest bits.
    """

    spec: DesignSpec

    def __init__(self, spec: DesignSpec, lanes: list, ports: dict[str, Member], *, x: Shape, ahead: StructLayout, operand_cycles: int):
        slot = slot_layout(spec)
        own = {
            "slot_ahead": In(slot),
            "operand_slot": Out(slot),
            "operand_ahead": Out(ahead),
            "x": In(x),
            "accumulator_slot": Out(slot),
            "accumulators": Out(unsigned(len(lanes) * spec.accumulator_width)),
        }
        self._operand_cycles = operand_cycles
        super().__init__(spec, lanes, own | ports)

    @property
    def operand_latency(self) -> int:
        """Cycles from ``slot`` to ``operand_slot``."""
        return self.timing.weight - self.timing.fanout - self._operand_cycles

    @property
    def latency(self) -> int:
        """Cycles from ``slot`` to ``accumulator_slot``."""
        return self.timing.accumulator - 1

    def elaborate(self, platform):
        m = Module()
        timing = self.timing
        slots = pipeline(m, self.slot, max(timing.accumulator, timing.parameter + self.count_latency))
        ahead = [self.slot_ahead, *slots]
        m.d.comb += [
            self.live_slot.eq(slots[timing.parameter - timing.fanout - DRAW_LATENCY]),
            self.operand_slot.eq(slots[self.operand_latency]),
            *(self.operand_ahead[name].eq(ahead[self.operand_latency][name]) for name in self.operand_ahead.shape().members),
            self.accumulator_slot.eq(slots[self.latency]),
        ]
        for number, lane in enumerate(self.lanes):
            m.submodules[f"lane{number}"] = lane
        self.results(m)
        # Slots are indexed by the cycle in which shared signals arrive at the lanes.
        arriving = ahead if timing.fanout else slots
        shared, per_lane = self.memories(m, arriving)
        per_lane |= self.signs(m, arriving)
        operands, sums = self.data(m, arriving)
        connect_lanes(m, self.lanes, shared | operands | self.broadcasts(m, arriving), per_lane | sums)
        self.count(m, slots)
        self.show(m, slots)
        return m

    def results(self, m) -> None:
        """Connect what the lanes have summed."""
        m.d.comb += self.accumulators.eq(Cat(lane.accumulator for lane in self.lanes))

    def data(self, m, slots) -> tuple[dict, dict]:
        """Return what the lanes multiply and sum, as signals shared and per lane; slots are indexed by their cycle at the lanes."""
        raise NotImplementedError


class LaneArray(MeasuringArray):
    """The array of lanes of a network without state.

    Parameters
    ----------
    spec : DesignSpec
        The design whose lanes are built.

    Members
    -------
    sign_sums : Out(unsigned)
        Σs·x of all lanes' groups so far, lane 0's in the lowest bits, valid with the accumulators.
    """

    def __init__(self, spec: DesignSpec):
        lanes = [Lane(spec) for _ in range(spec.hardware.lanes)]
        ports: dict[str, Member] = {"sign_sums": Out(unsigned(len(lanes) * spec.sign_sum_format.width))}
        super().__init__(spec, lanes, ports, x=operand_shape(spec), ahead=ahead_layout(spec), operand_cycles=Operands.latency(spec))

    def results(self, m):
        """See :class:`MeasuringArray`; the lanes sum the signs of perturbations as well."""
        super().results(m)
        m.d.comb += self.sign_sums.eq(Cat(lane.sign_sum for lane in self.lanes))

    def following_word(self, slot) -> ValueLike:
        """See :class:`CorrelatingArray`: where both passes visited the first layer, pass 1 begins with the second one."""
        layers = self.spec.layout.layers
        return Mux(slot.both, layers[1].first_word, 0) if len(layers) > 1 else 0

    def data(self, m, slots):
        """Return the operand of the lanes, and the signs of its sum; see :class:`MeasuringArray`."""
        timing, per_lane = self.timing, {}
        # The signs of the current step, whether or not the pass is perturbed, come to the sum with the operand that they belong to.
        late = timing.addend - timing.parameter
        for name in ("negative", "active"):
            per_lane[f"sum_{name}"] = delayed(m, getattr(self.live, name), late, f"sum_{name}")
        weighed = slots[timing.weight]
        shared = {"load": delayed(m, weighed.first, 1, "load"), "hidden": weighed.layer.any(), "x": self.x}
        form = self.spec.formats.input
        x = delayed(m, self.x, timing.addend - timing.weight, "sum_x")[: form.width]
        shared |= {"sum_x": x.as_signed() if form.signed else x, "sum_load": slots[timing.addend + 1].first}
        return shared, per_lane
