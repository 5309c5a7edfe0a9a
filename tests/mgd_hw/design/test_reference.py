"""The page about the design file says what the reader does."""

from __future__ import annotations

import re
from pathlib import Path

from mgd_hw.design.keys import KEYS
from mgd_hw.design.reader import parse
from mgd_hw.design.reference import page

DOCS = Path(__file__).parents[3] / "docs" / "reference"
COMMAND = "python -m mgd_hw.design.reference > docs/reference/design-file.md"


def test_page_is_up_to_date() -> None:
    assert (DOCS / "design-file.md").read_text(encoding="utf-8") == page(), COMMAND


def test_page_has_every_key() -> None:
    for key in KEYS:
        assert f"| `{key.name}` | " in page()
        assert key.meaning.endswith(".")


def test_examples_on_the_page_are_designs() -> None:
    examples = re.findall(r"```toml\n(.*?)```", page(), re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        parse(example, "example.toml")
