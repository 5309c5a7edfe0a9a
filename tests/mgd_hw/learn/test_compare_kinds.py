"""Comparisons of designs with layers of every kind: the float model, the fixed model and back-propagation of the same network."""

import pytest

from mgd_hw.design.reader import parse
from mgd_hw.design.samples import load_design
from mgd_hw.learn.compare import compare_models
from tests.support.marks import LONG, slow_unless

LAYERS = {
    "sparse": 'layers = [2, {neurons = 4, kind = "sparse", fan_in = 1}, 1]',
    "leaky": 'layers = [1, {neurons = 4, kind = "leaky", leak = 1}, 1]\nframes = 2\nhidden = "tanh"',
    "lif": 'layers = [2, {neurons = 4, kind = "lif", leak = 1}, 1]\nframes = 3',
}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=LONG if kind == "leaky" else slow_unless(kind == "sparse")) for kind in LAYERS])
def test_the_three_models_are_compared(kind: str) -> None:
    design = parse(f'[network]\n{LAYERS[kind]}\n[data]\ntask = "xor"\n', "a.toml")
    found = compare_models(design, load_design(design), seeds=1, steps=40)
    for model in (found.float, found.fixed, found.backprop):
        assert len(model.runs) == 1 and not model.note
        (run,) = model.runs
        assert 0 <= run.accuracy <= 1 and not run.failure
