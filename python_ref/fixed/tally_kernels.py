"""Compiled loops that count what an update changes, for :class:`~python_ref.fixed.tally.Tally`.

Import this module only where it is used, since it imports numba.
"""

from __future__ import annotations

from python_ref.compiled import compiled
from python_ref.fixed.tally import ERROR, GRADIENT, ROUNDED, UNPERTURBED

__all__ = ["tally_signed", "tally_update"]

_compiled = compiled(error_model="numpy")


@_compiled
def tally_update(tally, theta, gradient):
    """Count an update that follows from G, before it clears G, by what it changed and by the reason of what it did not."""
    for i in range(theta.size):
        if theta[i] != tally.before[i]:
            tally.changes[i] += 1
            tally.before[i] = theta[i]
        else:
            tally.unchanged[GRADIENT if gradient[i] == 0 else ROUNDED] += 1


@_compiled
def tally_signed(tally, theta, s, g):
    """Count an update that follows from s·g directly, by what it changed and by the reason of what it did not."""
    for i in range(theta.size):
        if theta[i] != tally.before[i]:
            tally.changes[i] += 1
            tally.before[i] = theta[i]
        else:
            tally.unchanged[ERROR if g == 0 else UNPERTURBED if s[i] == 0 else ROUNDED] += 1
