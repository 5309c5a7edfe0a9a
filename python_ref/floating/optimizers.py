"""Optimisers, which compute updates from accumulated gradients; their methods ``initial`` and ``step`` are pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

__all__ = ["OPTIMIZERS", "Adam", "HeavyBall", "Layered", "Nesterov", "Optimizer", "Plain", "SignDescent"]

Memory = tuple[np.ndarray, ...]
"""State of an optimiser per parameter (arrays of shape (P,)), for which hardware would need memories."""


class Optimizer(Protocol):
    """An update rule.

    Attributes
    ----------
    name : str
        Name of the rule in a design file.
    rate : float
        Learning rate η of the updates.
    """

    name: ClassVar[str]

    @property
    def rate(self) -> float: ...

    def initial(self, theta: np.ndarray) -> Memory:
        """Return the state before the first update of θ (shape (P,))."""
        ...

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """Return the move to subtract from θ (shape (P,)) in update number ``update``, from 0, at a rate; and the new state."""
        ...


@dataclass(frozen=True)
class Plain:
    """θ ← θ − η·G."""

    rate: float = 0.01

    name: ClassVar[str] = "plain"

    def initial(self, theta: np.ndarray) -> Memory:
        """Return an empty state."""
        return ()

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """Return η·G."""
        return gradient * gradient.dtype.type(rate), ()


@dataclass(frozen=True)
class HeavyBall:
    """m ← β·m + G; θ ← θ − η·m (Polyak 1964). In the long run a constant G moves θ 1/(1 − β) times as far."""

    rate: float = 0.01
    beta: float = 0.9

    name: ClassVar[str] = "momentum"

    def initial(self, theta: np.ndarray) -> Memory:
        """Return m = 0."""
        return (np.zeros_like(theta),)

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """Return η·m, and m."""
        m = self._mixed(memory[0], gradient)
        return m * m.dtype.type(rate), (m,)

    def _mixed(self, m: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return β·m + G."""
        return m * gradient.dtype.type(self.beta) + gradient


@dataclass(frozen=True)
class Nesterov(HeavyBall):
    """m ← β·m + G; θ ← θ − η·(β·m + G): Nesterov's momentum in the form of Sutskever et al., ICML 2013.

    θ is the look-ahead point.
    """

    name: ClassVar[str] = "nesterov"

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """Return η·(β·m + G), and m."""
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
        Whether m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ), as in the paper on Adam; otherwise m̂ = m and v̂ = v, as in Oripov et al. 2025,
        which makes the first updates up to (1 − β₁)/√(1 − β₂) ≈ 3.2 times as long.
    """

    rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    corrected: bool = True

    name: ClassVar[str] = "adam"

    def initial(self, theta: np.ndarray) -> Memory:
        """Return m = v = 0."""
        return np.zeros_like(theta), np.zeros_like(theta)

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """Return η·m̂/(√v̂ + ε), and m and v."""
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
    """θ ← θ − η·sign(G), or, if β > 0, the sign of m ← β·m + (1 − β)·G (Bernstein et al., ICML 2018).

    A parameter with G = 0 does not move.
    """

    rate: float = 0.001
    beta: float = 0.0

    name: ClassVar[str] = "sign"

    def initial(self, theta: np.ndarray) -> Memory:
        """Return m = 0, or an empty state if β = 0."""
        return (np.zeros_like(theta),) if self.beta else ()

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """Return η·sign(G) or η·sign(m), and m if there is one."""
        kind = gradient.dtype.type
        if not self.beta:
            return np.sign(gradient) * kind(rate), ()
        m = memory[0] * kind(self.beta) + gradient * kind(1 - self.beta)
        return np.sign(m) * kind(rate), (m,)


@dataclass(frozen=True)
class Layered:
    """An update rule with a factor on its rate for each range of parameters, so that those with noisier gradients move more slowly.

    Parameters
    ----------
    rule : Optimizer
        Update rule that computes the moves before they are multiplied.
    factors : tuple of (int, float)
        Numbers of parameters in consecutive ranges, and the factor of each range.

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
        """Learning rate η of the rule."""
        return self.rule.rate

    def initial(self, theta: np.ndarray) -> Memory:
        """Return the initial state of the rule."""
        return self.rule.initial(theta)

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """Return the move of the rule times the factors, and the new state."""
        move, kept = self.rule.step(memory, gradient, update, rate)
        counts, factors = zip(*self.factors, strict=True)
        return move * np.repeat(np.array(factors, move.dtype), counts), kept


OPTIMIZERS: dict[str, type[Plain] | type[HeavyBall] | type[Nesterov] | type[Adam] | type[SignDescent]] = {
    rule.name: rule for rule in (Plain, HeavyBall, Nesterov, Adam, SignDescent)
}
"""Optimisers by name."""
