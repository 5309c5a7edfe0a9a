"""What each supported operator of ONNX makes of the dense layers before it, and what to write in place of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mgd_hw.importing.onnx_file import Dimensions, OnnxFile, OnnxNode
from mgd_hw.importing.remedies import ACTIVATION, ALONE, DENSE, REMEDIES
from mgd_hw.importing.signal import Answer, Lengths, Signal, Value, same_layers
from python_ref.spec.activations import Activation
from python_ref.spec.network import MAX_NEURONS

__all__ = ["Walk", "apply", "numbers"]


class Walk:
    """State of a walk through a graph, which operators read and add to.

    Attributes
    ----------
    values : dict of str to Value
        What is known of each tensor, by name.
    shapes : mapping of str to tuple
        Shapes of tensors as ONNX derives them.
    outputs : tuple of str
        Names of the outputs of the graph.
    notes : dict of str to None
        Sentences on what was taken over in another form or left out, in the order of the graph.
    classes : tuple of str
        Names of the classes in the order of the outputs, where the graph names them.
    """

    def __init__(self, file: OnnxFile) -> None:
        self.values: dict[str, Value] = dict(file.constants)
        self.shapes: Mapping[str, Dimensions] = file.shapes
        self.outputs = file.outputs
        self.notes: dict[str, None] = {}
        self.classes: tuple[str, ...] = ()

    def note(self, text: str) -> None:
        """Add a sentence, once."""
        self.notes[text] = None


Handler = Callable[[Walk, OnnxNode, list[Value]], Value]
"""Type of what applies an operator to what is known of its inputs."""


def numbers(node: OnnxNode, value: Value, what: str) -> np.ndarray:
    """Return a constant as float64, after checking that it consists of finite real numbers."""
    if not isinstance(value, np.ndarray):
        raise node.refuse(f"its {what} are computed from the inputs, and are no constants", DENSE)
    if value.dtype.kind not in "fiub" and value.dtype.name != "bfloat16":
        raise node.refuse(f"its {what} have the type {value.dtype}", "Export real numbers.")
    with np.errstate(invalid="ignore"):  # a signalling NaN, which is refused like any other
        found = value.astype(np.float64)
    if not np.isfinite(found).all():
        count = int(np.count_nonzero(~np.isfinite(found)))
        verb = "is" if count == 1 else "are"
        reason = f"{count:,} of the {found.size:,} numbers of its {what} {verb} missing or infinite"
        raise node.refuse(reason, "The training of this network diverged: train it again, and export it.")
    return found


def apply(walk: Walk, node: OnnxNode) -> None:
    """Add what is known of a node's first output.

    Raises
    ------
    Refusal
        If the operator is not supported, or not as it is used here; the file is added by the caller.
    """
    missing = [name for name in node.inputs if name and name not in walk.values]
    if missing:
        reason = f"no node before it computes its input {missing[0]}, or only as a second output that is not taken over"
        raise node.refuse(reason, "Export the network again; if the file is whole, export the network alone.")
    given = [walk.values[name] for name in node.inputs if name]
    name = node.operator.removeprefix("ai.onnx.ml.")
    if all(isinstance(value, np.ndarray) for value in given):
        walk.values[node.outputs[0]] = _constant(node, [value for value in given if isinstance(value, np.ndarray)])
        return
    if name in _OF_LENGTHS and all(isinstance(value, (np.ndarray, Lengths)) for value in given):
        walk.values[node.outputs[0]] = Lengths()
        return
    answers = [value for value in given if isinstance(value, Answer)]
    handler = (_OF_ANSWERS if answers else OPERATORS).get(name)
    if handler is None:
        where = " after the network's answer" if answers and name in OPERATORS else ""
        raise node.refuse(f"the operator is not supported{where}", REMEDIES.get(name.rpartition(".")[2], ALONE))
    found = handler(walk, node, given)
    several = isinstance(found, Answer)  # a class beside its shares
    walk.values.update(dict.fromkeys(node.outputs if several else node.outputs[:1], found))


def _constant(node: OnnxNode, given: Sequence[np.ndarray]) -> np.ndarray:
    """Return the value of a node whose inputs are constants."""
    if node.operator == "Constant":
        for value in node.attributes.values():
            return np.asarray(value)
    import onnx
    from onnx.reference import ReferenceEvaluator

    names = [name for name in node.inputs if name]
    domain, _, kind = node.operator.rpartition(".")
    attributes = {name: onnx.numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for name, v in node.attributes.items()}
    made = onnx.helper.make_node(kind, node.inputs, node.outputs[:1], domain=domain, **attributes)
    try:
        evaluator: Any = ReferenceEvaluator(made)  # whose types leave out that it takes a node
        found = evaluator.run(None, dict(zip(names, given, strict=True)))[0]
    except Exception as error:  # an evaluator of 200 operators, which raises whatever numpy does
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise node.refuse(f"its constant value cannot be computed ({why})", "Export the network with constants that are folded.") from None
    return np.asarray(found)


# -- Dense layers -----------------------------------------------------------------------------------------------------


def _entering(node: OnnxNode, value: Value, weight: np.ndarray) -> Signal:
    """Return the signal that enters a dense layer with W (shape (n_out, n_in)), with its number of features filled in."""
    assert isinstance(value, Signal)
    if not value.features or any(each != 1 for each in value.features[:-1]):
        shape = " × ".join("?" if each is None else str(each) for each in value.features) or "1 number"
        reason = f"it multiplies the last axis of samples of {shape}, and a dense layer takes one row of numbers a sample"
        raise node.refuse(reason, "Flatten the samples first: torch.nn.Flatten().")
    if value.features[-1] not in (None, weight.shape[1]):
        raise node.refuse(f"its weights take {weight.shape[1]} numbers, and the layer before gives {value.features[-1]}", ALONE)
    if max(weight.shape) > MAX_NEURONS:
        reason = f"it has {weight.shape[1]:,} inputs and {weight.shape[0]:,} neurons, and a layer has at most {MAX_NEURONS:,} of each"
        raise node.refuse(reason, "Train a smaller network.")
    _sized(node, value.scale, weight.shape[1])
    return Signal(value.layers, (*value.features[:-1], weight.shape[1]), value.batched, value.scale, value.shift)


def _sized(node: OnnxNode, scale: np.ndarray | None, n_in: int) -> None:
    if scale is not None and len(scale) != n_in:
        raise node.refuse(f"its weights take {n_in} numbers, and the scaling before gives {len(scale)}", ALONE)


def _matrix(node: OnnxNode, value: Value) -> np.ndarray:
    found = numbers(node, value, "weights")
    if found.ndim != 2 or 0 in found.shape:
        raise node.refuse(f"its weights have the shape {found.shape}, and those of a dense layer are a matrix", DENSE)
    return found


def _matmul(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    left, right = given
    if isinstance(left, Signal):
        weight = _matrix(node, right).T
        return _entering(node, left, weight).dense(weight, np.zeros(len(weight)), node.name)
    weight = _matrix(node, left)
    if isinstance(right, Signal) and right.batched:
        raise node.refuse("it multiplies the samples from the left, by which they are columns", "Export x @ W, with one sample a row.")
    return _entering(node, right, weight).dense(weight, np.zeros(len(weight)), node.name)


def _gemm(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    get = node.attributes.get
    if not isinstance(given[0], Signal) or get("transA", 0):
        raise node.refuse("it multiplies the samples from the left, by which they are columns", "Export x @ W, with one sample a row.")
    matrix = _matrix(node, given[1])
    weight = float(get("alpha", 1.0)) * (matrix if get("transB", 0) else matrix.T)
    bias = np.zeros(len(weight))
    if len(given) > 2:
        summand = float(get("beta", 1.0)) * numbers(node, given[2], "biases")
        bias = _spread(node, summand, (len(weight),), 2, "biases")
    return _entering(node, given[0], weight).dense(weight, bias, node.name)


def _spread(node: OnnxNode, value: np.ndarray, features: Dimensions, rank: int, what: str) -> np.ndarray:
    """Return a constant that ONNX broadcasts over tensors of a rank as one number for each value of a sample, shape (n,)."""
    known = tuple(each for each in features if each is not None)
    if not features and value.size == 1:
        return value.astype(np.float64).reshape(1)
    if len(known) < len(features):
        if len(features) > 1 or value.ndim > rank:
            raise node.refuse(f"the shape of the samples that its {what} apply to is not known", "Export the network for a fixed shape.")
        known = (value.shape[-1] if value.ndim else 1,)
    try:
        if value.ndim > rank or (value.ndim == rank and rank > len(known) and value.shape[0] != 1):
            raise ValueError
        spread = np.broadcast_to(value.reshape(value.shape[-len(known) :] if value.ndim >= len(known) else value.shape), known)
    except ValueError:
        raise node.refuse(f"its {what} have the shape {value.shape}, which is not that of a sample, {known}", ALONE) from None
    return np.ascontiguousarray(spread, np.float64).ravel()


# -- Scaling ----------------------------------------------------------------------------------------------------------


def _elementwise(combine: Callable[[np.ndarray, bool], tuple[np.ndarray, np.ndarray]]) -> Handler:
    """Return the handler of an operator of a signal and a constant; ``combine`` gives factor and summand, told which comes first."""

    def handler(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
        signals = [value for value in given if isinstance(value, Signal)]
        if len(given) != 2 or len(signals) != 1:
            reason = "it joins two results of the network, and layers follow one another in a design"
            raise node.refuse(reason, "Train a network without branches. SiLU, GELU and gates are of this kind: take torch.nn.ReLU().")
        signal, first = signals[0], isinstance(given[0], Signal)
        constant = numbers(node, given[1] if first else given[0], "constants")
        if constant.size == 1 and signal.size is None:
            raise node.refuse("the number of inputs is not known where it scales them", "Export the network for a fixed number of inputs.")
        rank = len(signal.features) + signal.batched
        spread = _spread(node, constant, signal.features, rank, "constants")
        with np.errstate(divide="ignore"):
            factor, summand = combine(spread, first)
        if not np.isfinite(factor).all():
            raise node.refuse("it divides by zero", "An input is always the same: leave it out, and train the network again.")
        features = signal.features if signal.size is not None else (len(spread),)
        return Signal(signal.layers, features, signal.batched, signal.scale, signal.shift).affine(factor, summand)

    return handler


def _add(constant: np.ndarray, signal_first: bool) -> tuple[np.ndarray, np.ndarray]:
    return np.ones_like(constant), constant


def _subtract(constant: np.ndarray, signal_first: bool) -> tuple[np.ndarray, np.ndarray]:
    return (np.ones_like(constant), -constant) if signal_first else (-np.ones_like(constant), constant)


def _multiply(constant: np.ndarray, signal_first: bool) -> tuple[np.ndarray, np.ndarray]:
    return constant, np.zeros_like(constant)


def _divide(constant: np.ndarray, signal_first: bool) -> tuple[np.ndarray, np.ndarray]:
    return 1.0 / constant, np.zeros_like(constant)


def _division(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    if not isinstance(given[0], Signal):
        raise node.refuse("it divides by a result of the network", ACTIVATION)
    return _elementwise(_divide)(walk, node, given)


def _negative(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    signal = _signal(node, given[0])
    ones = np.ones(_known_size(node, signal))
    return signal.affine(-ones, 0.0 * ones)


def _signal(node: OnnxNode, value: Value) -> Signal:
    if not isinstance(value, Signal):
        raise node.refuse("its first input is a constant, and another is computed", ALONE)
    return value


def _known_size(node: OnnxNode, signal: Signal) -> int:
    if signal.size is None:
        raise node.refuse("the number of values of a sample is not known here", "Export the network for a fixed number of inputs.")
    return signal.size


def _batch_normalization(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    signal = _signal(node, given[0])
    if node.attributes.get("training_mode", 0):
        raise node.refuse("it is in training mode", "Call model.eval() before the export.")
    scale, shift, mean, variance = (numbers(node, value, "constants") for value in given[1:5])
    factor = scale / np.sqrt(variance + float(node.attributes.get("epsilon", 1e-5)))
    channels = (len(factor), *([1] * (len(signal.features) - 1)))  # the first axis behind that of the samples
    spread = [
        _spread(node, each.reshape(channels), signal.features, len(channels), "constants") for each in (factor, shift - mean * factor)
    ]
    return signal.affine(*spread)


def _scaler(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    signal = _signal(node, given[0])
    offset, scale = (np.asarray(node.attributes.get(name, default), np.float64) for name, default in (("offset", 0.0), ("scale", 1.0)))
    for each in (offset, scale):
        numbers(node, each, "constants")
    size = signal.size or max(offset.size, scale.size)
    factor = _spread(node, scale, (size,), 1, "constants")
    return Signal(signal.layers, (size,), signal.batched, signal.scale, signal.shift).affine(
        factor, -factor * _spread(node, offset, (size,), 1, "constants")
    )


# -- Activations ------------------------------------------------------------------------------------------------------


def _activate(node: OnnxNode, value: Value, activation: Activation) -> Signal:
    signal = _signal(node, value)
    if not signal.open:
        what = "an activation before it" if signal.layers else "the inputs"
        raise node.refuse(f"no dense layer stands between it and {what}", "Remove it, and train the network without it.")
    return signal.activated(activation)


def _plain_activation(activation: Activation) -> Handler:
    def handler(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
        return _activate(node, given[0], activation)

    return handler


def _scaled(node: OnnxNode, value: Value, factor: float, summand: float) -> Signal:
    """Return factor·value + summand."""
    signal = _signal(node, value)
    ones = np.ones(_known_size(node, signal))
    return signal.affine(factor * ones, summand * ones)


def _hard_sigmoid(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    alpha, beta = float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
    if alpha <= 0:
        raise node.refuse(f"its slope is {alpha:g}, and that of a hard sigmoid is positive", "Write torch.nn.Hardsigmoid().")
    if (alpha, beta) != (0.25, 0.5):
        walk.note(f"The slope {alpha:.4g} of {node} is taken into the weights before it, since the hardware's is 0.25.")
    return _activate(node, _scaled(node, given[0], 4 * alpha, 4 * (beta - 0.5)), Activation.HARD_SIGMOID)


def _clip(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    limits = [node.attributes.get("min"), node.attributes.get("max")]
    for place, name in enumerate(node.inputs[1:3]):
        limits[place] = walk.values[name] if name else None  # type: ignore[assignment]
    low, high = (None if each is None else float(numbers(node, np.asarray(each), "limits").reshape(-1)[0]) for each in limits)
    if low is None or high is None or abs(low) > 1e30 or abs(high) > 1e30:
        if low == 0:
            return _activate(node, given[0], Activation.RELU)
        raise node.refuse("it cuts values off at one end only", "Write torch.nn.ReLU(), or torch.nn.Hardtanh(), which has two.")
    if low >= high:
        raise node.refuse(f"its limits are {low:g} and {high:g}", "Write torch.nn.Hardtanh(-1, 1), say.")
    span = high - low
    if (low, high) != (0.0, 1.0):
        walk.note(f"{node}, from {low:g} to {high:g}, is a hard sigmoid whose scale is taken into the weights before and after it.")
    closed = _activate(node, _scaled(node, given[0], 4 / span, -4 * low / span - 2), Activation.HARD_SIGMOID)
    return closed if (low, high) == (0.0, 1.0) else _scaled(node, closed, span, low)


def _maximum(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    """Return max(signal, 0), which is ReLU."""
    signals = [value for value in given if isinstance(value, Signal)]
    others = [numbers(node, value, "constants") for value in given if not isinstance(value, Signal)]
    if len(signals) != 1 or any(other.any() for other in others):
        raise node.refuse("it takes the largest of several numbers, and none of them is 0", "Write torch.nn.ReLU().")
    return _activate(node, signals[0], Activation.RELU)


_SLOPES = {0.0: Activation.RELU, 0.125: Activation.LEAKY_RELU}
"""Activations of the hardware that damp negative pre-activations, by their slope below 0."""

_NEAR = 0.125
"""Largest distance of a slope below 0 from one of the hardware's that takes its place."""


def _leaky(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    """Return a leaky ReLU with the slope of the hardware that is nearest to the file's."""
    slope = float(node.attributes.get("alpha", 0.01))
    if node.operator == "PRelu":
        slopes = np.unique(numbers(node, given[1], "slopes"))
        slope = float(slopes[0]) if len(slopes) == 1 else np.nan
    if slope == 1.0:
        return _activate(node, given[0], Activation.IDENTITY)
    nearest = min(_SLOPES, key=lambda each: abs(each - slope))
    if not abs(nearest - slope) <= _NEAR:
        shown = "one for each neuron" if np.isnan(slope) else f"{slope:.4g}"
        reason = f"its slope below 0 is {shown}, and the hardware's are 0 and 0.125, which take the place of slopes from -0.125 to 0.25"
        raise node.refuse(reason, "Write torch.nn.LeakyReLU(0.125), and train again.")
    found = _activate(node, given[0], _SLOPES[nearest])
    if nearest == slope:
        return found
    walk.note(f"The slope below 0 of {node} is {slope:.4g}, and {nearest:g} in the hardware ({_SLOPES[nearest].value}).")
    return found.activated(_SLOPES[nearest], slope)


def _sign(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    walk.note(f"{node} is 0 at 0, and the hardware's sign is +1 there.")
    return _activate(node, given[0], Activation.SIGN)


# -- Shapes -----------------------------------------------------------------------------------------------------------


def _regrouped(node: OnnxNode, signal: Signal, features: Dimensions) -> Signal:
    """Return a signal with its values in another shape, in the same order."""
    known, size = [each for each in features if each is not None], signal.size
    if len(known) == len(features) and size is not None and int(np.prod(known, dtype=np.int64)) != size:
        raise node.refuse(f"it makes {int(np.prod(known))} values of the {size} of a sample, so that samples run together", ALONE)
    if len(known) == len(features) - 1 and size is not None and (rest := int(np.prod(known, dtype=np.int64))):
        features = tuple(size // rest if each is None else each for each in features)
    return Signal(signal.layers, features, signal.batched, signal.scale, signal.shift)


def _flatten(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    signal = _signal(node, given[0])
    axis, rank = int(node.attributes.get("axis", 1)), len(signal.features) + signal.batched
    if axis % rank != int(signal.batched):
        raise node.refuse(f"its axis is {axis}, so that samples run together", "Write torch.nn.Flatten().")
    return Signal(signal.layers, (signal.size,), True, signal.scale, signal.shift)


def _reshape(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    signal = _signal(node, given[0])
    if isinstance(given[1], np.ndarray):
        asked = [int(each) for each in given[1].reshape(-1)]
        if not node.attributes.get("allowzero", 0):
            own = (None, *signal.features) if signal.batched else signal.features
            asked = [(own[place] or -1) if each == 0 and place < len(own) else each for place, each in enumerate(asked)]
    elif node.outputs[0] in walk.shapes:
        asked = [-1 if each is None else each for each in walk.shapes[node.outputs[0]]]
    else:
        raise node.refuse("its shape is computed from the samples", "Write torch.nn.Flatten() in its place.")
    if not signal.batched:
        return _regrouped(node, signal, tuple(None if each < 0 else each for each in asked))
    if node.outputs[0] in walk.outputs and asked == [-1, 1]:  # as skl2onnx ends a regression, whatever the number of its targets
        return signal
    size, fixed = signal.size, [each for each in asked if each >= 0]
    if len(asked) == 1 and size not in (None, 1):
        raise node.refuse("it puts all samples into one row", "Write torch.nn.Flatten() in its place.")
    if asked and asked[0] > 1 and size is not None and int(np.prod(fixed)) % (asked[0] * size) and -1 not in asked:
        raise node.refuse(f"its shape is {asked}, so that samples run together", "Write torch.nn.Flatten() in its place.")
    return _regrouped(node, signal, tuple(None if each < 0 else each for each in asked[1:]))


def _axes(node: OnnxNode, given: list[Value], rank: int) -> list[int] | None:
    """Return the axes of a Squeeze or an Unsqueeze, counted from 0; None if the node names none."""
    if "axes" in node.attributes:
        axes = node.attributes["axes"]
    elif len(given) > 1 and isinstance(given[1], np.ndarray):
        axes = given[1].reshape(-1).tolist()
    else:
        return None
    return sorted(int(axis) % rank for axis in axes)


def _squeeze(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    signal = _signal(node, given[0])
    shape = [-1] * signal.batched + list(signal.features)
    axes = _axes(node, given, len(shape))
    axes = [place for place, each in enumerate(shape) if each == 1] if axes is None else axes
    if any(shape[axis] != 1 for axis in axes):
        raise node.refuse("it removes the axis of the samples, or one whose length is not 1", ALONE)
    kept = tuple(each for place, each in enumerate(shape) if place not in axes)
    return Signal(signal.layers, kept[signal.batched :], signal.batched, signal.scale, signal.shift)


def _unsqueeze(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    signal = _signal(node, given[0])
    rank = len(signal.features) + signal.batched
    shape = [-1] * signal.batched + list(signal.features)
    axes = _axes(node, given, rank + len(node.attributes.get("axes", given[1] if len(given) > 1 else ()))) or []  # type: ignore[arg-type]
    if signal.batched and 0 in axes:
        raise node.refuse("it puts an axis before that of the samples", ALONE)
    for axis in axes:
        shape.insert(axis, 1)
    batched = signal.batched or 0 in axes
    return Signal(signal.layers, tuple(shape[batched:]), batched, signal.scale, signal.shift)


def _same(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    return given[0]


def _dropout(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    if len(node.inputs) > 2 and node.inputs[2] and numbers(node, walk.values[node.inputs[2]], "mode").any():
        raise node.refuse("it is in training mode", "Call model.eval() before the export.")
    walk.note(f"Left out: {node}, which does nothing after training.")
    return given[0]


def _cast(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    if node.attributes.get("to") not in (1, 10, 11, 16):  # float, float16, double, bfloat16
        raise node.refuse("it makes whole numbers of real ones", ALONE)
    return given[0]


def _lengths(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    return Lengths()


# -- Answers ----------------------------------------------------------------------------------------------------------


def _softmax(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    signal = _signal(node, given[0])
    axis, rank = int(node.attributes.get("axis", -1)), len(signal.features) + signal.batched
    if len(signal.features) != 1 or axis % rank != rank - 1:
        raise node.refuse("it is not over the outputs of each sample", "Write torch.nn.Softmax(dim=1).")
    if not signal.layers:
        raise node.refuse("no dense layer stands before it", DENSE)
    walk.note(f"Left out: {node}. The largest output is the answer with and without it, and the cost is squared.")
    return Answer(signal)


def _class(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    signal = next(value if isinstance(value, Signal) else value.signal for value in given if isinstance(value, (Signal, Answer)))
    walk.note(f"Left out: {node} and what follows, which read the class from the outputs.")
    return Answer(signal)


def _shares(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    walk.classes = walk.classes or _labels(node)
    return Answer(_signal(node, given[0]))


def _labels(node: OnnxNode) -> tuple[str, ...]:
    """Return the names of the classes that an operator has as attributes; empty if it has none."""
    found: list[object] = []
    for attribute in ("classlabels_int64s", "classlabels_strings", "classlabels_ints"):
        found = found or list(node.attributes.get(attribute, ()))
    return tuple(each.decode() if isinstance(each, bytes) else str(each) for each in found)


def _of_answer(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    """Pass an answer on, and keep the names of the classes that a node gives."""
    if node.operator.endswith("ArrayFeatureExtractor") and isinstance(given[0], np.ndarray):
        walk.classes = walk.classes or tuple(map(str, given[0].reshape(-1).tolist()))
    walk.classes = walk.classes or _labels(node)
    return next(value for value in given if isinstance(value, Answer))


def _concat(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    """Return the answer of 1 − y beside y, by which two classes get a share each; no other concatenation is dense."""
    signals = [value.signal if isinstance(value, Answer) else value for value in given]
    both = [signal for signal in signals if isinstance(signal, Signal) and signal.layers]
    if len(both) == 2 == len(given) and same_layers(both) and both[0].size == 1 and both[1].plain and not both[1].open:
        first = both[0]
        if first.scale is not None and first.shift is not None and (first.scale[0], first.shift[0]) == (-1.0, 1.0):
            walk.note(f"Left out: {node}, which puts 1 − y beside the output y. The second class is the answer where y ≥ ½.")
            return Answer(both[1])
    raise node.refuse("it joins results of the network, and layers follow one another in a design", "Train a network without branches.")


def _linear(walk: Walk, node: OnnxNode, given: list[Value]) -> Value:
    """Return the outputs of a linear or logistic regression, which is a network of one dense layer."""
    signal, get = _signal(node, given[0]), node.attributes.get
    flat = np.asarray(get("coefficients", ()), np.float64)
    transform, outputs = str(get("post_transform", "NONE")), int(get("targets", 0)) or len(get("intercepts", ())) or 1
    if not flat.size or flat.size % outputs:
        raise node.refuse(f"it has {flat.size} coefficients for {outputs} outputs", ALONE)
    bias = numbers(node, np.asarray(get("intercepts", None) or [0.0] * outputs), "intercepts")
    weight = numbers(node, flat.reshape(outputs, -1), "coefficients")
    found = _entering(node, signal, weight).dense(weight, bias, node.name)
    if node.operator.endswith("LinearRegressor"):
        if transform != "NONE":
            raise node.refuse(f"its outputs go through {transform.lower()}", ACTIVATION)
        return found
    if outputs == 1:
        found = found.activated(Activation.SIGMOID)
    walk.classes = walk.classes or _labels(node)
    walk.note(f"Left out: what follows the sums of {node}. The largest output is the answer with and without it, and the cost is squared.")
    return Answer(found)


OPERATORS: dict[str, Handler] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Add": _elementwise(_add),
    "Sub": _elementwise(_subtract),
    "Mul": _elementwise(_multiply),
    "Div": _division,
    "Neg": _negative,
    "BatchNormalization": _batch_normalization,
    "Scaler": _scaler,
    "Relu": _plain_activation(Activation.RELU),
    "Sigmoid": _plain_activation(Activation.SIGMOID),
    "Tanh": _plain_activation(Activation.TANH),
    "HardSigmoid": _hard_sigmoid,
    "Clip": _clip,
    "Max": _maximum,
    "LeakyRelu": _leaky,
    "PRelu": _leaky,
    "Sign": _sign,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Identity": _same,
    "Dropout": _dropout,
    "Cast": _cast,
    "Shape": _lengths,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    **dict.fromkeys(("ArgMax", "Binarizer", "Greater", "GreaterOrEqual"), _class),
    "Concat": _concat,
    "ZipMap": _shares,
    "LinearRegressor": _linear,
    "LinearClassifier": _linear,
}
"""What takes over each supported operator, without its domain."""

_OF_ANSWERS: dict[str, Handler] = {
    **dict.fromkeys(("Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "ZipMap", "ArrayFeatureExtractor", "Gather"), _of_answer),
    **dict.fromkeys(("LabelEncoder", "Flatten", "Log", "Exp", "Normalizer", "Slice"), _of_answer),
    **dict.fromkeys(("ArgMax", "Binarizer", "Greater", "GreaterOrEqual"), _class),
    "Concat": _concat,
}
"""The same for what is read from the network's answer."""

_OF_LENGTHS = ("Gather", "Unsqueeze", "Squeeze", "Concat", "Cast", "Slice", "Mul", "Identity", "Reshape")
"""Operators on the lengths of axes, whose result is only used to flatten."""
