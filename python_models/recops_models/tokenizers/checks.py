"""Checks of the arguments of tokenizers; error messages start with the called function."""

from __future__ import annotations

import torch
from torch import Tensor


def check_vectors(call: str, vectors: Tensor) -> Tensor:
    """Return ``vectors [N, D]`` as float32, detached.

    Raises:
        ValueError: wrong shape or dtype, D = 0, or a vector is not finite.
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
    """Check that points have the width of the fit.

    Raises:
        ValueError: ``points`` is not ``[N, width]``.
    """
    if points.shape[1] != width:
        raise ValueError(
            f"{call}: vectors must have {width} dimensions, as in fit, got {points.shape[1]}"
        )


def check_ids(call: str, item_ids: Tensor, points: Tensor) -> None:
    """Check that there is one unique id per point.

    Raises:
        ValueError: ``item_ids`` is not ``[N]``, or an id is repeated.
    """
    if item_ids.ndim != 1 or len(item_ids) != len(points):
        raise ValueError(
            f"{call}: item_ids must be [{len(points)}], one per vector, got {list(item_ids.shape)}"
        )
    ids, counts = item_ids.unique(return_counts=True)
    if len(ids) < len(item_ids):
        raise ValueError(
            f"{call}: item_ids must be unique, got {int(ids[counts > 1][0])} more than once"
        )


def check_weights(call: str, weights: Tensor, points: Tensor) -> Tensor:
    """Return ``weights [N]`` as float32, detached.

    Raises:
        ValueError: wrong shape, or a weight is negative or not finite.
    """
    if weights.shape != points.shape[:1]:
        raise ValueError(
            f"{call}: weights must be [{len(points)}], one per vector, got {list(weights.shape)}"
        )
    checked = weights.detach().float()
    if not (torch.isfinite(checked).all() and (checked >= 0).all()):
        raise ValueError(f"{call}: weights must be finite and 0 or more")
    return checked


def rows_of(call: str, pairs: Tensor, item_ids: Tensor) -> Tensor:
    """Return pairs of ids as pairs of rows, without unknown items and pairs of equal items.

    Args:
        call: the called function, for errors.
        pairs: ``[E, 2]`` integer ids.
        item_ids: ``[N]``.

    Raises:
        ValueError: wrong shape or dtype.
    """
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.is_floating_point():
        raise ValueError(
            f"{call}: pairs must be integer item ids [E, 2], got {pairs.dtype} {list(pairs.shape)}"
        )
    ordered, row = item_ids.long().sort()
    index = torch.searchsorted(ordered, pairs.long()).clamp(max=len(ordered) - 1)
    known = (ordered[index] == pairs).all(dim=1) & (pairs[:, 0] != pairs[:, 1])
    return row[index[known]]
