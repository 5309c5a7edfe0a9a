"""What a test bench may do with a core, and a host cannot: resets in the middle of anything, counters at their limits, broken streams."""

from __future__ import annotations

import random
from collections.abc import Callable

from python_ref.spec.design import DesignSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.registers import Command, Memory, register_map
from tests.support.designs import random_parameters
from tests.support.lockstep import Lockstep
from tests.support.scenarios import Scenario

__all__ = ["counting_to_the_end", "cutting", "dropping", "resetting"]


def _first_steps(lockstep: Lockstep) -> None:
    """Steps of a core that was told neither its periods nor its rate since it was reset."""
    steps = min([7, *(step for step in lockstep.spec.exponent_changes if step)])
    lockstep.write("count", steps)
    lockstep.command(Command.TRAIN)
    lockstep.link.wait_idle()
    lockstep.follow(steps)
    lockstep.check_registers()


def resetting(rng: random.Random, spec: LearningSpec) -> Scenario:
    """A core that is reset while it trains, infers, clears, restarts and is loaded, each at a random moment."""

    def busy_with(command: Command) -> Callable[[Lockstep, int], None]:
        def begin(lockstep: Lockstep, delay: int) -> None:
            lockstep.write("count", 1_000_000)
            lockstep.command(command)
            for _ in range(delay):
                lockstep.read("status")

        return begin

    def loaded(lockstep: Lockstep, delay: int) -> None:
        for name in ("perturbation_period", "sample_period", "update_period", "exponent", "select", "address"):
            lockstep.write(name, 1)
        lockstep.write("data", delay)

    def at_once(command: Command) -> Callable[[Lockstep, int], None]:
        return lambda lockstep, delay: lockstep.command(command)

    kinds = [busy_with(Command.TRAIN)] * 4 + [busy_with(Command.INFER), loaded]
    kinds += [at_once(each) for each in (Command.CLEAR, Command.RESTART, Command.DISCARD, Command.STOP)]
    begun = [(each, rng.randint(0, 40)) for each in kinds]
    parameters = random_parameters(rng, spec)

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.train(4)
        for number, (begin, delay) in enumerate(begun, 1):
            begin(lockstep, delay)
            lockstep.reset(40 * number, parameters)
            _first_steps(lockstep)
            lockstep.train(1)
            lockstep.check_registers()

    return scenario


def cutting(rng: random.Random, spec: LearningSpec) -> Scenario:
    """A core that is reset in the middle of reads, writes, commands and loads, at each cycle of a request, while it is idle or trains."""
    registers = register_map(spec)
    reads: list[tuple[str, int | None]] = [("steps", None), ("data", None), ("status", None)]
    writes: list[tuple[str, int | None]] = [("data", 1), ("address", 1), ("exponent", spec.exponents[0]), ("stream", 5), ("count", 9)]
    writes += [("command", command) for command in (Command.TRAIN, Command.RESTART, Command.CLEAR)]
    turns = [(*rng.choice(reads), cycles) for cycles in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144)] + [
        (*each, rng.randint(1, 8)) for each in (*reads, *writes)
    ]
    turns += [("data", 1, cycles) for cycles in range(1, 8, 2)]
    parameters = random_parameters(rng, spec)

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.train(4)
        for number, (name, value, cycles) in enumerate(turns, 1):
            if number % 2:
                lockstep.write("count", 1_000_000)
                lockstep.command(Command.TRAIN)
            else:
                lockstep.write("select", 0)
                lockstep.write("address", 1)
            lockstep.link.cut(registers[name].address, None if value is None else value & 0xFFFFFFFF, cycles)
            lockstep.reset(10 * number, parameters)
            _first_steps(lockstep)

    return scenario


def dropping(spec: DesignSpec) -> Scenario:
    """A host that drops a sample of which some words are loaded, for every number of words."""
    words = spec.network.record_inputs + spec.network.n_out

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.train(2)
        for number in range(1, words):
            place = 10 * number % 400
            lockstep.seek(place, number)
            lockstep.command(Command.DISCARD)
            for _ in range(10):
                lockstep.read("status")
            lockstep.command(Command.DISCARD)
            lockstep.seek(place + 3)
            lockstep.restart()
            lockstep.train(2)
            lockstep.check_registers()

    return scenario


def counting_to_the_end(spec: LearningSpec) -> Scenario:
    """A core whose counters are preset below every power of two at which a part of them carries, and below their ends."""
    registers, learned = register_map(spec), {memory.name.lower() for memory in Memory}
    built = {memory.name.lower() for memory in spec.memories} - ({"gradient"} if spec.direct_update else set())
    counters = [name for name in ("steps", "updates", "correct", "writes", "changed", "cycles") if name in registers]
    counters += [f"saturated_{kind}" for kind in spec.shown_saturations if kind not in learned or kind in built]
    ends = {name: [1 << 16, 1 << 32, *([1 << 48] if registers[name].words == 2 else [])] for name in counters}
    steps = 8
    spread = 4 / 3
    if isinstance(spec, DesignSpec) and spec.network.record_inputs > spec.network.n_in:
        spread = 2 * spec.network.frames  # the runs have samples of 1 to T frames, in any mixture

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        measured = []
        for turn in range(1 + 2 * max(len(each) for each in ends.values())):
            lockstep.restart()
            lockstep.clear()
            lockstep.read("status")
            values = {name: each[(turn - 1) // 2 % len(each)] - 1 - 8 * (turn % 2) for name, each in ends.items()} if turn else {}
            lockstep.preset(values)
            lockstep.check_registers()
            lockstep.train(steps)
            lockstep.check_registers()
            measured.append(lockstep.read("cycles") - values.get("cycles", 0))
        if lockstep.comparing:
            assert spread * min(measured) >= max(measured), f"cycles of equal runs are {measured}"

    return scenario
