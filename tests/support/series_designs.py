"""Random designs of networks with state, with samples for them; apart from :mod:`tests.support.designs`, whose designs all have a core."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import DesignError
from python_ref.spec.layers import DENSE, LayerKind, Leaky, Lif
from python_ref.spec.network import Readout
from python_ref.spec.number import Fixed, Overflow
from python_ref.spec.perturbation import Kind
from tests.support.designs import EXACT, random_design, random_samples

__all__ = ["random_series", "random_series_samples"]


def _kind(rng: random.Random) -> LayerKind:
    return rng.choice((DENSE, Leaky(rng.choice((0, 0, 1, 2, 3))), Leaky(1), Lif(rng.choice((0, 1, 2, 5))), Lif(3)))


def random_series(
    rng: random.Random, *, max_frames: int = 6, max_size: int = 5, max_layers: int = 4, kind: Kind = Kind.NODE, **choices: object
) -> DesignSpec:
    """A random design whose network has state, that passes every check.

    Parameters
    ----------
    rng : random.Random
        Source; the same state gives the same design.
    max_frames : int
        Upper limit of T, inclusive.
    max_size, max_layers
        Limits of :func:`~tests.support.designs.random_design`.
    kind : Kind
        Kind of perturbation; that of weights has no hold.
    choices
        Further arguments of that function.
    """
    while True:
        base = random_design(rng, kinds=[kind], max_size=max_size, max_layers=max_layers, **choices)
        kinds = [_kind(rng) for _ in base.network.layers]
        if not any(kind.stateful for kind in kinds):
            kinds[rng.randrange(len(kinds))] = rng.choice((Leaky(1), Lif(2)))
        frames = rng.choice((1, rng.randint(1, max_frames), rng.randint(1, max_frames)))
        held, readout = rng.random() < 0.4, rng.choice(tuple(Readout))
        formats = base.formats
        if any(not kind.activated for kind in kinds):
            state = Fixed(True, rng.randint(2, 5), rng.choice((0, 2, 6, 10)))
            cast = replace(formats.state_cast, rounding=rng.choice(EXACT), overflow=rng.choice(tuple(Overflow)))
            formats = replace(formats, state=state, state_cast=cast)
        hold = rng.choice((None, None, rng.randint(1, frames))) if kind is Kind.NODE else None
        segments = None
        if hold is not None and rng.random() < 0.3:  # a core that was built for a shorter hold
            segments = rng.randint(-(-frames // hold), frames)
        try:
            return replace(
                base,
                network=replace(base.network, kinds=tuple(kinds), frames=frames, held=held, readout=readout),
                perturbation=replace(base.perturbation, hold=hold, segments=segments),
                formats=formats,
                hardware=replace(base.hardware, gradient_memory=rng.choice((None, True, False))),
            )
        except DesignError:  # most are an amplitude below the last place of a state
            continue


def random_series_samples(rng: random.Random, spec: DesignSpec, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Raw input words (int64, shape (count, record_inputs)) and targets (int64, shape (count, n_out)).

    Frames that a sample does not have are not 0, and a length may be out of range, both of which a machine takes no notice of.
    """
    network = spec.network
    rows, targets = [], []
    for _ in range(count):
        frames = 1 if network.record_inputs == network.n_in else network.frames
        found = [random_samples(rng, spec, 1) for _ in range(frames)]
        words = np.concatenate([inputs[0] for inputs, _ in found])
        rows.append(words if network.record_inputs == network.n_in else np.concatenate(([rng.randint(0, frames + 1)], words)))
        targets.append(found[0][1][0])
    return np.array(rows, dtype=np.int64), np.array(targets, dtype=np.int64)
