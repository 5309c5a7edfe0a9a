"""The conductor: steps, passes and periods."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.schedule import MAX_PERIOD

__all__ = ["Conductor"]


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
        Commands; the first two take ``count`` steps.
    count : In(32)
        Steps of a run.
    loaded : In(1)
        The host wrote a parameter: the next step takes a new sample and a new baseline.
    perturbation_period, sample_period, update_period : In
        τ_p, τ_x, τ_θ.
    available, take : In(1), Out(1)
        There is a sample; make it the present one.
    start, correlate, perturb, second, forward, done : Out(1) but the last
        To the sequencer.
    complete_stb : In(1)
        The outputs of a step's last pass are judged; the next step may begin two cycles later.
    learned_stb : In(1)
        A correlating pass is written.
    update : Out(1)
        An update is due in the correlating pass.
    advance, fresh : Out(1)
        A step has ended; the next takes a new sign vector.
    two_passes, judge, training : Out(1)
        The step under way has both passes; its sample is new; it trains.
    old_buffer, old_bank, buffer : Out, Out, In
        Where the operands being correlated lie; the present sample's buffer.
    busy, starved : Out(1)
        A run is under way; it waits for a sample.
    steps, updates : Out(32)
        Counts since the last restart.
    """

    def __init__(self, spec: DesignSpec, *, gap: int):
        self.spec = spec
        self.gap = gap
        period, buffers = range(MAX_PERIOD + 1), range(spec.sample_buffers)
        strobes = ("train", "infer", "stop", "restart", "loaded", "available", "done", "complete_stb", "learned_stb")
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
                "steps": Out(32),
                "updates": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        finished = Signal(32)
        stopping, inferring, pending, complete, flushing = Signal(), Signal(), Signal(), Signal(), Signal()
        first_pass, second, follows = Signal(), Signal(), Signal()
        left = Signal(range(max(2, self.gap)))
        need_baseline, need_sample = Signal(init=1), Signal(init=1)
        # The number of the step within its period, from 1, and whether it is the period's first.
        place = {name: Signal(range(MAX_PERIOD + 1), init=1, name=f"{name}_place") for name in ("perturbation", "sample", "update")}
        begins = {name: Signal(init=1, name=f"{name}_begins") for name in ("sample", "update")}
        ends = {name: place[name] >= getattr(self, f"{name}_period") for name in place}

        sample_due = inferring | need_sample | begins["sample"]
        baseline_due = sample_due | need_baseline | begins["update"] | spec.two_sided
        m.d.comb += [
            self.training.eq(~inferring),
            self.forward.eq(~flushing),
            self.perturb.eq(~flushing & ~inferring & (self.second | spec.two_sided)),
            self.correlate.eq(pending & first_pass & ~follows),
            self.second.eq(second | follows),
            self.fresh.eq(ends["perturbation"]),
        ]

        def start_second():
            """Start pass 1 in this very cycle."""
            m.d.comb += [follows.eq(1), self.start.eq(1)]

        def begin():
            """Settle what the next step does."""
            m.d.sync += [
                self.two_passes.eq(baseline_due & ~inferring),
                second.eq(~baseline_due),
                self.judge.eq(sample_due),
                first_pass.eq(1),
                complete.eq(0),
            ]
            m.next = "Begin step"

        def take_or_wait():
            """Begin the next step, once its sample is there."""
            with m.If(~sample_due | self.available):
                m.d.comb += self.take.eq(sample_due)
                begin()
            with m.Else():
                m.next = "Await sample"

        def end_step():
            """Count the step that has ended; what it measured is pending."""
            m.d.sync += finished.eq(finished + 1)
            with m.If(inferring):
                m.d.sync += [need_sample.eq(1), need_baseline.eq(1)]
            with m.Else():
                m.d.comb += self.advance.eq(1)
                m.d.sync += [
                    self.steps.eq(self.steps + 1),
                    pending.eq(1),
                    self.update.eq(ends["update"]),
                    need_sample.eq(0),
                    need_baseline.eq(0),
                ]
                with m.If(self.two_passes):
                    m.d.sync += self.old_bank.eq(~self.old_bank)
            with m.If(self.two_passes | inferring):
                m.d.sync += self.old_buffer.eq(self.buffer)

        with m.If(self.advance):
            m.d.sync += [place[name].eq(Mux(ends[name], 1, place[name] + 1)) for name in place]
            m.d.sync += [begins[name].eq(ends[name]) for name in begins]
        with m.If(self.restart):
            m.d.sync += [signal.eq(1) for signal in (*place.values(), *begins.values())]
        with m.If(self.complete_stb):
            m.d.sync += complete.eq(1)
        with m.If(self.stop & self.busy):
            m.d.sync += stopping.eq(1)
        with m.If(self.loaded):
            m.d.sync += [need_baseline.eq(1), need_sample.eq(1)]
        with m.If(self.restart):
            m.d.sync += [need_baseline.eq(1), need_sample.eq(1), self.steps.eq(0), self.updates.eq(0)]
        with m.If(self.learned_stb & self.update):
            m.d.sync += self.updates.eq(self.updates + 1)

        m.d.comb += self.busy.eq(1)
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.busy.eq(0)
                m.d.sync += [finished.eq(0), inferring.eq(self.infer), stopping.eq(0), flushing.eq(0)]
                with m.If((self.train | self.infer) & self.count.any()):
                    m.next = "Await sample"
            with m.State("Await sample"):
                m.d.comb += self.starved.eq(sample_due & ~self.available)
                with m.If(stopping):
                    m.next = "Flush"
                with m.Else():
                    take_or_wait()
            with m.State("Begin step"):
                m.d.comb += self.start.eq(1)
                m.next = "Pass"
            with m.State("Pass"), m.If(self.done):
                m.d.sync += first_pass.eq(0)
                with m.If(first_pass):
                    m.d.sync += pending.eq(0)
                with m.If(self.two_passes & ~second):
                    m.d.sync += [second.eq(1), left.eq(max(0, self.gap - 1))]
                    if self.gap:
                        m.next = "Gap"
                    else:
                        start_second()
                with m.Else():
                    m.next = "Await cost"
            with m.State("Gap"):
                m.d.sync += left.eq(left - 1)
                with m.If(~left.any()):
                    start_second()
                    m.next = "Pass"
            with m.State("Await cost"), m.If(complete | self.complete_stb):
                end_step()
                m.next = "Settle"
            with m.State("Settle"):
                with m.If((finished == self.count) | stopping):
                    m.next = "Flush"
                with m.Else():
                    take_or_wait()
            with m.State("Flush"):
                m.d.sync += [flushing.eq(1), first_pass.eq(1), second.eq(0)]
                with m.If(pending):
                    m.next = "Begin flush"
                with m.Else():
                    m.next = "Idle"
            with m.State("Begin flush"):
                m.d.comb += self.start.eq(1)
                m.next = "Finish"
            with m.State("Finish"), m.If(self.learned_stb):
                m.d.sync += pending.eq(0)
                m.next = "Idle"
        return m
