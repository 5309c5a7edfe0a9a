"""Downloads from a local server: verified, cached, reused, and refused if they differ from the published files."""

from __future__ import annotations

import hashlib
import http.server
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from mgd_hw.data import download, load
from mgd_hw.data.download import SOURCES, Source, cached, fetch
from mgd_hw.design.reader import parse
from python_ref.spec.error import Refusal, ToolError
from tests.mgd_hw.data.test_loading import images


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a folder on this machine; yield the folder and its URL."""
    folder = tmp_path / "served"
    folder.mkdir()
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{serving.server_port}/"
    serving.shutdown()
    serving.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MGD_DATA", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def published(folder: Path, address: str) -> Source:
    """Return a source with the files in a folder and their checksums."""
    return Source((address,), {path.name: f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}" for path in sorted(folder.iterdir())})


def cifar(records: int = 3) -> tuple[bytes, np.ndarray]:
    """Return an archive of CIFAR-10 with random records, and the records, uint8, shape (6 * records, 3073)."""
    random, packed = np.random.default_rng(0), BytesIO()
    table = random.integers(0, 256, (6 * records, 3073), dtype=np.uint8)
    table[:, 0] %= 10
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for number, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
            content = table[number * records : (number + 1) * records].tobytes()
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            archive.addfile(info, BytesIO(content))
    return packed.getvalue(), table


def test_fetched_once_and_found_by_designs(server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder, address = server
    x, _ = images(folder, packed=True)
    source = published(folder, address)
    monkeypatch.setitem(download.SOURCES, "mnist", source)
    design = parse('[data]\ntask = "mnist"\n', tmp_path / "a.toml")
    with pytest.raises(Refusal, match="the images of mnist are not shipped"):
        load(design.data)
    found = fetch("mnist")
    assert found.directory == cached("mnist")
    assert set(found.files) == {path.name for path in found.directory.iterdir()}
    assert np.array_equal(load(design.data).train.inputs * 255, x[:30].reshape(30, -1))
    for path in folder.iterdir():
        path.unlink()
    assert fetch("mnist") == found, "what is there is not fetched again"


def test_the_next_mirror_is_tried(server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder, address = server
    (folder / "a.bin").write_bytes(b"abc")
    source = published(folder, address)
    monkeypatch.setitem(download.SOURCES, "mnist", Source((address + "nothing/", address), source.files))
    assert (fetch("mnist", tmp_path / "there").directory / "a.bin").read_bytes() == b"abc"


def test_what_is_not_what_was_published_is_refused(server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder, address = server
    (folder / "a.bin").write_bytes(b"abc")
    source = published(folder, address)
    (folder / "a.bin").write_bytes(b"abd")
    monkeypatch.setitem(download.SOURCES, "mnist", source)
    with pytest.raises(ToolError, match=r"^a\.bin cannot be fetched \(.*: it is not the file that was published\)\. Try again later, or"):
        fetch("mnist", tmp_path / "there")
    assert not list((tmp_path / "there").iterdir()), "nothing half-written"
    (folder / "a.bin").unlink()
    with pytest.raises(ToolError, match=r"^a\.bin cannot be fetched \(.*: HTTP 404\)"):
        fetch("mnist", tmp_path / "there")
    with pytest.raises(Refusal, match=r"there is no such data set to fetch\. Take one of mnist, fashion-mnist, cifar-10"):
        fetch("iris")


@pytest.mark.parametrize("unpacked", [False, True])
def test_cifar(tmp_path: Path, unpacked: bool) -> None:
    archive, table = cifar()
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "cifar-10-binary.tar.gz"
    file.write_bytes(archive)
    if unpacked:
        with tarfile.open(file) as packed:
            for member in packed:  # not extractall: early releases of Python 3.11 lack its filter argument, and later ones require it
                content = packed.extractfile(member)
                if content is not None:
                    (tmp_path / "data" / member.name).parent.mkdir(exist_ok=True)
                    (tmp_path / "data" / member.name).write_bytes(content.read())
        file.unlink()
    data = load(parse('[data]\ntask = "cifar-10"\npath = "data"\n', tmp_path / "a.toml").data)
    assert np.array_equal(data.train.inputs * 255, table[:15, 1:])
    assert np.array_equal(data.test.labels, table[15:, 0])


def test_cifar_that_is_broken(tmp_path: Path) -> None:
    archive, _ = cifar()
    (tmp_path / "data").mkdir()
    design = parse('[data]\ntask = "cifar-10"\npath = "data"\n', tmp_path / "a.toml")
    with pytest.raises(Refusal, match=r"the folder has neither cifar_10\.npz nor cifar-10-binary\.tar\.gz"):
        load(design.data)
    for content in (archive[:-5000], b"none", archive[: len(archive) // 2]):
        (tmp_path / "data" / "cifar-10-binary.tar.gz").write_bytes(content)
        with pytest.raises(Refusal, match=r"cifar-10-binary\.tar\.gz: it cannot be read \(.*\)\. Fetch the file again"):
            load(design.data)


def test_published_checksums_are_whole() -> None:
    assert set(SOURCES) == {"mnist", "fashion-mnist", "cifar-10"}
    checksums = [checksum for source in SOURCES.values() for checksum in source.files.values()]
    assert len(set(checksums)) == 9
    assert all(len(checksum) == 36 and checksum.startswith("md5:") for checksum in checksums)
