"""Designs broken on purpose, each in one way: the diagnosis says which, and what it says to try mends it."""

from __future__ import annotations

import json
import math
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from mgd_hw.cli import commands
from mgd_hw.data import load as load_data
from mgd_hw.design.reader import parse, shipped_folder
from mgd_hw.learn.diagnose import Diagnosis, _FixedRun, _judge, _judge_errors, _lost_errors, _raises, diagnosis_of
from python_ref.parameters import initial_parameters, quantise_parameters
from tests.support.marks import slow_unless

pytestmark = pytest.mark.usefixtures("without_pictures")

DIGITS: dict[str, dict] = {
    "network": {"layers": [64, 32, 10]},
    "perturbation": {"kind": "node", "amplitude": "2^-5"},
    "schedule": {"learning_rate": -9},
    "hardware": {"lanes": 6},
    "data": {"task": "digits"},
    "compare": {"steps": 100_000},
}


def changed(**sections: dict) -> dict[str, dict]:
    return {name: DIGITS.get(name, {}) | sections.get(name, {}) for name in {**DIGITS, **sections}}


def write(tree: dict[str, dict]) -> str:
    """A design file: dotted keys, one to a line; JSON has the same strings, numbers, booleans and lists."""
    lines = []
    for section, keys in tree.items():
        for key, value in keys.items():
            inner = value.items() if isinstance(value, dict) else [(None, value)]
            lines += [f"{section}.{key}{'' if name is None else '.' + name} = {json.dumps(each)}" for name, each in inner]
    return "\n".join(lines) + "\n"


def found(tree: dict[str, dict]) -> Diagnosis:
    design = parse(write(tree), "d.toml")
    return diagnosis_of(design, load_data(design.data))


SLOW_BROKEN = (
    *("a small amplitude", "a large amplitude", "a short integration"),
    *("a large rate", "a large rate of Adam", "weights that do not fit", "a change of cost that does not fit"),
)
"""Those of a kind that others have as well."""
BROKEN = {
    "a small amplitude": (
        changed(perturbation={"amplitude": "2^-12"}, formats={"activation": "SQ4.7"}),
        "amplitude",
        r"the amplitude 2\^-12 is too small\. C̃ is buried: the number formats change it by .*",
    ),
    "a small amplitude under noise": (
        changed(perturbation={"amplitude": "2^-12"}, device={"cost_noise": 0.01}),
        "amplitude",
        r"the amplitude 2\^-12 is too small\. C̃ is buried: noise changes it by .*",
    ),
    "a large amplitude": (changed(perturbation={"amplitude": "2^2"}), "amplitude", r"the amplitude 2\^2 is too large: .* curvature .*"),
    "a short integration": (
        changed(device={"cost_noise": 1.0}),
        "integration time",
        r"the integration time, update_period = 1, is too short, and a larger amplitude would be curvature\. .*",
    ),
    "a large rate": (changed(schedule={"learning_rate": -3}), "learning rate", r"the learning rate 2\^-3 is too large: .*"),
    "a small rate": (changed(schedule={"learning_rate": -28}), "learning rate", r"the learning rate 2\^-28 is too small: .*"),
    "a large rate of Adam": (
        changed(schedule={"learning_rate": 0}, optimizer={"name": "adam"}, learning={"batch": 32}),
        "learning rate",
        r"the learning rate 2\^0 is too large: .*",
    ),
    "weights that do not fit": (changed(formats={"weight": "SQ0.15"}, network={"scale": 4.0}), "format", r".* % of the casts .* saturate"),
    "a change of cost that does not fit": (
        changed(formats={"cost_change": "SQ-4.20"}, perturbation={"amplitude": "2^-3"}),
        "format",
        r".* % of the casts of the kind cost_change saturate",
    ),
    "activations that do not fit": (
        changed(formats={"activation": "SQ0.10"}, network={"scale": 1.0}),
        "format",
        r".* % of the casts of the kind activation saturate",
    ),
    "weights too coarse": (
        changed(formats={"weight": "SQ4.6", "rounding": {"weight": "half-even"}}, schedule={"learning_rate": -12}),
        "format",
        r"(no|only .* %) .*: (all|most) updates are below the last place of formats\.weight = SQ4\.6",
    ),
}


def test_a_sound_design_is_found_sound() -> None:
    result = found(DIGITS)
    assert result.good, result.findings
    assert result.signal_to_noise > 10
    assert 0.0 < result.cosine < 2 * result.cosine_expected
    assert result.gain > result.loss > 0
    assert 0 < result.changed <= 1


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name not in SLOW_BROKEN)) for name in BROKEN])
def test_what_is_broken_is_named(name: str) -> None:
    tree, what, said = BROKEN[name]
    result = found(tree)
    assert not result.good
    matching = [each for each in result.findings if each.what == what and re.fullmatch(said, each.message)]
    assert matching, result.findings
    assert matching[0].remedy.endswith(".")
    if what != "format":
        assert result.findings[0] == matching[0], "the likeliest cause comes first"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["a small rate", "a large rate", "a small amplitude", "a large amplitude", "a small amplitude under noise"],
)
def test_what_is_said_to_try_mends_it(name: str) -> None:
    """Write into the design what the remedy says, until nothing is left to say: at most three times."""
    tree, _, _ = BROKEN[name]
    for changes in range(4):
        result = found(tree)
        if result.good:
            break
        assert changes < 3, result.findings
        advice = re.match(r"Take (amplitude|learning_rate|update_period) = (\"[^\"]+\"|-?\d+)", result.findings[0].remedy)
        assert advice, result.findings
        section = "perturbation" if advice[1] == "amplitude" else "schedule"
        tree = tree | {section: tree.get(section, {}) | {advice[1]: tomllib.loads(f"x = {advice[2]}")["x"]}}


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "best"), [(-4, None), (-2, -4)])
def test_single_updates_that_raise_the_cost_do_not_condemn_a_rate(rate: int, best: int | None) -> None:
    """The first updates of `digits_sparse` at 2^-4 raise the mean cost, and its runs learn best at that rate; at 2^-2 they learn less."""
    text = (shipped_folder() / "digits_sparse.toml").read_text()
    text, count = re.subn(r"(?m)^learning_rate = [^#\n]*", f"learning_rate = {rate} ", text)
    assert count == 1
    design = parse(text, "d.toml")
    result = diagnosis_of(design, load_data(design.data))
    assert result.loss > result.gain > 0
    assert all(cost < 0.75 for log2, cost in result.run_costs.items() if log2 >= -4), "less than 10 · 0.09, the best constant answer"
    if best is None:
        assert result.good, result.findings
    else:
        assert result.findings[0].what == "learning rate"
        assert result.findings[0].remedy.startswith(f"Take learning_rate = {best};")


def test_runs_at_lower_rates_judge_a_rate() -> None:
    """Only where single updates raise the cost, and not if the run lowers it to what the best run reaches, or nearly so."""
    design = parse('[data]\ntask = "xor"\n', "a.toml")
    numbers = dict.fromkeys(("cosine", "signal", "noise", "curvature", "cosine_expected", "changed"), 1.0)
    more: dict = {"kind": load_data(design.data).kind, "steps": 9, "scores": {}, "findings": (), "saturations": {}}
    rate = design.spec.schedule.rate_at(0)

    def raises(own: float, lower: float, *, loss: float = 2.0) -> bool:
        costs = {rate: own, rate - 2: lower}
        return _raises(Diagnosis("a", "xor", 5, 1, gain=1.0, loss=loss, run_costs=costs, **numbers, **more), {"before": 1.0})

    assert not raises(0.5, 0.46)
    assert raises(0.5, 0.45), "more than a tenth worse than the best"
    assert not raises(0.5, 0.45, loss=0.9), "single updates lower the cost"
    assert raises(1.0, 1.0), "the run did not lower the cost"
    assert raises(math.inf, math.inf)
    alone = Diagnosis("a", "xor", 5, 1, gain=1.0, loss=2.0, run_costs={rate: 0.1}, **numbers, **more)
    assert _raises(alone, {"before": 1.0}), "there is no run to compare with"


def test_the_measured_numbers_are_what_they_say(tmp_path: Path) -> None:
    """Of a linear network with squared error: C̃ = 2·e·sΔ + Δ² in every output, so that the even part over the odd is known."""
    tree = changed(network={"layers": [64, 1]}, data={"task": "npz", "path": "x.npz"}, perturbation={"amplitude": "2^-4"})
    tree["data"] |= {"test_fraction": 0.0, "scaling": "none"}
    tree["formats"] = {"input": "UQ0.8"}
    random = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=random.random((100, 64)), y=random.integers(0, 2, (100, 1)))
    design = parse(write(tree), tmp_path / "d.toml")
    from mgd_hw.design.float_model import network, start

    data = load_data(design.data)
    samples = data.train
    result = diagnosis_of(design, data)
    theta = start(design, 1, quantise_parameters(design.spec, initial_parameters(design.spec)))
    error = network(design).forward(theta, samples.inputs.astype(float)) - samples.targets
    assert result.signal == pytest.approx(2 * 2.0**-4 * np.sqrt(np.mean(error**2)))
    assert result.curvature == pytest.approx(2.0**-8 / result.signal)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.toml").write_text(write(BROKEN["a large rate"][0]))
    done = CliRunner().invoke(commands, ["diagnose", "d.toml", "--json", "-o", "out"])
    assert done.exit_code == 1
    observed = json.loads(done.stdout)
    assert observed == json.loads(Path("out/diagnose.json").read_text())
    assert observed["good"] is False
    assert observed["findings"][0]["what"] == "learning rate"
    shown = CliRunner().invoke(commands, ["diagnose", "d.toml"])
    assert "learning rate (schedule.learning_rate): The learning rate 2^-3 is too large" in shown.stdout


@pytest.mark.parametrize("period", [1, 4, 1000])
def test_errors_that_round_to_zero_are_counted(period: int) -> None:
    """The finer the format, the fewer errors are lost; a presentation that is longer than what is run has none."""
    shares = []
    for fraction in (2, 8, 12, 15):
        schedule = f"schedule.sample_period = {period}\nschedule.update_period = {period}\nschedule.learning_rate = -7\n"
        design = parse(f'data.task = "nist7x7"\nformats.error = "SQ1.{fraction}"\n{schedule}', "x.toml")
        raw = quantise_parameters(design.spec, initial_parameters(design.spec))
        shares.append(_lost_errors(design, raw, load_data(design.data)))
    if period > 400:
        assert all(math.isnan(share) for share in shares)
        return
    assert shares == sorted(shares, reverse=True) and shares[0] > 0.9 and shares[-1] < 0.1
    still = parse('data.task = "nist7x7"\nperturbation.kind = "weight"\n', "x.toml")
    assert math.isnan(_lost_errors(still, raw, load_data(still.data)))


def test_errors_that_are_lost_are_told() -> None:
    design = parse('data.task = "nist7x7"\nformats.error = "SQ1.4"\n', "x.toml")
    for lost, told in ((0.75, True), (0.5, False), (math.nan, False)):
        findings = _judge_errors(design, lost)
        assert [(each.what, each.key) for each in findings] == ([("format", "formats.error")] if told else [])
    (finding,) = _judge_errors(design, 0.75)
    assert finding.message == "75 % of the errors of neurons round to zero in formats.error = SQ1.4"


def test_a_machine_whose_losses_are_all_zero() -> None:
    """No curvature anywhere: no ratio is taken to nothing, and a rate is only ever called too small."""
    design = parse('[data]\ntask = "xor"\n', "a.toml")
    zeros = dict.fromkeys(("cosine", "signal", "noise", "curvature", "gain", "loss", "changed"), 0.0)
    numbers = {**zeros, "cosine_expected": 1.0, "changed": 1.0, "signal": 0.1}
    kind = load_data(design.data).kind
    still = Diagnosis("a", "xor", 5, 1, run_costs={}, saturations={}, kind=kind, steps=9, scores={}, findings=(), **numbers)
    nothing, run = {"reach": 0.0, "before": 0.0}, _FixedRun(9, {}, 1.0, {}, "")
    assert not _judge(design, still, nothing, run), "nothing is gained nor lost: that says nothing of the rate"
    assert not _judge(design, replace(still, signal=0.1, gain=0.1), {"reach": math.inf, "before": 0.0}, run), "there was nothing to gain"
    (lost,) = _judge(design, still, nothing, replace(run, failure="its cost went from 1 to 99"))
    assert lost.message == "the fixed model diverged within 9 steps: its cost went from 1 to 99"
    slow = _judge(design, replace(still, gain=1e-9), {"reach": 1e-6, "before": 1.0}, run)
    assert [(each.key, re.search(r"is too (\w+)", each.message)[1]) for each in slow] == [("schedule.learning_rate", "small")]  # type: ignore[index]
    rate = int(re.search(r"learning_rate = (-?\d+)", slow[0].remedy)[1])  # type: ignore[index]
    assert design.spec.schedule.rate_at(0) < rate <= design.spec.schedule.rate_at(0) + 30
    dead = _judge(design, replace(still, signal=0.0, curvature=math.inf), {"reach": 0.0, "before": 1.0}, run)
    assert [each.what for each in dead] == ["network"]
