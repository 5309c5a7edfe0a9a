"""All properties that are proved, in the order of the table."""

from __future__ import annotations

from tests.formal import signs

__all__ = ["PROPERTIES"]

PROPERTIES = (*signs.PROPERTIES,)
"""Every property; their names are unique."""
