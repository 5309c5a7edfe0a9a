"""Chapter of a report: the results of all verbs for one design."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mgd_hw.common.files import FOLDER
from mgd_hw.common.progress import Progress
from mgd_hw.common.results import Result
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.samples import load_design
from mgd_hw.hardware.cosim import Cosimulated, cosim
from mgd_hw.hardware.generate import Generated, generate
from mgd_hw.hardware.synth import Synthesised, synth
from mgd_hw.learn.compare import Comparison, compare
from mgd_hw.learn.compare_learner import LearnerComparison
from mgd_hw.learn.diagnose import diagnose
from mgd_hw.learn.diagnose_learner import LearnerDiagnosis
from mgd_hw.learn.profile import NumericProfile, profile_numbers
from mgd_hw.reports.provenance import Provenance, provenance

__all__ = ["Chapter", "Plan", "chapter_of", "chapter_of_learner", "found_build", "found_efficiency"]


@dataclass(frozen=True)
class Chapter(Result):
    """Results of the verbs for one design; those that were not obtained are None.

    Attributes
    ----------
    title : str
        Heading of the chapter in the report.
    text : str
        Contents of the design file, as TOML.
    generated, cosimulated, compared, synthesised, observed, provenance : results, or None
        Results of ``generate``, ``cosim``, ``compare`` and ``synth``, statistics of the numbers in one run, and the record of how to
        reproduce them. Each but ``generated`` may be None.
    built : dict or None
        Content of build.json of a bitstream of the same design; None if there is none.
    placement : str
        Picture of the placed design, as SVG; "" if there is none.
    efficiency : dict or None
        Content of efficiency.json of the same design; None if there is none.
    chip_compared, chip_diagnosed : LearnerComparison or None, LearnerDiagnosis or None
        Results of ``compare`` and ``diagnose`` of a learner, with its chip; None if the network is inside.
    """

    title: str
    text: str
    generated: Generated
    cosimulated: Cosimulated | None = None
    compared: Comparison | None = None
    synthesised: Synthesised | None = None
    observed: NumericProfile | None = None
    provenance: Provenance | None = None
    built: dict[str, Any] | None = None
    placement: str = field(default="", repr=False)
    efficiency: dict[str, Any] | None = None
    chip_compared: LearnerComparison | None = None
    chip_diagnosed: LearnerDiagnosis | None = None

    @property
    def good(self) -> bool:
        """Whether the co-simulation, if there was one, found no difference, and no compared run diverged."""
        equal = self.cosimulated is None or self.cosimulated.equal
        return equal and (self.compared is None or not self.compared.diverged)

    @property
    def cycles(self) -> dict[str, Any]:
        """Cycle contract of the core, from its manifest."""
        return self.generated.manifest.get("cycles", {})


@dataclass(frozen=True)
class Plan:
    """Settings of a chapter: steps of the co-simulation, seeds and steps of the comparison, the part and the board."""

    proof: int
    seeds: int
    steps: int
    target: str
    board: str


def chapter_of_learner(design: ExternalDesign, called: str, title: str, plan: Plan, place: Path, progress: Progress) -> Chapter:
    """Run the verbs that a report shows for a learner, with its chip, and collect their results; see :func:`chapter_of`."""
    called, generated = shlex.quote(called), generate(design, place, progress=progress)
    cosimulated = cosim(design, steps=plan.proof, out=place, progress=progress)
    diagnosed = diagnose(design, out=place, progress=progress)
    compared = compare(design, seeds=plan.seeds, steps=plan.steps, out=place, progress=progress)
    assert isinstance(diagnosed, LearnerDiagnosis) and isinstance(compared, LearnerComparison), (
        "the network of an ExternalDesign is outside"
    )
    synthesised = synth(design, target=plan.target, out=place, progress=progress)
    commands = (
        f"mgd-hw generate {called}",
        f"mgd-hw cosim {called} --steps {plan.proof}",
        f"mgd-hw diagnose {called}",
        f"mgd-hw compare {called} --seeds {plan.seeds} --steps {plan.steps}",
        f"mgd-hw synth {called} --target {plan.target}",
        f"mgd-hw report {called} --proof {plan.proof} --seeds {plan.seeds} --steps {plan.steps} --target {plan.target}",
    )
    built, placement = found_build(design, place)
    return Chapter(
        title,
        design.text,
        generated,
        cosimulated,
        synthesised=synthesised,
        provenance=provenance(design, None, commands, plan.seeds),
        built=built,
        placement=placement,
        chip_compared=compared,
        chip_diagnosed=diagnosed,
    )


def chapter_of(design: Design, called: str, title: str, plan: Plan, place: Path, progress: Progress) -> Chapter:
    """Run the verbs that a report shows for a design, and collect their results.

    Parameters
    ----------
    design : Design
        The design to report on.
    called : str
        Name or path by which the user named the design; the listed commands repeat it.
    title : str
        Heading of the chapter in the report.
    plan : Plan
        Settings of the verbs.
    place : Path
        Directory that the verbs write their files to.
    progress : Progress
        Receives status messages and the progress of long tasks.

    Raises
    ------
    KeyboardInterrupt
        If the comparison was interrupted.
    """
    called, generated = shlex.quote(called), generate(design, place, progress=progress)
    cosimulated = cosim(design, steps=plan.proof, out=place, progress=progress)
    compared = compare(design, seeds=plan.seeds, steps=plan.steps, board=plan.board, out=place, progress=progress)
    assert isinstance(compared, Comparison), "the network of a Design is inside the core"
    if compared.interrupted:
        raise KeyboardInterrupt
    data = load_design(design)
    progress.status("Profiling the numbers of a run.")
    observed = profile_numbers(design, data, steps=plan.steps, progress=progress)
    synthesised = synth(design, target=plan.target, out=place, progress=progress)
    commands = (
        f"mgd-hw generate {called}",
        f"mgd-hw cosim {called} --steps {plan.proof}",
        f"mgd-hw compare {called} --seeds {plan.seeds} --steps {plan.steps} --board {plan.board}",
        f"mgd-hw synth {called} --target {plan.target}",
        f"mgd-hw report {called} --proof {plan.proof} --seeds {plan.seeds} --steps {plan.steps} --target {plan.target} "
        f"--board {plan.board}",
    )
    built, placement = found_build(design, place)
    origin = provenance(design, data, commands, plan.seeds)
    results = generated, cosimulated, compared, synthesised, observed, origin, built, placement
    return Chapter(title, design.text, *results, found_efficiency(design, place))


def found_build(design: Design | ExternalDesign, place: Path) -> tuple[dict[str, Any] | None, str]:
    """Find the latest bitstream of exactly this design, in ``place`` and in the default directory of ``build``.

    Returns
    -------
    (dict or None, str)
        Content of its build.json, and its placement picture as SVG, "" if it has none; (None, "") without such a bitstream.
    """
    for path, built in _found(design, [*(FOLDER / design.name).glob("*/build.json"), *place.glob("*/build.json")]):
        picture = path.with_name("placement.svg")
        return built, picture.read_text(encoding="utf-8") if picture.is_file() else ""
    return None, ""


def found_efficiency(design: Design, place: Path) -> dict[str, Any] | None:
    """Find the latest efficiency.json of exactly this design, in ``place`` and in the default directory of ``compare``, or None."""
    paths = [folder / "efficiency.json" for folder in {FOLDER / design.name, place}]
    return next((found for _, found in _found(design, [path for path in paths if path.is_file()])), None)


def _found(design: Design | ExternalDesign, paths: Iterable[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the objects of exactly this design in JSON files, the latest first, each with its path."""
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict) and found.get("digest") == design.spec.digest:
            yield path, found
