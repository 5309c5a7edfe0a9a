"""All properties that are proved, in the order of the table."""

from __future__ import annotations

from tests.formal import buses, learners, memories, probes, schedule, signs, streams, uart, updates, vectors

__all__ = ["PROPERTIES"]

PROPERTIES = (
    *signs.PROPERTIES,
    *vectors.PROPERTIES,
    *streams.PROPERTIES,
    *uart.PROPERTIES,
    *schedule.PROPERTIES,
    *memories.PROPERTIES,
    *updates.PROPERTIES,
    *learners.PROPERTIES,
    *probes.PROPERTIES,
    *buses.PROPERTIES,
)
"""Every property; their names are unique."""
