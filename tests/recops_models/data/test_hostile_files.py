"""Malicious files are refused in bounded memory, without aborting the interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import recops
from recops import files
from recops_models.data import DataError, archives
from recops_models.data.archives import unpack
from recops_models.data.importers.caserec import read_caserec
from recops_models.data.importers.json_files import read_object
from recops_models.data.importers.s3rec import read_s3rec
from recops_models.data.importers.text_files import read_delimited


def test_a_zip_bomb_is_refused_before_unpacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a", "b", "c"):
            archive.writestr(f"{name}.dat", bytes(400 << 20), compresslevel=1)

    def read(*_: object) -> bytes:
        raise AssertionError("a member was unpacked")

    monkeypatch.setattr(zipfile.ZipFile, "read", read)
    with pytest.raises(DataError, match=r"must unpack to at most 1,073,741,824 bytes, got 1,258"):
        read_caserec(path)


def test_an_archive_with_understated_sizes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dat", bytes(1 << 20))
    content = path.read_bytes().replace((1 << 20).to_bytes(4, "little"), b"\1\0\0\0")
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive, pytest.raises(zipfile.BadZipFile, match="CRC"):
        unpack(archive, ["a.dat"], limit=1)
    with pytest.raises(DataError, match="not readable as a zip archive"):
        read_caserec(path)


def test_the_limit_applies_to_all_members_together(tmp_path: Path) -> None:
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"123")
        archive.writestr("b", b"4567")
    with zipfile.ZipFile(path) as archive:
        assert archives.unpack(archive, ["a", "b"], limit=7) == {"a": b"123", "b": b"4567"}
        with pytest.raises(ValueError, match="at most 6 bytes, got 7"):
            archives.unpack(archive, ["a", "b"], limit=6)


def test_files_read_into_memory_have_a_size_limit(tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:  # A sparse file, which uses no disk space.
        file.truncate(files.READ_LIMIT + 1)
    for read in (read_s3rec, lambda path: read_object(path, "an object")):
        with pytest.raises(DataError, match="must hold at most 1,073,741,824 bytes"):
            read(path)
    with pytest.raises(ValueError, match="must hold at most"):
        recops.read_index_json(path)


def test_a_device_without_a_size_is_read_up_to_the_limit() -> None:
    with pytest.raises(ValueError, match="at most 100 bytes"):
        files.read_bounded("/dev/zero", limit=100)


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text(json.dumps({"a": 1}))
    assert files.read_bounded(path, limit=8) == b'{"a": 1}'
    with pytest.raises(ValueError, match="at most 7 bytes"):
        files.read_bounded(path, limit=7)


ROW = b"1\t2\t0.5\n"
UNREADABLE = {"zeros": bytes(4000), "utf-16": b"\xff\xfe\t\x00\t\x00\n" + 800_000 * ROW}
READ = """
import sys
from pathlib import Path
from recops_models.data.importers.text_files import read_delimited
file = Path(sys.argv[1])
content = file.read_bytes()
try:
    read_delimited(file, delimiter="\\t", quoting=False, only_text=True, content=content)
except ValueError:
    sys.exit(3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_text_does_not_abort_the_interpreter(name: str, tmp_path: Path) -> None:
    # Arrow's streaming reader aborted in one of eight runs.
    (tmp_path / name).write_bytes(UNREADABLE[name])

    def run(_: int) -> int:
        command = [sys.executable, "-c", READ, str(tmp_path / name)]
        return subprocess.run(command, capture_output=True).returncode

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(run, range(24))) == {3}


@pytest.mark.parametrize("head", ["a\tb\tc", '"a"\tb\tc', "\n\na\tb\tc", "﻿a\tb\tc", "a\x0b\tb\tc"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("quoting", [False, True])
def test_only_text_keeps_every_column_as_text(
    head: str, end: str, quoting: bool, tmp_path: Path
) -> None:
    path = tmp_path / "f.tsv"
    path.write_bytes((head + "\n1\t2.50\ttrue\n").replace("\n", end).encode())
    table = read_delimited(path, delimiter="\t", quoting=quoting, only_text=True).table
    assert [column.to_pylist() for column in table.columns] == [["1"], ["2.50"], ["true"]]
