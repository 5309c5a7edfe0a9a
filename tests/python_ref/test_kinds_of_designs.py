"""Designs of a network inside and outside the core are told apart, and a third kind is refused."""

import pytest

from mgd_hw.design.reader import load, load_any
from python_ref.spec.kinds import network_inside


def test_a_network_is_inside_or_outside():
    assert network_inside(load("xor").spec)
    assert not network_inside(load_any("chip").spec)
    with pytest.raises(TypeError, match=r"^Design .*network_inside"):
        network_inside(object())  # type: ignore[arg-type]
