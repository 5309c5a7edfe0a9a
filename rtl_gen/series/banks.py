"""A memory in two halves with one port each, of the even and of the odd words."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.slot import SINGLE_PORT, delayed

__all__ = ["EvenOddMemory", "bank_words"]


def bank_words(spec: DesignSpec) -> int:
    """Return the number of words in a half of the memory of E."""
    return max(2, -(-spec.quantities // 2))


class EvenOddMemory(wiring.Component):
    """A memory whose reads and writes, in one cycle, are of words of which one is even and the other odd, or are not both.

    Each half reads or writes in a cycle, so that it may be a large memory with one port (:data:`rtl_gen.slot.SINGLE_PORT`).

    Parameters
    ----------
    shape : Shape
        Width of what is stored at an address, and whether it has a sign.
    words : int
        Number of words of each half, at least 2.
    delay : int
        Cycles by which a word is written later than it comes.

    Members
    -------
    read, write : In
        Addresses, data and write enable, as of the ports of a memory; data that is read comes a cycle later.
    """

    def __init__(self, shape, words: int, *, delay: int):
        self._shape, self._words, self._delay = shape, words, delay
        address = In(range(2 * words))
        read = wiring.Signature({"addr": address, "data": Out(shape)})
        write = wiring.Signature({"addr": address, "data": In(shape), "en": In(1)})
        super().__init__({"read": Out(read), "write": Out(write)})

    def elaborate(self, platform):
        m = Module()
        place, data = (delayed(m, getattr(self.write, name), self._delay, name) for name in ("addr", "data"))
        enable, found = delayed(m, self.write.en, self._delay, "en", reset_less=False), []
        for odd, name in enumerate(("even", "odd")):
            m.submodules[name] = store = memory.Memory(shape=self._shape, depth=self._words, init=[], attrs=SINGLE_PORT)
            write, read = store.write_port(), store.read_port()
            here, address = Signal(name=f"{name}_en"), Signal(range(self._words), name=f"{name}_address")
            m.d.comb += [
                here.eq(enable & (place[0] == odd)),
                address.eq(Mux(here, place[1:], self.read.addr[1:])),
                *(port.addr.eq(address) for port in (write, read)),
                *(write.data.eq(data), write.en.eq(here), read.en.eq(~here)),
            ]
            found.append(read.data)
        m.d.comb += self.read.data.eq(Mux(delayed(m, self.read.addr[0], 1, "reads_odd"), found[1], found[0]))
        return m
