"""The host's end of a serial line to a core, and of a bus.

``port``     the port that the line ends at, opened by its name
``traffic``  what is under way on the line
``link``     the core's registers and sample stream over the line, whatever it loses
``memory``   the same over a bus, in the memory of this processor
``litex``    the same in the memory of a LiteX SoC, over its server
"""

from boards.link.link import LinkLost, SerialLink
from boards.link.litex import LitexWindow, open_litex
from boards.link.memory import DeviceMemory, MemoryLink, Window, open_memory
from boards.link.port import BAUD, Port, PortError, TcpPort, open_port, require_pyserial
from boards.link.traffic import Statistics

__all__ = [
    "BAUD",
    "DeviceMemory",
    "LinkLost",
    "LitexWindow",
    "MemoryLink",
    "Port",
    "PortError",
    "SerialLink",
    "Statistics",
    "TcpPort",
    "Window",
    "open_litex",
    "open_memory",
    "open_port",
    "require_pyserial",
]
