"""Programs on a stand-in for a core, in Amaranth's simulator."""

import numpy as np
import pytest

from sim.engines.amaranth_sim import run_amaranth
from sim.error import SimulationError
from sim.ports import Ports
from sim.program import Op, training_program
from sim.run import Stalls
from tests.support.mock_core import DESIGNS, MockCore, checksum, decoder_of, events, observables


def prepared(spec, steps, seed=3):
    """Program and samples of a run."""
    random = np.random.default_rng(seed)
    parameters = random.integers(-1000, 1000, spec.network.n_parameters)
    inputs = random.integers(0, 256, (4, spec.network.n_in))
    targets = random.integers(-500, 500, (4, spec.network.n_out))
    return training_program(spec, parameters, inputs, targets, np.arange(steps) % 4, steps)


@pytest.mark.parametrize("stalls", [None, Stalls(1, 0.3), Stalls(2, 0.8)])
@pytest.mark.parametrize("name", ["one-sided", "two-sided", "momentum", "rates", "rates-inside"])
def test_a_run_shows_its_events(name, stalls):
    spec, steps = DESIGNS[name], 7
    found = observables(spec, steps)
    program, ports = prepared(spec, steps), Ports.of(spec)
    decoder = decoder_of(spec, found)
    outcome = run_amaranth(MockCore(spec, events(spec, found)), ports, program, decoder.feed, stalls=stalls)
    got = decoder.take()
    for key, values in found.items():
        np.testing.assert_array_equal(got[key], values, err_msg=key)
    writes = [(a ^ d) for kind, a, d in program.ops.tolist() if kind == Op.WRITE]
    before = next(i for i, row in enumerate(program.ops.tolist()) if row[0] == Op.READ)
    assert outcome.responses[0] == checksum((a ^ d) for kind, a, d in program.ops[:before].tolist() if kind == Op.WRITE)
    assert len(outcome.responses) == (program.ops[:, 0] == Op.READ).sum()
    assert outcome.samples <= program.order.size * program.table.shape[1]
    assert len(writes) > 0


def test_a_core_that_hangs_is_given_up():
    spec = DESIGNS["one-sided"]
    core = MockCore(spec, events(spec, observables(spec, 4)), hang=True)
    with pytest.raises(SimulationError, match=r"^The core made no progress for 300 cycles: in cycle \d+ the host waits for it to"):
        run_amaranth(core, Ports.of(spec), prepared(spec, 4), lambda event, rows: None, patience=300)
