"""Checks of what a diagnosis is given; messages name the argument."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.tokenizers.diagnosis.space import Space

_MOST_PAIRS = 20_000


def checked_codes(codes: Tensor) -> NDArray[np.int32]:
    """``[N, L]`` int32, of codes that are all there.

    Raises:
        ValueError: other shapes, dtypes or values.
    """
    if codes.ndim != 2 or codes.dtype not in (torch.int32, torch.int64) or not codes.numel():
        raise ValueError(
            "diagnose: codes must be int32 or int64 [N, L] with an item and a level at least, "
            f"got {codes.dtype} {list(codes.shape)}"
        )
    if bool((codes < 0).any()):
        row = int((codes < 0).any(dim=1).nonzero()[0])
        raise ValueError(f"diagnose: codes of item {row} hold {int(codes[row].min())}: not encoded")
    return np.asarray(codes.cpu().numpy().astype(np.int32))


def level_sizes(
    codes: NDArray[np.int32],
    space: Space | None,
    given: Sequence[int] | None,
    missing: dict[str, str],
) -> list[int]:
    """K_l: as given, else those of the codebooks, else up to the highest code in use.

    The last is noted in ``missing``.

    Raises:
        ValueError: a code lies beyond its level's K_l.
    """
    highest = codes.max(axis=0)
    sizes = list(given or (space.vocab_sizes if space is not None else ()))
    if not sizes:
        missing["vocab_sizes"] = "not given: taken to end at the highest code in use"
        return [int(code) + 1 for code in highest]
    if len(sizes) != len(highest) or any(code >= k for code, k in zip(highest, sizes, strict=True)):
        raise ValueError(
            f"diagnose: levels of {sizes} codes do not hold codes up to {highest.tolist()}"
        )
    return sizes


def checked_vectors(vectors: Tensor | None, items: int) -> Tensor | None:
    """``vectors [N, D]``, finite, detached, 16-bit ones as float32; None stays None.

    Raises:
        ValueError: other shapes, dtypes or values.
    """
    if vectors is None:
        return None
    if vectors.ndim != 2 or len(vectors) != items or not vectors.is_floating_point():
        raise ValueError(
            f"diagnose: vectors must be floats [{items}, D], one row an item, "
            f"got {vectors.dtype} {list(vectors.shape)}"
        )
    if not bool(torch.isfinite(vectors).all()):
        row = int((~torch.isfinite(vectors)).any(dim=1).nonzero()[0])
        raise ValueError(f"diagnose: vector {row} is not finite")
    return vectors.detach().to(torch.promote_types(vectors.dtype, torch.float32))


def checked_weights(exposure: Tensor, items: int) -> NDArray[np.float64]:
    """``[N]`` f64, ≥ 0 and not all zero.

    Raises:
        ValueError: other shapes, dtypes or values.
    """
    weights = np.asarray(exposure.cpu().numpy(), dtype=np.float64)
    if weights.shape != (items,):
        raise ValueError(f"diagnose: exposure must be [{items}], got {list(weights.shape)}")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ValueError("diagnose: exposure must be finite, ≥ 0 and not all zero")
    return weights


def checked_attributes(attributes: Tensor, items: int) -> NDArray[np.int64]:
    """``[N, m]`` i64, m ≥ 1.

    Raises:
        ValueError: other shapes or dtypes.
    """
    whole = not attributes.is_floating_point() and not attributes.is_complex()
    if attributes.ndim != 2 or len(attributes) != items or not attributes.shape[1] or not whole:
        raise ValueError(
            f"diagnose: attributes must be integers [{items}, m], m ≥ 1, got {attributes.dtype} "
            f"{list(attributes.shape)}"
        )
    return np.asarray(attributes.cpu().numpy(), dtype=np.int64)


def checked_pairs(pairs: Tensor, items: int, seed: int) -> NDArray[np.int64]:
    """``[E, 2]`` i64 rows of different items; where there are many, a seeded sample of 20 000.

    Raises:
        ValueError: other shapes, dtypes or values.
    """
    found = np.asarray(pairs.cpu().numpy(), dtype=np.int64)
    if found.ndim != 2 or found.shape[1] != 2:
        raise ValueError(f"diagnose: pairs must be rows [E, 2], got {list(found.shape)}")
    if found.size and not (found.min() >= 0 and found.max() < items):
        raise ValueError(f"diagnose: pairs must name rows 0 … {items - 1}")
    found = found[found[:, 0] != found[:, 1]]
    if not len(found):
        raise ValueError("diagnose: pairs must hold two different items at least once")
    some = np.random.default_rng(seed).permutation(len(found))[:_MOST_PAIRS]
    return np.asarray(found[np.sort(some)])
