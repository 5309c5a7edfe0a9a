"""Which inputs a neuron has weights for, in plain Python, written from the page of the design document alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from python_ref.spec.design import DesignSpec

__all__ = ["neuron_inputs"]


def neuron_inputs(spec: DesignSpec) -> dict[tuple[int, int], list[int]]:
    """The inputs of each neuron (layer, neuron), in the order of its weights."""
    found = {}
    sizes, kinds = spec.network.sizes, spec.network.kinds
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        kind = kinds[layer] if kinds else None
        if kind is None or kind.name in ("dense", "stochastic"):
            found |= {(layer, o): list(range(n_in)) for o in range(n_out)}
        elif kind.name == "sparse":
            block = 8 if kind.block is None else kind.block
            lists = [list(each) for each in kind.inputs] or _drawn(n_in, kind.fan_in, kind.seed, -(-n_out // min(block, n_out)))
            found |= {(layer, o): lists[o // block] for o in range(n_out)}
        else:
            raise ValueError(f"Kind of a layer must be one that the oracle knows, not {kind.name}")
    return found


def _drawn(n_in: int, fan_in: int, seed: int, blocks: int) -> list[list[int]]:
    """Lists of blocks: each takes the inputs used least so far, and of equals those with the smallest random keys."""
    keys = iter(np.random.PCG64(seed).random_raw(n_in * blocks).tolist())
    uses, lists = [0] * n_in, []
    for _ in range(blocks):
        ranked = sorted((uses[i], next(keys), i) for i in range(n_in))
        lists.append(sorted(i for _, _, i in ranked[:fan_in]))
        for i in lists[-1]:
            uses[i] += 1
    return lists
