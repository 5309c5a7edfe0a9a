"""The image of a flash, and what is refused of a board that learns alone."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from boards.parts.fit import on_blocks
from boards.parts.synth import synthesise
from boards.parts.target import target
from mgd_hw.cli import commands
from mgd_hw.design.description import Design
from mgd_hw.design.reader import load, parse
from mgd_hw.design.samples import load_design
from mgd_hw.hardware.flash_image import SHARES, Image, flash_image
from mgd_hw.hardware.standalone import board_alone, fitted
from python_ref.datasets import quantise
from python_ref.spec.error import Refusal
from python_ref.spec.flash import HEADER, LIGHTS, MAGIC, Operation, SampleLayout, pack
from python_ref.spec.registers import Command, register_map
from sim import host
from sim.program import ProgramLink

BASE, SIZE = 0x1000, 1 << 20


def image_of(design: Design, steps: int, **options: int) -> Image:
    return flash_image(design, load_design(design), steps, base=BASE, size=SIZE, **options)


def instructions(image: Image) -> Iterator[tuple[Operation, int, tuple[int, ...]]]:
    """Operation, operand and further words of each instruction of an image, up to its end."""
    data = image.data[: len(image.data) // 4 * 4]
    words = iter(struct.unpack(f">{len(data) // 4}I", data)[len(HEADER) :])
    while True:
        word = next(words)
        operation, operand = Operation(word >> 28), word & 0xFFFFFF
        more = {Operation.END: 0, Operation.WRITE: operand & 0xFFFF, Operation.TRAIN: 2, Operation.INFER: 2 + LIGHTS}[operation]
        yield operation, operand, tuple(next(words) for _ in range(more))
        if operation is Operation.END:
            return


def unpacked(data: bytes, layout: SampleLayout, signed: bool) -> tuple[list[int], list[int]]:
    """Values of a sample, bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in data)
    assert len(bits) - layout.bits == layout.padding and set(bits[layout.bits :]) <= {"0"}
    values = [int(bits[n * layout.input_bits : (n + 1) * layout.input_bits], 2) for n in range(layout.inputs)]
    rest = bits[layout.inputs * layout.input_bits :]
    targets = [int(rest[n * layout.target_bits : (n + 1) * layout.target_bits], 2) for n in range(layout.targets)]
    return values, [value - ((value >> layout.target_bits - 1 & signed) << layout.target_bits) for value in targets]


def test_the_header_says_what_is_stored() -> None:
    design = load("digits")
    image = image_of(design, 42 * 300)
    header = dict(zip(HEADER, struct.unpack(f">{len(HEADER)}I", image.data[: 4 * len(HEADER)]), strict=True))
    assert header["magic"] == MAGIC
    assert f"{header['digest_high']:08x}{header['digest_low']:08x}" == design.spec.digest
    assert (header["samples"], header["held_out"], header["length"]) == (300, 360, len(image.data))
    layout, (inputs, targets) = SampleLayout.of(design.spec), image.judged
    place = header["samples_address"] - BASE
    for number in (0, 1, 299):
        data = image.data[place + number * layout.size :][: layout.size]
        row = image.run.order[number]
        assert unpacked(data, layout, True) == (image.run.inputs[row].tolist(), image.run.targets[row].tolist())
    last = image.data[header["held_out_address"] - BASE + 359 * layout.size :]
    assert unpacked(last, layout, True) == (inputs[359].tolist(), targets[359].tolist())
    np.testing.assert_array_equal(inputs, quantise(design.spec, load_design(design).test)[0])


@pytest.mark.parametrize("samples", [None, 77])
def test_the_program_is_what_the_host_does(samples: int | None) -> None:
    """It prepares the core, trains all steps at their rates on the samples that they take, and judges in between."""
    design = load("digits")
    schedule = replace(design.spec.schedule, learning_rate=((0, -5), (1000, -6), (4200, -7)))
    design = replace(design, spec=replace(design.spec, schedule=schedule))
    spec, layout, at = design.spec, SampleLayout.of(design.spec), register_map(design.spec)
    options = {} if samples is None else {"samples": samples}
    image = image_of(design, 42 * 200, **options)
    link = ProgramLink()
    host.prepare(spec, link, image.run.parameters, image.run.seed)
    prepared = [(address, data) for _, address, data in link.program().ops.tolist()]
    first = struct.unpack(">8I", image.data[:32])[HEADER.index("samples_address")]
    written, step, judged = list[tuple[int, int]](), 0, list[int]()
    for operation, operand, words in instructions(image):
        if operation is Operation.WRITE:
            written += [(operand >> 16, word) for word in words]
        elif operation is Operation.TRAIN:
            rate = [data for address, data in written if address == at["exponent"].address][-1]
            assert rate == spec.exponent_at(step) & 0xFFFFFFFF and spec.exponent_at(step + words[0] - 1) == spec.exponent_at(step)
            taken, until = -(-step // 42), (step + words[0] - 1) // 42 + 1
            assert words[1] == until - taken
            assert operand == first + taken % image.samples * layout.size
            assert not words[1] or taken % image.samples + words[1] <= image.samples
            step += words[0]
        elif operation is Operation.INFER:
            assert written[-1] == (at["command"].address, Command.CLEAR)
            assert operand == image.held_out_address and words == (360, 360, *reversed(image.thresholds))
            judged.append(step)
    assert written[: 1 + len(prepared)] == [(at["command"].address, Command.DISCARD), *prepared]
    assert step == 42 * 200 and tuple(judged) == image.evaluations and len(judged) == 20
    assert all(step % 42 == 0 for step in judged)


def test_lights_are_on_from_their_shares() -> None:
    image = image_of(load("digits"), 42)
    assert image.thresholds == (180, 252, 288, 324, 342) == tuple(round(360 * share) for share in SHARES)
    assert [image.lights(correct) for correct in (179, 180, 287, 288, 341, 360)] == [0, 1, 3, 7, 15, 31]


def test_whole_epochs_are_stored_where_all_do_not_fit() -> None:
    design = load("digits")
    image = flash_image(design, load_design(design), 42 * 20_000, base=BASE, size=1 << 18)
    assert image.samples == 2 * 1437 and image.needed == 20_000
    assert BASE + len(image.data) <= 1 << 18
    less = flash_image(design, load_design(design), 42 * 20_000, base=BASE, size=1 << 16)
    assert 0 < less.samples < 1437 and 1 << 16 >= BASE + len(less.data) > (1 << 16) - 120


def test_pack_fills_bytes_from_the_highest_bit() -> None:
    layout = SampleLayout(2, 1, 3, 5)
    assert (layout.bits, layout.size, layout.padding) == (11, 2, 5)
    assert pack(layout, np.array([[5, 3]]), np.array([[-2]])) == bytes([0b10101111, 0b11000000])


REFUSED = {
    "too many held out": ({"held_out": 361}, r"^--held-out = 361: there are 360 test samples\. Take fewer\.$"),
    "too many samples": (
        {"samples": 30_000},
        r"^--samples = 30000: 30,000 samples of 55 bytes do not fit the flash: there is room for 1\d,\d{3}\. ",
    ),
    "more than the run takes": ({"samples": 301}, r"^--samples = 301: the run takes 300 samples\. Take fewer\.$"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str) -> None:
    options, message = REFUSED[case]
    with pytest.raises(Refusal, match=message):
        image_of(load("digits"), 42 * 300 if case != "too many samples" else 42 * 40_000, **options)


def test_a_flash_without_room_for_a_sample_is_refused() -> None:
    design = load("digits")
    with pytest.raises(Refusal, match=r"1 samples of 55 bytes do not fit the flash beside the bitstream, .* Take fewer --held-out\.$"):
        flash_image(design, load_design(design), 42, base=BASE, size=1 << 15)


def test_a_regression_has_no_lights(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.arange(20.0).reshape(10, 2), y=np.arange(10.0))
    text = '[network]\nlayers = [2, 3, 1]\n[data]\ntask = "npz"\npath = "x.npz"\nkind = "regression"\n'
    design = parse(text, str(tmp_path / "a.toml"))
    with pytest.raises(
        Refusal, match=r'data\.task = "npz": the lights of a board show the share of correct answers, and a regression has none'
    ):
        image_of(design, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "xor", "--board", "ulx3s-85f", "--standalone"], '--board = "ulx3s-85f": only boards with an iCE40 learn alone so far.'),
        (["build", "xor", "--board", "icebreaker", "--standalone", "--baud", "9600"], "--baud = 9600: it is a setting of the serial line"),
        (["build", "xor", "--board", "icebreaker", "--samples", "3"], "--samples = 3: it is a setting of a board that learns alone."),
        (["virtual", "xor", "--standalone", "--divisor", "4"], "--divisor = 4: it is a setting of a board with a serial line."),
        (["virtual", "xor", "--image", "flash.bin"], '--image = "flash.bin": it is a setting of a board that learns alone.'),
        (["virtual", "xor", "--standalone", "--image", "nothing.bin"], '--image = "nothing.bin": it cannot be read (No such file'),
    ],
)
def test_options_that_do_not_belong_together_are_refused(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(commands, arguments)
    assert found.exit_code == 2 and message in found.output.replace("\n", " ")


def test_lanes_and_memories_that_fit_are_taken_in_node_perturbation() -> None:
    board, _ = board_alone("icebreaker")
    for name in ("xor", "digits"):
        assert fitted(load(name), board) == (load(name), {})
    design, changed = fitted(load("mnist"), board)
    assert changed == {"hardware.lanes": "2", "hardware.multipliers_per_lane": "2", "hardware.memory": "single-port"}
    assert design.spec.hardware == replace(load("mnist").spec.hardware, lanes=2, multipliers_per_lane=2, single_port=True)
    weight = parse(
        '[network]\nlayers = [784, 32, 10]\n[perturbation]\nkind = "weight"\n[data]\ntask = "mnist"\n[schedule]\nlearning_rate = -8\n',
        "x.toml",
    )
    assert fitted(weight, board) == (weight, {})


@pytest.mark.long
@pytest.mark.slow
def test_a_virtual_board_learns_alone(tmp_path: Path) -> None:
    """The whole top level, from the press of its button, with the bits of the model; and never from the image of another design."""
    found = CliRunner().invoke(commands, ["virtual", "xor", "--standalone", "--steps", "3000", "-o", str(tmp_path), "--json"])
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout)
    assert result["equal"] and result["differences"] == 0 and result["samples"] == 3000
    assert result["lights"][-1] == sum(result["accuracy"] >= share for share in SHARES)
    other = flash_image(load("digits"), load_design(load("digits")), 42, base=131_072, size=1 << 24)
    (tmp_path / "flash.bin").write_bytes(b"\xff" * other.base + other.data)
    arguments = ["virtual", "xor", "--standalone", "--steps", "3000", "-o", str(tmp_path), "--image", str(tmp_path / "flash.bin")]
    found = CliRunner().invoke(commands, arguments)
    assert found.exit_code == 2 and "the board refused it, since it does not have the digest" in found.output.replace("\n", " ")


@pytest.mark.long
@pytest.mark.slow
def test_memories_with_one_port_become_large_memories(tmp_path: Path) -> None:
    """As many as the rule says, on a part that has them; and the parameters take no block memory."""
    hardware = replace(load("digits").spec.hardware, lanes=2, multipliers_per_lane=2)
    specs = [replace(load("digits").spec, hardware=replace(hardware, single_port=single)) for single in (False, True)]
    part, folders = target("ice40-up5k"), [tmp_path / "block", tmp_path / "large"]
    for folder in folders:
        folder.mkdir()
    found = [synthesise(spec, part.name, folder, by_component=False).total for spec, folder in zip(specs, folders, strict=True)]
    block, large = found
    assert (block.spram, large.spram) == (0, 4)
    assert on_blocks(specs[0], part) - on_blocks(specs[1], part) == block.bram - large.bram > 0


def test_a_network_with_state_does_not_learn_alone(tmp_path):
    path = tmp_path / "rows.toml"
    path.write_text('[network]\nlayers = [8, {neurons = 4, kind = "leaky", leak = 1}, 10]\n[data]\ntask = "digits"\n', encoding="utf-8")
    with pytest.raises(Refusal, match=r"network\.layers.*a network with state does not learn alone"):
        fitted(load(str(path)), board_alone("icebreaker")[0])
