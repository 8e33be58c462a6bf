"""Sums of embedding rows and their gradients, compared with nn.Embedding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from recops_models.layers.embedding_bags import embedding_bags

IDS = torch.randint(7, (4, 6), generator=torch.Generator().manual_seed(2))


def table(*, sparse: bool = False, dtype: torch.dtype = torch.float32) -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(7, 5, padding_idx=0, sparse=sparse).to(dtype)


def gradient(embedding: nn.Embedding, out: Tensor) -> Tensor:
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    out.backward(weight)
    assert embedding.weight.grad is not None
    return embedding.weight.grad.to_dense()


@pytest.mark.parametrize("rows", [4, 0, 1])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_bags_are_the_sums_of_an_embedding(rows: int, sparse: bool, dtype: torch.dtype) -> None:
    ids = IDS[:rows]
    is_half = dtype == torch.bfloat16
    bags, reference = table(sparse=sparse, dtype=dtype), table(sparse=sparse, dtype=dtype)
    sums = embedding_bags([(bags, ids), (bags, ids[:, 0])])
    expected = torch.cat([reference(ids).sum(1), reference(ids[:, 0])], 1)
    torch.testing.assert_close(sums, expected)
    tolerance = {"rtol": 0.05, "atol": 0.05} if is_half else {}
    torch.testing.assert_close(gradient(bags, sums), gradient(reference, expected), **tolerance)
    with torch.no_grad():
        torch.testing.assert_close(embedding_bags([(bags, ids), (bags, ids[:, 0])]), sums.detach())


@pytest.mark.parametrize("sparse", [False, True])
def test_padding_has_no_gradient(sparse: bool) -> None:
    embedding = table(sparse=sparse)
    out = embedding_bags(
        [(embedding, torch.tensor([[0, 3], [0, 0]])), (embedding, torch.tensor([0, 3]))]
    )
    assert gradient(embedding, out)[[0, 3]].ne(0).any(1).tolist() == [False, True]


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
def test_compiled_graphs_give_the_same_bits() -> None:
    eager, compiled = table(), table()
    torch._dynamo.reset()
    out = torch.compile(lambda embedding: embedding_bags([(embedding, IDS)]), fullgraph=True)(
        compiled
    )
    expected = embedding_bags([(eager, IDS)])
    assert torch.equal(out, expected)
    assert torch.equal(gradient(compiled, out), gradient(eager, expected))
