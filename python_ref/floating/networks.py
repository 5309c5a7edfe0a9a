"""The papers' networks, and dense ones. A new network requires a change of this file only."""

from __future__ import annotations

from collections.abc import Callable

from python_ref.floating.attention import Attention
from python_ref.floating.layers import Convolution, Dense, Pool, Sequential
from python_ref.spec.activations import Activation

__all__ = ["NETWORKS", "attention", "cifar_2023", "dense", "fashion_2023", "fashion_2025"]


def dense(sizes: tuple[int, ...], hidden: Activation = Activation.TANH, output: Activation = Activation.IDENTITY) -> Sequential:
    """Return dense layers with the given sizes: the number of inputs, then the neurons of each layer."""
    last = len(sizes) - 1
    return Sequential(sizes[:1], tuple(Dense(size, output if n == last else hidden) for n, size in enumerate(sizes[1:], 1)))


def attention(
    sizes: tuple[int, ...], frames: int, hidden: Activation = Activation.TANH, output: Activation = Activation.IDENTITY
) -> Attention:
    """Return linear attention over ``frames`` frames with the given sizes.

    They are the number of inputs of a frame, the numbers of entries of a key and of a value, and the neurons of the dense layers behind.
    Without a dense layer, the sum of the values is the output, and ``output`` does not apply.
    """
    inputs, keys, values = sizes[:3]
    return Attention(inputs, frames, keys, values, dense(sizes[2:], hidden, output) if len(sizes) > 3 else None)


def fashion_2023(width: int = 1) -> Sequential:
    """Return the Fashion-MNIST network of McCaughan et al., APL Machine Learning 1, 026118 (2023).

    It has 14,378 parameters, ReLU, and convolutions without padding. Max-pooling and a linear last layer are our assumptions. ``width``
    multiplies the channels; it is 1 in the paper.
    """
    relu, w = Activation.RELU, width
    layers = (Convolution(16 * w, relu, same=False), Pool(), Convolution(32 * w, relu, same=False), Pool())
    return Sequential((1, 28, 28), (*layers, Convolution(32 * w, relu, same=False), Pool(), Dense(10, Activation.IDENTITY)))


def cifar_2023(width: int = 1) -> Sequential:
    """Return the CIFAR-10 network of the same paper, with 26,154 parameters."""
    relu, w = Activation.RELU, width
    layers = (Convolution(16 * w, relu, same=False), Pool(), Convolution(32 * w, relu, same=False), Pool())
    return Sequential((3, 32, 32), (*layers, Convolution(64 * w, relu, same=False), Pool(), Dense(10, Activation.IDENTITY)))


def fashion_2025(width: int = 4) -> Sequential:
    """Return the Fashion-MNIST network of Oripov et al., APL Machine Learning 3, 026107 (2025).

    It has 439n² + 71n + 10 parameters, where n is ``width``, and tanh. Max-pooling and a linear last layer (the cost is the cross-entropy)
    are our assumptions.
    """
    pairs = [(Convolution(c * width), Convolution(c * width), Pool()) for c in (1, 2, 4)]
    ending = (Dense(4 * width), Dense(4 * width), Dense(10, Activation.IDENTITY))
    return Sequential((1, 28, 28), (*(layer for pair in pairs for layer in pair), *ending))


NETWORKS: dict[str, Callable[[int], Sequential]] = {
    "fashion-2023": fashion_2023,
    "cifar-2023": cifar_2023,
    "fashion-2025": fashion_2025,
}
"""Networks by their names in a design file; each is a function of the width."""
