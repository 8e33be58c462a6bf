"""Checks of the samples that intervals and tests are taken of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def require_paired(
    call: str, first: npt.NDArray[np.floating], second: npt.NDArray[np.floating], least: int
) -> None:
    """``first`` and ``second`` must be two ``[N]`` over the same draws, N ≥ ``least``.

    Raises:
        ValueError: they are not.
    """
    if first.shape != second.shape or first.ndim != 1 or len(first) < least:
        raise ValueError(
            f"{call}: first and second must be equal [N], N ≥ {least}, "
            f"got {list(first.shape)} and {list(second.shape)}"
        )


def require_level(call: str, level: float) -> None:
    """``level``, an interval's coverage, must lie within (0, 1).

    Raises:
        ValueError: it does not.
    """
    if not 0 < level < 1:
        raise ValueError(f"{call}: level must lie within (0, 1), got {level}")
