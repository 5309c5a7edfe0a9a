"""The memory map of a core behind a bus: the core's registers, the registers of the wrapper, and the rules of access to both.

A bus addresses bytes. The word with address a of :func:`~python_ref.spec.registers.register_map` is at byte 4·a; the registers of the
wrapper follow from :data:`FIRST` on. Everything else in the window is reserved.
"""

from __future__ import annotations

import enum

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.registers import Command, Register, register_map
from python_ref.spec.relay import relay_map

__all__ = [
    "ADDRESS_BITS",
    "BUFFERED_SAMPLES",
    "DROPPED_BITS",
    "FIRST",
    "Bus",
    "Feeding",
    "Interrupt",
    "OutsidePorts",
    "SampleSource",
    "beside_core",
    "bus_commands",
    "byte_address",
    "core_map",
    "sample_words",
    "stream_bits",
    "window_map",
    "wrapper_map",
    "wrapper_name",
]

ADDRESS_BITS = 12
"""Number of bits of a byte address: the window has 4 KiB, a page of most processors."""

FIRST = 0x100
"""Address, in words, of the first register of the wrapper."""

BUFFERED_SAMPLES = 2
"""Number of samples that the wrapper buffers in front of the core."""

DROPPED_BITS = 16
"""Number of bits of the register ``frames_dropped``, which stays at its maximum."""


class Bus(enum.Enum):
    """Buses that a core can be generated for."""

    AXI4_LITE = "axi4-lite"
    WISHBONE = "wishbone"


class SampleSource(enum.Enum):
    """Ways by which samples reach a core behind a bus."""

    BUS = "bus"
    """Word by word through the register ``sample``."""
    AXI4_STREAM = "axi4-stream"
    """As frames of an AXI4-Stream, one per sample."""


class Interrupt(enum.IntFlag):
    """Bits of the registers ``interrupt_status`` and ``interrupt_enable``."""

    RUN_ENDED = 1
    """A run has ended, and all its parameters are written."""
    STARVED = 2
    """A step has begun to wait for a sample, and the wrapper has none; or a learner for a cost."""
    FRAME_ERROR = 4
    """A frame of the AXI4-Stream was too short or too long, and was dropped."""


class OutsidePorts(enum.Enum):
    """Where a learner behind a bus has its outside if not in registers; it takes the place of a source of samples."""

    PORTS = "ports"
    """The learner's streams of words, of indices and of costs are ports of the wrapper, beside those of the bus."""


Feeding = SampleSource | OutsidePorts
"""What a core behind a bus is fed by: samples, or the costs of a learner's outside, which come over the bus too unless it has ports."""


def sample_words(spec: DesignSpec) -> int:
    """Return the number of words of a sample: its inputs, then its targets."""
    return spec.network.record_inputs + spec.network.n_out


def stream_bits(spec: DesignSpec) -> int:
    """Return the width of ``tdata`` of the AXI4-Stream: that of a word of a sample, rounded up to whole bytes."""
    return 8 * -(-spec.sample_width // 8)


def wrapper_map(spec: LearningSpec, samples: Feeding) -> dict[str, Register]:
    """Return the registers of the wrapper by name, in the order of their addresses, which are in words as the core's are."""
    match spec:
        case LearnerSpec():
            rows = _interrupts("bit 0 a run has ended, bit 1 the core waits for a cost")
        case DesignSpec():
            rows = _with_samples(spec, samples)
        case _:
            raise unknown("Design", spec, "python_ref.spec.bus.wrapper_map")
    return {name: Register(name, FIRST + offset, 1, access, meaning) for name, offset, access, meaning in rows}


def _interrupts(bits: str) -> list[tuple[str, int, str, str]]:
    """Return the rows of the registers of the interrupts, whose bits the text tells."""
    return [
        ("interrupt_status", 0, "rw", f"{bits}; a bit that is written as 1 is cleared"),
        ("interrupt_enable", 1, "rw", "the bits of interrupt_status that raise irq; 0 after a reset"),
    ]


def _with_samples(spec: DesignSpec, samples: Feeding) -> list[tuple[str, int, str, str]]:
    """Return the rows of the registers of a wrapper that gives samples to its core."""
    bits = "bit 0 a run has ended, bit 1 the core waits for a sample"
    if samples is SampleSource.AXI4_STREAM:
        bits += ", bit 2 a frame was dropped"
    rows = _interrupts(bits)
    if samples is SampleSource.BUS:
        network, room = spec.network, BUFFERED_SAMPLES * sample_words(spec)
        rows += [
            (
                "sample",
                2,
                "w",
                f"next word of a sample: {network.record_inputs} raw inputs, then {network.n_out} raw targets, in the low bits",
            ),
            ("sample_room", 3, "r", f"number of words, at most {room}, that sample can be written at once"),
        ]
    else:
        rows.append(("frames_dropped", 4, "r", f"number of frames dropped since the reset; stays at {(1 << DROPPED_BITS) - 1}"))
    return rows


def core_map(spec: LearningSpec, samples: Feeding) -> dict[str, Register]:
    """Return the registers below those of the wrapper by name: those of the core, and of a learner whose outside is the processor those of
    its outside as well."""
    relayed = isinstance(spec, LearnerSpec) and samples is not OutsidePorts.PORTS
    return register_map(spec) | (relay_map(spec, polled=True) if isinstance(spec, LearnerSpec) and relayed else {})


def bus_commands(spec: LearningSpec) -> tuple[Command, ...]:
    """Return the commands that a core behind a bus executes; a learner has nothing to infer or to discard."""
    without = (Command.INFER, Command.DISCARD) if isinstance(spec, LearnerSpec) else ()
    return tuple(command for command in Command if command not in without)


def window_map(spec: LearningSpec, samples: Feeding) -> dict[str, Register]:
    """Return all registers of the window by name: those of the core, then those of the wrapper."""
    return core_map(spec, samples) | wrapper_map(spec, samples)


def beside_core(spec: LearningSpec, samples: Feeding) -> tuple[Register, ...]:
    """Return the registers of the window that are not the core's own, in the order of their addresses."""
    own = register_map(spec)
    return tuple(register for name, register in window_map(spec, samples).items() if name not in own)


def byte_address(register: Register, word: int = 0) -> int:
    """Return the byte address of a word of a register."""
    return 4 * (register.address + word)


def wrapper_name(spec: LearningSpec, bus: Bus) -> str:
    """Return the name of the Verilog module of a core behind a bus."""
    return f"{spec.module}_{bus.value.replace('-', '_')}"
