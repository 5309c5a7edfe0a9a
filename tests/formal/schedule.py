# amaranth: UnusedElaboratable=no
"""The periods and the countdown of a run, beside counters of one step each, for every length and every count."""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.hdl import Assume, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In

from python_ref.spec.design import DesignSpec
from python_ref.spec.registers import adjustable_periods
from python_ref.spec.schedule import MAX_PERIOD
from rtl_gen.controller import Countdown, Period, StepController
from rtl_gen.presentation.controller import PresentationController
from tests.formal.harness import Bench, Induction, Opened, Property, always, control, opened
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
        inner = opened(period)
        m.submodules.period = inner.module
        m.d.comb += [getattr(period, name).eq(getattr(self, name)) for name in ("length", "advance", "restart")]
        kept = Counted(m, inner)
        m.d.comb += [Assume(~self.advance | (kept.since >= 4)), Assume(~(self.advance & self.restart)), Assume(self.length <= self.longest)]
        passed = Signal(3)
        m.d.sync += passed.eq(passed + (self.advance & kept.is_last & ~kept.first))
        self.reach(m, passed == 2)


def _since(m: Module, event: Any, most: int, name: str, *, init: int = 0) -> Signal:
    """Cycles since an event; ``most`` stands for more, too, and ``init`` is the count after a reset."""
    count = Signal(range(most + 1), init=init, name=name)
    m.d.sync += count.eq(Mux(event, 1, Mux(count == most, most, count + 1)))
    return count


class Counted:
    """A period of an opened block beside a count of its steps, with what induction needs, where its documentation is kept to.

    Attributes
    ----------
    first, is_last : Value
        The current step is the first, or the last, of its period.
    since : Signal
        Cycles since the last ``advance`` or ``restart``; 5 stands for more, too.
    """

    def __init__(self, m: Module, inner: Opened, name: str = ""):
        period = inner.names["self"]
        self.first, self.since = Signal(init=1, name=f"{name}first"), Signal(range(6), name=f"{name}since")
        if not period.adjustable:
            self.first = self.is_last = Const(1, 1)
            return
        count, some = _counters(inner)
        left, loads = Signal(24, init=1, name=f"{name}left"), Signal(init=1, name=f"{name}loads")
        self.is_last = left == 1
        moves, since = period.advance | period.restart, self.since
        m.d.sync += since.eq(Mux(moves, 1, Mux(since == 5, 5, since + 1)))
        m.d.sync += loads.eq(period.restart | (period.advance & self.is_last))
        with m.If(loads):
            m.d.sync += left.eq(Mux(period.length == 0, 1, period.length))
        with m.Elif(period.advance):
            m.d.sync += left.eq(left - 1)
        with m.If(moves):
            m.d.sync += self.first.eq(period.restart | self.is_last)
        always(m, loads | ((left != 0) & (left <= period.longest)), since <= 5)
        always(m, (since < 3) | ((period.ends == self.is_last) & (period.begins == self.first)))
        always(m, (since < 4) | (count == left) | (self.is_last & (count == 0)), *((since < 5) | each for each in some))
        always(m, *((since < 3) | each for each in some[:1]))


def _counters(inner: Opened) -> tuple[Value, list[Value]]:
    """The count of an opened period's steps, and whether the flags of the count's parts are right."""
    if inner.names["self"].longest <= Period._SMALL:
        count, some = inner.names["count"], inner.names["some"]
        return count, [some == count[1:].any()]
    parts = _parts(inner.within("high"))
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


PERIODS = ("perturbation", "sample", "update")


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
        since_set, since_step = _since(m, self.count_en, 4, "since_set", init=4), _since(m, controller.advance, 5, "since_step", init=5)
        since_down, begun, commands = _since(m, left.down, 5, "since_down", init=5), Signal(), self.train | self.infer
        m.d.sync += begun.eq(commands)
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


class Presentations(Bench):
    """The controller of presentations among free commands and answers: its steps keep what its periods and its countdown ask for, so that
    all lengths and counts are kept, and it takes samples, vectors and updates where the periods say so.

    The host restarts, writes a parameter, sets the count and begins a run only between runs, and the latter four cycles after the count or
    a restart, or later.
    """

    FREE = ("train", "infer", "stop", "restart", "loaded", "available", "started", "kept", "replay_done", "signs_ready", "count_en")
    COSTS = ("cost_stb", "settled_stb", "change_stb", "errors_busy", "errors_ready", "learned_stb")

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.controller = PresentationController(spec, replay_wait=0)
        lengths = {f"{name}_period": In(24) for name in PERIODS}
        super().__init__({name: In(1) for name in (*self.FREE, *self.COSTS)} | {"count": In(32)} | lengths)

    def state(self, m: Module) -> None:
        controller = self.controller
        inner = opened(controller)
        counter = inner.within("left").within("counter")
        periods = {name: inner.within(name) for name in PERIODS}
        m.submodules.controller = inner.module
        given = (*self.FREE, *self.COSTS, "count", *(f"{name}_period" for name in PERIODS))
        m.d.comb += [getattr(controller, name).eq(getattr(self, name)) for name in given]
        m.d.comb += [Assume(getattr(self, f"{name}_period") <= periods[name].names["self"].longest) for name in PERIODS]
        names = inner.names
        run, left = names["run"], names["left"]
        states = Cat(run.idle, *(getattr(run, name) for name in run.STATES))
        since_set, since_restart = _since(m, self.count_en, 4, "since_set", init=4), _since(m, self.restart, 4, "since_restart")
        since_down, begun, commands = _since(m, left.down, 5, "since_down", init=5), Signal(), self.train | self.infer
        m.d.sync += begun.eq(commands)
        between = ~controller.busy & ~begun
        m.d.comb += [Assume(~each | between) for each in (commands, self.restart, self.count_en, self.loaded)]
        m.d.comb += [Assume(~commands | ((since_set == 4) & (since_restart == 4) & ~self.count_en & ~self.restart))]
        steps, loads = Signal(32), Signal()
        m.d.sync += loads.eq(self.count_en)
        with m.If(loads):
            m.d.sync += steps.eq(self.count)
        with m.Elif(left.down):
            m.d.sync += steps.eq(steps - 1)
        restart = names["commands"]["restart"]
        always(m, ~left.down | ((steps != 0) & (since_down >= 4) & (since_set == 4)), ~(left.down & self.count_en))
        whole, parts = (since_down >= 4) & (since_set == 4), _parts(counter)
        always(m, ~whole | (Cat(count for count, _ in parts) == steps), *(~whole | (some == count.any()) for count, some in parts))
        counts = {name: Counted(m, each, f"{name}_") for name, each in periods.items()}
        self._follow(m, names, counts, steps, since_down, restart)
        always(m, states.any(), (states & (states - 1)) == 0, run.idle | (since_set == 4), run.idle | (since_restart == 4))
        ended = Signal(2)
        m.d.sync += ended.eq(ended + controller.advance)
        self.reach(m, (ended == 2) & controller.advance)

    def _follow(
        self, m: Module, names: dict[str, Any], counts: dict[str, Counted], steps: Signal, since_down: Signal, restart: Any
    ) -> None:
        """Assert that the steps keep what the periods ask for, and what is due in each; and what induction needs."""
        controller, run, two_sided = self.controller, names["run"], self.spec.two_sided
        since_step = _since(m, controller.advance | restart, 5, "since_step")
        always(m, ~controller.advance | (since_step >= 4), ~(controller.advance & restart))
        always(m, *(each.since == since_step for name, each in counts.items() if f"{name}_period" in adjustable_periods(self.spec)))
        # What is due.
        prepared, taking = names["prepared"] & ~controller.minus, names["taking"]
        always(m, ~controller.advance | (controller.fresh == counts["perturbation"].is_last))
        always(m, controller.advance == (controller.replay & (controller.minus if two_sided else 1)))
        ends = counts["sample"].is_last | counts["update"].is_last
        new = names["inferring"] | names["needs_all"] | counts["sample"].first
        always(m, ~taking | (names["sample_due"] == new), ~taking | (names["begins_one"] == (new | counts["update"].first)))
        due = Signal(2)
        m.d.sync += due.eq(Cat(ends, counts["update"].is_last))
        always(
            m,
            ~(controller.replay & ~controller.minus) | (names["ending"] == due[0]),
            ~(controller.replay & ~controller.minus) | (controller.update == due[1]),
        )
        # A step is left, from the moment when it is decided.
        always(m, ~(run.begin | run.measure) | (steps != 0), ~(run.prepare & ~controller.minus) | (steps != 0))
        always(m, ~run.await_sample | (since_down >= 3) | names["ends"], ~(run.begin | run.measure | run.prepare) | (since_down >= 3))
        always(m, ~prepared | (since_step >= 3), ~controller.minus | int(two_sided), since_down <= 5)


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

_PRESENTATIONS = "presentation.controller:PresentationController.elaborate"

PROPERTIES = (
    *(
        Property(
            f"steps of presentations, {name}",
            "presentation.controller, controller.Period",
            partial(Presentations, DESIGNS[name]),
            Induction(9),
            40,
            (
                control("a step although none is left", _PRESENTATIONS, "(ending | stopping | left.none)", "(ending | stopping)", 30),
                control(
                    "an inference counts for as long as it lasts",
                    _PRESENTATIONS,
                    "reset_less=False) | (measured & inferring)",
                    "reset_less=False) | (run.measure & inferring)",
                    30,
                ),
                control(
                    "an update at the end of each sample",
                    _PRESENTATIONS,
                    'periods["update"].ends, update)',
                    'periods["sample"].ends, update)',
                    30,
                ),
                *faults,
            ),
        )
        for name, faults in (
            ("probes", ()),
            (
                "two_sided_probes",
                (
                    control(
                        "a new vector in each step",
                        _PRESENTATIONS,
                        'self.fresh.eq(periods["perturbation"].ends)',
                        "self.fresh.eq(1)",
                        26,
                    ),
                    control(
                        "a step ends with its first probe",
                        _PRESENTATIONS,
                        "self.advance.eq(prepared & closes_step)",
                        "self.advance.eq(prepared & opens_step)",
                        26,
                    ),
                ),
            ),
        )
    ),
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
