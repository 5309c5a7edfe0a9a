"""Terminal output of the commands: progress on standard error, results on standard output. Rich is imported when it is needed."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mgd_hw.common.interrupts import interruptible
from mgd_hw.common.style import WIDTH
from python_ref.spec.error import DOCTOR, Refusal, ToolError

if TYPE_CHECKING:
    from mgd_hw.common.results import Result

__all__ = ["Terminal", "fail"]

INTERRUPTED = 130
"""Exit code of an interrupted command, by the convention of shells."""


def fail(problem: BaseException | str, as_json: bool, *, debug: bool = False) -> int:
    """Print a failure as one line on standard error, and with ``as_json`` also as an object with the key ``error`` on standard output.

    Parameters
    ----------
    problem : exception or str
        The failure; a refusal has its own message, any other exception is reported as unexpected.
    as_json : bool
        Whether to print an object on standard output as well.
    debug : bool
        Whether to print the traceback of an unexpected exception.

    Returns
    -------
    int
        Exit code of a failed command, 2.
    """
    details: dict[str, Any] = {}
    if isinstance(problem, Refusal):
        advice = f" {DOCTOR}" if isinstance(problem, ToolError) and problem.tool else ""
        message = f"{problem}{advice}"
        details = {
            name: None if getattr(problem, name) is None else str(getattr(problem, name))
            for name in ("file", "key", "value", "reason", "remedy")
        }
        details["remedy"] += advice
    elif isinstance(problem, BaseException):
        text = " ".join(str(problem).split())[:300]
        advice = "Please report it to the project, with the output under MGD_HW_DEBUG=1."
        message = f"Unexpected error ({type(problem).__name__}: {text}). {advice}"
        if debug:
            traceback.print_exception(problem, file=sys.stderr)
    else:
        message = problem
    print(f"mgd-hw: {message}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": message, **details}, ensure_ascii=False))
    return 2


@contextmanager
def _only_ours(active: bool) -> Iterator[None]:
    """Redirect standard output to standard error, for child processes too, so that only results reach standard output."""
    try:
        own = sys.stdout.fileno() if active else -1
    except (OSError, ValueError):  # standard output is not a file, as in tests
        own = -1
    if own < 0:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(own)
    try:
        os.dup2(sys.stderr.fileno(), own)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, own)
        os.close(kept)


class Terminal:
    """Context manager that shows the progress of a command, prints its result, and turns exceptions into a message and an exit code.

    Within the context, every signal that asks the process to end raises KeyboardInterrupt.

    Parameters
    ----------
    as_json : bool
        Whether to print the result as one JSON object.
    debug : bool
        Whether to print the traceback of an unexpected error.
    """

    def __init__(self, as_json: bool, *, debug: bool = False) -> None:
        self.as_json = as_json
        self.debug = debug
        self._guard = _only_ours(as_json)
        self._signals = interruptible()
        self._live = sys.stderr.isatty()
        self._shown = ""
        self._last = 0.0
        self._result: tuple[Result, int] | None = None

    @staticmethod
    def refuse(given: dict[str, Any], reason: str, remedy: str) -> None:
        """Refuse options that do not belong to the others, by their names: those whose value is not None.

        Raises
        ------
        Refusal
            If there is one; it names the first.
        """
        for key, value in given.items():
            if value is not None:
                raise Refusal(reason, remedy, key=key, value=value if isinstance(value, int) else str(value))

    def __enter__(self) -> Terminal:
        self._signals.__enter__()
        self._guard.__enter__()
        return self

    def __exit__(self, kind: type | None, problem: BaseException | None, trace: object) -> None:
        self._clear()
        self._guard.__exit__(None, None, None)
        self._signals.__exit__(None, None, None)
        code = 0
        if isinstance(problem, KeyboardInterrupt):
            fail("Interrupted; nothing was kept.", self.as_json)
            code = INTERRUPTED
        elif isinstance(problem, Exception) and not isinstance(problem, BrokenPipeError):
            code = fail(problem, self.as_json, debug=self.debug)
        elif problem is None and self._result is not None:
            result, code = self._result
            self._print(result)
        if code:
            raise SystemExit(code) from None

    def _print(self, result: Result) -> None:
        """Print a result on standard output."""
        if self.as_json:
            print(json.dumps(result.to_json(), ensure_ascii=False, allow_nan=False), flush=True)
        else:
            from rich.console import Console

            width = shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH
            Console(file=sys.stdout, width=max(60, width), highlight=False).print(result, soft_wrap=True)

    def finish(self, result: Result, *, failed: bool = False, interrupted: bool = False, code: int = 0) -> None:
        """Set the result that is printed at the end of the context, and the exit code.

        Parameters
        ----------
        result : Result
            Result of the command, printed when the context ends.
        failed : bool
            Whether the command ran but its comparison failed; the exit code is then 1.
        interrupted : bool
            Whether the command was interrupted and kept part of its results; the exit code is then 130.
        code : int
            Exit code otherwise, such as 2 for a missing tool.
        """
        if interrupted:
            self.status("Interrupted; what was finished is kept.")
        self._result = result, INTERRUPTED if interrupted else 1 if failed else code

    def show(self, result: Result) -> None:
        """Print a result immediately, on standard output, while the command continues."""
        self._clear()
        self._guard.__exit__(None, None, None)
        self._print(result)
        sys.stdout.flush()
        self._guard = _only_ours(self.as_json)
        self._guard.__enter__()

    def status(self, text: str) -> None:
        """Print a line on standard error."""
        self._clear()
        print(text, file=sys.stderr, flush=True)

    def update(self, task: str, done: float, total: float, note: str = "") -> None:
        """Show the progress of a task in a line that is overwritten on a terminal; elsewhere, print a line at most every 15 s."""
        now = time.monotonic()
        share = min(1.0, done / total) if total else 1.0
        line = f"{task}: {100 * share:3.0f} %" + (f", {note}" if note else "")
        if self._live:
            if now - self._last > 0.1 or share == 1.0:
                print(f"\r\x1b[2K{line[:118]}", end="", file=sys.stderr, flush=True)
                self._shown, self._last = line, now
        elif now - self._last > 15.0:
            print(line, file=sys.stderr, flush=True)
            self._last = now

    def _clear(self) -> None:
        """Erase the line of progress."""
        if self._shown:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
            self._shown = ""
