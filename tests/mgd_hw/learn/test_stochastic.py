"""Verbs on a design with stochastic neurons."""

from pathlib import Path

import pytest

from mgd_hw.design.reader import load
from mgd_hw.learn.diagnose import diagnose
from python_ref.spec.error import Refusal
from python_ref.spec.layers import DENSE, Stochastic


def test_a_diagnosis_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"network\.layers: what is diagnosed is the change of C by Δ, and stochastic neurons learn"):
        diagnose("digits_stochastic", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_shipped_design_is_what_its_page_says() -> None:
    spec = load("digits_stochastic").spec
    assert spec.network.kinds == (Stochastic(8), DENSE)
    assert (spec.threshold_words(42), spec.longest_presentation, spec.incremental) == (64, 42, False)
