"""Checks of what tokenizers are given; messages begin with the call that was made."""

from __future__ import annotations

import torch
from torch import Tensor


def check_vectors(call: str, vectors: Tensor) -> Tensor:
    """``vectors [N, D]`` as float32, detached.

    Raises:
        ValueError: other shapes or dtypes, no dimension, a vector that is not finite.
    """
    if vectors.ndim != 2 or not vectors.is_floating_point() or not vectors.shape[1]:
        raise ValueError(
            f"{call}: vectors must be floats [N, D], got {vectors.dtype} {list(vectors.shape)}"
        )
    points = vectors.detach().float()
    finite = torch.isfinite(points).all(dim=1)
    if not finite.all():
        row = int((~finite).nonzero()[0])
        raise ValueError(f"{call}: vector {row} is not finite")
    return points


def check_width(call: str, points: Tensor, width: int) -> None:
    """``points [N, width]``, like those learnt from.

    Raises:
        ValueError: another number of dimensions.
    """
    if points.shape[1] != width:
        raise ValueError(
            f"{call}: vectors must have the dimension {width} of those learnt from, "
            f"got {points.shape[1]}"
        )


def check_ids(call: str, item_ids: Tensor, points: Tensor) -> None:
    """``item_ids [N]``, one a point, each once.

    Raises:
        ValueError: another number of them, or a repeated one.
    """
    if item_ids.ndim != 1 or len(item_ids) != len(points):
        raise ValueError(f"{call}: {len(item_ids)} ids for {len(points)} vectors")
    ids, counts = item_ids.unique(return_counts=True)
    if len(ids) < len(item_ids):
        raise ValueError(f"{call}: item id {int(ids[counts > 1][0])} stands more than once")


def check_weights(call: str, weights: Tensor, points: Tensor) -> Tensor:
    """``weights [N]`` as float32, detached.

    Raises:
        ValueError: another shape; a weight that is negative or not finite.
    """
    if weights.shape != points.shape[:1]:
        raise ValueError(
            f"{call}: weights must be [{len(points)}], one a vector, got {list(weights.shape)}"
        )
    checked = weights.detach().float()
    if not (torch.isfinite(checked).all() and (checked >= 0).all()):
        raise ValueError(f"{call}: weights must be finite and 0 or more")
    return checked


def rows_of(call: str, pairs: Tensor, item_ids: Tensor) -> Tensor:
    """``pairs [E, 2]`` of ids as pairs of rows, without unknown items and pairs of equals.

    Raises:
        ValueError: other shapes or dtypes.
    """
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.is_floating_point():
        raise ValueError(
            f"{call}: pairs must be integer item ids [E, 2], got {pairs.dtype} {list(pairs.shape)}"
        )
    ordered, row = item_ids.long().sort()
    place = torch.searchsorted(ordered, pairs.long()).clamp(max=len(ordered) - 1)
    known = (ordered[place] == pairs).all(dim=1) & (pairs[:, 0] != pairs[:, 1])
    return row[place[known]]
