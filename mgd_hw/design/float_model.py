"""Float model of a design: its network, its cost, its initial parameters, and its learner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.design.description import Design
from python_ref.spec.error import Refusal, naming, unknown
from python_ref.spec.optimizer import OPTIMIZERS

if TYPE_CHECKING:
    from python_ref.floating.analog import AnalogLearner
    from python_ref.floating.attention import Attention
    from python_ref.floating.codes import Code
    from python_ref.floating.estimators import Estimator
    from python_ref.floating.layers import Sequential
    from python_ref.floating.learner import Decay, Learner
    from python_ref.floating.objectives import CrossEntropy, SquaredError
    from python_ref.floating.passes import Measurable
    from python_ref.floating.series import Series

__all__ = ["analog_learner", "has_fast_learner", "has_slopes", "learner", "network", "objective", "opened", "start"]


def network(design: Design) -> Sequential | Series | Attention:
    """Return the network of a design, including the variation of its neurons.

    Raises
    ------
    Refusal
        If the neurons vary, and the network has state.
    """
    from dataclasses import replace

    from python_ref.floating import of_design
    from python_ref.floating.layers import Sequential, Variation
    from python_ref.floating.networks import NETWORKS, attention

    float_only, device = design.float_only, dict(design.float_only.device)
    if float_only.architecture == "attention":
        return attention(float_only.sizes, float_only.frames, design.spec.network.hidden, design.spec.network.output)
    ideal = of_design.network(design.spec) if float_only.architecture == "dense" else NETWORKS[float_only.architecture](float_only.width)
    spread = device.get("activation_variation", 0.0)
    if not spread:
        return ideal
    if not isinstance(ideal, Sequential):
        reason = "the neurons of a network with state are all ideal"
        raise Refusal(reason, "Remove it.", file=design.path, key="device.activation_variation", value=spread)
    return replace(ideal, variation=Variation.draw(ideal.n_nodes, spread, device.get("seed", 1)))


def objective(design: Design) -> SquaredError | CrossEntropy:
    """Return the cost function that a design minimises."""
    from python_ref.floating.objectives import CrossEntropy, SquaredError

    match design.float_only.cost:
        case "cross-entropy":
            return CrossEntropy(design.float_only.smoothing)
        case "squared-error" | "mean-squared-error" as cost:
            return SquaredError(cost == "mean-squared-error")
        case cost:
            raise unknown("Cost", cost, "mgd_hw.design.float_model.objective")


@contextmanager
def opened(design: Design) -> Iterator[Measurable]:
    """Yield the forward pass whose cost is measured: the network, or an external process, which runs within the block.

    Raises
    ------
    Refusal
        If the process cannot be started, or violates the protocol.
    """
    from python_ref.floating.outside import OutsideError, Process
    from python_ref.floating.passes import Measured

    external = design.float_only.external
    if external is None:
        yield Measured(network(design), objective(design))
        return
    more: dict[str, Any] = {"frames": external.frames, "timeout": external.timeout, "folder": design.path.parent}
    with (
        naming(design.path, key="external.command", value=" ".join(external.command), of=OutsideError),
        Process(external.arguments, external.parameters, **more) as chip,
    ):
        yield chip


def start(design: Design, seed: int, raw: np.ndarray | None = None) -> np.ndarray:
    """Return the initial parameters θ (shape (P,)), in the design's precision.

    For a dense network, they are the hardware's raw parameters ``raw`` as real numbers, if given. For an external forward pass, they
    are uniform in ±scale/2 (McCaughan et al. 2023).
    """
    kind, spec, external = np.dtype(design.float_only.precision).type, design.spec, design.float_only.external
    if external is not None:
        random = np.random.Generator(np.random.PCG64(seed))
        return (spec.network.initial.scale * random.uniform(-0.5, 0.5, external.parameters)).astype(kind)
    if design.float_only.architecture == "dense" and raw is not None:
        return spec.formats.weight.to_real(raw).astype(kind)
    return network(design).initial(seed, spec.network.initial.scale, kind=kind)


def _code(design: Design, seed: int) -> Code:
    from python_ref.floating import of_design
    from python_ref.floating.codes import FLOAT_CODES as float_codes

    name = design.float_only.code
    return float_codes[name]() if name in float_codes else of_design.code(design.spec, seed)


def _estimator(design: Design, seed: int, problem: Measurable) -> Estimator:
    from python_ref.floating import of_design
    from python_ref.floating.estimators import NodePerturbation, OwnNoise, WeightPerturbation
    from python_ref.floating.stochastic import Random

    spec, float_only = design.spec, design.float_only
    more = (_code(design, seed), 2.0**spec.perturbation.amplitude_log2, spec.two_sided, float_only.layerwise, float_only.repeats)
    if not spec.node:
        return WeightPerturbation(problem, *more, groups=float_only.groups, parts=float_only.parts)
    turns, net = of_design.in_turn(spec), network(design)
    taken: dict[str, Any] = {"skip_dead_nodes": float_only.skip_dead_nodes, "parts": float_only.parts}
    if not float_only.requests:  # parts take turns, as in hardware
        taken = {"parts": float_only.parts if turns else None, "in_turn": turns}
    if isinstance(net, Random):
        return OwnNoise(net, objective(design), *more, **taken)
    return NodePerturbation(net, objective(design), *more, **taken)


def analog_learner(design: Design, seed: int, problem: Measurable) -> AnalogLearner:
    """Return the learner of a design with the analog form of the algorithm."""
    from python_ref.floating.analog import AnalogLearner

    spec, float_only, schedule = design.spec, design.float_only, design.spec.schedule
    times = float_only.highpass, float_only.lowpass, schedule.perturbation_period
    return AnalogLearner(problem, _code(design, seed), 2.0**spec.perturbation.amplitude_log2, 2.0 ** schedule.rate_at(0), *times)


def _decay(design: Design, steps: int) -> Decay:
    """Return the schedule of the learning rate over a run of ``steps`` steps."""
    from python_ref.floating import of_design
    from python_ref.floating.learner import HalfCosine

    match design.float_only.decay:
        case "cosine":
            return HalfCosine(steps, 0.01)
        case "constant":
            return of_design.decay(design.spec)
        case decay:
            raise unknown("Decay", decay, "mgd_hw.design.float_model._decay")


def learner(design: Design, steps: int, problem: Measurable, seed: int | None = None) -> Learner:
    """Return the learner of a design for a run of ``steps`` steps.

    ``problem`` is the forward pass that :func:`opened` yields; ``seed`` replaces the design's seed of the signs.
    """
    from python_ref.floating import devices as d
    from python_ref.floating import of_design
    from python_ref.floating import optimizers as o
    from python_ref.floating.learner import Learner
    from python_ref.floating.shift import ShiftedAdam
    from python_ref.spec.optimizer import ShiftAdam

    spec, float_only, options = design.spec, design.float_only, dict(design.float_only.options)
    schedule, rate = spec.schedule, 2.0 ** spec.schedule.rate_at(0)
    rule: o.Optimizer
    match float_only.optimizer:
        case "shift-adam" if float_only.requests and isinstance(spec.optimizer, ShiftAdam):
            forms = spec.gradient_format, spec.formats.weight
            modes = spec.gradient_scale, spec.formats.weight_cast.rounding, spec.perturbation.seed
            rule = ShiftedAdam(spec.optimizer, forms, schedule.rate_at(0), *modes)
        case name if name in OPTIMIZERS:
            rule = of_design.rule(spec.optimizer, rate)
        case "adam":
            rule = o.Adam(rate, **options)
        case "nesterov":
            rule = o.Nesterov(rate, 1.0 - 2.0 ** -options.get("k", 3))
        case "sign":
            rule = o.SignDescent(rate)
        case _:
            raise unknown("Optimizer", float_only.optimizer, "mgd_hw.design.float_model.learner")
    if float_only.layer_factors is not None:
        sizes = [block.size for block in problem.parameters]
        rule = o.Layered(rule, tuple(zip(sizes, float_only.layer_factors, strict=True)))
    given = dict(float_only.device)
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
        float_only.batch,
        of_design.held_steps(spec),
        schedule.sample_period,
        schedule.update_period,
        tuple(pieces),
        _decay(design, steps),
        float_only.normalise,
    )


def has_slopes(design: Design) -> bool:
    """Return whether every activation of the network has a derivative, which back-propagation requires."""
    return design.float_only.external is None and network(design).differentiable


def has_fast_learner(design: Design) -> bool:
    """Return whether the compiled loops, or the learner of whole presentations, train the float model of a design."""
    from python_ref.floating import online

    spec = design.spec
    return not design.float_only.requests and (online.supports(spec) or (spec.node and online.has_rule(spec.optimizer)))
