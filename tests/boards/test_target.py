"""Parts: what their cells are, and how much they have."""

import pytest

from boards.target import TARGETS, Resources, target


@pytest.mark.parametrize(
    ("name", "cell", "kind", "weight"),
    [
        ("ice40-up5k", "SB_DFFESR", "ff", 1),
        ("ice40-up5k", "SB_RAM40_4KNRNW", "bram", 1),
        ("ecp5-85k", "CCU2C", "carry", 2),
        ("ecp5-85k", "MULT9X9D", "dsp", 0.5),
        ("gowin-gw1nr9", "DFFRE", "ff", 1),
        ("gowin-gw1nr9", "LUT4", "lut", 1),
        ("gowin-gw1nr9", "MULT36X36", "dsp", 4),
        ("gowin-gw2ar18", "SDPX9B", "bram", 1),
        ("gowin-gw2ar18", "SP", "bram", 1),
        ("gowin-gw2ar18", "RAM16SDP4", "lutram", 4),
        ("xc7", "RAMB18E1", "bram", 1),
        ("xc7", "RAMB36E1", "bram", 2),
        ("xc7", "CARRY4", "", 0),
        ("xc7", "FDRE", "ff", 1),
        ("xc7", "FLUX", "other", 1),
    ],
)
def test_cells_are_known_by_the_longest_beginning(name, cell, kind, weight):
    assert TARGETS[name].kind_of(cell) == (kind, weight)


@pytest.mark.parametrize(
    ("name", "depth", "width", "blocks"),
    [("ice40-up5k", 256, 16, 1), ("ice40-up5k", 257, 16, 2), ("ice40-up5k", 456, 15, 2), ("xc7", 1024, 18, 1), ("xc7", 1025, 18, 2)],
)
def test_blocks_of_a_memory(name, depth, width, blocks):
    assert TARGETS[name].blocks(depth, width) == blocks


def test_resources_add_kind_by_kind():
    some = Resources(lut=3, ff=1, dsp=1)
    assert some + some == 2 * some
    assert 3 * some - some == 2 * some
    assert some.to_json() == {"lut": 3, "ff": 1, "dsp": 1, "bram": 0}


def test_an_unknown_target_is_refused_by_name():
    with pytest.raises(ValueError, match=r"^Target must be one of ice40-up5k, .*, not 'asic'$"):
        target("asic")
