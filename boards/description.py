"""What a board is: its part, its pins, its clock and its serial line."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from boards.parts.target import Part

__all__ = ["FAMILIES", "Board", "Pin"]

FAMILIES = {"ice40-up5k": "ice40", "ecp5-85k": "ecp5", "gowin-gw1nr9": "gowin", "gowin-gw2ar18": "gowin", "xc7": "xc7"}
"""The family of place and route of each part of :data:`boards.parts.target.TARGETS`; "xc7" has none here."""


@dataclass(frozen=True)
class Pin:
    """A pin of the part.

    Attributes
    ----------
    pin : str
        Its name in constraints.
    inverted : bool
        Whether low means one: a light that shines, a button that is pressed.
    standard : str
        Standard of the signal; "" where the family has but one.
    pull_up : bool
        Whether the part pulls it up.
    """

    pin: str
    inverted: bool = False
    standard: str = ""
    pull_up: bool = False


@dataclass(frozen=True)
class Board:
    """A board.

    Attributes
    ----------
    name, title : str
        What the user calls it, and what its maker calls it.
    part : Part
        The part on it.
    source : str
        Where its pins stand.
    device, package, speed, variant : str
        How place and route names the part; "" for what a family does not ask.
    pins : dict of str to Pin
        By port of the top level: ``clk``, ``rx``, ``tx``, ``led``, and ``button`` if there is one.
    clock_mhz : Fraction
        Of the clock pin.
    core_mhz : Fraction
        What the core's clock shall be.
    pll : str
        Kind of the PLL; "" without one.
    chip : str
        What makes a serial line of USB.
    baud, max_baud : int
        Rate of the line, and the most that the chip bears.
    program : str
        Command that loads ``{bitstream}``.
    """

    name: str
    title: str
    part: Part
    source: str
    device: str
    package: str
    speed: str
    variant: str
    pins: dict[str, Pin]
    clock_mhz: Fraction
    core_mhz: Fraction
    pll: str
    chip: str
    baud: int
    max_baud: int
    program: str

    @property
    def family(self) -> str:
        """Family of its part: "ice40", "ecp5", "gowin" or "xc7"."""
        return FAMILIES[self.part.name]

    @property
    def builds(self) -> bool:
        """Whether bitstreams can be made for it here."""
        return self.family != "xc7"
