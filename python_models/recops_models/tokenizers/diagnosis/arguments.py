"""Checks of the arguments of :func:`~recops_models.tokenizers.diagnosis.diagnose`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.tokenizers.diagnosis.space import Space
from recops_models.training.device import array

_MOST_PAIRS = 20_000


def checked_codes(codes: Tensor) -> NDArray[np.int32]:
    """Return codes ``[N, L]`` as int32.

    Raises:
        ValueError: wrong shape or dtype, no items or levels, or a negative code.
    """
    if codes.ndim != 2 or codes.dtype not in (torch.int32, torch.int64) or not codes.numel():
        raise ValueError(
            "diagnose: codes must be int32 or int64 [N, L] with at least one item and level, "
            f"got {codes.dtype} {list(codes.shape)}"
        )
    if bool((codes < 0).any()):
        row = int((codes < 0).any(dim=1).nonzero()[0])
        raise ValueError(
            f"diagnose: codes must be 0 or more, got {int(codes[row].min())} for item {row}"
        )
    return np.asarray(array(codes).astype(np.int32))


def level_sizes(
    codes: NDArray[np.int32],
    space: Space | None,
    vocab_sizes: Sequence[int] | None,
    missing: dict[str, str],
) -> list[int]:
    """Return K_l per level: ``vocab_sizes``, or from the codebooks, or from the largest code.

    Args:
        codes: ``[N, L]``.
        space: the codebooks; None: unknown.
        vocab_sizes: K_l; None: not given.
        missing: gets an entry if K_l is taken from the largest code.

    Raises:
        ValueError: a code is K_l or more.
    """
    highest = codes.max(axis=0)
    sizes = list(vocab_sizes or (space.vocab_sizes if space is not None else ()))
    if not sizes:
        missing["vocab_sizes"] = "not given: the largest code in use is taken as the last"
        return [int(code) + 1 for code in highest]
    if len(sizes) != len(highest) or any(code >= k for code, k in zip(highest, sizes, strict=True)):
        raise ValueError(
            f"diagnose: codes must be below vocab_sizes {sizes}, got up to {highest.tolist()}"
        )
    return sizes


def checked_vectors(vectors: Tensor | None, items: int) -> Tensor | None:
    """Return ``vectors [N, D]`` detached, with at least 32 bits; None if they are None.

    Raises:
        ValueError: wrong shape or dtype, or a vector is not finite.
    """
    if vectors is None:
        return None
    if vectors.ndim != 2 or len(vectors) != items or not vectors.is_floating_point():
        raise ValueError(
            f"diagnose: vectors must be floats [{items}, D], one row per item, "
            f"got {vectors.dtype} {list(vectors.shape)}"
        )
    if not bool(torch.isfinite(vectors).all()):
        row = int((~torch.isfinite(vectors)).any(dim=1).nonzero()[0])
        raise ValueError(f"diagnose: vector {row} is not finite")
    return vectors.detach().to(torch.promote_types(vectors.dtype, torch.float32))


def checked_weights(exposure: Tensor, items: int) -> NDArray[np.float64]:
    """Return the exposure of each item, ``[N]`` f64.

    Raises:
        ValueError: wrong shape, a value is negative or not finite, or all are 0.
    """
    weights = np.asarray(array(exposure), dtype=np.float64)
    if weights.shape != (items,):
        raise ValueError(f"diagnose: exposure must be [{items}], got {list(weights.shape)}")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ValueError("diagnose: exposure must be finite, ≥ 0 and not all 0")
    return weights


def checked_attributes(attributes: Tensor, items: int) -> NDArray[np.int64]:
    """Return the attributes ``[N, m]`` as i64, m ≥ 1.

    Raises:
        ValueError: wrong shape or dtype.
    """
    is_integer = not attributes.is_floating_point() and not attributes.is_complex()
    if (
        attributes.ndim != 2
        or len(attributes) != items
        or not attributes.shape[1]
        or not is_integer
    ):
        raise ValueError(
            f"diagnose: attributes must be integers [{items}, m], m ≥ 1, got {attributes.dtype} "
            f"{list(attributes.shape)}"
        )
    return np.asarray(array(attributes), dtype=np.int64)


def checked_pairs(pairs: Tensor, items: int, seed: int) -> NDArray[np.int64]:
    """Return pairs of different items, ``[E, 2]`` i64; a seeded sample of 20 000 if there are more.

    Raises:
        ValueError: wrong shape, a row is out of range, or no pair has different items.
    """
    rows = np.asarray(array(pairs), dtype=np.int64)
    if rows.ndim != 2 or rows.shape[1] != 2:
        raise ValueError(f"diagnose: pairs must be rows [E, 2], got {list(rows.shape)}")
    if rows.size and not (rows.min() >= 0 and rows.max() < items):
        raise ValueError(f"diagnose: pairs must be rows from 0 to {items - 1}")
    rows = rows[rows[:, 0] != rows[:, 1]]
    if not len(rows):
        raise ValueError("diagnose: pairs must have at least one pair of different items")
    sample = np.random.default_rng(seed).permutation(len(rows))[:_MOST_PAIRS]
    return np.asarray(rows[np.sort(sample)])
