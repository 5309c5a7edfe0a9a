"""From an accumulated gradient to new parameters. Each has ``initial`` and ``step``, pure functions of what they are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

__all__ = ["OPTIMIZERS", "Adam", "HeavyBall", "Layered", "Nesterov", "Optimizer", "Plain", "SignDescent"]

Memory = tuple[np.ndarray, ...]
"""What an optimiser keeps per parameter (arrays of shape (P,)): the memories that hardware would need."""


class Optimizer(Protocol):
    """A rule of update.

    Attributes
    ----------
    name : str
        In a design file.
    rate : float
        Learning rate η of the updates.
    """

    name: ClassVar[str]

    @property
    def rate(self) -> float: ...

    def initial(self, theta: np.ndarray) -> Memory:
        """What it keeps, before the first update of θ (shape (P,))."""
        ...

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """What to subtract from θ (shape (P,)) in update number ``update``, from 0, at a rate; and what it keeps."""
        ...


@dataclass(frozen=True)
class Plain:
    """θ ← θ − η·G."""

    rate: float = 0.01

    name: ClassVar[str] = "plain"

    def initial(self, theta: np.ndarray) -> Memory:
        """Nothing."""
        return ()

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """η·G"""
        return gradient * gradient.dtype.type(rate), ()


@dataclass(frozen=True)
class HeavyBall:
    """m ← β·m + G; θ ← θ − η·m (Polyak 1964). In the long run a constant G moves θ 1/(1 − β) times as far."""

    rate: float = 0.01
    beta: float = 0.9

    name: ClassVar[str] = "momentum"

    def initial(self, theta: np.ndarray) -> Memory:
        """m = 0"""
        return (np.zeros_like(theta),)

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """η·m"""
        m = self._mixed(memory[0], gradient)
        return m * m.dtype.type(rate), (m,)

    def _mixed(self, m: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """β·m + G"""
        return m * gradient.dtype.type(self.beta) + gradient


@dataclass(frozen=True)
class Nesterov(HeavyBall):
    """m ← β·m + G; θ ← θ − η·(β·m + G): Nesterov's momentum as Sutskever et al., ICML 2013, write it, θ being the point looked ahead to."""

    name: ClassVar[str] = "nesterov"

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """η·(β·m + G)"""
        m = self._mixed(memory[0], gradient)
        return self._mixed(m, gradient) * m.dtype.type(rate), (m,)


@dataclass(frozen=True)
class Adam:
    """m ← β₁·m + (1 − β₁)·G; v ← β₂·v + (1 − β₂)·G²; θ ← θ − η·m̂/(√v̂ + ε) (Kingma & Ba, ICLR 2015, algorithm 1).

    Parameters
    ----------
    rate : float
        Learning rate η, the factor on each move.
    beta1, beta2, epsilon : float
        Decay rates β₁ of m and β₂ of v, and the constant ε that keeps the divisor from zero.
    corrected : bool
        Whether m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ), as in the paper on Adam; else m̂ = m and v̂ = v, as in Oripov et al. 2025,
        whose first updates are then up to (1 − β₁)/√(1 − β₂) ≈ 3.2 times as long.
    """

    rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    corrected: bool = True

    name: ClassVar[str] = "adam"

    def initial(self, theta: np.ndarray) -> Memory:
        """m = v = 0"""
        return np.zeros_like(theta), np.zeros_like(theta)

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """η·m̂/(√v̂ + ε)"""
        kind = gradient.dtype.type
        m = memory[0] + (gradient - memory[0]) * kind(1 - self.beta1)
        v = memory[1] + (gradient * gradient - memory[1]) * kind(1 - self.beta2)
        first, second = (1 - self.beta1 ** (update + 1), 1 - self.beta2 ** (update + 1)) if self.corrected else (1.0, 1.0)
        move = np.sqrt(v / kind(second))
        move += kind(self.epsilon)
        np.divide(m, move, out=move)
        move *= kind(rate / first)
        return move, (m, v)


@dataclass(frozen=True)
class SignDescent:
    """θ ← θ − η·sign(G); with β > 0, of m ← β·m + (1 − β)·G (Bernstein et al., ICML 2018). A parameter with G = 0 stays."""

    rate: float = 0.001
    beta: float = 0.0

    name: ClassVar[str] = "sign"

    def initial(self, theta: np.ndarray) -> Memory:
        """m = 0, if there is any."""
        return (np.zeros_like(theta),) if self.beta else ()

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """η·sign(G or m)"""
        kind = gradient.dtype.type
        if not self.beta:
            return np.sign(gradient) * kind(rate), ()
        m = memory[0] * kind(self.beta) + gradient * kind(1 - self.beta)
        return np.sign(m) * kind(rate), (m,)


@dataclass(frozen=True)
class Layered:
    """A rule whose rate is multiplied, from one range of parameters to the next: those with the noisier gradient move more slowly.

    Parameters
    ----------
    rule : Optimizer
        Update rule that computes the moves before they are multiplied.
    factors : tuple of (int, float)
        Numbers of parameters, and the factor of each.

    Raises
    ------
    ValueError
        If a number of parameters is not positive.
    """

    rule: Optimizer
    factors: tuple[tuple[int, float], ...]

    name: ClassVar[str] = "layered"

    def __post_init__(self) -> None:
        if not self.factors or min(count for count, _ in self.factors) < 1:
            raise ValueError(f"Numbers of parameters must be positive, not {self.factors!r}")

    @property
    def rate(self) -> float:
        """The rule's."""
        return self.rule.rate

    def initial(self, theta: np.ndarray) -> Memory:
        """What the rule keeps."""
        return self.rule.initial(theta)

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """The rule's, times the factors."""
        move, kept = self.rule.step(memory, gradient, update, rate)
        counts, factors = zip(*self.factors, strict=True)
        return move * np.repeat(np.array(factors, move.dtype), counts), kept


OPTIMIZERS: dict[str, type[Plain] | type[HeavyBall] | type[Nesterov] | type[Adam] | type[SignDescent]] = {
    rule.name: rule for rule in (Plain, HeavyBall, Nesterov, Adam, SignDescent)
}
"""The optimisers by name."""
