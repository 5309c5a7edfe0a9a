"""Small networks with state, one for each shape that the hardware treats in a way of its own."""

from __future__ import annotations

from typing import Any

from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.layers import DENSE, LayerKind, Leaky, Lif
from python_ref.spec.network import Network, Readout
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import Momentum, Optimizer, Sgd
from python_ref.spec.perturbation import Code, Kind, LfsrCode, Perturbation, SequentialCode, WalshCode, WalshGrayCode
from python_ref.spec.schedule import Difference, Schedule

__all__ = ["QUICK_SHAPES", "SERIES_SHAPES", "series_design"]


def series_design(
    sizes: tuple[int, ...] = (2, 3, 2),
    kinds: tuple[LayerKind, ...] = (Leaky(1), DENSE),
    frames: int = 3,
    *,
    held: bool = False,
    hold: int | None = None,
    readout: Readout = Readout.LAST,
    code: Code | None = None,
    lanes: int = 2,
    periods: tuple[int, int, int] = (1, 4, 4),
    two_sided: bool = False,
    optimizer: Optimizer | None = None,
    hidden: Activation = Activation.TANH,
    output: Activation = Activation.IDENTITY,
    name: str = "series",
    gradient_memory: bool | None = None,
    single_port: bool = False,
    **formats: Any,
) -> DesignSpec:
    """A small network with state; ``periods`` are τ_p, τ_x and τ_θ."""
    difference = Difference.TWO_SIDED if two_sided else Difference.ONE_SIDED
    chosen = {"input": Fixed(False, 0, 6), "weight": Fixed(True, 3, 9), "activation": Fixed(True, 3, 7)} | formats
    return DesignSpec(
        name,
        Network(sizes, hidden, output, kinds=kinds, frames=frames, readout=readout, held=held),
        Perturbation(Kind.NODE, LfsrCode() if code is None else code, -4, 1, hold=hold),
        Schedule(((0, -5),), *periods, difference),
        Sgd() if optimizer is None else optimizer,
        Formats(**chosen),
        Hardware(lanes, gradient_memory, single_port=single_port),
    )


_LIF2 = Lif(2)

SERIES_SHAPES = {
    "leaky": series_design(),
    "elman": series_design((1, 3), (Leaky(0),), 4, lanes=3),
    "lif": series_design((3, 4, 2), (_LIF2, DENSE), 4, held=True, readout=Readout.SUM, state=Fixed(True, 3, 8)),
    "two-lif": series_design((2, 3, 2), (Lif(3), Lif(0)), 4, readout=Readout.SUM, hold=2, lanes=3),
    "spikes-are-outputs": series_design((2, 2, 1), (Lif(1), Lif(1)), 3, two_sided=True, lanes=1),
    "behind-a-dense-layer": series_design((2, 3, 2, 2), (DENSE, Leaky(1), DENSE), 3, lanes=8, input=Fixed(True, 2, 3)),
    "one-frame": series_design((2, 3, 1), (Leaky(2), DENSE), 1, code=SequentialCode(), periods=(1, 5, 5)),
    "no-tail": series_design((2, 2, 3), (_LIF2, Leaky(1)), 3, readout=Readout.SUM, optimizer=Momentum(2), hidden=Activation.SIGMOID),
    "long-tail": series_design((2, 2, 3, 2), (Leaky(1), DENSE, DENSE), 2, readout=Readout.SUM, hidden=Activation.LEAKY_RELU),
    "held-signs": series_design((1, 2, 2), (Lif(1), DENSE), 5, hold=3, periods=(2, 6, 3), code=WalshCode()),
    "stochastic": series_design(periods=(1, 3, 6), code=WalshGrayCode(), weight_cast=Cast(Rounding.STOCHASTIC), lanes=3),
    "sums-leave": series_design((2, 2, 6, 2), (DENSE, Leaky(1), DENSE), 3, lanes=6, readout=Readout.SUM),
    "pipelined": series_design((2, 10, 2), (Leaky(1), DENSE), 2, lanes=9, readout=Readout.SUM, periods=(1, 2, 2)),
    "leaves-late": series_design((1, 2, 20), (Lif(1), Lif(1)), 3, lanes=20, readout=Readout.SUM, periods=(1, 2, 2)),
    "wrapping": series_design(
        kinds=(Lif(1), DENSE),
        hidden=Activation.RELU,
        output=Activation.RELU,
        state=Fixed(True, 2, 6),
        state_cast=Cast(Rounding.FLOOR, Overflow.WRAP),
        activation=Fixed(False, 2, 6),
    ),
    "by-group": series_design(gradient_memory=False, single_port=True),
    "single-port": series_design((2, 3), (Leaky(1),), 3, single_port=True, two_sided=True),
    "by-group-last": series_design((2, 5), (Leaky(1),), 3, gradient_memory=False, hold=2),
    "by-group-long-tail": series_design((2, 3, 3, 5, 2), (DENSE, _LIF2, DENSE, DENSE), 3, gradient_memory=False, optimizer=Momentum(2)),
    "by-group-one-lane": series_design((1, 2, 1), (Lif(1), DENSE), 4, held=True, lanes=1, gradient_memory=False, two_sided=True),
    "by-group-pipelined": series_design((2, 10, 2), (Leaky(1), DENSE), 2, lanes=9, gradient_memory=False, periods=(1, 2, 2)),
    "by-group-stochastic": series_design(
        (2, 4, 3), (Leaky(1), Lif(1)), 3, lanes=3, gradient_memory=False, weight_cast=Cast(Rounding.STOCHASTIC), readout=Readout.SUM
    ),
}
"""Designs by name."""

QUICK_SHAPES = ("leaky", "sums-leave", "two-lif", "by-group")
"""Names of those that the ordinary tests run."""
