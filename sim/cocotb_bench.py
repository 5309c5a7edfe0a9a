"""The cocotb test bench: it runs a host's program on a core, and writes the core's events and responses as frames.

The environment variable MGD_HW_BENCH names its settings file, a JSON object with the program, the output, the ports, the patience and
the stalls.
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from sim.frames import DONE, PROGRESS, RESPONSE, STUCK, FrameWriter
from sim.ports import EVENTS
from sim.program import Op, Program

_BLOCK = 2048
"""Number of events of one kind after which all collected events are written."""


class _Refused(Exception):
    """The module under test cannot be run as a core."""


class _Undefined(Exception):
    """An output of the core has bits that are neither 0 nor 1."""


def _check_ports(dut: Any, inputs: dict[str, int], outputs: dict[str, int]) -> None:
    for direction, ports in (("input", inputs), ("output", outputs)):
        for name, width in ports.items():
            handle = getattr(dut, name, None)
            if handle is None:
                raise _Refused(f"the module has no {direction} {name}")
            if len(handle) != width:
                raise _Refused(f"the module's port {name} must have {width} bits, not {len(handle)}")


def _bits(handle: Any) -> int:
    """Value of a signal; undefined bits raise an error."""
    text = str(handle.value)
    try:
        return int(text, 2)
    except ValueError:
        raise _Undefined(f"The core shows undefined bits at its port {handle._name}: {text}") from None


@cocotb.test()
async def bench(dut: Any) -> None:
    """Run the program of the settings file."""
    settings = json.loads(Path(os.environ["MGD_HW_BENCH"]).read_text(encoding="utf-8"))
    with Path(settings["output"]).open("wb") as file:
        try:
            _check_ports(dut, settings["inputs"], settings["outputs"])
            await _run(dut, settings, FrameWriter(file))
        except _Refused as error:
            Path(settings["refused"]).write_text(str(error), encoding="utf-8")
        except _Undefined as error:
            Path(settings["undefined"]).write_text(str(error), encoding="utf-8")


async def _run(dut: Any, settings: dict[str, Any], writer: FrameWriter) -> None:
    program = Program.load(Path(settings["program"]))
    patience, share = settings["patience"], settings["stall_share"]
    chance = random.Random(settings["stall_seed"]).random
    bits = [width for name, width in settings["outputs"].items() if name.startswith("probe_") and name != "probe_stb"]
    sizes = [4 * -(-width // 32) for width in bits]
    payloads = [getattr(dut, f"probe_{event}") for event in EVENTS]
    stb, busy = dut.probe_stb, dut.busy
    request_ready, response_valid, sample_ready = dut.request__ready, dut.response__valid, dut.sample__ready
    response = dut.response__payload

    for name in settings["inputs"]:
        if name != "clk":
            getattr(dut, name).value = 0
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns", impl="gpi").start(start_high=False)
    rising, falling = RisingEdge(dut.clk), FallingEdge(dut.clk)
    for _ in range(3):
        await rising
    dut.rst.value = 0

    ops, words = program.ops.tolist(), program.words()
    found: list[list[bytes]] = [[] for _ in EVENTS]
    responses: list[int] = []
    op = cycles = busy_cycles = taken = idle = 0
    word = next(words, None)
    requesting = offering = asked = False
    grace, reported = 4, time.monotonic()

    def flush() -> None:
        for kind, rows in enumerate(found):
            if rows:
                writer.rows(kind, len(rows), b"".join(rows))
                rows.clear()
        if responses:
            writer.rows(RESPONSE, len(responses), b"".join(value.to_bytes(4, "little") for value in responses))
            responses.clear()

    driven: dict[str, int] = {}

    def drive(name: str, value: int) -> bool:
        """Set an input if its value changes; return whether it did. Inputs change just after a rising edge."""
        if driven.get(name) == value:
            return False
        driven[name] = value
        getattr(dut, name).value = value
        return True

    while op < len(ops):
        kind, address, data = ops[op]
        requesting = requesting or (kind != Op.WAIT and not asked and not (share and chance() < share))
        offering = offering or (word is not None and not (share and chance() < share))
        taking = not (share and chance() < share)
        drive("request__valid", int(requesting))
        if requesting:
            drive("request__payload", (kind == Op.WRITE) | address << 1 | data << 9)
        drive("sample__valid", int(offering))
        if offering and word is not None:
            drive("sample__payload", word)
        drive("response__ready", int(taking))
        advance = False
        while True:  # cycles in which no input changes
            await falling
            cycles += 1
            progress = requested = responded = accepted = False
            if strobes := _bits(stb):
                progress = True
                for event, payload in enumerate(payloads):
                    if strobes >> event & 1:
                        found[event].append(_bits(payload).to_bytes(sizes[event], "little"))
                        if len(found[event]) >= _BLOCK:
                            flush()
            is_busy = _bits(busy)
            busy_cycles += is_busy
            if requesting:
                requested = bool(_bits(request_ready))
            if taking and _bits(response_valid):
                responded = True
                responses.append(_bits(response))
            if offering and _bits(sample_ready):
                accepted = progress = True
                taken += 1
            if kind == Op.WAIT:
                if grace:
                    grace -= 1
                else:
                    advance = not is_busy
            elif requested:
                requesting, progress = False, True
                asked = kind == Op.READ
                advance = kind == Op.WRITE
            if responded and asked:
                asked, advance = False, True
            idle = 0 if progress or advance else idle + 1
            if cycles % 256 == 0 and time.monotonic() > reported + 1.0:
                reported = time.monotonic()
                flush()
                writer.state(PROGRESS, (cycles, busy_cycles, taken, op))
            if idle > patience:
                flush()
                writer.state(STUCK, (cycles, busy_cycles, taken, op))
                return
            if advance or requested or responded or accepted or share:
                break
        if accepted:
            word, offering = next(words, None), False
        if advance:
            op, grace = op + 1, 4
        await rising
    flush()
    writer.state(DONE, (cycles, busy_cycles, taken, op))
