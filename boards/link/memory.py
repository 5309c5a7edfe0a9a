"""A core behind a bus, in the memory of the processor that this program runs on (:mod:`python_ref.spec.bus`)."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from boards.link.port import PortError
from python_ref.spec.bus import ADDRESS_BITS, SampleSource, byte_address, window_map
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal
from python_ref.spec.registers import Status

__all__ = ["DeviceMemory", "MemoryLink", "Window"]

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

    Samples are queued until :meth:`wait_idle`, and then written as there is room for them.

    Parameters
    ----------
    window : Window
        The window of memory of the core.
    spec : DesignSpec
        Design of the core, which was generated with ``--bus`` and samples over the bus.
    patience : float
        Seconds for which a busy core may take no sample and end no step.
    """

    def __init__(self, window: Window, spec: DesignSpec, *, patience: float = 60.0) -> None:
        self.window = window
        self.spec = spec
        self.patience = patience
        self._at = {name: byte_address(register) for name, register in window_map(spec, SampleSource.BUS).items()}
        self._words: deque[int] = deque()

    def write(self, address: int, data: int) -> None:
        """Write a 32-bit word to a register of the core."""
        self.window.write(4 * address, data & 0xFFFFFFFF)

    def read(self, address: int) -> int:
        """Read a 32-bit word from a register of the core."""
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
        while self.window.read(self._at["status"]) & Status.BUSY:
            self._feed()
            progress = len(self._words), self.window.read(self._at["steps"])
            now = time.monotonic()
            if progress != before:
                before, since = progress, now
            elif now - since > self.patience:
                reason = f"The core is busy, and for {self.patience:g} s has ended no step after {progress[1]:,}"
                if not self._words:
                    raise Refusal(f"{reason}; no samples are left to send", "Queue the samples of a run before it is waited for.")
                raise Refusal(reason, "That is a fault of the core or of its bitstream: `mgd-hw cosim` looks for it.")

    def _feed(self) -> None:
        """Write as many words of samples as there is room for."""
        room = self.window.read(self._at["sample_room"]) if self._words else 0
        for _ in range(min(room, len(self._words))):
            self.window.write(self._at["sample"], self._words.popleft())
