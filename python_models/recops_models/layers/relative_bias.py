"""Attention biases by relative position, in T5's buckets."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def relative_buckets(distance: Tensor, buckets: int, reach: int, *, both_ways: bool) -> Tensor:
    """Return the bucket of each distance, a query's position minus a key's, ``[...]`` i64.

    The first n / 2 of n buckets hold one distance each, from 0 to n / 2 − 1. The others grow
    logarithmically: bucket ``n/2 + ⌊ln(d / (n/2)) / ln(reach / (n/2)) · n/2⌋``, at most n − 1.

    Args:
        distance: integers.
        buckets: the total number of buckets.
        reach: all distances from here on share the last bucket.
        both_ways: give half of the buckets to negative distances (keys after the query); if False,
            negative distances share bucket 0.

    Source: Raffel et al., Exploring the Limits of Transfer Learning, 2020, section 2.1, and its
    released code.

    Example:
        >>> import torch
        >>> from recops_models.layers.relative_bias import relative_buckets
        >>> distance = torch.tensor([-1, 0, 1, 3, 4, 7, 100])
        >>> relative_buckets(distance, buckets=8, reach=16, both_ways=False).tolist()
        [0, 0, 1, 3, 4, 5, 7]
    """
    ahead = distance < 0
    number = buckets // 2 if both_ways else buckets
    far = distance.abs() if both_ways else distance.clamp(min=0)
    exact = number // 2
    grown = (far.clamp(min=1) / exact).log() / math.log(reach / exact) * (number - exact)
    bucket = torch.where(far < exact, far, (exact + grown.long()).clamp(max=number - 1))
    return bucket + number * ahead if both_ways else bucket


class RelativeBias(nn.Module):
    """Learnt attention bias per head and bucket, added to scores before the softmax.

    Args:
        heads: number of attention heads.
        both_ways: whether queries also attend to later keys.
        buckets: number of buckets, even.
        reach: distances from here on share a bucket.

    Example:
        >>> import torch
        >>> from recops_models.layers.relative_bias import RelativeBias
        >>> position = torch.arange(5)
        >>> RelativeBias(heads=2, both_ways=True)(position[:, None] - position).shape
        torch.Size([2, 5, 5])
    """

    def __init__(self, heads: int, *, both_ways: bool, buckets: int = 32, reach: int = 128) -> None:
        super().__init__()
        self.both_ways, self.reach = both_ways, reach
        self.table = nn.Embedding(buckets, heads)
        nn.init.zeros_(self.table.weight)

    def forward(self, distance: Tensor) -> Tensor:
        """Return ``[..., heads, Q, K]`` for distances (query − key) ``[..., Q, K]``."""
        buckets = relative_buckets(
            distance, self.table.num_embeddings, self.reach, both_ways=self.both_ways
        )
        out: Tensor = self.table(buckets).movedim(-1, -3)
        return out
