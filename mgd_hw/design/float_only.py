"""Requests of a design file that only the float model can meet.

``mgd-hw compare`` and ``mgd-hw diagnose`` run such a design. Commands that build hardware refuse it, and name the key.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field, replace
from typing import Any

from mgd_hw.design.given import Given
from python_ref.spec.digest import UNLESS_DEFAULT
from python_ref.spec.optimizer import OPTIMIZERS
from python_ref.spec.perturbation import CODES, Kind

__all__ = [
    "ARCHITECTURES",
    "CLASHES",
    "FLOAT_CODES",
    "FLOAT_ONLY_KEYS",
    "FLOAT_OPTIMIZERS",
    "NORMALISED",
    "OPTIMIZER_KEYS",
    "External",
    "FloatOnly",
    "read_external",
    "read_float_only",
]

ARCHITECTURES: dict[str, tuple[int, int] | None] = {
    "dense": None,
    "fashion-2023": (784, 10),
    "cifar-2023": (3072, 10),
    "fashion-2025": (784, 10),
    "attention": None,
}
"""Numbers of inputs and outputs of each network, by name; None if the design file gives its layers."""

_FLOAT_KEYS: dict[str, tuple[str, ...]] = {
    "nesterov": ("k",),
    "adam": ("beta1", "beta2", "epsilon", "corrected"),
    "sign": (),
}
"""Keys of each optimiser that only the float model has, by name; the class of an optimiser in hardware lists its own keys."""

FLOAT_OPTIMIZERS = tuple(name for name in _FLOAT_KEYS if name not in OPTIMIZERS)
"""Names of the optimisers that only the float model has."""

OPTIMIZER_KEYS = {name: optimizer.parameters() for name, optimizer in OPTIMIZERS.items()} | {
    name: _FLOAT_KEYS[name] for name in FLOAT_OPTIMIZERS
}
"""Keys of each optimiser, by name."""

NORMALISED = ("adam", "sign")
"""Names of the software-only optimisers whose step does not grow with the gradient; their default rate does not depend on the network."""

FLOAT_CODES = ("sinusoidal",)
"""Names of the perturbation codes that only the float model has."""

FLOAT_ONLY_KEYS = {
    "external.command": "a forward pass outside",
    "learning.form": "this form",
    "network.architecture": "this network",
    "perturbation.code": "this code",
    "perturbation.layerwise": "perturbing layer by layer",
    "optimizer.name": "this optimiser",
    "learning.batch": "a batch of samples in one step",
    "learning.repeats": "several perturbations of a sample in one step",
    "learning.cost": "this cost",
    "learning.normalise": "this normalisation",
    "learning.decay": "this decay of the rate",
    "learning.skip_dead_nodes": "skipping dead nodes",
    "learning.parts": "perturbing weights in parts",
    "learning.groups": "a perturbation for a group of samples",
    "learning.layer_factors": "a rate for each layer",
    "device.activation_variation": "a device model",
    "device.cost_noise": "a device model",
    "device.update_noise": "a device model",
    "device.weight_step": "a device model",
    "device.endurance": "a device model",
    "device.fading": "a device model",
    "device.wander": "a device model",
}
"""Phrase for each feature without hardware, by the dotted key that requests it."""

_ANALOG = (
    "perturbation.layerwise", "schedule.difference", "schedule.update_period", "optimizer.name", "learning.repeats", "learning.normalise",
    "learning.decay", "learning.parts", "learning.groups", "learning.layer_factors", "device.cost_noise", "device.update_noise",
    "device.weight_step", "device.endurance", "device.fading", "device.wander",
)  # fmt: skip
_EXTERNAL = (
    "network.architecture", "network.hidden", "network.output", "network.scheme", "learning.cost", "learning.parts",
    "learning.layer_factors", "device.activation_variation",
)  # fmt: skip
CLASHES = (
    *((key, "learning.form", 'learning.form = "analog"', "filters take the place of differences, sums and optimisers") for key in _ANALOG),
    *((key, "external.command", "external.command", "of a forward pass outside nothing is known but its cost") for key in _EXTERNAL),
    *((key, "learning.parts", "learning.parts", "parts say it themselves") for key in ("perturbation.layerwise", "learning.repeats")),
)
"""Pairs of keys that exclude each other: a key, the other key, the other as messages show it, and the reason."""

_ONE_RATE = 'Write one whole number, such as -9, or learning.decay = "cosine".'


@dataclass(frozen=True)
class External:
    """A forward pass in another process, such as one that drives a chip.

    Attributes
    ----------
    command : tuple of str
        Program and its arguments; it runs in the folder of the design file.
    parameters : int
        Number P of parameters that the program takes.
    frames : bool
        Whether the program uses binary frames, rather than lines of JSON; see :mod:`python_ref.floating.outside`.
    timeout : float
        Maximum time for an answer, in seconds.
    """

    command: tuple[str, ...]
    parameters: int
    frames: bool = False
    timeout: float = 10.0

    @property
    def arguments(self) -> tuple[str, ...]:
        """The program as it is run: ``python`` stands for the interpreter of this process."""
        return (sys.executable, *self.command[1:]) if self.command[0] == "python" else self.command


@dataclass(frozen=True)
class FloatOnly:
    """Requests of a design that only the float model can meet; the defaults request nothing.

    Attributes
    ----------
    architecture : str
        Name of the network in :data:`ARCHITECTURES`.
    width : int
        Factor on the number of channels of a network whose layers are fixed.
    sizes : tuple of int
        Sizes of a network of attention: the inputs of a frame, the entries of a key and of a value, and the neurons of each dense layer
        behind; empty for any other network.
    frames : int
        Number of frames of a sample.
    code : str
        Name of the perturbation code, as in design files.
    layerwise : bool
        Whether each layer is perturbed in a separate pass.
    optimizer : str
        Name of the optimiser in :data:`OPTIMIZER_KEYS`.
    options : tuple of (str, object)
        Keys of the optimiser that the file gives, with their values.
    batch : int
        Number of samples in one step.
    repeats : int
        Number of perturbations of each sample in one step.
    cost : str
        Name of the cost: ``"squared-error"``, ``"mean-squared-error"`` or ``"cross-entropy"``.
    smoothing : float
        Label smoothing of the cross-entropy, from 0 to 0.99.
    normalise : bool
        Whether the mean gradient is scaled to the length of the true one (Oripov et al. 2025).
    decay : str
        Decay of the learning rate over a run: ``"constant"`` or ``"cosine"``.
    precision : str
        Type of the float model's numbers: ``"float32"`` or ``"float64"``.
    skip_dead_nodes : bool
        Whether nodes that cannot change the output are left unperturbed.
    parts : tuple of (int, int) or None
        Number of consecutive layers that are perturbed together, and number of their perturbations, for each part of the network; None
        perturbs all layers together. In node perturbation, hardware has them too (``Perturbation.parts``).
    groups : int or None
        Number of groups of samples in a batch, each with a separate perturbation; None makes each sample a group.
    layer_factors : tuple of float or None
        Factors on the learning rate, one per layer; None for a factor of 1 in every layer.
    form : str
        Form of the algorithm: ``"discrete"`` or ``"analog"``.
    highpass, lowpass : float
        Time constants of the analog form's filters, in steps.
    external : External or None
        Forward pass in another process that replaces the network; None for the network itself.
    device : tuple of (str, object)
        Keys of the section ``[device]`` that the file gives, with their values.
    requests : tuple of (str, object)
        Dotted key and value of each request that hardware cannot meet, in the order of :data:`FLOAT_ONLY_KEYS`.
    """

    architecture: str = "dense"
    width: int = 1
    sizes: tuple[int, ...] = field(default=(), metadata={UNLESS_DEFAULT: True})
    frames: int = field(default=1, metadata={UNLESS_DEFAULT: True})
    code: str = "lfsr"
    layerwise: bool = False
    optimizer: str = "sgd"
    options: tuple[tuple[str, Any], ...] = ()
    batch: int = 1
    repeats: int = 1
    cost: str = "squared-error"
    smoothing: float = 0.0
    normalise: bool = False
    decay: str = "constant"
    precision: str = "float64"
    skip_dead_nodes: bool = False
    parts: tuple[tuple[int, int], ...] | None = None
    groups: int | None = None
    layer_factors: tuple[float, ...] | None = None
    form: str = "discrete"
    highpass: float = 10.0
    lowpass: float = 100.0
    external: External | None = None
    device: tuple[tuple[str, Any], ...] = ()
    requests: tuple[tuple[str, Any], ...] = ()


def read_float_only(given: Given) -> FloatOnly:
    """Return the requests in the values of a design file that only the float model can meet.

    Raises
    ------
    Refusal
        If such a design has a schedule of learning rates, which only hardware has, or an incomplete external forward pass.
    """
    get = given.get
    name = str(get("optimizer.name", "sgd"))
    found = FloatOnly(
        architecture=str(get("network.architecture", "dense")),
        width=get("network.width", 1),
        sizes=given["network.layers"].sizes if get("network.architecture", "dense") == "attention" and "network.layers" in given else (),
        frames=get("network.frames", 1) if get("network.architecture", "dense") == "attention" else 1,
        code=str(get("perturbation.code", "lfsr")),
        layerwise=get("perturbation.layerwise", False),
        optimizer=name,
        options=tuple((key, given[f"optimizer.{key}"]) for key in OPTIMIZER_KEYS[name] if f"optimizer.{key}" in given),
        batch=get("learning.batch", 1),
        repeats=get("learning.repeats", 1),
        cost=str(get("learning.cost", "squared-error")),
        smoothing=get("learning.smoothing", 0.0),
        normalise=get("learning.normalise", False),
        decay=str(get("learning.decay", "constant")),
        precision=str(get("learning.precision", "float64")),
        skip_dead_nodes=get("learning.skip_dead_nodes", False),
        parts=get("learning.parts", None),
        groups=get("learning.groups", None),
        layer_factors=get("learning.layer_factors", None),
        form=str(get("learning.form", "discrete")),
        highpass=get("learning.highpass", 10.0),
        lowpass=get("learning.lowpass", 100.0),
        external=read_external(given),
        device=tuple((key.removeprefix("device."), value) for key, value in given.values.items() if key.startswith("device.")),
    )
    built: dict[str, tuple] = {
        "network.architecture": ("dense",),
        "perturbation.code": tuple(CODES),
        "optimizer.name": tuple(OPTIMIZERS),
        "learning.batch": (1,),
        "learning.repeats": (1,),
        "learning.cost": ("squared-error",),
        "learning.decay": ("constant",),
        "learning.form": ("discrete",),
    }
    if get("perturbation.kind", Kind.NODE) is Kind.NODE and "learning.parts" in given:
        built["learning.parts"] = (given["learning.parts"],)
    requests = tuple((key, given[key]) for key in FLOAT_ONLY_KEYS if key in given and given[key] not in built.get(key, (False, 0.0)))
    if requests and len(get("schedule.learning_rate", ((0, 0),))) > 1:
        key, value = "schedule.learning_rate", [list(pair) for pair in given["schedule.learning_rate"]]
        raise given.refuse(key, f"a list of rates is the hardware's, and {FLOAT_ONLY_KEYS[requests[0][0]]} has none", _ONE_RATE, value)
    return replace(found, requests=requests)


def read_external(given: Given, parameters: int | None = None) -> External | None:
    """Return the process outside; None if the file does not give one.

    Parameters
    ----------
    given : Given
        Values of the design file.
    parameters : int or None
        Number of parameters that the process takes; None reads it from the file.

    Raises
    ------
    Refusal
        If the command is not one, or nothing says how many parameters the process takes.
    """
    if "external.command" not in given:
        return None
    command = str(given["external.command"])
    try:
        words = tuple(shlex.split(command))
    except ValueError:
        words = ()
    if not words:
        raise given.refuse("external.command", "its quotation marks do not match", 'Write command = "python chip.py", say.', command)
    if parameters is None and "external.parameters" not in given:
        reason = "it was left out, and nothing else says how many parameters the forward pass has"
        raise given.refuse("external.parameters", reason, "Write parameters = 25, say, in [external].")
    get = given.get
    count = get("external.parameters", 0) if parameters is None else parameters
    return External(words, count, get("external.frames", False), get("external.timeout", 10.0))
