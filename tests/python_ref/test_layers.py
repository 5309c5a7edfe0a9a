"""Sparse layers: their lists, the operands of their neurons, and what is refused."""

import random

import numpy as np
import pytest

from python_ref.spec.activations import Activation
from python_ref.spec.error import DesignError
from python_ref.spec.layers import DENSE, Dense, Sparse, drawn_lists
from python_ref.spec.network import Layer, Network
from tests.support.neuron_inputs import neuron_inputs
from tests.support.node_designs import node_design

CASES = [(64, 16, 8, 1), (7, 5, 7, 2), (9, 40, 1, 3), (1, 3, 1, 4), (128, 5, 26, 5), (10, 3, 4, (1 << 63) - 1)]


@pytest.mark.parametrize(("n_in", "blocks", "fan_in", "seed"), CASES)
def test_lists_rise_and_take_every_input_equally_often(n_in, blocks, fan_in, seed):
    lists = drawn_lists(n_in, blocks, fan_in, seed)
    assert lists.shape == (blocks, fan_in)
    assert (np.diff(lists, axis=1) > 0).all()
    for until in range(1, blocks + 1):
        uses = np.bincount(lists[:until].ravel(), minlength=n_in)
        assert len(uses) == n_in and uses.max() - uses.min() <= 1


def test_the_lists_are_the_recorded_ones():
    """Another generator or rule would be another machine for the same design file."""
    assert drawn_lists(8, 4, 3, 1).tolist() == RECORDED
    assert drawn_lists(8, 4, 3, 2).tolist() != RECORDED


RECORDED = [[2, 4, 7], [1, 3, 6], [0, 2, 5], [3, 4, 7]]


@pytest.mark.parametrize(("block", "lanes"), [(None, 4), (6, 3), (12, 12), (100, 7)])
def test_neurons_of_a_block_share_their_inputs(block, lanes):
    spec = node_design(sizes=(9, 14, 3), kinds=(Sparse(4, block, 5), DENSE), lanes=lanes)
    layer, plain = spec.network.layers[0], neuron_inputs(spec)
    x = np.arange(100, 109)
    weights = np.arange(14 * 4).reshape(14, 4)
    for neuron, (operands, row) in enumerate(zip(layer.operands(x), layer.matrix(weights), strict=True)):
        assert (operands - 100).tolist() == plain[0, neuron]
        assert row[plain[0, neuron]].tolist() == weights[neuron].tolist()
        assert np.count_nonzero(row) == np.count_nonzero(weights[neuron])
    assert len({tuple(inputs) for (number, _), inputs in plain.items() if number == 0}) == -(-14 // min(14, block or 8))


def test_a_neuron_has_as_many_parameters_as_inputs_and_one():
    layers = Network((20, 16, 4), kinds=(Sparse(5, 8), Sparse(16))).layers
    assert [(layer.fan_in, layer.n_parameters) for layer in layers] == [(5, 16 * 6), (16, 4 * 17)]
    assert [layer.fan_out for layer in layers] == [16 * 5 / 20, 4]


def test_a_dense_layer_has_all_inputs_in_order():
    layer, x = Layer(3, 4, Activation.RELU, Dense()), np.array([5, 6, 7])
    assert layer.lists is None and layer.block == 4
    assert layer.operands(x).tolist() == [[5, 6, 7]] * 4


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Sparse(0), "fan_in must be a whole number of 1 or more"),
        (Sparse(True), "fan_in must be a whole number of 1 or more"),
        (Sparse(7), "fan_in = 7 is more than the 6 outputs of the layer before"),
        (Sparse(2, 0), "block must be a whole number of 1 or more"),
        (Sparse(2, 4, -1), "seed must be a whole number from 0 to"),
        (Sparse(2, 4, inputs=((0, 1),)), "inputs has 1 lists, and the layer 3 blocks of 4 neurons"),
        (Sparse(2, 4, inputs=((0, 1), (1,), (2, 3))), "list 1 of inputs has 1 numbers, and fan_in is 2"),
        (Sparse(2, 4, inputs=((0, 1), (1, 6), (2, 3))), "list 1 of inputs names an input out of range"),
        (Sparse(2, 4, inputs=((0, 1), (-1, 2), (2, 3))), "list 1 of inputs names an input out of range"),
        (Sparse(2, 4, inputs=((0, 1), (2, 2), (2, 3))), "list 1 of inputs does not rise"),
        (Sparse(2, 4, inputs="all"), "inputs must be a list of lists"),
    ],
)
def test_what_a_sparse_layer_cannot_be(kind, message):
    with pytest.raises(DesignError, match=f"^network.layers = .*{message}"):
        Network((6, 9, 3), kinds=(kind, DENSE))


def test_lanes_that_do_not_divide_a_block_are_refused_with_those_that_do():
    for lanes in (1, 2, 4, 8):
        node_design(sizes=(6, 20, 3), kinds=(Sparse(2, 8), DENSE), lanes=lanes)
    with pytest.raises(DesignError, match=r"in blocks of 8, which 6 lanes do not divide. Take 1, 2, 4 or 8 lanes, or write block = 6"):
        node_design(sizes=(6, 20, 3), kinds=(Sparse(2, 8), DENSE), lanes=6)
    node_design(sizes=(6, 8, 3), kinds=(Sparse(2, 8), DENSE), lanes=6)  # one block


def test_random_designs_have_drawn_and_given_lists():
    from tests.support.designs import random_design

    rng = random.Random(3)
    kinds = [kind for _ in range(30) for kind in random_design(rng, sparse=1.0).network.kinds if isinstance(kind, Sparse)]
    assert {bool(kind.inputs) for kind in kinds} == {True, False}
