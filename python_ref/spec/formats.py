"""The number formats of a design, and the modes of the casts into them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from python_ref.spec.digest import UNLESS_DEFAULT
from python_ref.spec.error import DesignError, check_member
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed, Overflow, Rounding

__all__ = ["ROUNDED_AWAY_BELOW", "Cast", "Formats", "LearnerFormats"]

MAX_TABLE_BITS = 14
"""Maximum address width of an activation table, in bits."""

ROUNDED_AWAY_BELOW = {Rounding.FLOOR: 0.0, Rounding.HALF_UP: 0.5, Rounding.HALF_EVEN: 0.5, Rounding.STOCHASTIC: 0.0}
"""Magnitude, in units of the target's last place, below which every value rounds to 0; 0 if none always does."""


@dataclass(frozen=True)
class Cast:
    """Rounding and overflow modes of a narrowing cast."""

    rounding: Rounding = Rounding.HALF_EVEN
    overflow: Overflow = Overflow.SATURATE

    def __post_init__(self) -> None:
        check_member("Rounding", self.rounding, Rounding)
        check_member("Overflow", self.overflow, Overflow)


@dataclass(frozen=True)
class Formats:
    """Number formats, and the modes of the casts into them.

    Parameters
    ----------
    input : Fixed
        Format of the inputs of a sample.
    weight : Fixed
        Format of weights and biases; signed.
    activation : Fixed
        Format of every neuron's output and of the targets.
    table : Fixed
        Format to which a pre-activation is narrowed before it addresses the table of a sigmoid or tanh; signed, ≤ 14 bits.
    cost_change : Fixed or None
        Format of C̃; None keeps C₊ − C₀ exact.
    gradient : Fixed or None
        Format of g and G; None derives it from ``weight``.
    error : Fixed or None
        Format of the error of a neuron in node perturbation; signed, and a factor of one multiplication. None derives it from
        the learning rate and the periods.
    activation_cast, cost_change_cast, gradient_cast, weight_cast, error_cast : Cast
        Modes of the casts. ``gradient_cast`` applies to the broadcast, or in node perturbation to err·x; ``weight_cast`` applies to the
        update, and only it may be STOCHASTIC.
    state : Fixed
        Format of the state of a spiking neuron, signed, which holds the threshold 1.
    state_cast : Cast
        Modes of the cast of the current of a spiking neuron, which is its pre-activation, into ``state``.
    """

    input: Fixed = Fixed(False, 0, 8)
    weight: Fixed = Fixed(True, 4, 12)
    activation: Fixed = Fixed(True, 4, 10)
    table: Fixed = Fixed(True, 4, 6)
    cost_change: Fixed | None = None
    gradient: Fixed | None = None
    error: Fixed | None = None
    activation_cast: Cast = Cast(Rounding.HALF_EVEN)
    cost_change_cast: Cast = Cast(Rounding.HALF_EVEN)
    gradient_cast: Cast = Cast(Rounding.FLOOR)
    weight_cast: Cast = Cast(Rounding.STOCHASTIC)
    error_cast: Cast = Cast(Rounding.HALF_EVEN)
    state: Fixed = field(default=Fixed(True, 4, 10), metadata={UNLESS_DEFAULT: True})
    state_cast: Cast = field(default=Cast(Rounding.HALF_EVEN), metadata={UNLESS_DEFAULT: True})

    def check(self, network: Network) -> None:
        """Refuse formats that cannot hold what the activations of a network produce, and casts that must not be stochastic."""
        activation = self.activation
        used = {layer.activation for layer in network.layers if layer.kind.activated}
        for function in sorted(used, key=lambda f: f.value):
            key = "network.output" if function is network.output else "network.hidden"
            if function.signed and not activation.signed:
                raise DesignError(
                    "formats.activation",
                    str(activation),
                    f"{function.value} has negative values",
                    "Take a signed format, such as 'SQ4.10'.",
                )
            for constant in function.form.constants:
                if activation.to_raw(float(constant)) != constant * 2**activation.fraction_bits:
                    reason = f"formats.activation = {activation} cannot hold {float(constant):+g}"
                    raise DesignError(key, function.value, reason, "Give it one integer bit more.")
            if function.tabulated and not self.table.signed:
                raise DesignError(
                    "formats.table",
                    str(self.table),
                    "pre-activations have negative values",
                    "Take a signed format, such as 'SQ4.6'.",
                )
            if function.tabulated and self.table.width > MAX_TABLE_BITS:
                raise DesignError(
                    "formats.table",
                    str(self.table),
                    f"a table of more than 2^{MAX_TABLE_BITS} entries is not built",
                    "Take fewer bits, such as 'SQ4.6'.",
                )
        for name in ("activation", "cost_change", "error", "gradient", "state"):
            if getattr(self, f"{name}_cast").rounding is Rounding.STOCHASTIC:
                raise DesignError(
                    f"formats.rounding.{name}",
                    "stochastic",
                    "only updates are rounded stochastically (weight, and momentum's own)",
                    "Take 'half-even' or 'floor'.",
                )
        unused = replace(self, state=Formats.state, state_cast=Formats.state_cast) != self
        if unused and all(layer.kind.activated for layer in network.layers):
            reason = "only spiking neurons have a state of its own format"
            raise DesignError("formats.state", str(self.state), reason, 'Leave it and its modes out, or give a layer kind = "lif".')
        for number, layer in enumerate(network.layers, 1):
            layer.kind.check_activation_format(number, activation)
            state = layer.kind.state_format(activation, self.state)
            if state is not None:
                layer.kind.check_state(number, state)


@dataclass(frozen=True)
class LearnerFormats:
    """Number formats of a learner, and the modes of the casts into them.

    Parameters
    ----------
    weight : Fixed
        Format of the quantities, and of the words that are sent to the outside; signed.
    cost : Fixed
        Format of a cost word from the outside; signed, at most 32 bits.
    cost_change : Fixed or None
        Format of C̃; None keeps the difference of two costs exact.
    gradient : Fixed or None
        Format of g and G; None derives it from ``weight``.
    cost_change_cast, gradient_cast, weight_cast : Cast
        Modes of the casts; only ``weight_cast``, which applies to the update, may be STOCHASTIC.
    """

    weight: Fixed = Fixed(True, 4, 12)
    cost: Fixed = Fixed(True, 4, 12)
    cost_change: Fixed | None = None
    gradient: Fixed | None = None
    cost_change_cast: Cast = Cast(Rounding.HALF_EVEN)
    gradient_cast: Cast = Cast(Rounding.FLOOR)
    weight_cast: Cast = Cast(Rounding.STOCHASTIC)
