"""Marks of parametrised cases."""

from __future__ import annotations

from typing import Any

import pytest

SLOW = (pytest.mark.slow,)
"""The mark of a case that only the slow suite runs."""
LONG = (pytest.mark.slow, pytest.mark.long)
"""The marks of a case that only the long part of the slow suite runs."""


def in_turn(number: int, every: int) -> Any:
    """The marks of case ``number`` of many that are alike: one of ``every`` runs in the slow suite, and all run in its long part."""
    return LONG if number % every else SLOW


def slow_unless(quick: bool) -> Any:
    """The mark of a case that only the slow suite runs, unless it is quick."""
    return () if quick else SLOW


def long_unless(quick: bool) -> Any:
    """The marks of a case that only the long part of the slow suite runs, unless it is quick."""
    return () if quick else LONG
