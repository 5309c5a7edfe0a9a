"""Marks of parametrised cases."""

from __future__ import annotations

from typing import Any

import pytest


def slow_unless(quick: bool) -> Any:
    """The mark of a case that only the slow suite runs, unless it is quick."""
    return () if quick else pytest.mark.slow
