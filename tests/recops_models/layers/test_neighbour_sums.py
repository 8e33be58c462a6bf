"""Weighted sums over neighbours, forward and backward, for all or some rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from recops_models.layers.neighbour_attention import NeighbourAttention
from recops_models.layers.neighbour_sums import Edges, Transposed, neighbour_sums

V = 9


def edges(rows: int = V, seed: int = 0) -> Edges:
    """Return up to four edges per row, in distinct columns; the first row has none."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 5, (rows,), generator=generator)
    lengths[0] = 0
    columns = [torch.randperm(V, generator=generator)[: int(n)].sort()[0] for n in lengths]
    return Edges(
        torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]), torch.cat(columns)
    )


def matrix(graph: Edges, weights: Tensor) -> Tensor:
    dense = torch.zeros(len(graph.offsets) - 1, V, dtype=weights.dtype)
    return dense.index_put((graph.sources(), graph.neighbours), weights)


def inputs(graph: Edges, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(len(graph.neighbours), generator=generator, dtype=dtype).requires_grad_(),
        torch.randn(V, 4, generator=generator, dtype=dtype).requires_grad_(),
    )


@pytest.mark.parametrize("by_column", [False, True])
def test_sums_and_gradients_equal_a_matrix_product(by_column: bool) -> None:
    graph = edges()
    weights, vectors = inputs(graph)
    transposed = Transposed.of(graph, V) if by_column else None
    sums = neighbour_sums(graph, weights, vectors, transposed=transposed)
    expected_sums = matrix(graph, weights) @ vectors
    torch.testing.assert_close(sums, expected_sums)
    assert (sums[0] == 0).all()
    grad = torch.randn(sums.shape, generator=torch.Generator().manual_seed(2), dtype=sums.dtype)
    gradients = torch.autograd.grad(sums, (weights, vectors), grad)
    expected = torch.autograd.grad(expected_sums, (weights, vectors), grad)
    torch.testing.assert_close(gradients, expected)


def test_gradcheck() -> None:
    graph = edges()
    transposed = Transposed.of(graph, V)
    assert torch.autograd.gradcheck(
        lambda weights, vectors: neighbour_sums(graph, weights, vectors, transposed=transposed),
        inputs(graph),
    )


def test_a_row_has_the_same_bits_in_any_subset_of_rows() -> None:
    graph = edges(rows=V)
    weights, vectors = inputs(graph, torch.float32)
    rows = torch.tensor([0, 2, 3, 8])
    subset, index = graph.rows(rows)
    sums = neighbour_sums(subset, weights[index], vectors)
    assert torch.equal(sums, neighbour_sums(graph, weights, vectors)[rows])


def test_the_number_of_threads_changes_no_bit(set_threads: Callable[[int], None]) -> None:
    generator = torch.Generator().manual_seed(0)
    columns = torch.randint(V, (4000,), generator=generator)
    graph = Edges(torch.arange(0, 4001, 4), columns)
    results = []
    for threads in (1, 2):
        set_threads(threads)
        weights, vectors = inputs(graph, torch.float32)
        total = neighbour_sums(graph, weights, vectors, transposed=Transposed.of(graph, V))
        total.square().sum().backward()
        results.append((total.detach(), weights.grad, vectors.grad))
    for first, second in zip(*results, strict=True):
        assert first is not None
        assert second is not None
        assert torch.equal(first, second)


def test_a_sparse_gradient_has_only_rows_that_were_read() -> None:
    graph = edges()
    weights, vectors = inputs(graph)
    subset, index = graph.rows(torch.tensor([1, 4]))
    neighbour_sums(subset, weights[index], vectors, sparse=True).square().sum().backward()
    assert vectors.grad is not None
    assert vectors.grad.is_sparse
    sparse = vectors.grad.coalesce()
    assert sparse.indices()[0].tolist() == subset.neighbours.unique().tolist()
    weights, dense = inputs(graph)
    (matrix(graph, weights)[[1, 4]] @ dense).square().sum().backward()
    torch.testing.assert_close(sparse.to_dense(), dense.grad)


def test_attention_is_a_softmax_of_each_rows_neighbours() -> None:
    graph = edges()
    attention = NeighbourAttention(4, 6).double()
    _, vectors = inputs(graph)
    uniform = attention(vectors, graph)
    torch.testing.assert_close(uniform, (1 / graph.offsets.diff().double())[graph.sources()])
    torch.nn.init.normal_(attention.vector, generator=torch.Generator().manual_seed(0))
    weights = attention(vectors, graph)
    query, key = attention.query(vectors), attention.key(vectors)
    for row in range(1, V):
        start, end = graph.offsets[row : row + 2].tolist()
        scores = (query[row] + key[graph.neighbours[start:end]]).tanh() @ attention.vector
        torch.testing.assert_close(weights[start:end], scores.softmax(0))
    rows = torch.tensor([3, 5])
    subset, index = graph.rows(rows)
    torch.testing.assert_close(attention(vectors, subset, rows), weights[index])


def test_attention_has_a_correct_gradient() -> None:
    graph = edges()
    attention = NeighbourAttention(4, 3).double()
    torch.nn.init.normal_(attention.vector, generator=torch.Generator().manual_seed(0))
    transposed = Transposed.of(graph, V)

    def rows(vectors: Tensor) -> Tensor:
        return neighbour_sums(graph, attention(vectors, graph), vectors, transposed=transposed)

    _, vectors = inputs(graph)
    assert torch.autograd.gradcheck(rows, (vectors,))
    rows(vectors).sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all()
        for parameter in attention.parameters()
    )
