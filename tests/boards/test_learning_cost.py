"""What learning costs: both cores by one recipe, the host excluded from both."""

import pytest

from boards.parts.learning_cost import LearningCost, learning_cost
from boards.parts.target import TARGETS, Resources
from python_ref.spec.number import Fixed
from tests.boards.test_synth import design, shipped_digits

UP5K = TARGETS["ice40-up5k"]
NARROW = {"weight": Fixed.parse("SQ3.8"), "cost_change": Fixed.parse("SQ2.10")}


@pytest.mark.slow
def test_one_multiplier_in_all_and_none_per_lane(tmp_path):
    spec = design((2, 1), lanes=1, **NARROW)
    found = learning_cost(spec, UP5K, tmp_path, by_component=False)
    assert (found.inference.dsp, found.learning.dsp) == (1, 2)
    assert 0 < found.inference.lut < found.learning.lut
    assert found.inference.bram <= found.learning.bram
    assert found.difference == found.learning - found.inference
    assert found.lanes == 1 and found.components == {}


def test_per_lane_everything_shared_is_in_it():
    found = LearningCost(Resources(lut=400, dsp=6, bram=12), Resources(lut=1303, dsp=7, bram=14), 6, {})
    assert found.difference == Resources(lut=903, dsp=1, bram=2)
    assert found.lut_per_lane == 150.5
    assert found.per_lane == Resources(lut=151, dsp=1, bram=1)
    assert found.to_json()["inference_only"] == {"lut": 400, "ff": 0, "dsp": 6, "bram": 12}


@pytest.mark.long
@pytest.mark.slow
def test_digits(tmp_path):
    found = learning_cost(shipped_digits(), UP5K, tmp_path)
    assert found.difference.dsp == 1
    assert {"lanes", "array", "broadcast", "signs", "cost"} <= set(found.components)
    assert not {"host", "registers"} & set(found.components)
    assert list(found.components.values()) == sorted(found.components.values(), key=lambda taken: -taken.lut)
    assert found.difference.lut <= sum(taken.lut for taken in found.components.values())
