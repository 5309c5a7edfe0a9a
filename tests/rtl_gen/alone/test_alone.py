"""A core learns alone from a flash image: with the fixed model's bits, beside a flash model that is not ours; never from another image."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from mgd_hw.design.reader import load
from mgd_hw.hardware.flash_image import Image
from python_ref.fixed.fast import train
from python_ref.spec.flash import HEADER
from tests.support.alone import BASE, SIZE, Alone, alone_board, image_of, learned

pytestmark = pytest.mark.slow


@pytest.fixture
def xor(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return alone_board(tmp_path_factory, load("xor"))


def test_the_parameters_are_those_of_the_fixed_model(xor: Alone) -> None:
    """Over a run that judges 20 times; the lights are those of what the model answers then."""
    image = image_of(xor.design, 2000)
    found = xor.run(image)
    assert found.ended and not found.wrong
    np.testing.assert_array_equal(found.parameters(xor.design.spec), learned(image))
    assert len(found.lights) == len(image.evaluations) == 20
    expected = [image.lights(round(4 * accuracy)) for accuracy in accuracies(image)]
    assert [lights for _, lights in found.lights] == expected and len(set(expected)) > 1


def accuracies(image: Image) -> list[float]:
    """Accuracy of the fixed model on the four patterns of xor at each judgement of an image."""
    run, patterns = image.run, (image.run.inputs[:4], image.run.targets[:4])
    every = image.evaluations[0]
    assert image.evaluations == tuple(range(every, run.steps + 1, every))
    curve = train(
        run.spec, run.initial_state(), run.inputs, run.targets, run.order, run.steps, evaluation=patterns, record_every=every
    ).curve
    return list(curve.accuracy)


@pytest.mark.parametrize("cycle", [5_000, 20_001, 60_002])
def test_a_second_press_stops_it_at_a_step(xor: Alone, cycle: int) -> None:
    """The parameters are those after some of the steps; a press within the program stops it as well, before the next run."""
    image = image_of(xor.design, 2000)
    found, run = xor.run(image, stop=cycle), image.run
    assert found.ended and not found.wrong and cycle < found.cycles < cycle + 3_000
    parameters, state = found.parameters(xor.design.spec), run.initial_state()
    while not np.array_equal(parameters, state.parameters) and state.steps < 2000:
        state = train(run.spec, state, run.inputs, run.targets, run.order, 1).state
    assert state.steps < 2000 and (state.steps > 10) == (cycle > 5_000)


def test_samples_come_again_where_the_flash_holds_fewer(xor: Alone) -> None:
    image = image_of(xor.design, 500, samples=13)
    assert image.samples == 13 and image.needed == 500
    assert list(image.run.order[:14]) == [*(number % 4 for number in range(13)), 0]
    found = xor.run(image)
    np.testing.assert_array_equal(found.parameters(xor.design.spec), learned(image))


def test_the_flash_model_is_that_of_cocotbext_qspi(xor: Alone, tmp_path: Path) -> None:
    """The pins of the flash are the same in every cycle beside both models, so ours may stand for it in long runs."""
    image = image_of(xor.design, 40)
    found = xor.run(image, trace=tmp_path / "ours.txt")
    theirs, last = xor.run_icarus(image, tmp_path)
    ours = (tmp_path / "ours.txt").read_text(encoding="utf-8")
    assert found.ended and found.cycles > 20_000 and len(ours.splitlines()) == found.cycles + 1
    assert ours == theirs
    assert last == f"end {found.cycles} 0 {found.lights[-1][1]:05b}"


@pytest.mark.parametrize("word", range(3))
def test_an_image_of_another_design_is_refused(xor: Alone, word: int) -> None:
    """One bit of the digest, or of what tells an image, is enough; nothing is written to the core."""
    image = image_of(xor.design, 40)
    header = list(struct.unpack(f">{len(HEADER)}I", image.data[: 4 * len(HEADER)]))
    header[word] ^= 1 << 7 * word
    found = xor.run(image, data=struct.pack(f">{len(HEADER)}I", *header) + image.data[4 * len(HEADER) :])
    assert found.ended and found.wrong and not found.lights
    assert not any(any(words) for words in found.memories.values())


def test_an_erased_flash_is_refused(xor: Alone) -> None:
    found = xor.run(image_of(xor.design, 40), data=b"")
    assert found.ended and found.wrong and not any(any(words) for words in found.memories.values())


def test_an_unknown_instruction_ends_the_program(xor: Alone) -> None:
    image = image_of(xor.design, 40)
    data = bytearray(image.data)
    data[4 * len(HEADER)] = 0xF0
    found = xor.run(image, data=bytes(data))
    assert found.ended and found.wrong and not any(any(words) for words in found.memories.values())


def test_a_flash_that_wakes_late_is_read_too_early(xor: Alone) -> None:
    """The model of the flash does not answer before it has woken up, so the tests above tell that the core waits for it."""
    assert xor.run(image_of(xor.design, 40), wake=1000).wrong


def test_it_fits_its_flash(xor: Alone) -> None:
    image = image_of(xor.design, 40)
    assert BASE + len(image.data) <= SIZE
