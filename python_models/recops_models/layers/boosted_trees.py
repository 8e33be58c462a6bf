"""Sums of regression trees as tensors, for gradient boosting without its library."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BoostedTrees(nn.Module):
    """``y = bias + Σ_t value_t(x)``, with one leaf per tree.

    All trees share arrays of nodes. At an inner node, x goes to ``child`` if ``x[feature] ≤
    threshold``, else to ``child + 1``. A leaf is its own child, with an infinite threshold.

    Args:
        root: ``[trees]`` i32, node of each tree's root.
        feature: ``[nodes]`` i32.
        threshold: ``[nodes]`` f32.
        child: ``[nodes]`` i32.
        value: ``[nodes]`` f32; 0 at inner nodes.
        bias: scalar f32.

    Complexity:
        O(B · trees · depth).

    Example:
        >>> import torch
        >>> from recops_models.layers.boosted_trees import BoostedTrees
        >>> stump = BoostedTrees(  # −1 up to 0.5, 2 above
        ...     root=torch.tensor([0]),
        ...     feature=torch.tensor([0, 0, 0]),
        ...     threshold=torch.tensor([0.5, torch.inf, torch.inf]),
        ...     child=torch.tensor([1, 1, 2]),
        ...     value=torch.tensor([0.0, -1.0, 2.0]),
        ...     bias=torch.tensor(0.0),
        ... )
        >>> stump(torch.tensor([[0.5], [0.6]]))
        tensor([[-1.],
                [ 2.]])
    """

    root: Tensor
    feature: Tensor
    threshold: Tensor
    child: Tensor
    value: Tensor
    bias: Tensor

    def __init__(
        self,
        *,
        root: Tensor,
        feature: Tensor,
        threshold: Tensor,
        child: Tensor,
        value: Tensor,
        bias: Tensor,
    ) -> None:
        super().__init__()
        for name, tensor in (("root", root), ("feature", feature), ("child", child)):
            self.register_buffer(name, tensor.int())
        for name, tensor in (("threshold", threshold), ("value", value), ("bias", bias)):
            self.register_buffer(name, tensor.float())
        self.depth = _depth(root.long(), child.long())

    def forward(self, x: Tensor) -> Tensor:
        """Return the sums ``[B, 1]`` f32 for inputs ``[B, F]`` f32."""
        return self.leaves(x).sum(1, keepdim=True) + self.bias

    def leaves(self, x: Tensor) -> Tensor:
        """Return the value ``[B, trees]`` of each tree."""
        feature, child = self.feature.long(), self.child.long()
        node = self.root.long().expand(len(x), -1)
        for _ in range(self.depth):
            node = child[node] + (x.gather(1, feature[node]) > self.threshold[node])
        return self.value[node]


def _depth(root: Tensor, child: Tensor) -> int:
    """Return the largest number of steps from a root to a leaf."""
    depth, level = 0, root
    while len(inner := level[child[level] != level]):
        level = torch.cat([child[inner], child[inner] + 1])
        depth += 1
    return depth
