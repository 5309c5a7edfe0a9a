"""The base of every refusal: what is wrong, where it stands and what to do instead; and what a kind raises that a model does not know."""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

__all__ = ["DOCTOR", "DesignError", "Refusal", "ToolError", "check_member", "naming", "shown", "unknown"]

_LONGEST = 120
"""The most characters of a value that a message shows."""


def shown(value: object) -> str:
    """A value as it stands in a design file, shortened so that a message stays one line."""
    text = _toml(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 128 else f"(a number of {value.bit_length()} bits)"
    if isinstance(value, str):
        return json.dumps(value[: 2 * _LONGEST], ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value[:_LONGEST]) + (", …" if len(value) > _LONGEST else "") + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{str(key)[:_LONGEST]} = {_toml(item)}" for key, item in list(value.items())[:_LONGEST]) + "}"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value)


class Refusal(Exception):
    """A request that is refused, for a reason that the user can remedy.

    Its message is one line: the file, the key and its value, the reason, and the remedy. It is raised where the reason and the remedy are
    known; whoever catches it adds the file or the key (:func:`naming`) and passes it on.

    Parameters
    ----------
    reason : str
        What is wrong, as a clause without a full stop.
    remedy : str
        What the user can do instead, as one full sentence or more.
    key : str or None
        The dotted key of the design file, such as ``"formats.weight"``, or the option of the command line, such as ``"--steps"``, that
        is refused; None if it is neither.
    value : object
        The value found there; None shows no value.
    file : str, path or None
        The file that holds what is refused; None if it is in no file, or if the file is not known yet.
    """

    def __init__(self, reason: str, remedy: str, *, key: str | None = None, value: object = None, file: object = None) -> None:
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = remedy
        self.key = key
        self.value = value
        self.file = None if file is None else str(file)

    def __str__(self) -> str:
        place = None if self.key is None else self.key if self.value is None else f"{self.key} = {shown(self.value)}"
        parts = [part for part in (self.file, place, self.reason) if part]
        return ": ".join(part.replace("\n", " ") for part in parts) + ". " + self.remedy

    def __reduce__(self) -> tuple:
        """The class, and the attributes to set: a refusal comes back whole from another process, whatever its constructor takes."""
        return _restored, (type(self), self.args), self.__dict__

    def about(self, *, file: object = None, key: str | None = None, value: object = None) -> Self:
        """Add the place that is refused, where the refusal does not name it yet.

        An option of the command line stands in no file, so that a refusal of an option gets none.

        Parameters
        ----------
        file : str, path or None
            The file to add to a refusal that names none.
        key : str or None
            The key to add to a refusal that names none.
        value : object
            The value of that key.

        Returns
        -------
        Refusal
            This refusal itself, with the place added.
        """
        of_option = self.key is not None and self.key.startswith("--")
        if self.key is None and key is not None:
            self.key, self.value = key, value
        if self.file is None and file is not None and not of_option:
            self.file = str(file)
        return self


def _restored(kind: type[Refusal], arguments: tuple) -> Refusal:
    """A refusal whose attributes are still to be set."""
    return kind.__new__(kind, *arguments)


@contextmanager
def naming(
    file: object = None, *, key: str | None = None, value: object = None, of: type[Refusal] | tuple[type[Refusal], ...] = Refusal
) -> Iterator[None]:
    """Add the file and the key to a refusal that leaves the block and does not name them (:meth:`Refusal.about`).

    Parameters
    ----------
    file : str, path or None
        The file that the block is about.
    key : str or None
        The key or the option that the block is about.
    value : object
        The value found at that key.
    of : class or tuple of classes
        The refusals to which they are added; all others pass unchanged.
    """
    try:
        yield
    except of as refusal:
        refusal.about(file=file, key=key, value=value)
        raise


class DesignError(Refusal, ValueError):
    """A design, or a board, that cannot be built as it is written.

    Parameters
    ----------
    key : str
        The dotted key of the design file, such as ``"formats.weight"``.
    value : object
        The value found there; None shows no value.
    reason : str
        What is wrong with it, as a clause that follows the value.
    remedy : str
        What the user can do instead, as a full sentence.
    """

    key: str

    def __init__(self, key: str, value: object, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy, key=key, value=value)


DOCTOR = "`mgd-hw doctor` looks for every tool."
"""The remedy of a tool that fails for no reason that can be told."""


class ToolError(Refusal):
    """A tool that is missing, or that fails for a reason other than the design.

    Parameters
    ----------
    reason : str
        What is wrong, as a clause; it follows the name of the tool, if that is given.
    remedy : str
        What the user can do about it, as a full sentence.
    tool : str
        The name of the tool, with which the message begins; "" if the reason names it.
    key, value, file
        The place that asks for the tool, as a :class:`Refusal` takes it.
    """

    def __init__(
        self, reason: str, remedy: str, *, tool: str = "", key: str | None = None, value: object = None, file: object = None
    ) -> None:
        super().__init__(f"{tool}: {reason}" if tool else reason, remedy, key=key, value=value, file=file)
        self.tool = tool


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
