"""Plan of a sweep: all combinations are checked and all jobs get their keys before the first job runs."""

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
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.reader import parse_any
from mgd_hw.design.run import check_length
from mgd_hw.sweeps.jobs import FIT, SYNTH, TRAIN, Job, cost_columns, version
from mgd_hw.sweeps.learner import check_learner, refuse_options
from mgd_hw.sweeps.vary import OPTION, Axis, Editor, axes_of, combinations
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal

__all__ = ["MODELS", "REFUSAL", "Combination", "Place", "Plan", "Request", "make_plan"]

MODELS = ("fixed", "float", "backprop")
"""Models that a run can train, in order of training."""
REFUSAL = "refusal"
"""Kind of the rows that say why a combination is refused."""
WITHOUT_EFFECT = ("hardware.lanes", "hardware.multipliers_per_lane")
"""Keys on which runs of node perturbation do not depend."""
DEFAULT_BOARD = "icebreaker"
"""Board for which cores are judged if no board or target is named."""
MAX_SEEDS = 100_000
"""Maximum number of seeds of a sweep."""


@dataclass(frozen=True)
class Place:
    """FPGA part and clock for which the area and the speed of a core are determined.

    Attributes
    ----------
    target : str
        Name of the FPGA part, such as "ice40-up5k".
    board : str
        Name of the board whose clock applies.
    clock_mhz : float
        Frequency of the core's clock on that board, in MHz.
    synthesise : bool
        Whether to run Yosys, rather than predict its result.
    """

    target: str
    board: str
    clock_mhz: float
    synthesise: bool


@dataclass(frozen=True)
class Request:
    """Options of a sweep.

    Attributes
    ----------
    design : Design or ExternalDesign
        Design to vary, as its file describes it; its network may be outside.
    axes : tuple of Axis
        Keys of the design file to vary, each with its values.
    seeds : int
        Number of runs of each combination.
    steps : int or None
        MGD steps of each run; None for the number in the design file.
    models : tuple of str
        Names of the models to train, a subset of "float", "fixed" and "backprop".
    validate : bool
        Whether the validation samples judge the runs, instead of the test samples.
    places : tuple of Place
        Parts for which the area of each core is determined.
    """

    design: Design | ExternalDesign
    axes: tuple[Axis, ...]
    seeds: int
    steps: int | None
    models: tuple[str, ...]
    validate: bool
    places: tuple[Place, ...]


@dataclass(frozen=True, eq=False)
class Combination:
    """One value for each axis, and the design that results.

    Attributes
    ----------
    number : int
        Index of the combination in the sweep, counted from 0.
    values : tuple
        One value per axis, as the TOML file would contain it.
    design : bytes
        Pickled design; empty if the combination is refused.
    identity : str
        Digest of everything that a run depends on, except the seed number and the number of steps.
    any_lanes : bool
        Whether runs do not depend on the lanes and their multipliers, so that combinations that differ only in these share their runs. That
        is so in node perturbation, but not for the energy of back-propagation, which counts the reads that lanes share.
    structure : str
        Digest of everything that the core depends on.
    digest : str
        Digest of the design's specification, as every command prints it.
    seed, steps, work : int
        Seed in the design file; steps of a run; approximate number of synapses visited per step.
    refused : Refusal or None
        Reason why the combination is refused; None if it is allowed.
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
    any_lanes: bool = False
    refused: Refusal | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """All combinations and jobs of a sweep.

    Attributes
    ----------
    request : Request
        Options that the plan was made from.
    combinations : tuple of Combination
        All combinations, including the refused ones.
    version : str
        Version of the package, which is part of each job key.
    """

    request: Request
    combinations: tuple[Combination, ...]
    version: str = field(default_factory=version)

    @cached_property
    def allowed(self) -> tuple[Combination, ...]:
        """Combinations that are not refused."""
        return tuple(each for each in self.combinations if each.refused is None)

    @property
    def refused(self) -> tuple[Combination, ...]:
        """Combinations that are refused."""
        return tuple(each for each in self.combinations if each.refused is not None)

    @property
    def runs(self) -> int:
        """Total number of runs."""
        return len(self.allowed) * self.request.seeds

    def about(self, combination: Combination, number: int | None = None) -> dict[str, Any]:
        """Return the columns of a row that are known before its job runs; with a seed number, those of a run."""
        request = self.request
        vary = dict(zip((axis.key for axis in request.axes), combination.values, strict=True))
        seed = {} if number is None else {"seed": combination.seed + number, "steps": combination.steps}
        judged = {"judged_by": "validation" if request.validate else "test"}
        return {"design": request.design.name, "digest": combination.digest, "vary": vary, **seed, **judged, "version": self.version}

    def jobs(self) -> Iterator[tuple[Combination, Job]]:
        """Yield all jobs, each with its combination: the runs of all combinations seed by seed, then the cores.

        Combinations that share a core yield jobs with the same key, and so do those that share their runs.
        """
        request = self.request
        for number in range(request.seeds):
            for each in self.allowed:
                key = self._key(each.identity, self._training_values(each), TRAIN, number, each.steps, request.models, request.validate)
                yield each, Job(key, TRAIN, each.design, number, each.steps, request.models, request.validate)
        for place in request.places:
            kind = SYNTH if place.synthesise else FIT
            for each in self.allowed:
                yield each, Job(self._key(each.structure, kind, place.target), kind, each.design, target=place.target)

    def _training_values(self, combination: Combination) -> tuple[Any, ...]:
        """Return the values of a combination on which its runs depend."""
        pairs = zip(self.request.axes, combination.values, strict=True)
        return tuple(value for axis, value in pairs if not (combination.any_lanes and axis.key in WITHOUT_EFFECT))

    def shared(self) -> dict[str, dict[str, Any]]:
        """Return what the rows of runs that several combinations share have to say of each of these.

        Returns
        -------
        dict of str to dict
            By the number of the combination, as text: "about", its digest and its values, and "columns", the costs of its runs.
        """
        groups: dict[tuple[object, ...], list[Combination]] = {}
        for each in self.allowed:
            groups.setdefault((each.identity, repr(self._training_values(each)), each.steps), []).append(each)
        found = {}
        for each in (each for group in groups.values() if len(group) > 1 for each in group):
            about = self.about(each)
            own = {"digest": about["digest"], "vary": about["vary"]}
            found[str(each.number)] = {"about": own, "columns": cost_columns(each.design, each.steps, self.request.models)}
        return found

    def refusal_key(self, combination: Combination) -> str:
        """Return the key of the row that says why a combination is refused."""
        request = self.request
        return self._key(REFUSAL, request.design.text, combination.values, str(combination.refused))

    def _key(self, *parts: object) -> str:
        said = json.dumps([self.version, *(plain(part) for part in parts)], sort_keys=True, default=str)
        return hashlib.sha256(said.encode()).hexdigest()[:32]


def make_plan(
    design: Design | ExternalDesign,
    vary: Mapping[str, Sequence[Any]],
    *,
    seeds: int,
    steps: int | None,
    models: Sequence[str],
    validate: bool,
    places: Sequence[Place],
    progress: Progress | None = None,
) -> Plan:
    """Check the options and every combination of a sweep, and return its plan.

    Raises
    ------
    Refusal
        If an option, key or value is invalid, or if every combination is refused.
    """
    axes = axes_of(vary)
    request = Request(design, axes, seeds, steps, tuple(each for each in MODELS if each in models), validate, tuple(places))
    _check(request)
    if isinstance(design, ExternalDesign):
        refuse_options(design, request.models, validate)
    found = tuple(_Checker(request, progress or NullProgress()).combinations())
    if all(each.refused is not None for each in found):
        assert found[0].refused is not None
        raise found[0].refused
    return Plan(request, found)


def _check(request: Request) -> None:
    """Refuse options that contradict each other, and varied keys that have no effect."""
    keys = {axis.key for axis in request.axes}
    contradictions = (
        ("compare.seeds", True, "all combinations have the same number of runs", "Set that number with --seeds instead."),
        ("compare.steps", request.steps is not None, "--steps sets the same number for all runs", "Leave --steps out."),
        ("perturbation.seed", request.seeds > 1, "--seeds sets it for all runs but the first", "Set --seeds to 1, or do not vary it."),
    )
    for key, contradicted, reason, remedy in contradictions:
        if key in keys and contradicted:
            raise Refusal(reason, remedy, key=f"{OPTION} {key}")
    for key in sorted(keys):
        if key.startswith("compare.backprop") and "backprop" not in request.models:
            raise Refusal("it affects back-propagation alone, which is not trained", "Add --backprop.", key=f"{OPTION} {key}")
        if key == "data.validation_fraction" and not request.validate:
            raise Refusal("no validation samples are kept", "Add --validate.", key=f"{OPTION} {key}")
    if not request.models:
        raise Refusal(f"models must be some of {', '.join(MODELS)}", "Name one.", key="models")
    if not 1 <= request.seeds <= MAX_SEEDS:
        raise Refusal(f"it must be from 1 to {MAX_SEEDS:,}", "Take fewer.", key="--seeds", value=request.seeds)


class _Checker:
    """Checker of all combinations: it parses each one as a design file, and loads its data once per way to get them."""

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
                found = parse_any(editor.edited(values), design.path)
                yield self._of_learner(number, values, found) if isinstance(found, ExternalDesign) else self._checked(number, values, found)
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
        any_lanes = spec.node and not design.float_only.requests and "backprop" not in request.models
        if any_lanes:
            described["spec"] = _without_lanes(spec)
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
            any_lanes,
        )

    def _of_learner(self, number: int, values: tuple[Any, ...], design: ExternalDesign) -> Combination:
        """Check a combination whose network is outside; its runs do not depend on its lanes."""
        found, spec = check_learner(design, self.request.steps), design.spec
        identity, structure = _digest(found.identity), _digest(found.structure)
        seed = spec.perturbation.seed
        return Combination(number, values, found.design, identity, structure, spec.digest, seed, found.steps, found.work, True)

    def _check_data(self, design: Design) -> None:
        """Refuse a design whose data cannot be loaded.

        The result is cached per data set and per formats and cost, regardless of the seeds of split and order.
        """
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
        """Return a digest of the user's data file, or of the names and sizes in a folder; "" if the data set is a built-in one."""
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


def _without_lanes(spec: DesignSpec) -> dict[str, Any]:
    """Return the canonical description of a design without its number of lanes and of their multipliers."""
    from python_ref.spec.digest import canonical

    described: Any = canonical(spec)
    left_out = {key.rpartition(".")[2] for key in WITHOUT_EFFECT}
    return {**described, "hardware": {name: value for name, value in described["hardware"].items() if name not in left_out}}


def _digest(value: object) -> str:
    """Return the SHA-256 digest of the canonical form of a value; objects that JSON cannot hold, such as paths, become text."""
    from python_ref.spec.digest import canonical

    return hashlib.sha256(json.dumps(canonical(value), sort_keys=True, default=str).encode()).hexdigest()
