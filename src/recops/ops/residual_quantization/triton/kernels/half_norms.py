"""Half the squared norms of codewords."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["start", "size", "dim"])
def half_norms(words_ptr, shift_ptr, half_ptr, start, size, dim, BLOCK_CODES: tl.constexpr):
    """Write ½‖c − shift‖², summed in order of dimensions with fused multiply-adds."""
    local = tl.program_id(0) * BLOCK_CODES + tl.arange(0, BLOCK_CODES)
    is_word = local < size
    words = start + local
    total = tl.zeros([BLOCK_CODES], tl.float32)
    for d in range(dim):
        value = tl.load(words_ptr + words.to(tl.int64) * dim + d, mask=is_word, other=0.0)
        value = value.to(tl.float32) - tl.load(shift_ptr + d)
        total = tl.fma(value, value, total)
    tl.store(half_ptr + words, total * 0.5, mask=is_word)
