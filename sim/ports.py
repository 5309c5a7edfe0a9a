"""Ports of a core as a simulation drives and records them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.events import event_fields
from python_ref.spec.learner import LearnerSpec, stream_names
from python_ref.spec.learning import LearningSpec

__all__ = ["Field", "Ports"]


@dataclass(frozen=True)
class Field:
    """A field of an event's payload: ``count`` elements of ``width`` bits, the first at bit ``offset``."""

    name: str
    offset: int
    width: int
    signed: bool
    count: int


@dataclass(frozen=True)
class Ports:
    """Ports of a core, and the layouts of its events.

    Attributes
    ----------
    top : str
        Name of the core's Verilog module.
    sample_width : int
        Width of a word of the stream that the simulation sends, in bits.
    events : dict of str to tuple of Field
        Fields of the payload of each kind of event, in the order of the bits of ``probe_stb``.
    stream : str
        Name of the stream that the simulation sends: ``"sample"``, or in a learner ``"cost"``.
    taken : tuple of str
        Names of the streams that the simulation takes from the core without looking at their payload: those of a learner to the outside.
    """

    top: str
    sample_width: int
    events: Mapping[str, tuple[Field, ...]]
    stream: str = "sample"
    taken: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: LearningSpec) -> Ports:
        """Return the ports of a design's core."""
        events = {
            event: tuple(Field(field.name, field.offset, field.width, field.signed, field.count) for field in fields)
            for event, fields in event_fields(spec).items()
        }
        match spec:
            case LearnerSpec():
                return cls(f"{spec.module}_core", spec.formats.cost.width, events, "cost", (*stream_names(spec), "sample"))
            case DesignSpec():
                return cls(f"{spec.module}_core", spec.sample_width, events)
            case _:
                raise unknown("Design", spec, "sim.ports.Ports.of")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of events, in the order of the bits of ``probe_stb``."""
        return tuple(self.events)

    def payload_width(self, event: str) -> int:
        """Width of an event's payload, in bits."""
        return max(field.offset + field.width * field.count for field in self.events[event])

    def payload_words(self, event: str) -> int:
        """Number of 32-bit words that hold an event's payload."""
        return -(-self.payload_width(event) // 32)

    @property
    def inputs(self) -> dict[str, int]:
        """Widths of the core's inputs, by their names in Verilog."""
        return {
            "clk": 1,
            "rst": 1,
            "request__payload": 41,
            "request__valid": 1,
            "response__ready": 1,
            f"{self.stream}__payload": self.sample_width,
            f"{self.stream}__valid": 1,
            **{f"{name}__ready": 1 for name in self.taken},
        }

    @property
    def outputs(self) -> dict[str, int]:
        """Widths of the core's outputs, by their names in Verilog."""
        return {
            "request__ready": 1,
            "response__payload": 32,
            "response__valid": 1,
            f"{self.stream}__ready": 1,
            "busy": 1,
            "probe_stb": len(self.events),
            **{f"probe_{event}": self.payload_width(event) for event in self.events},
        }
