"""Networks with state, probed in node perturbation, as slowly and plainly as can be: real numbers are exact fractions.

Written from the description of these networks alone: one loop over frames, one over layers, one over neurons. The presentation around
them (its probes, codes, casts and updates) is that of :mod:`tests.support.probe_oracle`.
"""

# Where the description leaves a choice, the oracle takes this one:
#
#  - A quantity is (segment, layer, neuron), and one of the tail (number of segments, layer, neuron); an evaluation likewise with its frame.
#  - The counter ``gradient`` counts a parameter of a framed layer once in each frame in which err·x, or its sum with G, is out of range;
#    ``error`` counts each of the D quantities once per presentation. ``writes`` counts a parameter once per update, whatever the frames.
#  - The frames come in order where the errors are multiplied by their operands, which matters since G saturates after each.
#  - An inference counts no saturation, of the state neither.
#  - An evaluation of a lif neuron counts ``state`` once if either of its two casts, of z and of the sum, was out of range; it never counts
#    ``activation``.

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

from python_ref.spec.design import Cast, DesignSpec
from python_ref.spec.number import Fixed
from tests.support.oracle import activated, narrow
from tests.support.probe_oracle import ProbeOracle

__all__ = ["Place", "SeriesNetwork", "SeriesOracle", "SeriesPass"]

KINDS = {"dense": False, "leaky": True, "lif": True}
"""The kinds of layers that the oracle knows, and whether they have a state."""

Place = tuple[int, int, int]
"""An evaluation (frame, layer, neuron), or a quantity (segment, layer, neuron); the tail has the number behind the last one."""


class SeriesPass(NamedTuple):
    """One pass through the network, over all frames of the sample.

    Attributes
    ----------
    z, y, state : dict of Place to Fraction
        Pre-activation of each evaluation; f(z), or the spike; h or v after the frame. Those that are not evaluated are missing.
    operands : dict of (int, int) to list of Fraction
        What the synapses of a layer multiply in a frame, by (frame, layer): 1, then the inputs, then the states of the frame before.
    outputs : list of Fraction
        Outputs of the network.
    cost : Fraction
        The cost C of the outputs.
    outside : dict of str to int
        Number of evaluations that were out of range, by counter.
    """

    z: dict[Place, Fraction]
    y: dict[Place, Fraction]
    state: dict[Place, Fraction]
    operands: dict[tuple[int, int], list[Fraction]]
    outputs: list[Fraction]
    cost: Fraction
    outside: dict[str, int]

    @property
    def evaluated(self) -> set[Place]:
        """The evaluations."""
        return set(self.z)


class SeriesNetwork:
    """The passes of a network with state: its frames, its tail and its sample.

    Parameters
    ----------
    spec : DesignSpec
        Design: ``network.layers`` (each with ``n_out`` and ``kind``, which has a ``name`` and maybe a ``leak``), ``network.frames``,
        ``network.held``, ``network.readout``, ``formats.state`` and ``formats.state_cast``, beside what every design has.

    Attributes
    ----------
    framed, tail : list of (int, int)
        The neurons (layer, neuron) that are evaluated in every frame, and those that are evaluated after the last one.
    evaluations : list of Place
        The evaluations of a pass over all frames, in their order.
    """

    def __init__(self, spec: DesignSpec) -> None:
        network, self.spec, self.sizes = spec.network, spec, spec.network.sizes
        self.kinds = [(layer.kind.name, getattr(layer.kind, "leak", 0)) for layer in network.layers]
        for name, _ in self.kinds:
            if name not in KINDS:
                raise ValueError(f"Kind of a layer must be one that the oracle knows, not {name}")
        self.frames, self.held = network.frames, network.held
        self.readout = getattr(network.readout, "value", network.readout)
        if self.readout not in ("last", "sum"):
            raise ValueError(f"Readout must be one that the oracle knows, not {self.readout}")
        self.last_framed = max(number for number, (name, _) in enumerate(self.kinds) if KINDS[name])
        self.neurons = [(layer, o) for layer in range(len(self.kinds)) for o in range(self.sizes[layer + 1])]
        self.framed = [(layer, o) for layer, o in self.neurons if layer <= self.last_framed]
        self.tail = [(layer, o) for layer, o in self.neurons if layer > self.last_framed]
        self.evaluations = [(t, *place) for t in range(self.frames) for place in self.framed] + [
            (self.frames, *place) for place in self.tail
        ]

    def fan_in(self, layer: int) -> int:
        """Number of inputs, and of a leaky layer also of its neurons."""
        return self.sizes[layer] + (self.sizes[layer + 1] if self.kinds[layer][0] == "leaky" else 0)

    def inputs_of_length(self, inputs: Sequence[int], length: int | None) -> list[int]:
        """The inputs of the frames that are evaluated; a length of 0 or above T is taken as T."""
        given = 1 if self.held else self.frames
        if len(inputs) != given * self.sizes[0]:
            raise ValueError(f"A sample must have {given * self.sizes[0]} inputs, not {len(inputs)}")
        if self.held:
            return list(inputs) * self.frames
        n = self.frames if length is None or not 1 <= length <= self.frames else length
        return list(inputs)[: n * self.sizes[0]]

    def by_frame(self, flat: list[Fraction]) -> list[list[Fraction]]:
        """Inputs as one list for each frame."""
        return [flat[at : at + self.sizes[0]] for at in range(0, len(flat), self.sizes[0])]

    def forward(self, frames: Sequence[list[Fraction]], theta: dict, shift: Callable[[int, int, int], Fraction | int]) -> SeriesPass:
        """A whole pass from state 0; ``shift`` of (frame, layer, neuron) is added to each pre-activation. The cost is left at 0."""
        made = SeriesPass({}, {}, {}, {}, [], Fraction(0), {"activation": 0, "state": 0})
        states = {place: Fraction(0) for place in self.neurons}
        read = [Fraction(0)] * self.sizes[self.last_framed + 1]
        for t, values in enumerate(frames):
            for layer in range(self.last_framed + 1):
                values = self.evaluate(made, t, layer, values, states, theta, shift)
            read = [a + b for a, b in zip(read, values, strict=True)] if self.readout == "sum" else values
        for layer in range(self.last_framed + 1, len(self.kinds)):
            read = self.evaluate(made, self.frames, layer, read, states, theta, shift)
        return made._replace(outputs=read)

    def evaluate(
        self,
        made: SeriesPass,
        t: int,
        layer: int,
        values: list,
        states: dict,
        theta: dict,
        shift: Callable[[int, int, int], Fraction | int],
    ) -> list[Fraction]:
        """Evaluate a layer once; returns its outputs."""
        kind, leak = self.kinds[layer]
        size, found = self.sizes[layer + 1], []
        memory = [states[layer, o] for o in range(size)] if kind == "leaky" else []
        operands = made.operands[t, layer] = [Fraction(1), *values, *memory]
        for o in range(size):
            at = (t, layer, o)
            z = sum((theta[layer, o, i] * x for i, x in enumerate(operands)), Fraction(0))
            z = made.z[at] = z + shift(*at)
            if kind == "lif":
                made.y[at], states[layer, o], outside = self.fire(z, states[layer, o], leak)
                made.outside["state"] += outside
                found.append(made.y[at])
            else:
                made.y[at], outside = activated(self.spec, self.activation_of(layer), z)
                made.outside["activation"] += outside
                if kind == "leaky":
                    states[layer, o] += self.shifted(made.y[at] - states[layer, o], leak, self.spec.formats.activation)
                found.append(states[layer, o] if kind == "leaky" else made.y[at])
            made.state[at] = states[layer, o]
        return found

    def activation_of(self, layer: int) -> str:
        """The name of a layer's activation."""
        return (self.spec.network.output if layer == len(self.kinds) - 1 else self.spec.network.hidden).value

    @staticmethod
    def shifted(value: Fraction, places: int, form: Fixed) -> Fraction:
        """A value of a format shifted right by some places, rounded down to the last place of the format."""
        unit = Fraction(1, 2**form.fraction_bits) if form.fraction_bits >= 0 else Fraction(2**-form.fraction_bits)
        return math.floor(value / unit / 2**places) * unit

    def fire(self, z: Fraction, v: Fraction, leak: int) -> tuple[Fraction, Fraction, bool]:
        """Spike and state of a lif neuron after a frame, and whether one of its casts was out of range."""
        f = self.spec.formats
        current, beyond = narrow(z, f.state, f.state_cast.rounding.value, f.state_cast.overflow.value)
        charged, outside = narrow(v - self.shifted(v, leak, f.state) + current, f.state, "floor", "saturate")
        spike = Fraction(1 if charged >= 1 else 0)
        return spike, charged - spike, beyond or outside


class SeriesOracle(SeriesNetwork, ProbeOracle):
    """The machine with state in plain Python numbers; see :class:`~tests.support.probe_oracle.ProbeOracle`.

    Parameters
    ----------
    spec : DesignSpec
        Design: ``network.layers`` (each with ``n_out`` and ``kind``, which has a ``name`` and maybe a ``leak``), ``network.frames``,
        ``network.held``, ``network.readout``, ``perturbation.hold``, ``formats.state`` and ``formats.state_cast``, beside what every
        design has; ``perturbation.segments``, if it is there and not None, is the number of segments of a core that was built for more.
    parameters : sequence of int
        Raw parameters at the start.
    seed : int
        Seed of the random streams.
    error : Fixed
        Format of an error.
    error_cast : Cast
        Rounding and overflow of the cast to it.
    """

    always_sums = True
    more_counters = ("state",)

    def __init__(self, spec: DesignSpec, parameters: Sequence[int], seed: int, *, error: Fixed, error_cast: Cast) -> None:
        SeriesNetwork.__init__(self, spec)
        if spec.perturbation.parts:
            raise ValueError("A network with state must have no parts")
        hold = spec.perturbation.hold
        self.hold = (self.frames if self.held else 1) if hold is None else hold
        self.segments = getattr(spec.perturbation, "segments", None) or math.ceil(self.frames / self.hold)
        evaluations = self.evaluations
        ProbeOracle.__init__(self, spec, parameters, seed, error=error, error_cast=error_cast)
        self.quantities = [(g, *place) for g in range(self.segments) for place in self.framed] + [(self.segments, *p) for p in self.tail]
        self.evaluations = evaluations
        self.one_changes = False
        self.discard()

    def inputs_of(self, spec: DesignSpec) -> dict[tuple[int, int], list[int]]:
        """None: the operands of a layer are kept by the pass that takes them."""
        return {}

    # -- Samples ----------------------------------------------------------------------------------------------------

    def step(self, inputs: Sequence[int], targets: Sequence[int], length: int | None = None) -> dict[str, object]:
        """One probe; ``inputs`` are of one frame if held, else of all T frames, frame by frame, of which the first ``length`` count."""
        return super().step(self.inputs_of_length(inputs, length), targets)

    def infer(self, inputs: Sequence[int], targets: Sequence[int], length: int | None = None) -> dict[str, object]:
        """Judge a raw sample; its inputs are as those of a step."""
        return super().infer(self.inputs_of_length(inputs, length), targets)

    def take(self, inputs: Sequence[int], targets: Sequence[int]) -> tuple[list, list[Fraction]]:
        """A raw sample in real numbers, its inputs as one list for each frame."""
        flat, wanted = super().take(inputs, targets)
        return self.by_frame(flat), wanted

    # -- Passes -----------------------------------------------------------------------------------------------------

    def is_perturbed(self, quantity: Place, first: int, last: int) -> bool:
        """Whether the sample has a frame of the quantity's segment; the tail is perturbed always."""
        segment = quantity[0]
        return segment == self.segments or segment * self.hold < len(self.sample[0])

    def run_pass(self, first: int = 0, kept: SeriesPass | None = None, shift: dict[Place, Fraction] | None = None) -> SeriesPass:
        """A whole pass from state 0."""

        def added(t: int, layer: int, o: int) -> Fraction | int:
            segment = self.segments if t == self.frames else t // self.hold
            return shift[segment, layer, o] if shift else 0

        made = self.forward(self.sample[0], self.theta, added)
        return made._replace(cost=self.cost(made.outputs))

    def tally(self, measured: SeriesPass) -> None:
        """Count the saturations of a pass."""
        for name, number in measured.outside.items():
            self.count[name] += number

    def shown(self, passes: Sequence[SeriesPass]) -> dict[str, list[list[Fraction]]]:
        """What each pass shows of its evaluations; 0 of those that are not evaluated."""
        columns = {"preactivation": "z", "activation": "y", "state": "state"}
        return {
            name: [[getattr(each, column).get(key, Fraction(0)) for key in self.evaluations] for each in passes]
            for name, column in columns.items()
        }

    def products(self, key: Place, errors: dict[Place, Fraction]) -> list[Fraction]:
        """err·x of a parameter, of each frame in order; of the tail once."""
        layer, o, i = key
        if layer > self.last_framed:
            return [errors[self.segments, layer, o] * self.kept.operands[self.frames, layer][i]]
        return [errors[t // self.hold, layer, o] * self.kept.operands[t, layer][i] for t in range(len(self.sample[0]))]
