"""What the verbs return: frozen and typed results, each of which prints, draws and tabulates itself, and is one JSON object."""

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
    """A value as JSON has it: lists, dicts, strings, finite numbers, None for what is not a number."""
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
    """The single values of plain data, those of inner objects by dotted names; lists are left out."""
    found: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            found |= flat(item, f"{prefix}{name}.")
        elif not isinstance(item, list):
            found[prefix + name] = item
    return found


class Result:
    """Base of the results; a subclass is a frozen dataclass, which has its own rendering and picture beside its fields.

    ``rich.print(result)`` shows it as the command line does; ``str()`` of it is the same without colours, and a notebook shows it too.
    """

    def to_json(self) -> dict:
        """Its fields, and the properties named in ``ALSO``, as plain data."""
        names = [each.name for each in fields(self) if each.repr]  # type: ignore[arg-type]
        return {name: plain(getattr(self, name)) for name in (*names, *getattr(self, "ALSO", ()))}

    def __str__(self) -> str:
        return style.text(self)

    def _repr_html_(self) -> str:
        return style.html(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What the terminal shows of it, here its single values; a subclass has its own way."""
        yield f"[bold]{type(self).__name__}[/bold]"
        table = style.table("", "", numbers=False)
        for name, value in self.rows("result" if "result" in self.tables() else None)[0].items():
            table.add_row(style.escape(name), style.escape(f"{value:.6g}" if isinstance(value, float) else str(value)))
        yield table

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Its tables by name, as rows of plain values; the first is what :meth:`rows` gives if none is named."""
        return {"result": [flat(self.to_json())]}

    def rows(self, table: str | None = None) -> list[dict[str, Any]]:
        """The rows of one of its tables.

        Parameters
        ----------
        table : str or None
            Its name, see :meth:`tables`; None takes the first.

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
        """The same as a data frame of pandas, which is optional.

        Raises
        ------
        Refusal
            If pandas is not there, or no such table.
        """
        rows = self.rows(table)
        try:
            import pandas
        except ImportError:
            remedy = "Run `pip install 'mgd-hw[notebook]'`, or take .rows(), which has the same."
            raise Refusal("a data frame needs pandas, which is not installed", remedy) from None
        return pandas.DataFrame(rows)

    def plot(self) -> Figure:
        """A picture of it, as a figure of matplotlib; ``savefig`` writes it, and a notebook shows it.

        Raises
        ------
        Refusal
            If there is nothing to draw.
        """
        raise Refusal(f"there is nothing to draw of {type(self).__name__}", "Its .rows() and .frame() hold its values.", key="plot")
