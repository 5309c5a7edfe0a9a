"""One page that shows what was made, what was proven, how well it learns and what it costs: report.html, and report.json beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.results import Result

if TYPE_CHECKING:
    from mgd_hw.comparison import Comparison
    from mgd_hw.flow import Cosimulated, Generated, Synthesised
    from mgd_hw.observation import Observed
    from mgd_hw.provenance import Provenance

__all__ = ["Chapter", "Reported", "html", "write"]


@dataclass(frozen=True)
class Chapter(Result):
    """What is known of one design; a part that was not done is None.

    Attributes
    ----------
    title : str
        Of the chapter.
    text : str
        The design file.
    generated, cosimulated, compared, synthesised, observed, provenance : results, or None
        Its parts.
    built : dict or None
        build.json of a bitstream of the same design.
    placement : str
        The picture of that, as svg; "" without one.
    """

    title: str
    text: str
    generated: Generated
    cosimulated: Cosimulated | None = None
    compared: Comparison | None = None
    synthesised: Synthesised | None = None
    observed: Observed | None = None
    provenance: Provenance | None = None
    built: dict[str, Any] | None = None
    placement: str = field(default="", repr=False)

    @property
    def good(self) -> bool:
        """Whether the core is equal to its model, as far as that was looked at, and no compared run diverged."""
        equal = self.cosimulated is None or self.cosimulated.equal
        return equal and (self.compared is None or not self.compared.diverged)

    @property
    def cycles(self) -> dict[str, Any]:
        """The cycle contract, from the manifest."""
        return self.generated.manifest.get("cycles", {})


@dataclass(frozen=True)
class Reported(Result):
    """A report of one design.

    Attributes
    ----------
    directory : Path
        Where report.html and report.json are.
    chapter : Chapter
        What they show.
    seconds : float
        It all took.
    """

    directory: Path
    chapter: Chapter
    seconds: float

    ALSO = ("good",)

    @property
    def good(self) -> bool:
        """Whether the core is equal to its model, as far as that was looked at, and no compared run diverged."""
        return self.chapter.good


def html(title: str, chapters: tuple[Chapter, ...]) -> str:
    """The page: one file, no network, no script."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from mgd_hw.report_sections import sections
    from mgd_hw.report_summary import QUESTIONS, summary

    environment = Environment(
        loader=PackageLoader("mgd_hw", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found = [(f"design-{number}", chapter, sections(chapter, f"design-{number}")) for number, chapter in enumerate(chapters, 1)]
    answers = list(zip(QUESTIONS, zip(*(summary(chapter) for chapter in chapters), strict=True), strict=True))
    return environment.get_template("report.html.j2").render(title=title, chapters=found, answers=answers)


def write(directory: Path, title: str, chapters: tuple[Chapter, ...]) -> None:
    """Write report.html and report.json into an existing directory."""
    (directory / "report.html").write_text(html(title, chapters), encoding="utf-8")
    from mgd_hw.report_summary import summary

    designs = [{**chapter.to_json(), "summary": [asdict(answer) for answer in summary(chapter)]} for chapter in chapters]
    found = {"title": title, "designs": designs}
    (directory / "report.json").write_text(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
