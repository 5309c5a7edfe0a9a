"""The cocotb bench of a core behind a bus: bus models that are not ours carry out a list of actions, and note the answers.

The environment variable MGD_HW_BUS names its settings file, a JSON object with the actions, the bus, the seed of the pauses, the samples,
and the file for the results.
"""

from __future__ import annotations

import json
import os
import pickle
import random
from pathlib import Path
from typing import Any, ClassVar

import cocotb
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp, AxiStreamBus, AxiStreamFrame, AxiStreamSource
from cocotbext.wishbone import driver
from cocotbext.wishbone.driver import WBOp, WishboneMaster

from boards.link.memory import MemoryLink
from python_ref.spec.registers import Command
from sim.program import Op

# Icarus does not pass on a value that is set on an input immediately, as the model does before the first cycle.
driver.set_immediate = lambda signal, value: setattr(signal, "value", value)

PATIENCE_US = 100
"""Longest time of an access, in microseconds of simulated time: 10,000 cycles."""


class Axi:
    """AXI4-Lite by the master of cocotbext-axi.

    Parameters
    ----------
    dut : handle
        The core behind the bus.
    chance : callable or None
        Source of random numbers for the pauses of each channel; None pauses never.
    """

    def __init__(self, dut: Any, chance: Any) -> None:
        self.clock, self.reset, self.active = dut.aclk, dut.aresetn, 0
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk, dut.aresetn, reset_active_level=False)
        write, read = self.master.write_if, self.master.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            if chance is not None:
                channel.set_pause_generator(_pauses(chance))

    async def write(self, address: int, value: int, strobes: int = 15) -> bool:
        """Write the strobed bytes of a word, which must be next to each other; whether it was accepted."""
        first = next(byte for byte in range(4) if strobes >> byte & 1)
        count = strobes.bit_count()
        data = value.to_bytes(4, "little")[first : first + count]
        done = await self.master.write(address + first, data)
        return done.resp == AxiResp.OKAY

    async def read(self, address: int) -> tuple[bool, int]:
        """Read a word; whether that was accepted, and the word."""
        done = await self.master.read(address, 4 - address % 4)
        assert done.resp in (AxiResp.OKAY, AxiResp.SLVERR)
        return done.resp == AxiResp.OKAY, int.from_bytes(done.data, "little")


class Wishbone:
    """Wishbone by the master of cocotbext-wishbone; the parameters are those of :class:`Axi`."""

    NAMES: ClassVar = {
        "cyc": "cyc_i",
        "stb": "stb_i",
        "we": "we_i",
        "adr": "adr_i",
        "datwr": "dat_i",
        "datrd": "dat_o",
        "ack": "ack_o",
        "sel": "sel_i",
        "err": "err_o",
    }

    def __init__(self, dut: Any, chance: Any) -> None:
        self.clock, self.reset, self.active, self.chance = dut.wb_clk_i, dut.wb_rst_i, 1, chance
        self.master = WishboneMaster(dut, "wb", dut.wb_clk_i, width=32, timeout=100 * PATIENCE_US, signals_dict=self.NAMES)

    async def _cycle(self, address: int, value: int | None, strobes: int) -> Any:
        idle = self.chance.randrange(4) if self.chance else 0
        (done,) = await self.master.send_cycle([WBOp(address, value, idle=idle, sel=strobes)])
        assert done.ack in (1, 2)
        return done

    async def write(self, address: int, value: int, strobes: int = 15) -> bool:
        """Write the strobed bytes of a word; whether it was accepted."""
        return (await self._cycle(address, value, strobes)).ack == 1

    async def read(self, address: int) -> tuple[bool, int]:
        """Read a word; whether that was accepted, and the word."""
        done = await self._cycle(address, None, 0)
        return done.ack == 1, int(done.datrd)


def _pauses(chance: random.Random) -> Any:
    while True:
        yield chance.random() < 0.4


class _Window:
    """The window of memory of a processor, whose accesses the master of a bus carries out; an error ends the thread."""

    def __init__(self, bus: Any) -> None:
        @resume
        async def read(offset: int) -> int:
            accepted, word = await bus.read(offset)
            assert accepted, f"the read of 0x{offset:x} was refused"
            return int(word)

        @resume
        async def write(offset: int, value: int) -> None:
            assert await bus.write(offset, value), f"the write of 0x{offset:x} was refused"

        self.read, self.write = read, write


class _Bench:
    """Carries out the actions.

    Parameters
    ----------
    dut : handle
        The core behind the bus.
    settings : dict
        Contents of the settings file.
    """

    def __init__(self, dut: Any, settings: dict[str, Any]) -> None:
        chance = random.Random(settings["pauses"]) if settings["pauses"] is not None else None
        self.dut, self.settings = dut, settings
        self.bus = Axi(dut, chance) if settings["bus"] == "axi4-lite" else Wishbone(dut, chance)
        self.words = iter(settings["words"])
        self.passes: list[list[int]] = []
        if settings["stream_bytes"]:
            bus = AxiStreamBus.from_prefix(dut, "s_axis")
            self.source = AxiStreamSource(bus, self.bus.clock, self.bus.reset, reset_active_level=bool(self.bus.active))
            if chance is not None:
                self.source.set_pause_generator(_pauses(chance))

    async def reset(self) -> None:
        """Start the clock, and reset the core."""
        self.bus.reset.value = self.bus.active
        Clock(self.bus.clock, 10, unit="ns", impl="gpi").start(start_high=False)
        await ClockCycles(self.bus.clock, 3)
        self.bus.reset.value = 1 - self.bus.active
        await RisingEdge(self.bus.clock)

    async def do(self, kind: str, *given: Any) -> Any:
        """Carry out an action; what it finds."""
        match kind:
            case "write":
                return await self.bus.write(*given)
            case "read":
                return await self.bus.read(*given)
            case "both":  # a write and a read at once, which AXI can do
                task = cocotb.start_soon(self.bus.write(*given[0]))
                found = await self.bus.read(*given[1])
                return [await task, found]
            case "frame":
                size = self.settings["stream_bytes"]
                data = b"".join((word & (1 << 8 * size) - 1).to_bytes(size, "little") for word in given[0])
                await self.source.send(AxiStreamFrame(data))
            case "sent":
                await self.source.wait()
            case "session":
                return await bridge(self.in_session)(*given)
            case "outside":
                cocotb.start_soon(self.be_outside(*given))
            case "outside words":
                return self.passes
            case "learner session":
                return await bridge(self.in_learner_session)(*given)
            case "link":
                return await bridge(self.over_link)(*given)
            case "cycles":
                await ClockCycles(self.bus.clock, given[0])
            case "irq":
                return int(self.dut.irq.value)
            case "until irq":
                while not int(self.dut.irq.value):
                    await RisingEdge(self.bus.clock)
            case "wait":
                while True:
                    accepted, status = await self.bus.read(given[0])
                    assert accepted
                    if not status & 1:
                        break
                    if self.settings["sample_registers"]:
                        await self.feed(*self.settings["sample_registers"])
            case _:
                raise ValueError(f"There is no action {kind}")
        return None

    async def be_outside(self, costs: list[int], streams: list[str], width: int) -> None:
        """Be the outside of a learner at its ports, cycle by cycle: note the words of each pass by quantity, and offer these costs."""
        dut, left, words = self.dut, list(costs), {}
        for name in (*streams, "sample"):
            getattr(dut, f"{name}__ready").value = 1
        dut.cost__valid.value = 0
        while True:
            await RisingEdge(self.bus.clock)
            for name in streams:
                if int(getattr(dut, f"{name}__valid").value):
                    payload = int(getattr(dut, f"{name}__payload").value)
                    value, index = payload & (1 << width) - 1, payload >> width & (1 << self.settings["index_bits"]) - 1
                    words[index] = value - (value >> width - 1 << width)
            if int(dut.apply_stb.value):
                self.passes.append([words[index] for index in sorted(words)])
                words = {}
            if int(dut.cost__valid.value) and int(dut.cost__ready.value):
                left.pop(0)
            offered = bool(left) and int(dut.measure_ready.value)
            dut.cost__valid.value = int(offered)
            if offered:
                dut.cost__payload.value = left[0] & (1 << len(dut.cost__payload)) - 1

    def over_link(self, spec: str, ops: list[list[int]]) -> list[int]:
        """Carry out the operations of a program over the link for a window of memory, in a thread; the words read."""
        link = MemoryLink(_Window(self.bus), pickle.loads(bytes.fromhex(spec)))
        link.send(list(self.words))
        found = []
        for kind, address, data in ops:
            if kind == Op.WRITE:
                link.write(address, data)
            elif kind == Op.READ:
                found.append(link.read(address))
            else:
                link.wait_idle()
        return found

    def in_session(self, name: str, steps: int, folder: str) -> list[Any]:
        """Train a shipped design in a session, with the fixed model beside the core; equal, values compared, steps, bytes sent."""
        # Imported here, since all other actions are quick without them.
        from mgd_hw.data import load as load_data
        from mgd_hw.design.reader import load
        from mgd_hw.design.run import run_of
        from mgd_hw.device.session import Model, Session

        design = load(name)
        run = run_of(design, load_data(design.data), steps)
        link = MemoryLink(_Window(self.bus), run.spec)
        model = Model(run)
        try:
            session = Session(run, lambda: link, Path(folder) / "checkpoint.npz", model=model, block_steps=10)
            session.train()
        finally:
            model.close()
        return [session.equal, session.verified, session.done, link.statistics.sent]

    def in_learner_session(self, spec: str, steps: int, folder: str) -> list[Any]:
        """Train a learner in a session, whose chip is in this process; equal, values compared, steps, measurements, weights of the chip.

        Before it, a run is begun, of which nobody gives the costs.
        """
        import numpy as np

        from mgd_hw.device.learner_session import LearnerModel, LearnerSession
        from python_ref.trace import LearnerRun
        from sim import host
        from tests.support.virtual_chip import VirtualChip

        learner = pickle.loads(bytes.fromhex(spec))
        window = _Window(self.bus)
        first = MemoryLink(window, learner)
        host.write_register(learner, first, "timeout", 1 << 30)
        host.write_register(learner, first, "count", 3)
        host.write_register(learner, first, "command", Command.TRAIN)
        link, run = MemoryLink(window, learner), LearnerRun(learner, np.zeros(learner.quantities, dtype=np.int64), steps, 5)
        chip = VirtualChip(learner, 3, gain=0.2, offset=0.1, noise=0.05)
        session = LearnerSession(run, lambda: link, Path(folder) / "checkpoint.npz", model=LearnerModel(run), block_steps=4, chip=chip)
        session.train()
        return [session.equal, session.verified, session.done, session.measurements, chip.weights.tolist()]

    async def feed(self, sample: int, room: int) -> None:
        """Write as many words of samples as there is room for."""
        accepted, free = await self.bus.read(room)
        assert accepted
        for _ in range(free):
            word = next(self.words, None)
            if word is not None:
                assert await self.bus.write(sample, word)


@cocotb.test()
async def bench(dut: Any) -> None:
    """Carry out the actions of the settings file."""
    settings = json.loads(Path(os.environ["MGD_HW_BUS"]).read_text(encoding="utf-8"))
    bench = _Bench(dut, settings)
    await bench.reset()
    found = []
    for action in settings["actions"]:
        # Only a wait for the end of a run may take longer.
        limit = PATIENCE_US if action[0] not in ("wait", "link", "session", "learner session") else 100 * PATIENCE_US
        found.append(await with_timeout(cocotb.start_soon(bench.do(*action)), limit, "us"))
    Path(settings["results"]).write_text(json.dumps(found), encoding="utf-8")
