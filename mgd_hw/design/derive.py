"""What a design file leaves out, derived from what it gives, with the reason."""

from __future__ import annotations

import math
from dataclasses import replace
from math import lcm
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mgd_hw.data.loading import Ranges, ranges, read_raw
from mgd_hw.data.raw import RawSamples
from mgd_hw.data.tasks import TASKS, DataSpec, Scaling
from mgd_hw.design.combinations import check_keys, check_layers, check_shape
from mgd_hw.design.derive_network import NetworkBuilder
from mgd_hw.design.description import CompareSpec, Derived, Design
from mgd_hw.design.float_only import FLOAT_CODES, FLOAT_OPTIMIZERS, NORMALISED, OPTIMIZER_KEYS
from mgd_hw.design.formats import UNSCALED_BITS, UNSCALED_TARGET_BITS, covering
from mgd_hw.design.given import Given
from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.error import DesignError
from python_ref.spec.layers import DENSE, MOST_WORD_BITS
from python_ref.spec.network import Network, Readout
from python_ref.spec.number import MAX_BITS, Fixed, Overflow, Rounding
from python_ref.spec.optimizer import OPTIMIZERS, Optimizer, Sgd
from python_ref.spec.parts import Round
from python_ref.spec.perturbation import CODES, Kind, LfsrCode, Perturbation
from python_ref.spec.schedule import MAX_PERIOD, Difference, Schedule
from python_ref.spec.unrolled import Unrolled

__all__ = ["DSP_ACCUMULATOR", "design_of"]

DSP_ACCUMULATOR = 32
"""Bits that the multiplier block of a small FPGA, the iCE40 UP5K, accumulates by itself."""

SCALED_BITS = 8
"""Width in bits of the derived format of inputs that are scaled."""

FEW_QUANTITIES = 64
"""Largest number of perturbed quantities of a network with state that are measured one by one; otherwise random probes learn faster."""

SERIES_PROBES = 16
"""Random probes of a sample of a network with state: beside them, the unperturbed and the applying pass take few cycles."""

WEIGHT_NOISE = 1 / 8
"""Share of the perturbed weights that counts as noise at the rate.

A random step along all D weights is stable if η times the trace of the Hessian is small, not η·D times its largest eigenvalue, 2‖x‖²: most
directions hardly change the outputs. The trace alone would allow up to 16 times as much, but then the parameters diffuse along these
directions. In between, by measurement with ``lfsr``: `xor` 2^-4 and `parity` 2^-5, as shipped; `nist7x7` learns alike from 2^-11 to 2^-9,
`digits` from 2^-15 to 2^-13. This share gives 2^-4, 2^-6, 2^-10 and 2^-14.
"""

WEIGHT_FRAMES = 8
"""Most frames that count in the derived rate of perturbed weights, since a parameter acts in each frame that the states remember.

By measurement of two seeds with ``lfsr``, `digits_rows` of 8 frames and `vowels` of up to 29 learned most at 2^-15, this gives 2^-16, and
at 2^-13 neither learned; 2-8-2 of leaky tanh neurons and 12 frames learned at 2^-10, which this gives, to 2^-12, and did not at 2^-9. With
``relu`` it took half of that.
"""

PRESENTATIONS = 4_000
"""Presentations that a comparison trains by default, enough for the shipped tasks to be learned for the greater part."""

_WHY_SEQUENTIAL = "one neuron at a time: a probe of each measures the gradient of a sample without noise"

_WHY_DRAWN = "one neuron at a time: the draws of other neurons add no noise to what a probe measures"


def design_of(given: Given, text: str) -> Design:
    """Return the design that a file describes; every value that the file leaves out is derived.

    Parameters
    ----------
    given : Given
        The values of the file.
    text : str
        The text of the file, which the design keeps.

    Raises
    ------
    DesignError
        If the machine cannot be built as described.
    Refusal
        If keys do not go together, or samples that something follows from cannot be read.
    """
    return _Builder(given, text).design()


def _why_memory(spec: DesignSpec) -> str:
    """Return the reason why the lanes of a core need, or do not need, a memory for G."""
    sample, update = spec.schedule.sample_period, spec.schedule.update_period
    if spec.segmented:
        return "it sums over the frames" if spec.gradient_memory else "the frames are summed for one group of neurons after the other"
    if not spec.node:
        return f"update_period = {update}"
    if spec.gradient_memory:
        return f"sample_period = {sample} is no multiple of update_period = {update}: samples change between two updates"
    return f"sample_period = {sample}, update_period = {update}: every presentation ends with an update"


def _flatness(network: Network) -> int:
    """Return the number of octaves by which the rate of exact gradients may rise since the steepest slopes of the activations are below 1.

    A hidden layer counts half as much as the output's, by measurement, and only beside a flat output.
    """

    def octaves(activation: Activation) -> int:
        if activation.slope_of is None:
            return 0
        return max(0, math.floor(-math.log2(activation.slope(np.linspace(0.0, 1.0, 9)).max())))

    output = octaves(network.output)
    return output + (octaves(network.hidden) // 2 if output and len(network.sizes) > 2 else 0)


def _why_error(spec: DesignSpec) -> str:
    """Return the reason for the derived format of errors, and the sum that an error is narrowed from."""
    steps = spec.presentation.summed
    summed = "one cost change" if steps == 1 else f"{'K = ' if steps == spec.longest_presentation else ''}{steps:,} cost changes"
    return f"{spec.presentation.error_reason}; E, the sum of {summed}, is {spec.error_sum_format}"


def _scaled_format(least: float, greatest: float) -> Fixed:
    """The format of 8 bits for inputs that are scaled to these values; the largest one may be a last place below."""
    signed, largest = least < 0, max(-least, greatest, 2.0**-8)
    integer = max(0, math.ceil(math.log2(largest))) + signed
    return Fixed(signed, integer, max(0, SCALED_BITS - integer))


class _Widened(NamedTuple):
    """A format that was derived from samples which are not scaled, and is wider for them."""

    width: int
    scaling_key: str
    cause: str
    remedy: str


class _Builder(NetworkBuilder):
    """Derives what a file leaves out, and notes each derived value with its reason."""

    def __init__(self, given: Given, text: str) -> None:
        super().__init__(given)
        self.text = text
        self.raw: RawSamples | None = None
        self.widened: list[_Widened] = []

    def design(self) -> Design:
        """Return the design; see :func:`design_of`."""
        check_keys(self.given)
        name = self.name()
        task = self.task()
        network = self.network(task)
        check_layers(self.given, network)
        data = self.data(task, network)
        seen = self.unscaled(data)
        try:
            spec = self.machine(name, network, data, seen)
        except DesignError as error:
            raise self.cause(error, name, network, data) from None
        spec = self.within_accumulator(spec)
        self.note_formats(spec)
        float_only = replace(self.float_only, code=str(self.values.get("perturbation.code", spec.perturbation.code.name)))
        return Design(self.given.path, self.text, spec, data, self.compare(spec), tuple(self.derived), float_only, self.raw)

    def machine(self, name: str, network: Network, data: DataSpec, seen: Ranges | None) -> DesignSpec:
        optimizer = self.optimizer()
        formats = self.formats(network, data, seen, optimizer)
        perturbation = self.perturbation(network, formats)
        schedule = self.schedule(network, perturbation, formats, optimizer, seen)
        return DesignSpec(name, network, perturbation, schedule, optimizer, formats, self.hardware(network))

    def cause(self, error: DesignError, name: str, network: Network, data: DataSpec) -> Exception:
        """Return the refusal of the scaling if the machine could be built with scaled samples, otherwise ``error``."""
        if not self.widened:
            return error
        try:
            self.machine(name, network, data, None)
        except DesignError:
            return error
        widest = max(self.widened)
        reason = f"{widest.cause}, which the machine cannot hold: {error.key}: {error.reason}"
        return self.refuse(widest.scaling_key, reason, widest.remedy, "none")

    def name(self) -> str:
        """Return the name of the design, which is that of its file by default."""
        return str(self.get("name", self.given.name, "the file's name"))

    def task(self) -> str:
        """Return the task: the one that the file names, or the one that follows from the extension of ``data.path``."""
        path = str(self.values.get("data.path", "")).lower()
        for ending in ("csv", "npz", "ts"):
            if "data.task" not in self.values and path.endswith(f".{ending}"):
                return str(self.get("data.task", ending, "the ending of data.path"))
        if "data.path" in self.values and "data.task" not in self.values:
            raise self.refuse(
                "data.task", "it was left out, and the ending of data.path does not say it", 'Add task = "mnist", say, to [data].'
            )
        if not {"data.task", "network.layers", "network.architecture"} & self.values.keys():
            raise self.refuse(
                "network.layers",
                "it was left out, and so was data.task, from which it would follow",
                "Write layers = [2, 4, 1], say, in [network].",
            )
        return str(self.get("data.task", "random", "no task was given: noise, enough to generate, co-simulate and synthesise"))

    def data(self, task: str, network: Network) -> DataSpec:
        facts = TASKS[task]
        bipolar = network.output.bipolar
        files, answers = ([name for name, each in TASKS.items() if getattr(each, what)] for what in ("takes_path", "any_answers"))
        takers = {"data.path": files, "data.kind": answers, "data.target_scaling": answers}
        takers |= {f"data.{key}": ["csv"] for key in ("label", "drop", "header", "delimiter", "decimal", "series")}
        for key, tasks in takers.items():
            if key in self.values and task not in tasks:
                listed = ", ".join(tasks)
                raise self.refuse(
                    key, f'data.task = "{task}" takes none', f"Remove it, or take one of these tasks: {listed}.", self.values[key]
                )
        if facts.needs_path and "data.path" not in self.values:
            raise self.refuse(
                "data.path",
                f'it was left out, and data.task = "{task}" needs it',
                f'Add path = "{"folder" if task == "idx" else "my." + task}" to [data].',
            )
        if "data.frames" in self.values and not facts.in_frames:
            listed = ", ".join(name for name, each in TASKS.items() if each.in_frames)
            reason, remedy = f'data.task = "{task}" has no frames', f"Remove it, or take one of these tasks: {listed}."
            raise self.refuse("data.frames", reason, remedy, self.values["data.frames"])
        check_shape(self.given, task, network)
        get = self.get
        path = get("data.path", None)
        return DataSpec(
            task=task,
            n_in=network.n_in,
            n_out=network.n_out,
            design_file=self.given.path,
            path=None if path is None else (self.given.path.parent / Path(str(path)).expanduser()),
            kind=get("data.kind", None),
            label=get("data.label", None),
            drop=get("data.drop", ()),
            header=get("data.header", None),
            delimiter=get("data.delimiter", None),
            decimal=get("data.decimal", None),
            scaling=get("data.scaling", facts.scaling),
            input_values=get("data.input_values", (0.0, 1.0)),
            target_scaling=get("data.target_scaling", Scaling.COLUMN),
            target_values=get(
                "data.target_values", (-1.0, 1.0) if bipolar else (0.0, 1.0), f"the output is {network.output.value}" if bipolar else None
            ),
            test_fraction=get("data.test_fraction", facts.test_fraction),
            validation_fraction=get("data.validation_fraction", 0.0),
            split_seed=get("data.split_seed", 0),
            stratify=get("data.stratify", False),
            train_samples=get("data.train_samples", None),
            test_samples=get("data.test_samples", None),
            shuffle=get("data.shuffle", True),
            shuffle_seed=get("data.shuffle_seed", 1),
            frames=network.frames if network.framed and not network.held else None,
            series=get("data.series", None),
            frames_at_once=get("data.frames", self.float_only.frames),
        )

    def unscaled(self, data: DataSpec) -> Ranges | None:
        """Ranges of the samples, where something that was left out follows from them: only values that are not scaled have any range."""
        followers = ["formats.input", "schedule.learning_rate"] if data.scaling is Scaling.NONE else []
        followers += ["formats.activation"] if data.target_scaling is Scaling.NONE else []
        if not any(key not in self.values for key in followers):
            return None
        self.raw = read_raw(data)
        found = ranges(data, self.raw)
        return found if data.scaling is Scaling.NONE else replace(found, power=0.0)

    def widen(self, key: str, like: Fixed, what: str, reach: tuple[float, float]) -> Fixed:
        """The format ``key`` of inputs or targets that are not scaled: ``like``, or a wider one that holds the range of the samples."""
        if key in self.values:
            return like
        width, scaling_key = (UNSCALED_BITS, "data.scaling") if what == "inputs" else (UNSCALED_TARGET_BITS, "data.target_scaling")
        found, cause = covering(*reach, like, width), f"the {what} reach from {reach[0]:g} to {reach[1]:g}"
        remedy = f"Leave it out, so that {what} are scaled."
        if found is None:
            raise self.refuse(scaling_key, f"{cause}, which no format of {MAX_BITS} bits holds", remedy, "none")
        if found != like:
            self.widened.append(_Widened(found.width, scaling_key, cause, remedy))
        return found

    def formats(self, network: Network, data: DataSpec, seen: Ranges | None, optimizer: Optimizer) -> Formats:
        used = {layer.activation for layer in network.layers if layer.kind.activated} or {network.output}
        scaled = data.scaling is not Scaling.NONE
        bounded = all(function.bounded for function in used)
        signed = any(function.signed for function in used) or min(data.target_values) < 0
        fraction = min(10, MOST_WORD_BITS // max(1, *(kind.thresholds for kind in network.kinds or (DENSE,))))
        activation = Fixed(signed, (2 if bounded else 4), fraction)
        low, high = data.target_values
        shown = " and ".join(sorted(function.value for function in used))
        shown += "" if fraction == 10 else f", whose thresholds have {MOST_WORD_BITS} bits together"
        while activation.max < high * 2**fraction or activation.min > low * 2**fraction:
            activation = replace(activation, integer_bits=activation.integer_bits + 1)
        if seen is not None and seen.targets is not None and data.target_scaling is Scaling.NONE:
            shown += f", and targets reach from {seen.targets[0]:g} to {seen.targets[1]:g}"
            activation = self.widen("formats.activation", activation, "targets", seen.targets)
        get, adds_up = self.get, network.framed and not self.weight
        unscaled, why = Fixed(True, 4, 8), "inputs are not scaled"
        if seen is not None:
            unscaled = self.widen("formats.input", unscaled, "inputs", seen.inputs)
            why = f"inputs are not scaled, and reach from {seen.inputs[0]:g} to {seen.inputs[1]:g}"

        def cast(name: str, rounding: Rounding, why: str | None = None) -> Cast:
            return Cast(get(f"formats.rounding.{name}", rounding, why, rounding.value), get(f"formats.overflow.{name}", Overflow.SATURATE))

        return Formats(
            input=get(
                "formats.input",
                _scaled_format(*data.input_values) if scaled else unscaled,
                f"inputs from {data.input_values[0]:g} to {data.input_values[1]:g}" if scaled else why,
            ),
            weight=get("formats.weight", Fixed(True, 4, 12), "the usual"),
            activation=get("formats.activation", activation, f"activations are {shown}"),
            table=get("formats.table", Fixed(True, 4, 6), "the usual" if any(function.tabulated for function in used) else None),
            cost_change=get("formats.cost_change", None),
            gradient=get("formats.gradient", None),
            error=get("formats.error", None),
            activation_cast=cast("activation", Rounding.HALF_EVEN),
            cost_change_cast=cast("cost_change", Rounding.HALF_EVEN),
            # A floor in each frame would add up to a drift.
            gradient_cast=cast("gradient", Rounding.HALF_EVEN) if adds_up else cast("gradient", *optimizer.gradient_rounding),
            weight_cast=cast("weight", Rounding.STOCHASTIC),
            error_cast=cast("error", Rounding.HALF_EVEN),
            state=get("formats.state", Formats.state, "the usual" if any(not kind.activated for kind in network.kinds) else None),
            state_cast=cast("state", Rounding.HALF_EVEN),
        )

    def perturbation(self, network: Network, formats: Formats) -> Perturbation:
        kind = self.get("perturbation.kind", Kind.NODE, "one perturbation per neuron learns faster than one per weight", Kind.NODE.value)
        spiking = any(not layer.kind.activated for layer in network.layers)
        amplitude, why = self.usual_amplitude(network, formats, kind, spiking)
        parts = self.values.get("learning.parts") if self.probes else None
        hold = self.hold(network, kind)
        if network.framed and kind is Kind.NODE:
            code = self.series_code(network, hold)
        elif self.probes and parts is None:
            code = str(self.get("perturbation.code", "sequential", _WHY_DRAWN if network.random else _WHY_SEQUENTIAL))
        else:
            code = str(self.get("perturbation.code", "lfsr", None if parts is None else "learning.parts: neurons are perturbed together"))
        return Perturbation(
            kind,
            LfsrCode() if code in FLOAT_CODES else CODES[code](),  # a code without hardware stands in `software` alone
            self.get("perturbation.amplitude", amplitude, why, f"2^{amplitude}"),
            self.get("perturbation.seed", 1),
            parts,
            hold,
        )

    def usual_amplitude(self, network: Network, formats: Formats, kind: Kind, spiking: bool) -> tuple[int, str]:
        """The amplitude, as its log₂, where the file leaves it out, and the reason."""
        places = [formats.weight.fraction_bits]
        if kind is Kind.NODE:
            operands = [formats.input] + [formats.activation] * (len(network.sizes) > 2)
            places = [formats.weight.fraction_bits + operand.fraction_bits for operand in operands]
            places += [formats.table.fraction_bits] * any(layer.activation.tabulated for layer in network.layers)
            places += [formats.state.fraction_bits] * spiking
        usual, reason = (-3, "an eighth of the threshold moves spikes") if spiking else (-6, "the usual")
        amplitude = max(usual, -min(places))
        return amplitude, reason if amplitude == usual else "the last place of what is perturbed"

    def hold(self, network: Network, kind: Kind) -> int | None:
        """The number of frames that one sign of a neuron lasts, which a network without state does not have."""
        if not network.framed or kind is not Kind.NODE:
            found: int | None = self.get("perturbation.hold", None)
            return found
        usual, why = (network.frames, "every frame is the same") if network.held else (1, "frames differ, and their order matters")
        hold: int = self.get("perturbation.hold", usual, why)
        return hold

    def series_code(self, network: Network, hold: int | None) -> str:
        """The name of the code of a network with state."""
        quantities = Unrolled.of(network, Perturbation(Kind.NODE, hold=hold)).quantities
        if any(not layer.kind.activated for layer in network.layers):
            # One neuron at a time, only upwards, four of five probes of digits_lif leave all counts of spikes as they were.
            return str(self.get("perturbation.code", "lfsr", "signs of both kinds: most single neurons leave the spikes as they were"))
        if quantities <= FEW_QUANTITIES:
            return str(self.get("perturbation.code", "sequential", _WHY_SEQUENTIAL))
        return str(self.get("perturbation.code", "lfsr", f"all of the {quantities:,} neurons in their segments at once"))

    def optimizer(self) -> Optimizer:
        """Return the optimiser of the machine, which is plain descent if only the float model has the chosen one."""
        chosen = str(self.get("optimizer.name", "sgd"))
        for name in dict.fromkeys(key for keys in OPTIMIZER_KEYS.values() for key in keys):
            if f"optimizer.{name}" in self.values and name not in OPTIMIZER_KEYS[chosen]:
                owners = " or ".join(f'"{owner}"' for owner, keys in OPTIMIZER_KEYS.items() if name in keys)
                raise self.refuse(f"optimizer.{name}", f"only optimizer.name = {owners} has it", f"Remove it, or write name = {owners}.")
        if chosen in FLOAT_OPTIMIZERS:
            return Sgd()  # the chosen optimiser is in `float_only`
        kind = OPTIMIZERS[chosen]
        return kind(**{name: self.values[f"optimizer.{name}"] for name in OPTIMIZER_KEYS[chosen] if f"optimizer.{name}" in self.values})

    def schedule(
        self, network: Network, perturbation: Perturbation, formats: Formats, optimizer: Optimizer, seen: Ranges | None
    ) -> Schedule:
        times = self.perturbation_period(network, perturbation)
        sample, update = self.periods(network, perturbation, formats, times)
        return Schedule(
            learning_rate=self.learning_rate(network, perturbation, optimizer, seen, update, times),
            perturbation_period=times,
            sample_period=sample,
            update_period=update,
            difference=self.get("schedule.difference", Difference.ONE_SIDED),
        )

    def perturbation_period(self, network: Network, perturbation: Perturbation) -> int:
        """The period τ_p, which is 1 unless parts of the network would then not meet all sign vectors of a code that is not random."""
        key, code, found, why = "schedule.perturbation_period", perturbation.code, 1, None
        if perturbation.parts is not None and not code.generators(1):
            round_ = Round.of(network, perturbation.parts)
            if round_.probes <= MAX_PERIOD and not round_.covers(code.period(network.n_neurons), 1):
                found, why = round_.probes, f"a round of parts, so that each part meets every sign vector of the {code.name} code"
        period: int = self.get(key, found, why)
        return period

    def probes_of_parts(self, network: Network, perturbation: Perturbation, times: int) -> tuple[int, str]:
        """Number of probes of a presentation of whole rounds that measures every part, and the reason."""
        round_, period = Round.of(network, perturbation.parts), perturbation.code.period(network.n_neurons)
        if period > network.n_neurons:
            return lcm(round_.probes, times * period), f"a whole period of the {perturbation.code.name} code for each part"
        rounds = max(-(-part.neurons // part.times) for part in round_.parts)
        return rounds * round_.probes * times, f"{rounds:,} rounds of {round_.probes:,} probes: of each part as many as it has neurons"

    def periods(self, network: Network, perturbation: Perturbation, formats: Formats, times: int) -> tuple[int, int]:
        """The periods τ_x and τ_θ; in node perturbation a presentation has as many probes as measure every neuron, unless one is given.

        All probes of a presentation share its unperturbed and its applying pass, so that a shorter one learns less per cycle.
        """
        keys = "schedule.sample_period", "schedule.update_period"
        if not self.probes:
            sample, update = (self.get(key, 1) for key in keys)
            return sample, update
        neurons = Unrolled.of(network, perturbation).quantities
        period = perturbation.code.period(neurons)
        probes, whole, turns = max(neurons, period) * times, 1, 1
        of = "perturbed quantities" if network.framed else "neurons"
        why = f"a whole period of the {perturbation.code.name} code" if period > neurons else f"as many probes as {of}, {neurons:,}"
        if network.framed and perturbation.code.generators(1):
            probes = min(neurons, SERIES_PROBES) * times
            why = "few random probes of each of many samples, beside two passes for each sample"
        if times > 1:
            why += f", each {times:,} times"
        if perturbation.parts is not None:
            round_ = Round.of(network, perturbation.parts)
            whole, turns = min(round_.probes, MAX_PERIOD), round_.most
            probes, why = self.probes_of_parts(network, perturbation, times)
        probes = min(MAX_PERIOD // whole * whole, probes)
        if formats.cost_change is not None:
            room = max(1, (((1 << (MAX_BITS - 1)) - 1) >> (formats.cost_change.width - 1)) // turns) * whole
            if room < probes:
                probes, why = room, f"the sum of cost changes in {formats.cost_change} leaves room for no more"
        if keys[1] in self.values and keys[0] not in self.values:
            update = self.values[keys[1]]
            shorter = min(update, probes)
            return self.get(keys[0], shorter, why if shorter == probes else f"update_period = {update:,}"), update
        sample = self.get(keys[0], probes, why)
        return sample, self.get(keys[1], sample, f"sample_period = {sample:,}: every presentation ends with an update")

    def learning_rate(
        self, network: Network, perturbation: Perturbation, optimizer: Optimizer, seen: Ranges | None, period: int, times: int
    ) -> tuple[tuple[int, int], ...]:
        fan_in = max(layer.fan_in for layer in network.layers)
        power = 0.3 * fan_in if seen is None else max(0.3 * fan_in, seen.power)
        gain, chosen = optimizer.gain_log2, str(self.get("optimizer.name", "sgd"))
        if gain is None or chosen in NORMALISED:
            usual = -9
            return self.get("schedule.learning_rate", ((0, usual),), f"usual for {chosen}", usual)  # type: ignore[no-any-return]
        power_text = f"fan-in {fan_in}" if power == 0.3 * fan_in else f"‖x‖² = {power:.3g} in the mean, since inputs are not scaled"
        if network.framed and network.readout is Readout.SUM:
            summed = 0.3 * network.sizes[network.framed] * network.frames**2
            if summed > power:
                power, power_text = summed, f"sums of {network.sizes[network.framed]} outputs over {network.frames} frames"
        # A step along x is stable for η·2‖x‖² < 1 if the gradient of the sample is exact.
        node = perturbation.kind is Kind.NODE
        quantities = Unrolled.of(network, perturbation).quantities if node else network.n_parameters
        frames = 1 if node or not network.framed else min(network.frames, WEIGHT_FRAMES)
        if perturbation.code.single:
            # Half of that, by measurement, for each time that a neuron is measured; more where activations are flat, and half where not
            # and hidden neurons may die. A step along one weight meets one input alone: one weight at a time, `digits` reaches 29 % with
            # 2^-8, 78 % with 2^-6 and 87 % with 2^-4, which this gives, and `nist7x7` 97 % with 2^-4 and 99 % with 2^-2.
            visits = min(period, times * perturbation.code.visits(-(-period // times), quantities))
            flat = _flatness(network) if node else 0
            dying = not flat and len(network.sizes) > 2 and network.hidden.rectifies
            alone = not node and seen is None
            rate = flat - math.ceil(math.log2((8 if dying else 4) * ((1 if alone else power) + 1) * visits * frames)) - gain
            why = "one input at a time" if alone else power_text
            each = "neuron" if node else "weight"
            why += ", exact gradients" + (f", {visits:,} of each {each} in an update" if visits > 1 else "")
            why += f", half as much with {network.hidden.value}" if dying else ""
            why += f", 2^{flat} times as much since activations are flat" if flat else ""
        else:
            # The noise of D perturbations, averaged over τ_θ, makes it η·2‖x‖²·(τ_θ + D) < 1.
            noise = quantities if node else quantities * WEIGHT_NOISE * frames
            grows = not node and any(kind.stateful and kind.activated for kind in network.kinds) and network.hidden.rectifies
            rate = -math.ceil(math.log2((4 if grows else 2) * (power + 1) * (noise + period))) - gain
            why = f"{power_text}, {quantities} perturbed quantities, τ_θ = {period}"
            why += f", half as much with {network.hidden.value}" if grows else ""
            if perturbation.parts is not None:
                round_ = Round.of(network, perturbation.parts)
                most = max(part.neurons + period // round_.probes * part.times for part in round_.parts)
                rate = -math.ceil(math.log2(2 * (power + 1) * most)) - gain
                why = f"{power_text}, parts of {' and '.join(str(part.neurons) for part in round_.parts)} perturbed neurons, τ_θ = {period}"
        why += f", a parameter acts in {frames} frames" if frames > 1 else ""
        why += f", {chosen} moves 2^{gain} times as far" if gain else ""
        if perturbation.hold is not None and perturbation.hold > 1:
            # The error of a segment multiplies the operands of each of its frames.
            rate -= math.ceil(math.log2(perturbation.hold))
            why += f", {perturbation.hold} frames of an error"
        rate = max(-48, rate)
        return self.get("schedule.learning_rate", ((0, rate),), why, rate)  # type: ignore[no-any-return]

    def hardware(self, network: Network) -> Hardware:
        widest = max(network.sizes[1:])
        why, most = "what a small FPGA has multipliers for" if widest > 6 else "the widest layer", min(6, widest)
        fitting = max(lanes for lanes in range(1, most + 1) if all(layer.kind.fits(layer.n_out, lanes) for layer in network.layers))
        why = why if fitting == most else "which the blocks of the sparse layers are multiples of"
        lanes, memory = self.get("hardware.lanes", fitting, why), self.get("hardware.gradient_memory", None)
        signature, multipliers = self.get("hardware.signature", True), self.get("hardware.multipliers_per_lane", 1)
        return Hardware(lanes, memory, signature, multipliers, self.get("hardware.memory", False))

    def within_accumulator(self, spec: DesignSpec) -> DesignSpec:
        """Take a fraction bit from a format that was left out, if just that keeps the sums within a multiplier block."""
        for name in ("activation", "weight"):
            if spec.accumulator_width <= DSP_ACCUMULATOR:
                break
            key, wide = f"formats.{name}", getattr(spec.formats, name)
            narrow = replace(wide, fraction_bits=wide.fraction_bits - 1)
            if key in self.values:
                continue
            try:
                found = replace(spec, formats=replace(spec.formats, **{name: narrow}))
            except DesignError:  # an amplitude that the file gives may need the bit
                continue
            if found.accumulator_width <= DSP_ACCUMULATOR:
                why = f"a bit less than {wide}, so that sums stay within {DSP_ACCUMULATOR} bits"
                self.derived = [Derived(key, str(narrow), why) if row.key == key else row for row in self.derived]
                return found
        return spec

    def note_formats(self, spec: DesignSpec) -> None:
        """Note the gradient memory and the formats that the spec derives by itself."""
        self.get("hardware.gradient_memory", None, _why_memory(spec), str(spec.gradient_memory).lower())
        self.get("formats.cost_change", None, "exact difference of two costs", spec.cost_change_format)
        if spec.node:
            self.get("formats.error", None, _why_error(spec), spec.error_format)
        if not (spec.node and spec.direct_update):
            self.get("formats.gradient", None, spec.gradient_reason, spec.gradient_format)
        for variable in spec.optimizer_state:
            self.get(variable.key, None, variable.default, variable.format)

    def compare(self, spec: DesignSpec) -> CompareSpec:
        period = spec.schedule.update_period
        # The noise of perturbed weights in every frame makes small steps.
        least, times = (50_000, min(spec.network.frames, WEIGHT_FRAMES)) if spec.series and not spec.node else (10_000, 1)
        steps = min(200_000, max(least, 10 * spec.quantities * period * times))
        if spec.node and spec.longest_presentation > 1:
            steps = max(steps, min(1_000_000, PRESENTATIONS * spec.longest_presentation))
        steps = max(steps, 2 * spec.schedule.learning_rate[-1][0])
        get = self.get
        return CompareSpec(
            get("compare.steps", steps, "enough to see it learn"),
            get("compare.seeds", 3),
            get("compare.backprop_epochs", None),
            get("compare.backprop_rate", 0.003),
            get("compare.backprop_batch", 32),
        )
