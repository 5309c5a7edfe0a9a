"""What a host may do with a core, as scenarios of :mod:`tests.support.lockstep`."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import DesignError
from python_ref.spec.optimizer import ShiftAdam
from python_ref.spec.registers import MAGIC, Command, Memory, Status, register_map
from python_ref.spec.schedule import MAX_PERIOD
from sim import host
from tests.support.designs import random_parameters
from tests.support.lockstep import Lockstep

__all__ = [
    "Scenario",
    "constant_rate",
    "discarding",
    "extremes",
    "host_access",
    "large_counts",
    "long_periods",
    "near_limits",
    "no_commands",
    "other_periods",
    "other_rates",
    "plain",
    "random_scenario",
    "resuming",
    "starving",
    "stopping",
    "ties",
    "writes_while_busy",
]

Scenario = Callable[[Lockstep], None]


def plain(steps: int) -> Scenario:
    """A run of so many steps, and all that can be read after it."""

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.check_registers()
        lockstep.train(steps)
        lockstep.check_registers()
        lockstep.check_cycles()

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
    return np.array([rng.randint(form.min, form.max) for _ in range(spec.n_parameters)], dtype=np.int64)


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


def writes_while_busy(spec: DesignSpec, other: np.ndarray, reads: tuple[int, int] = (60, 150)) -> Scenario:
    """A host that writes other parameters, settings and commands while the core is busy: none of them has an effect.

    The rate of the design is constant. So many reads last longer than what is left of a step, and than seven steps.
    """
    names = ("count", "exponent", "perturbation_period", "sample_period", "update_period", "select", "address", "stream")

    def stop(lockstep: Lockstep) -> None:
        lockstep.command(Command.STOP)
        lockstep.link.wait_idle()
        lockstep.follow(lockstep.read("steps") - lockstep.steps)
        lockstep.check_registers()

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        last = spec.layout.words - 1
        lockstep.write("select", Memory.PARAMETER << 16)
        lockstep.write("address", last)
        lockstep.write("count", 1_000_000)
        lockstep.command(Command.TRAIN)
        lockstep.read("data")
        host.load_parameters(spec, lockstep.link, other)
        for name in names:
            lockstep.write(name, 3)
        for command in (Command.RESTART, Command.CLEAR, Command.DISCARD, Command.TRAIN, Command.INFER):
            lockstep.command(command)
        for _ in range(reads[0]):  # a run that was stopped has ended
            lockstep.read("status")
        busy, magic = lockstep.read("status"), lockstep.read("magic")
        lockstep.command(Command.STOP)
        lockstep.link.wait_idle()
        data = lockstep.read("data")
        stop(lockstep)
        placed = (spec.layout.parameter_lane == 0) & (spec.layout.parameter_word == last)
        if lockstep.comparing and placed.any():
            expected = int(lockstep.state.parameters[placed][0]) & 0xFFFFFFFF
            assert data == expected, f"the addressed word is {data:#x}, not {expected:#x}: address or select has changed during a run"
        # What is left of the run, with the settings that it had.
        before = lockstep.steps
        lockstep.command(Command.TRAIN)
        for _ in range(reads[1]):
            lockstep.read("status")
        stop(lockstep)
        if lockstep.comparing:
            assert busy & 1, "only STOP ends a run"
            assert magic == MAGIC
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


def no_commands() -> Scenario:
    """A host that writes numbers to ``command`` that are none: nothing happens."""
    numbers = (0, 7, 8, *(command | 1 << bit for command in Command for bit in (3, 8, 15, 16, 24, 31)))

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.train(3)
        lockstep.write("count", 5)
        for number in numbers:
            lockstep.write("command", number)
            status = lockstep.read("status")
            assert not status, f"after the command {number:#x}, status is {status:#x}"
        lockstep.check_registers()
        lockstep.train(3)
        lockstep.check_registers()

    return scenario


def large_counts(behind: Scenario | None = None, delay: int = 12) -> Scenario:
    """Runs of 2ᵏ and 2ᵏ + 1 steps, which are stopped: they last beyond the step at which each part of the count has borrowed.

    The rate of the design is constant; otherwise the model does not follow, and ``behind`` resets the core.
    """

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        for bit in range(8, 32):
            lockstep.write("count", (1 << bit) + bit % 2)
            lockstep.command(Command.TRAIN)
            for _ in range(delay):
                lockstep.read("status")
            busy = lockstep.read("status")
            lockstep.command(Command.STOP)
            lockstep.link.wait_idle()
            if behind is None:
                lockstep.follow(lockstep.read("steps") - lockstep.steps)
            assert busy & 1 or not lockstep.comparing, f"a run of 2^{bit} steps has ended too early"
        if behind is not None:
            behind(lockstep)
        lockstep.check_registers()
        lockstep.train(3)
        lockstep.check_registers()

    return scenario


def starving(spec: DesignSpec, samples: int) -> Scenario:
    """A host that lets a core wait for a sample, reads that it waits, and stops it; the stream has so many samples."""

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.train(spec.schedule.sample_period * samples)
        before = lockstep.read("status")
        lockstep.write("count", 5)
        lockstep.command(Command.TRAIN)
        for _ in range(30):
            lockstep.read("status")
        waiting, steps, cycles = lockstep.read("status"), lockstep.read("steps"), lockstep.read("cycles")
        for _ in range(10):
            lockstep.read("status")
        later = lockstep.read("cycles")
        if lockstep.comparing:
            assert before == 0
            assert waiting == Status.BUSY | Status.STARVED, f"without a sample, status is {waiting:#x}"
            assert steps == lockstep.steps, "without a sample there is no step"
            assert cycles == later, "cycles of waiting are not counted"

    return scenario


def extremes(rng: random.Random, spec: DesignSpec) -> Scenario:
    """A host that gives a core parameters at their limits, so that whatever can saturate does."""
    low, high = spec.parameter_limits
    ends = np.array([low, high], dtype=np.int64)
    count = spec.n_parameters
    given = [np.full(count, high), np.full(count, low), ends[np.arange(count) % 2]]
    given += [ends[[rng.randrange(2) for _ in range(count)]] for _ in range(5)]

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        for parameters in given:
            lockstep.load(parameters)
            lockstep.train(4)
            lockstep.check_registers()

    return scenario


def near_limits(rng: random.Random, spec: DesignSpec, loads: int = 24) -> Scenario:
    """A host that gives a core parameters which are a power of two from a limit, for one step each time.

    A parameter that is pushed beyond its limit changes unless it is there already, which each of its bits decides.
    """
    low, high = spec.parameter_limits
    places = spec.formats.weight.width - 2

    def near() -> int:
        away = 1 << rng.randrange(places)
        return rng.choice((low + away, high - away))

    given = [np.clip([near() for _ in range(spec.n_parameters)], low, high) for _ in range(loads)]

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        for parameters in given:
            lockstep.load(parameters)
            lockstep.train(spec.schedule.update_period)
        lockstep.check_registers()

    return scenario


def ties(rng: random.Random, spec: DesignSpec) -> Scenario:
    """A host that gives a core parameters for which outputs are equal or nearly so.

    All are zero, or neurons of a layer are alike, or outputs are their biases alone, which differ by a bit.
    """
    alike = np.concatenate(
        [np.resize(random_parameters(rng, spec)[: layer.n_parameters // layer.n_out], layer.n_parameters) for layer in spec.network.layers]
    )

    near = [rng.choice((-1, 1)) * alike + np.array([rng.choice((-1, 0, 0, 1)) << place for _ in alike]) for place in (*range(8), 0, 2, 4)]
    last = spec.network.layers[-1]
    for place in range(spec.formats.weight.width - 1):
        rows = np.zeros((last.n_out, last.n_parameters // last.n_out), dtype=np.int64)  # a neuron's bias comes first
        rows[:, 0] = rng.randint(*spec.parameter_limits) // 4 + np.array([rng.choice((-1, 0, 1)) << place for _ in rows])
        near.append(np.concatenate([alike[: -rows.size], rows.ravel()]))

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        for parameters in (np.zeros_like(alike), alike, *near, -alike):
            lockstep.load(np.clip(parameters, *spec.parameter_limits))
            lockstep.infer(11)
            lockstep.check_registers()
            lockstep.train(1)
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


def long_periods(spec: DesignSpec) -> tuple[DesignSpec, Scenario] | None:
    """A host that sets each period in turn to each power of two that a core can count, and a design of that core; None if there are none.

    Where a bit of such a period is lost, it is the shortest one, which a few steps show.
    """
    fixed = replace(spec, formats=replace(spec.formats, error=spec.error_format)) if spec.node else spec
    found = []
    for name in ("perturbation_period", "sample_period", "update_period"):
        for bit in range(1, MAX_PERIOD.bit_length()):
            try:
                other = replace(fixed, schedule=replace(spec.schedule, **{name: 1 << bit}))
            except DesignError:
                continue
            if other.digest == fixed.digest:
                found.append(other)
    if not found:
        return None

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        for other in found:
            lockstep.restart(spec=other)
            lockstep.train(3)
            lockstep.check_registers()

    return fixed, scenario


def other_rates(spec: DesignSpec) -> tuple[DesignSpec, Scenario] | None:
    """A host that sets every exponent that a core was built for, from the largest one down, and a design of that core with these rates;
    None if an exponent follows from more than the rate."""
    fixed = replace(spec, formats=replace(spec.formats, error=spec.error_format)) if spec.node else spec
    (low, high), largest = spec.exponents, max(rate for _, rate in spec.schedule.learning_rate)
    every = 2 * max(2, spec.schedule.update_period)
    rates = tuple((number * every, largest - number) for number in range(high - low + 1))
    falling = replace(fixed, schedule=replace(spec.schedule, learning_rate=rates))
    return (falling, plain(len(rates) * every)) if falling.digest == fixed.digest else None


def other_periods(rng: random.Random, spec: DesignSpec) -> tuple[DesignSpec, Scenario] | None:
    """A host that runs a core with shorter periods than it was built for, and in a network with state with signs that last for another
    number of frames, and a design of that core; None if no others are possible."""
    fixed = replace(spec, formats=replace(spec.formats, error=spec.error_format)) if spec.node else spec
    found = []
    for _ in range(60):
        periods = [rng.randint(1, max(1, built)) for built in (spec.schedule.perturbation_period, *(2 * [spec.schedule.update_period]))]
        if not spec.node and rng.random() < 0.5:  # τ_x is not limited by what was built
            periods[1] = rng.choice((2, 3, 5, 7, (1 << rng.randrange(8, 16)) + rng.randrange(2)))
        try:
            schedule = replace(spec.schedule, **dict(zip(("perturbation_period", "sample_period", "update_period"), periods, strict=True)))
            other = replace(fixed, schedule=schedule)
            if spec.series:
                hold, segments = rng.randint(1, spec.network.frames), spec.unrolled.segments
                other = replace(other, perturbation=replace(spec.perturbation, hold=hold, segments=segments))
        except DesignError:
            continue
        if other.digest == fixed.digest and (schedule != spec.schedule or other.perturbation != spec.perturbation):
            found.append(other)
    if not found:
        return None

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.train(4)
        for other in found[:5]:
            lockstep.restart(spec=other)
            lockstep.train(9)
            lockstep.check_registers()

    return fixed, scenario
