"""Items that are held out of training, and who met them afterwards."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recops_models.data import Dataset
from recops_models.data.histories import Histories, Int64Array
from recops_models.data.splits import Examples


@dataclass(frozen=True, eq=False)
class HeldOutItems:
    """A data set without some of its items, these, and the questions that they are the answers to.

    Attributes:
        old: the others, and the events with them alone.
        new: ``[n]`` rows of the items held out, in random order: ids often tell how popular an item
            is, and new items on one path are ranked in the order of their coming.
        asked: of each user at most one question: the latest event with a new item, if
            leave-one-out of ``old`` trains on no event of that user behind it. What is known is the
            user's events with old items before it, one at least. Targets are indices into ``new``.
    """

    old: Dataset
    new: pa.Table
    asked: Examples

    @classmethod
    def draw(cls, dataset: Dataset, share: float, seed: int) -> HeldOutItems:
        """Hold out a ``share`` of the items, each as likely as any other; of 2 items or more.

        Raises:
            ValueError: nobody met a new item late enough to be asked.
        """
        number = min(max(1, round(share * dataset.items.num_rows)), dataset.items.num_rows - 1)
        rng = np.random.default_rng(seed)
        drawn = rng.permutation(dataset.items.num_rows)[:number]
        held = np.zeros(dataset.items.num_rows, dtype=bool)
        held[drawn] = True
        of_new = held[dataset.item_vocabulary.index(dataset.interactions["item_id"].to_numpy())]
        old = dataclasses.replace(
            dataset,
            interactions=dataset.interactions.filter(pa.array(~of_new)),
            items=dataset.items.filter(pa.array(~held)),
        )
        asked = _asked(dataset, drawn, old)
        if not len(asked.users):
            raise ValueError(f"{dataset.name}: no user met a held-out item last")
        return cls(old, dataset.items.take(pa.array(drawn)), asked)


def _asked(dataset: Dataset, drawn: Int64Array, old: Dataset) -> Examples:
    events = Histories.of(dataset.interactions, dataset.user_vocabulary, dataset.item_vocabulary)
    index = np.full(dataset.items.num_rows, -1)  # Among the new items, of each that is one.
    index[drawn] = np.arange(len(drawn))
    new, user = index[events.items] >= 0, np.repeat(np.arange(len(events)), events.lengths)
    total = np.bincount(user[~new], minlength=len(events))  # Of each user's events with old items.
    earlier: Int64Array = np.cumsum(~new) - (~new).astype(np.int64)  # Of all users.
    before: Int64Array = earlier - (np.cumsum(total) - total)[user]
    behind = total[user] - before
    untrained = np.where(total[user] >= 3, 2, 0)  # Leave-one-out's validation and test.
    fits = np.flatnonzero(new & (before > 0) & (behind <= untrained))
    latest = fits[np.append(user[fits][1:] != user[fits][:-1], True)[: len(fits)]]
    users: Int64Array = user[latest]
    known = Histories.of(old.interactions, old.user_vocabulary, old.item_vocabulary).take(users)
    targets = Histories(
        np.arange(len(latest) + 1), index[events.items[latest]], events.rows[latest]
    )
    return Examples(users, _first(known, before[latest]), targets)


def _first(histories: Histories, lengths: Int64Array) -> Histories:
    """The first ``lengths`` events of each history."""
    place = np.arange(histories.offsets[-1]) - np.repeat(histories.offsets[:-1], histories.lengths)
    kept = place < np.repeat(lengths, histories.lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Histories(offsets, histories.items[kept], histories.rows[kept])
