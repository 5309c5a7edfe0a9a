# amaranth: UnusedElaboratable=no
"""Sign vectors over the steps of a run: both passes of a step, all steps of a held vector, and the correlation have the same signs.

The sign of a slot's lane is a bit of one sequence, that of a register that shifts by one bit: those of a vector follow those of the
vector before, in the order of the layout's slots, and are inverted in odd vectors. So the start of a vector and the place of a slot tell
its signs, in whichever pass and however often they are drawn.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from amaranth.hdl import Array, Assume, Cat, Module, Mux, ResetSignal, Signal
from amaranth.lib.wiring import In

from python_ref.spec.design import DesignSpec
from python_ref.spec.layout import Layout
from rtl_gen.perturbation import RandomSigns
from tests.formal.harness import Bench, Induction, Opened, Property, always, control, opened
from tests.formal.signs import filled, serial_bits
from tests.support.faults import DESIGNS

__all__ = ["PROPERTIES"]


class Start:
    """A state of the register, at the start of a vector, and what follows from it.

    Attributes
    ----------
    state : Signal
        The state.
    bits : list of Value
        The bits of its sequence, those of the state first.
    """

    def __init__(self, m: Module, degree: int, drawn: int, slots: int, name: str):
        self.state, self.drawn, self.slots = Signal(degree, name=name, reset_less=True), drawn, slots
        self.bits = serial_bits(m, self.state, degree + drawn * slots)

    def at(self, place: Any) -> Any:
        """The state before the slot with a number is drawn."""
        return Array(Cat(*self.bits[number * self.drawn : number * self.drawn + len(self.state)]) for number in range(self.slots + 1))[
            place
        ]

    @property
    def end(self) -> Any:
        """The state after the last slot."""
        return Cat(*self.bits[self.slots * self.drawn :])


class Vectors(Bench):
    """Steps of any kind one after the other, with any stalls, and the signs of random codes that are drawn in them.

    A step has one pass; or two, of which the first one visits the first layer for both, and the second one begins behind it. The slots of
    the first pass come to the replay first, which draws if the step before is correlated, and later to the signs of the current step. A
    pass that only correlates, or that only measures, ends a run. After each training step, ``advance`` tells whether the next one has a new
    vector. The state is loaded before the first step.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.source = RandomSigns(spec)
        names = ("start", "two", "trains", "issues", "replays", "load_en", "advance", "fresh")
        super().__init__({"load": In(self.source.load_width), **{name: In(1) for name in names}})

    def state(self, m: Module) -> None:
        source, spec = self.source, self.spec
        assert isinstance(spec.layout, Layout)
        (generator,), slots = source.generators, spec.layout.slots
        inner = opened(source)
        m.submodules.source = inner.module
        m.d.comb += [getattr(source, name).eq(getattr(self, name)) for name in ("load_en", "load", "advance")]
        m.d.comb += [source.fresh.eq(self.fresh), Assume(~ResetSignal())]
        if not source.holds:
            m.d.comb += Assume(self.fresh)
        live, replayed = self._steps(m)
        base, before = (Start(m, generator.degree, generator.outputs, slots, name) for name in ("base", "before"))
        self.odd, self.odd_before, fresh, started, begun = Signal(), Signal(), Signal(init=1), Signal(), Signal()
        odd, odd_before = self.odd, self.odd_before
        # A slot is drawn one cycle after it comes.
        draws, place, redraws, replace_ = Signal(), Signal(range(slots)), Signal(), Signal(range(slots))
        m.d.sync += [draws.eq(live.draws), place.eq(live.place), redraws.eq(replayed.draws), replace_.eq(replayed.place)]
        begins = draws & (place == 0)
        renews = begins & fresh & started
        now = Mux(renews, base.end, base.state)
        loads, load_before = Signal(), Signal.like(self.load)
        m.d.sync += [loads.eq(self.load_en), load_before.eq(self.load)]
        m.d.comb += [Assume(~loads | (self.load == load_before)), Assume(~self.load_en | ~(self.ever | self.start))]
        m.d.comb += Assume(~self.start | ~loads)
        m.d.sync += base.state.eq(now)
        with m.If(begins):
            m.d.sync += [started.eq(1), begun.eq(1)]
        with m.If(self.advance):
            m.d.sync += [before.state.eq(base.state), odd_before.eq(odd), odd.eq(odd ^ self.fresh), fresh.eq(self.fresh), begun.eq(0)]
        with m.If(self.load_en):
            m.d.sync += [odd.eq(self.load[0]), odd_before.eq(self.load[0])]
        with m.If(loads):
            pushed = filled(base.state, self.load[1 : 1 + generator.outputs])
            m.d.sync += [base.state.eq(pushed), before.state.eq(pushed)]
        # The signs, one cycle after they were drawn.
        first = Start(m, generator.degree, generator.outputs, slots, "first")
        m.d.comb += first.state.eq(now)
        for which, start, inverted, drawn, number in (
            ("live", first, odd, draws, place),
            ("replay", before, odd_before, redraws, replace_),
        ):
            expected, shown = Signal(generator.outputs, name=f"{which}_expected"), Signal(name=f"{which}_shown")
            m.d.sync += shown.eq(drawn)
            with m.If(drawn):
                m.d.sync += expected.eq(start.at(number)[: len(expected)] ^ inverted.replicate(len(expected)))
            signs = getattr(source, which)
            always(m, ~shown | (signs.negative == expected), signs.active.all())
        self._states(m, inner, base, before, (live, replayed), (draws, place, redraws, replace_), (fresh, started, begun))
        again = Signal()  # a held vector has begun again
        m.d.sync += again.eq(again | (begins & started & (~fresh | (not source.holds))))
        self.reach(m, again & redraws & source.live.negative.any() & (replace_ == slots - 1))

    def _steps(self, m: Module) -> tuple[Any, Any]:
        """Issue the slots of steps; return what is drawn in this cycle for the current step, and for the one that is correlated."""
        spec, source = self.spec, self.source
        slots, behind = spec.layout.slots, spec.layout.layers[1].first_slot
        self.ever, self.pending, self.correlates, self.owed = (Signal(name=name) for name in ("ever", "pending", "correlates", "owed"))
        in_step, two, trains, second = (Signal(name=name) for name in ("in_step", "two_passes", "training", "second_pass"))
        place, number = Signal(range(slots + 1), name="live_next"), Signal(range(slots + 1), init=slots, name="replay_next")
        m.d.comb += [
            Assume(~self.start | (~in_step & ~self.owed)),
            Assume(~self.replays | (number != slots)),
            Assume(~self.issues | (in_step & (second | (place < number)))),
            Assume(~self.advance | self.owed),
            Assume(~(self.start & (self.two & ~self.trains))),
        ]
        if spec.two_sided:
            m.d.comb += Assume(~(self.start & self.trains) | self.two)
        last = self.issues & (place == slots - 1)
        ends = last & (second | ~two)
        m.d.sync += [
            self.ever.eq(self.ever | self.start),
            in_step.eq(self.start | (in_step & ~ends)),
            self.owed.eq((ends & trains) | (self.owed & ~self.advance)),
            self.pending.eq(self.advance | (self.pending & ~self.start)),
            place.eq(Mux(self.start, 0, Mux(last, behind, place + self.issues))),
            number.eq(Mux(self.start, 0, number + self.replays)),
            second.eq(~self.start & (second | last) & ~ends),
        ]
        with m.If(self.start):
            m.d.sync += [two.eq(self.two), trains.eq(self.trains), self.correlates.eq(self.pending)]
        slot, again = source.live_slot, source.replay_slot
        both, late = two & ~second, place >= behind
        is_second = second | (trains & ~two)
        perturbs = trains & (is_second | spec.two_sided)
        m.d.comb += [
            *(slot.valid.eq(self.issues), slot.begin.eq(self.issues & (place == 0)), slot.branch.eq(self.issues & (place == behind))),
            *(slot.both.eq(both), slot.second.eq(is_second), slot.perturb.eq(perturbs), slot.layer.eq(late)),
            *(again.valid.eq(self.replays), again.begin.eq(self.replays & (number == 0)), again.correlate.eq(self.correlates)),
        ]
        always(
            m,
            in_step | (number == slots),
            ~second | (number == slots),
            ~second | (two & in_step & (place >= behind)),
            place < slots,
            number <= slots,
        )
        always(m, ~second | in_step, second | (place <= number), ~self.owed | (trains & ~in_step), ~(self.owed & self.pending))
        always(
            m,
            (~two | trains) if not spec.two_sided else two == trains,
            ~in_step | ~self.pending,
            self.ever | ~(in_step | self.pending | self.owed),
        )
        self.in_step, self.trains_now, self.two_now, self.second = in_step, trains, two, second
        live = Drawn(self.issues & (perturbs | (both & ~late)), place)
        return live, Drawn(self.replays & self.correlates, number)

    def _states(self, m: Module, inner: Opened, base: Start, before: Start, drawn: Any, drawing: Any, vector: Any) -> None:
        """Assert what the registers of the current step are, which induction needs."""
        source, slots, behind = self.source, self.spec.layout.slots, self.spec.layout.layers[1].first_slot
        (live, replayed), (draws, place, *_), (fresh, started, begun) = drawn, drawing, vector
        # The slot whose signs come next, when a slot comes, and when it is drawn.
        coming, at, branches, trained = Signal(range(slots + 1)), Signal(range(slots + 1)), Signal(), Signal()
        returns = (live.place == behind) & self.second & source.branches
        m.d.sync += [at.eq(coming), branches.eq(returns), trained.eq(trained | live.draws)]
        with m.If(live.draws):
            m.d.sync += coming.eq(live.place + 1)
        always(m, inner.signal("live0") == base.at(at), trained == (started | draws), ~draws | (place == 0) | started)
        always(m, ~draws | (at == Mux(place == 0, Mux(started, slots, 0), Mux(branches, slots, place))))
        rest, inside = Mux(trained, slots, 0), self.in_step & self.trains_now
        first_pass = Mux(live.place <= behind, live.place, live.place if self.spec.two_sided else behind)
        second_pass = Mux((live.place == behind) & source.branches, slots, live.place)
        moved = Mux(self.second, second_pass, Mux(self.two_now, first_pass, live.place))
        always(m, coming == Mux(inside & ((live.place != 0) | self.second), moved, rest), ~self.owed | trained, self.ever | ~trained)
        always(m, (begun | (draws & (place == 0))) == ((inside & ((live.place != 0) | self.second)) | self.owed))
        always(
            m, ~begun | started, ~(draws & (place == 0) & begun), fresh == inner.names["fresh"], fresh | (started if source.holds else 0)
        )
        odd = inner.names["odd"]
        always(m, odd.live == self.odd, odd.replay == self.odd_before)
        if source.branches:
            kept = Signal()
            m.d.sync += kept.eq(inside & self.two_now & (self.second | (live.place > behind)))
            always(m, ~kept | (inner.signal("branched0") == base.at(behind)), ~branches | ~draws | kept)
        if source.holds:
            always(m, ~started | (inner.signal("held0") == base.state))
        self._replay_states(m, inner, base, before, replayed, drawing, started, begun)

    def _replay_states(self, m: Module, inner: Opened, base: Start, before: Start, replayed: Drawn, drawing: Any, *flags: Any) -> None:
        """Assert what the registers of the step that is correlated are, which induction needs."""
        source, slots = self.source, self.spec.layout.slots
        (draws, place, redraws, again), (started, begun) = drawing, flags
        coming, at = Signal(range(slots + 1)), Signal(range(slots + 1))
        m.d.sync += at.eq(coming)
        with m.If(replayed.draws):
            m.d.sync += coming.eq(replayed.place + 1)
        with m.If(self.advance):
            m.d.sync += [coming.eq(0), at.eq(0)]
        active, state = self.correlates & self.in_step, inner.signal("replay0")
        always(m, ~active | (coming == replayed.place), ~self.pending | (coming == 0), ~redraws | (at == again), ~redraws | self.correlates)
        always(m, active | (coming == 0) | (coming == slots), self.in_step | (at == coming), self.ever | (coming == 0))
        waits = self.pending | (active & (replayed.place == 0)) | (redraws & (again == 0))
        always(m, ~(draws & (place == 0)) | ~waits, ~waits | started)
        if source.holds:
            always(m, ~waits | (before.state == base.state), (at == 0) | (state == before.at(at)))
        else:
            following = Mux(begun | ~started, base.state, base.end)
            always(m, state == before.at(at), following == Mux(self.pending | active | (coming != 0), before.end, before.state))


class Drawn:
    """A slot that comes: whether it is drawn, and its place."""

    def __init__(self, draws: Any, place: Any):
        self.draws, self.place = draws, place


_STATES = "perturbation:RandomSigns._states"


def small(name: str) -> DesignSpec:
    """The design with five slots in two layers, and with so many lanes that few loads fill the state."""
    spec = DESIGNS[name]
    return replace(spec, network=replace(spec.network, sizes=(1, 2, 1)), hardware=replace(spec.hardware, lanes=16))


def held(spec: DesignSpec) -> DesignSpec:
    """The design with sign vectors that last two steps."""
    return replace(spec, schedule=replace(spec.schedule, perturbation_period=2))


_PARITY = control(
    "the next vector's parity is correlated",
    "perturbation:_SignSource.track_steps",
    "tracked.replay.eq(p)",
    "tracked.replay.eq(following(p))",
    16,
)
_EVERY = control(
    "drawn again although nothing is correlated", "perturbation:_SignSource.follow_slots", "self.replay_slot.correlate", "1", 10
)
_BOTH = control(
    "no signs in a visit for both passes",
    "perturbation:_SignSource._perturbs",
    "slot.perturb | serves_both(self.spec, slot)",
    "slot.perturb",
    10,
)
_BRANCH = control("the second pass goes on behind the first", _STATES, "with m.If(slot.branch & slot.second):", "with m.If(0):", 18)

_HELD = control("a held vector goes on", _STATES, "with m.If(begin & ~fresh):", "with m.If(0):", 24)

_KEPT = control("a held vector is held anew in each step", _STATES, "with m.Elif(begin):", "with m.If(begin):", 40)

_REPLAYED = control(
    "a held vector is not correlated from its start", _STATES, "with m.If(replayed.begin & replayed.correlate):", "with m.If(0):", 28
)

PROPERTIES = tuple(
    Property(f"vectors, {name}", "perturbation.RandomSigns", partial(Vectors, spec), Induction(3), reach, faults)
    for name, spec, reach, faults in (
        ("one-sided", small("weight"), 24, (_PARITY, _EVERY, _BOTH)),
        ("two-sided", small("weight_two_sided"), 28, (_EVERY, _BRANCH)),
        ("one-sided and held", held(small("weight")), 24, (_HELD, _REPLAYED, _BOTH)),
        ("two-sided and held", small("weight_held"), 28, (_HELD, _KEPT, _BRANCH)),
    )
)
