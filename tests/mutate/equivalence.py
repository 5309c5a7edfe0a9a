"""Prove with Yosys that a mutant behaves as the core does, whatever its inputs.

Both proofs take the change, the flat netlist of the core, which is ``base``, and a ``directory`` to work in. They return True if the
mutant is proved equivalent, and None if that is not decided.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from rtl_gen.toolchain.yosys import YosysError, run_yosys
from tests.mutate.netlist import Mutant

__all__ = ["equal_by_induction", "equal_from_state_to_state"]

_STORES = ("$dff", "$adff", "$mem_v2")
"""Cells that have a state, at which the logic of a cycle begins and ends."""


def equal_from_state_to_state(mutant: Mutant, base: Path, directory: Path, *, seconds: float = 60.0) -> bool | None:
    """Prove that the logic which the change reaches within a cycle has the same outputs, whatever the state is.

    That logic, with all that it depends on in the same cycle, becomes a module, and a SAT solver compares it with its mutant. That takes
    a second, where the whole core takes half a minute. A change at the input of a flip-flop, or at a memory, proves nothing here; one
    at the output of a flip-flop is a change of the logic that reads it.
    """
    _prepare(base, directory)
    stores = " ".join(f"t:{store}" for store in _STORES) + " %u" * (len(_STORES) - 1)
    beyond = ",".join(_STORES)
    cell = f"c:{mutant.argument('cell')}"
    itself = f" {cell} %u" if mutant.argument("port") == "Q" else ""
    commands = [
        "read_rtlil base.il",
        "memory_collect",
        f"select -set stores {stores}",
        f"select -set reached {cell} %co1 %co*:-{beyond} @stores %d",
        f"select -set logic @reached %ci*:-{beyond} @stores %d{itself}",
        "submod -name logic @logic",
        "hierarchy -top logic",
        "opt_clean",
        "setattr -unset init w:*",  # a flip-flop of both has whatever state
        "design -stash cut",
        "design -copy-from cut -as gold logic",
        "design -copy-from cut -as logic logic",
        f"mutate {mutant.within('logic')}",
        "rename logic gate",
        "miter -equiv -flatten gold gate miter",
        "hierarchy -top miter",
        "opt_expr",
        "opt_merge -share_all",
        "opt_clean",
        "sat -verify -seq 1 -prove trigger 0 miter",
    ]
    with suppress(YosysError):
        run_yosys(commands, directory, name="logic", timeout=seconds)
        return True
    return None


def equal_by_induction(mutant: Mutant, top: str, base: Path, directory: Path, *, seconds: float = 200.0, steps: int = 3) -> bool | None:
    """Prove a mutant equal to the core by induction over ``steps`` cycles.

    Signals of both are matched by name. Each pair is proved equal, where the pairs that it depends on are assumed to be; pairs of
    flip-flops have the same reset value. So whatever is proved holds from reset on. A pair that cannot be proved decides nothing,
    since the assumption may be too weak. What does not depend on the change is shared, and memories become flip-flops.
    """
    _prepare(base, directory)
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
        "memory_map",
        "opt_clean",
        "equiv_make gold gate equiv",
        "hierarchy -top equiv",
        "opt_clean -purge",
        "equiv_struct -icells -fwd",
        "equiv_simple",
        f"equiv_induct -seq {steps}",
        "equiv_status -assert",
    ]
    with suppress(YosysError):
        run_yosys(commands, directory, name="induction", timeout=seconds)
        return True
    return None


def _prepare(base: Path, directory: Path) -> None:
    """Put the netlist where Yosys runs."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "base.il").write_bytes(base.read_bytes())
