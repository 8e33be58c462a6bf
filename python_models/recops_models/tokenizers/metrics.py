"""How well semantic IDs tell items apart, and how well they stand for their vectors."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from recops_models.tokenizers.usage import usage


class Decoder(Protocol):
    """Turns codes into vectors; a tokenizer is one."""

    @property
    def vocab_sizes(self) -> tuple[int, ...]:
        """Codes per level."""

    def decode(self, codes: Tensor) -> Tensor:
        """The vectors ``[N, D]`` that codes ``[N, L]`` stand for; code −1 adds nothing."""


def sid_metrics(tokenizer: Decoder, vectors: Tensor, codes: Tensor) -> dict[str, Any]:
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
    _, counts = np.unique(codes.numpy(), axis=0, return_counts=True)
    return {
        "items": len(codes),
        "unique_sids": len(counts),
        "collision_rate": float(counts[counts > 1].sum() / max(len(codes), 1)),
        "error_share": _error_share(vectors, tokenizer.decode(codes)),
        "levels": [
            {
                **usage(codes[:, level].numpy(), size),
                "error_share": _error_share(vectors, tokenizer.decode(_upto(codes, level))),
            }
            for level, size in enumerate(tokenizer.vocab_sizes)
        ],
    }


def _upto(codes: Tensor, level: int) -> Tensor:
    """The codes with those after ``level`` left out, which decode to nothing."""
    return codes.where(torch.arange(codes.shape[1]) <= level, -1)


def _error_share(vectors: Tensor, decoded: Tensor) -> float:
    exact = vectors.numpy().astype(np.float64)
    spread = ((exact - exact.mean(axis=0)) ** 2).sum()
    error = ((exact - decoded.numpy()) ** 2).sum()
    return float(error / spread) if spread else 0.0
