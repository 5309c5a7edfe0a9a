# amaranth: UnusedElaboratable=no
"""The errors of networks with stochastic layers, whose C̃ is multiplied by what counts have changed by, and not by a sign alone."""

from __future__ import annotations

from functools import cached_property

from amaranth.hdl import Cat, Const, Mux, Signal, signed
from amaranth.lib.wiring import In

from python_ref.spec.design import DesignSpec
from rtl_gen.broadcast import Scaler
from rtl_gen.presentation.errors import ErrorUnit, PartErrorUnit
from rtl_gen.presentation.layouts import noisy_layers
from rtl_gen.probe import shape_of
from rtl_gen.slot import delayed

__all__ = ["FactorErrorUnit", "PartFactorErrorUnit", "random_error_unit"]


class FactorErrorUnit(ErrorUnit):
    """Sums E_j ← E_j + m_j·C̃, and casts err_j = cast_error(2^(e + o)·E_j), where m is a sign and o is 0 unless the neuron is stochastic.

    Members
    -------
    change : In
        What the count of the neuron ``sign_index`` has changed by, one cycle later.
    """

    sum_latency = 3
    """Cycles from a neuron's turn to its new E: one to read E and the factor, one to multiply, one to sum."""

    @property
    def _ports(self):
        return {**super()._ports, "change": In(shape_of(self.spec.factor_format))}

    def _is_noisy(self, index):
        """Whether a neuron is stochastic."""
        sizes, found = self.spec.network.sizes[1:], []
        for number in noisy_layers(self.spec):
            begin = sum(sizes[:number])
            found.append((index >= begin) & (index < begin + sizes[number]))
        return Cat(found).any()

    def _add(self, m, index, total, old, active):
        """See :class:`~rtl_gen.presentation.errors.ErrorUnit`. The product takes a cycle of its own."""
        factor, product = Signal(self.change.shape(), name="factor"), Signal(self._product_shape, name="product", reset_less=True)
        is_noisy = delayed(m, self._is_noisy(index), 1, "is_noisy")
        sign = Mux(self.sign.negative, Const(-1, 2), Const(1, 2))
        m.d.comb += factor.eq(Mux(active, Mux(is_noisy, self.change, sign), 0))
        m.d.sync += [
            product.eq(self._times(factor)),
            total.eq(delayed(m, old, 1, "summand") + product),
            self.sign_o.eq(delayed(m, factor, 1, "factor")),
        ]

    @property
    def _product_shape(self):
        return signed(len(self.change) + len(self.cost_change))

    def _times(self, factor):
        """The product of a factor, of few bits, and C̃: a sum of shifted C̃, which takes no multiplier of the part."""
        terms = [
            (self.cost_change & bit.replicate(len(self.cost_change)).as_signed()).shift_left(place) for place, bit in enumerate(factor)
        ]
        *terms, highest = terms
        while len(terms) > 1:
            terms = [sum(terms[place + 1 : place + 2], terms[place]) for place in range(0, len(terms), 2)]
        return terms[0] - highest

    @property
    def _exponents(self) -> tuple[int, int]:
        """Smallest and largest e + o."""
        (low, high), offsets = self.spec.gradient_exponents, self._offsets
        return low + min(offsets), high + max(offsets)

    @property
    def _offsets(self) -> list[int]:
        """Offset o of the errors of each layer."""
        return [self.spec.error_offset(layer) for layer in range(len(self.spec.network.layers))]

    @cached_property
    def scaler(self) -> Scaler:
        """The scaler of E."""
        (low, high), total = self._exponents, self.spec.error_sum_format
        return Scaler(
            signed(total.width),
            dropped=total.fraction_bits - high - self.spec.error_format.fraction_bits,
            amounts=high - low + 1,
            target=self.spec.error_format,
            cast=self.spec.formats.error_cast,
        )

    def _scale(self, m, value):
        """The scaled and cast value, and whether it was out of range; the offset is that of the neuron whose E is scaled."""
        m.submodules.scaler = scaler = self.scaler
        is_noisy = delayed(m, self._is_noisy(self.sign_index), self.sum_latency, "noisy_sum")
        amounts = []
        for name, offset in (("own", self._offsets[noisy_layers(self.spec)[0]]), ("others", 0)):
            amount = Signal.like(scaler.amount, name=f"amount_{name}", reset_less=True)
            m.d.sync += amount.eq(self._exponents[1] - offset - self.exponent)
            amounts.append(amount)
        m.d.comb += [scaler.i.eq(value), scaler.amount.eq(Mux(is_noisy, *amounts))]
        return scaler.o, scaler.outside


class PartFactorErrorUnit(FactorErrorUnit, PartErrorUnit):
    """The error unit of networks with stochastic layers whose probes perturb parts in turn."""


def random_error_unit(spec: DesignSpec) -> FactorErrorUnit:
    """Return the error unit of a design with stochastic layers."""
    return PartFactorErrorUnit(spec) if spec.in_parts else FactorErrorUnit(spec)
