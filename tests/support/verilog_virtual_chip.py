"""The twin of mgd_hw/hardware/virtual_chip.v in whole numbers of Python, written from the comments of that file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from python_ref.spec.learner import LearnerSpec

__all__ = ["VerilogTwin"]


class VerilogTwin:
    """The chip of ``simulation/``, as the fixed model takes it.

    Parameters
    ----------
    spec : LearnerSpec
        Learner whose words and cost words the chip takes and gives.
    source : Path
        The Verilog, whose figures the twin takes: the defaults of its parameters.
    """

    def __init__(self, spec: LearnerSpec, source: Path) -> None:
        self.spec, n = spec, spec.quantities
        found = re.findall(r"^ +parameter ([A-Z_]+) = (-?\d+)", source.read_text(encoding="utf-8"), re.MULTILINE)
        self.of = {name: int(value) for name, value in found}
        self.random, self.reading, self.measured = self.of["SEED"], 0, 0
        rows = [(256 + self.drawn("GAIN"), self.drawn("OFFSET"), self._draw(1 << spec.formats.weight.fraction_bits)) for _ in range(n)]
        self.gains, self.offsets, self.targets = (list(column) for column in zip(*rows, strict=True))
        self.weights = [[0] * 4 for _ in range(n)]

    def drawn(self, name: str) -> int:
        """A number of the chip's own from -most to most, the parameter of that name."""
        return self._draw(self.of[name])

    def _draw(self, most: int) -> int:
        self.random = (self.random * 1103515245 + 12345) % 2**32
        return (self.random >> 8) % 2**23 % (2 * most + 1) - most if most else 0

    def apply(self, errors: np.ndarray) -> None:
        """Subtract the error of each node times its inputs from its weights, those of the sample that was measured last."""
        for weights, error in zip(self.weights, errors.tolist(), strict=True):
            for i in range(4):
                weights[i] -= error * (1 if self.measured >> i & 1 else -1)

    def __call__(self, words: np.ndarray, sample: int, count: int) -> list[int]:
        """Return the raw cost words of a measurement."""
        form, cost, total = self.spec.formats.weight, self.spec.formats.cost, 0
        step, shift = 2 ** self.of["DROPPED"], 1 << (form.fraction_bits - 4)
        for k, word in enumerate(words.tolist()):
            self.offsets[k] += self.drawn("DRIFT")
            x = toward_zero(self.gains[k] * (word // step * step), 256) + self.offsets[k]
            x += sum(weight * (1 if sample >> i & 1 else -1) for i, weight in enumerate(self.weights[k]))
            total += (x - self.targets[k] + (shift if sample >> k % 4 & 1 else 0)) ** 2
        settled = total // len(words) // 2 ** (2 * form.fraction_bits - cost.fraction_bits)
        self.reading = settled + toward_zero((self.reading - settled) * self.of["LAG"], 256)
        self.measured = sample
        return [min(self.reading + self.drawn("NOISE"), cost.max) for _ in range(count)]


def toward_zero(value: int, divisor: int) -> int:
    """A quotient without its fraction, as Verilog divides."""
    return value // divisor if value >= 0 else -(-value // divisor)
