"""Comparisons of designs whose layers the float side has not: the fixed model alone, with the reason."""

import numpy as np
import pytest

from mgd_hw.design.reader import parse
from mgd_hw.design.samples import load_design
from mgd_hw.learn.compare import compare_models
from mgd_hw.learn.diagnose import diagnosis_of
from python_ref.datasets import SampleOrder
from python_ref.floating import online
from python_ref.spec.error import DesignError

TEXT = '[network]\nlayers = [2, {neurons = 4, kind = "sparse", fan_in = 1}, 1]\n[data]\ntask = "xor"\n'


def test_the_fixed_model_is_alone_and_says_why():
    design = parse(TEXT, "a.toml")
    found = compare_models(design, load_design(design), seeds=1, steps=40)
    assert len(found.fixed.runs) == 1 and not found.float.runs and not found.backprop.runs
    assert found.float.note == "no float model: the float side has no sparse layers yet"
    assert found.agreement is None and np.isnan(found.fixed_less_float.mean)


def test_what_needs_the_float_model_is_refused():
    design = parse(TEXT, "a.toml")
    with pytest.raises(DesignError, match=r"^a.toml: network.layers = \[2, 4, 1\]: the float model has no sparse layers"):
        diagnosis_of(design, load_design(design))
    with pytest.raises(DesignError, match="the float model has no sparse layers"):
        online.train(design.spec, np.zeros(13), np.zeros((4, 2)), np.zeros((4, 1)), SampleOrder(4, False), 1)
