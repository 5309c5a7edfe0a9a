"""The controller of presentations: it takes samples, starts the passes of the lanes and the replays of probes, and keeps the periods."""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.registers import adjustable_periods
from python_ref.spec.schedule import MAX_PERIOD
from rtl_gen.controller import Countdown, Period
from rtl_gen.presentation.layouts import UNPERTURBED, noisy_layers, overtakes, part_shape
from rtl_gen.slot import by_layer, delayed

__all__ = ["PresentationController", "period_counters"]


class _Run:
    """One-hot state of a run, so that each action depends on a single register.

    A presentation goes through: settle what is due, await a sample, begin, measure (the unperturbed pass); for each probe: prepare, replay,
    join (its pass of the lanes), conclude; then drain, and apply. An inference takes a sample, begins, measures and counts it.
    """

    STATES = (
        *("settle", "await_sample", "begin", "measure", "count", "prepare", "replay", "join", "conclude", "drain"),
        *("apply", "applied", "finish", "rest"),
    )

    def __init__(self):
        self.idle = Signal(init=1)
        for name in self.STATES:
            setattr(self, name, Signal(name=name))


class PresentationController(wiring.Component):
    """Runs the steps of a run. A step is one probe, or two in a two-sided design; the steps of a presentation share an unperturbed pass.

    Probes follow one another without waiting for their costs: a probe's first layer is replayed while the lanes work on the layers behind
    it for the probe before. At most two passes, the unperturbed one included, are between their beginnings and their costs.

    Parameters
    ----------
    spec : DesignSpec
        The design whose steps are run.
    replay_wait : int
        Cycles by which a probe's pass of the lanes waits after its replay.
    sweep_wait : int
        Cycles by which a probe of the last layer alone waits after the cost change of the step before.

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
    available, take : In(1), Out(1)
        Whether a new sample is loaded, and the strobe that makes it the current one.
    request, probe, apply, bank, minus, started : Out, In
        Request of a pass of the lanes with its kind, and the sequencer's answer.
    kept : In(1)
        Strobe: the pre-activations of the unperturbed pass's first layer are kept.
    replay, replay_done : Out(1), In(1)
        Strobe that begins the replay of a probe, whose bank and direction are ``bank[0]`` and ``minus``; and strobe of its end.
    signs_ready : In(1)
        The sign vector of the next step is known.
    advance, fresh : Out(1)
        Strobe after the last replay of a step has begun, and whether the next step takes a new sign vector.
    cost_stb, settled_stb, change_stb : In(1)
        Strobe of a pass's cost; the same in training, delayed to the time of a cost change; and strobe of a step's cost change.
    drawn : In(1)
        Strobe: the last stochastic neuron of a pass has left the lanes, or has been replayed; where a replay could overtake one.
    errors_busy, errors_ready, learned_stb : In(1)
        Errors are being summed; those of the first group are in the lanes; the last word of an applying pass has been written and counted.
    first, final : Out(1)
        The step whose cost change is next is the first, or the last, of its presentation.
    part : Out(unsigned)
        Where probes perturb parts of the network, the part that the current probe perturbs.
    clear : Out(1)
        Strobe: a presentation has begun, so that all errors are 0.
    applying, update : Out(1)
        An applying pass is in progress, and an update is due in it.
    check_answer, training, shown : Out(1)
        The unperturbed pass's sample is new, so its answer is checked; it belongs to a training run; it is not a repeated one.
    open : Out(1)
        A presentation is open: its errors are being summed, or it was interrupted by the end of a run.
    busy, starved : Out(1)
        A run is in progress; it waits for a sample.
    """

    own: ClassVar[tuple[str, ...]] = ("applying",)
    """Names of the outputs that depend on how errors are applied."""

    def __init__(self, spec: DesignSpec, *, replay_wait: int, sweep_wait: int = 0):
        self.spec = spec
        self.replay_wait = replay_wait
        self.sweep_wait = sweep_wait
        period = range(MAX_PERIOD + 1)
        commands = ("train", "infer", "stop", "restart", "count_en", "loaded")
        answers = ("available", "started", "kept", "replay_done", "signs_ready", "cost_stb", "settled_stb", "change_stb")
        errors = ("errors_busy", "errors_ready", "learned_stb")
        orders = ("take", "request", "probe", "apply", "minus", "replay", "advance", "fresh", "first", "final", "update", "clear")
        flags = ("check_answer", "training", "shown", "open", "busy", "starved")
        super().__init__(
            {
                **{name: In(1) for name in (*commands, *answers, *errors)},
                **{name: Out(1) for name in (*orders, *self.own, *flags)},
                **{f"{name}_period": In(period) for name in ("perturbation", "sample", "update")},
                "count": In(32),
                "bank": Out(2),
                **({"part": Out(part_shape(spec))} if spec.in_parts else {}),
                **({"drawn": In(1)} if overtakes(spec) else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        run = _Run()
        names = ("train", "infer", "stop", "restart", "loaded")
        commands = {name: delayed(m, getattr(self, name), 1, name, reset_less=False) for name in names}
        m.submodules.left = left = Countdown()
        periods = period_counters(m, self, commands["restart"])
        inferring, needs_all = Signal(), Signal(init=1)  # needs_all: the next step begins a presentation with a new sample
        stopping, ends, sample_due, begins_one = Signal(), Signal(), Signal(), Signal()
        ending, in_flight, errors_ready = Signal(), Signal(range(3)), Signal()

        # Transitions. A step has a second probe after its first one if it is two-sided.
        starts = run.idle & (commands["train"] | commands["infer"])
        taking = run.await_sample & ~ends & (~sample_due | self.available)
        measuring = run.begin & self.started & ~inferring
        measured = run.measure & Mux(inferring, self.cost_stb, self.kept)
        prepared = run.prepare & self.signs_ready & (in_flight != 2)
        in_lanes = Const(1, 1)
        if self.spec.in_parts:
            in_lanes = by_layer([int(part.first < len(self.spec.network.layers) - 1) for part in self.spec.round.parts], self.part)
            prepared &= in_lanes | self._has_way(m, taking, run, in_lanes, in_flight)
        if overtakes(self.spec):
            prepared &= self._in_order(m, run)
        replayed = run.replay & delayed(m, self.replay_done, self.replay_wait, "replayed", reset_less=False)
        joined = run.join & (self.started if len(self.spec.network.layers) > 1 else 1)
        if self.spec.in_parts:
            joined = run.join & (self.started | ~in_lanes)
        opens_step = ~self.minus
        closes_step = self.minus if self.spec.two_sided else Const(1, 1)
        more = run.conclude & ~(closes_step & (ending | stopping | left.none))
        applies = run.drain & ending & errors_ready
        rests = run.drain & ~ending & (in_flight == 0) & ~self.errors_busy
        update = self._update_due(m, applies)
        moments = {"starts": starts, "taking": taking, "measured": measured, "prepared": prepared, "replayed": replayed, "joined": joined}
        self._follow(m, run, inferring=inferring, more=more, ends=ends, applies=applies, rests=rests, **moments)
        m.d.comb += [
            left.en.eq(self.count_en),
            left.i.eq(self.count),
            left.down.eq(delayed(m, prepared & opens_step, 1, "step_begins", reset_less=False) | (measured & inferring)),
            self.busy.eq(~run.idle),
            self.starved.eq(run.await_sample & sample_due & ~self.available & ~ends),
            self.training.eq(~inferring),
            self.request.eq(self._requests(run, in_lanes)),
            self.probe.eq(run.join),
            *self._applies(run),
            self.final.eq(ending & (in_flight == 1)),
        ]

        # What is due, and events that can occur at any time.
        sample_begins = inferring | needs_all | periods["sample"].begins
        m.d.sync += [
            inferring.eq(Mux(starts, commands["infer"], inferring)),
            sample_due.eq(sample_begins),
            begins_one.eq(sample_begins | periods["update"].begins),
            ends.eq(stopping | left.none),
            stopping.eq(~run.idle & (commands["stop"] | stopping)),
            needs_all.eq(commands["loaded"] | commands["restart"] | (measured & inferring) | (needs_all & ~prepared)),
            in_flight.eq(in_flight + (prepared | measuring) - self.settled_stb),
            self.open.eq(Mux(self.change_stb, ~self.final, self.open & ~needs_all)),
            errors_ready.eq(self.errors_ready | (errors_ready & ~applies)),
            self.take.eq(taking & sample_due),
            self.clear.eq(self._clears(taking & begins_one)),
            self.replay.eq(prepared),
            self.advance.eq(prepared & closes_step),
            self.first.eq((taking & begins_one) | (self.first & ~self.change_stb)),
            self.fresh.eq(periods["perturbation"].ends),
            ending.eq(Mux(prepared & opens_step, periods["sample"].ends | periods["update"].ends, ending & ~taking)),
            update.eq(Mux(prepared & opens_step, periods["update"].ends, update)),
        ]
        with m.If(taking):
            m.d.sync += [self.check_answer.eq(sample_due), self.shown.eq(begins_one)]
        self._keep_bank(m, run.await_sample | run.drain, measured, run.conclude)
        if self.spec.in_parts:
            self._take_turns(m, taking & begins_one, run.conclude & closes_step)
        return m

    def _follow(self, m, run, *, inferring, starts, taking, measured, prepared, replayed, joined, more, ends, applies, rests):
        """Follow the states of a run: each one is entered at the end of another, and left at its own."""
        m.d.sync += [
            run.idle.eq((run.idle & ~starts) | run.rest),
            run.settle.eq(starts | run.count | (run.applied & self.learned_stb)),
            run.await_sample.eq(run.settle | (run.await_sample & ~ends & ~taking)),
            run.begin.eq(taking | (run.begin & ~self.started)),
            run.measure.eq((run.begin & self.started) | (run.measure & ~measured)),
            run.count.eq(measured & inferring),
            run.prepare.eq((measured & ~inferring) | more | (run.prepare & ~prepared)),
            run.replay.eq(prepared | (run.replay & ~replayed)),
            run.join.eq(replayed | (run.join & ~joined)),
            run.conclude.eq(joined),
            run.drain.eq((run.conclude & ~more) | (run.drain & ~applies & ~rests)),
            run.apply.eq(applies | (run.apply & ~self.started)),
            run.applied.eq((run.apply & self.started) | (run.applied & ~self.learned_stb)),
            run.finish.eq((run.await_sample & ends) | rests),
            run.rest.eq(run.finish),
        ]

    def _applies(self, run):
        """Statements that tell which passes apply errors."""
        return [self.apply.eq(run.apply), self.applying.eq(run.apply | run.applied)]

    def _update_due(self, m, applies):
        """Register that keeps whether an update is due at the end of the current presentation; ``applies`` when the errors are there."""
        return self.update

    def _clears(self, begins):
        """Whether errors are set to 0, where a presentation ``begins``."""
        return begins

    def _requests(self, run, in_lanes):
        """Whether a pass of the lanes is requested: that of a probe, only if it has one."""
        if len(self.spec.network.layers) == 1:
            return run.begin | run.apply
        return run.begin | (run.join & in_lanes if self.spec.in_parts else run.join) | run.apply

    def _has_way(self, m, taking, run, in_lanes, in_flight):
        """Whether a probe of the last layer alone may be replayed: what it replays are outputs.

        Those of the pass before have left if its cost is known; or they are ahead of it, if it had no pass of the lanes either. After
        ``sweep_wait`` more cycles, the sweep of the errors of the step before ends before the probe's own cost change.
        """
        lanes_before = Signal(name="lanes_before")
        with m.If(run.conclude):
            m.d.sync += lanes_before.eq(in_lanes)
        with m.If(taking):
            m.d.sync += lanes_before.eq(1)
        settled, wait = in_flight == 0, Signal(range(self.sweep_wait + 1), name="sweep_wait")
        with m.If(~settled):
            m.d.sync += wait.eq(self.sweep_wait)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        return ~lanes_before | (settled & (wait == 0))

    def _in_order(self, m, run):
        """Whether a probe may be replayed without taking thresholds too early: all stochastic neurons of the pass before have left, or the
        layer that is replayed has none."""
        noisy, parts = noisy_layers(self.spec), self.spec.round.parts
        counted = replays = Const(1, 1)
        if self.spec.in_parts:
            counted = by_layer([int(part.first <= noisy[-1]) for part in parts], self.part)
            replays = by_layer([int(part.first in noisy) for part in parts], self.part)
        undrawn = Signal(range(4), name="undrawn")
        m.d.sync += undrawn.eq(undrawn + ((run.begin & self.started) | (self.replay & counted)) - self.drawn)
        return ~replays | (undrawn == 0)

    def _take_turns(self, m, begins, concluded):
        """Keep the part whose turn it is: in a round, all parts once, then again those that have more probes, and so on."""
        parts, most = self.spec.round.parts, self.spec.round.most
        turn, next_turn = Signal(range(max(2, most)), name="turn"), Signal(range(max(2, most)), name="next_turn")
        m.d.comb += next_turn.eq(Mux(turn == most - 1, 0, turn + 1))
        backwards = list(enumerate(parts))[::-1]
        with m.If(concluded):
            m.d.sync += turn.eq(next_turn)
            for number, part in backwards:
                with m.If(next_turn < part.times):
                    m.d.sync += self.part.eq(number)
            for number, part in backwards:
                with m.If((self.part < number) & (turn < part.times)):
                    m.d.sync += [self.part.eq(number), turn.eq(turn)]
        with m.If(begins):
            m.d.sync += [self.part.eq(0), turn.eq(0)]

    def _keep_bank(self, m, unperturbed, measured, concluded):
        """Keep the bank of the next pass, and the direction of its perturbations."""
        with m.If(unperturbed):
            m.d.sync += [self.bank.eq(UNPERTURBED), self.minus.eq(0)]
        with m.If(measured):
            m.d.sync += [self.bank.eq(0), self.minus.eq(0)]
        with m.If(concluded):
            m.d.sync += self.bank.eq(self.bank ^ 1)
            if self.spec.two_sided:
                m.d.sync += self.minus.eq(~self.minus)


def period_counters(m: Module, controller, restart) -> dict[str, Period]:
    """Instantiate and connect the counters of the three periods of a controller of presentations; return them by name.

    Parameters
    ----------
    m : Module
        Module of the controller, which gets the counters as submodules.
    controller : Component
        Controller, with the ports of the lengths and the strobe ``advance``.
    restart : Value
        Strobe: the next step is the first one of all periods.
    """
    periods, spec = {}, controller.spec
    for name in ("perturbation", "sample", "update"):
        adjustable = f"{name}_period" in adjustable_periods(spec)
        # Without a gradient memory, τ_θ divides τ_x, so that it is the length of a presentation.
        longest = spec.longest_presentation if name == "update" and not spec.gradient_memory else MAX_PERIOD
        m.submodules[name] = period = periods[name] = Period(adjustable=adjustable, longest=longest)
        m.d.comb += [
            period.length.eq(getattr(controller, f"{name}_period")),
            period.advance.eq(controller.advance),
            period.restart.eq(restart),
        ]
    return periods
