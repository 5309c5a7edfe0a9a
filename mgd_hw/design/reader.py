"""Reader of design files, from TOML text to a :class:`~mgd_hw.design.description.Design`."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mgd_hw.design.derive import design_of
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign, external_design, not_served
from mgd_hw.design.given import Given
from mgd_hw.design.keys import KEYS, SECTIONS
from python_ref.spec.error import DesignError, Refusal, naming

__all__ = ["LEARNERS", "SOFTWARE", "find", "load", "load_any", "parse", "parse_any", "read_values", "shipped", "shipped_folder"]

LARGEST_FILE = 1 << 20
"""Maximum size of a design file, in bytes."""

RENAMED = {
    "perturbation.apart": "perturbation.layerwise",
    "learning.sparing": "learning.skip_dead_nodes",
    "outside": "external",
}
"""Current names of renamed keys and sections, by their former names, which are refused."""


LEARNERS = ("chip",)
"""Names of the shipped designs whose network is outside."""

SOFTWARE = ("recall",)
"""Names of the shipped designs that run in software only."""


def shipped() -> tuple[str, ...]:
    """Return the names of the shipped designs whose network is inside and can be built, sorted."""
    return tuple(sorted(path.stem for path in shipped_folder().glob("*.toml") if path.stem not in (*LEARNERS, *SOFTWARE)))


def _all_shipped() -> tuple[str, ...]:
    return tuple(sorted((*shipped(), *LEARNERS, *SOFTWARE)))


def shipped_folder() -> Path:
    """Return the folder of the shipped designs."""
    return Path(__file__).parent / "shipped"


def find(design: str | Path) -> Path:
    """Return the path of a design file, which is given by its path, with or without ".toml", or by the name of a shipped design.

    Raises
    ------
    Refusal
        If there is no such file.
    """
    text = str(design)
    if not text.strip() or "\0" in text:
        raise Refusal("no design was named", "Give the path of a design file, or the name of a shipped design.")
    path = Path(text)
    try:
        if path.exists() and not (path.is_dir() and text in _all_shipped()):
            return path
    except OSError as error:
        raise Refusal(f"the path cannot be read ({error.strerror})", "Give another path.", file=text[:100]) from None
    if text in _all_shipped():
        return shipped_folder() / f"{text}.toml"
    if path.with_name(path.name + ".toml").exists():
        return path.with_name(path.name + ".toml")
    names = _all_shipped()
    near = difflib.get_close_matches(text, names, 1)
    raise Refusal(
        "there is no such file",
        (f"Did you mean the shipped design {near[0]}? " if near else "")
        + f"Give the path of a design file, or one of the shipped designs ({', '.join(names)}); `mgd-hw new` writes one to start from.",
        file=text,
    )


def load(design: str | Path) -> Design:
    """Read a design file, or the shipped design with this name.

    Raises
    ------
    Refusal
        If there is no such file, if it does not describe a valid design, or if its network is outside.
    """
    return _inside(load_any(design))


def load_any(design: str | Path) -> Design | ExternalDesign:
    """Read a design file as :func:`load` does; its network may be outside."""
    path = find(design)
    try:
        if path.is_dir():
            raise Refusal("it is a directory", "Give the path of a design file.", file=path)
        if not path.is_file():
            raise Refusal("it is not a regular file", "Give the path of a design file.", file=path)
        if path.stat().st_size > LARGEST_FILE:
            raise Refusal(
                f"it has {path.stat().st_size:,} bytes, more than a design file can have ({LARGEST_FILE:,})",
                "Give the path of a design file; data belong in a file of their own, named by data.path.",
                file=path,
            )
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise Refusal(f"it cannot be read ({error.strerror})", "Check the path and its permissions.", file=path) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise Refusal(f"line {line} is not UTF-8 text", "Save the file as UTF-8.", file=path) from None
    return parse_any(text, path)


def _inside(design: Design | ExternalDesign) -> Design:
    """Return a design whose network is inside, and refuse another."""
    if isinstance(design, ExternalDesign):
        raise not_served(design)
    return design


def parse(text: str, path: str | Path) -> Design:
    """Parse the text of a design file; ``path`` appears in messages, and its folder is the base of relative paths in the file.

    Raises
    ------
    Refusal
        If the text does not describe a valid design, or if its network is outside.
    """
    return _inside(parse_any(text, path))


def parse_any(text: str, path: str | Path) -> Design | ExternalDesign:
    """Parse the text of a design file as :func:`parse` does; its network may be outside."""
    path = Path(path)
    values = _collect(path, _toml(path, text))
    with naming(path), _marking_derived(values):
        given = Given(path, values)
        return external_design(given, text) if "network.external" in given else design_of(given, text)


@contextmanager
def _marking_derived(values: Mapping[str, object]) -> Iterator[None]:
    """Add to the refusal of a key that the file leaves out that its value was derived."""
    try:
        yield
    except DesignError as error:
        if error.key not in values:
            error.reason += " (a value that was left out and derived)"
        raise


def read_values(values: Mapping[str, object], where: str) -> dict[str, Any]:
    """Check TOML values by dotted key, and return their converted values; messages name ``where`` as their source.

    Raises
    ------
    Refusal
        If a key is unknown, or does not accept its value.
    """
    tree: dict[str, Any] = {}
    for dotted, value in values.items():
        *sections, name = dotted.split(".")
        table = tree
        for section in sections:
            table = table.setdefault(section, {})
        table[name] = value
    return _collect(Path(where), tree)


def _toml(path: Path, text: str) -> dict:
    if not text.strip():
        raise Refusal("it is empty", "`mgd-hw new` writes a design file to start from.", file=path)
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except RecursionError:
        raise Refusal("it is nested too deeply", "A design file needs no more than tables in tables.", file=path) from None
    except ValueError as error:  # TOMLDecodeError, and numbers longer than Python reads
        why = str(error)
        match = re.search(r"\(at (?:line (\d+), column (\d+)|end of document)\)$", why)
        why = why[: match.start()].strip() if match else why
        if match and match[1]:
            place = f"line {match[1]}, column {match[2]}"
        elif match:
            place = f"line {text.count(chr(10)) + 1}, the end of the file"
        else:
            place, why = "a number", "it has more digits than are read"
        remedy = "See https://toml.io, or start from what `mgd-hw new` writes."
        raise Refusal(f"{place} is not TOML: {why}", remedy, file=path) from None


def _collect(path: Path, tree: dict) -> dict[str, Any]:
    """Check all keys and values of a TOML document, and return the converted values by dotted key."""
    known = {key.dotted: key for key in KEYS}
    values: dict[str, Any] = {}

    def walk(prefix: str, table: dict) -> None:
        for name, value in table.items():
            dotted = f"{prefix}.{name}" if prefix else name
            if dotted in SECTIONS:
                if not isinstance(value, dict):
                    raise Refusal(
                        "it is a table, not a value", f"Write [{dotted}], and its keys below.", file=path, key=dotted, value=value
                    )
                walk(dotted, value)
            elif dotted not in known:
                raise _unknown(path, prefix, name, dotted)
            else:
                with naming(path, key=dotted, value=value):
                    values[dotted] = known[dotted].read(value)

    walk("", tree)
    return values


def _unknown(path: Path, prefix: str, name: str, dotted: str) -> Refusal:
    """Return the error for an unknown key, which suggests the current name of a renamed key, or else the most similar key.

    Keys are compared by their last part. Among equally similar keys, one in the same section comes first.
    """

    def nearness(candidate: str) -> tuple[float, bool]:
        section, _, last = candidate.rpartition(".")
        return difflib.SequenceMatcher(None, name[:100], last).ratio(), section == prefix

    every = [*SECTIONS, *(key.dotted for key in KEYS)]
    nearest = RENAMED.get(dotted) or max(every, key=nearness)
    siblings = [full.rpartition(".")[2] for full in every if full.rpartition(".")[0] == prefix]
    listed = f"Known {'in [' + prefix + ']' if prefix else 'at the top'}: {', '.join(siblings)}."
    hint = f"Did you mean {nearest}?" if dotted in RENAMED or nearness(nearest)[0] >= 0.6 else listed
    return Refusal("there is no such key", hint, file=path, key=dotted[:100])
