"""Marks of parametrised cases."""

from __future__ import annotations

from typing import Any

import pytest


def slow_unless(quick: bool) -> Any:
    """The mark of a case that only the slow suite runs, unless it is quick."""
    return () if quick else pytest.mark.slow


def long_unless(quick: bool) -> Any:
    """The marks of a case that only the long part of the slow suite runs, unless it is quick."""
    return () if quick else (pytest.mark.slow, pytest.mark.long)
