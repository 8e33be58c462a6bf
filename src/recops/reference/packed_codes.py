"""Packed codes bit by bit; :mod:`recops.ops.packed_codes` says more."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pack_codes(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    """See :func:`recops.pack_codes`."""
    widths = [(size - 1).bit_length() for size in sizes]
    packed = torch.zeros((len(codes), (sum(widths) + 7) // 8), dtype=torch.uint8)
    for row, code in enumerate(codes.tolist()):
        bits = [c >> bit & 1 for c, width in zip(code, widths, strict=True) for bit in range(width)]
        for place, bit in enumerate(bits):
            packed[row, place // 8] |= bit << place % 8
    return packed


def unpack_codes(packed: Tensor, sizes: Sequence[int]) -> Tensor:
    """See :func:`recops.unpack_codes`."""
    codes = torch.zeros((len(packed), len(sizes)), dtype=torch.int32)
    for row, data in enumerate(packed.tolist()):
        number = int.from_bytes(bytes(data), "little")
        for level, size in enumerate(sizes):
            width = (size - 1).bit_length()
            codes[row, level] = number & (1 << width) - 1
            number >>= width
    return codes
