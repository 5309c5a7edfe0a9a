"""A program: all operations of the host in a run, and all words of the sample stream, as numpy arrays."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from python_ref.spec.design import DesignSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.number import Fixed
from python_ref.spec.registers import Link, Memory
from sim import host

__all__ = ["MAGIC", "Op", "Program", "ProgramLink", "ReplayLink", "read_results", "sample_table", "training_program"]

MAGIC = 0x6D67642D70726F67
"""First 64-bit word of a program file, which identifies the format."""


class Op(enum.IntEnum):
    """Kind of an operation of the host."""

    WRITE = 0
    READ = 1
    WAIT = 2
    """Wait until the core is idle, but at least four cycles, since ``busy`` rises some cycles after a command."""
    RESET = 3
    """Reset the core for ``address`` cycles; the sample stream goes on at place ``data`` of the order, and the output says so. Only
    CXXRTL executes this operation and the next ones, for tests."""
    PRESET = 4
    """Write ``data`` to row ``address`` of the memory that the file of ports names."""
    STREAM = 5
    """Let the sample stream go on at place ``data`` of the order; if ``address`` is not 0, it ends after that many words."""
    CUT = 6
    """Offer a request for some cycles, without taking an answer; a RESET follows. ``address`` has the register in bits 0 to 7, in bit 8
    whether ``data`` is written to it, and the number of cycles above."""


@dataclass(frozen=True, eq=False)
class Program:
    """Operations of the host and sample stream of a run.

    Attributes
    ----------
    ops : array of uint32, shape (operations, 3)
        Operations (:class:`Op`, address, data), executed in this order.
    table : array of uint64, shape (samples, words)
        Words of the sample stream, in two's complement of the port's width, one sample per row.
    order : array of int64
        Indices of the rows of ``table`` in the order in which they are sent. The words are offered from the first cycle on.
    """

    ops: np.ndarray
    table: np.ndarray
    order: np.ndarray

    def words(self) -> Iterator[int]:
        """Iterate over the words of the sample stream in order."""
        rows = self.table.tolist()
        for number in self.order.tolist():
            yield from rows[number]

    def save(self, path: Path) -> None:
        """Write the program as little-endian binary: five 64-bit numbers (magic, operations, samples, words, length of order), and the
        arrays."""
        header = np.array([MAGIC, len(self.ops), *self.table.shape, len(self.order)], dtype="<u8")
        with path.open("wb") as file:
            for array, dtype in ((header, "<u8"), (self.ops, "<u4"), (self.table, "<u8"), (self.order, "<u8")):
                file.write(np.ascontiguousarray(array, dtype=dtype).tobytes())

    @classmethod
    def load(cls, path: Path) -> Program:
        """Read a program that :meth:`save` wrote."""
        data = path.read_bytes()
        magic, n_ops, rows, words, n_order = np.frombuffer(data, dtype="<u8", count=5).tolist()
        if magic != MAGIC:
            raise ValueError(f"{path} must be a program, and does not begin like one")
        ops = np.frombuffer(data, dtype="<u4", count=3 * n_ops, offset=40).reshape(n_ops, 3)
        table = np.frombuffer(data, dtype="<u8", count=rows * words, offset=40 + 12 * n_ops).reshape(rows, words)
        order = np.frombuffer(data, dtype="<i8", count=n_order, offset=40 + 12 * n_ops + 8 * rows * words)
        return cls(ops, table, order)


class ProgramLink:
    """A link that records operations instead of executing them. Reads return 0; a :class:`ReplayLink` returns their values later."""

    def __init__(self) -> None:
        self._ops: list[tuple[int, int, int]] = []
        self._words: list[int] = []

    def write(self, address: int, data: int) -> None:
        """Record a write to a register."""
        self._ops.append((Op.WRITE, address, data))

    def read(self, address: int) -> int:
        """Record a read of a register, and return 0."""
        self._ops.append((Op.READ, address, 0))
        return 0

    def send(self, words: Sequence[int]) -> None:
        """Record words of the sample stream."""
        self._words.extend(int(word) for word in words)

    def wait_idle(self) -> None:
        """Record a wait for the core to be idle."""
        self._ops.append((Op.WAIT, 0, 0))

    def program(self, table: np.ndarray | None = None, order: np.ndarray | None = None) -> Program:
        """Return the recorded program; ``table`` and ``order``, if given, replace the recorded sample stream."""
        if table is None:
            table = np.array([self._words], dtype=np.uint64)
            order = np.zeros(1 if self._words else 0, dtype=np.int64)
        assert order is not None
        return Program(np.array(self._ops, dtype=np.uint32).reshape(-1, 3), table, order)


class ReplayLink:
    """A link that answers reads with the responses of a finished run, so that running the same procedure again returns its results."""

    def __init__(self, responses: Sequence[int]) -> None:
        self._responses = iter(responses)

    def write(self, address: int, data: int) -> None:
        """Do nothing, since the run has already done it."""

    def read(self, address: int) -> int:
        """Return the next response of the run."""
        return int(next(self._responses))

    def send(self, words: Sequence[int]) -> None:
        """Do nothing, since the run has already done it."""

    def wait_idle(self) -> None:
        """Do nothing, since the run has already done it."""


def _raw(name: str, values: np.ndarray, columns: int, target: Fixed) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] != columns or array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be raw integers of shape (samples, {columns}), not {array.dtype} of shape {array.shape}")
    if array.size and (array.min() < target.min or array.max() > target.max):
        raise ValueError(f"{name} must fit {target}, not {array.min()} to {array.max()}")
    return array.astype(np.int64)


def sample_table(spec: DesignSpec, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Words of the sample stream (uint64, shape (samples, record_inputs + n_out)), in two's complement of the port's width.

    Parameters
    ----------
    spec : DesignSpec
        The design that the samples are for.
    inputs : array of int, shape (samples, record_inputs)
        Raw inputs in the design's input format; of a series that is not held, its length first.
    targets : array of int, shape (samples, n_out)
        Raw targets in the design's activation format.
    """
    width = spec.sample_width
    network, length = spec.network, inputs[:, :0]
    if network.record_inputs > network.n_in:
        length, inputs = _raw("Lengths", inputs[:, :1], 1, Fixed(False, network.frames.bit_length(), 0)), inputs[:, 1:]
        if length.size and not 1 <= length.min() <= length.max() <= network.frames:
            raise ValueError(f"Lengths must be from 1 to {network.frames}, not {length.min()} to {length.max()}")
    inputs = _raw("Inputs", inputs, network.record_inputs - length.shape[1], spec.formats.input)
    targets = _raw("Targets", targets, spec.network.n_out, spec.formats.activation)
    if len(inputs) != len(targets):
        raise ValueError(f"Inputs and targets must be equally many, not {len(inputs)} and {len(targets)}")
    return (np.concatenate([length, inputs, targets], axis=1) & np.int64((1 << width) - 1)).astype(np.uint64)


def training_program(
    spec: DesignSpec,
    parameters: np.ndarray,
    inputs: np.ndarray,
    targets: np.ndarray,
    order: np.ndarray,
    steps: int,
    *,
    seed: int | None = None,
    read_back: bool = True,
) -> Program:
    """Return the program of a training run from step 0.

    Parameters
    ----------
    spec : DesignSpec
        The design whose core is trained.
    parameters : array of int, shape (P,)
        Raw initial parameters θ in the canonical order.
    inputs, targets : array of int
        Raw samples, as for :func:`sample_table`.
    order : array of int
        Indices of the samples in the order in which they are taken, at least ⌈steps/τ_x⌉ of them.
    steps : int
        Number of training steps to run.
    seed : int or None
        Seed of the random streams; None takes the design's.
    read_back : bool
        Whether the program reads the counters and all memories at the end, for :func:`read_results`.
    """
    table, order = sample_table(spec, inputs, targets), np.asarray(order, dtype=np.int64).ravel()
    needed = -(-steps // spec.schedule.sample_period)
    if len(order) < needed:
        raise ValueError(f"Order must have at least {needed} samples for {steps} steps, not {len(order)}")
    order = order[:needed]
    if needed and (order.min() < 0 or order.max() >= len(table)):
        raise ValueError(f"Order must name samples 0 to {len(table) - 1}, not {order.min()} to {order.max()}")
    link = ProgramLink()
    host.prepare(spec, link, parameters, seed)
    host.train(spec, link, 0, steps)
    if read_back:
        read_results(spec, link)
    return link.program(table, order)


def read_results(spec: LearningSpec, link: Link) -> tuple[dict[str, int], dict[Memory, np.ndarray]]:
    """Read the counters and ``signature`` by name, and the contents of the memories."""
    counters = host.read_counters(spec, link) | {"signature": host.read_register(spec, link, "signature")}
    return counters, {memory: host.read_memory(spec, link, memory) for memory in spec.memories}
