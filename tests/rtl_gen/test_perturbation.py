"""Signs and words as the hardware draws them for weights: against a shift register that shifts by one, and against the reference."""

import random
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from python_ref.fixed.perturbation import SignSource, StochasticSource
from python_ref.spec.design import Hardware
from python_ref.spec.perturbation import CODES, LfsrCode
from python_ref.spec.registers import stream_beats, stream_widths
from python_ref.spec.schedule import Difference
from rtl_gen.perturbation import DRAW_LATENCY, RoundingNoise, StateLoader, sign_source
from rtl_gen.sequencer import Sequencer
from sim import host
from tests.support.bench import cycles
from tests.support.faults import DESIGNS
from tests.support.oracle import serial_bits

FLAGS = ("valid", "real", "first", "last", "tail", "begin", "correlate", "perturb", "second", "both", "branch")


def design(code, lanes, period, two_sided, sizes=(2, 5, 3)):
    """A design of these signs."""
    base = DESIGNS["weight"]
    schedule = replace(base.schedule, perturbation_period=period, difference=Difference.TWO_SIDED if two_sided else Difference.ONE_SIDED)
    return replace(
        base,
        network=replace(base.network, sizes=sizes),
        perturbation=replace(base.perturbation, code=code),
        schedule=schedule,
        hardware=Hardware(lanes),
    )


def slots(spec, *, correlate, perturb, second, both=0):
    """The slots of a pass, written down from the layout rather than by the sequencer."""
    layers, found = spec.layout.layers, []
    for number, placed in enumerate(layers):
        for group in range(placed.groups):
            for k in range(placed.group_slots):
                found.append(
                    {
                        "valid": 1,
                        "real": int(k < placed.group_words),
                        "first": int(k == 0),
                        "last": int(k == placed.group_words - 1),
                        "tail": int(group == placed.groups - 1),
                        "begin": int(number == group == k == 0),
                        "layer": number,
                        "correlate": correlate,
                        "perturb": perturb,
                        "second": second,
                        "both": both,
                        "branch": int(number == 1 and group == k == 0),
                    }
                )
    return found


def serial_signs(spec, p):
    """Signs of the slots of sign vector p by slot and lane, from bit-serial streams."""
    lanes, draws = spec.hardware.lanes, spec.draws
    columns = []
    for generator in spec.perturbation.code.generators(lanes):
        count = generator.outputs * draws * (p + 1)
        bits = list(islice(serial_bits(generator.degree, spec.perturbation.seed, generator.stream), count))
        columns.append(np.array(bits[generator.outputs * draws * p :]).reshape(draws, generator.outputs))
    negative = np.concatenate(columns, axis=1) ^ (p & 1)
    return 1 - 2 * negative


def beats(spec):
    """What fills the streams' states, as it comes from the words that the host writes."""
    words = [random.Random(1).getrandbits(32) for _ in range(-(-sum(stream_widths(spec)) // 32) - 1)]  # of a load that broke off
    block = StateLoader(sum(stream_widths(spec)))
    stimuli = [{"en": 1, "restart": 0, "data": word} for word in words] + [{"en": 0, "restart": 1}]
    for word in host.seed_words(spec):
        stimuli += [{"en": 1, "restart": 0, "data": word}, {"en": 0}]
    found = cycles(block, stimuli, ("beat_en", "beat"), extra=1)
    shown = [row["beat"] for row in found[len(words) + 1 :] if row["beat_en"]]
    assert len(shown) == stream_beats(spec)
    return shown


def steps_of_signs(spec, steps, restart_at=None):
    """Live signs of the passes that draw, and replayed signs of each step: rows of a slot's number, the slot, and its signs by lane; driven
    as a core does. Every other one-sided step has two passes."""
    source, marks = sign_source(spec), []
    loads = [row for beat in beats(spec) for row in ({"load_en": 1, "load": beat & (1 << source.load_width) - 1}, {"load_en": 0})]
    loads += [{"restart": 1}, {"restart": 0}]
    stimuli = loads.copy()
    idle = {f"{which}_slot.{flag}": 0 for which in ("live", "replay") for flag in FLAGS}
    more = spec.layout.layers[1:]
    first_behind = more[0].first_slot if more else spec.layout.slots

    def run(which, slot_list, label, first=0, drawn=None):
        for number, slot in enumerate(slot_list[first:], first):
            if drawn is None or number < drawn:
                marks.append((len(stimuli) + DRAW_LATENCY, which, label, number, slot))
            stimuli.append({**idle, "restart": 0, "advance": 0} | {f"{which}_slot.{name}": value for name, value in slot.items()})

    done = 0
    for n in range(steps):
        if n == restart_at:
            stimuli += [{**idle, "advance": 0}, *loads]
            done = 0
        # Pass 0 of a step correlates the step before, at other slots than its own live signs; both streams are independent.
        if done:
            run("replay", slots(spec, correlate=1, perturb=0, second=0), n - 1)
        pair = spec.two_sided or n % 2 == 0
        if pair:
            first = slots(spec, correlate=0, perturb=int(spec.two_sided), second=0, both=1)
            run("live", first, n, drawn=None if spec.two_sided else first_behind)
        run("live", slots(spec, correlate=0, perturb=1, second=1), n, first=first_behind if pair else 0)
        done += 1
        stimuli.append({**idle, "restart": 0, "advance": 1, "fresh": int(done % spec.schedule.perturbation_period == 0)})
    stimuli.append({**idle, "advance": 0})
    outputs = [f"{which}.{part}" for which in ("live", "replay") for part in ("negative", "active")]
    found = cycles(source, stimuli, outputs, extra=2)
    lanes = np.arange(spec.hardware.lanes)
    passes = {}
    for cycle, which, label, number, slot in marks:
        negative, active = (
            [row >> int(lane) & 1 for lane in lanes] for row in (found[cycle][f"{which}.negative"], found[cycle][f"{which}.active"])
        )
        signs = np.array(active) * (1 - 2 * np.array(negative))
        passes.setdefault((which, label, slot["second"]), []).append((number, slot, signs))
    return passes


def check(spec, steps=7, restart_at=None):
    """RTL equals reference, live and replayed."""
    layout, reference = spec.layout, SignSource(spec)
    passes = steps_of_signs(spec, steps, restart_at)
    behind = sum(placed.groups * placed.group_slots for placed in layout.layers[1:])
    for label in range(steps):
        n = label - restart_at if restart_at is not None and label >= restart_at else label
        p = n // spec.schedule.perturbation_period
        expected = np.zeros((layout.slots, spec.hardware.lanes), dtype=np.int64)
        expected[layout.parameter_slot, layout.parameter_lane] = reference.signs(p)
        exists = np.zeros(expected.shape, dtype=bool)
        exists[layout.parameter_slot, layout.parameter_lane] = True
        first, second, replayed = (passes.pop(key, []) for key in (("live", label, 0), ("live", label, 1), ("replay", label, 0)))
        # Every slot is drawn once per sign vector; in a two-sided step once per pass, but the first layer once for both.
        live = [number for number, _, _ in first + second]
        again = behind if spec.two_sided else 0
        assert sorted(set(live)) == list(range(layout.slots))
        assert len(live) == layout.slots + again
        last = label == steps - 1 or label + 1 == restart_at
        assert [number for number, _, _ in replayed] == ([] if last else list(range(layout.slots)))
        for number, _, signs in first + second + replayed:
            np.testing.assert_array_equal(signs[exists[number]], expected[number][exists[number]])
        if isinstance(spec.perturbation.code, LfsrCode):
            serial = serial_signs(spec, p)
            for number, _, signs in first + second + replayed:
                np.testing.assert_array_equal(signs, serial[number])
    assert not passes


@pytest.mark.parametrize("lanes", [1, 63, 127, *(pytest.param(lanes, marks=pytest.mark.slow) for lanes in (62, 126, 200))])
def test_random_signs_equal_a_serial_shift_register(lanes):
    check(design(LfsrCode(), lanes, 1, False, sizes=(2, 5, 3) if lanes == 1 else (1, 201)), steps=4)


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("period", [1, 2, 3])
@pytest.mark.parametrize("code", [kind() for kind in CODES.values()], ids=lambda code: code.name)
def test_signs_are_held_rewound_replayed_and_restarted(code, period, two_sided):
    check(design(code, 4, period, two_sided), steps=9, restart_at=5)


@pytest.mark.parametrize("lanes", [2, 5])
def test_stochastic_words_equal_the_reference(lanes):
    base = DESIGNS["random_rounding"]
    spec = replace(base, hardware=Hardware(lanes))
    noise, marks = RoundingNoise(spec), []
    place = sum(stream_widths(spec)) - noise.load_width
    stimuli = [row for beat in beats(spec) for row in ({"load_en": 1, "load": beat >> place}, {"load_en": 0})]
    rng, updates = random.Random(lanes), 0
    for _ in range(12):
        update, correlate = rng.randrange(2), rng.randrange(2)
        for slot in slots(spec, correlate=correlate, perturb=0, second=0):
            if slot["real"] and update and correlate:
                marks.append((len(stimuli) + DRAW_LATENCY, updates))
            stimuli.append({"load_en": 0, "update": update} | {f"slot.{name}": value for name, value in slot.items()})
        updates += update and correlate
    found = cycles(noise, stimuli, ("o",), extra=2)
    reference = StochasticSource(spec)
    expected = np.concatenate([reference.words(update) for update in range(updates)])
    assert [found[cycle]["o"] for cycle, _ in marks] == expected.tolist()


def test_slots_written_down_are_those_of_the_sequencer():
    for name in ("weight", "accumulating", "many"):
        spec = DESIGNS[name]
        sequencer = Sequencer(spec, depth=6)
        stimuli = [{"start": 1, "correlate": 1, "perturb": 0, "second": 1, "forward": 1}, {"start": 0}]
        outputs = [f"slot.{flag}" for flag in (*FLAGS, "layer")] + ["done"]
        found = cycles(sequencer, stimuli, outputs, extra=sequencer.pass_cycles + 4)
        expected = slots(spec, correlate=1, perturb=0, second=1)
        shown = [{key.removeprefix("slot."): value for key, value in row.items() if key != "done"} for row in found if row["slot.valid"]]
        assert shown == expected
        assert [n for n, row in enumerate(found) if row["done"]] == [sequencer.pass_cycles]
