"""The ends of the programs that take what users give."""

from __future__ import annotations

import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from boards.link import SerialLink
from mgd_hw.design.description import Design
from mgd_hw.design.new import new
from mgd_hw.design.reader import load, load_any, parse
from mgd_hw.device.checkpoint import Checkpoint, RunDigest
from mgd_hw.hardware.fit import fit
from mgd_hw.learn.parameters import read_parameters, write_parameters
from python_ref.spec.error import Refusal
from python_ref.spec.frames import checked, stuffed
from tests.fuzz import inputs
from tests.fuzz.axi import jobs, take_axi
from tests.fuzz.run import Target

__all__ = ["TARGETS", "onnx_models"]

NEW = "new"
"""Stands for a design file to start from, in the place of keys."""
LARGE, WIDE = 1 << 10, 16
"""Number of parameters, and of lanes, above which an accepted design is not looked at any further."""
STARTED = ("xor", "chip")
"""A network and a learner that start from given parameters."""


def take_design(text: bytes, folder: Path) -> None:
    """Read a design file; of an accepted one, read the samples of a small task, and predict its area."""
    folder.mkdir()
    (folder / "given.toml").write_bytes(text)
    design = load_any(folder / "given.toml")
    if (
        isinstance(design, Design)
        and not design.float_only.requests
        and design.spec.n_parameters <= LARGE
        and design.spec.hardware.lanes <= WIDE
    ):
        fit(design)


def _data_of(path: str, more: str, outputs: int = 2) -> None:
    from mgd_hw.design.samples import load_design

    design = parse(f"network.layers = [2, 3, {outputs}]\ndata.path = '{path}'\n{more}", Path(path).parent / "given.toml")
    load_design(design)


def take_csv(given: tuple[bytes, str], folder: Path) -> None:
    """Write a design file to start from for a csv file, or read its samples with some keys that say what it holds."""
    text, more = given
    folder.mkdir()
    (folder / "given.csv").write_bytes(text)
    if more == NEW:
        new(str(folder / "net"), "csv", data=folder / "given.csv")
    else:
        _data_of(str(folder / "given.csv"), more)


def take_npz(content: tuple[bytes, int], folder: Path) -> None:
    """Read samples from an npz file."""
    folder.mkdir()
    (folder / "given.npz").write_bytes(content[0])
    _data_of(str(folder / "given.npz"), "", content[1])


def take_idx(given: tuple[bytes, bytes], folder: Path) -> None:
    """Read images and labels from a folder."""
    from mgd_hw.data.images import _read_idx

    folder.mkdir()
    for name, content in zip(("images-idx3", "labels-idx1"), given, strict=True):
        path = folder / f"train-{name}-ubyte"
        path.write_bytes(content)
    try:
        _read_idx(folder)
    finally:
        for path in folder.iterdir():
            path.rename(folder / f"given-{path.name}")


def take_parameters(given: tuple[bytes, str], folder: Path) -> None:
    """Read parameters of a network, or quantities of a learner."""
    content, design = given
    folder.mkdir()
    (folder / "given.npz").write_bytes(content)
    read_parameters(load_any(design).spec, folder / "given.npz")


@cache
def _run() -> object:
    from mgd_hw.data import load as load_data
    from mgd_hw.design.run import run_of

    design = load("xor")
    return run_of(design, load_data(design.data), 8)


def take_checkpoint(content: bytes, folder: Path) -> None:
    """Read a checkpoint to resume from."""
    folder.mkdir()
    (folder / "given.npz").write_bytes(content)
    Checkpoint.read(folder / "given.npz", RunDigest(_run()))  # type: ignore[arg-type]


def take_onnx(content: bytes, folder: Path) -> None:
    """Import a network."""
    from mgd_hw.importing.import_network import import_network

    folder.mkdir()
    (folder / "given.onnx").write_bytes(content)
    import_network(folder / "given.onnx", str(folder / "net"))


class _Port:
    """A port at which bytes arrive whatever is sent, and then none."""

    def __init__(self, data: bytes) -> None:
        self.data, self.timeout = data, 0.0

    @property
    def in_waiting(self) -> int:
        """Number of bytes that have arrived."""
        return len(self.data)

    def read(self, size: int = 1) -> bytes:
        """The next bytes; none at the end."""
        found, self.data = self.data[:size], self.data[size:]
        if not found:
            time.sleep(min(self.timeout or 0.0, 0.005))
        return found

    def write(self, data: bytes) -> int:
        """Lose bytes."""
        return len(data)

    def close(self) -> None:
        """Do nothing."""


def take_line(given: tuple[list[bytes], bytes, bool], folder: Path) -> None:
    """Open a serial link at whose other end something else answers, and read a register."""
    contents, noise, framed = given
    data = stuffed([checked(each) for each in contents]) + noise if framed else b"".join(contents) + noise
    try:
        link = SerialLink(_Port(data), load("xor").spec, silence=0.02, patience=0.02)
        link.read(0)
    except Refusal as refusal:
        refusal.about(key="--link", value="given")
        raise


@cache
def onnx_models() -> tuple[bytes, ...]:
    """Networks with one hidden layer, as ONNX files."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    found = []
    rng = np.random.default_rng(2)
    for activation in ("Relu", "Tanh", "LeakyRelu"):
        arrays = {"w1": (2, 3), "b1": (3,), "w2": (3, 2), "b2": (2,)}
        stored = [numpy_helper.from_array(rng.standard_normal(shape).astype("f4"), name) for name, shape in arrays.items()]
        nodes = [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
            helper.make_node(activation, ["h"], ["a"]),
            helper.make_node("MatMul", ["a", "w2"], ["m"]),
            helper.make_node("Add", ["m", "b2"], ["s"]),
            helper.make_node("Softmax", ["s"], ["y"]),
        ]
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "y")]
        model = helper.make_model(helper.make_graph(nodes, "net", ends[:1], ends[1:], stored), opset_imports=[helper.make_opsetid("", 17)])
        onnx.checker.check_model(model)
        found.append(model.SerializeToString())
    return tuple(found)


@cache
def _parameters() -> tuple[bytes, ...]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in STARTED:
            spec = load_any(name).spec
            write_parameters(spec, np.zeros(spec.n_parameters), Path(folder) / "p.npz")
            found.append((Path(folder) / "p.npz").read_bytes())
    return tuple(found)


@cache
def _checkpoints() -> tuple[bytes, ...]:
    digests = RunDigest(_run())  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.npz"
        Checkpoint(4, digests.origin, digests.at(4), {"parameter": np.zeros(17, dtype=np.int64)}, {"steps": 4}).write(path)
        Checkpoint.read(path, digests)
        return (path.read_bytes(),)


def _csv() -> st.SearchStrategy[tuple[bytes, str]]:
    more = (
        NEW,
        NEW,
        "",
        "data.label = 0\n",
        "data.label = 'label'\n",
        "data.drop = ['x']\n",
        "data.header = true\n",
        "data.delimiter = ';'\n",
    )
    return st.tuples(inputs.csv_texts(), st.sampled_from(more))


def _given_parameters() -> st.SearchStrategy[tuple[bytes, str]]:
    return st.tuples(st.one_of(inputs.npz_files(), inputs.damaged(_parameters())), st.sampled_from(STARTED))


TARGETS = {
    target.name: target
    for target in (
        Target("design", inputs.design_texts, take_design),
        Target("csv", _csv, take_csv, writes=True),
        Target("npz", lambda: st.tuples(inputs.npz_files(), st.integers(1, 3)), take_npz),
        Target("idx", inputs.idx_files, take_idx),
        Target("parameters", _given_parameters, take_parameters),
        Target("checkpoint", lambda: st.one_of(inputs.npz_files(), inputs.damaged(_checkpoints())), take_checkpoint),
        Target("onnx", lambda: inputs.damaged(onnx_models()), take_onnx, writes=True),
        Target("axi", jobs, take_axi),
        Target("line", lambda: st.tuples(inputs.reply_streams(), st.binary(max_size=24), st.booleans()), take_line),
    )
}
"""Targets by the name of what is given."""
