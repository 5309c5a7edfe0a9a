"""The perturbation generators: signs now (live), the same signs again while they are correlated (replay), random words.

No sign is ever stored: the replay stream draws them a second time.
"""

from __future__ import annotations

from typing import NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.perturbation import LfsrCode, SequentialCode, Trinomial, WalshCode, stochastic_generator
from python_ref.spec.registers import phase_bits
from rtl_gen.slot import active_lanes, slot_layout

__all__ = ["CountedSigns", "RandomSigns", "StochasticWords", "leap", "sign_layout", "sign_source"]


def sign_layout(spec: DesignSpec) -> data.StructLayout:
    """Signs of the lanes: ``negative`` and ``active``, a bit per lane; an inactive sign is 0."""
    return data.StructLayout({"negative": unsigned(spec.hardware.lanes), "active": unsigned(spec.hardware.lanes)})


def leap(generator: Trinomial, state) -> Cat:
    """The state of a generator one word later, from bits b[t] … b[t + degree − 1]: one gate for each bit drawn."""
    return Cat(state[generator.outputs :], state[: generator.outputs] ^ state[1 : generator.outputs + 1])


class _Tracked(NamedTuple):
    """A quantity of the step under way, and of the one being correlated."""

    live: Signal
    replay: Signal


class _SignPorts(wiring.Component):
    """What every source of signs has.

    Both outputs are registered: signs for a slot are valid one cycle after the slot is at ``live_slot`` or
    ``replay_slot``. In node perturbation they hold for the whole group.

    Members
    -------
    live_slot, replay_slot : In(slot_layout(spec))
        The slot, a cycle before its signs are used.
    live, replay : Out(sign_layout(spec))
        Signs of the step under way, and of the step being correlated.
    advance : In(1)
        A step has ended: its signs are the next to be replayed.
    fresh : In(1)
        With ``advance``: the next step takes a new sign vector (p counts up).
    restart : In(1)
        Back to p = 0 and the seeded states.
    load_en, load_data : In(1), In(32)
        Shift a word into the seeded states, the generators one after the other.
    load_o : Out(32)
        What falls out at the far end, for the next stream in the chain.
    """

    latency = 1

    def __init__(self, spec: DesignSpec):
        self.spec = spec
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
                "load_data": In(32),
                "load_o": Out(32),
            }
        )

    def _draws(self, slot):
        return slot.first if self.spec.node else slot.valid

    @property
    def draw_live(self):
        """Whether the live slot draws signs."""
        return self._draws(self.live_slot) & self.live_slot.perturb

    @property
    def draw_replay(self):
        """Whether the replay slot draws signs."""
        return self._draws(self.replay_slot) & self.replay_slot.correlate

    def track_steps(self, m, p, following, first):
        """Follow p, or a function of it, for the step under way and for the one being correlated, from ``first`` on.

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
        with m.If(self.restart):
            m.d.sync += [p.eq(first), tracked.replay.eq(first), fresh.eq(1)]
        return fresh, tracked

    def chain(self, m, registers):
        """Connect registers of seeded states: the last takes the words that are loaded, and each gives its own to the one before."""
        word = self.load_data
        for register in reversed(registers):
            m.d.comb += [register.load_en.eq(self.load_en), register.load_data.eq(word)]
            word = register.load_o
        m.d.comb += self.load_o.eq(word)


class SeedRegister(wiring.Component):
    """A starting state, loaded 32 bits at a time, the low word first.

    Parameters
    ----------
    width : int
        Of the state.
    init : int
        State after a reset.

    Members
    -------
    load_en, load_data, load_o
        Shift a word in at the top; what falls out at the bottom goes to the register before in the chain.
    state : Out(width)
        The state.
    """

    def __init__(self, width: int, init: int = 0):
        self.width = width
        self.init = init
        super().__init__({"load_en": In(1), "load_data": In(32), "load_o": Out(32), "state": Out(width)})

    @classmethod
    def of(cls, generator: Trinomial, seed: int) -> SeedRegister:
        """Of a generator; after a reset its state is the seed's."""
        return cls(generator.degree, generator.seed_state(seed))

    def elaborate(self, platform):
        m = Module()
        # A single word is the first of its chain, where nothing passes on.
        stored = Signal(self.width if self.width <= 32 else 32 * -(-self.width // 32), init=self.init)
        with m.If(self.load_en):
            m.d.sync += stored.eq(Cat(stored[32:], self.load_data))
        m.d.comb += [self.load_o.eq(stored[:32]), self.state.eq(stored)]
        return m


class RandomSigns(_SignPorts):
    """Signs from leap-forward LFSRs, inverted in odd sign vectors.

    With τ_p = 1 a live and a replay state suffice: the replay state is always one step behind. Longer τ_p take a
    third, which holds where the present sign vector starts.
    """

    def elaborate(self, platform):
        m = Module()
        m.submodules.phase = phase = SeedRegister(phase_bits(self.spec))
        fresh, odd = self.track_steps(m, Signal(name="odd"), lambda odd: ~odd, phase.state)
        chain = []
        for number, generator in enumerate(self.spec.perturbation.code.generators(self.spec.hardware.lanes)):
            m.submodules[f"seed{number}"] = seed = SeedRegister.of(generator, self.spec.perturbation.seed)
            chain.append(seed)
            live, replay = self._states(m, generator, seed.state, fresh, str(number))
            lanes = slice(126 * number, 126 * number + generator.outputs)
            for bits, parity, draw, signs in (
                (live, odd.live, self.draw_live, self.live),
                (replay, odd.replay, self.draw_replay, self.replay),
            ):
                with m.If(draw):
                    m.d.sync += signs.negative[lanes].eq(bits[: generator.outputs] ^ parity.replicate(generator.outputs))
        m.d.comb += [self.live.active.eq(-1), self.replay.active.eq(-1)]
        self.chain(m, [phase, *chain])
        return m

    def _states(self, m, generator, first, fresh, name):
        """The live and replay states of a generator, as they are for the present slots."""
        live, replay = (Signal(generator.degree, name=f"{which}{name}") for which in ("live", "replay"))
        live_now, replay_now = Signal.like(live), Signal.like(replay)
        m.d.comb += [live_now.eq(live), replay_now.eq(replay)]
        begin = self.live_slot.begin & self.live_slot.perturb
        if self.spec.holds_signs:
            held = Signal(generator.degree, name=f"held{name}")
            with m.If(begin & (~fresh | self.live_slot.second & self.spec.two_sided)):
                m.d.comb += live_now.eq(held)
            with m.Elif(begin):
                m.d.sync += held.eq(live)
            with m.If(self.replay_slot.begin & self.replay_slot.correlate):
                m.d.comb += replay_now.eq(held)
        elif self.spec.two_sided:
            with m.If(begin & self.live_slot.second):
                m.d.comb += live_now.eq(replay)
        with m.If(self.draw_live):
            m.d.sync += live.eq(leap(generator, live_now))
        with m.If(self.draw_replay):
            m.d.sync += replay.eq(leap(generator, replay_now))
        with m.If(self.restart):
            m.d.sync += [live.eq(first), replay.eq(first)]
        return live_now, replay_now


class CountedSigns(_SignPorts):
    """Signs that are a function of a quantity's index in hardware order and of p: Walsh and sequential codes."""

    def elaborate(self, platform):
        m = Module()
        quantities = self.spec.quantities
        walsh = isinstance(self.spec.perturbation.code, WalshCode)
        m.submodules.first_phase = first = SeedRegister(phase_bits(self.spec))
        self.chain(m, [first])

        def following(p):
            return p + 1 if walsh else Mux(p == quantities - 1, 0, p + 1)

        _, phases = self.track_steps(m, Signal(phase_bits(self.spec), name="phase"), following, first.state)
        for which, slot, draw, p, signs in (
            ("live", self.live_slot, self.draw_live, phases.live, self.live),
            ("replay", self.replay_slot, self.draw_replay, phases.replay, self.replay),
        ):
            index = Signal(range(quantities + self.spec.hardware.lanes + 1), name=f"{which}_index")
            now = Signal.like(index, name=f"{which}_now")
            m.d.comb += now.eq(Mux(slot.begin, 0, index))
            with m.If(draw):
                m.d.sync += index.eq(now + Mux(slot.real, active_lanes(self.spec, slot), 0))
                for lane in range(self.spec.hardware.lanes):
                    if walsh:
                        m.d.sync += signs.negative[lane].eq(((now + lane + 1) & p).xor())
                    else:
                        m.d.sync += signs.active[lane].eq(now + lane == p)
        if walsh:
            m.d.comb += [self.live.active.eq(-1), self.replay.active.eq(-1)]
        return m


_SOURCES = {LfsrCode: RandomSigns, WalshCode: CountedSigns, SequentialCode: CountedSigns}


def sign_source(spec: DesignSpec) -> _SignPorts:
    """The source of signs of a design's code."""
    return _SOURCES[type(spec.perturbation.code)](spec)


class StochasticWords(wiring.Component):
    """The random words of stochastic rounding; a word per slot of an updating pass, padding included.

    Members
    -------
    slot : In(slot_layout(spec))
        The slot, a cycle before its word is used.
    update : In(1)
        An update is due in the correlating pass.
    word : Out(spec.stochastic_bits)
        The word.
    restart, load_en, load_data, load_o
        As for the signs.
    """

    latency = 1

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.generator = stochastic_generator(spec.stochastic_bits)
        super().__init__(
            {
                "slot": In(slot_layout(spec)),
                "update": In(1),
                "word": Out(spec.stochastic_bits),
                "restart": In(1),
                "load_en": In(1),
                "load_data": In(32),
                "load_o": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.seed = seed = SeedRegister.of(self.generator, self.spec.perturbation.seed)
        m.d.comb += [seed.load_en.eq(self.load_en), seed.load_data.eq(self.load_data), self.load_o.eq(seed.load_o)]
        state = Signal(self.generator.degree)
        with m.If(self.slot.valid & self.slot.correlate & self.update):
            m.d.sync += self.word.eq(state[: self.generator.outputs])
            m.d.sync += state.eq(leap(self.generator, state))
        with m.If(self.restart):
            m.d.sync += state.eq(seed.state)
        return m
