"""Tables of numbers of examples by integer key."""

from __future__ import annotations

import torch
from torch import Tensor, nn

ABSENT = -1
"""Key without examples; real keys are at least 0."""


class RateTable(nn.Module):
    """Numbers of examples, and of positive examples, by key.

    Args:
        keys: ``[K]`` i64, ascending; the first one is :data:`ABSENT`.
        counts: ``[K, 2]`` f32: examples, and positive examples.

    Complexity:
        O(n log K) for n keys.

    Example:
        >>> import torch
        >>> from recops_models.layers.rate_table import RateTable
        >>> table = RateTable(torch.tensor([-1, 3]), torch.tensor([[0.0, 0.0], [10.0, 4.0]]))
        >>> examples, positives = table(torch.tensor([3, 5]))
        >>> examples, positives
        (tensor([10.,  0.]), tensor([4., 0.]))
    """

    keys: Tensor
    counts: Tensor

    def __init__(self, keys: Tensor, counts: Tensor) -> None:
        super().__init__()
        self.register_buffer("keys", keys)
        self.register_buffer("counts", counts)

    @classmethod
    def empty(cls) -> RateTable:
        """Return a table without examples."""
        return cls(torch.tensor([ABSENT]), torch.zeros(1, 2))

    def forward(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Return the examples and the positive examples f32 of each key i64, in its shape."""
        row = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        counts = self.counts[row] * (self.keys[row] == keys)[..., None]
        return counts[..., 0], counts[..., 1]
