"""A core at the end of a line does what the frames say."""

import numpy as np
import pytest

from python_ref.spec.frames import Answer, Kind, Reply, pack_samples, read_payload, write_payload
from python_ref.spec.registers import MAGIC, Command, register_map
from rtl_gen.serial.linked import RESET_CYCLES, LinkedCore, emit_linked
from tests.support.faults import DESIGNS
from tests.support.serial_line import SerialLine


@pytest.mark.parametrize("divisor", [1, *(pytest.param(divisor, marks=pytest.mark.slow) for divisor in (2, 4, 7))])
def test_a_core_trains_over_the_line(divisor):
    spec = DESIGNS["node"]
    line = SerialLine(LinkedCore(spec, divisor=divisor), divisor)
    registers = {name: register.address for name, register in register_map(spec).items()}

    async def host(ctx):
        assert await line.ask(ctx, Kind.RESET) == Reply(Answer.RESET, 0)
        observed = await line.ask(ctx, Kind.READ, read_payload([registers["magic"], registers["digest"] + 1]))
        assert observed == Reply(Answer.DONE, 0, (MAGIC, int(spec.digest, 16) >> 32))
        writes = [(registers["count"], 3), (registers["command"], Command.TRAIN)]
        assert await line.ask(ctx, Kind.WRITE, write_payload(writes)) == Reply(Answer.DONE, 1)
        samples = pack_samples(spec, np.arange(15).reshape(3, 5))
        for piece in (samples[:4], samples[4:]):
            await line.send(ctx, Kind.SAMPLES, piece)
        await line.until(ctx, 5)
        while ctx.get(line.device.busy):
            await ctx.tick()
        observed = await line.ask(ctx, Kind.READ, read_payload([registers["steps"], registers["updates"]]))
        assert observed == Reply(Answer.DONE, 4, (3, 3))

    line.run(host)


def test_a_reset_ends_a_run():
    spec = DESIGNS["node"]
    line = SerialLine(LinkedCore(spec, divisor=4), 4)
    registers = {name: register.address for name, register in register_map(spec).items()}

    async def host(ctx):
        await line.ask(ctx, Kind.WRITE, write_payload([(registers["count"], 3), (registers["command"], Command.TRAIN)]))
        assert ctx.get(line.device.busy)
        assert await line.ask(ctx, Kind.RESET) == Reply(Answer.RESET, 0)
        assert not ctx.get(line.device.busy)
        assert await line.ask(ctx, Kind.READ, read_payload([registers["count"]])) == Reply(Answer.DONE, 0, (0,))

    line.run(host)


def test_a_reset_lasts_until_nothing_is_in_flight():
    """The core takes no sample while it is reset; ``tests/rtl_gen/test_lives.py`` has what a reset of one cycle does to a core."""
    device = LinkedCore(DESIGNS["node"], divisor=2)
    line = SerialLine(device, 2)

    async def host(ctx):
        await line.send(ctx, Kind.RESET)
        cycles = 0
        while not ctx.get(device.framing.reset):
            await ctx.tick()
        await ctx.tick().repeat(2)
        while not ctx.get(device.core.sample.ready):
            await ctx.tick()
            cycles += 1
        assert RESET_CYCLES - 2 <= cycles <= RESET_CYCLES + 2

    line.run(host)


def test_the_verilog_names_its_design():
    spec = DESIGNS["node"]
    text = emit_linked(spec, 4)
    assert f"module mgd_{spec.name}_linked(" in text
    assert spec.digest in text.split("\n")[1]
