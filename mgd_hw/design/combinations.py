"""Checks of the combination of keys in a design file."""

from __future__ import annotations

from mgd_hw.data.tasks import TASKS, Scaling
from mgd_hw.design.external import OUTSIDE_KEYS
from mgd_hw.design.float_only import CLASHES
from mgd_hw.design.given import Given
from python_ref.spec.network import Network
from python_ref.spec.perturbation import Kind

__all__ = ["check_keys", "check_layers", "check_shape"]


def check_keys(given: Given) -> None:
    """Check that each key comes with the keys that it requires, and with none that it excludes."""
    analog = dict.fromkeys(("learning.highpass", "learning.lowpass"), ("learning.form", "analog"))
    external = {f"external.{key}": ("external.command", None) for key in ("parameters", "frames", "timeout")}
    needed: dict[str, tuple[str, object]] = {"learning.smoothing": ("learning.cost", "cross-entropy"), **analog, **external}
    needed |= dict.fromkeys(OUTSIDE_KEYS, ("network.external", None))
    needed |= dict.fromkeys(("device.weight_limit", "device.stochastic"), ("device.weight_step", None))
    for key, (other, value) in needed.items():
        if key in given and (other not in given or value not in (None, given[other])):
            shown = other + (f' = "{value}"' if value else "")
            raise given.refuse(key, f"only {shown} has it", f"Remove it, or give {shown}.", given[key])
    if "data.input_values" in given and given.get("data.scaling") is Scaling.NONE:
        reason = "inputs that are not scaled keep their values"
        raise given.refuse("data.input_values", reason, "Remove it, or data.scaling.", list(given["data.input_values"]))
    off = {"learning.form": "discrete"}
    for key, other, shown, why in CLASHES:
        if key in given and other in given and given[other] != off.get(other):
            raise given.refuse(key, f"it does not go with {shown}: {why}", f"Remove it, or {other}.")
    weight = given.get("perturbation.kind", Kind.NODE) is Kind.WEIGHT
    for key in ("learning.form", "external.command"):
        if key in given and given[key] != off.get(key) and not weight:
            raise given.refuse(key, "only parameters can be perturbed there", 'Write kind = "weight" in [perturbation].', given[key])
    if given.get("learning.skip_dead_nodes") and weight:
        raise given.refuse(
            "learning.skip_dead_nodes", "only nodes can be skipped", 'Remove it, or write kind = "node" in [perturbation].', True
        )
    groups, batch = given.get("learning.groups"), given.get("learning.batch", 1)
    if groups is not None and not weight:
        reason = "in node perturbation each sample has a perturbation of its own"
        raise given.refuse("learning.groups", reason, 'Remove it, or write kind = "weight" in [perturbation].', groups)
    if groups is not None and groups > batch:
        raise given.refuse("learning.groups", f"a batch has {batch} samples", "Give at most so many, or a larger learning.batch.", groups)
    if "learning.layer_factors" in given and given.get("optimizer.name") == "shift-adam":
        reason = "the rate of shift-adam is a shift"
        raise given.refuse("learning.layer_factors", reason, "Remove it, or take another optimiser.", list(given["learning.layer_factors"]))


def check_layers(given: Given, network: Network) -> None:
    """Check that the keys with one entry per layer cover exactly the layers of the network."""
    for key, count in (("learning.parts", lambda value: sum(together for together, _ in value)), ("learning.layer_factors", len)):
        if key in given:
            value, there = given[key], _layer_count(given, network)
            if count(value) != there:
                shown = [list(each) if isinstance(each, tuple) else each for each in value]
                reason = f"it is for {count(value)} layers, and the network has {there}"
                raise given.refuse(key, reason, "Say something of every layer.", shown)


def _layer_count(given: Given, spec: Network) -> int:
    """Return the number of layers of a network that have parameters; those of the query, the key and the value count as one each."""
    from python_ref.floating.networks import NETWORKS

    match str(given.get("network.architecture", "dense")):
        case "dense":
            return len(spec.layers)
        case "attention":
            return len(given["network.layers"].sizes)
        case architecture:
            return len(NETWORKS[architecture](1).parameters)


def check_shape(given: Given, task: str, network: Network) -> None:
    """Check that the network has the number of inputs and outputs that its task requires."""
    facts, sizes = TASKS[task], list(network.sizes)
    inputs = network.n_in * network.frames if network.framed and not network.held and not facts.series else network.n_in
    if facts.inputs is not None and inputs != facts.inputs:
        raise given.refuse(
            "network.layers", f'data.task = "{task}" has {facts.inputs} inputs', f"Begin the list with {facts.inputs}.", sizes
        )
    if task == "parity" and inputs > 16:
        raise given.refuse("network.layers", "parity is built for 1 to 16 bits", "Begin the list with 4, say.", sizes)
    if facts.outputs and network.n_out not in facts.outputs:
        outputs = " or ".join(map(str, facts.outputs))
        raise given.refuse(
            "network.layers", f'data.task = "{task}" takes {outputs} outputs', f"End the list with {facts.outputs[0]}.", sizes
        )
