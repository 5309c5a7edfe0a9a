"""Node perturbation that measures once and probes many times, as slowly and plainly as can be: real numbers are exact fractions.

Written from the specification of that machine alone. It has no lanes, no slots and no pending work: one loop over neurons and one over
synapses, in the order in which the design file names them. It shares no arithmetic and no random stream with ``python_ref``; what it
takes from a design is what the design file says, and the formats that follow from it.
"""

# Where the description of a step leaves a choice, the oracle takes the one of docs/design/presentations.md:
#
#  - Random signs: one generator of degree 63, of the stream "signs", which gives one bit at a time. It is the same for every network
#    and every number of lanes.
#  - Neuron j: the neurons count layer by layer, each layer from its first neuron, for all codes.
#  - A sign vector is one of the whole network: every code counts all neurons, its period is that of all neurons, and a probe of a part
#    takes 0 for the neurons outside.
#  - Parts: the probes of a presentation count from 0, and probe i perturbs entry i mod Σ of a round (:func:`round_of`), whatever its sign
#    vector. A presentation begins with a round, also one that begins late, after a load or an inference; a STOP does not begin a round.
#  - E is a sum over all probes. A part that is probed more often than another moves farther; nothing is divided by the times.
#  - E of a neuron that no probe of the presentation has perturbed is 0, also where the presentation ends before its part's turn.
#  - A bias multiplies err_j by 1 in the format of its layer's inputs. So all synapses of a layer drop the same number of bits, k, and
#    use the same bits of a rounding word, the bias too.
#  - Places for rounding words: layer by layer, in each the bias first (place 0), then the operands of a neuron in their order. A sparse
#    layer has as many places as a neuron has operands, and place k is that of operand k, whichever input it is.
#  - A network with a sparse layer behind the first has no incremental probes.
#  - Rounding words are as wide as the largest number of bits that a stochastic cast of the design drops, over all layers.
#  - The counter ``gradient`` counts a synapse once per presentation if cast_gradient(err_j·x_i) or its sum with G is out of range.
#  - With momentum and no gradient memory the observable ``gradient`` is cast_gradient(err_j·x_i).
#  - A probe evaluates, and counts activation saturations of, all neurons of the layers from its part's first one to the last, also
#    neurons whose sign is 0. Both probes of a two-sided difference count. The exception is a probe that perturbs one neuron (sequential
#    code) of a network with hidden layers whose activations have at most 15 bits: it evaluates that neuron and the layers behind it, or
#    all outputs if it is one of them. Neurons that a probe does not evaluate keep the values of the unperturbed pass.
#  - An answer is judged once per new sample, in its first unperturbed pass: not again when an update (τ_θ < τ_x) ends the presentation
#    and the same sample is measured again.
#  - The unperturbed pass that runs again after a STOP counts no saturation and judges no answer.
#  - A load or an inference leaves n alone: the next step takes a new sample, and its presentation ends where n says, so it is shorter.
#  - A restart sets n, p, the number of updates and the schedule of η back to 0. It leaves θ, G, m and the other counters alone.
#  - An inference counts correct answers, and no saturations (those count in training passes).
#  - A load writes parameters only. G and m stay; nothing of a parameter is limited, since node perturbation keeps no margin for Δ.
#  - A run that ends by its count between two probes is treated as one that STOP ends there.

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from python_ref.spec.design import Cast, DesignSpec
from python_ref.spec.number import Fixed
from tests.support.adam_oracle import AdamOracle, scale_of
from tests.support.narrowing import narrow
from tests.support.neuron_inputs import neuron_inputs
from tests.support.oracle import Stream, activated, counted_sign, rule_of

__all__ = ["Pass", "ProbeOracle", "round_of"]


def round_of(parts: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """First and last layer that each probe of a round perturbs, for a list of (number of layers, times).

    All parts once, then all that have a second probe, and so on.
    """
    left, order = [times for _, times in parts], []
    while any(left):
        first = 0
        for number, (layers, _) in enumerate(parts):
            if left[number]:
                order.append((first, first + layers - 1))
                left[number] -= 1
            first += layers
    return tuple(order)


class Pass(NamedTuple):
    """One pass through the network.

    Attributes
    ----------
    z, y : dict of (int, int) to Fraction
        Pre-activation and activation of each neuron (layer, neuron).
    outputs : list of Fraction
        Outputs of the network.
    cost : Fraction
        The cost C of the outputs.
    evaluated : set of (int, int)
        Neurons that the pass computed; the others have the values of the unperturbed pass.
    outside : int
        Number of neurons evaluated in this pass whose activation was out of range.
    """

    z: dict[tuple[int, int], Fraction]
    y: dict[tuple[int, int], Fraction]
    outputs: list[Fraction]
    cost: Fraction
    evaluated: set[tuple[int, int]]
    outside: int


class ProbeOracle:
    """The machine in plain Python numbers; every event returns its observables in a dict.

    Neurons are in the order (layer, neuron), parameters in the order (layer, neuron, synapse), synapse 0 being the bias.

    Parameters
    ----------
    spec : DesignSpec
        Design, of node perturbation. Its number of lanes is never read.
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

    always_sums = False
    """Whether there is a gradient memory whatever the design says."""
    more_counters: tuple[str, ...] = ()
    """Names of counters of saturations beside those of every design."""

    def __init__(
        self,
        spec: DesignSpec,
        parameters: Sequence[int],
        seed: int,
        *,
        error: Fixed,
        error_cast: Cast,
    ) -> None:
        self.spec, self.sizes = spec, spec.network.sizes
        self.layers = len(self.sizes) - 1
        self.inputs = self.inputs_of(spec)
        self.error, self.error_modes = error, (error_cast.rounding.value, error_cast.overflow.value)
        self.parts = spec.perturbation.parts or ((self.layers, 1),)
        narrow_enough = spec.formats.activation.integer_bits + spec.formats.activation.fraction_bits <= 15
        all_inputs = all(kind.name == "dense" for kind in spec.network.kinds[1:])
        self.one_changes = spec.perturbation.code.name == "sequential" and self.layers >= 2 and narrow_enough and all_inputs
        self.delta = Fraction(2) ** spec.perturbation.amplitude_log2
        self.two_sided = spec.schedule.difference.value == "two-sided"
        self.rule, self.k = rule_of(spec.optimizer)
        is_adam = spec.optimizer.name == "shift-adam"
        self.adam = AdamOracle(spec.optimizer, spec.formats.gradient or Fixed(True, 1, 15), spec.formats.weight) if is_adam else None
        built = spec.hardware.gradient_memory
        always_updated = spec.schedule.sample_period % spec.schedule.update_period == 0
        self.memory = self.always_sums or (not always_updated if built is None else built)
        self._refuse(always_updated)
        self.round = round_of(self.parts)
        self.neurons = [(layer, o) for layer in range(self.layers) for o in range(self.sizes[layer + 1])]
        self.keys = [(layer, o, i) for layer, o in self.neurons for i in range(self.fan_in(layer) + 1)]
        self.quantities = self.evaluations = self.neurons
        self.theta = dict.fromkeys(self.keys, Fraction(0))
        self.G = dict.fromkeys(self.keys, Fraction(0))
        self.m, self.v = (dict.fromkeys(self.keys, Fraction(0)) for _ in range(2))
        kinds = ("activation", "cost_change", "error", "gradient", "momentum", "square", "update", "weight", *self.more_counters)
        self.count = dict.fromkeys(("correct", "writes", "changed", *kinds), 0)
        self.word_bits = max([0, *(drop for layer in range(self.layers) for drop in self.dropped(layer).values())])
        self.sample: tuple[list[Fraction], list[Fraction]] = ([], [])
        self.restart(seed)
        self.load(parameters)

    def _refuse(self, always_updated: bool) -> None:
        """Refuse a design that is not one of this machine."""
        if self.spec.perturbation.kind.value != "node":
            raise ValueError("The oracle perturbs nodes, not weights")
        if self.error_modes[0] == "stochastic":
            raise ValueError("The error must not be rounded stochastically, since only updates are")
        if not self.memory and not always_updated:
            raise ValueError("A design without a gradient memory must end every presentation with an update")
        if min(min(part) for part in self.parts) < 1 or sum(layers for layers, _ in self.parts) != self.layers:
            raise ValueError(f"Parts must be positive and have {self.layers} layers together, not {self.parts!r}")
        probes = sum(times for _, times in self.parts)
        if self.spec.schedule.sample_period % probes or self.spec.schedule.update_period % probes:
            raise ValueError(f"Presentations must consist of whole rounds, of {probes} probes each")
        if self.spec.perturbation.parts and self.spec.perturbation.code.name == "sequential":
            raise ValueError("A code that perturbs one neuron at a time must have no parts")

    # -- Random numbers and signs -----------------------------------------------------------------------------------

    def sign(self, j: int, p: int) -> int:
        """s of quantity number j in sign vector p, whatever the part."""
        code, n = self.spec.perturbation.code.name, len(self.quantities)
        if code == "lfsr":
            return (-1 if self.signs.bit(p * n + j, 0) else 1) * (-1 if p % 2 else 1)
        return counted_sign(code, j, n, p)

    def dropped(self, layer: int) -> dict[str, int]:
        """Bits that the stochastic casts of an update drop in a layer, by kind."""
        f, weight = self.spec.formats, self.spec.formats.weight.fraction_bits
        drops, source = {}, self.spec.gradient_format.fraction_bits
        if self.adam:
            return self.adam.drops(f.weight_cast.rounding.value == "stochastic")
        if self.rule is not None:
            m = self.spec.optimizer_state[0].format.fraction_bits
            if self.spec.optimizer.rounding.value == "stochastic":
                drops["momentum"] = self.rule.moved_bits(m, source, self.k) - m
            source = self.rule.source_bits(m, source, self.k)
        elif not self.memory:
            source = self.error.fraction_bits + self.operand_fraction(layer)
        if f.weight_cast.rounding.value == "stochastic":
            drops["update"] = source - weight
        return drops

    def random(self, layer: int, synapse: int, kind: str) -> Fraction:
        """r of a cast of the present update: the low bits, as many as it drops, of word u·Σ(fan-in + 1) + place."""
        drop = self.dropped(layer).get(kind, 0)
        if drop <= 0:
            return Fraction(0)
        places = sum(self.fan_in(each) + 1 for each in range(self.layers))
        place = sum(self.fan_in(before) + 1 for before in range(layer)) + synapse
        bits = [self.words.bit(self.u * places + place, i) for i in range(drop)]
        return Fraction(sum(bit * 2**i for i, bit in enumerate(bits)), 2**drop)

    # -- Passes -----------------------------------------------------------------------------------------------------

    def inputs_of(self, spec: DesignSpec) -> dict[tuple[int, int], list[int]]:
        """The inputs of each neuron (layer, neuron), in the order of its weights."""
        return neuron_inputs(spec)

    def fan_in(self, layer: int) -> int:
        """Number of operands of each neuron of a layer, beside the 1 of its bias."""
        return len(self.inputs[layer, 0])

    def is_perturbed(self, quantity: tuple[int, ...], first: int, last: int) -> bool:
        """Whether a probe of the layers ``first`` to ``last`` perturbs a quantity."""
        return first <= quantity[0] <= last

    def tally(self, measured: Pass) -> None:
        """Count the saturations of a pass."""
        self.count["activation"] += measured.outside

    def products(self, key: tuple[int, int, int], errors: dict) -> list[Fraction]:
        """What a presentation adds to the gradient of a parameter, one after the other: the error of its neuron times its operand."""
        layer, o, i = key
        return [errors[layer, o] * self.operands(layer, o, self.kept.y)[i]]

    def operands(self, layer: int, o: int, y: dict[tuple[int, int], Fraction]) -> list[Fraction]:
        """What the synapses of a neuron multiply: 1 for the bias, then its inputs."""
        return [Fraction(1), *(self.sample[0][i] if layer == 0 else y[layer - 1, i] for i in self.inputs[layer, o])]

    def run_pass(self, first: int = 0, kept: Pass | None = None, shift: dict[tuple[int, int], Fraction] | None = None) -> Pass:
        """A pass from layer ``first`` on: its pre-activations, and all of the layers before, are the kept ones if there are any."""
        z: dict[tuple[int, int], Fraction] = {}
        y: dict[tuple[int, int], Fraction] = {}
        evaluated, outside = set(), 0
        for layer in range(self.layers):
            for o in range(self.sizes[layer + 1]):
                if kept is not None and layer < first:
                    z[layer, o], y[layer, o] = kept.z[layer, o], kept.y[layer, o]
                    continue
                if kept is not None and layer == first:
                    total = kept.z[layer, o]
                else:
                    total = sum((self.theta[layer, o, i] * x for i, x in enumerate(self.operands(layer, o, y))), Fraction(0))
                z[layer, o] = total + (shift[layer, o] if shift else 0)
                y[layer, o], saturated = self.output(layer, o, z[layer, o])
                if not (kept and shift and self.one_changes) or self.is_reached(layer, o, shift):
                    evaluated.add((layer, o))
                    outside += saturated
        outputs = [y[self.layers - 1, o] for o in range(self.sizes[-1])]
        return Pass(z, y, outputs, self.cost(outputs), evaluated, outside)

    def output(self, layer: int, o: int, z: Fraction) -> tuple[Fraction, bool]:
        """The output of a neuron with a pre-activation, and whether its activation was out of range."""
        return activated(self.spec, self.function_of(layer), z)

    def factors(self, signs: dict, passes: Sequence[Pass]) -> dict:
        """What C̃ of a probe with these signs is correlated with: the signs."""
        return signs

    def error_scale(self, key: tuple[int, ...]) -> Fraction:
        """What the error of a quantity is multiplied by, beside 2^e."""
        return Fraction(1)

    def operand_fraction(self, layer: int) -> int:
        """Number of fraction bits of the inputs of a layer."""
        f = self.spec.formats
        return (f.activation if layer else f.input).fraction_bits

    def function_of(self, layer: int) -> str:
        """The name of a layer's activation."""
        return (self.spec.network.output if layer == self.layers - 1 else self.spec.network.hidden).value

    def is_reached(self, layer: int, o: int, shift: dict[tuple[int, int], Fraction]) -> bool:
        """Whether a probe that shifts one neuron evaluates this one: it is that neuron, or lies behind it, or both are outputs."""
        ((where, which),) = (key for key, each in shift.items() if each != 0)
        return layer > where or (layer == where and (o == which or layer == self.layers - 1))

    def cost(self, outputs: Sequence[Fraction]) -> Fraction:
        """C of outputs."""
        return sum(((a - b) ** 2 for a, b in zip(outputs, self.sample[1], strict=True)), Fraction(0))

    def is_correct(self, measured: Pass) -> bool:
        """Whether the answer of a pass is that of the target: the largest output, the first of equals; or y ≥ ½ if there is one."""
        y, target = measured.outputs, self.sample[1]
        if len(y) == 1:
            return (y[0] >= Fraction(1, 2)) == (target[0] >= Fraction(1, 2))
        return y.index(max(y)) == target.index(max(target))

    def take(self, inputs: Sequence[int], targets: Sequence[int]) -> tuple[list[Fraction], list[Fraction]]:
        """A raw sample in real numbers."""
        f = self.spec.formats
        return (
            [value / Fraction(2) ** f.input.fraction_bits for value in inputs],
            [value / Fraction(2) ** f.activation.fraction_bits for value in targets],
        )

    # -- Events -----------------------------------------------------------------------------------------------------

    @property
    def sample_due(self) -> bool:
        """Whether the next step takes a new sample."""
        return self.fresh or self.n % self.spec.schedule.sample_period == 0

    def step(self, inputs: Sequence[int], targets: Sequence[int]) -> dict[str, object]:
        """One probe on a raw sample, which must be the present one where no new one is due; begins and ends a presentation when due."""
        schedule, judged, begins = self.spec.schedule, None, not self.presenting
        given, new = self.take(inputs, targets), self.sample_due
        assert begins or not new, "a new sample ends the presentation before it"
        if not new and given != self.sample:
            raise ValueError("Sample must be the present one, since no new one is due")
        self.sample = given
        if self.kept is None:  # also when a run goes on after a stop
            self.kept = self.run_pass()
        if begins:
            self.tally(self.kept)
            self.E = dict.fromkeys(self.quantities, Fraction(0))
            if new:  # not again where an update ended the presentation before
                judged = self.is_correct(self.kept)
                self.count["correct"] += judged
        self.fresh, self.presenting = False, True
        first, last = self.round[self.probed % len(self.round)]
        shown = {"begins": begins, "judged": judged, **self.probe(self.n // schedule.perturbation_period, first, last)}
        self.probed += 1
        rate = [rate for start, rate in schedule.learning_rate if start <= self.n][-1]
        self.n += 1
        updates = self.n % schedule.update_period == 0
        ends = updates or self.n % schedule.sample_period == 0
        applied = self.apply(rate, updates) if ends else {"error": None, "update": None}
        shown |= {"ends": ends, "updates": updates, **applied}
        self.complete = ends
        if ends:
            self.discard()
        return {**self.state(), **shown}

    def probe(self, p: int, first: int, last: int) -> dict[str, object]:
        """Measure the cost with the signs that vector p has in the layers ``first`` to ``last``, and correlate its change there."""
        assert self.kept is not None
        signs = {key: self.sign(j, p) if self.is_perturbed(key, first, last) else 0 for j, key in enumerate(self.quantities)}
        passes = [self.kept]
        for direction in (+1, -1) if self.two_sided else (+1,):
            passes.append(self.run_pass(first, self.kept, {key: direction * s * self.delta for key, s in signs.items()}))
            self.tally(passes[-1])
        change = passes[1].cost - passes[2 if self.two_sided else 0].cost
        f = self.spec.formats
        if f.cost_change:
            change, outside = narrow(change, f.cost_change, f.cost_change_cast.rounding.value, f.cost_change_cast.overflow.value)
            self.count["cost_change"] += outside
        signs = self.factors(signs, passes)
        for key, s in signs.items():
            self.E[key] += s * change
        return {
            **self.shown(passes),
            "evaluated": [[key in each.evaluated for key in self.evaluations] for each in passes],
            "cost": [each.cost for each in passes],
            "cost_change": change,
            "sign": list(signs.values()),
            "error_sum": list(self.E.values()),
        }

    def shown(self, passes: Sequence[Pass]) -> dict[str, list[list[Fraction]]]:
        """What each pass shows of its evaluations."""
        return {
            "preactivation": [[each.z[key] for key in self.evaluations] for each in passes],
            "activation": [[each.y[key] for key in self.evaluations] for each in passes],
        }

    def apply(self, rate: int, updates: bool) -> dict[str, object]:
        """End a presentation: errors of the neurons, then every synapse; ``rate`` is log₂ η of its last step."""
        assert self.kept is not None
        f = self.spec.formats
        factor = (self.gradient_scale() if self.adam else Fraction(2) ** rate) / self.delta / (2 if self.two_sided else 1)
        errors, change, correlated = {}, {}, {}
        for key in self.quantities:
            errors[key], outside = narrow(factor * self.error_scale(key) * self.E[key], self.error, *self.error_modes)
            self.count["error"] += outside
        gradient_modes = (f.gradient_cast.rounding.value, f.gradient_cast.overflow.value)
        for key in self.keys:
            for source in self.products(key, errors):
                if self.memory or self.rule is not None or self.adam:
                    source, outside = narrow(source, self.spec.gradient_format, *gradient_modes)
                    if self.memory:
                        source, beyond = narrow(self.G[key] + source, self.spec.gradient_format, "floor", "saturate")
                        self.G[key], outside = source, outside or beyond
                    self.count["gradient"] += outside
                    correlated[key] = source
            if updates:
                change[key] = self.update(key, source, rate)
                self.G[key] = Fraction(0)
        self.u += updates
        return {
            "error": list(errors.values()),
            "gradient": list(correlated.values()) or None,
            "update": list(change.values()) if updates else None,
        }

    def gradient_scale(self) -> Fraction:
        """What a gradient is multiplied by in G, for an optimiser whose rate does not scale G."""
        schedule, probes = self.spec.schedule, sum(times for _, times in self.parts)
        longest, held = min(schedule.sample_period, schedule.update_period), schedule.perturbation_period
        vectors = -(-longest // held)
        visits = -(-vectors // len(self.neurons)) if self.spec.perturbation.code.name == "sequential" else vectors
        measured = min(longest // probes * max(times for _, times in self.parts), held * visits)
        samples = -(-schedule.update_period // schedule.sample_period)
        return scale_of(self.spec.gradient_format, (measured, False), (samples, True))

    def update(self, key: tuple[int, int, int], source: Fraction, rate: int) -> Fraction:
        """Update a parameter by G, or by what takes its place, at the rate 2^rate; returns u."""
        layer, _, i = key
        f = self.spec.formats
        if self.rule is not None:
            cast = (self.spec.optimizer.rounding.value, self.spec.optimizer.overflow.value)
            moved = self.rule.moved(self.m[key], source, self.k)
            self.m[key], outside = narrow(moved, self.spec.optimizer_state[0].format, *cast, self.random(layer, i, "momentum"))
            self.count["momentum"] += outside
            source = self.rule.source(self.m[key], source, self.k)
        if self.adam:
            moved = self.adam.move(self.m[key], self.v[key], source, rate, self.u, lambda kind: self.random(layer, i, kind))
            source, self.m[key], self.v[key] = moved.source, moved.m, moved.v
            for kind, outside in moved.outside.items():
                self.count[kind] += outside
        modes = (f.weight_cast.rounding.value, f.weight_cast.overflow.value)
        u, outside = narrow(source, f.weight, *modes, self.random(layer, i, "update"))
        self.count["update"] += outside
        old = self.theta[key]
        self.theta[key], outside = narrow(old - u, f.weight, "floor", "saturate")
        self.count["weight"] += outside
        self.count["writes"] += 1
        self.count["changed"] += self.theta[key] != old
        return u

    def stop(self) -> dict[str, object]:
        """End a run between two steps: E stays and is shown, z is lost, and a presentation that is complete has been applied.

        ``flushed`` says whether the core has something to apply: the step before ended a presentation.
        """
        self.kept, flushed = None, self.complete
        self.complete = False
        return {"flushed": flushed, "presenting": self.presenting, **self.state()}

    def load(self, parameters: Sequence[int]) -> dict[str, object]:
        """Write all parameters, raw; E is discarded, and a new sample is due."""
        unit = Fraction(2) ** -self.spec.formats.weight.fraction_bits
        self.theta = {key: int(raw) * unit for key, raw in zip(self.keys, parameters, strict=True)}
        return self.interrupt()

    def infer(self, inputs: Sequence[int], targets: Sequence[int]) -> dict[str, object]:
        """Judge a raw sample in one unperturbed pass; E is discarded, and a new sample is due."""
        self.sample = self.take(inputs, targets)
        measured = self.run_pass()
        judged = self.is_correct(measured)
        self.count["correct"] += judged
        shown = {"judged": judged, "cost": measured.cost, **{name: values for name, (values,) in self.shown([measured]).items()}}
        return {**self.interrupt(), **shown}

    def restart(self, seed: int) -> dict[str, object]:
        """Begin all periods and random streams anew; E is discarded, and a new sample is due."""
        self.n = self.u = 0
        self.signs = Stream(1, seed, "signs")
        self.words = Stream(self.word_bits, seed, "stochastic")
        return self.interrupt()

    def interrupt(self) -> dict[str, object]:
        """End the presentation without applying it."""
        self.fresh, self.complete = True, False
        self.discard()
        return self.state()

    def discard(self) -> None:
        """Forget the presentation."""
        self.presenting, self.kept, self.probed = False, None, 0
        self.E = dict.fromkeys(self.quantities, Fraction(0))

    def state(self) -> dict[str, object]:
        """What stays from one step to the next, as the host can read it."""
        return {
            "error_sum": list(self.E.values()),
            "gradient": list(self.G.values()) if self.memory else None,
            "momentum": list(self.m.values()) if self.rule is not None or (self.adam and self.spec.optimizer.k1) else None,
            "square": list(self.v.values()) if self.adam else None,
            "parameter": list(self.theta.values()),
            "counter": {"steps": self.n, "updates": self.u, **self.count},
        }
