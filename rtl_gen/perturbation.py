"""The perturbation generators: signs now (live), the same signs again while they are correlated (replay), random words.

No sign is ever stored: the replay stream draws them a second time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, ValueLike, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.perturbation import Code, LfsrCode, SequentialCode, Trinomial, WalshCode, WalshGrayCode, stochastic_generator
from python_ref.spec.registers import phase_bits
from rtl_gen.slot import active_lanes, delayed, slot_layout

__all__ = [
    "DRAW_LATENCY",
    "Beats",
    "CountedSigns",
    "RandomSigns",
    "SequentialSigns",
    "StochasticWords",
    "WalshGraySigns",
    "WalshSigns",
    "leap",
    "sign_layout",
    "sign_source",
]


DRAW_LATENCY = 2
"""Cycles from a slot to its signs, or its random word: whether it draws is registered, then what is drawn."""


def sign_layout(spec: DesignSpec) -> data.StructLayout:
    """Signs of the lanes: ``negative`` and ``active``, a bit per lane; an inactive sign is 0."""
    return data.StructLayout({"negative": unsigned(spec.hardware.lanes), "active": unsigned(spec.hardware.lanes)})


def leap(generator: Trinomial, state, load_en=0, load=0) -> Cat:
    """The state of a generator one word later, from bits b[t] … b[t + degree − 1]: one gate for each bit drawn.

    With ``load_en`` the bits that come in at the top are those of ``load``.
    """
    drawn = state[: generator.outputs] ^ state[1 : generator.outputs + 1]
    return Cat(state[generator.outputs :], Mux(load_en, load, drawn)[: generator.outputs])


class _Drawing(NamedTuple):
    """A slot; whether it draws signs; whether a generator goes on, since it does or since its state is loaded."""

    slot: Any
    signs: Signal
    advances: Signal


class _Tracked(NamedTuple):
    """What there is of the step under way, and of the one being correlated."""

    live: Any
    replay: Any


class _SignPorts(wiring.Component):
    """What every source of signs has.

    Whether a slot draws is registered, and so are both outputs: signs for a slot are valid two cycles after the slot is at
    ``live_slot`` or ``replay_slot``. In node perturbation they hold for the whole group.

    Members
    -------
    live_slot, replay_slot : In(slot_layout(spec))
        The slot, two cycles before its signs are used.
    live, replay : Out(sign_layout(spec))
        Signs of the step under way, and of the step being correlated.
    advance : In(1)
        A step has ended: its signs are the next to be replayed.
    fresh : In(1)
        With ``advance``: the next step takes a new sign vector (p counts up).
    load_en, load : In(1), In(load_width)
        Take p and push bits into the live and the replay states, at their tops: the fields of a beat, p lowest; ``load`` stands in the
        cycle after as well.
    restart : In(1)
        With what was loaded, the next step is the first of a sign vector.

    Attributes
    ----------
    load_width : int
        Bits of a beat: those of p, and for each generator as many as it draws at once.
    """

    latency = DRAW_LATENCY

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.generators = spec.code.generators(spec.hardware.lanes)
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
        """The live slot and that of the replay, a cycle later, with whether they draw."""
        found = []
        for which, slot, when in (
            ("live", self.live_slot, self.live_slot.perturb),
            ("replay", self.replay_slot, self.replay_slot.correlate),
        ):
            draws = (slot.first if self.spec.node else slot.valid) & when
            signs, advances = Signal(name=f"draw_{which}"), Signal(name=f"advance_{which}")
            m.d.sync += [signs.eq(draws), advances.eq(draws | self.load_en)]
            found.append(_Drawing(delayed(m, slot, 1, f"{which}_slot", reset_less=False), signs, advances))
        return _Tracked(*found)

    def track_steps(self, m, p, following):
        """Follow p, or a function of it, for the step under way and for the one being correlated, from what is loaded on.

        Returns
        -------
        (Signal, _Tracked)
            Whether the step under way starts a new sign vector; p of both steps.
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


class Beats(wiring.Component):
    """Gathers the words of a beat: p, and for each generator as many bits of its state as it draws at once.

    So states are loaded by the same wires by which they go on, and no logic is needed for it.

    Parameters
    ----------
    width : int
        Bits of a beat, from one word or as many as hold them.

    Members
    -------
    en, data : In(1), In(32)
        A word; ``data`` must stand in the two cycles after as well.
    restart : In(1)
        The next word is a beat's first.
    beat_en, beat : Out(1), Out(width)
        A beat, the cycle after its last word came; it stands in the next as well.
    """

    def __init__(self, width: int):
        self.width = width
        super().__init__({"en": In(1), "data": In(32), "restart": In(1), "beat_en": Out(1), "beat": Out(width)})

    @property
    def words(self) -> int:
        """Words of a beat."""
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


class RandomSigns(_SignPorts):
    """Signs from leap-forward LFSRs, inverted in odd sign vectors.

    With τ_p = 1 a live and a replay state suffice: the replay state is always one step behind. Longer τ_p take a
    third, which holds where the present sign vector starts.
    """

    def elaborate(self, platform):
        m = Module()
        fresh, odd = self.track_steps(m, Signal(name="odd"), lambda odd: ~odd)
        drawing = self.follow_slots(m)
        place = 1
        for number, generator in enumerate(self.generators):
            live, replay = self._states(m, generator, drawing, self.load[place : place + generator.outputs], fresh, str(number))
            place += generator.outputs
            lanes = slice(126 * number, 126 * number + generator.outputs)
            for bits, parity, draw, signs in (
                (live, odd.live, drawing.live.signs, self.live),
                (replay, odd.replay, drawing.replay.signs, self.replay),
            ):
                with m.If(draw):
                    m.d.sync += signs.negative[lanes].eq(bits[: generator.outputs] ^ parity.replicate(generator.outputs))
        m.d.comb += [self.live.active.eq(-1), self.replay.active.eq(-1)]
        return m

    def _states(self, m, generator, drawing, pushed, fresh, name):
        """The live and replay states of a generator, as they are for the present slots."""
        live, replay = (Signal(generator.degree, name=f"{which}{name}", reset_less=True) for which in ("live", "replay"))
        live_now, replay_now = Signal.like(live), Signal.like(replay)
        m.d.comb += [live_now.eq(live), replay_now.eq(replay)]
        slot, replayed = drawing.live.slot, drawing.replay.slot
        begin, loads = slot.begin & slot.perturb, delayed(m, self.load_en, 1, f"loads{name}", reset_less=False)
        if self.spec.holds_signs:
            held = Signal(generator.degree, name=f"held{name}", reset_less=True)
            with m.If(begin & (~fresh | slot.second & self.spec.two_sided)):
                m.d.comb += live_now.eq(held)
            with m.Elif(begin):
                m.d.sync += held.eq(live)
            with m.If(replayed.begin & replayed.correlate):
                m.d.comb += replay_now.eq(held)
        elif self.spec.two_sided:
            with m.If(begin & slot.second):
                m.d.comb += live_now.eq(replay)
        for each, state, now in ((drawing.live, live, live_now), (drawing.replay, replay, replay_now)):
            with m.If(each.advances):
                m.d.sync += state.eq(leap(generator, now, loads, pushed))
        return live_now, replay_now


class CountedSigns(_SignPorts, ABC):
    """Signs that are a function of a quantity's index in hardware order and of the phase, which counts sign vectors."""

    @abstractmethod
    def sign(self, index, phase) -> tuple[ValueLike, ValueLike]:
        """Whether the quantity with this index has a negative sign at this phase, and whether its sign is not 0."""

    def following(self, phase):
        """The phase of the next sign vector: one more, and 0 after the last."""
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
            m.d.comb += now.eq(Mux(slot.begin, 0, index))
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
    """Rows of a Sylvester-Hadamard matrix; the phase wraps by itself, since its period is a power of two."""

    def sign(self, index, phase):
        """Negative where the parity of the bits that the row's number and the phase share is odd; never 0."""
        return ((index + 1) & phase).xor(), 1

    def following(self, phase):
        """One more, modulo the period."""
        return phase + 1


class WalshGraySigns(WalshSigns):
    """Rows of a Sylvester-Hadamard matrix, in Gray-code order."""

    def sign(self, index, phase):
        """The sign of a Walsh code at the Gray code of the phase."""
        return super().sign(index, phase ^ phase[1:])


class SequentialSigns(CountedSigns):
    """One quantity at a time."""

    def sign(self, index, phase):
        """Never negative; not 0 where the index is the phase."""
        return 0, index == phase


_SOURCES: dict[type[Code], type[_SignPorts]] = {
    LfsrCode: RandomSigns,
    WalshCode: WalshSigns,
    WalshGrayCode: WalshGraySigns,
    SequentialCode: SequentialSigns,
}


def sign_source(spec: DesignSpec) -> _SignPorts:
    """The source of signs of a design's code.

    Raises
    ------
    TypeError
        If the code has none.
    """
    source = _SOURCES.get(type(spec.code))
    if source is None:
        raise unknown("Code", spec.code, "rtl_gen.perturbation._SOURCES")
    return source(spec)


class StochasticWords(wiring.Component):
    """The random words of stochastic rounding; a word per slot of an updating pass, padding included.

    Members
    -------
    slot : In(slot_layout(spec))
        The slot, two cycles before its word is used: whether it draws is registered.
    update : In(1)
        An update is due in the correlating pass.
    word : Out(spec.stochastic_bits)
        The word.
    load_en, load : In(1), In(load_width)
        Push bits into the state, at its top; ``load`` stands in the cycle after as well.

    Attributes
    ----------
    load_width : int
        Bits that it draws at once.
    """

    latency = DRAW_LATENCY

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.generator = stochastic_generator(spec.stochastic_bits)
        self.load_width = self.generator.outputs
        super().__init__(
            {
                "slot": In(slot_layout(spec)),
                "update": In(1),
                "word": Out(spec.stochastic_bits),
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
            m.d.sync += self.word.eq(state[: self.generator.outputs])
        with m.If(advances):
            m.d.sync += state.eq(leap(self.generator, state, loads, self.load))
        return m
