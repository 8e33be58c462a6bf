"""Attention biases that depend on how far apart two places are, in T5's buckets."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def relative_buckets(distance: Tensor, buckets: int, reach: int, *, both_ways: bool) -> Tensor:
    """``[...]`` i64 from distances ``[...]``, the query's place less the key's.

    Of n buckets the first n / 2 hold one distance each, 0 to n / 2 − 1; the others grow, bucket
    ``n/2 + ⌊ln(d / (n/2)) / ln(reach / (n/2)) · n/2⌋`` at most n − 1: all from ``reach`` on share
    the last. ``both_ways`` gives half of ``buckets`` to keys that lie ahead (negative distances);
    otherwise these share bucket 0.

    Source: Raffel et al., Exploring the Limits of Transfer Learning, 2020, section 2.1, and its
    released code.
    """
    ahead = distance < 0
    number = buckets // 2 if both_ways else buckets
    far = distance.abs() if both_ways else distance.clamp(min=0)
    exact = number // 2
    grown = (far.clamp(min=1) / exact).log() / math.log(reach / exact) * (number - exact)
    bucket = torch.where(far < exact, far, (exact + grown.long()).clamp(max=number - 1))
    return bucket + number * ahead if both_ways else bucket


class RelativeBias(nn.Module):
    """One learnt number a head and a bucket, added to attention scores before their softmax.

    Args:
        heads: of the attention.
        both_ways: whether a query also meets keys ahead of it.
        buckets: how many distances are told apart; even.
        reach: from which distance on all are one.
    """

    def __init__(self, heads: int, *, both_ways: bool, buckets: int = 32, reach: int = 128) -> None:
        super().__init__()
        self.both_ways, self.reach = both_ways, reach
        self.table = nn.Embedding(buckets, heads)
        nn.init.zeros_(self.table.weight)

    def forward(self, distance: Tensor) -> Tensor:
        """``[..., heads, Q, K]`` from distances ``[..., Q, K]``, the query's place less the
        key's.
        """
        buckets = relative_buckets(
            distance, self.table.num_embeddings, self.reach, both_ways=self.both_ways
        )
        out: Tensor = self.table(buckets).movedim(-1, -3)
        return out
