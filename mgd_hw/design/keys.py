"""Table of all keys of a design file, from which the reader, its messages and ``docs/reference/design-file.md`` follow."""

from __future__ import annotations

from mgd_hw.design.data_keys import DATA_ROWS
from mgd_hw.design.float_only import ARCHITECTURES, FLOAT_CODES, FLOAT_OPTIMIZERS, OPTIMIZER_KEYS
from mgd_hw.design.stack import layer_stack, layers_reference
from mgd_hw.design.values import (
    MAX_SEED,
    Key,
    boolean,
    design_name,
    layer_factors,
    layer_parts,
    learning_rates,
    log2_of_power_of_two,
    members,
    memory,
    number_format,
    one_of,
    real_number,
    text,
    whole_number,
)
from mgd_hw.design.values import Row as _Row
from mgd_hw.design.values import choices as _choices
from python_ref.spec.activations import Activation
from python_ref.spec.learner import MAX_AVERAGE, MAX_CYCLES, MAX_QUANTITIES
from python_ref.spec.network import MAX_FRAMES, Readout, Scheme
from python_ref.spec.number import Overflow, Rounding
from python_ref.spec.optimizer import OPTIMIZERS
from python_ref.spec.perturbation import CODES, Kind
from python_ref.spec.schedule import MAX_PERIOD, Difference

__all__ = ["KEYS", "SECTIONS"]


def _owners(key: str) -> str:
    """Return the optimisers that have a key, as the beginning of a sentence, such as "Momentum, nesterov"."""
    names = [name for name, keys in OPTIMIZER_KEYS.items() if key in keys]
    return ", ".join(names).capitalize() + (" only" if len(names) == 1 else "")


_ROUNDING = members(Rounding, Rounding.STOCHASTIC)
_ANY_ROUNDING = members(Rounding)
_OVERFLOW = members(Overflow)
_ACTIVATIONS = members(Activation)
_CAST_MEANING = {
    "activation": "a pre-activation into an activation (or into the address of its table)",
    "cost_change": "the difference of two costs into C̃",
    "error": "2^e·E into the error of a neuron, in node perturbation",
    "gradient": "2^e·C̃ into g, the broadcast, or in node perturbation an error times an input into g",
    "weight": "G, g, m, or an error times an input, into an update u",
    "state": "a pre-activation into the current of a spiking neuron",
}


_ROUNDED = {
    "activation": '"half-even"',
    "cost_change": '"half-even"',
    "error": '"half-even"',
    "gradient": '"floor"; "half-even" with shift-adam, or in node perturbation with a layer with state, where a floor in every frame would '
    "add up to a drift",
    "weight": '"stochastic"',
    "state": '"half-even"',
}
"""Default rounding of each cast."""
_PERIOD, _SEED = "whole number, 1 to 2^24 - 1", "whole number, 0 to 2^63 - 1"
_CYCLES, _LEARNER = "whole number, up to 2^32 - 1", "With network.external only: "
_STEPS = whole_number(1, MAX_PERIOD, 1)
_A_SEED = whole_number(0, MAX_SEED, 1)
_COUNT = whole_number(1, 1 << 24, 10_000)
_COUNTED = "whole number, 1 to 2^24"
_COSTS = ("squared-error", "mean-squared-error", "cross-entropy")
_CODES = (*CODES, *FLOAT_CODES)
_FLOAT_ONLY = " Software only: `mgd-hw compare` and `mgd-hw diagnose` run it, no hardware does yet."
_MEMORY = (
    "Where a lane's parameters are: a memory with two ports; in node perturbation also two with one port each. With a layer with state, "
    "this is where the sums of errors are. Results are the same."
)
_STATE = "With [a layer with state](../design/series.md) only: "

_TOP: list[_Row] = [
    (
        "name",
        "letters, digits and underscores",
        "the file's name",
        "Name of the design; its Verilog module is mgd_ and the name.",
        design_name,
    )
]
_NETWORK: list[_Row] = [
    (
        "layers",
        'list of whole numbers, or of tables such as {neurons = 32, kind = "dense"}',
        "the network usual for the task",
        "Inputs, then the neurons of each layer; 1 to 16 layers of 1 to 4096. A table also gives the layer's kind: " + layers_reference(),
        layer_stack,
    ),
    (
        "frames",
        f"whole number, 1 to {MAX_FRAMES}",
        "the inputs of the task, divided by those of the network; 29 for vowels; 16 if held; otherwise it must be given",
        "With [a layer with state](../design/series.md), T, the largest number of frames of a sample. With attention, the number of "
        "frames, of which the last one asks and those before answer.",
        whole_number(1, MAX_FRAMES, 16),
    ),
    (
        "held",
        "true or false",
        "true if the network has as many inputs as a sample of the task, and for csv and npz without data.series; otherwise false",
        _STATE + "whether every frame has the same inputs. Otherwise a sample is a series of up to T frames.",
        boolean,
    ),
    (
        "readout",
        _choices(members(Readout)),
        '"sum" if the last layer with state is lif, otherwise "last"',
        _STATE + "what the layers behind the last one with state receive: its outputs in the last frame, or their sum over all frames.",
        one_of(members(Readout)),
    ),
    (
        "external",
        f"whole number, 1 to {MAX_QUANTITIES}",
        "none",
        "N, the number of quantities of a network outside, which [a learner](../design/learner.md) trains; it has no layers.",
        whole_number(1, MAX_QUANTITIES, 16),
    ),
    (
        "hidden",
        _choices(_ACTIVATIONS),
        '"relu"',
        "Activation of every layer but the last. Sigmoid and tanh are read from a table; sign(0) = +1.",
        one_of(_ACTIVATIONS),
    ),
    ("output", _choices(_ACTIVATIONS), '"identity"', "Activation of the last layer.", one_of(_ACTIVATIONS)),
    (
        "architecture",
        _choices(ARCHITECTURES),
        '"dense"',
        "The network: dense layers; one of the convolutional ones of the papers, whose layers are fixed; or linear attention, whose layers "
        "are the inputs of a frame, the entries of a key and of a value, and the neurons of dense layers behind. All but dense: software "
        "only.",
        one_of({name: name for name in ARCHITECTURES}),
    ),
    ("width", "whole number, 1 to 256", "1", "Factor on the number of channels of a convolutional network.", whole_number(1, 256, 4)),
    ("seed", _SEED, "1", "Seed of the initial parameters.", _A_SEED),
    (
        "scheme",
        _choices(members(Scheme)),
        '"he" if hidden is "relu", else "glorot"',
        "Distribution of the initial parameters: uniform in ±scale, ±scale·√(6/(n_in + n_out)), ±scale·√(6/n_in), or zero. "
        'Biases start at zero, but for "uniform".',
        one_of(members(Scheme)),
    ),
    (
        "scale",
        "number, 0 to 1024",
        '0.5 in node perturbation with hidden "relu" or "leaky-relu", unless the design runs in software only; otherwise 1.0',
        "Factor on the range of the initial parameters.",
        real_number(0, 1024, 1.0),
    ),
]
_PERTURBATION: list[_Row] = [
    (
        "kind",
        _choices(members(Kind)),
        '"node"',
        "What is perturbed: every weight and bias, or every neuron's pre-activation.",
        one_of(members(Kind)),
    ),
    (
        "code",
        _choices(dict.fromkeys(_CODES)),
        '"sequential" in node perturbation, or "lfsr" if the design runs in software only, if a layer is lif, or if a network with state '
        'has more than 64 perturbed quantities; "lfsr" in weight perturbation',
        "The signs: random ±1, Walsh-Hadamard rows, those rows in Gray-code order, one quantity at a time; or sinusoids, in software only.",
        one_of({name: name for name in _CODES}),
    ),
    (
        "layerwise",
        "true or false",
        "false",
        "Whether each layer is perturbed in a separate pass, without noise from the other layers." + _FLOAT_ONLY,
        boolean,
    ),
    (
        "amplitude",
        'power of two, as "2^-6" or 0.015625',
        "2^-6, or the last place of what is perturbed if that is larger",
        "Δ, what is added or subtracted.",
        log2_of_power_of_two,
    ),
    ("seed", _SEED, "1", "Seed of the random signs and of stochastic rounding.", _A_SEED),
    (
        "hold",
        "whole number, 1 to network.frames",
        "network.frames if network.held, otherwise 1",
        _STATE + "H, the number of frames that one sign lasts in node perturbation; the core can be set to a longer one.",
        whole_number(1, MAX_FRAMES, 1),
    ),
]
_SCHEDULE: list[_Row] = [
    ("perturbation_period", _PERIOD, "1", "τ_p: steps that one perturbation lasts.", _STEPS),
    (
        "sample_period",
        _PERIOD,
        "in node perturbation, unless the design runs in software only: the number of neurons, or a whole period of a Walsh code, "
        "times τ_p; 16 random probes with a layer with state; at most update_period, if that is given. Otherwise 1",
        "τ_x: steps that one sample stays. In node perturbation the steps in which neither the sample nor the parameters change, "
        "at most K = min(τ_x, τ_θ), share one unperturbed pass and one pass that applies the errors.",
        _STEPS,
    ),
    (
        "update_period",
        _PERIOD,
        "sample_period in node perturbation, unless the design runs in software only; otherwise 1",
        "τ_θ: steps from one change of the parameters to the next; the gradient estimates of all of them count.",
        _STEPS,
    ),
    (
        "difference",
        _choices(members(Difference)),
        '"one-sided"',
        "C̃ = C₊ − C₀ (one pass a step, and one more when the baseline is due), or C₊ − C₋ (two passes a step; cancels even-order errors; "
        "in node perturbation the unperturbed pass is measured as well).",
        one_of(members(Difference)),
    ),
    (
        "learning_rate",
        "log₂ η as a whole number, -48 to 16, or a list of [step, log₂ η]",
        "−⌈log₂(2·(0.3·fan-in + 1)·(D + τ_θ))⌉, fan-in the widest and D the perturbed neurons, or an eighth of the weights in weight "
        "perturbation, less k with momentum; the mean of ‖x‖² in place of 0.3·fan-in where that is larger and data.scaling is "
        '"none". With code = "sequential", whose gradients are exact, 4·v in place of D + τ_θ where hidden neurons rectify, otherwise '
        "2·v, v the times that a quantity is measured in τ_θ, and in weight perturbation 2 in place of 0.3·fan-in + 1; in node "
        "perturbation "
        '2·v and 2 more where the output is "sigmoid" or "hard-sigmoid", 3 more where the hidden layers are as well. '
        "With a layer with state, less log₂ of the hold; where outputs are summed over the frames, their number times T² as the fan-in; "
        "and in weight perturbation min(T, 8) times D, or v, and half the rate with random signs where that layer rectifies",
        "The rate of the unbiased estimator s·C̃/Δ. A list starts at step 0 and rises.",
        learning_rates,
    ),
]
_OPTIMIZER: list[_Row] = [
    (
        "name",
        _choices(OPTIMIZER_KEYS),
        '"sgd"',
        f"{'; '.join(f'{name}: {each.equations}' for name, each in OPTIMIZERS.items())}. Software only: {', '.join(FLOAT_OPTIMIZERS)}.",
        one_of({name: name for name in OPTIMIZER_KEYS}),
    ),
    ("k", "whole number, 1 to 12", "3", f"{_owners('k')}: m decays by 2⁻ᵏ per update.", whole_number(1, 12, 3)),
    ("beta1", "number, 0 to 0.9999", "0.9", f"{_owners('beta1')}: β₁.", real_number(0, 0.9999, 0.9)),
    ("beta2", "number, 0 to 0.999999", "0.999", f"{_owners('beta2')}: β₂.", real_number(0, 0.999999, 0.999)),
    ("epsilon", "number, 0 to 1", "1e-8", f"{_owners('epsilon')}: ε.", real_number(0, 1, 1e-8)),
    ("corrected", "true or false", "true", f"{_owners('corrected')}: whether the bias of m and v is corrected.", boolean),
    ("k1", "whole number, 0 to 12", "3", f"{_owners('k1')}: β₁ = 1 − 2^−k₁; 0: without momentum, and its memory.", whole_number(0, 12, 3)),
    ("k2", "whole number, 1 to 12", "10", f"{_owners('k2')}: β₂ = 1 − 2^−k₂.", whole_number(1, 12, 10)),
    ("refined", "true or false", "true", f"{_owners('refined')}: whether the root also uses the bit behind the leading one.", boolean),
    ("format", "format", "gradient's, and k more integer bits, or k1 more fraction bits", f"{_owners('format')}: of m.", number_format),
    ("square_format", "format, unsigned", "32 bits that hold G²", f"{_owners('square_format')}: format of v.", number_format),
    ("rounding", _choices(_ANY_ROUNDING), '"half-even"', f"{_owners('rounding')}: of the casts into m and v.", one_of(_ANY_ROUNDING)),
    ("overflow", _choices(_OVERFLOW), '"saturate"', f"{_owners('overflow')}: overflow of the cast into m.", one_of(_OVERFLOW)),
]
_FORMATS: list[_Row] = [
    (
        "input",
        "format",
        '"UQ0.8"; if data.scaling is "none", "SQ4.8" or 12 bits that hold all inputs',
        "Inputs: raw = round(x·2^f), kept within the format.",
        number_format,
    ),
    ("weight", "format, signed", '"SQ4.12", or "SQ4.11" if only that keeps sums within 32 bits', "Weights and biases.", number_format),
    (
        "activation",
        "format",
        "10 fraction bits, or 9 if that keeps sums within 32 bits; signed if an activation has negative values; 4 integer bits, "
        "or 2 if all of them are bounded, and more where targets need them",
        "Every neuron's output, and the targets.",
        number_format,
    ),
    (
        "table",
        "format, signed, at most 14 bits",
        '"SQ4.6"',
        "Pre-activations as they address the table of a sigmoid or tanh.",
        number_format,
    ),
    (
        "cost",
        "format, signed, at most 32 bits",
        '"SQ4.12"',
        _LEARNER + "a cost word from the outside.",
        number_format,
    ),
    ("state", "format, signed, at least 2 integer bits", '"SQ4.10"', "With lif layers only: their state, v.", number_format),
    ("cost_change", "format, signed", "exact", "C̃, the one number that every perturbed quantity correlates.", number_format),
    (
        "error",
        "format, signed, at most 16 bits, or 18 with more than 8 lanes",
        "16 bits that hold |∂C/∂z| < 4 at the largest rate, within the range of a weight, and err·x − θ within 32 bits",
        "Node perturbation only: the error of a neuron, 2^e·E.",
        number_format,
    ),
    (
        "gradient",
        "format, signed",
        "integer bits of weight, 8 fraction bits more than weight; SQ1.15 with shift-adam, scaled so that |∂C/∂z| < 4 fills it",
        "g and G. Node perturbation has neither if every presentation ends with an update of plain descent.",
        number_format,
    ),
]
_HARDWARE: list[_Row] = [
    (
        "lanes",
        "whole number, 1 to 256",
        "6, or the widest layer if that is smaller",
        "L: neurons computed in parallel. In weight perturbation random signs depend on it; in node perturbation no result does. With "
        "network.external, the number of streams of words, 1 to 8 (1), on which no result depends.",
        whole_number(1, 256, 6),
    ),
    (
        "multipliers_per_lane",
        "1 or 2",
        "1",
        "Multipliers of each lane. With 2, in node perturbation, the unperturbed pass of a presentation also applies the errors of the one "
        "before, so that this takes no cycles of its own. Results are the same.",
        whole_number(1, 2, 1),
    ),
    (
        "gradient_memory",
        "true or false",
        "true if update_period > 1; in node perturbation, true unless sample_period is a multiple of update_period; true there with a "
        "layer with state",
        "Whether each lane has a memory for G. Without one the parameters change every step, or in node perturbation at the end of every "
        "presentation. With a layer with state, results are the same in node perturbation.",
        boolean,
    ),
    ("memory", '"block" or "single-port"', '"block"', _MEMORY, memory),
    ("signature", "true or false", "true", "Whether the core keeps running checksums of its observables.", boolean),
]
_LEARNING: list[_Row] = [
    ("batch", _COUNTED, "1", "Samples of a step, each with a perturbation of its own." + _FLOAT_ONLY, _COUNT),
    ("repeats", _COUNTED, "1", "Perturbations of each sample in a step; one unperturbed pass serves them all." + _FLOAT_ONLY, _COUNT),
    (
        "cost",
        _choices(dict.fromkeys(_COSTS)),
        '"squared-error"',
        "C = Σ(y − y*)²; its mean over the outputs; or the cross-entropy of softmax(y). All but the first: software only.",
        one_of({name: name for name in _COSTS}),
    ),
    ("smoothing", "number, 0 to 0.99", "0", "Cross-entropy only: label smoothing.", real_number(0, 0.99, 0.1)),
    (
        "normalise",
        "true or false",
        "false",
        "Whether the mean of G over τ_θ is scaled to the length of the true gradient (Oripov et al. 2025)." + _FLOAT_ONLY,
        boolean,
    ),
    (
        "decay",
        '"constant" or "cosine"',
        '"constant"',
        "Whether the rate falls along half a cosine, to a hundredth at the end of the run; cosine is software only.",
        one_of({"constant": "constant", "cosine": "cosine"}),
    ),
    (
        "precision",
        '"float32" or "float64"',
        '"float64"',
        "Type of the numbers of the float model, for a design that is software only.",
        one_of({"float32": "float32", "float64": "float64"}),
    ),
    (
        "skip_dead_nodes",
        "true or false",
        "false",
        "Node perturbation only: whether nodes that cannot change the output are left unperturbed." + _FLOAT_ONLY,
        boolean,
    ),
    (
        "parts",
        "list of [layers, times]",
        "all layers together",
        "Parts of the network: number of consecutive layers that are perturbed together, and number of their perturbations in a round. "
        "In node perturbation, hardware perturbs one part in each step, in turn; a software-only design all of them in every step, and "
        "weight perturbation is software only. Replaces `repeats` and `perturbation.layerwise`.",
        layer_parts,
    ),
    (
        "groups",
        _COUNTED,
        "the batch",
        "Weight perturbation only: number of groups of samples in a batch, each with a separate perturbation." + _FLOAT_ONLY,
        _COUNT,
    ),
    (
        "layer_factors",
        "list of numbers, 0 to 1024",
        "1 for each layer",
        "Factors on the rate, one for each layer: those with the noisier gradient may move more slowly." + _FLOAT_ONLY,
        layer_factors,
    ),
    (
        "form",
        '"discrete" or "analog"',
        '"discrete"',
        "Differences and sums; or filters: a high-pass on the cost and a low-pass on the gradient, a write in every step. Analog: weight "
        "perturbation, software only.",
        one_of({"discrete": "discrete", "analog": "analog"}),
    ),
    ("highpass", "number, 0.1 to 10^9", "10", "Analog only: time constant of the high-pass, in steps.", real_number(0.1, 1e9, 10)),
    ("lowpass", "number, 0.1 to 10^9", "100", "Analog only: time constant of the low-pass, in steps.", real_number(0.1, 1e9, 100)),
]
_EXTERNAL: list[_Row] = [
    (
        "command",
        "text",
        "none",
        "Program and arguments, as a shell splits them; it runs in the folder of the design file, and `python` is the one that runs "
        "mgd-hw. Only the first and the last entry of network.layers matter. With network.external it is the outside of the learner.",
        text,
    ),
    ("parameters", _COUNTED, "must be given", "P, the number of parameters that the program takes.", _COUNT),
    ("frames", "true or false", "false", "Whether the program speaks binary frames, rather than lines of JSON.", boolean),
    ("timeout", "number, 0.01 to 86400", "10", "Longest time that an answer may take, in seconds.", real_number(0.01, 86_400, 10)),
    ("settle", _CYCLES, "0", _LEARNER + "cycles from apply_stb to measure_ready, less two.", whole_number(0, MAX_CYCLES, 100)),
    (
        "average",
        f"whole number, 0 to {MAX_AVERAGE}",
        "0",
        _LEARNER + "log₂ of the most words of a mean.",
        whole_number(0, MAX_AVERAGE, 3),
    ),
    ("timeout_cycles", _CYCLES, "1000000", _LEARNER + "longest wait for a cost word.", whole_number(1, MAX_CYCLES, 1_000_000)),
    ("samples", _PERIOD, "1", _LEARNER + "number of samples that the outside has.", whole_number(1, MAX_PERIOD, 4)),
    ("sample_cycles", _CYCLES, "no limit", _LEARNER + "cycles for which the outside shows a sample.", whole_number(1, MAX_CYCLES, 10_000)),
    (
        "dac_step",
        "power of two",
        "the last place of formats.weight",
        _LEARNER + "least step of the outside's converters, which Δ must reach.",
        log2_of_power_of_two,
    ),
    ("right_below", "number, -10^9 to 10^9", "none", _LEARNER + "cost below which an answer is right.", real_number(-1e9, 1e9, 1)),
]
_DEVICE: list[_Row] = [
    (
        "activation_variation",
        "number, 0 to 4",
        "0",
        "a: every neuron is L·f(k·(z − x₀)) + y₀ with L, k ~ 1 + a·N(0, 1) and x₀, y₀ ~ a·N(0, 1) (McCaughan et al. 2023).",
        real_number(0, 4, 0.1),
    ),
    ("cost_noise", "number, 0 to 1000", "0", "Standard deviation of noise on every measured cost.", real_number(0, 1000, 0.001)),
    ("update_noise", "number, 0 to 1000", "0", "Standard deviation of noise on every written parameter.", real_number(0, 1000, 0.001)),
    ("weight_step", "number above 0, to 1", "none", "Step between the values a parameter can have.", real_number(1e-12, 1, 0.0625)),
    ("weight_limit", "number, 0.001 to 1024", "8", "Largest magnitude of such a parameter.", real_number(0.001, 1024, 2)),
    (
        "stochastic",
        "true or false",
        "false",
        "Whether parameters are rounded to these multiples stochastically, rather than to the nearest.",
        boolean,
    ),
    (
        "endurance",
        "whole number, 1 to 10^12",
        "unlimited",
        "Number of writes that change a cell before it keeps its value for ever.",
        whole_number(1, 10**12, 100_000),
    ),
    ("fading", "number, 0 to 1", "0", "Fraction of a parameter that is lost in each step.", real_number(0, 1, 1e-6)),
    ("wander", "number, 0 to 1", "0", "Standard deviation of a parameter's random walk in each step.", real_number(0, 1, 1e-6)),
    ("seed", _SEED, "1", "Seed of all random numbers of the devices.", _A_SEED),
]
_COMPARE: list[_Row] = [
    (
        "steps",
        "whole number, 1 to 10^9",
        "10 steps per update and perturbed quantity, from 10,000 to 200,000; in node perturbation with longer presentations, those of "
        "4,000 presentations if that is more, up to 1,000,000; in weight perturbation with a layer with state min(T, 8) times as many, "
        "from 50,000 on; twice the last step of a learning-rate list if longer",
        "Number of steps that `mgd-hw compare` trains.",
        whole_number(1, 10**9, 100_000),
    ),
    ("seeds", "whole number, 1 to 1000", "3", "Number of runs over which `mgd-hw compare` averages.", whole_number(1, 1000, 3)),
    (
        "backprop_epochs",
        "whole number, 1 to 10^6",
        "60, or more for at least 3,000 updates, or fewer for at most 20,000",
        "Number of epochs of back-propagation.",
        whole_number(1, 10**6, 60),
    ),
    ("backprop_rate", "number above 0, to 10", "0.003", "Learning rate of back-propagation (Adam).", real_number(1e-9, 10, 0.003)),
    ("backprop_batch", "whole number, 1 to 65536", "32", "Number of samples in an update of back-propagation.", whole_number(1, 65536, 32)),
]
_FORMATS_ROUNDING: list[_Row] = [
    (
        cast,
        _choices(_ANY_ROUNDING if cast == "weight" else _ROUNDING),
        _ROUNDED[cast],
        f"Rounding of the cast of {what}.",
        one_of(_ANY_ROUNDING),
    )
    for cast, what in _CAST_MEANING.items()
]
_FORMATS_OVERFLOW: list[_Row] = [
    (cast, _choices(_OVERFLOW), '"saturate"', f"Overflow of the cast of {what}.", one_of(_OVERFLOW)) for cast, what in _CAST_MEANING.items()
]
_SECTIONS = {
    "": _TOP,
    "network": _NETWORK,
    "perturbation": _PERTURBATION,
    "schedule": _SCHEDULE,
    "optimizer": _OPTIMIZER,
    "formats": _FORMATS,
    "formats.rounding": _FORMATS_ROUNDING,
    "formats.overflow": _FORMATS_OVERFLOW,
    "hardware": _HARDWARE,
    "learning": _LEARNING,
    "external": _EXTERNAL,
    "device": _DEVICE,
    "data": DATA_ROWS,
    "compare": _COMPARE,
}

KEYS = tuple(Key(section, *row) for section, rows in _SECTIONS.items() for row in rows)
"""All keys of a design file, in the order of the documentation."""

SECTIONS = tuple(dict.fromkeys(key.section for key in KEYS if key.section))
"""Names of the sections, the TOML tables of a design file."""

_WITHOUT_ROW = sorted({name for names in OPTIMIZER_KEYS.values() for name in names} - {row[0] for row in _OPTIMIZER})
if _WITHOUT_ROW:
    raise TypeError(f"Parameters of optimisers have no key in a design file: {', '.join(_WITHOUT_ROW)}. Add rows to _OPTIMIZER.")
