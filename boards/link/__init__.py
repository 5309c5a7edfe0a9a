"""The host's end of a serial line to a core.

``port``     the port that the line ends at, opened by its name
``traffic``  what is under way on the line
``link``     the core's registers and sample stream over the line, whatever it loses
"""

from boards.link.link import LinkLost, SerialLink
from boards.link.port import BAUD, Port, PortError, TcpPort, open_port, require_pyserial
from boards.link.traffic import Statistics

__all__ = [
    "BAUD",
    "LinkLost",
    "Port",
    "PortError",
    "SerialLink",
    "Statistics",
    "TcpPort",
    "open_port",
    "require_pyserial",
]
