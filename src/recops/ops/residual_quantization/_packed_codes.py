"""Widths and checks of codes packed into bit strings."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

MAX_CODES = 2**31
"""Largest number of codes per level: codes are int32."""


def bit_widths(sizes: Sequence[int]) -> list[int]:
    """Return the number of bits of each level's codes."""
    return [(size - 1).bit_length() for size in sizes]


def packed_width(sizes: Sequence[int]) -> int:
    """Return the number of bytes per packed row."""
    return (sum(bit_widths(sizes)) + 7) // 8


def check_codes(op: str, codes: Tensor, sizes: Sequence[int]) -> None:
    """Check that every code is in its level's codebook.

    Raises:
        IndexError: a code is out of range.
    """
    for level, size in enumerate(sizes):
        bad = (codes[:, level] < 0) | (codes[:, level] > size - 1)  # size may be 2^31, beyond int32
        if bad.any():
            row = int(bad.nonzero()[0])
            raise IndexError(
                f"{op}: codes[{row}, {level}] must be from 0 to {size - 1}, "
                f"got {int(codes[row, level])}"
            )
