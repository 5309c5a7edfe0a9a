"""Sources of samples that need no file: generated tasks, and the digits that scikit-learn ships."""

from __future__ import annotations

import numpy as np

from mgd_hw.data.raw import RawSamples
from mgd_hw.data.tasks import DataSpec
from python_ref.datasets import LETTERS, nist7x7, parity
from python_ref.spec.error import ToolError

__all__ = ["digits", "letters", "patterns", "random"]

RANDOM_SAMPLES = 256
"""Number of samples of the task ``random``."""


def patterns(spec: DataSpec) -> RawSamples:
    """Return the samples of the tasks ``xor`` and ``parity``: all patterns of as many bits as inputs, labelled with their parity."""
    samples = parity(spec.inputs)
    source = f"all {1 << spec.inputs} patterns of {spec.inputs} bits"
    return RawSamples(samples.inputs, samples.labels, source, full_scale=(0, 1), class_names=("0", "1"))


def letters(spec: DataSpec) -> RawSamples:
    """Return the samples of the task ``nist7x7``: four letters of 7×7 pixels, with up to two pixels flipped."""
    samples = nist7x7()
    source = "the letters N, I, S, T on 7×7 pixels, up to two flipped"
    return RawSamples(samples.inputs, samples.labels, source, full_scale=(0, 1), class_names=tuple(LETTERS))


def random(spec: DataSpec) -> RawSamples:
    """Return the samples of the task ``random``: uniform inputs in [0, 1) with random labels, for a network of any size.

    Series of frames have random lengths.
    """
    generator = np.random.default_rng(spec.split_seed)
    inputs, classes = generator.random((RANDOM_SAMPLES, spec.inputs)), max(2, spec.n_out)
    labels, names = generator.integers(classes, size=RANDOM_SAMPLES), tuple(map(str, range(classes)))
    lengths = None if spec.frames is None else generator.integers(1, spec.frames + 1, size=RANDOM_SAMPLES)
    return RawSamples(inputs, labels, "random numbers with random labels", full_scale=(0, 1), class_names=names, lengths=lengths)


def digits(spec: DataSpec) -> RawSamples:
    """Return the samples of the task ``digits``: scikit-learn's images of 8×8 pixels.

    Raises
    ------
    ToolError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ImportError:
        reason = "scikit-learn, which ships the digits, is not installed"
        raise ToolError(reason, "Run `pip install scikit-learn`.", file=spec.design_file) from None
    inputs, labels = load_digits(return_X_y=True)
    names = tuple("0123456789")
    return RawSamples(inputs, labels, "scikit-learn's digits, 8×8 pixels", full_scale=(0, 16), class_names=names)
