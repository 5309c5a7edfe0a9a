"""Random designs over every key of the design file, with samples and parameters for them: what every room's tests draw from."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.layers import DENSE, LayerKind, Sparse
from python_ref.spec.learning import LearningSpec
from python_ref.spec.network import Initialization, Network, Scheme
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import OPTIMIZERS, Optimizer, Sgd
from python_ref.spec.perturbation import CODES, Code, Kind, LfsrCode, Perturbation
from python_ref.spec.schedule import Difference, Schedule

__all__ = ["random_design", "random_parameters", "random_samples"]

EXACT = (Rounding.FLOOR, Rounding.HALF_UP, Rounding.HALF_EVEN)


def _cast(rng: random.Random, *, stochastic: bool = False) -> Cast:
    roundings = (*EXACT, *(Rounding.STOCHASTIC,) * 3) if stochastic else EXACT
    return Cast(rng.choice(roundings), rng.choice((Overflow.SATURATE, Overflow.SATURATE, Overflow.WRAP)))


def _error(rng: random.Random) -> Fixed:
    """A format of at most 16 bits, often so narrow that errors saturate."""
    integer_bits = rng.randint(-4, 4)
    return Fixed(True, integer_bits, rng.randint(max(2, 2 - integer_bits), 16 - integer_bits))


def _formats(rng: random.Random, signed_activation: bool) -> Formats:
    weight = Fixed(True, rng.randint(1, 5), rng.randint(2, 13))
    activation_signed = signed_activation or rng.random() < 0.5
    signed_input = rng.random() < 0.4
    return Formats(
        input=rng.choice((Fixed(False, 0, 8), Fixed(signed_input, rng.randint(1, 3), rng.choice((0, 1, 3, 4, 6, 8))))),
        weight=weight,
        activation=Fixed(activation_signed, rng.randint(2, 5), rng.choice((0, 2, 4, 6, 8, 10, 12))),
        table=Fixed(True, rng.randint(1, 4), rng.randint(0, 5)),
        cost_change=rng.choice((None, Fixed(True, rng.randint(1, 8), rng.randint(1, 20)))),
        gradient=rng.choice((None, Fixed(True, rng.randint(1, 6), rng.randint(0, 24)))),
        error=rng.choice((None, _error(rng))),
        activation_cast=_cast(rng),
        cost_change_cast=_cast(rng),
        gradient_cast=_cast(rng),
        weight_cast=_cast(rng, stochastic=True),
        error_cast=_cast(rng),
    )


_OPTIMIZER_KEYS: dict[str, Callable[[random.Random], object]] = {
    "k": lambda rng: rng.choice((1, 2, 3, 5, 8)),
    "k1": lambda rng: rng.choice((0, 1, 3, 5)),
    "k2": lambda rng: rng.choice((1, 2, 4, 10)),
    "refined": lambda rng: rng.random() < 0.7,
    "corrected": lambda rng: rng.random() < 0.7,
    "square_format": lambda rng: rng.choice((None, Fixed(False, rng.randint(-4, 3), rng.randint(6, 28)))),
    "format": lambda rng: rng.choice((None, Fixed(True, rng.randint(2, 8), rng.randint(0, 24)))),
    "rounding": lambda rng: rng.choice(tuple(Rounding)),
    "overflow": lambda rng: rng.choice(tuple(Overflow)),
}
"""How each parameter of an optimiser is drawn."""


def random_design(
    rng: random.Random,
    *,
    max_size: int = 7,
    max_layers: int = 3,
    max_lanes: int = 10,
    max_period: int = 5,
    kinds: Sequence[Kind] = tuple(Kind),
    differences: Sequence[Difference] = tuple(Difference),
    codes: Sequence[type[Code]] = (LfsrCode, *CODES.values()),
    activations: Sequence[Activation] = tuple(Activation),
    optimizers: Sequence[type[Optimizer]] = (Sgd, *OPTIMIZERS.values()),
    parts: float = 0.0,
    sparse: float = 0.0,
    signature: bool | None = None,
    name: str = "random",
) -> DesignSpec:
    """A random design that passes every check, small enough to simulate.

    Parameters
    ----------
    rng : random.Random
        Source; Hypothesis's ``st.randoms()`` fits too. The same state gives the same design.
    max_size, max_layers, max_lanes, max_period : int
        Upper limits, inclusive; τ_x may be twice that. Lanes are drawn beyond the number of neurons now and then.
    kinds, differences, codes, activations, optimizers : sequences
        What to choose from; repeat an entry to make it likelier.
    parts : float
        Share of the designs of node perturbation, of codes that can have parts, whose probes perturb parts of the network. Such a design
        has τ_x and τ_θ as many times longer as a round has probes.
    sparse : float
        Share of the designs in which some layers are sparse.
    signature : bool or None
        Whether the core keeps signatures; None draws it.
    """
    while True:
        kind, difference = rng.choice(kinds), rng.choice(differences)
        layers = rng.randint(1, max_layers)
        sizes = tuple(rng.choice((1, rng.randint(1, max_size), rng.randint(1, max_size))) for _ in range(layers + 1))
        network = Network(
            sizes,
            rng.choice(activations),
            rng.choice(activations),
            Initialization(rng.choice(tuple(Scheme)), rng.choice((0.5, 1.0, 2.0)), rng.randrange(1 << 32)),
        )
        used = {layer.activation for layer in network.layers}
        formats = _formats(rng, any(function.signed for function in used))
        amplitude = rng.randint(-8, 0)
        two_sided = difference is Difference.TWO_SIDED
        rates = []
        for start in sorted({0, *rng.sample(range(1, 40), rng.choice((0, 0, 1, 2)))}):
            exponent = -formats.weight.fraction_bits + rng.randint(-1, 12)
            rates.append((start, exponent + amplitude + two_sided))
        update_period = rng.choice((1, 1, rng.randint(1, max_period)))
        sample_period = rng.choice((1, 1, rng.randint(1, max_period), update_period, update_period * rng.randint(1, 2)))
        chosen = rng.choice(optimizers)
        try:
            optimizer = chosen(**{key: _OPTIMIZER_KEYS[key](rng) for key in chosen.parameters()})
            spec = DesignSpec(
                name,
                network,
                Perturbation(kind, rng.choice(codes)(), amplitude, rng.randrange(1 << 63)),
                Schedule(
                    tuple(rates),
                    rng.choice((1, 1, rng.randint(1, max_period))),
                    sample_period,
                    update_period,
                    difference,
                ),
                optimizer,
                formats,
                Hardware(
                    rng.choice((1, rng.randint(1, max_lanes), rng.randint(1, max_lanes))),
                    rng.choice((None, None, True, False)),
                    rng.random() < 0.5 if signature is None else signature,
                ),
            )
            return _varied(rng, spec, sparse, parts)
        except ValueError:  # refused by name; most are an amplitude below the last place, or a gradient memory that is needed
            continue


def _varied(rng: random.Random, spec: DesignSpec, sparse: float, parts: float) -> DesignSpec:
    """The design, in these shares of the designs with sparse layers and with parts."""
    spec = _sparse(rng, spec, sparse)
    return _in_parts(rng, spec) if parts and spec.node and not spec.code.single and rng.random() < parts else spec


def _sparse(rng: random.Random, spec: DesignSpec, share: float) -> DesignSpec:
    """The design, or in this share of the designs one with at least one sparse layer, whose lists are drawn or given."""
    if not share or rng.random() >= share:
        return spec
    layers, lanes = spec.network.layers, spec.hardware.lanes
    chosen = rng.randrange(len(layers))
    kinds: list[LayerKind] = []
    for number, layer in enumerate(layers):
        if number != chosen and rng.random() < 0.4:
            kinds.append(DENSE)
            continue
        fan_in = rng.choice((1, rng.randint(1, layer.n_in), rng.randint(1, layer.n_in)))
        kind = Sparse(fan_in, lanes * rng.choice((1, 1, 2, 3)), rng.randrange(1 << 63))
        blocks = -(-layer.n_out // kind.block_size(layer.n_out))
        given = tuple(tuple(sorted(rng.sample(range(layer.n_in), fan_in))) for _ in range(blocks))
        kinds.append(replace(kind, inputs=given) if rng.random() < 0.3 else kind)
    return replace(spec, network=replace(spec.network, kinds=tuple(kinds)))


def _in_parts(rng: random.Random, spec: DesignSpec) -> DesignSpec:
    """The design with random parts, and periods of whole rounds; one sign vector lasts a round now and then."""
    left, parts = len(spec.network.layers), []
    while left:
        parts.append((rng.choice((1, rng.randint(1, left))), rng.choice((1, 1, 2, 3))))
        left -= parts[-1][0]
    probes, schedule = sum(times for _, times in parts), spec.schedule
    periods = {
        "perturbation_period": rng.choice((schedule.perturbation_period, schedule.perturbation_period, probes)),
        "sample_period": schedule.sample_period * probes,
        "update_period": schedule.update_period * probes,
    }
    return replace(spec, perturbation=replace(spec.perturbation, parts=tuple(parts)), schedule=replace(schedule, **periods))


def random_parameters(rng: random.Random, spec: LearningSpec) -> np.ndarray:
    """Raw parameters (int64, shape (P,), canonical order): small, spread over their whole range, or near its ends."""
    low, high = spec.parameter_limits
    reach = rng.choice((2, 8, 64, high, high))
    drawn = np.array([rng.randint(max(low, -reach), min(high, reach)) for _ in range(spec.n_parameters)], dtype=np.int64)
    return np.where(drawn < 0, low - 1 - drawn, high - drawn) if rng.random() < 0.1 else drawn


def random_samples(rng: random.Random, spec: DesignSpec, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Raw inputs (int64, shape (count, n_in)) and targets (shape (count, n_out)); some inputs are zero, some at the ends."""

    def draw(form: Fixed) -> int:
        return rng.choice((0, form.min, form.max, rng.randint(form.min, form.max), rng.randint(form.min, form.max)))

    shape_in, shape_out = (count, spec.network.n_in), (count, spec.network.n_out)
    inputs = np.array([draw(spec.formats.input) for _ in range(shape_in[0] * shape_in[1])], dtype=np.int64)
    unit = 1 << spec.formats.activation.fraction_bits
    if rng.random() < 0.5:
        target = [rng.choice((0, min(unit, spec.formats.activation.max))) for _ in range(shape_out[0] * shape_out[1])]
    else:
        target = [draw(spec.formats.activation) for _ in range(shape_out[0] * shape_out[1])]
    return inputs.reshape(shape_in), np.array(target, dtype=np.int64).reshape(shape_out)
