"""What a design file leaves out about the network, derived from what it gives, with the reason."""

from __future__ import annotations

from typing import Any

from mgd_hw.data.tasks import TASKS
from mgd_hw.design.description import Derived
from mgd_hw.design.float_only import ARCHITECTURES, read_float_only
from mgd_hw.design.given import Given
from mgd_hw.design.stack import Stack
from python_ref.spec.activations import Activation
from python_ref.spec.layers import DENSE, LAYER_KINDS
from python_ref.spec.network import MAX_NEURONS, Initialization, Network, Readout, Scheme
from python_ref.spec.perturbation import Kind

__all__ = ["NetworkBuilder"]


class NetworkBuilder:
    """Derives what a file leaves out about the network, and notes each derived value with its reason.

    Parameters
    ----------
    given : Given
        Values of the design file.

    Attributes
    ----------
    derived : list of Derived
        Derived values so far, each with its reason.
    """

    def __init__(self, given: Given) -> None:
        self.given, self.values, self.refuse = given, given.values, given.refuse
        self.derived: list[Derived] = []
        self.float_only = read_float_only(given)

    def get(self, key: str, default: object, why: str | None = None, show: object = None) -> Any:
        """Return the value that the file gives, or the default, which is noted if there is a reason ``why``."""
        if key in self.values:
            return self.values[key]
        if why is not None:
            self.derived.append(Derived(key, str(default if show is None else show), why))
        return default

    @property
    def probes(self) -> bool:
        """Whether the design perturbs nodes and asks for nothing that only the float model has, so that it learns by presentations."""
        return self.values.get("perturbation.kind", Kind.NODE) is Kind.NODE and not self.float_only.requests

    @property
    def weight(self) -> bool:
        """Whether the design perturbs weights."""
        return self.values.get("perturbation.kind", Kind.NODE) is Kind.WEIGHT

    def convolutional(self, architecture: str, task: str) -> Network:
        """Inputs and outputs of a network whose layers are fixed."""
        ends = ARCHITECTURES[architecture]
        assert ends is not None
        for key in ("network.layers", "network.hidden", "network.output", "network.scheme"):
            if key in self.values:
                reason = f'network.architecture = "{architecture}" says what it is'
                raise self.refuse(key, reason, "Remove it.", self.values[key])
        facts = TASKS[task]
        if (facts.inputs is not None and facts.inputs != ends[0]) or (facts.outputs and ends[1] not in facts.outputs):
            reason = f'it has {ends[0]} inputs and {ends[1]} outputs, and data.task = "{task}" has not'
            raise self.refuse("network.architecture", reason, "Take another task, or another network.", architecture)
        return Network(ends, initial=Initialization(scale=self.get("network.scale", 1.0), seed=self.get("network.seed", 1)))

    def attention(self) -> Network:
        """Inputs and outputs of a network of attention, over all frames of a sample; its layers stand in what is software only."""
        frames = self.float_only.frames
        for key in ("network.width", "network.scheme", "learning.skip_dead_nodes", "device.activation_variation"):
            if key in self.values:
                raise self.refuse(key, 'network.architecture = "attention" has none', "Remove it.", self.values[key])
        if "network.layers" not in self.values or len(self.values["network.layers"].sizes) < 3 or self.values["network.layers"].kinds:
            reason = "attention has the inputs of a frame, the entries of a key, those of a value, and the neurons of dense layers behind"
            given = list(self.values["network.layers"].sizes) if "network.layers" in self.values else None
            raise self.refuse("network.layers", reason, "Write layers = [12, 8, 4], say, in [network].", given)
        if frames < 2:
            reason = "attention has 2 frames or more: the last one asks, the frames before answer"
            raise self.refuse("network.frames", reason, "Write frames = 7, say, in [network].", frames)
        sizes = self.float_only.sizes
        if frames * sizes[0] > MAX_NEURONS:
            reason = f"{frames} frames of {sizes[0]} inputs are {frames * sizes[0]:,}, and a sample has at most {MAX_NEURONS:,}"
            raise self.refuse("network.frames", reason, "Take fewer.", frames)
        if len(sizes) == 3:
            for key in ("network.hidden", "network.output"):
                if key in self.values:
                    reason = "no dense layer follows the sum of the values, which is the output"
                    raise self.refuse(key, reason, "Remove it, or give network.layers more entries.", self.values[key].value)
        hidden, output = self.get("network.hidden", Activation.RELU), self.get("network.output", Activation.IDENTITY)
        initial = Initialization(scale=self.get("network.scale", 1.0), seed=self.get("network.seed", 1))
        return Network((frames * sizes[0], sizes[-1]), hidden, output, initial)

    def network(self, task: str) -> Network:
        usual = TASKS[task].layers
        architecture = str(self.get("network.architecture", "dense"))
        if architecture == "attention":
            return self.attention()
        if architecture != "dense":
            return self.convolutional(architecture, task)
        if "network.width" in self.values:
            reason = "a dense network says how wide it is in network.layers"
            raise self.refuse("network.width", reason, "Remove it, or give network.architecture.", self.values["network.width"])
        if "network.layers" not in self.values and usual is None:
            raise self.refuse(
                "network.layers",
                f'it was left out, and does not follow from data.task = "{task}"',
                "Write layers = [4, 8, 3], say, in [network].",
            )
        usual_stack = None if usual is None else Stack(usual)
        stack = self.get("network.layers", usual_stack, f"usual for {task}", None if usual is None else list(usual))
        hidden = self.get("network.hidden", Activation.RELU)
        output = self.get("network.output", Activation.IDENTITY)
        rectifies = hidden.rectifies and any(kind.activated for kind in (stack.kinds or (DENSE,) * len(stack.sizes[1:]))[:-1])
        scheme = Scheme.HE if rectifies else Scheme.GLOROT
        why = f"usual for {hidden.value}" if rectifies else "usual without relu"
        halved = rectifies and self.probes
        initial = Initialization(
            self.get("network.scheme", scheme, why, scheme.value),
            self.get("network.scale", 0.5 if halved else 1.0, f"learns better with {hidden.value}, neurons perturbed" if halved else None),
            self.get("network.seed", 1),
        )
        return Network(stack.sizes, hidden, output, initial, stack.kinds, **self.frames(task, stack))

    def frames(self, task: str, stack: Stack) -> dict[str, Any]:
        """What the network has of frames: their number, the readout, and whether they are held; what the file gives, without a state."""
        facts, n_in, stateful = TASKS[task], stack.sizes[0], [kind for kind in stack.kinds if kind.stateful]
        given = {name: self.values[f"network.{name}"] for name in ("frames", "held", "readout") if f"network.{name}" in self.values}
        series = "data.task" if facts.series else "data.series" if "data.series" in self.values else None
        if not stateful:
            if series is not None:
                shown = task if series == "data.task" else self.values[series]
                listed = " or ".join(f'kind = "{kind.name}"' for kind in LAYER_KINDS.values() if kind.stateful)
                raise self.refuse(series, "only a network with state takes series", f"Give a layer {listed} in network.layers.", shown)
            return given
        whole = None if facts.series else facts.inputs
        held, why = n_in == whole, f'data.task = "{task}" has {whole} inputs, and the network {n_in}'
        if series is not None:
            held, why = False, "samples are series"
        elif whole is None:
            held, why = facts.takes_path, "a row is one frame" if facts.takes_path else "samples are as long as the network takes"
        held = self.get("network.held", held, why, str(held).lower())
        if held and series is not None:
            raise self.refuse("network.held", "samples are series, whose frames differ", "Remove it.", True)
        frames = self.get("network.frames", *self.usual_frames(task, n_in, held)) if "frames" not in given else given["frames"]
        if whole is not None and whole != n_in * (1 if held else frames):
            remedy = f"Begin network.layers with {whole} to hold a sample, or with a divisor of it to take it in frames."
            reason = f'data.task = "{task}" has {whole} inputs' + ("" if held else f", and {frames} frames of {n_in} are not as many")
            raise self.refuse("network.layers", reason, remedy, list(stack.sizes))
        spiking = not stateful[-1].activated
        usual = Readout.SUM if spiking else Readout.LAST
        why = "its spikes are counted" if spiking else "the last layer with state remembers"
        return {"frames": frames, "held": held, "readout": self.get("network.readout", usual, why, usual.value)}

    def usual_frames(self, task: str, n_in: int, held: bool) -> tuple[int, str]:
        """The number of frames that follows from the task, and the reason."""
        facts = TASKS[task]
        if held:
            return 16, "usual for inputs that are held"
        if facts.frames is not None:
            return facts.frames, f"the longest series of {task}"
        if facts.inputs is not None and not facts.series and facts.inputs % n_in == 0:
            return facts.inputs // n_in, f'data.task = "{task}" has {facts.inputs} inputs, {n_in} in a frame'
        if facts.inputs is not None and not facts.series:
            reason = f'it was left out, and the {facts.inputs} inputs of data.task = "{task}" are no frames of {n_in}'
            raise self.refuse("network.frames", reason, f"Begin network.layers with a divisor of {facts.inputs}.")
        reason = "it was left out, and the number of frames of the longest sample does not follow from anything else"
        raise self.refuse("network.frames", reason, "Write frames = 16, say, in [network].")
