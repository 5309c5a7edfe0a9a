"""Clocks that a board's PLL can generate, and the settings for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from boards.description import Board

__all__ = ["Clock", "clocks"]


@dataclass(frozen=True)
class Clock:
    """A clock for a core, and how the board generates it.

    Attributes
    ----------
    mhz : Fraction
        Frequency of the clock, in MHz.
    settings : dict of str to int
        Parameters of the PLL, by the names of its family; empty if the clock comes from the pin without a PLL.
    """

    mhz: Fraction
    settings: dict[str, int]


@dataclass(frozen=True)
class _Limits:
    """Lowest and highest frequencies, in MHz, of a PLL's phase detector, oscillator and output."""

    pfd: tuple[Fraction, Fraction]
    vco: tuple[Fraction, Fraction]
    out: tuple[Fraction, Fraction]

    def allow(self, pfd: Fraction, vco: Fraction, out: Fraction) -> bool:
        pairs = ((self.pfd, pfd), (self.vco, vco), (self.out, out))
        return all(low <= value <= high for (low, high), value in pairs)


def _limits(*bounds: str) -> _Limits:
    low_pfd, high_pfd, low_vco, high_vco, low_out, high_out = map(Fraction, bounds)
    return _Limits((low_pfd, high_pfd), (low_vco, high_vco), (low_out, high_out))


_LIMITS = {
    "ice40-up5k": _limits("10", "133", "533", "1066", "16", "275"),  # Lattice FPGA-DS-02008, table sysCLOCK PLL timing
    "ecp5-85k": _limits("3.125", "400", "400", "800", "3.125", "400"),  # Lattice FPGA-DS-02012, table sysCLOCK PLL timing
    "gowin-gw1nr9": _limits("3", "400", "400", "1200", "3.125", "600"),  # Gowin DS117, PLL, grade C6/I5
    "gowin-gw2ar18": _limits("3", "500", "500", "1250", "3.90625", "625"),  # Gowin DS226, PLL, grade C8/I7
    "xc7": _limits("19", "450", "800", "1600", "6.25", "800"),  # AMD DS181, PLL switching characteristics, grade -1
}


def clocks(board: Board) -> dict[Fraction, Clock]:
    """Every clock that a board can generate, by its frequency in MHz. Where several settings give a frequency, it has those that the
    family's own tool chooses."""
    found = {board.clock_mhz: Clock(board.clock_mhz, {})}
    if board.pll:
        found = _generated(board.family, board.clock_mhz, board.part.name) | found
    return dict(sorted(found.items()))


@cache
def _generated(family: str, source: Fraction, part: str) -> dict[Fraction, Clock]:
    """Clocks that a part's PLL can generate from a frequency in MHz; computed once, since there are up to 100,000 settings to try."""
    make = {"ice40": _ice40, "ecp5": _ecp5, "gowin": _gowin, "xc7": _xc7}[family]
    found: dict[Fraction, Clock] = {}
    for clock in make(source, _LIMITS[part]):
        found.setdefault(clock.mhz, clock)
    return found


def _ice40(source: Fraction, limits: _Limits) -> Iterator[Clock]:
    """Clocks with the feedback path SIMPLE: the oscillator divided by 2^DIVQ. FILTER_RANGE follows from the phase detector's frequency."""
    ends = (17, 26, 44, 66, 101)
    for divr in range(16):
        pfd = source / (divr + 1)
        for divf in range(128):
            for divq in range(1, 7):
                vco = pfd * (divf + 1)
                if limits.allow(pfd, vco, vco / 2**divq):
                    filter_range = 1 + sum(pfd >= end for end in ends)
                    yield Clock(vco / 2**divq, {"DIVR": divr, "DIVF": divf, "DIVQ": divq, "FILTER_RANGE": filter_range})


def _ecp5(source: Fraction, limits: _Limits) -> Iterator[Clock]:
    """Clocks with feedback from the output itself, the oscillator as close as possible to 600 MHz, the middle of its range."""
    for reference in range(1, 129):
        for feedback in range(1, 81):
            pfd, out = source / reference, source * feedback / reference
            below = min(600 // out, 128)  # the oscillator's range lies on both sides of 600 MHz: the nearest are the only candidates
            dividers = [each for each in (below, min(below + 1, 128)) if each and limits.allow(pfd, out * each, out)]
            if dividers:
                output = min(dividers, key=lambda each: abs(out * each - 600))
                yield Clock(out, {"CLKI_DIV": reference, "CLKFB_DIV": feedback, "CLKOP_DIV": output})


def _gowin(source: Fraction, limits: _Limits) -> Iterator[Clock]:
    for idiv in range(64):
        if not limits.pfd[0] <= source / (idiv + 1) <= limits.pfd[1]:
            continue
        for fbdiv in range(64):
            for odiv in (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128):
                out = source * (fbdiv + 1) / (idiv + 1)
                if limits.allow(source / (idiv + 1), out * odiv, out):
                    yield Clock(out, {"IDIV_SEL": idiv, "FBDIV_SEL": fbdiv, "ODIV_SEL": odiv})


def _xc7(source: Fraction, limits: _Limits) -> Iterator[Clock]:
    for divide in range(1, 6):
        for multiply in range(64, 1, -1):
            vco = source / divide * multiply
            if not limits.vco[0] <= vco <= limits.vco[1]:
                continue
            for output in range(1, 129):
                if limits.allow(source / divide, vco, vco / output):
                    yield Clock(vco / output, {"DIVCLK_DIVIDE": divide, "CLKFBOUT_MULT": multiply, "CLKOUT0_DIVIDE": output})
