# amaranth: UnusedElaboratable=no
"""Top level of a board that learns alone: a core with its flash, its button, its lights, and its clock."""

from __future__ import annotations

from math import ceil

from amaranth.hdl import C, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from boards.plan import Plan
from boards.top import add_clock, top_module
from python_ref.spec.design import DesignSpec
from python_ref.spec.flash import LIGHTS
from rtl_gen.alone.core import AloneCore
from rtl_gen.emit import cleaned
from rtl_gen.toolchain.verilog import component_verilog

__all__ = ["WAKE_US", "AloneTop", "emit_alone_top", "wake_cycles"]

WAKE_US = 50
"""Microseconds that the flash has to leave its power-down state; a W25Q128JV takes 3, and others up to 35."""

BOUNCE_MS = 5
"""Milliseconds for which the button must not bounce, at least."""


def wake_cycles(plan: Plan) -> int:
    """Clock cycles that the flash has to leave its power-down state."""
    return ceil(WAKE_US * plan.clock.mhz)


class AloneTop(wiring.Component):
    """A core that learns alone, with all that a board needs around it.

    Reset is held until the PLL has locked and :data:`boards.top.START_US` have passed. The button starts and stops.

    Parameters
    ----------
    spec : DesignSpec
        The design whose core is built.
    plan : Plan
        Board and clock; the board has a flash.

    Members
    -------
    clk : In(1)
        Clock input of the board, at ``plan.board.clock_mhz``.
    button : In(1)
        Button that starts and stops.
    led, wrong : Out(1)
        Lights that are on while the program runs, and where the image is of another design.
    cs, sck, mosi, miso : Out(1), Out(1), Out(1), In(1)
        Pins of the flash.
    light0, light1, … : Out(1)
        Lights of the accuracy, the lowest threshold first.
    """

    def __init__(self, spec: DesignSpec, plan: Plan):
        self.spec = spec
        self.plan = plan
        flash = plan.board.flash
        if flash is None or not plan.board.alone:
            raise ValueError(f"Board must be one that learns alone, not {plan.board.name!r}")
        button_cycles = 1 << ceil(BOUNCE_MS * 1000 * plan.clock.mhz).bit_length()
        self.alone = AloneCore(spec, base=flash.image, wake_cycles=wake_cycles(plan), button_cycles=button_cycles)
        inputs = {name: In(1) for name in ("clk", "button", "miso")}
        super().__init__({**inputs, **{name: Out(1) for name in plan.board.pins if name not in inputs}})

    def elaborate(self, platform):
        m = Module()
        pins, alone = self.plan.board.pins, self.alone
        held = add_clock(m, self.plan, self.clk, C(1))
        m.submodules.alone = alone
        m.submodules.pressed = FFSynchronizer(self.button ^ pins["button"].inverted, alone.button, init=0)
        m.d.comb += [ResetSignal().eq(held), alone.miso.eq(self.miso)]
        lights = [(self.led, alone.running, "led"), (self.wrong, alone.wrong, "wrong")]
        lights += [(getattr(self, name), getattr(alone, name), name) for name in (f"light{number}" for number in range(LIGHTS))]
        m.d.comb += [port.eq(level ^ pins[name].inverted) for port, level, name in lights]
        m.d.comb += [getattr(self, name).eq(getattr(alone, name)) for name in ("cs", "sck", "mosi")]
        return m


def emit_alone_top(spec: DesignSpec, plan: Plan) -> str:
    """Verilog of the top level of a board that learns alone; the same design and plan always give the same text."""
    text = component_verilog(AloneTop(spec, plan), top_module(spec))
    header = f"// {spec.name} alone on {plan.board.name}: {float(plan.clock.mhz):g} MHz; written by mgd-hw.\n// Structure {spec.digest}.\n"
    return header + cleaned(text)
