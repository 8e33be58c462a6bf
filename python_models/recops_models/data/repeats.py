"""Treatment of repeats: events with an item that the user has met before.

In a shop, people buy the same item again; a film is rated once. The treatment is part of the data
set. ``"drop"``: lists leave out the items of the history, and sampled negatives are items that the
user has never met. ``"keep"``: lists contain every item, and a sampled negative is any item but the
one of its event.
"""

from __future__ import annotations

import dataclasses

from recops_models.data.dataset import Dataset, Repeats
from recops_models.data.errors import DataError
from recops_models.data.vocabulary import distinct

KEEP_FROM = 0.1
"""Smallest share of repeats at which a user's own data keeps them."""


def repeat_share(dataset: Dataset) -> float:
    """Return the share of events whose item the user has met before, in O(E log E).

    Example:
        >>> import recops_models as rm
        >>> log = {"user_id": [1, 1, 2, 1], "item_id": [5, 6, 5, 5], "timestamp": [0, 1, 2, 3]}
        >>> repeat_share(rm.Dataset.from_frames(log))
        0.25
    """
    events = dataset.interactions
    user = dataset.user_vocabulary.index(events["user_id"].to_numpy())
    item = dataset.item_vocabulary.index(events["item_id"].to_numpy())
    pairs = distinct(user * dataset.items.num_rows + item)
    return 1 - len(pairs) / max(len(item), 1)


def with_repeats(dataset: Dataset, repeats: Repeats | None = None) -> Dataset:
    """Return ``dataset`` with a treatment of repeats, and a note on it if repeats matter.

    Args:
        dataset: a user's own data.
        repeats: the treatment; None: ``"keep"`` if the share of repeats is at least
            :data:`KEEP_FROM`.

    Raises:
        DataError: unknown treatment.
    """
    if repeats not in (None, "keep", "drop"):
        raise DataError(f"repeats must be keep or drop, got {repeats!r}")
    return treated(dataset, repeats, repeat_share(dataset))


def treated(dataset: Dataset, repeats: Repeats | None, share: float) -> Dataset:
    """Return :func:`with_repeats` of a data set with a known share of repeats."""
    chosen: Repeats = repeats or ("keep" if share >= KEEP_FROM else "drop")
    if chosen == "drop" and share < KEEP_FROM:
        return dataclasses.replace(dataset, repeats=chosen)
    effect = "lists may contain" if chosen == "keep" else "lists leave out"
    note = (
        f"repeats={chosen}: {share:.1%} of the events repeat an item of their user; {effect} items "
        "of the history"
    )
    report = dataclasses.replace(dataset.report, notes=(*dataset.report.notes, note))
    return dataclasses.replace(dataset, repeats=chosen, report=report)
