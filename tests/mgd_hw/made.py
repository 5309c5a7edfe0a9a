"""Results made by hand, of what takes long to do."""

from mgd_hw import flow

COSIMULATED = flow.Cosimulated("xor", "d", "cxxrtl", "design.v", "python_ref.machine", 9, 79, 711, 0, None, "", {}, "", 99, 11.0, 0.1)
DIFFERENT = flow.Cosimulated(
    "xor", "d", "cxxrtl", "design.v", "m", 9, 79, 711, 5, None, "step <3> & so on", {"sign": 5}, "stuck", 9, 1.0, 0.1
)
SYNTHESISED = flow.Synthesised(
    "xor", "d", "ice40-up5k", "UP5K", 4, 900, 800, 9, 4, 1234, 47.0, 25, 47, False, {"dsp": 1}, 3,
    {"lut": 5280, "ff": 5280, "dsp": 8, "bram": 30}, "a data sheet", {"lanes": {"lut": 400, "ff": 300}}, 3.0,
)  # fmt: skip
