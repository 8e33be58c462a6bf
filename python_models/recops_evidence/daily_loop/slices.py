"""Slices of a data set, as a shop would receive them day by day."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.dataset import Dataset
from recops_models.data.histories import Int64Array

SliceBy = Literal["time", "order"]


def slice_of_events(dataset: Dataset, number: int, by: SliceBy) -> Int64Array:
    """Return the slice of each event, from 0.

    Args:
        dataset: the data set.
        number: number of slices.
        by: ``"time"``: slices have equally many events, in time order, and events of one second
            stay together. ``"order"``: each user's events are cut into equal parts.

    Raises:
        ValueError: ``number`` is below 2.
    """
    if number < 2:
        raise ValueError(f"daily loop: slices must be 2 or more, got {number}")
    events = dataset.interactions
    if by == "time":
        times = events["timestamp"].to_numpy()
        edges = [times[len(times) * cut // number] for cut in range(1, number)]
        day: Int64Array = np.searchsorted(edges, times, side="right").astype(np.int64)
        return day
    user = dataset.user_vocabulary.index(events["user_id"].to_numpy())
    counts = np.bincount(user, minlength=dataset.users.num_rows)
    order = np.argsort(user, kind="stable")
    position = np.empty(len(user), dtype=np.int64)
    position[order] = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    slices: Int64Array = number * position // counts[user]
    return slices


def data_until(dataset: Dataset, slices: Int64Array, last: int) -> Dataset:
    """Return the events up to slice ``last``, with the items and users that they name."""
    events = dataset.interactions.filter(pa.array(slices <= last))
    tables = {
        f"{entity}s": table.filter(
            pc.is_in(table[f"{entity}_id"], value_set=pc.unique(events[f"{entity}_id"]))
        )
        for entity, table in (("item", dataset.items), ("user", dataset.users))
    }
    return dataclasses.replace(dataset, interactions=events, **tables)


def only_known_items(dataset: Dataset, slices: Int64Array, day: int) -> tuple[Dataset, Int64Array]:
    """Leave out the events of slice ``day`` whose items have no earlier event.

    Args:
        dataset: events up to ``day``.
        slices: ``[E]``, their slices.
        day: the last slice.

    Returns:
        the data set with the items that are left, and the slices of its events.
    """
    events = dataset.interactions
    before = events.filter(pa.array(slices < day))
    known = pc.is_in(events["item_id"], value_set=pc.unique(before["item_id"]))
    keeps = known.combine_chunks().to_numpy(zero_copy_only=False)
    reduced = dataclasses.replace(
        dataset,
        interactions=events.filter(known),
        items=dataset.items.filter(
            pc.is_in(dataset.items["item_id"], value_set=pc.unique(before["item_id"]))
        ),
    )
    return reduced, slices[keeps]
