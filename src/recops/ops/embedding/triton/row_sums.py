"""Launchers of sums by row."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recops.ops._triton_device import on_device
from recops.ops.embedding.triton.kernels.row_sums import sum_pieces, sum_rows

PIECE = 16
"""Number of entries of a piece."""


class RowTiles(NamedTuple):
    """Tile sizes of both kernels: pieces, rows, pieces of a row, and columns of a program."""

    pieces: int
    rows: int
    pieces_of_row: int
    dim: int
    num_warps: int


NARROW = RowTiles(pieces=16, rows=8, pieces_of_row=8, dim=16, num_warps=4)
WIDE = RowTiles(pieces=8, rows=2, pieces_of_row=8, dim=64, num_warps=4)


class SortedRows(NamedTuple):
    """Entries sorted by row, and cut into pieces. Nothing in it waits for the device.

    The number of pieces is a bound that follows from the shapes; those past the last have no row.
    """

    num_rows: int
    order: Tensor  # [E] int64: entries by row, then by number
    starts: Tensor  # [num_rows + 1] int32: position of each row's first entry
    first_pieces: Tensor  # [num_rows + 1] int32
    piece_rows: Tensor  # [pieces] int32

    def counts(self) -> Tensor:
        """Return the number of entries of each row, ``[num_rows]`` int32."""
        return self.starts.diff()


def sort_rows(rows: Tensor, num_rows: int) -> SortedRows:
    """Sort entries by row.

    Args:
        rows: ``[E]`` integers; entries outside 0 … num_rows − 1 are of no row. E below 2³¹.
        num_rows: number of rows, below 2³¹.
    """
    ordered, order = rows.sort(stable=True)
    all_rows = torch.arange(num_rows + 1, device=rows.device, dtype=rows.dtype)
    starts = torch.searchsorted(ordered, all_rows, out_int32=True)
    pieces = (starts.diff() + (PIECE - 1)) // PIECE
    first_pieces = torch.nn.functional.pad(pieces.cumsum(0, dtype=torch.int32), (1, 0))
    most_pieces = len(rows) // PIECE + min(len(rows), num_rows)
    numbers = torch.arange(most_pieces, device=rows.device, dtype=torch.int32)
    piece_rows = torch.searchsorted(first_pieces, numbers, right=True, out_int32=True) - 1
    return SortedRows(num_rows, order, starts, first_pieces, piece_rows)


def sum_sorted(
    values: Tensor,
    rows: SortedRows,
    *,
    weight: Tensor | None = None,
    repeats: int = 1,
    dtype: torch.dtype = torch.float32,
    tiles: RowTiles | None = None,
) -> Tensor:
    """Return ``out[r] = Σ weight[v] · values[v]``, with v = e // repeats, over the entries e of r.

    The order of additions of a row depends only on the number of its entries.

    Args:
        values: ``[V, D]`` float32, bfloat16 or float16.
        rows: rows of ``V · repeats`` entries.
        weight: ``[V]`` floating point; 1 by default.
        repeats: number of entries per value.
        dtype: dtype of the result; sums are float32.
        tiles: tile sizes; by default those for D.

    Returns:
        ``[num_rows, D]``.
    """
    dim, num_rows, num_pieces = values.shape[1], rows.num_rows, len(rows.piece_rows)
    if 0 in (dim, num_rows, num_pieces):
        return values.new_zeros((num_rows, dim), dtype=dtype)
    tiles = tiles or (NARROW if dim <= NARROW.dim else WIDE)
    partial = values.new_empty((num_pieces, dim), dtype=torch.float32)
    out = values.new_empty((num_rows, dim), dtype=dtype)
    columns = -(-dim // tiles.dim)
    with on_device(values):
        sum_pieces[(-(-num_pieces // tiles.pieces), columns)](
            values.contiguous(), weight, rows.order, rows.starts, rows.first_pieces,
            rows.piece_rows, partial, num_pieces, num_rows, dim, REPEATS=repeats, PIECE=PIECE,
            BLOCK_PIECES=tiles.pieces, BLOCK_DIM=tiles.dim, num_warps=tiles.num_warps,
            num_stages=1, enable_fp_fusion=True,
        )  # fmt: skip
        sum_rows[(-(-num_rows // tiles.rows), columns)](
            partial, rows.first_pieces, out, num_rows, dim, BLOCK_ROWS=tiles.rows,
            BLOCK_PIECES=tiles.pieces_of_row, BLOCK_DIM=tiles.dim, num_warps=tiles.num_warps,
            num_stages=1, enable_fp_fusion=True,
        )  # fmt: skip
    return out


def sum_by_row(
    values: Tensor, rows: Tensor, num_rows: int, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return the sums ``[num_rows, D]`` of the ``values [E, D]`` of each row, see above."""
    return sum_sorted(values, sort_rows(rows, num_rows), dtype=dtype)
