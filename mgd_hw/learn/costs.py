"""Costs of a run: steps, evaluations, clock cycles, seconds on a board, writes, and an estimate of the energy from operation counts.

Operations are counted from the equations, those of MGD in docs/design/machine.md and those of back-propagation on the same network, and
multiplied by published energies. The estimate thus covers the arithmetic and its memory accesses, in one technology for all models. It
is not the energy that an FPGA needs, since it does not include wires and clock distribution.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mgd_hw.common import style
from mgd_hw.common.results import Result
from mgd_hw.hardware.timeline import step_contract
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.optimizer import OPTIMIZERS as HARDWARE_OPTIMIZERS

if TYPE_CHECKING:
    from rich.console import RenderResult

    from boards.board import Board
    from mgd_hw.design.description import Design

__all__ = [
    "BACKPROP_PASSES",
    "ENERGY_SOURCE",
    "Costs",
    "Energy",
    "costs_of_backprop",
    "costs_of_mgd",
    "costs_shown",
    "counted",
    "cycles_of_backprop",
    "cycles_of_mgd",
    "evaluations_of_mgd",
    "seconds_on",
    "times_on",
]

ENERGY_SOURCE = (
    "M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014, pp. 10-14, figure 1.1.9: 45 nm, 0.9 V; "
    "a cache of 8 KB for every memory, a write taken as a read"
)
"""Publication that the energies of operations are taken from, with the assumptions about memory."""

BACKPROP_PASSES = 3
"""Passes through all slots that a sample of back-propagation takes on the lanes of a core: forward, backward and update."""

_PICO = 1e-12
_ADD_8, _ADD_32 = 0.03, 0.1  # pJ, integers of 8 and 32 bits
_MULTIPLY_32 = 3.1  # pJ, integers of 32 bits; 0.2 for 8 bits, and 3.1·(8·8)/(32·32) is 0.19
_FLOAT_ADD, _FLOAT_MULTIPLY = 0.9, 3.7  # pJ, 32 bits
_CACHE_64 = 10.0  # pJ, 64 bits of a cache of 8 KB
_FLOAT_BITS = 32

OPTIMIZERS = {
    "nesterov": (3, 3, 1),
    "sign": (0, 1, 0),
    "adam": (9, 4, 2),  # a division and a square root count as one multiplication each, although they take more
    **{name: optimizer.operations for name, optimizer in HARDWARE_OPTIMIZERS.items()},
}
"""Multiplications, additions and words of state in one parameter's update, by the name of the optimiser. The core multiplies only where its
optimiser squares G: rates and decays are powers of two, hence shifts."""


@dataclass(frozen=True)
class Energy(Result):
    """Estimate of the energy that the operations of a run need.

    Attributes
    ----------
    numbers : str
        Type of the operands: "float32", "fixed" for the widths of the design, or "uncounted" where operations are not counted.
    multiplications, additions : int
        Number of each operation in the whole run; 0 where operations are not counted.
    memory_bits : int
        Number of bits read from and written to memories, without perturbation signs and padding.
    arithmetic_joules, memory_joules : float
        Energy of multiplications and additions, and of reading and writing memory; NaN where operations are not counted.
    """

    numbers: str
    multiplications: int
    additions: int
    memory_bits: int
    arithmetic_joules: float
    memory_joules: float

    ALSO = ("joules",)

    @property
    def joules(self) -> float:
        """Energy of arithmetic and memory together."""
        return self.arithmetic_joules + self.memory_joules


@dataclass(frozen=True)
class Costs(Result):
    """Costs of one run; where they differ between seeds, their mean.

    Attributes
    ----------
    steps : int
        Number of training steps of MGD, or of updates of back-propagation.
    evaluations : int
        Number of samples propagated forward. Back-propagation propagates each of them back as well.
    multiply_accumulates : int or None
        Multiplications at the network's synapses, forward and back; None where operations are not counted.
    writes : int
        Number of parameter values written, summed over all updates.
    saturations : float
        Number of values that did not fit their format, in all casts together; NaN for real numbers.
    cycles : int or None
        Clock cycles of the core, without the flushing pass; None for other models than the fixed one.
    board : str
        Name of the board that the times are for; "" if none was named.
    clock_hz : float
        Clock of the core on the board, in Hz; NaN without a board.
    core_seconds, line_seconds : float
        Time of the core at this clock, and of the samples on the board's serial line, in seconds. The two overlap.
    energy : Energy
        Estimate in the numbers of the model. It is NaN for an external forward pass and for the analog form, whose operations are not
        counted.
    energy_fixed : Energy or None
        Estimate for the same operations in the widths of the design's formats; None for a design that has no hardware.
    energy_source : str
        Publication that the energies of operations are taken from.
    """

    steps: int
    evaluations: int
    multiply_accumulates: int | None
    writes: int
    saturations: float
    cycles: int | None
    board: str
    clock_hz: float
    core_seconds: float
    line_seconds: float
    energy: Energy
    energy_fixed: Energy | None = None
    energy_source: str = field(default=ENERGY_SOURCE)

    ALSO = ("hardware_seconds",)

    @property
    def hardware_seconds(self) -> float:
        """Time of the run on the board, in seconds: that of the core or of the serial line, whichever is longer."""
        return max(self.core_seconds, self.line_seconds)


# -- Cycles and seconds -----------------------------------------------------------------------------------------------


def counted(design: Design) -> bool:
    """Return whether the cycles and the operations of a design are counted; those of a network with state are not yet."""
    return not design.spec.series


def cycles_of_mgd(spec: DesignSpec, steps: int) -> int:
    """Return the clock cycles that the core of a design takes for its first ``steps`` steps, by its contract, without the flushing pass."""
    return step_contract(spec).first_steps(spec, steps)


def evaluations_of_mgd(spec: DesignSpec, steps: int) -> int:
    """Return the number of passes of one sample through the network in the first ``steps`` steps of the core of a design.

    In node perturbation a presentation takes an unperturbed pass, and a step one probe, or two if the difference is two-sided.
    """
    if spec.node:
        return spec.schedule.presentations(steps) + steps * (spec.passes - 1)
    one, two = spec.schedule.passes(steps)
    return one + 2 * two


def cycles_of_backprop(spec: DesignSpec, samples: int) -> int:
    """Return the clock cycles that back-propagation of ``samples`` samples would take on the lanes of a design's core.

    No such core exists. Each of its passes (:data:`BACKPROP_PASSES`) visits every parameter where the layout of the design's core has it,
    which takes the N slots of the layout. Waiting for a layer's last activations is not counted, so the figure is a lower bound.
    """
    return samples * BACKPROP_PASSES * spec.layout.slots


def seconds_on(spec: DesignSpec, samples: int, cycles: int, board: Board | None) -> float:
    """Return the seconds of the core or of the serial line on a board, whichever is slower; NaN without a board."""
    _, _, core, line = times_on(spec, samples, cycles, board)
    return max(core, line)


def times_on(spec: DesignSpec, samples: int, cycles: int, board: Board | None) -> tuple[str, float, float, float]:
    """Return the name of the board, its clock in Hz, and the seconds of the core and of the serial line on it."""
    from python_ref.spec.frames import sample_bytes

    if board is None:
        return "", math.nan, math.nan, math.nan
    hertz = 1e6 * float(board.core_mhz)
    return board.name, hertz, cycles / hertz, samples * sample_bytes(spec) * 10 / board.baud


# -- Operations -------------------------------------------------------------------------------------------------------

Operation = tuple[str, int, int]
"""Kind of an operation ("multiply", "add" or "memory"), and the widths of its operands in bits."""


@dataclass(frozen=True)
class _Layer:
    """Dimensions of a layer that determine its number of operations.

    Attributes
    ----------
    n_in, n_out : int
        Number of inputs and of neurons of each window.
    lanes : int
        Number of neurons that share one read of an input.
    windows : int
        Number of windows that share the weights; 1 for a dense layer.
    tabulated : bool
        Whether the activation is read from a table.
    operand : int
        Width of an input, in bits.
    """

    n_in: int
    n_out: int
    lanes: int
    windows: int
    tabulated: bool
    operand: int

    @property
    def synapses(self) -> int:
        return self.windows * self.n_in * self.n_out

    @property
    def neurons(self) -> int:
        return self.windows * self.n_out

    @property
    def parameters(self) -> int:
        return (self.n_in + 1) * self.n_out

    @property
    def broadcasts(self) -> int:
        """Number of reads of an input; each serves as many neurons as there are lanes."""
        return self.windows * self.n_in * -(-self.n_out // self.lanes)


def _layers(design: Design) -> tuple[_Layer, ...]:
    """Return the layers of a design's network that have parameters."""
    spec, lanes = design.spec, design.spec.hardware.lanes
    if design.float_only.architecture == "dense":
        return tuple(
            _Layer(layer.fan_in, layer.n_out, lanes, 1, layer.activation.tabulated, spec.operand_format(number).width)
            for number, layer in enumerate(spec.network.layers)
        )
    from mgd_hw.design.float_model import network

    net, found = network(design), []
    for weights, nodes in zip(net.parameters, net.nodes, strict=True):
        n_out, n_in = weights.shape[0], weights.shape[1] - 1
        found.append(_Layer(n_in, n_out, lanes, math.prod(nodes.shape) // n_out, True, 32))
    return tuple(found)


class _Work(Counter):
    """Counter of operations by their kind and widths."""

    def do(self, kind: str, count: int, left: int, right: int = 0) -> None:
        """Add ``count`` operations of a kind on operands of these widths."""
        self[kind, left, right] += count

    def energy(self, numbers: str) -> Energy:
        """Return the energy of all operations, for "fixed" in the counted widths, for "float32" in 32 bits."""
        if numbers not in ("fixed", "float32"):
            raise unknown("Numbers", numbers, "mgd_hw.learn.costs._Work.energy")
        totals, arithmetic, memory = Counter[str](), 0.0, 0.0
        for (kind, left, right), count in self.items():
            bits = _FLOAT_BITS if numbers == "float32" else left
            totals[kind] += count * bits if kind == "memory" else count
            joules = count * _picojoules(kind, bits, right, numbers == "float32") * _PICO
            arithmetic, memory = (arithmetic, memory + joules) if kind == "memory" else (arithmetic + joules, memory)
        return Energy(numbers, totals["multiply"], totals["add"], totals["memory"], arithmetic, memory)


def _picojoules(kind: str, left: int, right: int, real: bool) -> float:
    """Return the energy of one operation, in pJ.

    Published energies are interpolated: an adder's grows with the width, a multiplier's with the product of the two widths.
    """
    match kind:
        case "memory":
            return _CACHE_64 * left / 64
        case "add":
            return _FLOAT_ADD if real else _ADD_8 + (left - 8) * (_ADD_32 - _ADD_8) / 24
        case "multiply":
            return _FLOAT_MULTIPLY if real else _MULTIPLY_32 * left * right / 32**2
        case _:
            raise unknown("Operation", kind, "mgd_hw.learn.costs._picojoules")


def _forward(work: _Work, spec: DesignSpec, layers: Iterable[_Layer], times: int) -> None:
    """Count the operations of ``times`` forward passes of a sample."""
    weight, activation, accumulator = spec.formats.weight.width, spec.formats.activation.width, spec.accumulator_width
    for layer in layers:
        work.do("memory", times * (layer.synapses + layer.neurons), weight)
        work.do("memory", times * layer.broadcasts, layer.operand)
        work.do("multiply", times * layer.synapses, weight, layer.operand)
        work.do("add", times * layer.synapses, accumulator)
        work.do("memory", times * layer.neurons * (1 + layer.tabulated), activation)


def _perturb(work: _Work, spec: DesignSpec, layers: Iterable[_Layer], times: int) -> None:
    """Count the additions of sΔ, to each pre-activation or each parameter, in ``times`` perturbed passes."""
    for layer in layers:
        if spec.node:
            work.do("add", times * layer.neurons, spec.accumulator_width)
        else:
            work.do("add", times * layer.parameters, spec.formats.weight.width)


def _cost(work: _Work, spec: DesignSpec, n_out: int, times: int) -> None:
    """Count the operations of ``times`` evaluations of the squared error of ``n_out`` outputs."""
    error = spec.residual_format.width
    work.do("add", times * n_out, error)
    work.do("multiply", times * n_out, error, error)
    work.do("add", times * n_out, spec.cost_format.width)


def _presentations(work: _Work, spec: DesignSpec, layers: Sequence[_Layer], steps: int) -> int:
    """Count the operations of the presentations of node perturbation in ``steps`` steps, without their updates.

    A presentation has one unperturbed pass, which stores the pre-activations of the layers that begin a part, and probes that start from
    these. Each perturbed neuron adds s·C̃ to its E. At the end every synapse multiplies the error of its neuron by its input, and adds the
    product to G if there is a gradient memory.

    Returns
    -------
    int
        Number of multiplications at synapses.
    """
    schedule = spec.schedule
    unperturbed, ended, probes = schedule.presentations(steps), schedule.presentations_ended(steps), steps * (spec.passes - 1)
    total, turns = spec.error_sum_format.width, spec.round.turns(steps)
    _forward(work, spec, layers, unperturbed)
    for number in range(len(layers)) if spec.incremental else [part.first for part in spec.round.parts]:
        work.do("memory", unperturbed * layers[number].neurons, spec.preactivation_format(0 if spec.incremental else number).width)
    products = (_incremental_probes if spec.incremental else _full_probes)(work, spec, layers, steps)
    perturbed = steps if spec.incremental else sum(part.neurons * count for part, count in turns)
    _cost(work, spec, layers[-1].n_out, unperturbed + probes)
    work.do("add", steps, spec.cost_change_format.width)
    work.do("add", perturbed, total)
    work.do("memory", 2 * perturbed, total)
    for layer in layers:
        work.do("memory", ended * layer.broadcasts, layer.operand)
        work.do("multiply", ended * layer.synapses, spec.error_format.width, layer.operand)
        if spec.gradient_memory:
            work.do("add", ended * layer.parameters, spec.gradient_format.width)
            work.do("memory", 2 * ended * layer.parameters, spec.gradient_format.width)
    updates = steps // schedule.update_period
    work.do("memory", updates * sum(layer.parameters for layer in layers), spec.formats.weight.width)  # θ, read in a pass of its own
    return (unperturbed + ended) * sum(layer.synapses for layer in layers) + products


def _full_probes(work: _Work, spec: DesignSpec, layers: Sequence[_Layer], steps: int) -> int:
    """Count the operations of the probes of ``steps`` steps; return the number of multiplications.

    A probe adds sΔ to each kept pre-activation of the first layer of its part, and computes the layers behind it.
    """
    products = 0
    for part, count in spec.round.turns(steps):
        first, behind, probes = layers[part.first], layers[part.first + 1 :], count * (spec.passes - 1)
        work.do("memory", probes * first.neurons, spec.preactivation_format(part.first).width)
        work.do("memory", probes * first.neurons * (1 + first.tabulated), spec.formats.activation.width)
        _forward(work, spec, behind, probes)
        _perturb(work, spec, layers[part.first : part.last + 1], probes)
        products += probes * sum(layer.synapses for layer in behind)
    return products


def _incremental_probes(work: _Work, spec: DesignSpec, layers: Sequence[_Layer], steps: int) -> int:
    """Count the operations of the incremental probes of ``steps`` steps; return the number of multiplications.

    A probe adds ±Δ to the kept pre-activation of its neuron, subtracts the neuron's activation in the unperturbed pass from the new one,
    multiplies one weight of each neuron of the next layer by the difference, and computes the layers behind that one. Where the perturbed
    neuron is an output itself, the outputs' weights are multiplied by a difference of 0.
    """
    activation, products = spec.formats.activation.width, 0
    for number, count in enumerate(spec.network.probed_layers(0, steps, spec.schedule.perturbation_period)):
        after, probes = min(number + 1, len(layers) - 1), count * (spec.passes - 1)
        moved, behind = probes * layers[after].neurons, layers[after + 1 :]
        work.do("memory", probes + moved, spec.accumulator_width)
        work.do("memory", probes * (1 + layers[0].tabulated) + moved * (1 + layers[after].tabulated), activation)
        work.do("memory", moved, spec.formats.weight.width)
        work.do("multiply", moved, spec.formats.weight.width, activation + 1)
        work.do("add", probes + moved, spec.accumulator_width)
        work.do("add", probes, activation)
        _forward(work, spec, behind, probes)
        products += moved + probes * sum(layer.synapses for layer in behind)
    return products


def _steps(work: _Work, design: Design, layers: Sequence[_Layer], steps: int, runs: int) -> int:
    """Count the operations of steps of ``runs`` full passes, without their updates; return the number of multiplications at synapses."""
    spec, core = design.spec, not design.float_only.requests
    _, baselines = spec.schedule.passes(steps)
    _forward(work, spec, layers, runs)
    _perturb(work, spec, layers, runs - (0 if spec.two_sided or not core else baselines))
    _cost(work, spec, layers[-1].n_out, runs)
    correlations = steps if core else steps * design.float_only.batch * design.float_only.repeats
    _correlate(work, spec, layers, correlations, spec.gradient_memory or not core)
    return runs * sum(layer.synapses for layer in layers)


def _correlate(work: _Work, spec: DesignSpec, layers: Iterable[_Layer], times: int, memory: bool) -> None:
    """Count the operations of ``times`` gradient estimates: C̃·xⱼ or C̃, and its sum in the gradient memory if there is one."""
    change, gradient = spec.cost_change_format.width, spec.gradient_format.width
    work.do("add", times, change)
    for layer in layers:
        if spec.node:
            work.do("memory", times * layer.broadcasts, layer.operand)
            work.do("multiply", times * layer.broadcasts, change, layer.operand)
        if memory:
            work.do("add", times * (layer.synapses + layer.neurons if spec.node else layer.parameters), gradient)
            work.do("memory", 2 * times * layer.parameters, gradient)


def _update(work: _Work, spec: DesignSpec, parameters: int, times: int, name: str, shifts: bool) -> None:
    """Count the operations of ``times`` updates of all parameters; the reads of the parameters count in the passes that follow."""
    multiplications, additions, words = OPTIMIZERS[name]
    widths = [variable.format.width for variable in spec.optimizer_state] or [spec.gradient_format.width] * words
    state = max(widths, default=spec.gradient_format.width)
    gradient = spec.gradient_format.width
    work.do("multiply", 0 if shifts else times * parameters * multiplications, state, state)
    work.do("multiply", times * parameters * spec.optimizer.squares if shifts else 0, gradient, gradient)
    work.do("add", times * parameters * (additions - 1), state)
    work.do("add", times * parameters, spec.formats.weight.width)
    for width in widths:
        work.do("memory", 2 * times * parameters, width)
    work.do("memory", times * parameters, spec.formats.weight.width)


# -- Costs ------------------------------------------------------------------------------------------------------------


def costs_of_mgd(
    design: Design,
    steps: int,
    *,
    fixed: bool,
    evaluations: int | None = None,
    writes: int | None = None,
    saturations: float = math.nan,
    board: Board | None = None,
) -> Costs:
    """Count the costs of a run of MGD from step 0.

    Parameters
    ----------
    design : Design
        Design that is trained.
    steps : int
        Number of MGD steps in the run.
    fixed : bool
        Whether the run is that of the core or its fixed model; otherwise it is MGD in real numbers.
    evaluations, writes : int or None
        Forward passes and parameter writes that the run counted; None computes them from the schedule. The operations of a design of
        node perturbation that has hardware are those of the machine, whatever the passes that a float model takes for the same signs.
    saturations : float
        Saturated casts that the run counted; NaN for real numbers.
    board : Board or None
        Board for which times are computed; None leaves them NaN.
    """
    spec, float_only = design.spec, design.float_only
    if float_only.external is not None or float_only.form == "analog":
        return _uncounted(design, steps, evaluations, writes)
    layers, work, core = _layers(design), _Work(), not float_only.requests
    runs = evaluations_of_mgd(spec, steps) if evaluations is None else evaluations
    updates, samples = steps // spec.schedule.update_period, -(-steps // spec.schedule.sample_period)
    parameters, n_out = sum(layer.parameters for layer in layers), layers[-1].n_out
    products = _presentations(work, spec, layers, steps) if core and spec.node else _steps(work, design, layers, steps, runs)
    name = float_only.optimizer if not core else spec.optimizer.name
    _update(work, spec, parameters, updates, name, shifts=core)
    work.do("memory", samples * float_only.batch * spec.network.n_in, spec.formats.input.width)
    work.do("memory", samples * float_only.batch * n_out, spec.formats.activation.width)
    cycles = cycles_of_mgd(spec, steps) if fixed else None
    return Costs(
        steps,
        runs,
        products,
        updates * parameters if writes is None else writes,
        saturations,
        cycles,
        *times_on(spec, samples, cycles or 0, board if fixed else None),
        work.energy("fixed" if fixed else "float32"),
        work.energy("fixed") if core else None,
    )


def _uncounted(design: Design, steps: int, evaluations: int | None, writes: int | None) -> Costs:
    """Return the costs of a run whose operations are not counted: of an external forward pass, or of the analog form."""
    nothing = Energy("uncounted", 0, 0, 0, math.nan, math.nan)
    updates = steps // design.spec.schedule.update_period
    written = updates * design.spec.network.n_parameters if writes is None else writes
    runs = evaluations_of_mgd(design.spec, steps) if evaluations is None else evaluations
    return Costs(steps, runs, None, written, math.nan, None, "", math.nan, math.nan, math.nan, nothing)


def costs_of_backprop(design: Design, evaluations: int, writes: int, *, plain: bool = False) -> Costs:
    """Count the costs of back-propagation on the same network: with Adam, and with a gradient memory that is updated at every sample.

    A sample takes its forward pass, an outer product for the weights of every layer, and the backward pass of the errors through all
    layers but the first: between two and three times the multiplications of a forward pass.

    Parameters
    ----------
    design : Design
        Design whose network is trained.
    evaluations : int
        Number of samples propagated forward and back.
    writes : int
        Number of parameter values written, summed over all updates.
    plain : bool
        Whether every sample updates the parameters directly, by plain descent at a rate that is a power of two: then there is neither a
        gradient memory nor Adam, and a pass of its own reads the parameters, as in the core.
    """
    spec, layers, work = design.spec, _layers(design), _Work()
    parameters = sum(layer.parameters for layer in layers)
    updates = writes // parameters
    weight, activation, gradient = spec.formats.weight.width, spec.formats.activation.width, spec.gradient_format.width
    error, accumulator = spec.residual_format.width, spec.accumulator_width
    _forward(work, spec, layers, evaluations)
    work.do("add", evaluations * layers[-1].n_out, error)
    for number, layer in enumerate(layers):
        work.do("multiply", evaluations * layer.neurons, error, activation)  # the slope
        work.do("memory", evaluations * layer.broadcasts, layer.operand)  # stored by the forward pass
        work.do("multiply", evaluations * layer.synapses, error, layer.operand)
        if not plain:
            work.do("add", evaluations * (layer.synapses + layer.neurons), gradient)
            work.do("memory", 2 * evaluations * layer.parameters, gradient)
        if number:
            work.do("memory", evaluations * layer.synapses, weight)
            work.do("multiply", evaluations * layer.synapses, error, weight)
            work.do("add", evaluations * layer.synapses, accumulator)
    _update(work, spec, parameters, updates, "sgd" if plain else "adam", shifts=plain)
    work.do("memory", updates * parameters if plain else 0, weight)  # θ, read in a pass of its own
    work.do("memory", evaluations * spec.network.n_in, spec.formats.input.width)
    forward = sum(layer.synapses for layer in layers)
    macs = 2 * forward + sum(layer.synapses for layer in layers[1:])
    real, narrow = work.energy("float32"), None if design.float_only.requests else work.energy("fixed")
    seconds = ("", math.nan, math.nan, math.nan)
    return Costs(updates, evaluations, evaluations * macs, writes, math.nan, None, *seconds, real, narrow)


def costs_shown(rows: Sequence[tuple[str, Costs | None]]) -> RenderResult:
    """Render the costs of a run of each model for the terminal: a table of counts, a table of energies, and the limits of the latter.

    Parameters
    ----------
    rows : sequence of (str, Costs or None)
        Title of each model, and the costs of one of its runs; models without costs are left out.
    """
    found = [(title, costs) for title, costs in rows if costs is not None]
    if not found:
        return
    boards = sorted({costs.board for _, costs in found if costs.board})
    table = style.table("costs of a run", "steps", "cycles", *(f"on {board}" for board in boards), "multiply-adds", "saturations")
    for title, costs in found:
        table.add_row(
            title,
            f"{costs.steps:,}",
            "–" if costs.cycles is None else f"{costs.cycles:,}",
            *(style.scaled(costs.hardware_seconds, "s") for _ in boards),
            "–" if costs.multiply_accumulates is None else f"{costs.multiply_accumulates:,}",
            "–" if math.isnan(costs.saturations) else f"{costs.saturations:,.0f}",
        )
    yield table
    for costs in (costs for _, costs in found if costs.board):
        yield (
            f"On {costs.board}: {style.scaled(costs.core_seconds, 's')} in the core at {costs.clock_hz / 1e6:g} MHz, "
            f"{style.scaled(costs.line_seconds, 's')} for its samples on the line; both go on at once"
        )
    table = style.table("energy, estimated", "numbers", "arithmetic", "memory", "both", "all in the design's widths")
    for title, costs in found:
        energy, narrow = costs.energy, costs.energy_fixed
        table.add_row(
            title,
            energy.numbers,
            *(style.scaled(value, "J") for value in (energy.arithmetic_joules, energy.memory_joules, energy.joules)),
            "–" if narrow is None else style.scaled(narrow.joules, "J"),
        )
    yield table
    yield "Operations counted, at the energies of 45 nm (Horowitz, ISSCC 2014): of the arithmetic, not of an FPGA."
