"""The refusals of :mod:`python_ref.spec.error`, under the names that this package uses."""

from __future__ import annotations

from python_ref.spec.error import Refusal, ToolError, shown

__all__ = ["ToolError", "UserError", "shown"]

UserError = Refusal
"""The former name of :class:`~python_ref.spec.error.Refusal`."""
