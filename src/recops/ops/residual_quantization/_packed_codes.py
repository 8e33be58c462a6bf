"""Bit strings of codes: how many bits a level takes, and what is no code."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

MOST_CODES = 2**31
"""As many codes as int32 holds."""


def bits_of(sizes: Sequence[int]) -> list[int]:
    return [(size - 1).bit_length() for size in sizes]


def packed_width(sizes: Sequence[int]) -> int:
    return (sum(bits_of(sizes)) + 7) // 8


def check_codes(op: str, codes: Tensor, sizes: Sequence[int]) -> None:
    for level, size in enumerate(sizes):
        bad = (codes[:, level] < 0) | (codes[:, level] > size - 1)  # 2^31 is no int32
        if bad.any():
            row = int(bad.nonzero()[0])
            raise IndexError(
                f"{op}: codes[{row}, {level}] must be from 0 to {size - 1}, "
                f"got {int(codes[row, level])}"
            )
