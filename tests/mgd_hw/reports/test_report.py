"""The page: whole, readable without a network, by eye and by ear; ``pytest -m browser`` looks at it in a browser as well."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from markupsafe import escape

import mgd_hw
from mgd_hw import reports
from mgd_hw.cli import commands
from mgd_hw.common import figures
from mgd_hw.data.kinds import Regression
from mgd_hw.design.reader import load
from mgd_hw.reports import chapter as chapter_module
from mgd_hw.reports.chapter import Chapter, found_build, found_efficiency
from mgd_hw.reports.page import html, write
from mgd_hw.reports.sections import inline, sections
from mgd_hw.reports.summary import QUESTIONS, Answer, summary
from tests.support import sample_results

VOID = {"meta", "link", "br", "hr", "img", "input", "col"}


class Page(HTMLParser):
    """Checks that every element closes, and gathers what matters."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[int] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        identifier = self.attributes[-1][1].get("id") if self.attributes else None
        if identifier:
            self.texts.setdefault(identifier, data)

    def named(self, name: str) -> list[str]:
        """Values of an attribute."""
        return [str(attributes[name]) for _, attributes in self.attributes if name in attributes]


@pytest.fixture(scope="module")
def chapters(tmp_path_factory: pytest.TempPathFactory) -> tuple[Chapter, ...]:
    return sample_results.chapters(tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def text(chapters: tuple[Chapter, ...]) -> str:
    return html("A report", chapters)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_headings_are_in_order(page: Page) -> None:
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert page.headings.count(2) == 1 + 2, "the summary, and one for each design"
    assert all(after - before <= 1 for before, after in pairwise(page.headings))


def answers(chapter: Chapter) -> dict[str, Answer]:
    """The answers of a chapter's summary, by their question."""
    return dict(zip(QUESTIONS, summary(chapter), strict=True))


@pytest.mark.usefixtures("without_pictures")
def test_the_summary_answers_every_question_first(chapters: tuple[Chapter, ...], text: str) -> None:
    assert [tuple(answer.question for answer in summary(chapter)) for chapter in chapters] == [QUESTIONS] * 2
    start = text.index('id="summary"')
    assert start < text.index("<nav") < text.index('id="design-1"')
    top = text[start : text.index("<nav")]
    for number, chapter in enumerate(chapters, 1):
        known = {section.id for section in sections(chapter, f"design-{number}")}
        for answer in summary(chapter):
            assert top.count(escape(answer.figure)) == 1
            name = f"design-{number}-{answer.section}"
            assert (f'href="#{name}"' in top and name in known) if answer.section else answer.verdict == "Not run"


def test_the_summary_of_a_good_design(chapters: tuple[Chapter, ...]) -> None:
    whole, _ = chapters
    proven, learns, fits, fast = summary(whole)
    assert (proven.verdict, proven.tone) == ("Yes", "good") and "all 711 values of 9 steps" in proven.figure
    compared = whole.compared
    assert compared
    assert compared.measure.text(compared.fixed.accuracy_mean) in learns.figure and "always" in learns.figure
    assert (learns.verdict == "Yes") == (compared.fixed.accuracy_mean > compared.kind.baseline["accuracy"])
    assert (fits.verdict, fits.figure) == ("No", "1 DSPs too many for ice40-up5k (UP5K)")
    assert not fast.verdict and "100,000 steps per second on icebreaker at 30 MHz" in fast.figure
    synthesised = whole.synthesised
    assert synthesised
    fitting = answers(replace(whole, synthesised=replace(synthesised, fits=True, over={})))["Does it fit?"]
    assert fitting.verdict == "Yes" and "900 of 5,280 LUTs" in fitting.figure


def test_the_summary_says_what_went_wrong_or_was_not_run(chapters: tuple[Chapter, ...]) -> None:
    whole, wrong = chapters
    assert [answer.verdict for answer in summary(wrong)] == ["No", "Not run", "Not run", "Not built"]
    assert answers(wrong)["Is it proven?"].figure == "5 of 711 values differ from those of the model"
    stuck = replace(sample_results.DIFFERENT, mismatches=0)
    assert "the core failed: stuck" in answers(replace(wrong, cosimulated=stuck))["Is it proven?"].figure
    assert answers(replace(wrong, cosimulated=None))["Is it proven?"] == Answer("Is it proven?", "Not run", "the core was not co-simulated")
    unbuilt = answers(replace(whole, built=None))["How fast is it?"]
    costs = whole.compared and whole.compared.fixed.costs
    assert costs and costs.cycles
    rate = f"{costs.clock_hz * costs.steps / costs.cycles:,.0f}"
    assert unbuilt.verdict == "Not built" and f"{rate} steps per second at the 60 MHz of icebreaker" in unbuilt.figure
    assert f"{costs.steps / costs.hardware_seconds:,.0f} through its link" in unbuilt.figure
    unknown = replace(whole, built={**sample_results.BUILT, "steps_per_second": None})
    assert answers(unknown)["How fast is it?"] == unbuilt


def test_the_summary_of_runs_that_learn_nothing(chapters: tuple[Chapter, ...]) -> None:
    compared = chapters[0].compared
    assert compared
    runs = tuple(replace(run, scores={**run.scores, "accuracy": 1.0}, failure="its cost rose") for run in compared.fixed.runs)
    diverged = replace(compared, fixed=replace(compared.fixed, runs=runs))
    found = answers(replace(chapters[0], compared=diverged))["Does it learn?"]
    assert (found.verdict, found.tone) == ("No", "bad") and "diverged" in found.figure
    for accuracy, verdict in ((0.5, "No"), (0.75, "Yes")):
        runs = tuple(replace(run, scores={**run.scores, "accuracy": accuracy}) for run in compared.fixed.runs)
        judged = replace(compared, fixed=replace(compared.fixed, runs=runs))
        assert answers(replace(chapters[0], compared=judged))["Does it learn?"].verdict == verdict


def test_the_summary_of_a_regression_wants_a_smaller_error_than_the_mean_has(chapters: tuple[Chapter, ...]) -> None:
    compared = chapters[0].compared
    assert compared
    targets = np.array([[1.0], [3.0]])
    kind = Regression(targets, targets, np.zeros(1), np.ones(1))
    assert kind.baseline["rmse"] == 1.0
    for error, verdict in ((0.5, "Yes"), (1.0, "No"), (2.0, "No")):
        runs = tuple(replace(run, scores={"rmse": error, "r2": 1 - error**2}) for run in compared.fixed.runs)
        judged = replace(compared, kind=kind, fixed=replace(compared.fixed, runs=runs, kind=kind))
        assert answers(replace(chapters[0], compared=judged))["Does it learn?"].verdict == verdict
        assert any(note.startswith("fixed MGD answers no better than always the mean") for note in judged.notes()) == (verdict == "No")


def test_it_says_it_all(text: str) -> None:
    for words in ("Equal, bit for bit", "Different:", "step &lt;3&gt; &amp; so on", "Another &lt;b&gt;", "back-propagation", "LUTs"):
        assert words in text
    for words in ("high bits never used", "saturated", "Cosine to the true gradient", "Estimated energy", "ISSCC 2014", "on icebreaker"):
        assert words in text
    for words in ("mgd-hw cosim xor --steps 9", load("xor").spec.run_digest, "numpy", "711 values", "41.5 MHz"):
        assert words in text


def test_it_needs_nothing_else(text: str, page: Page) -> None:
    for tag, attributes in page.attributes:
        assert tag not in {"script", "link", "iframe", "img", "object", "embed", "base"}
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,")), (tag, value)
    assert "@import" not in text
    assert not re.search(r"url\((?!#|&quot;#)", text)


def test_names_are_unique_and_lead_somewhere(page: Page, text: str) -> None:
    names = page.named("id")
    assert len(names) == len(set(names))
    for value in page.named("aria-labelledby"):
        assert set(value.split()) <= set(names)
    for value in (*page.named("href"), *page.named("xlink:href")):
        assert not value.startswith("#") or value[1:] in names, value
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(names)
    labels = page.named("aria-label")
    assert len(labels) == len(set(labels))


def test_it_can_be_heard(page: Page, text: str) -> None:
    assert dict(page.attributes)["html"]["lang"] == "en"
    pictures = [attributes for tag, attributes in page.attributes if tag == "svg"]
    assert len(pictures) > 12
    for picture in pictures:
        assert picture["role"] == "img"
        title, description = str(picture["aria-labelledby"]).split()
        assert len(page.texts[title]) > 5 and len(page.texts[description]) > 40
    said = page.texts["design-1-learning-accuracy-d"]
    assert re.search(r"float MGD accuracy \d+\.\d\d %, fixed MGD, .* %, back-propagation accuracy \d", said)
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in page.attributes if tag == "th")
    assert text.count("<caption>") == text.count("<table>") > 10
    assert '<th scope="col"></th>' not in text and '<th scope="row"></th>' not in text
    scrolled = [attributes for tag, attributes in page.attributes if tag in ("pre", "div") and attributes.get("role") == "region"]
    assert scrolled and all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in scrolled)


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2, of #rrggbb."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast() -> None:
    """WCAG 2.2: 4.5 for text, on either ground, and 3 for what pictures are made of."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    style = Path(str(reports.__file__)).with_name("report.html.j2").read_text(encoding="utf-8").partition("</style>")[0]
    grounds = set(re.findall(r"background: (#\w{6})", style))
    colours = set(re.findall(r"[ {;]color: (#\w+)", style))
    assert len(grounds) == 2 and len(colours) >= 5
    assert all(contrast(colour, ground) >= 4.5 for colour in colours for ground in grounds)
    assert all(contrast(colour, "#ffffff") >= 3 for colour in (figures.BLUE, figures.ORANGE, figures.GREEN, figures.GREY))


def test_an_element_is_made_of_a_file() -> None:
    inner = '<metadata>a</metadata><g id="a" style="fill:url(#a)"/>'
    svg = f'<?xml version="1.0"?>\n<svg height="9pt" width="8pt" viewBox="0 0 8 9">{inner}</svg>'
    found = str(inline(svg, "x", "A & B", "Of <c>"))
    assert found.startswith('<svg role="img" aria-labelledby="x-t x-d"')
    assert '<title id="x-t">A &amp; B</title><desc id="x-d">Of &lt;c&gt;</desc><g id="x-a" style="fill:url(#x-a)"/>' in found
    assert "metadata" not in found and "pt" not in found and 'viewBox="0 0 8 9"' in found


def test_what_was_not_done_is_left_out(chapters: tuple[Chapter, ...], page: Page) -> None:
    assert page.headings.count(3) == 11 + 4
    bare = replace(chapters[1], cosimulated=None)
    assert [section.title for section in sections(bare, "x")] == ["The design", "What does it learn?", "What happens in a step?"]


def test_files_are_written(chapters: tuple[Chapter, ...], text: str, tmp_path: Path) -> None:
    write(tmp_path, "A report", chapters)
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["designs"][0]["compared"]["fixed"]["accuracy_mean"] >= 0
    assert found["designs"][0]["compared"]["fixed"]["costs"]["energy"]["joules"] > 0
    assert found["designs"][0]["observed"]["values"][0]["idle_high"] >= 0
    assert found["designs"][0]["provenance"]["seeds"] == [1, 2]
    assert found["designs"][1]["cosimulated"]["mismatches"] == 5
    assert [each["verdict"] for each in found["designs"][1]["summary"]] == ["No", "Not run", "Not run", "Not built"]
    assert "placement" not in found["designs"][0]
    assert (tmp_path / "report.html").read_text() == text, "the same chapters, another page"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a compiler and without synthesis, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(chapter_module, "cosim", lambda design, **options: sample_results.COSIMULATED)
    monkeypatch.setattr(chapter_module, "synth", lambda design, **options: sample_results.SYNTHESISED)


@pytest.mark.usefixtures("quick", "without_pictures", "shared_verilog")
def test_the_command_leaves_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A design without slopes, whose name a shell would split."""
    Path("my net.toml").write_text('name = "s"\nnetwork.layers = [2, 3, 1]\nnetwork.output = "sign"\ndata.task = "xor"\n')
    command = ["report", "my net.toml", "--seeds", "1", "--steps", "60", "-o", "out", "--json"]
    result = CliRunner().invoke(commands, command)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["good"] and found["chapter"]["observed"]["directions"] == []
    assert found["chapter"]["provenance"]["commands"][2] == "mgd-hw compare 'my net.toml' --seeds 1 --steps 60 --board icebreaker"
    page = Page(Path("out/report.html").read_text())
    assert page.headings.count(2) == 1 + 1 and "gradient point" not in Path("out/report.html").read_text()
    monkeypatch.setattr(chapter_module, "cosim", lambda design, **options: sample_results.DIFFERENT)
    assert CliRunner().invoke(commands, command).exit_code == 1


@pytest.mark.usefixtures("quick")
def test_the_command_refuses_before_it_works() -> None:
    for arguments, said in (
        (["xor", "--board", "icebraker"], "Did you mean icebreaker?"),
        (["x.toml"], "this optimiser has no hardware yet"),
        (["nothing"], "nothing"),
    ):
        Path("x.toml").write_text('data.task = "xor"\noptimizer.name = "adam"\n')
        result = CliRunner().invoke(commands, ["report", *arguments])
        assert result.exit_code == 2 and said in result.stderr, result.output
        assert not Path("mgd-hw-out").exists()


def test_a_build_of_the_same_design_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    design = load("xor")
    assert found_build(design, Path("out")) == (None, "")
    for place, digest in (("mgd-hw-out/xor/icebreaker", "other"), ("out/mine", design.spec.digest), ("out/broken", None)):
        Path(place).mkdir(parents=True)
        Path(place, "build.json").write_text(json.dumps({"digest": digest}) if digest else "{")
    assert found_build(design, Path("out")) == ({"digest": design.spec.digest}, "")
    Path("out/mine/placement.svg").write_text("<svg></svg>")
    assert found_build(design, Path("out"))[1] == "<svg></svg>"


def test_cycles_of_synthesis_are_fields_of_their_own() -> None:
    observed = sample_results.SYNTHESISED.to_json()
    assert (observed["cycles_one_pass"], observed["cycles_two_passes"], observed["cycles_per_step"]) == (25, 47, 47.0)
    assert not {"cycles", "cycles_summary"} & observed.keys()


def test_the_efficiency_of_the_same_design_is_a_section(
    chapters: tuple[Chapter, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    design = load("xor")
    assert found_efficiency(design, Path("out")) is None
    energy = {"joules": 2e-9, "low": 1e-9, "high": None}
    counts = dict.fromkeys(("cycles", "writes", "changed", "most_written"), 1234) | {
        "evaluations": 7,
        "most_changed": None,
        "energy": energy,
    }
    wear = [{"endurance": 100_000, "always": 12_345, "if_changed": None}]
    one = {"title": "node <b>", "reached": 0, "runs": [{}, {}], "counts": counts, "wear": wear, "refused": ""}
    other = {"title": "weight", "reached": 0, "runs": [], "counts": None, "wear": [], "refused": "It has no hardware."}
    found = {"digest": design.spec.digest, "until": 0.9, "until_why": "To 90 %.", "variants": [one, other], "uncertainties": ["Perhaps."]}
    for time, (place, digest) in enumerate((("out", design.spec.digest), ("mgd-hw-out/xor", "other"))):  # the other one is newer
        Path(place).mkdir(parents=True)
        Path(place, "efficiency.json").write_text(json.dumps(found | {"digest": digest}))
        os.utime(Path(place, "efficiency.json"), (time, time))
    assert found_efficiency(design, Path("out")) == found
    chapter = replace(chapters[1], efficiency=found)
    (section,) = [each for each in sections(chapter, "x") if each.id == "x-efficiency"]
    first, what, lasting, refused, sentence = section.blocks
    assert (first.text, refused.strong, refused.text, sentence.text) == (
        "To 90 %. Counts with > are of whole runs, none of which reached it.", "weight:", "It has no hardware.", "Perhaps.",
    )  # fmt: skip
    row = ("node <b>", "0 of 2", ">7", *([">1,234"] * 4), "–", ">2 nJ", ">1 nJ", "–")
    assert what.rows == (row,)
    assert lasting.columns == ("way", "100,000 writes") and lasting.rows == (("node <b>", "12,345 / –"),)


# -- Networks with state, and sparse ones -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The text of the sections "design" and "step" of shipped designs whose layers are not all dense, by design and section."""
    found: dict[str, dict[str, str]] = {}
    for name in ("digits_rows", "digits_lif", "digits_sparse"):
        design = load(name)
        generated = mgd_hw.generate(design, tmp_path_factory.mktemp(name))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mgd_hw.common.figures.saved", lambda figure, form, salt, dpi=150: b"<svg><g/></svg>")
            made = sections(Chapter(name, design.text, generated), "one")
        found[name] = {section.id.removeprefix("one-"): str(section.blocks) for section in made}
    return found


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("digits_rows", "Network 8–32 (leaky, leak 1)–10, samples of up to 8 frames, 1,642 parameters, 4 lanes."),
        ("digits_lif", "Network 64–32 (lif, leak 3)–10, samples of 16 frames with the same inputs, read out by their sum, 2,410 "),
        ("digits_sparse", "Network 64–192 (sparse, fan-in 5, block 2)–10 (sparse, fan-in 38, block 2), 1,542 parameters, 2 lanes."),
    ],
)
def test_kinds_of_layers_and_frames_are_named(of_state: dict[str, dict[str, str]], name: str, network: str) -> None:
    assert network in of_state[name]["design"]


def test_a_step_of_frames_is_described_as_it_is(of_state: dict[str, dict[str, str]]) -> None:
    """A probe of a network with state evaluates every layer in every frame; one of a sparse network the layers behind the first."""
    for name, frames in (("digits_rows", 8), ("digits_lif", 16)):
        step = of_state[name]["step"]
        assert "Each probe evaluates all frames again." in step and "behind the first one" not in step
        assert f"a sample of {frames} frames, " in step
        assert f"unperturbed pass, frame {frames}, layer 1" in step and f"frame {frames + 1}" not in step
    assert "Each probe evaluates the layers behind the first one." in of_state["digits_sparse"]["step"]
    assert "frame" not in of_state["digits_sparse"]["step"]


def test_a_part_with_too_little_memory_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Synthesis comes last, after minutes of simulation and training."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it must not run")

    monkeypatch.setattr("mgd_hw.reports.report.chapter_of", never)
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(commands, ["report", "mnist"])
    assert found.exit_code == 2 and not list(tmp_path.rglob("report.*"))
    assert "more than the 122,880 of block memory in ice40-up5k" in found.stderr and "Take --target ecp5-85k" in found.stderr
