# amaranth: UnusedElaboratable=no
"""The controller of a learner: it tells the outside which sample to show, starts passes, waits for their costs, and keeps the periods."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.learner import LearnerSpec
from python_ref.spec.registers import adjustable_periods
from python_ref.spec.schedule import MAX_PERIOD
from rtl_gen.controller import Countdown, Period
from rtl_gen.learner.sending import PASS_KINDS
from rtl_gen.slot import delayed

__all__ = ["LearnerController"]

_INDEX = range(MAX_PERIOD)
"""Indices of samples."""


class _Flags:
    """Flags that the controller keeps during a run."""

    def __init__(self):
        self.stopping, self.pending, self.repeats, self.takes = Signal(), Signal(), Signal(), Signal()
        self.needs_all = Signal(init=1)  # a new sample and a new baseline


class LearnerController(wiring.Component):
    """Runs the steps of a run: send the index of a sample where one is due, start one or two passes and wait for their costs; at the end
    start a pass that is not measured, and correlates what is pending.

    Parameters
    ----------
    spec : LearnerSpec
        The learner whose steps are run.

    Members
    -------
    train, stop, restart, clear : In(1)
        Strobes of the host's commands. ``train`` runs as many steps as ``count`` was set to some cycles before.
    count_en, count : In(1), In(32)
        Strobe and value that set the number of steps of the next run.
    loaded : In(1)
        Strobe: the host wrote a parameter, so that the next step takes a new sample and a new baseline.
    perturbation_period, sample_period, update_period : In
        Lengths of the periods τ_p, τ_x and τ_θ in steps, sampled when a period begins.
    samples : In
        Number of samples of the outside.
    sample : Out(stream)
        Index of the sample that the outside shows from now on.
    start : Out(1)
        Strobe that starts a pass in the sequencer.
    correlate, perturb, second, measured : Out(1)
        Kind of the pass, valid from ``start`` until its cost.
    applied : In(1)
        Strobe: the last word of the pass has been taken.
    done, late : In(1)
        Strobes of the measurement: there is a cost, or it did not come in time.
    change_stb : In(1)
        Strobe: there is a cost change, and the step is complete.
    both : Out(1)
        The step measures pass 0, valid until its cost change.
    update : Out(1)
        An update is due in the correlating pass.
    advance, fresh : Out(1)
        Strobe at the end of a step, and whether the next step takes a new sign vector.
    busy, starved, timed_out : Out(1)
        A run is in progress; it waits for an index to be taken; the last run ended with an abandoned step.
    """

    begin_latency = 7
    """Cycles from ``change_stb`` to the ``start`` of the next step where no sample is due: register the change, count the step, four cycles
    until the periods are valid, decide the next step."""

    _SETTLE = 4
    """Cycles after a step, or after the host's command, until the counters of the periods and of the steps are valid."""

    def __init__(self, spec: LearnerSpec):
        self.spec = spec
        period = range(MAX_PERIOD + 1)
        strobes = ("train", "stop", "restart", "clear", "count_en", "loaded", "applied", "done", "late", "change_stb")
        flags = ("start", *PASS_KINDS, "both", "update", "advance", "fresh", "busy", "starved", "timed_out")
        super().__init__(
            {
                **{name: In(1) for name in strobes},
                **{name: Out(1) for name in flags},
                **{f"{name}_period": In(period) for name in ("perturbation", "sample", "update")},
                "count": In(32),
                "samples": In(period),
                "sample": Out(stream.Signature(_INDEX)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        flags = _Flags()
        m.submodules.left = left = Countdown()
        periods = self._periods(m)
        sample_due = flags.needs_all | periods["sample"].begins
        baseline_due = sample_due | flags.repeats | periods["update"].begins | self.spec.two_sided
        waits = Signal(range(self._SETTLE))
        m.d.comb += [left.en.eq(self.count_en), left.i.eq(self.count), left.down.eq(self.advance)]
        m.d.sync += self.fresh.eq(periods["perturbation"].ends)
        following = self._following(m)
        with m.FSM(name="run") as run:
            with m.State("Idle"), m.If(self.train & ~left.none):
                m.d.sync += self.timed_out.eq(0)
                m.next = "Settle"
            with m.State("Settle"):
                m.d.sync += waits.eq(waits + 1)
                with m.If(waits == self._SETTLE - 1):
                    m.d.sync += waits.eq(0)
                    m.next = "Decide"
            with m.State("Decide"):
                m.d.sync += [flags.takes.eq(sample_due), self.both.eq(baseline_due)]
                self._kind(m, flags, second=~baseline_due)
                m.next = "Start pass"
                with m.If(sample_due):
                    m.next = "Show sample"
                with m.If(flags.stopping | left.none):
                    m.next = "Start last pass"
            with m.State("Show sample"):
                m.d.comb += self.sample.valid.eq(1)
                with m.If(self.sample.ready):
                    m.next = "Start pass"
                with m.Elif(flags.stopping):
                    m.next = "Start last pass"
            with m.State("Start pass"):
                m.d.comb += self.start.eq(1)
                m.d.sync += flags.pending.eq(0)
                m.next = "Measure"
            with m.State("Measure"):
                with m.If(self.done):
                    self._kind(m, flags, second=1)
                    m.next = "Start pass"
                    with m.If(self.second):
                        m.next = "Subtract"
                with m.If(self.late):
                    m.d.sync += [flags.repeats.eq(1), self.timed_out.eq(1)]
                    m.next = "Start last pass"
            with m.State("Subtract"), m.If(self.change_stb):
                m.next = "Count"
            with m.State("Count"):
                m.d.comb += self.advance.eq(1)
                m.d.sync += [flags.pending.eq(1), flags.repeats.eq(0), flags.needs_all.eq(0), self.update.eq(periods["update"].ends)]
                with m.If(flags.takes):
                    m.d.sync += self.sample.payload.eq(following)
                m.next = "Settle"
            with m.State("Start last pass"):
                m.d.sync += [self.perturb.eq(0), self.second.eq(0), self.measured.eq(0), self.correlate.eq(flags.pending)]
                m.d.sync += flags.pending.eq(0)
                m.next = "Begin last pass"
            with m.State("Begin last pass"):
                m.d.comb += self.start.eq(1)
                m.next = "Finish"
            with m.State("Finish"), m.If(self.applied):  # by then, the last word has been written and counted
                m.next = "Idle"
        m.d.comb += [self.busy.eq(~run.ongoing("Idle")), self.starved.eq(run.ongoing("Show sample"))]
        self._command(m, flags)
        return m

    def _following(self, m):
        """The index of the sample after the current one, two cycles after that has changed; it is used many cycles later."""
        counted, following = Signal.like(self.samples), Signal.like(self.sample.payload)
        m.d.sync += [counted.eq(self.sample.payload + 1), following.eq(Mux(counted == self.samples, 0, counted))]
        return following

    def _kind(self, m, flags, *, second):
        """Set the kind of the next pass that is measured."""
        m.d.sync += [
            self.second.eq(second),
            self.perturb.eq(second | self.spec.two_sided),
            self.correlate.eq(flags.pending),
            self.measured.eq(1),
        ]

    def _periods(self, m):
        """Instantiate and connect the counters of the three periods."""
        periods = {}
        for name in ("perturbation", "sample", "update"):
            adjustable = f"{name}_period" in adjustable_periods(self.spec)
            m.submodules[name] = period = periods[name] = Period(adjustable=adjustable)
            m.d.comb += [
                period.length.eq(getattr(self, f"{name}_period")),
                period.advance.eq(self.advance),
                period.restart.eq(delayed(m, self.restart, 1, f"restart_{name}", reset_less=False)),
            ]
        return periods

    def _command(self, m, flags):
        """What the host's commands do to the flags."""
        m.d.sync += flags.stopping.eq(self.busy & (self.stop | flags.stopping))
        with m.If(self.loaded | self.restart):
            m.d.sync += flags.needs_all.eq(1)
        with m.If(self.restart):
            m.d.sync += [self.sample.payload.eq(0), flags.repeats.eq(0)]
        with m.If(self.restart | self.clear):
            m.d.sync += self.timed_out.eq(0)
