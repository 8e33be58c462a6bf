"""Packing of codes into bit strings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recops._checks import INDICES, check_sizes, check_tensor
from recops._load import ops
from recops.ops.residual_quantization._packed_codes import (
    MAX_CODES,
    bit_widths,
    check_codes,
    packed_width,
)

__all__ = ["pack_codes"]


def pack_codes(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    """Pack the codes of each row into a bit string, with the fewest bits that each codebook allows.

    Level l takes b_l = ⌈log₂ sizes[l]⌉ bits, and none if sizes[l] is 1. Bit i of a row is bit
    i mod 8 of byte ⌊i / 8⌋. The lowest bit comes first, also within a code. Unused bits are 0. If
    all sizes are powers of two, the layout is that of faiss.

    The code −1 (no code) has no representation and raises; remove such rows first.

    Args:
        codes: ``[N, L]`` int32 or int64, 0 ≤ codes[n, l] < sizes[l].
        sizes: the number of codes of each level, from 1 to 2³¹, not necessarily a power of two.

    Returns:
        ``[N, ⌈Σ b_l / 8⌉]`` uint8.

    Raises:
        IndexError: a code is out of range for its level, or −1.
        TypeError, ValueError: a tensor has an unsupported dtype, shapes do not match, or a size is
            out of range.

    Time is O(N · Σ ⌈1 + b_l / 8⌉).

    Source: this library; the order of bits is that of faiss.

    Examples:
        >>> packed = recops.pack_codes(torch.tensor([[1, 2], [0, 3]]), [2, 4])
        >>> packed.tolist()  # 1 + 2 · 2 and 0 + 2 · 3
        [[5], [6]]
    """
    op = "pack_codes"
    check_tensor(op, "codes", codes, ndim=2, dtypes=INDICES)
    sizes = check_sizes(op, "sizes", sizes, most=MAX_CODES)
    if codes.shape[1] != len(sizes):
        raise ValueError(
            f"{op}: codes must have {len(sizes)} columns, one per level, got {codes.shape[1]}"
        )
    return ops.pack_codes(codes, sizes)


@torch.library.custom_op("recops::pack_codes", mutates_args=())
def _pack(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    check_codes("pack_codes", codes, sizes)
    packed = codes.new_zeros((len(codes), packed_width(sizes)), dtype=torch.uint8)
    start = 0
    for level, bits in enumerate(bit_widths(sizes)):
        shifted = codes[:, level].long() << start % 8
        for byte in range(start // 8, (start + bits + 7) // 8):
            packed[:, byte] |= (shifted & 255).to(torch.uint8)
            shifted >>= 8
        start += bits
    return packed


@_pack.register_fake
def _(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    return codes.new_empty((codes.shape[0], packed_width(sizes)), dtype=torch.uint8)
