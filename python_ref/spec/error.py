"""What a bad design raises, which knows the key that is wrong and the remedy; and what a kind raises that a model does not know."""

from __future__ import annotations

import enum

__all__ = ["DesignError", "check_member", "unknown"]


class DesignError(ValueError):
    """A design that cannot be built as written.

    Parameters
    ----------
    key : str
        Dotted key of the design file, such as ``"formats.weight"``.
    value : object
        The value found there.
    reason : str
        What is wrong with it, as a clause that follows the value.
    remedy : str
        What the user can do instead, as a full sentence.
    """

    def __init__(self, key: str, value: object, reason: str, remedy: str) -> None:
        self.key = key
        self.value = value
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{key} = {value!r}: {reason}. {remedy}")

    def __reduce__(self) -> tuple:
        return type(self), (self.key, self.value, self.reason, self.remedy)


def unknown(what: str, value: object, place: str) -> TypeError:
    """The error to raise for a kind that a table or a model does not know, so that it is never taken for another.

    Parameters
    ----------
    what : str
        What the value is, such as ``"Code"``.
    value : object
        Unsupported value, which the message shows by its ``repr``.
    place : str
        The table or the function that has no entry for it, by its dotted name.
    """
    return TypeError(f"{what} {value!r} is unknown to {place}. Add it there, or choose one that is there.")


def check_member(what: str, value: object, kind: type[enum.Enum]) -> None:
    """Check that a value is a member of an enumeration.

    Raises
    ------
    TypeError
        If it is not.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{what} must be a member of {kind.__name__}, not {value!r}")
