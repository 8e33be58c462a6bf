"""Codes as bit strings, as small as their codebooks allow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recops._load import ops
from recops.ops._checks import INDICES, check_tensor

__all__ = ["pack_codes", "unpack_codes"]


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
    """
    op = "pack_codes"
    check_tensor(op, "codes", codes, ndim=2, dtypes=INDICES)
    _check_sizes(op, sizes)
    if codes.shape[1] != len(sizes):
        raise ValueError(
            f"{op}: codes must have {len(sizes)} columns, one a level, got {codes.shape[1]}"
        )
    return ops.pack_codes(codes, sizes)


def unpack_codes(packed: Tensor, sizes: Sequence[int]) -> Tensor:
    """The codes that :func:`pack_codes` packed.

    Args:
        packed: ``[N, ⌈Σ b_l / 8⌉]`` uint8.
        sizes: the number of codes of each level, as when packed.

    Returns:
        ``[N, L]`` int32.

    Raises:
        IndexError: bits that are no code of their level: packed with other sizes, or damaged.
        TypeError, ValueError: a tensor of another dtype; another width; a size out of its range.
    """
    op = "unpack_codes"
    check_tensor(op, "packed", packed, ndim=2, dtypes=(torch.uint8,))
    _check_sizes(op, sizes)
    if packed.shape[1] != _width(sizes):
        raise ValueError(
            f"{op}: packed must have {_width(sizes)} bytes a row for these sizes, "
            f"got {packed.shape[1]}"
        )
    return ops.unpack_codes(packed, sizes)


def _check_sizes(op: str, sizes: Sequence[int]) -> None:
    for level, size in enumerate(sizes):
        if not 1 <= size <= 2**31:
            raise ValueError(f"{op}: sizes[{level}] must be from 1 to 2^31, got {size}")


def _bits(sizes: Sequence[int]) -> list[int]:
    return [(size - 1).bit_length() for size in sizes]


def _width(sizes: Sequence[int]) -> int:
    return (sum(_bits(sizes)) + 7) // 8


def _require_codes(op: str, codes: Tensor, sizes: Sequence[int]) -> None:
    for level, size in enumerate(sizes):
        bad = (codes[:, level] < 0) | (codes[:, level] > size - 1)  # 2^31 is no int32
        if bad.any():
            row = int(bad.nonzero()[0])
            raise IndexError(
                f"{op}: codes[{row}, {level}] is {int(codes[row, level])}, "
                f"which is no code from 0 to {size - 1}"
            )


@torch.library.custom_op("recops::pack_codes", mutates_args=())
def _pack(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    _require_codes("pack_codes", codes, sizes)
    packed = codes.new_zeros((len(codes), _width(sizes)), dtype=torch.uint8)
    start = 0
    for level, bits in enumerate(_bits(sizes)):
        shifted = codes[:, level].long() << start % 8
        for byte in range(start // 8, (start + bits + 7) // 8):
            packed[:, byte] |= (shifted & 255).to(torch.uint8)
            shifted >>= 8
        start += bits
    return packed


@torch.library.custom_op("recops::unpack_codes", mutates_args=())
def _unpack(packed: Tensor, sizes: Sequence[int]) -> Tensor:
    codes = packed.new_empty((len(packed), len(sizes)), dtype=torch.int32)
    start = 0
    for level, bits in enumerate(_bits(sizes)):
        first = start // 8
        code = packed.new_zeros(len(packed), dtype=torch.int64)
        for byte in range(first, (start + bits + 7) // 8):
            code |= packed[:, byte].long() << 8 * (byte - first)
        codes[:, level] = code >> start % 8 & (1 << bits) - 1
        start += bits
    _require_codes("unpack_codes", codes, sizes)
    return codes


@_pack.register_fake
def _(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    return codes.new_empty((codes.shape[0], _width(sizes)), dtype=torch.uint8)


@_unpack.register_fake
def _(packed: Tensor, sizes: Sequence[int]) -> Tensor:
    return packed.new_empty((packed.shape[0], len(sizes)), dtype=torch.int32)
