"""The signs of weight perturbation with state: every frame of a step takes the same ones, and the tail those behind them."""

from dataclasses import replace

import numpy as np
import pytest

from python_ref.fixed.perturbation import SignSource
from python_ref.spec.perturbation import CODES, LfsrCode
from rtl_gen.perturbation import DRAW_LATENCY
from rtl_gen.series.weight_signs import sign_source
from tests.rtl_gen.series.weight_slots import FLAGS, framed_slots
from tests.rtl_gen.test_perturbation import beats, serial_signs
from tests.support.bench import cycles
from tests.support.series_weight_shapes import weight_series

KIND = ("correlate", "perturb", "second", "forward")


def drawn(spec, lengths, restart_at=None):
    """Signs of all slots of the passes of some steps, each with the number of its step, whose samples have these lengths of frames."""
    source, marks = sign_source(spec), []
    idle = {f"{which}_slot.{flag}": 0 for which in ("live", "replay") for flag in (*FLAGS, *KIND)}
    loads = [row for beat in beats(spec) for row in ({"load_en": 1, "load": beat & (1 << source.load_width) - 1}, {"load_en": 0})]
    loads += [{"restart": 1}, {"restart": 0}]
    stimuli, number = loads.copy(), 0

    def run(which, frames, kind, step):
        for slot in framed_slots(spec, frames):
            correlates = kind["correlate"] and (slot["initial"] or slot["layer"] >= spec.network.framed)
            shown = {name: slot[name] for name in FLAGS} | kind | {"correlate": int(correlates)}
            if kind["perturb"] or correlates:
                marks.append((len(stimuli) + DRAW_LATENCY, which, step, slot["slot"]))
            stimuli.append({**idle, **{f"{which}_slot.{name}": value for name, value in shown.items()}})
        stimuli.append(idle)

    for n, length in enumerate(lengths):
        if n == restart_at:
            stimuli += [idle, *loads]
            number = 0
        if number:
            run("replay", length, dict(zip(KIND, (1, 0, 0, 1), strict=True)), n - 1)
        for second in range(1 - spec.two_sided, 2):
            run("live", length, dict(zip(KIND, (0, 1, second, 1), strict=True)), n)
        number += 1
        stimuli.append({**idle, "advance": 1, "fresh": int(number % spec.schedule.perturbation_period == 0)})
        stimuli.append({**idle, "advance": 0})
    outputs = [f"{which}.{part}" for which in ("live", "replay") for part in ("negative", "active")]
    rows = cycles(source, stimuli, outputs, extra=2)
    lanes = np.arange(spec.hardware.lanes)
    for cycle, which, step, slot in marks:
        negative, active = (
            np.array([rows[cycle][f"{which}.{part}"] >> int(lane) & 1 for lane in lanes]) for part in ("negative", "active")
        )
        yield step, slot, active * (1 - 2 * negative)


def check(spec, lengths, restart_at=None):
    """Every frame, pass and replay has the signs of the reference, and of a bit-serial stream if they are random."""
    layout, count = spec.layout, 0
    exists = np.zeros((layout.slots, spec.hardware.lanes), dtype=bool)
    exists[layout.parameter_slot, layout.parameter_lane] = True
    for step, slot, signs in drawn(spec, lengths, restart_at):
        n = step - restart_at if restart_at is not None and step >= restart_at else step
        p = n // spec.schedule.perturbation_period
        expected = np.zeros(exists.shape, dtype=np.int64)
        expected[layout.parameter_slot, layout.parameter_lane] = SignSource(spec).signs(p)
        np.testing.assert_array_equal(signs[exists[slot]], expected[slot][exists[slot]], err_msg=f"step {step}, slot {slot}")
        if isinstance(spec.perturbation.code, LfsrCode):
            np.testing.assert_array_equal(signs, serial_signs(spec, p)[slot])
        count += 1
    assert count > len(lengths) * layout.slots


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("period", [1, 2])
@pytest.mark.parametrize("code", [kind() for kind in CODES.values()], ids=lambda code: code.name)
def test_frames_repeat_their_signs_whatever_the_length(code, period, two_sided):
    spec = weight_series((1, 3, 2), frames=3, code=code, periods=(period, 2, 2), two_sided=two_sided)
    check(spec, (3, 1, 2, 3, 1), restart_at=3)


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 4, 63, 127])
def test_random_signs_of_many_lanes_equal_a_serial_shift_register(lanes):
    spec = weight_series((1, 9, 2), frames=2)
    check(replace(spec, hardware=replace(spec.hardware, lanes=lanes)), (2, 1, 2))
