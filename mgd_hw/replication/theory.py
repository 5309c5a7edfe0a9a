"""Number of random perturbations that a gradient takes, computed from the true errors.

With random signs s of D quantities that are perturbed together, and Δ → 0, the estimate of their errors is δ̂ = s·(s·δ). It is unbiased and
has the covariance |δ|²·1 + δδᵀ − 2·diag(δ²). Let V be the mean square of the noise of one estimate. The mean of K estimates then has the
cosine √(|g|²/(|g|² + V/K)) to the gradient g, if squares are replaced by their expectations, so the cosine c takes K = V/|g|²·c²/(1 − c²)
perturbations. V and |g|² are sums over the layers if these are perturbed separately.

- *Weights*: g = δ, so V = (D − 1)·|g|².
- *Nodes of a dense layer*: g = δxᵀ, so again V = (D − 1)·|g|², where D is the number of neurons, far smaller than that of weights.
- *Nodes of a convolution*: every pixel is a node, and all of them share the weights: g_w = Σ_p δ_p·x_pw. The noise of the pixels adds up in
  the sum, V = Σ_p (|δ|² − δ_p²)·|x_p|² + (a small rest of the covariance), while their errors partly cancel where δ_p·x_p changes its sign
  over the image. So K is about c²/(1 − c²)·(D − 1)·|δ|²·Σ|x_p|²/(D·|g|²), which can exceed the number of pixels even for ten weights.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from python_ref.floating.layers import Sequential
from python_ref.spec.error import unknown

__all__ = ["perturbations_expected"]


def perturbations_expected(
    kind: str, network: Sequential, theta: np.ndarray, x: np.ndarray, slopes: Callable[[np.ndarray], np.ndarray], cosine: float
) -> float:
    """Return the expected number of perturbations of one sample until the mean estimate has a cosine to the gradient.

    Parameters
    ----------
    kind : str
        Quantities that are perturbed, "weight" or "node", each layer separately.
    network : Sequential
        Network whose gradient is estimated.
    theta : array, shape (P,)
        Parameters of the network in canonical order.
    x : array, shape (1, n_in)
        Inputs of the one sample.
    slopes : callable
        Function that returns ∂C/∂y for the outputs y of the network.
    cosine : float
        Cosine c that the mean estimate has to reach, between 0 and 1.
    """
    if kind not in ("weight", "node"):
        raise unknown("Kind", kind, "mgd_hw.replication.theory.perturbations_expected")
    noise = length = 0.0
    for error, inputs in network.errors(theta, x, slopes):
        squares = float(np.sum((error @ inputs.T) ** 2) + np.sum(error.sum(axis=1) ** 2))
        length += squares
        if kind == "weight":
            noise += (error.shape[0] * (1 + inputs.shape[0]) - 1) * squares
        else:
            own, position = error * error, 1 + np.sum(inputs * inputs, axis=0)
            noise += float(own.sum() * position.sum() * len(error) + squares - 2 * np.sum(own * position))
    return noise / length * cosine**2 / (1 - cosine**2)
