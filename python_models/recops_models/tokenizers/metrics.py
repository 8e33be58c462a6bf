"""Metrics of semantic IDs: collisions, usage of codes, and reconstruction error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.tokenizers.usage import CodeUsage, usage

_ROWS = 1 << 16
"""Rows per block."""


class Decoder(Protocol):
    """Converter of codes to vectors, such as a tokenizer."""

    @property
    def vocab_sizes(self) -> tuple[int, ...]:
        """Codes per level."""

    def decode(self, codes: Tensor) -> Tensor:
        """Return the vectors ``[N, D]`` of codes ``[N, L]``; code −1 contributes zero."""


class LevelMetrics(CodeUsage):
    """Metrics of one level; ``error_share`` is for the codes up to this level."""

    error_share: float


class SidMetrics(TypedDict):
    """Result of :func:`sid_metrics`."""

    items: int
    unique_sids: int
    collision_rate: float
    error_share: float
    levels: list[LevelMetrics]


def sid_metrics(tokenizer: Decoder, vectors: Tensor, codes: Tensor) -> SidMetrics:
    """Return metrics of semantic IDs, JSON-ready.

    Args:
        tokenizer: decodes the codes.
        vectors: ``[N, D]``.
        codes: ``[N, L]``, codes of the vectors.

    Returns:
        ``items``; ``unique_sids``; ``collision_rate``, the share of items that share their SID with
        another item; ``error_share``, Σ‖x − x̂‖² / Σ‖x − x̄‖²; ``levels``: for each level
        :func:`~recops_models.tokenizers.usage.usage`, and ``error_share`` for the codes up to it.
    """
    shares = [
        _error_share(vectors, tokenizer.decode(upto(codes, level)))
        for level in range(codes.shape[1])
    ]
    return code_metrics(codes, tokenizer.vocab_sizes, shares)


def code_metrics(
    codes: Tensor, vocab_sizes: Sequence[int], error_shares: Sequence[float]
) -> SidMetrics:
    """Return the result of :func:`sid_metrics` from the ``error_share`` up to each level."""
    counts = _items_per_sid(codes.numpy(), vocab_sizes)
    return {
        "items": len(codes),
        "unique_sids": len(counts),
        "collision_rate": float(counts[counts > 1].sum() / max(len(codes), 1)),
        "error_share": error_shares[-1],
        "levels": [
            {**usage(codes[:, level].numpy(), size), "error_share": share}
            for level, (size, share) in enumerate(zip(vocab_sizes, error_shares, strict=True))
        ],
    }


def _items_per_sid(codes: NDArray[np.int32], vocab_sizes: Sequence[int]) -> NDArray[np.int64]:
    """Return the number of items of each SID."""
    if math.prod(vocab_sizes) > np.iinfo(np.int64).max:
        return np.unique(codes, axis=0, return_counts=True)[1]
    # Sorting one integer per SID is many times faster than sorting rows.
    keys = np.zeros(len(codes), dtype=np.int64)
    for level, size in enumerate(vocab_sizes):
        keys *= size
        keys += codes[:, level]
    keys.sort()
    is_first = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    return np.diff(np.flatnonzero(is_first), append=len(keys))


def upto(codes: Tensor, level: int) -> Tensor:
    """Return the codes with −1 at the levels after ``level``."""
    return codes.where(torch.arange(codes.shape[1]) <= level, -1)


def _error_share(vectors: Tensor, decoded: Tensor) -> float:
    mean = vectors.double().mean(dim=0)
    spread = error = 0.0
    for exact, approximate in zip(vectors.split(_ROWS), decoded.split(_ROWS), strict=True):
        spread += float((exact.double() - mean).square().sum())
        error += float((exact.double() - approximate).square().sum())
    return error / spread if spread else 0.0
