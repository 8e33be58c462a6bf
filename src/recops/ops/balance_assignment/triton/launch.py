"""Launcher of balanced assignment."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recops.ops._triton_device import OLDEST_CAPABILITY, capability, on_device
from recops.ops.balance_assignment.composite import Problem, repair
from recops.ops.balance_assignment.composite import nearest_with_room as composite_search
from recops.ops.balance_assignment.triton.kernels.room import nearest_with_room as kernel

_MOST_VALUES = 2**31 - 1


class SearchTiles(NamedTuple):
    """Tile of the search. It was not tuned on a GPU."""

    items: int = 8
    codes: int = 128
    dim: int = 4
    num_warps: int = 1


TILES = SearchTiles()


def repair_assignment(
    x: Tensor, codebook: Tensor, weight: Tensor, capacity: Tensor, nearest: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ``recops::repair_assignment``: the composite with a kernel for its searches."""
    if not _fits(x, codebook):
        return repair(x, codebook, weight, capacity, nearest, composite_search)
    return repair(x, codebook, weight, capacity, nearest, search)


def search(
    problem: Problem, items: Tensor, load: Tensor, is_open: Tensor, tiles: SearchTiles = TILES
) -> Tensor:
    """Return the nearest open code with room for each item at these loads, or −1.

    Args:
        problem: float32 rows and codewords.
        items: ``[M]`` int64, numbers of rows.
        load: ``[K]`` of the weights' dtype.
        is_open: ``[K]`` bool.
        tiles: tile sizes.

    Returns:
        ``[M]`` int64.
    """
    size, dim = problem.codebook.shape
    codes = items.new_empty(len(items), dtype=torch.int32)
    if not len(items):
        return items
    with on_device(items):
        kernel[(-(-len(items) // tiles.items),)](
            problem.x.contiguous(), problem.codebook.t().contiguous(), problem.weight.contiguous(),
            problem.capacity.contiguous(), load.contiguous(), is_open.to(torch.int32), items, codes,
            len(items), size, dim, BLOCK_ITEMS=tiles.items, BLOCK_CODES=tiles.codes,
            BLOCK_DIM=tiles.dim, num_warps=tiles.num_warps, num_stages=1, enable_fp_fusion=True,
        )  # fmt: skip
    return codes.long()


def _fits(x: Tensor, codebook: Tensor) -> bool:
    """Return whether the kernel can take rows and codewords."""
    return (
        x.ndim == codebook.ndim == 2
        and x.dtype == codebook.dtype == torch.float32
        and min(*x.shape, len(codebook)) > 0
        and codebook.numel() <= _MOST_VALUES
        and capability(x) >= OLDEST_CAPABILITY
    )
