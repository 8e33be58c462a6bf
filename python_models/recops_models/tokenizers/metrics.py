"""How well semantic IDs tell items apart, and how well they stand for their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypedDict

import numpy as np
import torch
from torch import Tensor

from recops_models.tokenizers.usage import CodeUsage, usage

_ROWS = 1 << 16
"""Compared at once."""


class Decoder(Protocol):
    """Turns codes into vectors; a tokenizer is one."""

    @property
    def vocab_sizes(self) -> tuple[int, ...]:
        """Codes per level."""

    def decode(self, codes: Tensor) -> Tensor:
        """The vectors ``[N, D]`` that codes ``[N, L]`` stand for; code −1 adds nothing."""


class LevelMetrics(CodeUsage):
    """Of one level; ``error_share`` is that of the codes up to it."""

    error_share: float


class SidMetrics(TypedDict):
    """What :func:`sid_metrics` gives."""

    items: int
    unique_sids: int
    collision_rate: float
    error_share: float
    levels: list[LevelMetrics]


def sid_metrics(tokenizer: Decoder, vectors: Tensor, codes: Tensor) -> SidMetrics:
    """Figures of one tokenization, JSON-ready.

    Args:
        tokenizer: decodes the codes.
        vectors: ``[N, D]``.
        codes: ``[N, L]``, the vectors' codes.

    Returns:
        ``items``; ``unique_sids``; ``collision_rate``, the share of items whose SID is not theirs
        alone; ``error_share``, Σ‖x − x̂‖² / Σ‖x − x̄‖²; and ``levels``, for each level its
        :func:`~recops_models.tokenizers.usage.usage` and ``error_share`` with the codes
        up to this level.
    """
    shares = [
        _error_share(vectors, tokenizer.decode(upto(codes, level)))
        for level in range(codes.shape[1])
    ]
    return code_metrics(codes, tokenizer.vocab_sizes, shares)


def code_metrics(
    codes: Tensor, vocab_sizes: Sequence[int], error_shares: Sequence[float]
) -> SidMetrics:
    """What :func:`sid_metrics` gives, from the ``error_share`` with the codes up to each level."""
    _, counts = np.unique(codes.numpy(), axis=0, return_counts=True)
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


def upto(codes: Tensor, level: int) -> Tensor:
    """The codes with those after ``level`` left out, which decode to nothing."""
    return codes.where(torch.arange(codes.shape[1]) <= level, -1)


def _error_share(vectors: Tensor, decoded: Tensor) -> float:
    mean = vectors.double().mean(dim=0)
    spread = error = 0.0
    for exact, found in zip(vectors.split(_ROWS), decoded.split(_ROWS), strict=True):
        spread += float((exact.double() - mean).square().sum())
        error += float((exact.double() - found).square().sum())
    return error / spread if spread else 0.0
