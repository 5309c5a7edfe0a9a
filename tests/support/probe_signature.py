"""The signatures of node perturbation from what the oracle of probes shows, by the words of their definition."""

from __future__ import annotations

import math
from fractions import Fraction

from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Fixed
from tests.support.neuron_inputs import neuron_inputs
from tests.support.oracle import signed_by_events

__all__ = ["ProbeSignature"]

Payload = list[tuple[int, int]]
"""Fields of (raw value, width) from the lowest bit up."""


def folded(payload: Payload) -> int:
    """The XOR of the 32-bit words of a payload."""
    packed = offset = 0
    for value, width in payload:
        packed |= value % 2**width << offset
        offset += width
    word = 0
    while packed:
        word ^= packed % 2**32
        packed >>= 32
    return word


def register_after(payloads: list[Payload]) -> int:
    """A register that starts with all ones, after events; not complemented."""
    return signed_by_events(0, payloads) ^ 0xFFFFFFFF


def raw(value: Fraction, fraction_bits: int) -> int:
    """A value as a raw integer."""
    scaled = value * Fraction(2) ** fraction_bits
    assert scaled.denominator == 1
    return scaled.numerator


def output_fraction(spec: DesignSpec, layer: int) -> int:
    """Number of fraction bits of the outputs of a layer: log₂N of a stochastic one."""
    draws = getattr(spec.network.kinds[layer], "draws", None) if spec.network.kinds else None
    return spec.formats.activation.fraction_bits if draws is None else draws.bit_length() - 1


def shown_width(spec: DesignSpec) -> int:
    """Width in bits of what is shown as an activation: a count where all layers have counts, whose format is UQ1.log₂N."""
    draws = [getattr(kind, "draws", None) for kind in spec.network.kinds]
    return spec.formats.activation.width if not draws or None in draws else max(each.bit_length() for each in draws)


class ProbeSignature:
    """Forward and learned signature of a run.

    Parameters
    ----------
    spec : DesignSpec
        Design whose events are signed.
    """

    def __init__(self, spec: DesignSpec) -> None:
        self.spec = spec
        self.signature = [0, 0]

    def clear(self) -> None:
        """Start anew."""
        self.signature = [0, 0]

    def step(self, found: dict) -> list[int]:
        """The signatures after a step that the oracle shows, with G before an update clears it."""
        self.signature[0] = signed_by_events(self.signature[0], [*self._passes(found), [self._raw(found["cost_change"], self._change)]])
        if found["ends"]:
            words = [folded(payload) for payload in self._words(found)]
            words[-1] ^= register_after([[self._raw(error, self.spec.error_format)] for error in found["error"]])
            self.signature[1] = signed_by_events(self.signature[1], [[(word, 32)] for word in words])
        return list(self.signature)

    def _raw(self, value: Fraction, form: Fixed) -> tuple[int, int]:
        return raw(value, form.fraction_bits), form.width

    @property
    def _change(self) -> Fixed:
        return self.spec.cost_change_format

    def _passes(self, found: dict) -> list[Payload]:
        """One word for each pass that the step ran."""
        spec, f, words = self.spec, self.spec.formats, []
        two_sided = len(found["cost"]) == 3
        for number in range(0 if found["begins"] else 1, len(found["cost"])):
            payloads, z, y = [], list(found["preactivation"][number]), list(found["activation"][number])
            evaluated = list(found["evaluated"][number])
            operand, width = f.input.fraction_bits, shown_width(spec)
            for layer, n_out in enumerate(spec.network.sizes[1:]):
                fraction = f.weight.fraction_bits + operand
                operand = output_fraction(spec, layer)
                for _ in range(n_out):
                    shown = [(raw(z.pop(0), fraction), spec.accumulator_width), (raw(y.pop(0), operand), width)]
                    if evaluated.pop(0):
                        payloads.append([(number, 1 + two_sided), *shown])
            assert not z and not y and not evaluated
            cost = [(number, 1 + two_sided), self._raw(found["cost"][number], spec.cost_format)]
            words.append([(register_after(payloads) ^ folded(cost), 32)])
        return words

    def _words(self, found: dict) -> list[Payload]:
        """The payload of each word of the lanes' memories."""
        spec, lanes, sizes, words = self.spec, self.spec.hardware.lanes, self.spec.network.sizes, []
        fan_in = [len(neuron_inputs(spec)[layer, 0]) for layer in range(len(sizes) - 1)]
        columns = [] if found["gradient"] is None else [(spec.gradient_format, found["gradient"])]
        columns += [] if found["momentum"] is None else [(spec.optimizer_state[0].format, found["momentum"])]
        columns += [] if found["square"] is None else [(spec.optimizer_state[-1].format, found["square"])]
        columns.append((spec.formats.weight, found["parameter"]))
        before = 0
        for operands, n_out in zip(fan_in, sizes[1:], strict=True):
            for group in range(math.ceil(n_out / lanes)):
                for k in range(operands + 1):
                    payload: Payload = []
                    for form, column in columns:
                        for lane in range(lanes):
                            o = group * lanes + lane
                            payload.append(self._raw(column[before + o * (operands + 1) + k], form) if o < n_out else (0, form.width))
                    words.append(payload)
            before += n_out * (operands + 1)
        return words
