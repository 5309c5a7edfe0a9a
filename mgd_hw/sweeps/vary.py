"""Axes of a sweep: parsing and checking of ``--vary key=v1,v2``, and an editor that puts other values into a design file."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.design.keys import KEYS
from mgd_hw.design.reader import read_values
from python_ref.spec.error import Refusal, shown

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

__all__ = ["Axis", "Editor", "axes_of", "combinations", "read_axes"]

OPTION = "--vary"
MAX_COMBINATIONS = 1_000_000
"""Maximum number of combinations of a sweep."""
BARE = r"[A-Za-z0-9_^*+\-./\\: ]+"
"""Pattern of the text that needs no quotation marks on the command line: formats, names, paths, and powers such as 2^-6."""


@dataclass(frozen=True)
class Axis:
    """A key of the design file, and the values that it takes in a sweep.

    Attributes
    ----------
    key : str
        Dotted key of the design file, such as "schedule.learning_rate".
    values : tuple
        Values, as the TOML file would contain them.
    """

    key: str
    values: tuple[Any, ...]


def read_axes(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Parse texts such as "key=v1,v2" to a dictionary from keys to lists of values; a value is TOML or a bare word.

    Raises
    ------
    Refusal
        If a text does not have that form, or if two texts name the same key.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise Refusal("it is not of the form key=v1,v2", "Write it as in formats.weight=SQ4.4,SQ4.8.", key=OPTION, value=text)
        if key in found:
            raise Refusal("the key is varied twice", "Give all its values at once.", key=OPTION, value=text)
        found[key] = [_value(key, piece) for piece in _pieces(key, values)]
    return found


def _pieces(key: str, text: str) -> list[str]:
    """Split a text at the commas outside of brackets and quotation marks."""
    pieces, depth, quote, start, skip = [], 0, "", 0, False
    for place, letter in enumerate(text):
        if skip:
            skip = False
        elif quote:
            skip = quote == '"' and letter == "\\"
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and not depth:
            pieces.append(text[start:place])
            start = place + 1
    if depth or quote:
        raise Refusal("brackets or quotation marks do not match", "Write the values as TOML has them.", key=f"{OPTION} {key}", value=text)
    return [piece.strip() for piece in (*pieces, text[start:])]


def _value(key: str, text: str) -> Any:
    """Parse a value of a key, which is TOML or a bare word."""
    try:
        found = tomllib.loads(f"value = {text}")
        if len(found) == 1:
            return found["value"]
    except (ValueError, RecursionError):
        if re.fullmatch(BARE, text):
            return text
    if not text:
        raise Refusal("a value is empty", 'Leave out the comma, or write "" for empty text.', key=f"{OPTION} {key}")
    raise Refusal("it is not a TOML value", f'Write text between quotation marks, as in "{text[:40]}".', key=f"{OPTION} {key}", value=text)


def axes_of(vary: Mapping[str, Sequence[Any]]) -> tuple[Axis, ...]:
    """Check the varied keys and their values, and return the axes of the sweep.

    Raises
    ------
    Refusal
        If a key is unknown, if it does not accept a value, if a value is given twice, or if there are too many combinations.
    """
    axes = []
    for key, values in vary.items():
        if isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or not values:
            raise Refusal("there is no value", "Give a list of values.", key=f"{OPTION} {key}", value=values or None)
        read: list[Any] = []
        for value in values:
            found = read_values({key: value}, OPTION)
            if found in read:
                raise Refusal(f"the value {shown(value)} is given twice", "Give each value once.", key=f"{OPTION} {key}")
            read.append(found)
        axes.append(Axis(key, tuple(values)))
    _check_size(axes)
    return tuple(axes)


def _check_size(axes: Sequence[Axis]) -> None:
    """Refuse more combinations than a sweep takes."""
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > MAX_COMBINATIONS:
        reason = f"there are {count:,} combinations, more than a sweep takes ({MAX_COMBINATIONS:,})"
        raise Refusal(reason, "Vary fewer keys, or give fewer values.", key=OPTION)


def combinations(axes: Sequence[Axis]) -> Iterable[tuple[Any, ...]]:
    """Return an iterator over all combinations of values; the last axis changes fastest."""
    return product(*(axis.values for axis in axes))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean …? " with the known name closest to ``name``; "" if none is close."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"Did you mean {near[0]}? " if near else ""


class Editor:
    """Editor that replaces the values of the same keys in the text of a design file any number of times, and keeps the comments.

    Parameters
    ----------
    text : str
        Contents of the design file.
    keys : sequence of str
        Dotted keys whose values are replaced.
    """

    def __init__(self, text: str, keys: Sequence[str]) -> None:
        import tomlkit

        self.keys = tuple(keys)
        self._tree = tomllib.loads(text.replace("\r\n", "\n"))
        self._document: TOMLDocument = tomlkit.parse(text)
        self._trusted: bool | None = None

    def edited(self, values: Sequence[Any]) -> str:
        """Return the text with the given values, one per key."""
        import tomlkit

        for key, value in zip(self.keys, values, strict=True):
            _put(self._tree, key, value)
        if self._trusted is not False:
            text = self._in_place(values)
            if self._trusted is None:
                self._trusted = text is not None
            if text is not None:
                return text
        return tomlkit.dumps(self._tree)

    def _in_place(self, values: Sequence[Any]) -> str | None:
        """Return the edited text with its comments; None if tomlkit fails on it, or if its first result has other values."""
        try:
            for key, value in zip(self.keys, values, strict=True):
                _put(self._document, key, value)
            text = self._document.as_string()
            return text if self._trusted or tomllib.loads(text.replace("\r\n", "\n")) == self._tree else None
        except Exception:  # whatever the reason, ``edited`` writes the text without comments instead
            return None


def _put(tree: Any, key: str, value: Any) -> None:
    *sections, name = key.split(".")
    for section in sections:
        if section not in tree:
            tree[section] = {}
        tree = tree[section]
    tree[name] = value


def paths_made_absolute(text: str, where: Path) -> str:
    """Return the text with an absolute ``data.path``; ``where`` is the design file that a relative path refers to."""
    path = tomllib.loads(text.replace("\r\n", "\n")).get("data", {}).get("path")
    if path is None or Path(path).expanduser().is_absolute():
        return text
    return Editor(text, ("data.path",)).edited(((where.parent / path).resolve().as_posix(),))


def documented(key: str) -> bool:
    """Return whether a design file may contain this key."""
    return any(each.dotted == key for each in KEYS)
