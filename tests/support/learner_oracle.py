"""The learner once more, in plain numbers: loops over quantities, real numbers as exact fractions.

Written from the page on the learner alone, before there was a model. It takes from a design what the design file says.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from python_ref.spec.learner import LearnerSpec
from python_ref.spec.number import Fixed
from tests.support.adam_oracle import AdamOracle, scale_of
from tests.support.oracle import Stream, counted_sign, folded, narrow, rule_of, signed_by_events

__all__ = ["LearnerOracle"]

Chip = Callable[[list[int], int, int], list[int]]
"""The outside: from raw words, the index of the sample, and the number of cost words that are asked for, to those that come in time."""


def _bits(form: Fixed) -> int:
    return form.integer_bits + form.fraction_bits


def _raw(value: Fraction, fraction_bits: int) -> int:
    scaled = value * Fraction(2) ** fraction_bits
    assert scaled.denominator == 1
    return scaled.numerator


class LearnerOracle:
    """A learner of plain Python numbers.

    ``average`` and ``samples`` are what the host may write between two steps, and ``loaded`` is set after a load.
    """

    def __init__(self, spec: LearnerSpec, parameters: list[int], seed: int) -> None:
        f, self.spec = spec.formats, spec
        self.N = spec.quantities
        self.delta = Fraction(2) ** spec.perturbation.amplitude_log2
        self.two_sided = spec.schedule.difference.value == "two-sided"
        self.rule, self.k = rule_of(spec.optimizer)
        asked = spec.hardware.gradient_memory
        self.memory = spec.schedule.update_period > 1 if asked is None else asked
        self.direct = not self.memory and spec.optimizer.name == "sgd"
        self.g_format = f.gradient or Fixed(True, f.weight.integer_bits, f.weight.fraction_bits + 8)
        self.adam, self.scale = None, Fraction(1)
        if spec.optimizer.name == "shift-adam":
            self.g_format = f.gradient or Fixed(True, 1, 15)
            self.adam = AdamOracle(spec.optimizer, self.g_format, f.weight)
            self.scale = scale_of(self.g_format, (self.N, True), (spec.schedule.update_period, True))
        source, drops = self.g_format.fraction_bits, [0]
        if self.rule is not None:
            whole, fraction = self.g_format.integer_bits + self.k, self.g_format.fraction_bits
            while whole + fraction > 32 and fraction > 1:
                fraction -= 1
            self.m_format = spec.optimizer.format or Fixed(True, whole, fraction)
            bits = self.m_format.fraction_bits, self.g_format.fraction_bits, self.k
            source = self.rule.source_bits(*bits)
            self.decay_drops = self.rule.moved_bits(*bits) - self.m_format.fraction_bits
            if spec.optimizer.rounding.value == "stochastic":
                drops.append(self.decay_drops)
        self.update_drops = source - f.weight.fraction_bits
        if f.weight_cast.rounding.value == "stochastic":
            drops.append(self.update_drops)
        if self.adam:
            drops = [0, *self.adam.drops(f.weight_cast.rounding.value == "stochastic").values()]
            self.update_drops = self.adam.source_fraction - f.weight.fraction_bits
        self.word_bits = max(drops)
        self.stochastic = Stream(self.word_bits, seed, "stochastic") if self.word_bits else None
        self.stream = Stream(1, seed, "signs")
        self.average, self.samples = spec.outside.average, spec.outside.samples
        self.theta = [raw / Fraction(2) ** f.weight.fraction_bits for raw in parameters]
        self.G, self.m, self.v = ([Fraction(0)] * self.N for _ in range(3))
        self.n = self.u = self.taken = 0
        self.loaded, self.late = True, False
        self.held: tuple[list[int], Fraction] | None = None
        self.signature = [0, 0]
        self.shown: list[int] = []  # the indices that were sent
        self.count = dict.fromkeys(
            ["writes", "changed", "cost_change", "broadcast", "gradient", "momentum", "square", "update", "weight"], 0
        )

    def sign(self, q: int, p: int) -> int:
        code = self.spec.perturbation.code.name
        if code != "lfsr":
            return counted_sign(code, q, self.N, p)
        return (-1 if self.stream.bit(p * self.N + q, 0) else 1) * (-1 if p % 2 else 1)

    def random(self, q: int, dropped: int) -> Fraction:
        if self.stochastic is None or dropped <= 0:
            return Fraction(0)
        word = sum(2**i * self.stochastic.bit(self.u * self.N + q, i) for i in range(self.word_bits))
        return Fraction(word % 2**dropped, 2**dropped)

    def measure(self, chip: Chip, signs: list[int], direction: int, index: int) -> tuple[list[int], Fraction] | None:
        """The raw words of a pass, and C; None if a cost does not come in time."""
        f, wanted = self.spec.formats, 2**self.average
        words = [_raw(t + direction * s * self.delta, f.weight.fraction_bits) for t, s in zip(self.theta, signs, strict=True)]
        costs = chip(words, index, wanted)
        if len(costs) < wanted:
            return None
        return words, Fraction(sum(costs), wanted) / Fraction(2) ** f.cost.fraction_bits

    def passes(self, chip: Chip, signs: list[int]) -> tuple | None:
        """The numbers of the passes that are measured, what both passes find, and whether the step takes a sample."""
        schedule, n = self.spec.schedule, self.n
        fresh = self.loaded or n % schedule.sample_period == 0
        index = (self.taken if fresh else self.taken - 1) % self.samples
        if fresh:
            self.shown.append(index)
        run = [0, 1]
        if self.two_sided:
            first = self.measure(chip, signs, +1, index)
            second = self.measure(chip, signs, -1, index) if first else None
        else:
            first = self.held
            if fresh or self.late or n % schedule.update_period == 0:
                first = self.measure(chip, signs, 0, index)
            else:
                run = [1]
            second = self.measure(chip, signs, +1, index) if first else None
        if first is None or second is None:
            return None
        self.held = first
        return run, first, second, fresh

    def step(self, chip: Chip) -> dict[str, list] | None:
        """A step; its observables as real values, or None where it is abandoned."""
        spec, f, n, count = self.spec, self.spec.formats, self.n, self.count
        signs = [self.sign(q, n // spec.schedule.perturbation_period) for q in range(self.N)]
        measured = self.passes(chip, signs)
        if measured is None:
            self.late = True
            return None
        run, first, second, fresh = measured
        change = first[1] - second[1] if self.two_sided else second[1] - first[1]
        if f.cost_change:
            change, outside = narrow(change, f.cost_change, f.cost_change_cast.rounding.value, f.cost_change_cast.overflow.value)
            count["cost_change"] += outside
        eta = Fraction(2) ** [rate for start, rate in spec.schedule.learning_rate if start <= n][-1]
        scaled = (self.scale if self.adam else eta) / self.delta / (2 if self.two_sided else 1) * change
        updating = (n + 1) % spec.schedule.update_period == 0
        broadcast, correlated, errors = self.learn(scaled, signs, updating)
        self.n, self.u, self.loaded, self.late, self.taken = n + 1, self.u + updating, False, False, self.taken + fresh
        if spec.hardware.signature:
            self.sign_events([(number, (first, second)[number]) for number in run], change, broadcast, signs, correlated, errors)
        return {
            "presented": [*first[0], *second[0]],
            "cost": [first[1], second[1]],
            "cost_change": [change],
            "broadcast": broadcast,
            "sign": signs,
            "error": errors,
            "gradient": correlated,
            "momentum": list(self.m),
            "square": list(self.v),
            "parameter": list(self.theta),
            "counter": {"steps": self.n, "updates": self.u, **count},
            "signature": list(self.signature),
        }

    def learn(self, scaled: Fraction, signs: list[int], updating: bool) -> tuple[list[Fraction], list[Fraction], list[Fraction]]:
        """The broadcast of each quantity, G before it is cleared, and the error of each current; θ, G and m change."""
        spec, f, count = self.spec, self.spec.formats, self.count
        modes = (f.weight_cast.rounding.value, f.weight_cast.overflow.value)

        def within(value: Fraction, form: Fixed, margin: Fraction, kind: str) -> Fraction:
            last, reach = Fraction(2) ** -form.fraction_bits, Fraction(2) ** (form.integer_bits - 1)
            low, high = -reach + margin, reach - last - margin
            count[kind] += not low <= value <= high
            return min(max(value, low), high)

        broadcast, correlated, errors = [], [], []
        for q, s in enumerate(signs):
            g, outside = narrow(scaled, self.g_format, f.gradient_cast.rounding.value, f.gradient_cast.overflow.value)
            count["broadcast"] += outside
            if self.direct:
                g, outside = narrow(g, f.weight, *modes, self.random(q, self.update_drops))
                count["update"] += outside
                moves = s * g
            else:
                self.G[q] = within(self.G[q] + s * g, self.g_format, Fraction(0), "gradient")
                correlated.append(self.G[q])
                source = self.G[q]
                if updating:
                    if self.rule is not None:
                        self.m[q], outside = narrow(
                            self.rule.moved(self.m[q], self.G[q], self.k),
                            self.m_format,
                            spec.optimizer.rounding.value,
                            spec.optimizer.overflow.value,
                            self.random(q, self.decay_drops),
                        )
                        count["momentum"] += outside
                        source = self.rule.source(self.m[q], self.G[q], self.k)
                    if self.adam:
                        source = self.adapt(q)
                    moves, outside = narrow(source, f.weight, *modes, self.random(q, self.update_drops))
                    count["update"] += outside
                    self.G[q] = Fraction(0)
            broadcast.append(g)
            errors.append(moves if updating else Fraction(0))
            if updating:
                old = self.theta[q]
                self.theta[q] = within(old - moves, f.weight, self.delta, "weight")
                count["writes"] += 1
                count["changed"] += self.theta[q] != old
        return broadcast, correlated, errors

    def adapt(self, q: int) -> Fraction:
        """Source of an update by Adam; m and v change."""
        assert self.adam
        rate, drops = [rate for start, rate in self.spec.schedule.learning_rate if start <= self.n][-1], self.adam.decay_drops
        moved = self.adam.move(self.m[q], self.v[q], self.G[q], rate, self.u, lambda kind: self.random(q, drops[kind]))
        self.m[q], self.v[q] = moved.m, moved.v
        for kind, outside in moved.outside.items():
            self.count[kind] += outside
        return moved.source

    def sign_events(self, run: list, change: Fraction, broadcast: list, signs: list[int], correlated: list, errors: list) -> None:
        """Continue the signatures by the events of a step."""
        f = self.spec.formats
        mean = Fixed(True, f.cost.integer_bits, f.cost.fraction_bits + self.spec.outside.average)
        forward = []
        for number, (words, c) in run:
            rows = [[(number, 1), *((int(word), _bits(f.weight)) for word in row)] for row in self.rows(words)]
            left = signed_by_events(0, rows) ^ 0xFFFFFFFF
            forward.append([(left ^ folded([(number, 1), (_raw(c, mean.fraction_bits), _bits(mean))]), 32)])
        change_format = f.cost_change or Fixed(True, mean.integer_bits + 1, mean.fraction_bits)
        forward.append([(_raw(change, change_format.fraction_bits), _bits(change_format))])
        self.signature[0] = signed_by_events(self.signature[0], forward)
        form = f.weight if self.direct else self.g_format
        columns = [] if self.direct else [(self.g_format, correlated)]
        columns += [] if self.rule is None else [(self.m_format, self.m)]
        if self.adam:
            columns += [(self.adam.m_format, self.m)] if self.spec.optimizer.k1 else []
            columns.append((self.adam.v_format, self.v))
        columns.append((f.weight, self.theta))
        shown = [[(_raw(Fraction(value), form.fraction_bits), _bits(form)) for value in row] for row in self.rows(broadcast)]
        for row, some in zip(shown, self.rows(signs), strict=True):
            row += [(int(sign), 2) for sign in some]
        if self.spec.perturbation.kind.value == "node":
            columns.insert(0, (Fixed(True, f.weight.integer_bits + self.direct, f.weight.fraction_bits), errors))
        for own, column in columns:
            for row, values in zip(shown, self.rows(column), strict=True):
                row += [(_raw(Fraction(value), own.fraction_bits), _bits(own)) for value in values]
        self.signature[1] = signed_by_events(self.signature[1], shown)

    def rows(self, values: list) -> list[list]:
        """Values as the lanes show them slot by slot: quantity q in lane q mod L, and 0 where there is none."""
        lanes = self.spec.hardware.lanes
        return [[values[q] if q < self.N else Fraction(0) for q in range(first, first + lanes)] for first in range(0, self.N, lanes)]
