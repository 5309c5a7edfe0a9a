"""Procedures of the host, which set up, train and read a core over any link.

They are pure functions of a design and a :class:`~python_ref.spec.registers.Link`, the same for a simulation and a board.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from python_ref.fixed.perturbation import BitStream
from python_ref.spec.design import DesignSpec
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.perturbation import stochastic_generator
from python_ref.spec.probes import COUNTERS
from python_ref.spec.registers import (
    ERROR_SUMS,
    MAGIC,
    Command,
    Link,
    Memory,
    error_sum_words,
    register_map,
    stream_beats,
    stream_widths,
)
from sim.error import WrongCore

__all__ = [
    "canonical",
    "check_identity",
    "clear_counters",
    "clear_memory",
    "infer",
    "load_memory",
    "load_parameters",
    "prepare",
    "read_counters",
    "read_error_sums",
    "read_memory",
    "read_register",
    "restart",
    "runs",
    "seed_words",
    "set_hold",
    "set_outside",
    "set_periods",
    "set_rate",
    "train",
    "write_register",
]


def write_register(spec: LearningSpec, link: Link, name: str, value: int) -> None:
    """Write a register, its low word first, with negative values in two's complement."""
    register = register_map(spec)[name]
    for i in range(register.words):
        link.write(register.address + i, value >> 32 * i & 0xFFFFFFFF)


def read_register(spec: LearningSpec, link: Link, name: str) -> int:
    """Read a register, its low word first, as an unsigned number."""
    register = register_map(spec)[name]
    return sum(link.read(register.address + i) << 32 * i for i in range(register.words))


def check_identity(spec: LearningSpec, link: Link) -> None:
    """Raise an error unless the link leads to a core of this design.

    Raises
    ------
    WrongCore
        If register ``magic`` or ``digest`` has another value.
    """
    magic = read_register(spec, link, "magic")
    if magic != MAGIC:
        reason = f"Register magic must read 0x{MAGIC:08x}, not 0x{magic:08x}: there is no core at the other end of the link"
        raise WrongCore(reason, spec.name)
    digest = f"{read_register(spec, link, 'digest'):016x}"
    if digest != spec.digest:
        raise WrongCore(f"The core's digest must be {spec.digest}, not {digest}: it was built from another design", spec.name)


def seed_words(spec: LearningSpec, seed: int | None = None, step: int = 0) -> list[int]:
    """Words to write to register ``stream``, beat by beat: what the core keeps of p, and bits of each generator's state, low ones first.

    Where a state is not a whole number of its beats, the first beat is padded with zeros, which are shifted out again.

    Parameters
    ----------
    spec : LearningSpec
        The design of the core.
    seed : int or None
        Seed of the random streams; None takes the design's.
    step : int
        Step from which the core continues, a multiple of all three periods.

    Raises
    ------
    ValueError
        If ``step`` is not a multiple of all periods.
    """
    schedule = spec.schedule
    for name in ("perturbation_period", "sample_period", "update_period"):
        if step % getattr(schedule, name):
            raise ValueError(f"Step must be a multiple of the {name.replace('_', ' ')} {getattr(schedule, name)}, not {step}")
    seed = spec.perturbation.seed if seed is None else seed
    p, update = step // schedule.perturbation_period, step // schedule.update_period
    drawn = [(generator, p * spec.draws) for generator in spec.sign_generators]
    if spec.stochastic_bits:
        drawn.append((stochastic_generator(spec.stochastic_bits), update * spec.rounding_words))
    if isinstance(spec, DesignSpec) and spec.thresholds:
        drawn.append((spec.thresholds.generator, spec.threshold_words(step)))
    beats, widths = stream_beats(spec), stream_widths(spec)
    columns = [spec.code.phase(p, spec.quantities) << (beats - 1) * widths[0]]
    for generator, draws in drawn:
        state = BitStream(generator, seed).state(draws * generator.outputs)
        columns.append(state << beats * generator.outputs - generator.degree)
    words = []
    for beat in range(beats):
        packed, place = 0, 0
        for column, width in zip(columns, widths, strict=True):
            packed |= (column >> beat * width & (1 << width) - 1) << place
            place += width
        words += [packed >> first & 0xFFFFFFFF for first in range(0, place, 32)]
    return words


def restart(spec: LearningSpec, link: Link, seed: int | None = None, step: int = 0) -> None:
    """Set the streams to their states at the first step of a run, a multiple of all periods; memories are unchanged.

    The core counts its steps and updates from that step on.
    """
    for word in seed_words(spec, seed, step):
        write_register(spec, link, "stream", word)
    write_register(spec, link, "command", Command.RESTART)


def clear_counters(spec: LearningSpec, link: Link) -> None:
    """Set all counters to 0."""
    write_register(spec, link, "command", Command.CLEAR)


def set_periods(spec: LearningSpec, link: Link) -> None:
    """Set the periods τ_p, τ_x and τ_θ to those of the design."""
    for name in ("perturbation_period", "sample_period", "update_period"):
        write_register(spec, link, name, getattr(spec.schedule, name))


def set_outside(spec: LearnerSpec, link: Link) -> None:
    """Set what a learner is told of the outside to what the design says."""
    for name, key in (("settle", "settle"), ("timeout", "timeout_cycles"), ("average", "average"), ("samples", "samples")):
        write_register(spec, link, name, getattr(spec.outside, key))


def set_hold(spec: LearningSpec, link: Link) -> None:
    """Set the number of frames that a sign lasts to that of the design, in a network with state; in others, do nothing."""
    if isinstance(spec, DesignSpec) and spec.segmented:
        write_register(spec, link, "hold", spec.unrolled.hold)


def set_rate(spec: LearningSpec, link: Link, step: int) -> None:
    """Set the exponent of the learning rate, with the bias correction of an optimiser that has one, to that of a step."""
    write_register(spec, link, "exponent", spec.exponent_at(step))


def _check_values(spec: LearningSpec, memory: Memory, values: np.ndarray) -> np.ndarray:
    target = spec.memories.get(memory)
    if target is None:
        raise ValueError(f"Memory must be one the core has, not {memory.name}")
    array = np.asarray(values)
    if array.shape != (spec.n_parameters,) or array.dtype.kind not in "iu":
        raise ValueError(f"Values of {memory.name} must be {spec.n_parameters} raw integers, not {array.dtype} of shape {array.shape}")
    low, high = (max(target.min, -(1 << 31)), min(target.max, (1 << 31) - 1)) if target.signed else (0, target.max)
    if array.size and (array.min() < low or array.max() > high):
        raise ValueError(f"Values of {memory.name} must lie between {low} and {high}, not {array.min()} to {array.max()}")
    return array.astype(np.int64)


def load_memory(spec: LearningSpec, link: Link, memory: Memory, values: np.ndarray) -> None:
    """Write a memory of every lane, with zeros where there is no neuron.

    Parameters
    ----------
    spec : LearningSpec
        The design of the core.
    link : Link
        Link to the core, which must be idle.
    memory : Memory
        Kind of the memory to write.
    values : array of int, shape (P,)
        Raw values in the canonical order of parameters.
    """
    layout, checked = spec.layout, _check_values(spec, memory, values)
    words = np.zeros((spec.hardware.lanes, layout.words), dtype=np.int64)
    words[layout.parameter_lane, layout.parameter_word] = checked
    data = register_map(spec)["data"].address
    for lane, row in enumerate((words & 0xFFFFFFFF).tolist()):
        write_register(spec, link, "select", memory << 16 | lane)
        write_register(spec, link, "address", 0)
        for word in row:
            link.write(data, word)


def clear_memory(spec: LearningSpec, link: Link, memory: Memory) -> None:
    """Fill a memory of every lane with zeros."""
    load_memory(spec, link, memory, np.zeros(spec.n_parameters, dtype=np.int64))


def load_parameters(spec: LearningSpec, link: Link, parameters: np.ndarray) -> None:
    """Write the raw parameters θ (int, shape (P,)).

    Raises
    ------
    ValueError
        If a parameter is outside ``spec.parameter_limits``.
    """
    low, high = spec.parameter_limits
    if np.min(parameters) < low or np.max(parameters) > high:
        raise ValueError(f"Raw parameters must lie between {low} and {high}, not {np.min(parameters)} to {np.max(parameters)}")
    load_memory(spec, link, Memory.PARAMETER, parameters)


def read_memory(spec: LearningSpec, link: Link, memory: Memory) -> np.ndarray:
    """Read a memory of every lane; return its raw values (int64, shape (P,)) in the canonical order of parameters.

    A word always fits register ``data``, since designs with wider memories are refused (:data:`python_ref.spec.design.WORD_BITS`).
    """
    layout = spec.layout
    data = register_map(spec)["data"].address
    words = np.empty((spec.hardware.lanes, layout.words), dtype=np.int64)
    for lane in range(spec.hardware.lanes):
        write_register(spec, link, "select", memory << 16 | lane)
        write_register(spec, link, "address", 0)
        words[lane] = [link.read(data) for _ in range(layout.words)]
    return canonical(spec, memory, words)


def read_error_sums(spec: DesignSpec, link: Link) -> np.ndarray:
    """Read E of every quantity (int64, shape (quantities,), raw); all are 0 unless a run has ended in the middle of a presentation."""
    words, data = error_sum_words(spec), register_map(spec)["data"].address
    write_register(spec, link, "select", ERROR_SUMS << 16)
    write_register(spec, link, "address", 0)
    read = np.array([link.read(data) for _ in range(words * spec.quantities)], dtype=np.int64).reshape(-1, words)
    top = read[:, -1] - ((read[:, -1] >> 31 & 1) << 32)
    return top if words == 1 else read[:, 0] | top << 32


def canonical(spec: LearningSpec, memory: Memory, words: np.ndarray) -> np.ndarray:
    """Convert a memory's words as they are read (unsigned, int64, shape (lanes, words)) to its values (int64, shape (P,))."""
    layout = spec.layout
    values = words[layout.parameter_lane, layout.parameter_word]
    return values - ((values >> 31 & 1) << 32) if spec.memories[memory].signed else values


def read_counters(spec: LearningSpec, link: Link) -> dict[str, int]:
    """Read the counters of the probe ``counter`` by their labels, and ``cycles``; those that a learner lacks are 0."""
    built = register_map(spec)
    return {name: read_register(spec, link, name) if name in built else 0 for name in (*COUNTERS, "cycles")}


def prepare(spec: LearningSpec, link: Link, parameters: np.ndarray, seed: int | None = None) -> None:
    """Set up a core for step 0 of a run: periods, rate, memories, streams, counters, and what a learner is told of the outside."""
    set_periods(spec, link)
    if isinstance(spec, LearnerSpec):
        set_outside(spec, link)
    set_hold(spec, link)
    set_rate(spec, link, 0)
    load_parameters(spec, link, parameters)
    for memory in spec.memories:
        if memory is not Memory.PARAMETER:
            clear_memory(spec, link, memory)
    clear_counters(spec, link)
    restart(spec, link, seed)


def runs(spec: LearningSpec, first: int, steps: int) -> Iterator[tuple[int, int]]:
    """Yield the steps ``first`` to ``first + steps`` in pieces (first step, number) with one exponent each."""
    end = first + steps
    edges = [step for step in spec.exponent_changes if first < step < end]
    for start, stop in zip([first, *edges], [*edges, end], strict=True):
        if stop > start:
            yield start, stop - start


def train(spec: LearningSpec, link: Link, first: int, steps: int) -> None:
    """Run steps ``first`` to ``first + steps`` with their learning rates; return when the core is idle."""
    for start, count in runs(spec, first, steps):
        set_rate(spec, link, start)
        write_register(spec, link, "count", count)
        write_register(spec, link, "command", Command.TRAIN)
        link.wait_idle()


def infer(spec: LearningSpec, link: Link, samples: int) -> None:
    """Run inference on samples, one unperturbed pass each; return when the core is idle."""
    write_register(spec, link, "count", samples)
    write_register(spec, link, "command", Command.INFER)
    link.wait_idle()
