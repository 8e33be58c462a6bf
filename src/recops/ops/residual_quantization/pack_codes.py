"""Codes to bit strings, as small as their codebooks allow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recops._checks import INDICES, check_sizes, check_tensor
from recops._load import ops
from recops.ops.residual_quantization._packed_codes import (
    MOST_CODES,
    bits_of,
    check_codes,
    packed_width,
)

__all__ = ["pack_codes"]


def pack_codes(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    """The codes of a row one after another, each in as few bits as its codebook needs.

    Level l takes b_l = ⌈log₂ sizes[l]⌉ bits, none where sizes[l] is 1. Bit i of a row is bit
    i mod 8 of byte ⌊i / 8⌋, the lowest first, and so within a code; bits past the last are 0. With
    sizes that are powers of two this is faiss' own layout.

    There are no bits for "no code": −1 is refused. Leave such rows out.

    Args:
        codes: ``[N, L]`` int32 or int64, 0 ≤ codes[n, l] < sizes[l].
        sizes: the number of codes of each level, from 1 to 2³¹; any, not only powers of two.

    Returns:
        ``[N, ⌈Σ b_l / 8⌉]`` uint8.

    Raises:
        IndexError: a code that is not one of its level's; −1 too.
        TypeError, ValueError: a tensor of another dtype; other shapes; a size out of its range.

    Time is O(N · Σ ⌈1 + b_l / 8⌉).

    Source: ours; the order of bits is that of faiss.

    Examples:
        >>> packed = recops.pack_codes(torch.tensor([[1, 2], [0, 3]]), [2, 4])
        >>> packed.tolist()  # 1 + 2 · 2 and 0 + 2 · 3
        [[5], [6]]
    """
    op = "pack_codes"
    check_tensor(op, "codes", codes, ndim=2, dtypes=INDICES)
    sizes = check_sizes(op, "sizes", sizes, most=MOST_CODES)
    if codes.shape[1] != len(sizes):
        raise ValueError(
            f"{op}: codes must have {len(sizes)} columns, one a level, got {codes.shape[1]}"
        )
    return ops.pack_codes(codes, sizes)


@torch.library.custom_op("recops::pack_codes", mutates_args=())
def _pack(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    check_codes("pack_codes", codes, sizes)
    packed = codes.new_zeros((len(codes), packed_width(sizes)), dtype=torch.uint8)
    start = 0
    for level, bits in enumerate(bits_of(sizes)):
        shifted = codes[:, level].long() << start % 8
        for byte in range(start // 8, (start + bits + 7) // 8):
            packed[:, byte] |= (shifted & 255).to(torch.uint8)
            shifted >>= 8
        start += bits
    return packed


@_pack.register_fake
def _(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    return codes.new_empty((codes.shape[0], packed_width(sizes)), dtype=torch.uint8)
