"""Sources of click examples: with the data's own labels, or with sampled negatives."""

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
"""Exponent of popularity: a negative is the item of a random event, as in the released code of DIEN
and CAN."""


def labelled(maker: ExampleMaker, part: int) -> Source:
    """Return the events of a part, labelled 1 if liked and 0 otherwise."""
    rows = maker.events.part(part)
    block = maker.block(rows, maker.events.item[rows], maker.events.liked[rows].astype(np.float32))
    return MemorySource(len(rows), lambda *_: block)


def with_negatives(
    maker: ExampleMaker, part: int, negatives: int, law: Law, fixed: tuple[int, int] | None
) -> Source:
    """Return each event of a part with ``negatives`` negative items.

    Negatives are drawn once with the seed ``fixed``, or in every epoch if it is None.
    """
    events = maker.events
    positives = events.histories(events.part(part))
    rows = np.repeat(positives.rows, 1 + negatives).reshape(-1, 1 + negatives)
    label = np.zeros(rows.shape, dtype=np.float32)
    label[:, 0] = 1
    draw = _training_draw(events, law) if fixed is None else _evaluation_draw(events, law)

    def block(seed: tuple[int, int]) -> Block:
        negative = draw(
            positives.lengths * negatives, int(np.random.default_rng(seed).integers(2**62))
        )
        item = np.column_stack([positives.items, negative.reshape(-1, negatives)])
        return maker.block(rows.ravel(), item.ravel(), label.ravel())

    if fixed is None:
        return MemorySource(rows.size, lambda seed, epoch: block((seed or 0, epoch)))
    once = block(fixed)
    return MemorySource(rows.size, lambda *_: once)


def _training_draw(events: Events, law: Law) -> Callable[[Int64Array, int], Int64Array]:
    """Return the sampler of training negatives.

    It draws items of the training part only: an item that is never a positive would reveal its
    label. It excludes the user's training events and the context before them, because negatives in
    evaluation are never in the history either.
    """
    train, before = events.histories(events.part(0)), events.histories(np.arange(events.bounds[0]))
    known, dense = np.unique(train.items, return_inverse=True)
    positives = Histories(train.offsets, dense.astype(np.int64), train.rows)
    index = known.searchsorted(before.items).clip(max=len(known) - 1)
    index = np.where(known[index] == before.items, index, -1)
    exclude = Histories(before.offsets, index, before.rows)
    return lambda counts, seed: known[
        sample_negatives(
            positives, len(known), counts, law=law, power=_POWER, seed=seed, exclude=exclude
        )
    ]


def _evaluation_draw(events: Events, law: Law) -> Callable[[Int64Array, int], Int64Array]:
    """Return the sampler of evaluation negatives: items without any event of the user.

    Popularity counts training events only.
    """
    train = events.part(0)
    others = np.setdiff1d(np.arange(len(events.user)), train)
    positives, exclude = events.histories(train), events.histories(others)
    num_items = events.dataset.items.num_rows
    return lambda counts, seed: sample_negatives(
        positives, num_items, counts, law=law, power=_POWER, seed=seed, exclude=exclude
    )
