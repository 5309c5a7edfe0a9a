"""Networks with state in plain Python, with the derivative by one parameter at a time: forward differentiation by dual numbers.

It shares nothing with ``python_ref``: loops over frames and neurons forward, where the float side multiplies matrices and goes back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Dual", "PlainLayer", "PlainSeries"]


class Dual(NamedTuple):
    """A number, and its derivative by the parameter or the perturbation at hand."""

    value: float
    slope: float = 0.0

    def plus(self, other: Dual, factor: float = 1.0) -> Dual:
        """This number plus ``factor`` times another."""
        return Dual(self.value + factor * other.value, self.slope + factor * other.slope)

    def times(self, other: Dual) -> Dual:
        """The product."""
        return Dual(self.value * other.value, self.slope * other.value + self.value * other.slope)


class PlainLayer(NamedTuple):
    """A layer: its kind ("dense", "leaky" or "lif"), number of neurons, function ("tanh" or "identity"), leak and steepness."""

    kind: str
    n_out: int
    function: str = "tanh"
    leak: int = 0
    steepness: float = 2.0

    def after(self, z: Dual, state: Dual) -> tuple[Dual, Dual]:
        """Output and state of a neuron after a frame."""
        if self.kind == "lif":
            charged = state.plus(state, -(0.5**self.leak)).plus(z)
            fired = charged.value >= 1
            spike = Dual(float(fired), charged.slope / (1 + self.steepness * abs(charged.value - 1)) ** 2)
            return spike, Dual(charged.value - fired, charged.slope)
        y = z if self.function == "identity" else Dual(math.tanh(z.value), (1 - math.tanh(z.value) ** 2) * z.slope)
        if self.kind == "dense":
            return y, state
        kept = state.plus(y.plus(state, -1.0), 0.5**self.leak)
        return kept, kept


class PlainSeries(NamedTuple):
    """A network with state; its number of inputs, its layers, and what the tail receives ("last" or "sum")."""

    n_in: int
    layers: Sequence[PlainLayer]
    readout: str = "last"

    @property
    def framed(self) -> int:
        """Number of layers that are evaluated in every frame."""
        return max(number for number, layer in enumerate(self.layers, 1) if layer.kind != "dense")

    def outputs(self, theta: Sequence[float], frames: Sequence[Sequence[float]], by: int | None = None, moved: dict | None = None) -> list:
        """Outputs of one sample as dual numbers, with their derivatives by parameter ``by``.

        ``moved`` adds a dual number to the pre-activation of an evaluation (frame, layer, neuron); the tail is in frame −1.
        """
        parameters = [Dual(value, float(number == by)) for number, value in enumerate(theta)]
        states = [[Dual(0.0)] * layer.n_out for layer in self.layers]
        read: list[Dual] = []
        for t, values in enumerate(frames):
            x = [Dual(value) for value in values]
            for number in range(self.framed):
                x = self.layer(number, parameters, x, states, (moved or {}), t)
            read = [a.plus(b) for a, b in zip(read, x, strict=True)] if self.readout == "sum" and read else x
        for number in range(self.framed, len(self.layers)):
            read = self.layer(number, parameters, read, states, (moved or {}), -1)
        return read

    def layer(self, number: int, parameters: list[Dual], x: list[Dual], states: list[list[Dual]], moved: dict, t: int) -> list[Dual]:
        """Outputs of a layer in a frame; ``states`` are moved on."""
        layer, found, after = self.layers[number], [], []
        operands = [Dual(1.0), *x, *(states[number] if layer.kind == "leaky" else [])]
        first = sum(each.n_out * self.width(before) for before, each in enumerate(self.layers[:number]))
        for o in range(layer.n_out):
            z = moved.get((t, number, o), Dual(0.0))
            for i, operand in enumerate(operands):
                z = z.plus(parameters[first + o * len(operands) + i].times(operand))
            output, state = layer.after(z, states[number][o])
            found.append(output)
            after.append(state)
        states[number] = after
        return found

    def width(self, number: int) -> int:
        """Number of parameters of each neuron of a layer."""
        n_in = self.layers[number - 1].n_out if number else self.n_in
        return 1 + n_in + (self.layers[number].n_out if self.layers[number].kind == "leaky" else 0)
