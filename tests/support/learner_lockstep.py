"""A learner's core and its model, step by step: what the host does to one is done to the other, and what they show is equal."""

from __future__ import annotations

import random
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from python_ref.fixed import learner as model
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.probes import COUNTERS
from python_ref.spec.registers import Command, Status, register_map
from sim import host
from tests.support.learner_bench import LearnerBench
from tests.support.virtual_chip import VirtualChip

__all__ = ["LearnerLockstep"]


class _Logged:
    """The chip of the model, whose calls and errors are kept."""

    def __init__(self, lockstep: LearnerLockstep) -> None:
        self.lockstep = lockstep

    def __call__(self, words: np.ndarray, sample: int, count: int) -> list[int]:
        return self.lockstep._log(words, sample, count)

    def apply(self, errors: np.ndarray) -> None:
        self.lockstep.chip.apply(errors)
        if errors.any():
            self.lockstep.errors.append(errors.tolist())


class LearnerLockstep:
    """The state of the model beside a core.

    Parameters
    ----------
    spec : LearnerSpec
        Learner that runs.
    chip : VirtualChip
        Chip of the core; the model has a copy of it.
    parameters : list of int
        Raw parameters at the start.
    seed : int or None
        Seed of the random streams; None takes the design's own.
    bench : keywords
        Settings of the :class:`LearnerBench`.
    """

    def __init__(self, spec: LearnerSpec, chip: VirtualChip, parameters: list[int], seed: int | None = None, **bench: Any) -> None:
        self.spec, self.chip, self.seed = spec, deepcopy(chip), seed
        self.bench = LearnerBench(spec, chip, **bench)
        self.state = model.initial_learner(spec, np.array(parameters), seed=seed)
        self.calls: list[tuple[np.ndarray, int, list[int]]] = []
        self.errors: list[list[int]] = []
        self.abandoned = 0
        self.last: dict[str, np.ndarray] = {}
        self.working = 0

    async def prepare(self) -> None:
        """Set the core up for step 0."""
        await self.bench.host(lambda link: host.prepare(self.spec, link, self.state.parameters, self.seed))

    async def load(self, parameters: list[int]) -> None:
        """Write other parameters."""
        self.state = self.state.with_load(np.array(parameters))
        await self.bench.host(lambda link: host.load_parameters(self.spec, link, self.state.parameters))

    async def set_average(self, average: int) -> None:
        """Take the mean of another number of cost words."""
        self.state, self.bench.average = replace(self.state, average=average), average
        await self.bench.host(lambda link: host.write_register(self.spec, link, "average", average))

    async def clear(self) -> None:
        """Clear the counters."""
        self.state, self.working = self.state.with_clear(), self.bench.working
        await self.bench.host(lambda link: host.clear_counters(self.spec, link))

    async def train(self, steps: int) -> None:
        """Train, and begin again after every abandoned step."""
        target = self.state.steps + steps
        while self.state.steps < target:
            first, count = next(host.runs(self.spec, self.state.steps, target - self.state.steps))
            before = len(self.bench.measured)

            def run(link: Any, first: int = first, count: int = count) -> None:
                host.set_rate(self.spec, link, first)
                host.write_register(self.spec, link, "count", count)
                host.write_register(self.spec, link, "command", Command.TRAIN)
                link.wait_idle()

            await self.bench.host(run)
            late = bool(await self.bench.host(lambda link: host.read_register(self.spec, link, "status")) & Status.LATE)
            assert late == self.expect(count, before), "only an abandoned step sets the status bit"

    def _log(self, words: np.ndarray, sample: int, count: int) -> list[int]:
        costs = self.chip(words, sample, count)
        self.calls.append((words, sample, costs))
        return costs

    def expect(self, count: int, before: int) -> bool:
        """Compare a run of at most so many steps with the model; whether its last step was abandoned."""
        events, complete, passes = self.bench.take_events(), [], []
        observed, average = None, self.state.average
        self.calls = []
        for _ in range(count):
            state, calls = self.state, len(self.calls)
            schedule, n = self.spec.schedule, state.steps
            first = state.due or state.late or n % schedule.sample_period == 0 or n % schedule.update_period == 0 or self.spec.two_sided
            self.state, observed = model.step(self.spec, state, _Logged(self))
            passes += [0, 1][0 if first else 1 :][: len(self.calls) - calls]
            if observed is None:
                break
            complete.append(observed)
            self.last = observed
        self.abandoned += observed is None
        assert len(self.bench.measured) - before == len(self.calls) == len(passes)
        for (words, sample, asked), call in zip(self.bench.measured[before:], self.calls, strict=True):
            assert words.tolist() == call[0].tolist() and sample == call[1] and asked == 1 << average
        assert self.bench.errors == self.errors, "a run leaves the outside with all errors"
        self._compare_passes(events, passes, average)
        self._compare_steps(events, complete)
        assert self.bench.held.tolist() == self.state.parameters.tolist(), "a run leaves the outside with the parameters"
        return observed is None

    def _rows(self, values: list[int]) -> list[list[int]]:
        """Values of the quantities as the lanes show them, with zeros at the end."""
        lanes = self.spec.hardware.lanes
        padded = values + [0] * (-len(values) % lanes)
        return [padded[first : first + lanes] for first in range(0, len(padded), lanes)]

    def _compare_passes(self, events: dict, passes: list[int], average: int) -> None:
        spec = self.spec
        sent = [(number, row) for number, (words, _, _) in zip(passes, self.calls, strict=True) for row in self._rows(words.tolist())]
        found = events["presented"]
        assert list(zip(found["pass"][:, 0].tolist(), found["value"].tolist(), strict=True)) == sent
        up = spec.outside.average - average
        costs = [(n, sum(c) << up) for n, (_, _, c) in zip(passes, self.calls, strict=True) if len(c) == 1 << average]
        found = events["cost"]
        assert list(zip(found["pass"][:, 0].tolist(), found["cost"][:, 0].tolist(), strict=True)) == costs

    def _compare_steps(self, events: dict, complete: list[dict[str, np.ndarray]]) -> None:
        counters = [dict(zip(COUNTERS, each["counter"].tolist(), strict=True)) for each in complete]
        for event, place in (("step", 0), ("learned", 1)):
            for name, column in events[event].items():
                if name in ("signature", "cost_change"):
                    expected = [int(each[name][place if name == "signature" else 0]) for each in complete]
                else:
                    expected = [each[name] for each in counters]
                assert column[:, 0].tolist() == expected, f"{event}: {name}"
        for name, column in events["word"].items():
            expected = [row for each in complete for row in self._rows(each[name].tolist())]
            assert column.tolist() == expected, f"word: {name}"

    async def check_registers(self) -> None:
        """Read everything back."""
        spec, state, bench = self.spec, self.state, self.bench
        counters = await bench.host(lambda link: host.read_counters(spec, link))
        assert counters.pop("cycles") == bench.working - self.working
        cost = await bench.host(lambda link: host.read_register(spec, link, "cost"))
        wide = 64 if register_map(spec)["cost_change"].words == 2 else 32
        change = await bench.host(lambda link: host.read_register(spec, link, "cost_change"))
        assert [cost >> 64 * n & (1 << 64) - 1 for n in (0, 1)] == [int(each) & (1 << 64) - 1 for each in self.last["cost"]]
        assert change == int(self.last["cost_change"][0]) & (1 << wide) - 1
        assert counters == dict(zip(COUNTERS, state.counters.tolist(), strict=True))
        if spec.hardware.signature:
            signature = await bench.host(lambda link: host.read_register(spec, link, "signature"))
            assert signature == state.signature[0] | state.signature[1] << 32
        kept = {"parameter": state.parameters, "gradient": state.gradient, **state.optimizer}
        for memory in spec.memories:
            found = await bench.host(lambda link, memory=memory: host.read_memory(spec, link, memory))
            assert found.tolist() == kept[memory.name.lower()].tolist(), memory

    @staticmethod
    def drawn(rng: random.Random, **bench: Any) -> LearnerLockstep:
        """Return the lockstep of a random learner with a random chip."""
        from tests.support.learner_designs import random_chip, random_learner, random_quantities

        spec = random_learner(rng)
        print(spec)
        return LearnerLockstep(
            spec, random_chip(rng, spec), random_quantities(rng, spec), rng.choice((None, rng.randrange(1 << 63))), **bench
        )
