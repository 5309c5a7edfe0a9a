"""Base class of the results that verbs return, with their terminal, notebook, table, figure and JSON forms."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.common import style
from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Result", "flat", "plain"]


def plain(value: object) -> object:
    """Convert a value to plain data for JSON: lists, dicts, strings, booleans and numbers; NaN and infinities become None.

    Raises
    ------
    TypeError
        If the value, or a value inside it, has no plain form.
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, Result):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"Value must be plain data, not {value!r}")


def flat(value: Mapping[str, object], prefix: str = "") -> dict[str, Any]:
    """Return the scalar values of plain data, with dotted names for those of nested objects; lists are omitted."""
    found: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            found |= flat(item, f"{prefix}{name}.")
        elif not isinstance(item, list):
            found[prefix + name] = item
    return found


class Result:
    """Base class of results. A subclass is a frozen dataclass that defines its rendering and its figure.

    ``rich.print(result)`` prints the result as the command line does, ``str(result)`` returns the same text without colours, and
    notebooks display it as HTML.
    """

    def to_json(self) -> dict:
        """Return the fields, and the properties that ``ALSO`` names, as plain data; fields with ``repr=False`` are omitted."""
        names = [each.name for each in fields(self) if each.repr]  # type: ignore[arg-type]
        return {name: plain(getattr(self, name)) for name in (*names, *getattr(self, "ALSO", ()))}

    def __str__(self) -> str:
        return style.text(self)

    def _repr_html_(self) -> str:
        return style.html(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the result for the terminal: by default as a table of its scalar values."""
        yield f"[bold]{type(self).__name__}[/bold]"
        table = style.table("", "", numbers=False)
        for name, value in self.rows("result" if "result" in self.tables() else None)[0].items():
            table.add_row(style.escape(name), style.escape(f"{value:.6g}" if isinstance(value, float) else str(value)))
        yield table

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tables of the result by name, each as rows of plain values; the first is the default of :meth:`rows`."""
        return {"result": [flat(self.to_json())]}

    def rows(self, table: str | None = None) -> list[dict[str, Any]]:
        """Return the rows of one of the tables.

        Parameters
        ----------
        table : str or None
            Name of the table, one of :meth:`tables`; None takes the first.

        Raises
        ------
        Refusal
            If there is no such table.
        """
        found = self.tables()
        if table is None:
            return next(iter(found.values()))
        if table not in found:
            raise Refusal(f"{type(self).__name__} has no such table", f"It has: {', '.join(found)}.", key="table", value=table)
        return found[table]

    def frame(self, table: str | None = None) -> DataFrame:
        """Return the rows of one of the tables as a pandas data frame; pandas is an optional dependency.

        Raises
        ------
        Refusal
            If pandas is not installed, or there is no such table.
        """
        rows = self.rows(table)
        try:
            import pandas
        except ImportError:
            remedy = "Run `pip install 'mgd-hw[notebook]'`, or take .rows(), which has the same."
            raise Refusal("a data frame needs pandas, which is not installed", remedy) from None
        return pandas.DataFrame(rows)

    def plot(self) -> Figure:
        """Return a matplotlib figure of the result, which ``savefig`` writes to a file and notebooks display.

        Raises
        ------
        Refusal
            If the result has no figure.
        """
        raise Refusal(f"there is nothing to draw of {type(self).__name__}", "Its .rows() and .frame() hold its values.", key="plot")
