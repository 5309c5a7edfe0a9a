"""What hardware does to an ideal machine, each effect a piece of its own; a machine has any number of them, applied in order.

Activation variation is not among them: it is part of the network (:class:`~python_ref.floating.layers.Variation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

__all__ = ["DEVICES", "CostNoise", "Device", "Drift", "Endurance", "Ideal", "Quantisation", "UpdateNoise", "measure", "rest", "write"]


def _random(seed: int, *place: int) -> np.random.Generator:
    """Random numbers of a step: a function of seed and place alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *place])))


@dataclass(frozen=True)
class Ideal:
    """Does nothing: what the others are derived from."""

    name: ClassVar[str] = "ideal"

    def initial(self, theta: np.ndarray) -> Any:
        """What the device remembers, before anything was written to θ (shape (P,))."""
        return None

    def measure(self, costs: np.ndarray, step: int, number: int) -> np.ndarray:
        """What costs (shape (B,)) look like in measurement ``number`` of a step."""
        return costs

    def write(self, memory: Any, old: np.ndarray, new: np.ndarray, update: int) -> tuple[np.ndarray, Any]:
        """What θ is (shape (P,)) after ``new`` was written over ``old``, and what the device remembers."""
        return new, memory

    def rest(self, theta: np.ndarray, step: int) -> np.ndarray:
        """What θ is after a step has passed."""
        return theta


Device = Ideal
"""The type of every device model: the ideal device is the base of the others."""


@dataclass(frozen=True)
class CostNoise(Ideal):
    """Every measured cost has Gaussian noise of standard deviation σ added (McCaughan et al. 2023): harmless well below |C̃|, fatal
    at it."""

    sigma: float = 0.0
    seed: int = 1

    name: ClassVar[str] = "cost-noise"

    def measure(self, costs: np.ndarray, step: int, number: int) -> np.ndarray:
        """C + σ·N(0, 1)"""
        noise = _random(self.seed, 0, step, number).standard_normal(costs.shape)
        return costs + (self.sigma * noise).astype(costs.dtype)


@dataclass(frozen=True)
class UpdateNoise(Ideal):
    """Every written parameter has Gaussian noise of standard deviation σ added, in units of θ (McCaughan et al. 2023)."""

    sigma: float = 0.0
    seed: int = 1

    name: ClassVar[str] = "update-noise"

    def write(self, memory: Any, old: np.ndarray, new: np.ndarray, update: int) -> tuple[np.ndarray, Any]:
        """θ + σ·N(0, 1)"""
        noise = _random(self.seed, 1, update).standard_normal(new.shape)
        return new + (self.sigma * noise).astype(new.dtype), memory


@dataclass(frozen=True)
class Quantisation(Ideal):
    """Parameters are multiples of ``step``, kept within ±``limit``.

    Parameters
    ----------
    step : float
        Distance between neighbouring levels, in units of θ.
    limit : float
        Largest magnitude that a parameter can have, in units of θ.
    stochastic : bool
        Whether ⌊x + r⌋, r uniform in [0, 1), so that the mean of many small updates is right; else to the nearest (⌊x + ½⌋), which
        loses them.
    seed : int
        Seed of the random numbers r; used only if ``stochastic`` is set.
    """

    step: float = 2.0**-8
    limit: float = 8.0
    stochastic: bool = False
    seed: int = 1

    name: ClassVar[str] = "quantisation"

    def write(self, memory: Any, old: np.ndarray, new: np.ndarray, update: int) -> tuple[np.ndarray, Any]:
        """The level."""
        levels = new.astype(np.float64) / self.step
        random = _random(self.seed, 2, update).random(new.shape) if self.stochastic else 0.5
        rounded = np.floor(levels + random)
        top = np.floor(self.limit / self.step)
        return (np.clip(rounded, -top, top) * self.step).astype(new.dtype), memory


@dataclass(frozen=True)
class Endurance(Ideal):
    """A cell bears so many writes that change it, and then keeps its value for ever. Comes last among devices that write.

    Its memory is the number of changes of each cell (int64, shape (P,)).
    """

    writes: int = 1_000_000

    name: ClassVar[str] = "endurance"

    def initial(self, theta: np.ndarray) -> np.ndarray:
        """No writes yet."""
        return np.zeros(theta.shape, np.int64)

    def write(self, memory: np.ndarray, old: np.ndarray, new: np.ndarray, update: int) -> tuple[np.ndarray, np.ndarray]:
        """The new value where a cell still takes it."""
        kept = np.where(memory < self.writes, new, old)
        return kept, memory + (kept != old)

    def exhausted(self, memory: np.ndarray) -> int:
        """Cells that cannot be written any more."""
        return int(np.count_nonzero(memory >= self.writes))


@dataclass(frozen=True)
class Drift(Ideal):
    """Parameters fade and wander: in each step θ ← θ·(1 − fading) + wander·N(0, 1)."""

    fading: float = 0.0
    wander: float = 0.0
    seed: int = 1

    name: ClassVar[str] = "drift"

    def rest(self, theta: np.ndarray, step: int) -> np.ndarray:
        """θ after a step."""
        faded = theta * theta.dtype.type(1.0 - self.fading)
        if self.wander:
            faded += (self.wander * _random(self.seed, 3, step).standard_normal(theta.shape)).astype(theta.dtype)
        return faded


DEVICES: dict[str, type[Ideal]] = {device.name: device for device in (CostNoise, UpdateNoise, Quantisation, Endurance, Drift)}
"""The devices by name."""


def measure(devices: Sequence[Device], costs: np.ndarray, step: int, number: int) -> np.ndarray:
    """Costs after all devices."""
    for device in devices:
        costs = device.measure(costs, step, number)
    return costs


def write(
    devices: Sequence[Device], memories: Sequence[Any], old: np.ndarray, new: np.ndarray, update: int
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """θ after all devices, and what they remember."""
    kept = []
    for device, memory in zip(devices, memories, strict=True):
        new, memory = device.write(memory, old, new, update)
        kept.append(memory)
    return new, tuple(kept)


def rest(devices: Sequence[Device], theta: np.ndarray, step: int) -> np.ndarray:
    """θ after a step has passed."""
    for device in devices:
        theta = device.rest(theta, step)
    return theta
