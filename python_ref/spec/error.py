"""Base class of all refusals, each of which states the reason, the place and the remedy, and checks that raise one for unknown kinds."""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

__all__ = ["DOCTOR", "DesignError", "Refusal", "ToolError", "check_member", "naming", "said", "shown", "unknown"]

_LONGEST = 120
"""Maximum number of characters of a value that a message shows."""


def shown(value: object) -> str:
    """Return a value in the notation of a design file, shortened so that a message stays on one line."""
    text = _toml(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def said(error: BaseException) -> str:
    """Return the first line of the message of an error that is not ours, shortened, or the name of its kind if it has none."""
    lines = str(error).splitlines()
    text = lines[0] if lines else type(error).__name__
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
    """A request that is refused for a reason that the user can remedy.

    The message is one line: file, key and value, reason, remedy. Code raises a refusal where it has the reason and the remedy; a caller
    that knows the file or the key adds it (:func:`naming`) and lets the refusal propagate.

    Parameters
    ----------
    reason : str
        What is wrong, as a clause without a full stop.
    remedy : str
        What the user can do instead, as one full sentence or more.
    key : str or None
        Dotted key of the design file, such as ``"formats.weight"``, or option of the command line, such as ``"--steps"``, that is refused;
        None if it is neither.
    value : object
        Refused value of the key; None shows no value.
    file : str, path or None
        File that contains the refused item; None if there is no file, or if it is not known yet.
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
        """Return a description for pickle that restores every attribute, whatever the arguments of a subclass's constructor."""
        return _restored, (type(self), self.args), self.__dict__

    def about(self, *, file: object = None, key: str | None = None, value: object = None) -> Self:
        """Add the refused place to a refusal that does not name one yet.

        The file is not added to the refusal of a command-line option, since options are not in a file.

        Parameters
        ----------
        file : str, path or None
            File to add if the refusal names none.
        key : str or None
            Key to add if the refusal names none.
        value : object
            Value of that key.

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
    """Create a refusal without attributes, which pickle sets afterwards."""
    return kind.__new__(kind, *arguments)


@contextmanager
def naming(
    file: object = None, *, key: str | None = None, value: object = None, of: type[Refusal] | tuple[type[Refusal], ...] = Refusal
) -> Iterator[None]:
    """Add the file and the key to refusals that the block raises without them (see :meth:`Refusal.about`).

    Parameters
    ----------
    file : str, path or None
        File that the block works on.
    key : str or None
        Key or command-line option that the block works on.
    value : object
        Value of that key.
    of : class or tuple of classes
        Classes of refusals to complete; all others propagate unchanged.
    """
    try:
        yield
    except of as refusal:
        refusal.about(file=file, key=key, value=value)
        raise


class DesignError(Refusal, ValueError):
    """A design or a board that cannot be built as described.

    Parameters
    ----------
    key : str
        Dotted key of the design file, such as ``"formats.weight"``.
    value : object
        Refused value of the key; None shows no value.
    reason : str
        What is wrong with the value, as a clause that follows it.
    remedy : str
        What the user can do instead, as a full sentence.
    """

    key: str

    def __init__(self, key: str, value: object, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy, key=key, value=value)


DOCTOR = "`mgd-hw doctor` looks for every tool."
"""Remedy for a tool that fails without a known reason."""


class ToolError(Refusal):
    """A tool that is missing, or that fails for a reason other than the design.

    Parameters
    ----------
    reason : str
        What is wrong, as a clause that follows the name of the tool if there is one.
    remedy : str
        What the user can do about it, as a full sentence.
    tool : str
        Name of the tool, which begins the message; "" if the reason names it.
    key, value, file
        Place that requires the tool, as in :class:`Refusal`.
    """

    def __init__(
        self, reason: str, remedy: str, *, tool: str = "", key: str | None = None, value: object = None, file: object = None
    ) -> None:
        super().__init__(f"{tool}: {reason}" if tool else reason, remedy, key=key, value=value, file=file)
        self.tool = tool


def unknown(what: str, value: object, place: str) -> TypeError:
    """Return the error to raise for a kind that a table or a model does not support, so that it is never mistaken for another.

    Parameters
    ----------
    what : str
        Noun for the value, such as ``"Code"``.
    value : object
        Unsupported value, which the message shows by its ``repr``.
    place : str
        Dotted name of the table or function that has no entry for the value.
    """
    return TypeError(f"{what} {value!r} is unknown to {place}. Add it there, or choose one that is there.")


def check_member(what: str, value: object, kind: type[enum.Enum]) -> None:
    """Raise an error unless a value is a member of an enumeration.

    Raises
    ------
    TypeError
        If ``value`` is not a member of ``kind``; the message names it by ``what``.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{what} must be a member of {kind.__name__}, not {value!r}")
