# amaranth: UnusedElaboratable=no
"""The array of lanes of node perturbation with their shared control: addresses, strobes, operands and errors, and the counts."""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.registers import Memory, address_range, memory_number_bits
from rtl_gen.fanout import MAX_DIRECT_LANES, connect_lanes
from rtl_gen.lane import exponent_places
from rtl_gen.perturbation import DRAW_LATENCY
from rtl_gen.presentation.arithmetic import alignment, operand_shape
from rtl_gen.presentation.host_access import GROUP_LATENCY, HostStage, gathered
from rtl_gen.presentation.lane import NodeLane
from rtl_gen.presentation.layouts import has_full_layers, is_unperturbed, slot_layout
from rtl_gen.probe import event_layouts, shape_of
from rtl_gen.registers import count_lanes, count_latency
from rtl_gen.slot import active_lanes, by_layer, delayed, ends_pass, pipeline

__all__ = ["NodeArray"]

_PLACES = (MAX_DIRECT_LANES - 1).bit_length()


class NodeArray(wiring.Component):
    """The L lanes of a core, which work in lockstep, with the control that they share.

    Members
    -------
    slot, ahead : In(slot_layout(spec))
        A slot, and the slot that comes a cycle later.
    applying, update : In(1)
        An applying pass is in progress, and an update is due in it.
    replay, column : In(1), In(unsigned)
        In incremental probes, a strobe before each probe's pass, with the hidden neuron that it perturbs, or any other one. Those that
        compute layers in full have no strobe: the neuron counts within its layer, and is stable while its pass begins.
    layer : In(unsigned)
        In these probes the layer in which the pass begins, stable as ``column``.
    x : In(operand_shape(spec))
        Raw operand, ``Operands.latency`` cycles after ``slot``.
    error, error_en : In
        Raw error, and a strobe for each lane that stores it.
    noise_slot, noise : Out(slot_layout(spec)), In
        The slot, and its rounding noise two cycles later (if a cast is stochastic).
    accumulator_slot : Out(slot_layout(spec))
        The slot whose product the accumulators include one cycle later.
    accumulators : Out(unsigned)
        Accumulators of all lanes, lane 0's in the lowest bits.
    exponent : In(signed(8))
        Exponent that the host has set, of an optimiser whose rate scales the update.
    word_stb, word_event : Out
        Strobe and payload of the event that a word was applied.
    word_last : Out(1)
        The word is the last one of its pass.
    learned_stb : Out(1)
        Strobe: the last word of the pass has been written, and its counts were output in the cycle before.
    writes, changed, saturated_* : Out(range(L + 1))
        Increments of the counters with these names in this cycle; only lanes with a neuron count.
    host_* :
        The host's access to the lanes' memories, as in :class:`rtl_gen.array.LaneArray`. ``host_lane`` and ``host_memory`` must be stable
        from the cycle before ``host_write`` on.
    host_error_sum : In(32)
        Word of E that the host reads, which ``host_read_data`` shows one cycle later; 0 if it reads a lane's memory.
    """

    lane_class: ClassVar[type[NodeLane]] = NodeLane

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.lanes = [self.lane_class(spec) for _ in range(spec.hardware.lanes)]
        self.timing = self.lanes[0].timing
        slot, count = slot_layout(spec), spec.hardware.lanes
        ports = {
            "slot": In(slot),
            "ahead": In(slot),
            "applying": In(1),
            "update": In(1),
            **self._operands,
            "error": In(shape_of(spec.error_format)),
            "error_en": In(count),
            "accumulator_slot": Out(slot),
            "accumulators": Out(unsigned(count * spec.accumulator_width)),
            "word_stb": Out(1),
            "word_last": Out(1),
            "word_event": Out(event_layouts(spec)["word"]),
            "learned_stb": Out(1),
            **{name: Out(range(count + 1)) for name in self.counts},
            "host_lane": In(range(max(2, count))),
            "host_memory": In(memory_number_bits(spec)),
            "host_address": In(address_range(spec)),
            "host_mode": In(1),
            "host_data": In(32),
            "host_write": In(1),
            "host_error_sum": In(32),
            "host_read_data": Out(32),
        }
        if spec.incremental:
            ports |= {"layer": In(slot["layer"].shape)} if has_full_layers(spec) else {"replay": In(1)}
            ports |= {"column": In(range(max(2, spec.network.n_hidden)))}
        if spec.stochastic_bits:
            ports |= {"noise_slot": Out(slot), "noise": In(spec.stochastic_bits)}
        if spec.optimizer.scales_update:
            ports |= {"exponent": In(signed(8))}
        super().__init__(ports)

    @property
    def _operands(self):
        """Ports of the operands."""
        return {"x": In(operand_shape(self.spec))}

    @property
    def counts(self) -> tuple[str, ...]:
        """Names of the counters that the lanes increment."""
        kinds = ["update", "weight", *([] if self.spec.direct_update else ["gradient"])]
        kinds += [variable.name for variable in self.spec.optimizer_state]
        return ("writes", "changed", *(f"saturated_{kind}" for kind in kinds))

    @property
    def latency(self) -> int:
        """Cycles from ``slot`` to ``accumulator_slot``."""
        return self.timing.accumulator - 1

    @property
    def learned_latency(self) -> int:
        """Cycles from the slot of the last word to ``learned_stb``."""
        return self.timing.parameter + self.count_latency

    @property
    def host_latency(self) -> int:
        """Cycles from ``host_address`` to ``host_read_data``."""
        groups = GROUP_LATENCY if self.timing.far else int(len(self.lanes) > MAX_DIRECT_LANES)
        return 1 + self.timing.fanout + self.timing.read + self.lanes[0].fused + groups + 1

    @property
    def count_latency(self) -> int:
        """Cycles from a word's parameter until its events are counted."""
        return self.lanes[0].change_latency + count_latency(self.spec.hardware.lanes) + 1

    def elaborate(self, platform):
        m = Module()
        timing = self.timing
        slots = pipeline(m, self.slot, max(self.learned_latency, self.latency))
        m.d.comb += self.accumulator_slot.eq(slots[self.latency])
        for number, lane in enumerate(self.lanes):
            m.submodules[f"lane{number}"] = lane
        m.d.comb += self.accumulators.eq(Cat(lane.accumulator for lane in self.lanes))
        # Slots are indexed by the cycle in which shared signals arrive at the lanes; the first entry is the slot ahead.
        ahead = [self.ahead, *slots]
        future = [Const(0, len(slots[0].as_value()))] * timing.fanout
        before = [*future, *ahead]
        arriving = before[1:]
        (shared, per_lane), (more_shared, more_per_lane) = self._memories(m, arriving, before), self._data(m, arriving)
        connect_lanes(m, self.lanes, shared | more_shared, per_lane | more_per_lane, timing.fanout)
        self._count(m, slots)
        self._show(m, slots)
        return m

    def _address(self, m, slot, ahead, name, loads=None, probing=None):
        """Address of a slot's word: it advances with the slots, and begins at the layer of the pass that comes; or that of the host.

        Where passes may begin behind the first layer, ``loads`` tells when one does or the host has the memories, and ``probing`` whether
        the slot is one of a probe.

        In incremental probes, it is that of the perturbed neuron's synapses, in one group after the other.
        """
        placed, steps = self.spec.layout.layers, None
        address = Signal(range(max(2, self.spec.layout.words)), name=name, reset_less=True)
        start, step = self.host_address, 1
        if loads is None:
            loads = self.host_mode
        elif len(placed) > 1:
            second = placed[1].first_word
            if self.spec.in_parts:
                second = by_layer([each.first_word for each in placed], ahead.layer)
            if has_full_layers(self.spec):
                second, steps = self._probed_or_first(m, ahead)
            elif self.spec.incremental:
                second, step = self._probed(m, second), placed[1].layer.fan_in + 1
            start = Mux(self.host_mode, self.host_address, second)
        # Where the addend's bit is 0, it is the strobe of the load, whose sum is not used, so that the adder's look-up tables load as well.
        bits = {(0, 0): loads, (1, 1): Const(1, 1)}
        if step != 1:
            bits |= {(1, 0): ~probing, (0, 1): probing}
        addend = Cat(bits[1 >> bit & 1, step >> bit & 1] for bit in range(len(address))) if steps is None else steps
        with m.If(slot.real | loads):
            m.d.sync += address.eq(Mux(loads, start, address + addend))
        with m.If(ahead.begin & ~loads):
            m.d.sync += address.eq(0)
        return address

    def _probed(self, m, second: int):
        """Address of the perturbed neuron's first synapse, in the layer whose first word is ``second``."""
        address = Signal(range(max(2, self.spec.layout.words)), name="probed", reset_less=True)
        late = self.timing.read_delay
        column = delayed(m, self.column, late, "column_read")
        with m.If(delayed(m, self.replay, late, "replay_read", reset_less=False)):
            m.d.sync += address.eq(second + 1 + column)
        return address

    def _probed_or_first(self, m, ahead):
        """Address with which a layer begins in a probe that computes layers in full, and the step from one slot to the next, a cycle later:
        that of the perturbed neuron's first synapse and the words of a group, or that of the layer's first word and 1."""
        placed, probed = self.spec.layout.layers, Signal(range(max(2, self.spec.layout.words)), name="probed")
        layer, column = (delayed(m, each, self.timing.read_delay, "place_read") for each in (self.layer, self.column))
        m.d.sync += probed.eq(by_layer([each.first_word + 1 for each in placed], layer) + column)
        steps = Mux(ahead.single, by_layer([each.group_words for each in placed], ahead.layer), 1)
        return Mux(ahead.single, probed, by_layer([each.first_word for each in placed], ahead.layer)), delayed(m, steps, 1, "step")

    def _parameter_read(self, m, before):
        """Slot whose parameter is read, and the slot ahead of it; the one ahead of both; and the bank of the first one, a cycle early.

        An applying pass reads later than it begins for a forward one, so that the address may begin at the time of the latter.
        """
        read, forward = before[self.timing.parameter_read], before[self.timing.forward_read]
        now = Signal(slot_layout(self.spec), name="parameter_slot")
        m.d.sync += now.eq(Mux(self.applying, read, forward))
        return (now, forward), before[self.timing.forward_read - 1], Mux(self.applying, read.bank, forward.bank)

    def _memories(self, m, slots, before):
        """Connect the host's access to the lanes' memories; return their addresses and enables, as signals shared and per lane."""
        spec, timing = self.spec, self.timing
        rows = [("parameter", Memory.PARAMETER, timing.parameter_read, timing.parameter)]
        if spec.gradient_memory:
            rows.append(("gradient", Memory.GRADIENT, timing.gradient_read, timing.gradient))
        for variable in spec.optimizer_state:
            rows.append((variable.name, variable.memory, timing.state_read, timing.state[variable.name]))
        word = Signal(32, name="host_word", reset_less=timing.fanout > 0)
        m.d.sync += word.eq(Mux(self.host_mode, self.host_data, 0))
        shared, per_lane = {"host_word": word, "host_mode": self.host_mode}, {}
        if spec.gradient_memory:
            shared["gradient_clear"] = self._updates(slots[timing.gradient]) & ~self.host_mode
        starts = [] if timing.far else range(0, len(self.lanes), MAX_DIRECT_LANES)
        found = [Signal(32, name=f"found{first}") for first in starts]
        for name, memory, read, write in rows:
            stages = {"read": (slots[read], before[read]), "write": (slots[write], before[write])}
            if name == "parameter":
                stages["read"], coming, bank = self._parameter_read(m, before)
                loads = delayed(m, self.host_mode | (coming.begin & (coming.layer != 0)), 1, "parameter_loads", reset_less=False)
                probing = delayed(m, ~is_unperturbed(bank), 1, "probing")
                of_probes = (loads, probing)
            for way, (slot, ahead) in stages.items():
                address = self._address(m, slot, ahead, f"{name}_{way}", *(of_probes if (name, way) == ("parameter", "read") else ()))
                shared[f"{name}_{way}"] = address
            if not timing.far:
                self._access(m, name, memory, self._writes(memory, slots[write - 1]), found, per_lane)
        if timing.far:
            self._access_by_groups(m, rows, slots)
            return shared, per_lane
        chosen = found[0]
        if len(found) > 1:
            chosen = Array([delayed(m, each, 1, "host_found") for each in found])[self.host_lane[_PLACES:]]
        m.d.sync += self.host_read_data.eq(chosen | self.host_error_sum)
        return shared, per_lane

    def _writes(self, memory, slot):
        """Whether the lanes write a memory in an applying pass's slot."""
        return slot.real & slot.apply & (1 if memory is Memory.GRADIENT else self._updates(slot))

    def _access(self, m, name, memory, enable, found, per_lane):
        """Connect a memory to the host: the word of each group of lanes that it reads, ``found``, and the write enables, ``per_lane``."""
        chosen = self.host_memory == memory
        accessed = [chosen & (self.host_lane == number) for number in range(len(self.lanes))]
        if self.lanes[0].fused:
            per_lane["silent"] = silent = delayed(m, Cat(self.host_mode & ~each for each in accessed), 1, "silent")
            accessed = [self.host_mode & ~each for each in silent]
        per_lane[f"{name}_en"] = Signal(len(self.lanes), name=f"{name}_enables")
        m.d.sync += per_lane[f"{name}_en"].eq(Cat(enable | (self.host_write & each) for each in accessed))
        for group, read_data in enumerate(found):
            if self.lanes[0].fused:
                some = self.lanes[group * MAX_DIRECT_LANES : (group + 1) * MAX_DIRECT_LANES]
                either = Signal(shape_of(self.spec.formats.weight), name=f"either{group}")
                m.d.comb += [
                    either.eq(Cat(Cat(lane.found[bit] for lane in some).any() for bit in range(len(either)))),
                    read_data.eq(either),
                ]
                continue
            with m.If(chosen), m.Switch(self.host_lane[:_PLACES]):
                for number, lane in enumerate(self.lanes[group * MAX_DIRECT_LANES : (group + 1) * MAX_DIRECT_LANES]):
                    with m.Case(number):
                        m.d.comb += read_data.eq(getattr(lane, f"host_{name}"))

    def _access_by_groups(self, m, rows, slots):
        """Connect the memories in ``rows`` to the host through a stage for each group of lanes, which decides for its lanes."""
        fused, stages = self.lanes[0].fused, []
        shapes = {name: self.lanes[0].signature.members["found" if fused else f"host_{name}"].shape for name, *_ in rows}
        enables = {}
        for name, memory, _, write in rows:  # registered here once, and twice in a stage
            enables[name] = delayed(m, self._writes(memory, slots[write - 3 + self.timing.fanout]), 1, f"{name}_enables")
        place = delayed(m, self.host_lane[:_PLACES], 1, "host_place")
        for first in range(0, len(self.lanes), MAX_DIRECT_LANES):
            group = self.lanes[first : first + MAX_DIRECT_LANES]
            m.submodules[f"fanout_host{len(stages)}"] = stage = HostStage(shapes, len(group), silences=fused)
            m.d.comb += [stage.place.eq(place), stage.mode.eq(self.host_mode), stage.write.eq(self.host_write)]
            here = self.host_mode & (self.host_lane[_PLACES:] == len(stages))
            for name, memory, *_ in rows:
                chosen = delayed(m, here & (self.host_memory == memory), 1, f"{name}_here{len(stages)}")
                words = Cat(lane.found if fused else getattr(lane, f"host_{name}") for lane in group)
                m.d.comb += [
                    getattr(stage, f"here_{name}").eq(chosen),
                    getattr(stage, f"enable_{name}").eq(enables[name]),
                    getattr(stage, f"word_{name}").eq(words),
                    *(getattr(lane, f"{name}_en").eq(getattr(stage, f"en_{name}")[number]) for number, lane in enumerate(group)),
                ]
            if fused:
                m.d.comb += [lane.silent.eq(stage.silent[number]) for number, lane in enumerate(group)]
            stages.append(stage)
        m.d.sync += self.host_read_data.eq(gathered(m, [stage.found for stage in stages]) | self.host_error_sum)

    def _updates(self, slot):
        """Whether an update is due in an applying pass's slot."""
        return self.update

    def _ends_pass(self, slot):
        """Whether a slot is the last one of its pass that is not padding."""
        return ends_pass(self.spec, slot)

    def _is_shown(self, slot):
        """Whether the word of a slot is shown."""
        return slot.real & slot.apply

    def _is_counted(self, slot):
        """Whether a slot's parameter counts; where the multiplier adds, one without an update does not change, and is in range."""
        return slot.real & slot.apply & (self._updates(slot) | self.lanes[0].fused)

    def _controls(self, slots, registered):
        """Operands, errors, and what the multipliers do with them, shared by the lanes."""
        timing = self.timing
        loading, sums = slots[timing.weight - 2 - timing.far], slots[timing.accumulator - 2 - timing.far]
        return {
            "x": self.x,
            "error": self.error,
            "applies": self.applying,
            "loads": registered(loading.first & loading.apply, "loads"),
            "accumulates": registered(~self.applying & ~sums.first & ~self.host_mode, "accumulates"),
            "corrects": registered(sums.real & sums.apply, "corrects"),
        }

    def _data(self, m, slots):
        """Return operand, errors, control and rounding noise of the lanes, as signals shared and per lane."""
        spec, timing = self.spec, self.timing

        def registered(value, name):
            return delayed(m, value, 1, name, reset_less=False)

        entry = slots[timing.parameter - 3]
        per_lane = {"error_en": self.error_en, "counted": self._existing(m, entry, self._is_counted(entry))}
        shared = self._controls(slots, registered)
        if not self.lanes[0].fused:
            at_update = slots[timing.update - 1]
            shared["update_en"] = at_update.real & at_update.apply & self._updates(at_update)
            shared |= exponent_places(m, spec, self)
        if not spec.stochastic_bits:
            return shared, per_lane
        # The noise is registered when the first stochastic cast rounds, and is delayed to the others.
        # Many lanes keep it in registers of their own, and it waits in one behind its memory as well.
        first = min(timing.noise.values())
        drawn = first - 1 - DRAW_LATENCY - (timing.far and self.lanes[0].fused)
        m.d.comb += self.noise_slot.eq(slots[drawn - timing.far])
        noise = delayed(m, self.noise, int(timing.far), "noise_drawn")
        if spec.direct_update:
            # A cast uses the low bits of the word, as many as it drops in its layer; the operands of a layer may be aligned. Noise below
            # the lowest bit of the products does not matter.
            places, layer = alignment(spec), slots[drawn].layer
            shifted = {each: Cat(noise[:each], noise)[: spec.stochastic_bits] for each in places}
            if spec.network.random:
                late, noise = delayed(m, layer, DRAW_LATENCY, "noise_layer"), shifted[places[-1]]
                for number, each in enumerate(places[:-1]):
                    noise = Mux(late == number, shifted[each], noise)
            else:
                noise = Mux(delayed(m, layer != 0, DRAW_LATENCY, "noise_hidden"), shifted[places[-1]], shifted[places[0]])
        return shared | {name: delayed(m, noise, 1 + cycle - first, name) for name, cycle in timing.noise.items()}, per_lane

    def _existing(self, m, slot, when=1):
        """Mask of the lanes with a neuron, one cycle after the slot; 0 unless ``when``."""
        mask = Signal(self.spec.hardware.lanes, reset_less=self.timing.fanout > 0)
        m.d.sync += mask.eq(Mux(when, Cat(active_lanes(self.spec, slot) > lane for lane in range(self.spec.hardware.lanes)), 0))
        return mask

    def _count(self, m, slots):
        """Count saturations, writes and changes over the lanes with a neuron, in the cycle of the parameter."""
        spec, timing = self.spec, self.timing
        stage = timing.parameter
        slot = slots[stage - 1]
        applied, updated = Signal(), Signal()
        count = Signal(range(spec.hardware.lanes + 1))
        m.d.sync += [
            applied.eq(slot.real & slot.apply),
            updated.eq(slot.real & slot.apply & self._updates(slot)),
            count.eq(active_lanes(spec, slot)),
        ]
        mask = self._existing(m, slot)

        def flags(name, valid_at):
            """Lanes with a neuron whose flag is set."""
            which = delayed(m, Cat(getattr(lane, name) for lane in self.lanes), stage - valid_at, f"{name}s")
            return which & mask

        rows = {
            "changed": (Cat(lane.changed for lane in self.lanes), 1),
            "writes": (None, updated),
            "saturated_weight": (Cat(lane.weight_outside for lane in self.lanes), 1),
        }
        if not self.lanes[0].fused:
            rows["saturated_update"] = (flags("update_outside", timing.update), updated)
        if not spec.direct_update:
            rows["saturated_gradient"] = (flags("gradient_outside", timing.gradient), applied)
        for name, valid_at in timing.state.items():
            rows[f"saturated_{name}"] = (flags(f"{name}_outside", valid_at), updated)
        for name, (which, when) in rows.items():
            m.d.comb += getattr(self, name).eq(count_lanes(m, which, when, name, lanes=spec.hardware.lanes, every=count))

    def _show(self, m, slots):
        """Connect the events of an applying pass."""
        spec, timing = self.spec, self.timing
        stage = timing.parameter
        slot, event = slots[stage], self.word_event
        m.d.comb += [self.word_stb.eq(self._is_shown(slot)), self.word_last.eq(self._ends_pass(slot))]
        if self.lanes[0].fused:  # the parameter of a lane without a neuron is 0
            m.d.comb += [event.parameter[number].eq(lane.parameter) for number, lane in enumerate(self.lanes)]
        mask = self._existing(m, slots[stage - 1])
        for number, lane in enumerate(self.lanes if not self.lanes[0].fused else ()):
            kept = delayed(m, lane.host_parameter, stage - timing.update, f"old_parameter{number}")
            shown = {"parameter": Mux(self._updates(slot), lane.parameter, kept)}
            if not spec.direct_update:
                shown["gradient"] = delayed(m, lane.gradient, stage - timing.gradient, f"gradient{number}")
            for name, valid_at in timing.state.items():
                kept = delayed(m, getattr(lane, f"host_{name}"), stage - timing.gradient, f"old_{name}{number}")
                updated = delayed(m, getattr(lane, name), stage - valid_at, f"{name}{number}")
                shown[name] = Mux(self._updates(slot), updated, kept)
            with m.If(mask[number]):
                m.d.comb += [event[name][number].eq(value) for name, value in shown.items()]
        counted = slots[self.learned_latency - 1]
        m.d.sync += self.learned_stb.eq(self._ends_pass(counted) & counted.apply)
