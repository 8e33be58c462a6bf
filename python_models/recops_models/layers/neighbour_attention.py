"""Attention of an item to its neighbours in a graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recops_models.layers.neighbour_sums import Edges


class NeighbourAttention(nn.Module):
    """``w_ij = softmax_j(a · tanh(C_i W_q + C_j W_k))`` over the neighbours j of i.

    Res-embedding (arXiv 1906.10304) is said to have attention as one of three forms; the source is
    second-hand and this formula is the project's own. ``a`` starts at zero, so the initial weights
    are equal.

    Args:
        width: d, of the vectors.
        hidden: width of ``a``.

    Example:
        >>> import torch
        >>> from recops_models.layers.neighbour_attention import NeighbourAttention
        >>> from recops_models.layers.neighbour_sums import Edges
        >>> edges = Edges(offsets=torch.tensor([0, 2, 3]), neighbours=torch.tensor([0, 1, 1]))
        >>> attention = NeighbourAttention(width=4, hidden=8)
        >>> attention(torch.randn(2, 4), edges).tolist()  # equal weights per row at the start
        [0.5, 0.5, 1.0]
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, hidden, bias=False)
        self.key = nn.Linear(width, hidden, bias=False)
        self.vector = nn.Parameter(torch.zeros(hidden))

    def forward(self, vectors: Tensor, edges: Edges, rows: Tensor | None = None) -> Tensor:
        """Return the weights ``[E]`` of all edges; those of a row sum to 1.

        Args:
            vectors: C ``[V, d]``.
            edges: edges of n rows.
            rows: ``[n]`` i64, the vector of each row; None: all vectors, in order.
        """
        sources = edges.sources()
        targets = vectors if rows is None else vectors[rows]
        hidden = self.query(targets)[sources] + self.key(vectors[edges.neighbours])
        scores = hidden.tanh() @ self.vector  # [E]
        position = torch.arange(len(sources), device=sources.device) - edges.offsets[sources]
        longest = edges.longest
        if longest is None:
            longest = int(edges.offsets.diff().max()) if len(sources) else 0
        padded = scores.new_full((len(edges.offsets) - 1, longest), torch.finfo(scores.dtype).min)
        weights: Tensor = padded.index_put((sources, position), scores).softmax(1)[
            sources, position
        ]
        return weights
