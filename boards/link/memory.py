"""A core behind a bus, in the memory of the processor that this program runs on (:mod:`python_ref.spec.bus`)."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np

from boards.link.link import LinkLost
from boards.link.port import PortError
from boards.link.traffic import Statistics
from python_ref.spec.bus import ADDRESS_BITS, Interrupt, SampleSource, byte_address, window_map
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal
from python_ref.spec.frames import unpack_samples
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.registers import Command, Status

__all__ = ["DeviceMemory", "MemoryLink", "Window", "open_memory"]

SIZE = 1 << ADDRESS_BITS
"""Size of the window of a core, in bytes."""


class Window(Protocol):
    """What a link needs of a window of memory; ``MMIO`` of PYNQ has it."""

    def read(self, offset: int) -> int:
        """Read the 32-bit word at a byte offset."""

    def write(self, offset: int, value: int) -> None:
        """Write the 32-bit word at a byte offset."""


class DeviceMemory:
    """A window of physical memory, through ``/dev/mem`` or the device file of a UIO driver.

    Parameters
    ----------
    address : int
        Offset of the window in the file: a physical address for ``/dev/mem``, 0 for the first map of a UIO device.
    path : str
        Device file to map.

    Raises
    ------
    PortError
        If the address is not that of a page, or the file cannot be opened or mapped.
    """

    def __init__(self, address: int, path: str = "/dev/mem") -> None:
        if address < 0 or address % mmap.ALLOCATIONGRANULARITY:
            raise PortError(
                f"0x{address:x} is not the address of a page", f"Name a multiple of 0x{mmap.ALLOCATIONGRANULARITY:x}, as the bus has it."
            )
        try:
            file = os.open(path, os.O_RDWR | getattr(os, "O_SYNC", 0))
            try:
                self._map = mmap.mmap(file, SIZE, offset=address)
            finally:
                os.close(file)
        except (OSError, ValueError, OverflowError) as error:
            reason = f"{path} cannot be mapped at 0x{address:x} ({error})"
            raise PortError(reason, "Run as root, or name a device that you may map.") from None
        # One access of 32 bits for each word; those of mmap itself go byte by byte.
        self._words = (ctypes.c_uint32 * (SIZE // 4)).from_buffer(self._map)

    def read(self, offset: int) -> int:
        """Read the 32-bit word at a byte offset."""
        return int(self._words[offset // 4])

    def write(self, offset: int, value: int) -> None:
        """Write the 32-bit word at a byte offset."""
        self._words[offset // 4] = value

    def close(self) -> None:
        """Unmap the window."""
        del self._words
        with contextlib.suppress(BufferError):
            self._map.close()


class MemoryLink:
    """A core behind a bus, as the :class:`~python_ref.spec.registers.Link` that host procedures use; its samples come over the bus.

    Samples are queued until :meth:`wait_idle`, and then written as there is room for them. When the link is opened, it stops a run that
    is under way, and discards samples; a learner that awaits costs gets zeros for them. It has the methods of
    :class:`~boards.link.link.SerialLink` that a training session uses.

    Parameters
    ----------
    window : Window
        The window of memory of the core.
    spec : LearningSpec
        Design of the core, which was generated with ``--bus``, and where its network is inside with samples over the bus.
    patience : float
        Seconds for which a busy core may take no sample and end no step.
    statistics : Statistics or None
        Counts to continue, those of an earlier link; None starts from 0. Only bytes are counted.

    Attributes
    ----------
    statistics : Statistics
        Counts of the bytes written and read so far.
    """

    def __init__(self, window: Window, spec: LearningSpec, *, patience: float = 60.0, statistics: Statistics | None = None) -> None:
        self.window = window
        self.spec = spec
        self.patience = patience
        self._at = {name: byte_address(register) for name, register in window_map(spec, SampleSource.BUS).items()}
        self._words: deque[int] = deque()
        self.statistics = statistics or Statistics()
        if self._read("status") & Status.BUSY:
            self._write("command", Command.STOP)
            if isinstance(spec, LearnerSpec):
                self._give_up_costs()
            self.wait_idle()
        if not isinstance(spec, LearnerSpec):
            self._write("command", Command.DISCARD)

    def _read(self, name: str) -> int:
        return self.read(self._at[name] // 4)

    def _write(self, name: str, data: int) -> None:
        self.write(self._at[name] // 4, data)

    def write(self, address: int, data: int) -> None:
        """Write a 32-bit word to a register of the core."""
        self.statistics.sent += 4
        self.window.write(4 * address, data & 0xFFFFFFFF)

    def read(self, address: int) -> int:
        """Read a 32-bit word from a register of the core."""
        self.statistics.received += 4
        return self.window.read(4 * address) & 0xFFFFFFFF

    def send(self, words: Sequence[int]) -> None:
        """Queue words for the sample stream."""
        self._words.extend(int(word) & 0xFFFFFFFF for word in words)

    def wait_idle(self) -> None:
        """Write queued samples as there is room for them; return when the core is idle.

        Raises
        ------
        Refusal
            If the core is busy, and for ``patience`` seconds takes no sample and ends no step.
        """
        before, since = (-1, -1), time.monotonic()
        while self._feed() or self._read("status") & Status.BUSY:
            now = time.monotonic()
            progress = len(self._words), self._read("steps") if len(self._words) == before[0] else before[1]
            if progress != before:
                before, since = progress, now
            elif now - since > self.patience:
                reason = f"The core is busy, and for {self.patience:g} s has ended no step after {progress[1]:,}"
                if not self._words:
                    raise Refusal(f"{reason}; no samples are left to send", "Queue the samples of a run before it is waited for.")
                raise Refusal(reason, "That is a fault of the core or of its bitstream: `mgd-hw cosim` looks for it.")

    # -- a learner, whose outside is the host --------------------------------------------------------------------------

    def _give_up_costs(self) -> None:
        """Answer a learner that awaits costs with zeros, until its run has ended."""
        while self._read("status") & Status.BUSY:
            if self._read("outside") & 1:
                self._write("cost_word", 0)

    def forget_end(self) -> None:
        """Clear the bit that tells of the end of a run, before a run whose passes are awaited."""
        self._write("interrupt_status", Interrupt.RUN_ENDED)

    def await_pass(self) -> None:
        """Return when a learner awaits a cost, or its run has ended since :meth:`forget_end`.

        Raises
        ------
        Refusal
            If neither happens for ``patience`` seconds.
        """
        since = time.monotonic()
        while not self._read("outside") & 1 and not self._read("interrupt_status") & Interrupt.RUN_ENDED:
            if time.monotonic() - since > self.patience:
                reason = f"The learner is busy, and for {self.patience:g} s has awaited no cost"
                raise Refusal(reason, "That is a fault of the core or of its bitstream: `mgd-hw cosim` looks for it.")

    def _feed(self) -> int:
        """Write as many words of samples as there is room for, and return their number.

        While there is room for some, nothing else is read: over the bridge of a SoC every read is a round trip.
        """
        room = self._read("sample_room") if self._words else 0
        fed = min(room, len(self._words))
        for _ in range(fed):
            self._write("sample", self._words.popleft())
        return fed

    # -- what a session uses beyond the protocol -----------------------------------------------------------------------

    def send_packed(self, data: bytes) -> None:
        """Queue samples in the format of :func:`~python_ref.spec.frames.pack_samples`."""
        assert isinstance(self.spec, DesignSpec), "a learner has no samples"
        self.send(unpack_samples(self.spec, data).ravel().tolist())

    def flush(self) -> None:
        """Do nothing, since every write has already been executed."""

    def ask(self, questions: Iterable[tuple[Sequence[tuple[int, int]], Sequence[int]]]) -> list[tuple[int, ...]]:
        """Return the answers to questions. Each is a pair of writes (address, data) and of the addresses read after them."""
        answers = []
        for writes, addresses in questions:
            for address, data in writes:
                self.write(address, data)
            answers.append(tuple(self.read(address) for address in addresses))
        return answers

    def read_run(self, position: Callable[[int], Sequence[tuple[int, int]]], address: int, count: int) -> np.ndarray:
        """Read a run of words from a register that advances to the next word of a memory with each read.

        Parameters
        ----------
        position : callable
            Function that returns, for the index of a word, the writes after which the register reads that word.
        address : int
            Address of the register that is read.
        count : int
            Number of words to read.

        Returns
        -------
        array of int64, shape (count,)
            The words in order, each unsigned.
        """
        (words,) = self.ask([(position(0), (address,) * count)])
        return np.array(words, dtype=np.int64)

    def lost(self, reason: str) -> LinkLost:
        """The error of a core that does not answer as it should; ``reason`` says how, without its full stop."""
        return LinkLost(reason, f"Configure the part with the design {self.spec.name} behind its bus, and name the address of its window.")

    def close(self) -> None:
        """Release the window, if it has a method for that."""
        close = getattr(self.window, "close", None)
        if close is not None:
            close()


def open_memory(name: str) -> DeviceMemory:
    """The window of a link ``mmio:ADDRESS`` or ``mmio:ADDRESS@FILE``.

    Parameters
    ----------
    name : str
        The link: the address of the window, in C's notation, and the device file if it is not ``/dev/mem``.

    Raises
    ------
    PortError
        If it is not such a link, or the window cannot be mapped.
    """
    scheme, _, place = name.partition(":")
    address, _, path = place.partition("@")
    if scheme != "mmio" or not re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}|\d{1,19}", address):
        raise PortError("it is not a link to a window of memory", "Write mmio:ADDRESS, such as mmio:0x43c00000, or mmio:0x0@/dev/uio0.")
    return DeviceMemory(int(address, 0) if address[:2].lower() == "0x" else int(address), path or "/dev/mem")
