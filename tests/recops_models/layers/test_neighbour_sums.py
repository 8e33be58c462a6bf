"""Weighted sums over neighbours, forward and backward, of all rows or of some."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from recops_models.layers.neighbour_attention import NeighbourAttention
from recops_models.layers.neighbour_sums import Edges, Transposed, neighbour_sums

V = 9


def edges(rows: int = V, seed: int = 0) -> Edges:
    """Up to four edges a row, of different columns; the first row has none."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 5, (rows,), generator=generator)
    lengths[0] = 0
    columns = [torch.randperm(V, generator=generator)[: int(n)].sort()[0] for n in lengths]
    return Edges(
        torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]), torch.cat(columns)
    )


def matrix(of: Edges, weights: Tensor) -> Tensor:
    dense = torch.zeros(len(of.offsets) - 1, V, dtype=weights.dtype)
    return dense.index_put((of.sources(), of.neighbours), weights)


def inputs(of: Edges, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(len(of.neighbours), generator=generator, dtype=dtype).requires_grad_(),
        torch.randn(V, 4, generator=generator, dtype=dtype).requires_grad_(),
    )


@pytest.mark.parametrize("by_column", [False, True])
def test_it_is_a_product_of_matrices_and_so_is_its_gradient(by_column: bool) -> None:
    of = edges()
    weights, vectors = inputs(of)
    transposed = Transposed.of(of, V) if by_column else None
    found = neighbour_sums(of, weights, vectors, transposed=transposed)
    due = matrix(of, weights) @ vectors
    torch.testing.assert_close(found, due)
    assert (found[0] == 0).all()
    grad = torch.randn(found.shape, generator=torch.Generator().manual_seed(2), dtype=found.dtype)
    ours = torch.autograd.grad(found, (weights, vectors), grad)
    theirs = torch.autograd.grad(due, (weights, vectors), grad)
    torch.testing.assert_close(ours, theirs)


def test_gradcheck() -> None:
    of = edges()
    transposed = Transposed.of(of, V)
    assert torch.autograd.gradcheck(
        lambda weights, vectors: neighbour_sums(of, weights, vectors, transposed=transposed),
        inputs(of),
    )


def test_some_rows_have_the_bits_of_all() -> None:
    of = edges(rows=V)
    weights, vectors = inputs(of, torch.float32)
    rows = torch.tensor([0, 2, 3, 8])
    some, which = of.rows(rows)
    found = neighbour_sums(some, weights[which], vectors)
    assert torch.equal(found, neighbour_sums(of, weights, vectors)[rows])


def test_threads_change_no_bit(set_threads: Callable[[int], None]) -> None:
    generator = torch.Generator().manual_seed(0)
    columns = torch.randint(V, (4000,), generator=generator)
    of = Edges(torch.arange(0, 4001, 4), columns)
    found = []
    for threads in (1, 2):
        set_threads(threads)
        weights, vectors = inputs(of, torch.float32)
        total = neighbour_sums(of, weights, vectors, transposed=Transposed.of(of, V))
        total.square().sum().backward()
        found.append((total.detach(), weights.grad, vectors.grad))
    for one, other in zip(*found, strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)


def test_a_sparse_gradient_is_of_the_rows_that_are_met() -> None:
    of = edges()
    weights, vectors = inputs(of)
    some, which = of.rows(torch.tensor([1, 4]))
    neighbour_sums(some, weights[which], vectors, sparse=True).square().sum().backward()
    assert vectors.grad is not None
    assert vectors.grad.is_sparse
    sparse = vectors.grad.coalesce()
    assert sparse.indices()[0].tolist() == some.neighbours.unique().tolist()
    weights, dense = inputs(of)
    (matrix(of, weights)[[1, 4]] @ dense).square().sum().backward()
    torch.testing.assert_close(sparse.to_dense(), dense.grad)


def test_attention_is_a_softmax_of_each_rows_neighbours() -> None:
    of = edges()
    attention = NeighbourAttention(4, 6).double()
    _, vectors = inputs(of)
    uniform = attention(vectors, of)
    torch.testing.assert_close(uniform, (1 / of.offsets.diff().double())[of.sources()])
    torch.nn.init.normal_(attention.vector, generator=torch.Generator().manual_seed(0))
    weights = attention(vectors, of)
    asking, key = attention.query(vectors), attention.key(vectors)
    for row in range(1, V):
        begin, end = of.offsets[row : row + 2].tolist()
        scores = (asking[row] + key[of.neighbours[begin:end]]).tanh() @ attention.vector
        torch.testing.assert_close(weights[begin:end], scores.softmax(0))
    rows = torch.tensor([3, 5])
    some, which = of.rows(rows)
    torch.testing.assert_close(attention(vectors, some, rows), weights[which])


def test_attention_has_the_gradient_of_its_formula() -> None:
    of = edges()
    attention = NeighbourAttention(4, 3).double()
    torch.nn.init.normal_(attention.vector, generator=torch.Generator().manual_seed(0))
    transposed = Transposed.of(of, V)

    def rows(vectors: Tensor) -> Tensor:
        return neighbour_sums(of, attention(vectors, of), vectors, transposed=transposed)

    _, vectors = inputs(of)
    assert torch.autograd.gradcheck(rows, (vectors,))
    rows(vectors).sum().backward()
    assert all(
        each.grad is not None and each.grad.isfinite().all() for each in attention.parameters()
    )
