"""The virtual chip in numpy, and the program that answers for it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from mgd_hw.chip import AnalogChip
from mgd_hw.design.reader import load_any
from mgd_hw.hardware.outside import opened_chip
from python_ref.spec.error import Refusal

XOR = np.array([3, 6, 6, 3, -6, -6, -3, 6, 6], dtype=float)
"""Biases and weights of two hidden neurons and an output that compute exclusive or: or, nand, and."""


def test_a_sound_chip_computes_parity():
    chip = AnalogChip(2, 2)
    assert (chip.parameters, chip.samples) == (9, 4)
    assert max(chip.costs(XOR, sample)[0] for sample in range(4)) < 0.01
    assert [chip.output(-XOR, sample) > 0 for sample in range(4)] != [False, True, True, False]


def test_flaws_are_the_seed_s():
    flaws = {"gain": 0.2, "offset": 0.3, "noise": 0.1, "drift": 0.1, "lag": 0.5}
    chips = [AnalogChip(2, 2, seed, **flaws) for seed in (4, 4, 5)]
    costs = [np.array([chip.costs(XOR, n % 4, 2) for n in range(8)]) for chip in chips]
    assert (costs[0] == costs[1]).all() and (costs[0] != costs[2]).any()


@pytest.mark.parametrize(
    ("flaw", "value"), [("gain", 0.2), ("offset", 0.3), ("dac_step", 0.9), ("noise", 0.1), ("drift", 0.1), ("lag", 0.5)]
)
def test_each_flaw_shows(flaw, value):
    sound, flawed = AnalogChip(2, 2), AnalogChip(2, 2, **{flaw: value})
    assert any(sound.costs(XOR / 4, sample)[0] != flawed.costs(XOR / 4, sample)[0] for sample in range(4))


def test_noise_drift_and_lag_are_what_they_say():
    noisy = AnalogChip(2, 2, noise=0.1).costs(XOR, 1, 4_000)
    assert abs(np.std(noisy) - 0.1) < 0.01
    drifting = AnalogChip(2, 2, drift=0.1)
    before = drifting.offsets.copy()
    drifting.costs(XOR, 1)
    assert (drifting.offsets != before).all()
    slow, settled = AnalogChip(2, 2, lag=0.5), AnalogChip(2, 2).costs(XOR, 1)[0]
    first, *_, last = (slow.costs(XOR, 1)[0] for _ in range(40))
    assert abs(last - settled) < 1e-9 < abs(first - settled)


def test_the_converters_have_steps():
    chip = AnalogChip(2, 2, dac_step=0.5)
    assert chip.output(XOR, 1) == chip.output(XOR + 0.24, 1) != chip.output(XOR + 0.26, 1)


def test_the_program_answers_and_refuses_another_number():
    command = [sys.executable, "-m", "mgd_hw.chip", "--inputs", "2", "--hidden", "2"]
    lines = [
        {"parameters": XOR.tolist(), "inputs": [[1.0]] * 2, "targets": [[]] * 2},
        {"parameters": [0.0], "inputs": [[0.0]], "targets": [[]]},
    ]
    done = subprocess.run(command, input="\n".join(map(json.dumps, lines)), capture_output=True, text=True, check=True)
    right, wrong = (json.loads(line) for line in done.stdout.splitlines())
    assert right == {"costs": AnalogChip(2, 2).costs(XOR, 1, 2).tolist()}
    assert wrong == {"error": "the chip has 9 parameters, not 1"}


def chip_of(folder, program, **more):
    (folder / "chip.py").write_text(program, encoding="utf-8")
    extra = "".join(f"{key} = {value}\n" for key, value in more.items())
    text = '[network]\nexternal = 2\n[schedule]\nlearning_rate = -4\n[formats]\ncost = "SQ2.2"\n[external]\ncommand = "python chip.py"\n'
    (folder / "mine.toml").write_text(text + extra, encoding="utf-8")
    return load_any(folder / "mine.toml")


ECHO = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"costs": [asked["parameters"][0] + row[0] for row in asked["inputs"]]}), flush=True)
"""


def test_words_become_real_numbers_and_costs_the_nearest_words(tmp_path):
    with opened_chip(chip_of(tmp_path, ECHO)) as chip:
        assert chip(np.array([4096 * 5 // 16, 0]), 0, 3) == [1, 1, 1]  # 0.3125 is nearest to 1/4
        assert (chip.words, chip.clipped) == (3, 0)
        assert chip(np.array([0, 0]), 9, 1) == [7] and chip(np.array([-20_000, 0]), 0, 1) == [-8]
        assert (chip.words, chip.clipped) == (5, 2)


def test_a_chip_that_does_not_answer_is_named(tmp_path):
    silent = chip_of(tmp_path, "import time\ntime.sleep(60)\n", timeout=0.2)
    with pytest.raises(Refusal) as caught, opened_chip(silent) as chip:
        chip(np.array([0, 0]), 0, 1)
    assert caught.value.key == "external.command"
    assert "did not answer within 0.2 s" in str(caught.value)
