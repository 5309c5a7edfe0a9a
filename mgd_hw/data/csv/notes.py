"""Collect guesses and warnings for the user, and format phrases that several messages share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mgd_hw.data.raw import Guess

__all__ = ["Notes", "capitalized", "first_few"]


@dataclass
class Notes:
    """Collection of guesses and warnings.

    Attributes
    ----------
    guesses : list of Guess
        Decisions that the design file leaves open, in the order in which the reader makes them.
    warnings : list of str
        Whole sentences for the user, in the order in which the reader finds their causes.
    """

    guesses: list[Guess] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def guess(self, what: str, value: str, why: str) -> None:
        """Add a decision about ``what``; the key of that name (``data.decimal`` for the decimal mark) overrides it."""
        self.guesses.append(Guess(what, value, why, "data." + {"decimal mark": "decimal"}.get(what, what)))

    def warn(self, sentence: str) -> None:
        """Add a warning, a whole sentence."""
        self.warnings.append(sentence)


def capitalized(text: str) -> str:
    """Return a text with its first letter in upper case and the others unchanged."""
    return text[:1].upper() + text[1:]


def first_few(cells: Sequence[str]) -> str:
    """Return the first four cells, separated by commas, and an ellipsis if there are more."""
    return ", ".join(cells[:4]) + ", …" * (len(cells) > 4)
