"""A split by pairs: what a test example's candidate meets in its history, no other part shows.

Every (candidate, event of the history) is dealt to one of three parts by a hash of the two, and a
part's examples keep of their histories what was dealt to it. So no example is lost, every item is
trained on, histories are equally long in all parts, and no pair of values is in two of them.
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

_MIX = (0x2545F4914F6CDD1D, 0x369DEA0F31A53F85)  # odd, of 62 bits


def unseen_pairs(
    data: ClickData, candidate: str = "item", history: str = "history_item"
) -> ClickData:
    """``data`` with its histories thinned, so that pairs in validation and test are unseen.

    Args:
        data: click examples.
        candidate: the categorical feature of a pair.
        history: the sequence that it is paired with; those of the same history are thinned alike.
    """
    beside = next(
        [sequence.name for sequence in sequences]
        for sequences in data.fitted.schema.histories.values()
        if history in (sequence.name for sequence in sequences)
    )
    train, validation, test = (
        _Thinned(getattr(data, part), index, candidate, history, tuple(beside))
        for index, part in enumerate(PARTS)
    )
    note = f"pairs of {candidate} and {history} in validation and test are in no other part"
    return dataclasses.replace(
        data,
        train=train,
        validation=validation,
        test=test,
        split="unseen pairs",
        notes=(*data.notes, note),
        histories=None,  # They hold pairs that are dealt to other parts.
    )


def part_of_pair(first: Tensor, second: Tensor) -> Tensor:
    """0, 1 or 2, about equally often: to which part a pair of rows belongs."""
    mixed = first * _MIX[0] + second * _MIX[1]  # wraps
    mixed = (mixed ^ (mixed >> 29)) * _MIX[0]
    return ((mixed ^ (mixed >> 32)) & 0x7FFFFFFF) % 3


@dataclass(frozen=True)
class _Thinned:
    source: Source
    part: int
    candidate: str
    history: str
    beside: tuple[str, ...]

    @property
    def num_examples(self) -> int | None:
        return self.source.num_examples

    def batches(
        self, batch: int, *, seed: int | None, epoch: int = 0, skip: int = 0, workers: int = 0
    ) -> Iterator[Batch]:
        whole = self.source.batches(batch, seed=seed, epoch=epoch, skip=skip, workers=workers)
        return map(self._thin, whole)

    def _thin(self, batch: Batch) -> Batch:
        history, lengths = batch.features[self.history], batch.lengths[self.history]
        part = part_of_pair(batch.features[self.candidate][:, None], history)
        kept = (part == self.part) & (torch.arange(history.shape[1]) < lengths[:, None])
        number = kept.sum(1)
        # Those kept first, in their order, and then padding.
        order = (~kept).to(torch.int8).argsort(dim=1, stable=True)[:, : max(1, int(number.max()))]
        inside = torch.arange(order.shape[1]) < number[:, None]
        thinned = {name: batch.features[name].gather(1, order) * inside for name in self.beside}
        return batch._replace(
            features={**batch.features, **thinned},
            lengths={**batch.lengths, **dict.fromkeys(self.beside, number)},
            begun_by=None,
        )
