"""Checkpoint file of a training: everything that a core needs to continue it bit for bit."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mgd_hw.common.archives import UNREADABLE, opened_archive
from mgd_hw.common.files import write_file
from python_ref.fixed.machine import sample_number
from python_ref.spec.error import Refusal, said
from python_ref.trace import LearnerRun, Run

__all__ = ["CHECKPOINT", "Checkpoint", "RunDigest"]

CHECKPOINT = "checkpoint.npz"
"""Name of the checkpoint file in the results directory."""


class RunDigest:
    """Digests of a run up to any step: its design with rates and periods, seed, initial parameters, data, and the samples taken so far.

    Parameters
    ----------
    run : Run or LearnerRun
        Training run that the digests identify; one of a learner takes no samples.
    """

    def __init__(self, run: Run | LearnerRun) -> None:
        self.run = run
        if isinstance(run, LearnerRun):
            self._start = hashlib.sha256(run.digest.encode())
            return
        self._start = hashlib.sha256(f"{run.spec.run_digest}:{run.seed}".encode())
        for array in (run.parameters, run.inputs, run.targets):
            self._start.update(repr(array.shape).encode() + np.ascontiguousarray(array, dtype="<i8").tobytes())

    @property
    def origin(self) -> str:
        """Digest before the first step, which covers no samples taken."""
        return self.at(0)

    def at(self, step: int) -> str:
        """Return the digest before a step, as 16 hexadecimal digits."""
        found = self._start.copy()
        if step and isinstance(self.run, Run):
            found.update(np.ascontiguousarray(self.run.order[: sample_number(self.run.spec, step - 1) + 1], dtype="<i8").tobytes())
        return found.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """State of a training before a step at which all periods of its schedule begin.

    Attributes
    ----------
    step : int
        Number of training steps completed before the checkpoint.
    origin, digest : str
        Digest of the run before its first step, and before this step.
    memories : mapping of str to array of int64, shape (P,)
        Raw contents of each memory by name, in the canonical order of parameters.
    counters : mapping of str to int
        Counters of the core since step 0, including its cycles.
    seconds : float
        Time spent training up to this step, earlier sessions included, in seconds.
    outside : str
        Weights that a chip outside has itself, as JSON; "" where there are none, or where its program does not tell them.
    """

    step: int
    origin: str
    digest: str
    memories: Mapping[str, np.ndarray]
    counters: Mapping[str, int]
    seconds: float = 0.0
    outside: str = ""

    def write(self, path: Path) -> None:
        """Write the checkpoint to a file atomically."""
        arrays = {f"memory.{name}": values for name, values in self.memories.items()}
        arrays |= {f"counter.{name}": np.array(value, dtype=np.int64) for name, value in self.counters.items()}
        if self.outside:
            arrays["outside"] = np.array(self.outside)
        content = io.BytesIO()
        np.savez(content, step=self.step, origin=self.origin, digest=self.digest, seconds=self.seconds, **arrays)  # type: ignore[arg-type]
        write_file(path, content.getvalue())

    @classmethod
    def read(cls, path: Path, digests: RunDigest) -> Checkpoint:
        """Read a checkpoint of a run from a file.

        Raises
        ------
        Refusal
            If there is no such file, if it is not a checkpoint, or if it belongs to another run.
        """
        try:
            with opened_archive(path) as arrays:
                found = cls(
                    int(arrays["step"]),
                    str(arrays["origin"]),
                    str(arrays["digest"]),
                    _named(arrays, "memory."),
                    {name: int(value) for name, value in _named(arrays, "counter.").items()},
                    float(arrays["seconds"]),
                    str(arrays["outside"]) if "outside" in arrays else "",
                )
                if found.outside:
                    json.loads(found.outside)
        except FileNotFoundError:
            remedy = "Leave --resume out, or name the directory with -o."
            raise Refusal("there is no checkpoint to resume from", remedy, file=path) from None
        except UNREADABLE as error:
            raise Refusal(f"it is not a checkpoint ({said(error)})", "Leave --resume out to begin anew.", file=path) from None
        steps = digests.run.steps
        same = found.origin == digests.origin
        if same and found.step > steps:
            raise Refusal(f"it was written at step {found.step:,}, and the run ends at {steps:,}", "Give more --steps.", file=path)
        if not same or found.digest != digests.at(found.step):
            reason = "it belongs to another run: the design, its seed, its initial parameters or its data have changed since"
            raise Refusal(reason, "Undo the change, or leave --resume out to begin anew.", file=path)
        return found


def _named(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
