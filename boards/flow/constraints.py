"""Constraints of a board, in the words of its family."""

from __future__ import annotations

from boards.board import Board, Pin

__all__ = ["constraints"]


def constraints(board: Board) -> tuple[str, str]:
    """Ending of the file (pcf, lpf, cst, xdc), and what it says: every pin.

    The clock stands in an xdc alone. nextpnr would derive the core's from what a PLL makes of it, and that would count, not the goal
    that a build sets with ``--freq``.
    """
    ending, write_pin, clock = _FORMS[board.family]
    lines = [f"# {board.title}: {board.source}" if ending in ("pcf", "lpf", "xdc") else f"// {board.title}: {board.source}"]
    lines += [write_pin(port, pin) for port, pin in board.pins.items()]
    if clock:
        lines.append(clock.format(period=f"{float(1000 / board.clock_mhz):.3f}"))
    return ending, "".join(f"{line}\n" for line in lines)


def _pcf(port: str, pin: Pin) -> str:
    return f"set_io{' -pullup yes' if pin.pull_up else ''} {port} {pin.pin}"


def _lpf(port: str, pin: Pin) -> str:
    pull = " PULLMODE=UP" if pin.pull_up else ""
    return f'LOCATE COMP "{port}" SITE "{pin.pin}";\nIOBUF PORT "{port}" IO_TYPE={pin.standard or "LVCMOS33"}{pull};'


def _cst(port: str, pin: Pin) -> str:
    pull = " PULL_MODE=UP" if pin.pull_up else ""
    return f'IO_LOC "{port}" {pin.pin};\nIO_PORT "{port}" IO_TYPE={pin.standard or "LVCMOS33"}{pull};'


def _xdc(port: str, pin: Pin) -> str:
    pull = " PULLUP TRUE" if pin.pull_up else ""
    return f"set_property -dict {{PACKAGE_PIN {pin.pin} IOSTANDARD {pin.standard or 'LVCMOS33'}{pull}}} [get_ports {port}]"


_FORMS = {
    "ice40": ("pcf", _pcf, ""),
    "ecp5": ("lpf", _lpf, ""),
    "gowin": ("cst", _cst, ""),
    "xc7": ("xdc", _xdc, "create_clock -name clk -period {period} [get_ports clk]"),
}
