"""Signs and rounding noise: the generators that leap equal a register that shifts by one bit, and the counted codes their definition."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import partial
from typing import Any

from amaranth.hdl import Array, Assume, Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import In

from python_ref.spec.design import Cast
from python_ref.spec.formats import LearnerFormats
from python_ref.spec.hardware import Hardware
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.perturbation import Code, Kind, Perturbation, SequentialCode, Trinomial, WalshCode, WalshGrayCode
from python_ref.spec.schedule import Schedule
from rtl_gen import perturbation
from rtl_gen.learner import streams
from rtl_gen.slot import slot_layout
from tests.formal.harness import Bench, EveryInput, Induction, Opened, Property, always, control, opened
from tests.support.faults import DESIGNS

__all__ = ["PROPERTIES"]


def serial_bits(m: Module, state: Any, count: int) -> list[Any]:
    """The first bits b[t] of a register of x^degree + x + 1 that is shifted by one bit in each step: those of its ``state``, the lowest
    first, and those that enter it, b[t + degree] = b[t] ⊕ b[t + 1]."""
    bits: list[Any] = list(state)
    for place in range(count - len(bits)):
        entering = Signal(name=f"{state.name}_{place + len(state)}")
        m.d.comb += entering.eq(bits[place] ^ bits[place + 1])
        bits.append(entering)
    return bits


def filled(state: Any, bits: Any) -> Any:
    """The register after ``bits`` have entered one by one, in the place of those that it would compute."""
    return Cat(*deque([*state, *bits], maxlen=len(state)))


class Leaps(Bench):
    """Every leap of the functions, from every state, as the shifts by one bit that it stands for."""

    def __init__(self, degree: int):
        self.degree = degree
        super().__init__({"before": In(degree), "pushed": In(degree)})

    def state(self, m: Module) -> None:
        before, degree, most = self.before, self.degree, 2 * self.degree + 7
        bits = serial_bits(m, before, most + degree)
        for count in range(1 if degree == 63 else 63, degree):  # as many bits as for_outputs gives a generator of this degree
            generator = Trinomial.for_outputs(count, "any")
            assert generator.degree == degree
            always(m, perturbation.leap(generator, before) == Cat(*bits[count : count + degree]))
        for count in (1, 2, 9, degree // 2, degree - 1):
            generator = Trinomial(degree, count, "any")
            always(m, perturbation.leap(generator, before, 1, self.pushed) == filled(before, self.pushed[:count]))
        for count in (1, 2, 3, 5, 24, degree + 1, most):
            always(m, perturbation.leap_by(before, count) == Cat(*bits[count : count + degree]))
            always(m, perturbation.drawn_bits(before, count) == Cat(*bits[:count]))
        m.d.comb += self.reached.eq(perturbation.leap(Trinomial(degree, degree - 1, "any"), before) != before)


class LiveSigns(Bench):
    """Signs of the current step: in each slot that draws, each lane has the next bit of the register, inverted in odd vectors."""

    def __init__(self, spec: LearningSpec):
        self.spec = spec
        self.source = perturbation.RandomSigns(spec)
        super().__init__(
            {"slot": In(slot_layout(spec)), "load": In(self.source.load_width)} | {name: In(1) for name in ("load_en", "advance", "fresh")}
        )

    def state(self, m: Module) -> None:
        source, slot = self.source, self.slot
        inner = opened(source)
        m.submodules.source = inner.module
        m.d.comb += [getattr(source, name).eq(getattr(self, name)) for name in ("load_en", "load", "advance", "fresh")]
        m.d.comb += source.live_slot.eq(slot)
        # The load is stable in the cycle after its strobe, as the loader keeps it.
        loads, load_before = Signal(), Signal.like(self.load)
        draws, odd, was_drawn = Signal(), Signal(), Signal()
        m.d.sync += [loads.eq(self.load_en), load_before.eq(self.load)]
        m.d.comb += Assume(~loads | (self.load == load_before))
        first_for_both = slot.both & (slot.layer == 0) if self.spec.one_visit else 0
        m.d.sync += [draws.eq(slot.valid & (slot.perturb | first_for_both)), was_drawn.eq(draws), odd.eq(odd ^ (self.advance & self.fresh))]
        with m.If(self.load_en):
            m.d.sync += odd.eq(self.load[0])
        always(m, odd == inner.signal("odd"))
        place, lane = 1, 0
        for number, generator in enumerate(source.generators):
            state, count = inner.signal(f"live{number}"), generator.outputs
            serial, expected = Signal.like(state, name=f"serial{number}", reset_less=True), Signal(count, name=f"expected{number}")
            bits = serial_bits(m, serial, count + len(serial))
            with m.If(loads):
                m.d.sync += serial.eq(filled(serial, self.load[place : place + count]))
            with m.Elif(draws):
                m.d.sync += serial.eq(Cat(*bits[count:]))
            with m.If(draws):
                m.d.sync += expected.eq(Cat(*bits[:count]) ^ odd.replicate(count))
            always(m, state == serial, ~was_drawn | (source.live.negative[lane : lane + count] == expected))
            place, lane = place + count, lane + count
        assert lane == self.spec.hardware.lanes
        always(m, source.live.active.all())
        self.reach(m, was_drawn & source.live.negative.any() & ~source.live.negative.all())


class Noise(Bench):
    """Rounding noise: each slot that draws has the next bits of the register; a learner's lanes have a word each, the last slot fewer."""

    def __init__(self, spec: LearningSpec):
        self.spec = spec
        lanes = spec.hardware.lanes if isinstance(spec, LearnerSpec) else 1
        self.words = lanes
        self.noise = streams.noise_of(spec) if isinstance(spec, LearnerSpec) else perturbation.RoundingNoise(spec)
        super().__init__({"slot": In(slot_layout(spec)), "update": In(1), "load_en": In(1), "load": In(self.noise.load_width)})

    def state(self, m: Module) -> None:
        noise, slot, bits = self.noise, self.slot, self.spec.stochastic_bits
        inner = opened(noise)
        m.submodules.noise = inner.module
        m.d.comb += [getattr(noise, name).eq(getattr(self, name)) for name in ("slot", "update", "load_en", "load")]
        loads, load_before, draws, last, was_drawn = Signal(), Signal.like(self.load), Signal(), Signal(), Signal()
        m.d.sync += [loads.eq(self.load_en), load_before.eq(self.load), was_drawn.eq(draws), last.eq(slot.last)]
        m.d.comb += Assume(~loads | (self.load == load_before))
        m.d.sync += draws.eq(slot.valid & slot.correlate & self.update)
        state = inner.names["state"]
        serial, expected = Signal.like(state, name="serial", reset_less=True), Signal(self.words * bits)
        few = self.spec.layout.last_lanes if isinstance(self.spec, LearnerSpec) and self.words > 1 else 1
        drawn, kept = serial_bits(m, serial, self.words * bits + len(serial)), len(serial)
        with m.If(loads):
            m.d.sync += serial.eq(filled(serial, self.load))
        with m.Elif(draws):
            m.d.sync += serial.eq(Mux(last, Cat(*drawn[few * bits : few * bits + kept]), Cat(*drawn[self.words * bits :])))
        with m.If(draws):
            m.d.sync += expected.eq(Cat(*drawn[: self.words * bits]))
        always(m, state == serial, ~was_drawn | (noise.o == expected))
        self.reach(m, was_drawn & noise.o.any() & ~noise.o.all())


def hadamard(bits: int) -> list[int]:
    """Sylvester's matrix of 2^bits rows, a 1 where an entry is −1, by H(2n) = [[H, H], [H, −H]]."""
    rows, size = [0], 1
    for _ in range(bits):
        rows = [row | row << size for row in rows] + [row | (row ^ (1 << size) - 1) << size for row in rows]
        size *= 2
    return rows


class CountedLive(Bench):
    """Signs that are counted: the lanes of a slot are the quantities that follow those of the slots before, and their signs are
    those of the definition: rows of Sylvester's matrix, in their order or that of a reflected binary code, or one that moves."""

    def __init__(self, spec: LearningSpec):
        self.spec = spec
        self.source = perturbation.sign_source(spec)
        super().__init__(
            {"slot": In(slot_layout(spec)), "load": In(self.source.load_width)} | {name: In(1) for name in ("load_en", "advance", "fresh")}
        )

    def state(self, m: Module) -> None:
        spec, source, slot = self.spec, self.source, self.slot
        inner = opened(source)
        m.submodules.source = inner.module
        m.d.comb += [getattr(source, name).eq(getattr(self, name)) for name in ("load_en", "load", "advance", "fresh")]
        m.d.comb += source.live_slot.eq(slot)
        period, lanes = spec.code.period(spec.quantities), spec.hardware.lanes
        # p itself, beyond its period, and the same as a token that goes round.
        p, token = Signal(len(source.load) + 3), Signal(period, init=1)
        index, now, after = (Signal(range(spec.quantities + 2 * lanes + 1), name=name) for name in ("place", "here", "after"))
        drawn, was_drawn, before, registered = Signal(), Signal(), Signal.like(index), Signal(slot_layout(spec))
        with m.If(self.advance & self.fresh):
            m.d.sync += [p.eq(p + 1), token.eq(token.rotate_left(1))]
        with m.If(self.load_en):
            m.d.sync += [p.eq(self.load), token.eq(Const(1, period) << self.load[: (period - 1).bit_length()])]
        m.d.comb += Assume(self.load < period)
        first_for_both = slot.both & (slot.layer == 0) if spec.one_visit else 0
        m.d.sync += [registered.eq(slot), drawn.eq(slot.valid & (slot.perturb | first_for_both)), was_drawn.eq(drawn)]
        last_lanes = Array(placed.last_lanes for placed in spec.layout.layers)[registered.layer]
        m.d.comb += [
            now.eq(Mux(registered.begin, 0, index)),
            after.eq(now + Mux(registered.real, Mux(registered.tail, last_lanes, lanes), 0)),
            Assume(~drawn | (after <= spec.quantities)),
            Assume(registered.layer < len(spec.layout.layers)),
        ]
        wave = self._phase(m, p, token, inner, period)
        held = Signal.like(token)
        with m.If(drawn):
            m.d.sync += [index.eq(after), before.eq(now), held.eq(wave)]
        always(m, inner.signal("live_index") == index)
        filled_lanes = Signal.like(after)
        m.d.sync += filled_lanes.eq(after - now)
        for lane in range(lanes):
            negative, active = self._sign(before + lane, held)
            here = was_drawn & (lane < filled_lanes)
            always(m, ~here | ((source.live.negative[lane] == negative) & (source.live.active[lane] == active)))
        shown = Cat(was_drawn & (lane < filled_lanes) & (source.live.negative[lane] | ~source.live.active[lane]) for lane in range(lanes))
        self.reach(m, shown.any() & (index == spec.quantities))

    def _phase(self, m: Module, p: Signal, token: Signal, inner: Opened, period: int) -> Any:
        """Assert that the phase is p modulo the period; the token of the vector whose signs are drawn."""
        phase = inner.signal("phase")
        always(m, token == (Const(1, period) << phase)[:period], phase < period)
        if period & (period - 1) == 0:
            always(m, phase == p[: len(phase)] if period > 1 else phase == 0)
        return token

    def _sign(self, index: Any, token: Any) -> tuple[Any, Any]:
        """Whether a quantity is negative and whether it is not 0 in the vector of a token."""
        size = len(token)
        if self.spec.code.name == "sequential":
            return 0, token.bit_select(index, 1)
        rows = hadamard((size - 1).bit_length())
        order = range(size) if self.spec.code.name == "walsh" else reflected((size - 1).bit_length())
        placed = [sum((row >> column & 1) << place for place, column in enumerate(order)) for row in rows]
        return (Array(Const(row, size) for row in placed)[(index + 1)[: (size - 1).bit_length()]] & token).any(), 1


def reflected(bits: int) -> list[int]:
    """The reflected binary code of so many bits: that of one bit fewer, and again backwards with the next bit set."""
    codes = [0]
    for bit in range(bits):
        codes += [code | 1 << bit for code in reversed(codes)]
    return codes


def weights(sizes: tuple[int, ...], lanes: int, code: Code | None = None) -> LearningSpec:
    """A design of weight perturbation whose sign vectors last one step."""
    base = DESIGNS["weight"]
    perturbed = base.perturbation if code is None else replace(base.perturbation, code=code)
    network = replace(base.network, sizes=sizes)
    return replace(base, network=network, perturbation=perturbed, hardware=replace(base.hardware, lanes=lanes))


ROUNDED = LearnerSpec(
    "rounded",
    5,
    Perturbation(Kind.WEIGHT, amplitude_log2=-3),
    Schedule(((0, -1),)),
    formats=LearnerFormats(
        Fixed(True, 2, 6),
        Fixed(True, 3, 8),
        Fixed(True, 2, 12),
        Fixed(True, 2, 12),
        weight_cast=Cast(Rounding.STOCHASTIC, Overflow.SATURATE),
    ),
    hardware=Hardware(3),
)
"""A learner whose last slot has fewer quantities than lanes, each with a random word."""

_STATES, _COUNTED, _SOURCE = "perturbation:RandomSigns._states", "perturbation:CountedSigns.elaborate", "perturbation:RandomSigns.elaborate"
_TRINOMIAL = control("another trinomial", "perturbation:leap", "state[1 : generator.outputs + 1]", "state[2 : generator.outputs + 2]", 24)
_FOLLOWING = control(
    "a leap of one bit too many",
    "perturbation:RandomSigns.following_state",
    "leap(generator, state, loads, pushed)",
    "leap(generator, leap_by(state, 1), loads, pushed)",
    24,
)
_LIVE = (
    _TRINOMIAL,
    _FOLLOWING,
    control("odd vectors are not inverted", _SOURCE, "taken ^ parity.replicate(len(taken))", "taken", 24),
    control("signs are drawn in slots that draw none", _STATES, "each.advances", "each.advances | each.slot.first", 24),
)
_INDEX = control(
    "padding counts as quantities", _COUNTED, "Mux(slot.real, active_lanes(self.spec, slot), 0)", "active_lanes(self.spec, slot)", 12
)
_TAIL = control("a last group with all lanes", _COUNTED, "active_lanes(self.spec, slot)", "self.spec.hardware.lanes", 12)
_WALSH = control("rows from 0", "perturbation:WalshSigns.sign", "index + 1", "index", 12)

PROPERTIES = (
    *(
        Property(
            f"leaps of x^{degree} + x + 1",
            "perturbation.leap, leap_by, drawn_bits",
            partial(Leaps, degree),
            EveryInput(),
            1,
            (
                _TRINOMIAL,
                control(
                    "bits of the wrong place",
                    "perturbation:_bits_from",
                    "bits[place] ^ bits[place + 1]",
                    "bits[place] ^ bits[place + 2]",
                    1,
                ),
                control("a bit too few", "perturbation:leap_by", "count + len(state))[count:]", "count + len(state) - 1)[count - 1:]", 1),
            ),
        )
        for degree in (63, 127)
    ),
    Property("signs, 4 lanes", "perturbation.RandomSigns", partial(LiveSigns, DESIGNS["weight"]), Induction(3), 24, _LIVE),
    Property("signs, 130 lanes", "perturbation.RandomSigns", partial(LiveSigns, weights((2, 140), 130)), Induction(3), 24, _LIVE),
    Property(
        "noise of rounding",
        "perturbation.RoundingNoise",
        partial(Noise, DESIGNS["random_rounding"]),
        Induction(3),
        24,
        (_TRINOMIAL, control("drawn without an update", "perturbation:RoundingNoise.elaborate", " & self.update", "", 24)),
    ),
    Property(
        "noise of three lanes",
        "learner.streams.ManyNoise",
        partial(Noise, ROUNDED),
        Induction(3),
        24,
        (
            control("the last slot draws for all lanes", "learner.streams:ManyNoise.following_state", "few != lanes", "few < 0", 24),
            control("drawn without an update", "perturbation:RoundingNoise.elaborate", " & self.update", "", 24),
        ),
    ),
    *(
        Property(
            f"signs of {code.name}", f"perturbation.{block}", partial(CountedLive, weights((2, 3, 2), 2, code)), Induction(3), reach, faults
        )
        for code, block, reach, faults in (
            (WalshCode(), "WalshSigns", 14, (_INDEX, _TAIL, _WALSH)),
            (
                WalshGrayCode(),
                "WalshGraySigns",
                14,
                (_WALSH, control("no Gray code", "perturbation:WalshGraySigns.sign", "phase ^ phase[1:]", "phase", 12)),
            ),
            (
                SequentialCode(),
                "SequentialSigns",
                20,
                (
                    _TAIL,
                    control("a period of one more", "perturbation:CountedSigns.following", "period - 1", "period", 8),
                ),
            ),
        )
    ),
)
