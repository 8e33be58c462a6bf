"""Weighted sums over the neighbours of a graph: ``W C`` for a sparse W, its rows or some."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Edges(NamedTuple):
    """A sparse matrix ``[n, V]`` without its values: row i has edges ``[offsets[i],
    offsets[i + 1])``.

    Attributes:
        offsets: ``[n + 1]`` i64.
        neighbours: ``[E]`` i64, their columns.
    """

    offsets: Tensor
    neighbours: Tensor

    def rows(self, rows: Tensor) -> tuple[Edges, Tensor]:
        """Some rows ``[u]`` i64 alone, and which edges those are, ``[E']`` i64."""
        begins = self.offsets[rows]
        lengths = self.offsets[rows + 1] - begins
        offsets = F.pad(lengths.cumsum(0), (1, 0))
        edges = torch.arange(int(lengths.sum()), device=rows.device)
        edges = edges + torch.repeat_interleave(begins - offsets[:-1], lengths)
        return Edges(offsets, self.neighbours[edges]), edges

    def sources(self) -> Tensor:
        """``[E]`` i64: the row of each edge."""
        rows = torch.arange(len(self.offsets) - 1, device=self.offsets.device)
        return torch.repeat_interleave(rows, self.offsets.diff())


class Transposed(NamedTuple):
    """The same edges by columns.

    Attributes:
        edges: of the transposed matrix.
        order: ``[E]`` i64: which edge each one is there.
    """

    edges: Edges
    order: Tensor

    @classmethod
    def of(cls, edges: Edges, columns: int) -> Transposed:
        """Of a matrix with so many columns; within one, rows ascend."""
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
    """``[n, d]``: ``Σ_e weights[e] · vectors[neighbours[e]]`` over the edges of each row.

    In order of the edges, so that a row has the same bits whichever others are asked for, at any
    number of threads; zero for a row without edges.

    Args:
        edges: of n rows.
        weights: ``[E]``, of the vectors' dtype.
        vectors: ``[V, d]``.
        transposed: of ``edges``: the gradient of the vectors is then a sum over its rows, which
            takes no sort. Worth having where the same edges are read again and again.
        sparse: without it, whether that gradient is a sparse tensor.
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
        of_weights = of_vectors = None
        if ctx.needs_input_grad[0]:
            of_weights = (vectors[edges.neighbours] * grad[edges.sources()]).sum(1)
        if ctx.needs_input_grad[1]:
            of_vectors = _sums(transposed.edges, weights[transposed.order], grad.contiguous())
        return of_weights, of_vectors, None, None
