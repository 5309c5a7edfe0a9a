"""Device models, each of which adds one imperfection of hardware to an ideal machine; a machine applies any number of them, in order.

Variation of the activations is not a device model, but part of the network (:class:`~python_ref.floating.layers.Variation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

__all__ = ["DEVICES", "CostNoise", "Device", "Drift", "Endurance", "Ideal", "Quantisation", "UpdateNoise", "measure", "rest", "write"]


def _random(seed: int, *place: int) -> np.random.Generator:
    """Return a generator of random numbers that depends only on the seed and the place of use."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *place])))


@dataclass(frozen=True)
class Ideal:
    """A device without imperfections, the base class of the others."""

    name: ClassVar[str] = "ideal"

    def initial(self, theta: np.ndarray) -> Any:
        """Return the memory of the device before the first write to θ (shape (P,))."""
        return None

    def measure(self, costs: np.ndarray, step: int, number: int) -> np.ndarray:
        """Return the measured values of costs (shape (B,)) in measurement ``number`` of a step."""
        return costs

    def write(self, memory: Any, old: np.ndarray, new: np.ndarray, update: int) -> tuple[np.ndarray, Any]:
        """Return θ (shape (P,)) after ``new`` is written over ``old``, and the memory of the device."""
        return new, memory

    def rest(self, theta: np.ndarray, step: int) -> np.ndarray:
        """Return θ at the end of a step."""
        return theta


Device = Ideal
"""Type of every device model, since all of them derive from the ideal device."""


@dataclass(frozen=True)
class CostNoise(Ideal):
    """Gaussian noise of standard deviation σ in every measured cost (McCaughan et al. 2023).

    It is harmless if σ is well below |C̃|, and prevents learning if it is as large.
    """

    sigma: float = 0.0
    seed: int = 1

    name: ClassVar[str] = "cost-noise"

    def measure(self, costs: np.ndarray, step: int, number: int) -> np.ndarray:
        """Return C + σ·N(0, 1)."""
        noise = _random(self.seed, 0, step, number).standard_normal(costs.shape)
        return costs + (self.sigma * noise).astype(costs.dtype)


@dataclass(frozen=True)
class UpdateNoise(Ideal):
    """Gaussian noise of standard deviation σ in every written parameter, in units of θ (McCaughan et al. 2023)."""

    sigma: float = 0.0
    seed: int = 1

    name: ClassVar[str] = "update-noise"

    def write(self, memory: Any, old: np.ndarray, new: np.ndarray, update: int) -> tuple[np.ndarray, Any]:
        """Return θ + σ·N(0, 1)."""
        noise = _random(self.seed, 1, update).standard_normal(new.shape)
        return new + (self.sigma * noise).astype(new.dtype), memory


@dataclass(frozen=True)
class Quantisation(Ideal):
    """Parameters that are multiples of ``step`` within ±``limit``.

    Parameters
    ----------
    step : float
        Distance between neighbouring levels, in units of θ.
    limit : float
        Largest magnitude that a parameter can have, in units of θ.
    stochastic : bool
        Whether to round by ⌊x + r⌋ with r uniform in [0, 1), which preserves the mean of many small updates; otherwise values are
        rounded to the nearest, ⌊x + ½⌋, which loses these.
    seed : int
        Seed of the random numbers r; used only if ``stochastic`` is set.
    """

    step: float = 2.0**-8
    limit: float = 8.0
    stochastic: bool = False
    seed: int = 1

    name: ClassVar[str] = "quantisation"

    def write(self, memory: Any, old: np.ndarray, new: np.ndarray, update: int) -> tuple[np.ndarray, Any]:
        """Return the levels of the new values."""
        levels = new.astype(np.float64) / self.step
        random = _random(self.seed, 2, update).random(new.shape) if self.stochastic else 0.5
        rounded = np.floor(levels + random)
        top = np.floor(self.limit / self.step)
        return (np.clip(rounded, -top, top) * self.step).astype(new.dtype), memory


@dataclass(frozen=True)
class Endurance(Ideal):
    """Cells that keep their value after ``writes`` writes that changed it. It must be the last of the devices that affect writes.

    Its memory is the number of changes of each cell (int64, shape (P,)).
    """

    writes: int = 1_000_000

    name: ClassVar[str] = "endurance"

    def initial(self, theta: np.ndarray) -> np.ndarray:
        """Return zero writes for each cell."""
        return np.zeros(theta.shape, np.int64)

    def write(self, memory: np.ndarray, old: np.ndarray, new: np.ndarray, update: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the new values of the cells that can still be written, and the old ones of the others."""
        kept = np.where(memory < self.writes, new, old)
        return kept, memory + (kept != old)

    def exhausted(self, memory: np.ndarray) -> int:
        """Return the number of cells that can no longer be written."""
        return int(np.count_nonzero(memory >= self.writes))


@dataclass(frozen=True)
class Drift(Ideal):
    """Parameters that fade and drift at random: in each step, θ ← θ·(1 − fading) + wander·N(0, 1)."""

    fading: float = 0.0
    wander: float = 0.0
    seed: int = 1

    name: ClassVar[str] = "drift"

    def rest(self, theta: np.ndarray, step: int) -> np.ndarray:
        """Return θ at the end of a step."""
        faded = theta * theta.dtype.type(1.0 - self.fading)
        if self.wander:
            faded += (self.wander * _random(self.seed, 3, step).standard_normal(theta.shape)).astype(theta.dtype)
        return faded


DEVICES: dict[str, type[Ideal]] = {device.name: device for device in (CostNoise, UpdateNoise, Quantisation, Endurance, Drift)}
"""Device models by name."""


def measure(devices: Sequence[Device], costs: np.ndarray, step: int, number: int) -> np.ndarray:
    """Return costs as measured through all devices."""
    for device in devices:
        costs = device.measure(costs, step, number)
    return costs


def write(
    devices: Sequence[Device], memories: Sequence[Any], old: np.ndarray, new: np.ndarray, update: int
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Return θ after a write through all devices, and their memories."""
    kept = []
    for device, memory in zip(devices, memories, strict=True):
        new, memory = device.write(memory, old, new, update)
        kept.append(memory)
    return new, tuple(kept)


def rest(devices: Sequence[Device], theta: np.ndarray, step: int) -> np.ndarray:
    """Return θ at the end of a step, after the effects of all devices."""
    for device in devices:
        theta = device.rest(theta, step)
    return theta
