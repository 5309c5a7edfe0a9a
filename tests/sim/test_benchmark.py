"""The benchmark measures what it says, and prints it for people and for scripts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sim import benchmark
from sim.benchmark import LARGE, SMALL, main, measure_batches


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(benchmark, "SECONDS", 0.01)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")


def test_the_designs_are_those_it_names():
    assert LARGE.network.sizes == (784, 32, 10) and LARGE.node
    schedule = LARGE.schedule
    assert (schedule.perturbation_period, schedule.sample_period, schedule.update_period) == (1, 1, 1)
    for name, spec in SMALL.items():
        assert name == f"{'-'.join(map(str, spec.network.sizes))}, {spec.perturbation.kind.value}"


def test_ratios_are_those_of_the_rates():
    model, products = measure_batches(128)
    assert products.ratio == pytest.approx(model.steps_per_second / products.steps_per_second)


def test_one_object_on_standard_output(capsys):
    assert main(["--models", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert {"cores", "load", "rates", "missing"} == set(found)
    assert all(rate["steps_per_second"] > 0 for rate in found["rates"])
    assert len(err.splitlines()) == 1 + len(found["rates"]) + 1


@pytest.mark.slow
def test_a_simulator_beside_the_models(monkeypatch, tmp_path):
    spec = SMALL["2-4-1, weight"]
    steps, cycles, _ = benchmark._simulated(spec, tmp_path / "none.v", "amaranth", tmp_path)
    assert cycles / steps == pytest.approx(40), "a visit of the first layer, two of the second, and what lies between"
    assert replace(spec, hardware=replace(spec.hardware, signature=False)).layout == spec.layout
