# amaranth: UnusedElaboratable=no
"""The errors of the neurons: their sums over a presentation, and their casts for the lanes."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Rounding
from python_ref.spec.registers import address_range, error_sum_words
from rtl_gen.broadcast import Multiplier, Scaler
from rtl_gen.cost import CostUnit
from rtl_gen.fanout import MAX_DIRECT_LANES, are_far
from rtl_gen.fixed import limit, plus_or_minus
from rtl_gen.lane import MultiplyAccumulate
from rtl_gen.presentation.lane import LaneTiming
from rtl_gen.presentation.layouts import neuron_layout, part_shape, sign_layout
from rtl_gen.presentation.signs import sign_latency
from rtl_gen.probe import event_layouts, shape_of
from rtl_gen.slot import NO_READ_WRITE_CHECK, by_layer, delayed

__all__ = ["ErrorUnit", "IncrementalErrorUnit", "PartErrorUnit", "SharedErrorUnit", "error_unit"]


class ErrorUnit(wiring.Component):
    """Sums E_j ← E_j + s_j·C̃ for all neurons after each step, one neuron per cycle, and casts err_j = cast_error(2^e·E_j) at the end.

    The sweep of a presentation's last step goes group by group, just ahead of the pass that applies the errors.

    Members
    -------
    change_stb, cost_change : In
        Strobe of a step's cost change, and raw C̃, which must be stable during the sweep that the strobe begins.
    fresh, final : In(1)
        The step is the first, or the last, of its presentation; valid with ``change_stb``.
    next_group : In(1)
        Strobe: an applying pass has begun a group, so that the errors of the next group may come.
    exponent : In(signed(8))
        Exponent e of the learning rate, within ``spec.gradient_exponents``.
    sign_index, sign : Out, In
        Neuron whose sign is needed, and its sign :func:`~rtl_gen.presentation.signs.sign_latency` cycles later.
    error, error_en : Out
        Raw err, and a strobe for the lane that takes it.
    ready : Out(1)
        Strobe: all errors of the first group have been output.
    busy : Out(1)
        A sweep is in progress.
    saturated : Out(1)
        The error with ``error_stb`` was out of range.
    host_mode, host_address, readable, host_data : In(1), In, In(1), Out(32)
        The host reads a word of E: its address, and the word at most four cycles later, 0 unless ``readable``; only while the core is
        idle.
    correlation_stb, sign_o, error_sum : Out
        Strobe of the event that a neuron's error was summed, its sign, and its raw E.
    error_stb : Out(1)
        Strobe of the event that ``error`` was cast.

    Attributes
    ----------
    pace : int
        Cycles from an error to the next one of its group.
    """

    pace = 1

    sum_latency = 2
    """Cycles from a neuron's turn to its new E: one to read E, one to sum."""

    strobes: ClassVar[tuple[str, ...]] = ("change_stb", "final", "next_group")
    """Names of the strobes, and of what is valid with one."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        super().__init__(
            {
                **self._ports,
                **{name: In(1) for name in self.strobes},
                "cost_change": In(shape_of(spec.cost_change_format)),
                "exponent": In(signed(8)),
                "error": Out(shape_of(spec.error_format)),
                "error_en": Out(spec.hardware.lanes),
                **{name: Out(1) for name in ("ready", "busy", "saturated", "correlation_stb", "error_stb")},
                "error_sum": Out(shape_of(spec.error_sum_format)),
                "sign_o": Out(event_layouts(spec)["correlation"]["sign"].shape),
                "host_mode": In(1),
                "host_address": In(address_range(spec)),
                "readable": In(1),
                "host_data": Out(32),
            }
        )

    @property
    def _ports(self):
        return {"fresh": In(1), "sign_index": Out(neuron_layout(self.spec)["index"].shape), "sign": In(sign_layout())}

    @property
    def error_latency(self) -> int:
        """Cycles from ``next_group`` until the first error of the group is in its lane."""
        return 1 + self._cast_latency + 1 + LaneTiming(self.spec).fanout + 1

    @property
    def change_latency(self) -> int:
        """Cycles from ``change_stb`` to ``ready``, beyond the turns of the neurons in the first group."""
        return 1 + self._cast_latency

    @property
    def _cast_latency(self) -> int:
        """Cycles from a neuron's turn to its error: those to its E, and the scaler's."""
        return self.sum_latency + self.scaler.latency

    @cached_property
    def scaler(self) -> Scaler:
        """The scaler of E, if the unit has one of its own."""
        (low, high), total = self.spec.gradient_exponents, self.spec.error_sum_format
        return Scaler(
            signed(total.width),
            dropped=total.fraction_bits - high - self.spec.error_format.fraction_bits,
            amounts=high - low + 1,
            target=self.spec.error_format,
            cast=self.spec.formats.error_cast,
        )

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        write, read = self._store(m)
        words, word = error_sum_words(spec), Signal(signed(64))
        m.d.comb += word.eq(read.data)
        m.d.sync += self.host_data.eq(Mux(self.readable, Mux(self.host_address[0], word[32:], word[:32]) if words > 1 else word[:32], 0))
        index, boundary, opens = self._sweep(m)
        m.d.comb += [
            read.addr.eq(self._read_address(m, index, self.host_address >> words - 1)),
            write.addr.eq(delayed(m, index, self.sum_latency, "index")),
        ]
        total = Signal(shape_of(spec.error_sum_format), reset_less=True)
        kept = self._sum(m, index, read.data, total, write.en)
        m.d.comb += [write.data.eq(self._kept(m, total)), self.error_sum.eq(total)]
        self._cast(m, boundary, opens, *self._scale(m, kept))
        return m

    def _read_address(self, m, index, of_host):
        """Address of the E that is read, of the neuron ``index`` or of the host; in a register where signs are asked for early."""
        if sign_latency(self.spec) == 1:
            return Mux(self.host_mode, of_host, index)
        address = Signal.like(index, name="read_address", reset_less=True)
        m.d.sync += address.eq(Mux(self.host_mode, of_host, self._following(index)))
        return address

    def _store(self, m):
        """Write port and read port of the memory of E."""
        m.submodules.sums = store = memory.Memory(
            shape=shape_of(self.spec.error_sum_format), depth=max(2, self.spec.quantities), init=[], attrs=NO_READ_WRITE_CHECK
        )
        write, read = store.write_port(), store.read_port()
        return write, read

    def _kept(self, m, total):
        """The sum that is written back."""
        return total

    def _sum(self, m, index, old, total, summed):
        """Sum E_j and s_j·C̃ of the neuron ``index`` one cycle after ``old`` is read; return the sum that is cast."""
        m.d.comb += [
            self.sign_index.eq(self._sign_number(index)),
            summed.eq(delayed(m, self.busy, self.sum_latency, "summed", reset_less=False)),
            self.correlation_stb.eq(summed),
        ]
        self._add(m, index, total, Mux(self._fresh, 0, old), self.sign.active)
        return total

    def _sign_number(self, index):
        """Number of the neuron whose sign is asked for: the one that has its turn, or where signs take longer, that of the next cycle."""
        return index if sign_latency(self.spec) == 1 else self._following(index)

    def _following(self, index):
        """What the number of the neuron that has its turn is in the next cycle."""
        return Mux(self.change_stb, 0, self._counted(index))

    def _counted(self, index):
        """The same, unless a sweep begins."""
        return Mux(self._turns, index + self._one(index), index)

    def _add(self, m, index, total, old, active):
        """Register, as ``total``, the sum of ``old`` and s·C̃, which counts where the neuron ``index`` of the cycle before is ``active``."""
        m.d.sync += [
            total.eq(plus_or_minus(old, self.cost_change, self.sign.negative, active)),
            self.sign_o.eq(Mux(self.sign.active, Mux(self.sign.negative, -1, 1), 0)),
        ]

    def _scale(self, m, value):
        """The scaled and cast value, and whether it was out of range."""
        m.submodules.scaler = scaler = self.scaler
        m.d.comb += scaler.i.eq(value)
        m.d.sync += scaler.amount.eq(self.spec.gradient_exponents[1] - self.exponent)
        return scaler.o, scaler.outside

    def _cast(self, m, boundary, opens, scaled, outside):
        """Connect the errors to the lanes: ``boundary`` ends a group, of which the first one ``opens`` the applying pass."""
        spec, latency = self.spec, self._cast_latency
        output, ends = (
            delayed(m, value, latency, name, reset_less=False) for name, value in (("output", self._outputs), ("ends", boundary))
        )
        m.d.comb += self.ready.eq(ends & delayed(m, opens, latency, "opens"))
        if are_far(spec.hardware.lanes):
            self._choose_by_groups(m, output, ends)
            m.d.sync += [self.error.eq(scaled), self.error_stb.eq(output), self.saturated.eq(output & outside)]
            return
        lane = Signal(spec.hardware.lanes, init=1)
        with m.If(output):
            m.d.sync += lane.eq(lane.rotate_left(1))
        with m.If(ends):
            m.d.sync += lane.eq(1)
        m.d.sync += [
            *(self.error.eq(scaled), self.error_en.eq(lane & output.replicate(len(lane)))),
            *(self.error_stb.eq(output), self.saturated.eq(output & outside)),
        ]

    def _choose_by_groups(self, m, output, ends):
        """Strobe one of many lanes after the other, from a bit for each group of lanes and one for each place in a group."""
        lanes = self.spec.hardware.lanes
        group, place = Signal(-(-lanes // MAX_DIRECT_LANES), init=1), Signal(MAX_DIRECT_LANES, init=1)
        group_now, place_now = (Signal.like(each, name=f"{each.name}_now", reset_less=True) for each in (group, place))
        with m.If(output):
            m.d.sync += place.eq(place.rotate_left(1))
            with m.If(place[-1]):
                m.d.sync += group.eq(group.rotate_left(1))
        with m.If(ends):
            m.d.sync += [group.eq(1), place.eq(1)]
        m.d.sync += [group_now.eq(group & output.replicate(len(group))), place_now.eq(place)]
        strobes = Cat(group_now[lane // MAX_DIRECT_LANES] & place_now[lane % MAX_DIRECT_LANES] for lane in range(lanes))
        m.d.comb += self.error_en.eq(strobes)

    def _sweep(self, m):
        """Count through the neurons: the one whose turn it is, whether its group ends, and whether that is the first one.

        The last neuron of a group, and the last one of all, are found one cycle before their turn, so that the count is far from the
        decisions.
        """
        spec = self.spec
        lanes, neurons = spec.hardware.lanes, spec.network.n_neurons
        ends = [sum(p.layer.n_out for p in spec.layout.layers[: n + 1]) for n in range(len(spec.layout.layers))]
        self._final = Signal(name="is_final")
        index, lane = Signal(neuron_layout(spec)["index"].shape, reset_less=True), Signal(range(max(2, lanes)), reset_less=True)
        sweeping, first_group, all_done = Signal(), Signal(), Signal()
        group_ends, all_ends, boundary = Signal(reset_less=True), Signal(reset_less=True), Signal()

        starts = [
            *(index.eq(0), lane.eq(0), sweeping.eq(1), first_group.eq(1), all_done.eq(0)),
            *(group_ends.eq(lanes == 1 or ends[0] == 1), all_ends.eq(neurons == 1)),
        ]
        turns = sweeping & self._paced(m, sweeping)
        m.d.comb += boundary.eq(turns & self._final & group_ends)
        self._end_group(m, turns, group_ends, index, lane, ends)
        with m.If(turns):
            m.d.sync += [index.eq(index + self._one(index)), lane.eq(lane + 1), all_ends.eq(index == neurons - 2)]
            with m.If(group_ends):
                m.d.sync += lane.eq(0)
            with m.If(boundary):
                m.d.sync += [sweeping.eq(0), first_group.eq(0)]
            with m.If(all_ends):
                m.d.sync += [sweeping.eq(0), all_done.eq(1)]
        with m.If(self.next_group & ~all_done):
            m.d.sync += sweeping.eq(1)
        self._begin(m, sweeping, starts, index)
        self._turns, self._outputs = turns, turns & self._final
        return index, boundary, first_group

    def _end_group(self, m, turns, group_ends, index, lane, ends):
        """Find whether the neuron that has its turn next is the last one of its group, from the one that has it now, and its lane."""
        lanes, next_ends = self.spec.hardware.lanes, Cat(index == end - 2 for end in ends if end > 1).any()
        with m.If(turns):
            m.d.sync += group_ends.eq(next_ends | (lane == lanes - 2 if lanes > 1 else 1))
            with m.If(group_ends):
                m.d.sync += group_ends.eq(next_ends | (lanes == 1))

    def _paced(self, m, sweeping):
        """Whether the next neuron has its turn in this cycle of a sweep."""
        return Const(1, 1)

    def _one(self, index):
        """What is added to the neuron's number for the next one."""
        return 1

    def _begin(self, m, sweeping, starts, index):
        """Begin the sweep of a step: all sums, and in the presentation's last step all errors."""
        self._fresh = Signal(name="is_fresh")
        m.d.comb += self.busy.eq(sweeping)
        with m.If(self.change_stb):
            m.d.sync += [*starts, self._fresh.eq(self.fresh), self._final.eq(self.final)]


class IncrementalErrorUnit(ErrorUnit):
    """The error unit of incremental probes, where a step changes only the E of the neuron that it perturbs, whose sign is 1.

    It first sums that E. In a presentation's last step, a sweep that casts all errors follows, once the sum is in the memory.

    Members
    -------
    column : In(unsigned)
        The perturbed neuron, valid with ``change_stb``.
    clear : In(1)
        Strobe that sets all E to 0 at the start of a presentation, while no other sweep is in progress.
    """

    _SUM_CYCLES = 3
    """Cycles from the turn of the perturbed neuron until its sum can be read."""

    @property
    def _ports(self):
        return {"clear": In(1), "column": In(neuron_layout(self.spec)["index"].shape)}

    @property
    def change_latency(self) -> int:
        """Cycles from ``change_stb`` to ``ready``, beyond the turns of the neurons in the first group."""
        return 1 + self._SUM_CYCLES + self._cast_latency

    @property
    def _cast_latency(self) -> int:
        """Cycles from a neuron's turn to its error: one to read E, and the scaler's."""
        return 1 + self.scaler.latency

    def _sum(self, m, index, old, total, summed):
        """Sum E_j and C̃ of the perturbed neuron, or set all E to 0; return E, which is cast."""
        sums = delayed(m, self._sums, 2, "sums", reset_less=False)
        # A presentation that begins while errors are cast does not clear E, so that the cast does.
        cleared = self._clears | self._outputs if self.spec.just_in_time else self._clears
        clears = delayed(m, cleared, 1, "clears", reset_less=False)
        m.d.comb += [
            summed.eq(sums | delayed(m, clears, 1, "cleared", reset_less=False)),
            self.correlation_stb.eq(sums),
            self.sign_o.eq(1),
        ]
        # A neuron that is perturbed once in a presentation has the C̃ of one step.
        m.d.sync += total.eq(self.cost_change if self.spec.presentation.once else old + self.cost_change)
        with m.If(clears):
            m.d.sync += total.eq(0)
        return old

    def _one(self, index):
        """See :class:`ErrorUnit`. Where its bits are 0, they are the strobe that loads another number, so that synthesis merges the adder's
        look-up tables with the multiplexer behind them."""
        return Cat(Const(1, 1), self.change_stb.replicate(len(index) - 1))

    def _begin(self, m, sweeping, starts, index):
        """Begin with the perturbed neuron; the sweep of a presentation's last step follows."""
        self._sums, ends = Signal(name="sums"), self.change_stb & self.final
        self._clears = sweeping & ~self._final
        waits = Signal(self._SUM_CYCLES)
        m.d.sync += [self._sums.eq(self.change_stb), waits.eq(Cat(ends, waits))]
        m.d.comb += self.busy.eq(sweeping | self._sums | waits.any())
        with m.If(self.change_stb):
            m.d.sync += [index.eq(self.column), self._final.eq(self.final)]
        self._restarts = self.clear | waits[-1]
        with m.If(self._restarts):
            m.d.sync += starts
        with m.If(self.clear):
            m.d.sync += self._final.eq(0)

    def _following(self, index):
        """See :class:`ErrorUnit`."""
        return Mux(self._restarts, 0, Mux(self.change_stb, self.column, self._counted(index)))


class SharedErrorUnit(IncrementalErrorUnit):
    """The error unit of incremental probes that scales in the multiplier of the squares, which has none to compute then.

    The multiplier adds the product of E and a power of two to the half that rounds it. Since it then begins anew, an error takes two
    cycles.

    Members
    -------
    factor, power : Out(signed)
        The two factors, 0 while no errors are cast; the multiplier takes them one cycle later.
    offset, load : Out, Out(1)
        What the multiplier's sum begins with, and the strobe that it does, both as of
        :class:`~rtl_gen.lane.MultiplyAccumulate`; the sum is 0 after the last error.
    product : In(signed)
        Scaled and rounded E, as the sum of the multiplier.
    """

    pace = 2

    @staticmethod
    def suits(spec: DesignSpec) -> bool:
        """Whether E and every power of two are factors of the multiplier, rounding adds a constant, and no outputs leave meanwhile."""
        shares = spec.incremental and not spec.in_parts and not spec.just_in_time and CostUnit.sums_in_multiplier(spec)
        fits = max(SharedErrorUnit.factors(spec)) <= Multiplier.WIDEST and SharedErrorUnit._dropped_bits(spec) > 0
        return shares and fits and spec.formats.error_cast.rounding is not Rounding.STOCHASTIC

    @staticmethod
    def factors(spec: DesignSpec) -> tuple[int, int]:
        """Return the widths of the two factors."""
        low, high = spec.gradient_exponents
        return spec.error_sum_format.width, high - low + 2

    @staticmethod
    def _dropped_bits(spec: DesignSpec) -> int:
        """Number of bits that the cast drops of E·2^(e − low), where low is the smallest e."""
        return spec.error_sum_format.fraction_bits - spec.gradient_exponents[0] - spec.error_format.fraction_bits

    @property
    def _ports(self):
        first, second = self.factors(self.spec)
        ports = {"factor": Out(signed(first)), "power": Out(signed(second)), "load": Out(1)}
        ports |= {"offset": Out(signed(MultiplyAccumulate.WIDEST)), "product": In(signed(first + second - 1))}
        return {**super()._ports, **ports}

    @property
    def _cast_latency(self) -> int:
        """Cycles from a neuron's turn to its error: one to read E, one to register it, and those of the multiplier."""
        return 2 + CostUnit.multiplier(self.spec).latency

    def _end_group(self, m, turns, group_ends, index, lane, ends):
        """See :class:`ErrorUnit`. Neurons of a group have their turns in every other cycle, so that the number of the next one is there a
        cycle before its turn; in the sweep that sets E to 0 groups do not matter."""
        m.d.sync += group_ends.eq(Cat(index == end - 1 for end in ends).any() | (lane == self.spec.hardware.lanes - 1))

    def _paced(self, m, sweeping):
        waits = Signal(name="waits_for_product")
        m.d.sync += waits.eq(sweeping & self._final & ~waits)
        return ~waits

    def _scale(self, m, value):
        spec, dropped, rounding = self.spec, self._dropped_bits(self.spec), self.spec.formats.error_cast.rounding
        stages = [delayed(m, self._outputs, 1, "turn", reset_less=False)]
        for _ in range(self._cast_latency - 1):
            stages.append(delayed(m, stages[-1], 1, "turn", reset_less=False))
        reads, loads, *_, ends = stages
        place = Signal(range(spec.gradient_exponents[1] - spec.gradient_exponents[0] + 1))
        power = Signal.like(self.power, reset_less=True)
        m.d.sync += [place.eq(self.exponent - spec.gradient_exponents[0]), power.eq(1 << place)]
        m.d.comb += [self.factor.eq(Mux(reads, value, 0)), self.power.eq(Mux(reads, power, 0))]
        half = 0 if rounding is Rounding.FLOOR else 1 << dropped - 1
        m.d.comb += [self.offset.eq(Mux(reads, half, 0)), self.load.eq(loads | ends)]
        rounded = self.product.shift_right(dropped)
        if rounding is Rounding.HALF_EVEN:  # a tie was rounded up, and becomes even
            rounded = Cat(rounded[0] & self.product[:dropped].any(), rounded[1:]).as_signed()
        return limit(rounded, spec.error_format, spec.formats.error_cast.overflow)


class PartErrorUnit(ErrorUnit):
    """The error unit of probes of parts, where a step changes the E of the part's neurons alone.

    The sweep of a step covers these neurons; that of a presentation's last step covers all neurons, and casts their errors.

    Members
    -------
    part : In(unsigned)
        The part that the step perturbs, valid with ``change_stb``.
    clear : In(1)
        Strobe that sets all E to 0 at the start of a presentation, while no other sweep is in progress.
    """

    @property
    def _ports(self):
        ports = {name: port for name, port in super()._ports.items() if name != "fresh"}
        return {**ports, "clear": In(1), "part": In(part_shape(self.spec))}

    def _kept(self, m, total):
        """The sum that is written back; a presentation that begins while errors are cast does not clear E, so that the cast does."""
        if not self.spec.just_in_time:
            return total
        return Mux(delayed(m, self._outputs, self.sum_latency, "cast", reset_less=False), 0, total)

    def _sum(self, m, index, old, total, summed):
        """Sum E_j and s_j·C̃ of a neuron of the part, keep E of another, or set all E to 0; return the sum that is cast."""
        active = self.sign.active & delayed(m, self._within, 1, "within") & ~self._fresh
        m.d.comb += [
            self.sign_index.eq(self._sign_number(index)),
            summed.eq(delayed(m, self.busy, self.sum_latency, "summed", reset_less=False)),
            self.correlation_stb.eq(summed & delayed(m, active, self.sum_latency - 1, "active")),
        ]
        self._add(m, index, total, Mux(self._fresh, 0, old), active)
        return total

    def _begin(self, m, sweeping, starts, index):
        """Begin the sweep of a step with the first neuron of its part, or in the last step with the first one of all."""
        self._fresh = Signal(name="is_fresh")
        m.d.comb += self.busy.eq(sweeping)
        with m.If(sweeping & ~self._final & ~self._fresh & self._follow_part(m, index)):
            m.d.sync += sweeping.eq(0)
        with m.If(self.change_stb):
            begin = by_layer([part.begin for part in self.spec.round.parts], self.part)
            m.d.sync += [*starts, self._fresh.eq(0), self._final.eq(self.final), index.eq(Mux(self.final, 0, begin))]
        with m.If(self.clear):
            m.d.sync += [*starts, self._fresh.eq(1), self._final.eq(0)]

    def _following(self, index):
        """See :class:`ErrorUnit`."""
        begin = by_layer([part.begin for part in self.spec.round.parts], self.part)
        return Mux(self.clear | (self.change_stb & self.final), 0, Mux(self.change_stb, begin, self._counted(index)))

    def _follow_part(self, m, index):
        """Whether the neuron is the last one of the part whose E the step changes; ``_within`` is whether it belongs to the part."""
        parts, part = self.spec.round.parts, Signal.like(self.part, name="swept_part")
        with m.If(self.change_stb):
            m.d.sync += part.eq(self.part)
        begins, ends = by_layer([each.begin for each in parts], part), by_layer([each.end for each in parts], part)
        self._within = (index >= begins) & (index < ends)
        return index == by_layer([each.end - 1 for each in parts], part)


def error_unit(spec: DesignSpec) -> ErrorUnit:
    """Return the error unit of a design."""
    if spec.in_parts:
        return PartErrorUnit(spec)
    if SharedErrorUnit.suits(spec):
        return SharedErrorUnit(spec)
    return IncrementalErrorUnit(spec) if spec.incremental else ErrorUnit(spec)
