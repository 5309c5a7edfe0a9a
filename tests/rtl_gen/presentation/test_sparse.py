"""Cores with sparse layers show what the oracle computes, which gathers each neuron's inputs by lists of its own."""

import random
from dataclasses import replace

import pytest

from python_ref.spec.layers import Sparse
from python_ref.spec.perturbation import Kind
from tests.rtl_gen.presentation.test_core import check, shown_by_the_core
from tests.rtl_gen.test_faults import a_run, differs
from tests.support.designs import random_design
from tests.support.faults import planted
from tests.support.marks import slow_unless
from tests.support.node_designs import QUICK_SPARSE, SPARSE_SHAPES, node_design, single_port, two_multipliers
from tests.support.sparse_faults import SPARSE_DESIGNS, SPARSE_FAULTS


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name in QUICK_SPARSE)) for name in SPARSE_SHAPES])
def test_every_observable_is_the_oracles(name):
    check(SPARSE_SHAPES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SPARSE_SHAPES)
def test_every_observable_of_lanes_with_two_multipliers_is_the_oracles(name):
    check(two_multipliers(SPARSE_SHAPES[name]))


@pytest.mark.slow
@pytest.mark.parametrize("multipliers", [1, 2])
@pytest.mark.parametrize("name", ["plain", "fan-in-one", "block-of-several-groups", "deep", "pipelined"])
def test_every_observable_of_memories_with_one_port_is_the_oracles(name, multipliers):
    spec = single_port(SPARSE_SHAPES[name])
    check(two_multipliers(spec) if multipliers == 2 else spec)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=() if seed < 4 else pytest.mark.long) for seed in range(32)])
def test_random_designs_with_sparse_layers_are_the_oracles(seed):
    rng = random.Random(f"sparse {seed}")
    spec = random_design(rng, kinds=(Kind.NODE,), max_layers=4, max_size=9, max_lanes=4, parts=0.3, sparse=1.0, signature=True)
    if rng.random() < 0.4:
        spec = two_multipliers(spec)
    check(spec, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPARSE_DESIGNS)
def test_without_a_fault_nothing_differs(name, tmp_path):
    assert not differs(a_run(SPARSE_DESIGNS[name]), tmp_path / "run")


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=fault.name, marks=slow_unless(fault in SPARSE_FAULTS[:2])) for fault in SPARSE_FAULTS]
)
def test_a_planted_fault_is_a_mismatch(fault, tmp_path, monkeypatch):
    planted(fault, monkeypatch.setattr)
    assert differs(a_run(SPARSE_DESIGNS[fault.design]), tmp_path / "run")


@pytest.mark.parametrize("lanes", [(1, 3), pytest.param((2, 12), marks=pytest.mark.slow)], ids=str)
def test_results_do_not_depend_on_the_number_of_lanes(lanes):
    spec = node_design(sizes=(5, 14, 4), kinds=(Sparse(3, 12), Sparse(4, 12)), periods=(1, 3, 3))
    found = [shown_by_the_core(replace(spec, hardware=replace(spec.hardware, lanes=each)), 5, 7) for each in lanes]
    shared = [name for name in found[0] if name != "signature"]
    assert len(found[0]["cost"]) == len(found[1]["cost"]) > 3
    for name in shared:
        assert found[0][name].tolist() == found[1][name].tolist(), name
