"""Description of a board: its part, its pins, its clock and its serial line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from boards.parts.target import Part

__all__ = ["Board", "Flash", "Pin"]


@dataclass(frozen=True)
class Pin:
    """A pin of the part and its electrical settings.

    Attributes
    ----------
    pin : str
        Name of the pin in constraint files.
    inverted : bool
        Whether the pin is active low, such as a light that is on, or a button that is pressed, at 0.
    standard : str
        I/O standard of the signal; "" for the default of the family.
    pull_up : bool
        Whether the part's pull-up resistor is enabled.
    """

    pin: str
    inverted: bool = False
    standard: str = ""
    pull_up: bool = False


@dataclass(frozen=True)
class Flash:
    """Serial flash of a board, from which it is configured and can learn alone.

    Attributes
    ----------
    size : int
        Number of bytes that it stores.
    image : int
        Address behind the bitstream at which an image for learning begins.
    pins : dict of str to Pin
        Pins of the ports of a top level that learns alone: ``cs``, ``sck``, ``mosi``, ``miso``, the light ``wrong``, and the lights of the
        accuracy, ``light0``, ``light1``, …
    """

    size: int
    image: int
    pins: dict[str, Pin]


@dataclass(frozen=True)
class Board:
    """A board as its data file describes it.

    Attributes
    ----------
    name, title : str
        Name by which the user calls it, and its maker's name for it.
    part : Part
        The FPGA on the board.
    source : str
        Document that the pin numbers were taken from.
    device, package, speed, variant : str
        Options by which place and route names the part; "" for those that its family does not need.
    pins : dict of str to Pin
        Pin of each port of the top level: ``clk``, ``rx``, ``tx``, ``led``, and ``button`` if there is one.
    clock_mhz : Fraction
        Frequency at the clock pin, in MHz.
    core_mhz : Fraction
        Frequency that a build aims at for the core's clock, in MHz.
    pll : str
        Kind of PLL that is used, from ``boards.board.PLLS``; "" for none.
    chip : str
        Chip that connects the serial line to USB.
    baud, max_baud : int
        Default rate of the serial line, and the highest rate that the chip supports, in baud.
    program : str
        Shell command that loads the file ``{bitstream}`` onto the board.
    flash_program : str
        Shell command that writes the file ``{image}`` to the board's flash, from address 0 on.
    flash : Flash or None
        Its serial flash, None if the file does not describe one.
    alone : bool
        Whether it learns alone, without its serial line; see :meth:`learning_alone`.
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
    flash_program: str = ""
    flash: Flash | None = None
    alone: bool = False

    def learning_alone(self) -> Board:
        """Return the same board with the pins of a top level that learns alone.

        Raises
        ------
        ValueError
            If it has no flash or no button.
        """
        if self.flash is None or "button" not in self.pins:
            raise ValueError(f"Board must have a flash and a button, not as {self.name!r}")
        own = {name: self.pins[name] for name in ("clk", "button", "led")}
        return replace(self, pins={**own, **self.flash.pins}, alone=True)

    @property
    def family(self) -> str:
        """Family of the board's part: "ice40", "ecp5", "gowin" or "xc7"."""
        return self.part.family

    @property
    def builds(self) -> bool:
        """Whether there are tools here that build a bitstream for this board."""
        return self.family != "xc7"
