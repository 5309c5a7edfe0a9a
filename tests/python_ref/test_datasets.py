"""The generated tasks, their raw integers and their order."""

import numpy as np
import pytest

from python_ref.datasets import LETTERS, SampleOrder, Samples, nist7x7, parity, quantise, xor
from python_ref.spec.design import DesignSpec, Formats
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Schedule


def test_xor_is_the_truth_table():
    samples = xor()
    assert samples.inputs.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert samples.labels.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 9])
def test_parity_counts_its_ones(bits):
    samples = parity(bits)
    assert len(samples) == len({tuple(row) for row in samples.inputs.tolist()}) == 2**bits
    assert [bin(n).count("1") % 2 for n in range(2**bits)] == samples.labels.tolist()


@pytest.mark.parametrize("bits", [0, 17, 2.0, True])
def test_parity_refuses(bits):
    with pytest.raises(ValueError, match=r"^Number of parity bits must be 1 to 16, not "):
        parity(bits)


def test_nist7x7_has_the_papers_number_of_images():
    samples = nist7x7()
    assert len(samples) == 44_136  # McCaughan et al. 2023
    assert samples.inputs.shape[1] == 49
    labelled = np.column_stack((samples.inputs, samples.labels))
    distinct = np.unique(labelled, axis=0)
    assert len(distinct) == len(np.unique(samples.inputs, axis=0)), "no image has two labels"
    assert np.bincount(distinct[:, -1].astype(int)).tolist() == [11_034, 11_034 - 591, 11_034, 11_034], "only bars coincide"
    assert np.bincount(samples.labels).tolist() == [44_136 // 4] * 4
    assert np.array_equal(samples.targets.sum(axis=1), np.ones(len(samples)))


def test_nist7x7_images_are_their_letters_but_for_two_pixels():
    images = nist7x7().inputs.reshape(4, 9, -1, 7, 7).astype(bool)
    for lines, places in zip(LETTERS.values(), images, strict=True):
        letter = np.array([[pixel == "X" for pixel in line] for line in lines])
        for place, shown in enumerate(places):
            top, left = divmod(place, 3)
            expected = np.zeros((7, 7), dtype=bool)
            expected[top : top + 5, left : left + 5] = letter
            assert np.bincount((shown ^ expected).sum(axis=(1, 2))).tolist() == [1, 49, 1176]


def test_samples_refuse_what_is_no_table():
    with pytest.raises(ValueError, match=r"^Array of inputs must be a table with a row per sample, not of shape \(3,\)"):
        Samples(np.zeros(3), np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"^Number of targets must be that of the inputs, 3, not 2"):
        Samples(np.zeros((3, 1)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"^Array of targets must hold finite numbers only"):
        Samples(np.zeros((1, 1)), np.full((1, 1), np.nan))


def test_samples_are_taken_in_order():
    taken = parity(3).take(np.array([5, 0]))
    assert taken.inputs.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert taken.labels.tolist() == [0, 0]


def design(sizes, formats):
    return DesignSpec("task", Network(sizes), Perturbation(Kind.NODE, amplitude_log2=-4), Schedule(((0, -4),)), formats=formats)


def test_quantise_rounds_and_saturates():
    formats = Formats(input=Fixed(False, 0, 8), activation=Fixed(True, 2, 10))
    samples = Samples([[0, 1 / 256, 0.4999 / 256, 254.6 / 256, 1.0, -1.0]], [[-2.5, 1.0]])
    inputs, targets = quantise(design((6, 2), formats), samples)
    assert inputs.tolist() == [[0, 1, 0, 255, 255, 0]]
    assert targets.tolist() == [[-2048, 1024]]
    assert inputs.dtype == targets.dtype == np.int64


def test_quantise_refuses_another_width():
    with pytest.raises(ValueError, match=r"^Number of inputs per sample must be 3, as the network has, not 2"):
        quantise(design((3, 1), Formats()), xor())


def test_sequential_order():
    assert SampleOrder(3, False).indices(4, 5).tolist() == [1, 2, 0, 1, 2]


def test_shuffled_order_is_a_permutation_in_every_epoch():
    order = SampleOrder(7, True, 5)
    epochs = order.indices(0, 70).reshape(10, 7)
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) > 5


def test_shuffled_order_has_random_access_and_a_seed():
    order = SampleOrder(7, True, 5)
    whole = order.indices(0, 70)
    for first, count in [(0, 1), (6, 2), (13, 30), (69, 1), (20, 0)]:
        assert np.array_equal(order.indices(first, count), whole[first : first + count])
    assert not np.array_equal(whole, SampleOrder(7, True, 6).indices(0, 70))


def test_order_refuses():
    with pytest.raises(ValueError, match=r"^Number of samples must be positive, not 0"):
        SampleOrder(0, True)
    with pytest.raises(ValueError, match=r"^Seed must not be negative, not -1"):
        SampleOrder(2, True, -1)
