"""The network: its layers, their kinds and activations, and the initial values of their parameters."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np

from python_ref.spec.activations import Activation
from python_ref.spec.digest import UNLESS_DEFAULT
from python_ref.spec.error import DesignError, check_member, unknown
from python_ref.spec.layers import DENSE, LAYER_KINDS, LayerKind

__all__ = ["MAX_FRAMES", "MAX_LAYERS", "MAX_NEURONS", "MAX_PARAMETERS", "Initialization", "Layer", "Network", "Readout", "Scheme"]

MAX_LAYERS = 16
"""Maximum number of layers of a design."""
MAX_NEURONS = 4096
"""Maximum number of inputs, and of neurons in a layer, of a design."""
MAX_PARAMETERS = 1 << 24
"""Maximum number of weights and biases of a design."""
MAX_FRAMES = 1024
"""Maximum number of frames of a sample."""


class Readout(enum.Enum):
    """What the layers behind the last layer with state receive from it, or what the network outputs if there are none."""

    LAST = "last"
    """Its outputs in the last frame."""
    SUM = "sum"
    """The sum of its outputs over all frames."""


class Scheme(enum.Enum):
    """Distributions of initial parameters.

    n_in and n_out are the layer's numbers of inputs and neurons; biases start at zero unless the scheme says otherwise.
    """

    UNIFORM = "uniform"
    """Weights and biases are uniform in [−scale, scale]."""
    GLOROT = "glorot"
    """Weights are uniform in ±scale·√(6/(n_in + n_out)) (Glorot & Bengio, AISTATS 2010, equation 16)."""
    HE = "he"
    """Weights are uniform in ±scale·√(6/n_in) (He et al., ICCV 2015, section 2.2)."""
    ZERO = "zero"
    """All parameters are zero."""


@dataclass(frozen=True)
class Initialization:
    """Initial values of the parameters.
    Parameters
    ----------
    scheme : Scheme
        Distribution from which the initial parameters are drawn.
    scale : float
        Factor by which the range of the distribution is multiplied.
    seed : int
        Seed of the generator (numpy's PCG64), 0 to 2^63 − 1.
    """

    scheme: Scheme = Scheme.GLOROT
    scale: float = 1.0
    seed: int = 1

    def __post_init__(self) -> None:
        check_member("Scheme", self.scheme, Scheme)


@dataclass(frozen=True)
class Layer:
    """A layer: activation(W·x + b), where W has the shape (n_out, fan_in) and the layer's kind tells what its operands x are.

    Attributes
    ----------
    n_in : int
        Number of inputs, which is the number of outputs of the layer before.
    n_out : int
        Number of neurons, which is that of the layer's outputs.
    activation : Activation
        Activation that turns a pre-activation into an output.
    kind : LayerKind
        Kind of the layer, with its parameters.
    """

    n_in: int
    n_out: int
    activation: Activation
    kind: LayerKind = DENSE

    @property
    def fan_in(self) -> int:
        """Number of operands of a neuron, each with a weight; a dense neuron has one for each input."""
        return self.kind.operands(self.n_in, self.n_out)

    @property
    def fan_out(self) -> float:
        """Mean number of neurons that multiply an input."""
        return self.kind.fan_out(self.n_in, self.n_out)

    @property
    def block(self) -> int:
        """Number of consecutive neurons that have the same operands."""
        return self.kind.block_size(self.n_out)

    @property
    def lists(self) -> np.ndarray | None:
        """Inputs that are the operands of each block of neurons (int64, shape (blocks, F)); None if all are, in their order."""
        return self.kind.lists(self.n_in, self.n_out)

    def operands(self, x: np.ndarray) -> np.ndarray:
        """Return the operands of each neuron (shape (n_out, F)) from the layer's inputs (shape (n_in,))."""
        if self.lists is None:
            return np.broadcast_to(x, (self.n_out, self.fan_in))
        return x[self.lists][np.arange(self.n_out) // self.block]

    def matrix(self, weights: np.ndarray) -> np.ndarray:
        """Return the weights of all inputs (shape (n_out, n_in)) from those of the operands (shape (n_out, F)): 0 where there is none."""
        if self.lists is None:
            return weights
        found = np.zeros((self.n_out, self.n_in), dtype=weights.dtype)
        np.put_along_axis(found, self.lists[np.arange(self.n_out) // self.block], weights, axis=1)
        return found

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases."""
        return self.n_out * (self.fan_in + 1)


@dataclass(frozen=True)
class Network:
    """A stack of layers.

    Parameters
    ----------
    sizes : tuple of int
        Number of inputs, then the number of neurons of each layer.
    hidden, output : Activation
        Activation of all layers except the last, and that of the last.
    initial : Initialization
        Distribution and seed of the initial parameters.
    kinds : tuple of LayerKind
        Kind of each layer; empty if all layers are dense, which is also what a tuple of dense layers becomes.
    frames : int
        T, the largest number of frames of a sample, 1 to :data:`MAX_FRAMES`.
    readout : Readout
        What the layers behind the last layer with state receive.
    held : bool
        Whether all frames of a sample have the same inputs, which the sample then has once.

    Raises
    ------
    DesignError
        If a size is out of bounds, or a layer cannot be of its kind, or frames are given to a network without state.
    """

    sizes: tuple[int, ...]
    hidden: Activation = Activation.RELU
    output: Activation = Activation.IDENTITY
    initial: Initialization = Initialization()
    kinds: tuple[LayerKind, ...] = ()
    frames: int = field(default=1, metadata={UNLESS_DEFAULT: True})
    readout: Readout = field(default=Readout.LAST, metadata={UNLESS_DEFAULT: True})
    held: bool = field(default=False, metadata={UNLESS_DEFAULT: True})

    def __post_init__(self) -> None:
        check_member("Hidden activation", self.hidden, Activation)
        check_member("Output activation", self.output, Activation)
        check_member("Readout", self.readout, Readout)
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
        self._check_kinds()
        self._check_frames()
        if self.n_parameters > MAX_PARAMETERS:
            raise DesignError(
                key,
                list(self.sizes),
                f"{self.n_parameters} parameters are more than the limit of {MAX_PARAMETERS}",
                "Take smaller layers.",
            )

    def _check_kinds(self) -> None:
        for kind in self.kinds:
            if not isinstance(kind, LayerKind):
                raise unknown("Kind of a layer", kind, "python_ref.spec.network.Network")
        if self.kinds and len(self.kinds) != len(self.sizes) - 1:
            reason = f"there are {len(self.sizes) - 1} layers, and kinds of {len(self.kinds)}"
            raise DesignError("network.layers", list(self.sizes), reason, "Give a kind for each layer.")
        if all(kind == DENSE for kind in self.kinds):
            object.__setattr__(self, "kinds", ())
        for number, layer in enumerate(self.layers, 1):
            layer.kind.check(layer.n_in, layer.n_out)
            layer.kind.check_activation("network.output" if number == len(self.sizes) - 1 else "network.hidden", layer.activation)

    def _check_frames(self) -> None:
        frames, key = self.frames, "network.frames"
        if not isinstance(frames, int) or isinstance(frames, bool) or not 1 <= frames <= MAX_FRAMES:
            raise DesignError(key, frames, f"it must be a whole number from 1 to {MAX_FRAMES}", "Take 16, say.")
        if self.framed:
            return
        listed = " or ".join(f'kind = "{kind.name}"' for kind in LAYER_KINDS.values() if kind.stateful)
        given = (
            (key, frames, frames > 1, "without a layer with state, the last frame alone matters"),
            ("network.readout", self.readout.value, self.readout is not Readout.LAST, "without a layer with state, there is one frame"),
            ("network.held", self.held, self.held, "without a layer with state, there is one frame"),
        )
        for name, value, differs, reason in given:
            if differs:
                raise DesignError(name, value, reason, f"Leave it out, or give a layer {listed} in network.layers.")

    @property
    def framed(self) -> int:
        """Number of layers that are evaluated in every frame: up to the last one with state, 0 if none has state."""
        return max((number for number, kind in enumerate(self.kinds, 1) if kind.stateful), default=0)

    @property
    def record_inputs(self) -> int:
        """Number of input words of a sample: n_in, or, of a series of frames that is not held, its length and then T·n_in inputs."""
        return 1 + self.frames * self.n_in if self.framed and not self.held else self.n_in

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, first to last."""
        last = len(self.sizes) - 2
        kinds = self.kinds or (DENSE,) * (last + 1)
        return tuple(
            Layer(n_in, n_out, self.output if number == last else self.hidden, kind)
            for number, (n_in, n_out, kind) in enumerate(zip(self.sizes, self.sizes[1:], kinds, strict=False))
        )

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return self.sizes[0]

    @property
    def n_out(self) -> int:
        """Number of outputs."""
        return self.sizes[-1]

    @property
    def n_hidden(self) -> int:
        """Number of neurons in all layers except the last."""
        return sum(self.sizes[1:-1])

    @property
    def n_neurons(self) -> int:
        """Number of neurons in all layers."""
        return sum(self.sizes[1:])

    @property
    def random(self) -> bool:
        """Whether the output of a neuron is random."""
        return any(kind.own_noise for kind in self.kinds)

    @property
    def own_noise(self) -> np.ndarray:
        """Which neurons learn from their own noise (bool, shape (neurons,))."""
        return np.repeat([layer.kind.own_noise for layer in self.layers], self.sizes[1:])

    def layer_of(self, neuron: int) -> int:
        """Return the number of a neuron's layer; neurons count over all layers."""
        return next(number for number in range(len(self.sizes)) if neuron < sum(self.sizes[1 : number + 2]))

    def first_behind(self, neuron: int) -> int:
        """Return the number of the first neuron behind the layer of a neuron, or that of the first output if the neuron is an output."""
        return sum(self.sizes[1 : 1 + min(self.layer_of(neuron) + 1, len(self.sizes) - 2)])

    def probed_layers(self, first: int, steps: int, times: int) -> list[int]:
        """Return for each layer how many of ``steps`` steps, from step ``first`` on, perturb a neuron of it.

        The steps perturb the neurons one after the other, each ``times`` times, as the sequential code does.
        """

        def until(step: int, begin: int, size: int) -> int:
            rounds, more = divmod(step, times * self.n_neurons)
            return rounds * times * size + min(max(more - times * begin, 0), times * size)

        places = [(sum(self.sizes[1:number]), size) for number, size in enumerate(self.sizes) if number]
        return [until(first + steps, *place) - until(first, *place) for place in places]

    def changed_synapses(self, layer: int) -> int:
        """Return the number of synapses and biases whose products change with one neuron of a layer.

        They are one synapse of each neuron of the next layer, and all of the layers behind that one. For the last layer they are counted as
        one synapse of each output, although their products do not change.
        """
        after = min(layer + 1, len(self.layers) - 1)
        return self.layers[after].n_out + sum(each.n_parameters for each in self.layers[after + 1 :])

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases in all layers."""
        return sum(layer.n_parameters for layer in self.layers)
