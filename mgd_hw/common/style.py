"""The look of results on the terminal: number formats, tables and lines. Rich is imported when something is shown."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

__all__ = ["escape", "html", "number", "percent", "scaled", "table", "text", "verbatim", "wrapped"]

WIDTH = 110
"""Characters of a line where there is no terminal that has a width of its own."""


def escape(value: str) -> str:
    """Text in which square brackets are not taken for markup."""
    from rich.markup import escape as escape_markup

    return escape_markup(value)


def percent(value: float) -> str:
    """A share in per cent, with two decimals; a dash for NaN."""
    return "–" if math.isnan(value) else f"{100 * value:.2f} %"


def number(value: float, digits: int = 4) -> str:
    """A number with so many significant digits; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.{digits}g}"


def scaled(value: float, unit: str) -> str:
    """A quantity with three digits and the prefix, from pico to none, that keeps them near 1; a dash for NaN."""
    if math.isnan(value) or not value:
        return "–" if math.isnan(value) else f"0 {unit}"
    power = max(-4, min(0, math.floor(math.log10(abs(value)) / 3)))
    return f"{value / 1000.0**power:,.3g} {['p', 'n', 'µ', 'm', ''][power + 4]}{unit}"


def table(*columns: str, numbers: bool = True) -> Table:
    """An empty table without lines; with ``numbers`` all columns but the first are aligned to the right."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, column in enumerate(columns):
        made.add_column(column, justify="right" if numbers and place else "left", overflow="fold")
    return made


def verbatim(content: str) -> Text:
    """Text of several lines as it is, without markup; its last line brings its own end."""
    from rich.text import Text

    return Text(content, end="")


def wrapped(markup: str) -> Text:
    """A line that is broken at the width of the console, even where other lines are left for the terminal to break."""
    from rich.text import Text

    line = Text.from_markup(markup)
    line.no_wrap, line.overflow = False, "fold"
    return line


def text(result: RenderableType) -> str:
    """What a person reads of a result, without colours, and without blanks at the end of a line."""
    from rich.console import Console

    written = io.StringIO()
    Console(file=written, width=WIDTH, highlight=False, color_system=None).print(result, soft_wrap=True)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def html(result: RenderableType) -> str:
    """The same as an element of a page, with colours, for a notebook."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=120, highlight=False, record=True, color_system="truecolor")
    console.print(result, soft_wrap=True)
    return console.export_html(inline_styles=True, code_format='<pre style="line-height: 1.3">{code}</pre>').strip()
