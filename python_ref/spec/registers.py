"""The host's view of a core: its registers, its commands, and the protocol that every link to it implements.

All data are 32-bit words. A quantity wider than that takes consecutive addresses, its low word first; signed quantities
are sign-extended. Writes take effect only while the core is idle, except the command STOP. Counts and costs that are read
during a run may be some tens of cycles old; after it, the core answers the first request once all counts are complete.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import SATURATION_KINDS, LearningSpec
from python_ref.spec.optimizer import Memory
from python_ref.spec.perturbation import Trinomial, stochastic_generator

__all__ = [
    "ERROR_SUMS",
    "MAGIC",
    "Command",
    "Link",
    "Memory",
    "Register",
    "Status",
    "address_range",
    "adjustable_periods",
    "error_sum_words",
    "memory_number_bits",
    "phase_bits",
    "register_map",
    "stream_beats",
    "stream_generators",
    "stream_widths",
    "stream_words",
]

MAGIC = 0x4D474432
"""Content of the register ``magic``: "MGD2"."""

ERROR_SUMS = 7
"""Number of the memory of E in the register ``select``, in node perturbation; the host reads it, and cannot write it."""


class Command(enum.IntEnum):
    """Commands, which a write to the register ``command`` executes."""

    TRAIN = 1
    """Run ``count`` steps, then apply what is complete in one flushing pass, then idle. In node perturbation, a presentation is complete at
    its last step; one that is open remains, and the next run continues it."""
    INFER = 2
    """Take ``count`` samples, one unperturbed pass each; check and count the answers, change no parameter. The next training
    step takes a new sample and a new baseline, as after parameters are loaded; an open presentation is discarded."""
    STOP = 3
    """End a run at the next step boundary, as if ``count`` had run out there."""
    RESTART = 4
    """Continue p and the streams from the words written to ``stream``, begin all periods anew, set the counts of steps and updates to 0,
    and require a new sample and a new baseline; G and the optimiser's state stay as they are, an open presentation is discarded."""
    CLEAR = 5
    """Set the counters correct, writes, changed, saturations and cycles to 0, and restart the signatures."""
    DISCARD = 6
    """Drop the loaded samples that no step has taken; the next word of the stream is the first of a sample."""


class Status(enum.IntFlag):
    """Bits of the register ``status``."""

    BUSY = 1
    """A run or its flushing pass is in progress."""
    STARVED = 2
    """A step waits for a sample; in a learner, for its index to be taken."""
    LATE = 4
    """A cost did not come in time, so that the run ended with an abandoned step; only in a learner."""


@dataclass(frozen=True)
class Register:
    """A register of the core.

    Attributes
    ----------
    name : str
        Identifier of the register, its key in :func:`register_map`.
    address : int
        Address of its first word.
    words : int
        Number of 32-bit words.
    access : str
        Permitted accesses of the host: "r", "w" or "rw".
    meaning : str
        Description of the contents and, where it matters, of their encoding.
    """

    name: str
    address: int
    words: int
    access: str
    meaning: str


def phase_bits(spec: LearningSpec) -> int:
    """Return the number of bits of the phase, which is the only part of p that a core stores."""
    return spec.code.phase_bits(spec.quantities)


def stream_generators(spec: LearningSpec) -> tuple[Trinomial, ...]:
    """Return the generators whose states the host loads: those of the signs in order, that of stochastic rounding if there is one, and that
    of the thresholds if there are stochastic neurons."""
    rounding = (stochastic_generator(spec.stochastic_bits),) if spec.stochastic_bits else ()
    drawing = (spec.thresholds.generator,) if isinstance(spec, DesignSpec) and spec.thresholds else ()
    return (*spec.sign_generators, *rounding, *drawing)


def stream_widths(spec: LearningSpec) -> tuple[int, ...]:
    """Return the number of bits that each stream takes from a beat of the register ``stream``.

    The streams are the phase, and those of :func:`stream_generators` in order. A generator takes as many bits as it draws at once.
    """
    return (phase_bits(spec), *(generator.outputs for generator in stream_generators(spec)))


def stream_beats(spec: LearningSpec) -> int:
    """Return the number of beats that fill every generator's state; each beat pushes its bits in at the top."""
    return max((-(-generator.degree // generator.outputs) for generator in stream_generators(spec)), default=1)


def stream_words(spec: LearningSpec) -> int:
    """Return the number of 32-bit words of all beats.

    Each beat is rounded up to whole words, with the bits of the first stream lowest.
    """
    return stream_beats(spec) * -(-sum(stream_widths(spec)) // 32)


def error_sum_words(spec: LearningSpec) -> int:
    """Return the number of 32-bit words of a neuron's E in the memory :data:`ERROR_SUMS`; 0 in weight perturbation.

    Neuron j has the words from address j times this number on, its low word first; the high word is sign-extended.
    """
    return -(-spec.error_sum_format.width // 32) if isinstance(spec, DesignSpec) and spec.node else 0


def memory_number_bits(spec: LearningSpec) -> int:
    """Return the number of bits of a memory's number in the register ``select``, for the memories of the design's kind of perturbation."""
    return max(*Memory, ERROR_SUMS if error_sum_words(spec) else 0).bit_length()


def address_range(spec: LearningSpec) -> range:
    """Return the range of the register ``address``, which covers every memory."""
    return range(max(2, spec.layout.words, error_sum_words(spec) * (spec.quantities if spec.node else 0)))


def adjustable_periods(spec: LearningSpec) -> frozenset[str]:
    """Return the names of the period registers that a core has; the other periods are always 1, and writes to them are ignored.

    τ_p is adjustable if the design has τ_p > 1, since only such a core stores the state that repeats the signs; τ_θ is adjustable if
    there is a gradient memory, or, in node perturbation, if the design has τ_θ > 1.
    """
    update = spec.gradient_memory or (spec.node and spec.schedule.update_period > 1)
    built = {"perturbation_period": spec.holds_signs, "sample_period": True, "update_period": update}
    return frozenset(name for name, is_built in built.items() if is_built)


def _learner_rows(rows: list[tuple[str, int, int, str, str]]) -> list[tuple[str, int, int, str, str]]:
    """Return the registers of a learner, of which ``rows`` are those of weight perturbation."""
    absent = ("correct", "saturated_activation", "saturated_error")
    own = [
        ("status", 0x03, 1, "r", "bit 0 busy, bit 1 waiting for a sample's index to be taken, bit 2 a cost did not come in time"),
        ("command", 0x04, 1, "w", "1 train, 3 stop, 4 restart, 5 clear counters; 2 and 6 have no effect"),
        ("settle", 0x20, 1, "w", "cycles from apply_stb to measure_ready, less two; from 0"),
        ("timeout", 0x21, 1, "w", "cycles without a cost word after which a step is abandoned; from 1"),
        ("average", 0x22, 1, "w", "a: the mean of 2^a cost words is taken; from 0, within what was built"),
        ("samples", 0x23, 1, "w", "S, the number of samples that the outside has, from 1"),
        ("cost", 0x28, 4, "r", "C of pass 0, then of pass 1, two words each, signed"),
    ]
    others = [row for row in rows if row[0] not in (*absent, *(name for name, *_ in own))]
    return sorted([*others, *own], key=lambda row: row[1])


def _series_rows(spec: LearningSpec, rows: list[tuple[str, int, int, str, str]]) -> list[tuple[str, int, int, str, str]]:
    """Return the registers, with that of the segments of a network with state if there are any."""
    if not isinstance(spec, DesignSpec) or not spec.segmented:
        return rows
    frames, segments = spec.network.frames, spec.unrolled.segments
    meaning = f"H in frames, from {-(-frames // segments)} to {frames}: that many frames have one sign; in force from RESTART"
    return sorted([*rows, ("hold", 0x0E, 1, "w", meaning)], key=lambda row: row[1])


def register_map(spec: LearningSpec) -> dict[str, Register]:
    """Return the registers of a core by name, in the order of their addresses."""
    memories = ", ".join(f"{memory:d} {memory.name.lower()}" for memory in Memory) + (f", {ERROR_SUMS} E by neuron" if spec.node else "")
    most, without, whole = "", "only 1", ""
    scaled = "; of shift-Adam r + b, log2 of the rate and of the bias correction" if spec.optimizer.scales_update else ""
    if isinstance(spec, DesignSpec) and spec.node:
        most = f"; τ_x or τ_θ is at most {spec.longest_presentation}, the longest presentation that was built"
        without = "only 1, or as built, where the design has τ_θ = 1; it divides τ_x"
        whole = f", a multiple of the {spec.round.probes} probes of a round" if spec.in_parts else ""
    rows = [
        ("magic", 0x00, 1, "r", "0x4D474432"),
        ("digest", 0x01, 2, "r", "digest of the structure"),
        ("status", 0x03, 1, "r", "bit 0 busy, bit 1 waiting for a sample"),
        ("command", 0x04, 1, "w", "1 train, 2 infer, 3 stop, 4 restart, 5 clear counters, 6 discard samples"),
        ("count", 0x05, 1, "w", "steps of the next run, which counts them down: after a stop, those that are left; 0 after a reset"),
        ("exponent", 0x06, 1, "w", "e = log2(η/Δ), or log2(η/2Δ) where two-sided" + scaled + "; signed, within what was built"),
        ("perturbation_period", 0x07, 1, "w", "τ_p in steps, from 1; as built where the design has τ_p = 1; in force from RESTART"),
        ("sample_period", 0x08, 1, "w", f"τ_x in steps, from 1{whole}{most}; in force from RESTART"),
        ("update_period", 0x09, 1, "w", f"τ_θ in steps, from 1{whole}; {without} without a gradient memory; in force from RESTART"),
        ("select", 0x0A, 1, "w", f"lane (bits 0 to 15) and memory (bits 16 and up: {memories})"),
        ("address", 0x0B, 1, "w", "word in the selected memory"),
        ("data", 0x0C, 1, "rw", "the addressed word; then address counts up by one"),
        ("stream", 0x0D, 1, "w", "next word of the streams' states, shifted in at once; all of them, first word first, then RESTART"),
        ("steps", 0x10, 1, "r", "steps since RESTART"),
        ("updates", 0x11, 1, "r", "updates since RESTART"),
        ("correct", 0x12, 1, "r", "correct answers"),
        ("writes", 0x14, 2, "r", "parameter writes"),
        ("changed", 0x16, 2, "r", "parameter writes that changed the parameter"),
        ("cycles", 0x18, 2, "r", "cycles in runs, waits for samples excepted"),
        ("cost", 0x28, 4, "r", "C of pass 0, then of pass 1, two words each"),
        ("cost_change", 0x2C, 1 if spec.cost_change_format.width <= 32 else 2, "r", "C̃ of the last step, signed"),
        ("signature", 0x30, 2, "r", "running signature of the forward observables, then of the learned ones"),
        *(
            (f"saturated_{kind}", 0x40 + i, 1, "r", f"saturations of kind {kind}")
            for i, kind in enumerate(SATURATION_KINDS)
            if kind in spec.counted_saturations
        ),
    ]
    rows = _series_rows(spec, rows)
    match spec:
        case LearnerSpec():
            rows = _learner_rows(rows)
        case DesignSpec():
            pass
        case _:
            raise unknown("Design", spec, "python_ref.spec.registers.register_map")
    return {row[0]: Register(*row) for row in rows}


class Link(Protocol):
    """Operations of a core, simulated or real, that the host's procedures require."""

    def write(self, address: int, data: int) -> None:
        """Write a 32-bit word to a register."""

    def read(self, address: int) -> int:
        """Read a 32-bit word from a register."""

    def send(self, words: Sequence[int]) -> None:
        """Queue words for the sample stream: the raw inputs of a sample, then its raw targets, then the next sample's."""

    def wait_idle(self) -> None:
        """Block until the core is idle."""
