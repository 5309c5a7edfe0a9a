"""The stream of neurons: those that leave the lanes, and those of a layer that a probe takes from their kept pre-activations."""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.fixed import plus_or_minus
from rtl_gen.gather import MAX_SHIFTED_LANES, Gather, leaving_count
from rtl_gen.presentation.layouts import (
    has_full_layers,
    is_unperturbed,
    measures,
    neuron_layout,
    noisy_layers,
    part_shape,
    sign_layout,
    slot_layout,
)
from rtl_gen.presentation.signs import sign_latency
from rtl_gen.slot import NO_READ_WRITE_CHECK, active_lanes, by_layer, delayed, in_last_layer

__all__ = ["DeepStream", "IncrementalStream", "NeuronStream", "PartStream", "kept_neurons", "kept_words", "neuron_stream"]


def kept_neurons(spec: DesignSpec) -> int:
    """Return the number of neurons that have room for an unperturbed pre-activation.

    They are those of the first layer; where probes perturb parts of the network, those of the layers up to the one that begins the last
    part; and in incremental probes all.
    """
    if spec.in_parts:
        return sum(spec.network.sizes[1 : spec.round.parts[-1].first + 2])
    return spec.network.n_neurons if spec.incremental else spec.network.layers[0].n_out


def kept_words(spec: DesignSpec) -> int:
    """Return the number of words of the memory of kept pre-activations; with incremental probes, one more is always 0."""
    return kept_neurons(spec) + 1 if spec.incremental else max(2, kept_neurons(spec))


class NeuronStream(wiring.Component):
    """Outputs one neuron per cycle, with its perturbation added.

    It captures the accumulators of a finished group in one cycle and outputs them one by one, lane 0 first. It keeps the exact
    pre-activations of the first layer of the unperturbed pass. A probe replays them in the cycles in which no neuron leaves the lanes, so
    that the first layer costs it no multiplication.

    Members
    -------
    slot : In(slot_layout(spec))
        The slot whose product the accumulators include one cycle later.
    accumulators : In(unsigned)
        Accumulators of all lanes, lane 0's in the lowest bits.
    replay, replay_bank, replay_minus : In
        Strobe that begins the replay of a probe, and the bank and direction of its pass.
    replay_done : Out(1)
        Strobe: the last neuron has been read, so that the pass of the lanes may begin ``replay_lead`` cycles later.
    kept : Out(1)
        Strobe: the unperturbed pre-activations of the whole first layer are kept.
    sign_index, sign_bank, sign : Out, Out, In
        Number of a neuron and bank of its pass, and its sign :func:`~rtl_gen.presentation.signs.sign_latency` cycles later.
    neuron, z : Out
        Fields of the neuron that is output, the first one of a group ``latency`` cycles after ``slot``, and its pre-activation.
    drawn : Out(1)
        Strobe: the last stochastic neuron of a pass leaves, or has been replayed; in networks with stochastic layers.
    """

    latency = 4
    """Cycles from ``slot`` to the first neuron: one to qualify the slot, one to capture the accumulators, one to find the sign, one to add
    the perturbation."""

    replay_latency = 3
    """Cycles from the read of a kept pre-activation to its neuron: one for the memory, one for the sign, one for the perturbation."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        super().__init__(self._ports)

    @property
    def _ports(self):
        spec, neuron = self.spec, neuron_layout(self.spec)
        return {
            "slot": In(slot_layout(spec)),
            "accumulators": In(unsigned(spec.hardware.lanes * spec.accumulator_width)),
            "replay": In(1),
            "replay_bank": In(1),
            "replay_minus": In(1),
            "replay_done": Out(1),
            "kept": Out(1),
            "sign_index": Out(neuron["index"].shape),
            "sign_bank": Out(1),
            "sign": In(sign_layout()),
            "neuron": Out(neuron),
            "z": Out(signed(spec.accumulator_width)),
            **({"drawn": Out(1)} if spec.network.random else {}),
        }

    @property
    def _first_neurons(self) -> int:
        """Number of neurons in the first layer."""
        return self.spec.network.layers[0].n_out

    def elaborate(self, platform):
        m = Module()
        chosen = Signal(neuron_layout(self.spec), name="chosen")
        leaves, z_leaving, follows = self._leave(m, chosen)
        m.submodules.kept = store = memory.Memory(shape=self.z.shape(), depth=kept_words(self.spec), init=[], attrs=NO_READ_WRITE_CHECK)
        kept = store.write_port()
        # A neuron is replayed where none leaves, and its fields take the place of those of the last one that left.
        going, replayed, z_replayed = self._replay(m, follows, store.read_port(), chosen)
        with m.If(~follows):
            m.d.sync += [self._held[name].eq(value) for name, value in replayed.items() if name != "valid"]
        replays = delayed(m, going & replayed.get("valid", 1), 1, "replays", reset_less=False)
        m.d.comb += chosen.valid.eq(leaves | replays)
        found, z = Signal.like(chosen), Signal(self.z.shape(), reset_less=True)
        m.d.comb += [self.sign_index.eq(chosen.index), self.sign_bank.eq(chosen.bank[0])]
        if sign_latency(self.spec) > 1:  # what ``chosen`` is in the next cycle
            m.d.comb += [
                self.sign_index.eq(Mux(follows, self._coming_index, replayed["index"])),
                self.sign_bank.eq(Mux(follows, self._coming_bank[0], replayed["bank"][0])),
            ]
        m.d.sync += found.eq(chosen)
        self._find(m, z, leaves, z_leaving, z_replayed)
        keeps = found.valid & is_unperturbed(found.bank) & self._is_kept(found)
        m.d.comb += [kept.en.eq(keeps), kept.addr.eq(found.index), kept.data.eq(z)]
        m.d.sync += [
            self.kept.eq(keeps & (found.index == kept_neurons(self.spec) - 1)),
            self.neuron.eq(found),
            self.z.eq(self._perturbed(m, z, found)),
        ]
        if self.spec.network.random:
            last = sum(self.spec.network.sizes[1 : noisy_layers(self.spec)[-1] + 2]) - 1
            m.d.sync += [
                self.neuron.active.eq(self.sign.active & ~is_unperturbed(found.bank)),
                self.drawn.eq(chosen.valid & (chosen.index == last)),
            ]
        return m

    def _find(self, m, z, leaves, leaving, replayed):
        """Register, as ``z``, the pre-activation that leaves the lanes if one does, else the replayed one; it waits for its sign."""
        m.d.sync += z.eq(Mux(leaves, leaving, replayed))

    def _is_kept(self, neuron):
        """Whether the pre-activation of a neuron of the unperturbed pass is kept."""
        return neuron.layer == 0

    def _leave(self, m, neuron):
        """Whether a neuron leaves the lanes, its pre-activation, and whether another one leaves in the next cycle.

        Its fields, or those of a replayed neuron, are those of ``neuron``. In incremental probes, the pre-activation is 0 where no neuron
        leaves.
        """
        spec, slot = self.spec, delayed(m, self.slot, 1, "slot")
        width, take = spec.accumulator_width, Signal()
        m.d.sync += take.eq(self.slot.last & measures(spec, self.slot))
        gather = Gather(width, spec.hardware.lanes) if spec.hardware.lanes > MAX_SHIFTED_LANES else None
        waiting = [] if gather else [Signal(signed(width), name=f"waiting{lane}", reset_less=True) for lane in range(spec.hardware.lanes)]
        occupied = Signal(len(waiting))
        self._held = held = Signal.like(neuron, name="held", reset_less=True)
        if gather:
            leaves, others = leaving_count(m, take, spec.hardware.lanes, active_lanes(spec, slot))
        else:
            m.d.sync += [occupied.eq(occupied >> 1), *(value.eq(following) for value, following in pairwise(waiting))]
            leaves, others = occupied[0], occupied[1:2].any()
        follows = take | others
        self._coming_index = coming = self._number(m, take, follows, slot)
        self._coming_bank = Mux(take, slot.bank, held.bank)
        self._take, self._taken = take, slot
        with m.If(follows):
            m.d.sync += held.index.eq(coming)
        with m.If(take):
            m.d.sync += [
                *(value.eq(self.accumulators.word_select(lane, width)) for lane, value in enumerate(waiting)),
                occupied.eq(Cat(active_lanes(spec, slot) > lane for lane in range(spec.hardware.lanes))),
                *(held[name].eq(slot[name]) for name in ("minus", "bank", "layer")),
                held.last.eq(slot.tail & in_last_layer(spec, slot)),  # of the group's last neuron
            ]
            if has_full_layers(spec):
                m.d.sync += held.replayed.eq(0)
        if gather:
            m.submodules.gather = gather
            m.d.comb += [
                gather.comes.eq(self.slot.last & measures(spec, self.slot)),
                gather.accumulators.eq(self.accumulators),
                gather.clear.eq(~follows if spec.incremental else 0),
            ]
        elif spec.incremental:
            with m.If(~follows):
                m.d.sync += waiting[0].eq(0)
        m.d.comb += [neuron.eq(held), neuron.last.eq(~others & held.last)]
        return leaves, gather.o if gather else waiting[0], follows

    def _number(self, m, take, follows, slot):
        """Number of the neuron that follows."""
        coming, begins = Signal(neuron_layout(self.spec)["index"].shape, name="coming_index"), Signal()
        after = Signal.like(coming, name="after")
        m.d.comb += coming.eq(after)
        with m.If(follows):
            m.d.sync += after.eq(coming + 1)
        with m.If(take):
            m.d.sync += begins.eq(0)
            with m.If(begins):
                m.d.comb += coming.eq(self._first_index(slot))
        with m.If(self.slot.begin & measures(self.spec, self.slot)):
            m.d.sync += begins.eq(1)
        return coming

    def _first_index(self, slot):
        """Number of the first neuron of a pass, of which this is the first group."""
        return Mux(slot.layer == 0, 0, self._first_neurons % self.spec.network.n_neurons)

    def _replay(self, m, follows, read, chosen):
        """Whether a neuron is replayed, its fields, and its pre-activation a cycle later, which the port of the kept ones reads."""
        spec, count = self.spec, self._first_neurons
        going, replaying, index = Signal(name="going"), Signal(), Signal(range(max(2, count)))
        bank, minus = Signal(), Signal()
        m.d.comb += [going.eq(replaying & ~follows), read.addr.eq(index)]
        m.d.sync += self.replay_done.eq(going & (index == count - 1))
        last = (index == count - 1) & (len(spec.network.layers) == 1)
        with m.If(going):
            m.d.sync += index.eq(index + 1)
            with m.If(index == count - 1):
                m.d.sync += replaying.eq(0)
        with m.If(self.replay):
            m.d.sync += [replaying.eq(1), index.eq(0), bank.eq(self.replay_bank), minus.eq(self.replay_minus)]
        return going, {"index": index, "bank": bank, "minus": minus, "layer": 0, "last": last}, read.data

    @property
    def _places(self) -> tuple[int, list[int]]:
        """Lowest bit of Δ in any layer, and its bit in the first layer and in the last."""
        spec, layers = self.spec, (0, len(self.spec.network.layers) - 1)
        places = [spec.preactivation_format(n).fraction_bits + spec.perturbation.amplitude_log2 for n in layers]
        return min(places), places

    def _perturbed(self, m, z, neuron):
        """z + sΔ, or z − sΔ, or z itself in the unperturbed pass, and of a stochastic neuron always."""
        if self.spec.network.random:
            return self._perturbed_by_layer(z, neuron)
        low, places = self._places
        first, others = (Const(1 << place - low, signed(2 + max(places) - low)) for place in places)
        negative, active = self.sign.negative ^ neuron.minus, self.sign.active & ~is_unperturbed(neuron.bank)
        return Cat(z[:low], plus_or_minus(z.shift_right(low), Mux(neuron.layer == 0, first, others), negative, active))

    def _perturbed_by_layer(self, z, neuron):
        """The same where each layer has a binary point of its own, and stochastic layers have no Δ."""
        deltas = [self.spec.delta(number) for number in range(len(self.spec.network.layers))]
        if not any(deltas):
            return z
        low = min((delta & -delta).bit_length() - 1 for delta in deltas if delta)
        delta = Cat(by_layer([each >> low for each in deltas], neuron.layer), Const(0, 1)).as_signed()
        negative, active = self.sign.negative ^ neuron.minus, self.sign.active & ~is_unperturbed(neuron.bank)
        return Cat(z[:low], plus_or_minus(z.shift_right(low), delta, negative, active))


class IncrementalStream(NeuronStream):
    """The stream of neurons of incremental probes, which keeps the pre-activations of all neurons.

    A probe replays its one perturbed neuron, unless that is an output. The lanes then give what each output's pre-activation changes by,
    to which the stream adds the kept pre-activation.

    Members
    -------
    column : In(unsigned)
        Number of the perturbed neuron, valid with ``replay``.
    """

    @property
    def _ports(self):
        return {**super()._ports, "column": In(neuron_layout(self.spec)["index"].shape)}

    def _is_kept(self, neuron):
        return Const(1, 1)

    def _number(self, m, take, follows, slot):
        """See :class:`NeuronStream`. When a pass begins, all neurons of the pass before have left."""
        coming = Signal(neuron_layout(self.spec)["index"].shape, name="coming_index", reset_less=True)
        with m.If(follows):
            m.d.sync += coming.eq(coming + 1)
        with m.If(self._begins_pass(self.slot)):
            m.d.sync += coming.eq(self._first_index(self.slot))
        return coming

    def _begins_pass(self, slot):
        """Whether a slot begins a pass that measures."""
        return slot.begin & measures(self.spec, slot)

    def _replay(self, m, follows, read, chosen):
        """Whether a neuron is replayed, its fields, and the pre-activation that is added to what leaves the lanes: the kept one of every
        neuron of a probe, and in the unperturbed pass the 0 behind them. It is read a cycle before its neuron is known."""
        going = Signal(name="going")
        replaying, column = Signal(), Signal.like(self.column, name="replayed_column", reset_less=True)
        bank, minus = Signal(reset_less=True), Signal(reset_less=True)
        self._probing = Signal(name="probing")
        m.d.sync += self._probing.eq(~is_unperturbed(chosen.bank) & (chosen.layer != 0))
        self._delta_replayed = self._delta(m, 0, chosen.minus, ~is_unperturbed(chosen.bank) & (chosen.layer == 0))
        unperturbed = follows & self._is_complete(m)
        is_output = column >= self.spec.network.n_hidden
        m.d.comb += [
            going.eq(replaying & ~follows),
            read.addr.eq(Mux(unperturbed, kept_neurons(self.spec), Mux(follows, self._coming_index, column))),
        ]
        m.d.sync += [
            self.replay_done.eq(going),
            replaying.eq(self.replay | (replaying & ~going)),
        ]
        with m.If(self.replay):
            m.d.sync += [column.eq(self.column), bank.eq(self.replay_bank), minus.eq(self.replay_minus)]
        fields = {"valid": ~is_output, "index": column, "bank": bank, "minus": minus, "layer": 0, "last": 0}
        return going, fields | self._replayed_fields(m), read.data

    def _is_complete(self, m):
        """Whether the pre-activation that leaves the lanes next is the whole one, to which no kept one is added."""
        return is_unperturbed(self._coming_bank)

    def _replayed_fields(self, m):
        """Fields of the replayed neuron that are not those of every incremental probe."""
        return {}

    def _delta(self, m, number, minus, when):
        """The high bits of Δ of the first layer, or of the last one if ``number`` is 1; of −Δ if ``minus``; 0 unless ``when``."""
        place, delta = self._places[1][number], Signal(self.z.shape(), name=f"delta{number}")
        m.d.comb += delta.eq(Mux(minus, Const(-1 << place, signed(2 + place)), Const(1 << place, signed(2 + place))))
        high = delta[self._split :]
        return high & when.replicate(len(high))

    @property
    def _split(self) -> int:
        """Number of low bits that are added one cycle before the others, so that both carry chains are short; Δ has none of them."""
        return min(self._places[0], 3 * len(self.z) // 8)

    def _find(self, m, z, leaves, leaving, replayed):
        """Register the sum of the low bits, and the high bits of both addends; Δ of a replayed neuron is in these, since nothing leaves the
        lanes with it."""
        low, self._carry = Signal(self._split + 1, name="low_sum"), Signal(name="carry")
        self._kept_high = delayed(m, replayed[self._split :], 1, "kept_high")
        m.d.comb += low.eq(replayed[: self._split] + leaving[: self._split])
        high = leaving[self._split :] | self._delta_replayed
        m.d.sync += [z.eq(Cat(low[: self._split], high)), self._carry.eq(low[self._split])]

    def _perturbed(self, m, z, neuron):
        """Kept z + W_j·(y_j± − y_j), or kept z ± Δ for the perturbed neuron, or z itself in the unperturbed pass.

        One adder computes them, and ±Δ needs no multiplexer before it, since what leaves the lanes is 0 for a perturbed neuron: for an
        output the lanes multiply by a change of 0, and for a hidden neuron nothing leaves them. A hidden neuron behind the first layer
        takes its ±Δ as an output does; that of the first layer is in ``z`` already.
        """
        split, negative = self._split, self.sign.negative ^ neuron.minus
        high = z[split:] | self._delta(m, 1, negative, self.sign.active & self._probing)
        # An extra bit below the lowest one generates the carry.
        total = Cat(Const(1, 1), high).as_signed() + Cat(self._carry, self._kept_high).as_signed()
        return Cat(z[:split], total[1 : 1 + len(high)]).as_signed()


class DeepStream(IncrementalStream):
    """The stream of neurons of incremental probes in networks of several hidden layers.

    The lanes give what the pre-activations of the layer behind the perturbed neuron change by, and those of the layers behind it.

    Members
    -------
    layer : In(unsigned)
        Number of the perturbed neuron's layer, valid with ``replay``.
    """

    @property
    def _ports(self):
        return {**super()._ports, "layer": In(neuron_layout(self.spec)["layer"].shape)}

    def _first_index(self, slot):
        sizes = self.spec.network.sizes[1:]
        return by_layer([sum(sizes[:number]) for number in range(len(sizes))], slot.layer)

    def _is_complete(self, m):
        held = Signal(name="single_held")
        with m.If(self._take):
            m.d.sync += held.eq(self._taken.single)
        return ~Mux(self._take, self._taken.single, held)

    def _begins_pass(self, slot):
        """Whether a slot, which may begin any layer, begins a pass that measures."""
        return super()._begins_pass(slot) & (slot.single | is_unperturbed(slot.bank))

    def _replayed_fields(self, m):
        layer = Signal.like(self.layer, name="replayed_layer", reset_less=True)
        with m.If(self.replay):
            m.d.sync += layer.eq(self.layer)
        return {"layer": layer, "replayed": 1}


class PartStream(NeuronStream):
    """The stream of neurons of probes of parts, each of which replays the first layer of its part.

    Members
    -------
    part : In(unsigned)
        Number of the part, valid with ``replay``.
    """

    @property
    def _ports(self):
        return {**super()._ports, "part": In(part_shape(self.spec))}

    def _is_kept(self, neuron):
        first = {part.first for part in self.spec.round.parts}
        return by_layer([int(number in first) for number in range(len(self.spec.network.layers))], neuron.layer)

    def _first_index(self, slot):
        sizes = self.spec.network.sizes[1:]
        return by_layer([sum(sizes[:number]) for number in range(len(sizes))], slot.layer)

    def _replay(self, m, follows, read, chosen):
        """Whether a neuron is replayed, its fields, and its pre-activation a cycle later, which the port of the kept ones reads."""
        spec, parts = self.spec, self.spec.round.parts
        going, is_last = Signal(name="going"), Signal()
        replaying, index, part = Signal(), Signal.like(chosen.index, name="replayed_index"), Signal.like(self.part, name="replayed_part")
        bank, minus = Signal(), Signal()
        ends = [part.begin + spec.network.sizes[part.first + 1] for part in parts]
        m.d.comb += [
            going.eq(replaying & ~follows),
            read.addr.eq(index),
            is_last.eq(index == by_layer([end - 1 for end in ends], part)),
        ]
        layer = by_layer([part.first for part in parts], part)
        last = is_last & by_layer([int(end == spec.network.n_neurons) for end in ends], part)
        m.d.sync += self.replay_done.eq(going & is_last)
        with m.If(going):
            m.d.sync += [index.eq(index + 1), replaying.eq(~is_last)]
        with m.If(self.replay):
            m.d.sync += [
                *(replaying.eq(1), bank.eq(self.replay_bank), minus.eq(self.replay_minus), part.eq(self.part)),
                index.eq(by_layer([part.begin for part in parts], self.part)),
            ]
        return going, {"index": index, "bank": bank, "minus": minus, "layer": layer, "last": last}, read.data


def neuron_stream(spec: DesignSpec) -> NeuronStream:
    """Return the stream of neurons of a design."""
    if spec.in_parts:
        return PartStream(spec)
    if has_full_layers(spec):
        return DeepStream(spec)
    return IncrementalStream(spec) if spec.incremental else NeuronStream(spec)
