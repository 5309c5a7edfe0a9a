"""What a design file may ask for that no hardware does yet: `mgd-hw compare` and `mgd-hw diagnose` run it, everything else refuses
it by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.errors import UserError
from python_ref.spec import optimizer as built
from python_ref.spec.error import unknown
from python_ref.spec.optimizer import OPTIMIZERS
from python_ref.spec.perturbation import CODES

if TYPE_CHECKING:
    from mgd_hw.config import Design
    from python_ref.learning.analog import AnalogLearner
    from python_ref.learning.codes import Code
    from python_ref.learning.estimators import Estimator
    from python_ref.learning.layers import Sequential
    from python_ref.learning.learner import Learner
    from python_ref.learning.objectives import CrossEntropy, SquaredError
    from python_ref.learning.optimizers import Optimizer
    from python_ref.learning.passes import Measurable
    from python_ref.spec.network import Network
    from python_ref.spec.schedule import Schedule

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
    "analog_learner",
    "check_hardware",
    "layer_count",
    "learner",
    "network",
    "objective",
    "opened",
    "start",
]

ARCHITECTURES: dict[str, tuple[int, int] | None] = {
    "dense": None,
    "fashion-2023": (784, 10),
    "cifar-2023": (3072, 10),
    "fashion-2025": (784, 10),
}
"""The networks by name; inputs and outputs of those whose layers are fixed."""

_FLOAT_KEYS: dict[str, tuple[str, ...]] = {
    "nesterov": ("k",),
    "adam": ("beta1", "beta2", "epsilon", "corrected"),
    "sign": (),
    "shift-adam": ("k1", "k2", "refined", "corrected"),
}
"""The optimisers of the learners, and the keys that each has in a design that is software only."""

FLOAT_OPTIMIZERS = tuple(name for name in _FLOAT_KEYS if name not in OPTIMIZERS)
"""The optimisers that no hardware has."""

OPTIMIZER_KEYS = {name: optimizer.parameters() for name, optimizer in OPTIMIZERS.items()} | {
    name: _FLOAT_KEYS[name] for name in FLOAT_OPTIMIZERS
}
"""The optimisers by name, and the keys that each has."""

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


def _either(names: Iterable[str]) -> str:
    """Names in a sentence, such as "lfsr, walsh or sequential"."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def check_hardware(design: Design) -> None:
    """Refuse what no hardware does.

    Raises
    ------
    UserError
        If the design asks for such a thing; it names the first.
    """
    for key, value in design.software.asks:
        shown = {"optimizer.name": _either(OPTIMIZERS), "network.architecture": "dense", "perturbation.code": _either(CODES)}
        change = f"Take {shown[key]}" if key in shown else "Remove it"
        reason = f"{ONLY_SOFTWARE[key]} has no hardware yet"
        remedy = f"`mgd-hw compare` and `mgd-hw diagnose` run it. {change} to build the design."
        raise UserError(reason, remedy, file=design.path, key=key, value=value)


def network(design: Design) -> Sequential:
    """The design's network, with its neurons' variation."""
    from dataclasses import replace

    from python_ref.learning.layers import Variation
    from python_ref.learning.networks import NETWORKS, of_design

    software, device = design.software, dict(design.software.device)
    ideal = of_design(design.spec.network) if software.architecture == "dense" else NETWORKS[software.architecture](software.width)
    spread = device.get("activation_variation", 0.0)
    return replace(ideal, variation=Variation.draw(ideal.n_nodes, spread, device.get("seed", 1))) if spread else ideal


def layer_count(architecture: str, spec: Network) -> int:
    """How many layers with parameters a network has."""
    from python_ref.learning.networks import NETWORKS

    return len(spec.layers) if architecture == "dense" else len(NETWORKS[architecture](1).parameters)


def objective(design: Design) -> SquaredError | CrossEntropy:
    """The design's cost."""
    from python_ref.learning.objectives import CrossEntropy, SquaredError

    software = design.software
    if software.cost == "cross-entropy":
        return CrossEntropy(software.smoothing)
    return SquaredError(software.cost == "mean-squared-error")


@contextmanager
def opened(design: Design) -> Iterator[Measurable]:
    """What has a cost: the network, or the process of a forward pass outside, which runs as long as this is open.

    Raises
    ------
    UserError
        If the process does not do what it should.
    """
    from python_ref.learning.outside import OutsideError, Process
    from python_ref.learning.passes import Measured

    outside = design.software.outside
    if outside is None:
        yield Measured(network(design), objective(design))
        return
    more: dict[str, Any] = {"frames": outside.frames, "timeout": outside.timeout, "folder": design.path.parent}
    try:
        with Process(outside.command, outside.parameters, **more) as chip:
            yield chip
    except OutsideError as error:
        reason, _, remedy = str(error).rstrip(".").rpartition(". ")
        raise UserError(reason, f"{remedy}.", file=design.path, key="outside.command", value=" ".join(outside.command)) from error


def start(design: Design, seed: int, raw: np.ndarray | None = None) -> np.ndarray:
    """θ to start from, in the design's precision; of a dense network the hardware's own, ``raw``, if it is given; of a forward pass
    outside uniform in ±scale/2 (McCaughan et al. 2023)."""
    kind, spec, outside = np.dtype(design.software.precision).type, design.spec, design.software.outside
    if outside is not None:
        random = np.random.Generator(np.random.PCG64(seed))
        return (spec.network.initial.scale * random.uniform(-0.5, 0.5, outside.parameters)).astype(kind)
    if design.software.architecture == "dense" and raw is not None:
        return spec.formats.weight.to_real(raw).astype(kind)
    return network(design).initial(seed, spec.network.initial.scale, kind=kind)


def _code(design: Design, seed: int) -> Code:
    from python_ref.learning.codes import CODES

    name = design.software.code if design.software.code in FLOAT_CODES else design.spec.code.name
    if name not in CODES:
        raise unknown("Code", name, "python_ref.learning.codes.CODES")
    return CODES[name].seeded(seed)


def _estimator(design: Design, seed: int, problem: Measurable) -> Estimator:
    from python_ref.learning.estimators import NodePerturbation, WeightPerturbation

    spec, software = design.spec, design.software
    more = (_code(design, seed), 2.0**spec.perturbation.amplitude_log2, spec.two_sided, software.apart, software.repeats)
    if spec.node:
        return NodePerturbation(network(design), objective(design), *more, sparing=software.sparing, parts=software.parts)
    return WeightPerturbation(problem, *more, groups=software.groups, parts=software.parts)


def analog_learner(design: Design, seed: int, problem: Measurable) -> AnalogLearner:
    """How a design of the analog form learns."""
    from python_ref.learning.analog import AnalogLearner

    spec, software, schedule = design.spec, design.software, design.spec.schedule
    times = software.highpass, software.lowpass, schedule.perturbation_period
    return AnalogLearner(problem, _code(design, seed), 2.0**spec.perturbation.amplitude_log2, 2.0 ** schedule.rate_at(0), *times)


def _rule_of_hardware(optimizer: built.Optimizer, rate: float) -> Optimizer:
    """The optimiser of the hardware in real numbers."""
    from python_ref.learning import optimizers

    name, parameters = optimizer.float_rule()
    if name not in optimizers.OPTIMIZERS:
        raise unknown("Rule", name, "python_ref.learning.optimizers.OPTIMIZERS")
    rule: Callable[..., Optimizer] = optimizers.OPTIMIZERS[name]
    return rule(rate, **parameters)


@dataclass(frozen=True)
class ListedRates:
    """The rate that the schedule of the design lists, as a factor on that of step 0."""

    schedule: Schedule

    def at(self, step: int) -> float:
        """Factor on the rate at a step."""
        return 2.0 ** (self.schedule.rate_at(step) - self.schedule.rate_at(0))


def learner(design: Design, steps: int, problem: Measurable, seed: int | None = None) -> Learner:
    """How the design learns for ``steps`` steps what :func:`opened` gave."""
    from python_ref.learning import devices as d
    from python_ref.learning import optimizers as o
    from python_ref.learning.learner import Constant, HalfCosine, Learner
    from python_ref.learning.shift import ShiftedAdam
    from python_ref.spec.shift_adam import ShiftAdam

    spec, software, options = design.spec, design.software, dict(design.software.options)
    schedule, rate = spec.schedule, 2.0 ** spec.schedule.rate_at(0)
    rule: o.Optimizer
    match software.optimizer:
        case name if name in OPTIMIZERS:
            rule = _rule_of_hardware(spec.optimizer, rate)
        case "adam":
            rule = o.Adam(rate, **options)
        case "shift-adam":
            rule = ShiftedAdam(ShiftAdam(spec.gradient_format, spec.formats.weight, schedule.rate_at(0), **options), spec.perturbation.seed)
        case "nesterov":
            rule = o.Nesterov(rate, 1.0 - 2.0 ** -options.get("k", 3))
        case "sign":
            rule = o.SignDescent(rate)
        case _:
            raise unknown("Optimizer", software.optimizer, "mgd_hw.software.learner")
    if software.layer_factors is not None:
        sizes = [block.size for block in problem.parameters]
        rule = o.Layered(rule, tuple(zip(sizes, software.layer_factors, strict=True)))
    decay: Any = HalfCosine(steps, 0.01) if software.decay == "cosine" else Constant()
    if len(schedule.learning_rate) > 1:
        decay = ListedRates(schedule)
    given = dict(software.device)
    own = given.get("seed", 1)
    pieces: list[d.Device] = []
    if given.get("cost_noise"):
        pieces.append(d.CostNoise(given["cost_noise"], own))
    if given.get("update_noise"):
        pieces.append(d.UpdateNoise(given["update_noise"], own))
    if "weight_step" in given:
        pieces.append(d.Quantisation(given["weight_step"], given.get("weight_limit", 8.0), given.get("stochastic", False), own))
    if "endurance" in given:
        pieces.append(d.Endurance(given["endurance"]))
    if given.get("fading") or given.get("wander"):
        pieces.append(d.Drift(given.get("fading", 0.0), given.get("wander", 0.0), own))
    return Learner(
        _estimator(design, spec.perturbation.seed if seed is None else seed, problem),
        rule,
        software.batch,
        schedule.perturbation_period,
        schedule.sample_period,
        schedule.update_period,
        tuple(pieces),
        decay,
        software.normalise,
    )


def has_slopes(design: Design) -> bool:
    """Whether the network can be propagated back."""
    if design.software.outside is not None:
        return False
    layers: Any = network(design).layers
    return all(layer.activation.differentiable for layer in layers if hasattr(layer, "activation"))
