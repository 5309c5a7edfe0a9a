"""Results made by hand, of what takes long to do, and the chapters of a report that has everything."""

from pathlib import Path

import mgd_hw
from boards.flow.build import Placed
from mgd_hw.data import load as load_data
from mgd_hw.design.reader import load
from mgd_hw.hardware.boards import board_of
from mgd_hw.hardware.build import placement
from mgd_hw.hardware.cosim import Cosimulated
from mgd_hw.hardware.synth import Synthesised
from mgd_hw.learn.compare import compare_models
from mgd_hw.learn.profile import profile_numbers
from mgd_hw.reports.chapter import Chapter
from mgd_hw.reports.provenance import provenance

COSIMULATED = Cosimulated("xor", "d", "cxxrtl", "design.v", "python_ref.fixed.machine", 9, 79, 711, 0, None, "", {}, "", 99, 11.0, 0.1)
DIFFERENT = Cosimulated("xor", "d", "cxxrtl", "design.v", "m", 9, 79, 711, 5, None, "step <3> & so on", {"sign": 5}, "stuck", 9, 1.0, 0.1)
SYNTHESISED = Synthesised(
    "xor", "d", "ice40-up5k", "UP5K", 4, 900, 800, 9, 4, 1234, 47.0,
    {"one_pass": 25, "two_passes": 47}, "25 with one pass, 47 with two", False, {"dsp": 1}, 3,
    {"lut": 5280, "ff": 5280, "dsp": 8, "bram": 30}, "a data sheet", {"lanes": {"lut": 400, "ff": 300}, "host": {"lut": 50, "ff": 60}}, 3.0,
)  # fmt: skip
BUILT = {
    "board": "icebreaker", "frequency_mhz": 41.5, "seeds": 3, "clock_mhz": 30.0, "steps_per_second": 1e5, "link_steps_per_second": 2e4,
    "utilisation": {"ICESTORM_LC": {"used": 900, "available": 5280}},
}  # fmt: skip


def chapters(out: Path) -> tuple[Chapter, Chapter]:
    """A chapter with every section, and one that has only what went wrong, and a title that must be escaped."""
    design = load("xor")
    data = load_data(design.data)
    generated = mgd_hw.generate(design, out)
    compared = compare_models(design, data, seeds=2, steps=200, board=board_of("icebreaker"))
    observed = profile_numbers(design, data, steps=200, points=4, window=8)
    origin = provenance(design, data, ("mgd-hw cosim xor --steps 9",), 2)
    cells = [Placed(name, "lut", x, y, 0) for x, y, name in ((1, 2, "lanes"), (3, 4, "host"), (5, 6, "lanes"))]
    picture = placement(cells, "xor").decode("utf-8")
    return (
        Chapter("XOR", design.text, generated, COSIMULATED, compared, SYNTHESISED, observed, origin, BUILT, picture),
        Chapter("Another <b>", design.text, generated, DIFFERENT),
    )
