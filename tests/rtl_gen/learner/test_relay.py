"""The registers of a learner's outside: a host that reads words and writes costs trains as the model does, at any pace."""

from __future__ import annotations

import random
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from python_ref.fixed import learner as model
from python_ref.spec.number import Fixed
from python_ref.spec.registers import Command, Status, register_map
from python_ref.spec.relay import ERRORS_BIT, FIRST_SAMPLE_BIT, RELAY_ADDRESSES, packed_words, relay_map, unpacked
from rtl_gen.learner.relay import RelayedLearner
from sim import host
from sim.program import Op, ProgramLink
from tests.support import marks
from tests.support.faults import Fault, planted
from tests.support.learner_designs import random_chip, random_learner, random_node_learner, random_quantities

STEPS = 5


class Host:
    """A host beside a relayed learner in Amaranth's simulator."""

    def __init__(self, ctx: Any, core: RelayedLearner, rng: random.Random) -> None:
        self.ctx, self.core, self.rng = ctx, core, rng
        self.at = {name: register.address for name, register in (register_map(core.spec) | relay_map(core.spec)).items()}

    async def write(self, address: int, data: int) -> None:
        ctx, request = self.ctx, self.core.request
        await ctx.tick().repeat(self.rng.randrange(1, 9))
        ctx.set(request.payload, {"write": 1, "address": address, "data": data & 0xFFFFFFFF})
        await self._transfer()

    async def read(self, address: int) -> int:
        ctx, response = self.ctx, self.core.response
        ctx.set(self.core.request.payload, {"write": 0, "address": address, "data": 0})
        await self._transfer()
        await ctx.tick().repeat(self.rng.randrange(1, 5))
        ctx.set(response.ready, 1)
        for _ in range(5_000):
            if ctx.get(response.valid):
                break
            await ctx.tick()
        else:
            raise AssertionError("a read is not answered")
        value = ctx.get(response.payload)
        await ctx.tick()
        ctx.set(response.ready, 0)
        return value

    async def _transfer(self) -> None:
        ctx, request = self.ctx, self.core.request
        ctx.set(request.valid, 1)
        for _ in range(5_000):
            if ctx.get(request.ready):
                break
            await ctx.tick()
        else:
            raise AssertionError("a request is not taken")
        await ctx.tick()
        ctx.set(request.valid, 0)

    async def play(self, procedure: Any) -> None:
        """Carry out a procedure that only writes."""
        link = ProgramLink()
        procedure(link)
        for kind, address, data in link.program().ops.tolist():
            assert kind == Op.WRITE
            await self.write(address, data)

    async def words(self, *, again: bool = False) -> np.ndarray:
        """The words of the last pass; ``again`` goes back to row 0, where a read of ``outside`` begins."""
        if again:
            await self.write(self.at["row"], 0)
        rows = -(-self.core.spec.quantities // packed_words(self.core.spec))
        return unpacked(self.core.spec, np.array([await self.read(self.at["words"]) for _ in range(rows)]))


def run(core: RelayedLearner, scenario: Any, seed: int) -> None:
    async def bench(ctx: Any) -> None:
        await scenario(Host(ctx, core, random.Random(seed)))

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("seed", "width", "drawn"),
    [
        (1, 8, random_learner),
        pytest.param(2, 10, random_learner, marks=marks.SLOW),
        (3, 13, random_learner),
        pytest.param(4, 17, random_learner, marks=marks.SLOW),
        (5, 13, random_node_learner),
        pytest.param(6, 9, random_node_learner, marks=marks.SLOW),
    ],
)
def test_a_host_is_the_outside(seed: int, width: int, drawn: Any) -> None:
    host_is_the_outside(seed, width, drawn)


def host_is_the_outside(seed: int, width: int, drawn: Any) -> None:
    """With four words in a row, three, two and one; with node currents it reads their errors as well."""
    rng = random.Random(seed)
    spec = drawn(rng, most=7)
    formats = replace(spec.formats, weight=Fixed(True, 2, width - 2))
    spec = replace(spec, external=rng.randint(5, 9), formats=formats, outside=replace(spec.outside, timeout_cycles=10_000, samples=3))
    assert packed_words(spec) == 32 // width
    chip, start = random_chip(rng, spec), np.array(random_quantities(rng, spec))
    other, asked = deepcopy(chip), list[tuple[list[int], int, list[int]]]()
    expected, applied = list[list[int]](), list[list[int]]()

    async def scenario(host_: Host) -> None:
        at, state, sample = host_.at, model.initial_learner(spec, start), 0

        class Logged:
            def __call__(self, words: np.ndarray, sample: int, count: int) -> list[int]:
                asked.append((words.tolist(), sample, other(words, sample, count)))
                return asked[-1][2]

            def apply(self, errors: np.ndarray) -> None:
                other.apply(errors)
                expected.append(errors.tolist())

        async def note_errors(flags: int) -> None:
            if flags >> ERRORS_BIT & 1:
                await host_.write(at["row"], 0)
                found = [await host_.read(at["errors"]) for _ in range(spec.quantities)]
                applied.append([error - (error >> 31 << 32) for error in found])

        logged = Logged()
        await host_.play(lambda link: host.prepare(spec, link, start))
        for first, count in host.runs(spec, 0, STEPS):
            for _ in range(count):
                state, _ = model.step(spec, state, logged)
            await host_.play(lambda link, first=first: host.set_rate(spec, link, first))
            await host_.write(at["count"], count)
            await host_.write(at["command"], Command.TRAIN)
            while (flags := await host_.read(at["outside"])) & 1:
                assert flags & 2, "a cost is awaited only in a run"
                words, sample, costs = asked.pop(0)
                assert flags >> FIRST_SAMPLE_BIT == sample
                assert (await host_.words()).tolist() == words
                await note_errors(flags)
                assert await host_.read(at["status"]) == Status.BUSY, "the registers of the core are within reach"
                assert (await host_.words(again=True)).tolist() == words, "reading words does not change them"
                for cost in costs:
                    await host_.write(at["cost_word"], cost)
            assert flags >> FIRST_SAMPLE_BIT == sample and not flags & 2
            assert (await host_.words()).tolist() == state.parameters.tolist(), "the last pass has the parameters"
            await note_errors(flags)
            assert applied == [errors for errors in expected if any(errors)]
        assert not asked
        await host_.write(at["cost_word"], 1)  # it is dropped, since no cost is awaited
        assert await host_.read(at["steps"]) == STEPS
        assert bool(applied) == spec.sends_errors

    run(RelayedLearner(spec), scenario, seed)


_RELAY = "learner.relay:OutsideRegisters"
FAULTS = (
    Fault("reading goes on where it ended", f"{_RELAY}.elaborate", "Cat(flags, shown)), row.eq(0)]", "Cat(flags, shown))]", "words"),
    Fault("a row is read again and again", f"{_RELAY}.elaborate", "row.eq(row + 1)]", "row.eq(row)]", "words"),
    Fault("a cost before it is awaited", f"{_RELAY}.elaborate", "self.cost.valid.eq(self.measure_ready)", "self.cost.valid.eq(0)", "words"),
    Fault("an answer before the pass", f"{_RELAY}.elaborate", "self.measure_ready | idle", "1", "words"),
    Fault("the index of the sample before", f"{_RELAY}.elaborate", "with m.If(self.sample.valid):", "with m.If(0):", "words"),
    Fault("words without their place", f"{_RELAY}._words", "word_select(place, width)", "word_select(0, width)", "words"),
    Fault("errors are never told of", f"{_RELAY}._errors", "| word.error.any()", "", "errors"),
    Fault("errors of an earlier pass are told of", f"{_RELAY}._errors", "wrote & (word.index != 0)", "wrote", "errors"),
    Fault("words in the place of errors", f"{_RELAY}._errors", "Mux(of_errors, read.data, words.data)", "words.data", "errors"),
    Fault("errors without their place", f"{_RELAY}._errors", "write.addr.eq(word.index)", "write.addr.eq(0)", "errors"),
)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_of_the_registers_is_seen(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(fault, monkeypatch.setattr)
    with pytest.raises(AssertionError):
        host_is_the_outside(*((3, 13, random_learner) if fault.design == "words" else (5, 13, random_node_learner)))


def test_the_addresses_are_its_own() -> None:
    """The relay takes requests by the high bits of their address."""
    spec = random_learner(random.Random(1))
    own, core = relay_map(spec), register_map(spec)
    assert len(RELAY_ADDRESSES) == 16 and RELAY_ADDRESSES.start % 16 == 0
    assert {register.address for register in own.values()} <= set(RELAY_ADDRESSES)
    assert not {word for each in core.values() for word in range(each.address, each.address + each.words)} & set(RELAY_ADDRESSES)
