"""Ragged rows: entries of all rows one after the other, and the offset of each row."""

from __future__ import annotations

import torch
from torch import Tensor


def is_rising(offsets: Tensor, count: int) -> Tensor:
    """Return whether offsets rise from 0 to ``count``, as a tensor without dimensions."""
    return (offsets[0] == 0) & (offsets[-1] == count) & (offsets[1:] >= offsets[:-1]).all()


def row_of_entry(offsets: Tensor, count: int) -> Tensor:
    """Return the row of each of ``count`` entries; there is at least one row."""
    entries = torch.arange(count, device=offsets.device)
    row = torch.searchsorted(offsets, entries, right=True) - 1
    return row.clamp(0, len(offsets) - 2)
