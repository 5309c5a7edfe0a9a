"""What a run cost up to one of its records: evaluations, cycles, seconds, writes, energy with its range, and the wear of one cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mgd_hw.common.results import Result
from mgd_hw.efficiency.variants import BACKPROP_ADAM, BACKPROP_PLAIN, FIXED, Variant
from mgd_hw.learn.costs import (
    OPTIMIZERS,
    Costs,
    Energy,
    costs_of_backprop,
    costs_of_mgd,
    cycles_of_backprop,
    cycles_of_mgd,
    times_on,
)
from python_ref.fixed.tally import REASONS
from python_ref.spec.design import DesignSpec
from python_ref.spec.optimizer import Memory

if TYPE_CHECKING:
    from boards.board import Board

__all__ = ["ENDURANCES", "Counts", "EnergyRange", "Seconds", "Wear", "counts_at", "cycles_at", "energy_range", "mean_of", "wear_of"]

ENDURANCES = tuple(10**power for power in range(5, 10))
"""Numbers of writes that a memory cell is assumed to survive."""

_CACHE_BITS = 8 * 8192  # of the cache of 8 KB whose energy is published
_ADD_32, _MULTIPLY_32 = 0.1e-12, 3.1e-12  # J, integers of 32 bits, the widest that are published


@dataclass(frozen=True)
class EnergyRange(Result):
    """Estimate of the energy of the counted operations at 45 nm, in the widths of the design where it has hardware, and its range.

    Attributes
    ----------
    joules : float
        Estimate: operations interpolated to the widths of the design, and a cache of 8 KB for every memory.
    low : float
        The same, with memories as small as the parameters of one lane where these take less than 8 KB.
    high : float
        Every operation at 32 bits, and all memories of the core in one, where these take more than 8 KB.
    arithmetic, memory : float
        Parts of ``joules`` that arithmetic and memory take.
    """

    joules: float
    low: float
    high: float
    arithmetic: float
    memory: float


@dataclass(frozen=True)
class Seconds(Result):
    """Time on a board, in seconds: of the core at its clock, and of the samples on its serial line, which go on at once."""

    core: float
    line: float


@dataclass(frozen=True)
class Counts(Result):
    """What a run cost from its beginning up to a record, or the mean of several runs.

    Attributes
    ----------
    steps, updates, samples, evaluations : float
        Steps of MGD, or updates of back-propagation; updates; training samples presented; passes of a sample through the network, of which
        a probe takes only the layers behind the perturbed one, and which back-propagation takes backwards as well.
    full_evaluations : float
        Multiplications at synapses, divided by those of one pass through the whole network; NaN where operations are not counted.
    cycles : float
        Clock cycles of the lanes; NaN for a design that no hardware does.
    writes, changed : float
        Parameter values written by a core that writes every parameter at every update, and those of them that changed.
    unchanged : dict of str to float
        Values that updates left as they were, by reason (:data:`python_ref.fixed.tally.REASONS`); NaN where changes are not known, as
        the other counts of changes are.
    most_written, most_changed : float
        Largest number of writes of any one parameter, if each update writes it, and if only changes are written.
    energy : EnergyRange
        Estimate of the energy of the counted operations.
    float_joules : float
        Estimate for the same operations on real numbers of 32 bits; NaN for what was not trained in real numbers.
    seconds : dict of str to Seconds
        Time on each board, by its name; empty for a design that no hardware does.
    """

    steps: float
    updates: float
    samples: float
    evaluations: float
    full_evaluations: float
    cycles: float
    writes: float
    changed: float
    unchanged: dict[str, float]
    most_written: float
    most_changed: float
    energy: EnergyRange
    float_joules: float
    seconds: dict[str, Seconds]


@dataclass(frozen=True)
class Wear(Result):
    """Trainings that the memory of the parameters survives.

    Attributes
    ----------
    endurance : int
        Writes that one cell survives.
    always, if_changed : int or None
        Whole trainings until the first cell fails, if every update writes every parameter, and if only changes are written; None where the
        writes are not known, or where no cell is written.
    """

    endurance: int
    always: int | None
    if_changed: int | None


def wear_of(counts: Sequence[Counts]) -> tuple[Wear, ...]:
    """Return the trainings that cells of each endurance survive, by the run that writes a cell most."""

    def trainings(endurance: int, most: Sequence[float]) -> int | None:
        known = [value for value in most if not math.isnan(value)]
        return int(endurance // max(known)) if known and max(known) > 0 else None

    always, changed = [each.most_written for each in counts], [each.most_changed for each in counts]
    return tuple(Wear(endurance, trainings(endurance, always), trainings(endurance, changed)) for endurance in ENDURANCES)


def energy_range(energy: Energy, lane_bits: int, all_bits: int) -> EnergyRange:
    """Return the estimate of an energy in the widths of a design, with its range.

    The published energies of caches of 8 KB, 32 KB and 1 MB, 10, 20 and 100 pJ for 64 bits, grow as the square root of the size; so
    do those here.

    Parameters
    ----------
    energy : Energy
        Operations of a run, and their energies.
    lane_bits, all_bits : int
        Size of the smallest memory and of all memories, in bits.
    """
    small, large = (math.sqrt(bits / _CACHE_BITS) for bits in (lane_bits, all_bits))
    low = energy.arithmetic_joules + energy.memory_joules * min(1.0, small)
    wide = energy.multiplications * _MULTIPLY_32 + energy.additions * _ADD_32
    high = max(energy.arithmetic_joules, wide) + energy.memory_joules * max(1.0, large)
    return EnergyRange(energy.joules, low, high, energy.arithmetic_joules, energy.memory_joules)


def counts_at(variant: Variant, record: Mapping[str, Any], boards: Sequence[Board]) -> Counts:
    """Return what a run of a variant cost up to a record, whose columns are those of :data:`mgd_hw.efficiency.training.COLUMNS`."""
    spec, steps = variant.design.spec, int(record["steps"])
    samples = -(-steps // spec.schedule.sample_period) if variant.mgd else record["evaluations"]
    costs, cycles = _costs(variant, record), cycles_at(variant, record)
    known = costs.energy_fixed or costs.energy
    lane, everything = _memory(variant, spec)
    passes = sum(layer.n_in * layer.n_out for layer in spec.network.layers)
    full = math.nan if costs.multiply_accumulates is None or cycles is None else costs.multiply_accumulates / passes
    seconds = {board.name: Seconds(*times_on(spec, samples, cycles, board)[2:]) for board in boards} if cycles is not None else {}
    return Counts(
        steps=steps,
        updates=record["updates"],
        samples=samples,
        evaluations=record["evaluations"],
        full_evaluations=full,
        cycles=math.nan if cycles is None else cycles,
        writes=record["writes"],
        changed=_known(record["changed"]),
        unchanged={reason: _known(record[f"unchanged_{reason}"]) for reason in REASONS},
        most_written=record["updates"],
        most_changed=_known(record["most_changed"]),
        energy=energy_range(known, lane, everything),
        float_joules=math.nan if variant.model in (FIXED, BACKPROP_PLAIN) else costs.energy.joules,
        seconds=seconds,
    )


def _known(value: float | None) -> float:
    """Return a count, NaN for one that is not known."""
    return math.nan if value is None else value


def cycles_at(variant: Variant, record: Mapping[str, Any]) -> int | None:
    """Return the clock cycles of a run up to a record; None for a variant that no hardware does."""
    if variant.cycles is None:
        return None
    spec = variant.design.spec
    return cycles_of_mgd(spec, int(record["steps"])) if variant.mgd else cycles_of_backprop(spec, int(record["evaluations"]))


def _costs(variant: Variant, record: Mapping[str, Any]) -> Costs:
    """Return the costs of a run up to a record."""
    design, evaluations, writes = variant.design, int(record["evaluations"]), int(record["writes"])
    if variant.mgd:
        return costs_of_mgd(design, int(record["steps"]), fixed=variant.model == FIXED, evaluations=evaluations, writes=writes)
    return costs_of_backprop(design, evaluations, writes, plain=variant.model == BACKPROP_PLAIN)


def _memory(variant: Variant, spec: DesignSpec) -> tuple[int, int]:
    """Return the sizes in bits of the parameters of one lane, and of all memories of a core.

    Back-propagation with Adam has a gradient and two words of state for each parameter as well.
    """
    from rtl_gen.emit import memory_bits

    lane = spec.layout.words * spec.memories[Memory.PARAMETER].width
    more = 1 + OPTIMIZERS["adam"][2] if variant.model == BACKPROP_ADAM else 0
    return lane, memory_bits(spec) + more * spec.network.n_parameters * spec.gradient_format.width


def mean_of(counts: Sequence[Counts]) -> Counts:
    """Return the means of the counts of several runs of one variant."""

    def mean(values: Sequence[Any]) -> Any:
        if isinstance(values[0], Mapping):
            return {key: mean([each[key] for each in values]) for key in values[0]}
        if isinstance(values[0], Result):
            return type(values[0])(**{name: mean([getattr(each, name) for each in values]) for name in vars(values[0])})
        return sum(values) / len(values)

    found: Counts = mean(counts)
    return found
