"""One page that shows what was made, what was proven, how well it learns and what it costs: report.html, and report.json beside it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.results import Result

if TYPE_CHECKING:
    from mgd_hw.comparison import Comparison
    from mgd_hw.flow import Cosimulated, Generated, Synthesised

__all__ = ["Chapter", "html", "write"]


@dataclass(frozen=True)
class Chapter(Result):
    """What is known of one design; a part that was not done is None.

    Attributes
    ----------
    title : str
        Of the chapter.
    text : str
        The design file.
    generated, cosimulated, compared, synthesised : results of :mod:`mgd_hw.flow`, or None
        Its parts.
    """

    title: str
    text: str
    generated: Generated
    cosimulated: Cosimulated | None = None
    compared: Comparison | None = None
    synthesised: Synthesised | None = None

    @property
    def cycles(self) -> dict[str, Any]:
        """The cycle contract, from the manifest."""
        return self.generated.manifest.get("cycles", {})


def _picture(comparison: Comparison) -> str:
    """The learning curves as an SVG element that stands in a page: no head, a description for those who cannot see it."""
    from mgd_hw.plots import learning

    svg = learning(comparison, "svg").decode("utf-8")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(width|height)="[\d.]+pt"', "", svg, count=2)
    results = ", ".join(
        f"{title} {100 * model.accuracy_mean:.1f} %"
        for title, model in (("float MGD", comparison.float), ("fixed MGD", comparison.fixed), ("back-propagation", comparison.backprop))
        if model.runs
    )
    described = f"{comparison.judged_by.capitalize()} accuracy and cost over the samples evaluated. At the end: {results}."
    return svg.replace("<svg", f'<svg role="img" aria-label="{described}"', 1)


def html(title: str, chapters: tuple[Chapter, ...]) -> str:
    """The page: one file, no network, no script."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("mgd_hw", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = lambda value: "–" if value is None or value != value else f"{100 * value:.2f} %"
    environment.filters["number"] = lambda value: "–" if value is None or value != value else f"{value:,.4g}"
    environment.filters["whole"] = lambda value: "–" if value is None or value != value else f"{value:,.0f}"
    pictures = {chapter.title: Markup(_picture(chapter.compared)) for chapter in chapters if chapter.compared}
    return environment.get_template("report.html.j2").render(title=title, chapters=chapters, pictures=pictures)


def write(directory: Path, title: str, chapters: tuple[Chapter, ...]) -> None:
    """Write report.html and report.json into an existing directory."""
    (directory / "report.html").write_text(html(title, chapters), encoding="utf-8")
    found = {"title": title, "designs": [chapter.to_json() for chapter in chapters]}
    (directory / "report.json").write_text(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
