"""How many multipliers of a part a product takes: how Yosys cuts factors into pieces that one multiplies (mul2dsp)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["multipliers", "widest_factor"]


@dataclass(frozen=True)
class _Kind:
    """A multiplier, and what Yosys gives it.

    Attributes
    ----------
    size : float
        Multipliers that it is counted as.
    widest, narrowest : pair of int
        Bits of the factors; the first is that of the wider factor of a product.
    narrowest_product : int
        Bits of a product, below which logic makes it.
    piece : int
        Bits of a piece of the first factor.
    headroom : int
        Bits of a piece that are lost, 1 where a multiplier knows signed factors only.
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
"""Kinds of multipliers in the order in which they are tried, by family: the constants of Yosys's ``synth_…`` commands."""


def widest_factor(family: str) -> int:
    """Bits of the widest signed factor of one multiplier."""
    return max(kind.widest[0] for kind in _KINDS[family] if kind.size <= 1)


def multipliers(family: str, a: int, b: int) -> float:
    """Multipliers that the product of two signed factors takes; what is left of them may go into logic.

    Parameters
    ----------
    family : str
        "ice40", "ecp5", "gowin" or "xc7".
    a, b : int
        Widths of the factors.

    Returns
    -------
    float
        A multiple of ½: Gowin's for factors of 9 bits is half a multiplier.
    """
    count, products = 0.0, [(a, b)]
    for kind in _KINDS[family]:
        left: list[tuple[int, int]] = []
        for wide, narrow in products:
            count += _placed(kind, max(wide, narrow), min(wide, narrow), left)
        products = left
    return count


def _placed(kind: _Kind, a: int, b: int, left: list[tuple[int, int]]) -> float:
    """Multipliers of one kind that a product takes; the pieces that are too small for it are added to ``left``."""
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
