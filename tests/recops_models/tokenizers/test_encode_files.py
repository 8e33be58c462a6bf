"""Encoding of files by workers: skipped, killed and repeated work, and tries of the result."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import recops
from recops_models.data import DataError
from recops_models.tokenizers import RQKMeans
from recops_models.tokenizers.encode_files import ENCODING, EncodeFiles, read_sid_files

pytestmark = pytest.mark.usefixtures("one_thread")

DIM, FILES, ROWS = 6, 5, 300


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    """Write a fitted tokenizer, and files of vectors whose ids are interleaved."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(FILES * ROWS, DIM, generator=generator)
    RQKMeans(3, 8).fit(vectors, torch.arange(len(vectors))).save(tmp_path / "tokenizer")
    paths = []
    for index in range(FILES):
        ids = torch.arange(index, len(vectors), FILES)
        table = pa.table({"item_id": ids.numpy(), "vector": vectors[ids].tolist()})
        paths.append(tmp_path / f"part{index}.parquet")
        pq.write_table(table, paths[-1], row_group_size=77)
    return paths


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


WORKER = """
import pickle, sys
from pathlib import Path
stage = pickle.loads(Path(sys.argv[1]).read_bytes())
for path in sys.argv[2:]:
    print(stage([path]), flush=True)
"""


def start(stage: Path, files: list[Path]) -> subprocess.Popen[bytes]:
    """Start a worker that encodes files one by one and prints each output."""
    command = [sys.executable, "-c", WORKER, str(stage), *map(str, files)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


def test_several_pickled_stages_write_the_files_of_one(inputs: list[Path], tmp_path: Path) -> None:
    one = EncodeFiles(tmp_path / "tokenizer", tmp_path / "one")
    files = one(inputs)
    assert [file.name for file in files] == [file.name for file in inputs]
    stage = EncodeFiles(tmp_path / "tokenizer", tmp_path / "several")
    for part in (inputs[2:], inputs[:2]):
        pickle.loads(pickle.dumps(stage))(part)
    assert contents(tmp_path / "several") == contents(tmp_path / "one")

    sids = read_sid_files(reversed(files))
    assert sids.item_ids.tolist() == list(range(FILES * ROWS))
    vectors = np.concatenate(
        [np.stack(pq.read_table(path)["vector"].to_numpy()) for path in inputs]
    ).astype(np.float32)
    order = np.argsort(np.concatenate([pq.read_table(path)["item_id"] for path in inputs]))
    expected = RQKMeans.load(tmp_path / "tokenizer").encode(torch.from_numpy(vectors[order]))
    assert np.array_equal(sids.codes, expected.numpy())
    trie = recops.SidTrie.from_sids(torch.from_numpy(sids.codes), vocab_sizes=8)
    assert trie.contains(torch.from_numpy(sids.codes)).all()


@pytest.mark.slow
def test_a_killed_worker_is_restarted(inputs: list[Path], tmp_path: Path) -> None:
    EncodeFiles(tmp_path / "tokenizer", tmp_path / "undisturbed")(inputs)
    out = tmp_path / "killed"
    stage = EncodeFiles(tmp_path / "tokenizer", out)
    (tmp_path / "stage.pickle").write_bytes(pickle.dumps(stage))
    with start(tmp_path / "stage.pickle", inputs) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        os.kill(worker.pid, signal.SIGKILL)
    finished = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert finished
    (out / ".part4.parquet.01234567.tmp").write_bytes(b"half")  # As a kill during a write leaves.
    time.sleep(0.01)
    stage(inputs)
    assert contents(out) == contents(tmp_path / "undisturbed")
    assert all(path.stat().st_mtime_ns == time for path, time in finished.items())


def test_text_ids_are_numbered_over_all_files(inputs: list[Path], tmp_path: Path) -> None:
    for index, names in enumerate((["b", "d"], ["a", "c"])):
        table = pq.read_table(inputs[index]).slice(0, 2)
        table = table.set_column(0, "item_id", pa.array(names))
        pq.write_table(table, tmp_path / f"text{index}.parquet")
    stage = EncodeFiles(tmp_path / "tokenizer", tmp_path / "out")
    sids = read_sid_files(stage([tmp_path / "text0.parquet", tmp_path / "text1.parquet"]))
    assert sids.keys == ["a", "b", "c", "d"]
    assert sids.item_ids.tolist() == [0, 1, 2, 3]


def test_wrong_use_is_one_line(inputs: list[Path], tmp_path: Path) -> None:
    stage = EncodeFiles(tmp_path / "tokenizer", tmp_path / "out")
    (tmp_path / "more").mkdir()
    same_name = tmp_path / "more" / inputs[0].name
    same_name.write_bytes(inputs[0].read_bytes())
    with pytest.raises(ValueError, match="files must have different names"):
        stage([inputs[0], same_name])
    with pytest.raises(ValueError, match="out must be another folder"):
        EncodeFiles(tmp_path / "tokenizer", tmp_path)([inputs[0]])
    (tmp_path / ENCODING).unlink()
    files = stage([inputs[0]])
    with pytest.raises(DataError, match="item 0 must be in one file, is in two"):
        read_sid_files([*files, EncodeFiles(tmp_path / "tokenizer", tmp_path / "b")(inputs)[0]])
    with pytest.raises(DataError, match="at least one file, got none"):
        read_sid_files([])
    RQKMeans(3, 8).fit(torch.randn(50, DIM), torch.arange(50)).save(tmp_path / "other")
    with pytest.raises(ValueError, match="holds files of another tokenizer"):
        EncodeFiles(tmp_path / "other", tmp_path / "out")
