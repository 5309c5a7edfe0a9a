"""What a design file may ask for that no hardware does yet: `mgd-hw compare` and `mgd-hw diagnose` run it, everything else refuses
it by name."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import Any

from mgd_hw.design.given import Given
from python_ref.spec.optimizer import OPTIMIZERS
from python_ref.spec.perturbation import CODES

__all__ = [
    "ARCHITECTURES",
    "CLASHES",
    "FLOAT_CODES",
    "FLOAT_OPTIMIZERS",
    "NORMALISED",
    "ONLY_SOFTWARE",
    "OPTIMIZER_KEYS",
    "Outside",
    "Software",
    "read_software",
]

ARCHITECTURES: dict[str, tuple[int, int] | None] = {
    "dense": None,
    "fashion-2023": (784, 10),
    "cifar-2023": (3072, 10),
    "fashion-2025": (784, 10),
}
"""The networks by name; inputs and outputs of those whose layers are fixed."""

OPTIMIZER_KEYS = {
    "sgd": (),
    "momentum": ("k", "format", "rounding", "overflow"),
    "nesterov": ("k",),
    "adam": ("beta1", "beta2", "epsilon", "corrected"),
    "sign": (),
    "shift-adam": ("k1", "k2", "refined", "corrected"),
}
"""The optimisers by name, and the keys that each has."""

FLOAT_OPTIMIZERS = tuple(name for name in OPTIMIZER_KEYS if name not in OPTIMIZERS)
"""The optimisers that no hardware has."""

NORMALISED = ("adam", "shift-adam", "sign")
"""The optimisers whose step does not grow with the gradient, and whose usual rate does not follow from the network."""

FLOAT_CODES = ("sinusoidal",)
"""The perturbation codes that no hardware has."""

ONLY_SOFTWARE = {
    "outside.command": "a forward pass outside",
    "learning.form": "this form",
    "network.architecture": "this network",
    "perturbation.code": "this code",
    "perturbation.apart": "perturbing each layer apart",
    "optimizer.name": "this optimiser",
    "learning.batch": "a batch of samples in one step",
    "learning.repeats": "several perturbations of a sample in one step",
    "learning.cost": "this cost",
    "learning.normalise": "this normalisation",
    "learning.decay": "this decay of the rate",
    "learning.sparing": "sparing nodes",
    "learning.parts": "perturbing layers in parts",
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
"""What has no hardware, in words, by the key that asks for it."""

_ANALOG = (
    "perturbation.apart", "schedule.difference", "schedule.update_period", "optimizer.name", "learning.repeats", "learning.normalise",
    "learning.decay", "learning.parts", "learning.groups", "learning.layer_factors", "device.cost_noise", "device.update_noise",
    "device.weight_step", "device.endurance", "device.fading", "device.wander",
)  # fmt: skip
_OUTSIDE = (
    "network.architecture", "network.hidden", "network.output", "network.scheme", "learning.cost", "learning.parts",
    "learning.layer_factors", "device.activation_variation",
)  # fmt: skip
CLASHES = (
    *((key, "learning.form", 'learning.form = "analog"', "filters take the place of differences, sums and optimisers") for key in _ANALOG),
    *((key, "outside.command", "outside.command", "of a forward pass outside nothing is known but its cost") for key in _OUTSIDE),
    *((key, "learning.parts", "learning.parts", "parts say it themselves") for key in ("perturbation.apart", "learning.repeats")),
)
"""Keys that do not go with another one: key, that other one, what it is called, and why."""


_ONE_RATE = 'Write one whole number, such as -9, or learning.decay = "cosine".'


@dataclass(frozen=True)
class Outside:
    """A forward pass in another process.

    Attributes
    ----------
    command : tuple of str
        Program and arguments; it runs in the folder of the design file.
    parameters : int
        P.
    frames, timeout : bool, float
        Its protocol, and seconds that it may take to answer; see :mod:`python_ref.learning.outside`.
    """

    command: tuple[str, ...]
    parameters: int
    frames: bool = False
    timeout: float = 10.0


@dataclass(frozen=True)
class Software:
    """What a design asks for beyond the machine of its spec; the defaults are that machine.

    Attributes
    ----------
    architecture, width : str, int
        The network; of one whose layers are fixed, how many times as many channels.
    code, apart : str, bool
        The perturbation: its code, and whether each layer is perturbed in a pass of its own.
    optimizer, options : str, dict
        The optimiser, and those of its keys that were given.
    batch, repeats : int
        Samples of a step; perturbations of each.
    cost, smoothing : str, float
        "squared-error", "mean-squared-error" or "cross-entropy"; label smoothing.
    normalise, decay, precision : bool, str, str
        The normalisation of 2025; "constant" or "cosine"; "float32" or "float64".
    sparing : bool
        Whether nodes that cannot change the output are left unperturbed.
    parts : tuple of (int, int) or None
        How many layers are perturbed together, and how often.
    groups : int or None
        Groups of a batch, each with a perturbation of its own; None: each sample is one.
    layer_factors : tuple of float or None
        Factors on the rate, one for each layer.
    form, highpass, lowpass : str, float, float
        "discrete" or "analog"; the time constants of the analog form, in steps.
    outside : Outside or None
        A forward pass in place of the network.
    device : dict
        The keys of [device] that were given.
    asks : tuple of (str, object)
        Key and value of everything that no hardware does.
    """

    architecture: str = "dense"
    width: int = 1
    code: str = "lfsr"
    apart: bool = False
    optimizer: str = "sgd"
    options: tuple[tuple[str, Any], ...] = ()
    batch: int = 1
    repeats: int = 1
    cost: str = "squared-error"
    smoothing: float = 0.0
    normalise: bool = False
    decay: str = "constant"
    precision: str = "float64"
    sparing: bool = False
    parts: tuple[tuple[int, int], ...] | None = None
    groups: int | None = None
    layer_factors: tuple[float, ...] | None = None
    form: str = "discrete"
    highpass: float = 10.0
    lowpass: float = 100.0
    outside: Outside | None = None
    device: tuple[tuple[str, Any], ...] = ()
    asks: tuple[tuple[str, Any], ...] = ()


def read_software(given: Given) -> Software:
    """What no hardware does, all keys of which are checked against each other."""
    get = given.get
    name = str(get("optimizer.name", "sgd"))
    found = Software(
        architecture=str(get("network.architecture", "dense")),
        width=get("network.width", 1),
        code=str(get("perturbation.code", "lfsr")),
        apart=get("perturbation.apart", False),
        optimizer=name,
        options=tuple((key, given[f"optimizer.{key}"]) for key in OPTIMIZER_KEYS[name] if f"optimizer.{key}" in given),
        batch=get("learning.batch", 1),
        repeats=get("learning.repeats", 1),
        cost=str(get("learning.cost", "squared-error")),
        smoothing=get("learning.smoothing", 0.0),
        normalise=get("learning.normalise", False),
        decay=str(get("learning.decay", "constant")),
        precision=str(get("learning.precision", "float64")),
        sparing=get("learning.sparing", False),
        parts=get("learning.parts", None),
        groups=get("learning.groups", None),
        layer_factors=get("learning.layer_factors", None),
        form=str(get("learning.form", "discrete")),
        highpass=get("learning.highpass", 10.0),
        lowpass=get("learning.lowpass", 100.0),
        outside=_outside(given),
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
    asks = tuple((key, given[key]) for key in ONLY_SOFTWARE if key in given and given[key] not in built.get(key, (False, 0.0)))
    if asks and len(get("schedule.learning_rate", ((0, 0),))) > 1:
        key, value = "schedule.learning_rate", [list(pair) for pair in given["schedule.learning_rate"]]
        raise given.refuse(key, f"a list of rates is the hardware's, and {ONLY_SOFTWARE[asks[0][0]]} has none", _ONE_RATE, value)
    return replace(found, asks=asks)


def _outside(given: Given) -> Outside | None:
    """A forward pass outside."""
    if "outside.command" not in given:
        return None
    command = str(given["outside.command"])
    try:
        words = tuple(shlex.split(command))
    except ValueError:
        words = ()
    if not words:
        raise given.refuse("outside.command", "its quotation marks do not match", 'Write command = "python chip.py", say.', command)
    if "outside.parameters" not in given:
        reason = "it was left out, and nothing else says how many parameters the forward pass has"
        raise given.refuse("outside.parameters", reason, "Write parameters = 25, say, in [outside].")
    get = given.get
    return Outside(words, get("outside.parameters", 0), get("outside.frames", False), get("outside.timeout", 10.0))
