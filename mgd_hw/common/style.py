"""Number formats, tables and lines for the terminal. Rich is imported only when something is rendered."""

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
"""Line width in characters where no terminal sets one."""


def escape(value: str) -> str:
    """Escape the square brackets in a text, so that Rich does not read them as markup."""
    from rich.markup import escape as escape_markup

    return escape_markup(value)


def percent(value: float) -> str:
    """Format a fraction in per cent, with two decimals; NaN gives a dash."""
    return "–" if math.isnan(value) else f"{100 * value:.2f} %"


def number(value: float, digits: int = 4) -> str:
    """Format a number with ``digits`` significant digits; NaN gives a dash."""
    return "–" if math.isnan(value) else f"{value:.{digits}g}"


def scaled(value: float, unit: str) -> str:
    """Format a quantity with three significant digits and a unit prefix from pico to milli, or none; NaN gives a dash."""
    if math.isnan(value) or not value:
        return "–" if math.isnan(value) else f"0 {unit}"
    power = max(-4, min(0, math.floor(math.log10(abs(value)) / 3)))
    return f"{value / 1000.0**power:,.3g} {['p', 'n', 'µ', 'm', ''][power + 4]}{unit}"


def table(*columns: str, numbers: bool = True) -> Table:
    """Return an empty table without rules; ``numbers`` right-aligns all columns but the first."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, column in enumerate(columns):
        made.add_column(column, justify="right" if numbers and place else "left", overflow="fold")
    return made


def verbatim(content: str) -> Text:
    """Return multi-line text that Rich prints unchanged, without markup and without adding a final newline."""
    from rich.text import Text

    return Text(content, end="")


def wrapped(markup: str) -> Text:
    """Return a line of markup that Rich wraps at the console's width even when it prints with ``soft_wrap``."""
    from rich.text import Text

    line = Text.from_markup(markup)
    line.no_wrap, line.overflow = False, "fold"
    return line


def text(result: RenderableType) -> str:
    """Render a result as plain text, without colours and without trailing blanks."""
    from rich.console import Console

    written = io.StringIO()
    Console(file=written, width=WIDTH, highlight=False, color_system=None).print(result, soft_wrap=True)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def html(result: RenderableType) -> str:
    """Render a result as an HTML element with colours, for notebooks."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=120, highlight=False, record=True, color_system="truecolor")
    console.print(result, soft_wrap=True)
    return console.export_html(inline_styles=True, code_format='<pre style="line-height: 1.3">{code}</pre>').strip()
