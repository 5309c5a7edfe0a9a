"""One page that shows what was made, what was proven, how well it learns and what it costs: report.html, and report.json beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.common import style
from mgd_hw.common.results import Result

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from mgd_hw.flow import Cosimulated, Generated, Synthesised
    from mgd_hw.learn.compare import Comparison
    from mgd_hw.learn.profile import Observed
    from mgd_hw.reports.provenance import Provenance

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

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in (self.chapter.cosimulated, self.chapter.compared, self.chapter.synthesised):
            if part is not None:
                yield part
        yield f"\nWrote {style.escape(str(self.directory / 'report.html'))} and report.json in {self.seconds:.0f} s"


def html(title: str, chapters: tuple[Chapter, ...]) -> str:
    """The page: one file, no network, no script."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from mgd_hw.reports.sections import sections

    environment = Environment(
        loader=PackageLoader("mgd_hw.reports", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found = [(f"design-{number}", chapter, sections(chapter, f"design-{number}")) for number, chapter in enumerate(chapters, 1)]
    return environment.get_template("report.html.j2").render(title=title, chapters=found)


def write(directory: Path, title: str, chapters: tuple[Chapter, ...]) -> None:
    """Write report.html and report.json into an existing directory."""
    (directory / "report.html").write_text(html(title, chapters), encoding="utf-8")
    found = {"title": title, "designs": [chapter.to_json() for chapter in chapters]}
    (directory / "report.json").write_text(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
