"""Rows of embedding tables: what they are, what they learn, beside nn.Embedding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from recops_models.layers.table_rows import rows_of, sums_of_rows


def table(*, sparse: bool = False, dtype: torch.dtype = torch.float32) -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(7, 5, padding_idx=0, sparse=sparse).to(dtype)


def gradient(made: nn.Embedding, out: Tensor) -> Tensor:
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    out.backward(weight)
    assert made.weight.grad is not None
    return made.weight.grad.to_dense()


@pytest.mark.parametrize("shape", [(4, 6), (0, 6), (1, 1)])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rows_and_their_sums_are_those_of_an_embedding(
    shape: tuple[int, int], sparse: bool, dtype: torch.dtype
) -> None:
    ids = torch.randint(7, shape, generator=torch.Generator().manual_seed(2))
    wide = dtype == torch.bfloat16
    for found, expected in ((rows_of, lambda t, i: t(i)), (sums_of_rows, lambda t, i: t(i).sum(1))):
        ours, theirs = table(sparse=sparse, dtype=dtype), table(sparse=sparse, dtype=dtype)
        one, other = found(ours, ids), expected(theirs, ids)
        torch.testing.assert_close(one, other)
        tolerance = {"rtol": 0.05, "atol": 0.05} if wide else {}
        torch.testing.assert_close(gradient(ours, one), gradient(theirs, other), **tolerance)
        with torch.no_grad():
            torch.testing.assert_close(found(ours, ids), one.detach())


def test_padding_learns_nothing() -> None:
    for function in (rows_of, sums_of_rows):
        made = table()
        assert gradient(made, function(made, torch.tensor([[0, 3], [0, 0]])))[[0, 3]].ne(0).any(
            1
        ).tolist() == [False, True]


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
def test_compiled_graphs_hold_the_same_ops() -> None:
    ids = torch.randint(7, (4, 6))
    for function in (rows_of, sums_of_rows):
        eager, compiled = table(), table()
        torch._dynamo.reset()
        out = torch.compile(function, fullgraph=True)(compiled, ids)
        expected = function(eager, ids)
        assert torch.equal(out, expected)
        assert torch.equal(gradient(compiled, out), gradient(eager, expected))
