"""Unpacking of codes from bit strings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recops._checks import check_sizes, check_tensor
from recops._load import ops
from recops.ops.residual_quantization._packed_codes import (
    MAX_CODES,
    bit_widths,
    check_codes,
    packed_width,
)

__all__ = ["unpack_codes"]


def unpack_codes(packed: Tensor, sizes: Sequence[int]) -> Tensor:
    """Unpack the codes that :func:`pack_codes` packed.

    Args:
        packed: ``[N, ⌈Σ b_l / 8⌉]`` uint8.
        sizes: the number of codes of each level, as given to :func:`pack_codes`.

    Returns:
        ``[N, L]`` int32.

    Raises:
        IndexError: a code is out of range: the bits are damaged or packed with other sizes.
        TypeError, ValueError: ``packed`` has another dtype or width, or a size is out of range.

    Time is that of :func:`pack_codes`.

    Source: that of :func:`pack_codes`.

    Examples:
        >>> recops.unpack_codes(torch.tensor([[5], [6]], dtype=torch.uint8), [2, 4]).tolist()
        [[1, 2], [0, 3]]
    """
    op = "unpack_codes"
    check_tensor(op, "packed", packed, ndim=2, dtypes=(torch.uint8,))
    sizes = check_sizes(op, "sizes", sizes, most=MAX_CODES)
    if packed.shape[1] != packed_width(sizes):
        raise ValueError(
            f"{op}: packed must have {packed_width(sizes)} bytes per row for these sizes, "
            f"got {packed.shape[1]}"
        )
    return ops.unpack_codes(packed, sizes)


@torch.library.custom_op("recops::unpack_codes", mutates_args=())
def _unpack(packed: Tensor, sizes: Sequence[int]) -> Tensor:
    codes = packed.new_empty((len(packed), len(sizes)), dtype=torch.int32)
    start = 0
    for level, bits in enumerate(bit_widths(sizes)):
        first = start // 8
        code = packed.new_zeros(len(packed), dtype=torch.int64)
        for byte in range(first, (start + bits + 7) // 8):
            code |= packed[:, byte].long() << 8 * (byte - first)
        codes[:, level] = code >> start % 8 & (1 << bits) - 1
        start += bits
    check_codes("unpack_codes", codes, sizes)
    return codes


@_unpack.register_fake
def _(packed: Tensor, sizes: Sequence[int]) -> Tensor:
    return packed.new_empty((packed.shape[0], len(sizes)), dtype=torch.int32)
