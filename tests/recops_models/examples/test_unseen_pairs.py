"""Split by pairs: no pair in two parts, no example lost, nothing else changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recops_models.data import load
from recops_models.examples.batch import Batch
from recops_models.examples.click import PARTS, ClickData, click_data
from recops_models.examples.unseen_pairs import PairFilter, part_of_pair, unseen_pairs
from synthetic_histories import write_ring


@pytest.fixture(scope="module")
def every_pair(tmp_path_factory: pytest.TempPathFactory) -> ClickData:
    folder: Path = tmp_path_factory.mktemp("data") / "shop"
    return click_data(load(write_ring(folder, users=60)), max_len=12)


def batches(data: ClickData, part: str) -> list[Batch]:
    return list(getattr(data, part).batches(16, seed=0))


def pairs(batch: Batch) -> list[set[tuple[int, int]]]:
    """Return the pairs of each example, and check that histories are padded with 0."""
    history, lengths = batch.features["history_item"], batch.lengths["history_item"].tolist()
    assert all(row[n:].eq(0).all() for row, n in zip(history, lengths, strict=True))
    return [
        {(item, event) for event in row[:n].tolist()}
        for item, row, n in zip(batch.features["item"].tolist(), history, lengths, strict=True)
    ]


def test_no_pair_is_in_two_parts(every_pair: ClickData) -> None:
    filtered = unseen_pairs(every_pair)
    seen = [
        {pair for batch in batches(filtered, part) for of_one in pairs(batch) for pair in of_one}
        for part in PARTS
    ]
    assert all(seen)
    assert len(set().union(*seen)) == sum(map(len, seen))


@pytest.mark.parametrize("part", PARTS)
def test_histories_keep_the_events_of_their_part_in_order(every_pair: ClickData, part: str) -> None:
    index = PARTS.index(part)
    for before, after in zip(
        batches(every_pair, part), batches(unseen_pairs(every_pair), part), strict=True
    ):
        assert torch.equal(before.label, after.label)
        assert torch.equal(before.features["item"], after.features["item"])
        for row, item in enumerate(before.features["item"]):
            history = before.features["history_item"][row, : before.lengths["history_item"][row]]
            expected = history[part_of_pair(item, history) == index]
            length = int(after.lengths["history_item"][row])
            assert torch.equal(after.features["history_item"][row, :length], expected)


def test_parts_are_equal_and_neighbours_independent() -> None:
    rows = torch.arange(1, 1500)
    part = part_of_pair(rows[:, None], rows)
    for index in range(3):
        assert (part == index).float().mean().item() == pytest.approx(1 / 3, abs=0.002)
    for shifted in (part[1:], part[:, 1:].T, part.T[1:]):
        agreement = (shifted == part[: len(shifted)][:, : shifted.shape[1]]).float().mean().item()
        assert agreement == pytest.approx(1 / 3, abs=0.003)


def test_aligned_sequences_are_filtered_together(every_pair: ClickData) -> None:
    keep = PairFilter(0, "item", "history_item", aligned=("history_item", "history_other"))
    (batch,) = [next(iter(every_pair.train.batches(8, seed=0)))]
    twice = batch._replace(
        features={**batch.features, "history_other": batch.features["history_item"] + 100},
        lengths={**batch.lengths, "history_other": batch.lengths["history_item"]},
    )
    some = keep(twice)
    item, other = some.features["history_item"], some.features["history_other"]
    assert torch.equal(other, torch.where(item > 0, item + 100, 0))
    assert unseen_pairs(every_pair).train.num_examples == every_pair.train.num_examples
