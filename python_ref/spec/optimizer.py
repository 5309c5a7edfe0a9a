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
from python_ref.spec.number import MAX_BITS, Fixed, Overflow, Rounding, cast_raw
from python_ref.spec.shift_adam import REST_BITS, bias_changes, moved

__all__ = ["OPTIMIZERS", "WORD_BITS", "Memory", "Momentum", "Optimizer", "Sgd", "ShiftAdam", "StateVariable", "Step"]

WORD_BITS = 32
"""Width in bits of a word of the host's registers, and thus the maximum width of a word in a lane's memories."""


class Memory(enum.IntEnum):
    """Memories that a lane may have; the value is the number in bits 16 and up of the host's register ``select``.

    A state variable with a new name is added as the last member.
    """

    PARAMETER = 0
    GRADIENT = 1
    MOMENTUM = 2
    SQUARE = 3


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
    and the state. G includes the learning rate, unless :attr:`scales_update`.

    Attributes
    ----------
    name : str
        Name of the optimiser in a design file.
    equations : str
        Equations of an update for the reference page of the design file, in the symbols of docs/design/machine.md.
    passes_gradient : bool
        Whether the source is G itself. Without a gradient memory, the core then rounds g once for all lanes, before its sign is applied;
        in node perturbation it rounds err·x, without a g.
    scales_update : bool
        Whether the learning rate scales the source, rather than G, which has a scale of its own (``LearningSpec.gradient_scale``). Then
        the exponent that the host sets is that of the source, r + b.
    gradient_rounding : (Rounding, str or None)
        Rounding of the cast into g where the user leaves it open, and its reason if it is not the usual one.
    squares : int
        Number of squares of G that an update of a parameter takes in the core, each in a multiplier of the lane's own.
    operations : tuple of (int, int, int)
        Multiplications and additions in one parameter's update in real numbers, including the learning rate, and words of state.
    """

    name: ClassVar[str]
    equations: ClassVar[str]
    passes_gradient: ClassVar[bool] = False
    scales_update: ClassVar[bool] = False
    gradient_rounding: ClassVar[tuple[Rounding, str | None]] = (Rounding.FLOOR, None)
    squares: ClassVar[int] = 0
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

    def gradient(self, weight: Fixed) -> tuple[Fixed, str]:
        """Return the format of G for parameters in the format ``weight``, where the user leaves it open, and its reason, as a phrase."""
        return Fixed(True, weight.integer_bits, weight.fraction_bits + 8), "range of a weight, 8 fraction bits more"

    @property
    def exponent_changes(self) -> tuple[tuple[int, int], ...]:
        """Pairs (update, b): from that update on, counted from 0, the exponent of the source is greater by b than that of the rate."""
        return ((0, 0),)

    @abstractmethod
    def state(self, gradient: Fixed) -> tuple[StateVariable, ...]:
        """Return the state variables for a G in the format ``gradient``.

        Raises
        ------
        ValueError
            If an intermediate has too many bits; a DesignError if the optimiser itself can name the key that causes it.
        """

    @abstractmethod
    def source(self, gradient: Fixed, weight: Fixed) -> Fixed:
        """Return the format of the source of an update, for a G in the format ``gradient`` and parameters in the format ``weight``."""

    def check(self, gradient: Fixed, weight: Fixed, exponent: int) -> None:  # noqa: B027  # most optimisers have nothing to refuse
        """Refuse formats with which an intermediate has too many bits, if the exponent of the source is at most ``exponent``.

        Raises
        ------
        DesignError
            If there is one.
        """

    @abstractmethod
    def step(
        self, forms: tuple[Fixed, Fixed], state: Mapping[str, np.ndarray], gradient: np.ndarray, word: np.ndarray, exponent: int
    ) -> Step:
        """Compute one step in raw integers.

        Parameters
        ----------
        forms : (Fixed, Fixed)
            Formats of the accumulated gradient G, and of a parameter.
        state : mapping of str to array of int64, shape (P,)
            Raw values of the state variables before the update, by name.
        gradient : array of int64, shape (P,)
            Raw accumulated gradient G.
        word : array of int64, shape (P,)
            Random word of each parameter, for stochastic casts.
        exponent : int
            Exponent of the source, r + b, of an optimiser with :attr:`scales_update`; others ignore it.
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

    def source(self, gradient: Fixed, weight: Fixed) -> Fixed:
        """Return the format of G."""
        return gradient

    def step(
        self, forms: tuple[Fixed, Fixed], state: Mapping[str, np.ndarray], gradient: np.ndarray, word: np.ndarray, exponent: int
    ) -> Step:
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

    def source(self, gradient: Fixed, weight: Fixed) -> Fixed:
        """Return the format of m."""
        return self._format(gradient)

    def step(
        self, forms: tuple[Fixed, Fixed], state: Mapping[str, np.ndarray], gradient: np.ndarray, word: np.ndarray, exponent: int
    ) -> Step:
        """Return the new m, which is also the source."""
        (m,) = self.state(forms[0])
        raw, outside = cast_raw(self._decayed_sum(forms[0], state[m.name], gradient), m.exact, m.format, m.rounding, m.overflow, word)
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


@dataclass(frozen=True)
class ShiftAdam(Optimizer):
    """Adam with shifts in place of its division and its square root; :mod:`python_ref.spec.shift_adam` has the equations.

    The learning rate is the last shift, so that it does not scale G, m and v.

    Parameters
    ----------
    k1, k2 : int
        Decays: β = 1 − 2⁻ᵏ. 3 and 10 are nearest to the usual 0.9 and 0.999. With k₁ = 0, m is G and needs no memory.
    refined : bool
        Whether the approximation of 1/√v also uses the bit behind the leading one.
    corrected : bool
        Whether the bias of m and v is corrected.
    format, square_format : Fixed or None
        Formats of m (signed) and of v (unsigned). None derives them: that of G with k₁ more fraction bits for m, that of G² with k₂ more
        for v, each within 32 bits.
    rounding : Rounding
        Rounding of the casts into m and v, for which STOCHASTIC is allowed.

    Raises
    ------
    DesignError
        If a parameter is out of bounds.
    """

    k1: int = 3
    k2: int = 10
    refined: bool = True
    corrected: bool = True
    format: Fixed | None = None
    square_format: Fixed | None = None
    rounding: Rounding = Rounding.HALF_EVEN

    name = "shift-adam"
    equations = "m ← m − (m − G)·2^−k₁, v ← v − (v − G²)·2^−k₂, θ ← θ − η·m/√v, the quotient by shifts"
    scales_update = True
    gradient_rounding = Rounding.HALF_EVEN, "a small gradient moves a parameter as far as a large one, so a bias would move it on and on"
    squares = 1
    operations = (9, 6, 2)  # a division and a square root count as one multiplication each, as for Adam

    def __post_init__(self) -> None:
        check_member("Rounding", self.rounding, Rounding)
        for key, k, least in (("k1", self.k1, 0), ("k2", self.k2, 1)):
            if not isinstance(k, int) or isinstance(k, bool) or not least <= k <= 12:
                reason = f"it must be a whole number from {least} to 12"
                raise DesignError(f"optimizer.{key}", k, reason, "Take 3 for k1 and 10 for k2, say.")
        if self.format is not None and not self.format.signed:
            raise DesignError("optimizer.format", str(self.format), "m has negative values", "Take a signed format, such as 'SQ1.18'.")
        if self.square_format is not None and self.square_format.signed:
            reason, remedy = "v has no negative values", "Take an unsigned format, such as 'UQ1.31'."
            raise DesignError("optimizer.square_format", str(self.square_format), reason, remedy)

    @property
    def gain_log2(self) -> None:
        """None, since θ moves by about η whatever G is."""
        return None

    def gradient(self, weight: Fixed) -> tuple[Fixed, str]:
        """Return a factor of one multiplier, which squares it."""
        return Fixed(True, 1, 15), "16 bits, which one multiplier squares"

    @property
    def exponent_changes(self) -> tuple[tuple[int, int], ...]:
        """Pairs (update, b) of the bias correction."""
        return bias_changes(self.k1, self.k2) if self.corrected else ((0, 0),)

    def state(self, gradient: Fixed) -> tuple[StateVariable, ...]:
        """Return the state variables m, unless k₁ = 0, and v."""
        m, v = self.formats(gradient)
        modes = self.rounding, Overflow.SATURATE
        exact = m - m.scaled(-self.k1) + gradient.scaled(-self.k1)
        squared = v - v.scaled(-self.k2) + self.squared(gradient).scaled(-self.k2)
        default = "the gradient's, with k1 more fraction bits, within 32"
        kept = [StateVariable(Memory.MOMENTUM, "m", "optimizer.format", default, m, exact, *modes)] if self.k1 else []
        default = "that of a squared gradient, with k2 more fraction bits, within 32"
        return (*kept, StateVariable(Memory.SQUARE, "v", "optimizer.square_format", default, v, squared, *modes))

    def source(self, gradient: Fixed, weight: Fixed) -> Fixed:
        """Return twice the range of a parameter, with :data:`~python_ref.spec.shift_adam.REST_BITS` more fraction bits."""
        return Fixed(True, weight.integer_bits + 1, weight.fraction_bits + REST_BITS)

    def formats(self, gradient: Fixed) -> tuple[Fixed, Fixed]:
        """Return the formats of m, which is G itself if k₁ = 0, and of v."""
        integer = 2 * gradient.integer_bits - 1
        m = self.format or Fixed(True, gradient.integer_bits, min(gradient.fraction_bits + self.k1, WORD_BITS - gradient.integer_bits))
        v = self.square_format or Fixed(False, integer, min(2 * gradient.fraction_bits + self.k2, WORD_BITS - integer))
        return m if self.k1 else gradient, v

    @staticmethod
    def squared(gradient: Fixed) -> Fixed:
        """Return the exact format of G²."""
        return Fixed.covering(0, gradient.min**2, 2 * gradient.fraction_bits)

    def roots(self, gradient: Fixed) -> tuple[int, int]:
        """Return the smallest and the largest h."""
        v = self.formats(gradient)[1]
        return (1 - v.fraction_bits) // 2, v.integer_bits // 2

    def left(self, gradient: Fixed, weight: Fixed, exponent: int) -> int:
        """Return the number of places by which m·c, raw, is shifted to the left for h = 0, to become the source."""
        m, source = self.formats(gradient)[0], self.source(gradient, weight)
        return source.fraction_bits - m.fraction_bits - 3 * self.refined + exponent

    def check(self, gradient: Fixed, weight: Fixed, exponent: int) -> None:
        """Refuse formats with which the largest shift of m·c has too many bits."""
        width = self.formats(gradient)[0].width + 4 * self.refined
        width += max(0, self.left(gradient, weight, exponent) - self.roots(gradient)[0])
        if width > MAX_BITS:
            reason = f"m, shifted by the largest rate and the smallest root of v, takes {width} bits, more than {MAX_BITS}"
            raise DesignError("formats.gradient", str(gradient), reason, "Take a smaller rate, or narrower formats.")

    def step(
        self, forms: tuple[Fixed, Fixed], state: Mapping[str, np.ndarray], gradient: np.ndarray, word: np.ndarray, exponent: int
    ) -> Step:
        """Return the shifted m, and the new m and v."""
        g, (*_, v), kept, outside = forms[0], self.state(forms[0]), {}, {}
        news = {"momentum": (gradient, g, self.k1), "square": (gradient * gradient, self.squared(g), self.k2)}
        for each in self.state(g):
            new, form, k = news[each.name]
            aligned = state[each.name] << np.int64(each.exact.fraction_bits - each.format.fraction_bits)
            total = aligned - (aligned >> np.int64(k)) + (new << np.int64(each.exact.fraction_bits - form.fraction_bits - k))
            kept[each.name], outside[each.name] = cast_raw(total, each.exact, each.format, each.rounding, each.overflow, word)
        left, source = self.left(*forms, exponent), self.source(*forms)
        d = moved(kept.get("momentum", gradient), kept["square"], v.format.fraction_bits, left, refined=self.refined)
        return Step(np.clip(d, source.min, source.max), kept, outside)

    def float_rule(self) -> tuple[str, dict[str, float]]:
        """Return the rule of Adam; its ε is the root of the last place of v, by which no gradient is known here."""
        decays = {"beta1": 1.0 - 2.0**-self.k1, "beta2": 1.0 - 2.0**-self.k2}
        return "adam", {**decays, "epsilon": 1e-8, "corrected": self.corrected}


OPTIMIZERS: dict[str, type[Optimizer]] = {optimizer.name: optimizer for optimizer in (Sgd, Momentum, ShiftAdam)}
"""Optimisers that the hardware supports, by their names in a design file."""
