"""The clock of a core on a board, and the clock divisor for the baud rate of its serial line."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from boards.description import Board
from boards.pll import Clock, clocks
from python_ref.spec.error import DesignError
from python_ref.spec.learning import LearningSpec

__all__ = ["Plan", "plan", "plan_below", "plan_for"]

LARGEST_ERROR = Fraction(15, 1000)
"""Largest relative error of the baud rate; receiver and sender together tolerate 2 %."""

LEAST_DIVISOR = 4
"""Fewest clock cycles per bit of a line whose other end has a clock of its own."""


@dataclass(frozen=True)
class Plan:
    """Clock and serial line of a core on a board.

    Attributes
    ----------
    board : Board
        The board that the plan is for.
    clock : Clock
        Clock of the core, with the settings of the PLL.
    baud : int
        Nominal rate of the serial line, at which the host opens it; 0 on a board that learns alone.
    divisor : int
        Clock cycles per bit of the line; 0 without one.
    """

    board: Board
    clock: Clock
    baud: int
    divisor: int


def _divisor(mhz: Fraction, baud: int) -> int | None:
    """Clock cycles per bit; None if they are too few, or the error of the rate would be too large."""
    exact = mhz * 1_000_000 / baud
    divisor = round(exact)
    fits = divisor >= LEAST_DIVISOR and abs(exact / divisor - 1) <= LARGEST_ERROR
    return divisor if fits else None


def plan(board: Board, *, mhz: Fraction | None = None, baud: int | None = None) -> Plan:
    """Choose the clock nearest to the requested one that the PLL can generate, and the divisor of the serial line.

    Parameters
    ----------
    board : Board
        The board to plan for.
    mhz : Fraction or None
        Requested clock of the core, in MHz; None takes the one of the board file.
    baud : int or None
        Rate of the serial line, in baud; None takes the one of the board file.

    Returns
    -------
    Plan
        The chosen clock and divisor, with the board and the rate.

    Raises
    ------
    DesignError
        If the board cannot generate the clock within 1 %, or the baud rate from that clock. The error names the option, if one was
        given, else the key of the board file.
    """
    wanted, rate = mhz or board.core_mhz, baud or board.baud
    if rate > board.max_baud:
        key = "--baud" if baud else "link.baud"
        raise DesignError(key, rate, f"{board.chip or board.name} bears at most {board.max_baud:,}", "Take a lower rate.")
    possible = clocks(board)
    nearest = min(possible, key=lambda each: abs(each - wanted))
    if abs(nearest / wanted - 1) > Fraction(1, 100):
        raise _no_clock(board, list(possible), wanted, "--clock" if mhz else "clock.core_mhz")
    if board.alone:
        return Plan(board, possible[nearest], 0, 0)
    divisor = _divisor(nearest, rate)
    if divisor is None:
        raise _no_rate(board, list(possible), nearest, rate, clock=mhz, baud=baud)
    return Plan(board, possible[nearest], rate, divisor)


def _no_clock(board: Board, possible: list[Fraction], wanted: Fraction, key: str) -> DesignError:
    """The refusal of a clock that the board cannot generate; it names the nearest ones that it can."""
    around = [*sorted(each for each in possible if each < wanted)[-1:], *sorted(each for each in possible if each > wanted)[:1]]
    near = " or ".join(f"{float(each):g}" for each in around)
    if len(possible) == 1:
        source = "no PLL (clock.pll)" if not board.pll else f"no clock from its PLL at {float(board.clock_mhz):g} MHz"
        return DesignError(key, float(wanted), f"{board.name} has {source} and makes {near} MHz only", f"Take {near}.")
    reason = f"{board.name} makes {float(min(possible)):g} to {float(max(possible)):g} MHz, but none within 1 % of that"
    return DesignError(key, float(wanted), reason, f"Take {near}.")


def _no_rate(board: Board, possible: list[Fraction], mhz: Fraction, rate: int, *, clock: Fraction | None, baud: int | None) -> DesignError:
    """The refusal of a rate that cannot be derived from a clock; it names a clock and a rate that would work."""
    fitting = [each for each in possible if _divisor(each, rate) is not None]
    other = min(fitting, key=lambda each: abs(each - mhz), default=None)
    hertz = mhz * 1_000_000
    divisor = max(LEAST_DIVISOR, round(hertz / rate), ceil(hertz / board.max_baud))
    options = clock is not None or baud is not None
    clock_key, rate_key = ("--clock", "--baud") if options else ("clock.core_mhz", "link.baud")
    ways = [f"{clock_key} = {float(other):g}"] if other is not None else []
    ways += [f"{rate_key} = {int(hertz / divisor)}"]
    reason = (
        f"at {float(mhz):g} MHz a bit of {rate:,} baud is {float(hertz / rate):.2f} cycles, which is not within 1.5 % of a whole number "
        f"from {LEAST_DIVISOR}"
    )
    key, value = ("--clock", float(clock)) if clock is not None and baud is None else (rate_key, rate)
    return DesignError(key, value, reason, f"Take {' or '.join(ways)}.")


def plan_for(spec: LearningSpec, board: Board, *, mhz: Fraction | None = None, baud: int | None = None) -> Plan:
    """Choose clock and divisor of a design's core on a board: without a requested clock, the board's, or the highest below
    :attr:`~boards.parts.target.Part.large_mhz` where the design's parameters are in large memories with one port.

    Parameters and errors are those of :func:`plan`.
    """
    chosen, limit = plan(board, mhz=mhz, baud=baud), board.part.large_mhz
    if mhz is not None or limit is None or not spec.hardware.single_port or chosen.clock.mhz <= limit:
        return chosen
    return plan_below(board, limit, baud) or chosen


def plan_below(board: Board, mhz: float, baud: int | None = None) -> Plan | None:
    """The plan with the highest clock of at most ``mhz`` MHz that also gives the baud rate; None if there is none."""
    rate = baud or board.baud
    for each, clock in reversed(clocks(board).items()):
        if board.alone:
            if each <= mhz:
                return Plan(board, clock, 0, 0)
            continue
        divisor = _divisor(each, rate)
        if each <= mhz and divisor is not None:
            return Plan(board, clock, rate, divisor)
    return None
