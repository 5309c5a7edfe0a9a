"""Forward passes supplied by the user: a Python function, or another process, such as one that drives a chip. MGD needs no model
of either.

A process reads requests from its standard input and answers each on its standard output, in one of two protocols:

*lines*: a request is one line of JSON, ``{"parameters": […], "inputs": [[…], …], "targets": [[…], …]}``; its answer is one line,
``{"costs": […]}``, a cost per sample, or ``{"error": "…"}``. For a learner of node currents, a request may have ``"errors": […]`` too,
those of an update that comes before the measurement. If it has ``"keep": true``, a process that can tell the weights of its chip adds them
to the answer, as ``"weights"``: any JSON, or nothing. A request with ``"weights": …`` sets them before all else.

*frames*: a request is four unsigned 32-bit numbers, P, B, n_in and n_out, followed by P + B·n_in + B·n_out doubles: the parameters,
the inputs and the targets, row by row; its answer is an unsigned 32-bit number, B, followed by B doubles. All numbers are little-endian.

If the process fails, the error message shows the last line of its standard error. At the end, its standard input is closed as a request
to stop.
"""

from __future__ import annotations

import contextlib
import json
import queue
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from python_ref.floating.passes import Block
from python_ref.spec.error import Refusal

__all__ = ["Called", "OutsideError", "Process"]

LONGEST_ANSWER = 1 << 28
"""Maximum size of an answer, in bytes."""


class OutsideError(Refusal):
    """A forward pass of the user's that failed, or returned an invalid result.

    Parameters
    ----------
    reason : str
        What the function or the process did, as a clause.
    remedy : str
        What the user can do about it, as a full sentence.
    """


def _checked(costs: object, batch: int, subject: str) -> np.ndarray:
    """Return costs as an array (float64, shape (B,)), after checking that they are as many finite numbers as there are samples."""
    try:
        found = np.asarray(costs, dtype=np.float64)
    except (TypeError, ValueError):
        raise OutsideError(f"{subject} returned values that are not numbers: {str(costs)[:80]!r}", "Return one cost per sample.") from None
    if found.shape != (batch,):
        raise OutsideError(f"{subject} returned costs of shape {found.shape!r} for {batch} samples", "Return one cost per sample.")
    if not np.isfinite(found).all():
        raise OutsideError(f"{subject} returned a cost that is not finite, {found[~np.isfinite(found)][0]}", "Return finite costs.")
    return found


@dataclass(frozen=True)
class Called:
    """A :class:`~python_ref.floating.passes.Measurable` that calls a Python function.

    Parameters
    ----------
    function : callable
        Function of parameters (shape (P,)), inputs (shape (B, n_in)) and targets (shape (B, n_out)) that returns costs (shape (B,)).
    size : int
        Number P of parameters that the function takes.
    """

    function: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    size: int

    @property
    def parameters(self) -> tuple[Block, ...]:
        """All parameters as one block."""
        return (Block("outside", (self.size,)),)

    def costs(self, theta: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return C of each sample (float64, shape (B,)).

        Raises
        ------
        OutsideError
            If the function fails, or does not return a cost per sample.
        """
        try:
            found = self.function(theta, inputs, targets)
        except Exception as error:
            reason = f"The function of the forward pass failed: {type(error).__name__}: {error}"
            raise OutsideError(reason, "Fix the function.") from error
        return _checked(found, len(inputs), "The function of the forward pass")


class Process:
    """A :class:`~python_ref.floating.passes.Measurable` that runs another process; a context manager.

    Parameters
    ----------
    command : sequence of str
        Program to run, followed by its arguments.
    size : int
        Number P of parameters that the process takes.
    frames : bool
        Whether the process uses the protocol *frames* instead of *lines*.
    timeout : float
        Maximum time for an answer, in seconds.
    folder : path or None
        Working directory of the process; None takes the current one.

    Raises
    ------
    OutsideError
        If the process cannot be started.

    Attributes
    ----------
    weights : object
        The weights that the last answer had, as parsed from JSON; None without any.
    """

    def __init__(
        self, command: Sequence[str], size: int, *, frames: bool = False, timeout: float = 10.0, folder: Path | None = None
    ) -> None:
        self.command = tuple(command)
        self.size = size
        self.frames = frames
        self.timeout = timeout
        self.weights: object = None
        self._subject = f"The process {' '.join(self.command)[:80]!r}"
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        try:
            # In a session of its own: Ctrl-C is for this program, which ends the process in its time.
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, cwd=folder, start_new_session=True
            )
        except (OSError, ValueError) as error:
            self._stderr.close()
            raise OutsideError(f"{self._subject} cannot be started ({error})", "Give the command of a program.") from None
        self._answers: queue.Queue[bytes | None] = queue.Queue()
        self._requests: queue.Queue[bytes | None] = queue.Queue()
        for work in (self._receive, self._send):
            threading.Thread(target=work, daemon=True).start()

    @property
    def parameters(self) -> tuple[Block, ...]:
        """All parameters as one block."""
        return (Block("outside", (self.size,)),)

    def costs(
        self, theta: np.ndarray, inputs: np.ndarray, targets: np.ndarray, errors: np.ndarray | None = None, **more: object
    ) -> np.ndarray:
        """Return C of each sample (float64, shape (B,)); before it is measured, the process applies the errors of node currents, if any.

        ``more`` has further entries of the request, ``keep`` or ``weights``, in the protocol of lines.

        Raises
        ------
        OutsideError
            If the process ends, does not answer in time, or does not answer with a cost per sample. It is then stopped.
        """
        try:
            self._requests.put(self._request(theta, inputs, targets, errors, more))
            try:
                answer = self._answers.get(timeout=self.timeout)
            except queue.Empty:
                raise OutsideError(f"{self._subject} did not answer within {self.timeout:g} s", "Fix it, or give it more time.") from None
            if answer is None:
                raise self._ending()
            return _checked(self._read(answer), len(inputs), self._subject)
        except OutsideError:
            self.close()
            raise

    def close(self) -> None:
        """Ask the process to stop, and kill it if it does not."""
        self._requests.put(None)
        try:
            self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._stderr.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- Protocol ---------------------------------------------------------------------------------------------------

    def _request(
        self, theta: np.ndarray, inputs: np.ndarray, targets: np.ndarray, errors: np.ndarray | None, more: Mapping[str, object]
    ) -> bytes:
        arrays = [np.asarray(each, "<f8") for each in (theta, inputs, targets)]
        if self.frames:
            if errors is not None or more:
                raise ValueError("Protocol must be lines where there are errors of node currents, not frames")
            head = struct.pack("<4I", len(theta), len(inputs), inputs.shape[1], targets.shape[1])
            return head + b"".join(each.tobytes() for each in arrays)
        names = "parameters", "inputs", "targets"
        request: dict[str, object] = {name: each.tolist() for name, each in zip(names, arrays, strict=True)} | dict(more)
        if errors is not None:
            request["errors"] = np.asarray(errors, "<f8").tolist()
        return json.dumps(request).encode() + b"\n"

    def _read(self, answer: bytes) -> object:
        if self.frames:
            return np.frombuffer(answer, "<f8")
        try:
            parsed = json.loads(answer)
            if isinstance(parsed, dict) and "error" in parsed:
                raise OutsideError(f"{self._subject} reports an error: {str(parsed['error'])[:200].rstrip('.')}", "Fix its cause.")
            found = parsed["costs"]
            self.weights = parsed.get("weights")
            return found
        except (ValueError, TypeError, KeyError, RecursionError):
            shown = answer[:80].decode(errors="replace").rstrip("\n")
            raise OutsideError(f"{self._subject} answered {shown!r}", 'Answer a line such as {"costs": [0.25]}.') from None

    def _ending(self) -> OutsideError:
        """Return the error to raise when the process gives no more answers."""
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return OutsideError(f"{self._subject} closed its standard output, or answered with an invalid frame", "Answer every request.")
        self._stderr.seek(0)
        lines = [line for line in self._stderr.read()[-4096:].decode(errors="replace").splitlines() if line.strip()]
        last = f": {lines[-1].strip()[:200].rstrip('.')}" if lines else ""
        return OutsideError(f"{self._subject} ended with exit code {code}{last}", "Fix it, so that it answers every request.")

    def _send(self) -> None:
        """Write requests up to None, in a separate thread, since a write to a process that does not read would block."""
        pipe = self._process.stdin
        assert pipe is not None
        try:
            while (request := self._requests.get()) is not None:
                pipe.write(request)
                pipe.flush()
        except (OSError, ValueError):
            pass  # the process has ended; the missing answer makes costs raise an error
        with contextlib.suppress(OSError):
            pipe.close()

    def _receive(self) -> None:
        """Queue every answer, then None once the process gives no more, in a separate thread."""
        pipe = self._process.stdout
        assert pipe is not None
        try:
            while (answer := self._frame(pipe) if self.frames else pipe.readline(LONGEST_ANSWER)) is not None and (answer or self.frames):
                self._answers.put(answer)
        except (OSError, ValueError):
            pass
        self._answers.put(None)

    @staticmethod
    def _frame(pipe: IO[bytes]) -> bytes | None:
        head = pipe.read(4)
        size = 8 * struct.unpack("<I", head)[0] if len(head) == 4 else 0
        if len(head) < 4 or size > LONGEST_ANSWER:
            return None
        body = pipe.read(size)
        return body if len(body) == size else None
