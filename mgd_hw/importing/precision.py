"""Number formats for the parameters and the activations of a network that was trained in real numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mgd_hw.common.results import Result
from mgd_hw.importing.network import TrainedNetwork
from python_ref.spec.error import Refusal
from python_ref.spec.number import Fixed

__all__ = ["Rounded", "activation_format", "weight_format"]

USUAL_WEIGHT = Fixed(True, 4, 12)
"""Format of weights that a design has by default."""
WIDEST_WEIGHT, WIDEST_ACTIVATION = 18, 16
"""Most bits of a format that is chosen: those of a multiplier of an ECP5 or a Gowin part, and of an iCE40's."""
MOST_INTEGER_BITS = 10
"""Most integer bits of weights; larger ones saturate."""
STEPS = 16
"""Least ratio of the root mean square of a layer's weights to the last place of their format, where it has bits enough."""
ROOM = 1.25
"""Factor on the largest value seen, so that training does not saturate at once."""


@dataclass(frozen=True)
class Rounded(Result):
    """What becomes of a network's parameters in the format of weights.

    Attributes
    ----------
    format : str
        Format of weights and biases.
    largest : float
        Largest magnitude of a weight or bias.
    saturated : int
        Number of parameters beyond the format, which become its nearest end.
    parameters : int
        Number of weights and biases.
    error : float
        Root mean square of the change of a layer's weights by rounding, as a share of their own, in the layer where it is largest.
    """

    format: str
    largest: float
    saturated: int
    parameters: int
    error: float

    def sentence(self) -> str:
        """Return a sentence with the format and what rounding to it does."""
        lost = "none saturates" if not self.saturated else f"{self.saturated:,} of {self.parameters:,} saturate"
        return (
            f"Weights are {self.format}: the largest is {self.largest:.4g}, {lost}, and rounding changes those of a layer by at most "
            f"{100 * self.error:.2g} % (root mean square)."
        )


LARGEST_REACH = 2.0**24
"""Magnitude of activations from which on no format is chosen."""


def weight_format(network: TrainedNetwork) -> tuple[Fixed, Rounded]:
    """Choose the format of weights and biases.

    It has as many integer bits as the largest parameter needs, with room to grow, and 16 bits in all; up to 18 where the weights of a
    layer would otherwise have fewer than 16 steps.
    """
    largest = max(float(max(np.abs(layer.weight).max(), np.abs(layer.bias).max())) for layer in network.layers)
    finest = min(_rms(layer.weight) for layer in network.layers)
    needed = 1 + max(0, math.floor(math.log2(ROOM * largest)) + 1) if largest > 0 else 1
    integer = min(MOST_INTEGER_BITS, max(needed, 1))
    fraction = max(1, math.ceil(math.log2(STEPS / finest))) if finest > 0 else USUAL_WEIGHT.fraction_bits
    if integer <= USUAL_WEIGHT.integer_bits and fraction <= USUAL_WEIGHT.fraction_bits:
        found = USUAL_WEIGHT
    else:
        width = max(USUAL_WEIGHT.width, min(WIDEST_WEIGHT, integer + fraction))
        integer = max(integer, min(USUAL_WEIGHT.integer_bits, width - fraction))  # room is worth more than places that nothing needs
        found = Fixed(True, integer, width - integer)
    return found, _rounded(network, found, largest)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


def _rounded(network: TrainedNetwork, format_: Fixed, largest: float) -> Rounded:
    saturated, count, worst = 0, 0, 0.0
    for layer in network.layers:
        for values in (layer.weight, layer.bias):
            raw = np.rint(values * 2.0**format_.fraction_bits)
            saturated += int(np.count_nonzero((raw > format_.max) | (raw < format_.min)))
            count += values.size
        kept = format_.to_real(format_.to_raw(layer.weight))
        worst = max(worst, _rms(kept - layer.weight) / (_rms(layer.weight) or 1.0))
    return Rounded(str(format_), largest, saturated, count, worst)


def activation_format(network: TrainedNetwork, inputs: np.ndarray, targets: np.ndarray) -> tuple[Fixed, float]:
    """Choose the format of activations, by the values that they take on samples, and that targets have.

    Parameters
    ----------
    network : TrainedNetwork
        Network whose activations are computed.
    inputs : array, shape (n, n_in)
        Inputs as the network takes them.
    targets : array, shape (n, n_out)
        Targets, which have the same format as activations.

    Returns
    -------
    (Fixed, float)
        The format, with 10 fraction bits, or fewer where 16 bits would not do; and the largest magnitude of an activation.

    Raises
    ------
    Refusal
        If no format holds the activations.
    """
    used = {network.output, network.hidden} - {None}
    signed = any(kind.signed for kind in used if kind) or bool((targets < 0).any())
    bounded = all(kind.bounded for kind in used if kind)
    found = network.activations(inputs)
    reach = max(float(np.abs(values).max()) for values in (*found, targets))
    if not reach < LARGEST_REACH:
        reason = f"its activations reach {reach:.3g}, and a format of activations holds numbers below {LARGEST_REACH:.3g}"
        raise Refusal(reason, "Look for a weight that is far too large, or train it on inputs that are scaled.")
    needed = math.floor(math.log2(ROOM * reach)) + 1 + signed if reach > 0 else 1
    integer = max(2 if bounded else 4, needed)
    fraction = max(4, min(10, WIDEST_ACTIVATION - integer))
    return Fixed(signed, integer, fraction), max(float(np.abs(values).max()) for values in found)
