"""Traces on disk: every observable of every step as raw integers, written and read block by block.

A run (design, initial parameters and data of a training) and a trace (its observables) are directories.
``python -m python_ref.record RUN TRACE`` computes the reference trace of a run in a process of its own.

A run consists of ``run.json`` (design, seed, steps) and ``run.npz`` (arrays). A trace consists of ``header.json`` and
``block_00000.npz``, …: each observable's name with an array whose leading axis is the step, in the narrowest integer type that
holds its format. ``signatures.npy`` contains the running signatures of the steps before the first recorded one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from python_ref.fixed.learner import LearnerState, initial_learner
from python_ref.fixed.machine import State, initial_state, sample_number
from python_ref.spec.design import DesignSpec
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.probes import Probe, probes, values_per_step
from python_ref.spec.serial import from_dict, to_dict

__all__ = ["Header", "LearnerRun", "Run", "Trace", "TraceWriter", "check_comparable", "narrowest"]

SIGNATURES = "signatures.npy"

BLOCK_BYTES = 1 << 23
"""Approximate size of a block, in bytes."""


@dataclass(frozen=True, eq=False)
class Run:
    """A training run from its first step.

    Attributes
    ----------
    spec : DesignSpec
        Design that is trained, with all of its settings.
    parameters : array of int64, shape (P,)
        Raw θ at the start, in canonical order.
    inputs : array of int64, shape (samples, n_in)
        Inputs of the data set as raw integers, a row per sample.
    targets : array of int64, shape (samples, n_out)
        Targets of the data set as raw integers, a row per sample.
    order : array of int64
        Row of sample number ⌊n/τ_x⌋, for every step n.
    steps : int
        Number of training steps taken from step 0.
    seed : int
        Seed of the random streams.
    """

    spec: DesignSpec
    parameters: np.ndarray
    inputs: np.ndarray
    targets: np.ndarray
    order: np.ndarray
    steps: int
    seed: int

    def __post_init__(self) -> None:
        taken = sample_number(self.spec, self.steps - 1) + 1 if self.steps else 0
        if len(self.order) < taken:
            raise ValueError(f"Order must name {taken} samples for {self.steps} steps, not {len(self.order)}")

    @property
    def digest(self) -> str:
        """Digest of the run: design with rates and periods, seed, initial parameters, data, and the order of the samples."""
        found = hashlib.sha256(f"{self.spec.run_digest}:{self.seed}".encode())
        taken = self.order[: sample_number(self.spec, self.steps - 1) + 1] if self.steps else self.order[:0]
        for array in (self.parameters, self.inputs, self.targets, taken):
            found.update(repr(array.shape).encode() + np.ascontiguousarray(array, dtype="<i8").tobytes())
        return found.hexdigest()[:16]

    def initial_state(self) -> State:
        """Return the state of the machine before step 0."""
        return initial_state(self.spec, self.parameters, seed=self.seed)

    def sample(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return raw inputs and targets of step ``number``."""
        index = self.order[sample_number(self.spec, number)]
        return self.inputs[index], self.targets[index]

    def save(self, directory: Path) -> None:
        """Write ``run.json`` and ``run.npz`` into a directory, which is created if necessary."""
        directory.mkdir(parents=True, exist_ok=True)
        np.savez(directory / "run.npz", parameters=self.parameters, inputs=self.inputs, targets=self.targets, order=self.order)
        described = {"design": to_dict(self.spec), "steps": self.steps, "seed": self.seed, "digest": self.digest}
        (directory / "run.json").write_text(json.dumps(described, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Run:
        """Read a run that :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the files do not describe a run, or its digest differs from the recorded one.
        """
        described = json.loads((directory / "run.json").read_text(encoding="utf-8"))
        with np.load(directory / "run.npz", allow_pickle=False) as arrays:
            parameters, inputs, targets, order = (arrays[name].astype(np.int64) for name in ("parameters", "inputs", "targets", "order"))
        run = cls(from_dict(described["design"]), parameters, inputs, targets, order, described["steps"], described["seed"])
        if run.digest != described["digest"]:
            raise ValueError(f"Digest of the run in {directory} must be {described['digest']}, not {run.digest}")
        return run


@dataclass(frozen=True, eq=False)
class LearnerRun:
    """A training run of a learner from its first step. The costs of its outside are no part of it.

    Attributes
    ----------
    spec : LearnerSpec
        Learner that runs, with all of its settings.
    parameters : array of int64, shape (N,)
        Raw θ at the start, by quantity.
    steps : int
        Number of training steps taken from step 0.
    seed : int
        Seed of the random streams.
    """

    spec: LearnerSpec
    parameters: np.ndarray
    steps: int
    seed: int

    @property
    def digest(self) -> str:
        """Digest of the run: the learner with rates, periods and what it is told of the outside, its seed and its initial parameters."""
        told = json.dumps(asdict(self.spec.outside), sort_keys=True)
        found = hashlib.sha256(f"{self.spec.run_digest}:{told}:{self.seed}".encode())
        found.update(np.ascontiguousarray(self.parameters, dtype="<i8").tobytes())
        return found.hexdigest()[:16]

    def initial_state(self) -> LearnerState:
        """Return the state of the learner before step 0."""
        return initial_learner(self.spec, self.parameters, seed=self.seed)


@dataclass(frozen=True)
class Header:
    """Header of a trace, which identifies its run, its steps and its observables.

    Attributes
    ----------
    design : str
        Name of the design, as in its design file.
    digest, run : str
        Digests of the structure and of the run.
    seed : int
        Seed of the random streams.
    first, steps : int
        First recorded step, and number of recorded steps.
    probes : dict of str to list of int
        Shapes of the observables, by name.
    producer : str
        Name of the model or simulator that recorded the trace.
    """

    design: str
    digest: str
    run: str
    seed: int
    first: int
    steps: int
    probes: dict[str, list[int]]
    producer: str

    @classmethod
    def of(cls, run: Run | LearnerRun, producer: str, *, first: int = 0) -> Header:
        """Return the header of a trace of ``run`` from step ``first`` on, with no steps recorded yet."""
        shapes = {probe.name: list(probe.shape) for probe in probes(run.spec)}
        return cls(run.spec.name, run.spec.digest, run.digest, run.seed, first, 0, shapes, producer)


def check_comparable(left: Header, right: Header) -> None:
    """Raise an error unless two traces belong to the same run and the same steps.

    Raises
    ------
    ValueError
        If they do not; the message names the first of digest, run, first step, steps and observables in which they differ.
    """
    names = {"digest": "design", "run": "run", "first": "first step", "steps": "number of steps", "probes": "set of observables"}
    for name, meaning in names.items():
        mine, theirs = getattr(left, name), getattr(right, name)
        if mine != theirs:
            raise ValueError(f"Traces must be of the same {meaning}, not {mine!r} ({left.producer}) and {theirs!r} ({right.producer})")


def narrowest(probe: Probe) -> np.dtype:
    """Return the narrowest integer type that holds every value of an observable."""
    low, high = min(form.min for form in probe.formats), max(form.max for form in probe.formats)
    kinds = [np.dtype(f"{sign}{size}") for size in (1, 2, 4, 8) for sign in ("u", "i")]
    return next(kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)


class TraceWriter:
    """Writer of a trace, to be used as a context manager.

    It writes the header last, so that a directory with a header has a complete trace.

    Parameters
    ----------
    directory : Path
        Directory to write to, which is created if necessary; an existing trace in it is replaced.
    header : Header
        Header of the trace; its number of steps is replaced by the number of steps written.
    spec : LearningSpec
        Design that determines the types of the observables.
    """

    def __init__(self, directory: Path, header: Header, spec: LearningSpec) -> None:
        self.directory = directory
        self.header = replace(header, steps=0)
        self.spec = spec
        self._types = {probe.name: narrowest(probe) for probe in probes(spec)}
        self._block_steps = max(1, BLOCK_BYTES // (4 * values_per_step(spec)))
        self._pending: list[Mapping[str, np.ndarray]] = []
        self._signatures: list[np.ndarray] = []
        self._blocks = 0
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("header.json", SIGNATURES):
            (directory / name).unlink(missing_ok=True)
        for stale in directory.glob("block_*.npz"):
            stale.unlink()

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self.close()

    def skip(self, signatures: np.ndarray) -> None:
        """Record only the signatures of consecutive steps before the first (shape (steps, 2))."""
        self._signatures.append(np.asarray(signatures, dtype=np.uint32).reshape(-1, 2))

    def append(self, observed: Mapping[str, np.ndarray]) -> None:
        """Record one step, with every observable raw, by name."""
        self._pending.append(observed)
        if len(self._pending) >= self._block_steps:
            self._flush()

    def extend(self, observed: Mapping[str, np.ndarray]) -> None:
        """Record consecutive steps as a block, with every observable raw, by name, with a leading axis of steps."""
        self._flush()
        self._write(observed)

    def close(self) -> Header:
        """Write the pending steps and the header."""
        self._flush()
        if self._signatures:
            np.save(self.directory / SIGNATURES, np.concatenate(self._signatures))
        (self.directory / "header.json").write_text(json.dumps(asdict(self.header), indent=1), encoding="utf-8")
        return self.header

    def _flush(self) -> None:
        if self._pending:
            self._write({name: np.stack([observed[name] for observed in self._pending]) for name in self._types})
            self._pending = []

    def _write(self, observed: Mapping[str, np.ndarray]) -> None:
        arrays: dict[str, Any] = {}
        steps = len(observed["counter"])
        for name, kind in self._types.items():
            values, shape = np.asarray(observed[name]), (steps, *self.header.probes[name])
            if values.shape != shape:
                raise ValueError(f"Observable {name} must be of shape {shape!r}, not {values.shape!r}")
            arrays[name] = values.astype(kind)
            if not np.array_equal(arrays[name], values):
                raise ValueError(f"Observable {name} must fit {kind}, not {values.min()} to {values.max()}")
        np.savez(self.directory / f"block_{self._blocks:05d}.npz", **arrays)
        self._blocks += 1
        self.header = replace(self.header, steps=self.header.steps + steps)


@dataclass(frozen=True)
class Trace:
    """A trace on disk, which is read lazily.

    Attributes
    ----------
    directory : Path
        Folder that contains the header and the blocks.
    header : Header
        Contents of ``header.json``: the run, the recorded steps and the observables.
    """

    directory: Path
    header: Header

    @classmethod
    def open(cls, directory: Path) -> Trace:
        """Open the trace in a directory.

        Raises
        ------
        ValueError
            If the directory has no complete trace.
        """
        try:
            header = Header(**json.loads((directory / "header.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ValueError(f"Directory must hold a complete trace, with header.json: {directory}") from None
        return cls(directory, header)

    def blocks(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield the first step and the observables (leading axis: steps) of each block, in order."""
        first = self.header.first
        for path in sorted(self.directory.glob("block_*.npz")):
            with np.load(path, allow_pickle=False) as arrays:
                block = {name: arrays[name] for name in self.header.probes}
            yield first, block
            first += len(block["counter"])

    def steps(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield the number and the observables of each step, in order."""
        for first, block in self.blocks():
            for offset in range(len(block["counter"])):
                yield first + offset, {name: values[offset] for name, values in block.items()}

    def signatures(self) -> np.ndarray:
        """Return the running signatures (uint32, shape (steps, 2)) of the steps before the first; no rows if there are none."""
        path = self.directory / SIGNATURES
        return np.load(path, allow_pickle=False) if path.exists() else np.empty((0, 2), dtype=np.uint32)

    def read(self) -> dict[str, np.ndarray]:
        """Return all observables (leading axis: steps) of a trace that fits in memory."""
        blocks = [block for _, block in self.blocks()]
        return {name: np.concatenate([block[name] for block in blocks]) for name in self.header.probes}
