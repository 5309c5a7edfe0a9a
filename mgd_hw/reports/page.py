"""The page: report.html, one file without network and script, and report.json beside it."""

from __future__ import annotations

import json
from pathlib import Path

from mgd_hw.reports.chapter import Chapter
from mgd_hw.reports.sections import sections

__all__ = ["html", "write"]


def html(title: str, chapters: tuple[Chapter, ...]) -> str:
    """The page: one file, no network, no script."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

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
