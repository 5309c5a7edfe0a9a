"""Generated series: tasks whose samples are frames, one after the other, and MNIST-1D by its published generator.

The inputs of a sample are those of its frames, frame by frame. ``data.split_seed`` is the seed of what is drawn.
"""

from __future__ import annotations

import random as python_random

import numpy as np

from mgd_hw.data.generated import digits
from mgd_hw.data.raw import RawSamples
from mgd_hw.data.tasks import DataSpec
from python_ref.spec.error import ToolError

__all__ = ["adding", "delayed_recall", "mnist1d", "rate_digits", "recall", "temporal_xor"]

SAMPLES = 5_000
"""Number of samples of a task that is drawn."""


def _shape(spec: DataSpec, least: int) -> tuple[int, int]:
    """Return the number of frames of a sample, and that of the inputs of a frame.

    Raises
    ------
    Refusal
        If there are fewer frames than ``least``, or the inputs are not so many times as many.
    """
    frames, inputs = spec.frames or spec.frames_at_once, spec.inputs
    if frames < least:
        reason = f'data.task = "{spec.task}" has at least {least} frames, and a sample {frames}'
        raise spec.refuse(reason, f"Write frames = {max(least, 7)}, say, in [data].", "data.frames", frames)
    if inputs % frames:
        reason = f"a sample has {inputs} inputs, which {frames} frames do not divide"
        raise spec.refuse(reason, "Begin network.layers with the inputs of a frame times the frames.", "data.frames", frames)
    return frames, inputs // frames


def _one_hot(numbers: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[numbers]


def recall(spec: DataSpec) -> RawSamples:
    """Return the samples of the task ``recall``: pairs of a key and a value, then one of the keys; the answer is its value.

    A frame has a key and a value, each as one of its inputs that is 1; of n inputs the last n_out are values. The last frame has a key
    alone. The keys of a sample differ.

    Raises
    ------
    Refusal
        If there are fewer keys than pairs.
    """
    (length, width), values = _shape(spec, 2), max(2, spec.n_out)
    keys, pairs = width - values, length - 1
    if keys < pairs:
        reason = f"a frame of {width} inputs has {max(0, keys)} keys beside {values} values, and the {pairs} keys of a sample differ"
        raise spec.refuse(reason, f"Give a frame {pairs + values} inputs or more.", "network.layers")
    generator, rows = np.random.default_rng(spec.split_seed), np.arange(SAMPLES)
    shown = generator.permuted(np.tile(np.arange(keys), (SAMPLES, 1)), axis=1)[:, :pairs]
    said, asked = generator.integers(values, size=(SAMPLES, pairs)), generator.integers(pairs, size=SAMPLES)
    frames = np.zeros((SAMPLES, length, width), np.float32)
    frames[:, :pairs] = np.concatenate((_one_hot(shown, keys), _one_hot(said, values)), axis=2)
    frames[:, pairs, :keys] = _one_hot(shown[rows, asked], keys)
    source = f"associative recall, {pairs} pairs of {keys} keys and {values} values, seed {spec.split_seed}"
    names = tuple(map(str, range(values)))
    return RawSamples(frames.reshape(SAMPLES, -1), said[rows, asked], source, full_scale=(0, 1), class_names=names)


def temporal_xor(spec: DataSpec) -> RawSamples:
    """Return the samples of the task ``temporal-xor``: two bits at different times, of which the answer is the exclusive or.

    A frame has two inputs: the first is 1 where a 0 comes, the second where a 1 comes, and both are 0 elsewhere. The samples are all
    patterns of one bit in a frame of the first half and one in a frame of the second half.

    Raises
    ------
    Refusal
        If a frame does not have two inputs.
    """
    length, width = _shape(spec, 2)
    if width != 2:
        raise spec.refuse(f"a frame has 2 inputs, one for each bit, not {width}", "Give a frame 2 inputs.", "network.layers")
    half = length // 2
    first, second, a, b = (axis.ravel() for axis in np.meshgrid(np.arange(half), np.arange(half, length), [0, 1], [0, 1]))
    frames, rows = np.zeros((len(first), length, 2), np.float32), np.arange(len(first))
    frames[rows, first, a] = 1
    frames[rows, second, b] = 1
    source = f"all {len(first)} patterns of two bits in {length} frames"
    return RawSamples(frames.reshape(len(first), -1), a ^ b, source, full_scale=(0, 1), class_names=("0", "1"))


def delayed_recall(spec: DataSpec) -> RawSamples:
    """Return the samples of the task ``delayed-recall``: the class that the first frame shows, asked for after frames of noise.

    Of the n inputs of a frame n − 1 are classes, one of which is 1 in the first frame. The frames behind it have noise, uniform from 0 to
    ½, at these inputs. The last input is 1 in the last frame alone.

    Raises
    ------
    Refusal
        If a frame does not have one input more than there are classes.
    """
    (length, width), classes = _shape(spec, 2), max(2, spec.n_out)
    if width != classes + 1:
        reason = f"a frame has {width} inputs, and {classes} classes take {classes + 1}: one for each, and one that asks"
        raise spec.refuse(reason, f"Give a frame {classes + 1} inputs.", "network.layers")
    generator = np.random.default_rng(spec.split_seed)
    labels = generator.integers(classes, size=SAMPLES)
    frames = np.zeros((SAMPLES, length, width), np.float32)
    frames[:, 0, :classes] = _one_hot(labels, classes)
    frames[:, 1:, :classes] = generator.uniform(0, 0.5, (SAMPLES, length - 1, classes))
    frames[:, -1, classes] = 1
    source = f"delayed recall, {classes} classes after {length - 1} frames, seed {spec.split_seed}"
    names = tuple(map(str, range(classes)))
    return RawSamples(frames.reshape(SAMPLES, -1), labels, source, full_scale=(0, 1), class_names=names)


def adding(spec: DataSpec) -> RawSamples:
    """Return the samples of the task ``adding``: the sum of two of the numbers of a series, those that are marked.

    A frame has a number, uniform from 0 to 1, and a mark, which is 1 in one frame of the first half and in one of the second half
    (Hochreiter & Schmidhuber, Neural Computation 9, 1735 (1997), experiment 4; with Le et al., arXiv:1504.00941, without its end marks).

    Raises
    ------
    Refusal
        If a frame does not have two inputs.
    """
    length, width = _shape(spec, 2)
    if width != 2:
        raise spec.refuse(f"a frame has 2 inputs, a number and a mark, not {width}", "Give a frame 2 inputs.", "network.layers")
    generator, rows, half = np.random.default_rng(spec.split_seed), np.arange(SAMPLES), length // 2
    frames = np.zeros((SAMPLES, length, 2), np.float32)
    frames[:, :, 0] = generator.random((SAMPLES, length))
    marked = np.stack((generator.integers(half, size=SAMPLES), generator.integers(half, length, size=SAMPLES)))
    frames[rows, marked, 1] = 1
    sums = frames[rows, marked, 0].sum(axis=0, dtype=np.float64)
    source = f"the adding problem, {length} frames, seed {spec.split_seed}"
    return RawSamples(frames.reshape(SAMPLES, -1), sums, source, full_scale=(0, 1), answer_names=("sum",))


def rate_digits(spec: DataSpec) -> RawSamples:
    """Return the samples of the task ``rate-digits``: scikit-learn's digits as spikes, 64 inputs of 0 or 1 in each frame.

    A pixel of 0 to 16 is a spike with the probability of its value over 16, drawn anew in each frame.

    Raises
    ------
    Refusal
        If a frame does not have 64 inputs.
    ToolError
        If scikit-learn is not installed.
    """
    length, width = _shape(spec, 1)
    if width != 64:
        raise spec.refuse(f"a frame has 64 inputs, a pixel each, not {width}", "Give a frame 64 inputs.", "network.layers")
    whole, generator = digits(spec), np.random.default_rng(spec.split_seed)
    shown = np.asarray(whole.inputs, np.float32)[:, None] / 16
    spikes = generator.random((len(shown), length, 64), dtype=np.float32) < shown
    source = f"{whole.source}, as spikes in {length} frames, seed {spec.split_seed}"
    inputs = spikes.reshape(len(shown), -1).astype(np.float32)
    return RawSamples(inputs, whole.answers, source, full_scale=(0, 1), class_names=whole.class_names)


def mnist1d(spec: DataSpec) -> RawSamples:
    """Return the samples of the task ``mnist1d``: 40 values of ten shapes, 4,000 to train and 1,000 to test.

    Their published generator makes them, with its own seed, 42 (Greydanus & Kobak, arXiv:2011.14439).

    Raises
    ------
    ToolError
        If the package that has the generator is not installed.
    """
    before = python_random.getstate(), np.random.get_state()  # noqa: NPY002 - the generator seeds those of the process
    try:
        from mnist1d.data import get_dataset_args, make_dataset

        made = make_dataset(get_dataset_args())
    except ImportError:
        reason = "the package mnist1d, which generates the samples, is not installed"
        raise ToolError(reason, "Run `pip install mnist1d`.", file=spec.design_file) from None
    finally:
        python_random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
    inputs, labels = (np.concatenate((made[name], made[f"{name}_test"])) for name in ("x", "y"))
    names = tuple("0123456789")
    return RawSamples(inputs, labels, "MNIST-1D, its generator's seed 42", n_train=len(made["x"]), class_names=names)
