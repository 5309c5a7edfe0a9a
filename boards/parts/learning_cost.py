"""What learning costs: the same network without it, of the same generator, beside it.

Host port, register file, signatures and link are excluded from both: they are kept apart in synthesis, and not counted. So are
probes, which are open on a board. All else of the core counts as learning that a core without learning lacks: what counts
saturations and writes too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boards.parts.synth import KEPT, count
from boards.parts.target import Part, Resources
from python_ref.spec.design import DesignSpec

__all__ = ["LearningCost", "learning_cost"]

EXCLUDED = ("host", "registers")
"""Blocks of the core that serve the host."""


@dataclass(frozen=True)
class LearningCost:
    """Both cores' resources, host and link excluded.

    Attributes
    ----------
    inference : Resources
        The network without learning.
    learning : Resources
        The core that learns.
    lanes : int
        L of both.
    components : dict of str to Resources
        Of the core that learns less the same block of the core that does not ("lanes" are all lanes, "array" what they share),
        each synthesised apart from the others, the largest first: who is responsible. Their sum is more than the difference,
        since logic that blocks share counts in each.
    """

    inference: Resources
    learning: Resources
    lanes: int
    components: dict[str, Resources]

    @property
    def difference(self) -> Resources:
        """What learning takes."""
        return self.learning - self.inference

    @property
    def lut_per_lane(self) -> float:
        """Look-up tables that learning takes, all that is shared included, per lane."""
        return self.difference.lut / self.lanes

    @property
    def per_lane(self) -> Resources:
        """What learning takes per lane, all that is shared included, rounded up."""
        return Resources(**{name: -(-number // self.lanes) for name, number in self.difference.to_json().items()})

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "inference_only": self.inference.to_json(),
            "learning": self.learning.to_json(),
            "lanes": self.lanes,
            "lut_per_lane": self.lut_per_lane,
            "components": {name: taken.to_json() for name, taken in self.components.items()},
        }


def learning_cost(
    spec: DesignSpec,
    part: Part,
    directory: Path,
    *,
    by_component: bool = True,
    notify: Callable[[str], None] | None = None,
) -> LearningCost:
    """Synthesise a design's core with learning and without, by the same recipe.

    Parameters
    ----------
    spec : DesignSpec
        The design.
    part : Part
        For which part.
    directory : Path
        Where Yosys runs and leaves its scripts and logs; must exist.
    by_component : bool
        Whether to synthesise both once more, for the blocks apart.
    notify : callable or None
        Is told when the user has to wait for what happens only once.

    Raises
    ------
    rtl_gen.toolchain.yosys.ToolError, rtl_gen.toolchain.yosys.YosysError
        If Yosys is not there, or breaks down.
    """
    from rtl_gen.emit import cleaned, emit_verilog
    from rtl_gen.inference import InferenceCore
    from rtl_gen.toolchain.verilog import component_verilog

    spec = replace(spec, hardware=replace(spec.hardware, signature=False))
    top = f"{spec.module}_inference"
    text = cleaned(component_verilog(InferenceCore(spec), top))
    (directory / "inference.v").write_text(text, encoding="utf-8")
    (directory / "learning.v").write_text(emit_verilog(spec), encoding="utf-8")
    cores = (("inference", top, f"{top}."), ("learning", spec.module, f"{spec.module}_core."))

    def counted(blocks: bool) -> list[dict[str, Resources]]:
        return [_counted(spec, part, directory, *core, blocks=blocks, notify=notify) for core in cores]

    inference, learning = counted(blocks=False)
    if by_component:
        without, within = counted(blocks=True)
        names = sorted({*without, *within})
        costs = {name: within.get(name, Resources()) - without.get(name, Resources()) for name in names}
        components = dict(sorted(costs.items(), key=lambda item: -item[1].lut))
    else:
        components = {}
    return LearningCost(sum(inference.values(), Resources()), sum(learning.values(), Resources()), spec.hardware.lanes, components)


def _counted(
    spec: DesignSpec,
    part: Part,
    directory: Path,
    name: str,
    top: str,
    prefix: str,
    *,
    blocks: bool,
    notify: Callable[[str], None] | None,
) -> dict[str, Resources]:
    """Resources of a core but for what serves the host: as one, or by block."""
    from rtl_gen.emit import kept_modules
    from rtl_gen.toolchain.yosys import run_yosys

    apart = ("",) if blocks else EXCLUDED
    kept = [*kept_modules(spec, macs=part.keeps_mac), *(f"{prefix}{block}*" for block in apart)]
    file = f"{name}_{'blocks' if blocks else 'whole'}"
    commands = [
        f"read_verilog {name}.v",
        f"hierarchy -check -top {top}",
        "proc",
        *(f"setattr -mod -set keep_hierarchy 1 {pattern}" for pattern in kept),
        f"{part.synthesis} -top {top}",
        "check -assert",
        f"write_json {file}.json",
    ]
    run_yosys(commands, directory, name=file, notify=notify)
    netlist = json.loads((directory / f"{file}.json").read_text(encoding="utf-8"))
    (directory / f"{file}.json").unlink()
    found: dict[str, Resources] = {}
    for path, resources in count(netlist, top, part).items():
        inside = path.removeprefix("core").removeprefix(".")
        block = KEPT if re.match(r"array\.lane\d+", inside) else inside.split(".")[0] or "core"
        if block not in EXCLUDED:
            found[block] = found.get(block, Resources()) + resources
    return found
