"""Small networks with state whose weights are perturbed, one for each shape that the hardware treats in a way of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec
from python_ref.spec.layers import DENSE, Leaky, Lif
from python_ref.spec.network import Readout
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import Momentum, ShiftAdam
from python_ref.spec.perturbation import Kind, SequentialCode, WalshCode, WalshGrayCode
from tests.support.series_shapes import series_design

__all__ = ["QUICK_WEIGHT_SHAPES", "WEIGHT_SERIES_SHAPES", "weight_series"]


def weight_series(*arguments: Any, periods: tuple[int, int, int] = (1, 2, 2), **choices: Any) -> DesignSpec:
    """A small network with state whose weights are perturbed; the arguments are those of
    :func:`~tests.support.series_shapes.series_design`."""
    base = series_design(*arguments, periods=periods, **choices)
    return replace(base, perturbation=replace(base.perturbation, kind=Kind.WEIGHT))


WEIGHT_SERIES_SHAPES = {
    "leaky": weight_series(),
    "direct": weight_series(periods=(1, 2, 1)),
    "elman": weight_series((1, 3), (Leaky(0),), 4, lanes=3),
    "elman-two-sided": weight_series((1, 3), (Leaky(0),), 4, lanes=2, two_sided=True, periods=(2, 3, 1)),
    "lif": weight_series((3, 4, 2), (Lif(2), DENSE), 4, held=True, readout=Readout.SUM, state=Fixed(True, 3, 8)),
    "two-lif": weight_series((2, 3, 2), (Lif(3), Lif(0)), 4, readout=Readout.SUM, lanes=3, periods=(1, 3, 2)),
    "spikes-are-outputs": weight_series((2, 2, 1), (Lif(1), Lif(1)), 3, two_sided=True, lanes=1),
    "behind-a-dense-layer": weight_series((2, 3, 2, 2), (DENSE, Leaky(1), DENSE), 3, lanes=8, input=Fixed(True, 2, 3)),
    "one-frame": weight_series((2, 3, 1), (Leaky(2), DENSE), 1, code=SequentialCode(), periods=(1, 5, 5)),
    "no-tail": weight_series((2, 2, 3), (Lif(2), Leaky(1)), 3, readout=Readout.SUM, optimizer=Momentum(2), hidden=Activation.SIGMOID),
    "long-tail": weight_series((2, 2, 3, 2), (Leaky(1), DENSE, DENSE), 2, readout=Readout.SUM, hidden=Activation.LEAKY_RELU),
    "held-signs": weight_series((1, 2, 2), (Leaky(1), DENSE), 5, periods=(3, 2, 2)),
    "held-walsh": weight_series((1, 2, 2), (Lif(1), DENSE), 5, periods=(2, 6, 3), code=WalshCode()),
    "adam": weight_series((2, 3, 2), (Leaky(1), DENSE), 3, optimizer=ShiftAdam(), periods=(1, 1, 2)),
    "tiny-adam": weight_series((1, 1), (Lif(1),), 3, optimizer=ShiftAdam(), periods=(1, 2, 1), lanes=1),
    "stochastic": weight_series(periods=(1, 3, 2), code=WalshGrayCode(), weight_cast=Cast(Rounding.STOCHASTIC), lanes=3),
    "stochastic-direct": weight_series((2, 5, 2), periods=(1, 3, 1), weight_cast=Cast(Rounding.STOCHASTIC), lanes=4, gradient_memory=False),
    "padded": weight_series((1, 5, 2), (Lif(1), DENSE), periods=(1, 2, 1), lanes=4),
    "pipelined": weight_series((2, 10, 2), (Leaky(1), DENSE), 2, lanes=9, readout=Readout.SUM),
    "leaves-late": weight_series((1, 2, 20), (Lif(1), Lif(1)), 3, lanes=20, readout=Readout.SUM),
    "wrapping": weight_series(
        kinds=(Lif(1), DENSE),
        hidden=Activation.RELU,
        output=Activation.RELU,
        state=Fixed(True, 2, 6),
        state_cast=Cast(Rounding.FLOOR, Overflow.WRAP),
        activation=Fixed(False, 2, 6),
    ),
}
"""Designs by name."""

QUICK_WEIGHT_SHAPES = ("elman-two-sided", "two-lif")
"""Names of those that the ordinary tests run."""
