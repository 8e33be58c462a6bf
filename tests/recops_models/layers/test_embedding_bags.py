"""Bags of rows of embedding tables: what they are, what they learn, beside nn.Embedding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from recops_models.layers.embedding_bags import embedding_bags

IDS = torch.randint(7, (4, 6), generator=torch.Generator().manual_seed(2))


def table(*, sparse: bool = False, dtype: torch.dtype = torch.float32) -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(7, 5, padding_idx=0, sparse=sparse).to(dtype)


def gradient(made: nn.Embedding, out: Tensor) -> Tensor:
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    out.backward(weight)
    assert made.weight.grad is not None
    return made.weight.grad.to_dense()


@pytest.mark.parametrize("rows", [4, 0, 1])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_bags_are_the_sums_of_an_embedding(rows: int, sparse: bool, dtype: torch.dtype) -> None:
    ids = IDS[:rows]
    wide = dtype == torch.bfloat16
    ours, theirs = table(sparse=sparse, dtype=dtype), table(sparse=sparse, dtype=dtype)
    one = embedding_bags([(ours, ids), (ours, ids[:, 0])])
    other = torch.cat([theirs(ids).sum(1), theirs(ids[:, 0])], 1)
    torch.testing.assert_close(one, other)
    tolerance = {"rtol": 0.05, "atol": 0.05} if wide else {}
    torch.testing.assert_close(gradient(ours, one), gradient(theirs, other), **tolerance)
    with torch.no_grad():
        torch.testing.assert_close(embedding_bags([(ours, ids), (ours, ids[:, 0])]), one.detach())


@pytest.mark.parametrize("sparse", [False, True])
def test_padding_learns_nothing(sparse: bool) -> None:
    made = table(sparse=sparse)
    out = embedding_bags([(made, torch.tensor([[0, 3], [0, 0]])), (made, torch.tensor([0, 3]))])
    assert gradient(made, out)[[0, 3]].ne(0).any(1).tolist() == [False, True]


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
def test_compiled_graphs_hold_the_same_op() -> None:
    eager, compiled = table(), table()
    torch._dynamo.reset()
    out = torch.compile(lambda made: embedding_bags([(made, IDS)]), fullgraph=True)(compiled)
    expected = embedding_bags([(eager, IDS)])
    assert torch.equal(out, expected)
    assert torch.equal(gradient(compiled, out), gradient(eager, expected))
