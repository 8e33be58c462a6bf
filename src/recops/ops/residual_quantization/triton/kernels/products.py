"""Products of rows with codewords in float32, stored."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["num_rows", "num_words"])
def store_products(
    rows_ptr,
    shift_ptr,
    words_ptr,
    half_ptr,
    out_ptr,
    num_rows,
    num_words,
    dim,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_WORDS: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """Write r·c ``[rows, words]``, or the scores ½‖c‖² − (r − shift)·c if there is a shift.

    A score starts from ½‖c‖² and subtracts the products in order of dimensions, as on the CPU.
    """
    rows = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    words = tl.program_id(1) * BLOCK_WORDS + tl.arange(0, BLOCK_WORDS)
    is_row, is_word = rows < num_rows, words < num_words
    sums = tl.zeros([BLOCK_ROWS, BLOCK_WORDS], tl.float32)
    if shift_ptr is not None:
        sums += tl.load(half_ptr + words, mask=is_word, other=0.0)[None, :]
    for first in range(0, dim, BLOCK_DIM):
        dims = first + tl.arange(0, BLOCK_DIM)
        is_dim = dims < dim
        row = tl.load(
            rows_ptr + rows.to(tl.int64)[:, None] * dim + dims[None, :],
            mask=is_row[:, None] & is_dim[None, :],
            other=0.0,
        ).to(tl.float32)
        word = tl.load(
            words_ptr + words.to(tl.int64)[:, None] * dim + dims[None, :],
            mask=is_word[:, None] & is_dim[None, :],
            other=0.0,
        )
        if shift_ptr is not None:
            row = tl.load(shift_ptr + dims, mask=is_dim, other=0.0)[None, :] - row
        sums = tl.dot(row, tl.trans(word), sums, input_precision="ieee")
    tl.store(
        out_ptr + rows.to(tl.int64)[:, None] * num_words + words[None, :],
        sums,
        mask=is_row[:, None] & is_word[None, :],
    )
