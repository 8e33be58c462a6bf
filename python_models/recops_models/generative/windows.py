"""Histories cut into training windows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recops_models.data.histories import Histories


def window_batches(
    histories: Histories, length: int, batch: int, rng: np.random.Generator
) -> list[Tensor]:
    """The windows of :func:`cut_windows` in batches ``[·, longest + 1]``, in random order; those of
    a batch are about as long.

    So nothing is computed for padding, of which random batches of short histories mostly consist;
    and every target counts alike, as a batch has about as many as ``batch`` windows have on
    average, in many short windows or few long ones.

    Args:
        histories: of the training part.
        length: T, the model's history.
        batch: windows, on average.
        rng: draws the cuts, which windows meet, and the order of batches.

    Raises:
        ValueError: no history has two events.
    """
    places = cut_windows(histories, length, rng)
    if not len(places):
        raise ValueError(
            "window_batches: histories must have one of two events or more, got none: there is "
            "nothing to learn from"
        )
    places = places[torch.from_numpy(rng.permutation(len(places)))]
    targets = (places >= 0).sum(1) - 1
    order = targets.argsort(stable=True)
    places, targets = places[order], targets[order]
    before, batches = targets.cumsum(0) - targets, -(-len(places) // batch)
    _, sizes = (before * batches // targets.sum()).unique_consecutive(return_counts=True)
    longest = targets[sizes.cumsum(0) - 1].tolist()
    parts = places.split(sizes.tolist())
    return [parts[i][:, : longest[i] + 1] for i in rng.permutation(len(parts))]


def cut_windows(histories: Histories, length: int, rng: np.random.Generator) -> Tensor:
    """All events as windows of ``length + 1`` that overlap by one: where in ``histories`` they
    stand, ``[W, length + 1]`` i64, right-padded with −1.

    Within a window, each item but the first is a target and what stands before it the history. The
    cuts fall anew each time, so that over the epochs a target is seen behind histories of all
    lengths.

    Args:
        histories: of the training part.
        length: T, the model's history.
        rng: draws where the first cut of each history falls.
    """
    lengths = histories.lengths
    steps = np.maximum(lengths - 1, 0)  # Pairs of neighbours: what there is to predict.
    long = steps > length
    shift = np.where(long, rng.integers(length, size=len(lengths)), 0)  # Of the first window.
    counts = -(-(steps + shift) // length)
    owner = np.repeat(np.arange(len(lengths)), counts)
    nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    start = np.maximum(nth * length - shift[owner], 0)
    stop = np.minimum((nth + 1) * length - shift[owner], steps[owner])
    place = start[:, None] + np.arange(length + 1)
    first = histories.offsets[:-1][owner][:, None]
    return torch.from_numpy(np.where(place <= stop[:, None], place + first, -1))


def items_at(histories: Histories, places: Tensor) -> Tensor:
    """The items at some places, 1-based; 0 at place −1."""
    items = torch.from_numpy(histories.items)
    return (items[places] + 1).where(places >= 0, 0)


def last_windows(histories: Histories, length: int) -> tuple[Tensor, Tensor]:
    """The last events: ``([U, length] i64, 1-based, right-padded with 0; their number [U])``."""
    items, lengths = histories.last(length)
    return torch.from_numpy(items + 1), torch.from_numpy(lengths)
