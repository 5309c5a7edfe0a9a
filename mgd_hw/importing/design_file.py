"""The design file of a network that was trained elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mgd_hw.data.tasks import TASKS, Scaling
from mgd_hw.importing.network import TrainedNetwork
from python_ref.spec.number import Fixed

__all__ = ["Choices", "design_text", "likely_tasks"]

_TEXT = """\
# {name}: the network of {source}, trained elsewhere, to be adapted in hardware. Its parameters are in {name}.npz:
#     mgd-hw compare {name}.toml --start {name}.npz
# Every key is described in docs/reference/design-file.md; whatever is left out has a default, and `mgd-hw generate` prints it.

name = "{name}"

[network]
layers = {layers}
hidden = "{hidden}"
output = "{output}"

[perturbation]
kind = "node"                   # perturb every neuron; "weight" perturbs every weight and bias
code = "sequential"             # one neuron after another; or "walsh", "walsh-gray", "lfsr": all of them, with signs
amplitude = "2^-6"

[schedule]
# learning_rate = -10           # log2; or a list of [step, log2]. Left out, it follows from the size of the network.
difference = "one-sided"        # or "two-sided": twice the passes, a better gradient

[formats]
{formats}
[data]
{data}
[compare]
# steps = 50_000                # steps that are trained. Left out, they follow from the network: 4,000 samples or more.
"""


@dataclass(frozen=True)
class Choices:
    """What a design file says beside its network.

    Attributes
    ----------
    task : str or None
        Name of the task; None leaves it open, so that random numbers stand in.
    data : mapping of str to object
        Keys of the section [data] that the user gave, such as ``path`` and ``label``.
    scaling, target_scaling : Scaling
        Scaling of inputs, and of the targets of a regression.
    regression : bool or None
        Whether the answers are real numbers; None leaves it open.
    formats : mapping of str to (Fixed, str)
        Number formats, each with its reason, by the key of the section [formats].
    """

    task: str | None
    data: Mapping[str, object]
    scaling: Scaling
    target_scaling: Scaling
    regression: bool | None
    formats: Mapping[str, tuple[Fixed, str]]


def design_text(name: str, source: str, network: TrainedNetwork, choices: Choices) -> str:
    """Return the text of a design file.

    Parameters
    ----------
    name, source : str
        Name of the design; name of the ONNX file.
    network : TrainedNetwork
        Network whose layers and activations the file describes.
    choices : Choices
        What the file says beside.
    """
    hidden = network.hidden or network.output
    formats = "".join(_line(key, str(format_), why) for key, (format_, why) in choices.formats.items())
    layers, ends = f"[{', '.join(map(str, network.sizes))}]", (hidden.value, network.output.value)
    return _TEXT.format(
        name=name, source=source, layers=layers, hidden=ends[0], output=ends[1], formats=formats, data=_data(network, choices)
    )


def likely_tasks(network: TrainedNetwork) -> tuple[str, ...]:
    """Return the tasks whose samples have as many inputs and classes as a network."""
    n_in, n_out = network.sizes[0], network.sizes[-1]
    return tuple(name for name, task in TASKS.items() if task.inputs == n_in and n_out in task.outputs)


def _data(network: TrainedNetwork, choices: Choices) -> str:
    if choices.task is None:
        likely = likely_tasks(network)
        known = f" or task = {' or '.join(_toml(each) for each in likely)}" if likely else ""
        return f'# path = "samples.npz"        # to fill in: samples to adapt to, csv or npz{known}; random numbers until then\n' + _line(
            "scaling", choices.scaling.value, "the network takes inputs as they were when it was trained"
        )
    lines = _line("task", choices.task)
    lines += "".join(_line(key, value) for key, value in choices.data.items())
    lines += _line("scaling", choices.scaling.value, "of the inputs")
    if TASKS[choices.task].any_answers and choices.regression is not None:
        lines += _line("kind", "regression" if choices.regression else "classification")
        if choices.regression:
            lines += _line("target_scaling", choices.target_scaling.value)
    return lines


def _line(key: str, value: object, why: str = "") -> str:
    assigned = f"{key} = {_toml(value)}"
    return f"{assigned} ".ljust(32) + f"# {why}\n" if why else f"{assigned}\n"


def _toml(value: object) -> str:
    """Return a value in the notation of TOML."""
    import tomlkit

    return tomlkit.item(value).as_string()
