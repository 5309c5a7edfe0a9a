"""Running signatures of a core's events, which allow a step-by-step comparison of long runs without recording them.

Each event becomes a 32-bit word, the XOR of the 32-bit words of its packed payload. A register of 32 bits starts with all ones. For each
word, it advances by one bit as that of CRC-32 (ISO-HDLC, as in zlib) does, and is XORed with the word. A word is thus divided by the
polynomial as in CRC-32, but overlaps the next one; this takes 32 gates instead of about 200. A signature is the complement of such a
register; there are two. The forward signature covers one word for each pass, in the order of the passes, and after those of a step one
word for its C̃. The word of a pass is the XOR of the word of its cost event and of a register of its own, which covers its neuron events.
So the forward signature does not depend on how passes overlap in time. The learned signature covers the words of the word events; in node
perturbation, the last word of a presentation is XORed with a register over its error events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from python_ref.fixed.network import evaluated
from python_ref.spec.design import DesignSpec
from python_ref.spec.events import POLYNOMIAL, UNSIGNED_FIELDS, EventField, event_fields

__all__ = ["INITIAL", "event_words", "extend", "extend_presentation", "extend_series", "fold", "signed"]

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
        Values of each field by its name: shape (events,), or (events, lanes) for a field with an element per lane; others are ignored.
    """
    words = np.zeros(len(values[fields[0].name]), dtype=np.uint32)
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


def register_of(words: np.ndarray) -> int:
    """Return the register that starts with all ones after words (uint32)."""
    return signed(INITIAL[0], words) ^ 0xFFFFFFFF


def extend_presentation(
    spec: DesignSpec, signature: tuple[int, int], observed: Mapping[str, np.ndarray], signs: np.ndarray, begins: bool, ends: bool
) -> tuple[int, int]:
    """Return the signatures of node perturbation extended by one step.

    Parameters
    ----------
    spec : DesignSpec
        Design that determines the fields of the events and their widths.
    signature : (int, int)
        Forward and learned signature before the step, 32 bits each.
    observed : mapping of str to array of int64
        Raw observables recorded in the step, by the names of ``probes(spec)``.
    signs : array of int64, shape (neurons,)
        Signs of the step, 0 outside of the part that it perturbs.
    begins, ends : bool
        Whether the step begins a presentation, with an unperturbed pass, and whether it ends one.
    """
    shown = [evaluated(spec, signs, number) for number in range(spec.passes)]
    return _extended(spec, signature, observed, begins, ends, shown, np.ones(spec.quantities, dtype=bool))


def extend_series(
    spec: DesignSpec, signature: tuple[int, int], observed: Mapping[str, np.ndarray], length: int, begins: bool, ends: bool
) -> tuple[int, int]:
    """Return the signatures of a network with state extended by one step, whose sample has ``length`` frames.

    The other parameters are those of :func:`extend_presentation`.
    """
    shown = [spec.unrolled.evaluated(length)] * spec.passes
    return _extended(spec, signature, observed, begins, ends, shown, spec.shown_errors(length))


def _extended(
    spec: DesignSpec,
    signature: tuple[int, int],
    observed: Mapping[str, np.ndarray],
    begins: bool,
    ends: bool,
    shown: Sequence[np.ndarray],
    quantities: np.ndarray,
) -> tuple[int, int]:
    """Return the signatures extended by a step.

    ``shown`` tells which evaluations each pass shows (bool, shape (evaluations,)), and ``quantities`` which errors the end of a
    presentation shows: a mask (bool, shape (quantities,)), or their numbers in their order (int64).
    """
    fields = event_fields(spec)
    words = [_pass_word(fields, observed, number, shown[number]) for number in range(0 if begins else 1, spec.passes)]
    words += event_words(fields["step"][:1], observed).tolist()
    forward = signed(signature[0], np.array(words, dtype=np.uint32))
    if not ends:
        return forward, signature[1]
    last = event_words(fields["word"], _by_word(spec, observed))
    last[-1] ^= register_of(event_words(fields["error"], {"error": observed["error"][quantities]}))
    return forward, signed(signature[1], last)


def _pass_word(fields: Mapping[str, tuple[EventField, ...]], observed: Mapping[str, np.ndarray], number: int, shown: np.ndarray) -> int:
    """Return the word of pass ``number``, which shows the evaluations ``shown`` (bool, shape (evaluations,))."""
    neuron = tuple(field for field in fields["neuron"] if field.name not in UNSIGNED_FIELDS)
    rows = {"pass": np.full(np.count_nonzero(shown), number)}
    rows |= {field.name: observed[field.name][number][shown] for field in neuron[1:]}
    (cost,) = event_words(fields["cost"], {"pass": np.array([number]), "cost": observed["cost"][number : number + 1]})
    return register_of(event_words(neuron, rows)) ^ int(cost)


def _by_word(spec: DesignSpec, observed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the observables that the event ``word`` shows for each lane (shape (words, lanes)), 0 for a lane without a neuron."""
    layout, rows = spec.layout, {}
    for field in event_fields(spec)["word"]:
        if field.per_lane:
            rows[field.name] = np.zeros((layout.words, spec.hardware.lanes), dtype=np.int64)
            rows[field.name][layout.parameter_word, layout.parameter_lane] = observed[field.name]
    return rows


def extend(
    spec: DesignSpec, signature: tuple[int, int], observed: Mapping[str, np.ndarray], passes: tuple[int, ...] = (0, 1), length: int = 1
) -> tuple[int, int]:
    """Return the signatures of weight perturbation extended by one step.

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
    length : int
        Number of frames of the sample, in a network with state.
    """
    fields, shown = event_fields(spec), spec.unrolled.evaluated(length)
    words = [_pass_word(fields, observed, number, shown) for number in passes]
    words += event_words(fields["step"][:1], observed).tolist()  # C̃ is the first field of the step event
    rows = {"broadcast": observed["broadcast"], **_by_word(spec, observed)}
    return signed(signature[0], np.array(words, dtype=np.uint32)), signed(signature[1], event_words(fields["word"], rows))
