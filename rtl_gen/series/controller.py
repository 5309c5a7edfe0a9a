"""The controller of the presentations of a network with state, in which every pass waits for the cost of the one before."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.schedule import MAX_PERIOD
from rtl_gen.controller import Countdown
from rtl_gen.presentation.controller import period_counters
from rtl_gen.series.frames import length_shape
from rtl_gen.slot import delayed

__all__ = ["SeriesController"]


class _Flags:
    """What the states of a run depend on.

    Attributes
    ----------
    inferring, stopping, ends : Signal
        The run judges samples; the host has stopped it; it ends before the next sample.
    needs_all, sample_due, begins_one : Signal
        The next step begins a presentation with a new sample; it takes a sample; it begins a presentation.
    ending, judged : Signal
        The step ends its presentation; strobe: a sample of an inference has been judged.
    """

    def __init__(self):
        for name in ("inferring", "stopping", "ends", "sample_due", "begins_one", "ending", "judged"):
            setattr(self, name, Signal(name=name))
        self.needs_all = Signal(name="needs_all", init=1)


class SeriesController(wiring.Component):
    """Runs the steps of a run. A step is one probe, or two in a two-sided design; the steps of a presentation share an unperturbed pass.

    Parameters
    ----------
    spec : DesignSpec
        The design whose steps are run.

    Members
    -------
    train, infer, stop, restart : In(1)
        Strobes of the host's commands. ``train`` and ``infer`` run as many steps as ``count`` was set to some cycles before.
    count_en, count : In(1), In(32)
        Strobe and value that set the number of steps of the next run.
    loaded : In(1)
        Strobe: the host wrote a parameter, so that the next step begins a presentation with a new sample.
    perturbation_period, sample_period, update_period : In
        Lengths of the periods τ_p, τ_x and τ_θ in steps, sampled when a period begins.
    hold_set, hold : In, Out
        Number of frames of a segment, as the host has set it, and as it is in force since RESTART.
    available, take : In(1), Out(1)
        Whether a new sample is loaded, and the strobe that makes it the current one.
    request, probe, apply, minus, started : Out, In
        Request of a pass of the lanes with its kind, and the sequencer's answer.
    signs_ready : In(1)
        The sign vector of the next step is known.
    begin : Out(1)
        Strobe: the current sign vector is that of the probe that begins.
    advance, fresh : Out(1)
        Strobe with the last ``begin`` of a step, and whether the next step takes a new sign vector.
    settled_stb, change_stb : In(1)
        Strobe of a pass's cost, delayed to the time of a cost change; and strobe of a step's cost change.
    fetch, errors_busy, errors_ready, learned_stb : Out(1), In(1)
        Strobe: the errors of the first group are to be cast. Errors are being summed; those of the first group are in the lanes; the last
        word of an applying pass has been written and counted.
    first : Out(1)
        The step whose cost change is next is the first one of its presentation.
    applying, update : Out(1)
        An applying pass is in progress, and an update is due in it.
    check_answer, training, shown : Out(1)
        The unperturbed pass's sample is new, so its answer is checked; it belongs to a training run; it is not a repeated one.
    open : Out(1)
        A presentation is open: its errors are being summed, or it was interrupted by the end of a run.
    busy, starved : Out(1)
        A run is in progress; it waits for a sample.
    """

    SETTLE = 4
    """Cycles after a step, or after the host's command, until the counters of the periods and of the steps are valid; and after a new
    sample, until its length is."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        period, frames = range(MAX_PERIOD + 1), length_shape(spec)
        commands = ("train", "infer", "stop", "restart", "count_en", "loaded")
        answers = ("available", "started", "signs_ready", "settled_stb", "change_stb", "errors_busy", "errors_ready", "learned_stb")
        orders = ("take", "request", "probe", "apply", "minus", "begin", "advance", "fresh", "fetch", "first", "applying", "update")
        flags = ("check_answer", "training", "shown", "open", "busy", "starved")
        super().__init__(
            {
                **{name: In(1) for name in (*commands, *answers)},
                **{name: Out(1) for name in (*orders, *flags)},
                **{f"{name}_period": In(period) for name in ("perturbation", "sample", "update")},
                "count": In(32),
                "hold_set": In(frames),
                "hold": Out(frames, init=spec.unrolled.hold),
            }
        )

    def elaborate(self, platform):
        m = Module()
        names = ("train", "infer", "stop", "restart", "loaded")
        commands = {name: delayed(m, getattr(self, name), 1, name, reset_less=False) for name in names}
        m.submodules.left = left = Countdown()
        periods = period_counters(m, self, commands["restart"])
        flags = _Flags()
        sample_begins = flags.inferring | flags.needs_all | periods["sample"].begins
        m.d.comb += [
            *(left.en.eq(self.count_en), left.i.eq(self.count)),
            *(self.training.eq(~flags.inferring), self.fresh.eq(periods["perturbation"].ends)),
        ]
        m.d.sync += [
            *(flags.sample_due.eq(sample_begins), flags.begins_one.eq(sample_begins | periods["update"].begins)),
            *(flags.ends.eq(flags.stopping | left.none), self.take.eq(0)),
            self.open.eq(Mux(self.change_stb, ~flags.ending, self.open & ~flags.needs_all)),
            self.first.eq(self.first & ~self.change_stb),
        ]
        with m.If(commands["restart"]):
            m.d.sync += self.hold.eq(self.hold_set)
        with m.FSM(name="run") as run:
            with m.State("Idle"), m.If(commands["train"] | commands["infer"]):
                m.d.sync += flags.inferring.eq(commands["infer"])
                m.next = "Settle"
            self._take_sample(m, flags)
            self._measure(m, flags, left, periods)
            self._apply(m)
        m.d.comb += self.busy.eq(~run.ongoing("Idle"))
        m.d.sync += [
            flags.stopping.eq(self.busy & (commands["stop"] | flags.stopping)),
            flags.needs_all.eq(commands["loaded"] | commands["restart"] | flags.judged | (flags.needs_all & ~self.begin)),
        ]
        return m

    def _wait(self, m, following: str):
        """Wait for :attr:`SETTLE` cycles before the state that follows."""
        m.d.sync += self._waits.eq(self._waits + 1)
        with m.If(self._waits == self.SETTLE - 1):
            m.next = following

    def _take_sample(self, m, flags):
        """States in which the next presentation takes a sample, and the unperturbed pass is requested."""
        self._waits = Signal(range(self.SETTLE), name="waits")
        with m.State("Settle"):
            self._wait(m, "Await sample")
        with m.State("Await sample"):
            m.d.comb += self.starved.eq(flags.sample_due & ~self.available & ~flags.ends)
            with m.If(flags.ends):
                m.next = "Idle"
            with m.Elif(~flags.sample_due | self.available):
                m.d.sync += [self.take.eq(flags.sample_due), self.check_answer.eq(flags.sample_due), self.shown.eq(flags.begins_one)]
                m.d.sync += [self.minus.eq(0), self.first.eq(self.first | flags.begins_one)]
                m.next = "Turn to sample"
        with m.State("Turn to sample"):
            self._wait(m, "Request unperturbed pass")
        with m.State("Request unperturbed pass"):
            m.d.comb += self.request.eq(1)
            with m.If(self.started):
                m.next = "Measure unperturbed pass"

    def _measure(self, m, flags, left, periods):
        """States in which the unperturbed pass ends, and the probes follow, each with its sums of errors."""
        opens_step = ~self.minus
        closes_step = self.minus if self.spec.two_sided else Const(1, 1)
        with m.State("Measure unperturbed pass"), m.If(self.settled_stb):
            m.d.comb += [left.down.eq(flags.inferring), flags.judged.eq(flags.inferring)]
            m.next = "Prepare"
            with m.If(flags.inferring):
                m.next = "Settle"
        with m.State("Prepare"), m.If(self.signs_ready):
            m.d.comb += [self.begin.eq(1), self.advance.eq(closes_step), left.down.eq(opens_step)]
            with m.If(opens_step):
                m.d.sync += [flags.ending.eq(periods["sample"].ends | periods["update"].ends), self.update.eq(periods["update"].ends)]
            m.next = "Request probe"
        with m.State("Request probe"):
            m.d.comb += [self.request.eq(1), self.probe.eq(1)]
            with m.If(self.started):
                m.next = "Measure probe"
        with m.State("Measure probe"), m.If(self.settled_stb):
            m.d.sync += self.minus.eq(~closes_step)
            m.next = "Prepare"
            with m.If(closes_step):
                m.next = "Sum errors"
        with m.State("Sum errors"), m.If(~self.errors_busy):
            m.next = "Prepare"
            with m.If(flags.stopping | left.none):
                m.next = "Idle"
            with m.If(flags.ending):
                m.next = "Cast errors"

    def _apply(self, m):
        """States in which a presentation ends: the errors of the first group are cast, and the applying pass runs."""
        with m.State("Cast errors"):
            m.d.comb += self.fetch.eq(1)
            m.next = "Await errors"
        with m.State("Await errors"), m.If(self.errors_ready):
            m.next = "Request applying pass"
        with m.State("Request applying pass"):
            m.d.comb += [self.request.eq(1), self.apply.eq(1), self.applying.eq(1)]
            with m.If(self.started):
                m.next = "Apply"
        with m.State("Apply"):
            m.d.comb += self.applying.eq(1)
            with m.If(self.learned_stb):
                m.next = "Settle"
