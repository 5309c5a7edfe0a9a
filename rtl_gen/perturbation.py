# amaranth: UnusedElaboratable=no
"""Generators of signs and of rounding noise.

Signs are needed twice: "live" for the current step, and "replay" while the previous step is correlated. They are never stored; the
replay stream generates them a second time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, ValueLike, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.error import unknown
from python_ref.spec.layout import Layout
from python_ref.spec.learning import LearningSpec
from python_ref.spec.perturbation import Code, LfsrCode, SequentialCode, Trinomial, WalshCode, WalshGrayCode, stochastic_generator
from python_ref.spec.registers import phase_bits, stream_widths
from rtl_gen.slot import active_lanes, delayed, serves_both, slot_layout

__all__ = [
    "DRAW_LATENCY",
    "CountedSigns",
    "RandomSigns",
    "RoundingNoise",
    "SequentialSigns",
    "StateLoader",
    "WalshGraySigns",
    "WalshSigns",
    "drawn_bits",
    "leap",
    "leap_by",
    "load_streams",
    "sign_layout",
    "sign_source",
    "source_class",
    "source_of_restarts",
]


DRAW_LATENCY = 2
"""Cycles from a slot to its signs or its rounding noise: one to register whether it draws, one to register the result."""


def sign_layout(spec: LearningSpec) -> data.StructLayout:
    """Layout of the lanes' signs.

    Members
    -------
    negative : unsigned(L)
        One bit per lane, 1 for a sign of −1.
    active : unsigned(L)
        One bit per lane, 0 for a sign of 0.
    """
    return data.StructLayout({"negative": unsigned(spec.hardware.lanes), "active": unsigned(spec.hardware.lanes)})


def leap(generator: Trinomial, state, load_en=0, load=0) -> Cat:
    """State of a generator one word later, computed from bits b[t] … b[t + degree − 1] with one XOR gate per drawn bit.

    With ``load_en``, the bits of ``load`` are shifted in at the top instead.
    """
    drawn = state[: generator.outputs] ^ state[1 : generator.outputs + 1]
    return Cat(state[generator.outputs :], Mux(load_en, load, drawn)[: generator.outputs])


def _bits_from(state, count: int) -> list:
    """The bits of a generator from those of its state on, ``count`` in all; b[t + degree] = b[t] ⊕ b[t + 1]."""
    bits = list(state)
    for place in range(count - len(bits)):
        bits.append(bits[place] ^ bits[place + 1])
    return bits[:count]


def drawn_bits(state, count: int) -> Cat:
    """The next ``count`` bits of a generator, which may be more than its degree."""
    return Cat(*_bits_from(state, count))


def leap_by(state, count: int) -> Cat:
    """State of a generator ``count`` bits later, which may be more than its degree."""
    return Cat(*_bits_from(state, count + len(state))[count:])


class _Drawing(NamedTuple):
    """A slot, whether it draws signs, and whether the generators advance because it does or because a state is loaded."""

    slot: Any
    signs: Signal
    advances: Signal


class _Tracked(NamedTuple):
    """A pair of the same quantity for the current step and for the step being correlated."""

    live: Any
    replay: Any


class _SignSource(wiring.Component):
    """Base class of all sources of signs, with their ports.

    The decision to draw and both outputs are registered, so the signs of a slot are valid two cycles after the slot is at ``live_slot`` or
    ``replay_slot``.

    Members
    -------
    live_slot, replay_slot : In(slot_layout(spec))
        The slot of the current step, and that of the step being correlated, two cycles before their signs are used.
    live, replay : Out(sign_layout(spec))
        Signs of the current step, and of the step being correlated.
    advance : In(1)
        Strobe at the end of a step, whose signs are replayed next.
    fresh : In(1)
        The next step takes a new sign vector, so that p is incremented; valid with ``advance``.
    load_en, load : In(1), In(load_width)
        Strobe and data that set p and shift bits into the tops of the live and the replay states. ``load`` has the fields of a beat,
        p lowest, and must be stable in the next cycle as well.
    restart : In(1)
        Strobe: with the loaded states, the next step is the first one of a sign vector.

    Attributes
    ----------
    load_width : int
        Width of a beat: the bits of p, and for each generator the number of bits that it draws at once.
    """

    latency = DRAW_LATENCY

    def __init__(self, spec: LearningSpec):
        self.spec = spec
        self.generators = spec.sign_generators
        self.load_width = phase_bits(spec) + sum(generator.outputs for generator in self.generators)
        super().__init__(
            {
                "live_slot": In(slot_layout(spec)),
                "replay_slot": In(slot_layout(spec)),
                "live": Out(sign_layout(spec)),
                "replay": Out(sign_layout(spec)),
                "advance": In(1),
                "fresh": In(1),
                "restart": In(1),
                "load_en": In(1),
                "load": In(self.load_width),
            }
        )

    def follow_slots(self, m) -> _Tracked:
        """The live slot and the replay slot one cycle later, with the flags whether they draw."""
        found = []
        for which, slot, when in (
            ("live", self.live_slot, self._perturbs(self.live_slot)),
            ("replay", self.replay_slot, self.replay_slot.correlate),
        ):
            draws = slot.valid & when
            signs, advances = Signal(name=f"draw_{which}"), Signal(name=f"advance_{which}")
            m.d.sync += [signs.eq(draws), advances.eq(draws | self.load_en)]
            found.append(_Drawing(delayed(m, slot, 1, f"{which}_slot", reset_less=False), signs, advances))
        return _Tracked(*found)

    def _perturbs(self, slot):
        """Whether the signs of the current step are needed in a slot."""
        return slot.perturb | serves_both(self.spec, slot)

    @property
    def branches(self) -> bool:
        """Whether both passes of a step draw the same signs from the second layer on, although they draw those of the first only once."""
        layout = self.spec.layout
        return self.spec.one_visit and self.spec.two_sided and isinstance(layout, Layout) and len(layout.layers) > 1

    @property
    def holds(self) -> bool:
        """Whether the state at the start of the current sign vector is kept, since the vector is drawn more than once."""
        return self.spec.holds_signs

    def track_steps(self, m, p, following):
        """Track p, or a function of it, for the current step and for the step being correlated, starting from the loaded value.

        Returns
        -------
        (Signal, _Tracked)
            Whether the current step starts a new sign vector, and p of both steps.
        """
        tracked = _Tracked(p, Signal.like(p, name=f"replay_{p.name}"))
        fresh = Signal(init=1)
        with m.If(self.advance):
            m.d.sync += [tracked.replay.eq(p), fresh.eq(self.fresh)]
            with m.If(self.fresh):
                m.d.sync += p.eq(following(p))
        with m.If(self.load_en):
            m.d.sync += [p.eq(self.load), tracked.replay.eq(self.load)]
        with m.If(self.restart):
            m.d.sync += fresh.eq(1)
        return fresh, tracked


class StateLoader(wiring.Component):
    """Assembles beats from the words that the host writes: p, and for each generator as many bits of its state as it draws at once.

    Beats are shifted into the generators the way drawn bits are, so that loading a state needs no further logic.

    Parameters
    ----------
    width : int
        Width of a beat in bits; it is assembled from as many words of 32 bits as needed.

    Members
    -------
    en, data : In(1), In(32)
        Strobe and value of a word; ``data`` must be stable in the next two cycles as well.
    restart : In(1)
        Strobe: the next word is the first one of a beat.
    beat_en, beat : Out(1), Out(width)
        Strobe and value of a beat, in the cycle after its last word; ``beat`` is stable in the next cycle as well.
    """

    def __init__(self, width: int):
        self.width = width
        super().__init__({"en": In(1), "data": In(32), "restart": In(1), "beat_en": Out(1), "beat": Out(width)})

    @property
    def words(self) -> int:
        """Number of 32-bit words in a beat."""
        return -(-self.width // 32)

    def elaborate(self, platform):
        m = Module()
        if self.words == 1:
            m.d.sync += self.beat_en.eq(self.en)
            m.d.comb += self.beat.eq(self.data)
            return m
        kept, number = Signal(32 * self.words), Signal(range(self.words))
        with m.If(self.en):
            m.d.sync += [kept.eq(Cat(kept[32:], self.data)), number.eq(Mux(number == self.words - 1, 0, number + 1))]
        with m.If(self.restart):
            m.d.sync += number.eq(0)
        m.d.sync += self.beat_en.eq(self.en & (number == self.words - 1))
        m.d.comb += self.beat.eq(kept)
        return m


def load_streams(m: Module, spec: LearningSpec, host: Any, streams: Sequence[Any]) -> None:
    """Add the loader of a core to its module, and connect it to the host port and to the random streams.

    Parameters
    ----------
    m : Module
        Module of the core, to which the loader and its connections are added.
    spec : LearningSpec
        Design of the core.
    host : HostPort
        Host port, which gives the words of the states and the strobe that restarts.
    streams : sequence of Component
        The source of signs, and after it those of the rounding noise and of thresholds, if there are such.
    """
    m.submodules.state_loader = loader = StateLoader(sum(stream_widths(spec)))
    m.d.comb += [
        loader.en.eq(host.stream_en),
        loader.data.eq(host.data),
        loader.restart.eq(host.restart),
        streams[0].restart.eq(host.restart),
    ]
    m.d.comb += Cat(source.load for source in streams).eq(loader.beat)
    m.d.comb += [source.load_en.eq(loader.beat_en) for source in streams]


class RandomSigns(_SignSource):
    """Signs from leap-forward LFSRs, inverted in odd sign vectors.

    With τ_p = 1 each generator has a live and a replay state, and the replay state is always one step behind. A longer τ_p needs a third
    state, which holds the start of the current sign vector. Two-sided weight perturbation needs one that holds the state after the first
    layer, from which both passes of a step go on.
    """

    def elaborate(self, platform):
        m = Module()
        fresh, odd = self.track_steps(m, Signal(name="odd"), lambda odd: ~odd)
        drawing = self.follow_slots(m)
        self.begin_vector(m, fresh, drawing.live)
        place = 1
        for number, generator in enumerate(self.generators):
            live, replay = self._states(m, generator, drawing, self.load[place : place + generator.outputs], fresh, str(number))
            place += generator.outputs
            for bits, parity, draw, signs in (
                (live, odd.live, drawing.live.signs, self.live),
                (replay, odd.replay, drawing.replay.signs, self.replay),
            ):
                taken = self.drawn(generator, bits)
                lanes = slice(126 * number, 126 * number + len(taken))
                with m.If(draw):
                    m.d.sync += signs.negative[lanes].eq(taken ^ parity.replicate(len(taken)))
        m.d.comb += [self.live.active.eq(-1), self.replay.active.eq(-1)]
        return m

    def begin_vector(self, m, fresh, drawing):
        """Tell by ``fresh`` whether the next vector that ``drawing`` begins is a new one; here, a vector begins once in a step."""

    def drawn(self, generator, bits):
        """The bits of a generator's state that the lanes take in a slot; here, as many as it draws at once."""
        return bits[: generator.outputs]

    def following_state(self, generator, state, loads, pushed, drawing):
        """State of a generator after the slot of ``drawing``, or with ``loads`` after the bits ``pushed`` were shifted in."""
        return leap(generator, state, loads, pushed)

    def _states(self, m, generator, drawing, pushed, fresh, name):
        """Live and replay states of a generator, as they apply to the current slots."""
        live, replay = (Signal(generator.degree, name=f"{which}{name}", reset_less=True) for which in ("live", "replay"))
        live_now, replay_now = Signal.like(live), Signal.like(replay)
        m.d.comb += [live_now.eq(live), replay_now.eq(replay)]
        slot, replayed = drawing.live.slot, drawing.replay.slot
        begin, loads = slot.begin & self._perturbs(slot), delayed(m, self.load_en, 1, f"loads{name}", reset_less=False)
        if self.holds:
            held = Signal(generator.degree, name=f"held{name}", reset_less=True)
            with m.If(begin & ~fresh):
                m.d.comb += live_now.eq(held)
            with m.Elif(begin):
                m.d.sync += held.eq(live)
            with m.If(replayed.begin & replayed.correlate):
                m.d.comb += replay_now.eq(held)
        if self.branches:
            branched = Signal(generator.degree, name=f"branched{name}", reset_less=True)
            with m.If(slot.branch & slot.second):
                m.d.comb += live_now.eq(branched)
            with m.Elif(slot.branch):
                m.d.sync += branched.eq(live)
        for each, state, now in ((drawing.live, live, live_now), (drawing.replay, replay, replay_now)):
            with m.If(each.advances):
                m.d.sync += state.eq(self.following_state(generator, now, loads, pushed, each))
        return live_now, replay_now


class CountedSigns(_SignSource, ABC):
    """Signs computed from a quantity's index in hardware order and from the phase, which counts sign vectors."""

    @abstractmethod
    def sign(self, index, phase) -> tuple[ValueLike, ValueLike]:
        """Whether the quantity at this index has a negative sign in this phase, and whether its sign is not 0."""

    def following(self, phase):
        """Phase of the next sign vector: one more, and 0 after the last one of the period."""
        period = self.spec.code.period(self.spec.quantities)
        return Mux(phase == period - 1, 0, phase + 1)

    def elaborate(self, platform):
        m = Module()
        values = self.spec.code.values
        _, phases = self.track_steps(m, Signal(phase_bits(self.spec), name="phase"), self.following)
        drawing = self.follow_slots(m)
        for which, (slot, draw, _), phase, signs in (
            ("live", drawing.live, phases.live, self.live),
            ("replay", drawing.replay, phases.replay, self.replay),
        ):
            index = Signal(range(self.spec.quantities + self.spec.hardware.lanes + 1), name=f"{which}_index")
            now = Signal.like(index, name=f"{which}_now")
            again = index
            if self.branches and which == "live":
                again = Mux(slot.branch, self.spec.layout.layers[0].layer.n_parameters, index)
            m.d.comb += now.eq(Mux(slot.begin, 0, again))
            with m.If(draw):
                m.d.sync += index.eq(now + Mux(slot.real, active_lanes(self.spec, slot), 0))
                for lane in range(self.spec.hardware.lanes):
                    negative, active = self.sign(now + lane, phase)
                    if -1 in values:
                        m.d.sync += signs.negative[lane].eq(negative)
                    if 0 in values:
                        m.d.sync += signs.active[lane].eq(active)
        if 0 not in values:
            m.d.comb += [self.live.active.eq(-1), self.replay.active.eq(-1)]
        return m


class WalshSigns(CountedSigns):
    """Signs from the rows of a Sylvester-Hadamard matrix. The phase wraps without logic, since its period is a power of two."""

    def sign(self, index, phase):
        """Negative where the row number and the phase have an odd number of common one bits; never 0."""
        return ((index + 1) & phase).xor(), 1

    def following(self, phase):
        """Phase of the next sign vector: one more, modulo the period."""
        return phase + 1


class WalshGraySigns(WalshSigns):
    """Signs from the rows of a Sylvester-Hadamard matrix, with the phase in Gray-code order."""

    def sign(self, index, phase):
        """Sign of the Walsh code in the phase that is the Gray code of ``phase``."""
        return super().sign(index, phase ^ phase[1:])


class SequentialSigns(CountedSigns):
    """Signs of the sequential code, which perturbs one quantity at a time."""

    def sign(self, index, phase):
        """Never negative; different from 0 where the index equals the phase."""
        return 0, index == phase


_SOURCES: dict[type[Code], type[_SignSource]] = {
    LfsrCode: RandomSigns,
    WalshCode: WalshSigns,
    WalshGrayCode: WalshGraySigns,
    SequentialCode: SequentialSigns,
}


def source_class(code: Code) -> type[_SignSource]:
    """Return the class of the sources of a code's signs.

    Raises
    ------
    TypeError
        If there is no source of signs for the code.
    """
    source = _SOURCES.get(type(code))
    if source is None:
        raise unknown("Code", code, "rtl_gen.perturbation._SOURCES")
    return source


def sign_source(spec: LearningSpec) -> _SignSource:
    """Return the source of signs for a design's code; see :func:`source_class`."""
    return source_class(spec.code)(spec)


def source_of_restarts(spec: LearningSpec, random_signs: type[RandomSigns], where: str) -> RandomSigns | CountedSigns:
    """Return the source of signs for a design's code, in a machine in which a sign vector may begin more than once in a step.

    Parameters
    ----------
    spec : LearningSpec
        The design whose signs are drawn.
    random_signs : type
        Class of the source of random signs whose vector begins again; the signs that are counted begin again by themselves.
    where : str
        Place that a message on an unknown code names.

    Raises
    ------
    TypeError
        If there is no such source of signs for the code.
    """
    source = source_class(spec.code)
    if source is RandomSigns:  # exactly: a class derived from it computes other signs
        return random_signs(spec)
    if issubclass(source, CountedSigns):
        return source(spec)
    raise unknown("Code", spec.code, where)


class RoundingNoise(wiring.Component):
    """Generates the noise of stochastic rounding, one random word per slot of an updating pass, including padding.

    Parameters
    ----------
    spec : LearningSpec
        The design whose updates are rounded.
    words : int
        Number of words of a slot; a class derived from this one draws more than one.

    Members
    -------
    slot : In(slot_layout(spec))
        The slot, two cycles before its random word is used.
    update : In(1)
        An update is due in the correlating pass.
    o : Out(spec.stochastic_bits)
        Random word of the slot, two cycles later.
    load_en, load : In(1), In(load_width)
        Strobe and bits to shift into the top of the state; ``load`` must be stable in the next cycle as well.

    Attributes
    ----------
    load_width : int
        Number of bits that the generator draws at once.
    """

    latency = DRAW_LATENCY

    def __init__(self, spec: LearningSpec, words: int = 1):
        self.spec = spec
        self.generator = stochastic_generator(spec.stochastic_bits)
        self.load_width = self.generator.outputs
        super().__init__(
            {
                "slot": In(slot_layout(spec)),
                "update": In(1),
                "o": Out(words * spec.stochastic_bits),
                "load_en": In(1),
                "load": In(self.load_width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        state, draws, advances = Signal(self.generator.degree, reset_less=True), Signal(), Signal()
        draw = self.slot.valid & self.slot.correlate & self.update
        m.d.sync += [draws.eq(draw), advances.eq(draw | self.load_en)]
        loads = delayed(m, self.load_en, 1, "loads", reset_less=False)
        with m.If(draws):
            m.d.sync += self.o.eq(self.words(state))
        following = self.following_state(m, state, loads)  # whose own registers, if any, do not depend on ``advances``
        with m.If(advances):
            m.d.sync += state.eq(following)
        return m

    def words(self, state):
        """The words of a slot, from the state before they are drawn."""
        return state[: self.generator.outputs]

    def following_state(self, m, state, loads):
        """State after a slot, or with ``loads`` after the bits of ``load`` were shifted in."""
        return leap(self.generator, state, loads, self.load)
