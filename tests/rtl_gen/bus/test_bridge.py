"""The bridge: every address and every rule of access, on a core that notes its requests, and the interrupt."""

import random

import pytest
from amaranth.sim import Simulator

from python_ref.spec.bus import FIRST, Interrupt, SampleSource, window_map
from python_ref.spec.registers import Command
from rtl_gen.bus.bridge import STARVATION_CYCLES, Bridge
from tests.support.faults import DESIGNS, Fault, planted
from tests.support.marks import slow_unless

SPEC = DESIGNS["node"]


class Bench:
    """A bridge between a bus and a core, which answers a read with its address and notes its writes."""

    def __init__(self, samples):
        self.bridge = Bridge(SPEC, samples)
        self.samples, self.map = samples, window_map(SPEC, samples)
        self.at = {name: 4 * register.address for name, register in self.map.items()}
        self.written, self.words = [], []

    def run(self, procedure):
        bridge = self.bridge

        async def core(ctx):
            while True:
                while not ctx.get(bridge.request.valid):
                    await ctx.tick()
                request = ctx.get(bridge.request.payload)
                await ctx.tick().repeat(3)
                assert ctx.get(bridge.request.payload) == request
                ctx.set(bridge.request.ready, 1)
                await ctx.tick()
                ctx.set(bridge.request.ready, 0)
                if request.write:
                    self.written.append((4 * request.address, request.data))
                    continue
                ctx.set(bridge.response.payload, 4 * request.address + 1)
                ctx.set(bridge.response.valid, 1)
                while not ctx.get(bridge.response.ready):
                    await ctx.tick()
                await ctx.tick()
                ctx.set(bridge.response.valid, 0)

        async def watch(ctx):
            async for _, _, valid, payload in ctx.tick().sample(bridge.word.valid, bridge.word.payload):
                if valid:
                    self.words.append(payload.word)

        simulator = Simulator(bridge)
        simulator.add_clock(1e-6)
        simulator.add_testbench(procedure)
        simulator.add_testbench(core, background=True)
        if self.samples is SampleSource.BUS:
            simulator.add_process(watch)
        simulator.run()

    async def access(self, ctx, write, address, data=0, strobes=15):
        """Whether the access was accepted, and the word that it returns."""
        bridge = self.bridge
        ctx.set(bridge.access.payload, {"write": write, "address": address, "strobes": strobes, "data": data})
        ctx.set(bridge.access.valid, 1)
        await ctx.tick().until(bridge.access.ready)
        ctx.set(bridge.access.valid, 0)
        ctx.set(bridge.answer.ready, 1)
        (answer,) = await ctx.tick().sample(bridge.answer.payload).until(bridge.answer.valid)
        ctx.set(bridge.answer.ready, 0)
        return not answer.error, answer.data

    def accepted(self, write, address, data, strobes, *, busy, room):
        """Whether an access must be accepted, by the words of docs/design/buses.md."""
        if address % 4 or (write and strobes != 15):
            return False
        name = next((each.name for each in self.map.values() if each.address <= address // 4 < each.address + each.words), None)
        if name is None or ("w" if write else "r") not in self.map[name].access:
            return False
        if name == "command" and (data not in list(Command) or (busy and data != Command.STOP)):
            return False
        if busy and write and name != "command" and address < 4 * FIRST:
            return False
        if busy and not write and name == "data":
            return False
        return not (name == "sample" and not room)


def sweep(samples, *, addresses):
    """Access all these addresses in both directions, and compare with the rules; the cases that break them."""
    bench, rng, wrong = Bench(samples), random.Random(3), []

    async def procedure(ctx):
        for address in addresses:
            for write in (0, 1):
                strobes, busy, room = rng.choice((15, 15, 15, 7, 1, 0)), rng.random() < 0.3, rng.random() < 0.7
                data = rng.choice([*Command, 0, 7, 8, 1 << 31, 0x12345678])
                ctx.set(bench.bridge.busy, busy)
                if samples is SampleSource.BUS:
                    ctx.set(bench.bridge.room, room)
                before = len(bench.written) + len(bench.words)
                accepted, word = await bench.access(ctx, write, address, data, strobes)
                in_core = address < 4 * FIRST
                reaches = accepted and write and (in_core or address == bench.at.get("sample"))
                right = accepted == bench.accepted(write, address, data, strobes, busy=busy, room=room)
                right &= len(bench.written) + len(bench.words) == before + reaches
                right &= not (reaches and in_core) or bench.written[-1] == (address, data)
                right &= bool(write) or not in_core or word == (address + 1 if accepted else 0)
                if not right:
                    wrong.append((write, hex(address), data, strobes, busy, room))

    bench.run(procedure)
    return wrong


def registers_and_neighbours(samples):
    """All registers, reserved words between and after them, and often those with rules of their own."""
    rng, found = random.Random(1), window_map(SPEC, samples)
    often = [4 * found[name].address for name in ("command", "data", "sample") if name in found]
    near = [4 * word + rng.choice((0, 0, 0, 1, 2, 3)) for word in (*range(0x68), *range(0xF8, 0x120)) for _ in range(2)]
    return near + 40 * often


@pytest.mark.parametrize("samples", SampleSource)
def test_every_register_is_accessed_as_the_map_says(samples):
    assert not sweep(samples, addresses=registers_and_neighbours(samples))


@pytest.mark.slow
@pytest.mark.parametrize("samples", SampleSource)
def test_every_address_of_the_window(samples):
    assert not sweep(samples, addresses=range(0x1000))


def interrupts():
    """An event in each cycle around that in which its bit is cleared stays, unless it came before that cycle."""
    found = []
    for delay in range(8):
        bench = Bench(SampleSource.AXI4_STREAM)

        async def procedure(ctx, bench=bench, delay=delay):
            bridge = bench.bridge
            await bench.access(ctx, 1, bench.at["interrupt_enable"], Interrupt.FRAME_ERROR)
            ctx.set(bridge.access.payload, {"write": 1, "address": bench.at["interrupt_status"], "strobes": 15, "data": 7})
            ctx.set(bridge.answer.ready, 1)
            for cycle in range(12):
                ctx.set(bridge.access.valid, cycle == 0)
                ctx.set(bridge.dropped, cycle == delay)
                await ctx.tick()
            ctx.set(bridge.answer.ready, 0)
            irq = ctx.get(bridge.irq)
            accepted, status = await bench.access(ctx, 0, bench.at["interrupt_status"])
            assert accepted and status == (Interrupt.FRAME_ERROR if irq else 0)
            assert await bench.access(ctx, 0, bench.at["frames_dropped"]) == (True, 1)
            found.append(irq)

        bench.run(procedure)
    return found


def test_an_event_in_the_cycle_of_its_clearing_is_not_lost():
    found = interrupts()
    # The access is executed in cycle 2: what came before is cleared, and nothing that comes then or later.
    assert found == [0, 0, 1, 1, 1, 1, 1, 1]


def test_the_core_counts_as_starved_after_some_cycles_and_once():
    bench = Bench(SampleSource.BUS)

    async def procedure(ctx):
        bridge, status = bench.bridge, bench.at["interrupt_status"]

        async def waits(cycles, *, starved=1, empty=1):
            await bench.access(ctx, 1, status, 7)
            ctx.set(bridge.starved, starved)
            ctx.set(bridge.empty, empty)
            await ctx.tick().repeat(cycles)
            ctx.set(bridge.starved, 0)
            await ctx.tick()
            return (await bench.access(ctx, 0, status))[1]

        assert await waits(STARVATION_CYCLES - 1) == 0
        assert await waits(STARVATION_CYCLES) == Interrupt.STARVED
        assert await waits(50, empty=0) == 0
        assert await waits(50, starved=0) == 0
        ctx.set(bridge.starved, 1)
        ctx.set(bridge.empty, 1)
        await ctx.tick().repeat(50)
        await bench.access(ctx, 1, status, 7)
        await ctx.tick().repeat(50)
        assert (await bench.access(ctx, 0, status)) == (True, 0)

    bench.run(procedure)


FAULTS = [
    Fault("a partial strobe writes", "bus.bridge:Bridge._check", "~access.strobes.all()", "~access.strobes.any()", ""),
    Fault("a reserved write is accepted", "bus.bridge:Bridge._check", "~writable | partial", "partial", ""),
    Fault("a reserved read is accepted", "bus.bridge:Bridge._check", "wrong_read = ~readable |", "wrong_read =", ""),
    Fault("an unaligned access is accepted", "bus.bridge:Bridge._check", "refused.eq(unaligned |", "refused.eq(", ""),
    Fault("a busy core is written", "bus.bridge:Bridge._check", "is_core & self.busy & ~self.always(words, stops)", "0", ""),
    Fault("a busy core is not stopped", "bus.bridge:Bridge._check", " & ~self.always(words, stops)", "", ""),
    Fault("memory is read while busy", "bus.bridge:Bridge._check", 'at["data"] & self.busy', "0", ""),
    Fault("a word without room", "bus.bridge:Bridge.without_room", "sample & (self.room == 0)", "0", ""),
    Fault("a refused write writes", "bus.bridge:Bridge.elaborate", "executes & ~refused & access.write", "executes & access.write", ""),
]


@pytest.mark.parametrize(
    "fault", [pytest.param(each, id=each.name, marks=slow_unless(number % 3 == 0)) for number, each in enumerate(FAULTS)]
)
def test_a_planted_fault_of_an_access_is_seen(fault, monkeypatch):
    planted(fault, monkeypatch.setattr)
    assert sweep(SampleSource.BUS, addresses=registers_and_neighbours(SampleSource.BUS))


def test_a_lost_interrupt_is_seen(monkeypatch):
    right, wrong = "(status & ~cleared) | raised", "(status | raised) & ~cleared"
    planted(Fault("an interrupt is lost", "bus.bridge:Bridge._execute", right, wrong, ""), monkeypatch.setattr)
    assert interrupts() == [0, 0, 0, 1, 1, 1, 1, 1]
