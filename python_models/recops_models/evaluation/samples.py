"""Argument checks of intervals and tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def require_paired(
    call: str, first: npt.NDArray[np.floating], second: npt.NDArray[np.floating], least: int
) -> None:
    """Check that ``first`` and ``second`` have the same shape ``[N]``, N ≥ ``least``.

    Raises:
        ValueError: the shapes differ or are not ``[N]``. The message starts with ``call``.
    """
    if first.shape != second.shape or first.ndim != 1 or len(first) < least:
        raise ValueError(
            f"{call}: first and second must have the same shape [N] with N ≥ {least}, "
            f"got {list(first.shape)} and {list(second.shape)}"
        )


def require_level(call: str, level: float) -> None:
    """Check that ``level``, the coverage of an interval, is in (0, 1).

    Raises:
        ValueError: it is not. The message starts with ``call``.
    """
    if not 0 < level < 1:
        raise ValueError(f"{call}: level must be in (0, 1), got {level}")


def checked_p_values(call: str, p_values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return ``p_values`` as an array.

    Raises:
        ValueError: a value is not in [0, 1]. The message starts with ``call``.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"{call}: p_values must lie within [0, 1], got {list(p_values)}")
    return values
