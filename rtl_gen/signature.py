"""Running signatures: CRC-32 of everything a core computes, so that long runs can be compared step by step."""

from __future__ import annotations

import zlib

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Signature", "fold"]


def fold(payload: Value) -> Value:
    """XOR of the 32-bit words of a packed payload, the last filled up with zeros."""
    value = payload[:32]
    for first in range(32, len(payload), 32):
        value = value ^ payload[first : first + 32]
    return value


class Signature(wiring.Component):
    """CRC-32 (ISO-HDLC, zlib's) over the folded payloads of events, each a little-endian 32-bit word.

    Parameters
    ----------
    widths : tuple of int
        Widths of the payloads; at most one event comes a cycle.

    Members
    -------
    stb : In(len(widths))
        An event.
    payload0, payload1, … : In(width)
        Its payload.
    clear : In(1)
        Start over.
    crc : Out(32)
        The signature, ``latency`` cycles later.
    """

    latency = 2

    def __init__(self, widths: tuple[int, ...]):
        self.widths = widths
        ports = {f"payload{number}": In(width) for number, width in enumerate(widths)}
        super().__init__({"stb": In(len(widths)), **ports, "clear": In(1), "crc": Out(32)})

    def elaborate(self, platform):
        m = Module()
        word, valid = Signal(32, reset_less=True), Signal()
        m.d.sync += valid.eq(self.stb.any())
        for number in range(len(self.widths)):
            with m.If(self.stb[number]):
                m.d.sync += word.eq(fold(getattr(self, f"payload{number}")))
        # The register holds the complement of the signature, as CRC-32 is defined.
        state = Signal(32, init=-1)
        mixed = Signal(32)
        m.d.comb += [mixed.eq(state ^ word), self.crc.eq(~state)]
        with m.If(self.clear):
            m.d.sync += state.eq(-1)
        with m.Elif(valid):
            m.d.sync += state.eq(Cat(Cat(mixed[i] for i in taps).xor() for taps in _taps()))
        return m


def _taps() -> list[list[int]]:
    """Bits of register XOR word whose sum is each bit of the register after the word; zlib tells: the CRC is linear."""
    columns = [zlib.crc32((1 << bit).to_bytes(4, "little"), 0xFFFFFFFF) ^ 0xFFFFFFFF for bit in range(32)]
    return [[bit for bit in range(32) if columns[bit] >> row & 1] for row in range(32)]
