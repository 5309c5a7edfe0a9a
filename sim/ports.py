"""The ports of a core, as a simulation drives and records them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from python_ref.spec.design import DesignSpec

__all__ = ["EVENTS", "Field", "Ports"]

EVENTS = ("neuron", "cost", "step", "word", "learned")
"""Kinds of events, in the order of the bits of ``probe_stb``."""


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
    """The ports of a core.

    Attributes
    ----------
    top : str
        Name of the Verilog module that has them.
    sample_width : int
        Bits of a word of the sample stream.
    events : dict of str to tuple of Field
        Payload of each kind of event.
    """

    top: str
    sample_width: int
    events: Mapping[str, tuple[Field, ...]]

    @classmethod
    def of(cls, spec: DesignSpec) -> Ports:
        """The ports of a design's core."""
        from rtl_gen.probe import event_tables

        return cls.from_tables(f"{spec.name}_core", max(spec.formats.input.width, spec.formats.activation.width), event_tables(spec))

    @classmethod
    def from_tables(cls, top: str, sample_width: int, tables: Mapping[str, list[dict]]) -> Ports:
        """From the plain tables of a manifest."""
        if set(tables) != set(EVENTS):
            raise ValueError(f"Event tables must be those of {', '.join(EVENTS)}, not of {', '.join(tables) or 'nothing'}")
        return cls(top, sample_width, {event: tuple(Field(**row) for row in tables[event]) for event in EVENTS})

    def payload_width(self, event: str) -> int:
        """Bits of an event's payload."""
        return max(field.offset + field.width * field.count for field in self.events[event])

    def payload_words(self, event: str) -> int:
        """32-bit words that hold a payload."""
        return -(-self.payload_width(event) // 32)

    @property
    def inputs(self) -> dict[str, int]:
        """Widths of the inputs, by their names in Verilog."""
        return {
            "clk": 1,
            "rst": 1,
            "request__payload": 41,
            "request__valid": 1,
            "response__ready": 1,
            "sample__payload": self.sample_width,
            "sample__valid": 1,
        }

    @property
    def outputs(self) -> dict[str, int]:
        """Widths of the outputs, by their names in Verilog."""
        return {
            "request__ready": 1,
            "response__payload": 32,
            "response__valid": 1,
            "sample__ready": 1,
            "busy": 1,
            "probe_stb": len(EVENTS),
            **{f"probe_{event}": self.payload_width(event) for event in EVENTS},
        }
