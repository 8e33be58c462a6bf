"""Weighted sums over graph neighbours: products ``W C`` with a sparse W or some of its rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Edges(NamedTuple):
    """Pattern of a sparse matrix: row i has the edges ``[offsets[i], offsets[i + 1])``.

    Attributes:
        offsets: ``[n + 1]`` i64, of n rows.
        neighbours: ``[E]`` i64, the column of each edge, in [0, V).
        longest: most edges of a row, if known; otherwise it is read from the device.

    Example:
        >>> import torch
        >>> from recops_models.layers.neighbour_sums import Edges
        >>> edges = Edges(offsets=torch.tensor([0, 2, 3]), neighbours=torch.tensor([0, 1, 1]))
        >>> edges.sources().tolist()
        [0, 0, 1]
        >>> part, index = edges.rows(torch.tensor([1]))
        >>> part.neighbours.tolist(), index.tolist()
        ([1], [2])
    """

    offsets: Tensor
    neighbours: Tensor
    longest: int | None = None

    def rows(self, rows: Tensor) -> tuple[Edges, Tensor]:
        """Return the edges of rows ``[u]`` i64, and their indices ``[E']`` i64 among all edges."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        offsets = F.pad(lengths.cumsum(0), (1, 0))
        count = int(lengths.sum())
        first = torch.repeat_interleave(starts - offsets[:-1], lengths, output_size=count)
        edges = torch.arange(count, device=rows.device) + first
        return Edges(offsets, self.neighbours[edges]), edges

    def sources(self) -> Tensor:
        """Return the row ``[E]`` i64 of each edge."""
        rows = torch.arange(len(self.offsets) - 1, device=self.offsets.device)
        return torch.repeat_interleave(rows, self.offsets.diff(), output_size=len(self.neighbours))


class Transposed(NamedTuple):
    """Edges of the transposed matrix.

    Attributes:
        edges: sorted by column of the original, then by row.
        order: ``[E]`` i64, the index of each edge in the original.

    Example:
        >>> import torch
        >>> from recops_models.layers.neighbour_sums import Edges, Transposed
        >>> edges = Edges(offsets=torch.tensor([0, 2, 3]), neighbours=torch.tensor([0, 1, 1]))
        >>> transposed = Transposed.of(edges, columns=2)
        >>> transposed.edges.offsets.tolist(), transposed.edges.neighbours.tolist()
        ([0, 1, 3], [0, 0, 1])
    """

    edges: Edges
    order: Tensor

    @classmethod
    def of(cls, edges: Edges, columns: int) -> Transposed:
        """Transpose a matrix with ``columns`` columns."""
        order = torch.argsort(edges.neighbours, stable=True)
        counts = torch.bincount(edges.neighbours, minlength=columns)
        return cls(Edges(F.pad(counts.cumsum(0), (1, 0)), edges.sources()[order]), order)


def neighbour_sums(
    edges: Edges,
    weights: Tensor,
    vectors: Tensor,
    *,
    transposed: Transposed | None = None,
    sparse: bool = False,
) -> Tensor:
    """Return ``[n, d]``: ``Σ_e weights[e] · vectors[neighbours[e]]`` over the edges of each row.

    Edges are summed in order, so the bits of a row do not depend on other rows, at any
    number of threads. A row without edges is zero.

    Args:
        edges: edges of n rows.
        weights: ``[E]``, of the vectors' dtype.
        vectors: ``[V, d]``.
        transposed: transpose of ``edges``. The gradient of the vectors is then computed without a
            sort, which is faster if the same edges are used repeatedly.
        sparse: whether the gradient of the vectors is sparse; without effect if ``transposed`` is
            given.

    Example:
        >>> import torch
        >>> from recops_models.layers.neighbour_sums import Edges, neighbour_sums
        >>> edges = Edges(offsets=torch.tensor([0, 2, 3]), neighbours=torch.tensor([0, 1, 1]))
        >>> vectors = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        >>> neighbour_sums(edges, torch.tensor([0.5, 0.5, 1.0]), vectors)
        tensor([[0.5000, 1.0000],
                [0.0000, 2.0000]])
    """
    if transposed is None or not torch.is_grad_enabled():
        return _sums(edges, weights, vectors, sparse)
    result: Tensor = _NeighbourSums.apply(weights, vectors, edges, transposed)  # type: ignore[no-untyped-call]
    return result


def _sums(edges: Edges, weights: Tensor, vectors: Tensor, sparse: bool = False) -> Tensor:
    return F.embedding_bag(
        edges.neighbours,
        vectors,
        edges.offsets,
        mode="sum",
        sparse=sparse,
        per_sample_weights=weights,
        include_last_offset=True,
    )


class _NeighbourSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weights: Tensor, vectors: Tensor, edges: Edges, transposed: Transposed
    ) -> Tensor:
        ctx.save_for_backward(weights, vectors)
        ctx.edges, ctx.transposed = edges, transposed
        return _sums(edges, weights, vectors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        weights, vectors = ctx.saved_tensors
        edges, transposed = ctx.edges, ctx.transposed
        grad_weights = grad_vectors = None
        if ctx.needs_input_grad[0]:
            grad_weights = (vectors[edges.neighbours] * grad[edges.sources()]).sum(1)
        if ctx.needs_input_grad[1]:
            grad_vectors = _sums(transposed.edges, weights[transposed.order], grad.contiguous())
        return grad_weights, grad_vectors, None, None
