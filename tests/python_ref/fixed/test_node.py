"""Node perturbation equals an oracle of exact fractions that knows only what the design file says."""

import random
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_ref.fixed.machine import State, initial_state, step
from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import OPTIMIZERS, Momentum
from python_ref.spec.perturbation import CODES, Kind, Perturbation, SequentialCode
from python_ref.spec.probes import COUNTERS, probes
from python_ref.spec.schedule import Difference, Schedule
from tests.support import probe_oracle
from tests.support.designs import random_design, random_parameters, random_samples
from tests.support.node_designs import DEEP_SHAPES, PART_SHAPES
from tests.support.oracles import oracle_of
from tests.support.rare_events import RARE_EVENTS

SAMPLES = 7


class Pair:
    """The machine and its oracle, which do the same.

    Parameters
    ----------
    spec : DesignSpec
        Design of both.
    rng : random.Random
        Source of the parameters, the samples and the seed.
    """

    def __init__(self, spec: DesignSpec, rng: random.Random, parameters: np.ndarray | None = None) -> None:
        self.rng = rng
        start = random_parameters(rng, spec) if parameters is None else parameters
        seed = rng.randrange(1 << 63)
        self.spec, self.state = spec, initial_state(spec, start, seed=seed)
        self.oracle = oracle_of(spec, start.tolist(), seed)
        self.samples = list(zip(*random_samples(rng, spec, SAMPLES), strict=True))
        self.shown: dict[str, np.ndarray] = {}

    def step(self) -> None:
        """Take a step, and compare all that is shown."""
        if self.oracle.sample_due:
            self.sample = self.rng.choice(self.samples)
        n = self.state.steps
        self.state, self.shown = step(self.spec, self.state, self.sample)
        expected = self.oracle.observed(*(part.tolist() for part in self.sample))
        for probe in probes(self.spec):
            raw = self.shown[probe.name]
            assert raw.shape == probe.shape, probe.name
            shown = [value / Fraction(2) ** probe.format_at(i).fraction_bits for i, value in enumerate(raw.ravel().tolist())]
            wrong = [(i, str(a), str(b)) for i, (a, b) in enumerate(zip(shown, expected[probe.name], strict=True)) if a != b]
            assert not wrong, f"step {n}, {probe.name}: (index, machine, oracle) {wrong[:4]} in {self.spec}"
        self.compare_states()

    def compare_states(self) -> None:
        """Compare what stays from one step to the next."""
        kept = self.oracle.state()
        assert self.state.due == self.oracle.fresh
        for name, form, mine in (
            ("error_sum", self.spec.error_sum_format, self.state.error_sum),
            ("gradient", self.spec.gradient_format, self.state.gradient),
            ("parameter", self.spec.formats.weight, self.state.parameters),
            *((variable.name, variable.format, self.state.optimizer[variable.name]) for variable in self.spec.optimizer_state),
        ):
            wanted = kept[name] or [0] * len(mine)
            assert [value / Fraction(2) ** form.fraction_bits for value in mine.tolist()] == wanted, name

    def load(self) -> None:
        """Write other parameters, or the same."""
        raw = self.rng.choice((self.state.parameters, random_parameters(self.rng, self.spec)))
        self.state = self.state.with_load(raw)
        self.oracle.load(raw.tolist())
        self.compare_states()

    def infer(self) -> None:
        """Judge a sample."""
        found = self.oracle.infer(*(part.tolist() for part in self.rng.choice(self.samples)))
        counters = self.state.counters.copy()
        counters[COUNTERS.index("correct")] += found["judged"]
        self.state = replace(self.state.with_load(), counters=counters)

    def restart(self) -> None:
        """Begin anew with another seed."""
        seed = self.rng.randrange(1 << 63)
        counters = np.where(np.isin(COUNTERS, ("steps", "updates")), 0, self.state.counters)
        self.state = replace(self.state, due=True, seed=seed, drawn=0, steps=0, updates=0, counters=counters)
        self.oracle.restart(seed)


def check(spec: DesignSpec, rng: random.Random, steps: int, interrupted: float = 0.1) -> Pair:
    """Take steps, with a load, an inference, a restart or a stop between some of them."""
    pair = Pair(spec, rng)
    for _ in range(steps):
        if rng.random() < interrupted:
            rng.choice((pair.load, pair.infer, pair.restart, pair.oracle.stop))()
        pair.step()
    return pair


@settings(max_examples=75)
@given(st.integers(0, 2**32))
def test_every_observable_equals_the_oracle(seed):
    rng = random.Random(seed)
    check(random_design(rng, max_size=5, max_layers=4, kinds=[Kind.NODE], parts=0.4), rng, 16)


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_every_observable_of_deep_incremental_probes_equals_the_oracle(seed):
    rng, spec = random.Random(seed), BASE
    while len(spec.network.layers) < 3 or not spec.incremental:
        spec = random_design(rng, max_size=4, max_layers=6, kinds=[Kind.NODE], codes=[SequentialCode])
    check(spec, rng, 16)


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_every_observable_of_sparse_layers_equals_the_oracle(seed):
    rng = random.Random(seed)
    check(random_design(rng, max_size=6, max_layers=4, max_lanes=4, kinds=[Kind.NODE], parts=0.3, sparse=1.0), rng, 16)


@pytest.mark.slow
@settings(max_examples=80)
@given(st.integers(0, 2**32))
def test_every_observable_of_many_more_equals_the_oracle(seed):
    rng = random.Random(seed)
    check(random_design(rng, max_size=5, max_layers=4, kinds=[Kind.NODE]), rng, 24)


BASE = DesignSpec(
    "base",
    Network((2, 3, 2), Activation.RELU, Activation.IDENTITY),
    Perturbation(Kind.NODE, amplitude_log2=-3),
    Schedule(((0, -5), (7, -6)), 2, 3, 2),
    formats=Formats(
        Fixed(False, 0, 4),
        Fixed(True, 2, 8),
        Fixed(True, 3, 7),
        Fixed(True, 3, 4),
        Fixed(True, 2, 9),
        Fixed(True, 2, 12),
        Fixed(True, 0, 9),
    ),
    hardware=Hardware(2),
)
"""A design with a gradient memory, since τ_x = 3 is no multiple of τ_θ = 2."""
PERIODS = [(1, 1, 1), (1, 4, 4), (3, 4, 4), (1, 6, 2), (2, 6, 3), (4, 2, 6), (1, 3, 2), (5, 4, 6), (8, 8, 8)]
"""τ_p, τ_x and τ_θ."""


def with_cast(name: str, cast: Cast) -> DesignSpec:
    """The base with another cast."""
    return replace(BASE, formats=replace(BASE.formats, **{f"{name}_cast": cast}))


def with_sizes(*sizes: int, lanes: int = 2) -> DesignSpec:
    """The base with other layers."""
    return replace(BASE, network=replace(BASE.network, sizes=sizes), hardware=Hardware(lanes))


def with_periods(periods: tuple[int, int, int], memory: bool | None = None, **changes) -> DesignSpec:
    """The base with other periods."""
    return replace(BASE, schedule=Schedule(BASE.schedule.learning_rate, *periods), hardware=Hardware(2, memory), **changes)


CODES_AND_DIFFERENCES = {
    f"{code}-{difference.value}-{optimizer}": replace(
        BASE,
        perturbation=Perturbation(Kind.NODE, CODES[code](), -3),
        schedule=replace(BASE.schedule, difference=difference),
        optimizer=OPTIMIZERS[optimizer](),
    )
    for code, difference, optimizer in product(CODES, Difference, OPTIMIZERS)
}
CASTS = {
    f"{name}-{rounding.value}-{overflow.value}": with_cast(name, Cast(rounding, overflow))
    for name, rounding, overflow in product(("activation", "cost_change", "error", "gradient", "weight"), Rounding, Overflow)
    if name == "weight" or rounding is not Rounding.STOCHASTIC
}
DIRECT_CASTS = {
    f"direct-{rounding.value}-{overflow.value}": replace(
        with_periods((1, 4, 4)), formats=replace(BASE.formats, weight_cast=Cast(rounding, overflow))
    )
    for rounding, overflow in product(Rounding, Overflow)
}
ACTIVATIONS = {
    f"{place}-{activation.value}": replace(BASE, network=replace(BASE.network, **{place: activation}))
    for place, activation in product(("hidden", "output"), Activation)
}
SHAPES = {
    "one layer": with_sizes(3, 4),
    "four layers": with_sizes(2, 3, 2, 3, 2),
    "one neuron": with_sizes(2, 1),
    "a layer of one input": with_sizes(1, 3, 2),
    "more lanes than neurons": with_sizes(2, 3, 2, lanes=5),
    "no signature": replace(BASE, hardware=Hardware(2, signature=False)),
    **{f"periods {periods}": with_periods(periods) for periods in PERIODS},
    **{f"periods {periods}, momentum": with_periods(periods, optimizer=Momentum(2)) for periods in PERIODS},
    "a memory of gradients all the same": with_periods((1, 4, 4), True),
    "the derived format of the error": replace(BASE, formats=replace(BASE.formats, error=None)),
}
PARTS = {f"parts, {name}": spec for name, spec in PART_SHAPES.items()}
ONE_AT_A_TIME = {f"one at a time, {name}": spec for name, spec in DEEP_SHAPES.items()}
CHOICES = CODES_AND_DIFFERENCES | CASTS | DIRECT_CASTS | ACTIVATIONS | SHAPES | PARTS | ONE_AT_A_TIME
"""Designs that, together, make every choice that a design file of node perturbation has."""


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_equals_the_oracle(name):
    spec = CHOICES[name]
    check(spec, random.Random(name), max(16, 2 * spec.longest_presentation + 2))


@pytest.mark.parametrize("kind", ["error", "gradient", "momentum", "update", "weight", "cost_change", "activation"])
@pytest.mark.parametrize("overflow", Overflow)
def test_narrow_formats_overflow_as_the_oracle_says(kind, overflow):
    """Each format in turn is so narrow that most values exceed it."""
    narrow = {
        "error": Fixed(True, -3, 7),
        "gradient": Fixed(True, -3, 9),
        "cost_change": Fixed(True, -3, 7),
        "activation": Fixed(True, 1, 7),
    }
    formats = {kind: narrow[kind]} if kind in narrow else {}
    optimizer = Momentum(2, Fixed(True, -3, 9), Rounding.STOCHASTIC, overflow) if kind == "momentum" else BASE.optimizer
    formats |= {"weight": Fixed(True, 0, 8)} if kind in ("update", "weight") else {}
    schedule = replace(BASE.schedule, learning_rate=((0, 0),))
    spec = replace(BASE, schedule=schedule, optimizer=optimizer, formats=replace(BASE.formats, **formats))
    for name in ("activation", "cost_change", "error", "gradient", "weight"):
        cast = replace(getattr(spec.formats, f"{name}_cast"), overflow=overflow)
        spec = replace(spec, formats=replace(spec.formats, **{f"{name}_cast": cast}))
    pair = check(spec, random.Random(f"{kind} {overflow.value}"), 40)
    assert pair.state.counters[COUNTERS.index(f"saturated_{kind}")] > 0


@pytest.mark.parametrize("name", [name for name in COUNTERS if name not in ("saturated_broadcast", "saturated_state")])
def test_every_counter_rises_as_the_oracle_says(name):
    event, place = RARE_EVENTS[name], COUNTERS.index(name)
    pair, counts = Pair(event.spec, random.Random(name), event.start), []
    pair.samples = [event.sample]
    for _ in range(event.steps):
        counts.append(pair.state.counters[place])
        pair.step()
    assert max(counts) < pair.state.counters[place], "the last step must be the one that counts"


def test_error_sums_reach_their_ends():
    """Both ends of E, which the probes of one part in the longest presentation make; a design file's E must hold them."""
    spec = PART_SHAPES["largest-error-sums"]
    pair, ends = Pair(spec, random.Random(1)), set()
    for _ in range(240):
        pair.step()
        ends |= {int(pair.shown["error_sum"].min()), int(pair.shown["error_sum"].max())}
    largest = 8 * -spec.cost_change_format.min  # a round has two probes of the last layer, a presentation four rounds
    assert (min(ends), max(ends)) == (-largest, largest)


def parts_in_a_row(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(probe_oracle, "round_of", lambda parts: tuple(sorted(ROUND_OF(parts))))


def rounds_that_go_on_after_a_load(patch: pytest.MonkeyPatch) -> None:
    original = probe_oracle.ProbeOracle.interrupt

    def interrupt(self):
        turn = getattr(self, "probed", 0)
        shown = original(self)
        self.probed = turn
        return shown

    patch.setattr(probe_oracle.ProbeOracle, "interrupt", interrupt)


def a_sign_vector_per_round(patch: pytest.MonkeyPatch) -> None:
    original = probe_oracle.ProbeOracle.probe
    patch.setattr(probe_oracle.ProbeOracle, "probe", lambda self, p, *part: original(self, p // len(self.round), *part))


def layers_behind_the_part_perturbed(patch: pytest.MonkeyPatch) -> None:
    original = probe_oracle.ProbeOracle.probe
    patch.setattr(probe_oracle.ProbeOracle, "probe", lambda self, p, first, last: original(self, p, first, self.layers - 1))


def layers_before_the_part_signed(patch: pytest.MonkeyPatch) -> None:
    original = probe_oracle.ProbeOracle.run_pass
    patch.setattr(probe_oracle.ProbeOracle, "run_pass", lambda self, *given: original(self, *given)._replace(evaluated=set(self.neurons)))


ROUND_OF = probe_oracle.round_of
MISREADINGS = (
    parts_in_a_row,
    rounds_that_go_on_after_a_load,
    a_sign_vector_per_round,
    layers_behind_the_part_perturbed,
    layers_before_the_part_signed,
)


@pytest.mark.parametrize("misread", [None, *MISREADINGS], ids=lambda each: each.__name__ if each else "as it is")
def test_a_definition_of_parts_that_is_misread_in_the_oracle_is_seen(misread, monkeypatch):
    """Two presentations of rounds of three probes, with a load inside a round."""
    if misread:
        misread(monkeypatch)
    pair = Pair(PART_SHAPES["first-layer-twice"], random.Random(1))

    def follow() -> None:
        for n in range(12):
            if n == 7:
                pair.load()
            pair.step()

    if misread:
        with pytest.raises(AssertionError, match="step "):
            follow()
    else:
        follow()


# -- Lanes, seams and the definition ------------------------------------------------------------------------------------


def trained(spec: DesignSpec, seed: int, steps: int) -> tuple[State, list[dict[str, np.ndarray]]]:
    """State and observables of a run."""
    rng = random.Random(seed)
    state, shown = initial_state(spec, random_parameters(rng, spec)), []
    inputs, targets = random_samples(rng, spec, SAMPLES)
    for n in range(steps):
        number = n // spec.schedule.sample_period % SAMPLES
        state, observed = step(spec, state, (inputs[number], targets[number]))
        shown.append(observed)
    return state, shown


@pytest.mark.parametrize("seed", range(12))
def test_the_number_of_lanes_changes_the_learned_signature_alone(seed):
    rng = random.Random(seed)
    spec = random_design(rng, max_size=9, max_layers=4, kinds=[Kind.NODE], parts=0.4, signature=True)
    if spec.formats.error is not None:  # one that few lanes hold too
        spec = replace(spec, formats=replace(spec.formats, error=Fixed(True, 1, 12)))
    runs = {lanes: trained(replace(spec, hardware=replace(spec.hardware, lanes=lanes)), seed, 20)[1] for lanes in (1, 3, 6, 8, 64)}
    learned = {int(shown[-1]["signature"][1]) for shown in runs.values()}
    assert len(learned) > 1 or max(spec.network.sizes[1:]) == 1, "one lane and three place the words of two neurons differently"
    for lanes, shown in runs.items():
        for n, (one, other) in enumerate(zip(runs[1], shown, strict=True)):
            for name, values in one.items():
                mine, wanted = (other[name][:1], values[:1]) if name == "signature" else (other[name], values)
                np.testing.assert_array_equal(mine, wanted, err_msg=f"step {n}, {name}, {lanes} lanes")


@pytest.mark.parametrize("difference", Difference)
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("sizes", [(3, 2), (2, 3, 2), (2, 2, 3, 1)], ids=str)
def test_exact_formats_give_the_gradient_of_the_definition(sizes, code, difference):
    """Where nothing is rounded, G is Σ 2ᵉ·s_j·C̃·x_i over the steps between two updates, each of which measures anew."""
    formats = Formats(
        input=Fixed(True, 2, 2),
        weight=Fixed(True, 4, 4),
        activation=Fixed(True, 12, 8),
        gradient=Fixed(True, 12, 19),
        error=Fixed(True, 7, 11),
    )
    rates = ((0, -5),) if difference is Difference.ONE_SIDED else ((0, -4),)  # η/Δ, or η/2Δ, is 2⁻³
    spec = DesignSpec(
        "exact",
        Network(sizes, Activation.RELU, Activation.IDENTITY),
        Perturbation(Kind.NODE, CODES[code](), -2),
        Schedule(rates, 1, 4, 12, difference),
        formats=formats,
        hardware=Hardware(9),
    )
    rng = random.Random(f"{sizes} {code} {difference.value}")
    theta = [Fraction(rng.randint(-2, 2), 2) for _ in range(spec.network.n_parameters)]
    state = initial_state(spec, np.array([int(16 * value) for value in theta]))
    total = [Fraction(0)] * len(theta)
    for n in range(12):
        if n % 4 == 0:
            x, target = [Fraction(rng.randint(-2, 2), 2) for _ in range(sizes[0])], [Fraction(rng.randint(0, 1)) for _ in range(sizes[-1])]
        raw = np.array([int(4 * value) for value in x]), np.array([int(256 * value) for value in target])
        state, observed = step(spec, state, raw)
        signs = observed["sign"].tolist()
        change = defined_change(sizes, theta, x, target, signs, difference)
        for index, (j, value) in enumerate(defined_inputs(sizes, theta, x)):
            total[index] += signs[j] * change * value / 8
        if n % 4 == 3:
            assert not observed["counter"][[COUNTERS.index(f"saturated_{kind}") for kind in ("activation", "error", "gradient")]].any()
            assert [Fraction(value, 2**19) for value in observed["gradient"].tolist()] == total
    assert any(total)


def defined_outputs(sizes: tuple[int, ...], theta: list[Fraction], x: list[Fraction], shift: list[Fraction]) -> list[list[Fraction]]:
    """The inputs of every layer, and the outputs; the pre-activations are shifted."""
    theta, shift, found = list(theta), list(shift), [x]
    for number, n_out in enumerate(sizes[1:]):
        z = []
        for _ in range(n_out):
            bias, *weights = [theta.pop(0) for _ in range(sizes[number] + 1)]
            z.append(bias + sum(w * a for w, a in zip(weights, found[-1], strict=True)) + shift.pop(0))
        found.append(z if number == len(sizes) - 2 else [max(value, Fraction(0)) for value in z])
    return found


def defined_change(sizes, theta, x, target, signs, difference) -> Fraction:
    """C̃ by its definition."""

    def cost(direction: int) -> Fraction:
        outputs = defined_outputs(sizes, theta, x, [Fraction(direction * s, 4) for s in signs])[-1]
        return sum(((y - t) ** 2 for y, t in zip(outputs, target, strict=True)), Fraction(0))

    return cost(1) - cost(-1 if difference is Difference.TWO_SIDED else 0)


def defined_inputs(sizes, theta, x) -> list[tuple[int, Fraction]]:
    """The neuron and the unperturbed input of each parameter."""
    inputs, found, j = defined_outputs(sizes, theta, x, [Fraction(0)] * sum(sizes[1:])), [], 0
    for number, n_out in enumerate(sizes[1:]):
        for _ in range(n_out):
            found += [(j, value) for value in (Fraction(1), *inputs[number])]
            j += 1
    return found
