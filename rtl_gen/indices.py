"""The index memory of sparse layers, which tells which input each slot of a group multiplies."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.layout import LayerLayout
from rtl_gen.slot import by_layer

__all__ = ["IndexMemory", "has_lists", "index_rows", "index_size", "leaving", "next_operand", "replayed_before", "written_before"]


def has_lists(spec: DesignSpec) -> bool:
    """Return whether a layer of the network is sparse, so that the core has an index memory."""
    return any(layer.lists is not None for layer in spec.network.layers)


def index_rows(spec: DesignSpec) -> list[int]:
    """Return the contents of the index memory: layer by layer, group by group, the list of the block to which the group belongs."""
    rows: list[int] = []
    for placed in spec.layout.layers:
        lists = placed.layer.lists
        if lists is not None:
            for group in range(placed.groups):
                rows += lists[group * placed.lanes // placed.layer.block].tolist()
    return rows


def index_size(spec: DesignSpec) -> tuple[int, int]:
    """Return the number of rows of the index memory, and their width in bits; both are 0 if the core has none."""
    rows = index_rows(spec)
    return (max(2, len(rows)), max(1, max(rows).bit_length())) if rows else (0, 0)


def _reads(placed: LayerLayout) -> list[tuple[int, int]]:
    """Return the input of each slot of a sparse layer that multiplies a weight, and the number of slots from the first of them to it."""
    lists = placed.layer.lists
    assert lists is not None
    return [
        (number, group * placed.group_slots + place)
        for group in range(placed.groups)
        for place, number in enumerate(lists[group * placed.lanes // placed.layer.block].tolist())
    ]


def written_before(placed: LayerLayout, following: LayerLayout) -> int:
    """Return the cycles by which the layer ``following`` reads an activation of the layer ``placed`` later than if it read the first one of
    that layer's last group first; the fewest of all activations.

    A dense layer reads them in the order in which they are written, a sparse one in that of its lists.
    """
    if following.layer.lists is None:
        return (placed.groups - 1) * placed.lanes
    left = placed.groups - 1
    return min((left - number // placed.lanes) * placed.group_slots - number % placed.lanes + read for number, read in _reads(following))


def replayed_before(placed: LayerLayout, following: LayerLayout | None = None) -> int:
    """Return the cycles from the replay of a neuron of the layer ``placed`` to the read of its activation, the fewest of all neurons.

    The layer ``following``, None behind the last one, begins when all neurons have been replayed, one in each cycle.
    """
    if following is None or following.layer.lists is None:
        return placed.layer.n_out
    return placed.layer.n_out + min(read - number for number, read in _reads(following))


def leaving(placed: LayerLayout, following: LayerLayout, *, times: int = 1) -> int:
    """Return the cycles that a layer must wait so that the last neurons of the one before, which leave one by one, are ahead of its own.

    ``times`` tells how often they leave.
    """
    padding = placed.group_slots - placed.group_words
    return times * placed.last_lanes - padding - following.group_words


class IndexMemory(wiring.Component):
    """A read-only memory of the inputs that the neurons of sparse layers have, in the order in which a pass visits them.

    All lanes of a group have the same list, since they take one operand at a time. So the memory has a row for each slot of a sparse layer
    that is not a bias, and is read from its first row on, or from that of the layer in which a pass begins.

    Parameters
    ----------
    spec : DesignSpec
        The design whose lists are stored.

    Members
    -------
    opens, step, layer : In(1), In(1), In(unsigned)
        Slot that comes a cycle later: whether it is the first one of its pass or of a layer, whether a weight's slot follows it in its
        group, and its layer.
    listed : Out(1)
        The slot that follows multiplies a weight of a sparse layer.
    index : Out(unsigned)
        Number of the input that it multiplies.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        layers = len(spec.network.layers)
        super().__init__(
            {
                "opens": In(1),
                "step": In(1),
                "layer": In(range(max(2, layers))),
                "listed": Out(1),
                "index": Out(index_size(spec)[1]),
            }
        )

    def elaborate(self, platform):
        m = Module()
        placed, rows, (depth, width), starts, start = self.spec.layout.layers, index_rows(self.spec), index_size(self.spec), [], 0
        for each in placed:
            starts.append(start % len(rows))
            start += 0 if each.layer.lists is None else each.groups * each.layer.fan_in
        m.submodules.rows = store = memory.Memory(shape=width, depth=depth, init=rows)
        read, place, reads = store.read_port(), Signal(range(depth)), Signal()
        m.d.comb += [
            reads.eq(self.step & by_layer([int(each.layer.lists is not None) for each in placed], self.layer)),
            read.addr.eq(Mux(self.opens, by_layer(starts, self.layer), place)),
            self.index.eq(read.data),
        ]
        m.d.sync += [place.eq(read.addr + reads), self.listed.eq(reads)]
        return m


def next_operand(spec: DesignSpec, address: Value, base: Value, loads: Value, listed: Value, index: Value) -> Value:
    """Address of the operand of the slot that follows.

    It is that of the input with number ``index`` if the slot is ``listed``, of the layer whose inputs begin at ``base``; that of the
    layer's first input if the slot ``loads``; otherwise the next one.
    """
    if all(layer.lists is not None for layer in spec.network.layers):
        return base + index
    return Mux(loads | listed, base, address) + Mux(listed, index, ~loads)
