"""What a host may do with a core, as scenarios of :mod:`tests.support.lockstep`."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import DesignError
from python_ref.spec.optimizer import ShiftAdam
from python_ref.spec.registers import MAGIC, Command, Memory, register_map
from sim import host
from tests.support.designs import random_parameters
from tests.support.lockstep import Lockstep

__all__ = [
    "Scenario",
    "constant_rate",
    "discarding",
    "host_access",
    "other_periods",
    "plain",
    "random_scenario",
    "resuming",
    "stopping",
    "writes_while_busy",
]

Scenario = Callable[[Lockstep], None]


def plain(steps: int) -> Scenario:
    """A run of so many steps, and all that can be read after it."""

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.train(steps)
        lockstep.check_registers()

    return scenario


def constant_rate(spec: DesignSpec) -> DesignSpec:
    """The design with its largest rate for ever, with which its updates reach a parameter's last place as before.

    The exponent of a corrected Adam depends on the update, and so on the host.
    """
    largest = max(rate for _, rate in spec.schedule.learning_rate)
    optimizer = replace(spec.optimizer, corrected=False) if isinstance(spec.optimizer, ShiftAdam) else spec.optimizer
    found = replace(spec, schedule=replace(spec.schedule, learning_rate=((0, largest),)), optimizer=optimizer)
    assert found.exponent_changes == (0,)
    return found


def random_memory(rng: random.Random, spec: DesignSpec, memory: Memory) -> np.ndarray:
    """Values for G or m."""
    form = spec.memories[memory]
    return np.array([rng.randint(form.min, form.max) for _ in range(spec.network.n_parameters)], dtype=np.int64)


def random_scenario(rng: random.Random, spec: DesignSpec) -> Scenario:
    """A host that does whatever a host may do, in any order."""

    def action():
        actions = ["train", "train", "infer", "load", "clear", "restart", "check"]
        actions += [memory.name for memory in spec.memories if memory is not Memory.PARAMETER]
        kind = rng.choice(actions)
        if kind == "train":
            count = rng.randint(1, 9)
            return lambda lockstep: lockstep.train(count)
        if kind == "infer":
            count = rng.randint(1, 4)
            return lambda lockstep: lockstep.infer(count)
        if kind == "load":
            parameters = random_parameters(rng, spec)
            return lambda lockstep: lockstep.load(parameters)
        if kind == "clear":
            return lambda lockstep: lockstep.clear()
        if kind == "restart":
            seed = rng.randrange(1 << 63)
            return lambda lockstep: lockstep.restart(seed)
        if kind == "check":
            return lambda lockstep: lockstep.check_registers()
        memory = Memory[kind]
        values = random_memory(rng, spec, memory)
        return lambda lockstep: lockstep.load_learned(memory, values)

    actions = [action() for _ in range(10)]

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.train(3)
        for action in actions:
            action(lockstep)
        lockstep.train(4)
        lockstep.check_registers()

    return scenario


def stopping(delays: list[int]) -> Scenario:
    """Runs that are stopped after as many reads as ``delays`` has, and a last one; for designs whose rate is constant."""

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        for delay in delays:
            lockstep.write("count", 1_000_000)
            lockstep.command(Command.TRAIN)
            for _ in range(delay):
                lockstep.read("status")
            lockstep.command(Command.STOP)
            lockstep.link.wait_idle()
            lockstep.follow(lockstep.read("steps") - lockstep.steps)
            lockstep.check_registers()
        lockstep.train(5)
        lockstep.check_registers()

    return scenario


def resuming(blocks: tuple[int, int], block: int) -> Scenario:
    """A run of so many blocks, and a second one in which the core is told where the first was; a block is a multiple of all periods."""

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.train(block * blocks[0])
        lockstep.resume()
        lockstep.train(block * blocks[1] + 1)
        lockstep.check_registers()

    return scenario


def writes_while_busy(spec: DesignSpec, other: np.ndarray) -> Scenario:
    """A host that writes other parameters, settings and commands while the core is busy: none of them has an effect.

    The rate of the design is constant.
    """
    names = ("count", "exponent", "perturbation_period", "sample_period", "update_period", "select", "address", "stream")

    def stop(lockstep: Lockstep) -> None:
        lockstep.command(Command.STOP)
        lockstep.link.wait_idle()
        lockstep.follow(lockstep.read("steps") - lockstep.steps)
        lockstep.check_registers()

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.write("count", 1_000_000)
        lockstep.command(Command.TRAIN)
        host.load_parameters(spec, lockstep.link, other)
        for name in names:
            lockstep.write(name, 3)
        for command in (Command.RESTART, Command.CLEAR, Command.DISCARD, Command.TRAIN, Command.INFER):
            lockstep.command(command)
        busy = lockstep.read("status")
        stop(lockstep)
        # What is left of the run, with the settings that it had.
        before = lockstep.steps
        lockstep.command(Command.TRAIN)
        for _ in range(150):
            lockstep.read("status")
        stop(lockstep)
        if lockstep.comparing:
            assert busy & 1
            assert before > 0
            assert lockstep.steps > before + 6
        lockstep.restart()
        lockstep.train(3)
        lockstep.check_registers()

    return scenario


def host_access(rng: random.Random, spec: DesignSpec) -> Scenario:
    """A host that reads every address, writes every word of every memory in any order, and writes what must not change anything."""
    registers = register_map(spec)
    readable = {each.address + word for each in registers.values() if "r" in each.access for word in range(each.words)}
    written = {each.address for each in registers.values() if "w" in each.access}
    places = [(memory, lane) for memory in spec.memories for lane in range(spec.hardware.lanes)]
    orders = {place: rng.sample(range(spec.layout.words), spec.layout.words) for place in places}
    contents = {memory: random_memory(rng, spec, memory) for memory in spec.memories}
    contents[Memory.PARAMETER] = random_parameters(rng, spec)

    def load(lockstep: Lockstep) -> None:
        for memory, values in contents.items():
            if memory is Memory.PARAMETER:
                lockstep.load(values)
            else:
                lockstep.load_learned(memory, values)

    def read_in_any_order(lockstep: Lockstep) -> None:
        for (memory, lane), order in orders.items():
            lockstep.write("select", memory << 16 | lane)
            rows = np.empty(spec.layout.words, dtype=np.int64)
            for word in order:
                lockstep.write("address", word)
                rows[word] = lockstep.read("data")
            if lockstep.comparing:
                mine = spec.layout.parameter_lane == lane
                expected = contents[memory][mine] & 0xFFFFFFFF
                np.testing.assert_array_equal(rows[spec.layout.parameter_word[mine]], expected, err_msg=f"{memory.name} of lane {lane}")

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.check_registers()
        found = {address: lockstep.link.read(address) for address in range(256)}
        if lockstep.comparing:
            assert found[registers["magic"].address] == MAGIC
            assert found[registers["digest"].address] | found[registers["digest"].address + 1] << 32 == int(spec.digest, 16)
            assert found[registers["status"].address] == 0
            assert not any(value for address, value in found.items() if address not in readable), "an address without a register reads 0"
        load(lockstep)
        lockstep.check_registers()
        read_in_any_order(lockstep)
        for address in sorted(set(range(256)) - written):
            lockstep.link.write(address, 0xFFFFFFFF)
        lockstep.check_registers()
        lockstep.train(4)
        lockstep.check_registers()
        lockstep.infer(2)
        lockstep.train(3)
        lockstep.check_registers()

    return scenario


def discarding(spec: DesignSpec) -> Scenario:
    """A host that drops the samples that are loaded; none of the streams stalls, so that all buffers are full before."""
    loaded = spec.sample_buffers - spec.kept_samples - 1  # one buffer has the sample that steps use, or none yet

    def discard(lockstep: Lockstep) -> None:
        for _ in range(40 * loaded * spec.network.record_inputs):
            lockstep.read("status")
        lockstep.command(Command.DISCARD)
        for _ in range(loaded if lockstep.comparing else 0):
            next(lockstep.stream)

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        discard(lockstep)
        lockstep.train(spec.schedule.sample_period * 2)
        discard(lockstep)
        lockstep.infer(1)
        lockstep.train(spec.schedule.sample_period * 2)
        lockstep.check_registers()

    return scenario


def other_periods(rng: random.Random, spec: DesignSpec) -> tuple[DesignSpec, Scenario] | None:
    """A host that runs a core with shorter periods than it was built for, and a design of that core; None if no others are possible."""
    fixed = replace(spec, formats=replace(spec.formats, error=spec.error_format)) if spec.node else spec
    found = []
    for _ in range(60):
        periods = [rng.randint(1, max(1, built)) for built in (spec.schedule.perturbation_period, *(2 * [spec.schedule.update_period]))]
        try:
            schedule = replace(spec.schedule, **dict(zip(("perturbation_period", "sample_period", "update_period"), periods, strict=True)))
            other = replace(fixed, schedule=schedule)
        except DesignError:
            continue
        if other.digest == fixed.digest and schedule != spec.schedule:
            found.append(other)
    if not found:
        return None

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.train(4)
        for other in found[:3]:
            lockstep.restart(spec=other)
            lockstep.train(9)
            lockstep.check_registers()

    return fixed, scenario
