"""Sums over pairs of codewords, and the gradient of the codewords."""

from __future__ import annotations

import triton
import triton.language as tl

from recops.ops.codebook_overlap.triton.kernels.overlap import overlap_and_slope


@triton.jit(do_not_specialize=["size", "first", "count"])
def sum_overlaps(
    columns_ptr,
    value_ptr,
    usage_ptr,
    grad_ptr,
    sums_ptr,
    forces_ptr,
    size,
    dim,
    first,
    count,
    scale,
    MINIMUM: tl.constexpr,
    SPLIT: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_OTHERS: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """Write Σ_j κ_ij · value[j] of ``count`` codewords i, over a split of the codewords j.

    ``columns [dim, size]`` are the transposed codewords, with zeros up to a multiple of
    ``BLOCK_DIM``, and ``sums [splits, size]`` the sums. With
    ``forces [count, size]``, also writes (a_i u_j + a_j u_i) · slope_ij there, for the gradients a
    of the row sums and the usage u.
    """
    local = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    is_row = local < count
    rows = first + local
    begin = tl.program_id(1) * SPLIT
    total = tl.zeros([BLOCK_ROWS], tl.float32)
    for start in range(begin, tl.minimum(begin + SPLIT, size), BLOCK_OTHERS):
        others = start + tl.arange(0, BLOCK_OTHERS)
        is_other = others < size
        sq_distance = tl.zeros([BLOCK_ROWS, BLOCK_OTHERS], tl.float32)
        for first_dim in range(0, dim, BLOCK_DIM):
            for offset in tl.static_range(BLOCK_DIM):
                at = columns_ptr + (first_dim + offset) * size
                row = tl.load(at + rows, mask=is_row, other=0.0)
                other = tl.load(at + others, mask=is_other, other=0.0)
                difference = row[:, None] - other[None, :]
                sq_distance += difference * difference
        overlap, slope = overlap_and_slope(sq_distance, scale, MINIMUM)
        value = tl.load(value_ptr + others, mask=is_other, other=0.0)
        total += tl.sum(tl.where(is_other[None, :], overlap * value[None, :], 0.0), 1)
        if forces_ptr is not None:
            own_usage = tl.load(usage_ptr + rows, mask=is_row, other=0.0)
            own_grad = tl.load(grad_ptr + rows, mask=is_row, other=0.0)
            usage = tl.load(usage_ptr + others, mask=is_other, other=0.0)
            grad = tl.load(grad_ptr + others, mask=is_other, other=0.0)
            force = own_grad[:, None] * usage[None, :] + own_usage[:, None] * grad[None, :]
            tl.store(
                forces_ptr + local[:, None] * size + others[None, :],
                force * slope,
                mask=is_row[:, None] & is_other[None, :],
            )
    tl.store(sums_ptr + tl.program_id(1).to(tl.int64) * size + rows, total, mask=is_row)


@triton.jit(do_not_specialize=["size", "first", "count"])
def sum_forces(
    codebook_ptr,
    forces_ptr,
    sums_ptr,
    size,
    dim,
    first,
    count,
    SPLIT: tl.constexpr,
    UNROLL: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """Write Σ_j force_ij · (c_j − c_i) of ``count`` codewords i, over a split of the codewords j.

    ``sums`` is ``[splits, size, dim]``.
    """
    local = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    dims = tl.program_id(1) * BLOCK_DIM + tl.arange(0, BLOCK_DIM)
    is_row, is_dim = local < count, dims < dim
    at = (first + local)[:, None] * dim + dims[None, :]
    is_value = is_row[:, None] & is_dim[None, :]
    own = tl.load(codebook_ptr + at, mask=is_value, other=0.0)
    begin = tl.program_id(2) * SPLIT
    end = tl.minimum(begin + SPLIT, size)
    total = tl.zeros([BLOCK_ROWS, BLOCK_DIM], tl.float32)
    for start in range(begin, end, UNROLL):
        for offset in tl.static_range(UNROLL):
            other = tl.minimum(start + offset, end - 1)
            force = tl.load(forces_ptr + local * size + other, mask=is_row, other=0.0)
            force = tl.where(start + offset < end, force, 0.0)
            word = tl.load(codebook_ptr + other * dim + dims, mask=is_dim, other=0.0)
            total += force[:, None] * (word[None, :] - own)
    split = tl.program_id(2).to(tl.int64) * size * dim
    tl.store(sums_ptr + split + at, total, mask=is_value)
