"""Every register reads what it holds, every command reaches the core, and nothing is written while it is busy."""

import random

import pytest
from amaranth.sim import Simulator

from python_ref.spec.optimizer import Momentum
from python_ref.spec.registers import MAGIC, Command, register_map
from rtl_gen.host import HostPort
from tests.rtl_gen.faults import DESIGNS

SETTINGS = ("count", "exponent", "perturbation_period", "sample_period", "update_period", "address")
STROBES = ("train", "infer", "stop", "restart", "clear", "load", "stream_en", "write_en")


class Bench:
    """A host at the port; notes the strobes."""

    def __init__(self, name):
        self.spec = DESIGNS[name]
        self.port = HostPort(self.spec)
        self.registers = register_map(self.spec)
        self.strobes = []

    def run(self, procedure):
        async def watch(ctx):
            async for _, _, *values in ctx.tick().sample(self.port.data, *(getattr(self.port, name) for name in STROBES)):
                self.strobes += [(name, values[0]) for name, value in zip(STROBES, values[1:], strict=True) if value]

        simulator = Simulator(self.port)
        simulator.add_clock(1e-6)
        simulator.add_testbench(procedure)
        simulator.add_process(watch)
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


def possible(spec, shown):
    """Bits that a core of the design can show there: what it does not have reads 0."""
    absent = {"saturated_gradient": spec.plain, "saturated_momentum": not isinstance(spec.optimizer, Momentum)}
    if shown == "cost" and spec.cost_format.width <= 32:
        return 0xFFFFFFFF << 64 | 0xFFFFFFFF
    return 0 if absent.get(shown) else -1


@pytest.mark.parametrize("name", ["node", "accumulating", "momentum"])
def test_every_register(name):
    bench, rng = Bench(name), random.Random(name)
    spec, port = bench.spec, bench.port

    async def procedure(ctx):
        assert await bench.read(ctx, "magic") == MAGIC
        assert await bench.read(ctx, "digest") | await bench.read(ctx, "digest", 1) << 32 == int(spec.digest, 16)
        for register in ("perturbation_period", "sample_period", "update_period"):
            assert await bench.read(ctx, register) == getattr(spec.schedule, register)
        assert await bench.read(ctx, "exponent") == spec.exponent_at(0) & 0xFFFFFFFF
        for register in SETTINGS:
            value = rng.randrange(spec.layout.words) if register == "address" else rng.randrange(1, 100)
            await bench.write(ctx, register, value)
            assert await bench.read(ctx, register) == ctx.get(getattr(port, register)) == value
        await bench.write(ctx, "exponent", -9)
        assert await bench.read(ctx, "exponent") == 0xFFFFFFF7
        assert ctx.get(port.exponent) == -9
        lane = spec.hardware.lanes - 1
        await bench.write(ctx, "select", 2 << 16 | lane)
        assert await bench.read(ctx, "select") == 2 << 16 | lane
        assert (ctx.get(port.lane), ctx.get(port.memory)) == (lane, 2)
        for shown, width in port.read_only.items():
            value = rng.getrandbits(width) & possible(spec, shown)
            ctx.set(getattr(port, shown), value)
            register = "signature" if shown == "signatures" else shown
            words = [await bench.read(ctx, register, word) for word in range(bench.registers[register].words)]
            assert sum(part << 32 * word for word, part in enumerate(words)) == value, shown
        taken = {register.address + word for register in bench.registers.values() for word in range(register.words)}
        for address in {0x0E, 0x13, 0x27, 0x32, 0x7F, 0xFF} - taken:
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
        await ctx.tick().repeat(3)
        assert ctx.get(port.address) == 5
        await bench.write(ctx, "select", 1 << 16)
        await bench.write(ctx, "data", 7)
        await bench.write(ctx, "stream", 9)

    bench.run(procedure)
    assert bench.strobes == [("load", 0x12345678), ("write_en", 0x12345678), ("write_en", 7), ("stream_en", 9)]


@pytest.mark.parametrize("busy", [0, 1])
def test_a_busy_core_takes_no_write_but_stop(busy):
    bench = Bench("node")
    port = bench.port

    async def procedure(ctx):
        before = {register: await bench.read(ctx, register) for register in (*SETTINGS, "select")}
        ctx.set(port.busy, busy)
        for command in Command:
            await bench.write(ctx, "command", command)
        for register in (*SETTINGS, "select", "stream", "data"):
            await bench.write(ctx, register, 1)
        after = {register: await bench.read(ctx, register) for register in before}
        assert (after == before) == bool(busy)

    bench.run(procedure)
    names = [name for name, _ in bench.strobes]
    every = ["train", "infer", "stop", "restart", "clear", "stream_en", "load", "write_en"]
    assert names == (["stop"] if busy else every)
