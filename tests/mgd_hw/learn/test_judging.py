"""The judgement of the fixed model against one sample after the other through the plain model."""

from __future__ import annotations

import numpy as np
import pytest

from mgd_hw.config import parse
from mgd_hw.data import load
from mgd_hw.learn.judging import judge_fixed
from python_ref.datasets import quantise
from python_ref.fixed import network
from python_ref.fixed.cost import cost


@pytest.mark.parametrize("scale", [4, 4000], ids=["moderate", "saturating"])
def test_a_judgement_is_that_of_the_plain_model(scale: int) -> None:
    design = parse('data.task = "xor"\nnetwork.layers = [2, 5, 1]\nformats.activation = "SQ3.8"\n', "a.toml")
    spec, data = design.spec, load(design.data)
    random = np.random.default_rng(1)
    parameters = np.clip(random.integers(-scale * 16, scale * 16, spec.network.n_parameters), *spec.parameter_limits)
    found = judge_fixed(spec, parameters, data)
    answers, costs, outside = [], [], 0
    for x, target in zip(*quantise(spec, data.test), strict=True):
        _, y, saturated = network.forward(spec, parameters, x)
        answers.append(y[-1:])
        costs.append(int(cost(y[-1:], target)))
        outside += int(saturated.sum())
    assert np.array_equal(found.answers, spec.formats.activation.to_real(np.array(answers)))
    assert found.cost == pytest.approx(np.mean(costs) * 2.0**-spec.cost_format.fraction_bits)
    first, last = found.saturated.values()
    assert (5 * first + last) * len(data.test) == pytest.approx(outside)
    assert bool(outside) is (scale == 4000)
