"""Designs and states in which an event that random designs seldom reach must occur: one for each counter of the machine.

One linear neuron y = w·x + b with a single input x = 1 learns from one sample. The Walsh code holds its phase 0, in which every
sign is +1, so that all numbers can be followed by hand: the comments follow them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec, Formats, Hardware
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import Momentum, Optimizer, Sgd, ShiftAdam
from python_ref.spec.perturbation import Kind, Perturbation, WalshCode
from python_ref.spec.schedule import Schedule

__all__ = ["RARE_EVENTS", "RareEvent"]

HELD = 1 << 10
"""A period longer than any run of these designs."""


@dataclass(frozen=True)
class RareEvent:
    """A run in which a counter must rise.

    Attributes
    ----------
    learning_rate_log2 : int
        The binary logarithm of the learning rate η.
    parameters : tuple of (float, float)
        Bias b and weight w at the start, as real numbers.
    target : float
        The target t of the sample, as a real number.
    formats : dict
        Formats, in their notation, that differ from those of :data:`FORMATS`.
    sample_period, update_period : int
        Steps from one sample, or one update, to the next.
    optimizer : Optimizer
        The optimiser.
    steps : int
        Number of steps after which the counter has risen.
    kind : Kind
        What is perturbed.
    """

    learning_rate_log2: int = -1
    parameters: tuple[float, float] = (0.0, 0.0)
    target: float = -1.0
    formats: dict[str, str] = field(default_factory=dict)
    sample_period: int = HELD
    update_period: int = 1
    optimizer: Optimizer = Sgd()
    steps: int = 1
    kind: Kind = Kind.NODE

    @property
    def spec(self) -> DesignSpec:
        """The design of the run."""
        formats = {name: Fixed.parse(text) for name, text in (FORMATS | self.formats).items()}
        return DesignSpec(
            "rare",
            Network((1, 1), Activation.IDENTITY, Activation.IDENTITY),
            Perturbation(self.kind, WalshCode(), amplitude_log2=-1),
            Schedule(((0, self.learning_rate_log2),), HELD, self.sample_period, self.update_period),
            self.optimizer,
            Formats(**formats),
            Hardware(1),
        )

    @property
    def start(self) -> np.ndarray:
        """Raw parameters (int64, shape (2,)) at the start, within their limits: bias, weight."""
        raw = [round(value * 2**self.spec.formats.weight.fraction_bits) for value in self.parameters]
        return np.clip(np.array(raw, dtype=np.int64), *self.spec.parameter_limits)

    @property
    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """Raw inputs (int64, shape (1,)) and targets (int64, shape (1,)) of the one sample."""
        formats = self.spec.formats
        return np.array([1 << formats.input.fraction_bits]), np.array([round(self.target * 2**formats.activation.fraction_bits)])


FORMATS = {"input": "UQ1.3", "weight": "SQ3.4", "activation": "SQ3.4", "cost_change": "SQ5.8", "gradient": "SQ5.8", "error": "SQ4.12"}
"""Formats that no value of these runs leaves."""

RARE_EVENTS = {
    "steps": RareEvent(),
    "updates": RareEvent(update_period=3, steps=3),
    "writes": RareEvent(update_period=3, steps=3),
    # y = 0 is below one half, and so is t = 0: the answer is right.
    "correct": RareEvent(target=0.0),
    # C rises from 1² to 1.5² by the perturbation Δ = 1/2, so C̃ = 1.25 and err = η/Δ·C̃ = 1.25 ≥ 2⁻⁴: both parameters change.
    "changed": RareEvent(),
    # z = 1.9375 + 1.9375 = 3.875 exceeds 1.9375, the largest activation.
    "saturated_activation": RareEvent(parameters=(1.9375, 1.9375), formats={"weight": "SQ2.4", "activation": "SQ2.4"}),
    # C̃ = 1.25 exceeds 0.9375.
    "saturated_cost_change": RareEvent(formats={"cost_change": "SQ1.4"}),
    # Weights move: z rises to 1/2 + 1/2, and C from 1² to 2². So g = η/Δ·C̃ = 3 exceeds 1.99….
    "saturated_broadcast": RareEvent(formats={"gradient": "SQ2.8"}, kind=Kind.WEIGHT),
    # Each step is a presentation, and G grows by err·x = 1.25 in each step of an update period: 2.5 exceeds 1.99… in the second.
    "saturated_gradient": RareEvent(formats={"gradient": "SQ2.8"}, sample_period=1, update_period=4, steps=2),
    # m = G = 1.25 after the first update exceeds 0.99….
    "saturated_momentum": RareEvent(optimizer=Momentum(2, Fixed(True, 1, 8))),
    # G is four times the gradient, err·x = 4·2·1.25 and so 7.99…: v = G²/2 exceeds 15.99….
    "saturated_square": RareEvent(optimizer=ShiftAdam(k2=1, square_format=Fixed(False, 4, 8))),
    # The error, 1.25, exceeds 0.99….
    "saturated_error": RareEvent(formats={"error": "SQ1.12"}),
    # With η = 1, the source of the update, err·x = 2.5, exceeds 1.9375, the largest weight.
    "saturated_update": RareEvent(0, formats={"weight": "SQ2.4"}),
    # b = −2 is the least weight, and moves down by err = 0.5: C rises from (−2 + 2)² to 0.5², so C̃ = 0.25.
    "saturated_weight": RareEvent(0, parameters=(-2.0, 0.0), target=-2.0, formats={"weight": "SQ2.4"}),
}
"""By counter, a run in which it must rise."""
