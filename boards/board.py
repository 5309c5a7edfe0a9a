"""A board: one data file that says what is on it, read and checked."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from boards.description import Board, Flash, Pin
from boards.parts.target import TARGETS, Part
from boards.plan import plan
from python_ref.spec.error import DesignError, Refusal, naming
from python_ref.spec.flash import ADDRESS_BITS, LIGHTS

__all__ = ["Board", "Flash", "Pin", "board_files", "read_board"]

PLLS = {"ice40-pad": "ice40", "ice40-core": "ice40", "ecp5": "ecp5", "gowin": "gowin", "xc7": "xc7"}
"""Family that has each kind of PLL, by the name of the kind."""


# -- What a file may say ----------------------------------------------------------------------------------------------


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() and value.isprintable() and not set(value) & set('"\\') else None


def _pin(value: object) -> str | None:
    return value if isinstance(value, str) and value.isalnum() else None


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _mhz(value: object) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= 1000:
        return None
    return Fraction(str(value))


def _baud(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 9600 <= value <= 20_000_000 else None


def _part(value: object) -> Part | None:
    return TARGETS.get(value) if isinstance(value, str) else None


def _pll(value: object) -> str | None:
    return value if isinstance(value, str) and value in PLLS else None


def _pins(value: object) -> tuple[str, ...] | None:
    named = isinstance(value, list) and len(value) == LIGHTS and all(_pin(each) for each in value)
    return tuple(value) if named and isinstance(value, list) else None


def _size(value: object) -> int | None:
    """A number of bytes, which the addresses of a flash reach."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 1 << ADDRESS_BITS and value % 4 == 0 else None


Reader = Callable[[object], Any]
_NAME = (_text, "it must be text without quotation marks")
_PIN = (_pin, 'it must be the name of a pin, such as "35" or "G2"')
_FLAG = (_truth, "it must be true or false")
_MHZ = (_mhz, "it must be a number of MHz, from 1 to 1000")
_BYTES = (_size, f"it must be a number of bytes, a multiple of 4 up to {1 << ADDRESS_BITS:,}")
_BAUD = (_baud, "it must be a whole number of baud, from 9,600 to 20,000,000")

_KEYS: dict[str, tuple[Reader, str]] = {
    "title": _NAME,
    "part": (_part, f"it must be one of {', '.join(TARGETS)}"),
    "source": _NAME,
    "device.device": _NAME,
    "device.package": _NAME,
    "device.speed": _NAME,
    "device.family": _NAME,
    "device.standard": _NAME,
    "clock.pin": _PIN,
    "clock.mhz": _MHZ,
    "clock.core_mhz": _MHZ,
    "clock.pll": (_pll, f"it must be one of {', '.join(PLLS)}"),
    "link.rx": _PIN,
    "link.tx": _PIN,
    "link.pull_up": _FLAG,
    "link.chip": _NAME,
    "link.baud": _BAUD,
    "link.max_baud": _BAUD,
    **{f"{port}.{key}": value for port in ("led", "button") for key, value in (("pin", _PIN), ("inverted", _FLAG), ("standard", _NAME))},
    "button.pull_up": _FLAG,
    **{f"flash.{port}": _PIN for port in ("cs", "sck", "mosi", "miso", "wrong")},
    "flash.size": _BYTES,
    "flash.image": _BYTES,
    "flash.wrong_inverted": _FLAG,
    "flash.lights": (_pins, f"it must be a list of the names of {LIGHTS} pins"),
    "flash.lights_inverted": _FLAG,
    "program.command": _NAME,
    "program.flash": _NAME,
}
"""Every key of a board file: the function that reads its value (None for a value it refuses), and the form the value must have."""

_NEEDED = (
    "title",
    "part",
    "source",
    "device.device",
    "clock.pin",
    "clock.mhz",
    "link.rx",
    "link.tx",
    "link.baud",
    "led.pin",
)
_NEEDED_FLASH = tuple(f"flash.{name}" for name in ("size", "image", "cs", "sck", "mosi", "miso", "wrong", "lights"))
_NEEDED_BY = {"ice40": ("device.package",), "ecp5": ("device.package", "device.speed"), "gowin": ("device.family",), "xc7": ()}


_PIN_KEYS = (".pin", ".rx", ".tx", ".cs", ".sck", ".mosi", ".miso", ".wrong")
"""Ends of the keys that name a pin each."""


def board_files() -> dict[str, Path]:
    """Data files of the boards that come with the package, by the name of the board."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "data").glob("*.toml"))}


def read_board(path: Path) -> Board:
    """Read a board file, and check that the board can generate its clock and the baud rate of its serial line.

    Raises
    ------
    Refusal
        If the file cannot be read, or is not TOML.
    DesignError
        If it does not describe a board; the error names the file and the key.
    """
    with naming(path):
        values = _checked(_read(path))
        board = _board(path.stem, values)
        plan(board)
    return board


def _read(path: Path) -> dict[str, Any]:
    """The tables of a file of TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise Refusal("it is not UTF-8 text", "Save the file as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise Refusal(f"it is not TOML: {error}", "See docs/guides/boards.md for a whole file.") from None
    except (OSError, ValueError) as error:
        reason = f"it cannot be read ({getattr(error, 'strerror', None) or error})"
        raise Refusal(reason, "Check the path.", key="--board", value=str(path)) from None


def _checked(tree: dict[str, Any]) -> dict[str, Any]:
    """The values of a board by dotted key, each known to be of its form, and all that a board needs."""
    values = {}
    for key, value in _leaves("", tree):
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, 1)
            raise DesignError(key, value, "there is no such key", f"Did you mean {near[0]}?" if near else f"Known: {', '.join(_KEYS)}.")
        read, form = _KEYS[key]
        values[key] = read(value)
        if values[key] is None:
            raise DesignError(key, value, form, "See docs/guides/boards.md for a whole file.")
    _check_needed(values)
    return values


def _leaves(prefix: str, table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _leaves(f"{key}.", value)
        else:
            yield key, value


def _check_needed(values: dict[str, Any]) -> None:
    for key in _NEEDED:
        if key not in values:
            raise DesignError(key, None, "it was left out, and every board needs it", "Add it; docs/guides/boards.md has a whole file.")
    family = values["part"].family
    for key in _NEEDED_BY[family]:
        if key not in values:
            reason = f"it was left out, and boards with {values['part'].name} need it"
            raise DesignError(key, None, reason, "Add it; see docs/guides/boards.md.")
    pll = values.get("clock.pll")
    if pll and PLLS[pll] != family:
        kinds = ", ".join(kind for kind, of in PLLS.items() if of == family)
        raise DesignError("clock.pll", pll, f"{values['part'].name} has no such PLL", f"Write one of {kinds}, or leave it out.")
    _check_flash(values)
    used: dict[str, str] = {}
    for key, value in values.items():
        for each in value if key == "flash.lights" else [value] if key.endswith(_PIN_KEYS) else []:
            if used.setdefault(each, key) != key or (key == "flash.lights" and value.count(each) > 1):
                raise DesignError(key, each, f"it is also {used[each]}", "Give every signal a pin of its own.")
    if values["link.baud"] > values.get("link.max_baud", values["link.baud"]):
        raise DesignError("link.baud", values["link.baud"], "it is more than link.max_baud", "Lower it.")


def _check_flash(values: dict[str, Any]) -> None:
    """Check that a flash is described as a whole, and that there is room for an image."""
    if not any(key.startswith("flash.") for key in values):
        return
    for key in _NEEDED_FLASH:
        if key not in values:
            raise DesignError(key, None, "it was left out, and [flash] needs it", "Add it; docs/guides/boards.md has a whole file.")
    if values["flash.image"] >= values["flash.size"]:
        raise DesignError("flash.image", values["flash.image"], "it is not within flash.size", "Lower it.")


def _flash(values: dict[str, Any], standard: str) -> Flash | None:
    if "flash.size" not in values:
        return None
    get = values.get
    pins = {port: Pin(values[f"flash.{port}"], standard=standard) for port in ("cs", "sck", "mosi", "miso")}
    pins["wrong"] = Pin(values["flash.wrong"], get("flash.wrong_inverted", False), standard)
    lights = enumerate(values["flash.lights"])
    pins |= {f"light{number}": Pin(pin, get("flash.lights_inverted", False), standard) for number, pin in lights}
    return Flash(values["flash.size"], values["flash.image"], pins)


def _board(name: str, values: dict[str, Any]) -> Board:
    get = values.get
    standard = get("device.standard", "")
    link = {"standard": standard, "pull_up": get("link.pull_up", False)}
    pins = {
        "clk": Pin(values["clock.pin"], standard=standard),
        "rx": Pin(values["link.rx"], **link),
        "tx": Pin(values["link.tx"], standard=standard),
        "led": Pin(values["led.pin"], get("led.inverted", False), get("led.standard", standard)),
    }
    if "button.pin" in values:
        pins["button"] = Pin(
            values["button.pin"], get("button.inverted", False), get("button.standard", standard), get("button.pull_up", False)
        )
    return Board(
        name=name,
        title=values["title"],
        part=values["part"],
        source=values["source"],
        device=values["device.device"],
        package=get("device.package", ""),
        speed=get("device.speed", ""),
        variant=get("device.family", ""),
        pins=pins,
        clock_mhz=values["clock.mhz"],
        core_mhz=get("clock.core_mhz", values["clock.mhz"]),
        pll=get("clock.pll", ""),
        chip=get("link.chip", ""),
        baud=values["link.baud"],
        max_baud=get("link.max_baud", values["link.baud"]),
        program=get("program.command", ""),
        flash_program=get("program.flash", ""),
        flash=_flash(values, standard),
    )
