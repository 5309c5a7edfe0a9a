"""Rows of the section [data] in the table of all keys of a design file."""

from __future__ import annotations

from mgd_hw.data.tasks import KIND_NAMES, TASKS, Scaling
from mgd_hw.design.values import (
    MAX_SEED,
    Row,
    boolean,
    choices,
    column,
    columns,
    delimiter,
    input_values,
    label,
    members,
    one_of,
    real_number,
    target_values,
    text,
    whole_number,
)

__all__ = ["DATA_ROWS"]

_SEED, _A_SEED, _COUNT = "whole number, 0 to 2^63 - 1", whole_number(0, MAX_SEED, 1), whole_number(1, 1 << 24, 10_000)

DATA_ROWS: list[Row] = [
    (
        "task",
        choices(TASKS),
        '"csv", "npz" or "ts" by the ending of data.path, else "random"',
        "What is learned. `random` is noise: enough to generate, co-simulate and synthesise.",
        one_of({name: name for name in TASKS}),
    ),
    (
        "path",
        "text",
        "the folder in the environment variable MGD_DATA, for the MNIST family",
        "The user's csv, npz or ts, or the folder with the MNIST family's npz or IDX files; relative to the design file. Beside a file "
        "NAME_TRAIN.ts, NAME_TEST.ts is read as well, to test.",
        text,
    ),
    (
        "kind",
        choices(dict.fromkeys(KIND_NAMES)),
        "derived from the answers in the file",
        "csv and npz only: whether the answers are classes, judged by accuracy, or real numbers, judged by RMSE and R². Words, booleans "
        "and one-hot rows are classes, numbers that are not whole are not; whole numbers are classes unless the network has one output "
        "and there are more than two of them.",
        one_of({name: name for name in KIND_NAMES}),
    ),
    (
        "label",
        "name or number of a column, or a list of them",
        "the column named label, class, target or the like; else the last",
        "csv only: the column of the answers: classes of any name, or real numbers. A list gives several targets of a regression.",
        label,
    ),
    (
        "drop",
        "list of names or numbers of columns",
        "none",
        "csv only: columns that are left out, such as an index. Numbers count from 0 in the file as it stands.",
        columns,
    ),
    (
        "series",
        "name or number of a column",
        "none",
        "csv only: the column that names the series to which a row belongs; the rows of a series are its frames, below each other.",
        column,
    ),
    ("header", "true or false", "derived from the first line", "csv only: whether the first line names the columns.", boolean),
    (
        "delimiter",
        "one character",
        "derived from the file: a comma, semicolon, tab, vertical bar, or spaces",
        "csv only: the character between two cells.",
        delimiter,
    ),
    ("decimal", '"." or ","', "derived from the numbers in the file", "csv only: the decimal mark.", one_of({".": ".", ",": ","})),
    (
        "scaling",
        choices(members(Scaling)),
        '"column" for csv, npz, ts and vowels, else "range"',
        'To the input_values: "range" by the range of the task (0 to 255 for images of bytes), or else of all training inputs together; '
        '"column" each input, or channel of a series, by its own range over the training samples; "none" leaves inputs as they are.',
        one_of(members(Scaling)),
    ),
    (
        "input_values",
        "list of two numbers",
        "[0, 1]",
        "What the least and the greatest input of that range become.",
        input_values,
    ),
    (
        "target_scaling",
        choices(members(Scaling)),
        '"column"',
        'Regression only: how targets come to lie between the two target_values: "column" each output by its own range over the training '
        'samples, "range" all by their common range; "none" leaves targets as they are. Errors are given in the unit of the file.',
        one_of(members(Scaling)),
    ),
    (
        "target_values",
        "list of two numbers",
        '[-1, 1] if output is "tanh" or "sign", else [0, 1]',
        "Classification: the target of the wrong classes and of the right one. Regression: what the least and the greatest target of the "
        "training samples become.",
        target_values,
    ),
    (
        "test_fraction",
        "number, 0 to 0.9",
        "0 for generated tasks (test on what was trained), the file's own split for the MNIST family, else 0.2",
        "Fraction of the samples that is kept for testing.",
        real_number(0, 0.9, 0.2),
    ),
    (
        "validation_fraction",
        "number, 0 to 0.9",
        "0",
        "Fraction of the training samples that `mgd-hw compare --validate` sets aside and judges by, so that settings can be chosen "
        "without looking at the test samples. Without `--validate` they are used for training.",
        real_number(0, 0.9, 0.2),
    ),
    ("split_seed", _SEED, "0", "Seed of the choice of test and validation samples, and of samples that are drawn.", _A_SEED),
    (
        "frames",
        "whole number, 1 to 1024",
        "network.frames",
        "Generated series only: frames of a sample; for a network that has none, and takes the inputs of all frames at once.",
        whole_number(1, 1024, 7),
    ),
    ("stratify", "true or false", "false", "Whether each class keeps its share in the test part.", boolean),
    (
        "train_samples",
        "whole number, 1 to 2^24",
        "all",
        "Number of training samples that are used, the first ones after the split.",
        _COUNT,
    ),
    ("test_samples", "whole number, 1 to 2^24", "all", "Number of test samples that are used, the first ones after the split.", _COUNT),
    ("shuffle", "true or false", "true", "Whether training samples come in a new random order every epoch.", boolean),
    ("shuffle_seed", _SEED, "1", "Seed of that order.", _A_SEED),
]
"""Rows of the section [data]."""
