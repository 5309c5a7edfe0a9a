"""The page in a real browser, headless: as wide as a telephone and as a desk, printed, and searched by axe-core for what bars anyone.

``pip install '.[test,browser]'``, Chromium (``playwright install chromium``, or your system's), then ``pytest -m browser``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mgd_hw.reports.page import write
from tests.support import sample_results

pytestmark = pytest.mark.browser

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
"""Browsers of a system, taken before that of Playwright."""
WIDTHS = (400, 1600)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write(folder, "A report", sample_results.chapters(folder))
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program)
        yield started
        started.close()


@pytest.fixture(params=WIDTHS)
def page(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": request.param, "height": 900})
    opened.said = []
    opened.on("request", lambda asked: opened.said.append(asked.url))
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.goto(report.as_uri())
    yield opened
    opened.close()


def test_it_asks_for_nothing_and_complains_of_nothing(page: Any, report: Path) -> None:
    assert page.said == [report.as_uri()]


def test_axe_finds_nothing(page: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    assert found.response["passes"]
    assert found.violations_count == 0, found.generate_report()


def test_axe_finds_what_is_planted(page: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate("document.querySelector('svg[role=img]').removeAttribute('aria-labelledby')")
    page.evaluate("document.querySelector('svg[role=img] > title').remove()")
    page.evaluate("document.querySelector('p').style.color = '#999999'")
    assert {rule["id"] for rule in Axe().run(page).response["violations"]} >= {"svg-img-alt", "color-contrast"}


def test_nothing_is_wider_than_the_page(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    script = """() => [...document.querySelectorAll('h1, h2, h3, p, figure, figcaption, .scroll, pre, li')]
        .filter(each => each.getBoundingClientRect().right > innerWidth + 1).map(each => each.outerHTML.slice(0, 80))"""
    assert page.evaluate(script) == []


def test_every_picture_is_drawn_and_large_enough_to_read(page: Any) -> None:
    boxes = page.evaluate("[...document.querySelectorAll('figure svg')].map(each => [each.clientWidth, each.clientHeight])")
    assert len(boxes) > 12
    assert all(width >= 300 and height >= 100 for width, height in boxes)


def test_tables_are_reached_by_keyboard(page: Any) -> None:
    """What is cut off can be scrolled to without a mouse."""
    script = """() => [...document.querySelectorAll('*')].filter(each => each.scrollWidth > each.clientWidth + 1
        && ['auto', 'scroll'].includes(getComputedStyle(each).overflowX) && each.tabIndex < 0).length"""
    assert page.evaluate(script) == 0


def test_it_prints(page: Any, tmp_path: Path) -> None:
    """On paper nothing scrolls, so nothing may be cut off: on A4, with the margins of the page, at 96 pixels an inch."""
    page.emulate_media(media="print")
    page.set_viewport_size({"width": round((210 - 32) / 25.4 * 96), "height": 1000})
    script = """() => [...document.querySelectorAll('table, pre, figure')]
        .filter(each => each.getBoundingClientRect().right > innerWidth + 1).map(each => each.outerHTML.slice(0, 120))"""
    assert page.evaluate(script) == []
    assert page.locator("nav").is_hidden()
    assert page.pdf(format="A4").startswith(b"%PDF")
