"""Number of multipliers that a product needs on a part, by the rules with which Yosys splits wide factors (mul2dsp)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["multipliers", "widest_factor"]


@dataclass(frozen=True)
class _Kind:
    """One kind of multiplier, and the products that Yosys maps to it.

    Attributes
    ----------
    size : float
        Number of multipliers that one of this kind counts as.
    widest, narrowest : pair of int
        Largest and smallest widths of the factors, in bits; each pair starts with the wider factor of a product.
    narrowest_product : int
        Sum of both widths below which the product is built from logic.
    piece : int
        Width of the pieces into which a wide factor is split, in bits.
    headroom : int
        Bits of each piece that carry no data: 1 where the multiplier has signed factors only.
    """

    size: float
    widest: tuple[int, int]
    narrowest: tuple[int, int] = (2, 2)
    narrowest_product: int = 0
    piece: int = 18
    headroom: int = 0


_KINDS: Mapping[str, tuple[_Kind, ...]] = {
    "ice40": (_Kind(1, (16, 16), narrowest_product=11, piece=16),),
    "ecp5": (_Kind(1, (18, 18)),),
    "gowin": (
        _Kind(4, (36, 36), (22, 22), piece=36),
        _Kind(1, (18, 18), (10, 4)),
        _Kind(1, (18, 18), (4, 10)),
        _Kind(0.5, (9, 9), (4, 4), piece=9),
    ),
    "xc7": (_Kind(1, (25, 18), narrowest_product=9, headroom=1),),
}
"""Kinds of multipliers by family, in the order in which Yosys tries them: the constants of its ``synth_…`` commands."""


def widest_factor(family: str) -> int:
    """Width of the widest signed factor that one multiplier of a family takes, in bits."""
    return max(kind.widest[0] for kind in _KINDS[family] if kind.size <= 1)


def multipliers(family: str, a: int, b: int) -> float:
    """Number of multipliers that the product of two signed factors needs; small remaining pieces are built from logic.

    Parameters
    ----------
    family : str
        One of "ice40", "ecp5", "gowin" or "xc7".
    a, b : int
        Widths of the two factors, in bits.

    Returns
    -------
    float
        Number of multipliers, a multiple of ½, since Gowin's 9-bit multiplier counts as half of one.
    """
    count, products = 0.0, [(a, b)]
    for kind in _KINDS[family]:
        left: list[tuple[int, int]] = []
        for wide, narrow in products:
            count += _placed(kind, max(wide, narrow), min(wide, narrow), left)
        products = left
    return count


def _placed(kind: _Kind, a: int, b: int, left: list[tuple[int, int]]) -> float:
    """Number of multipliers of one kind that a product needs; pieces that are too small for this kind are appended to ``left``."""
    if a < kind.narrowest[0] or b < kind.narrowest[1] or a + b < kind.narrowest_product:
        left.append((a, b))
        return 0
    usable = kind.piece - kind.headroom
    for first, width, limit in ((True, a, kind.widest[0]), (False, b, kind.widest[1])):
        if width > limit:
            pieces = -(-(width - limit) // usable)
            last = width - pieces * usable
            whole, rest = ((kind.piece, b), (last, b)) if first else ((a, kind.piece), (a, last))
            return sum(_placed(kind, *whole, left) for _ in range(pieces)) + _placed(kind, *rest, left)
    return kind.size
