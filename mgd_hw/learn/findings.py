"""A finding of a diagnosis: a cause that prevents learning, and its remedy."""

from __future__ import annotations

from dataclasses import dataclass

from mgd_hw.common.results import Result

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding(Result):
    """One cause that prevents learning, and its remedy.

    Attributes
    ----------
    what : str
        Kind of the cause: "amplitude", "integration time", "learning rate", "format" or "network".
    key : str
        Dotted key of the design file that causes it.
    message : str
        The measurement and its meaning, as a clause.
    remedy : str
        Suggested change of the design file, as a sentence.
    """

    what: str
    key: str
    message: str
    remedy: str
