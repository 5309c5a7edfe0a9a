"""Jobs: a run gives the results of ``compare``, a core those of ``synth``, and every job gives a row, even if it fails."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from mgd_hw.data import load as load_data
from mgd_hw.design.description import Design
from mgd_hw.design.reader import load, parse
from mgd_hw.learn.compare import compare_models
from mgd_hw.learn.runs import MODELS
from mgd_hw.learn.trainers import trainers_of
from mgd_hw.sweeps import jobs
from mgd_hw.sweeps.jobs import DONE, FAILED, REFUSED, Job, Row, run_jobs, version
from python_ref.spec.error import Refusal


def one(job: Job) -> Row:
    (row,) = run_jobs([job], version())
    return row


def train(design: Design, number: int = 0, *models: str, **options: object) -> Row:
    return one(Job("key", "train", pickle.dumps(design), number, 60, models or ("fixed", "float", "backprop"), **options))  # type: ignore[arg-type]


def quick(name: str) -> Design:
    design = load(name)
    return replace(design, compare=replace(design.compare, backprop_epochs=2))


def test_a_run_is_that_of_compare() -> None:
    design = quick("xor")
    compared = compare_models(design, load_data(design.data), seeds=2, steps=60)
    for number in range(2):
        columns = train(design, number).columns
        for model in MODELS:
            expected = getattr(compared, model).runs[number]
            found = [columns[f"{model}_{name}"] for name in ("accuracy", "cost", "evaluations", "writes")]
            assert found == [expected.accuracy, expected.cost, expected.evaluations, expected.writes], (model, number)
        assert (columns["model"], columns["accuracy"]) == ("fixed", compared.fixed.runs[number].accuracy)
        assert {kind: columns[f"saturated_{kind}"] for kind in compared.fixed.saturations} == compared.fixed.runs[number].saturations


def test_a_run_without_hardware_is_that_of_compare() -> None:
    design = parse('data.task = "xor"\noptimizer.name = "adam"\ncompare.backprop_epochs = 2\n', "adam.toml")
    compared = compare_models(design, load_data(design.data), seeds=2, steps=60)
    columns = train(design, 1).columns
    assert columns["model"] == "float"
    assert columns["accuracy"] == columns["float_accuracy"] == compared.float.runs[1].accuracy
    assert columns["backprop_cost"] == compared.backprop.runs[1].cost
    assert "fixed_accuracy" not in columns
    assert one(Job("key", "fit", pickle.dumps(design), target="ice40-up5k")).status == REFUSED


def test_validation_samples_judge() -> None:
    design = quick("digits")
    with_test, without = train(design, 0, "float"), train(design, 0, "float", validate=True)
    expected = trainers_of(design, load_data(design.data, validate=True), 0, 60)["float"](lambda _: None)
    assert without.columns["accuracy"] == expected.accuracy != with_test.columns["accuracy"]


def test_a_core_is_predicted() -> None:
    from boards.parts.fit import fit

    design = load("xor")
    expected = fit(design.spec, "ecp5-85k")
    columns = one(Job("key", "fit", pickle.dumps(design), target="ecp5-85k")).columns
    assert columns["area_by"] == "prediction"
    assert (columns["lut"], columns["cycles_per_step"]) == (expected.taken.lut, expected.cycles_per_step)


@pytest.mark.long
@pytest.mark.slow
def test_a_core_is_synthesised() -> None:
    import mgd_hw

    design = load("xor")
    columns = one(Job("key", "synth", pickle.dumps(design), target="ice40-up5k")).columns
    expected = mgd_hw.synth(design)
    assert columns["area_by"] == "synthesis"
    for kind in ("lut", "ff", "dsp", "bram", "memory_bits", "cycles_per_step", "fits"):
        assert columns[kind] == getattr(expected, kind)


def test_what_breaks_is_a_row_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(job: Job) -> dict:
        if job.number == 1:
            raise MemoryError("no more\nof it")
        return {"number": job.number}

    monkeypatch.setitem(jobs._KINDS, "train", breaks)
    rows = run_jobs([Job(str(number), "train", b"", number) for number in range(3)], version())
    assert [row.status for row in rows] == [DONE, FAILED, DONE]
    assert rows[1].message == "MemoryError: no more of it"


def test_a_job_of_another_kind_brings_the_module_that_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from mgd_hw.sweeps.jobs import register\n\nregister('greeting', lambda job: {'said': f'hello, {job.target}'})\n"
    (tmp_path / "greeting.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(jobs, "_KINDS", dict(jobs._KINDS))
    job = Job("key", "greeting", b"", target="you")
    assert one(job).message == "KeyError: 'greeting'"
    assert one(replace(job, module="greeting")).columns == {"said": "hello, you"}


def test_a_worker_of_another_version_does_nothing() -> None:
    with pytest.raises(Refusal, match=r"a worker has version .* and this is 0\.0") as caught:
        run_jobs([], "0.0")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.remedy, again.key) == (str(caught.value), caught.value.remedy, "--scheduler")
