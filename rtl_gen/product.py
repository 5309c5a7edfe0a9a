# amaranth: UnusedElaboratable=no
"""The product of one multiplier, where it is held."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.slot import delayed

__all__ = ["Product"]


def _with_sign(factor):
    return factor if factor.shape().signed else Cat(factor, 0).as_signed()


class Product(wiring.Component):
    """o = a·b, a cycle later, or with ``far`` two: a block of its own, so that synthesis gives it one DSP and leaves the sum outside.

    With ``far`` the factors are held too, so that no wire from afar shares its cycle with the multiplier.
    """

    def __init__(self, a, b, *, pipelined: bool = False):
        self.pipelined = pipelined
        super().__init__({"a": In(a), "b": In(b), "o": Out(signed(sum(each.width + (not each.signed) for each in (a, b))))})

    def elaborate(self, platform):
        m = Module()
        # A register has all bits that the product has, and no more: only so is it found in the DSP.
        product = Signal.like(self.o, name="held", reset_less=True)
        a, b = (delayed(m, each, int(self.pipelined), f"{name}_held") for name, each in (("a", self.a), ("b", self.b)))
        m.d.sync += product.eq(_with_sign(a) * _with_sign(b))
        m.d.comb += self.o.eq(product)
        return m
