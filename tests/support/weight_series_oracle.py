"""Weight perturbation of networks with state, as slowly and plainly as can be: real numbers are exact fractions.

Written from the description of these networks alone. The passes are those of :mod:`tests.support.series_oracle`, with other parameters;
codes, casts, periods and optimisers are those of :mod:`tests.support.oracle`.
"""

# Where the description leaves a choice, the oracle takes this one:
#
#  - The sign of a parameter lasts for all frames of a step and for its tail, also in a sample that ends early.
#  - A visit has the slots of one frame and of the tail, layer by layer; those of a group are as many as in a network without state, with
#    the states behind the inputs in a leaky layer. Walsh and sequential codes count the parameters in the order of slots, then of lanes.
#  - The counters ``broadcast``, ``gradient``, ``update``, ``momentum``, ``square`` and ``weight`` count a parameter once in a step,
#    whatever the number of frames; ``activation`` and ``state`` count each evaluation of a pass that the core runs. A baseline that still
#    holds is not measured, and not counted.
#  - An answer is judged on the first pass of a new sample: on C₀'s, or where the difference is two-sided on that of θ + s·Δ.
#  - The inputs of a neuron that the scale of G with Adam by shifts counts are those of its layer, without its states.
#  - A stop flushes what is pending, which the oracle never delays, so it changes nothing: no sample and no baseline is due after it.
#  - A load, an inference and a restart leave G and the state variables of the optimiser alone, and the counters but for those of steps and
#    updates, which a restart begins anew. The next step takes a new sample, judges it and measures its baseline.
#  - An inference counts its answer, and no saturation, of the state neither.
#  - A load limits no parameter.

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from python_ref.spec.design import DesignSpec
from tests.support.oracle import Oracle
from tests.support.series_oracle import Place, SeriesNetwork, SeriesPass

__all__ = ["WeightSeriesOracle"]

Found = tuple[dict[Place, Fraction], dict[Place, Fraction], Fraction, SeriesPass]
"""What a pass finds: z and y by evaluation, C, and all that it computed."""


class WeightSeriesOracle(SeriesNetwork, Oracle):
    """The machine with state in plain Python numbers; see :class:`~tests.support.oracle.Oracle`.

    Parameters
    ----------
    spec : DesignSpec
        Design, of weight perturbation; see also :class:`~tests.support.series_oracle.SeriesNetwork`.
    parameters : sequence of int
        Raw parameters at the start, each neuron's bias, weights and recurrent weights.
    seed : int
        Seed of the random streams.
    """

    def __init__(self, spec: DesignSpec, parameters: Sequence[int], seed: int) -> None:
        if spec.perturbation.hold is not None or spec.perturbation.parts:
            raise ValueError("In weight perturbation a network with state must have neither hold nor parts")
        SeriesNetwork.__init__(self, spec)
        Oracle.__init__(self, spec, list(parameters), seed)

    def inputs_of(self, spec: DesignSpec) -> dict[tuple[int, int], list[int]]:
        """The operands of each neuron, whose states lie behind the inputs."""
        return {(layer, o): list(range(self.fan_in(layer))) for layer, o in self.neurons}

    def scale_counts(self) -> list[tuple[int, bool]]:
        """Also the frames of a sample, by their root."""
        return [*super().scale_counts(), (self.frames, True)]

    # -- Passes -----------------------------------------------------------------------------------------------------

    def pass_of(self, inputs: list[Fraction], target: list[Fraction], moved: Callable[[tuple[int, int, int]], Fraction]) -> Found:
        """A pass over all frames with θ + ``moved``, which counts nothing."""
        theta = {key: value + moved(key) for key, value in self.theta.items()}
        made = self.forward(self.by_frame(inputs), theta, lambda t, layer, o: 0)
        cost = sum(((a - b) ** 2 for a, b in zip(made.outputs, target, strict=True)), Fraction(0))
        return made.z, made.y, cost, made._replace(cost=cost)

    def run_pass(self, x: list[Fraction], target: list[Fraction], signs: dict, direction: int) -> Found:
        """A pass of a step; counts what is out of range."""
        found = self.pass_of(x, target, lambda key: direction * signs[key] * self.delta)
        for name, number in found[3].outside.items():
            self.count[name] += number
        return found

    def outputs_of(self, found: Found) -> list[Fraction]:
        """Outputs of the network in a pass."""
        return found[3].outputs

    def shown(self, first: Found, second: Found) -> dict[str, list[Fraction]]:
        """What both passes show of their evaluations; 0 of those that are not evaluated."""
        columns = {"preactivation": "z", "activation": "y", "state": "state"}
        return {
            name: [getattr(made, column).get(at, Fraction(0)) for made in (first[3], second[3]) for at in self.evaluations]
            for name, column in columns.items()
        }

    # -- Events -----------------------------------------------------------------------------------------------------

    def step(self, x: Sequence[int], target: Sequence[int], length: int | None = None) -> dict[str, list[Fraction]]:
        """A step on a raw sample; ``x`` is one frame if held, else all T frames, frame by frame, of which the first ``length`` count."""
        found = super().step(self.inputs_of_length(x, length), list(target))
        del found["signature"]  # events are hardware's, and a co-simulation compares them
        return found

    def infer(self, x: Sequence[int], target: Sequence[int], length: int | None = None) -> dict[str, object]:
        """Judge a raw sample in one pass with θ; a new sample and a new baseline are due."""
        real_x, real_t = self.take(self.inputs_of_length(x, length), list(target))
        found = self.pass_of(real_x, real_t, lambda key: Fraction(0))
        judged = self.is_correct(found[3].outputs, real_t)
        self.count["correct"] += judged
        self.loaded = True
        return {"cost": found[2], "outputs": found[3].outputs, "judged": judged}

    def load(self, parameters: Sequence[int]) -> None:
        """Write all parameters, raw; a new sample and a new baseline are due."""
        unit = Fraction(2) ** -self.spec.formats.weight.fraction_bits
        self.theta = {key: int(raw) * unit for key, raw in zip(self.keys, parameters, strict=True)}
        self.loaded = True

    def restart(self, seed: int) -> None:
        """Begin all periods and random streams anew; a new sample and a new baseline are due."""
        self._begin_streams(seed)
        self.n = self.u = 0
        self.loaded = True

    def clear(self) -> None:
        """Set all counters to 0 but those of steps and updates."""
        self.count = dict.fromkeys(self.count, 0)

    def stop(self) -> None:
        """End a run between two steps, which changes nothing."""

    def keep_signatures(
        self, run: list[tuple[int, tuple]], change: Fraction, broadcast: list[Fraction], signs: dict, correlated: dict
    ) -> None:
        """Keep none."""
