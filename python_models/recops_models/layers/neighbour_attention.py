"""Attention of an item to its neighbours in a graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recops_models.layers.neighbour_sums import Edges


class NeighbourAttention(nn.Module):
    """``w_ij = softmax_j(a · tanh(C_i W_q + C_j W_k))`` over the neighbours j of i.

    One of three forms that Res-embedding (arXiv 1906.10304) is said to have, second-hand and
    unverified; this formula is the project's. ``a`` begins at zero: the mean of the neighbours.

    Args:
        width: d of the vectors.
        hidden: of ``a``.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, hidden, bias=False)
        self.key = nn.Linear(width, hidden, bias=False)
        self.vector = nn.Parameter(torch.zeros(hidden))

    def forward(self, vectors: Tensor, edges: Edges, rows: Tensor | None = None) -> Tensor:
        """``[E]``: the weights of all edges, those of a row summing to 1.

        Args:
            vectors: C ``[V, d]``.
            edges: of n rows.
            rows: ``[n]`` i64, which of the vectors the rows are; None: all, in order.
        """
        sources = edges.sources()
        asking = vectors if rows is None else vectors[rows]
        hidden = self.query(asking)[sources] + self.key(vectors[edges.neighbours])
        scores = hidden.tanh() @ self.vector  # [E]
        place = torch.arange(len(sources), device=sources.device) - edges.offsets[sources]
        longest = int(edges.offsets.diff().max()) if len(sources) else 0
        padded = scores.new_full((len(edges.offsets) - 1, longest), torch.finfo(scores.dtype).min)
        weights: Tensor = padded.index_put((sources, place), scores).softmax(1)[sources, place]
        return weights
