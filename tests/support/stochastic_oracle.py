"""Networks with stochastic layers, probed in node perturbation, as slowly and plainly as can be: real numbers are exact fractions.

Written from the description of these networks alone: thresholds are bits of a register that shifts by one, and a count compares one
threshold after the other. The presentation around it (its probes, codes, parts, casts and updates) is that of
:mod:`tests.support.probe_oracle`.
"""

# Where the description leaves a choice, the oracle takes this one:
#
#  - A word is taken when its neuron is evaluated, in the order of the passes as the description lists them, whatever overlaps in time.
#  - A probe of a part takes words for the neurons of the part alone, since the signs of all others are 0.
#  - The unperturbed pass after a load, an inference or a restart begins a presentation, and takes new words: only the one that is repeated
#    after a STOP has the thresholds that it had.
#  - An answer in training is judged on the random outputs of the unperturbed pass, and one of an inference on the fixed ones.
#  - A stochastic output layer has outputs c/N, and the targets stay in the format of activations; one output answers 1 where c/N ≥ ½.
#  - m is 0 where the neuron's sign is 0, whatever its output does.
#  - A bias behind a stochastic layer multiplies err_j by 1 in the format of the counts, so a cast drops bits by that format.

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from python_ref.spec.design import Cast, DesignSpec
from python_ref.spec.number import Fixed
from tests.support.oracle import Stream, activated
from tests.support.probe_oracle import Pass, ProbeOracle

__all__ = ["StochasticOracle", "fixed_thresholds"]

DRAWS = (1, 2, 4, 8, 16)
"""Numbers of draws that a neuron may have."""

Neuron = tuple[int, int]
"""A neuron (layer, neuron)."""


def fixed_thresholds(draws: int, fraction_bits: int) -> list[int]:
    """The thresholds of an inference: the largest whole numbers below the middles of ``draws`` equal parts of 0 to 2^F."""
    found = []
    for i in range(draws):
        middle = Fraction(2 * i + 1, 2 * draws) * 2**fraction_bits
        found.append(max(u for u in range(2**fraction_bits) if u < middle))
    return found


class StochasticOracle(ProbeOracle):
    """The machine with stochastic layers in plain Python numbers; see :class:`~tests.support.probe_oracle.ProbeOracle`.

    Parameters
    ----------
    spec : DesignSpec
        Design, of node perturbation, with a layer whose kind has the name "stochastic" and the number N of its ``draws``.
    parameters : sequence of int
        Raw parameters at the start.
    seed : int
        Seed of the random streams.
    error : Fixed
        Format of err_j.
    error_cast : Cast
        Rounding and overflow of the cast to it.

    Raises
    ------
    ValueError
        If the design is not one of this machine.
    """

    def __init__(self, spec: DesignSpec, parameters: Sequence[int], seed: int, *, error: Fixed, error_cast: Cast) -> None:
        self.draws = {layer: kind.draws for layer, kind in enumerate(spec.network.kinds) if kind.name == "stochastic"}
        self.fraction = spec.formats.activation.fraction_bits
        self.word = max(self.draws.values(), default=0) * self.fraction
        for layer, draws in self.draws.items():
            function = spec.network.output if layer == len(spec.network.sizes) - 2 else spec.network.hidden
            if draws not in DRAWS or 2**self.fraction < 2 * draws or self.word > 126:
                raise ValueError(f"A stochastic layer must not have {draws} draws with {self.fraction} fraction bits")
            if function.value not in ("sigmoid", "hard-sigmoid"):
                raise ValueError(f"A stochastic layer must not have the activation {function.value}")
        self.fixed = {layer: fixed_thresholds(draws, self.fraction) for layer, draws in self.draws.items()}
        self.taken: dict[Neuron, list[int]] = {}
        self.kept_thresholds: dict[Neuron, list[int]] = {}
        self.drawing: set[Neuron] = set()
        self.inferring = False
        super().__init__(spec, parameters, seed, error=error, error_cast=error_cast)
        self.one_changes = False

    # -- Thresholds -------------------------------------------------------------------------------------------------

    def next_word(self, layer: int) -> list[int]:
        """The thresholds of the next word of the stream, as many as a neuron of the layer has draws."""
        bits = [self.thresholds.bit(self.words_taken, i) for i in range(self.draws[layer] * self.fraction)]
        self.words_taken += 1
        return [sum(bits[i * self.fraction + b] * 2**b for b in range(self.fraction)) for i in range(self.draws[layer])]

    def thresholds_of(self, layer: int, o: int) -> list[int]:
        """The thresholds of a neuron in the present pass."""
        if self.inferring:
            return self.fixed[layer]
        if (layer, o) in self.drawing:
            return self.next_word(layer)
        return self.kept_thresholds[layer, o]

    def output(self, layer: int, o: int, z: Fraction) -> tuple[Fraction, bool]:
        """The output c/N of a stochastic neuron, or the activation of another one."""
        f, saturated = activated(self.spec, self.function_of(layer), z)
        if layer not in self.draws:
            return f, saturated
        raw = f * 2**self.fraction
        assert raw.denominator == 1
        self.taken[layer, o] = thresholds = self.thresholds_of(layer, o)
        return Fraction(sum(raw > u for u in thresholds), self.draws[layer]), saturated

    # -- Passes -----------------------------------------------------------------------------------------------------

    def operand_fraction(self, layer: int) -> int:
        """Number of fraction bits of the inputs of a layer: log₂N behind a stochastic one."""
        if layer - 1 not in self.draws:
            return super().operand_fraction(layer)
        return DRAWS.index(self.draws[layer - 1])

    def run_pass(self, first: int = 0, kept: Pass | None = None, shift: dict[Neuron, Fraction] | None = None) -> Pass:
        """A pass, in which stochastic neurons draw instead of being shifted; see :class:`~tests.support.probe_oracle.ProbeOracle`.

        The unperturbed pass of a presentation draws for all neurons, and not when it is repeated.
        """
        self.taken = {}
        stochastic = [key for key in self.neurons if key[0] in self.draws]
        if shift is not None:
            self.drawing = {key for key in stochastic if shift[key] != 0}
            shift = shift | dict.fromkeys(stochastic, Fraction(0))
        elif not self.inferring:
            self.drawing = set() if self.presenting else set(stochastic)
        made = super().run_pass(first, kept, shift)
        if shift is None and not self.inferring:
            self.kept_thresholds = dict(self.taken)
        return made

    def factors(self, signs: dict[Neuron, int], passes: Sequence[Pass]) -> dict[Neuron, int]:
        """m: the sign, or the change of a stochastic neuron's count between the two passes of the difference."""
        a, b = (passes[1], passes[2]) if self.two_sided else (passes[1], passes[0])
        found = dict(signs)
        for (layer, o), s in signs.items():
            if layer in self.draws:
                change = (a.y[layer, o] - b.y[layer, o]) * self.draws[layer]
                found[layer, o] = int(change) if s else 0
        return found

    def error_scale(self, key: Neuron) -> Fraction:
        """2^o of a stochastic neuron."""
        if key[0] not in self.draws:
            return Fraction(1)
        return self.delta if self.two_sided else self.delta / 2

    # -- Events -----------------------------------------------------------------------------------------------------

    def infer(self, inputs: Sequence[int], targets: Sequence[int]) -> dict[str, object]:
        """Judge a raw sample, with the fixed thresholds."""
        self.inferring = True
        found = super().infer(inputs, targets)
        self.inferring = False
        return found

    def restart(self, seed: int) -> dict[str, object]:
        """Begin all periods and random streams anew, the thresholds' too."""
        self.thresholds, self.words_taken = Stream(self.word, seed, "draws"), 0
        return super().restart(seed)
