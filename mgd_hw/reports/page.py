"""Files of a report: report.html, a self-contained page without scripts, and report.json with the same data."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from mgd_hw.reports.chapter import Chapter
from mgd_hw.reports.sections import sections
from mgd_hw.reports.summary import QUESTIONS, summary

__all__ = ["html", "write"]


def html(title: str, chapters: tuple[Chapter, ...]) -> str:
    """Return the HTML of a report: a self-contained page that loads nothing from the network and runs no scripts."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mgd_hw.reports", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found = [(f"design-{number}", chapter, sections(chapter, f"design-{number}")) for number, chapter in enumerate(chapters, 1)]
    answers = list(zip(QUESTIONS, zip(*(summary(chapter) for chapter in chapters), strict=True), strict=True))
    return environment.get_template("report.html.j2").render(title=title, chapters=found, answers=answers)


def write(directory: Path, title: str, chapters: tuple[Chapter, ...]) -> None:
    """Write report.html and report.json into an existing directory."""
    (directory / "report.html").write_text(html(title, chapters), encoding="utf-8")
    designs = [{**chapter.to_json(), "summary": [asdict(answer) for answer in summary(chapter)]} for chapter in chapters]
    found = {"title": title, "designs": designs}
    (directory / "report.json").write_text(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
