"""A trace on disk holds every observable of every step, and is compared with its like alone."""

import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from python_ref import record, trace
from python_ref.fixed.machine import sample_number, step
from python_ref.record import write_reference
from python_ref.spec.probes import probes
from python_ref.trace import Header, Run, Trace, TraceWriter, check_comparable, narrowest
from tests.support.designs import random_design, random_parameters, random_samples


def make_run(seed: int, steps: int = 20) -> Run:
    rng = random.Random(seed)
    spec = random_design(rng)
    order = np.array([rng.randrange(5) for _ in range(sample_number(spec, steps) + 1)])
    return Run(spec, random_parameters(rng, spec), *random_samples(rng, spec, 5), order, steps, rng.randrange(1 << 63))


@pytest.mark.parametrize("seed", range(10))
def test_a_trace_holds_what_the_machine_showed(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(trace, "BLOCK_BYTES", 5000)
    run = make_run(seed)
    write_reference(run, tmp_path)
    found, state = Trace.open(tmp_path), run.initial_state()
    assert found.header.steps == run.steps
    for number, shown in found.steps():
        state, observed = step(run.spec, state, run.sample(number))
        assert list(shown) == list(observed) == [probe.name for probe in probes(run.spec)]
        for probe in probes(run.spec):
            assert shown[probe.name].dtype == narrowest(probe)
            np.testing.assert_array_equal(shown[probe.name], observed[probe.name], err_msg=probe.name)
    assert number == run.steps - 1


def test_a_window_is_the_end_of_the_whole(tmp_path):
    run = make_run(3)
    write_reference(run, tmp_path / "whole")
    write_reference(run, tmp_path / "window", first=15)
    whole, window = Trace.open(tmp_path / "whole").read(), Trace.open(tmp_path / "window")
    assert (window.header.first, window.header.steps) == (15, 5)
    assert [number for number, _ in window.steps()] == [15, 16, 17, 18, 19]
    for name, values in window.read().items():
        np.testing.assert_array_equal(values, whole[name][15:], err_msg=name)


@pytest.mark.slow
def test_a_process_of_its_own_writes_the_same(tmp_path):
    run = make_run(4)
    run.save(tmp_path / "run")
    assert Run.load(tmp_path / "run").digest == run.digest
    write_reference(run, tmp_path / "here")
    for option in ([], ["--fast"]):
        subprocess.run([sys.executable, "-m", "python_ref.record", *option, tmp_path / "run", tmp_path / "there"], check=True)
        here, there = Trace.open(tmp_path / "here"), Trace.open(tmp_path / "there")
        check_comparable(here.header, there.header)
        theirs = there.read()
        for name, values in here.read().items():
            np.testing.assert_array_equal(values, theirs[name], err_msg=name)


def test_a_run_that_was_tampered_with_is_refused(tmp_path):
    run = make_run(5)
    run.save(tmp_path)
    replace(run, parameters=run.parameters ^ 1).save(tmp_path / "other")
    (tmp_path / "run.npz").write_bytes((tmp_path / "other" / "run.npz").read_bytes())
    with pytest.raises(ValueError, match=r"^Digest of the run in .* must be "):
        Run.load(tmp_path)
    assert record.main([str(tmp_path), str(tmp_path / "trace")]) == 2
    assert record.main([str(tmp_path / "nowhere"), str(tmp_path / "trace")]) == 2


def test_the_digest_of_a_run_covers_all_of_it():
    run = make_run(6)
    spec = run.spec
    rates = replace(spec.schedule, learning_rate=tuple((n, rate - 1) for n, rate in spec.schedule.learning_rate))
    others = [
        replace(run, seed=run.seed ^ 1),
        replace(run, parameters=run.parameters ^ 1),
        replace(run, inputs=run.inputs ^ 1),
        replace(run, targets=run.targets ^ 1),
        replace(run, order=(run.order + 1) % 5),
        replace(run, spec=replace(spec, schedule=rates)),
    ]
    assert len({run.digest, *(other.digest for other in others)}) == 7
    longer = replace(run, order=np.concatenate((run.order, run.order)))
    assert longer.digest == run.digest


def test_traces_of_different_runs_are_not_compared():
    run = make_run(7)
    header = Header.of(run, "left")
    cases = {
        "design": replace(header, digest="0" * 16, run="0" * 16),
        "run": replace(header, run="0" * 16),
        "first step": replace(header, first=1),
        "number of steps": replace(header, steps=1),
        "set of observables": replace(header, probes={}),
    }
    check_comparable(header, replace(header, producer="right"))
    for meaning, other in cases.items():
        with pytest.raises(ValueError, match=rf"^Traces must be of the same {meaning}, not "):
            check_comparable(header, other)


def test_an_unfinished_trace_is_refused(tmp_path):
    run = make_run(8)
    with pytest.raises(KeyboardInterrupt), TraceWriter(tmp_path, Header.of(run, "test"), run.spec):
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match=r"^Directory must hold a complete trace"):
        Trace.open(tmp_path)


def test_a_value_beyond_its_format_is_refused(tmp_path):
    run = make_run(9)
    _, observed = step(run.spec, run.initial_state(), run.sample(0))
    with TraceWriter(tmp_path, Header.of(run, "test"), run.spec) as writer:
        with pytest.raises(ValueError, match=r"^Observable sign must fit int8, not "):
            writer.extend({name: values[None] + 300 * (name == "sign") for name, values in observed.items()})
        with pytest.raises(ValueError, match=r"^Observable preactivation must be of shape "):
            writer.extend({name: values[None, :1] for name, values in observed.items()})


def test_an_order_that_is_too_short_is_refused():
    run = make_run(10)
    with pytest.raises(ValueError, match=r"^Order must name "):
        replace(run, order=run.order[:0])
