"""Small designs of node perturbation, one for each shape that the hardware treats in a way of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.layers import DENSE, LayerKind, Sparse
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed, Rounding
from python_ref.spec.optimizer import Momentum, Optimizer, Sgd, ShiftAdam
from python_ref.spec.perturbation import Code, Kind, LfsrCode, Perturbation, SequentialCode, WalshCode, WalshGrayCode
from python_ref.spec.schedule import Difference, Schedule

__all__ = [
    "DEEP_SHAPES",
    "PART_SHAPES",
    "QUICK_SHAPES",
    "QUICK_SPARSE",
    "SHAPES",
    "SPARSE_SHAPES",
    "node_design",
    "single_port",
    "two_multipliers",
]


def node_design(
    sizes: tuple[int, ...] = (3, 4, 2),
    code: Code | None = None,
    lanes: int = 2,
    periods: tuple[int, int, int] = (1, 4, 4),
    *,
    two_sided: bool = False,
    optimizer: Optimizer | None = None,
    gradient_memory: bool | None = None,
    hidden: Activation = Activation.RELU,
    output: Activation = Activation.IDENTITY,
    rates: tuple[tuple[int, int], ...] = ((0, -5),),
    parts: tuple[tuple[int, int], ...] | None = None,
    kinds: tuple[LayerKind, ...] = (),
    name: str = "node",
    **formats: Any,
) -> DesignSpec:
    """A small design of node perturbation; ``periods`` are τ_p, τ_x and τ_θ."""
    difference = Difference.TWO_SIDED if two_sided else Difference.ONE_SIDED
    chosen = {"input": Fixed(False, 0, 6), "weight": Fixed(True, 3, 9), "activation": Fixed(True, 3, 7)} | formats
    return DesignSpec(
        name,
        Network(sizes, hidden, output, kinds=kinds),
        Perturbation(Kind.NODE, LfsrCode() if code is None else code, -4, 1, parts),
        Schedule(rates, *periods, difference),
        Sgd() if optimizer is None else optimizer,
        Formats(**chosen),
        Hardware(lanes, gradient_memory),
    )


def two_multipliers(spec: DesignSpec, lanes: int | None = None) -> DesignSpec:
    """The design with two multipliers in each lane, and with another number of lanes if one is given."""
    hardware = replace(spec.hardware, multipliers_per_lane=2, lanes=spec.hardware.lanes if lanes is None else lanes)
    return replace(spec, hardware=hardware)


def single_port(spec: DesignSpec) -> DesignSpec:
    """The design with its parameters in memories with one port."""
    return replace(spec, hardware=replace(spec.hardware, single_port=True))


_SIGMOID, _TANH = Activation.SIGMOID, Activation.TANH

SHAPES: dict[str, DesignSpec] = {
    name: node_design(name=name, **changes)
    for name, changes in {
        "plain": {},
        "one-layer": {"sizes": (3, 5)},
        "one-neuron": {"sizes": (2, 1), "output": _SIGMOID},
        "one-of-each": {"sizes": (1, 1, 1)},
        "xor": {"sizes": (2, 2, 1), "hidden": _SIGMOID, "output": _SIGMOID},
        "deep": {"sizes": (2, 3, 2, 4, 2, 3), "lanes": 3},
        "more-lanes-than-neurons": {"sizes": (3, 4, 2), "lanes": 8},
        "pipelined": {"sizes": (5, 14, 3), "lanes": 12},
        "one-lane": {"lanes": 1},
        "wide-hidden": {"sizes": (3, 20, 2), "lanes": 4},
        "wide-output": {"sizes": (3, 2, 12), "lanes": 16},
        "long": {"sizes": (20, 9, 3), "lanes": 4, "periods": (1, 8, 8)},
        "walsh": {"code": WalshCode()},
        "walsh-gray": {"code": WalshGrayCode()},
        "sequential": {"code": SequentialCode(), "periods": (1, 6, 6)},
        "sequential-wide-output": {"sizes": (3, 5, 11), "lanes": 4, "code": SequentialCode(), "periods": (1, 16, 16)},
        "sequential-narrow": {
            "sizes": (3, 5, 11),
            "lanes": 4,
            "code": SequentialCode(),
            "periods": (1, 16, 16),
            "cost_change": Fixed(True, 2, 14),
        },
        "sequential-pipelined": {"sizes": (5, 14, 13), "lanes": 12, "code": SequentialCode(), "periods": (1, 9, 9)},
        "sequential-twice": {"sizes": (2, 1, 1), "lanes": 1, "code": SequentialCode(), "periods": (2, 9, 9)},
        "sequential-momentum": {
            "code": SequentialCode(),
            "optimizer": Momentum(2),
            "periods": (1, 2, 4),
            "hidden": _SIGMOID,
            "output": _TANH,
        },
        "sequential-deep": {"sizes": (3, 4, 3, 2), "code": SequentialCode(), "periods": (1, 9, 9)},
        "sequential-wide-activation": {"code": SequentialCode(), "activation": Fixed(True, 4, 12), "periods": (1, 6, 6)},
        "two-sided": {"two_sided": True},
        "two-sided-sequential": {"two_sided": True, "code": SequentialCode()},
        "two-sided-walsh": {"two_sided": True, "code": WalshCode(), "periods": (1, 8, 8)},
        "signs-twice": {"periods": (2, 4, 4)},
        "signs-across-presentations": {"periods": (3, 4, 4)},
        "one-step": {"periods": (1, 1, 1)},
        "two-steps": {"periods": (1, 2, 2)},
        "updates-within-a-sample": {"periods": (1, 6, 2)},
        "update-after-each-step": {"periods": (1, 4, 1)},
        "samples-within-an-update": {"periods": (1, 2, 4)},
        "periods-that-cross": {"periods": (1, 2, 3)},
        "momentum": {"optimizer": Momentum(2, None, Rounding.STOCHASTIC)},
        "momentum-and-memory": {"optimizer": Momentum(2), "periods": (1, 2, 4)},
        "adam": {"optimizer": ShiftAdam(2, 4)},
        "adam-and-memory": {"optimizer": ShiftAdam(2, 4), "periods": (1, 2, 4), "code": SequentialCode()},
        "adam-pipelined": {"optimizer": ShiftAdam(1, 3, rounding=Rounding.STOCHASTIC), "sizes": (5, 14, 3), "lanes": 12},
        "memory": {"gradient_memory": True},
        "narrow": {"cost_change": Fixed(True, 2, 8), "error": Fixed(True, -2, 12)},
        "saturating": {"rates": ((0, 2),)},
        "wide-error": {"error": Fixed(True, 6, 6), "rates": ((0, 3),)},
        "floor": {"weight_cast": Cast(Rounding.FLOOR)},
        "half-up": {"weight_cast": Cast(Rounding.HALF_UP)},
        "half-even": {"weight_cast": Cast(Rounding.HALF_EVEN)},
        "stochastic": {"weight_cast": Cast(Rounding.STOCHASTIC), "sizes": (3, 5, 2)},
        "signed-input": {"input": Fixed(True, 1, 9)},
        "fine-input": {"input": Fixed(False, 0, 9)},
        "tanh": {"hidden": _TANH, "output": _TANH, "code": WalshCode(), "periods": (1, 7, 7)},
        "sign": {"hidden": Activation.SIGN},
        "rates": {"rates": ((0, -5), (6, -7))},
    }.items()
}
"""By name; presentations have four steps unless the periods say otherwise."""

QUICK_SHAPES = ("deep", "one-neuron", "two-sided-sequential", "periods-that-cross", "momentum-and-memory", "rates")
"""Shapes that together reach every branch but that of many lanes; the ordinary suite runs these, the slow suite all others."""

DEEP_SHAPES: dict[str, DesignSpec] = {
    name: node_design(name=name.replace("-", "_"), code=SequentialCode(), **changes)
    for name, changes in {
        "two-hidden": {"sizes": (3, 4, 3, 2), "periods": (1, 9, 9)},
        "three-hidden": {"sizes": (2, 3, 5, 2, 3), "periods": (1, 13, 13), "lanes": 4, "hidden": _TANH},
        "five-hidden": {"sizes": (2, 3, 2, 4, 2, 3, 2), "periods": (1, 16, 16), "lanes": 1, "hidden": _SIGMOID},
        "two-sided": {"sizes": (3, 4, 3, 2), "periods": (2, 6, 6), "two_sided": True, "lanes": 1},
        "pipelined": {"sizes": (3, 10, 11, 12), "periods": (1, 33, 33), "lanes": 9},
        "more-lanes-than-neurons": {"sizes": (3, 4, 3, 2, 1), "periods": (1, 10, 10), "lanes": 9},
        "one-neuron-each": {"sizes": (1, 1, 1, 1), "periods": (2, 6, 6)},
        "one-output": {"sizes": (2, 5, 2, 1), "periods": (1, 8, 8), "lanes": 4, "output": _SIGMOID, "hidden": _TANH},
        "wide-inside": {"sizes": (2, 2, 14, 1, 3), "periods": (1, 20, 20), "lanes": 4},
        "not-by-period": {"sizes": (3, 4, 3, 2), "periods": (1, 7, 7), "lanes": 4},
        "momentum": {"sizes": (3, 2, 3, 2), "periods": (1, 2, 4), "optimizer": Momentum(2), "output": _TANH, "hidden": _SIGMOID},
        "updates-within-a-sample": {"sizes": (3, 3, 2, 2), "periods": (3, 8, 4), "weight_cast": Cast(Rounding.STOCHASTIC)},
        "fine-input": {"sizes": (3, 4, 3, 2), "input": Fixed(False, 0, 9), "periods": (1, 9, 9), "two_sided": True},
        "signed-input": {"sizes": (3, 4, 3, 2), "input": Fixed(True, 1, 3), "periods": (1, 9, 9)},
        "narrow": {"sizes": (3, 4, 3, 5), "periods": (1, 12, 12), "cost_change": Fixed(True, 2, 14)},
    }.items()
}
"""Designs of several hidden layers whose probes are incremental, by name."""

PART_SHAPES: dict[str, DesignSpec] = {
    name: node_design(name=name.replace("-", "_"), **changes)
    for name, changes in {
        "layer-by-layer": {"parts": ((1, 1), (1, 1))},
        "one-part": {"parts": ((2, 2),)},
        "last-layer-thrice": {"parts": ((1, 1), (1, 3)), "sizes": (3, 9, 2), "lanes": 4, "periods": (1, 8, 8)},
        "first-layer-twice": {"parts": ((1, 2), (1, 1)), "periods": (1, 6, 6), "lanes": 1},
        "one-layer": {"parts": ((1, 2),), "sizes": (3, 5)},
        "two-sided": {"parts": ((1, 2), (1, 1), (1, 2)), "sizes": (3, 4, 3, 2), "periods": (2, 10, 10), "two_sided": True},
        "momentum": {"parts": ((2, 1), (1, 2)), "sizes": (3, 4, 3, 2), "periods": (1, 3, 9), "optimizer": Momentum(2)},
        "walsh": {"parts": ((2, 1), (1, 2)), "sizes": (3, 4, 3, 2), "periods": (1, 3, 6), "code": WalshCode()},
        "walsh-gray": {"parts": ((1, 1), (1, 1)), "sizes": (3, 4, 3), "periods": (2, 4, 4), "code": WalshGrayCode(), "two_sided": True},
        "deep": {"parts": ((2, 1), (1, 2), (2, 1)), "sizes": (2, 3, 2, 4, 2, 3), "periods": (1, 4, 8), "lanes": 3},
        "pipelined": {"parts": ((1, 1), (2, 2)), "sizes": (5, 14, 6, 3), "periods": (1, 9, 9), "lanes": 12},
        "wide-inside": {"parts": ((1, 1), (1, 1), (1, 1)), "sizes": (3, 2, 14, 2), "periods": (1, 9, 9), "lanes": 16},
        "wide-output": {"parts": ((1, 1), (1, 2)), "sizes": (3, 2, 12), "periods": (1, 9, 9), "lanes": 16},
        "updates-within-a-sample": {"parts": ((1, 1), (1, 1)), "periods": (1, 8, 2)},
        "one-neuron-each": {"parts": ((1, 1), (1, 1), (1, 1)), "sizes": (1, 1, 1, 1), "periods": (1, 6, 6)},
        "events-in-time": {"parts": ((1, 1), (2, 3)), "sizes": (1, 2, 1, 1), "periods": (4, 8, 8), "code": WalshGrayCode(), "lanes": 16},
        "signs-across-presentations": {"parts": ((3, 1), (1, 2), (1, 2)), "sizes": (1, 9, 3, 3, 2, 2), "periods": (2, 5, 5), "lanes": 5},
        "four-layers": {"parts": ((1, 1), (2, 1), (1, 3)), "sizes": (3, 4, 2, 5, 3), "periods": (1, 5, 10), "lanes": 9},
        "stochastic-momentum": {
            "parts": ((1, 3), (2, 1), (1, 1)),
            "sizes": (3, 4, 2, 5, 3),
            "periods": (3, 10, 5),
            "two_sided": True,
            "optimizer": Momentum(2, None, Rounding.STOCHASTIC),
            "weight_cast": Cast(Rounding.STOCHASTIC),
        },
        "narrow": {
            "parts": ((1, 2), (3, 1)),
            "sizes": (3, 4, 2, 5, 3),
            "periods": (1, 6, 6),
            "cost_change": Fixed(True, 2, 8),
            "error": Fixed(True, -2, 12),
            "rates": ((0, 1), (7, -3)),
        },
        "largest-error-sums": {  # one sign vector and saturated cost changes all through a presentation
            "parts": ((1, 1), (1, 2)),
            "sizes": (1, 2, 3),
            "periods": (12, 12, 12),
            "cost_change": Fixed(True, -6, 8),
            "rates": ((0, -9),),
        },
    }.items()
}
"""Designs whose probes perturb parts of the network in turn, by name."""

_TWO = (Sparse(3, 2), Sparse(4, 2))

SPARSE_SHAPES: dict[str, DesignSpec] = {
    name: node_design(name=name.replace("-", "_"), **({"sizes": (6, 9, 3), "kinds": _TWO} | changes))
    for name, changes in {
        "plain": {},
        "fan-in-one": {"kinds": (Sparse(1, 2), Sparse(1, 2))},
        "every-input": {"sizes": (4, 5, 3), "kinds": (Sparse(4, 2), Sparse(5, 2))},
        "one-layer": {"sizes": (7, 5), "kinds": (Sparse(2, 2),)},
        "dense-first": {"kinds": (DENSE, Sparse(4, 2))},
        "dense-last": {"kinds": (Sparse(3, 2), DENSE)},
        "dense-between": {"sizes": (5, 7, 6, 4), "kinds": (Sparse(2, 4), DENSE, Sparse(3, 2)), "hidden": _SIGMOID},
        "block-of-several-groups": {"sizes": (6, 17, 9), "kinds": (Sparse(3, 8), Sparse(5, 4))},
        "block-of-all": {"sizes": (6, 9, 5), "kinds": (Sparse(3, 9), Sparse(4, 16)), "lanes": 4},
        "given-lists": {"kinds": (Sparse(2, 4, inputs=((0, 5), (1, 5), (3, 4))), Sparse(3, 2, inputs=((6, 7, 8), (0, 1, 8))))},
        "one-lane": {"lanes": 1},
        "pipelined": {"sizes": (9, 25, 14), "kinds": (Sparse(4, 12), Sparse(3, 12)), "lanes": 12},
        "wide-groups": {"sizes": (6, 16, 9), "kinds": (Sparse(1, 8), Sparse(1, 8)), "lanes": 8},
        "deep": {"sizes": (5, 8, 6, 9, 4), "kinds": (Sparse(2, 2), Sparse(3, 2), Sparse(1, 2), Sparse(5, 2)), "periods": (1, 3, 6)},
        "sequential": {"code": SequentialCode(), "periods": (1, 12, 12)},
        "sequential-dense-last": {"code": SequentialCode(), "periods": (1, 12, 12), "kinds": (Sparse(3, 2), DENSE)},
        "sequential-dense-behind": {
            "sizes": (6, 5, 4, 3),
            "code": SequentialCode(),
            "periods": (1, 12, 12),
            "kinds": (Sparse(2, 2), DENSE, DENSE),
        },
        "walsh-two-sided": {"code": WalshCode(), "two_sided": True, "periods": (1, 8, 8)},
        "momentum": {"optimizer": Momentum(2, None, Rounding.STOCHASTIC), "periods": (1, 2, 4)},
        "stochastic": {"weight_cast": Cast(Rounding.STOCHASTIC)},
        "parts": {"parts": ((1, 1), (1, 2)), "periods": (1, 6, 6)},
        "parts-of-three": {
            "sizes": (4, 8, 7, 5),
            "kinds": (Sparse(2, 2), Sparse(3, 4), Sparse(2, 2)),
            "parts": ((1, 1), (1, 1), (1, 1)),
            "periods": (1, 3, 3),
        },
    }.items()
}
"""Designs with sparse layers, by name."""

QUICK_SPARSE = ("fan-in-one", "dense-between", "parts")
"""Designs with sparse layers that the ordinary suite runs."""
