"""The activations, each with its definition in real numbers and its form in hardware.

This module contains everything that depends on an activation. The models and the RTL implement its two *forms*, a table and straight
pieces, and derive the rest from the activation; a new activation is a row of :class:`Activation` and, if it has a table, a branch of
:func:`tabulated_value`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import ClassVar, NamedTuple

import numpy as np

from python_ref.spec.error import Refusal
from python_ref.spec.number import Fixed

__all__ = ["Activation", "Form", "Piece", "Piecewise", "Tabulated", "tabulated_value"]


# -- Forms ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tabulated:
    """Form of an activation whose value the hardware reads from a table.

    Parameters
    ----------
    number : int
        Number of the activation in :func:`tabulated_value`.
    function : callable
        Function from a decimal number to the activation's value, to as many digits as the decimal context has.
    """

    number: int
    function: Callable[[Decimal], Decimal]

    constants: ClassVar[tuple[Fraction, ...]] = ()
    """Values that the format of activations must hold exactly; a table has none, since its entries are rounded."""

    def exact_format(self, source: Fixed) -> Fixed:
        """Return the format of the value that is narrowed, which is the pre-activation's own format ``source``."""
        return source


@dataclass(frozen=True)
class Piece:
    """A straight line y = z·2^(−shift) + offset.

    Parameters
    ----------
    shift : int or None
        Negative binary logarithm of the slope, 0 or more; None gives a slope of 0.
    offset : Fraction
        Value of the line at z = 0, a multiple of a power of two.
    """

    shift: int | None
    offset: Fraction = Fraction(0)


@dataclass(frozen=True)
class Piecewise:
    """Form of an activation that consists of straight pieces, which the hardware computes by shifts and additions.

    Parameters
    ----------
    breaks : tuple of Fraction
        Pre-activations at which the next piece begins, rising; each belongs to the piece on its right. Multiples of a power of two.
    pieces : tuple of Piece
        Pieces from left to right, one more than there are breaks.
    """

    breaks: tuple[Fraction, ...]
    pieces: tuple[Piece, ...]

    def __post_init__(self) -> None:
        if len(self.pieces) != len(self.breaks) + 1:
            raise ValueError(f"Number of pieces must be one more than the {len(self.breaks)} breaks, not {len(self.pieces)!r}")
        if list(self.breaks) != sorted(set(self.breaks)):
            raise ValueError(f"Breaks must rise, not {self.breaks!r}")

    @property
    def flat(self) -> bool:
        """Whether no piece has a slope."""
        return all(piece.shift is None for piece in self.pieces)

    @property
    def extra_bits(self) -> int:
        """Maximum number of fraction bits of the value beyond those of the pre-activation, which is the largest shift."""
        return max((piece.shift or 0 for piece in self.pieces), default=0)

    @property
    def constants(self) -> tuple[Fraction, ...]:
        """Values that the format of activations must hold exactly, which are those of the pieces without a slope."""
        return tuple(piece.offset for piece in self.pieces if piece.shift is None)

    def exact_format(self, source: Fixed) -> Fixed:
        """Return the format that holds the exact value for every pre-activation of the format ``source``."""
        offset_bits = max(piece.offset.denominator.bit_length() - 1 for piece in self.pieces)
        fraction = max(source.fraction_bits + self.extra_bits, offset_bits)
        unit, step = Fraction(2) ** fraction, Fraction(1, 2) ** source.fraction_bits
        least, greatest = source.min * step, source.max * step
        reached = []
        for piece, begin, end in zip(self.pieces, (least, *self.breaks), (*self.breaks, greatest), strict=True):
            slope = Fraction(0) if piece.shift is None else Fraction(1, 2**piece.shift)
            ends = (max(least, min(end, greatest)), max(least, min(begin, greatest)))
            reached += [slope * z + piece.offset for z in ends]
        return Fixed.covering(math.floor(min(reached) * unit), math.ceil(max(reached) * unit), fraction)


Form = Tabulated | Piecewise
"""Type of the forms in which hardware computes an activation."""


# -- Activations ------------------------------------------------------------------------------------------------------


def _sigmoid(z: Decimal) -> Decimal:
    return 1 / (1 + (-z).exp())


def _tanh(z: Decimal) -> Decimal:
    twice = (2 * z).exp()
    return (twice - 1) / (twice + 1)


def tabulated_value(number: int, z: float) -> float:
    """Return the value of a tabulated activation at one real number, by plain arithmetic that numba can compile.

    Parameters
    ----------
    number : int
        Number of the activation (:attr:`Tabulated.number`).
    z : float
        Pre-activation at which the function is evaluated.
    """
    if number == 0:
        return 0.5 + 0.5 * math.tanh(0.5 * z)
    if number == 1:
        return math.tanh(z)
    raise ValueError("There is no tabulated activation of this number")


class _Facts(NamedTuple):
    """Definition of a member of :class:`Activation`; no field has a default, so that each row states all of them."""

    name: str
    form: Form
    value: Callable[[np.ndarray, np.ndarray | None], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray] | None
    signed: bool
    bounded: bool
    rectifies: bool


_ZERO, _LINE = Piece(None), Piece(0)


class Activation(enum.Enum):
    """Activation function of a neuron; the value of a member is its name in a design file.

    Attributes
    ----------
    form : Tabulated or Piecewise
        Form in which the hardware computes it.
    signed : bool
        Whether it has negative values.
    bounded : bool
        Whether all its values lie between −1 and 1.
    rectifies : bool
        Whether it damps negative pre-activations, so that parameters start in the range of He et al. (ICCV 2015).
    """

    RELU = _Facts(
        "relu",
        form=Piecewise((Fraction(0),), (_ZERO, _LINE)),
        value=lambda z, out: np.maximum(z, 0, out=out),
        slope=lambda y: (y > 0).astype(y.dtype),  # the slope at 0 is defined as 0
        signed=False,
        bounded=False,
        rectifies=True,
    )
    LEAKY_RELU = _Facts(
        "leaky-relu",
        form=Piecewise((Fraction(0),), (Piece(3), _LINE)),
        value=lambda z, out: np.maximum(z, z * z.dtype.type(0.125), out=out),
        slope=lambda y: np.where(y > 0, y.dtype.type(1), y.dtype.type(0.125)),
        signed=True,
        bounded=False,
        rectifies=True,
    )
    SIGMOID = _Facts(
        "sigmoid",
        form=Tabulated(0, _sigmoid),
        value=lambda z, out: 0.5 + 0.5 * np.tanh(0.5 * z),
        slope=lambda y: y * (1 - y),
        signed=False,
        bounded=True,
        rectifies=False,
    )
    HARD_SIGMOID = _Facts(
        "hard-sigmoid",
        form=Piecewise((Fraction(-2), Fraction(2)), (_ZERO, Piece(2, Fraction(1, 2)), Piece(None, Fraction(1)))),
        value=lambda z, out: np.clip(z * z.dtype.type(0.25) + z.dtype.type(0.5), 0, 1, out=out),
        slope=lambda y: np.where((y > 0) & (y < 1), y.dtype.type(0.25), y.dtype.type(0)),
        signed=False,
        bounded=True,
        rectifies=False,
    )
    TANH = _Facts(
        "tanh",
        form=Tabulated(1, _tanh),
        value=lambda z, out: np.tanh(z, out=out),
        slope=lambda y: 1 - y * y,
        signed=True,
        bounded=True,
        rectifies=False,
    )
    IDENTITY = _Facts(
        "identity",
        form=Piecewise((), (_LINE,)),
        value=lambda z, out: z,
        slope=np.ones_like,
        signed=True,
        bounded=False,
        rectifies=False,
    )
    SIGN = _Facts(
        "sign",
        form=Piecewise((Fraction(0),), (Piece(None, Fraction(-1)), Piece(None, Fraction(1)))),
        value=lambda z, out: np.where(z >= 0, z.dtype.type(1), z.dtype.type(-1)),
        slope=None,  # the derivative is 0 wherever it exists
        signed=True,
        bounded=True,
        rectifies=False,
    )

    _value_: str
    form: Form
    in_reals: Callable[[np.ndarray, np.ndarray | None], np.ndarray]
    slope_of: Callable[[np.ndarray], np.ndarray] | None
    signed: bool
    bounded: bool
    rectifies: bool

    def __new__(
        cls,
        name: str,
        form: Form,
        value: Callable[[np.ndarray, np.ndarray | None], np.ndarray],
        slope: Callable[[np.ndarray], np.ndarray] | None,
        signed: bool,
        bounded: bool,
        rectifies: bool,
    ) -> Activation:
        member = object.__new__(cls)
        member._value_, member.form, member.in_reals, member.slope_of = name, form, value, slope
        member.signed, member.bounded, member.rectifies = signed, bounded, rectifies
        return member

    @property
    def tabulated(self) -> bool:
        """Whether the hardware reads the value from a table."""
        return isinstance(self.form, Tabulated)

    @property
    def differentiable(self) -> bool:
        """Whether back-propagation is defined, which requires a slope that is not 0 everywhere."""
        return self.slope_of is not None

    @property
    def bipolar(self) -> bool:
        """Whether the values are bounded and lie on both sides of 0, so that the targets do as well."""
        return self.signed and self.bounded

    def activate(self, z: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return the activations of pre-activations in real numbers.

        Parameters
        ----------
        z : array of float32 or float64, any shape
            Pre-activations to which the function is applied, element by element.
        out : array like z, or None
            Memory that the function may write to; it may be z itself.

        Returns
        -------
        array of the shape and type of z
            Activations, in memory that may be that of ``z`` or ``out``.
        """
        return self.in_reals(z, out)

    def slope(self, y: np.ndarray) -> np.ndarray:
        """Return dy/dz at the activations y (any shape, float32 or float64), in the type of y.

        Raises
        ------
        Refusal
            If the activation has no slope.
        """
        if self.slope_of is None:
            raise Refusal(f"Back-propagation is not defined for the activation '{self.value}', which has no slope", "Take tanh, say.")
        return self.slope_of(y)
