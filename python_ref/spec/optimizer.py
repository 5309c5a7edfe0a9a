"""The optimisers of the hardware, which turn an accumulated gradient into a change of the parameters.

Each optimiser is one class, from which the models, the registers, the host and the design file derive everything that depends on it.
Only the compiled loops and the RTL have a row for each optimiser, in ``_RULES`` of ``python_ref.fixed.kernels`` and ``_STAGES`` of
``rtl_gen.lane``.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, NamedTuple

import numpy as np

from python_ref.spec.error import DesignError, check_member
from python_ref.spec.number import Fixed, Overflow, Rounding, cast_raw

__all__ = ["OPTIMIZERS", "WORD_BITS", "Memory", "Momentum", "Optimizer", "Sgd", "StateVariable", "Step"]

WORD_BITS = 32
"""Width in bits of a word of the host's registers, and thus the maximum width of a word in a lane's memories."""


class Memory(enum.IntEnum):
    """Memories that a lane may have; the value is the number in bits 16 and up of the host's register ``select``.

    A state variable with a new name is added as the last member.
    """

    PARAMETER = 0
    GRADIENT = 1
    MOMENTUM = 2


@dataclass(frozen=True)
class StateVariable:
    """A value that an optimiser keeps for each parameter from one update to the next, in a memory of each lane.

    Attributes
    ----------
    memory : Memory
        Memory that stores the variable; the observable and the saturation counter have the same name.
    symbol : str
        Symbol of the variable in the documents, such as ``"m"``.
    key : str
        Dotted key of its format in a design file.
    default : str
        Reason for its format where the design file leaves the key out, as a phrase.
    format : Fixed
        Format of the stored values.
    exact : Fixed
        Exact format of a new value before its cast.
    rounding : Rounding
        Rounding of the cast to ``format``; it may be STOCHASTIC.
    overflow : Overflow
        Overflow mode of the cast to ``format``.
    """

    memory: Memory
    symbol: str
    key: str
    default: str
    format: Fixed
    exact: Fixed
    rounding: Rounding
    overflow: Overflow

    @property
    def name(self) -> str:
        """Name of the variable, which is that of its memory in lower case."""
        return self.memory.name.lower()


class Step(NamedTuple):
    """The result of one step of an optimiser.

    Attributes
    ----------
    source : array of int64, shape (P,)
        Raw source of the update u, in the format :meth:`Optimizer.source`.
    state : dict of str to array of int64, shape (P,)
        New raw values of the state variables, by name.
    outside : dict of str to array of bool, shape (P,)
        Whether the new value of each state variable was out of range, by name.
    """

    source: np.ndarray
    state: dict[str, np.ndarray]
    outside: dict[str, np.ndarray]


class Optimizer(ABC):
    """An optimiser: a frozen dataclass whose fields are its parameters, and its keys in the section ``[optimizer]`` of a design file.

    An update sets θ ← saturate(θ − u) with u = cast_weight(source), and clears G. :meth:`step` computes the source and the new state from G
    and the state. G includes the learning rate.

    Attributes
    ----------
    name : str
        Name of the optimiser in a design file.
    equations : str
        Equations of an update for the reference page of the design file, in the symbols of docs/design/machine.md.
    passes_gradient : bool
        Whether the source is G itself. Without a gradient memory, the core then rounds g once for all lanes, before its sign is applied;
        in node perturbation it rounds err·x, without a g.
    operations : tuple of (int, int, int)
        Multiplications and additions in one parameter's update in real numbers, including the learning rate, and words of state.
    """

    name: ClassVar[str]
    equations: ClassVar[str]
    passes_gradient: ClassVar[bool] = False
    operations: ClassVar[tuple[int, int, int]]

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """Return the names of the optimiser's parameters, which are its keys in a design file."""
        return tuple(field.name for field in fields(cls))  # type: ignore[arg-type]  # every optimiser is a dataclass

    @property
    @abstractmethod
    def gain_log2(self) -> int | None:
        """Binary logarithm of the factor by which a constant G moves θ farther per update than G itself, in the long run.

        None for an optimiser that moves θ by a fixed distance.
        """

    @abstractmethod
    def state(self, gradient: Fixed) -> tuple[StateVariable, ...]:
        """Return the state variables for a G in the format ``gradient``.

        Raises
        ------
        ValueError
            If an intermediate has too many bits; a DesignError if the optimiser itself can name the key that causes it.
        """

    @abstractmethod
    def source(self, gradient: Fixed) -> Fixed:
        """Return the exact format of the source of an update for a G in the format ``gradient``."""

    @abstractmethod
    def step(self, form: Fixed, state: Mapping[str, np.ndarray], gradient: np.ndarray, word: np.ndarray, update: int) -> Step:
        """Compute one step in raw integers.

        Parameters
        ----------
        form : Fixed
            Format of the accumulated gradient G.
        state : mapping of str to array of int64, shape (P,)
            Raw values of the state variables before the update, by name.
        gradient : array of int64, shape (P,)
            Raw accumulated gradient G.
        word : array of int64, shape (P,)
            Random word of each parameter, for stochastic casts.
        update : int
            Number of the update, counted from 0.
        """

    @abstractmethod
    def float_rule(self) -> tuple[str, dict[str, float]]:
        """Return the rule in real numbers: its name in ``python_ref.floating.optimizers.OPTIMIZERS`` and its parameters except the rate."""


@dataclass(frozen=True)
class Sgd(Optimizer):
    """θ ← saturate(θ − cast_weight(G))."""

    name = "sgd"
    equations = "θ ← θ − G"
    passes_gradient = True
    operations = (1, 1, 0)

    @property
    def gain_log2(self) -> int:
        """Zero, since θ moves by G itself."""
        return 0

    def state(self, gradient: Fixed) -> tuple[StateVariable, ...]:
        """Return no state variables."""
        return ()

    def source(self, gradient: Fixed) -> Fixed:
        """Return the format of G."""
        return gradient

    def step(self, form: Fixed, state: Mapping[str, np.ndarray], gradient: np.ndarray, word: np.ndarray, update: int) -> Step:
        """Return G itself as the source."""
        return Step(gradient, {}, {})

    def float_rule(self) -> tuple[str, dict[str, float]]:
        """Return the rule θ ← θ − η·G."""
        return "plain", {}


@dataclass(frozen=True)
class Momentum(Optimizer):
    """m ← cast_m(m − m·2⁻ᵏ + G); θ ← saturate(θ − cast_weight(m)).

    The decay is a shift, so the hardware needs no multiplier. In the long run, a constant G moves θ 2ᵏ times as far as without momentum.

    Parameters
    ----------
    k : int
        Decay by the factor 1 − 2⁻ᵏ per update, 1 to 12.
    format : Fixed or None
        Format of m; None derives it: the gradient's with k more integer bits, within 32.
    rounding, overflow : Rounding, Overflow
        Modes of cast_m, for which STOCHASTIC is allowed.
    """

    k: int = 3
    format: Fixed | None = None
    rounding: Rounding = Rounding.HALF_EVEN
    overflow: Overflow = Overflow.SATURATE

    name = "momentum"
    equations = "m ← m − m·2⁻ᵏ + G, θ ← θ − m"
    operations = (2, 3, 1)

    def __post_init__(self) -> None:
        check_member("Rounding", self.rounding, Rounding)
        check_member("Overflow", self.overflow, Overflow)
        if not isinstance(self.k, int) or isinstance(self.k, bool) or not 1 <= self.k <= 12:
            raise DesignError("optimizer.k", self.k, "it must be a whole number from 1 to 12", "Take 3, say: a decay of 7/8.")
        if self.format is not None and not self.format.signed:
            raise DesignError(
                "optimizer.format", str(self.format), "momentum has negative values", "Take a signed format, such as 'SQ6.14'."
            )

    @property
    def gain_log2(self) -> int:
        """The decay k, since m tends to 2ᵏ·G."""
        return self.k

    def state(self, gradient: Fixed) -> tuple[StateVariable, ...]:
        """Return the state variable m."""
        m = self._format(gradient)
        default = "the gradient's, with k more integer bits, within 32"
        exact = m - m.scaled(-self.k) + gradient
        return (StateVariable(Memory.MOMENTUM, "m", "optimizer.format", default, m, exact, self.rounding, self.overflow),)

    def source(self, gradient: Fixed) -> Fixed:
        """Return the format of m."""
        return self._format(gradient)

    def step(self, form: Fixed, state: Mapping[str, np.ndarray], gradient: np.ndarray, word: np.ndarray, update: int) -> Step:
        """Return the new m, which is also the source."""
        (m,) = self.state(form)
        raw, outside = cast_raw(self._decayed_sum(form, state[m.name], gradient), m.exact, m.format, m.rounding, m.overflow, word)
        return Step(raw, {m.name: raw}, {m.name: outside})

    def float_rule(self) -> tuple[str, dict[str, float]]:
        """Return the rule m ← β·m + G; θ ← θ − η·m."""
        return "momentum", {"beta": 1.0 - 2.0**-self.k}

    def _format(self, gradient: Fixed) -> Fixed:
        integer_bits = gradient.integer_bits + self.k
        return self.format or Fixed(True, integer_bits, min(gradient.fraction_bits, max(1, WORD_BITS - integer_bits)))

    def _decayed_sum(self, form: Fixed, m: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return m − m·2⁻ᵏ + G, raw in the exact format of m."""
        (variable,) = self.state(form)
        aligned = m << np.int64(variable.exact.fraction_bits - variable.format.fraction_bits)
        return aligned - (aligned >> np.int64(self.k)) + (gradient << np.int64(variable.exact.fraction_bits - form.fraction_bits))


OPTIMIZERS: dict[str, type[Optimizer]] = {optimizer.name: optimizer for optimizer in (Sgd, Momentum)}
"""Optimisers that the hardware supports, by their names in a design file."""
