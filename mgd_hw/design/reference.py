"""Generator of the page docs/reference/design-file.md from the table of keys: ``python -m mgd_hw.design.reference`` prints it."""

from __future__ import annotations

import textwrap

from mgd_hw.design.keys import KEYS, SECTIONS
from mgd_hw.design.reader import shipped

__all__ = ["page"]

_SECTIONS = {
    "": "At the top of the file",
    "network": "Dense layers or a network of the papers, and where its parameters start.",
    "perturbation": "What is perturbed, by how much, and with which signs.",
    "schedule": "Periods, the difference of costs, and the learning rate. Steps count from 0.",
    "optimizer": "What turns the accumulated gradient G into a change of the parameters.",
    "formats": "Number formats. `SQ4.12` is signed, with 4 integer bits (the sign included) and 12 fraction bits; `UQ0.8` is unsigned.\n"
    "`SQ-3.19` has 16 bits, and holds numbers from −2⁻⁴ to below 2⁻⁴.",
    "formats.rounding": "What each narrowing does with the bits it drops. Only updates may be rounded stochastically.",
    "formats.overflow": "What each narrowing does with a value that does not fit.",
    "hardware": "The array of lanes.",
    "learning": "How the float model learns, beyond what hardware can do.",
    "external": (
        "A forward pass of your own in another process, such as one that drives a chip\n"
        "([a forward pass of your own](../guides/float.md#a-forward-pass-of-your-own)); software only. With `network.external`,\n"
        "what [the learner](../design/learner.md) must know of the outside."
    ),
    "device": "Imperfections of hardware, each effect by itself, as the float model simulates them; software only.",
    "data": "The task, and how its samples are read, scaled and split.",
    "compare": "Defaults of `mgd-hw compare`, which its options override.",
}

_HEAD = """\
# The design file

One TOML file describes a whole design. Every key has a default, and most defaults follow from the other keys:
`mgd-hw generate` prints each derived value with the reason. An unknown key is refused, and the message names the
nearest known one. Every error is one message that names the file, the key, the value, the reason and the remedy.

`python -m mgd_hw.design.reference` writes this page from the table of keys that the reader of design files itself
follows.

This is the shortest design file that runs:

```toml
[data]
task = "xor"
```

This one says more:

```toml
name = "letters"

[network]
layers = [49, 4, 4]
hidden = "tanh"
output = "sigmoid"

[perturbation]
kind = "node"
amplitude = "2^-6"

[schedule]
learning_rate = [[0, -7], [50_000, -8]]

[formats]
weight = "SQ4.12"

[hardware]
lanes = 4

[data]
task = "nist7x7"
```

`mgd-hw new NAME --task TASK` writes a commented design file to start from. The designs that are shipped are found by
their names alone:
{shipped}
"""

_TAIL = """\
## Data of your own

[Data of your own](../guides/data.md) says how csv and npz files are read, and how answers are judged. Images are
flattened; with `data.scaling = "range"` bytes are taken as 0 to 255.

**MNIST and its relatives** are read from the folder in `data.path`, or else from the folder in the environment
variable `MGD_DATA`. It holds `mnist.npz` (or `fashion_mnist.npz`), or the four IDX files `train-images-idx3-ubyte`,
`train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each of which may be compressed as
`.gz`. `mgd-hw fetch mnist` (or `fashion-mnist`, `cifar-10`) downloads the published files, checks them, and keeps them
where designs find them; no other command downloads anything. The task `idx` takes any such folder, with images of any
size and any number of classes.

A network with one output has two classes, and its answer is 1 where y ≥ ½. With more outputs the largest one wins, and
of equal ones the first.

## What is refused, and why

| combination | why |
|---|---|
| `gradient_memory = false`, `update_period` above 1 (in node perturbation: no divisor of `sample_period`) | there is nowhere to sum G |
| a presentation so long that E, the sum of its cost changes, exceeds 63 bits | E is exact |
| an `error` of more than 16 bits, or 18 with more than 8 lanes | it is a factor of one multiplication |
| `hardware.memory = "single-port"` in weight perturbation | a parameter is read and another one written in any cycle |
| `"stochastic"` for the casts activation, cost_change, error, gradient | only updates (weight, momentum's own) are rounded stochastically |
| an unsigned `activation` with identity, tanh or sign | these have negative values |
| unsigned `weight`, `gradient`, `cost_change`, `error`, `table`, or momentum's format | these have negative values |
| `sign` with an activation format that cannot hold +1 | its output is ±1 |
| an amplitude below the last place of what it is added to | it would vanish |
| in weight perturbation, an amplitude above a quarter of a weight's range | θ ± Δ must fit |
| an intermediate of more than 63 bits | every value of the machine is exact in 64 bits |
| a rate at which every update rounds to zero | it would never learn |
| keys of momentum with `optimizer.name = "sgd"` | they would do nothing |
| `learning_rate` that is not a power of two | η costs one shift, not a multiplier |
| `compare` with sign: no back-propagation | sign has no slope; float and fixed MGD are compared all the same |
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def page() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD.replace("{shipped}", textwrap.fill(", ".join(f"`{name}`" for name in shipped()) + ".", 120))]
    for section in ("", *SECTIONS):
        title = f"## `[{section}]`\n\n{_SECTIONS[section]}" if section else f"## {_SECTIONS[section]}"
        rows = [
            f"| `{key.name}` | {_cell(key.takes)} | {_cell(key.default)} | {_cell(key.meaning)} |" for key in KEYS if key.section == section
        ]
        parts.append("\n".join([title, "", "| key | takes | when left out | meaning |", "|---|---|---|---|", *rows]) + "\n")
    parts.append(_TAIL)
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
