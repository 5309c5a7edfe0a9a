# amaranth: UnusedElaboratable=no
"""A core that learns alone, with the pins of a flash memory, a button and lights."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.flash import LIGHTS
from rtl_gen.alone.button import Button
from rtl_gen.alone.player import Player
from rtl_gen.alone.reader import FlashReader
from rtl_gen.core import core_of
from rtl_gen.emit import cleaned
from rtl_gen.toolchain.verilog import component_verilog

__all__ = ["AloneCore", "emit_alone"]


class AloneCore(wiring.Component):
    """A core that learns from a flash image (:mod:`python_ref.spec.flash`) when a button is pressed.

    Parameters
    ----------
    spec : DesignSpec
        The design whose core is built.
    base : int
        Address of the image in the flash.
    wake_cycles : int
        Cycles that the flash takes to leave its power-down state.
    button_cycles : int
        Cycles for which the button must not bounce, a power of two.

    Members
    -------
    cs, sck, mosi, miso : Out(1), Out(1), Out(1), In(1)
        Pins of the flash, see :class:`~rtl_gen.alone.reader.FlashReader`.
    button : In(1)
        The button is down, synchronous to the clock; it starts and stops.
    running, wrong, done : Out(1)
        State of the program, see :class:`~rtl_gen.alone.player.Player`.
    light0, light1, … : Out(1)
        Accuracy on the held-out samples, the lowest threshold first.
    """

    def __init__(self, spec: DesignSpec, *, base: int, wake_cycles: int, button_cycles: int):
        self.spec = spec
        self.core = core_of(spec)
        self.player = Player(spec, base)
        self.reader = FlashReader(wake_cycles=wake_cycles)
        self.press = Button(button_cycles)
        super().__init__(
            {
                **{name: Out(1, init=name == "cs") for name in ("cs", "sck", "mosi")},
                **{name: In(1) for name in ("miso", "button")},
                **{name: Out(1) for name in ("running", "wrong", "done")},
                **{f"light{number}": Out(1) for number in range(LIGHTS)},
            }
        )

    def elaborate(self, platform):
        m = Module()
        core, player, reader = self.core, self.player, self.reader
        m.submodules.core, m.submodules.player, m.submodules.reader, m.submodules.press = core, player, reader, self.press
        for name in ("request", "sample"):
            wiring.connect(m, getattr(player, name), getattr(core, name))
        wiring.connect(m, core.response, player.response)
        wiring.connect(m, reader.o, player.word)
        m.d.comb += [
            self.press.i.eq(self.button),
            player.press.eq(self.press.press),
            player.busy.eq(core.busy),
            player.awake.eq(reader.awake),
            *(getattr(reader, name).eq(getattr(player, name)) for name in ("seek", "address", "bits")),
            *(getattr(self, name).eq(getattr(reader, name)) for name in ("cs", "sck", "mosi")),
            reader.miso.eq(self.miso),
            *(getattr(self, name).eq(getattr(player, name)) for name in ("running", "wrong", "done")),
            *(getattr(self, f"light{number}").eq(player.lights[number]) for number in range(LIGHTS)),
        ]
        return m


def emit_alone(spec: DesignSpec, *, base: int, wake_cycles: int, button_cycles: int) -> str:
    """Verilog of a core that learns alone, module ``mgd_<name>_alone``, without the clock of a board."""
    alone = AloneCore(spec, base=base, wake_cycles=wake_cycles, button_cycles=button_cycles)
    header = f"// {spec.name}, a core that learns alone, written by mgd-hw.\n// Structure {spec.digest}.\n"
    return header + cleaned(component_verilog(alone, f"{spec.module}_alone"))
