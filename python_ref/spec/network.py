"""The network: dense layers, their activations and where their parameters start."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from python_ref.spec.activations import Activation
from python_ref.spec.error import DesignError, check_member

__all__ = ["MAX_LAYERS", "MAX_NEURONS", "MAX_PARAMETERS", "Initialization", "Layer", "Network", "Scheme"]

MAX_LAYERS = 16
"""Most dense layers a design may have."""
MAX_NEURONS = 4096
"""Most inputs, and most neurons of a layer, a design may have."""
MAX_PARAMETERS = 1 << 24
"""Most weights and biases a design may have."""


class Scheme(enum.Enum):
    """How initial parameters are drawn; n_in and n_out are those of the layer, biases start at zero unless said."""

    UNIFORM = "uniform"
    """Weights and biases uniform in [−scale, scale]."""
    GLOROT = "glorot"
    """Uniform in ±scale·√(6/(n_in + n_out)) (Glorot & Bengio, AISTATS 2010, equation 16)."""
    HE = "he"
    """Uniform in ±scale·√(6/n_in) (He et al., ICCV 2015, section 2.2)."""
    ZERO = "zero"
    """All zero."""


@dataclass(frozen=True)
class Initialization:
    """Starting point of the parameters.

    Parameters
    ----------
    scheme : Scheme
        Distribution from which the initial parameters are drawn.
    scale : float
        Factor on its range.
    seed : int
        Of the generator (numpy's PCG64), 0 to 2^63 − 1.
    """

    scheme: Scheme = Scheme.GLOROT
    scale: float = 1.0
    seed: int = 1

    def __post_init__(self) -> None:
        check_member("Scheme", self.scheme, Scheme)


@dataclass(frozen=True)
class Layer:
    """A dense layer: y = activation(W·x + b) with W of shape (n_out, n_in)."""

    n_in: int
    n_out: int
    activation: Activation

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return self.n_out * (self.n_in + 1)


@dataclass(frozen=True)
class Network:
    """A stack of dense layers.

    Parameters
    ----------
    sizes : tuple of int
        Inputs, then the neurons of each layer.
    hidden, output : Activation
        Activations of all layers but the last, and of the last.
    initial : Initialization
        Where the parameters start.

    Raises
    ------
    DesignError
        If a size is out of bounds.
    """

    sizes: tuple[int, ...]
    hidden: Activation = Activation.RELU
    output: Activation = Activation.IDENTITY
    initial: Initialization = Initialization()

    def __post_init__(self) -> None:
        check_member("Hidden activation", self.hidden, Activation)
        check_member("Output activation", self.output, Activation)
        key = "network.layers"
        if not 2 <= len(self.sizes) <= MAX_LAYERS + 1:
            raise DesignError(
                key,
                list(self.sizes),
                f"a network has 1 to {MAX_LAYERS} layers",
                "Give the number of inputs, then the neurons of each layer, such as [64, 32, 10].",
            )
        if not all(isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= MAX_NEURONS for size in self.sizes):
            raise DesignError(
                key, list(self.sizes), f"every size is a whole number from 1 to {MAX_NEURONS}", "Change the size that is not."
            )
        if self.n_parameters > MAX_PARAMETERS:
            raise DesignError(
                key,
                list(self.sizes),
                f"{self.n_parameters} parameters are more than the limit of {MAX_PARAMETERS}",
                "Take smaller layers.",
            )

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, first to last."""
        last = len(self.sizes) - 2
        return tuple(
            Layer(n_in, n_out, self.output if number == last else self.hidden)
            for number, (n_in, n_out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False))
        )

    @property
    def n_in(self) -> int:
        """Inputs."""
        return self.sizes[0]

    @property
    def n_out(self) -> int:
        """Outputs."""
        return self.sizes[-1]

    @property
    def n_hidden(self) -> int:
        """Neurons of all layers but the last."""
        return sum(self.sizes[1:-1])

    @property
    def n_neurons(self) -> int:
        """Neurons of all layers."""
        return sum(self.sizes[1:])

    @property
    def n_parameters(self) -> int:
        """Weights and biases of all layers."""
        return sum(n_out * (n_in + 1) for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False))
