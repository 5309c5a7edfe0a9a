"""The networks of the papers, and dense ones. Adding one touches this file only."""

from __future__ import annotations

from collections.abc import Callable

from python_ref.floating.layers import Convolution, Dense, Pool, Sequential
from python_ref.spec.activations import Activation

__all__ = ["NETWORKS", "cifar_2023", "dense", "fashion_2023", "fashion_2025"]


def dense(sizes: tuple[int, ...], hidden: Activation = Activation.TANH, output: Activation = Activation.IDENTITY) -> Sequential:
    """Dense layers: inputs, then the neurons of each."""
    last = len(sizes) - 1
    return Sequential(sizes[:1], tuple(Dense(size, output if n == last else hidden) for n, size in enumerate(sizes[1:], 1)))


def fashion_2023(width: int = 1) -> Sequential:
    """Fashion-MNIST of McCaughan et al., APL Machine Learning 1, 026118 (2023): 14,378 parameters, ReLU, windows inside the image.

    That the pools take the largest, and that the last layer is linear, is our reading. ``width`` multiplies the channels; theirs is 1.
    """
    relu, w = Activation.RELU, width
    layers = (Convolution(16 * w, relu, same=False), Pool(), Convolution(32 * w, relu, same=False), Pool())
    return Sequential((1, 28, 28), (*layers, Convolution(32 * w, relu, same=False), Pool(), Dense(10, Activation.IDENTITY)))


def cifar_2023(width: int = 1) -> Sequential:
    """CIFAR-10 of the same paper: 26,154 parameters."""
    relu, w = Activation.RELU, width
    layers = (Convolution(16 * w, relu, same=False), Pool(), Convolution(32 * w, relu, same=False), Pool())
    return Sequential((3, 32, 32), (*layers, Convolution(64 * w, relu, same=False), Pool(), Dense(10, Activation.IDENTITY)))


def fashion_2025(width: int = 4) -> Sequential:
    """Fashion-MNIST of Oripov et al., APL Machine Learning 3, 026107 (2025): 439n² + 71n + 10 parameters, n the ``width``, tanh.

    That the pools take the largest, and that the last layer is linear (its cost is the cross-entropy), is our reading.
    """
    pairs = [(Convolution(c * width), Convolution(c * width), Pool()) for c in (1, 2, 4)]
    ending = (Dense(4 * width), Dense(4 * width), Dense(10, Activation.IDENTITY))
    return Sequential((1, 28, 28), (*(layer for pair in pairs for layer in pair), *ending))


NETWORKS: dict[str, Callable[[int], Sequential]] = {
    "fashion-2023": fashion_2023,
    "cifar-2023": cifar_2023,
    "fashion-2025": fashion_2025,
}
"""The networks by the name they have in a design file; each takes its width."""
