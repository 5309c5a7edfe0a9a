# amaranth: UnusedElaboratable=no
"""The periods and the countdown of a run, beside counters of one step each, for every length and every count."""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.hdl import Assume, Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import In

from python_ref.spec.design import DesignSpec
from python_ref.spec.schedule import MAX_PERIOD
from rtl_gen.controller import Countdown, Period, StepController
from tests.formal.harness import Bench, Induction, Property, always, control, opened
from tests.support.faults import DESIGNS

__all__ = ["PROPERTIES"]


class Lasting(Bench):
    """A period whose length changes at any time: the next period has the length of the cycle after it begins, and ends in its last step.

    A period begins at the reset, with ``restart``, and after the last step of the one before. Steps are four cycles apart or more, and
    ``restart`` comes between runs, so not together with the end of a step.
    """

    def __init__(self, longest: int):
        self.longest = longest
        self.period = Period(adjustable=True, longest=longest)
        super().__init__({"length": In(range(MAX_PERIOD + 1)), "advance": In(1), "restart": In(1)})

    def state(self, m: Module) -> None:
        period = self.period
        with_parts = _opened_counters(m, period, "period")
        m.d.comb += [getattr(period, name).eq(getattr(self, name)) for name in ("length", "advance", "restart")]
        left, loads, first, since = Signal(24, init=1), Signal(init=1), Signal(init=1), Signal(range(6))
        with m.If(self.advance | self.restart):
            m.d.sync += since.eq(1)
        with m.Elif(since != 5):
            m.d.sync += since.eq(since + 1)
        m.d.comb += [Assume(~self.advance | (since >= 4)), Assume(~(self.advance & self.restart)), Assume(self.length <= self.longest)]
        m.d.sync += loads.eq(self.restart | (self.advance & (left == 1)))
        with m.If(loads):
            m.d.sync += left.eq(Mux(self.length == 0, 1, self.length))
        with m.Elif(self.advance):
            m.d.sync += left.eq(left - 1)
        with m.If(self.advance | self.restart):
            m.d.sync += first.eq(self.restart | (left == 1))
        always(m, loads | ((left != 0) & (left <= self.longest)), (since < 3) | ((period.ends == (left == 1)) & (period.begins == first)))
        count, some = with_parts
        always(m, (since < 4) | (count == left) | ((left == 1) & (count == 0)), *((since < 5) | each for each in some))
        always(m, *((since < 3) | each for each in some[:1]))
        passed = Signal(3)
        m.d.sync += passed.eq(passed + (self.advance & (left == 1) & ~first))
        self.reach(m, passed == 2)


def _opened_counters(m: Module, period: Period, name: str) -> tuple[Value, list[Value]]:
    """Add a period; its count of steps, and whether the flags of the count's parts are right."""
    if period.longest <= Period._SMALL:
        inner = opened(period)
        m.submodules[name] = inner.module
        count, some = inner.names["count"], inner.names["some"]
        return count, [some == count[1:].any()]
    inner = opened(period)
    counter = inner.within("high")
    m.submodules[name] = inner.module
    parts = _parts(counter)
    return Cat(inner.names["low"], *(count for count, _ in parts)), [some == count.any() for count, some in parts]


def _parts(counter: Any) -> list[tuple[Value, Value]]:
    """Each part of the count of an opened down counter, and its flag that it is not 0."""
    counter.module._flush()
    size = counter.names["size"]
    return [(counter.signal(f"count{first}"), counter.signal(f"some{first}")) for first in range(0, counter.names["self"].width, size)]


class Counting(Bench):
    """The countdown of a run's steps, of 32 bits: it is set between runs, one cycle before its value comes, and counts steps of a run."""

    def __init__(self) -> None:
        self.countdown = Countdown()
        super().__init__({"en": In(1), "i": In(32), "down": In(1)})

    def state(self, m: Module) -> None:
        countdown = self.countdown
        outer = opened(countdown)
        counter = outer.within("counter")
        m.submodules.countdown = outer.module
        m.d.comb += [getattr(countdown, name).eq(getattr(self, name)) for name in ("en", "i", "down")]
        left, loads, since, since_set = Signal(32), Signal(), Signal(range(7), init=6), Signal(range(4), init=3)
        with m.If(self.down):
            m.d.sync += since.eq(1)
        with m.Elif(since != 6):
            m.d.sync += since.eq(since + 1)
        with m.If(self.en):
            m.d.sync += since_set.eq(1)
        with m.Elif(since_set != 3):
            m.d.sync += since_set.eq(since_set + 1)
        m.d.comb += [Assume(~self.down | ((left != 0) & (since >= 4) & (since_set == 3))), Assume(~(self.en & self.down))]
        m.d.sync += loads.eq(self.en)
        with m.If(loads):
            m.d.sync += left.eq(self.i)
        with m.Elif(self.down):
            m.d.sync += left.eq(left - 1)
        settled = (since >= 2) & (since_set == 3)
        always(m, ~settled | (countdown.none == (left == 0)))
        parts = _parts(counter)
        whole = (since >= 4) & (since_set == 3)
        always(m, ~whole | (Cat(count for count, _ in parts) == left), *(~whole | (some == count.any()) for count, some in parts))
        self.reach(m, settled & (since == 6) & (left == 0xFFFF_FFFE))


class Steps(Bench):
    """The controller of steps among free commands and answers: it keeps what its periods and its countdown ask for.

    Steps end four cycles apart or more, none ends together with a restart, and none is counted where no step is left. The host restarts,
    sets the count and begins a run only between runs, and the latter four cycles after the count or later.
    """

    FREE = ("train", "infer", "stop", "restart", "count_en", "loaded", "available", "done", "complete_stb", "learned_stb")

    def __init__(self, spec: DesignSpec):
        self.controller = StepController(spec)
        super().__init__({name: In(1) for name in self.FREE} | {"count": In(32), "length": In(24)})

    def state(self, m: Module) -> None:
        controller = self.controller
        inner = opened(controller)
        counter = inner.within("left").within("counter")
        m.submodules.controller = inner.module
        m.d.comb += [getattr(controller, name).eq(getattr(self, name)) for name in (*self.FREE, "count")]
        m.d.comb += [getattr(controller, f"{name}_period").eq(self.length) for name in ("perturbation", "sample", "update")]
        run, flags, left = inner.names["run"], inner.names["flags"], inner.names["left"]
        states = Cat(run.idle, *(getattr(run, name) for name in run.STATES))
        since_set, since_step, since_down, begun = Signal(range(5), init=4), Signal(range(6), init=5), Signal(range(6), init=5), Signal()
        commands = self.train | self.infer
        m.d.sync += [
            since_set.eq(Mux(self.count_en, 1, Mux(since_set == 4, 4, since_set + 1))),
            since_step.eq(Mux(controller.advance, 1, Mux(since_step == 5, 5, since_step + 1))),
            since_down.eq(Mux(left.down, 1, Mux(since_down == 5, 5, since_down + 1))),
            begun.eq(commands),
        ]
        between = ~controller.busy & ~begun
        m.d.comb += [Assume(~each | between) for each in (commands, self.restart, self.count_en, self.loaded)]
        m.d.comb += [Assume(~commands | ((since_set == 4) & ~self.count_en & ~self.restart))]
        steps, loads = Signal(32), Signal()
        m.d.sync += loads.eq(self.count_en)
        with m.If(loads):
            m.d.sync += steps.eq(self.count)
        with m.Elif(left.down):
            m.d.sync += steps.eq(steps - 1)
        always(m, ~controller.advance | (since_step >= 4), ~(controller.advance & inner.names["commands"]["restart"]))
        always(m, ~left.down | ((steps != 0) & (since_down >= 4) & (since_set == 4)), ~(left.down & self.count_en))
        # What induction needs.
        whole = (since_down >= 4) & (since_set == 4)
        parts = _parts(counter)
        always(m, states.any(), (states & (states - 1)) == 0, run.idle | (since_set == 4), run.idle | ~inner.names["commands"]["restart"])
        always(m, ~whole | (Cat(count for count, _ in parts) == steps), *(~whole | (some == count.any()) for count, some in parts))
        always(m, ~(run.decide | run.start | run.run_pass | run.await_cost) | (steps != 0), ~run.await_cost | (since_down >= 4))
        always(m, ~(run.await_sample & ~flags.ends) | (steps != 0))
        ended = Signal(2)
        m.d.sync += ended.eq(ended + controller.advance)
        self.reach(m, (ended == 2) & controller.advance)


_ONE, _PARTS, _DOWN = "controller:Period._count_in_one", "controller:Period._count_in_parts", "controller:DownCounter.elaborate"
_LOADS = control(
    "a period goes on after a restart",
    "controller:Period.elaborate",
    "self.restart | (self.advance & self.ends)",
    "self.advance & self.ends",
    24,
)
_BEGINS = control("no first step after a restart", "controller:Period.elaborate", "self.advance | self.restart", "self.advance", 24)

_NEXT, _SETTLE = "controller:StepController._next_state", "controller:StepController._settle"

PROPERTIES = (
    Property(
        "steps of a run",
        "controller.StepController",
        partial(Steps, DESIGNS["accumulating"]),
        Induction(9),
        40,
        (
            control("a step although none is left", _SETTLE, "flags.stopping | left.none", "flags.stopping", 40),
            control(
                "a step is counted for as long as its cost is awaited",
                "controller:StepController.elaborate",
                "run.await_cost & flags.complete",
                "run.await_cost",
                40,
            ),
        ),
    ),
    *(
        Property(
            f"a period of up to {longest} steps",
            "controller.Period",
            partial(Lasting, longest),
            Induction(8),
            36,
            (_LOADS, _BEGINS, *faults),
        )
        for longest, faults in (
            (5, (control("an odd length one step short", _ONE, "count[1:].any()", "count[2:].any()", 24),)),
            (255, (control("a length of 0 never ends", _ONE, "some.eq(count[1:].any())", "some.eq(count != 1)", 24),)),
            (256, (control("the lowest bit does not count", _PARTS, "self.advance & ~low & ~high.none", "self.advance & ~high.none", 24),)),
            (
                MAX_PERIOD,
                (
                    control("no borrow", _DOWN, "borrows.eq(down & ~some)", "borrows.eq(0)", 24),
                    control("lengths lose their lowest bit", _PARTS, "low ^ self.advance, self.length[0]", "low ^ self.advance, 0", 24),
                ),
            ),
        )
    ),
    Property(
        "the countdown of 32 bits",
        "controller.Countdown",
        Counting,
        Induction(9),
        16,
        (
            control("no borrow", _DOWN, "borrows.eq(down & ~some)", "borrows.eq(0)", 16),
            control("a borrow from a part that is not 0", _DOWN, "borrows.eq(down & ~some)", "borrows.eq(down)", 16),
            control("a part is not looked at", _DOWN, "none.append(~some)", "none.append(~some | (first > 20))", 16),
        ),
    ),
)
