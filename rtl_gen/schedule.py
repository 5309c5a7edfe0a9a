"""The conductor: steps, passes and periods."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.registers import adjustable_periods
from python_ref.spec.schedule import MAX_PERIOD

__all__ = ["Conductor", "Period"]


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
        A step has ended.
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
        begins, ends = Signal(init=1), Signal(init=self.init == 1)
        m.d.comb += [self.begins.eq(begins), self.ends.eq(ends)]
        m.d.sync += ends.eq(left == 1)
        with m.If(self.advance):
            m.d.sync += [left.eq(Mux(ends, self.length, left - 1)), begins.eq(ends)]
        with m.If(self.restart):
            m.d.sync += [left.eq(self.length), begins.eq(1)]
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
        low, high = Signal(half), Signal(half)
        none_low, none_high = Signal(init=1), Signal(init=1)
        m.d.sync += [none_low.eq(low == 0), none_high.eq(high == 0)]
        m.d.comb += self.none.eq(none_low & none_high)
        # The high half follows a cycle later, while the low one is far from none.
        borrows = Signal()
        m.d.sync += borrows.eq(self.down & none_low)
        with m.If(self.down):
            m.d.sync += low.eq(low - 1)
        with m.If(borrows):
            m.d.sync += high.eq(high - 1)
        with m.If(self.en):
            m.d.sync += [low.eq(self.i[:half]), high.eq(self.i[half:])]
        return m


class _State:
    """Registers of the conductor."""

    def __init__(self):
        self.stopping, self.inferring, self.pending, self.complete = Signal(), Signal(), Signal(), Signal()
        self.needs_baseline, self.needs_sample = Signal(init=1), Signal(init=1)
        self.sample_due, self.baseline_due, self.ends = Signal(), Signal(), Signal()


class Conductor(wiring.Component):
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
    two_passes, judge, training : Out(1)
        The step under way has both passes; its sample is new; it trains.
    old_buffer, old_bank, buffer : Out, Out, In
        Where the operands being correlated lie; the present sample's buffer.
    busy, starved : Out(1)
        A run is under way; it waits for a sample.
    """

    begin_latency = 5
    """Cycles from ``complete_stb`` to the ``start`` of the next step: it is noticed, the step and then the periods counted, what is due
    settled, and the next step begun."""

    update_latency = 2
    """Cycles from ``complete_stb`` until ``update``, ``old_bank`` and ``old_buffer`` are those of the step that has ended."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        period, buffers = range(MAX_PERIOD + 1), range(spec.sample_buffers)
        strobes = ("train", "infer", "stop", "restart", "count_en", "loaded", "available", "done", "complete_stb", "learned_stb")
        to_passes = ("take", "start", "again", "correlate", "perturb", "second", "forward", "update", "advance", "fresh")
        flags = (*to_passes, "two_passes", "judge", "training", "old_bank", "busy", "starved")
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
        spec, state = self.spec, _State()
        m.submodules.left = left = _Countdown()
        periods = {}
        for name in ("perturbation", "sample", "update"):
            init, adjustable = getattr(spec.schedule, f"{name}_period"), f"{name}_period" in adjustable_periods(spec)
            m.submodules[name] = period = periods[name] = Period(init=init, adjustable=adjustable)
            m.d.comb += [
                period.length.eq(getattr(self, f"{name}_period")),
                period.advance.eq(self.advance),
                period.restart.eq(self.restart),
            ]
        sample_due, baseline_due = Signal(), Signal()
        m.d.comb += [
            sample_due.eq(state.inferring | state.needs_sample | periods["sample"].begins),
            baseline_due.eq(sample_due | state.needs_baseline | periods["update"].begins | spec.two_sided),
            self.training.eq(~state.inferring),
            left.en.eq(self.count_en),
            left.i.eq(self.count),
        ]
        m.d.sync += [
            state.sample_due.eq(sample_due),
            state.baseline_due.eq(baseline_due),
            state.ends.eq(state.stopping | left.none),
            self.advance.eq(0),
            self.fresh.eq(periods["perturbation"].ends),
        ]
        self._notice(m, state)
        self._run(m, state, left, periods["update"].ends)
        return m

    def _notice(self, m, state):
        """What comes at any time."""
        with m.If(self.complete_stb):
            m.d.sync += state.complete.eq(1)
        with m.If(self.stop & self.busy):
            m.d.sync += state.stopping.eq(1)
        with m.If(self.loaded | self.restart):
            m.d.sync += [state.needs_baseline.eq(1), state.needs_sample.eq(1)]

    def _run(self, m, state, left, update_ends):
        """The states of a run."""
        m.d.sync += [self.start.eq(0), self.take.eq(0)]
        m.d.comb += self.busy.eq(1)
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.busy.eq(0)
                m.d.sync += state.stopping.eq(0)
                with m.If(self.train | self.infer):
                    m.d.sync += state.inferring.eq(self.infer)
                    with m.If(~state.ends):
                        m.next = "Settle"
            with m.State("Count"):
                m.next = "Settle"
            with m.State("Settle"):
                m.next = "Await sample"
            with m.State("Await sample"):
                m.d.comb += self.starved.eq(state.sample_due & ~self.available)
                with m.If(state.ends):
                    m.next = "Flush"
                with m.Elif(~state.sample_due | self.available):
                    self._begin_step(m, state)
                    m.next = "Begin step"
            with m.State("Begin step"):
                self._prepare_second(m, state)
                m.next = "Pass"
            with m.State("Pass"), m.If(self.done):
                m.d.sync += self.again.eq(0)
                with m.If(~self.again):
                    m.next = "Await cost"
            with m.State("Await cost"), m.If(state.complete):
                m.d.comb += left.down.eq(1)
                self._end_step(m, state, update_ends)
                m.next = "Count"
            with m.State("Flush"):
                m.d.sync += [self.correlate.eq(1), self.perturb.eq(0), self.second.eq(0), self.forward.eq(0)]
                with m.If(state.pending):
                    m.d.sync += [self.start.eq(1), state.complete.eq(0)]
                    m.next = "Finish"
                with m.Else():
                    m.next = "Idle"
            with m.State("Finish"):  # what is learned may be there before the last padding has passed, or after
                with m.If(self.learned_stb):
                    m.d.sync += state.pending.eq(0)
                with m.If(self.done):
                    m.d.sync += state.complete.eq(1)
                with m.If(state.complete & ~state.pending):
                    m.next = "Rest"
            with m.State("Rest"):  # the last slot is on its way from the sequencer
                m.next = "Idle"

    def _begin_step(self, m, state):
        """Settle what the next step does, and start its first pass."""
        second, training = ~state.baseline_due, ~state.inferring
        m.d.sync += [
            self.take.eq(state.sample_due),
            self.judge.eq(state.sample_due),
            self.two_passes.eq(~second & training),
            self.again.eq(~second & training),
            self.correlate.eq(state.pending),
            self.perturb.eq(training & (second | self.spec.two_sided)),
            self.second.eq(second),
            self.forward.eq(1),
            self.start.eq(1),
            state.complete.eq(0),
        ]

    def _prepare_second(self, m, state):
        """The pass that follows the first, where one does; the first is of its kind by now, and takes what is pending."""
        m.d.sync += [
            self.correlate.eq(0),
            self.perturb.eq(~state.inferring),
            self.second.eq(1),
            state.pending.eq(0),
        ]

    def _end_step(self, m, state, update_ends):
        """Count the step that has ended; what it measured is pending."""
        with m.If(state.inferring):
            m.d.sync += [state.needs_sample.eq(1), state.needs_baseline.eq(1)]
        with m.Else():
            m.d.sync += [
                self.advance.eq(1),
                state.pending.eq(1),
                self.update.eq(update_ends),
                state.needs_sample.eq(0),
                state.needs_baseline.eq(0),
            ]
            with m.If(self.two_passes):
                m.d.sync += self.old_bank.eq(~self.old_bank)
        with m.If(self.two_passes | state.inferring):
            m.d.sync += self.old_buffer.eq(self.buffer)
