"""The seeded random designs to which :mod:`boards.parts.fit_calibrate` fits the predictor, of every machine."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count

from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.error import unknown
from python_ref.spec.formats import LearnerFormats
from python_ref.spec.layers import DENSE, LayerKind, Leaky, Lif, Sparse, Stochastic
from python_ref.spec.learner import MAX_STREAMS, LearnerSpec, Outside
from python_ref.spec.learning import LearningSpec
from python_ref.spec.network import Network, Readout
from python_ref.spec.number import Fixed, Rounding
from python_ref.spec.optimizer import Momentum, Optimizer, Sgd, ShiftAdam
from python_ref.spec.perturbation import Code, Kind, LfsrCode, Perturbation, SequentialCode, WalshCode
from python_ref.spec.schedule import Difference, Schedule

__all__ = ["MACHINES", "design", "drawn"]

WIDEST = 40
"""Largest number of bits of an accumulator."""

_EXACT = (Rounding.FLOOR, Rounding.HALF_UP, Rounding.HALF_EVEN)
_TABLES = (Activation.SIGMOID, Activation.TANH)
_CODES: tuple[type[Code], ...] = (LfsrCode, SequentialCode, LfsrCode, WalshCode)
"""Codes of the designs of a machine, in turn."""

_OPTIMIZERS: tuple[Callable[[random.Random], Optimizer], ...] = (
    lambda rng: Sgd(),
    lambda rng: Momentum(rng.randint(2, 6)),
    lambda rng: Sgd(),
    lambda rng: ShiftAdam(rng.choice((0, 2, 3)), rng.choice((4, 8, 10)), refined=rng.random() < 0.7),
    lambda rng: Sgd(),
)
"""How the optimiser of a design is drawn, in turn."""


def design(name: str) -> LearningSpec:
    """A design by its name: a key of :data:`MACHINES` and a number, such as ``"node 7"``; the same name is always the same design.

    Codes and optimisers are in turn rather than drawn, so that the first designs have them all, though more settings of one are refused
    than of another. Sizes are as likely to be small as large.

    Raises
    ------
    TypeError
        If there is no such machine.
    """
    machine, _, number = name.partition(" ")
    if machine not in MACHINES:
        raise unknown("Machine", machine, "boards.parts.fit_designs.MACHINES")
    rng, turn = random.Random(f"fit {name}"), int(number)
    code, optimizer = _CODES[turn % len(_CODES)], _OPTIMIZERS[turn % len(_OPTIMIZERS)]
    return next(spec for _ in count() if (spec := drawn(rng, machine, code, optimizer(rng))) is not None)


def drawn(rng: random.Random, machine: str, code: type[Code], optimizer: Optimizer) -> LearningSpec | None:
    """Draw the other settings of a design of a machine; None if they are refused."""
    try:
        return MACHINES[machine](rng, code(), optimizer)
    except ValueError:  # the settings are refused
        return None


def _size(rng: random.Random, low: int, high: int) -> int:
    """A size whose logarithm is uniform."""
    return round(low * (high / low) ** rng.random())


@dataclass(frozen=True)
class _Common:
    """What designs of all machines draw alike."""

    optimizer: Optimizer
    update_period: int
    gradient: Fixed | None

    @classmethod
    def draw(cls, rng: random.Random, optimizer: Optimizer) -> _Common:
        # Shift-Adam squares G, so it has a factor of one multiplier.
        gradient = Fixed(True, rng.randint(1, 3), rng.randint(8, 14) if optimizer.squares else rng.randint(10, 20))
        return cls(optimizer, rng.choice((1, 1, 1, rng.randint(2, 100))), rng.choice((None, gradient)))

    def schedule(self, rng: random.Random) -> Schedule:
        periods = rng.choice((1, 1, rng.randint(2, 50))), rng.choice((1, 1, rng.randint(2, 50)))
        return Schedule(((0, -rng.randint(6, 12)),), *periods, self.update_period, rng.choice(tuple(Difference)))

    @staticmethod
    def weight_cast(rng: random.Random) -> Cast:
        return Cast(rng.choice((*_EXACT, *(Rounding.STOCHASTIC,) * 3)))

    def formats(self, rng: random.Random, **others: Fixed) -> Formats:
        return Formats(
            input=Fixed.parse(rng.choice(("UQ0.8", "UQ1.4", "UQ0.4", "SQ2.6"))),
            weight=Fixed(True, rng.randint(2, 4), rng.randint(8, 14)),
            activation=Fixed(True, rng.randint(2, 4), rng.randint(5, 10)),
            table=Fixed(True, 3, rng.randint(3, 6)),
            cost_change=rng.choice((None, Fixed(True, rng.randint(2, 4), rng.randint(8, 14)))),
            gradient=self.gradient,
            activation_cast=Cast(rng.choice(_EXACT)),
            gradient_cast=Cast(rng.choice(_EXACT)),
            weight_cast=self.weight_cast(rng),
            **others,  # type: ignore[arg-type]
        )


def _activations(rng: random.Random) -> tuple[Activation, Activation]:
    hidden = (Activation.RELU, Activation.RELU, Activation.LEAKY_RELU, Activation.IDENTITY, *_TABLES, Activation.SIGN)
    return rng.choice(hidden), rng.choice((Activation.IDENTITY, Activation.RELU, *_TABLES))


def _narrow(spec: DesignSpec) -> DesignSpec | None:
    """The design, or None if its accumulators are wider than those of :data:`WIDEST` bits."""
    return spec if spec.accumulator_width <= WIDEST else None


def _stateless(rng: random.Random, kind: Kind, code: Code, optimizer: Optimizer) -> DesignSpec | None:
    """A design without state; some have sparse layers, and in node perturbation some stochastic ones."""
    hidden = [_size(rng, 2, 64) for _ in range(rng.choice((0, 1, 1, 1, 2)))]
    sizes = (_size(rng, 2, 400), *hidden, _size(rng, 1, 16))
    lanes = min(_size(rng, 1, 16), max(sizes[1:]))
    functions, kinds = _activations(rng), tuple[LayerKind, ...]()
    if rng.random() < 0.3:
        sparse = (Sparse(_size(rng, 1, n_in), lanes * rng.choice((1, 1, 2))) for n_in in sizes[:-1])
        kinds = tuple(each if rng.random() < 0.7 else DENSE for each in sparse)
    elif kind is Kind.NODE and rng.random() < 0.25:
        functions = Activation.SIGMOID, Activation.SIGMOID
        kinds = tuple(rng.choice((DENSE, Stochastic(rng.choice(Stochastic.COUNTS)))) for _ in sizes[1:])
    common = _Common.draw(rng, optimizer)
    spec = DesignSpec(
        "fit",
        Network(sizes, *functions, kinds=kinds),
        Perturbation(kind, code, rng.randint(-7, -3)),
        common.schedule(rng),
        common.optimizer,
        common.formats(rng),
        Hardware(
            lanes,
            True if common.update_period > 1 else None,
            rng.random() < 0.7,
            2 if kind is Kind.NODE and rng.random() < 0.25 else 1,
            kind is Kind.NODE and rng.random() < 0.1,
        ),
    )
    return _narrow(spec)


def _series(rng: random.Random, kind: Kind, code: Code, optimizer: Optimizer) -> DesignSpec | None:
    """A design with one or two layers with state, and a dense layer behind them in most."""
    kinds: list[LayerKind] = [rng.choice((Leaky(rng.randint(0, 4)), Lif(rng.randint(0, 5)))) for _ in range(rng.choice((1, 1, 1, 2)))]
    kinds = [DENSE] * (rng.random() < 0.15) + kinds + [DENSE] * rng.choice((0, 1, 1, 1, 2))
    sizes = (_size(rng, 2, 48), *(_size(rng, 2, 40) for _ in kinds[1:]), _size(rng, 1, 16))
    network = Network(
        sizes,
        *_activations(rng),
        kinds=tuple(kinds),
        frames=_size(rng, 2, 40),
        readout=rng.choice((Readout.LAST, Readout.LAST, Readout.SUM)),
        held=rng.random() < 0.4,
    )
    common = _Common.draw(rng, optimizer)
    spiking = any(not each.activated for each in kinds)
    state = {"state": Fixed(True, rng.randint(3, 5), rng.randint(8, 11))} if spiking else {}
    spec = DesignSpec(
        "fit",
        network,
        Perturbation(kind, code, rng.randint(-7, -3)),
        common.schedule(rng),
        common.optimizer,
        common.formats(rng, **state),
        Hardware(
            min(_size(rng, 1, 12), max(sizes[1:])),
            None,
            rng.random() < 0.7,
            single_port=kind is Kind.NODE and rng.random() < 0.2,
        ),
    )
    return _narrow(spec)


def _learner(rng: random.Random, code: Code, optimizer: Optimizer) -> LearnerSpec:
    """A learner; every third sends the errors of nodes."""
    common, quantities = _Common.draw(rng, optimizer), _size(rng, 1, 4096)
    schedule = common.schedule(rng)
    kind = Kind.NODE if optimizer.passes_gradient and rng.random() < 0.4 else Kind.WEIGHT
    if kind is Kind.NODE:
        schedule = replace(schedule, sample_period=schedule.update_period * rng.choice((1, 1, 2)))
    return LearnerSpec(
        "fit",
        quantities,
        Perturbation(kind, code, rng.randint(-7, -3)),
        schedule,
        common.optimizer,
        LearnerFormats(
            weight=Fixed(True, rng.randint(2, 4), rng.randint(8, 14)),
            cost=Fixed(True, rng.randint(2, 5), rng.randint(8, 14)),
            cost_change=rng.choice((None, Fixed(True, rng.randint(2, 4), rng.randint(8, 14)))),
            gradient=common.gradient,
            gradient_cast=Cast(rng.choice(_EXACT)),
            weight_cast=common.weight_cast(rng),
        ),
        Hardware(
            min(_size(rng, 1, MAX_STREAMS) if rng.random() < 0.6 else 1, quantities),
            True if common.update_period > 1 else None,
            rng.random() < 0.7,
        ),
        Outside(settle=rng.randint(0, 50), average=rng.choice((0, 0, 1, 3, 6))),
    )


MACHINES: dict[str, Callable[[random.Random, Code, Optimizer], LearningSpec | None]] = {
    "weight": lambda rng, code, optimizer: _stateless(rng, Kind.WEIGHT, code, optimizer),
    "node": lambda rng, code, optimizer: _stateless(rng, Kind.NODE, code, optimizer),
    "series": lambda rng, code, optimizer: _series(rng, Kind.NODE, code, optimizer),
    "series-weight": lambda rng, code, optimizer: _series(rng, Kind.WEIGHT, code, optimizer),
    "learner": _learner,
}
"""How a design of each machine is drawn."""
