"""Sums of values by row, in a fixed order and without atomics.

The entries of a row are sorted and cut into pieces. Programs sum pieces, then rows, so that a row
with most of the entries does not keep one program busy while the others wait.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["num_pieces", "num_rows"])
def sum_pieces(
    values_ptr,
    weight_ptr,
    order_ptr,
    starts_ptr,
    first_pieces_ptr,
    piece_rows_ptr,
    partial_ptr,
    num_pieces,
    num_rows,
    dim,
    REPEATS: tl.constexpr,
    PIECE: tl.constexpr,
    BLOCK_PIECES: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """Write the sums of pieces of at most ``PIECE`` entries, added in order of entries.

    Entry e is value ``e // REPEATS``, times its weight if there are weights. ``order`` lists the
    entries sorted by row, ``starts`` the first position of each row, ``first_pieces`` the first
    piece of each row, and ``piece_rows`` the row of each piece. Pieces past the last have no row.
    """
    pieces = tl.program_id(0) * BLOCK_PIECES + tl.arange(0, BLOCK_PIECES)
    columns = tl.program_id(1) * BLOCK_DIM + tl.arange(0, BLOCK_DIM)
    is_column = columns < dim
    rows = tl.load(piece_rows_ptr + pieces, mask=pieces < num_pieces, other=num_rows)
    is_piece = rows < num_rows
    first = tl.load(first_pieces_ptr + rows, mask=is_piece, other=0)
    begin = tl.load(starts_ptr + rows, mask=is_piece, other=0) + (pieces - first) * PIECE
    end = tl.load(starts_ptr + rows + 1, mask=is_piece, other=0)
    total = tl.zeros([BLOCK_PIECES, BLOCK_DIM], tl.float32)
    for i in tl.static_range(PIECE):
        is_entry = is_piece & (begin + i < end)
        entries = tl.load(order_ptr + begin + i, mask=is_entry, other=0).to(tl.int64) // REPEATS
        values = tl.load(
            values_ptr + entries[:, None] * dim + columns[None, :],
            mask=is_entry[:, None] & is_column[None, :],
            other=0.0,
        ).to(tl.float32)
        if weight_ptr is not None:
            weight = tl.load(weight_ptr + entries, mask=is_entry, other=0.0).to(tl.float32)
            values = values * weight[:, None]
        total += values
    tl.store(
        partial_ptr + pieces.to(tl.int64)[:, None] * dim + columns[None, :],
        total,
        mask=is_piece[:, None] & is_column[None, :],
    )


@triton.jit(do_not_specialize=["num_rows"])
def sum_rows(
    partial_ptr,
    first_pieces_ptr,
    out_ptr,
    num_rows,
    dim,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_PIECES: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """Write the sums of rows from those of their pieces, block by block of pieces."""
    rows = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    columns = tl.program_id(1) * BLOCK_DIM + tl.arange(0, BLOCK_DIM)
    local = tl.arange(0, BLOCK_PIECES)
    is_row, is_column = rows < num_rows, columns < dim
    first = tl.load(first_pieces_ptr + rows, mask=is_row, other=0)
    count = tl.load(first_pieces_ptr + rows + 1, mask=is_row, other=0) - first
    total = tl.zeros([BLOCK_ROWS, BLOCK_DIM], tl.float32)
    for begin in range(0, tl.max(count, 0), BLOCK_PIECES):
        at = begin + local
        pieces = (first[:, None] + at[None, :]).to(tl.int64)
        is_piece = at[None, :] < count[:, None]
        partial = tl.load(
            partial_ptr + pieces[:, :, None] * dim + columns[None, None, :],
            mask=is_piece[:, :, None] & is_column[None, None, :],
            other=0.0,
        )
        total += tl.sum(partial, 1)
    tl.store(
        out_ptr + rows.to(tl.int64)[:, None] * dim + columns[None, :],
        total,
        mask=is_row[:, None] & is_column[None, :],
    )
