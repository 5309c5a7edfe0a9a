"""The seeded random designs to which :mod:`boards.parts.fit_calibrate` fits the predictor: every machine, in sizes of small parts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware, MachineKind
from python_ref.spec.layers import DENSE, LayerKind, Leaky, Lif, Sparse, Stochastic
from python_ref.spec.network import Network, Readout
from python_ref.spec.number import Fixed, Rounding
from python_ref.spec.optimizer import Momentum, Optimizer, Sgd, ShiftAdam
from python_ref.spec.perturbation import Code, Kind, LfsrCode, Perturbation, SequentialCode, WalshCode
from python_ref.spec.schedule import Difference, Schedule

__all__ = ["design", "drawn"]

_EXACT = (Rounding.FLOOR, Rounding.HALF_UP, Rounding.HALF_EVEN)
_TABLES = (Activation.SIGMOID, Activation.TANH)
_SHARES = (MachineKind.WEIGHT, MachineKind.NODE, MachineKind.NODE, MachineKind.SERIES)
"""Machines, in turn."""

_CODES: dict[MachineKind, tuple[type[Code], ...]] = {
    MachineKind.WEIGHT: (LfsrCode, SequentialCode, LfsrCode, WalshCode),
    MachineKind.NODE: (LfsrCode, SequentialCode, WalshCode, SequentialCode),
    MachineKind.SERIES: (LfsrCode, SequentialCode, WalshCode, LfsrCode),
}
"""Codes of the designs of a machine, in turn."""

_OPTIMIZERS: tuple[Callable[[random.Random], Optimizer], ...] = (
    lambda rng: Sgd(),
    lambda rng: Momentum(rng.randint(2, 6)),
    lambda rng: Sgd(),
    lambda rng: ShiftAdam(rng.choice((0, 2, 3)), rng.choice((4, 8, 10)), refined=rng.random() < 0.7),
    lambda rng: Sgd(),
)
"""How the optimiser of a design is drawn, in turn."""


def design(number: int) -> DesignSpec:
    """The ``number``-th of an endless seeded sequence of designs that varies every setting, in sizes that fit small parts.

    Machines, codes and optimisers are in turn rather than drawn, so that the first designs have them all, though more settings of one are
    refused than of another. Every sixteenth design has stochastic layers.
    """
    rng = random.Random(f"fit {number}")
    draws = (1, 4, 8)[number // 16 % 3] if number % 16 == 14 else 0
    machine, turn = _SHARES[number % len(_SHARES)], number // len(_SHARES) + number % len(_SHARES)
    code, optimizer = _CODES[machine][turn % len(_CODES[machine])], _OPTIMIZERS[turn % len(_OPTIMIZERS)]
    while True:
        spec = drawn(rng, machine, code, optimizer(rng))
        spec = with_draws(spec, draws) if spec is not None and draws else spec
        if spec is not None and spec.accumulator_width <= 40:
            return spec


def drawn(rng: random.Random, machine: MachineKind, code: type[Code], optimizer: Optimizer) -> DesignSpec | None:
    """Draw the other settings of a design of a machine; None if they are refused."""
    try:
        return _DRAWN[machine](rng, code(), optimizer)
    except ValueError:  # the settings are refused
        return None


def with_draws(spec: DesignSpec, draws: int) -> DesignSpec | None:
    """The design with stochastic hidden layers; None if it has no hidden layer, or the settings are refused."""
    hidden = len(spec.network.layers) - 1
    try:
        network = replace(spec.network, hidden=Activation.SIGMOID, kinds=(*(Stochastic(draws),) * hidden, DENSE))
        return replace(spec, network=network) if hidden else None
    except ValueError:  # the settings are refused
        return None


def _size(rng: random.Random, low: int, high: int) -> int:
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
            weight_cast=Cast(rng.choice((*_EXACT, *(Rounding.STOCHASTIC,) * 3))),
            **others,  # type: ignore[arg-type]
        )


def _activations(rng: random.Random) -> tuple[Activation, Activation]:
    hidden = (Activation.RELU, Activation.RELU, Activation.LEAKY_RELU, Activation.IDENTITY, *_TABLES, Activation.SIGN)
    return rng.choice(hidden), rng.choice((Activation.IDENTITY, Activation.RELU, *_TABLES))


def _stateless(rng: random.Random, kind: Kind, code: Code, optimizer: Optimizer) -> DesignSpec:
    """A design without state; some have sparse layers."""
    hidden = [_size(rng, 2, 48) for _ in range(rng.choice((0, 1, 1, 1, 2)))]
    sizes = (_size(rng, 2, 128), *hidden, _size(rng, 1, 16))
    lanes = min(_size(rng, 1, 8), max(sizes[1:]))
    kinds: tuple[LayerKind, ...] = ()
    if rng.random() < 0.4:
        sparse = (Sparse(_size(rng, 1, n_in), lanes * rng.choice((1, 1, 2))) for n_in in sizes[:-1])
        kinds = tuple(each if rng.random() < 0.7 else DENSE for each in sparse)
    common = _Common.draw(rng, optimizer)
    return DesignSpec(
        "fit",
        Network(sizes, *_activations(rng), kinds=kinds),
        Perturbation(kind, code, rng.randint(-7, -3)),
        common.schedule(rng),
        common.optimizer,
        common.formats(rng),
        Hardware(
            lanes,
            True if common.update_period > 1 else None,
            rng.random() < 0.7,
            2 if kind is Kind.NODE and rng.random() < 0.25 else 1,
        ),
    )


def _series(rng: random.Random, code: Code, optimizer: Optimizer) -> DesignSpec:
    """A design with one or two layers with state, and a dense layer behind them in most."""
    kinds: list[LayerKind] = [rng.choice((Leaky(rng.randint(0, 4)), Lif(rng.randint(0, 5)))) for _ in range(rng.choice((1, 1, 1, 2)))]
    kinds = [DENSE] * (rng.random() < 0.15) + kinds + [DENSE] * rng.choice((0, 1, 1, 1, 2))
    sizes = (_size(rng, 2, 48), *(_size(rng, 2, 24) for _ in kinds[1:]), _size(rng, 1, 16))
    frames = _size(rng, 2, 32)
    held = rng.random() < 0.4
    network = Network(
        sizes,
        *_activations(rng),
        kinds=tuple(kinds),
        frames=frames,
        readout=rng.choice((Readout.LAST, Readout.LAST, Readout.SUM)),
        held=held,
    )
    common = _Common.draw(rng, optimizer)
    spiking = any(not kind.activated for kind in kinds)
    state = {"state": Fixed(True, rng.randint(3, 5), rng.randint(8, 11))} if spiking else {}
    return DesignSpec(
        "fit",
        network,
        Perturbation(Kind.NODE, code, rng.randint(-7, -3)),
        common.schedule(rng),
        common.optimizer,
        common.formats(rng, **state),
        Hardware(min(_size(rng, 1, 8), max(sizes[1:])), None, rng.random() < 0.7),
    )


_DRAWN: dict[MachineKind, Callable[[random.Random, Code, Optimizer], DesignSpec]] = {
    MachineKind.WEIGHT: lambda rng, code, optimizer: _stateless(rng, Kind.WEIGHT, code, optimizer),
    MachineKind.NODE: lambda rng, code, optimizer: _stateless(rng, Kind.NODE, code, optimizer),
    MachineKind.SERIES: _series,
}
"""How a design of each machine is drawn."""
