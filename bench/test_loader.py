"""Lower bound on the speed of the loader, so that no training step waits for it.

A pass orders, buckets and gathers the examples; for a file it also reads and encodes them. Its time
per batch, on one thread, is compared with a training step of DIN on one thread: B = 1,024,
histories of 100 events, AdamW.
"""

from __future__ import annotations

import sys
from itertools import cycle
from pathlib import Path

import pytest
import torch

from recops.benchmarks.registry import Case
from recops_models.click.din import Din, DinConfig
from recops_models.click.loss import click_loss
from recops_models.examples.block import Block
from recops_models.examples.click import ClickData
from recops_models.examples.encode import encode
from recops_models.examples.features import FittedSchema
from recops_models.examples.loader import MemorySource
from recops_models.examples.open_click import open_click_data
from recops_models.examples.parquet_rows import ParquetRows

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from click_parquet import write_click_folder

BATCH, BATCHES = 1024, 16
FLOOR = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Write a click data set with histories of 100 events and 5,000 items."""
    folder = tmp_path_factory.mktemp("click")
    write_click_folder(
        folder, megabytes=1, items=5000, users=5000, shortest=100, piece=BATCH * BATCHES
    )
    return folder


def in_memory(folder: Path, fitted: FittedSchema) -> MemorySource:
    pieces = ParquetRows(folder / "train.parquet", fitted.schema).pieces()
    block = Block.concatenate([encode(piece, fitted) for piece in pieces])
    return MemorySource(len(block), lambda *_: block)


class Step:
    """Training step on the next batch of the pass."""

    def __init__(self, data: ClickData) -> None:
        torch.manual_seed(0)
        self._model = Din(data.fitted, DinConfig())
        self._optimizer = torch.optim.AdamW(self._model.parameters(), fused=True)
        self._batches = cycle(list(data.train.batches(BATCH, seed=0)))

    def __call__(self) -> None:
        batch = next(self._batches)
        loss = click_loss(self._model(batch), batch.label)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()


@pytest.mark.parametrize("kind", ["memory", "parquet"])
def test_the_loader_is_faster_than_din(folder: Path, kind: str, outruns) -> None:
    data = open_click_data(folder)
    source = data.train if kind == "parquet" else in_memory(folder, data.fitted)

    def one_pass() -> int:
        return sum(1 for _ in source.batches(BATCH, seed=0))

    def verify() -> None:
        assert one_pass() == BATCHES

    case = Case("loader", f"B={BATCH}, T=100", one_pass, verify)
    outruns(case, Step(data), FLOOR / BATCHES)
