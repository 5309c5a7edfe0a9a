"""The two kinds of designs: of a network inside the core, and of a learner for a network outside."""

from __future__ import annotations

from typing import TypeGuard

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec

__all__ = ["network_inside"]


def network_inside(spec: LearningSpec) -> TypeGuard[DesignSpec]:
    """Return whether the network of a design is inside the core, rather than outside.

    Raises
    ------
    TypeError
        If the design is of neither kind.
    """
    if isinstance(spec, DesignSpec):
        return True
    if isinstance(spec, LearnerSpec):
        return False
    raise unknown("Design", spec, "python_ref.spec.kinds.network_inside")
