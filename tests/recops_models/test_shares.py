"""Shares of batches: every row once, and batches of the same number for every worker."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from recops_models.examples.block import Block, Column
from recops_models.examples.click_stream import open_click_folder
from recops_models.examples.features import Categorical, FeatureSchema, Numeric
from recops_models.examples.loader import MemorySource
from recops_models.examples.stream_source import StreamSource
from recops_models.workers import ALL, BatchShare

ROWS = 1_000_003


@pytest.mark.parametrize("size", [2, 4])
def test_every_row_is_used_once_per_epoch(size: int) -> None:
    numbers = np.arange(ROWS)
    source = MemorySource.of(
        Block({"row": Column(numbers)}, (), np.zeros(ROWS, np.float32), Column(numbers))
    )
    uses = np.zeros(ROWS, dtype=np.int64)
    batches = [
        source.batches(9973, seed=0, epoch=1, share=BatchShare(rank, size)) for rank in range(size)
    ]
    plain = source.batches(9973, seed=0, epoch=1)
    for batch, *parts in zip(plain, *batches, strict=True):
        joined = torch.cat([part.features["row"] for part in parts])
        assert torch.equal(joined, batch.features["row"])
        lengths = [len(part.label) for part in parts]
        assert max(lengths) - min(lengths) <= 1
        uses[joined.numpy()] += 1
    assert (uses == 1).all()


def test_the_only_worker_has_all_rows() -> None:
    rows = np.arange(5)
    assert ALL.of(rows) is rows


def test_shares_of_few_rows_may_be_empty() -> None:
    rows = torch.arange(2)
    assert [BatchShare(rank, 4).of(rows).tolist() for rank in range(4)] == [[], [0], [], [1]]


def test_shares_of_a_stream_are_those_of_its_batches(tmp_path: Path) -> None:
    numbers = np.arange(1003)
    table = pa.table({"label": numbers % 2, "user_id": numbers % 7, "row": numbers})
    pq.write_table(table, tmp_path / "train.parquet", row_group_size=100)
    for part in ("validation", "test"):
        pq.write_table(table, tmp_path / f"{part}.parquet")
    schema = FeatureSchema((Categorical("user_id"), Numeric("row")))
    (tmp_path / "features.json").write_text(json.dumps(schema.to_dict()))
    source = open_click_folder(tmp_path, buffer_bytes=5000).train
    assert isinstance(source, StreamSource)
    plain = source.batches(37, seed=0)
    shares = [source.batches(37, seed=0, share=BatchShare(rank, 3)) for rank in range(3)]
    rows = []
    for batch, *parts in zip(plain, *shares, strict=True):
        rows.append(torch.cat([part.features["row"] for part in parts]))
        assert torch.equal(rows[-1], batch.features["row"])
    assert len(torch.cat(rows).unique()) == 1003
