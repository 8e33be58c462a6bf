"""Split by pairs of candidate and history event: no pair occurs in two parts.

A hash assigns every pair (candidate, history event) to one of three parts. An example of a part
keeps only the history events whose pair is assigned to this part. No example is lost, every item is
trained, and histories have about the same length in all parts.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from recops_models.examples.batch import Batch
from recops_models.examples.click import PARTS, ClickData
from recops_models.examples.loader import MappedSource

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
        MappedSource(getattr(data, part), PairFilter(index, candidate, history, tuple(aligned)))
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
class PairFilter:
    """Function of a batch that keeps the history events of pairs that belong to one part."""

    part: int
    candidate: str
    history: str
    aligned: tuple[str, ...]

    def __call__(self, batch: Batch) -> Batch:
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
