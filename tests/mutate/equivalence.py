"""Prove with Yosys that a mutant behaves as the core does, whatever its inputs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from rtl_gen.toolchain.yosys import YosysError, run_yosys
from tests.mutate.netlist import Mutant

__all__ = ["equivalent"]


_TRIES = (
    # Cells whose inputs are equal are one cell. Whatever depends on the change is then compared at the inputs of the cells that it reaches.
    ((), ("equiv_struct -icells", "equiv_simple")),
    # Only what does not depend on the change is shared, and flip-flops are compared by induction; memories become flip-flops for that.
    (("memory_map", "opt_clean"), ("equiv_struct -icells -fwd", "equiv_simple", "equiv_induct -seq {steps}")),
)
"""Commands before both netlists are joined, and those that prove, for each attempt."""


def equivalent(mutant: Mutant, top: str, base: Path, directory: Path, *, seconds: float = 200.0, steps: int = 3) -> bool | None:
    """Return whether a mutant is equivalent to the core: True if that is proved, None if it is not decided.

    Signals of both are matched by name. Each pair is proved equal, where the pairs that it depends on are assumed to be; pairs of
    flip-flops have the same reset value. So whatever is proved holds from reset on. A pair that cannot be proved decides nothing,
    since the assumption may be too weak.

    Parameters
    ----------
    mutant : Mutant
        The change.
    top : str
        Name of the module.
    base : Path
        Flat netlist of the core.
    directory : Path
        Directory to work in.
    seconds : float
        Seconds after which an attempt is ended.
    steps : int
        Cycles of the induction.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "base.il").write_bytes(base.read_bytes())
    for number, (before, prove) in enumerate(_TRIES):
        commands = [
            "read_rtlil base.il",
            f"rename {top} gold",
            "design -stash gold",
            "read_rtlil base.il",
            f"mutate {mutant.command}",
            f"rename {top} gate",
            "design -stash gate",
            "design -copy-from gold -as gold gold",
            "design -copy-from gate -as gate gate",
            "memory_collect",
            *before,
            "opt_clean",
            "equiv_make gold gate equiv",
            "hierarchy -top equiv",
            "opt_clean -purge",
            *(command.format(steps=steps) for command in prove),
            "equiv_status -assert",
        ]
        with suppress(YosysError):
            run_yosys(commands, directory, name=f"equivalence{number}", timeout=seconds)
            return True
    return None
