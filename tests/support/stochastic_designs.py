"""Small designs with stochastic layers, one for each shape that the hardware treats in a way of its own, and random ones."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec
from python_ref.spec.error import DesignError
from python_ref.spec.layers import DENSE, LayerKind, Sparse, Stochastic
from python_ref.spec.number import Fixed, Rounding
from python_ref.spec.optimizer import Momentum, ShiftAdam
from python_ref.spec.perturbation import Kind, SequentialCode, WalshCode
from tests.support.designs import random_design
from tests.support.node_designs import node_design

__all__ = ["QUICK_STOCHASTIC", "STOCHASTIC_SHAPES", "random_stochastic_design"]

_SIGMOID, _HARD = Activation.SIGMOID, Activation.HARD_SIGMOID
_FIRST, _BOTH, _LAST = (Stochastic(4), DENSE), (Stochastic(2), Stochastic(4)), (DENSE, Stochastic(8))


def _design(name: str, **changes: Any) -> DesignSpec:
    """A design of one stochastic layer of four draws behind the inputs, unless the changes say otherwise."""
    given: dict[str, Any] = {"hidden": _SIGMOID, "output": _SIGMOID, "kinds": _FIRST, "rates": ((0, -3),)} | changes
    return node_design(name=name.replace("-", "_"), **given)


STOCHASTIC_SHAPES: dict[str, DesignSpec] = {
    name: _design(name, **changes)
    for name, changes in {
        "plain": {},
        "one-draw": {"kinds": (Stochastic(1), DENSE), "output": Activation.IDENTITY},
        "sixteen-draws": {"kinds": (Stochastic(16), DENSE), "hidden": _HARD},
        "output": {"kinds": _LAST},
        "both": {"kinds": _BOTH},
        "one-layer": {"sizes": (3, 5), "kinds": (Stochastic(2),)},
        "one-neuron": {"sizes": (2, 1), "kinds": (Stochastic(1),)},
        "one-of-each": {"sizes": (1, 1, 1), "kinds": (Stochastic(1), Stochastic(1))},
        "deep": {
            "sizes": (2, 3, 2, 4, 2, 3),
            "lanes": 3,
            "kinds": (Stochastic(2), DENSE, Stochastic(8), Stochastic(1), DENSE),
            "output": Activation.TANH,
        },
        "behind-a-dense-one": {"sizes": (3, 5, 4, 2), "kinds": (DENSE, Stochastic(4), DENSE)},
        "before-a-sparse-one": {"sizes": (3, 6, 4), "kinds": (Stochastic(4), Sparse(2, 2))},
        "behind-a-sparse-one": {"sizes": (6, 6, 4), "kinds": (Sparse(3, 2), Stochastic(2))},
        "more-lanes-than-neurons": {"lanes": 9},
        "pipelined": {"sizes": (5, 14, 13), "lanes": 12, "kinds": _BOTH},
        "one-lane": {"lanes": 1, "kinds": _BOTH},
        "walsh": {"code": WalshCode(), "kinds": _BOTH},
        "sequential": {"code": SequentialCode(), "periods": (1, 6, 6)},
        "sequential-both": {"code": SequentialCode(), "periods": (1, 6, 6), "kinds": _BOTH, "two_sided": True},
        "two-sided": {"two_sided": True, "kinds": _BOTH},
        "two-sided-walsh": {"two_sided": True, "code": WalshCode(), "periods": (1, 8, 8), "kinds": _LAST},
        "signs-twice": {"periods": (2, 4, 4)},
        "one-step": {"periods": (1, 1, 1), "kinds": _BOTH},
        "updates-within-a-sample": {"periods": (1, 6, 2)},
        "samples-within-an-update": {"periods": (1, 2, 4), "kinds": _BOTH},
        "periods-that-cross": {"periods": (1, 2, 3)},
        "momentum": {"optimizer": Momentum(2, None, Rounding.STOCHASTIC), "kinds": _BOTH},
        "momentum-and-memory": {"optimizer": Momentum(2), "periods": (1, 2, 4)},
        "adam": {"optimizer": ShiftAdam(2, 4), "periods": (1, 2, 4)},
        "narrow": {"cost_change": Fixed(True, 2, 8), "error": Fixed(True, -2, 12), "kinds": _BOTH},
        "saturating": {"rates": ((0, 3),)},
        "half-even": {"weight_cast": Cast(Rounding.HALF_EVEN), "error_cast": Cast(Rounding.HALF_EVEN)},
        "stochastic-rounding": {"weight_cast": Cast(Rounding.STOCHASTIC), "sizes": (3, 5, 4, 2), "kinds": (Stochastic(4), DENSE, DENSE)},
        "fine-input": {"input": Fixed(False, 0, 9), "activation": Fixed(False, 0, 6), "kinds": _BOTH},
        "rates": {"rates": ((0, -3), (6, -6))},
        "parts": {"parts": ((1, 1), (1, 1)), "kinds": _BOTH},
        "parts-of-the-output": {"parts": ((1, 1), (1, 3)), "sizes": (3, 9, 2), "lanes": 4, "periods": (1, 8, 8), "kinds": _LAST},
        "parts-two-sided": {
            "parts": ((1, 2), (1, 1), (1, 2)),
            "sizes": (3, 4, 3, 2),
            "periods": (2, 10, 10),
            "two_sided": True,
            "kinds": (DENSE, Stochastic(4), Stochastic(2)),
        },
        "parts-deep": {
            "parts": ((2, 1), (1, 2), (2, 1)),
            "sizes": (2, 3, 2, 4, 2, 3),
            "periods": (1, 4, 8),
            "lanes": 3,
            "kinds": (Stochastic(2), DENSE, Stochastic(8), Stochastic(1), DENSE),
        },
        "parts-walsh": {
            "parts": ((2, 1), (1, 2)),
            "sizes": (3, 4, 3, 2),
            "periods": (1, 3, 6),
            "code": WalshCode(),
            "kinds": (Stochastic(2), Stochastic(4), DENSE),
        },
    }.items()
}
"""By name; presentations have four steps unless the periods say otherwise."""

QUICK_STOCHASTIC = ("deep", "sequential-both", "parts-two-sided")
"""Shapes that together reach every branch but that of many lanes; the ordinary suite runs these, the slow suite all others."""


def random_stochastic_design(rng: random.Random, **limits: Any) -> DesignSpec:
    """A random design of node perturbation in which at least one layer is stochastic, and others are sparse now and then.

    Parameters
    ----------
    rng : random.Random
        Source.
    limits
        Limits of :func:`~tests.support.designs.random_design`.
    """
    usable = (_SIGMOID, _SIGMOID, _HARD)
    while True:
        spec = random_design(rng, kinds=[Kind.NODE], **{"activations": usable, "sparse": 0.3} | limits)
        layers = spec.network.layers
        chosen = rng.randrange(len(layers))
        kinds: list[LayerKind] = [
            Stochastic(rng.choice((1, 1, 2, 4, 8, 16))) if number == chosen or rng.random() < 0.4 else layer.kind
            for number, layer in enumerate(layers)
        ]
        try:
            return replace(spec, network=replace(spec.network, kinds=tuple(kinds)))
        except DesignError:  # a format that is too narrow or too wide for the draws
            continue
