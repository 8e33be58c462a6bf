"""Histories cut into training windows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recops_models.data.histories import Histories


def cut_windows(histories: Histories, length: int, rng: np.random.Generator) -> Tensor:
    """All events as windows of ``length + 1`` items that overlap by one: ``[W, length + 1]`` i64.

    Within a window, each item but the first is a target and what stands before it the history. The
    cuts fall anew each time, so that over the epochs a target is seen behind histories of all
    lengths. Items are 1-based and right-padded with 0.

    Args:
        histories: of the training part.
        length: T, the model's history.
        rng: draws where the first cut of each history falls.
    """
    return items_at(histories, cut_places(histories, length, rng))


def cut_places(histories: Histories, length: int, rng: np.random.Generator) -> Tensor:
    """Where in ``histories`` the events of :func:`cut_windows` stand: ``[W, length + 1]`` i64,
    right-padded with −1.
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
