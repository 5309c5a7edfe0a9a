"""Running signatures of a core's events, which allow a step-by-step comparison of long runs without recording them.

Each event becomes a 32-bit word, the XOR of the 32-bit words of its packed payload. A register of 32 bits starts with all ones. For each
word, it advances by one bit as that of CRC-32 (ISO-HDLC, as in zlib) does, and is XORed with the word. A word is thus divided by the
polynomial as in CRC-32, but overlaps the next one; this takes 32 gates instead of about 200. A signature is the complement of such a
register; there are two. The learned signature covers the words of the word events. The forward signature covers one word for each pass,
in the order of the passes, and after those of a step one word for its C̃. The word of a pass is the XOR of the word of its cost event
and of a register of its own, which covers its neuron events. So the forward signature does not depend on how passes overlap in time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from python_ref.spec.design import DesignSpec
from python_ref.spec.events import POLYNOMIAL, EventField, event_fields

__all__ = ["INITIAL", "event_words", "extend", "fold", "signed"]

INITIAL = (0, 0)
"""Forward and learned signature before the first event."""


def fold(values: np.ndarray, width: int, offset: int) -> np.ndarray:
    """Return the contribution (uint32) of values of ``width`` bits at bit ``offset`` of a payload to the words of their events."""
    bits = np.asarray(values, dtype=np.int64).view(np.uint64) & np.uint64((1 << width) - 1)
    folded = (bits ^ (bits >> np.uint64(32))).astype(np.uint32)
    turn = offset % 32
    return (folded << np.uint32(turn)) | (folded >> np.uint32(32 - turn)) if turn else folded


def event_words(fields: tuple[EventField, ...], values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the words of a series of events (uint32, shape (events,)).

    Parameters
    ----------
    fields : tuple of EventField
        Fields of the events' payload, with the position of each in the packed bits.
    values : mapping of str to array of int64
        Values of each field by its name: shape (events,), or (events, lanes) for a field with an element per lane.
    """
    words = np.zeros(len(next(iter(values.values()))), dtype=np.uint32)
    for field in fields:
        columns = values[field.name].reshape(len(words), field.count)
        for element in range(field.count):
            words ^= fold(columns[:, element], field.width, field.offset + element * field.width)
    return words


def signed(signature: int, words: np.ndarray) -> int:
    """Return a signature extended by words (uint32)."""
    return _register(signature ^ 0xFFFFFFFF, words) ^ 0xFFFFFFFF


def _register(register: int, words: np.ndarray) -> int:
    """Return a register after words (uint32)."""
    for word in words.tolist():
        register = register >> 1 ^ POLYNOMIAL * (register & 1) ^ word
    return register


def extend(
    spec: DesignSpec, signature: tuple[int, int], observed: Mapping[str, np.ndarray], passes: tuple[int, ...] = (0, 1)
) -> tuple[int, int]:
    """Return the signatures extended by one step.

    Parameters
    ----------
    spec : DesignSpec
        Design that determines the fields of the events and their widths.
    signature : (int, int)
        Forward and learned signature before the step, 32 bits each.
    observed : mapping of str to array of int64
        Raw observables recorded in the step, by the names of ``probes(spec)``.
    passes : tuple of int
        Numbers of the passes that the step ran.
    """
    fields = event_fields(spec)
    forward, learned = signature
    neurons = spec.network.n_neurons
    for number in passes:
        rows = {
            "pass": np.full(neurons, number),
            "preactivation": observed["preactivation"][number],
            "activation": observed["activation"][number],
        }
        register = _register(0xFFFFFFFF, event_words(fields["neuron"], rows))
        costs = {"pass": np.array([number]), "cost": observed["cost"][number : number + 1]}
        forward = signed(forward, event_words(fields["cost"], costs) ^ np.uint32(register))
    change = fields["step"][:1]  # C̃ is the first field of the step event
    forward = signed(forward, event_words(change, {"cost_change": observed["cost_change"]}))
    layout = spec.layout
    rows = {"broadcast": observed["broadcast"]}
    for field in fields["word"]:
        if field.per_lane:
            placed = np.zeros((layout.words, spec.hardware.lanes), dtype=np.int64)
            placed[layout.parameter_word, layout.parameter_lane] = observed[field.name]
            rows[field.name] = placed
    return forward, signed(learned, event_words(fields["word"], rows))
