"""Boards' files: their pins against amaranth-boards, and what is refused."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from boards.board import Board, board_files, read_board
from boards.flow.constraints import constraints
from python_ref.spec.error import DesignError

PLATFORMS = {
    "icebreaker": ("icebreaker", "ICEBreakerPlatform"),
    "ulx3s-85f": ("ulx3s", "ULX3S_85F_Platform"),
    "tang-nano-9k": ("tang_nano_9k", "TangNano9kPlatform"),
    "arty-a7-35t": ("arty_a7", "ArtyA7_35Platform"),
}
BUTTONS = {"ulx3s-85f": ("button_fire", 0), "arty-a7-35t": ("rst", 0)}
NAMES = tuple(board_files())


def board(name: str) -> Board:
    return read_board(board_files()[name])


def oracle(name: str) -> dict[str, tuple[str, bool]]:
    """Pin and inversion of each port, as amaranth-boards has them."""
    module, platform = PLATFORMS[name]
    kind = getattr(importlib.import_module(f"amaranth_boards.{module}"), platform)
    by_name = {(each.name, each.number): each for each in kind.resources}
    uart = {each.name: each.ios[0] for each in by_name["uart", 0].ios if hasattr(each, "ios")}
    found = {"clk": by_name[kind.default_clk, 0].ios[0], "rx": uart["rx"], "tx": uart["tx"]}
    found |= {"led": by_name["led", 1 if name == "icebreaker" else 0].ios[0], "button": by_name[BUTTONS.get(name, ("button", 0))].ios[0]}
    return {port: (pins.names[0], pins.invert) for port, pins in found.items()}


def frequency(name: str) -> float:
    module, platform = PLATFORMS[name]
    kind = getattr(importlib.import_module(f"amaranth_boards.{module}"), platform)
    return next(each for each in kind.resources if each.name == kind.default_clk).clock.frequency


@pytest.mark.parametrize("name", PLATFORMS)
def test_pins_are_those_of_amaranth_boards(name: str) -> None:
    """tx and rx are the FPGA's in both."""
    ours = board(name)
    assert {port: (pin.pin, pin.inverted) for port, pin in ours.pins.items()} == oracle(name)
    assert float(ours.clock_mhz) * 1e6 == frequency(name)


def test_every_board_but_one_has_an_oracle() -> None:
    assert set(NAMES) - set(PLATFORMS) == {"tang-nano-20k"}  # its source is cited in its file


def test_pins_of_a_board_that_learns_alone_are_those_of_amaranth_boards() -> None:
    """The flash, the red light, and the five lights of the part that can be broken off, which is at the second of the connectors."""
    kind = importlib.import_module("amaranth_boards.icebreaker").ICEBreakerPlatform
    by_name = {(each.name, each.number): each for each in (*kind.resources, *kind.break_off_pmod)}
    flash = {each.name: each.ios[0].names[0] for each in by_name["spi_flash_1x", 0].ios if hasattr(each, "ios")}
    pmod = next(each for each in kind.connectors if each.number == 2).mapping
    ours = board("icebreaker").learning_alone().pins
    assert [ours[port].pin for port in ("cs", "sck", "mosi", "miso")] == [flash[name] for name in ("cs", "clk", "copi", "cipo")]
    red = by_name["led_r", 0].ios[0]
    assert (ours["wrong"].pin, ours["wrong"].inverted) == (red.names[0], red.invert)
    for number in range(5):
        light = by_name["led", number + 2].ios[0]
        name = light.names[0].rpartition(":")[2]
        assert (ours[f"light{number}"].pin, ours[f"light{number}"].inverted) == (pmod[name], light.invert)
    assert set(ours) == {"clk", "button", "led", "cs", "sck", "mosi", "miso", "wrong", *(f"light{number}" for number in range(5))}


def test_a_board_without_a_flash_does_not_learn_alone() -> None:
    with pytest.raises(ValueError, match=r"^Board must have a flash and a button, not as 'tang-nano-9k'$"):
        board("tang-nano-9k").learning_alone()


@pytest.mark.parametrize("name", NAMES)
def test_constraints_name_every_pin_once(name: str) -> None:
    ours = board(name)
    ending, text = constraints(ours)
    assert ending == {"ice40": "pcf", "ecp5": "lpf", "gowin": "cst", "xc7": "xdc"}[ours.family]
    for port, pin in ours.pins.items():
        forms = {
            "pcf": rf"^set_io( -pullup yes)? {port} {pin.pin}$",
            "lpf": rf'^LOCATE COMP "{port}" SITE "{pin.pin}";$',
            "cst": rf'^IO_LOC "{port}" {pin.pin};$',
            "xdc": rf"PACKAGE_PIN {pin.pin} .*\[get_ports {port}\]$",
        }
        assert len(re.findall(forms[ending], text, re.MULTILINE)) == 1
    assert ("create_clock -name clk -period 10.000 " in text) == (ending == "xdc")
    assert not re.search(r"(?i)frequency", text), "it would overrule the goal of a build"


EDITS = {
    "unknown key": ('chip = "FTDI FT2232H"', 'chips = "FTDI"', r'^link\.chips = "FTDI": there is no such key\. Did you mean link\.chip\?'),
    "part": ('"ice40-up5k"', '"ice40-hx8k"', r'^part = "ice40-hx8k": it must be one of ice40-up5k, ecp5-85k'),
    "type": ("mhz = 12\n", 'mhz = "12"\n', r'^clock\.mhz = "12": it must be a number of MHz'),
    "missing pin": ('rx = "6"\n', "", r"^link\.rx: it was left out, and every board needs it"),
    "missing package": ('package = "sg48"\n', "", r"^device\.package: it was left out, and boards with ice40-up5k need it"),
    "pin twice": ('tx = "9"', 'tx = "6"', r'^link\.tx = "6": it is also link\.rx'),
    "pin": ('tx = "9"', 'tx = "9 10"', r'^link\.tx = "9 10": it must be the name of a pin'),
    "pll": ('"ice40-pad"', '"ecp5"', r'^clock\.pll = "ecp5": ice40-up5k has no such PLL\. Write one of ice40-pad, ice40-core'),
    "baud": ("baud = 3_000_000", "baud = 15_000_000", r"^link\.baud = 15000000: it is more than link\.max_baud"),
    "flag": ("inverted = true", "inverted = 1", r"^led\.inverted = 1: it must be true or false"),
    "part of a flash": ('miso = "17"\n', "", r"^flash\.miso: it was left out, and \[flash\] needs it"),
    "no room for an image": ("image = 131_072", "image = 16_777_216", r"^flash\.image = 16777216: it is not within flash\.size"),
    "a flash beyond its addresses": ("size = 16_777_216", "size = 33_554_432", r"^flash\.size = 33554432: it must be a number of bytes"),
    "too few lights": ('"23", "21"]', '"23"]', r'^flash\.lights = \["26", "27", "25", "23"\]: it must be a list of the names of 5 pins'),
    "light twice": ('"23", "21"]', '"23", "26"]', r"^flash\.lights = .*26.*: it is also flash\.lights"),
    "light that is a pin of the line": ('"23", "21"]', '"23", "9"]', r'^flash\.lights = "9": it is also link\.tx'),
    "clock": (
        "core_mhz = 60",
        "core_mhz = 14",
        r"^clock\.core_mhz = 14\.0: mine makes 12 to .* MHz, but none within 1 % .*\. Take 12 or 16\.125\.$",
    ),
    "rate whose nearest is too high": (
        "max_baud = 12_000_000\nbaud = 3_000_000",
        "max_baud = 11_500_000\nbaud = 11_000_000",
        r"^link\.baud = 11000000: .* or link\.baud = 10000000\.$",
    ),
    "clock without a PLL": (
        'pll = "ice40-pad"',
        "",
        r"^clock\.core_mhz = 60\.0: mine has no PLL \(clock\.pll\) and makes 12 MHz only\. Take 12\.$",
    ),
    "clock that is too fast": ("core_mhz = 60", "core_mhz = 500", r"^clock\.core_mhz = 500\.0: .*\. Take 27\d\S*\.$"),
    "rate": (
        "baud = 3_000_000",
        "baud = 11_000_000",
        r"^link\.baud = 11000000: at 60 MHz a bit of 11,000,000 baud is 5\.45 cycles, .* "
        r"Take clock\.core_mhz = 5[3-6]\S* or link\.baud = 12000000\.$",
    ),
    "table": ('[led]\npin = "37"\ninverted = true', 'led = "37"', r'^led = "37": there is no such key'),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_is_wrong_with_a_file_is_named(edit: str, tmp_path: Path) -> None:
    old, new, message = EDITS[edit]
    text = board_files()["icebreaker"].read_text(encoding="utf-8")
    assert old in text
    text = new + "\n" + text.replace(old, "") if edit == "table" else text.replace(old, new, 1)
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    with pytest.raises(DesignError, match=rf"^{re.escape(str(tmp_path / 'mine.toml'))}: {message.removeprefix('^')}"):
        read_board(tmp_path / "mine.toml")


VALUES = re.compile(r"clock\.core_mhz = ([\d.]+)|link\.baud = (\d+)")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("baud", [1_000_000, 3_456_789, 11_000_000])
def test_what_a_refusal_of_a_rate_recommends_is_accepted(name: str, baud: int, tmp_path: Path) -> None:
    """With the largest error that a rate may have, 1.5 %, some of these rates can be made; each of the others is refused with a remedy."""
    text = board_files()[name].read_text(encoding="utf-8")
    text = re.sub(r"max_baud = .*", "max_baud = 20_000_000", re.sub(r"\bbaud = [\d_]+", f"baud = {baud}", text))
    text = re.sub(r"core_mhz = [\d.]+", "core_mhz = 16.5" if name == "icebreaker" else r"\g<0>", text)
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    try:
        read_board(path)
    except DesignError as error:
        found = VALUES.findall(error.remedy)
        assert found
        for clock, rate in found:
            old, new = (r"core_mhz = [\d.]+", f"core_mhz = {clock}") if clock else (r"\bbaud = \d+", f"baud = {rate}")
            path.write_text(re.sub(old, new, text), encoding="utf-8")
            read_board(path)


def test_the_file_in_the_documentation_is_a_board(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "guides" / "boards.md").read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    (tmp_path / "my_board.toml").write_text(example[1], encoding="utf-8")
    assert read_board(tmp_path / "my_board.toml").name == "my_board"
    assert all(f"`{name}`" in text for name in NAMES)
