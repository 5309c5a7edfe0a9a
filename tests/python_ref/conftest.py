"""Data that several tests of the models use."""

import numpy as np
import pytest

from python_ref.datasets import Samples


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's digits scaled to [0, 1], split 1,437 for training and 360 for testing by a fixed permutation."""
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    samples = Samples(inputs / 16, np.eye(10)[labels])
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(samples))
    return samples.take(order[360:]), samples.take(order[:360])
