"""Split by pairs of candidate and history event: no pair occurs in two parts.

A hash assigns every pair (candidate, history event) to one of three parts. An example of a part
keeps only the history events whose pair is assigned to this part. No example is lost, every item is
trained, and histories have about the same length in all parts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from recops_models.examples.batch import Batch
from recops_models.examples.click import PARTS, ClickData
from recops_models.examples.loader import Source
from recops_models.workers import ALL, BatchShare

_MIX = (0x2545F4914F6CDD1D, 0x369DEA0F31A53F85)  # odd, of 62 bits


def unseen_pairs(
    data: ClickData, candidate: str = "item", history: str = "history_item"
) -> ClickData:
    """Return ``data`` with filtered histories, so that pairs in validation and test are unseen.

    Args:
        data: click examples.
        candidate: categorical feature of a pair.
        history: sequence of a pair; other sequences of its history are filtered the same way.
    """
    aligned = next(
        [sequence.name for sequence in sequences]
        for sequences in data.fitted.schema.histories.values()
        if history in (sequence.name for sequence in sequences)
    )
    train, validation, test = (
        _FilteredSource(getattr(data, part), index, candidate, history, tuple(aligned))
        for index, part in enumerate(PARTS)
    )
    note = f"split by pairs: no pair of {candidate} and {history} occurs in two parts"
    return dataclasses.replace(
        data,
        train=train,
        validation=validation,
        test=test,
        split="unseen pairs",
        notes=(*data.notes, note),
        histories=None,  # Training histories have pairs of other parts.
    )


def part_of_pair(first: Tensor, second: Tensor) -> Tensor:
    """Return the part of each pair of table rows: 0, 1 or 2, with equal probability."""
    mixed = first * _MIX[0] + second * _MIX[1]  # Wraps around.
    mixed = (mixed ^ (mixed >> 29)) * _MIX[0]
    return ((mixed ^ (mixed >> 32)) & 0x7FFFFFFF) % 3


@dataclass(frozen=True)
class _FilteredSource:
    """A source whose histories keep only the events of pairs that belong to one part."""

    source: Source
    part: int
    candidate: str
    history: str
    aligned: tuple[str, ...]

    @property
    def num_examples(self) -> int | None:
        return self.source.num_examples

    def batches(
        self,
        batch: int,
        *,
        seed: int | None,
        epoch: int = 0,
        skip: int = 0,
        workers: int = 0,
        share: BatchShare = ALL,
    ) -> Iterator[Batch]:
        batches = self.source.batches(
            batch, seed=seed, epoch=epoch, skip=skip, workers=workers, share=share
        )
        return map(self._filter, batches)

    def _filter(self, batch: Batch) -> Batch:
        history, lengths = batch.features[self.history], batch.lengths[self.history]
        part = part_of_pair(batch.features[self.candidate][:, None], history)
        keep = (part == self.part) & (torch.arange(history.shape[1]) < lengths[:, None])
        number = keep.sum(1)
        # Kept events first, in their order, then padding.
        order = (~keep).to(torch.int8).argsort(dim=1, stable=True)[:, : max(1, int(number.max()))]
        inside = torch.arange(order.shape[1]) < number[:, None]
        filtered = {name: batch.features[name].gather(1, order) * inside for name in self.aligned}
        return batch._replace(
            features={**batch.features, **filtered},
            lengths={**batch.lengths, **dict.fromkeys(self.aligned, number)},
            prefix_of=None,
        )
