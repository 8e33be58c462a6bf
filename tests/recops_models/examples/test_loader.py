"""Batches: every example once, similar lengths, independent of the number of workers."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from recops_models.data.prefetch import ordered_map
from recops_models.examples.batch import Batch
from recops_models.examples.block import Block, Column, Ragged
from recops_models.examples.loader import MemorySource

N = 10_000


def block(n: int = N) -> Block:
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 101, n)
    return Block(
        {
            "item": Column(np.arange(n)),
            "price": Column(np.float32([0.5, 1.5]), np.arange(n) % 2),
            "image": Column(rng.random((n, 3), dtype=np.float32)),
        },
        (Ragged(np.cumsum(lengths), lengths, {"history": np.arange(lengths.sum()) + 1}),),
        np.ones(n, dtype=np.float32),
        Column(np.arange(n) + 2**60),
    )


def source(n: int = N) -> MemorySource:
    examples = block(n)
    return MemorySource(n, lambda *_: examples)


def same(a: Batch, b: Batch) -> bool:
    pairs = [(a.label, b.label), (a.group, b.group)]
    pairs += [(a.features[name], b.features[name]) for name in a.features]
    pairs += [(a.lengths[name], b.lengths[name]) for name in a.lengths]
    return all(torch.equal(x, y) for x, y in pairs)


def test_a_batch_has_the_values_of_its_examples() -> None:
    examples = block()
    for batch in source().batches(256, seed=0):
        rows = batch.features["item"].numpy()
        assert batch.features["history"].shape[1] == max(1, batch.lengths["history"].max())
        assert (batch.group.numpy() == rows + 2**60).all()
        assert torch.equal(batch.features["price"], torch.from_numpy(rows % 2 + 0.5).float())
        assert (batch.features["image"].numpy() == examples.columns["image"].values[rows]).all()
        ragged = examples.sequences[0]
        for row, shown, length in zip(
            rows, batch.features["history"].numpy(), batch.lengths["history"].numpy(), strict=True
        ):
            assert length == ragged.lengths[row]
            assert (shown[:length] == np.arange(length) + ragged.ends[row] - length + 1).all()
            assert not shown[length:].any()
    assert batch.features["image"].dtype == batch.label.dtype == torch.float32


def test_every_example_comes_once_and_only_the_last_batch_is_short() -> None:
    for seed in (None, 3):
        batches = list(source().batches(300, seed=seed))
        assert [len(batch.label) for batch in batches] == [300] * 33 + [100]
        items = torch.cat([batch.features["item"] for batch in batches])
        assert (items.sort().values == torch.arange(N)).all()
        assert torch.equal(items, torch.arange(N)) == (seed is None)


def test_similar_lengths_are_batched_together() -> None:
    batches = list(source().batches(100, seed=0))
    padded = sum(batch.features["history"].numel() for batch in batches)
    events = sum(int(batch.lengths["history"].sum()) for batch in batches)
    assert events / padded > 0.95, "without buckets it is 0.5"
    means = torch.stack([batch.lengths["history"].float().mean() for batch in batches])
    assert means[1:].gt(means[:-1]).float().mean().sub(0.5).abs() < 0.15, "batches are shuffled"


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("skip", [0, 7, 40])
def test_batches_depend_on_neither_workers_nor_skipping(workers: int, skip: int) -> None:
    alone = list(source().batches(300, seed=1, epoch=2))[skip:]
    helped = list(source().batches(300, seed=1, epoch=2, skip=skip, workers=workers))
    assert len(alone) == len(helped) == max(0, 34 - skip)
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))


def test_epochs_and_seeds_differ() -> None:
    first, epoch, seed = (
        next(source().batches(300, seed=seed, epoch=epoch))
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    )
    assert not same(first, epoch)
    assert not same(first, seed)


def test_no_examples_and_no_events() -> None:
    assert not list(source(0).batches(4, seed=0))
    empty = Ragged(np.zeros(2, np.int64), np.zeros(2, np.int64), {"h": np.zeros(0, np.int64)})
    batch = Block({}, (empty,), np.zeros(2, np.float32), Column(np.arange(2))).batch(np.arange(2))
    assert batch.features["h"].tolist() == [[0], [0]]


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"epoch": -1}, {"skip": -1}, {"workers": -1}], ids=str
)
def test_numbers_out_of_range_are_named(wrong: dict[str, int]) -> None:
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=f"{name} must be"):
        source().batches(**({"batch": 4, "seed": 0} | wrong))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_few_tasks_are_started_in_advance(workers: int) -> None:
    started: list[int] = []
    results = ordered_map(lambda task: started.append(task) or task, range(1000), workers=workers)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    results.close()
    assert len(started) <= 5 + 2 * workers
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_raised_at_its_position(workers: int) -> None:
    results = ordered_map(lambda task: 6 // task, [1, 2, 0, 3], workers=workers)
    assert next(results) == 6
    assert next(results) == 3
    with pytest.raises(ZeroDivisionError):
        next(results)

    def tasks() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    results = ordered_map(str, tasks(), workers=workers)
    assert next(results) == "1"
    with pytest.raises(OSError, match="gone"):
        next(results)
