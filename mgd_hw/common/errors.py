"""What a user is told when something is wrong: one message that names file, key, value, reason and way out."""

from __future__ import annotations

import datetime
import json

__all__ = ["ToolError", "UserError", "shown"]

_LONGEST = 120
"""Characters of a value that a message shows."""


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


class UserError(Exception):
    """Something that the user can mend; ends a command with exit code 2.

    Parameters
    ----------
    reason : str
        What is wrong, as a clause.
    remedy : str
        What to do instead, as a full sentence.
    file : str or path
        The file it is about, if any.
    key : str
        Dotted key of the design file, or option of the command, if any.
    value : object
        What was found there; None shows nothing.
    """

    def __init__(self, reason: str, remedy: str, *, file: object = None, key: str | None = None, value: object = None) -> None:
        self.reason = reason
        self.remedy = remedy
        self.file = None if file is None else str(file)
        self.key = key
        self.value = value
        place = None if key is None else key if value is None else f"{key} = {shown(value)}"
        parts = [part for part in (self.file, place, reason) if part]
        super().__init__(": ".join(part.replace("\n", " ") for part in parts) + ". " + remedy)

    def __reduce__(self) -> tuple:
        """So that it comes back whole from another process."""
        return _again, (type(self), self.reason, self.remedy, self.file, self.key, self.value)


def _again(kind: type[UserError], reason: str, remedy: str, file: str | None, key: str | None, value: object) -> UserError:
    return kind(reason, remedy, file=file, key=key, value=value)


class ToolError(UserError):
    """A tool is missing, or broke for a reason that is not the design's."""
