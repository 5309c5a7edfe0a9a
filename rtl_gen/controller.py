"""The controller: steps, passes and periods."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.registers import adjustable_periods
from python_ref.spec.schedule import MAX_PERIOD
from rtl_gen.slot import delayed

__all__ = ["Period", "StepController"]


class Period(wiring.Component):
    """Tells where a period of steps begins and ends.

    Parameters
    ----------
    init : int
        Steps of the period after a reset.
    adjustable : bool
        Whether it can be any other; if not, it is 1.

    Members
    -------
    length : In
        Steps of the next period.
    advance : In(1)
        A step has ended; not in the two cycles after another, or after ``restart``.
    restart : In(1)
        The next step is a period's first.
    begins, ends : Out(1)
        The step under way is the period's first, or last; right two cycles after ``advance`` or ``restart``.
    """

    def __init__(self, *, init: int, adjustable: bool):
        self.init = init
        self.adjustable = adjustable
        super().__init__({"length": In(range(MAX_PERIOD + 1)), "advance": In(1), "restart": In(1), "begins": Out(1), "ends": Out(1)})

    def elaborate(self, platform):
        m = Module()
        if not self.adjustable:
            m.d.comb += [self.begins.eq(1), self.ends.eq(1)]
            return m
        left = Signal(range(MAX_PERIOD + 1), init=self.init)
        fewer, half = Signal.like(left, init=self.init - 1), len(left) // 2
        begins, ends, borrows = Signal(init=1), Signal(init=self.init == 1), Signal(init=not self.init % (1 << half))
        m.d.comb += [self.begins.eq(begins), self.ends.eq(ends)]
        # One step fewer is flags before it is asked for, its high half a cycle after its low one, so that no carry stands in front of
        # what is chosen, and no long one anywhere.
        m.d.sync += [borrows.eq(left[:half] == 0), fewer.eq(Cat((left[:half] - 1)[:half], left[half:] - borrows)), ends.eq(left == 1)]
        with m.If(self.advance | self.restart):
            m.d.sync += [left.eq(Mux(self.restart | ends, self.length, fewer)), begins.eq(self.restart | ends)]
        return m


class _Countdown(wiring.Component):
    """The steps that are left of a run, counted in two halves.

    Members
    -------
    en, i : In(1), In(32)
        Set the count.
    down : In(1)
        Count down by one, if there is one left; not in the two cycles after another.
    none : Out(1)
        None is left; right two cycles after a change.
    """

    def __init__(self):
        super().__init__({"en": In(1), "i": In(32), "down": In(1), "none": Out(1)})

    def elaborate(self, platform):
        m = Module()
        half = len(self.i) // 2
        low_ends, borrows, ends = Signal(init=1), Signal(), []
        # The high half follows a cycle later, while the low one is far from none.
        m.d.sync += borrows.eq(self.down & low_ends)
        for value, down, none in ((self.i[:half], self.down, low_ends), (self.i[half:], borrows, Signal(init=1))):
            left, fewer = Signal(half), Signal(half)
            m.d.sync += [fewer.eq(left - 1), none.eq(left == 0)]
            with m.If(self.en | down):
                m.d.sync += left.eq(Mux(self.en, value, fewer))
            ends.append(none)
        m.d.comb += self.none.eq(Cat(ends).all())
        return m


class _Run:
    """Where a run is: one bit a state, so that whatever a state does hangs on one register.

    Idle, then for each step: settle what is due, await a sample, decide, start a pass, pass, await the cost, count; at the end flush,
    finish, rest.
    """

    STATES = ("settle", "await_sample", "decide", "start", "run_pass", "await_cost", "count", "flush", "finish", "rest")

    def __init__(self):
        self.idle = Signal(init=1)
        for name in self.STATES:
            setattr(self, name, Signal(name=name))


class _Flags:
    """What the controller knows while it runs."""

    def __init__(self):
        self.stopping, self.inferring, self.pending, self.complete = Signal(), Signal(), Signal(), Signal()
        self.needs_all = Signal(init=1)  # a new sample and a new baseline
        self.sample_due, self.baseline_due, self.ends = Signal(), Signal(), Signal()


class StepController(wiring.Component):
    """Runs steps: a sample when it is due, one or two passes, the wait for the cost; and a flushing pass at the end.

    Every decision is a register before it is acted upon.

    Parameters
    ----------
    spec : DesignSpec
        The design.

    Members
    -------
    train, infer, stop, restart : In(1)
        Commands; the first two take as many steps as ``count`` said last, some cycles before.
    count_en, count : In(1), In(32)
        Set the steps of the next run; a run counts them down.
    loaded : In(1)
        The host wrote a parameter: the next step takes a new sample and a new baseline.
    perturbation_period, sample_period, update_period : In
        τ_p, τ_x, τ_θ; taken where a period begins.
    available, take : In(1), Out(1)
        There is a sample; make it the present one.
    start, again, correlate, perturb, second, forward, done : Out(1) but the last
        To the sequencer: start a pass; let another follow; of which kind the next is.
    complete_stb : In(1)
        The outputs of a step's last pass are on their way; the next step may begin ``begin_latency`` cycles later.
    learned_stb : In(1)
        A correlating pass is written, and counted.
    update : Out(1)
        An update is due in the correlating pass.
    advance, fresh : Out(1)
        A step of training has ended; the next takes a new sign vector.
    two_passes, answer_check, training : Out(1)
        The step under way has both passes; its sample is new; it trains.
    old_buffer, old_bank, buffer : Out, Out, In
        Where the operands being correlated lie; the present sample's buffer.
    busy, starved : Out(1)
        A run is under way; it waits for a sample.
    """

    begin_latency = 6
    """Cycles from ``complete_stb`` to the ``start`` of the next step: it is noticed, the step and then the periods counted, what is due
    settled, and the next step decided and begun."""

    update_latency = 3
    """Cycles from ``complete_stb`` until ``update``, ``old_bank`` and ``old_buffer`` are those of the step that has ended."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        period, buffers = range(MAX_PERIOD + 1), range(spec.sample_buffers)
        strobes = ("train", "infer", "stop", "restart", "count_en", "loaded", "available", "done", "complete_stb", "learned_stb")
        to_passes = ("take", "start", "again", "correlate", "perturb", "second", "forward", "update", "advance", "fresh")
        flags = (*to_passes, "two_passes", "check_answer", "training", "old_bank", "busy", "starved")
        super().__init__(
            {
                **{name: In(1) for name in strobes},
                **{name: Out(1) for name in flags},
                **{f"{name}_period": In(period) for name in ("perturbation", "sample", "update")},
                "count": In(32),
                "buffer": In(buffers),
                "old_buffer": Out(buffers, init=spec.sample_buffers - 1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        run, flags = _Run(), _Flags()
        commands = {
            name: delayed(m, getattr(self, name), 1, name, reset_less=False) for name in ("train", "infer", "stop", "restart", "loaded")
        }
        m.submodules.left = left = _Countdown()
        m.d.comb += [
            left.en.eq(delayed(m, self.count_en, 1, "count_en", reset_less=False)),
            left.i.eq(self.count),
            left.down.eq(run.await_cost & flags.complete),
            self.busy.eq(~run.idle),
            self.starved.eq(run.await_sample & flags.sample_due & ~self.available),
            self.training.eq(~flags.inferring),
        ]
        periods = self._periods(m, commands["restart"])
        self._next_state(m, run, flags, commands)
        self._settle(m, run, flags, commands, periods, left)
        self._decide(m, run, flags)
        self._count(m, run, flags, periods)
        return m

    def _periods(self, m, restart):
        """The three periods."""
        periods = {}
        for name in ("perturbation", "sample", "update"):
            init, adjustable = getattr(self.spec.schedule, f"{name}_period"), f"{name}_period" in adjustable_periods(self.spec)
            m.submodules[name] = period = periods[name] = Period(init=init, adjustable=adjustable)
            m.d.comb += [
                period.length.eq(getattr(self, f"{name}_period")),
                period.advance.eq(self.advance),
                period.restart.eq(restart),
            ]
        m.d.sync += self.fresh.eq(periods["perturbation"].ends)
        return periods

    def _next_state(self, m, run, flags, commands):
        """From state to state."""
        begins = run.idle & (commands["train"] | commands["infer"]) & ~flags.ends
        goes_on = ~flags.sample_due | self.available
        ends_passes = run.run_pass & self.done & ~self.again
        finished = flags.complete & ~flags.pending
        m.d.sync += [
            run.idle.eq((run.idle & ~begins) | (run.flush & ~flags.pending) | run.rest),
            run.settle.eq(begins | run.count),
            run.await_sample.eq(run.settle | (run.await_sample & ~flags.ends & ~goes_on)),
            run.decide.eq(run.await_sample & ~flags.ends & goes_on),
            run.start.eq(run.decide),
            run.run_pass.eq(run.start | (run.run_pass & ~ends_passes)),
            run.await_cost.eq(ends_passes | (run.await_cost & ~flags.complete)),
            run.count.eq(run.await_cost & flags.complete),
            run.flush.eq(run.await_sample & flags.ends),
            # What is learned may be there before the last padding has passed, or after.
            run.finish.eq((run.flush & flags.pending) | (run.finish & ~finished)),
            run.rest.eq(run.finish & finished),  # the last slot is on its way from the sequencer
        ]

    def _settle(self, m, run, flags, commands, periods, left):
        """What is due, and what comes at any time."""
        sample_due = flags.inferring | flags.needs_all | periods["sample"].begins
        m.d.sync += [
            flags.sample_due.eq(sample_due),
            flags.baseline_due.eq(sample_due | periods["update"].begins | self.spec.two_sided),
            flags.ends.eq(flags.stopping | left.none),
            flags.stopping.eq(~run.idle & (commands["stop"] | flags.stopping)),
            flags.needs_all.eq(commands["loaded"] | commands["restart"] | Mux(run.count, flags.inferring, flags.needs_all)),
            flags.complete.eq(self.complete_stb | (run.finish & self.done) | (flags.complete & ~run.decide & ~run.flush)),
            flags.pending.eq((run.count & ~flags.inferring) | (flags.pending & ~run.start & ~(run.finish & self.learned_stb))),
        ]
        with m.If(run.idle & (commands["train"] | commands["infer"])):
            m.d.sync += flags.inferring.eq(commands["infer"])

    def _decide(self, m, run, flags):
        """What the next pass does: the first of a step; the one that may follow it, once that has started; the one that flushes."""
        first, training = run.decide, ~flags.inferring
        m.d.sync += [
            self.start.eq(first | (run.flush & flags.pending)),
            self.take.eq(first & flags.sample_due),
            self.again.eq(Mux(first, flags.baseline_due & training, self.again & ~self.done)),
        ]
        with m.If(first):
            m.d.sync += [self.check_answer.eq(flags.sample_due), self.two_passes.eq(flags.baseline_due & training)]
        with m.If(first | run.start | run.flush):
            m.d.sync += [
                self.correlate.eq((first & flags.pending) | run.flush),
                self.perturb.eq(training & (run.start | (first & (~flags.baseline_due | self.spec.two_sided)))),
                self.second.eq(run.start | (first & ~flags.baseline_due)),
                self.forward.eq(~run.flush),
            ]

    def _count(self, m, run, flags, periods):
        """Count the step that has ended; what it measured is pending."""
        m.d.sync += self.advance.eq(run.await_cost & flags.complete & ~flags.inferring)
        with m.If(run.count):
            m.d.sync += [
                self.update.eq(periods["update"].ends),
                self.old_bank.eq(self.old_bank ^ self.two_passes),
            ]
        with m.If(run.count & (self.two_passes | flags.inferring)):
            m.d.sync += self.old_buffer.eq(self.buffer)
