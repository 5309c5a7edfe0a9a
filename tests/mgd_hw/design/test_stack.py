"""Entries of ``network.layers``: numbers of neurons, and tables with the kind of a layer."""

from __future__ import annotations

import pytest

from mgd_hw.design.reader import parse
from mgd_hw.design.stack import Stack, layer_stack
from python_ref.spec.error import Refusal


def test_a_table_of_a_dense_layer_is_its_number():
    table = parse('network.layers = [2, {neurons = 4, kind = "dense"}, 1]\ndata.task = "xor"', "a.toml")
    number = parse('network.layers = [2, 4, 1]\ndata.task = "xor"', "a.toml")
    assert table.spec == number.spec
    assert table.spec.digest == number.spec.digest
    assert layer_stack([2, {"neurons": 4}, 1]) == Stack((2, 4, 1))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ('[2, {neurons = 4, kind = "dens"}, 1]', "the kind of layer 1, 'dens', must be one of .*Did you mean \"dense\"?"),
        ('[2, 3, {kind = "dense"}]', "layer 2 does not give its neurons"),
        ("[{neurons = 2}, 3]", "its first entry is the number of inputs"),
        ("[2, {neurons = 4, fan_in = 2}, 1]", "layer 1 has 'fan_in', which a dense layer does not have"),
        ("[2, {neurons = 0}, 1]", "every size must be a whole number from 1 to 4096"),
    ],
)
def test_entries_that_are_refused(layers, message):
    with pytest.raises(Refusal, match=f"^a.toml: network.layers = .*{message}"):
        parse(f'network.layers = {layers}\ndata.task = "xor"', "a.toml")
