"""The port that a serial line ends at: a device of the operating system, or the other end of a TCP connection."""

from __future__ import annotations

import contextlib
import select
import socket
from typing import Any, Protocol

from python_ref.spec.error import Refusal

__all__ = ["BAUD", "Port", "PortError", "TcpPort", "open_port", "require_pyserial"]

BAUD = 3_000_000
"""Default speed of a serial line, in bits per second."""


class PortError(Refusal):
    """A port that cannot be opened.

    Parameters
    ----------
    reason : str
        Why it cannot be opened, as a clause.
    remedy : str
        What the user can do about it, as a full sentence.
    """


class Port(Protocol):
    """What a link needs of a port; the ports of pyserial have it."""

    timeout: float | None
    """Longest time that :meth:`read` waits, in seconds."""

    @property
    def in_waiting(self) -> int:
        """Number of bytes that have arrived."""

    def read(self, size: int = 1) -> bytes:
        """Return ``size`` bytes, or fewer when the time is over."""

    def write(self, data: bytes) -> int | None:
        """Send bytes."""

    def close(self) -> None:
        """Release the port."""


def require_pyserial() -> None:
    """Check that pyserial is installed.

    Raises
    ------
    PortError
        If it is not installed.
    """
    try:
        import serial  # noqa: F401
    except ImportError:
        raise PortError("pyserial is not installed", "Run: pip install 'mgd-hw[boards]'.") from None


def open_port(name: str, baud: int = BAUD) -> Port:
    """The port of a link: ``serial:DEVICE`` or ``tcp:HOST:PORT``.

    Parameters
    ----------
    name : str
        The link; a device may have ``@BAUD`` behind it.
    baud : int
        Bits per second where it has not; of no meaning for tcp.

    Raises
    ------
    PortError
        If there is no such port, it is in use, or may not be opened; or pyserial is not installed.
    """
    scheme, _, place = name.partition(":")
    try:
        if scheme == "serial" and place:
            require_pyserial()
            import serial

            device, _, rate = place.partition("@")
            if rate and not rate.isdecimal():
                raise PortError(
                    f"{rate} is not a number of bits per second", "Write serial:DEVICE@BAUD, such as serial:/dev/ttyUSB1@3000000."
                )
            port = serial.Serial(device, int(rate) if rate else baud, timeout=0.0, write_timeout=2.0, exclusive=True)
            _hurry(port)
            return port
        if scheme == "tcp" and place.rpartition(":")[2].isdecimal():
            return TcpPort(place.rpartition(":")[0].strip("[]"), int(place.rpartition(":")[2]))
    except (OSError, ValueError, OverflowError) as error:  # SerialException is an OSError
        raise _port_error(place.partition("@")[0], error) from None
    raise PortError(
        "it is not a link", "Name virtual, serial:DEVICE such as serial:/dev/ttyUSB1, tcp:HOST:PORT, litex:HOST:PORT or mmio:ADDRESS."
    )


class TcpPort:
    """A port at the other end of a TCP connection.

    Parameters
    ----------
    host : str
        Name or address of the other end.
    number : int
        Number of the TCP port there.
    """

    def __init__(self, host: str, number: int) -> None:
        self.timeout: float | None = 0.0
        self._socket = socket.create_connection((host, number), timeout=5.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def in_waiting(self) -> int:
        """Number of bytes that have arrived."""
        if not select.select([self._socket], [], [], 0)[0]:
            return 0
        return len(self._socket.recv(1 << 16, socket.MSG_PEEK)) or 1  # 1: the next read says that it is closed

    def read(self, size: int = 1) -> bytes:
        """Return the bytes that have arrived, at most ``size``; none when the time is over."""
        if not select.select([self._socket], [], [], self.timeout)[0]:
            return b""
        data = self._socket.recv(size)
        if not data:
            raise ConnectionResetError("the other end has closed the connection")
        return data

    def write(self, data: bytes) -> int:
        """Send bytes."""
        self._socket.sendall(data)
        return len(data)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def _hurry(port: Any) -> None:
    """Ask a USB adapter to pass on what comes within a millisecond, not sixteen; not all can."""
    with contextlib.suppress(AttributeError, NotImplementedError, OSError, ValueError):
        port.set_low_latency_mode(True)


def _port_error(place: str, error: Exception) -> PortError:
    said = str(error)
    if "lock" in said or "Resource temporarily unavailable" in said or getattr(error, "errno", None) == 16:
        return PortError(f"{place} is in use by another program", "End that program, or name another port.")
    if getattr(error, "errno", None) == 13 or "Permission denied" in said:
        return PortError(f"you may not open {place}", "Join the group that owns it (often dialout or uucp), and log in again.")
    if getattr(error, "errno", None) == 2 or "No such file" in said:
        return PortError(f"there is no port {place}", f"Plug the board in, or name one of these: {_ports()}.")
    reason = said.split("\n")[0].rstrip(".")
    return PortError(f"{place} cannot be opened ({reason})", "Name a port that is there and free.")


def _ports() -> str:
    from serial.tools import list_ports

    return ", ".join(sorted(f"serial:{port.device}" for port in list_ports.comports())) or "(no serial port was found)"
