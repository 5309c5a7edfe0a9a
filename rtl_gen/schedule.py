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
        The step under way is the period's first, or last.
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
        left, begins = Signal(range(MAX_PERIOD + 1), init=self.init), Signal(init=1)
        m.d.comb += [self.begins.eq(begins), self.ends.eq(left == 1)]
        with m.If(self.advance):
            m.d.sync += [left.eq(Mux(self.ends, self.length, left - 1)), begins.eq(self.ends)]
        with m.If(self.restart):
            m.d.sync += [left.eq(self.length), begins.eq(1)]
        return m


class _State:
    """Registers of the conductor."""

    def __init__(self, gap: int):
        self.left = Signal(32)
        self.stopping, self.inferring, self.flushing = Signal(), Signal(), Signal()
        self.pending, self.complete = Signal(), Signal()
        self.first_pass, self.second, self.follows = Signal(), Signal(), Signal()
        self.gap_left = Signal(range(max(2, gap)))
        self.needs_baseline, self.needs_sample = Signal(init=1), Signal(init=1)


class Conductor(wiring.Component):
    """Runs steps: a sample when it is due, one or two passes, the wait for the cost; and a flushing pass at the end.

    Parameters
    ----------
    spec : DesignSpec
        The design.
    gap : int
        Cycles between the passes of a step, which only tiny networks need.

    Members
    -------
    train, infer, stop, restart : In(1)
        Commands; the first two take as many steps as ``count`` said last.
    count_en, count : In(1), In(32)
        Set the steps of the next run; a run counts them down.
    loaded : In(1)
        The host wrote a parameter: the next step takes a new sample and a new baseline.
    perturbation_period, sample_period, update_period : In
        τ_p, τ_x, τ_θ; taken where a period begins.
    available, take : In(1), Out(1)
        There is a sample; make it the present one.
    start, correlate, perturb, second, forward, done : Out(1) but the last
        To the sequencer.
    complete_stb : In(1)
        The outputs of a step's last pass are judged; the next step may begin two cycles later.
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

    def __init__(self, spec: DesignSpec, *, gap: int):
        self.spec = spec
        self.gap = gap
        period, buffers = range(MAX_PERIOD + 1), range(spec.sample_buffers)
        strobes = ("train", "infer", "stop", "restart", "count_en", "loaded", "available", "done", "complete_stb", "learned_stb")
        to_passes = ("take", "start", "correlate", "perturb", "second", "forward", "update", "advance", "fresh")
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
        spec, state = self.spec, _State(self.gap)
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
            self.forward.eq(~state.flushing),
            self.perturb.eq(~state.flushing & ~state.inferring & (self.second | spec.two_sided)),
            self.correlate.eq(state.pending & state.first_pass & ~state.follows),
            self.second.eq(state.second | state.follows),
            self.fresh.eq(periods["perturbation"].ends),
        ]
        self._notice(m, state)
        self._run(m, state, sample_due, baseline_due, periods["update"].ends)
        return m

    def _notice(self, m, state):
        """What comes at any time."""
        with m.If(self.complete_stb):
            m.d.sync += state.complete.eq(1)
        with m.If(self.stop & self.busy):
            m.d.sync += state.stopping.eq(1)
        with m.If(self.loaded | self.restart):
            m.d.sync += [state.needs_baseline.eq(1), state.needs_sample.eq(1)]
        with m.If(self.count_en):
            m.d.sync += state.left.eq(self.count)

    def _run(self, m, state, sample_due, baseline_due, update_ends):
        """The states of a run."""

        def start_second():
            """Start pass 1 in this very cycle."""
            m.d.comb += [state.follows.eq(1), self.start.eq(1)]

        def take_or_wait():
            """Begin the next step, once its sample is there."""
            with m.If(~sample_due | self.available):
                m.d.comb += self.take.eq(sample_due)
                self._begin_step(m, state, sample_due, baseline_due)
                m.next = "Begin step"
            with m.Else():
                m.next = "Await sample"

        m.d.comb += self.busy.eq(1)
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.busy.eq(0)
                m.d.sync += [state.inferring.eq(self.infer), state.stopping.eq(0), state.flushing.eq(0)]
                with m.If((self.train | self.infer) & state.left.any()):
                    m.next = "Await sample"
            with m.State("Await sample"):
                m.d.comb += self.starved.eq(sample_due & ~self.available)
                with m.If(state.stopping):
                    m.next = "Flush"
                with m.Else():
                    take_or_wait()
            with m.State("Begin step"):
                m.d.comb += self.start.eq(1)
                m.next = "Pass"
            with m.State("Pass"), m.If(self.done):
                m.d.sync += state.first_pass.eq(0)
                with m.If(state.first_pass):
                    m.d.sync += state.pending.eq(0)
                with m.If(self.two_passes & ~state.second):
                    m.d.sync += [state.second.eq(1), state.gap_left.eq(max(0, self.gap - 1))]
                    if self.gap:
                        m.next = "Gap"
                    else:
                        start_second()
                with m.Else():
                    m.next = "Await cost"
            with m.State("Gap"):
                m.d.sync += state.gap_left.eq(state.gap_left - 1)
                with m.If(~state.gap_left.any()):
                    start_second()
                    m.next = "Pass"
            with m.State("Await cost"), m.If(state.complete | self.complete_stb):
                self._end_step(m, state, update_ends)
                m.next = "Settle"
            with m.State("Settle"):
                with m.If(~state.left.any() | state.stopping):
                    m.next = "Flush"
                with m.Else():
                    take_or_wait()
            with m.State("Flush"):
                m.d.sync += [state.flushing.eq(1), state.first_pass.eq(1), state.second.eq(0)]
                with m.If(state.pending):
                    m.next = "Begin flush"
                with m.Else():
                    m.next = "Idle"
            with m.State("Begin flush"):
                m.d.comb += self.start.eq(1)
                m.next = "Finish"
            with m.State("Finish"), m.If(self.learned_stb):
                m.d.sync += state.pending.eq(0)
                m.next = "Idle"

    def _begin_step(self, m, state, sample_due, baseline_due):
        """Settle what the next step does."""
        m.d.sync += [
            self.two_passes.eq(baseline_due & ~state.inferring),
            state.second.eq(~baseline_due),
            self.judge.eq(sample_due),
            state.first_pass.eq(1),
            state.complete.eq(0),
        ]

    def _end_step(self, m, state, update_ends):
        """Count the step that has ended; what it measured is pending."""
        m.d.sync += state.left.eq(state.left - 1)
        with m.If(state.inferring):
            m.d.sync += [state.needs_sample.eq(1), state.needs_baseline.eq(1)]
        with m.Else():
            m.d.comb += self.advance.eq(1)
            m.d.sync += [
                state.pending.eq(1),
                self.update.eq(update_ends),
                state.needs_sample.eq(0),
                state.needs_baseline.eq(0),
            ]
            with m.If(self.two_passes):
                m.d.sync += self.old_bank.eq(~self.old_bank)
        with m.If(self.two_passes | state.inferring):
            m.d.sync += self.old_buffer.eq(self.buffer)
