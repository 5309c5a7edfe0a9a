"""The one table of what a design file may say: the reader, its messages and ``docs/design-file.md`` follow from it."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from mgd_hw.data.tasks import KIND_NAMES, TASKS, Label, Scaling
from mgd_hw.software import ARCHITECTURES, FLOAT_CODES, FLOAT_OPTIMIZERS, OPTIMIZER_KEYS
from python_ref.spec.activations import Activation
from python_ref.spec.network import MAX_LAYERS, MAX_NEURONS, Scheme
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import OPTIMIZERS
from python_ref.spec.perturbation import CODES, Kind
from python_ref.spec.schedule import MAX_PERIOD, Difference

__all__ = ["KEYS", "NAME", "SECTIONS", "Key", "Wrong"]

NAME = r"[A-Za-z0-9_]{1,64}"
"""What a design may be called."""
MAX_RATES = 256
"""Most entries of a learning-rate schedule."""
MAX_SEED = (1 << 63) - 1
"""Largest seed."""


# -- What a value may be ----------------------------------------------------------------------------------------------


class Wrong(Exception):
    """A value is not what its key takes: why, and what to write."""


Reader = Callable[[object], Any]


def _whole(low: int, high: int, example: object) -> Reader:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            top = "2^63 - 1" if high == MAX_SEED else high
            raise Wrong(f"it must be a whole number from {low} to {top}", f"Write {example}, say.")
        return value

    return read


def _real(low: float, high: float, example: object) -> Reader:
    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise Wrong(f"it must be a number from {low:g} to {high:g}", f"Write {example}, say.")
        return float(value)

    return read


def _one_of(names: Mapping[str, object]) -> Reader:
    def read(value: object) -> object:
        if not isinstance(value, str) or value not in names:
            near = difflib.get_close_matches(value.lower(), names, 1) if isinstance(value, str) else []
            listed = ", ".join(f'"{name}"' for name in names)
            raise Wrong(f"it must be one of {listed}", f'Did you mean "{near[0]}"?' if near else "Write one of these.")
        return names[value]

    return read


def _members(kind: type[Enum], *but: Enum) -> dict[str, object]:
    return {member.value: member for member in kind if member not in but}


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise Wrong("it must be true or false", "Write true or false, without quotation marks.")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise Wrong("it must be text", "Write it between quotation marks.")
    return value


def _format(value: object) -> Fixed:
    if not isinstance(value, str):
        raise Wrong("a format is text", 'Write it as "SQ4.12" (signed, 4 integer bits with the sign, 12 fraction bits) or "UQ0.8".')
    try:
        return Fixed.parse(value)
    except ValueError:
        raise Wrong(
            "a format looks like SQ4.12 (signed, 4 integer bits with the sign, 12 fraction bits) or UQ0.8, and has 1 to 63 bits",
            'Write "SQ4.12", say.',
        ) from None


def _name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(NAME, value):
        raise Wrong("it becomes part of a Verilog module's name: letters, digits and underscores, at most 64", 'Write "my_net", say.')
    return value


def _sizes(value: object) -> tuple[int, ...]:
    remedy = "Give the number of inputs, then the neurons of each layer, such as [64, 32, 10]."
    if not isinstance(value, list) or not 2 <= len(value) <= MAX_LAYERS + 1:
        raise Wrong(f"it must be a list of 2 to {MAX_LAYERS + 1} whole numbers", remedy)
    for size in value:
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= MAX_NEURONS:
            raise Wrong(f"every size must be a whole number from 1 to {MAX_NEURONS}", remedy)
    return tuple(value)


def _parts(value: object) -> tuple[tuple[int, int], ...]:
    form = "it must be a list of pairs of whole numbers from 1: how many layers are perturbed together, and how often"
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_LAYERS:
        raise Wrong(form, _PARTS_REMEDY)
    for pair in value:
        whole = isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, int) and not isinstance(n, bool) for n in pair)
        if not whole or not 1 <= pair[0] <= MAX_LAYERS or not 1 <= pair[1] <= 1 << 24:
            raise Wrong(form, _PARTS_REMEDY)
    return tuple((together, often) for together, often in value)


_PARTS_REMEDY = "Write [[1, 1], [2, 8]], say: the first layer once, the next two together eight times."


def _factors(value: object) -> tuple[float, ...]:
    number = _real(0, 1024, 1)
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_LAYERS:
        raise Wrong("it must be a list of numbers, one for each layer", "Write [0.1, 1.0], say.")
    return tuple(number(each) for each in value)


def _power_of_two(value: object) -> int:
    """log₂ of "2^-6", or of a number that is a power of two."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*2\s*(?:\^|\*\*)\s*([+-]?\d{1,3})\s*", value)):
        return int(match[1])
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
        if isinstance(value, int):
            if value & (value - 1) == 0:
                return value.bit_length() - 1
        elif math.frexp(value)[0] == 0.5:
            return math.frexp(value)[1] - 1
    raise Wrong("it must be a power of two", 'Write "2^-6", say, or 0.015625.')


_RATE_FORM = (
    "it must be log2 of the rate, a whole number from -48 to 16, or a list of [step, log2 of the rate] that starts at step 0 and rises"
)


def _rates(value: object) -> tuple[tuple[int, int], ...]:
    remedy = "Write -8, or [[0, -8], [100000, -10]], say."
    pairs: list[Any] = value if isinstance(value, list) else [[0, value]]
    if len(pairs) > MAX_RATES:
        raise Wrong(f"the list has {len(pairs)} entries, more than {MAX_RATES}", remedy)
    for pair in pairs:
        whole = isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, int) and not isinstance(n, bool) for n in pair)
        if not whole or not 0 <= pair[0] < 1 << 48 or not -48 <= pair[1] <= 16:
            raise Wrong(_RATE_FORM, remedy)
    return tuple((step, rate) for step, rate in pairs)


def _memory(value: object) -> str:
    if value in ("single-port", "spram"):
        raise Wrong(
            "single-port memories are not built: parameters live in dual-port block memory",
            'Write "block", or leave the key out; `mgd-hw synth` says whether it fits.',
        )
    return str(_one_of({"block": "block"})(value))


def _column(value: object) -> str | int:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or (isinstance(value, int) and abs(value) > 10_000):
        raise Wrong("it must be the name or the number of a column", 'Write "label", or 0 for the first column, or -1 for the last.')
    return value


def _columns(value: object) -> tuple[str | int, ...]:
    if not isinstance(value, list) or not value:
        raise Wrong("it must be a list of names or numbers of columns", 'Write ["id"], say, or [0] for the first column.')
    return tuple(_column(each) for each in value)


def _label(value: object) -> Label:
    return _columns(value) if isinstance(value, list) else _column(value)


def _delimiter(value: object) -> str:
    if not isinstance(value, str) or len(value) != 1 or value in '"\r\n' or value.isalnum():
        raise Wrong("it must be one character, not a letter, a digit or a quotation mark", 'Write ";", say, or "\\t" for a tab.')
    return value


def _target_values(value: object) -> tuple[float, float]:
    number = _real(-1024, 1024, 0)
    if not isinstance(value, list) or len(value) != 2:
        raise Wrong("it must be a list of two numbers: the target of the wrong classes, and of the right one", "Write [0, 1], say.")
    low, high = number(value[0]), number(value[1])
    if not low < high:
        raise Wrong("the first must be below the second", "Write [0, 1], say.")
    return low, high


# -- The table of keys ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """One key of a design file.

    Attributes
    ----------
    section : str
        Table it stands in, "" for the top of the file.
    name : str
        Name there.
    takes : str
        What it takes, in words.
    default : str
        What it is when left out, or how that follows from the rest.
    meaning : str
        What it is.
    read : callable
        From the TOML value to ours.
    """

    section: str
    name: str
    takes: str
    default: str
    meaning: str
    read: Reader = field(compare=False, repr=False)

    @property
    def dotted(self) -> str:
        """Section and name."""
        return f"{self.section}.{self.name}" if self.section else self.name


def _choices(names: Mapping[str, object]) -> str:
    return " or ".join(f'"{name}"' for name in names)


def _owners(key: str) -> str:
    """The optimisers that have a key, as the beginning of a sentence, such as "Momentum, nesterov"."""
    names = [name for name, keys in OPTIMIZER_KEYS.items() if key in keys]
    return ", ".join(names).capitalize() + (" only" if len(names) == 1 else "")


_ROUNDING = _members(Rounding, Rounding.STOCHASTIC)
_ANY_ROUNDING = _members(Rounding)
_OVERFLOW = _members(Overflow)
_ACTIVATIONS = _members(Activation)
_CAST_MEANING = {
    "activation": "a pre-activation into an activation (or into the address of its table)",
    "cost_change": "the difference of two costs into C̃",
    "gradient": "2^e·C̃·x into g, the broadcast",
    "weight": "G, g or m into an update u",
}


_ROUNDED = {"activation": '"half-even"', "cost_change": '"half-even"', "gradient": '"floor"', "weight": '"stochastic"'}
"""The rounding of each cast, where a design file leaves it out."""
_PERIOD, _SEED = "whole number, 1 to 2^24 - 1", "whole number, 0 to 2^63 - 1"
_STEPS = _whole(1, MAX_PERIOD, 1)
_A_SEED = _whole(0, MAX_SEED, 1)
_COUNT = _whole(1, 1 << 24, 10_000)
_COUNTED = "whole number, 1 to 2^24"
_COSTS = ("squared-error", "mean-squared-error", "cross-entropy")
_CODES = (*CODES, *FLOAT_CODES)
_SOFTWARE = " Software only: `mgd-hw compare` and `mgd-hw diagnose` run it, no hardware does yet."
_ROWS: list[tuple[str, str, str, str, str, Reader]] = [
    (
        "",
        "name",
        "letters, digits and underscores",
        "the file's name",
        "Name of the design; its Verilog module is mgd_ and the name.",
        _name,
    ),
    (
        "network",
        "layers",
        "list of whole numbers",
        "the network usual for the task",
        "Inputs, then the neurons of each dense layer; 1 to 16 layers of 1 to 4096.",
        _sizes,
    ),
    (
        "network",
        "hidden",
        _choices(_ACTIVATIONS),
        '"relu"',
        "Activation of every layer but the last. Sigmoid and tanh are read from a table; sign(0) = +1.",
        _one_of(_ACTIVATIONS),
    ),
    ("network", "output", _choices(_ACTIVATIONS), '"identity"', "Activation of the last layer.", _one_of(_ACTIVATIONS)),
    (
        "network",
        "architecture",
        _choices(ARCHITECTURES),
        '"dense"',
        "The network: dense layers, or one of the convolutional ones of the papers, whose layers are fixed. All but dense: software only.",
        _one_of({name: name for name in ARCHITECTURES}),
    ),
    ("network", "width", "whole number, 1 to 256", "1", "How many times as many channels a convolutional network has.", _whole(1, 256, 4)),
    ("network", "seed", _SEED, "1", "Of the initial parameters.", _A_SEED),
    (
        "network",
        "scheme",
        _choices(_members(Scheme)),
        '"he" if hidden is "relu", else "glorot"',
        "Distribution of the initial parameters: uniform in ±scale, ±scale·√(6/(n_in + n_out)), ±scale·√(6/n_in), or zero. "
        'Biases start at zero, but for "uniform".',
        _one_of(_members(Scheme)),
    ),
    ("network", "scale", "number, 0 to 1024", "1.0", "Factor on the range of the initial parameters.", _real(0, 1024, 1.0)),
    (
        "perturbation",
        "kind",
        _choices(_members(Kind)),
        '"node"',
        "What is perturbed: every weight and bias, or every neuron's pre-activation.",
        _one_of(_members(Kind)),
    ),
    (
        "perturbation",
        "code",
        _choices(dict.fromkeys(_CODES)),
        '"lfsr"',
        "The signs: random ±1, Walsh-Hadamard rows, those rows in Gray-code order, one quantity at a time; or sinusoids, in software only.",
        _one_of({name: name for name in _CODES}),
    ),
    (
        "perturbation",
        "apart",
        "true or false",
        "false",
        "Whether each layer is perturbed in a pass of its own, so that it sees no noise of the others." + _SOFTWARE,
        _boolean,
    ),
    (
        "perturbation",
        "amplitude",
        'power of two, as "2^-6" or 0.015625',
        "2^-6, or the last place of what is perturbed if that is larger",
        "Δ, what is added or subtracted.",
        _power_of_two,
    ),
    ("perturbation", "seed", _SEED, "1", "Of the random signs and of stochastic rounding.", _A_SEED),
    ("schedule", "perturbation_period", _PERIOD, "1", "τ_p: steps that one perturbation lasts.", _STEPS),
    ("schedule", "sample_period", _PERIOD, "1", "τ_x: steps that one sample stays.", _STEPS),
    ("schedule", "update_period", _PERIOD, "1", "τ_θ: steps that G is summed over before the parameters change.", _STEPS),
    (
        "schedule",
        "difference",
        _choices(_members(Difference)),
        '"one-sided"',
        "C̃ = C₊ − C₀ (one pass a step, and one more when the baseline is due), or C₊ − C₋ (always two passes; cancels even-order errors).",
        _one_of(_members(Difference)),
    ),
    (
        "schedule",
        "learning_rate",
        "log₂ η as a whole number, -48 to 16, or a list of [step, log₂ η]",
        "−⌈log₂(2·(0.3·fan-in + 1)·(D + τ_θ))⌉, fan-in the widest and D the perturbed quantities, less k with momentum; the mean of ‖x‖² "
        'in place of 0.3·fan-in where that is larger and data.scaling is "none"',
        "The rate of the unbiased estimator s·C̃/Δ. A list starts at step 0 and rises.",
        _rates,
    ),
    (
        "optimizer",
        "name",
        _choices(OPTIMIZER_KEYS),
        '"sgd"',
        f"{'; '.join(f'{name}: {optimizer.equations}' for name, optimizer in OPTIMIZERS.items())}. Software only: "
        f"{', '.join(FLOAT_OPTIMIZERS)}. Shift-adam is Adam whose division and root are shifts.",
        _one_of({name: name for name in OPTIMIZER_KEYS}),
    ),
    ("optimizer", "k", "whole number, 1 to 12", "3", f"{_owners('k')}: m decays by 2⁻ᵏ per update.", _whole(1, 12, 3)),
    ("optimizer", "beta1", "number, 0 to 0.9999", "0.9", f"{_owners('beta1')}: β₁.", _real(0, 0.9999, 0.9)),
    ("optimizer", "beta2", "number, 0 to 0.999999", "0.999", f"{_owners('beta2')}: β₂.", _real(0, 0.999999, 0.999)),
    ("optimizer", "epsilon", "number, 0 to 1", "1e-8", f"{_owners('epsilon')}: ε.", _real(0, 1, 1e-8)),
    ("optimizer", "corrected", "true or false", "true", f"{_owners('corrected')}: whether the bias of m and v is corrected.", _boolean),
    (
        "optimizer",
        "k1",
        "whole number, 0 to 12",
        "3",
        f"{_owners('k1')}: β₁ = 1 − 2^−k₁; 0: without momentum, and its memory.",
        _whole(0, 12, 3),
    ),
    ("optimizer", "k2", "whole number, 1 to 12", "10", f"{_owners('k2')}: β₂ = 1 − 2^−k₂.", _whole(1, 12, 10)),
    (
        "optimizer",
        "refined",
        "true or false",
        "true",
        f"{_owners('refined')}: whether the bit behind the leading one is looked at.",
        _boolean,
    ),
    ("optimizer", "format", "format", "gradient's, with k more integer bits, within 32", f"{_owners('format')}: format of m.", _format),
    (
        "optimizer",
        "rounding",
        _choices(_ANY_ROUNDING),
        '"half-even"',
        f"{_owners('rounding')}: rounding of the cast into m.",
        _one_of(_ANY_ROUNDING),
    ),
    (
        "optimizer",
        "overflow",
        _choices(_OVERFLOW),
        '"saturate"',
        f"{_owners('overflow')}: overflow of the cast into m.",
        _one_of(_OVERFLOW),
    ),
    (
        "formats",
        "input",
        "format",
        '"UQ0.8"; if data.scaling is "none", "SQ4.8" or 12 bits that hold all inputs',
        "Inputs: raw = round(x·2^f), kept within the format.",
        _format,
    ),
    ("formats", "weight", "format, signed", '"SQ4.12", or "SQ4.11" if only that keeps sums within 32 bits', "Weights and biases.", _format),
    (
        "formats",
        "activation",
        "format",
        "10 fraction bits, or 9 if that keeps sums within 32 bits; signed if an activation has negative values; 4 integer bits, "
        "or 2 if all of them are bounded, and more where targets need them",
        "Every neuron's output, and the targets.",
        _format,
    ),
    (
        "formats",
        "table",
        "format, signed, at most 14 bits",
        '"SQ4.6"',
        "Pre-activations as they address the table of a sigmoid or tanh.",
        _format,
    ),
    ("formats", "cost_change", "format, signed", "exact", "C̃, the one number that is broadcast.", _format),
    (
        "formats",
        "gradient",
        "format, signed",
        "integer bits of weight, 8 fraction bits more than weight",
        "g and G.",
        _format,
    ),
]
for cast, what in _CAST_MEANING.items():
    names = _ANY_ROUNDING if cast == "weight" else _ROUNDING
    _ROWS.append(("formats.rounding", cast, _choices(names), _ROUNDED[cast], f"Rounding of the cast of {what}.", _one_of(_ANY_ROUNDING)))
for cast, what in _CAST_MEANING.items():
    _ROWS.append(("formats.overflow", cast, _choices(_OVERFLOW), '"saturate"', f"Overflow of the cast of {what}.", _one_of(_OVERFLOW)))
_ROWS += [
    (
        "hardware",
        "lanes",
        "whole number, 1 to 256",
        "6, or the widest layer if that is smaller",
        "L: neurons computed in parallel, one multiplier each. Random signs depend on it.",
        _whole(1, 256, 6),
    ),
    (
        "hardware",
        "gradient_memory",
        "true or false",
        "true if update_period > 1",
        "Whether each lane has a memory for G. Without one the parameters change every step.",
        _boolean,
    ),
    ("hardware", "memory", '"block"', '"block"', "Where parameters live: dual-port block memory.", _memory),
    ("hardware", "signature", "true or false", "true", "Whether the core keeps running checksums of its observables.", _boolean),
    ("learning", "batch", _COUNTED, "1", "Samples of a step, each with a perturbation of its own." + _SOFTWARE, _COUNT),
    (
        "learning",
        "repeats",
        _COUNTED,
        "1",
        "Perturbations of each sample in a step; one unperturbed pass serves them all." + _SOFTWARE,
        _COUNT,
    ),
    (
        "learning",
        "cost",
        _choices(dict.fromkeys(_COSTS)),
        '"squared-error"',
        "C = Σ(y − y*)²; its mean over the outputs; or the cross-entropy of softmax(y). All but the first: software only.",
        _one_of({name: name for name in _COSTS}),
    ),
    ("learning", "smoothing", "number, 0 to 0.99", "0", "Cross-entropy only: label smoothing.", _real(0, 0.99, 0.1)),
    (
        "learning",
        "normalise",
        "true or false",
        "false",
        "Whether the mean of G over τ_θ is made as long as the true gradient (Oripov et al. 2025)." + _SOFTWARE,
        _boolean,
    ),
    (
        "learning",
        "decay",
        '"constant" or "cosine"',
        '"constant"',
        "Whether the rate falls along half a cosine, to a hundredth at the end of the run; cosine is software only.",
        _one_of({"constant": "constant", "cosine": "cosine"}),
    ),
    (
        "learning",
        "precision",
        '"float32" or "float64"',
        '"float64"',
        "Of the float model of a design that is software only.",
        _one_of({"float32": "float32", "float64": "float64"}),
    ),
    (
        "learning",
        "sparing",
        "true or false",
        "false",
        "Node perturbation only: whether nodes that cannot change the output are left unperturbed." + _SOFTWARE,
        _boolean,
    ),
    (
        "learning",
        "parts",
        "list of [layers, times]",
        "all layers together",
        "How many layers, one after the other, are perturbed together, and how often each sample is, in place of `repeats` and "
        "`perturbation.apart`." + _SOFTWARE,
        _parts,
    ),
    (
        "learning",
        "groups",
        _COUNTED,
        "the batch",
        "Weight perturbation only: into how many groups of samples a batch is divided, each with a perturbation of its own." + _SOFTWARE,
        _COUNT,
    ),
    (
        "learning",
        "layer_factors",
        "list of numbers, 0 to 1024",
        "1 for each layer",
        "Factors on the rate, one for each layer: those with the noisier gradient may move more slowly." + _SOFTWARE,
        _factors,
    ),
    (
        "learning",
        "form",
        '"discrete" or "analog"',
        '"discrete"',
        "Differences and sums; or filters: a high-pass on the cost and a low-pass on the gradient, a write in every step. Analog: weight "
        "perturbation, software only.",
        _one_of({"discrete": "discrete", "analog": "analog"}),
    ),
    ("learning", "highpass", "number, 0.1 to 10^9", "10", "Analog only: time constant of the high-pass, in steps.", _real(0.1, 1e9, 10)),
    ("learning", "lowpass", "number, 0.1 to 10^9", "100", "Analog only: time constant of the low-pass, in steps.", _real(0.1, 1e9, 100)),
    (
        "outside",
        "command",
        "text",
        "none",
        "Program and arguments, as a shell splits them; it runs in the folder of the design file. Of network.layers only the ends count.",
        _text,
    ),
    ("outside", "parameters", _COUNTED, "must be given", "P: how many parameters it takes.", _COUNT),
    ("outside", "frames", "true or false", "false", "Whether it speaks binary frames, else lines of JSON.", _boolean),
    ("outside", "timeout", "number, 0.01 to 86400", "10", "Seconds that it may take to answer.", _real(0.01, 86_400, 10)),
    (
        "device",
        "activation_variation",
        "number, 0 to 4",
        "0",
        "a: every neuron is L·f(k·(z − x₀)) + y₀ with L, k ~ 1 + a·N(0, 1) and x₀, y₀ ~ a·N(0, 1) (McCaughan et al. 2023).",
        _real(0, 4, 0.1),
    ),
    ("device", "cost_noise", "number, 0 to 1000", "0", "Standard deviation of noise on every measured cost.", _real(0, 1000, 0.001)),
    ("device", "update_noise", "number, 0 to 1000", "0", "Standard deviation of noise on every written parameter.", _real(0, 1000, 0.001)),
    ("device", "weight_step", "number above 0, to 1", "none", "Parameters are multiples of it.", _real(1e-12, 1, 0.0625)),
    ("device", "weight_limit", "number, 0.001 to 1024", "8", "Largest size of such a parameter.", _real(0.001, 1024, 2)),
    (
        "device",
        "stochastic",
        "true or false",
        "false",
        "Whether such parameters are rounded stochastically, else to the nearest.",
        _boolean,
    ),
    (
        "device",
        "endurance",
        "whole number, 1 to 10^12",
        "without end",
        "Writes that change a cell until it keeps its value for ever.",
        _whole(1, 10**12, 100_000),
    ),
    ("device", "fading", "number, 0 to 1", "0", "Part of a parameter that is lost in each step.", _real(0, 1, 1e-6)),
    ("device", "wander", "number, 0 to 1", "0", "Standard deviation of a parameter's random walk in each step.", _real(0, 1, 1e-6)),
    ("device", "seed", _SEED, "1", "Of all random numbers of the devices.", _A_SEED),
    (
        "data",
        "task",
        _choices(TASKS),
        '"csv" or "npz" by the ending of data.path, else "random"',
        "What is learned. `random` is noise: enough to generate, co-simulate and synthesise.",
        _one_of({name: name for name in TASKS}),
    ),
    (
        "data",
        "path",
        "text",
        "the folder in the environment variable MGD_DATA, for the MNIST family",
        "The user's csv or npz, or the folder with the MNIST family's npz or IDX files; relative to the design file.",
        _text,
    ),
    (
        "data",
        "kind",
        _choices(dict.fromkeys(KIND_NAMES)),
        "what the answers in the file are",
        "csv and npz only: whether the answers are classes, judged by accuracy, or real numbers, judged by RMSE and R². Words, booleans "
        "and one-hot rows are classes, numbers that are not whole are not; whole numbers are classes unless the network has one output "
        "and there are more than two of them.",
        _one_of({name: name for name in KIND_NAMES}),
    ),
    (
        "data",
        "label",
        "name or number of a column, or a list of them",
        "the column named label, class, target or the like; else the last",
        "csv only: the column of the answers: classes of any name, or real numbers. A list gives several targets of a regression.",
        _label,
    ),
    (
        "data",
        "drop",
        "list of names or numbers of columns",
        "none",
        "csv only: columns that are left out, such as an index. Numbers count from 0 in the file as it stands.",
        _columns,
    ),
    ("data", "header", "true or false", "what the first line holds", "csv only: whether the first line names the columns.", _boolean),
    (
        "data",
        "delimiter",
        "one character",
        "what separates the file's columns: a comma, semicolon, tab, vertical bar, or spaces",
        "csv only: the character between two cells.",
        _delimiter,
    ),
    ("data", "decimal", '"." or ","', "what the file's numbers have", "csv only: the decimal mark.", _one_of({".": ".", ",": ","})),
    (
        "data",
        "scaling",
        _choices(_members(Scaling)),
        '"column" for csv and npz, else "range"',
        'To [0, 1]: "range" by the range of the task (0 to 255 for images of bytes), or else of all training inputs together; "column" '
        'each input by its own range over the training samples; "none" leaves inputs as they are.',
        _one_of(_members(Scaling)),
    ),
    (
        "data",
        "target_scaling",
        _choices(_members(Scaling)),
        '"column"',
        'Regression only: how targets come to lie between the two target_values: "column" each output by its own range over the training '
        'samples, "range" all by their common range; "none" leaves targets as they are. Errors are told in the unit of the file.',
        _one_of(_members(Scaling)),
    ),
    (
        "data",
        "target_values",
        "list of two numbers",
        '[-1, 1] if output is "tanh" or "sign", else [0, 1]',
        "Classification: the target of the wrong classes and of the right one. Regression: what the least and the greatest target of the "
        "training samples become.",
        _target_values,
    ),
    (
        "data",
        "test_fraction",
        "number, 0 to 0.9",
        "0 for generated tasks (test on what was trained), the file's own split for the MNIST family, else 0.2",
        "Part of the samples kept for testing.",
        _real(0, 0.9, 0.2),
    ),
    (
        "data",
        "validation_fraction",
        "number, 0 to 0.9",
        "0",
        "Part of the training samples that `mgd-hw compare --validate` keeps, and judges by in place of the test samples: to choose "
        "settings without a look at those. Otherwise they are trained with.",
        _real(0, 0.9, 0.2),
    ),
    ("data", "split_seed", _SEED, "0", "Of the choice of test and validation samples.", _A_SEED),
    ("data", "stratify", "true or false", "false", "Whether each class keeps its share in the test part.", _boolean),
    ("data", "train_samples", "whole number, 1 to 2^24", "all", "Use only so many training samples, the first after the split.", _COUNT),
    ("data", "test_samples", "whole number, 1 to 2^24", "all", "Use only so many test samples, the first after the split.", _COUNT),
    ("data", "shuffle", "true or false", "true", "Whether training samples come in a new random order every epoch.", _boolean),
    ("data", "shuffle_seed", _SEED, "1", "Of that order.", _A_SEED),
    (
        "compare",
        "steps",
        "whole number, 1 to 10^9",
        "10 steps per update and perturbed quantity, from 10,000 to 200,000; twice the last step of a learning-rate list if longer",
        "Steps that `mgd-hw compare` trains.",
        _whole(1, 10**9, 100_000),
    ),
    ("compare", "seeds", "whole number, 1 to 1000", "3", "Runs that `mgd-hw compare` takes the mean of.", _whole(1, 1000, 3)),
    (
        "compare",
        "backprop_epochs",
        "whole number, 1 to 10^6",
        "60, or more for at least 3,000 updates, or fewer for at most 20,000",
        "Epochs of back-propagation.",
        _whole(1, 10**6, 60),
    ),
    ("compare", "backprop_rate", "number above 0, to 10", "0.003", "Learning rate of back-propagation (Adam).", _real(1e-9, 10, 0.003)),
    ("compare", "backprop_batch", "whole number, 1 to 65536", "32", "Samples per update of back-propagation.", _whole(1, 65536, 32)),
]


KEYS = tuple(Key(*row) for row in _ROWS)
"""Every key, in the order of the documentation."""

SECTIONS = tuple(dict.fromkeys(key.section for key in KEYS if key.section))
"""The tables of a file."""
