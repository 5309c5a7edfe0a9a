# amaranth: UnusedElaboratable=no
"""The array of lanes of a network with state, which sum up the gradient of all frames before they update."""

from __future__ import annotations

from amaranth.hdl import Cat, Mux, Signal
from amaranth.lib import memory
from amaranth.lib.wiring import In

from python_ref.spec.design import DesignSpec
from rtl_gen.presentation.array import NodeArray
from rtl_gen.presentation.lane import NodeLane
from rtl_gen.presentation.layouts import slot_layout
from rtl_gen.presentation.noise import InputNoise
from rtl_gen.probe import shape_of
from rtl_gen.series.layouts import in_tail
from rtl_gen.slot import NO_READ_WRITE_CHECK, delayed

__all__ = ["SeriesArray", "SeriesLane", "SeriesNoise", "group_sums", "group_sums_bits"]


def group_sums(spec: DesignSpec) -> int:
    """Return the number of words in the memory of the sums of a group, 0 where G has a memory of its own; a word has a G of every lane."""
    return max(2, *(placed.group_words for placed in spec.layout.layers)) if spec.sums_by_group else 0


def group_sums_bits(spec: DesignSpec) -> int:
    """Return the number of bits in the memory of the sums of a group."""
    return spec.hardware.lanes * group_sums(spec) * spec.gradient_format.width


class SeriesLane(NodeLane):
    """One lane of a network with state. Without a gradient memory, it sums G over the frames for the parameters of one group at a time.

    Members
    -------
    old_sum : In
        Old G, two cycles before ``gradient``, 0 where the sum begins.
    """

    @staticmethod
    def _factors(spec: DesignSpec):
        """See :class:`~rtl_gen.presentation.lane.NodeLane`."""
        ports = NodeLane._factors(spec)
        return ports | ({"old_sum": In(shape_of(spec.gradient_format))} if spec.sums_by_group else {})

    def _old_gradient(self, m):
        """The old G: from the gradient memory, or the sum of the group's frames so far."""
        return self.old_sum if self.spec.sums_by_group else super()._old_gradient(m)


class SeriesArray(NodeArray):
    """The lanes of a core whose applying pass visits a parameter once in each frame, and updates it in the last one.

    Members
    -------
    slot, ahead : In(slot_layout(spec))
        As in :class:`~rtl_gen.presentation.array.NodeArray`. Each frame begins with the first word; in an applying pass without a gradient
        memory, the frames of a group follow one another, and each begins with the first word of the group.
    """

    lane_class = SeriesLane

    def _address(self, m, slot, ahead, name, loads=None, probing=None):
        """See :class:`~rtl_gen.presentation.array.NodeArray`."""
        address = super()._address(m, slot, ahead, name, loads, probing)
        if self.spec.sums_by_group:
            first = Signal.like(address, name=f"{name}_of_group", reset_less=True)
            with m.If(slot.first & slot.initial):
                m.d.sync += first.eq(address)
            with m.If(ahead.first & ahead.apply & ~ahead.initial & ~in_tail(self.spec, ahead.layer)):
                m.d.sync += address.eq(first)
        return address

    def _memories(self, m, slots, before):
        """See :class:`~rtl_gen.presentation.array.NodeArray`."""
        if self.spec.sums_by_group:
            self._sum_by_group(m, slots, before)
        return super()._memories(m, slots, before)

    def _sum_by_group(self, m, slots, before):
        """The memory of the sums of a group, whose words have a G of every lane, since all lanes take the same place of their group."""
        timing, width, late = self.timing, self.spec.gradient_format.width, self.timing.fanout  # the memory is not behind the fan-out
        m.submodules.group_sums = store = memory.Memory(
            shape=len(self.lanes) * width, depth=group_sums(self.spec), init=[], attrs=NO_READ_WRITE_CHECK
        )
        write, read = store.write_port(), store.read_port()
        for port, cycle in ((read, timing.gradient_read), (write, timing.gradient)):
            with m.If(slots[cycle + late].real):
                m.d.sync += port.addr.eq(port.addr + 1)
            with m.If(before[cycle + late].first):
                m.d.sync += port.addr.eq(0)
        added, written = slots[timing.gradient_read + timing.read + late], slots[timing.gradient + late]
        begins = added.initial | in_tail(self.spec, added.layer)
        found = delayed(m, read.data, timing.read - 1, "sum_found")
        m.d.comb += [
            write.data.eq(Cat(lane.gradient for lane in self.lanes)),
            write.en.eq(written.real & written.apply),
            *(lane.old_sum.eq(Mux(begins, 0, found.word_select(k, width))) for k, lane in enumerate(self.lanes)),
        ]

    def _parameter_read(self, m, before):
        """See :class:`~rtl_gen.presentation.array.NodeArray`. An applying pass begins anew with each frame, so the address must begin when
        that pass reads."""
        (now, _), coming, bank = super()._parameter_read(m, before)
        ahead = Mux(self.applying, before[self.timing.parameter_read], before[self.timing.forward_read])
        return (now, slot_layout(self.spec)(ahead)), coming, bank

    def _updates(self, slot):
        """See :class:`~rtl_gen.presentation.array.NodeArray`."""
        return self.update & slot.final

    def _ends_pass(self, slot):
        """See :class:`~rtl_gen.presentation.array.NodeArray`."""
        return super()._ends_pass(slot) & slot.final

    def _is_shown(self, slot):
        """See :class:`~rtl_gen.presentation.array.NodeArray`: a word is shown in its last visit."""
        return super()._is_shown(slot) & slot.final


class SeriesNoise(InputNoise):
    """The rounding noise of a network with state, which all frames of an applying pass read. A pass begins with its first frame."""

    def _begins(self, slot):
        """See :class:`~rtl_gen.presentation.noise.InputNoise`."""
        return slot.begin & slot.initial
