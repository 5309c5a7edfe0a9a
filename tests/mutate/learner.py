"""Learners in the campaign: small ones, and what a host may do with them beside a chip."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from math import lcm

from python_ref.spec.formats import Cast, LearnerFormats
from python_ref.spec.hardware import Hardware
from python_ref.spec.learner import MAX_CYCLES, LearnerSpec, Outside
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import Momentum, Sgd, ShiftAdam
from python_ref.spec.perturbation import Kind, LfsrCode, Perturbation, WalshCode
from python_ref.spec.registers import Command, Status
from python_ref.spec.schedule import MAX_PERIOD, Difference, Schedule
from sim.run import Stalls
from tests.mutate.runs import Rehearsed
from tests.support.bench_scenarios import counting_to_the_end, cutting, resetting
from tests.support.designs import random_parameters
from tests.support.learner_host import SETTLED, LearnerHost, LearnerRehearsal
from tests.support.scenarios import (
    extremes,
    host_access,
    large_counts,
    long_periods,
    no_commands,
    other_periods,
    other_rates,
    plain,
    random_scenario,
    resuming,
    stopping,
    writes_while_busy,
)

__all__ = ["LEARNERS", "other_outsides", "rehearsed_learner", "silences", "waits"]

_OUTSIDE = Outside(SETTLED - 1, 2, 40, 2)
"""The shortest wait in which the chip settles."""
_PLAIN = LearnerSpec(
    "learner",
    5,
    Perturbation(Kind.WEIGHT, LfsrCode(), -3, 4),
    Schedule(((0, -1),), 2, 4, 3),
    Momentum(2),
    LearnerFormats(Fixed(True, 2, 8), Fixed(True, 3, 8)),
    outside=_OUTSIDE,
)

LEARNERS = {
    "learner": _PLAIN,
    "learner:streams": replace(
        _PLAIN,
        name="streams",
        external=8,
        schedule=Schedule(((0, 0),), difference=Difference.TWO_SIDED),
        optimizer=Sgd(),
        formats=LearnerFormats(
            Fixed(True, 2, 6), Fixed(True, 3, 12), gradient=Fixed(True, 4, 12), weight_cast=Cast(Rounding.STOCHASTIC, Overflow.SATURATE)
        ),
        hardware=Hardware(3),
        outside=replace(_OUTSIDE, average=0, samples=3),
    ),
    "learner:nodes": LearnerSpec(
        "nodes",
        5,
        Perturbation(Kind.NODE, LfsrCode(), -3, 4),
        Schedule(((0, -1),), 1, 4, 2),
        formats=LearnerFormats(Fixed(True, 2, 8), Fixed(True, 3, 8)),
        hardware=Hardware(2),
        outside=replace(_OUTSIDE, average=1),
    ),
    "learner:adam": replace(
        _PLAIN,
        name="adam",
        perturbation=Perturbation(Kind.WEIGHT, WalshCode(), -3, 4),
        schedule=Schedule(((0, -4), (20, -6)), 1, 2, 2),
        optimizer=ShiftAdam(2, 3),
    ),
}
"""Small learners by name: several periods and momentum; streams with stochastic rounding; node currents; Adam by shifts and two rates."""

_STEPS = 60
"""Steps of a plain run."""


def silences(rng: random.Random) -> Callable[[LearnerHost], None]:
    """A chip whose costs do not come, behind any number of words, and a host that trains again, clears, restarts or stops."""
    turns = [(rng.randint(1, 14), rng.randint(2, 9)) for _ in range(14)]

    def scenario(lockstep: LearnerHost) -> None:
        lockstep.prepare()
        for number, (words, steps) in enumerate(turns):
            lockstep.seek(lockstep.chip.position, words)
            lockstep.write("count", steps)
            lockstep.command(Command.TRAIN)
            lockstep.link.wait_idle()
            late = lockstep.follow(steps)
            status = lockstep.read("status")
            if lockstep.comparing:
                assert status == (Status.LATE if late else 0), f"status {status:#x} behind a run"
            if number % 4 == 1:
                lockstep.clear()
            elif number % 4 == 2:
                lockstep.restart()
            status = lockstep.read("status")
            if lockstep.comparing and number % 4 in (1, 2):
                assert status == 0, f"status {status:#x} behind a clear or a restart"
            lockstep.check_registers()
            lockstep.seek(lockstep.chip.position)
            lockstep.train(3)
            lockstep.check_registers()

    return scenario


def other_outsides(rng: random.Random, spec: LearnerSpec) -> Callable[[LearnerHost], None]:
    """A host that sets other numbers of samples and of cost words, and other waits.

    Each power of two of a wait and of samples follows, and one more.
    """
    found = [
        Outside(
            SETTLED - 1 + rng.choice((0, 1, 7, 32, 300)),
            rng.randint(0, spec.outside.average),
            rng.choice((40, 70, 700, 70_000)),
            rng.choice((1, 2, 3, 5, 300)),
        )
        for _ in range(8)
    ]
    # Where a bit of a long wait, or of many samples, is lost, no cost comes in time, or there is one sample.
    longest = (MAX_CYCLES.bit_length(), MAX_PERIOD.bit_length())
    long = [
        replace(spec.outside, timeout_cycles=(1 << bit) + more, samples=(1 << min(bit, longest[1] - 1)) + more)
        for bit in range(7, longest[0])
        for more in (0, 1)
    ]

    def scenario(lockstep: LearnerHost) -> None:
        lockstep.prepare()
        for outside in (*found, *long):
            lockstep.restart()
            lockstep.tell(outside)
            lockstep.train(7 if outside in found else 3)
            lockstep.check_registers()

    return scenario


def waits(spec: LearnerSpec) -> Callable[[LearnerHost], None]:
    """Waits of 2ᵏ cycles and a cycle more, for a chip that settles, and for a cost that does not come."""

    def scenario(lockstep: LearnerHost) -> None:
        lockstep.prepare()
        for bit in range(3, 13):
            for more in (0, 1):
                lockstep.restart()
                lockstep.tell(replace(spec.outside, settle=(1 << bit) + more, timeout_cycles=(1 << bit) + 40 + more))
                lockstep.seek(lockstep.chip.position, 1)
                lockstep.train(1)
                lockstep.check_registers()

    return scenario


def rehearsed_learner(spec: LearnerSpec, seed: int = 1) -> list[Rehearsed]:
    """Return all scenarios of a learner, the quickest to kill first."""
    rng = random.Random(f"scenarios {seed}")
    schedule = spec.schedule
    block = lcm(schedule.perturbation_period, schedule.sample_period, schedule.update_period)
    constant = len(spec.exponent_changes) == 1
    found: list[tuple[str, LearnerSpec, Callable, Stalls | None]] = [("plain", spec, plain(max(_STEPS, 3 * block)), None)]
    found.append(("host access", spec, host_access(rng, spec), Stalls(5, 0.3)))
    found += [(f"random {number}", spec, random_scenario(rng, spec), Stalls(number, 0.3)) for number in range(1, 6)]
    found.append(("no commands", spec, no_commands(), None))
    found.append(("silences", spec, silences(rng), None))
    found.append(("other outsides", spec, other_outsides(rng, spec), None))
    found.append(("waits", spec, waits(spec), None))
    found.append(("extremes", spec, extremes(rng, spec), None))
    found.append(("counters", spec, counting_to_the_end(spec), None))
    found += [(f"reset {number}", spec, resetting(rng, spec), stalls) for number, stalls in ((1, None), (2, Stalls(9, 0.3)))]
    found.append(("cut", spec, cutting(rng, spec), None))
    parameters = random_parameters(rng, spec)
    behind = None if constant else lambda lockstep: lockstep.reset(400, parameters)
    found.append(("large counts", spec, large_counts(behind, delay=30), None))
    if constant:
        found += [(f"stop {number}", spec, stopping([rng.randint(0, 90) for _ in range(3)]), None) for number in (1, 2)]
        found.append(("resume", spec, resuming((2, 2), block), None))
        found.append(("writes while busy", spec, writes_while_busy(spec, random_parameters(rng, spec)), None))
    others_of = {"other periods": other_periods(rng, spec), "long periods": long_periods(spec), "other rates": other_rates(spec)}
    for name, others in others_of.items():
        if others is not None:
            found.append((name, *others, Stalls(7, 0.3)))
    return [Rehearsed(name, LearnerRehearsal(each, scenario, rng), stalls, patience=20_000) for name, each, scenario, stalls in found]
