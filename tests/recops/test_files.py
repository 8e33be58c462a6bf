"""Sealed files: damage raises an error, and an interrupted save keeps the old file."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from recops import files


def save_tensors(path: Path, value: int = 1) -> None:
    tensors = {"codes": torch.full((3, 2), value, dtype=torch.int32), "empty": torch.empty(0, 4)}
    files.save_tensors(path, tensors, kind="test", version=2, meta={"depth": 2, "name": "Zoë"})


def load_tensors(path: Path) -> int:
    tensors, meta = files.load_tensors(path, kind="test", version=2)
    assert meta == {"depth": 2, "name": "Zoë"}
    assert tensors["empty"].shape == (0, 4)
    return int(tensors["codes"][0, 0])


def write_json(path: Path, value: int = 1) -> None:
    files.write_json(path, {"value": value, "name": "Zoë"}, kind="test", version=2)


def read_json(path: Path) -> int:
    content = files.read_json(path, kind="test", version=2)
    assert content["name"] == "Zoë"
    return int(content["value"])


FORMATS = [
    pytest.param(save_tensors, load_tensors, id="tensors"),
    pytest.param(write_json, read_json, id="json"),
]
each_format = pytest.mark.parametrize(("save", "load"), FORMATS)
Save = Callable[..., None]
Load = Callable[[Path], int]


@each_format
def test_round_trip(tmp_path: Path, save: Save, load: Load) -> None:
    path = tmp_path / "file"
    save(path, 7)
    assert load(path) == 7
    assert list(tmp_path.iterdir()) == [path]


def test_tensors_keep_their_bits(tmp_path: Path) -> None:
    saved = {
        str(dtype): torch.arange(6).reshape(2, 3).to(dtype).t()  # not contiguous
        for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64)
    }
    saved["nan"] = torch.tensor([float("nan"), float("inf"), -0.0])
    files.save_tensors(tmp_path / "file", saved, kind="test")
    loaded, _ = files.load_tensors(tmp_path / "file", kind="test")
    assert loaded.keys() == saved.keys()
    for name, tensor in saved.items():
        torch.testing.assert_close(loaded[name], tensor, rtol=0, atol=0, equal_nan=True)


@each_format
def test_same_content_gives_same_bytes(tmp_path: Path, save: Save, load: Load) -> None:
    save(tmp_path / "a")
    save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@each_format
def test_every_flipped_bit_is_refused(tmp_path: Path, save: Save, load: Load) -> None:
    path = tmp_path / "file"
    save(path)
    contents = path.read_bytes()
    for bit in range(8 * len(contents)):
        damaged = bytearray(contents)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(files.CorruptFileError, match=r"damaged|not a recops file"):
            load(path)


@each_format
def test_every_truncation_is_refused(tmp_path: Path, save: Save, load: Load) -> None:
    path = tmp_path / "file"
    save(path)
    contents = path.read_bytes()
    for size in range(len(contents)):
        path.write_bytes(contents[:size])
        with pytest.raises(files.CorruptFileError):
            load(path)
    path.write_bytes(contents + b"\0")
    with pytest.raises(files.CorruptFileError, match="damaged"):
        load(path)


def _json_list(path: Path) -> None:
    files.write_sealed(path, f'["{files.SEAL}"]'.encode())


def _json_format_is_text(path: Path) -> None:
    files.write_sealed(path, f'{{"format": "{files.SEAL}"}}'.encode())


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(lambda path: path.write_bytes(b"PAR1" + bytes(64)), id="foreign-bytes"),
        pytest.param(lambda path: path.write_bytes(b'{"value": 1}'), id="foreign-json"),
        pytest.param(lambda path: torch.save({"codes": torch.ones(2)}, path), id="pickle"),
        pytest.param(_json_list, id="sealed-list"),
        pytest.param(_json_format_is_text, id="sealed-text"),
        pytest.param(lambda p: files.write_sealed(p, files.SEAL.encode()), id="sealed-nothing"),
        pytest.param(lambda p: files.write_json(p, {}, kind="other"), id="json-of-another-kind"),
        pytest.param(
            lambda p: files.save_tensors(p, {}, kind="other"), id="tensors-of-another-kind"
        ),
        pytest.param(lambda p: files.write_json(p, {}, kind="test", version=3), id="newer-json"),
        pytest.param(
            lambda p: files.save_tensors(p, {}, kind="test", version=3), id="newer-tensors"
        ),
    ],
)
@pytest.mark.parametrize("load", [load_tensors, read_json])
def test_foreign_and_newer_files_are_refused(
    tmp_path: Path, foreign: Callable[[Path], Any], load: Load
) -> None:
    foreign(tmp_path / "file")
    with pytest.raises(files.CorruptFileError, match="file: ") as error:
        load(tmp_path / "file")
    assert "\n" not in str(error.value)


def test_newer_version_is_named(tmp_path: Path) -> None:
    files.write_json(tmp_path / "file", {}, kind="trie", version=3)
    with pytest.raises(
        files.CorruptFileError, match="trie format 3, but this version reads up to 2"
    ):
        files.read_json(tmp_path / "file", kind="trie", version=2)


def test_missing_file(tmp_path: Path) -> None:
    for load in (load_tensors, read_json):
        with pytest.raises(FileNotFoundError):
            load(tmp_path / "file")


def test_data_without_a_seal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="write_sealed: data must hold the blank seal, got none"):
        files.write_sealed(tmp_path / "file", b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", [files.SEAL, files.SEAL[:-1] + "1"])
def test_contents_may_look_like_a_seal(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    files.write_json(path, {"before": text, text: 1}, kind="test")
    assert files.read_json(path, kind="test") == {"before": text, text: 1}

    held = torch.frombuffer(bytearray(text, "ascii"), dtype=torch.uint8)
    files.save_tensors(
        path, {text: held, "0": held.clone()}, kind="test", meta={"a": text, text: 1}
    )
    tensors, meta = files.load_tensors(path, kind="test")
    assert tensors.keys() == {text, "0"}
    assert meta == {"a": text, text: 1}
    path.write_bytes(path.read_bytes().replace(b'"kind', b'"kine'))
    with pytest.raises(files.CorruptFileError, match="damaged"):
        files.load_tensors(path, kind="test")

    with files.new_file(path) as file:
        file.write(f"{text} {files.SEAL} end".encode())
        files.seal_file(file)
    files.verify_file(path)


@pytest.mark.slow
@each_format
@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_killed_process_leaves_the_old_file(
    tmp_path: Path, save: Save, load: Load, moment: str
) -> None:
    path = tmp_path / "file"
    save(path, 1)
    # A write beyond the file size limit kills the process in the middle of the data.
    child = f"""
import importlib.util, os, resource, signal, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("tests_files", {__file__!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
if {moment!r} == "write":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
else:
    die = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
    owner, name = {{"fsync": (os, "fsync"), "replace": (Path, "replace")}}[{moment!r}]
    setattr(owner, name, die)
module.{save.__name__}(Path({str(path)!r}), 2)
"""
    result = subprocess.run([sys.executable, "-c", child], capture_output=True, check=False)
    killed_by = signal.SIGXFSZ if moment == "write" else signal.SIGKILL
    assert result.returncode == -killed_by, result.stderr.decode()
    assert load(path) == 1


@each_format
def test_a_full_disk_keeps_only_the_old_file(
    tmp_path: Path, save: Save, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    save(path, 1)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device"):
            save(path, 2)
    assert load(path) == 1

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save(path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert load(path) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_file(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_replaced_file_keeps_its_permissions_and_links(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    files.write_file(file, b"old")
    file.chmod(0o600)
    link.symlink_to("file")
    files.write_file(link, b"new")
    assert link.is_symlink()
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(tmp_path.iterdir()) == [file, link]


def test_gradients_are_not_saved(tmp_path: Path) -> None:
    weight: Tensor = torch.nn.Parameter(torch.ones(2))
    files.save_tensors(tmp_path / "file", {"weight": weight}, kind="test")
    assert not files.load_tensors(tmp_path / "file", kind="test")[0]["weight"].requires_grad


def test_tied_weights_are_stored_twice(tmp_path: Path) -> None:
    contents = torch.arange(6.0)
    tied = {
        "a": contents,
        "b": contents,
        "head": contents[:4],
        "tail": contents[2:],
        "turned": contents.view(2, 3).T,
    }
    files.save_tensors(tmp_path / "file", tied, kind="test")
    loaded, _ = files.load_tensors(tmp_path / "file", kind="test")
    assert loaded.keys() == tied.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tied.items())


def test_a_sparse_tensor_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="weight must be a dense tensor"):
        files.save_tensors(tmp_path / "file", {"weight": torch.eye(2).to_sparse()}, kind="test")


def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(FileExistsError, match="exists and is not a regular file"):
            files.write_file(path, b"data")
    assert (tmp_path / "pipe").is_fifo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["pipe"]


def test_sealing_a_file_equals_sealing_bytes(tmp_path: Path) -> None:
    content = b"begin" + files.SEAL.encode() + b"end" * 1000
    files.write_sealed(tmp_path / "one", content)
    with files.new_file(tmp_path / "other") as file:
        file.write(content)
        files.seal_file(file)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    files.verify_file(tmp_path / "other")


def test_a_file_without_a_seal_cannot_be_sealed(tmp_path: Path) -> None:
    def write() -> None:
        with files.new_file(tmp_path / "file") as file:
            file.write(b"text")
            files.seal_file(file)

    with pytest.raises(ValueError, match="seal_file: file must hold the blank seal, got none"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_verification_of_a_damaged_file_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_sealed(path, b"begin" + files.SEAL.encode() + b"end")
    data = path.read_bytes()
    for damaged in (b"", data[:20], b"B" + data[1:], data + b"more", data + data):
        path.write_bytes(damaged)
        with pytest.raises(files.CorruptFileError):
            files.verify_file(path)


def test_lists_of_numbers_take_one_line(tmp_path: Path) -> None:
    content = {"numbers": [1, -2.5, 3e-9], "texts": ["[\n1,\n2]"], "lists": [[1, 2], [], [None]]}
    files.write_json(tmp_path / "file", content, kind="test")
    text = (tmp_path / "file").read_text()
    assert '  "numbers": [1, -2.5, 3e-09],\n  "texts": [\n    "[\\n1,\\n2]"\n  ],\n' in text
    assert files.read_json(tmp_path / "file", kind="test") == content
