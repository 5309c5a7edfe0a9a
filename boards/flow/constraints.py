"""Constraint files of a board, in the format of its family's tools."""

from __future__ import annotations

from boards.board import Board, Pin

__all__ = ["constraints"]


def constraints(board: Board) -> tuple[str, str]:
    """Extension (pcf, lpf, cst or xdc) and text of a board's constraint file, with the location of every pin.

    Only the xdc constrains the clock. Given such a constraint, nextpnr would derive the frequency of the PLL's output from it, and that
    would take precedence over the goal that a build sets with ``--freq``.
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
