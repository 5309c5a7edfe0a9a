"""The learner of a design at speed: one sample and one perturbation at a time, in a compiled loop.

It learns as :func:`python_ref.floating.of_design.learner` does, but takes random signs from numpy's PCG64, so that none of them depend
on a shift register. Import this module only where it is used, since it imports numba. Its speed has three reasons. Parameters are stored
input by input, so that inputs of zero take no time and the inner loop runs over neurons. The product of the first layer is computed
only when θ or x changes, and the passes of a step share it: z± = z₀ ± Δ·s in node and z₀ ± Δ·(S·x) in weight perturbation. One-sided
node perturbation sums s·C̃ at each neuron, and multiplies the sum by the inputs of synapses once a sample. The arithmetic is float64,
since it does not limit the speed and C₊ − C₀ needs the digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from python_ref.compiled import compiled
from python_ref.curve import Curve
from python_ref.datasets import SampleOrder
from python_ref.floating.of_design import evaluate, held_steps
from python_ref.spec.activations import Activation, Piecewise, Tabulated, tabulated_value
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.layers import DENSE
from python_ref.spec.optimizer import Optimizer
from python_ref.spec.perturbation import LfsrCode

__all__ = ["Result", "block_length", "has_rule", "sign_block", "signs", "supports", "train"]

BLOCK_VALUES = 1 << 18
"""Approximate number of signs that are drawn at once."""

MOST_PIECES = 4
"""Maximum number of straight pieces of an activation in the compiled loops."""


def _functions(activations: Sequence[Activation]) -> np.ndarray:
    """Return activations in plain numbers (float64, a row each).

    A row begins with the number of straight pieces, followed by the begin, the slope and the offset of each piece. For a table, the number
    is 0, followed by the number of the activation in :func:`tabulated_value`.

    Raises
    ------
    TypeError
        If the compiled loops do not support the form of an activation.
    """
    rows = np.zeros((len(activations), 1 + 3 * MOST_PIECES))
    for row, activation in zip(rows, activations, strict=True):
        form = activation.form
        if isinstance(form, Tabulated):
            row[1] = form.number
            continue
        if not isinstance(form, Piecewise):
            raise unknown("Form of an activation", form, "python_ref.floating.online._functions")
        if len(form.pieces) > MOST_PIECES:
            raise ValueError(f"Number of pieces of an activation must be at most {MOST_PIECES}, not {len(form.pieces)!r}")
        row[0] = len(form.pieces)
        for number, (begin, piece) in enumerate(zip((-math.inf, *map(float, form.breaks)), form.pieces, strict=True)):
            slope = 0.0 if piece.shift is None else 2.0**-piece.shift
            row[1 + 3 * number : 4 + 3 * number] = begin, slope, float(piece.offset)
    return rows


_RULES: dict[str, Callable[..., float]] = {"plain": lambda: 0.0, "momentum": lambda beta: 1.0 - beta}
"""Functions from a rule's parameters to its decay, for each rule of the compiled loops, by its name in the table of the rules."""


def has_rule(optimizer: Optimizer) -> bool:
    """Whether the compiled loops support the rule of an optimiser; the learner of the design, which is slower, supports every rule."""
    return optimizer.float_rule()[0] in _RULES


def supports(spec: DesignSpec) -> bool:
    """Whether the compiled loops support a design: the rule of its optimiser, and every kind of its layers, which is dense."""
    return has_rule(spec.optimizer) and all(layer.kind == DENSE for layer in spec.network.layers)


def _decay(optimizer: Optimizer) -> float:
    """Return 1 − β for a rule with m ← β·m + G, or 0 for a rule without m.

    Raises
    ------
    TypeError
        If the compiled loops do not support the rule of the optimiser.
    """
    name, parameters = optimizer.float_rule()
    if name not in _RULES:
        raise unknown("Optimizer", optimizer, "python_ref.floating.online._RULES")
    return _RULES[name](**parameters)


# -- Signs ------------------------------------------------------------------------------------------------------------


def _storage_order(spec: DesignSpec) -> np.ndarray:
    """Return the canonical index of each parameter (int64, shape (P,)) in storage order.

    Parameters are stored input by input: a layer's biases, then the weights of input 0 to all its neurons, and so on.
    """
    parts, first = [], 0
    for layer in spec.network.layers:
        parts.append(first + np.arange(layer.n_parameters).reshape(layer.n_out, layer.n_in + 1).T.ravel())
        first += layer.n_parameters
    return np.concatenate(parts)


def block_length(spec: DesignSpec) -> int:
    """Return the number of sign vectors in a block of signs."""
    return max(1, BLOCK_VALUES // spec.quantities)


@lru_cache(maxsize=2)
def sign_block(spec: DesignSpec, seed: int, block: int) -> np.ndarray:
    """Return a block of sign vectors, starting at p = ``block`` times :func:`block_length`.

    Returns
    -------
    array of float64, shape (block_length, quantities), read-only
        Signs of the neurons in canonical order, or of the parameters in storage order.

    Raises
    ------
    TypeError
        If the hardware does not support the code.
    """
    code, length, quantities = spec.code, block_length(spec), spec.quantities
    drawn = np.broadcast_to(np.uint8(0), (length, quantities))
    if code.generators(1):
        random, count = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(block,)))), length * quantities
        drawn = np.unpackbits(np.frombuffer(random.bytes(-(-count // 8)), np.uint8), count=count).reshape(length, quantities)
    if type(code) is LfsrCode:  # signs are independent; only a shift register needs the inversion
        s = drawn.astype(np.float64)
        s *= -2.0
        s += 1.0
    else:
        index = np.arange(quantities) if spec.node else spec.layout.parameter_order[_storage_order(spec)]
        p = block * length + np.arange(length)[:, None]
        s = code.signs(index, code.phase(p, quantities), drawn).astype(np.float64)
    s.setflags(write=False)
    return s


def signs(spec: DesignSpec, seed: int, p: int) -> np.ndarray:
    """Return sign vector number ``p`` (float64, shape (quantities,)) of the neurons or parameters in canonical order."""
    block, row = divmod(p, block_length(spec))
    found = sign_block(spec, seed, block)[row]
    return found if spec.node else _canonical(found, _storage_order(spec))


def _signs_from(spec: DesignSpec, seed: int, n: int, stop: int) -> np.ndarray:
    """Return the signs of steps n … stop − 1 of one block, a row per sign vector, or a row per step where parts take turns."""
    steps, tau_p, parts = np.arange(n, stop), spec.schedule.perturbation_period, spec.round.parts
    number, place = divmod(n, block_length(spec) * tau_p)
    block = sign_block(spec, seed, number)[place // tau_p :]
    if not spec.in_parts:
        return block
    masks = np.stack([part.within(np.ones(spec.quantities)) for part in parts])
    return block[steps // tau_p - n // tau_p] * masks[np.array(spec.round.order)[steps % spec.round.probes]]


# -- Compiled loops ---------------------------------------------------------------------------------------------------


_compiled = compiled()
_tabulated_value = _compiled(tabulated_value)


@_compiled
def _copy(target, source):
    """Copy an array, target ← source; an assignment of slices takes the compiler much longer, since it may raise an error with a text."""
    for i in range(target.size):
        target[i] = source[i]


@_compiled
def _dense(table, x, z):
    """Compute z ← table[0] + Σ x[i]·table[i + 1], where the rows of ``table`` are consecutive."""
    n_out = z.size
    for j in range(n_out):
        z[j] = table[j]
    for i in range(x.size):
        v = x[i]
        if v != 0.0:
            row = table[(i + 1) * n_out : (i + 2) * n_out]
            for j in range(n_out):
                z[j] += v * row[j]


@_compiled
def _forward(theta, s, delta, node, sizes, functions, first, shift, values, z, d, target):
    """Compute one pass, writing all of ``values`` after the inputs; return C.

    ``first`` and ``shift`` are z and dz/dΔ of layer 0.
    """
    at, below, neuron = 0, 0, 0
    for layer in range(functions.shape[0]):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        x, y = values[below : below + n_in], values[below + n_in : below + n_in + n_out]
        count = (n_in + 1) * n_out
        pre, change = z[:n_out], d[:n_out]
        if layer == 0:
            _copy(pre, first)
            if delta != 0.0:
                _copy(change, shift)
        else:
            _dense(theta[at : at + count], x, pre)
            if delta != 0.0:
                if node:
                    _copy(change, s[neuron : neuron + n_out])
                else:
                    _dense(s[at : at + count], x, change)
        if delta != 0.0:
            for j in range(n_out):
                pre[j] += delta * change[j]
        row = functions[layer]
        pieces = int(row[0])
        for j in range(n_out):
            v = pre[j]
            if pieces:
                at_piece = 1
                while at_piece < 3 * pieces - 2 and v >= row[at_piece + 3]:
                    at_piece += 3
                v = v * row[at_piece + 1] + row[at_piece + 2]
            else:
                v = _tabulated_value(int(row[1]), v)
            y[j] = v
        at, below, neuron = at + count, below + n_in, neuron + n_out
    cost = 0.0
    for k in range(target.size):
        error = values[below + k] - target[k]
        cost += error * error
    return cost


@_compiled
def _correlate(total, s, g):
    """Compute total ← total + g·s."""
    for i in range(total.size):
        total[i] += g * s[i]


@_compiled
def _backward(total, error, sizes, values):
    """Compute total ← total + error·x for every synapse, and then error ← 0."""
    at, below, neuron = 0, 0, 0
    for layer in range(sizes.size - 1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        own = error[neuron : neuron + n_out]
        row = total[at : at + n_out]
        for j in range(n_out):
            row[j] += own[j]
        for i in range(n_in):
            v = values[below + i]
            if v != 0.0:
                row = total[at + (i + 1) * n_out : at + (i + 2) * n_out]
                for j in range(n_out):
                    row[j] += v * own[j]
        at, below, neuron = at + (n_in + 1) * n_out, below + n_in, neuron + n_out
    for j in range(error.size):
        error[j] = 0.0


@_compiled
def _right(output, target):
    """Return whether the answer of a pass equals that of the target.

    The answer is the index of the largest output, the lowest in a tie; for a single output, it is whether y ≥ ½.
    """
    if output.size == 1:
        return (output[0] >= 0.5) == (target[0] >= 0.5)
    return np.argmax(output) == np.argmax(target)


@_compiled
def _run(
    n, stop, periods, two_sided, node, decay, delta, scale, sizes, functions, theta, gradient, momentum, baseline, values, inputs,
    targets, indices, block, log,
):  # fmt: skip
    """Run steps n … stop − 1, which use one block of signs and one learning rate.

    ``indices`` begin with the sample of step n, ``block`` with the signs of step n. ``baseline`` is (C₀, whether it is due). ``log``
    accumulates the numbers of new samples and of right answers, C of the first passes of new samples, passes, and updates. ``decay`` is
    2⁻ᵏ, or 0 without momentum.
    """
    tau_p, tau_x, tau_t = periods
    start, first_p, first_x = n, n // tau_p, n // tau_x
    widest = sizes.max()
    z, d, product, shift = np.empty(widest), np.empty(widest), np.empty(sizes[1]), np.empty(sizes[1])
    target, other, error = np.empty(sizes[-1]), np.empty(values.size), np.zeros(sizes[1:].sum())
    weights = (sizes[0] + 1) * sizes[1]
    x = values[: sizes[0]]
    outputs = values[values.size - sizes[-1] :]
    plain = tau_t == 1 and decay == 0.0
    while n < stop:
        new = n % tau_x == 0
        stale = n == start or new or n % tau_t == 0
        s = block[n // tau_p - first_p]
        if n == start or new:
            chosen = indices[n // tau_x - first_x]
            _copy(x, inputs[chosen])
            _copy(other[: sizes[0]], x)
            _copy(target, targets[chosen])
        if stale:
            _dense(theta[:weights], x, product)
        if node:
            _copy(shift, s[: sizes[1]])
        elif stale or n % tau_p == 0:
            _dense(s[:weights], x, shift)
        if two_sided:
            shown = _forward(theta, s, delta, node, sizes, functions, product, shift, values, z, d, target)
            change = shown - _forward(theta, s, -delta, node, sizes, functions, product, shift, other, z, d, target)
            log[3] += 2.0
        else:
            if baseline[1] != 0.0 or new or n % tau_t == 0:
                baseline[0] = _forward(theta, s, 0.0, node, sizes, functions, product, shift, values, z, d, target)
                baseline[1] = 0.0
                log[3] += 1.0
            shown = baseline[0]
            change = _forward(theta, s, delta, node, sizes, functions, product, shift, other, z, d, target) - shown
            log[3] += 1.0
        if new:
            log[0] += 1.0
            log[1] += 1.0 if _right(outputs, target) else 0.0
            log[2] += shown
        total, factor = (theta, -scale * change) if plain else (gradient, scale * change)
        if node:  # while a sample stays, its inputs of synapses do; in a two-sided difference, each + pass has its own
            _correlate(error, s, factor)
            if two_sided or n + 1 == stop or (n + 1) % tau_x == 0 or (n + 1) % tau_t == 0:
                _backward(total, error, sizes, values)
        else:
            _correlate(total, s, factor)
        if plain:
            log[4] += 1.0
        elif (n + 1) % tau_t == 0:
            for i in range(theta.size):
                move = gradient[i]
                if decay != 0.0:
                    move += momentum[i] - momentum[i] * decay
                    momentum[i] = move
                theta[i] -= move
                gradient[i] = 0.0
            log[4] += 1.0
        n += 1


@dataclass(frozen=True)
class Result:
    """Result of a training run.

    Attributes
    ----------
    parameters : array of float64, shape (P,)
        Parameters θ at the end, in canonical order.
    steps, evaluations, writes : int
        Numbers of steps, of forward passes of one sample, and of parameter writes.
    curve : Curve
        Progress and accuracy over the run, a row per record.
    """

    parameters: np.ndarray
    steps: int
    evaluations: int
    writes: int
    curve: Curve


def _check_shapes(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray, order: SampleOrder) -> None:
    """Refuse arrays that do not fit the network or the order."""
    network = spec.network
    for name, found, wanted in (
        ("Parameters", np.shape(parameters), (network.n_parameters,)),
        ("Inputs", inputs.shape, (order.n_samples, network.n_in)),
        ("Targets", targets.shape, (order.n_samples, network.n_out)),
    ):
        if found != wanted:
            raise ValueError(f"{name} must be of shape {wanted}, not {found!r}")


def _block_end(spec: DesignSpec, n: int, steps: int, record_every: int, block_steps: int) -> int:
    """Return the step at which the steps from ``n`` on must pause: for the end, a record, the next signs, or another rate."""
    changes = [start for start, _ in spec.schedule.learning_rate if start > n]
    return min(steps, (n // record_every + 1) * record_every, (n // block_steps + 1) * block_steps, *changes)


class _Recorder:
    """Recorder of the rows of a curve.

    Parameters
    ----------
    spec : DesignSpec
        Design being trained, needed to evaluate its network.
    log : array of float64, shape (5,)
        Sums of the compiled loop: new samples, right answers, their cost, passes, updates.
    evaluation : (inputs, targets) or None
        Samples to evaluate at every record.
    """

    def __init__(self, spec: DesignSpec, log: np.ndarray, evaluation: tuple[np.ndarray, np.ndarray] | None) -> None:
        self._spec = spec
        self._log = log
        self._evaluation = evaluation
        self._before = log.copy()
        self._rows: list[tuple[float, ...]] = []

    def record(self, n: int, parameters: np.ndarray) -> float:
        """Add the row of step ``n``; return the accuracy of the parameters, or NaN if it is not evaluated."""
        judged, right, cost = (self._log - self._before)[:3]
        self._before = self._log.copy()
        online = (right / judged, cost / judged) if judged else (math.nan, math.nan)
        evaluated = evaluate(self._spec, parameters, *self._evaluation) if self._evaluation is not None else (math.nan, math.nan)
        self._rows.append((n, self._log[3], self._log[4] * self._spec.network.n_parameters, *online, *evaluated))
        return evaluated[0]

    def curve(self) -> Curve:
        """Return the curve of all rows."""
        return Curve.of_rows(self._rows)


def _canonical(theta: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Return θ in canonical order from θ in storage order."""
    canonical = np.empty_like(theta)
    canonical[stored] = theta
    return canonical


def train(
    spec: DesignSpec,
    parameters: np.ndarray,
    inputs: np.ndarray,
    targets: np.ndarray,
    order: SampleOrder,
    steps: int,
    seed: int | None = None,
    *,
    evaluation: tuple[np.ndarray, np.ndarray] | None = None,
    record_every: int | None = None,
    until: float | None = None,
    progress: Callable[[int], None] | None = None,
) -> Result:
    """Train for ``steps`` steps from step 0.

    Parameters
    ----------
    spec : DesignSpec
        Design being trained, with its network, schedule and optimizer.
    parameters : array of float64, shape (P,)
        Parameters θ at the start, in canonical order.
    inputs, targets : arrays, shapes (n, n_in) and (n, n_out)
        Samples, converted to float32; ``order`` refers to their rows.
    order : SampleOrder
        Order in which the samples are visited.
    steps : int
        Number of training steps to take.
    seed : int or None
        Seed of random signs; None takes the design's own.
    evaluation : (inputs, targets) or None
        Samples to evaluate at every record.
    record_every : int or None
        Steps between records; None chooses it so that there are 50. The last step is always recorded.
    until : float or None
        Evaluated accuracy at which the run stops, at the first record that reaches it.
    progress : callable or None
        Called with the number of steps done, at every record.

    Raises
    ------
    ValueError
        If an array does not fit the network or the order.
    """
    network, schedule = spec.network, spec.schedule
    inputs, targets = (np.require(table, np.float32, ["C", "W"]) for table in (inputs, targets))
    _check_shapes(spec, parameters, inputs, targets, order)
    stored = _storage_order(spec)
    theta = np.array(parameters, dtype=np.float64)[stored]
    gradient, momentum = np.zeros_like(theta), np.zeros_like(theta)
    baseline, values, log = np.array([0.0, 1.0]), np.zeros(sum(network.sizes)), np.zeros(5)
    seed = spec.perturbation.seed if seed is None else seed
    decay = _decay(spec.optimizer)
    delta = 2.0**spec.perturbation.amplitude_log2
    periods = (schedule.perturbation_period, schedule.sample_period, schedule.update_period)
    sizes = np.array(network.sizes, dtype=np.int64)
    functions = _functions([layer.activation for layer in network.layers])
    record_every = max(1, steps // 50) if record_every is None else record_every
    block_steps = block_length(spec) * periods[0]
    recorder, n = _Recorder(spec, log, evaluation), 0

    while n < steps:
        stop = _block_end(spec, n, steps, record_every, block_steps)
        block = _signs_from(spec, seed, n, stop)
        first = n // periods[1]
        indices = order.indices(first, (stop - 1) // periods[1] - first + 1)
        scale = 2.0 ** schedule.rate_at(n) / (2 * delta if spec.two_sided else delta)
        _run(
            n, stop, (held_steps(spec), *periods[1:]), spec.two_sided, spec.node, decay, delta, scale, sizes, functions,
            theta, gradient, momentum, baseline, values, inputs, targets, indices, block, log,
        )  # fmt: skip
        n = stop
        if n % record_every == 0 or n == steps:
            accuracy = recorder.record(n, _canonical(theta, stored))
            if progress is not None:
                progress(n)
            if until is not None and accuracy >= until:
                break
    return Result(_canonical(theta, stored), n, int(log[3]), int(log[4]) * network.n_parameters, recorder.curve())
