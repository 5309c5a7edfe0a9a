"""Entries of ``network.layers``: numbers of neurons, and tables with the kind of a layer."""

from __future__ import annotations

import pytest

from mgd_hw.design.reader import parse
from mgd_hw.design.stack import Stack, layer_stack
from python_ref.spec.error import Refusal
from python_ref.spec.layers import Sparse


def test_a_table_of_a_dense_layer_is_its_number():
    table = parse('network.layers = [2, {neurons = 4, kind = "dense"}, 1]\ndata.task = "xor"', "a.toml")
    number = parse('network.layers = [2, 4, 1]\ndata.task = "xor"', "a.toml")
    assert table.spec == number.spec
    assert table.spec.digest == number.spec.digest
    assert layer_stack([2, {"neurons": 4}, 1]) == Stack((2, 4, 1))


def test_a_table_of_a_sparse_layer_is_its_kind():
    layers = '[9, {neurons = 20, kind = "sparse", fan_in = 3, seed = 4}, {neurons = 2, kind = "sparse", fan_in = 2, inputs = [[1, 7]]}]'
    spec = parse(f'network.layers = {layers}\ndata.task = "random"', "a.toml").spec
    assert spec.network.kinds == (Sparse(3, None, 4), Sparse(2, None, 1, ((1, 7),)))
    assert spec.hardware.lanes == 4, "6 lanes do not divide the derived block of 8"
    assert spec.network.layers[1].lists.tolist() == [[1, 7]]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ('[2, {neurons = 4, kind = "dens"}, 1]', "the kind of layer 1, 'dens', must be one of .*Did you mean \"dense\"?"),
        ('[2, 3, {kind = "dense"}]', "layer 2 does not give its neurons"),
        ("[{neurons = 2}, 3]", "its first entry is the number of inputs"),
        ("[2, {neurons = 4, fan_in = 2}, 1]", "layer 1 has 'fan_in', which a dense layer does not have"),
        ('[2, {neurons = 9, kind = "sparse"}, 1]', "layer 1, a sparse layer, does not give fan_in"),
        ('[2, {neurons = 9, kind = "sparse", fan_in = 3}, 1]', "fan_in = 3 is more than the 2 outputs of the layer before"),
        ('[2, {neurons = 9, kind = "sparse", fan_in = 1, inputs = [0]}, 1]', "inputs must be a list of lists"),
        ('[2, {neurons = 9, kind = "sparse", fan_in = 1, inputs = [[0], [2]]}, 1]', "list 1 of inputs names an input out of range"),
        ("[2, {neurons = 0}, 1]", "every size must be a whole number from 1 to 4096"),
    ],
)
def test_entries_that_are_refused(layers, message):
    with pytest.raises(Refusal, match=f"^a.toml: network.layers = .*{message}"):
        parse(f'network.layers = {layers}\ndata.task = "xor"', "a.toml")
