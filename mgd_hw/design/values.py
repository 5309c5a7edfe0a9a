"""Definition of a key of a design file, and readers that check and convert TOML values."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from mgd_hw.data.tasks import Label
from python_ref.spec.error import Refusal
from python_ref.spec.network import MAX_LAYERS
from python_ref.spec.number import Fixed

__all__ = [
    "MAX_RATES",
    "MAX_SEED",
    "NAME",
    "InvalidValue",
    "Key",
    "Reader",
    "Row",
    "boolean",
    "choices",
    "column",
    "columns",
    "delimiter",
    "design_name",
    "input_values",
    "label",
    "layer_factors",
    "layer_parts",
    "learning_rates",
    "log2_of_power_of_two",
    "members",
    "memory",
    "number_format",
    "one_of",
    "real_number",
    "target_values",
    "text",
    "whole_number",
]

NAME = r"[A-Za-z0-9_]{1,64}"
"""Pattern of a design's name, which becomes part of a Verilog module's name."""
MAX_RATES = 256
"""Maximum number of entries of a learning-rate schedule."""
MAX_SEED = (1 << 63) - 1
"""Largest seed that a design file may give."""


class InvalidValue(Refusal):
    """Refusal of a value that its key does not accept.

    Parameters
    ----------
    reason : str
        What is wrong with the value, as a clause.
    remedy : str
        What to write instead, as a full sentence.
    """


Reader = Callable[[object], Any]
"""Function that converts a TOML value, and raises :class:`InvalidValue` for a value that it does not accept."""
Row = tuple[str, str, str, str, Reader]
"""Fields of a :class:`Key` except its section: name, accepted values, default, meaning, reader."""


def choices(names: Mapping[str, object]) -> str:
    """Return names as the values that a key accepts, such as ``"a" or "b"``."""
    return " or ".join(f'"{name}"' for name in names)


@dataclass(frozen=True)
class Key:
    """One key of a design file.

    Attributes
    ----------
    section : str
        TOML table that contains the key; ``""`` for the top of the file.
    name : str
        Name of the key in its table.
    takes : str
        Description of the values that the key accepts.
    default : str
        Default value, or how it follows from other keys.
    meaning : str
        Description of what the key sets, as a sentence.
    read : callable
        Reader that converts the TOML value; it raises :class:`InvalidValue`.
    """

    section: str
    name: str
    takes: str
    default: str
    meaning: str
    read: Reader = field(compare=False, repr=False)

    @property
    def dotted(self) -> str:
        """Dotted name of the key with its section, such as ``"network.layers"``."""
        return f"{self.section}.{self.name}" if self.section else self.name


def whole_number(low: int, high: int, example: object) -> Reader:
    """Return a reader of whole numbers from ``low`` to ``high``, whose message suggests ``example``."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            top = "2^63 - 1" if high == MAX_SEED else high
            raise InvalidValue(f"it must be a whole number from {low} to {top}", f"Write {example}, say.")
        return value

    return read


def real_number(low: float, high: float, example: object) -> Reader:
    """Return a reader of real numbers from ``low`` to ``high``, whose message suggests ``example``."""

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise InvalidValue(f"it must be a number from {low:g} to {high:g}", f"Write {example}, say.")
        return float(value)

    return read


def one_of(names: Mapping[str, object]) -> Reader:
    """Return a reader that converts one of the names to its value in ``names``."""

    def read(value: object) -> object:
        if not isinstance(value, str) or value not in names:
            near = difflib.get_close_matches(value.lower(), names, 1) if isinstance(value, str) else []
            listed = ", ".join(f'"{name}"' for name in names)
            raise InvalidValue(f"it must be one of {listed}", f'Did you mean "{near[0]}"?' if near else "Write one of these.")
        return names[value]

    return read


def members(kind: type[Enum], *but: Enum) -> dict[str, object]:
    """Return the members of an enumeration by their values, except those listed in ``but``."""
    return {member.value: member for member in kind if member not in but}


def boolean(value: object) -> bool:
    """Read ``true`` or ``false``."""
    if not isinstance(value, bool):
        raise InvalidValue("it must be true or false", "Write true or false, without quotation marks.")
    return value


def text(value: object) -> str:
    """Read a text that is not blank."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise InvalidValue("it must be text", "Write it between quotation marks.")
    return value


def number_format(value: object) -> Fixed:
    """Read a fixed-point format, such as ``SQ4.12``."""
    if not isinstance(value, str):
        raise InvalidValue("a format is text", 'Write it as "SQ4.12" (signed, 4 integer bits with the sign, 12 fraction bits) or "UQ0.8".')
    try:
        return Fixed.parse(value)
    except ValueError:
        raise InvalidValue(
            "a format looks like SQ4.12 (signed, 4 integer bits with the sign, 12 fraction bits) or UQ0.8, and has 1 to 63 bits",
            'Write "SQ4.12", say.',
        ) from None


def design_name(value: object) -> str:
    """Read the name of a design, which must match :data:`NAME`."""
    if not isinstance(value, str) or not re.fullmatch(NAME, value):
        raise InvalidValue(
            "it becomes part of a Verilog module's name: letters, digits and underscores, at most 64", 'Write "my_net", say.'
        )
    return value


_PARTS_REMEDY = "Write [[1, 1], [2, 8]], say: the first layer once, the next two together eight times."


def layer_parts(value: object) -> tuple[tuple[int, int], ...]:
    """Read a list of pairs: number of layers that are perturbed together, and number of their perturbations."""
    form = "it must be a list of pairs of whole numbers from 1: how many layers are perturbed together, and how often"
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_LAYERS:
        raise InvalidValue(form, _PARTS_REMEDY)
    for pair in value:
        whole = isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, int) and not isinstance(n, bool) for n in pair)
        if not whole or not 1 <= pair[0] <= MAX_LAYERS or not 1 <= pair[1] <= 1 << 24:
            raise InvalidValue(form, _PARTS_REMEDY)
    return tuple((together, often) for together, often in value)


def layer_factors(value: object) -> tuple[float, ...]:
    """Read a list of factors on the learning rate, one per layer."""
    number = real_number(0, 1024, 1)
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_LAYERS:
        raise InvalidValue("it must be a list of numbers, one for each layer", "Write [0.1, 1.0], say.")
    return tuple(number(each) for each in value)


def log2_of_power_of_two(value: object) -> int:
    """Read a power of two, as a number or as text such as ``"2^-6"``, and return its log₂."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*2\s*(?:\^|\*\*)\s*([+-]?\d{1,3})\s*", value)):
        return int(match[1])
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
        if isinstance(value, int):
            if value & (value - 1) == 0:
                return value.bit_length() - 1
        elif math.frexp(value)[0] == 0.5:
            return math.frexp(value)[1] - 1
    raise InvalidValue("it must be a power of two", 'Write "2^-6", say, or 0.015625.')


_RATE_FORM = (
    "it must be log2 of the rate, a whole number from -48 to 16, or a list of [step, log2 of the rate] that starts at step 0 and rises"
)


def learning_rates(value: object) -> tuple[tuple[int, int], ...]:
    """Read the pairs (step, log₂ η) of a learning-rate schedule; a single number is a schedule with one entry."""
    remedy = "Write -8, or [[0, -8], [100000, -10]], say."
    pairs: list[Any] = value if isinstance(value, list) else [[0, value]]
    if len(pairs) > MAX_RATES:
        raise InvalidValue(f"the list has {len(pairs)} entries, more than {MAX_RATES}", remedy)
    for pair in pairs:
        whole = isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, int) and not isinstance(n, bool) for n in pair)
        if not whole or not 0 <= pair[0] < 1 << 48 or not -48 <= pair[1] <= 16:
            raise InvalidValue(_RATE_FORM, remedy)
    return tuple((step, rate) for step, rate in pairs)


def memory(value: object) -> bool:
    """Read the kind of memory that holds the parameters; return whether it has a single port."""
    return bool(one_of({"block": False, "single-port": True})(value))


def column(value: object) -> str | int:
    """Read the name or the number of a column of a CSV file."""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or (isinstance(value, int) and abs(value) > 10_000):
        raise InvalidValue("it must be the name or the number of a column", 'Write "label", or 0 for the first column, or -1 for the last.')
    return value


def columns(value: object) -> tuple[str | int, ...]:
    """Read a list of names or numbers of columns."""
    if not isinstance(value, list) or not value:
        raise InvalidValue("it must be a list of names or numbers of columns", 'Write ["id"], say, or [0] for the first column.')
    return tuple(column(each) for each in value)


def label(value: object) -> Label:
    """Read the column of the answers, or a list of such columns."""
    return columns(value) if isinstance(value, list) else column(value)


def delimiter(value: object) -> str:
    """Read the character that separates the cells of a CSV file."""
    if not isinstance(value, str) or len(value) != 1 or value in '"\r\n' or value.isalnum():
        raise InvalidValue("it must be one character, not a letter, a digit or a quotation mark", 'Write ";", say, or "\\t" for a tab.')
    return value


def input_values(value: object) -> tuple[float, float]:
    """Read two numbers: what the least and the greatest input become."""
    return _two_values(value, "what the least input becomes, and what the greatest one does")


def target_values(value: object) -> tuple[float, float]:
    """Read two numbers: the target of the wrong classes, and the larger target of the right class."""
    return _two_values(value, "the target of the wrong classes, and of the right one")


def _two_values(value: object, meaning: str) -> tuple[float, float]:
    number = real_number(-1024, 1024, 0)
    if not isinstance(value, list) or len(value) != 2:
        raise InvalidValue(f"it must be a list of two numbers: {meaning}", "Write [0, 1], say.")
    low, high = number(value[0]), number(value[1])
    if not low < high:
        raise InvalidValue("the first must be below the second", "Write [0, 1], say.")
    return low, high
