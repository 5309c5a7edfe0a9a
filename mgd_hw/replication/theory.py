"""How many random perturbations a gradient takes: the noise of one estimate, computed from the true errors instead of measured.

With signs s of D quantities that are perturbed together, and Δ → 0, the estimate of their errors is δ̂ = s·(s·δ): unbiased, with covariance
|δ|²·1 + δδᵀ − 2·diag(δ²). A mean over K of them has cosine √(|g|²/(|g|² + V/K)) to the gradient g, in expectation of the squares, V being
the mean square of one estimate's noise. So K = V/|g|²·c²/(1 − c²) to the cosine c, V and |g|² summed over layers that are perturbed apart.

- *Weights*: g = δ, so V = (D − 1)·|g|².
- *Nodes of a dense layer*: g = δxᵀ, so V = (D − 1)·|g|² again, D being its neurons: far fewer than its weights.
- *Nodes of a convolution*: every pixel is a node, and a weight is shared by all of them: g_w = Σ_p δ_p·x_pw. Of a pixel's noise nothing is
  lost in the sum, V = Σ_p (|δ|² − δ_p²)·|x_p|² + (the small rest of the covariance); of its error much is, where δ_p·x_p change their sign
  over the image. So K is (D − 1) times |δ|²·Σ|x_p|²/(D·|g|²) and more: beyond the number of pixels, be the weights as few as ten.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from python_ref.floating.layers import Sequential

__all__ = ["perturbations_expected"]


def perturbations_expected(
    kind: str, network: Sequential, theta: np.ndarray, x: np.ndarray, slopes: Callable[[np.ndarray], np.ndarray], cosine: float
) -> float:
    """K to a cosine, of one sample ``x`` (shape (1, n_in)), every layer apart; ``slopes`` gives ∂C/∂y of outputs.

    ``kind`` is what is perturbed, "weight" or "node".
    """
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
