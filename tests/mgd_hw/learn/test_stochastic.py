"""Verbs on a design with stochastic neurons."""

from pathlib import Path

import pytest

from mgd_hw.design.reader import load
from mgd_hw.learn.diagnose import diagnose
from mgd_hw.learn.diagnose_series import SeriesDiagnosis
from python_ref.spec.error import Refusal
from python_ref.spec.layers import DENSE, Stochastic

DRAWN = """
[network]
layers = [2, {{neurons = 6, kind = "stochastic", draws = 2}}, 1]
hidden = "sigmoid"
output = "identity"
[perturbation]
code = "sequential"
[data]
task = "xor"
[schedule]
learning_rate = {rate}
[compare]
steps = 8_000
"""


def test_a_diagnosis_without_a_fixed_model_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(DRAWN.format(rate=-4) + "[learning]\nbatch = 4\n")
    with pytest.raises(Refusal, match=r"network\.layers: what is diagnosed is the change of C by Δ, and stochastic neurons learn"):
        diagnose(tmp_path / "d.toml", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("rate", "named"), [(-4, []), (2, ["schedule.learning_rate"])])
def test_a_diagnosis_judges_the_runs(rate: int, named: list[str], tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(DRAWN.format(rate=rate))
    found = diagnose(tmp_path / "d.toml", out=tmp_path / "out")
    assert [finding.key for finding in found.findings][:1] == named
    assert isinstance(found, SeriesDiagnosis)
    assert (max(found.run_costs), found.rates, found.quantities, found.perturbations) == (rate, {}, 7, 7)
    assert (tmp_path / "out" / "diagnose.json").exists()


def test_the_shipped_design_is_what_its_page_says() -> None:
    spec = load("digits_stochastic").spec
    assert spec.network.kinds == (Stochastic(8), DENSE)
    assert (spec.threshold_words(42), spec.longest_presentation, spec.incremental) == (64, 42, False)
