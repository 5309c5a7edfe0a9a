"""The benchmark measures a sweep of each shape, and prints one row per sweep."""

from __future__ import annotations

import json

import pytest

from mgd_hw.sweeps import benchmark
from mgd_hw.sweeps import sweep as sweep_module
from mgd_hw.sweeps.benchmark import SHAPES, main, measure
from tests.support.inline_executor import InlineExecutor


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sweep_of_each_shape_is_measured(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "executor_for", lambda *_: InlineExecutor())
    monkeypatch.setattr(benchmark, "SAMPLED", 3)
    found = measure(shape, 5, 1)
    assert (found.shape, found.runs, found.workers) == (shape, 5, 1)
    assert min(found.seconds, found.driver_ms, found.run_ms, found.driver_mb) > 0


def test_sizes_stand_beside_each_other(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        benchmark, "_measure_in_new_process", lambda shape, runs, workers: benchmark.Overhead(shape, runs, workers, 1.0, 2.0, 3.0, 4.0, 5.0)
    )
    assert main(["--runs", "8", "--workers", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["shape"], each["runs"]) for each in found] == [(shape, runs) for shape in SHAPES for runs in (2, 4, 8)]
