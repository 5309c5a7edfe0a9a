"""Every register reads what it holds, every command reaches the core, and nothing is written while it is busy."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from python_ref.spec.registers import MAGIC, Command, adjustable_periods, register_map
from rtl_gen.host import HostPort, register_file
from tests.support.faults import DESIGNS

SETTINGS = ("exponent", "perturbation_period", "sample_period", "update_period", "address")
STROBES = ("train", "infer", "stop", "restart", "clear", "discard", "load", "count_en", "stream_en", "write_en")


class Port(wiring.Component):
    """A host's port with its register file."""

    def __init__(self, spec, read_latency=HostPort.read_cycles):
        self.host, self.file = HostPort(spec, read_latency), register_file(spec)
        inside = ("file_en", "file_address", "file_data", "file_low", "file_high", "settled")
        ports = {name: member for name, member in self.host.signature.members.items() if name not in inside}
        ports |= {name: member for name, member in self.file.signature.members.items() if name.startswith("i_")}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        m.submodules.host, m.submodules.file = host, file = self.host, self.file
        wiring.connect(m, wiring.flipped(self.request), host.request)
        wiring.connect(m, wiring.flipped(self.response), host.response)
        for name, member in self.signature.members.items():
            if member.is_port:
                mine, its = getattr(self, name), getattr(file if name.startswith("i_") else host, name)
                m.d.comb += its.eq(mine) if member.flow == In else mine.eq(its)
                assert member.flow in (In, Out)
        m.d.comb += [
            file.en.eq(host.file_en),
            file.address.eq(host.file_address),
            file.clear.eq(host.clear),
            file.restart.eq(host.restart),
            file.running.eq(self.busy),
            host.file_data.eq(file.o),
            host.file_low.eq(file.low),
            host.file_high.eq(file.high),
            host.settled.eq(file.settled),
        ]
        return m


class Bench:
    """A host at the port; notes the strobes."""

    def __init__(self, name, **options):
        self.spec = DESIGNS[name]
        self.port = Port(self.spec, **options)
        self.registers = register_map(self.spec)
        self.strobes = []

    def run(self, procedure, *processes):
        async def watch(ctx):
            async for _, _, *values in ctx.tick().sample(self.port.data, *(getattr(self.port, name) for name in STROBES)):
                self.strobes += [(name, values[0]) for name, value in zip(STROBES, values[1:], strict=True) if value]

        simulator = Simulator(self.port)
        simulator.add_clock(1e-6)
        simulator.add_testbench(procedure)
        for process in (watch, *processes):
            simulator.add_process(process)
        simulator.run()

    async def request(self, ctx, write, address, data=0):
        ctx.set(self.port.request.payload, {"write": write, "address": address, "data": data})
        ctx.set(self.port.request.valid, 1)
        await ctx.tick().until(self.port.request.ready)
        ctx.set(self.port.request.valid, 0)

    async def write(self, ctx, name, data):
        await self.request(ctx, 1, self.registers[name].address, data & 0xFFFFFFFF)
        await ctx.tick().repeat(HostPort.request_cycles)

    async def read(self, ctx, name, word=0):
        address = name if isinstance(name, int) else self.registers[name].address + word
        await self.request(ctx, 0, address)
        ctx.set(self.port.response.ready, 1)
        value, *_ = await ctx.tick().sample(self.port.response.payload).until(self.port.response.valid)
        ctx.set(self.port.response.ready, 0)
        return value


@pytest.mark.parametrize("name", ["node", "accumulating", "momentum"])
def test_every_register(name):
    bench, rng = Bench(name), random.Random(name)
    spec, port, registers = bench.spec, bench.port, bench.registers

    async def procedure(ctx):
        for setting in SETTINGS:
            assert ctx.get(getattr(port, setting)) == (
                0 if setting == "address" else spec.exponent_at(0) if setting == "exponent" else getattr(spec.schedule, setting)
            )
        for setting in SETTINGS:
            value = rng.randrange(spec.layout.words) if setting == "address" else rng.randrange(2, 100)
            await bench.write(ctx, setting, value)
            built = not setting.endswith("period") or setting in adjustable_periods(spec)
            assert ctx.get(getattr(port, setting)) == (value if built else 1)
        await bench.write(ctx, "exponent", -9)
        assert ctx.get(port.exponent) == -9
        lane = spec.hardware.lanes - 1
        await bench.write(ctx, "select", 2 << 16 | lane)
        assert (ctx.get(port.lane), ctx.get(port.memory)) == (lane, 2)

        # Counters are what was counted, captures what stands; all else that can be read is constant, and what is not there is 0.
        file, expected = port.file, {"magic": MAGIC, "digest": int(spec.digest, 16), "status": 0b10}
        ctx.set(port.busy, 1)
        ctx.set(port.status, 0b10)
        for counter in file.counters:
            times = rng.randint(1, 3)
            expected[counter.name] = times * counter.most
            for _ in range(times):
                ctx.set(getattr(port, f"i_{counter.name}"), counter.most)
                await ctx.tick()
                ctx.set(getattr(port, f"i_{counter.name}"), 0)
                await ctx.tick()
        ctx.set(port.busy, 0)
        shown = {capture.name: rng.getrandbits(capture.width) for capture in file.captures}
        for capture in file.captures:
            everything = (1 << capture.width) - 1
            ctx.set(getattr(port, f"i_{capture.name}"), shown[capture.name] ^ (everything if capture.complement else 0))
        expected["cost"] = shown["cost0"] | shown["cost1"] << 64
        expected["cost_change"] = shown["cost_change"]
        expected["signature"] = shown["forward_signature"] | shown["learned_signature"] << 32
        ctx.set(port.read_data, 0xABCD)
        expected["data"] = 0xABCD
        readable = {register: row for register, row in registers.items() if "r" in row.access}
        absent = {"broadcast" if spec.node else "error", *({"gradient"} if spec.direct_update else ())}
        absent |= {"momentum"} - {variable.name for variable in spec.optimizer_state}
        assert readable.keys() - expected.keys() == {f"saturated_{kind}" for kind in absent}
        for register, row in readable.items():
            words = [await bench.read(ctx, register, word) for word in range(row.words)]
            assert sum(part << 32 * word for word, part in enumerate(words)) == expected.get(register, 0), register
        taken = {row.address + word for row in readable.values() for word in range(row.words)}
        for address in {0x05, 0x0E, 0x13, 0x27, 0x32, 0x3F, 0x40, 0x50, 0x7F, 0x80, 0x90, 0xD0, 0xFF} - taken:
            assert await bench.read(ctx, address) == 0

    bench.run(procedure)


def test_data_goes_to_the_memories_and_counts_the_address():
    bench = Bench("accumulating")
    port = bench.port

    async def procedure(ctx):
        await bench.write(ctx, "select", 0)
        await bench.write(ctx, "address", 3)
        await bench.write(ctx, "data", 0x12345678)
        assert ctx.get(port.address) == 4
        ctx.set(port.read_data, 0xABCD)
        assert await bench.read(ctx, "data") == 0xABCD
        await ctx.tick()
        assert ctx.get(port.address) == 5
        await bench.write(ctx, "select", 1 << 16)
        await bench.write(ctx, "data", 7)
        await bench.write(ctx, "stream", 9)

    bench.run(procedure)
    assert bench.strobes == [("load", 0x12345678), ("write_en", 0x12345678), ("write_en", 7), ("stream_en", 9)]


@pytest.mark.parametrize("latency", [HostPort.read_cycles, HostPort.read_cycles + 1, HostPort.read_cycles + 3])
def test_a_read_that_follows_at_once_takes_the_word_of_its_own_address(latency):
    bench, rng = Bench("accumulating", read_latency=latency), random.Random(latency)
    port, found, expected = bench.port, [], []

    def word(lane, address):
        return (3 * lane + 7 * address + 1) * 0x10001

    async def procedure(ctx):
        ctx.set(port.response.ready, 1)
        for _ in range(60):
            lane, address = rng.randrange(bench.spec.hardware.lanes), rng.randrange(4)
            settings = [("select", lane), ("address", address)]
            rng.shuffle(settings)
            writes = rng.randrange(2)
            await ctx.tick().repeat(1 + rng.randrange(4))  # the register file takes turns, so that its phase matters
            for name, value in [*settings, *[("data", 0)] * writes]:
                await bench.request(ctx, 1, bench.registers[name].address, value)
            for read in range(2):
                await bench.request(ctx, 0, bench.registers["data"].address)
                value, *_ = await ctx.tick().sample(port.response.payload).until(port.response.valid)
                found.append(value)
                expected.append(word(lane, address + writes + read))

    async def memory(ctx):
        """Gives the word so many cycles after the position has changed."""
        words = [0] * (latency - 1)
        async for _, _, lane, address in ctx.tick().sample(port.lane, port.address):
            words.append(word(lane, address))
            ctx.set(port.read_data, words.pop(0))

    bench.run(procedure, memory)
    assert found == expected


@pytest.mark.parametrize("busy", [0, 1])
def test_a_busy_core_takes_no_write_but_stop(busy):
    bench = Bench("accumulating")
    port = bench.port

    def settings(ctx):
        return [ctx.get(getattr(port, name)) for name in (*SETTINGS, "lane", "memory")]

    async def procedure(ctx):
        before = settings(ctx)
        ctx.set(port.busy, busy)
        for command in Command:
            await bench.write(ctx, "command", command)
        for register in (*SETTINGS, "count", "stream", "data", "select"):
            await bench.write(ctx, register, 1)
        assert (settings(ctx) == before) == bool(busy)

    bench.run(procedure)
    names = [name for name, _ in bench.strobes]
    every = ["train", "infer", "stop", "restart", "clear", "discard", "count_en", "stream_en", "load", "write_en"]
    assert names == (["stop"] if busy else every)


def test_a_request_waits_until_all_is_counted():
    bench = Bench("node")
    port = bench.port

    async def procedure(ctx):
        await bench.read(ctx, "magic")
        ctx.set(port.busy, 1)
        await ctx.tick()
        await bench.read(ctx, "magic")  # a run makes nobody wait
        ctx.set(port.i_steps, 1)
        await ctx.tick()
        ctx.set(port.i_steps, 0)
        ctx.set(port.busy, 0)
        assert await bench.read(ctx, "steps") == 1
        await bench.write(ctx, "command", Command.RESTART)
        assert await bench.read(ctx, "steps") == 0

    bench.run(procedure)
