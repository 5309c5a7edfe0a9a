"""The plan of a sweep: every combination checked, every job named, before anything runs."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import plain
from mgd_hw.data.tasks import DataSpec
from mgd_hw.design.description import Design
from mgd_hw.design.reader import parse
from mgd_hw.design.run import check_length
from mgd_hw.sweeps.jobs import FIT, SYNTH, TRAIN, Job, version
from mgd_hw.sweeps.vary import OPTION, Axis, Editor, axes_of, combinations
from python_ref.spec.error import Refusal

__all__ = ["MODELS", "REFUSAL", "Combination", "Place", "Plan", "Request", "make_plan"]

MODELS = ("fixed", "float", "backprop")
"""What a run can train, the one that matters first."""
REFUSAL = "refusal"
"""The kind of a row that says why a combination has no others."""
DEFAULT_BOARD = "icebreaker"
"""For which a core is judged where no board or target is named."""
MAX_SEEDS = 100_000
"""Most seeds of a sweep."""


@dataclass(frozen=True)
class Place:
    """What the core of a combination is judged for.

    Attributes
    ----------
    target : str
        Name of the FPGA part, such as "ice40-up5k".
    board : str
        The board whose clock is taken.
    clock_mhz : float
        Frequency of the core's clock on that board, in MHz.
    synthesise : bool
        Whether Yosys runs; else its result is predicted.
    """

    target: str
    board: str
    clock_mhz: float
    synthesise: bool


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes
    ----------
    design : Design
        As its file says.
    axes : tuple of Axis
        Keys of the design file to vary, each with its values.
    seeds : int
        Runs of each combination.
    steps : int or None
        Of MGD; None: as the design says.
    models : tuple of str
        Names of the models to train, of "float", "fixed" and "backprop".
    validate : bool
        Whether it is judged by the validation samples.
    places : tuple of Place
        What the cores are judged for.
    """

    design: Design
    axes: tuple[Axis, ...]
    seeds: int
    steps: int | None
    models: tuple[str, ...]
    validate: bool
    places: tuple[Place, ...]


@dataclass(frozen=True, eq=False)
class Combination:
    """One value for each axis.

    Attributes
    ----------
    number : int
        Index of the combination in the sweep, counted from 0.
    values : tuple
        As TOML has them, by axis.
    design : bytes
        The design, pickled; empty if it is refused.
    identity : str
        Digest of all that a run depends on, the seed and the steps excepted.
    structure : str
        Digest of what the core depends on.
    digest : str
        Of the design's structure, as every command prints it.
    seed, steps, work : int
        The design's own seed; steps of a run; synapses visited in a step, about.
    refused : Refusal or None
        Why there is none.
    """

    number: int
    values: tuple[Any, ...]
    design: bytes = b""
    identity: str = ""
    structure: str = ""
    digest: str = ""
    seed: int = 0
    steps: int = 0
    work: int = 0
    refused: Refusal | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """All of it.

    Attributes
    ----------
    request : Request
        What was asked for.
    combinations : tuple of Combination
        All, those that are refused too.
    """

    request: Request
    combinations: tuple[Combination, ...]
    version: str = field(default_factory=version)

    @cached_property
    def allowed(self) -> tuple[Combination, ...]:
        """The combinations that run."""
        return tuple(each for each in self.combinations if each.refused is None)

    @property
    def refused(self) -> tuple[Combination, ...]:
        """Those that do not."""
        return tuple(each for each in self.combinations if each.refused is not None)

    @property
    def runs(self) -> int:
        """How many runs there are in all."""
        return len(self.allowed) * self.request.seeds

    def about(self, combination: Combination, number: int | None = None) -> dict[str, Any]:
        """The columns of a row that are known beforehand."""
        request = self.request
        vary = dict(zip((axis.key for axis in request.axes), combination.values, strict=True))
        seed = {} if number is None else {"seed": combination.seed + number, "steps": combination.steps}
        judged = {"judged_by": "validation" if request.validate else "test"}
        return {"design": request.design.name, "digest": combination.digest, "vary": vary, **seed, **judged, "version": self.version}

    def jobs(self) -> Iterator[tuple[Combination, Job]]:
        """Every job, with the combination it is for: all combinations from the first seed, then from the next; then the cores.

        A core that several combinations share is one job, named for each of them.
        """
        request = self.request
        for number in range(request.seeds):
            for each in self.allowed:
                key = self._key(each.identity, each.values, TRAIN, number, each.steps, request.models, request.validate)
                yield each, Job(key, TRAIN, each.design, number, each.steps, request.models, request.validate)
        for place in request.places:
            kind = SYNTH if place.synthesise else FIT
            for each in self.allowed:
                yield each, Job(self._key(each.structure, kind, place.target), kind, each.design, target=place.target)

    def refusal_key(self, combination: Combination) -> str:
        """Key of the row that says why a combination is refused."""
        request = self.request
        return self._key(REFUSAL, request.design.text, combination.values, str(combination.refused))

    def _key(self, *parts: object) -> str:
        said = json.dumps([self.version, *(plain(part) for part in parts)], sort_keys=True, default=str)
        return hashlib.sha256(said.encode()).hexdigest()[:32]


def make_plan(
    design: Design,
    vary: Mapping[str, Sequence[Any]],
    *,
    seeds: int,
    steps: int | None,
    models: Sequence[str],
    validate: bool,
    places: Sequence[Place],
    progress: Progress | None = None,
) -> Plan:
    """Check what was asked for, and name every job.

    Raises
    ------
    Refusal
        If a key or value is none, or no combination of them is allowed.
    """
    axes = axes_of(vary)
    request = Request(design, axes, seeds, steps, tuple(each for each in MODELS if each in models), validate, tuple(places))
    _check(request)
    found = tuple(_Checker(request, progress or NullProgress()).combinations())
    if all(each.refused is not None for each in found):
        assert found[0].refused is not None
        raise found[0].refused
    return Plan(request, found)


def _check(request: Request) -> None:
    """Refuse what would give rows that are all the same, or that contradict each other."""
    keys = {axis.key for axis in request.axes}
    contradictions = (
        ("compare.seeds", True, "the number of runs is not varied", "Give --seeds the largest; every combination has so many."),
        ("compare.steps", request.steps is not None, "--steps gives one number for all", "Leave --steps out."),
        ("perturbation.seed", request.seeds > 1, "--seeds sets it for all seeds but the first", "Take --seeds 1, or do not vary it."),
    )
    for key, contradicted, reason, remedy in contradictions:
        if key in keys and contradicted:
            raise Refusal(reason, remedy, key=f"{OPTION} {key}")
    for key in sorted(keys):
        if key.startswith("compare.backprop") and "backprop" not in request.models:
            raise Refusal("it is of back-propagation alone, which is not trained", "Add --backprop.", key=f"{OPTION} {key}")
        if key == "data.validation_fraction" and not request.validate:
            raise Refusal("no validation samples are kept", "Add --validate.", key=f"{OPTION} {key}")
    if not request.models:
        raise Refusal(f"models must be some of {', '.join(MODELS)}", "Name one.", key="models")
    if not 1 <= request.seeds <= MAX_SEEDS:
        raise Refusal(f"it must be from 1 to {MAX_SEEDS:,}", "Take fewer.", key="--seeds", value=request.seeds)


class _Checker:
    """Reads every combination as a design file of its own, and asks whether its data are there."""

    def __init__(self, request: Request, progress: Progress) -> None:
        self.request, self.progress = request, progress
        self._data: dict[tuple[object, ...], Refusal | None] = {}
        self._files: dict[Path, str] = {}

    def combinations(self) -> Iterator[Combination]:
        axes, design = self.request.axes, self.request.design
        editor = Editor(design.text, [axis.key for axis in axes])
        total = 1
        for axis in axes:
            total *= len(axis.values)
        for number, values in enumerate(combinations(axes)):
            if number % 100 == 99:
                self.progress.update("Checking the combinations", number, total)
            try:
                yield self._checked(number, values, parse(editor.edited(values), design.path))
            except Refusal as error:
                yield Combination(number, values, refused=error)

    def _checked(self, number: int, values: tuple[Any, ...], design: Design) -> Combination:
        request, spec = self.request, design.spec
        steps = request.steps or design.compare.steps
        check_length(design, steps)
        self._check_data(design)
        light = replace(design, text="", derived=(), raw=None)
        data = replace(design.data, design_file=Path(), path=None)
        backprop = [design.compare.backprop_epochs, design.compare.backprop_rate, design.compare.backprop_batch]
        described = {"spec": spec, "float_only": design.float_only, "data": data, "files": self._files_of(design.data)}
        periods = (spec.schedule.perturbation_period, spec.schedule.sample_period, spec.schedule.update_period)
        return Combination(
            number,
            values,
            pickle.dumps(light),
            _digest(described | ({"backprop": backprop} if "backprop" in request.models else {})),
            _digest([spec.digest, periods, design.float_only.requests]),
            spec.digest,
            spec.network.initial.seed,
            steps,
            spec.network.n_parameters * (2 if spec.two_sided else 1) * design.float_only.batch * design.float_only.repeats,
        )

    def _check_data(self, design: Design) -> None:
        """Load samples once for each way to get them, whatever the seeds of split and order, and for each format that has to hold them."""
        from mgd_hw.design.samples import load_design

        formats = design.spec.formats
        key = replace(design.data, split_seed=0, shuffle_seed=0), formats.input, formats.activation, design.float_only.cost
        if key not in self._data:
            self._data[key] = None
            try:
                load_design(design, validate=self.request.validate)
            except Refusal as error:
                self._data[key] = error
        found = self._data[key]
        if found is not None:
            raise found

    def _files_of(self, spec: DataSpec) -> str:
        """Digest of what the user's file holds; of a folder, of the names and sizes in it."""
        if spec.path is None:
            return ""
        if spec.path not in self._files:
            if spec.path.is_file():
                with spec.path.open("rb") as file:
                    self._files[spec.path] = hashlib.file_digest(file, "sha256").hexdigest()
            else:
                inside = sorted((path.name, path.stat().st_size) for path in spec.path.iterdir())
                self._files[spec.path] = hashlib.sha256(repr(inside).encode()).hexdigest()
        return self._files[spec.path]


def _digest(value: object) -> str:
    """Of a canonical description, in which what is not plain, such as a path, is text."""
    from python_ref.spec.digest import canonical

    return hashlib.sha256(json.dumps(canonical(value), sort_keys=True, default=str).encode()).hexdigest()
