"""Launchers of decoding, its gradient, and sums by code."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from recops.ops._composite import composite
from recops.ops._shapes import check_dim, check_numel, check_shape
from recops.ops._triton_device import OLDEST_CAPABILITY, capability, on_device
from recops.ops.embedding.triton import SortedRows, sort_rows, sum_sorted
from recops.ops.residual_quantization.composite import _check_codes, _check_sizes
from recops.ops.residual_quantization.triton.kernels.codes import (
    decode_codes,
    find_words,
    sum_weights,
)

MOST_LEVELS = 16
"""Largest number of levels, which kernels unroll."""

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_MOST_ENTRIES = 2**31 - 2048
_ROWS_OF_CODES = 256
_ENTRIES_OF_WEIGHTS = 1024


class CodeTiles(NamedTuple):
    """Rows and columns of one program of decoding, for at most ``dim`` columns."""

    dim: int
    rows: int
    columns: int


DECODE = (
    CodeTiles(dim=16, rows=128, columns=16),
    CodeTiles(dim=64, rows=32, columns=64),
    CodeTiles(dim=2**31, rows=8, columns=256),
)
"""Tiles by number of columns. They were not tuned on a GPU."""


def rq_decode(codes: Tensor, codewords: Tensor, sizes: Sequence[int]) -> Tensor:
    """Compute ``recops::rq_decode``.

    Outside :func:`recops.debug`, a code out of range raises no error, because a check would wait
    for the device. Its row is then NaN.
    """
    op = "rq_decode"
    check_dim(op, "codewords", codewords, 2)
    check_dim(op, "codes", codes, 2)
    _check_sizes(op, sizes, len(codewords))
    if not _fits(codewords, len(codes), sizes) or codewords.shape[1] == 0:
        result: Tensor = composite(op)(codes, codewords, sizes)
        return result
    _check_codes(op, "codes", codes, sizes)
    return decode(codes, codewords, sizes)


def rq_decode_backward(grad: Tensor, codes: Tensor, sizes: Sequence[int]) -> Tensor:
    """Compute the gradient of the codewords; a code out of range has none."""
    op = "rq_decode_backward"
    _check_sizes(op, sizes)
    check_dim(op, "values", grad, 2)
    check_shape(op, "codes", codes, len(grad), len(sizes))
    if not _fits(grad, len(grad), sizes):
        result: Tensor = composite(op)(grad, codes, sizes)
        return result
    _check_codes(op, "codes", codes, sizes)
    return sum_sorted(grad, _sort(codes, sizes), repeats=len(sizes), dtype=grad.dtype)


def accumulate_codes(
    x: Tensor, index: Tensor, num_codes: int, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Compute ``recops::accumulate_codes``; in :func:`recops.debug` it checks the index.

    Rows are sorted by code, and their sums are added in pieces, without atomics. A wrong index
    counts as −1.
    """
    op = "accumulate_codes"
    check_dim(op, "x", x, 2)
    check_numel(op, "index", index, len(x))
    if weight is not None:
        check_numel(op, "weight", weight, len(x))
    _check_sizes(op, [num_codes])
    if not _fits(x, len(x), [num_codes]):
        result: tuple[Tensor, Tensor] = composite(op)(x, index, num_codes, weight)
        return result
    index = index.flatten()
    _check_codes(op, "index", index, [num_codes])
    rows = _sort(index[:, None], [num_codes])
    if weight is None:
        return sum_sorted(x, rows), rows.counts().float()
    weight = weight.flatten().float()
    return sum_sorted(x, rows, weight=weight), _sums_of_weights(weight, rows)


def decode(
    codes: Tensor, codewords: Tensor, sizes: Sequence[int], tiles: CodeTiles | None = None
) -> Tensor:
    """Return the sums of codewords on the current stream; see :func:`recops.rq_decode`.

    Args:
        codes: ``[N, L]`` integers, N and L at least 1.
        codewords: ``[Σ K_l, D]`` float32, bfloat16 or float16, D at least 1.
        sizes: K_l.
        tiles: tile sizes; by default those of the table.
    """
    rows, dim = len(codes), codewords.shape[1]
    tiles = tiles or select_tiles(dim)
    out = codewords.new_empty((rows, dim))
    with on_device(out):
        decode_codes[(-(-rows // tiles.rows), -(-dim // tiles.columns))](
            codes.contiguous(), codewords.contiguous(), out, rows, dim, **_constants(sizes),
            BLOCK_ROWS=tiles.rows, BLOCK_DIM=tiles.columns, num_warps=4, num_stages=1,
            enable_fp_fusion=True,
        )  # fmt: skip
    return out


def select_tiles(dim: int) -> CodeTiles:
    """Return the tiles of the table for a number of columns."""
    return next(tiles for tiles in DECODE if dim <= tiles.dim)


def _sort(codes: Tensor, sizes: Sequence[int]) -> SortedRows:
    """Sort the codes ``[N, L]`` by codeword."""
    words = codes.new_empty(codes.shape, dtype=torch.int32)
    with on_device(codes):
        find_words[(-(-len(codes) // _ROWS_OF_CODES),)](
            codes.contiguous(), words, len(codes), **_constants(sizes), BLOCK_ROWS=_ROWS_OF_CODES,
            num_warps=4, num_stages=1, enable_fp_fusion=True,
        )  # fmt: skip
    return sort_rows(words.flatten(), sum(sizes))


def _sums_of_weights(weight: Tensor, rows: SortedRows) -> Tensor:
    """Return the sum of the weights of each row, ``[num_rows]`` float32."""
    out = weight.new_empty(rows.num_rows)
    with on_device(weight):
        sum_weights[(rows.num_rows,)](
            weight, rows.order, rows.starts, out, BLOCK_ENTRIES=_ENTRIES_OF_WEIGHTS, num_warps=4,
            num_stages=1, enable_fp_fusion=True,
        )  # fmt: skip
    return out


def _constants(sizes: Sequence[int]) -> dict[str, tuple[int, ...] | int]:
    starts = tuple(accumulate(sizes, initial=0))[:-1]
    return {"SIZES": tuple(sizes), "STARTS": starts, "LEVELS": len(sizes)}


def _fits(values: Tensor, rows: int, sizes: Sequence[int]) -> bool:
    """Return whether the kernels can take values ``[…, D]``, and codes of these sizes."""
    return (
        values.dtype in _DTYPES
        and 0 < len(sizes) <= MOST_LEVELS
        and 0 < rows * len(sizes) <= _MOST_ENTRIES
        and 0 < sum(sizes) <= _MOST_ENTRIES
        and capability(values) >= OLDEST_CAPABILITY
    )
