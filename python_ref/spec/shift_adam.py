"""Adam for hardware, with shifts in place of its division and its square root, taken from the position of the leading one of v.

With the accumulated gradient G and the memories m and v, all raw integers in formats of their own:

1. m ← cast_m(m − m·2^−k₁ + G·2^−k₁) and v ← cast_v(v − v·2^−k₂ + G²·2^−k₂), so β₁ = 1 − 2^−k₁ and β₂ = 1 − 2^−k₂.
2. E = ⌊log₂ v⌋, the place of the leading one; for v = 0, the last place of v, which takes the role of Adam's ε.
3. h = ⌊(E + 1)/2⌋, so that √v/2ʰ lies in [√½, √2).
4. c = 1. If ``refined``, c depends on √v/2ʰ, as far as h and the bit behind the leading one determine it: 1¼ below √0.75, 1⅛ from
   there to 1, ⅞ from 1 to √1.5, ¾ from there on. c·2^−h is then within 12.5 % of 1/√v instead of 41.4 %, at the cost of one addition.
5. u = cast_weight(m·c·2^(r − h + b)), r = log₂ η; θ ← saturate(θ − u).

The bias correction b is the same for all parameters and depends only on the number of the update: it is the integer nearest to
log₂(√(1 − β₂ᵗ)/(1 − β₁ᵗ)), t counted from 1; without bias correction, b = 0.

The algorithm is that of Kingma & Ba, ICLR 2015, algorithm 1, except for steps 2 to 4. The only multiplication left is the square of
G; all other operations are shifts and additions.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from python_ref.spec.error import DesignError, check_member
from python_ref.spec.number import MAX_BITS, Fixed, Overflow, Rounding

__all__ = ["ShiftAdam"]


@lru_cache(maxsize=4096)
def _bias_shift(k1: int, k2: int, update: int) -> int:
    """Return the integer nearest to log₂ x with x = √(1 − β₂ᵗ)/(1 − β₁ᵗ), that is, b with 2^(2b − 1) ≤ x² < 2^(2b + 1)."""
    t = update + 1
    if t >= 64 << max(k1, k2):  # both powers are below 2⁻⁶⁴, and x² is nearer to 1 than to a boundary
        return 0
    bits = 256 + t.bit_length()  # powers are multiples of 2^−bits, too small by at most t of these, which does not affect b
    powers = []
    for k in (k1, k2):
        power, base, rest = 1 << bits, (1 << bits) - (1 << (bits - k)), t
        while rest:
            power = power * base >> bits if rest & 1 else power
            base, rest = base * base >> bits, rest >> 1
        powers.append(power)
    square = Fraction(((1 << bits) - powers[1]) << bits, ((1 << bits) - powers[0]) ** 2)
    b = 0
    while square < Fraction(2) ** (2 * b - 1):
        b -= 1
    while square >= Fraction(2) ** (2 * b + 1):
        b += 1
    return b


@dataclass(frozen=True)
class ShiftAdam:
    """Adam with shifts in place of its division and its square root.

    Parameters
    ----------
    gradient, weight : Fixed
        Formats of G and of θ; signed.
    rate_log2 : int
        Binary logarithm r = log₂ η of the learning rate, −48 to 16.
    k1, k2 : int
        Decays: β = 1 − 2⁻ᵏ. 3 and 10 are nearest to the usual 0.9 and 0.999. With k₁ = 0, m is G and needs no memory.
    momentum, square : Fixed or None
        Formats of m (signed) and of v (unsigned). None derives them: that of G with k₁ more fraction bits for m, that of G² with k₂ more
        for v, each within 32 bits.
    refined : bool
        Whether the approximation of 1/√v also uses the bit behind the leading one.
    corrected : bool
        Whether the bias of m and v is corrected.
    rounding : Rounding
        Rounding of the cast into u; STOCHASTIC is allowed.

    Raises
    ------
    DesignError
        If a number is out of bounds, or an intermediate has more than 63 bits.
    """

    gradient: Fixed
    weight: Fixed
    rate_log2: int
    k1: int = 3
    k2: int = 10
    momentum: Fixed | None = None
    square: Fixed | None = None
    refined: bool = True
    corrected: bool = True
    rounding: Rounding = Rounding.STOCHASTIC
    overflow: Overflow = Overflow.SATURATE

    name = "shift-adam"

    def __post_init__(self) -> None:
        check_member("Rounding", self.rounding, Rounding)
        check_member("Overflow", self.overflow, Overflow)
        for name, k, least in (("k1", self.k1, 0), ("k2", self.k2, 1)):
            if not isinstance(k, int) or isinstance(k, bool) or not least <= k <= 12:
                reason = f"it must be a whole number from {least} to 12"
                raise DesignError(f"optimizer.{name}", k, reason, "Take 3 for k1 and 10 for k2, say.")
        if not -48 <= self.rate_log2 <= 16:
            raise DesignError(
                "schedule.learning_rate", self.rate_log2, "log2 of the learning rate must lie between -48 and 16", "Take -10."
            )
        for key, value, signed in (
            ("formats.gradient", self.gradient, True),
            ("formats.weight", self.weight, True),
            ("optimizer.format", self.m, True),
            ("optimizer.square_format", self.v, False),
        ):
            if value.signed is not signed:
                raise DesignError(key, str(value), f"it must be {'signed' if signed else 'unsigned'}", "Take the other kind of format.")
        try:
            _ = self.m_sum, self.v_sum, self.move
        except ValueError as error:
            reason = f"an intermediate of Adam exceeds {MAX_BITS} bits ({error})"
            raise DesignError("formats.gradient", str(self.gradient), reason, "Take narrower formats.") from error

    @property
    def m(self) -> Fixed:
        """Format of m."""
        g = self.gradient
        return self.momentum or Fixed(True, g.integer_bits, min(g.fraction_bits + self.k1, max(1, 32 - g.integer_bits)))

    @property
    def v(self) -> Fixed:
        """Format of v."""
        g = self.gradient
        integer = max(1, 2 * g.integer_bits - 1)
        return self.square or Fixed(False, integer, min(2 * g.fraction_bits + self.k2, max(1, 32 - integer)))

    @property
    def m_sum(self) -> Fixed:
        """Exact format of m − m·2^−k₁ + G·2^−k₁."""
        return self.m - self.m.scaled(-self.k1) + self.gradient.scaled(-self.k1)

    @property
    def v_sum(self) -> Fixed:
        """Exact format of v − v·2^−k₂ + G²·2^−k₂."""
        square = Fixed.covering(0, self.gradient.min**2, 2 * self.gradient.fraction_bits)
        return self.v - self.v.scaled(-self.k2) + square.scaled(-self.k2)

    @property
    def roots(self) -> tuple[int, int]:
        """Smallest and largest h."""
        last, first = -self.v.fraction_bits, self.v.integer_bits - 1
        return (last + 1) // 2, (first + 1) // 2

    @property
    def move(self) -> Fixed:
        """Exact format of m·c·2^(r − h) for every h.

        Its last place is that of the largest h, three bits lower if ``refined``.
        """
        least, greatest = self.roots
        below = 3 * self.refined
        fraction = self.m.fraction_bits - self.rate_log2 + greatest + below
        largest = (abs(self.m.min) << (greatest - least)) * (10 if self.refined else 1)
        return Fixed.covering(-largest, largest, fraction)

    def bias_shift(self, update: int) -> int:
        """Return b for an update, counted from 0; 0 without bias correction."""
        return _bias_shift(self.k1, self.k2, update) if self.corrected else 0

    @property
    def beta1(self) -> Fraction:
        """Decay factor β₁ of m, exact."""
        return 1 - Fraction(1, 1 << self.k1)

    @property
    def beta2(self) -> Fraction:
        """Decay factor β₂ of v, exact."""
        return 1 - Fraction(1, 1 << self.k2)
