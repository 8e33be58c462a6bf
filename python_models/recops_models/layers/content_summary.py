"""Content summary: hashed features of pairs of decoded tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

P1, P2 = 73_856_093, 19_349_663
"""Two large, different primes, so that ``H3(x, y) ≠ H3(y, x)``."""


class ContentSummary(nn.Module):
    """``c(x, y) = [E[H1 mod S] ⊕ E[H2 mod S] ⊕ E[H3 mod S]]`` with a table ``E [S, d_hash]``.

    ``H1 = x + y``, ``H2 = x·y``, ``H3 = p1·x + p2·y`` and ``S = floor((V_x V_y)^(2/3))`` (UniRec
    §5.2). H1 and H2 are symmetric in x and y; H3 is not. Tokens are 1-based: with 0-based ones, H2
    would map every pair with a zero to one bucket. That the three hashes share one table per pair
    of positions is inferred (sources disagree).

    Args:
        vocab_sizes: ``(V_x, V_y)``.
        width: d_hash.

    Example:
        >>> import torch
        >>> from recops_models.layers.content_summary import ContentSummary
        >>> summary = ContentSummary(vocab_sizes=(8, 8), width=4)  # 16 buckets
        >>> summary.buckets(torch.tensor([2]), torch.tensor([3]))
        tensor([[5, 6, 7]])
        >>> summary(torch.tensor([2]), torch.tensor([3])).shape
        torch.Size([1, 12])
    """

    def __init__(self, vocab_sizes: tuple[int, int], width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(_buckets(vocab_sizes[0] * vocab_sizes[1]), width)
        nn.init.normal_(self.table.weight, std=0.1)

    def buckets(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the three buckets ``[..., 3]`` i64 of pairs of 1-based tokens."""
        x, y = x.long(), y.long()
        hashes = torch.stack([x + y, x * y, P1 * x + P2 * y], dim=-1)
        return hashes % self.table.num_embeddings

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.table(self.buckets(x, y)).flatten(-2)
        return out  # (..., 3 * d_hash)


def _buckets(pairs: int) -> int:
    """Return ``floor(pairs^(2/3))`` exactly; a rounded power would give 15 for 64^(2/3) = 16."""
    root: int = round(pairs ** (2 / 3))
    while root**3 > pairs**2:
        root -= 1
    while (root + 1) ** 3 <= pairs**2:
        root += 1
    return root
