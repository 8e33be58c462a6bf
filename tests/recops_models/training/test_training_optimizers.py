"""Optimizers of dense weights and embedding tables, and clipping of gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from recops_models.layers.embedding_bags import ComposedTable, embedding_bags
from recops_models.training.config import TrainingConfig
from recops_models.training.optimizers import clip_gradients, make_optimizers, update_weights
from recops_models.training.rowwise_adagrad import RowwiseAdagrad


def backward(table: nn.Embedding, ids: torch.Tensor) -> None:
    table.zero_grad()
    (table(ids).square() * torch.arange(1.0, 1 + ids.numel()).view(*ids.shape, 1)).sum().backward()


def test_rowwise_adagrad_matches_its_formula() -> None:
    table = nn.Embedding(6, 3, sparse=True)
    optimizer = RowwiseAdagrad(table.parameters(), lr=0.1)
    weight, sums = table.weight.detach().clone().double(), torch.zeros(6, dtype=torch.float64)
    for ids in (torch.tensor([1, 4, 1]), torch.tensor([4, 5, 5])):  # Repeated rows add up.
        backward(table, ids)
        gradient = table.weight.grad.to_dense().double()  # type: ignore[union-attr]
        optimizer.step()
        sums += gradient.square().mean(1)
        weight -= 0.1 * gradient / (sums.sqrt() + 1e-8)[:, None]
    torch.testing.assert_close(table.weight.detach().double(), weight, rtol=1e-6, atol=1e-6)


def test_rowwise_adagrad_changes_only_rows_with_gradients() -> None:
    sparse = nn.Embedding(50, 4, sparse=True)
    dense = nn.Embedding(50, 4)
    dense.load_state_dict(sparse.state_dict())
    before = sparse.weight.detach().clone()
    optimizers = [RowwiseAdagrad(table.parameters(), lr=0.1) for table in (sparse, dense)]
    for ids in torch.randint(25, (5, 16)).unbind():
        for table, optimizer in zip((sparse, dense), optimizers, strict=True):
            backward(table, ids)
            optimizer.step()
    torch.testing.assert_close(sparse.weight, dense.weight, rtol=1e-5, atol=1e-6)
    assert torch.equal(sparse.weight[25:], before[25:])
    assert torch.equal(dense.weight[25:], before[25:])


def test_rowwise_adagrad_refuses_a_negative_rate() -> None:
    with pytest.raises(ValueError, match="lr must be at least 0"):
        RowwiseAdagrad(nn.Embedding(2, 2).parameters(), lr=-1.0)


def test_clipping_sums_repeated_sparse_rows() -> None:
    ids = torch.tensor([3, 3, 3, 7])
    tables = [nn.Embedding(10, 4, sparse=sparse) for sparse in (True, False)]
    tables[1].load_state_dict(tables[0].state_dict())
    for table in tables:
        backward(table, ids)
        clip_gradients(table.parameters(), 0.5)
    sparse, dense = tables[0].weight.grad, tables[1].weight.grad
    assert sparse is not None
    assert dense is not None
    torch.testing.assert_close(sparse.to_dense(), dense)
    assert sparse.to_dense().norm().item() == pytest.approx(0.5, rel=1e-4)


def test_clipping_dense_gradients_equals_torch_bitwise() -> None:
    layers = [nn.Linear(7, 5) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    x = torch.randn(9, 7)
    for layer in layers:
        layer(x).square().sum().backward()
    clip_gradients(layers[0].parameters(), 0.3)
    nn.utils.clip_grad_norm_(layers[1].parameters(), 0.3)
    for actual, expected in zip(layers[0].parameters(), layers[1].parameters(), strict=True):
        assert actual.grad is not None
        assert expected.grad is not None
        assert torch.equal(actual.grad, expected.grad)


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(10, 4), nn.Linear(4, 1)


@pytest.mark.parametrize("tables", ["adamw", "adam", "sparse-adam", "rowwise-adagrad"])
def test_every_optimizer_learns_a_table(tables: str) -> None:
    model = Bag()
    target = torch.linspace(-1, 1, 10)
    config = TrainingConfig(tables=tables, learning_rate=0.01, table_learning_rate=0.1)  # type: ignore[arg-type]
    optimizers = make_optimizers(model, config)
    ids = torch.arange(10)

    def error() -> torch.Tensor:
        return (model.out(model.table(ids)).squeeze(-1) - target).square().mean()

    before = error().item()
    for _ in range(60):
        model.zero_grad()
        error().backward()
        sparse = model.table.weight.grad.is_sparse  # type: ignore[union-attr]
        assert sparse == (tables in ("sparse-adam", "rowwise-adagrad"))
        for optimizer in optimizers:
            optimizer.step()
    assert error().item() < 0.1 * before


def test_a_table_optimizer_needs_a_table() -> None:
    with pytest.raises(ValueError, match="no embedding table"):
        make_optimizers(nn.Linear(2, 2), TrainingConfig(tables="rowwise-adagrad"))


class SignedRows(ComposedTable):
    """Table of another kind than ``nn.Embedding``: the negative rows of its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding_dim, self.sparse = 2, False
        self.weight = nn.Parameter(torch.ones(4, 2))

    def read(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        all_ids = torch.cat([ids.new_zeros(1), ids.flatten()])
        distinct, index = torch.unique(all_ids, return_inverse=True)
        rows = nn.functional.embedding(distinct, self.weight, padding_idx=0, sparse=self.sparse)
        return -rows * (distinct > 0)[:, None], index[1:].view_as(ids)


def test_a_table_need_not_be_an_embedding() -> None:
    table = SignedRows()
    config = TrainingConfig(tables="rowwise-adagrad", learning_rate=0.5)
    optimizers = make_optimizers(nn.Sequential(table, nn.Linear(2, 1)), config)
    assert table.sparse
    out = embedding_bags([(table, torch.tensor([[1, 3], [1, 0]]))])
    assert out.tolist() == [[-2.0, -2.0], [-1.0, -1.0]]
    update_weights(out.sum(), optimizers, (), config)
    assert table.weight[:, 0].tolist() == pytest.approx([1, 1.5, 1, 1.5])
