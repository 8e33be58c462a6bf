"""Reference of codebook overlap; see :mod:`recops.ops.codebook_overlap`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recops._dtypes import widened


def pair_overlaps(codebook: Tensor, sigma: float, *, kernel: str = "bhattacharyya") -> Tensor:
    """Return κ of every pair of codewords, ``[K, K]``."""
    sq_distance = (codebook[:, None] - codebook).square().sum(2)
    if kernel == "minimum":
        # The gradient of sqrt is infinite at 0, so the gradient of such pairs is set to 0.
        is_distinct = sq_distance > 0
        distance = sq_distance.where(is_distinct, 1).sqrt()
        return torch.erfc(distance / (2 * math.sqrt(2) * sigma)).where(is_distinct, 1)
    width = {"bhattacharyya": 8, "product": 4}[kernel]
    return torch.exp(-sq_distance / (width * sigma**2))


def codebook_overlap(
    codebook: Tensor, usage: Tensor, sigma: float, *, kernel: str = "bhattacharyya"
) -> tuple[Tensor, Tensor]:
    """Compute :func:`recops.codebook_overlap` in PyTorch."""
    codebook = widened(codebook)
    usage = usage.to(codebook.dtype)
    row_sums = pair_overlaps(codebook, sigma, kernel=kernel) @ usage
    return usage @ row_sums, row_sums


def effective_capacity(
    codebook: Tensor, usage: Tensor, sigma: float, *, kernel: str = "bhattacharyya"
) -> Tensor:
    """Compute :func:`recops.effective_capacity` in PyTorch."""
    overlap, _ = codebook_overlap(codebook, usage, sigma, kernel=kernel)
    return 1 / overlap
