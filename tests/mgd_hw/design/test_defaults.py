"""What a design file leaves out: the value that each key then has, written down here apart from the code and from its page."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mgd_hw.data import Scaling
from mgd_hw.design import keys
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.float_only import OPTIMIZER_KEYS, External
from mgd_hw.design.keys import KEYS
from mgd_hw.design.reader import parse, parse_any
from python_ref.spec.activations import Activation
from python_ref.spec.learner import LearnerSpec, Outside
from python_ref.spec.network import Readout, Scheme
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import Momentum, Sgd, ShiftAdam
from python_ref.spec.perturbation import Kind, LfsrCode, SequentialCode
from python_ref.spec.schedule import Difference


def plain(text: str = "") -> Design:
    """A design of 4 inputs, 8 hidden and 3 output neurons and of whatever ``text`` says beside."""
    return parse(f"network.layers = [4, 8, 3]\n{text}", "plain.toml")


MOMENTUM = 'optimizer.name = "momentum"\n'
SHIFT_ADAM = 'optimizer.name = "shift-adam"\n'
EXTERNAL = 'perturbation.kind = "weight"\nexternal.command = "chip"\nexternal.parameters = 9\n'

DEFAULTS: dict[str, tuple[Callable[[Design], Any], Any, str]] = {
    "name": (lambda d: d.spec.name, "plain", ""),
    "network.hidden": (lambda d: d.spec.network.hidden, Activation.RELU, ""),
    "network.output": (lambda d: d.spec.network.output, Activation.IDENTITY, ""),
    "network.architecture": (lambda d: d.float_only.architecture, "dense", ""),
    "network.width": (lambda d: d.float_only.width, 1, ""),
    "network.frames": (lambda d: d.spec.network.frames, 1, ""),
    "network.held": (lambda d: d.spec.network.held, False, ""),
    "network.readout": (lambda d: d.spec.network.readout, Readout.LAST, ""),
    "network.seed": (lambda d: d.spec.network.initial.seed, 1, ""),
    "network.scheme": (lambda d: d.spec.network.initial.scheme, Scheme.HE, ""),
    "network.scale": (lambda d: d.spec.network.initial.scale, 0.5, ""),
    "perturbation.kind": (lambda d: d.spec.perturbation.kind, Kind.NODE, ""),
    "perturbation.code": (lambda d: (d.spec.perturbation.code, d.float_only.code), (SequentialCode(), "sequential"), ""),
    "perturbation.layerwise": (lambda d: d.float_only.layerwise, False, ""),
    "perturbation.amplitude": (lambda d: d.spec.perturbation.amplitude_log2, -6, ""),
    "perturbation.hold": (lambda d: d.spec.perturbation.hold, None, ""),
    "perturbation.seed": (lambda d: d.spec.perturbation.seed, 1, ""),
    "schedule.perturbation_period": (lambda d: d.spec.schedule.perturbation_period, 1, ""),
    # one probe of each of the 11 neurons
    "schedule.sample_period": (lambda d: d.spec.schedule.sample_period, 11, ""),
    "schedule.update_period": (lambda d: d.spec.schedule.update_period, 11, ""),
    "schedule.difference": (lambda d: d.spec.schedule.difference, Difference.ONE_SIDED, ""),
    # 2·(0.3·8 + 1)·4 = 27.2, and 2⁴ < 27.2 ≤ 2⁵
    "schedule.learning_rate": (lambda d: d.spec.schedule.learning_rate, ((0, -5),), ""),
    "optimizer.name": (lambda d: (d.spec.optimizer, d.float_only.optimizer), (Sgd(), "sgd"), ""),
    "optimizer.k": (lambda d: d.spec.optimizer.k, 3, MOMENTUM),
    "optimizer.format": (lambda d: d.spec.optimizer_state[0].format, Fixed(True, 7, 20), MOMENTUM),
    "optimizer.rounding": (lambda d: d.spec.optimizer.rounding, Rounding.HALF_EVEN, MOMENTUM),
    "optimizer.overflow": (lambda d: d.spec.optimizer.overflow, Overflow.SATURATE, MOMENTUM),
    "optimizer.k1": (lambda d: d.spec.optimizer.k1, 3, SHIFT_ADAM),
    "optimizer.k2": (lambda d: d.spec.optimizer.k2, 10, SHIFT_ADAM),
    "optimizer.refined": (lambda d: d.spec.optimizer.refined, True, SHIFT_ADAM),
    # A G of SQ1.15 has squares of at most 1, with 30 fraction bits, of which 32 − 1 = 31 are more.
    "optimizer.square_format": (lambda d: d.spec.optimizer_state[1].format, Fixed(False, 1, 31), SHIFT_ADAM),
    "formats.input": (lambda d: d.spec.formats.input, Fixed(False, 0, 8), ""),
    "formats.weight": (lambda d: d.spec.formats.weight, Fixed(True, 4, 12), ""),
    # With 10 fraction bits 8 products of SQ4.12 and SQ4.10 and a bias, 520 at most, would take 11 + 22 bits, more than 32.
    "formats.activation": (lambda d: d.spec.formats.activation, Fixed(True, 4, 9), ""),
    "formats.table": (lambda d: d.spec.formats.table, Fixed(True, 4, 6), ""),
    # An error of SQ4.9 is of −16 to 16, three squares are at most 768 < 2¹⁰, and a change of the cost has a sign besides.
    "formats.cost_change": (lambda d: (d.spec.formats.cost_change, d.spec.cost_change_format), (None, Fixed(True, 11, 18)), ""),
    # With 32 − 1 − 4 − 9 = 18 fraction bits θ − err·x has 32 bits; |∂C/∂z| < 4 at a rate of 2⁻⁵ needs ±2⁻³, which is as fine.
    "formats.error": (lambda d: (d.spec.formats.error, d.spec.error_format), (None, Fixed(True, -2, 18)), ""),
    "formats.gradient": (lambda d: (d.spec.formats.gradient, d.spec.gradient_format), (None, Fixed(True, 4, 20)), ""),
    "formats.state": (lambda d: d.spec.formats.state, Fixed(True, 4, 10), ""),
    "formats.rounding.state": (lambda d: d.spec.formats.state_cast.rounding, Rounding.HALF_EVEN, ""),
    "formats.overflow.state": (lambda d: d.spec.formats.state_cast.overflow, Overflow.SATURATE, ""),
    "formats.rounding.activation": (lambda d: d.spec.formats.activation_cast.rounding, Rounding.HALF_EVEN, ""),
    "formats.rounding.cost_change": (lambda d: d.spec.formats.cost_change_cast.rounding, Rounding.HALF_EVEN, ""),
    "formats.rounding.error": (lambda d: d.spec.formats.error_cast.rounding, Rounding.HALF_EVEN, ""),
    "formats.rounding.gradient": (lambda d: d.spec.formats.gradient_cast.rounding, Rounding.FLOOR, ""),
    "formats.rounding.weight": (lambda d: d.spec.formats.weight_cast.rounding, Rounding.STOCHASTIC, ""),
    "formats.overflow.activation": (lambda d: d.spec.formats.activation_cast.overflow, Overflow.SATURATE, ""),
    "formats.overflow.cost_change": (lambda d: d.spec.formats.cost_change_cast.overflow, Overflow.SATURATE, ""),
    "formats.overflow.error": (lambda d: d.spec.formats.error_cast.overflow, Overflow.SATURATE, ""),
    "formats.overflow.gradient": (lambda d: d.spec.formats.gradient_cast.overflow, Overflow.SATURATE, ""),
    "formats.overflow.weight": (lambda d: d.spec.formats.weight_cast.overflow, Overflow.SATURATE, ""),
    "hardware.lanes": (lambda d: d.spec.hardware.lanes, 6, ""),
    "hardware.gradient_memory": (lambda d: d.spec.gradient_memory, False, ""),
    "hardware.multipliers_per_lane": (lambda d: d.spec.hardware.multipliers_per_lane, 1, ""),
    "hardware.memory": (lambda d: d.spec.hardware.single_port, False, ""),
    "hardware.signature": (lambda d: d.spec.hardware.signature, True, ""),
    "learning.batch": (lambda d: d.float_only.batch, 1, ""),
    "learning.repeats": (lambda d: d.float_only.repeats, 1, ""),
    "learning.cost": (lambda d: d.float_only.cost, "squared-error", ""),
    "learning.smoothing": (lambda d: d.float_only.smoothing, 0.0, 'learning.cost = "cross-entropy"\n'),
    "learning.normalise": (lambda d: d.float_only.normalise, False, ""),
    "learning.decay": (lambda d: d.float_only.decay, "constant", ""),
    "learning.precision": (lambda d: d.float_only.precision, "float64", ""),
    "learning.skip_dead_nodes": (lambda d: d.float_only.skip_dead_nodes, False, ""),
    "learning.parts": (lambda d: d.float_only.parts, None, ""),
    "learning.groups": (lambda d: d.float_only.groups, None, ""),
    "learning.layer_factors": (lambda d: d.float_only.layer_factors, None, ""),
    "learning.form": (lambda d: d.float_only.form, "discrete", ""),
    "learning.highpass": (lambda d: d.float_only.highpass, 10.0, ""),
    "learning.lowpass": (lambda d: d.float_only.lowpass, 100.0, ""),
    "external.command": (lambda d: d.float_only.external, None, ""),
    "external.frames": (lambda d: d.float_only.external, External(("chip",), 9, False, 10.0), EXTERNAL),
    "external.timeout": (lambda d: d.float_only.external.timeout, 10.0, EXTERNAL),
    "data.task": (lambda d: d.data.task, "random", ""),
    "data.path": (lambda d: d.data.path, None, ""),
    "data.kind": (lambda d: d.data.kind, None, ""),
    "data.label": (lambda d: d.data.label, None, ""),
    "data.drop": (lambda d: d.data.drop, (), ""),
    "data.header": (lambda d: d.data.header, None, ""),
    "data.delimiter": (lambda d: d.data.delimiter, None, ""),
    "data.decimal": (lambda d: d.data.decimal, None, ""),
    "data.series": (lambda d: d.data.series, None, ""),
    "data.input_values": (lambda d: d.data.input_values, (0.0, 1.0), ""),
    "data.target_scaling": (lambda d: d.data.target_scaling, Scaling.COLUMN, ""),
    "data.scaling": (lambda d: d.data.scaling, Scaling.RANGE, ""),
    "data.target_values": (lambda d: d.data.target_values, (0.0, 1.0), ""),
    "data.test_fraction": (lambda d: d.data.test_fraction, 0.0, ""),
    "data.validation_fraction": (lambda d: d.data.validation_fraction, 0.0, ""),
    "data.split_seed": (lambda d: d.data.split_seed, 0, ""),
    "data.frames": (lambda d: d.data.frames_at_once, 1, ""),
    "data.stratify": (lambda d: d.data.stratify, False, ""),
    "data.train_samples": (lambda d: d.data.train_samples, None, ""),
    "data.test_samples": (lambda d: d.data.test_samples, None, ""),
    "data.shuffle": (lambda d: d.data.shuffle, True, ""),
    "data.shuffle_seed": (lambda d: d.data.shuffle_seed, 1, ""),
    "compare.steps": (lambda d: d.compare.steps, 44_000, ""),
    "compare.seeds": (lambda d: d.compare.seeds, 3, ""),
    "compare.backprop_epochs": (lambda d: d.compare.backprop_epochs, None, ""),
    "compare.backprop_rate": (lambda d: d.compare.backprop_rate, 0.003, ""),
    "compare.backprop_batch": (lambda d: d.compare.backprop_batch, 32, ""),
}
"""For each key what reads it from a design, the value it has where it is left out, and what the file must say beside."""

ELSEWHERE = {
    "network.layers": "test_layers_that_are_left_out",
    "external.parameters": "test_external_parameters_must_be_given",
    "network.external": "test_a_network_is_inside",
    **dict.fromkeys(("external.settle", "external.average", "external.timeout_cycles", "external.samples"), "test_a_network_outside"),
    **dict.fromkeys(("external.sample_cycles", "external.dac_step", "external.right_below", "formats.cost"), "test_a_network_outside"),
    **dict.fromkeys(("optimizer.beta1", "optimizer.beta2", "optimizer.epsilon", "optimizer.corrected"), "test_optimizers_of_software"),
    **dict.fromkeys((key for key in ("device.activation_variation", "device.cost_noise", "device.update_noise")), "test_devices"),
    **dict.fromkeys(("device.weight_step", "device.weight_limit", "device.stochastic", "device.endurance"), "test_devices"),
    **dict.fromkeys(("device.fading", "device.wander", "device.seed"), "test_devices"),
}
"""Keys whose defaults another test of this file has."""


def test_every_key_has_its_default_tested() -> None:
    assert set(DEFAULTS) | set(ELSEWHERE) == {f"{key.section}.{key.name}".lstrip(".") for key in KEYS}
    assert set(ELSEWHERE.values()) <= set(globals())


@pytest.mark.parametrize("key", DEFAULTS)
def test_a_key_that_is_left_out(key: str) -> None:
    read, expected, beside = DEFAULTS[key]
    found = read(plain(beside))
    assert found == expected
    assert type(found) is type(expected)


def test_layers_that_are_left_out() -> None:
    usual = {"xor": (2, 4, 1), "parity": (4, 8, 1), "nist7x7": (49, 4, 4), "digits": (64, 32, 10), "mnist": (784, 32, 10)}
    for task, sizes in usual.items():
        assert parse(f'data.task = "{task}"\n', "x.toml").spec.network.sizes == sizes, task


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        # Exact gradients, computed by hand: −⌈log₂(4·(0.3·fan-in + 1)·v)⌉, twice that with relu; v the times that a neuron is measured
        ("network.layers = [2, 4, 1]", -5),  # fan-in 4: 8·2.2 = 17.6
        ("network.layers = [2, 1]", -3),  # fan-in 2: 4·1.6 = 6.4
        ("network.layers = [2, 1]\nschedule.update_period = 5", -5),  # 4·1.6·5 = 32, exactly 2⁵
        ("network.layers = [64, 32, 10]", -8),  # fan-in 64: 8·20.2 = 161.6, and 2⁷ < 161.6 ≤ 2⁸
        ("network.layers = [64, 32, 10]\nschedule.update_period = 84", -9),  # each neuron twice
        ("network.layers = [64, 32, 10]\nschedule.update_period = 1", -8),  # v ≥ 1
        ("network.layers = [64, 32, 10]\nschedule.perturbation_period = 2", -9),  # each neuron twice
        ("network.layers = [2, 1]\n" + MOMENTUM, -6),  # and k = 3
        ("network.layers = [2, 1]\n" + MOMENTUM + "optimizer.k = 5", -8),
        # The slope of a sigmoid is ¼ at most: 2 more at the output, and 1 more in hidden layers before such an output
        ('network.layers = [64, 32, 10]\nnetwork.output = "sigmoid"', -5),
        ('network.layers = [64, 32, 10]\nnetwork.output = "sigmoid"\nnetwork.hidden = "tanh"', -5),
        ('network.layers = [64, 32, 10]\nnetwork.output = "sigmoid"\nnetwork.hidden = "hard-sigmoid"', -4),
        ('network.layers = [64, 32, 10]\nnetwork.hidden = "sigmoid"', -7),
        ('network.layers = [64, 32, 10]\nnetwork.output = "sign"', -8),
        # Noisy gradients: −⌈log₂(2·(0.3·fan-in + 1)·(D + τ_θ))⌉
        ('network.layers = [64, 32, 10]\nperturbation.code = "lfsr"', -12),  # 2·20.2·(42 + 42) = 3,394, and 2¹¹ < 3,394 ≤ 2¹²
        ('network.layers = [64, 32, 10]\nperturbation.code = "lfsr"\nschedule.update_period = 1', -11),  # 2·20.2·43 = 1,737
        # Of weights, an eighth of D: −⌈log₂(2·(0.3·fan-in + 1)·(D/8 + τ_θ))⌉
        ('network.layers = [2, 1]\nperturbation.kind = "weight"', -3),  # D = 3: 2·1.6·1.375 = 4.4
        ('network.layers = [2, 4, 1]\nperturbation.kind = "weight"', -4),  # D = 17: 2·2.2·3.125 = 13.75
        ('network.layers = [64, 32, 10]\nperturbation.kind = "weight"', -14),  # D = 2,410: 2·20.2·302.25 = 12,211
        ('network.layers = [64, 32, 10]\nperturbation.kind = "weight"\nschedule.update_period = 300', -15),  # 2·20.2·601.25 = 24,291
        ('network.layers = [64, 32, 10]\nperturbation.kind = "weight"\nperturbation.code = "walsh"', -14),
        ('network.layers = [2, 1]\nperturbation.kind = "weight"\nperturbation.code = "sequential"', -3),  # one input: 4·2
        ('network.layers = [64, 32, 10]\nperturbation.kind = "weight"\nperturbation.code = "sequential"', -4),  # 8·2
        ('network.layers = [2, 1]\nlearning.batch = 4', -3),  # software only, with random signs: 2·1.6·2 = 6.4
        ('network.layers = [2, 1]\noptimizer.name = "nesterov"', -3),
        ('network.layers = [2, 1]\noptimizer.name = "adam"', -9),
        ('network.layers = [2, 1]\noptimizer.name = "shift-adam"', -9),
        ('network.layers = [2, 1]\noptimizer.name = "sign"', -9),
    ],
)  # fmt: skip
def test_the_learning_rate(text: str, rate: int) -> None:
    assert parse(text + "\n", "x.toml").spec.schedule.learning_rate == ((0, rate),)


@pytest.mark.parametrize(
    ("text", "read", "expected"),
    [
        ('network.hidden = "tanh"', lambda d: d.spec.network.initial.scheme, Scheme.GLOROT),
        ("network.layers = [4, 3]", lambda d: d.spec.network.initial.scheme, Scheme.GLOROT),
        ("formats.weight = \"SQ4.3\"\nperturbation.kind = \"weight\"", lambda d: d.spec.perturbation.amplitude_log2, -3),
        ("formats.weight = \"SQ4.3\"\nformats.input = \"UQ1.1\"", lambda d: d.spec.perturbation.amplitude_log2, -4),
        ('network.hidden = "tanh"\nformats.table = "SQ4.2"', lambda d: d.spec.perturbation.amplitude_log2, -2),
        ('data.scaling = "none"', lambda d: d.spec.formats.input, Fixed(True, 4, 8)),
        ('network.hidden = "sigmoid"\nnetwork.output = "sigmoid"', lambda d: d.spec.formats.activation, Fixed(False, 2, 10)),
        ('network.hidden = "sign"\nnetwork.output = "tanh"', lambda d: d.spec.formats.activation, Fixed(True, 2, 10)),
        ('network.hidden = "relu"\nnetwork.output = "relu"', lambda d: d.spec.formats.activation, Fixed(False, 4, 10)),
        ('network.layers = [4, 2, 1]\nnetwork.hidden = "tanh"', lambda d: d.spec.formats.activation, Fixed(True, 4, 10)),
        ('network.output = "tanh"', lambda d: d.data.target_values, (-1.0, 1.0)),
        ('network.output = "sign"', lambda d: d.data.target_values, (-1.0, 1.0)),
        ('network.output = "sigmoid"', lambda d: d.data.target_values, (0.0, 1.0)),
        ('network.hidden = "tanh"', lambda d: d.spec.network.initial.scale, 1.0),
        ('network.hidden = "leaky-relu"', lambda d: d.spec.network.initial.scale, 0.5),
        ('perturbation.kind = "weight"', lambda d: d.spec.network.initial.scale, 1.0),
        ("learning.batch = 4", lambda d: d.spec.network.initial.scale, 1.0),
        ("schedule.update_period = 2", lambda d: d.spec.gradient_memory, False),
        ("schedule.update_period = 22", lambda d: d.spec.gradient_memory, True),
        ('perturbation.kind = "weight"\nschedule.update_period = 2', lambda d: d.spec.gradient_memory, True),
        ('perturbation.kind = "weight"', lambda d: (d.spec.perturbation.code, d.float_only.code), (LfsrCode(), "lfsr")),
        ("device.cost_noise = 0.1", lambda d: (d.spec.perturbation.code, d.float_only.code), (LfsrCode(), "lfsr")),
        ('perturbation.code = "sinusoidal"', lambda d: d.float_only.code, "sinusoidal"),
        ('data.task = "csv"\ndata.path = "x.csv"', lambda d: (d.data.scaling, d.data.test_fraction), (Scaling.COLUMN, 0.2)),
        ('data.path = "x.npz"', lambda d: d.data.task, "npz"),
        ('perturbation.kind = "weight"', lambda d: d.compare.steps, 10_000),
        # 4,000 presentations, of 4 steps and of 522
        ("schedule.update_period = 4", lambda d: d.compare.steps, 16_000),
        ("network.layers = [4, 512, 10]", lambda d: d.compare.steps, 1_000_000),
        # 10 steps per update and perturbed quantity: 10·11·1,000; twice the last step of a list; and never more than 200,000 otherwise
        ("schedule.update_period = 1000", lambda d: d.compare.steps, 110_000),
        ("schedule.update_period = 9000", lambda d: d.compare.steps, 200_000),
        ("schedule.learning_rate = [[0, -5], [150000, -6]]", lambda d: d.compare.steps, 300_000),
    ],
)  # fmt: skip
def test_what_follows_from_other_keys(text: str, read: Callable[[Design], Any], expected: Any) -> None:
    before = "" if "network.layers" in text else "network.layers = [4, 8, 3]\n"
    assert read(parse(f"{before}{text}\n", "x.toml")) == expected


@pytest.mark.parametrize(
    ("text", "sample", "update"),
    [
        ("", 11, 11),
        ("schedule.sample_period = 4", 4, 4),
        ("schedule.update_period = 4", 4, 4),
        ("schedule.update_period = 1", 1, 1),
        ("schedule.update_period = 22", 11, 22),
        ("schedule.sample_period = 22\nschedule.update_period = 2", 22, 2),
        ('perturbation.code = "lfsr"', 11, 11),
        ('perturbation.code = "walsh"', 16, 16),  # the power of two above 11
        ("schedule.perturbation_period = 3", 33, 33),
        ('perturbation.kind = "weight"', 1, 1),
        ('perturbation.kind = "weight"\nschedule.update_period = 4', 1, 4),
        ("learning.batch = 4", 1, 1),
        ('network.layers = [4, 300, 3]\nformats.cost_change = "SQ3.52"', 255, 255),  # 255 of ±2⁵⁴ are less than 2⁶², 256 are not
        ('network.layers = [4, 4096, 3]\nschedule.perturbation_period = 10000', 2**24 - 1, 2**24 - 1),
    ],
)  # fmt: skip
def test_the_periods(text: str, sample: int, update: int) -> None:
    before = "" if "network.layers" in text else "network.layers = [4, 8, 3]\n"
    schedule = parse(f"{before}{text}\n", "x.toml").spec.schedule
    assert (schedule.sample_period, schedule.update_period) == (sample, update)


def test_sums_stay_within_a_multiplier_block() -> None:
    """300 products of SQ4.12 and UQ0.8, 2,400 at most, would take 13 + 20 bits; of 784 inputs one bit less would not be enough."""
    narrow, wide = (parse(f"network.layers = [{count}, 3]\n", "x.toml").spec.formats for count in (300, 784))
    assert (narrow.weight, narrow.activation) == (Fixed(True, 4, 11), Fixed(True, 4, 10))
    assert (wide.weight, wide.activation) == (Fixed(True, 4, 12), Fixed(True, 4, 10))


def test_external_parameters_must_be_given() -> None:
    with pytest.raises(Exception, match=r"^x\.toml: external\.parameters: it was left out"):
        parse('network.layers = [2, 1]\nperturbation.kind = "weight"\nexternal.command = "chip"\n', "x.toml")


def test_a_network_is_inside() -> None:
    assert isinstance(plain(), Design)


def test_a_network_outside() -> None:
    design = parse_any("network.external = 4\nschedule.learning_rate = -4\n", "x.toml")
    assert isinstance(design, ExternalDesign) and design.right_below is None
    spec = design.spec
    assert isinstance(spec, LearnerSpec)
    assert spec.outside == Outside(settle=0, average=0, timeout_cycles=1_000_000, samples=1, sample_cycles=None, dac_step_log2=None)
    assert spec.formats.cost == Fixed.parse("SQ4.12")


def make(text: str) -> Any:
    from mgd_hw.design.float_model import learner, opened

    design = parse(f"network.layers = [2, 1]\n{text}\n", "x.toml")
    with opened(design) as problem:
        return learner(design, 10, problem)


def test_optimizers_of_software() -> None:
    adam = make('optimizer.name = "adam"').optimizer
    assert (adam.beta1, adam.beta2, adam.epsilon, adam.corrected) == (0.9, 0.999, 1e-8, True)
    real = make('optimizer.name = "shift-adam"').optimizer
    assert (real.beta1, real.beta2, real.corrected) == (1 - 2**-3, 1 - 2**-10, True)
    shift = make('optimizer.name = "shift-adam"\nlearning.batch = 2').optimizer  # no hardware has batches
    assert (shift.optimizer, shift.rate_log2, shift.scale) == (ShiftAdam(), -9, -2)
    adapted = plain(SHIFT_ADAM).spec
    assert (adapted.formats.gradient_cast.rounding, adapted.gradient_format) == (Rounding.HALF_EVEN, Fixed(True, 1, 15))
    (row,) = (row for row in plain(SHIFT_ADAM).derived if row.key == "formats.gradient")
    assert row.why == "16 bits, which one multiplier squares; G is 2^-2 times the gradient, filled by |∂C/∂z| = 4"
    momentum = make(MOMENTUM).optimizer
    assert momentum.beta == 1 - 2**-3 == make('optimizer.name = "nesterov"').optimizer.beta
    assert plain(MOMENTUM).spec.optimizer == Momentum()


def test_devices() -> None:
    assert make("").devices == ()
    (step,) = make("device.weight_step = 0.25").devices
    assert (step.step, step.limit, step.stochastic, step.seed) == (0.25, 8.0, False, 1)
    (noise,) = make("device.cost_noise = 0.25").devices
    assert noise.seed == 1
    (drift,) = make("device.fading = 0.25").devices
    assert drift.wander == 0.0
    (drift,) = make("device.wander = 0.25").devices
    assert drift.fading == 0.0


def test_the_file_s_name() -> None:
    assert parse("network.layers = [2, 1]\n", "a-b.toml").spec.name == "a_b"
    assert plain().path == Path("plain.toml")


def test_a_parameter_of_an_optimizer_without_a_key_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIMIZER_KEYS, "other", ("k", "strange"))
    with pytest.raises(TypeError, match=r"have no key in a design file: strange\. Add rows to _OPTIMIZER\."):
        runpy.run_path(keys.__file__)


SERIES = 'network.layers = [8, {neurons = 4, kind = "leaky", leak = 1}, 10]\ndata.task = "digits"\n'
SPIKING = 'network.layers = [64, {neurons = 4, kind = "lif", leak = 3}, 10]\ndata.task = "digits"\n'


def test_networks_with_state() -> None:
    """Frames, hold, code and rate by their rules: rows of an image are a series, and a whole image is held."""
    rows = parse(SERIES, "x.toml").spec
    assert (rows.network.frames, rows.network.held, rows.network.readout) == (8, False, Readout.LAST)
    assert rows.unrolled.hold == rows.perturbation.hold == 1
    # 8·4 + 10 quantities, one by one; 2·(0.3·12 + 1)·2 = 18.4, and 2⁴ < 18.4 ≤ 2⁵; twice that, since relu may die
    assert (rows.perturbation.code, rows.schedule.sample_period) == (SequentialCode(), 42)
    assert rows.schedule.learning_rate == ((0, -6),)
    assert rows.formats.gradient_cast.rounding is Rounding.HALF_EVEN
    wide = parse(SERIES.replace("neurons = 4", "neurons = 32"), "x.toml").spec
    assert (wide.perturbation.code, wide.schedule.sample_period, wide.quantities) == (LfsrCode(), 16, 266)
    spiking = parse(SPIKING, "x.toml").spec
    assert (spiking.network.frames, spiking.network.held, spiking.network.readout) == (16, True, Readout.SUM)
    assert (spiking.perturbation.hold, spiking.perturbation.amplitude_log2, spiking.perturbation.code) == (16, -3, LfsrCode())
    # 2·(0.3·4·16² + 1)·(14 + 14) = 17,259, and 2¹⁴ < 17,259 ≤ 2¹⁵; and 16 frames of an error
    assert (spiking.schedule.sample_period, spiking.schedule.learning_rate) == (14, ((0, -19),))
    assert parse(SPIKING + "network.held = false\nnetwork.frames = 1\n", "x.toml").spec.perturbation.hold == 1


@pytest.mark.parametrize(
    ("more", "rate", "steps"),
    [
        # P = 102, T = 8 and relu: 4·(0.3·12 + 1)·(102/8·8 + 1) = 1,895, and 2¹⁰ < 1,895 ≤ 2¹¹
        ("", -11, 50_000),
        ('network.hidden = "tanh"', -10, 50_000),
        ("schedule.update_period = 40", -12, 200_000),  # 4·4.6·142 = 2,613; 10·102·40·8 = 326,400
        ('perturbation.code = "sequential"', -7, 50_000),  # one input at a time: 8·2·8 = 128
        ('perturbation.code = "sequential"\nnetwork.hidden = "tanh"', -6, 50_000),
    ],
)
def test_perturbed_weights_with_state(more: str, rate: int, steps: int) -> None:
    """Codes, periods and rounding as without state; up to eight frames count in the rate, and a run is longer."""
    design = parse(SERIES + f'perturbation.kind = "weight"\n{more}\n', "x.toml")
    spec = design.spec
    assert spec.schedule.learning_rate == ((0, rate),) and design.compare.steps == steps
    assert spec.perturbation.hold is None and spec.schedule.sample_period == 1
    assert spec.code == LfsrCode() or "sequential" in more
    assert spec.formats.gradient_cast.rounding is Rounding.FLOOR
    assert spec.gradient_memory == (spec.schedule.update_period > 1)
