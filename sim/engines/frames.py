"""Output of a simulator in another process: a sequence of frames, each with a kind, a number of rows, and the rows.

Kind and number are little-endian uint32. Kinds below RESPONSE are the events in the order of ``Ports.kinds``, with their payloads
as rows; RESPONSE has one uint32 per row; PROGRESS, DONE, STUCK and RESET have four uint64: cycles, busy cycles, sample words
taken, operation of the program.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import BinaryIO

import numpy as np

from sim.error import CoreError, SimulationError
from sim.ports import Ports
from sim.program import Program
from sim.run import Outcome

__all__ = ["DONE", "PROGRESS", "RESET", "RESPONSE", "STUCK", "FrameWriter", "OutputReceiver"]

RESPONSE = 16
"""Kind of the frame that answers a request."""
PROGRESS = 17
"""Kind of the frame that tells how far a simulation is."""
DONE = 18
"""Kind of the frame that ends a simulation."""
STUCK = 19
"""Kind of the frame that tells of a core that does not go on."""
RESET = 20
"""Kind of the frame that tells of a reset, before which no event counts."""


class FrameWriter:
    """Writes frames to a binary file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def rows(self, kind: int, rows: int, data: bytes) -> None:
        """Write a frame with rows of events or responses."""
        self._file.write(struct.pack("<II", kind, rows) + data)
        self._file.flush()

    def state(self, kind: int, state: Iterable[int]) -> None:
        """Write a frame with the state of the run: cycles, busy cycles, sample words taken, operation."""
        self.rows(kind, 1, struct.pack("<4Q", *state))


class OutputReceiver:
    """Decodes the output of a simulator as it arrives, and passes on the events.

    Parameters
    ----------
    ports : Ports
        Ports of the core, with the layouts of its events.
    program : Program
        The program that runs on the core.
    feed : callable
        Called with a kind of event and a block of its payloads (uint32, shape (events, words)).
    patience : int
        Number of idle cycles after which the simulator reports a stuck core, for the error message.
    outcome : Outcome or None
        Object to fill in; None takes a new one.
    progress : callable or None
        Called with the outcome so far after each piece of output.
    reset : callable or None
        Called where the program has reset the core: the events so far do not count.

    Attributes
    ----------
    outcome : Outcome
        Outcome of the run so far.
    done : bool
        Whether the run has ended normally.
    """

    def __init__(
        self,
        ports: Ports,
        program: Program,
        feed: Callable[[str, np.ndarray], None],
        patience: int,
        outcome: Outcome | None = None,
        progress: Callable[[Outcome], None] | None = None,
        reset: Callable[[], None] | None = None,
    ) -> None:
        self.outcome = outcome or Outcome()
        self.done = False
        self._program = program
        self._feed = feed
        self._patience = patience
        self._progress = progress
        self._reset = reset
        self._kinds = ports.kinds
        self._words = [ports.payload_words(event) for event in self._kinds]
        self._data = bytearray()

    def receive(self, data: bytes) -> None:
        """Decode more bytes of output.

        Raises
        ------
        CoreError
            If the simulator reports that the core is stuck.
        SimulationError
            If the output is not a sequence of frames.
        """
        self._data += data
        position = 0
        while len(self._data) - position >= 8:
            kind, rows = struct.unpack_from("<II", self._data, position)
            if kind > RESET or len(self._kinds) <= kind < RESPONSE:
                raise SimulationError(f"The simulator's output is damaged: there is no frame of kind {kind}")
            size = 4 * rows * (self._words[kind] if kind < RESPONSE else 1) if kind <= RESPONSE else 32
            if len(self._data) - position - 8 < size:
                break
            self._frame(kind, rows, bytes(self._data[position + 8 : position + 8 + size]))
            position += 8 + size
        del self._data[:position]
        if self._progress is not None:
            self._progress(self.outcome)

    def _frame(self, kind: int, rows: int, data: bytes) -> None:
        if kind < RESPONSE:
            self._feed(self._kinds[kind], np.frombuffer(data, dtype="<u4").reshape(rows, -1))
        elif kind == RESPONSE:
            self.outcome.responses += np.frombuffer(data, dtype="<u4").tolist()
        else:
            self.outcome.cycles, self.outcome.busy_cycles, self.outcome.samples, index = struct.unpack("<4Q", data)
            if kind == STUCK:
                raise CoreError(self.outcome.stuck(self._program, index, self._patience))
            if kind == RESET and self._reset is not None:
                self._reset()
            self.done |= kind == DONE
