# amaranth: UnusedElaboratable=no
"""The registered product of one multiplier."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.slot import delayed

__all__ = ["Product"]


def _with_sign(factor):
    return factor if factor.shape().signed else Cat(factor, 0).as_signed()


class Product(wiring.Component):
    """o = a·b one cycle later, or two if ``pipelined``, in a module of its own, so that synthesis maps it to one DSP block without the sum.

    If ``pipelined``, the factors are registered as well, so that long wires and the multiplier do not share a cycle.

    Parameters
    ----------
    a, b : Shape
        Shapes of the two factors.
    pipelined : bool
        Whether the factors are registered as well as the product.

    Members
    -------
    a, b : In
        The two factors, signed or unsigned.
    o : Out(signed)
        The product, wide enough for all values of the factors.
    """

    def __init__(self, a, b, *, pipelined: bool = False):
        self.pipelined = pipelined
        super().__init__({"a": In(a), "b": In(b), "o": Out(signed(sum(each.width + (not each.signed) for each in (a, b))))})

    def elaborate(self, platform):
        m = Module()
        # The register has exactly the bits of the product; otherwise synthesis does not move it into the DSP block.
        product = Signal.like(self.o, name="held", reset_less=True)
        a, b = (delayed(m, each, int(self.pipelined), f"{name}_held") for name, each in (("a", self.a), ("b", self.b)))
        m.d.sync += product.eq(_with_sign(a) * _with_sign(b))
        m.d.comb += self.o.eq(product)
        return m
