"""Lazy decay of embedding rows, compared with decay at every step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from recops_models.layers.decaying_rows import DecayingRows
from recops_models.training.config import TrainingConfig
from recops_models.training.optimizers import make_optimizers, set_learning_rate
from recops_models.training.rowwise_adagrad import RowwiseAdagrad

V, D, LAMBDA = 12, 3, 4.0


def initial_rows() -> Tensor:
    return torch.randn(V, D, generator=torch.Generator().manual_seed(0))


def batches(number: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(1, V, (4,), generator=generator) for _ in range(number)]


def loss_of(rows: Tensor) -> Tensor:
    return (rows * torch.tensor([1.0, -2.0, 0.5])).sum(1).tanh().mean()


def rate(step: int) -> float:
    return 0.05 / (1 + step)


class Lazy(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows = DecayingRows(V, D, decay=LAMBDA)
        self.head = torch.nn.Linear(D, 1)
        with torch.no_grad():
            self.rows.weight.copy_(initial_rows())


def train_lazily(tables: str, steps: int) -> DecayingRows:
    """Train with the trainer's optimizers and lazy decay."""
    model = Lazy()
    config = TrainingConfig(tables=tables, table_learning_rate=1.0)  # type: ignore[arg-type]
    optimizers = make_optimizers(model, config)
    for step, ids in enumerate(batches(steps)):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate(step)
            optimizer.zero_grad()
        rows = ids.unique()
        model.rows.touch(rows)
        loss_of(model.rows(ids)).backward()
        for optimizer in optimizers:
            optimizer.step()
    return model.rows


def train_densely(make: Any, steps: int) -> Tensor:
    """Train with decay of all rows at every step, before the optimizer's update."""
    weight = torch.nn.Parameter(initial_rows())
    optimizer = make([weight])
    for step, ids in enumerate(batches(steps)):
        optimizer.param_groups[0]["lr"] = rate(step)
        optimizer.zero_grad()
        loss_of(F.embedding(ids, weight, sparse=True)).backward()
        with torch.no_grad():
            weight *= 1 - rate(step) * LAMBDA
        optimizer.step()
    return weight.detach()


@pytest.mark.parametrize(
    ("tables", "make"),
    [
        ("sparse-adam", lambda rows: torch.optim.SparseAdam(rows, lr=1.0)),
        ("rowwise-adagrad", lambda rows: RowwiseAdagrad(rows, lr=1.0)),
    ],
)
def test_lazy_decay_equals_dense_decay(tables: str, make: Any) -> None:
    lazy, dense = train_lazily(tables, 40), train_densely(make, 40)
    assert not torch.allclose(lazy.weight, dense, rtol=1e-3)  # Decay is pending in some rows.
    lazy.settle()
    torch.testing.assert_close(lazy.weight.detach(), dense, rtol=1e-5, atol=1e-7)


def test_rows_decay_only_when_they_are_touched() -> None:
    rows = DecayingRows(V, D, decay=LAMBDA)
    before = rows.weight.detach().clone()
    for _ in range(5):
        rows.touch(torch.tensor([2]))
        rows.advance(0.1)
    assert torch.equal(rows.weight[3], before[3])
    torch.testing.assert_close(rows.weight[2], before[2] * 0.6**5)
    rows.touch(torch.tensor([3]))
    torch.testing.assert_close(rows.weight[3], before[3] * 0.6**5)


@pytest.mark.parametrize("touches_all", [False, True])
def test_evaluation_applies_all_pending_decay(touches_all: bool) -> None:
    rows = DecayingRows(V, D, decay=LAMBDA)
    before = rows.weight.detach().clone()
    rows.touch(None if touches_all else torch.tensor([2]))
    for _ in range(3):
        rows.advance(0.05)
    rows.eval()
    torch.testing.assert_close(rows.weight.detach(), before * 0.8**3)
    after = rows.weight.detach().clone()
    rows.train()
    rows.eval()
    assert torch.equal(rows.weight, after)


def test_without_decay_nothing_is_touched() -> None:
    rows = DecayingRows(V, D, decay=0)
    before = rows.weight.detach().clone()
    rows.touch(None)
    rows.advance(5.0)
    rows.settle()
    assert torch.equal(rows.weight, before)
    assert rows.clock == 0


def test_rows_have_no_further_decay_and_the_learning_rate_of_their_group() -> None:
    model = Lazy()
    config = TrainingConfig(tables="adamw", weight_decay=0.5, table_learning_rate=0.01)
    (optimizer,) = make_optimizers(model, config)
    groups = [g for g in optimizer.param_groups if any(p is model.rows.weight for p in g["params"])]
    assert [group["weight_decay"] for group in groups] == [0]
    before = model.rows.weight.detach().clone()
    set_learning_rate([optimizer], config, 1.0)  # After the warm-up: the peak, within a per mille.
    model.rows.touch(None)
    model.rows.weight.grad = torch.zeros(V, D)
    optimizer.step()
    factor = 1 - config.rate(0.01, 1.0) * LAMBDA
    torch.testing.assert_close(model.rows.weight.detach(), before * factor)


def test_bad_decay_is_named() -> None:
    for decay in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="decay must be ≥ 0"):
            DecayingRows(V, D, decay=decay)
    with pytest.raises(ValueError, match=r"rate · decay must be < 1, got 0\.5 · 4"):
        DecayingRows(V, D, decay=4).advance(0.5)
