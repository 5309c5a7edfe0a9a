"""What turns an accumulated gradient into a change of the parameters."""

from __future__ import annotations

from dataclasses import dataclass

from python_ref.spec.error import DesignError, check_member
from python_ref.spec.number import Fixed, Overflow, Rounding

__all__ = ["OPTIMIZERS", "Momentum", "Optimizer", "Sgd"]


@dataclass(frozen=True)
class Sgd:
    """θ ← saturate(θ − cast_weight(G))."""

    name = "sgd"


@dataclass(frozen=True)
class Momentum:
    """m ← cast_m(m − m·2⁻ᵏ + G); θ ← saturate(θ − cast_weight(m)). No multiplier: the decay is a shift.

    In the long run a constant G moves θ 2ᵏ times as far as without momentum.

    Parameters
    ----------
    k : int
        Decay, 1 to 12.
    format : Fixed or None
        Of m; None derives it: the gradient's with k more integer bits, within 32.
    rounding, overflow : Rounding, Overflow
        Of cast_m. STOCHASTIC is allowed here.
    """

    k: int = 3
    format: Fixed | None = None
    rounding: Rounding = Rounding.HALF_EVEN
    overflow: Overflow = Overflow.SATURATE

    name = "momentum"

    def __post_init__(self) -> None:
        check_member("Rounding", self.rounding, Rounding)
        check_member("Overflow", self.overflow, Overflow)
        if not isinstance(self.k, int) or isinstance(self.k, bool) or not 1 <= self.k <= 12:
            raise DesignError("optimizer.k", self.k, "it must be a whole number from 1 to 12", "Take 3, say: a decay of 7/8.")
        if self.format is not None and not self.format.signed:
            raise DesignError(
                "optimizer.format", str(self.format), "momentum has negative values", "Take a signed format, such as 'SQ6.14'."
            )


Optimizer = Sgd | Momentum
"""The type of every optimiser that hardware has."""
OPTIMIZERS: dict[str, type[Sgd] | type[Momentum]] = {optimizer.name: optimizer for optimizer in (Sgd, Momentum)}
"""The optimisers by the name they have in a design file."""
