"""Design files of a network outside: what they say, what is derived, and who refuses them."""

import json
import re
import sys
from pathlib import Path

import pytest

import mgd_hw
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.float_only import External
from mgd_hw.design.keys import KEYS
from mgd_hw.design.reader import LEARNERS, load, load_any, parse, parse_any, shipped
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.error import Refusal
from python_ref.spec.formats import LearnerFormats
from python_ref.spec.hardware import Hardware
from python_ref.spec.learner import LearnerSpec, Outside
from python_ref.spec.network import Initialization, Scheme
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import Momentum
from python_ref.spec.perturbation import Kind, Perturbation, WalshCode
from python_ref.spec.schedule import Difference, Schedule

SHORT = "[network]\nexternal = 4\n[schedule]\nlearning_rate = -4\n"

LONG = """
name = "chip"

[network]
external = 12
scheme = "zero"
seed = 5

[perturbation]
kind = "weight"
code = "walsh"
amplitude = "2^-4"
seed = 6

[schedule]
perturbation_period = 2
sample_period = 3
update_period = 4
difference = "two-sided"
learning_rate = [[0, -3], [100, -5]]

[optimizer]
name = "momentum"
k = 2

[formats]
weight = "SQ2.10"
cost = "SQ2.9"
cost_change = "SQ2.8"
gradient = "SQ2.16"

[formats.rounding]
weight = "half-up"

[hardware]
signature = false

[external]
settle = 200
average = 3
timeout_cycles = 5_000
samples = 7
sample_cycles = 10_000
dac_step = "2^-5"
"""

VERBS = ("compare_efficiency", "build_standalone", "run_standalone")
MORE = {"build_standalone": {"board": "icebreaker"}}
"""Arguments that a verb needs beside the design."""


@pytest.fixture
def chip(tmp_path: Path) -> Path:
    path = tmp_path / "chip.toml"
    path.write_text(SHORT, encoding="utf-8")
    return path


def test_every_key_is_read():
    design = parse_any(LONG, "x.toml")
    assert isinstance(design, ExternalDesign)
    formats = LearnerFormats(Fixed(True, 2, 10), Fixed(True, 2, 9), Fixed(True, 2, 8), Fixed(True, 2, 16))
    formats = type(formats)(**{**vars(formats), "weight_cast": design.spec.formats.weight_cast})
    assert design.spec.formats.weight_cast.rounding.value == "half-up"
    assert design.spec == LearnerSpec(
        "chip",
        12,
        Perturbation(Kind.WEIGHT, WalshCode(), -4, 6),
        Schedule(((0, -3), (100, -5)), 2, 3, 4, Difference.TWO_SIDED),
        Momentum(2),
        formats,
        Hardware(1, None, False),
        Outside(200, 3, 5_000, 7, 10_000, -5),
        Initialization(Scheme.ZERO, 1.0, 5),
    )


def test_what_is_left_out_is_derived_and_told():
    design = parse_any(SHORT, "my-chip.toml")
    assert isinstance(design, ExternalDesign)
    assert design.name == "my_chip"
    told = {row.key: row.value for row in design.derived}
    spec = design.spec
    assert told["perturbation.code"] == spec.code.name == "lfsr"
    assert told["formats.cost"] == str(spec.formats.cost)
    assert told["formats.cost_change"] == str(spec.cost_change_format)
    assert told["external.timeout_cycles"] == str(spec.outside.timeout_cycles)
    assert all(row.why for row in design.derived)
    known = {key.dotted for key in KEYS}
    assert set(told) <= known


def test_the_amplitude_follows_from_the_converters():
    coarse = parse_any(SHORT + '[external]\ndac_step = "2^-3"\n', "x.toml")
    fine = parse_any(SHORT + '[external]\ndac_step = "2^-9"\n', "x.toml")
    assert [design.spec.perturbation.amplitude_log2 for design in (coarse, fine)] == [-3, -6]


def test_initial_quantities():
    spec = parse_any(SHORT.replace("external = 4", "external = 400\nscale = 0.5"), "x.toml").spec
    real = initial_parameters(spec)
    assert real.shape == (400,) and 0.45 < abs(real).max() <= 0.5
    assert (initial_parameters(spec, 2) != real).any()
    low, high = spec.parameter_limits
    assert low <= quantise_parameters(spec, 100 * real).min() and quantise_parameters(spec, 100 * real).max() <= high
    assert not initial_parameters(parse_any(LONG, "x.toml").spec).any()


@pytest.mark.parametrize("name", LEARNERS)
def test_shipped_learners(name):
    design = load_any(name)
    assert isinstance(design, ExternalDesign) and design.name == name
    assert name not in shipped()
    assert design.outside().arguments[0] == sys.executable
    with pytest.raises(Refusal, match="the network is outside"):
        load(name)


def test_the_process_of_the_outside():
    text = SHORT + '[external]\ncommand = "./chip -v"\nframes = true\ntimeout = 2\n'
    assert parse_any(text, "x.toml").outside() == External(("./chip", "-v"), 4, True, 2.0)
    with pytest.raises(Refusal, match="there is nothing that answers the learner with costs"):
        parse_any(SHORT, "x.toml").outside()


def test_one_seed_for_all_that_is_random():
    design = parse_any(LONG, "x.toml")
    other = design.with_seed(9)
    assert (other.spec.perturbation.seed, other.spec.initial.seed) == (9, 9)
    assert other.spec.digest == design.spec.digest and other.spec.run_digest != design.spec.run_digest


def test_generate_writes_the_core(chip, tmp_path):
    result = mgd_hw.generate(chip, tmp_path / "out")
    assert {"design.v", "manifest.json", "synth.ys", "memory/lane0_parameters.hex"} < set(result.files)
    written = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert written["external"] == 4 and written["digest"] == result.digest
    assert re.search(r"^module mgd_chip\(", (tmp_path / "out" / "design.v").read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for name, _, _ in result.contract} >= {"pass", "measurement", "wait"}
    words = (tmp_path / "out" / "memory" / "lane0_parameters.hex").read_text(encoding="utf-8").split()
    spec = load_any(chip).spec
    bits = spec.formats.weight.width
    assert [int(word, 16) for word in words] == [int(raw) % (1 << bits) for raw in quantise_parameters(spec, initial_parameters(spec))]


@pytest.mark.parametrize("name", VERBS)
def test_every_other_verb_refuses_it_by_name(name, chip):
    """The design that was read, its path, and what a reader of networks gives, all the same."""
    for design in (chip, load_any(chip)):
        with pytest.raises(Refusal) as caught:
            getattr(mgd_hw, name)(design, **MORE.get(name, {}))
        assert (caught.value.key, caught.value.value) == ("network.external", 4)
        assert str(caught.value).startswith(f"{chip}: network.external = 4: the network is outside")


def test_every_verb_of_a_design_is_looked_at():
    takes = {name for name in mgd_hw.__all__ if name not in ("Refusal", "ToolError")}
    others = {
        "boards",
        "build",
        "compare",
        "cosim",
        "demo",
        "diagnose",
        "doctor",
        "fetch",
        "fit",
        "generate",
        "import_network",
        "new",
        "paper",
        "read",
        "report",
        "serve",
        "sweep",
        "synth",
        "train",
    }
    assert takes == {*VERBS, *others}


def test_readers_of_networks_refuse_it(chip):
    for reader in (lambda: load(chip), lambda: parse(SHORT, chip), lambda: mgd_hw.read(chip)):
        with pytest.raises(Refusal, match=r"network\.external = 4"):
            reader()
