"""The design file: what it may say, what follows from it, and one clear message for everything else."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mgd_hw.cli import TASKS
from mgd_hw.design import reader
from mgd_hw.design.derive import DSP_ACCUMULATOR
from mgd_hw.design.external import OUTSIDE_KEYS, ExternalDesign
from mgd_hw.design.keys import KEYS, SECTIONS
from mgd_hw.design.reader import find, load, parse, parse_any, shipped
from mgd_hw.design.starters import starter
from mgd_hw.hardware.generate import advice
from python_ref.spec.activations import Activation
from python_ref.spec.error import Refusal
from python_ref.spec.network import Scheme
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import Momentum
from python_ref.spec.perturbation import Kind
from python_ref.spec.schedule import Difference
from tests.support.designs import random_design
from tests.support.toml_writer import toml_of

XOR = '[data]\ntask = "xor"\n'


# -- What a file says -------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32))
@settings(max_examples=150)
def test_every_design_survives_the_file(seed: int) -> None:
    spec = random_design(random.Random(seed), parts=0.3, sparse=0.3)
    assert parse(toml_of(spec), "random.toml").spec == spec


IMAGES = '[network]\narchitecture = "fashion-2025"\n[data]\ntask = "npz"\npath = "x.npz"\n'
"""A design file of an architecture for images, which takes no layers."""


def other_values() -> dict[str, str]:
    """A value in TOML, by dotted key, that is not the default of the key; other keys take a value by their section."""
    return {
        "name": '"other"',
        "network.layers": "[4, 5, 2]",
        "network.hidden": '"tanh"',
        "network.held": "false",
        "network.readout": '"last"',
        "formats.state": '"SQ5.9"',
        "data.series": '"id"',
        "data.input_values": "[-1, 1]",
        "network.output": '"relu"',
        "network.scheme": '"zero"',
        "network.scale": "0.75",
        "perturbation.kind": '"weight"',
        "perturbation.code": '"walsh"',
        "perturbation.amplitude": '"2^-3"',
        "schedule.difference": '"two-sided"',
        "schedule.learning_rate": "-5",
        "optimizer.name": '"sgd"',
        "optimizer.k": "5",
        "optimizer.format": '"SQ9.20"',
        "optimizer.rounding": '"floor"',
        "optimizer.overflow": '"wrap"',
        "formats.input": '"UQ1.6"',
        "formats.weight": '"SQ3.13"',
        "formats.activation": '"SQ5.9"',
        "formats.table": '"SQ3.5"',
        "formats.cost_change": '"SQ4.16"',
        "formats.error": '"SQ1.14"',
        "formats.gradient": '"SQ5.20"',
        "hardware.lanes": "3",
        "hardware.gradient_memory": "true",
        "hardware.signature": "false",
        "hardware.multipliers_per_lane": "2",
        "hardware.memory": '"single-port"',
        "data.task": '"csv"',
        "data.path": '"y.npz"',
        "data.kind": '"regression"',
        "data.label": '"class"',
        "data.drop": '["id"]',
        "data.header": "true",
        "data.delimiter": '";"',
        "data.decimal": '","',
        "data.target_scaling": '"range"',
        "data.scaling": '"range"',
        "data.target_values": "[-0.5, 0.5]",
        "data.test_fraction": "0.3",
        "data.validation_fraction": "0.3",
        "data.stratify": "true",
        "data.shuffle": "false",
        "compare.backprop_rate": "0.01",
        "perturbation.layerwise": "true",
        "optimizer.beta1": "0.5",
        "optimizer.beta2": "0.5",
        "optimizer.epsilon": "0.1",
        "optimizer.corrected": "false",
        "optimizer.refined": "false",
        "optimizer.square_format": '"UQ1.20"',
        "learning.cost": '"mean-squared-error"',
        "learning.smoothing": "0.3",
        "learning.normalise": "true",
        "learning.decay": '"cosine"',
        "learning.precision": '"float32"',
        "device.activation_variation": "0.5",
        "learning.skip_dead_nodes": "true",
        "learning.parts": "[[1, 2], [1, 1]]",
        "learning.groups": "1",
        "learning.layer_factors": "[0.5, 1]",
        "learning.form": '"analog"',
        "external.command": '"other y"',
        "external.frames": "true",
        "device.weight_step": "0.5",
        "device.stochastic": "true",
        "device.fading": "0.5",
        "device.wander": "0.5",
        "formats.cost": '"SQ2.9"',
        "external.sample_cycles": "5000",
        "external.dac_step": '"2^-7"',
    }


def other_bases(base: str) -> dict[str, str]:
    """The design file, by dotted key, in which a key has a meaning; every other key has one in ``base``."""
    adam, shift = base.replace('"momentum"', '"adam"'), base.replace('"momentum"', '"shift-adam"')
    weight = '[perturbation]\nkind = "weight"\n'
    analog = base.replace('[optimizer]\nname = "momentum"\n', "") + weight + '[learning]\nform = "analog"\n'
    external = base + weight + '[external]\ncommand = "x"\nparameters = 9\n'
    learner = "[network]\nexternal = 4\n[schedule]\nlearning_rate = -3\n"
    spiking = base.replace("[4, 6, 2]", '[4, {neurons = 6, kind = "lif", leak = 2}, 2]\nframes = 16')
    series = spiking.replace('"npz"', '"csv"').replace("x.npz", "x.csv")
    return {
        **dict.fromkeys(("network.frames", "network.held", "network.readout", "perturbation.hold", "formats.state"), spiking),
        **dict.fromkeys(("formats.rounding.state", "formats.overflow.state"), spiking),
        "data.series": series,
        **dict.fromkeys(("network.external", *OUTSIDE_KEYS), learner),
        **dict.fromkeys(("optimizer.beta1", "optimizer.beta2", "optimizer.epsilon", "optimizer.corrected"), adam),
        **dict.fromkeys(("optimizer.k1", "optimizer.k2", "optimizer.refined", "optimizer.square_format"), shift),
        **dict.fromkeys(("device.weight_limit", "device.stochastic"), base + "[device]\nweight_step = 0.25\n"),
        "learning.smoothing": base + '[learning]\ncost = "cross-entropy"\n',
        "network.width": IMAGES,
        "network.frames": '[network]\narchitecture = "attention"\nlayers = [12, 8, 4]\nframes = 2\n',
        "data.frames": '[network]\nlayers = [84, 4]\n[data]\ntask = "recall"\n',
        "learning.form": base.replace('name = "momentum"\n', "") + weight,
        "learning.groups": base + weight,
        **dict.fromkeys(("learning.highpass", "learning.lowpass"), analog),
        **{f"external.{key}": external for key in ("command", "parameters", "frames", "timeout")},
    }


def test_every_key_is_read() -> None:
    """Each key, given a value that is not its default, changes the design, its data or its comparison."""
    base = (
        '[network]\nlayers = [4, 6, 2]\n[optimizer]\nname = "momentum"\n'
        '[data]\ntask = "npz"\npath = "x.npz"\n[schedule]\nlearning_rate = -3\n'
    )
    others, bases = other_values(), other_bases(base)
    plain = parse(base, "base.toml")
    for key in KEYS:
        if key.dotted == "network.architecture":
            assert parse(IMAGES, "base.toml").float_only.architecture == "fashion-2025"
            continue  # it replaces the layers
        value = others.get(
            key.dotted, '"floor"' if key.section == "formats.rounding" else '"wrap"' if key.section == "formats.overflow" else "7"
        )
        if key.dotted == "formats.rounding.gradient":
            value = '"half-up"'
        changed = _with(base, key.section, key.name, value)
        if key.dotted in ("data.label", "data.drop", "data.header", "data.delimiter", "data.decimal"):
            changed = changed.replace('"npz"', '"csv"')
            other, reference = parse(changed, "base.toml"), parse(base.replace('"npz"', '"csv"'), "base.toml")
        elif key.dotted in bases:
            other = parse_any(_with(bases[key.dotted], key.section, key.name, value), "base.toml")
            reference = parse_any(bases[key.dotted], "base.toml")
        else:
            other, reference = parse(changed, "base.toml"), plain
        said = [
            (design.spec, design.right_below)
            if isinstance(design, ExternalDesign)
            else (design.spec, design.data, design.compare, design.float_only)
            for design in (other, reference)
        ]
        assert said[0] != said[1], key.dotted


def _with(text: str, section: str, name: str, value: str) -> str:
    """A file with one key set, in place of what it says of it."""
    tables: dict[str, dict[str, str]] = {"": {}}
    at = ""
    for line in text.splitlines():
        if line.startswith("["):
            at = line.strip("[]")
            tables.setdefault(at, {})
        elif "=" in line:
            key, _, rest = line.partition("=")
            tables[at][key.strip()] = rest.strip()
    tables.setdefault(section, {})[name] = value
    lines = [f"{key} = {rest}" for key, rest in tables.pop("").items()]
    for table, keys in tables.items():
        lines += [f"[{table}]", *(f"{key} = {rest}" for key, rest in keys.items())]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("written", "log2"),
    [('"2^-6"', -6), ('"2**-6"', -6), ('" 2 ^ -6 "', -6), ("0.015625", -6), ('"2^0"', 0), ("1", 0), ("2", 1), ("0.5", -1), ("1e0", 0)],
)
def test_amplitude_is_a_power_of_two(written: str, log2: int) -> None:
    assert parse(f"{XOR}[perturbation]\namplitude = {written}\n", "a.toml").spec.perturbation.amplitude_log2 == log2


def test_learning_rate_is_a_number_or_a_list() -> None:
    assert parse(f"{XOR}[schedule]\nlearning_rate = -5\n", "a.toml").spec.schedule.learning_rate == ((0, -5),)
    assert parse(f"{XOR}[schedule]\nlearning_rate = [[0, -5], [9, -6]]\n", "a.toml").spec.schedule.learning_rate == ((0, -5), (9, -6))


# -- What follows from the rest ---------------------------------------------------------------------------------------


def test_defaults_of_the_shortest_file() -> None:
    design = parse(XOR, "short.toml")
    spec = design.spec
    assert spec.name == "short"
    assert spec.network.sizes == (2, 4, 1)
    assert spec.perturbation.kind is Kind.NODE
    assert spec.schedule.difference is Difference.ONE_SIDED
    assert spec.hardware.lanes == 4
    assert spec.network.initial.scheme is Scheme.HE
    noted = {row.key: row.value for row in design.derived}
    for key in ("name", "network.layers", "formats.activation", "formats.error", "schedule.learning_rate", "hardware.lanes"):
        assert key in noted
    assert noted["formats.error"] == str(spec.error_format)
    assert noted["formats.cost_change"] == str(spec.cost_change_format)
    assert "formats.gradient" not in noted  # err·x is the update itself


@pytest.mark.parametrize(
    ("text", "key", "value", "why"),
    [
        (
            "",
            "formats.error",
            "SQ-1.17",
            "16 bits, as fine as θ − err·x within 32 bits allows; E, the sum of one cost change, is SQ10.20",
        ),
        (
            "schedule.update_period = 1\n",
            "formats.error",
            "SQ-1.17",
            "16 bits, as fine as θ − err·x within 32 bits allows; E, the sum of one cost change, is SQ10.20",
        ),
        (
            'formats.input = "UQ1.0"\nformats.activation = "SQ2.4"\n',
            "formats.error",
            "SQ-2.18",
            "16 bits, which hold |∂C/∂z| < 4; E, the sum of one cost change, is SQ6.8",
        ),
        (
            'formats.input = "UQ1.0"\nformats.activation = "SQ2.4"\nschedule.sample_period = 300\nschedule.update_period = 300\n'
            'schedule.learning_rate = -5\nperturbation.code = "lfsr"\n',
            "formats.error",
            "SQ4.12",
            "16 bits, the range of a weight; E, the sum of K = 300 cost changes, is SQ15.8",
        ),
        ("", "hardware.gradient_memory", "false", "sample_period = 5, update_period = 5: every presentation ends with an update"),
        ("", "perturbation.code", "sequential", "one neuron at a time: a probe of each measures the gradient of a sample without noise"),
        ("", "network.scale", "0.5", "learns better with relu, neurons perturbed"),
        ("", "schedule.sample_period", "5", "as many probes as neurons, 5"),
        ("", "schedule.update_period", "5", "sample_period = 5: every presentation ends with an update"),
        ("", "schedule.learning_rate", "-5", "fan-in 4, exact gradients, half as much with relu"),
        ("schedule.update_period = 8\n", "schedule.sample_period", "5", "as many probes as neurons, 5"),
        (
            "schedule.update_period = 8\n",
            "schedule.learning_rate",
            "-6",
            "fan-in 4, exact gradients, 2 of each neuron in an update, half as much with relu",
        ),
        ("schedule.update_period = 4\n", "schedule.sample_period", "4", "update_period = 4"),
        ("schedule.perturbation_period = 2\n", "schedule.sample_period", "10", "as many probes as neurons, 5, each 2 times"),
        ('perturbation.code = "walsh"\n', "schedule.sample_period", "8", "a whole period of the walsh code"),
        ('perturbation.code = "walsh"\n', "schedule.learning_rate", "-6", "fan-in 4, 5 perturbed quantities, τ_θ = 8"),
        (
            'network.output = "sigmoid"\n',
            "schedule.learning_rate",
            "-2",
            "fan-in 4, exact gradients, 2^2 times as much since activations are flat",
        ),
        (
            "schedule.sample_period = 8\nschedule.update_period = 4\n",
            "hardware.gradient_memory",
            "false",
            "sample_period = 8, update_period = 4: every presentation ends with an update",
        ),
        (
            "schedule.sample_period = 4\nschedule.update_period = 8\n",
            "hardware.gradient_memory",
            "true",
            "sample_period = 4 is no multiple of update_period = 8: samples change between two updates",
        ),
        ('perturbation.kind = "weight"\nschedule.update_period = 4\n', "hardware.gradient_memory", "true", "update_period = 4"),
        ("schedule.update_period = 8\n", "formats.gradient", "SQ4.20", "range of a weight, 8 fraction bits more"),
        ('perturbation.kind = "weight"\n', "formats.gradient", "SQ4.20", "range of a weight, 8 fraction bits more"),
    ],
)
def test_derived_values_have_their_reasons(text: str, key: str, value: str, why: str) -> None:
    noted = {row.key: (row.value, row.why) for row in parse(f'data.task = "xor"\n{text}', "x.toml").derived}
    assert noted[key] == (value, why)
    assert ("formats.error" in noted) == ("weight" not in text)


def test_nothing_is_derived_that_was_given() -> None:
    for name in shipped():
        design = load(name)
        text = design.text
        for row in design.derived:
            assert not re.search(rf"(?m)^{row.key.rpartition('.')[2]} *=", text), (name, row)


@pytest.mark.parametrize(
    ("hidden", "output", "expected"),
    [
        (Activation.RELU, Activation.RELU, Fixed(False, 4, 10)),
        (Activation.SIGMOID, Activation.SIGMOID, Fixed(False, 2, 10)),
        (Activation.TANH, Activation.SIGMOID, Fixed(True, 2, 10)),
        (Activation.SIGN, Activation.SIGN, Fixed(True, 2, 10)),
        (Activation.RELU, Activation.IDENTITY, Fixed(True, 4, 10)),
    ],
)
def test_activation_format_follows_from_the_activations(hidden: Activation, output: Activation, expected: Fixed) -> None:
    text = f'[network]\nlayers = [3, 2, 2]\nhidden = "{hidden.value}"\noutput = "{output.value}"\n'
    assert parse(text, "a.toml").spec.formats.activation == expected


@pytest.mark.parametrize(
    ("layers", "given", "activation", "weight", "bits"),
    [
        ([4, 5, 3], "", "SQ4.10", "SQ4.12", 32),  # fits as it is
        ([4, 8, 3], "", "SQ4.9", "SQ4.12", 32),
        ([4, 8, 3], 'activation = "SQ4.10"', "SQ4.10", "SQ4.11", 32),
        ([4, 8, 3], 'weight = "SQ4.12"', "SQ4.9", "SQ4.12", 32),
        ([4, 8, 3], 'activation = "SQ4.10"\nweight = "SQ4.12"', "SQ4.10", "SQ4.12", 33),  # what is given stays
        ([300, 3], "", "SQ4.10", "SQ4.11", 32),  # the inputs are what is widest
        ([64, 32, 10], "", "SQ4.10", "SQ4.12", 35),  # one bit does not help
    ],
)
def test_a_bit_is_taken_where_it_keeps_sums_in_a_multiplier(layers: list[int], given: str, activation: str, weight: str, bits: int) -> None:
    design = parse(f"[network]\nlayers = {layers}\n[formats]\n{given}\n", "a.toml")
    assert (str(design.spec.formats.activation), str(design.spec.formats.weight)) == (activation, weight)
    assert design.spec.accumulator_width == bits
    noted = {row.key: row.value for row in design.derived}
    for key, value in (("formats.activation", activation), ("formats.weight", weight)):
        assert noted.get(key, value) == value
    assert len(noted) == len(design.derived)


@pytest.mark.parametrize("name", [*shipped(), *TASKS])
def test_what_is_written_for_a_user_stays_in_a_multiplier(name: str, tmp_path: Path) -> None:
    """The shipped designs, and what `mgd-hw new` writes of its own."""
    if name in shipped():
        design = load(name)
    else:
        for path, text in starter("mine", name, tmp_path, None).files.items():
            path.write_text(text, encoding="utf-8")
        design = load(tmp_path / "mine.toml")
    assert design.spec.accumulator_width <= DSP_ACCUMULATOR
    assert not advice(design.spec)


def test_the_advice_counts_bits() -> None:
    text = '[network]\nlayers = {}\n[formats]\nactivation = "SQ4.10"\nweight = "SQ4.12"\n'
    assert "or 1 bit less in" in advice(parse(text.format([4, 8, 3]), "a.toml").spec)[0]
    assert "or 3 bits less in" in advice(parse(text.format([64, 32, 10]), "a.toml").spec)[0]


def test_the_advice_counts_the_inputs_that_a_sparse_layer_reads() -> None:
    """Four blocks of eight neurons with one input each read four inputs; one block for each neuron reads them all."""
    text = '[network]\nlayers = [64, {{neurons = 32, kind = "sparse", fan_in = {}}}, 10]\n[formats]\nweight = "SQ4.9"\n'
    (found,) = advice(parse(text.format(1), "a.toml").spec)
    assert found.startswith("Layer 1 is sparse, and reads 4 of its 64 inputs, since it has 4 lists of 1. ")
    assert not advice(parse(text.format(16), "a.toml").spec)
    assert not advice(parse(text.format("2, block = 1"), "a.toml").spec)


def test_targets_of_bipolar_outputs_are_bipolar() -> None:
    text = f'{XOR}[network]\noutput = "tanh"\n'
    assert parse(text, "a.toml").data.target_values == (-1.0, 1.0)


def test_targets_widen_the_activation_format() -> None:
    design = parse('[data]\ntask = "xor"\ntarget_values = [-7, 20]\n', "a.toml")
    assert design.spec.formats.activation.to_real(design.spec.formats.activation.max) >= 20


def test_name_follows_the_file() -> None:
    for stem, name in {"my-net": "my_net", "7x": "7x", "module": "module", "é": "_"}.items():
        assert parse(XOR, f"/somewhere/{stem}.toml").name == name


def test_derived_learning_rate_falls_with_size_and_momentum() -> None:
    def rate(text: str) -> int:
        return parse(text, "a.toml").spec.schedule.learning_rate[0][1]

    assert rate("[network]\nlayers = [64, 32, 10]\n") > rate("[network]\nlayers = [784, 32, 10]\n")
    assert rate(XOR) == rate(f'{XOR}[optimizer]\nname = "momentum"\nk = 2\n') + 2


def test_seed_changes_all_that_is_random() -> None:
    design = parse(XOR, "a.toml")
    other = design.with_seed(9)
    assert (other.spec.network.initial.seed, other.spec.perturbation.seed, other.data.shuffle_seed) == (9, 9, 9)
    assert other.spec.digest == design.spec.digest
    assert other.spec.run_digest != design.spec.run_digest


# -- The shipped designs ----------------------------------------------------------------------------------------------


def test_shipped_designs_are_those_promised() -> None:
    assert {
        "xor",
        "digits",
        "nist7x7",
        "mnist",
        "fashion",
        "digits_sparse",
        "vowels",
        "digits_rows",
        "digits_lif",
        "digits_stochastic",
    } <= set(shipped())


@pytest.mark.parametrize("name", shipped())
def test_shipped_design_is_found_by_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(name).name == name
    tasks = {
        "fashion": "fashion-mnist",
        "digits_sparse": "digits",
        "digits_rows": "digits",
        "digits_lif": "digits",
        "digits_stochastic": "digits",
    }
    assert load(name).data.task == tasks.get(name, name)
    (tmp_path / name).mkdir()  # a folder of that name is not in the way
    assert find(name).parent == Path(reader.__file__).parent / "shipped"


def test_a_file_goes_before_a_shipped_design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(XOR)
    assert load("mine").name == "mine"
    assert load("mine.toml").name == "mine"


def test_file_of_an_editor_on_windows_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf" + XOR.replace("\n", "\r\n").encode())
    assert load(tmp_path / "a.toml").data.task == "xor"


# -- What is refused --------------------------------------------------------------------------------------------------

REFUSED = [
    # TOML
    ("", r"a\.toml: it is empty\. `mgd-hw new` writes a design file to start from\."),
    ("  \n\t\n", r"a\.toml: it is empty\. .*"),
    ("[network\n", r"a\.toml: line 1, column 9 is not TOML: Expected ']' at the end of a table declaration\. .*"),
    ("x = \n", r"a\.toml: line 1, column 5 is not TOML: Invalid value\. See https://toml\.io.*"),
    ("a = 1\nx = [1,\n\n", r"a\.toml: line 4, the end of the file is not TOML: .*"),
    ("a = 1\na = 2\n", r"a\.toml: line 2, column 6 is not TOML: Cannot overwrite a value\. .*"),
    ("x = " + "[" * 5000, r"a\.toml: it is nested too deeply\. .*"),
    ("x = " + "9" * 5000, r"a\.toml: a number is not TOML: it has more digits than are read\. .*"),
    # keys
    ("[hardware]\nlane = 3\n", r"a\.toml: hardware\.lane: there is no such key\. Did you mean hardware\.lanes\?"),
    ("[netwrok]\nlayers = [2, 1]\n", r"a\.toml: netwrok: there is no such key\. Did you mean network\?"),
    ("lanes = 3\n", r"a\.toml: lanes: there is no such key\. Did you mean hardware\.lanes\?"),
    ("[schedule]\ntau_p = 3\n", r"a\.toml: schedule\.tau_p: there is no such key\. Known in \[schedule\]: perturbation_period, .*"),
    (
        "[formats.rounding]\nweights = 3\n",
        r"a\.toml: formats\.rounding\.weights: there is no such key\. Did you mean formats\.rounding\.weight\?",
    ),
    # renamed keys
    ("[perturbation]\napart = true\n", r"a\.toml: perturbation\.apart: there is no such key\. Did you mean perturbation\.layerwise\?"),
    ("[learning]\nsparing = true\n", r"a\.toml: learning\.sparing: there is no such key\. Did you mean learning\.skip_dead_nodes\?"),
    ('[outside]\ncommand = "x"\n', r"a\.toml: outside: there is no such key\. Did you mean external\?"),
    ("outside.parameters = 9\n", r"a\.toml: outside: there is no such key\. Did you mean external\?"),
    ("zzzzzz = 3\n", r"a\.toml: zzzzzz: there is no such key\. Known at the top: network, .*"),
    ("network = 3\n", r"a\.toml: network = 3: it is a table, not a value\. Write \[network\], and its keys below\."),
    ("[[network]]\nlayers = [2, 1]\n", r"a\.toml: network = \[\{layers = \[2, 1\]\}\]: it is a table, not a value\. .*"),
    # kinds
    ("[network]\nlayers = true\n", r"a\.toml: network\.layers = true: it must be a list of 2 to 17 whole numbers\. .*"),
    ("[network]\nlayers = [2, true]\n", r"a\.toml: network\.layers = \[2, true\]: every size must be a whole number from 1 to 4096\. .*"),
    ("[network]\nlayers = [2, 1.0]\n", r"a\.toml: network\.layers = \[2, 1\.0\]: every size must be .*"),
    ("[network]\nlayers = [2, 0]\n", r"a\.toml: network\.layers = \[2, 0\]: every size must be .*"),
    ("[network]\nlayers = [2]\n", r"a\.toml: network\.layers = \[2\]: it must be a list of 2 to 17 whole numbers\. .*"),
    ("[network]\nlayers = [4096, 4097]\n", r"a\.toml: network\.layers = \[4096, 4097\]: every size must be .*"),
    ("[network]\nlayers = [4096, 4096, 4096]\n", r"a\.toml: network\.layers = \[4096, 4096, 4096\]: 33562624 parameters are more .*"),
    ("[network]\nlayers = [2, 0x" + "f" * 9000 + "]\n", r"a\.toml: network\.layers = \[2, \(a number of 36000 bits\)\]: every size .*"),
    ("[network]\nscale = nan\n", r"a\.toml: network\.scale = nan: it must be a number from 0 to 1024\. Write 1\.0, say\."),
    ("[network]\nscale = inf\n", r"a\.toml: network\.scale = inf: it must be a number .*"),
    ("[network]\nscale = true\n", r"a\.toml: network\.scale = true: it must be a number .*"),
    ("[network]\nseed = -1\n", r"a\.toml: network\.seed = -1: it must be a whole number from 0 to 2\^63 - 1\. Write 1, say\."),
    ("[network]\nseed = 9223372036854775808\n", r"a\.toml: network\.seed = 9223372036854775808: it must be a whole number .*"),
    ("[network]\nseed = 1979-05-27\n", r"a\.toml: network\.seed = 1979-05-27: it must be a whole number .*"),
    ('[network]\nhidden = "rely"\n', r'a\.toml: network\.hidden = "rely": it must be one of "relu", .*\. Did you mean "relu"\?'),
    ("[network]\nhidden = 3\n", r'a\.toml: network\.hidden = 3: it must be one of "relu", "leaky-relu", .*\. Write one of these\.'),
    ("[perturbation]\namplitude = 0.1\n", r'a\.toml: perturbation\.amplitude = 0\.1: it must be a power of two\. Write "2\^-6", say, .*'),
    ('[perturbation]\namplitude = "3^-6"\n', r"a\.toml: perturbation\.amplitude = \"3\^-6\": it must be a power of two\. .*"),
    ("[perturbation]\namplitude = 0\n", r"a\.toml: perturbation\.amplitude = 0: it must be a power of two\. .*"),
    ("[perturbation]\namplitude = -0.5\n", r"a\.toml: perturbation\.amplitude = -0\.5: it must be a power of two\. .*"),
    ("[perturbation]\namplitude = nan\n", r"a\.toml: perturbation\.amplitude = nan: it must be a power of two\. .*"),
    ("[perturbation]\namplitude = true\n", r"a\.toml: perturbation\.amplitude = true: it must be a power of two\. .*"),
    (
        XOR + '[perturbation]\namplitude = "2^-99"\n',
        r'a\.toml: perturbation\.amplitude = "2\^-99": it must lie between 2\^-40 and 2\^10\. .*',
    ),
    ("[schedule]\nlearning_rate = 0.001\n", r"a\.toml: schedule\.learning_rate = 0\.001: it must be log2 of the rate, a whole number .*"),
    (XOR + "[schedule]\nlearning_rate = []\n", r"a\.toml: schedule\.learning_rate = \[\]: the steps must start at 0 and rise\. .*"),
    (XOR + "[schedule]\nlearning_rate = [[5, -3]]\n", r"a\.toml: schedule\.learning_rate = \[\[5, -3\]\]: the steps must start at 0 .*"),
    (
        XOR + "[schedule]\nlearning_rate = [[0, -3], [0, -4]]\n",
        r"a\.toml: schedule\.learning_rate = .*: the steps must start at 0 and rise\. .*",
    ),
    ("[schedule]\nlearning_rate = [0, -3]\n", r"a\.toml: schedule\.learning_rate = \[0, -3\]: it must be log2 .*"),
    ("[schedule]\nlearning_rate = 17\n", r"a\.toml: schedule\.learning_rate = 17: it must be log2 .*"),
    (
        "[schedule]\nsample_period = 0\n",
        r"a\.toml: schedule\.sample_period = 0: it must be a whole number from 1 to 16777215\. Write 1, say\.",
    ),
    ("[schedule]\nsample_period = 2.0\n", r"a\.toml: schedule\.sample_period = 2\.0: it must be a whole number .*"),
    ('[formats]\nweight = "Q4.12"\n', r'a\.toml: formats\.weight = "Q4\.12": a format looks like SQ4\.12 .*'),
    ("[formats]\nweight = 16\n", r"a\.toml: formats\.weight = 16: a format is text\. .*"),
    ('[formats]\nweight = "SQ40.40"\n', r'a\.toml: formats\.weight = "SQ40\.40": a format looks like SQ4\.12 .* 1 to 63 bits\. .*'),
    ('[formats]\nweight = "SQ0.0"\n', r'a\.toml: formats\.weight = "SQ0\.0": a format looks like .*'),
    ('[hardware]\ngradient_memory = "yes"\n', r'a\.toml: hardware\.gradient_memory = "yes": it must be true or false\. .*'),
    ("[hardware]\ngradient_memory = 1\n", r"a\.toml: hardware\.gradient_memory = 1: it must be true or false\. .*"),
    (
        '[hardware]\nmemory = "spram"\n',
        r'a\.toml: hardware\.memory = "spram": it must be one of "block", "single-port"\. Write one of these\.',
    ),
    (
        '[network]\nlayers = [2, 4, 1]\n[perturbation]\nkind = "weight"\n[hardware]\nmemory = "single-port"\n[data]\ntask = "xor"\n',
        r'a\.toml: hardware\.memory = "single-port": in weight perturbation a parameter is read and another one written in any cycle, .*',
    ),
    ("[hardware]\nlanes = 257\n", r"a\.toml: hardware\.lanes = 257: it must be a whole number from 1 to 256\. .*"),
    ("[hardware]\nlanes = true\n", r"a\.toml: hardware\.lanes = true: it must be a whole number from 1 to 256\. .*"),
    ('name = "my net"\n', r'a\.toml: name = "my net": it becomes part of a Verilog module\'s name: .*'),
    ('name = "näme"\n', r'a\.toml: name = "näme": it becomes part of a Verilog module\'s name: .*'),
    ("name = 3\n", r"a\.toml: name = 3: it becomes part of a Verilog module\'s name: .*"),
    (f'name = "{"a" * 200}"\n', r'a\.toml: name = "a{118}…: it becomes part of a Verilog module\'s name: .*'),
    # what does not go together
    ("[hardware]\nlanes = 3\n", r"a\.toml: network\.layers: it was left out, and so was data\.task, .*"),
    ('[data]\ntask = "npz"\npath = "x"\n', r'a\.toml: network\.layers: it was left out, and does not follow from data\.task = "npz"\. .*'),
    (
        XOR + "[network]\nlayers = [3, 1]\n",
        r'a\.toml: network\.layers = \[3, 1\]: data\.task = "xor" has 2 inputs\. Begin the list with 2\.',
    ),
    (XOR + "[network]\nlayers = [2, 3]\n", r'a\.toml: network\.layers = \[2, 3\]: data\.task = "xor" takes 1 or 2 outputs\. .*'),
    (
        '[data]\ntask = "parity"\n[network]\nlayers = [17, 1]\n',
        r"a\.toml: network\.layers = \[17, 1\]: parity is built for 1 to 16 bits\. .*",
    ),
    (XOR + 'path = "x"\n', r'a\.toml: data\.path = "x": data\.task = "xor" takes none\. .*'),
    (XOR + "label = 3\n", r'a\.toml: data\.label = 3: data\.task = "xor" takes none\. .*'),
    ('[network]\nlayers=[2, 2]\n[data]\ntask = "csv"\n', r'a\.toml: data\.path: it was left out, and data\.task = "csv" needs it\. .*'),
    ('[network]\nlayers=[2, 2]\n[data]\npath = "images"\n', r"a\.toml: data\.task: it was left out, and the ending of data\.path .*"),
    (XOR + "[optimizer]\nk = 3\n", r'a\.toml: optimizer\.k: only optimizer\.name = "momentum".* or "nesterov" has it\. .*'),
    (
        XOR + "[schedule]\nupdate_period = 8\n[hardware]\ngradient_memory = false\n",
        r"a\.toml: schedule\.update_period = 8: a core without .*",
    ),
    (XOR + '[formats]\nactivation = "UQ4.10"\n', r'a\.toml: formats\.activation = "UQ4\.10": identity has negative values\. .*'),
    (XOR + '[formats]\nweight = "UQ4.12"\n', r'a\.toml: formats\.weight = "UQ4\.12": weights have negative values\. .*'),
    (XOR + '[formats]\ngradient = "UQ4.12"\n', r'a\.toml: formats\.gradient = "UQ4\.12": it has negative values\. .*'),
    (
        XOR + '[perturbation]\nkind = "weight"\namplitude = "2^-13"\n',
        r'a\.toml: perturbation\.amplitude = "2\^-13": it is below the last place of formats\.weight, 2\^-12\. Take at least 2\^-12, .*',
    ),
    (
        XOR + '[formats.rounding]\nweight = "half-even"\n[schedule]\nlearning_rate = -48\n',
        r"a\.toml: schedule\.learning_rate = \[\[0, -48\]\]: the largest error .* always rounds to zero.*",
    ),
    (
        XOR
        + '[formats.rounding]\nweight = "half-even"\n[schedule]\nlearning_rate = -33\nupdate_period = 1\n[formats]\ngradient = "SQ4.40"\n',
        r"a\.toml: schedule\.learning_rate = \[\[0, -33\]\]: the largest update, .* always rounds to zero.*",
    ),
    (
        XOR + '[formats]\nweight = "SQ20.40"\n',
        r'a\.toml: formats\.weight = "SQ20\.40": an intermediate that follows from it exceeds 63 bits .*',
    ),
    (XOR + '[formats]\ngradient = "SQ10.53"\n', r'a\.toml: formats\.gradient = "SQ10\.53": an intermediate .*'),
    (
        XOR + '[formats.rounding]\nactivation = "stochastic"\n',
        r'a\.toml: formats\.rounding\.activation = "stochastic": only updates are rounded stochastically .*',
    ),
    (XOR + "target_values = [1, 0]\n", r"a\.toml: data\.target_values = \[1, 0\]: the first must be below the second\. .*"),
    (XOR + "target_values = [1]\n", r"a\.toml: data\.target_values = \[1\]: it must be a list of two numbers: .*"),
    (XOR + "test_fraction = 1.0\n", r"a\.toml: data\.test_fraction = 1\.0: it must be a number from 0 to 0\.9\. .*"),
    (XOR + 'label = ""\n', r'a\.toml: data\.label = "": data\.task = "xor" takes none\. .*'),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_refused_with_one_clear_message(text: str, message: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse(text, "a.toml")
    said = str(caught.value)
    assert re.fullmatch(message, said), said
    assert "\n" not in said
    assert caught.value.file == "a.toml"


def test_a_derived_value_that_does_not_fit_is_said_to_be_derived() -> None:
    text = '[network]\nlayers = [4000, 1000, 1]\n[perturbation]\nkind = "weight"\n[formats.rounding]\nweight = "half-even"\n'
    with pytest.raises(Refusal, match=r"always rounds to zero.* \(a value that was left out and derived\)\. "):
        parse(text, "a.toml")


def test_files_that_are_no_design_are_refused(tmp_path: Path) -> None:
    (tmp_path / "big.toml").write_bytes(b"# " + b"x" * 10_000_000)
    (tmp_path / "latin.toml").write_bytes(b'# ok\nname = "' + b'\xe4"\n')
    (tmp_path / "folder.toml").mkdir()
    cases = {
        "big.toml": r".*big\.toml: it has 10,000,002 bytes, more than a design file can have \(1,048,576\)\. .*",
        "latin.toml": r".*latin\.toml: line 2 is not UTF-8 text\. Save the file as UTF-8\.",
        "folder.toml": r".*folder\.toml: it is a directory\. Give the path of a design file\.",
        "none.toml": r".*none\.toml: there is no such file\. Give the path of a design file, or one of the shipped designs \(.*xor\).*",
    }
    for name, message in cases.items():
        with pytest.raises(Refusal) as caught:
            load(tmp_path / name)
        assert re.fullmatch(message, str(caught.value)), str(caught.value)


@pytest.mark.parametrize("name", ["", "  ", "digit", "a" * 5000, "nul\0byte", "/dev/zero", "no/such/folder/x.toml"])
def test_names_of_no_design_are_refused(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        load(name)
    if name == "digit":
        assert "Did you mean the shipped design digits?" in str(caught.value)


# -- Fuzz: a message, never anything else -----------------------------------------------------------------------------

VALUES = st.recursive(
    st.one_of(
        st.integers(-(2**70), 2**70),
        st.integers(-9, 9),
        st.floats(width=64),
        st.booleans(),
        st.sampled_from(
            ['"SQ4.12"', '"UQ0.8"', '"relu"', '"tanh"', '"node"', '"2^-6"', '"csv"', '"momentum"', '"walsh"', '"2^-40"', '"SQ30.33"']
        ),
        st.text(max_size=8),
    ),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value if value.startswith('"') else '"' + re.sub(r'[\\"\x00-\x1f\x7f]', "", value).encode("utf-8", "ignore").decode() + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_written(item) for item in value) + "]"
    return str(value)


def _message_or_design(text: str) -> None:
    try:
        parse(text, "fuzz.toml")
    except Refusal as error:
        assert str(error).startswith("fuzz.toml: ")
        assert "\n" not in str(error)
        assert error.remedy


@given(st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=8, unique_by=lambda row: row[0].dotted))
@settings(max_examples=300)
def test_any_value_of_any_key(rows: list) -> None:
    lines = [f"{key.name} = {_written(value)}" for key, value in rows if not key.section]
    for section in SECTIONS:
        keys = [f"{key.name} = {_written(value)}" for key, value in rows if key.section == section]
        lines += [f"[{section}]", *keys] if keys else []
    _message_or_design("\n".join(lines))
    _message_or_design("\n".join([*lines, "[network]", "layers = [2, 3, 2]"]) if "[network]" not in lines else XOR)


@given(st.sampled_from(shipped()), st.data())
@settings(max_examples=300)
def test_mutated_shipped_files(name: str, data: st.DataObject) -> None:
    text = load(name).text
    for _ in range(data.draw(st.integers(1, 4))):
        first = data.draw(st.integers(0, len(text)))
        last = data.draw(st.integers(first, min(len(text), first + 12)))
        text = text[:first] + data.draw(st.text(max_size=6)) + text[last:]
    _message_or_design(text)


@given(st.sampled_from(shipped()), st.data())
@settings(max_examples=200)
def test_shipped_files_with_another_value(name: str, data: st.DataObject) -> None:
    lines = load(name).text.splitlines()
    where = [number for number, line in enumerate(lines) if re.match(r"\w+ *=", line)]
    chosen = data.draw(st.sampled_from(where))
    lines[chosen] = lines[chosen].partition("=")[0] + "= " + _written(data.draw(VALUES))
    _message_or_design("\n".join(lines))


@given(st.text(max_size=200))
@example("\ufeff")
@example("\x00")
@settings(max_examples=200)
def test_any_text(text: str) -> None:
    _message_or_design(text)


def test_optimizer_is_read() -> None:
    design = parse(f'{XOR}[optimizer]\nname = "momentum"\nk = 4\n', "a.toml")
    assert design.spec.optimizer == Momentum(4)
