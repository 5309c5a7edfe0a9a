"""The report of a learner: what its chip showed and learned, on the page and in the data."""

import json
from pathlib import Path

import pytest

import mgd_hw
from mgd_hw.common.progress import NullProgress
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.reader import parse_any
from mgd_hw.reports import chapter as chapters
from mgd_hw.reports.chapter import Plan
from mgd_hw.reports.page import write
from mgd_hw.reports.summary import summary
from python_ref.spec.error import Refusal
from tests.support.faults import Fault, planted
from tests.support.marks import SLOW, long_unless

CHIP = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"costs": [sum((value - 0.5) ** 2 for value in asked["parameters"])] * len(asked["inputs"])}), flush=True)
"""
DESIGN = """
name = "bowl"
[network]
external = 2
[perturbation]
amplitude = "2^-4"
[schedule]
learning_rate = {rate}
difference = "two-sided"
[external]
command = "python bowl.py"
right_below = 0.3
"""


def design_of(folder: Path, rate: int = -5) -> ExternalDesign:
    (folder / "bowl.py").write_text(CHIP, encoding="utf-8")
    found = parse_any(DESIGN.format(rate=rate), folder / "bowl.toml")
    assert isinstance(found, ExternalDesign)
    return found


def page_says(tmp_path, monkeypatch, rate, verdict):
    """Simulation and synthesis are left out here; the slow test has them."""
    for verb in ("cosim", "synth"):
        monkeypatch.setattr(chapters, verb, lambda *_, **__: None)
    found = chapters.chapter_of_learner(
        design_of(tmp_path, rate), "bowl.toml", "bowl", Plan(5, 2, 150, "ice40-up5k", ""), tmp_path, NullProgress()
    )
    write(tmp_path, "a page", (found,))
    answers = {each.question: each for each in summary(found)}
    learns = answers["Does it learn?"]
    assert found.chip_compared is not None and found.chip_diagnosed is not None
    assert learns.verdict == verdict and f"to {found.chip_compared.fixed.cost:,.4g}" in learns.figure
    assert (found.chip_compared.fixed.cost < found.chip_diagnosed.cost) == (verdict == "Yes")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "A learner of 2 quantities, whose network is outside." in page and "Does it learn with its chip?" in page
    assert ("schedule.learning_rate:" in page) == (verdict == "No")
    (said,) = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["designs"]
    assert said["chip_compared"]["fixed"]["costs"] == list(found.chip_compared.fixed.costs) and said["compared"] is None
    assert said["provenance"]["commands"][2] == "mgd-hw diagnose bowl.toml"


@pytest.mark.parametrize(("rate", "verdict"), [(-5, "Yes"), pytest.param(3, "No", marks=SLOW)])
def test_the_page_says_what_the_chip_learned(tmp_path, monkeypatch, rate, verdict):
    page_says(tmp_path, monkeypatch, rate, verdict)


_SUMMARY = "mgd_hw.reports.summary:_learns"
FAULTS = (
    Fault("the worst run need not learn", _SUMMARY, "max(runs.costs) < before", "True", "no"),
    Fault("learning is called failure", _SUMMARY, "max(runs.costs) < before", "max(runs.costs) > before", "yes"),
    Fault("the cost before in the place of the one after", _SUMMARY, "to {number(runs.cost)}", "to {number(before)}", "yes"),
    Fault(
        "float MGD in the place of the learner's bits", _SUMMARY, "chapter.chip_compared.fixed", "chapter.chip_compared.float_mgd", "yes"
    ),
    Fault("findings without their keys", "mgd_hw.reports.sections:_chip", "found.findings", "()", "no"),
    Fault(
        "the comparison is forgotten", "mgd_hw.reports.chapter:chapter_of_learner", "chip_compared=compared", "chip_compared=None", "yes"
    ),
)
OFTEN = ("the worst run need not learn", "findings without their keys")
"""Faults of the two functions that judge a learner; the others take as long."""


@pytest.mark.slow
@pytest.mark.parametrize("fault", [pytest.param(each, id=each.name, marks=long_unless(each.name in OFTEN)) for each in FAULTS])
def test_a_planted_fault_of_the_report_is_seen(fault, tmp_path, monkeypatch):
    planted(fault, monkeypatch.setattr)
    with pytest.raises(AssertionError):
        page_says(tmp_path, monkeypatch, *{"yes": (-5, "Yes"), "no": (3, "No")}[fault.design])


def test_a_report_without_a_chip_is_refused_before_any_work(tmp_path):
    text = DESIGN.format(rate=-5).replace("command =", "# ").replace("right_below = 0.3", "")
    with pytest.raises(Refusal, match="nothing that answers the learner with costs"):
        mgd_hw.report(parse_any(text, tmp_path / "bowl.toml"), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.long
def test_the_whole_report_of_a_learner(tmp_path):
    found = mgd_hw.report(design_of(tmp_path), proof=10, seeds=1, steps=100, out=tmp_path / "out")
    assert found.good and found.chapter.cosimulated is not None and found.chapter.cosimulated.equal
    assert found.chapter.synthesised is not None and found.chapter.synthesised.fits
    assert {each.question: each.verdict for each in summary(found.chapter)} == {
        "Is it proven?": "Yes",
        "Does it learn?": "Yes",
        "Does it fit?": "Yes",
        "How fast is it?": "Not built",
    }
