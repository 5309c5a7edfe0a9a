"""The page: whole, readable without a network, by eye and by ear."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mgd_hw import comparison, flow
from mgd_hw.config import load
from mgd_hw.data import load as load_data
from mgd_hw.report import Chapter, html, write
from tests.mgd_hw.made import COSIMULATED, DIFFERENT, SYNTHESISED

VOID = {"meta", "link", "br", "hr", "img", "input", "col"}


class Page(HTMLParser):
    """Checks that every element closes, and gathers what matters."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[int] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def chapters(tmp_path_factory: pytest.TempPathFactory) -> tuple[Chapter, ...]:
    design = load("xor")
    out = tmp_path_factory.mktemp("out")
    generated = flow.generate(design, out)
    compared = comparison.compare(design, load_data(design.data), seeds=2, steps=200)
    return (
        Chapter("XOR", design.text, generated, COSIMULATED, compared, SYNTHESISED),
        Chapter("Another <b>", design.text, generated, DIFFERENT),
    )


def test_page_is_well_formed_and_says_it_all(chapters: tuple[Chapter, ...]) -> None:
    text = html("A report", chapters)
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    for words in ("Equal, bit for bit", "Different:", "step &lt;3&gt; &amp; so on", "Another &lt;b&gt;", "back-propagation", "LUTs"):
        assert words in text


def test_page_needs_nothing_else(chapters: tuple[Chapter, ...]) -> None:
    text = html("A report", chapters)
    page = Page()
    page.feed(text)
    for tag, attributes in page.attributes:
        assert tag not in {"script", "link", "iframe", "img"}
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href"):
                assert value is None or value.startswith("#"), (tag, value)
    assert "@import" not in text
    assert not re.search(r"url\((?!#|&quot;#)", text)


def test_page_can_be_heard(chapters: tuple[Chapter, ...]) -> None:
    text = html("A report", chapters)
    page = Page()
    page.feed(text)
    tags = dict(page.attributes)
    assert tags["html"]["lang"] == "en"
    pictures = [attributes for tag, attributes in page.attributes if tag == "svg"]
    assert len(pictures) == 1
    assert pictures[0]["role"] == "img"
    assert re.search(r"float MGD \d+\.\d %, fixed MGD .*, back-propagation", str(pictures[0]["aria-label"]))
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in page.attributes if tag == "th")
    assert text.count("<caption>") == text.count("<table>")


def test_files_are_written(chapters: tuple[Chapter, ...], tmp_path: Path) -> None:
    write(tmp_path, "A report", chapters)
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["designs"][0]["compared"]["fixed"]["accuracy_mean"] >= 0
    assert found["designs"][1]["cosimulated"]["mismatches"] == 5
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_same_page_twice(chapters: tuple[Chapter, ...]) -> None:
    assert html("A report", chapters) == html("A report", chapters)
