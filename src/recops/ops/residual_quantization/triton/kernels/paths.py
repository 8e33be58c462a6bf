"""Squared errors of the paths that a beam search has selected, and their order."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _no_codes():
    """Return an empty tuple, whose type grows with what is appended."""
    return ()


@triton.jit
def _walk(paths_ptr, path, is_path, level_stride, SIZES: tl.constexpr, LEVELS: tl.constexpr):
    """Return the codes of paths, the last level first."""
    codes = _no_codes()
    for back in tl.static_range(LEVELS):
        at = (LEVELS - 1 - back) * level_stride.to(tl.int64)
        position = tl.load(paths_ptr + at + path, mask=is_path, other=0)
        codes += (position % SIZES[LEVELS - 1 - back],)
        path = position // SIZES[LEVELS - 1 - back]
    return codes


@triton.jit(do_not_specialize=["num_paths", "beam", "level_stride"])
def path_errors(
    x_ptr,
    words_ptr,
    paths_ptr,
    errors_ptr,
    dim,
    num_paths,
    beam,
    level_stride,
    SIZES: tl.constexpr,
    STARTS: tl.constexpr,
    LEVELS: tl.constexpr,
    BLOCK_PATHS: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """Write ‖x − Σ c‖² ``[rows, beam]``, subtracted level by level as in greedy encoding."""
    row = tl.program_id(0).to(tl.int64)
    path = tl.program_id(1) * BLOCK_PATHS + tl.arange(0, BLOCK_PATHS)
    is_path = path < num_paths
    codes = _walk(paths_ptr + row * beam, path, is_path, level_stride, SIZES, LEVELS)
    total = tl.zeros([BLOCK_PATHS, BLOCK_DIM], tl.float32)
    for first in range(0, dim, BLOCK_DIM):
        dims = first + tl.arange(0, BLOCK_DIM)
        is_dim = dims < dim
        x = tl.load(x_ptr + row * dim + dims, mask=is_dim, other=0.0).to(tl.float32)
        residual = tl.zeros([BLOCK_PATHS, BLOCK_DIM], tl.float32) + x[None, :]
        for level in tl.static_range(LEVELS):
            word = (STARTS[level] + codes[LEVELS - 1 - level]).to(tl.int64)
            residual -= tl.load(
                words_ptr + word[:, None] * dim + dims[None, :],
                mask=is_path[:, None] & is_dim[None, :],
                other=0.0,
            ).to(tl.float32)
        total += residual * residual
    tl.store(errors_ptr + row * beam + path, tl.sum(total, 1), mask=is_path)


@triton.jit(do_not_specialize=["num_paths", "beam", "kept", "level_stride"])
def order_paths(
    x_ptr,
    paths_ptr,
    scores_ptr,
    errors_ptr,
    codes_ptr,
    out_errors_ptr,
    dim,
    num_paths,
    beam,
    kept,
    level_stride,
    SIZES: tl.constexpr,
    LEVELS: tl.constexpr,
    STRICT: tl.constexpr,
    BLOCK_BEAM: tl.constexpr,
    BLOCK_OTHERS: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """Write the ``kept`` paths with the least errors ``[rows, kept]``; ties keep their order.

    Missing paths have codes −1 and error +inf. A row has codes −1 and errors NaN if it is not
    finite; with ``STRICT`` also if a selected score is not finite, else if a score is +inf.
    """
    row = tl.program_id(0).to(tl.int64)
    path = tl.arange(0, BLOCK_BEAM)
    is_path = path < num_paths

    excess = tl.zeros([BLOCK_DIM], tl.float32)
    for first in range(0, dim, BLOCK_DIM):
        dims = first + tl.arange(0, BLOCK_DIM)
        x = tl.load(x_ptr + row * dim + dims, mask=dims < dim, other=0.0).to(tl.float32)
        excess += x - x
    is_known = tl.sum(excess, 0) == 0
    if STRICT:
        for level in tl.static_range(LEVELS):
            # Entries past the paths of a level are padding.
            at = level * level_stride.to(tl.int64) + row * beam + path
            is_selected = tl.load(paths_ptr + at, mask=path < beam, other=-1) >= 0
            score = tl.load(scores_ptr + at, mask=is_selected, other=0.0)
            is_known = is_known & (tl.max((tl.abs(score) < float("inf")).to(tl.int32) ^ 1, 0) == 0)
    else:
        score = tl.load(scores_ptr + row * beam + path, mask=is_path, other=0.0)
        is_known = is_known & (tl.max((score < float("inf")).to(tl.int32) ^ 1, 0) == 0)

    error = tl.load(errors_ptr + row * beam + path, mask=is_path, other=0.0)
    own = tl.where(error == error, error, float("inf"))
    rank = tl.zeros([BLOCK_BEAM], tl.int32)
    for first in range(0, num_paths, BLOCK_OTHERS):
        other = first + tl.arange(0, BLOCK_OTHERS)
        is_other = other < num_paths
        value = tl.load(errors_ptr + row * beam + other, mask=is_other, other=0.0)
        value = tl.where(value == value, value, float("inf"))
        is_less = value[None, :] < own[:, None]
        is_earlier = (value[None, :] == own[:, None]) & (other[None, :] < path[:, None])
        rank += tl.sum(((is_less | is_earlier) & is_other[None, :]).to(tl.int32), 1)

    is_kept = is_path & (rank < kept)
    tl.store(
        out_errors_ptr + row * kept + rank, tl.where(is_known, error, float("nan")), mask=is_kept
    )
    for back in tl.static_range(LEVELS):
        at = (LEVELS - 1 - back) * level_stride.to(tl.int64) + row * beam
        position = tl.load(paths_ptr + at + path, mask=is_path, other=0)
        code = tl.where(is_known, position % SIZES[LEVELS - 1 - back], -1)
        out = (row * kept + rank) * LEVELS + (LEVELS - 1 - back)
        tl.store(codes_ptr + out, code, mask=is_kept)
        path = position // SIZES[LEVELS - 1 - back]
    for first in range(num_paths, kept, BLOCK_BEAM):
        slot = first + tl.arange(0, BLOCK_BEAM)
        missing = tl.where(is_known, float("inf"), float("nan"))
        missing = tl.zeros([BLOCK_BEAM], tl.float32) + missing
        tl.store(out_errors_ptr + row * kept + slot, missing, mask=slot < kept)
        for level in tl.static_range(LEVELS):
            out = (row * kept + slot) * LEVELS + level
            tl.store(codes_ptr + out, tl.full([BLOCK_BEAM], -1, tl.int32), mask=slot < kept)
