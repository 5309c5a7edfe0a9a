"""A forward pass outside: the same training as inside, and one clear message for everything that can go wrong."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from python_ref.datasets import SampleOrder, xor
from python_ref.floating.estimators import WeightPerturbation
from python_ref.floating.learner import Learner, train
from python_ref.floating.networks import dense
from python_ref.floating.objectives import SquaredError
from python_ref.floating.optimizers import Plain
from python_ref.floating.outside import Called, OutsideError, Process
from python_ref.floating.passes import Measurable, Measured

LINES = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    w, samples = asked["parameters"], zip(asked["inputs"], asked["targets"])
    answer = [(w[0] + sum(a * b for a, b in zip(w[1:], x)) - t[0]) ** 2 for x, t in samples]
    print(json.dumps({"costs": answer}), flush=True)
"""
FRAMES = """
import struct, sys
while head := sys.stdin.buffer.read(16):
    p, b, n, k = struct.unpack("<4I", head)
    numbers = struct.unpack(f"<{p + b * n + b * k}d", sys.stdin.buffer.read(8 * (p + b * n + b * k)))
    w, x, t = numbers[:p], numbers[p : p + b * n], numbers[p + b * n :]
    costs = [(w[0] + sum(a * c for a, c in zip(w[1:], x[i * n : i * n + n])) - t[i]) ** 2 for i in range(b)]
    sys.stdout.buffer.write(struct.pack(f"<I{b}d", b, *costs))
    sys.stdout.buffer.flush()
"""
X, T = xor().inputs.astype(float), xor().targets.astype(float)


def program(folder: Path, text: str) -> list[str]:
    file = folder / "chip.py"
    file.write_text(textwrap.dedent(text), encoding="utf-8")
    return [sys.executable, str(file)]


def linear(theta: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return (theta[0] + inputs @ theta[1:] - targets[:, 0]) ** 2


@pytest.mark.parametrize(("text", "frames"), [(LINES, False), (FRAMES, True)])
def test_a_chip_in_the_loop_learns_like_a_model(tmp_path: Path, text: str, frames: bool) -> None:
    """Bit for bit as inside, but for the order of a sum."""
    network = dense((2, 1))
    theta, runs = network.initial(1), []
    with Process(program(tmp_path, text), 3, frames=frames) as chip:
        assert isinstance(chip, Measurable)
        for problem in (chip, Called(linear, 3), Measured(network, SquaredError())):
            learner = Learner(WeightPerturbation(problem), Plain(0.05), batch=2)
            runs.append(train(learner, theta, X, T, SampleOrder(4, True), 40).state.theta)
    assert runs[0] == pytest.approx(runs[1], abs=1e-12)
    assert runs[0] == pytest.approx(runs[2], abs=1e-12)
    assert np.abs(runs[0] - theta).max() > 0.05


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise SystemExit('no chip there')", r"ended with exit code 1: no chip there\. Fix it"),
        ("input(); import os; os._exit(7)", r"ended with exit code 7\. Fix it"),
        ("import time; time.sleep(60)", r"did not answer within 0\.5 s\. Fix it"),
        ("input(); print('hello', flush=True); input()", r"""answered 'hello'\. Answer a line such as \{"costs": \[0\.25\]\}\."""),
        ("input(); print('[1]', flush=True); input()", r"answered '\[1\]'"),
        ("""input(); print('{"costs": [1.0]}', flush=True); input()""", r"returned costs of shape \(1,\) for 4 samples"),
        ("""input(); print('{"costs": [1, 2, NaN, 4]}', flush=True); input()""", r"returned a cost that is not finite, nan"),
        ("""input(); print('{"costs": "none"}', flush=True); input()""", r"returned values that are not numbers: 'none'"),
        ("""input(); print('{"error": "too hot"}', flush=True); input()""", r"reports an error: too hot\. Fix its cause"),
    ],
)
def test_one_clear_message(tmp_path: Path, text: str, message: str) -> None:
    with (
        Process(program(tmp_path, text), 3, timeout=0.5 if "sleep" in text else 20) as chip,
        pytest.raises(OutsideError, match=rf"^The process '.*' {message}"),
    ):
        chip.costs(np.zeros(3), X, T)
    assert chip._process.poll() is not None, "nothing is left running"


def test_a_process_that_failed_is_stopped_even_if_nobody_closes_it(tmp_path: Path) -> None:
    """Whoever catches the message, and is in no ``with``, must not be left with a process that goes on."""
    chip = Process(program(tmp_path, "input(); print('hello', flush=True); import time; time.sleep(60)"), 3, timeout=20)
    with pytest.raises(OutsideError, match="answered 'hello'"):
        chip.costs(np.zeros(3), X, T)
    assert chip._process.returncode is not None
    assert chip._stderr.closed


def test_a_process_that_answers_is_stopped_at_the_end(tmp_path: Path) -> None:
    with Process(program(tmp_path, LINES + "import time; time.sleep(60)\n"), 3) as chip:
        chip.costs(np.zeros(3), X, T)
        assert chip._process.poll() is None
    assert chip._process.returncode is not None, "it was asked, and did not, and was stopped"
    assert chip._stderr.closed


def test_ctrl_c_does_not_end_the_process(tmp_path: Path) -> None:
    """It is sent to all processes of the terminal's foreground."""
    text = f"""
    import os, signal, sys
    import numpy as np
    from python_ref.floating.outside import Process
    heard = []
    signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    with Process({program(tmp_path, LINES)}, 3) as chip:
        ask = lambda: chip.costs(np.zeros(3), np.zeros((1, 2)), np.ones((1, 1))).tolist()
        first = ask()
        os.killpg(0, signal.SIGINT)
        print(first, ask(), heard)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(text)], capture_output=True, text=True, start_new_session=True)
    assert done.stdout == "[1.0] [1.0] [1]\n", done.stderr


@pytest.mark.parametrize("answer", [b"\xff\xff\xff\xff", b"\x02\x00", b"\x04\x00\x00\x00abc"])
def test_frames_that_cannot_be(tmp_path: Path, answer: bytes) -> None:
    text = f"import sys; sys.stdin.buffer.read(16); sys.stdout.buffer.write({answer!r}); sys.stdout.flush(); sys.exit(3)"
    with Process(program(tmp_path, text), 3, frames=True) as chip, pytest.raises(OutsideError, match=r"ended with exit code 3"):
        chip.costs(np.zeros(3), X, T)


def test_a_request_larger_than_a_pipe_to_a_process_that_does_not_read(tmp_path: Path) -> None:
    with (
        Process(program(tmp_path, "import time; time.sleep(60)"), 1 << 18, timeout=0.5) as chip,
        pytest.raises(OutsideError, match=r"did not answer within"),
    ):
        chip.costs(np.zeros(1 << 18), X, T)


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(OutsideError, match=r"^The process 'no-such-program' cannot be started \(.*\)\. Give the command of a program"):
        Process(["no-such-program"], 3)


def test_a_function_that_fails() -> None:
    with pytest.raises(OutsideError, match=r"^The function of the forward pass failed: ZeroDivisionError: .* Fix the function"):
        Called(lambda *_: 1 / 0, 3).costs(np.zeros(3), X, T)
    with pytest.raises(OutsideError, match=r"returned costs of shape \(3,\) for 4 samples"):
        Called(lambda *_: np.zeros(3), 3).costs(np.zeros(3), X, T)
