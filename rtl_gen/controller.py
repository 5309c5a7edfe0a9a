"""The step controller: it sequences the steps of a run, their passes, and the three periods."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.registers import adjustable_periods
from python_ref.spec.schedule import MAX_PERIOD
from rtl_gen.slot import delayed

__all__ = ["Countdown", "DownCounter", "Period", "StepController"]


class DownCounter(wiring.Component):
    """Counts down, with one look-up table per bit.

    The adder adds −1 to the count, or 0 while a value is loaded, although that sum is not used: its look-up tables then have ``keep`` as
    an input, and synthesis merges them with the multiplexer behind them. The count is in parts, so that carry chains are short: a part
    is decremented one cycle after the one below has wrapped around.

    Parameters
    ----------
    width : int
        Number of bits of the count, which may be any from 2 on.

    Members
    -------
    load, i : In(1), In(width)
        Strobe that sets the count, and its new value. The count after a reset is 0.
    keep : In(1)
        Not ``load``, from a flip-flop that is 0 after a reset; in the first cycle after a reset, both may be 0.
    down : In(1)
        Decrement the count, which must not be 0; at least three cycles after the previous change.
    none : Out(1)
        The count is 0; valid two cycles after a change.
    """

    LONGEST_CHAIN = 12

    def __init__(self, width: int):
        self.width = width
        super().__init__({"load": In(1), "keep": In(1), "i": In(width), "down": In(1), "none": Out(1)})

    def elaborate(self, platform):
        m = Module()
        size, down, none = -(-self.width // -(-self.width // self.LONGEST_CHAIN)), self.down, []
        for first in range(0, self.width, size):
            width = min(size, self.width - first)
            count, fewer = Signal(width, name=f"count{first}"), Signal(width + 1, name=f"fewer{first}")
            some, borrows = Signal(name=f"some{first}"), Signal(name=f"borrows{first}")
            m.d.comb += fewer.eq(count + self.keep.replicate(width))
            m.d.sync += [some.eq(fewer[width]), borrows.eq(down & ~some)]
            with m.If(self.load | down):
                m.d.sync += count.eq(Mux(self.keep, fewer[:width], self.i[first : first + width]))
            down = borrows
            none.append(~some)
        m.d.comb += self.none.eq(Cat(none).all())
        return m


class Period(wiring.Component):
    """Counts the steps of a period, and signals its first and last step.

    Parameters
    ----------
    adjustable : bool
        Whether the length can change at run time; if not, it is 1.
    longest : int
        Largest length that the period may have, in steps.

    Members
    -------
    length : In
        Length of the next period, in steps; 0 counts as 1.
    advance : In(1)
        A step has ended. It must be at least four cycles after the previous ``advance`` or ``restart``.
    restart : In(1)
        The next step is the first of a period. So is the one after a reset.
    begins, ends : Out(1)
        The current step is the first, or the last, of its period; valid three cycles after ``advance`` or ``restart``.
    """

    _SMALL = 255
    """Largest length that is counted in one part."""

    def __init__(self, *, adjustable: bool, longest: int = MAX_PERIOD):
        self.adjustable = adjustable
        self.longest = longest
        super().__init__({"length": In(range(MAX_PERIOD + 1)), "advance": In(1), "restart": In(1), "begins": Out(1), "ends": Out(1)})

    def elaborate(self, platform):
        m = Module()
        if not self.adjustable:
            m.d.comb += [self.begins.eq(1), self.ends.eq(1)]
            return m
        loads, keep, begins = Signal(), Signal(), Signal(init=1)
        ends = self._count_in_one(m, keep) if self.longest <= self._SMALL else self._count_in_parts(m, keep)
        m.d.comb += [loads.eq(self.restart | (self.advance & self.ends)), self.ends.eq(ends), self.begins.eq(begins)]
        m.d.sync += keep.eq(~loads)
        with m.If(self.advance | self.restart):
            m.d.sync += begins.eq(loads)
        return m

    def _count_in_one(self, m, keep):
        """Count the steps down to the last one; return whether it is reached. See :class:`DownCounter` for the adder."""
        count, some = Signal(max(2, self.longest.bit_length()), reset_less=True), Signal()
        m.d.sync += some.eq(count[1:].any())
        with m.If(self.advance | ~keep):
            m.d.sync += count.eq(Mux(keep, count + keep.replicate(len(count)), self.length))
        return ~some

    def _count_in_parts(self, m, keep):
        """The same for a large count.

        The lowest bit is apart: without it, the last step's count of 1 is 0, as that of 0, which only a length of 0 gives. There is
        nothing to decrement then, and a part above the lowest one would be decremented after it has been loaded.
        """
        m.submodules.high = high = DownCounter(max(2, self.longest.bit_length()) - 1)
        low, down = Signal(), Signal()
        m.d.comb += [high.keep.eq(keep), high.load.eq(~keep), high.i.eq(self.length[1:]), high.down.eq(down)]
        m.d.sync += [down.eq(self.advance & ~low & ~high.none), low.eq(Mux(keep, low ^ self.advance, self.length[0]))]
        return high.none


class Countdown(wiring.Component):
    """Counts the remaining steps of a run down to 0.

    Members
    -------
    en, i : In(1), In(32)
        Strobe that sets the count, and its new value one cycle later. The count after a reset is 0.
    down : In(1)
        Decrement the count; it must not be 0, and at least three cycles pass between two strobes.
    none : Out(1)
        The count is 0; valid three cycles after ``en``, or two after ``down``.
    """

    def __init__(self):
        super().__init__({"en": In(1), "i": In(32), "down": In(1), "none": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.counter = counter = DownCounter(len(self.i))
        m.d.sync += [counter.keep.eq(~self.en), counter.load.eq(self.en)]
        m.d.comb += [counter.i.eq(self.i), counter.down.eq(self.down), self.none.eq(counter.none)]
        return m


class _Run:
    """One-hot state of a run, so that each action depends on a single register.

    From idle, each step goes through: settle what is due, await a sample, decide, start a pass, run it, await the cost, count. At the end
    of a run follow flush, finish and rest.
    """

    STATES = ("settle", "await_sample", "decide", "start", "run_pass", "await_cost", "count", "flush", "finish", "rest")

    def __init__(self):
        self.idle = Signal(init=1)
        for name in self.STATES:
            setattr(self, name, Signal(name=name))


class _Flags:
    """Flags that the controller keeps during a run."""

    def __init__(self):
        self.stopping, self.inferring, self.pending, self.complete = Signal(), Signal(), Signal(), Signal()
        self.needs_all = Signal(init=1)  # a new sample and a new baseline
        self.sample_due, self.baseline_due, self.ends = Signal(), Signal(), Signal()


class StepController(wiring.Component):
    """Runs the steps of a run: take a sample when one is due, start one or two passes, wait for the cost; at the end start a flushing pass.

    Every decision is registered before it takes effect.

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
        Strobe: the host wrote a parameter, so that the next step takes a new sample and a new baseline.
    perturbation_period, sample_period, update_period : In
        Lengths of the periods τ_p, τ_x and τ_θ in steps, sampled when a period begins.
    available, take : In(1), Out(1)
        Whether a new sample is loaded, and the strobe that makes it the current one.
    start, again : Out(1)
        Strobe that starts a pass in the sequencer, and whether another pass follows it.
    correlate, perturb, second, forward : Out(1)
        Kind of the next pass, as in :func:`rtl_gen.slot.slot_layout`.
    both : Out(1)
        The next pass visits the first layer for both passes of its step.
    done : In(1)
        Last cycle of a pass, from the sequencer.
    complete_stb : In(1)
        The outputs of a step's last pass are being computed; the next step may begin ``begin_latency`` cycles later.
    learned_stb : In(1)
        The last word of a correlating pass has been written and counted.
    update : Out(1)
        An update is due in the correlating pass.
    advance, fresh : Out(1)
        Strobe at the end of a training step, and whether the next step takes a new sign vector.
    check_answer, training : Out(1)
        The sample of the current step is new, so its answer is checked; the step belongs to a training run.
    busy, starved : Out(1)
        A run is in progress; it waits for a sample.
    """

    begin_latency = 6
    """Cycles from ``complete_stb`` to the ``start`` of the next step: register the strobe, count the step, count the periods,
    settle what is due, decide the next step, start it."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        period = range(MAX_PERIOD + 1)
        strobes = ("train", "infer", "stop", "restart", "count_en", "loaded", "available", "done", "complete_stb", "learned_stb")
        to_passes = ("take", "start", "again", "correlate", "perturb", "second", "forward", "update", "advance", "fresh", "both")
        flags = (*to_passes, "check_answer", "training", "busy", "starved")
        super().__init__(
            {
                **{name: In(1) for name in strobes},
                **{name: Out(1) for name in flags},
                **{f"{name}_period": In(period) for name in ("perturbation", "sample", "update")},
                "count": In(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        run, flags = _Run(), _Flags()
        commands = {
            name: delayed(m, getattr(self, name), 1, name, reset_less=False) for name in ("train", "infer", "stop", "restart", "loaded")
        }
        m.submodules.left = left = Countdown()
        m.d.comb += [
            left.en.eq(self.count_en),
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
        """Instantiate and connect the counters of the three periods."""
        periods = {}
        for name in ("perturbation", "sample", "update"):
            adjustable = f"{name}_period" in adjustable_periods(self.spec)
            m.submodules[name] = period = periods[name] = Period(adjustable=adjustable)
            m.d.comb += [
                period.length.eq(getattr(self, f"{name}_period")),
                period.advance.eq(self.advance),
                period.restart.eq(restart),
            ]
        m.d.sync += self.fresh.eq(periods["perturbation"].ends)
        return periods

    def _next_state(self, m, run, flags, commands):
        """Transitions between the states of a run."""
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
            # The last word may be written before or after the last padding slots have passed.
            run.finish.eq((run.flush & flags.pending) | (run.finish & ~finished)),
            run.rest.eq(run.finish & finished),  # the last slot is still in the sequencer's pipeline
        ]

    def _settle(self, m, run, flags, commands, periods, left):
        """Update the flags: what the next step has to do, and events that can occur at any time."""
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
        """Set the kind of the next pass: a step's first, its second once the first has started, or the flushing pass."""
        first, training = run.decide, ~flags.inferring
        pair = flags.baseline_due & training
        # In a network of one layer, a visit for both passes is all there is.
        again = 0 if self.spec.one_visit and len(self.spec.network.layers) == 1 else pair
        m.d.sync += [
            self.start.eq(first | (run.flush & flags.pending)),
            self.take.eq(first & flags.sample_due),
            self.again.eq(Mux(first, again, self.again & ~self.done)),
        ]
        with m.If(first):
            m.d.sync += self.check_answer.eq(flags.sample_due)
        with m.If(first | run.start | run.flush):
            m.d.sync += [
                self.correlate.eq((first & flags.pending) | run.flush),
                self.perturb.eq(training & (run.start | (first & (~flags.baseline_due | self.spec.two_sided)))),
                self.second.eq(run.start | (first & ~flags.baseline_due)),
                self.forward.eq(~run.flush),
                self.both.eq(first & pair),
            ]

    def _count(self, m, run, flags, periods):
        """Count the step that has ended; its measured cost change is pending until it is correlated."""
        m.d.sync += self.advance.eq(run.await_cost & flags.complete & ~flags.inferring)
        with m.If(run.count):
            m.d.sync += self.update.eq(periods["update"].ends)
