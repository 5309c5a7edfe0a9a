# amaranth: UnusedElaboratable=no
"""The errors of the neurons: their sums over a presentation, and their casts for the lanes."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.registers import address_range, error_sum_words
from rtl_gen.broadcast import Scaler
from rtl_gen.fanout import fanout_latency
from rtl_gen.fixed import plus_or_minus
from rtl_gen.presentation.layouts import neuron_layout, part_shape, sign_layout
from rtl_gen.probe import shape_of
from rtl_gen.slot import NO_READ_WRITE_CHECK, by_layer, delayed

__all__ = ["ErrorUnit"]


class ErrorUnit(wiring.Component):
    """Sums E_j ← E_j + s_j·C̃ for all neurons after each step, one neuron per cycle, and casts err_j = cast_error(2^e·E_j) at the end.

    The sweep of a presentation's last step goes group by group, just ahead of the pass that applies the errors.

    Members
    -------
    change_stb, cost_change : In
        Strobe of a step's cost change, and raw C̃, which must be stable during the sweep that the strobe begins.
    fresh, final : In(1)
        The step is the first, or the last, of its presentation; valid with ``change_stb``. Where ``clear`` is used, the former is not.
    clear : In(1)
        In incremental probes and in those of parts, a strobe that sets all E to 0 at the start of a presentation, while no other sweep is
        in progress.
    column, part : In(unsigned)
        In incremental probes, the perturbed neuron, which has the only E that a step changes, or where probes perturb parts of the network,
        the part whose E a step changes; valid with ``change_stb``.
    next_group : In(1)
        Strobe: an applying pass has begun a group, so that the errors of the next group may come.
    exponent : In(signed(8))
        Exponent e of the learning rate, within ``spec.exponents``.
    sign_index, sign : Out, In
        Neuron whose sign is needed, and its sign one cycle later.
    error, error_en : Out
        Raw err, and a strobe for the lane that takes it.
    ready : Out(1)
        Strobe: all errors of the first group have been output.
    busy : Out(1)
        A sweep is in progress.
    saturated : Out(1)
        The error with ``error_stb`` was out of range.
    host_mode, host_address, host_data : In(1), In, Out(32)
        The host reads a word of E: its address, and the word at most two cycles later, 0 unless ``open``; only while the core is idle.
    open : In(1)
        A presentation is open, so that E belongs to it.
    correlation_stb, sign_o, error_sum : Out
        Strobe of the event that a neuron's error was summed, its sign, and its raw E.
    error_stb : Out(1)
        Strobe of the event that ``error`` was cast.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        low, high = spec.exponents
        total = spec.error_sum_format
        self.scaler = Scaler(
            signed(total.width),
            dropped=total.fraction_bits - high - spec.error_format.fraction_bits,
            amounts=high - low + 1,
            target=spec.error_format,
            cast=spec.formats.error_cast,
        )
        column = {"clear": In(1), "column": In(neuron_layout(spec)["index"].shape)}
        super().__init__(
            {
                **(column if spec.incremental else {}),
                **({"clear": In(1), "part": In(part_shape(spec))} if spec.in_parts else {}),
                **{name: In(1) for name in ("change_stb", "fresh", "final", "next_group")},
                "cost_change": In(shape_of(spec.cost_change_format)),
                "exponent": In(signed(8)),
                "sign_index": Out(neuron_layout(spec)["index"].shape),
                "sign": In(sign_layout()),
                "error": Out(shape_of(spec.error_format)),
                "error_en": Out(spec.hardware.lanes),
                **{name: Out(1) for name in ("ready", "busy", "saturated", "correlation_stb", "error_stb")},
                "error_sum": Out(shape_of(total)),
                "sign_o": Out(signed(2)),
                "host_mode": In(1),
                "host_address": In(address_range(spec)),
                "host_data": Out(32),
                "open": In(1),
            }
        )

    @property
    def error_latency(self) -> int:
        """Cycles from ``next_group`` until the first error of the group is in its lane."""
        return 1 + self._cast_latency + 1 + fanout_latency(self.spec.hardware.lanes) + 1

    @property
    def change_latency(self) -> int:
        """Cycles from ``change_stb`` to ``ready``, beyond the number of neurons in the first group."""
        return 1 + self._cast_latency

    @property
    def _cast_latency(self) -> int:
        """Cycles from a neuron's turn to its error: one to read E, one to sum, and the scaler's."""
        return 2 + self.scaler.latency

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        m.submodules.scaler = scaler = self.scaler
        index, total, boundary, opens = self._sweep(m)

        m.submodules.sums = store = memory.Memory(
            shape=shape_of(spec.error_sum_format), depth=max(2, spec.network.n_neurons), init=[], attrs=NO_READ_WRITE_CHECK
        )
        write, read = store.write_port(), store.read_port()
        words, shown = error_sum_words(spec), Signal(signed(64))
        m.d.comb += [
            shown.eq(read.data & self.open.replicate(len(read.data)).as_signed()),
            self.host_data.eq(Mux(self.host_address[0], shown[32:], shown[:32]) if words > 1 else shown),
        ]
        summed = delayed(m, self.busy, 2, "summed", reset_less=False)
        old = Mux(self._fresh, 0, read.data)
        active = self.sign.active & ~self._fresh if self._clears else self.sign.active
        if spec.in_parts:
            active &= delayed(m, self._within, 1, "within")
        m.d.sync += total.eq(plus_or_minus(old, self.cost_change, self.sign.negative, active))
        m.d.comb += [
            read.addr.eq(Mux(self.host_mode, self.host_address >> words - 1, index)),
            self.sign_index.eq(index),
            write.addr.eq(delayed(m, index, 2, "index")),
            write.data.eq(total),
            write.en.eq(summed),
            self.correlation_stb.eq(summed & delayed(m, active, 1, "active") if self._clears else summed),
            self.error_sum.eq(total),
            scaler.i.eq(total),
        ]
        m.d.sync += self.sign_o.eq(Mux(self.sign.active, Mux(self.sign.negative, -1, 1), 0))
        m.d.sync += scaler.amount.eq(spec.exponents[1] - self.exponent)

        lane = delayed(m, self._lane, self._cast_latency, "lane")
        output = delayed(m, self.busy & self._final, self._cast_latency, "output", reset_less=False)
        m.d.comb += [self.error_stb.eq(output), self.saturated.eq(output & scaler.outside)]
        # The error waits one cycle for its lane's strobe.
        m.d.sync += [self.error.eq(scaler.o), self.error_en.eq(Mux(output, 1 << lane, 0))]
        m.d.comb += self.ready.eq(delayed(m, boundary & opens, self._cast_latency, "ready", reset_less=False))
        return m

    @property
    def _clears(self) -> bool:
        """Whether all E are set to 0 at the start of a presentation, since a step does not change all of them."""
        return self.spec.incremental or self.spec.in_parts

    def _follow_part(self, m, index):
        """Whether the neuron is the last one of the part whose E a step changes; ``_within`` is whether it belongs to the part."""
        parts, part = self.spec.round.parts, Signal.like(self.part, name="swept_part")
        with m.If(self.change_stb):
            m.d.sync += part.eq(self.part)
        begins, ends = by_layer([each.begin for each in parts], part), by_layer([each.end for each in parts], part)
        self._within = (index >= begins) & (index < ends)
        return index == by_layer([each.end - 1 for each in parts], part)

    def _sweep(self, m):
        """Count through the neurons: the one whose turn it is, its new sum, whether its group ends, and whether that is the first one."""
        spec = self.spec
        placed, lanes = spec.layout.layers, spec.hardware.lanes
        ends = [sum(p.layer.n_out for p in placed[: n + 1]) for n in range(len(placed))]
        self._fresh, self._final = Signal(name="is_fresh"), Signal(name="is_final")
        self._lane = lane = Signal(range(max(2, lanes)))
        index, layer = Signal.like(self.sign_index), Signal(range(max(2, len(placed))))
        sweeping, first_group, all_done, boundary = Signal(), Signal(), Signal(), Signal()
        total = Signal(shape_of(spec.error_sum_format), reset_less=True)
        ends_step = ~self._final & ~self._fresh
        if spec.in_parts:
            ends_step = ends_step & self._follow_part(m, index)
        layer_ends = index == by_layer([end - 1 for end in ends], layer)
        m.d.comb += [
            self.busy.eq(sweeping),
            boundary.eq(sweeping & self._final & ((lane == lanes - 1) | layer_ends)),
        ]
        with m.If(sweeping):
            m.d.sync += [index.eq(index + 1), lane.eq(lane + 1)]
            with m.If(layer_ends):
                m.d.sync += layer.eq(layer + 1)
            with m.If(boundary):
                m.d.sync += [lane.eq(0), sweeping.eq(0), first_group.eq(0)]
            with m.If(index == spec.network.n_neurons - 1):
                m.d.sync += [sweeping.eq(0), all_done.eq(1)]
            if self._clears:
                with m.If(ends_step):
                    m.d.sync += sweeping.eq(0)
        with m.If(self.next_group & ~all_done):
            m.d.sync += sweeping.eq(1)
        with m.If(self.change_stb):
            m.d.sync += [
                *(each.eq(0) for each in (index, lane, layer, all_done)),
                *(each.eq(1) for each in (sweeping, first_group)),
                self._fresh.eq(0 if self._clears else self.fresh),
                self._final.eq(self.final),
            ]
            if spec.incremental:
                m.d.sync += index.eq(Mux(self.final, 0, self.column))
            if spec.in_parts:
                begins = by_layer([part.begin for part in spec.round.parts], self.part)
                m.d.sync += index.eq(Mux(self.final, 0, begins))
        if self._clears:
            with m.If(self.clear):
                m.d.sync += [*(each.eq(0) for each in (index, lane, layer, all_done, self._final)), sweeping.eq(1), self._fresh.eq(1)]
        return index, total, boundary, first_group
