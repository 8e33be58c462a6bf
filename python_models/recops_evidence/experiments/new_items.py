"""Items that are held out of training, and the users whose later events contain them."""

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
    """Data set without some of its items, the held-out items, and test questions about them.

    Attributes:
        old: the data set with the other items and their events only.
        new: ``[n]`` rows of the held-out items in random order. The order matters: ids often
            correlate with popularity, and new items on one path are ranked by insertion order.
        questions: at most one per user: the latest event with a new item, if leave-one-out of
            ``old`` trains on no later event of that user. The history has the user's earlier events
            with old items, at least one. Targets are indices into ``new``.
    """

    old: Dataset
    new: pa.Table
    questions: Examples

    @classmethod
    def draw(cls, dataset: Dataset, share: float, seed: int) -> HeldOutItems:
        """Hold out a ``share`` of at least two items, drawn uniformly.

        Raises:
            ValueError: no user has an event with a new item late enough.
        """
        number = min(max(1, round(share * dataset.items.num_rows)), dataset.items.num_rows - 1)
        rng = np.random.default_rng(seed)
        drawn = rng.permutation(dataset.items.num_rows)[:number]
        held = np.zeros(dataset.items.num_rows, dtype=bool)
        held[drawn] = True
        is_new = held[dataset.item_vocabulary.index(dataset.interactions["item_id"].to_numpy())]
        old = dataclasses.replace(
            dataset,
            interactions=dataset.interactions.filter(pa.array(~is_new)),
            items=dataset.items.filter(pa.array(~held)),
        )
        questions = _questions(dataset, drawn, old)
        if not len(questions.users):
            raise ValueError(f"{dataset.name}: no user's last events contain a held-out item")
        return cls(old, dataset.items.take(pa.array(drawn)), questions)


def _questions(dataset: Dataset, drawn: Int64Array, old: Dataset) -> Examples:
    events = Histories.of(dataset.interactions, dataset.user_vocabulary, dataset.item_vocabulary)
    index = np.full(dataset.items.num_rows, -1)  # Index among new items, else −1.
    index[drawn] = np.arange(len(drawn))
    new, user = index[events.items] >= 0, np.repeat(np.arange(len(events)), events.lengths)
    total = np.bincount(user[~new], minlength=len(events))  # Events with old items per user.
    earlier: Int64Array = np.cumsum(~new) - (~new).astype(np.int64)  # Over all users.
    before: Int64Array = earlier - (np.cumsum(total) - total)[user]
    num_later = total[user] - before
    untrained = np.where(total[user] >= 3, 2, 0)  # Leave-one-out's validation and test.
    fits = np.flatnonzero(new & (before > 0) & (num_later <= untrained))
    latest = fits[np.append(user[fits][1:] != user[fits][:-1], True)[: len(fits)]]
    users: Int64Array = user[latest]
    known = Histories.of(old.interactions, old.user_vocabulary, old.item_vocabulary).take(users)
    targets = Histories(
        np.arange(len(latest) + 1), index[events.items[latest]], events.rows[latest]
    )
    return Examples(users, _first(known, before[latest]), targets)


def _first(histories: Histories, lengths: Int64Array) -> Histories:
    """Return the first ``lengths`` events of each history."""
    step = np.arange(histories.offsets[-1]) - np.repeat(histories.offsets[:-1], histories.lengths)
    is_first = step < np.repeat(lengths, histories.lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Histories(offsets, histories.items[is_first], histories.rows[is_first])
