"""Sources of click examples: with the labels of the source, or with sampled negatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recops_models.data.histories import Histories, Int64Array
from recops_models.examples.block import Block
from recops_models.examples.events import Events
from recops_models.examples.loader import MemorySource, Source
from recops_models.examples.maker import ExampleMaker
from recops_models.examples.negatives import Law, sample_negatives

_POWER = 1.0
"""Of popularity: a negative is the item of an event drawn from all, as the released code of DIEN
and CAN has it (confirmed)."""


def labelled(maker: ExampleMaker, part: int) -> Source:
    """The events of a part, as they were liked or not."""
    rows = maker.events.part(part)
    block = maker.block(rows, maker.events.item[rows], maker.events.liked[rows].astype(np.float32))
    return MemorySource(len(rows), lambda *_: block)


def with_negatives(
    maker: ExampleMaker, part: int, negatives: int, law: Law, fixed: tuple[int, int] | None
) -> Source:
    """Each event of a part and ``negatives`` items beside it, drawn by ``fixed`` or per epoch."""
    events = maker.events
    mine = events.histories(events.part(part))
    rows = np.repeat(mine.rows, 1 + negatives).reshape(-1, 1 + negatives)
    label = np.zeros(rows.shape, dtype=np.float32)
    label[:, 0] = 1
    draw = _training_draw(events, law) if fixed is None else _evaluation_draw(events, law)

    def block(seed: tuple[int, int]) -> Block:
        drawn = draw(mine.lengths * negatives, int(np.random.default_rng(seed).integers(2**62)))
        item = np.column_stack([mine.items, drawn.reshape(-1, negatives)])
        return maker.block(rows.ravel(), item.ravel(), label.ravel())

    if fixed is None:
        return MemorySource(rows.size, lambda seed, epoch: block((seed or 0, epoch)))
    once = block(fixed)
    return MemorySource(rows.size, lambda *_: once)


def _training_draw(events: Events, law: Law) -> Callable[[Int64Array, int], Int64Array]:
    """Items of the training part alone: an item whose vector is never trained as a positive would
    tell its label. None that the user met there or in the events before it: these stand in
    histories, in which no negative of evaluation does.
    """
    train, before = events.histories(events.part(0)), events.histories(np.arange(events.bounds[0]))
    known, dense = np.unique(train.items, return_inverse=True)
    positives = Histories(train.offsets, dense.astype(np.int64), train.rows)
    met = known.searchsorted(before.items).clip(max=len(known) - 1)
    met = np.where(known[met] == before.items, met, -1)
    exclude = Histories(before.offsets, met, before.rows)
    return lambda counts, seed: known[
        sample_negatives(
            positives, len(known), counts, law=law, power=_POWER, seed=seed, exclude=exclude
        )
    ]


def _evaluation_draw(events: Events, law: Law) -> Callable[[Int64Array, int], Int64Array]:
    """Items that the user meets in no part; how popular one is, training alone says."""
    train = events.part(0)
    others = np.setdiff1d(np.arange(len(events.user)), train)
    positives, exclude = events.histories(train), events.histories(others)
    num_items = events.dataset.items.num_rows
    return lambda counts, seed: sample_negatives(
        positives, num_items, counts, law=law, power=_POWER, seed=seed, exclude=exclude
    )
