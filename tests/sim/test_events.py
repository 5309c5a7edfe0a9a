"""sim.events against Amaranth's own packing."""

import numpy as np
import pytest

from python_ref.spec.events import event_kinds
from rtl_gen import probe
from sim.error import CoreError, SimulationError
from sim.events import pack, unpack
from sim.ports import Field, Ports
from tests.support.mock_core import DESIGNS, decoder_of, events, observables


def fed(spec, found, shown, cut=5):
    """Observables that a decoder gives for events fed in pieces."""
    ports = Ports.of(spec)
    decoder, blocks = decoder_of(spec, found), []
    for first in range(0, len(shown), cut):
        for event in ports.kinds:
            payloads = [payload for kind, payload in shown[first : first + cut] if kind == event]
            if payloads:
                decoder.feed(event, pack(payloads, ports.payload_words(event)))
        if decoder.ready:
            blocks.append(decoder.take())
    return decoder, {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


@pytest.mark.parametrize("name", DESIGNS)
def test_ports_are_those_of_the_core(name):
    tables, ports = probe.event_tables(DESIGNS[name]), Ports.of(DESIGNS[name])
    assert tuple(tables) == ports.kinds == event_kinds(DESIGNS[name])
    assert {event: tuple(Field(**row) for row in tables[event]) for event in tables} == ports.events
    assert {e: layout.size for e, layout in probe.event_layouts(DESIGNS[name]).items()} == {e: ports.payload_width(e) for e in ports.kinds}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("width", [1, 2, 16, 18, 31, 32, 33, 48, 62, 63])
def test_unpack_is_python_arithmetic(width, signed):
    random = np.random.default_rng(width)
    for offset in (0, 1, 31, 32, 33, 63, 70):
        count, words = 5, 20
        payloads = [int.from_bytes(random.bytes(4 * words), "little") for _ in range(7)]
        got = unpack(pack(payloads, words), Field("x", offset, width, signed, count))
        for payload, row in zip(payloads, got.tolist(), strict=True):
            expected = [payload >> (offset + width * i) & ((1 << width) - 1) for i in range(count)]
            assert row == [v - (v >> (width - 1) << width) if signed else v for v in expected]


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("cut", [1, 37, 10**9])
def test_decoder_gives_back_the_observables(name, cut):
    spec = DESIGNS[name]
    found = observables(spec, 9)
    decoder, got = fed(spec, found, events(spec, found), cut)
    assert decoder.steps == 9
    assert decoder.leftover() == ""
    assert set(got) == set(found)
    for key, values in found.items():
        np.testing.assert_array_equal(got[key], values, err_msg=key)


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("count", [1, 4])
def test_skipped_steps_leave_what_comes_after_them_as_it_is(name, count):
    spec = DESIGNS[name]
    found, ports = observables(spec, 9), Ports.of(spec)
    decoder, shown = decoder_of(spec, found), events(spec, found)
    for event in ports.kinds:
        decoder.feed(event, pack([payload for kind, payload in shown if kind == event], ports.payload_words(event)))
    np.testing.assert_array_equal(decoder.skip(count), found["signature"][:count])
    for key, values in decoder.take().items():
        np.testing.assert_array_equal(values, found[key][count:], err_msg=key)
    assert (decoder.steps, decoder.pending, decoder.leftover()) == (9, 0, "")


def test_a_missing_pass_is_refused():
    spec = DESIGNS["two-sided"]
    found = observables(spec, 9)
    n = spec.network.n_neurons
    with pytest.raises(SimulationError, match=r"^Step 0: the core's neuron events must belong to pass 0, and do not: "):
        fed(spec, found, events(spec, found)[n + 1 :], 10**9)


@pytest.mark.parametrize("name", ["one-sided", "two-probes"])
def test_passes_out_of_order_are_refused(name):
    spec = DESIGNS[name]
    found = observables(spec, 6)
    shown = events(spec, found)
    costs = [place for place, (event, _) in enumerate(shown) if event == "cost"]
    first, second = costs[:2]
    shown[first], shown[second] = shown[second], shown[first]
    with pytest.raises(CoreError, match=r"^From step 0 on, the core's cost events must belong to pass 0, and do not: "):
        fed(spec, found, shown, 10**9)


def test_a_neuron_of_a_bank_that_does_not_exist_is_refused():
    spec = DESIGNS["one-sided"]
    found = observables(spec, 3)
    layout = probe.event_layouts(spec)["neuron"]
    wrong = layout.const({"pass": 1, "bank": 3}).as_value().value
    with pytest.raises(CoreError, match=r"^A neuron's bank must be 0, 1 or 2, not 3\. "):
        fed(spec, found, [("neuron", wrong)])


def test_unpack_refuses_what_lies_outside():
    with pytest.raises(ValueError, match=r"^Field x must lie within 2 words, not end at bit 65$"):
        unpack(np.zeros((1, 2), np.uint32), Field("x", 60, 5, False, 1))
    with pytest.raises(ValueError, match=r"^Width of a field must be 1 to 63 bits, not 64$"):
        unpack(np.zeros((1, 2), np.uint32), Field("x", 0, 64, False, 1))
