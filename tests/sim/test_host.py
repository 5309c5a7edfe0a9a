"""The host's procedures, over links that record and links that store."""

import numpy as np
import pytest

from python_ref.spec.perturbation import stochastic_generator
from python_ref.spec.registers import Command, Memory, register_map, stream_beats, stream_words
from sim import host
from sim.error import WrongCore
from sim.program import Op, ProgramLink, ReplayLink, sample_table, training_program
from tests.support.mock_core import DESIGNS, StoredLink, observables


def test_runs_end_where_the_rate_changes():
    spec = DESIGNS["rates"]
    assert list(host.runs(spec, 0, 9)) == [(0, 2), (2, 3), (5, 4)]
    assert list(host.runs(spec, 2, 3)) == [(2, 3)]
    assert list(host.runs(spec, 4, 2)) == [(4, 1), (5, 1)]
    assert list(host.runs(spec, 6, 0)) == []
    link = ProgramLink()
    host.train(spec, link, 0, 9)
    registers = register_map(spec)
    count, exponent = registers["count"].address, registers["exponent"].address
    ops = link.program().ops.tolist()
    assert [data for kind, address, data in ops if address == count] == [2, 3, 4]
    written = [data - (data >> 31 << 32) for kind, address, data in ops if address == exponent]
    assert written == [spec.exponent_at(step) for step in (0, 2, 5)]
    assert [row[0] for row in ops].count(Op.WAIT) == 3


def test_the_states_of_the_streams_are_the_seeded_ones():
    spec = DESIGNS["momentum"]
    words = host.seed_words(spec, 77)
    assert len(words) == stream_words(spec) == stream_beats(spec)
    (signs,) = spec.sign_generators
    place = 1
    assert not any(word & 1 for word in words)
    for generator in (signs, stochastic_generator(spec.stochastic_bits)):
        state = 0
        for word in words:  # pushed in at the top
            pushed = word >> place & (1 << generator.outputs) - 1
            state = (state | pushed << generator.degree) >> generator.outputs
        assert state == generator.seed_state(77)
        place += generator.outputs
    assert host.seed_words(spec) == host.seed_words(spec, spec.perturbation.seed)


def test_a_run_goes_on_only_where_all_periods_begin():
    spec = DESIGNS["momentum"]
    assert len(host.seed_words(spec, step=12)) == stream_words(spec)
    for step, name, period in ((6, "sample period", 4), (4, "update period", 6)):
        with pytest.raises(ValueError, match=rf"^Step must be a multiple of the {name} {period}, not {step}$"):
            host.seed_words(spec, step=step)


@pytest.mark.parametrize("name", ["momentum", "two-sided", "more-lanes-than-neurons"])
def test_memories_are_read_as_they_were_written(name):
    spec = DESIGNS[name]
    last = {key: values[-1] for key, values in observables(spec, 2).items()}
    link = StoredLink(spec, last, cleared=False)
    for memory in spec.memories:
        np.testing.assert_array_equal(host.read_memory(spec, link, memory), last[memory.name.lower()])
    recorded = ProgramLink()
    values = np.clip(last["parameter"], *spec.parameter_limits)
    host.load_parameters(spec, recorded, values)
    registers = register_map(spec)
    select, place, found = 0, 0, np.zeros(spec.network.n_parameters, dtype=np.int64)
    where = {(lane, word): i for i, (lane, word) in enumerate(zip(spec.layout.parameter_lane, spec.layout.parameter_word, strict=True))}
    for _, address, data in recorded.program().ops.tolist():
        if address == registers["select"].address:
            select = data
        elif address == registers["address"].address:
            place = data
        else:
            assert address == registers["data"].address and select >> 16 == Memory.PARAMETER
            if (select & 0xFFFF, place) in where:
                found[where[select & 0xFFFF, place]] = data - (data >> 31 << 32)
            else:
                assert data == 0
            place += 1
    np.testing.assert_array_equal(found, values)


def test_a_core_is_known_by_its_identity():
    spec = DESIGNS["one-sided"]
    good = [0x4D474432, int(spec.digest, 16) & 0xFFFFFFFF, int(spec.digest, 16) >> 32]
    host.check_identity(spec, ReplayLink(good))
    with pytest.raises(WrongCore, match=r"^Register magic must read 0x4d474432, not 0x00000000: there is no core "):
        host.check_identity(spec, ReplayLink([0, *good[1:]]))
    with pytest.raises(WrongCore, match=rf"^The core's digest must be {spec.digest}, not [0-9a-f]{{16}}: "):
        host.check_identity(spec, ReplayLink([good[0], good[1] ^ 1, good[2]]))


def test_values_that_do_not_fit_are_refused():
    spec = DESIGNS["one-sided"]
    link = ProgramLink()
    with pytest.raises(ValueError, match=r"^Memory must be one the core has, not MOMENTUM$"):
        host.clear_memory(spec, link, Memory.MOMENTUM)
    with pytest.raises(ValueError, match=r"^Values of PARAMETER must be 32 raw integers, not float64 of shape \(32,\)$"):
        host.load_memory(spec, link, Memory.PARAMETER, np.zeros(32))
    with pytest.raises(ValueError, match=r"^Raw parameters must lie between -32768 and 32767, not 40000 to 40000$"):
        host.load_parameters(spec, link, np.full(32, 40000))
    with pytest.raises(ValueError, match=r"^Inputs must fit UQ0.8, not 0 to 256$"):
        sample_table(spec, np.array([[0, 1, 256]]), np.zeros((1, 2), dtype=int))
    with pytest.raises(ValueError, match=r"^Targets must be raw integers of shape \(samples, 2\), not int64 of shape \(1, 3\)$"):
        sample_table(spec, np.array([[0, 1, 2]]), np.zeros((1, 3), dtype=int))
    table = np.zeros((4, 3), dtype=int), np.zeros((4, 2), dtype=int)
    parameters = np.zeros(32, dtype=int)
    with pytest.raises(ValueError, match=r"^Order must have at least 4 samples for 10 steps, not 3$"):
        training_program(spec, parameters, *table, np.arange(3), 10)
    with pytest.raises(ValueError, match=r"^Order must name samples 0 to 3, not 0 to 4$"):
        training_program(spec, parameters, *table, np.arange(5), 15)


def test_a_run_is_set_up_before_it_is_trained():
    spec = DESIGNS["momentum"]
    link = ProgramLink()
    host.prepare(spec, link, np.zeros(spec.network.n_parameters, dtype=int), 5)
    host.infer(spec, link, 12)
    link.send([1, 2, 3])
    program = link.program()
    command = register_map(spec)["command"].address
    assert [data for kind, address, data in program.ops.tolist() if address == command] == [Command.CLEAR, Command.RESTART, Command.INFER]
    assert list(program.words()) == [1, 2, 3]
    stream = register_map(spec)["stream"].address
    assert [data for kind, address, data in program.ops.tolist() if address == stream] == host.seed_words(spec, 5)
