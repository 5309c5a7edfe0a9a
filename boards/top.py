# amaranth: UnusedElaboratable=no
"""Top level of a board: a core with its serial line, clock, reset and status light."""

from __future__ import annotations

from math import ceil

from amaranth.hdl import C, ClockDomain, ClockSignal, Instance, Module, ResetSignal, Signal, ValueLike
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from boards.plan import Plan
from python_ref.spec.learning import LearningSpec
from rtl_gen.emit import cleaned
from rtl_gen.serial.linked import LinkedCore
from rtl_gen.toolchain.verilog import component_verilog

__all__ = ["BoardTop", "add_clock", "emit_top", "top_module"]

START_US = 15
"""Microseconds of reset after configuration, since an iCE40's block memories read wrong data in the first 3."""


class BoardTop(wiring.Component):
    """A core with all that a board needs around it.

    Reset is held until the PLL has locked and :data:`START_US` have passed, and while the button is pressed.

    Parameters
    ----------
    spec : LearningSpec
        The design whose core is built.
    plan : Plan
        Board, clock, and rate of the serial line.

    Members
    -------
    clk : In(1)
        Clock input of the board, at ``plan.board.clock_mhz``.
    rx, tx : In(1), Out(1)
        Receive and transmit lines of the serial link, high while idle.
    led : Out(1)
        Status light, on while a run is in progress.
    button : In(1)
        Button that resets the core and the link; only on boards that have one.
    """

    def __init__(self, spec: LearningSpec, plan: Plan):
        self.spec = spec
        self.plan = plan
        self.linked = LinkedCore(spec, divisor=plan.divisor, core_domain="start")
        members = {"clk": In(1), "rx": In(1, init=1), "tx": Out(1, init=1), "led": Out(1)}
        if "button" in plan.board.pins:
            members["button"] = In(1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        pins = self.plan.board.pins
        pressed = self.button ^ pins["button"].inverted if "button" in pins else C(0)
        held = add_clock(m, self.plan, self.clk, ~pressed)
        linked = m.submodules.linked = self.linked
        m.d.comb += [
            ResetSignal().eq(held),
            linked.rx.eq(self.rx),
            self.tx.eq(linked.tx),
            self.led.eq(linked.busy ^ pins["led"].inverted),
        ]
        return m


def add_clock(m: Module, plan: Plan, clk: Signal, released: ValueLike) -> Signal:
    """Add the PLL and the domains ``sync``, and ``start``, which has the same clock and no reset; return the reset.

    It is held until the PLL has locked, ``released`` is high, and :data:`START_US` have passed.
    """
    sync = m.domains.sync = ClockDomain("sync")
    m.domains.start = ClockDomain("start", reset_less=True)
    m.d.comb += ClockSignal("start").eq(sync.clk)
    locked, ready, held = Signal(), Signal(), Signal(init=1)
    count = Signal(
        range(2 * ceil(START_US * plan.clock.mhz))
    )  # the count ends when its highest bit is set, so that no comparator is needed
    if plan.clock.settings:
        m.submodules.pll = _PLLS[plan.board.pll](plan, clk, sync.clk, locked)
    else:
        m.d.comb += [sync.clk.eq(clk), locked.eq(1)]
    m.submodules.ready = FFSynchronizer(locked & released, ready, o_domain="start", init=0)
    m.d.start += held.eq(~count[-1])
    with m.If(~ready):
        m.d.start += count.eq(0)
    with m.Elif(~count[-1]):
        m.d.start += count.eq(count + 1)
    return held


def _ice40(plan, source, output, locked):
    widths = {"DIVR": 4, "DIVF": 7, "DIVQ": 3, "FILTER_RANGE": 3}
    parameters = {f"p_{name}": C(value, widths[name]) for name, value in plan.clock.settings.items()}
    kind, pin = ("SB_PLL40_PAD", "i_PACKAGEPIN") if plan.board.pll == "ice40-pad" else ("SB_PLL40_CORE", "i_REFERENCECLK")
    return Instance(
        kind,
        p_FEEDBACK_PATH="SIMPLE",
        p_PLLOUT_SELECT="GENCLK",
        **parameters,
        **{pin: source},
        i_RESETB=C(1),
        i_BYPASS=C(0),
        o_PLLOUTGLOBAL=output,
        o_LOCK=locked,
    )


def _ecp5(plan, source, output, locked):
    settings = plan.clock.settings
    return Instance(
        "EHXPLLL",
        a_FREQUENCY_PIN_CLKI=f"{float(plan.board.clock_mhz):g}",
        a_FREQUENCY_PIN_CLKOP=f"{float(plan.clock.mhz):g}",
        a_ICP_CURRENT="12",
        a_LPF_RESISTOR="8",
        a_MFG_ENABLE_FILTEROPAMP="1",
        a_MFG_GMCREF_SEL="2",
        p_FEEDBK_PATH="CLKOP",
        p_CLKOP_ENABLE="ENABLED",
        p_CLKOP_CPHASE=settings["CLKOP_DIV"] // 2,
        p_CLKOP_FPHASE=0,
        **{f"p_{name}": value for name, value in settings.items()},
        i_CLKI=source,
        i_CLKFB=output,
        i_RST=C(0),
        i_STDBY=C(0),
        i_PHASESEL0=C(0),
        i_PHASESEL1=C(0),
        i_PHASEDIR=C(1),
        i_PHASESTEP=C(1),
        i_PHASELOADREG=C(1),
        i_PLLWAKESYNC=C(0),
        i_ENCLKOP=C(0),
        o_CLKOP=output,
        o_LOCK=locked,
    )


def _gowin(plan, source, output, locked):
    unused = {"RESET": 1, "RESET_P": 1, "CLKFB": 1, "FBDSEL": 6, "IDSEL": 6, "ODSEL": 6, "PSDA": 4, "DUTYDA": 4, "FDLY": 4}
    return Instance(
        "rPLL",
        p_FCLKIN=f"{float(plan.board.clock_mhz):g}",
        **{f"p_{name}": value for name, value in plan.clock.settings.items()},
        **{f"i_{name}": C(0, width) for name, width in unused.items()},
        i_CLKIN=source,
        o_CLKOUT=output,
        o_LOCK=locked,
    )


def _xc7(plan, source, output, locked):
    feedback = Signal()
    return Instance(
        "PLLE2_BASE",
        p_CLKIN1_PERIOD=float(1000 / plan.board.clock_mhz),
        **{f"p_{name}": value for name, value in plan.clock.settings.items()},
        i_CLKIN1=source,
        i_CLKFBIN=feedback,
        o_CLKFBOUT=feedback,
        i_RST=C(0),
        i_PWRDWN=C(0),
        o_CLKOUT0=output,
        o_LOCKED=locked,
    )


_PLLS = {"ice40-pad": _ice40, "ice40-core": _ice40, "ecp5": _ecp5, "gowin": _gowin, "xc7": _xc7}


def top_module(spec: LearningSpec) -> str:
    """Name of the Verilog module of a design's top level."""
    return f"{spec.module}_top"


def emit_top(spec: LearningSpec, plan: Plan) -> str:
    """Verilog of a board's top level; the same design and plan always give the same text."""
    text = component_verilog(BoardTop(spec, plan), top_module(spec))
    header = (
        f"// {spec.name} on {plan.board.name}: {float(plan.clock.mhz):g} MHz, serial line of {plan.baud:,} baud, "
        f"{plan.divisor} cycles per bit; written by mgd-hw.\n// Structure {spec.digest}.\n"
    )
    return header + cleaned(text)
