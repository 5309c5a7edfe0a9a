"""A core in a LiteX SoC, over a bridge that ``litex_server`` serves (Etherbone over TCP)."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

from boards.link.link import LinkLost
from boards.link.port import PortError

__all__ = ["LitexWindow", "open_litex"]

_SCHEME = "litex:"
"""Beginning of the name of a link."""
MAP = "csr.csv"
"""File in which a LiteX SoC describes its memory, where the link names no other."""
PATIENCE = 5.0
"""Seconds within which the server has to answer."""
HELLO = 2.0
"""Seconds within which it has to name itself."""
_FORM = "Write litex:HOST:PORT, such as litex:localhost:1234, or litex:HOST:PORT@0xa0000000 with the address of the core's window."


class LitexWindow:
    """The window of a core in the memory of a LiteX SoC.

    Parameters
    ----------
    host : str
        Host on which ``litex_server`` runs.
    port : int
        Port that it serves, 1234 by default.
    address : int
        Address of the window in the memory of the SoC.

    Raises
    ------
    PortError
        If LiteX is not installed, or no server answers.
    """

    def __init__(self, host: str, port: int, address: int) -> None:
        self.address = address
        self._client = _client(host, port)

    def read(self, offset: int) -> int:
        """Read the 32-bit word at a byte offset.

        Raises
        ------
        LinkLost
            If the server does not answer.
        """
        try:
            return int(self._client.read(self.address + offset))
        except (OSError, AttributeError) as error:
            raise _lost(error) from None

    def write(self, offset: int, value: int) -> None:
        """Write the 32-bit word at a byte offset.

        Raises
        ------
        LinkLost
            If the server is gone.
        """
        try:
            self._client.write(self.address + offset, value)
        except (OSError, AttributeError) as error:
            raise _lost(error) from None

    def close(self) -> None:
        """Close the connection to the server."""
        self._client.close()


def _lost(error: Exception) -> LinkLost:
    why = str(error) or type(error).__name__
    return LinkLost(f"The LiteX server does not answer ({why})", "Look whether litex_server still runs, and whether the board is on.")


def _client(host: str, port: int) -> Any:
    """Return a connected client of LiteX's that reports a missing answer, of which LiteX's own makes a 0."""
    try:
        from litex.tools.litex_client import RemoteClient
    except ImportError:
        raise PortError("LiteX is not installed", "Run: pip install 'mgd-hw[litex]'.") from None

    class Client(RemoteClient):  # type: ignore[misc]
        def __init__(self) -> None:  # without the map of the SoC, which LiteX's own would read from the working directory
            self.host, self.port, self.debug, self.binded = host, port, False, False
            self.base_address, self.csr_data_width, self.csr_bus_address_width = 0, 32, 32

        def open(self) -> None:
            self.socket = socket.create_connection((host, port), timeout=HELLO)
            try:
                if not self.socket.recv(128).startswith(b"Comm"):  # the class of the server's bridge
                    raise TimeoutError
            except OSError:
                self.socket.close()
                raise
            self.socket.settimeout(PATIENCE)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a read waits for the acknowledgement of a write
            self.binded = True

        def receive_packet(self, connection: Any, addr_size: int) -> Any:
            found = super().receive_packet(connection, addr_size)
            if found == 0:
                raise TimeoutError("no answer")
            return found

    client = Client()
    try:
        client.open()
    except (OSError, OverflowError) as error:
        why = "it does not answer as LiteX's server" if isinstance(error, TimeoutError) else str(error)
        remedy = "Start it: litex_server --uart --uart-port /dev/ttyUSB1, say, which serves port 1234."
        raise PortError(f"no LiteX server can be reached at {host}:{port} ({why})", remedy) from None
    return client


def open_litex(name: str, design: str) -> LitexWindow:
    """The window of a link ``litex:HOST:PORT``, ``litex:HOST:PORT@ADDRESS`` or ``litex:HOST:PORT@FILE``.

    Without an address, the file says where the window is: the one that LiteX writes with ``csr_csv``, ``csr.csv`` by default.

    Parameters
    ----------
    name : str
        The link, as the user wrote it.
    design : str
        Name of the design, by which its window is found in the file.

    Raises
    ------
    PortError
        If it is not such a link, the window is not found, or the server cannot be reached.
    """
    place, _, where = name.removeprefix(_SCHEME).partition("@")
    host, _, port = place.rpartition(":")
    if not name.startswith(_SCHEME) or not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise PortError("it is not a link to a LiteX server", _FORM)
    address = int(where, 16) if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", where) else _address(Path(where or MAP), design)
    return LitexWindow(host.strip("[]"), int(port), address)


def _address(path: Path, design: str) -> int:
    """Return the address of a design's window in the file that describes a SoC."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        reason = f"{path}, which says where the core is, cannot be read ({why})"
        raise PortError(reason, f"Run the command where LiteX wrote it, with Builder(…, csr_csv={MAP!r}). {_FORM}") from None
    regions = dict(re.findall(r"^memory_region,(\w+),(0[xX][0-9a-fA-F]+),", text, re.MULTILINE))
    if f"mgd_{design}" not in regions:
        listed = ", ".join(regions) or "none"
        reason = f"{path} has no region mgd_{design} (it has: {listed})"
        raise PortError(reason, f"Add the core by add_learner of mgd_{design}_litex.py. {_FORM}")
    return int(regions[f"mgd_{design}"], 16)
