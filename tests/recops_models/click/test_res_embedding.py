"""Res-embedding under every click model: the base is not told, and the folded one has its bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from click_inputs import batch, schema
from click_recipes import CLICK, net
from item_graphs import item_graph
from recops_models.click.loss import training_loss
from recops_models.click.res_embedding import ResEmbedding, ResEmbeddingConfig
from recops_models.data.errors import DataError
from recops_models.examples.features import Categorical, Sequence
from recops_models.layers.residual_table import ResidualConfig, ResidualTable
from recops_models.training.config import TrainingConfig
from recops_models.training.optimizers import make_optimizers
from synthetic_histories import histories

ROWS = 52


def model(base: str, config: ResidualConfig | None = None, **sizes: Any) -> ResEmbedding:
    torch.manual_seed(0)
    plain = net(base, schema(), **sizes)
    return ResEmbedding(plain, item_graph(ROWS), config or ResidualConfig(decay=1.0))


@pytest.mark.parametrize("base", CLICK)
def test_the_folded_model_has_the_same_logits_to_the_bit(base: str) -> None:
    made = model(base).eval()
    examples = batch([5, 0, 3, 9], seed=1)
    folded = made.fold()
    assert type(folded) is type(made.base)
    assert isinstance(folded.embedding.tables["item"], nn.Embedding)
    assert isinstance(made.base.embedding.tables["item"], ResidualTable)
    with torch.no_grad():
        assert torch.equal(folded(examples), made(examples))
    assert {*folded.state_dict()} == {*net(base, schema()).state_dict()}


@pytest.mark.parametrize("base", CLICK)
@pytest.mark.parametrize("cost", [0, 1000])
def test_every_base_trains(base: str, cost: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows gathered or folded: both tables learn, padding never does."""
    monkeypatch.setattr("recops_models.layers.residual_table._GATHER", cost)
    made = model(base)
    before = {name: value.clone() for name, value in made.table.state_dict().items()}
    optimizers = make_optimizers(made, TrainingConfig(learning_rate=0.005, tables="adam"))
    losses = []
    for _ in range(30):
        loss = made.loss(batch([5, 0, 3, 9, 7, 2], seed=2))
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    for name in ("centre.weight", "residual.weight"):
        now = made.table.state_dict()[name]
        assert not torch.equal(now[2:], before[name][2:]), name
        assert (now[0] == 0).all()


@pytest.mark.parametrize("tables", ["sparse-adam", "rowwise-adagrad"])
def test_sparse_optimizers_touch_what_is_read(tables: Any) -> None:
    made = model("din")
    assert made.table.residual is not None
    made.table.residual.decay = 0.0
    before = made.table.residual.weight.detach().clone()
    optimizers = make_optimizers(made, TrainingConfig(learning_rate=0.05, tables=tables))
    examples = batch([3, 2], seed=2)
    made.loss(examples).backward()
    for optimizer in optimizers:
        optimizer.step()
    read = torch.cat([examples.features[name].ravel() for name in ("item", "history_item")])
    moved = (made.table.residual.weight != before).any(1).nonzero()[:, 0].tolist()
    assert set(moved) <= set(read.tolist())
    assert moved


def test_the_base_begins_as_it_would_alone() -> None:
    made = model("dien")
    torch.manual_seed(0)
    alone = net("dien", schema())
    for name, value in alone.state_dict().items():
        if name != "embedding.tables.item.weight":
            assert torch.equal(value, made.base.state_dict()[name]), name


def test_without_neighbours_and_residuals_it_is_the_plain_model() -> None:
    """Centres of loops alone are a plain table: the same loss, gradient and bits."""
    torch.manual_seed(0)
    alone = net("din", schema())
    torch.manual_seed(0)
    config = ResEmbeddingConfig(graph="self", residual=False)
    graph = config.make_graph(histories([]), ROWS, seed=0)
    made = ResEmbedding(net("din", schema()), graph, config.table())
    examples = batch([5, 0, 3, 9], seed=1)
    losses = made.loss(examples), training_loss(alone, examples)
    assert torch.equal(*losses)
    for loss in losses:
        loss.backward()
    ours = made.table.centre.weight.grad
    theirs = alone.embedding.tables["item"].weight.grad
    assert isinstance(ours, torch.Tensor)
    assert isinstance(theirs, torch.Tensor)
    assert torch.equal(ours, theirs)


def test_threads_change_no_bit(set_threads: Callable[[int], None]) -> None:
    found = []
    for threads in (1, 2):
        set_threads(threads)
        made = model("din")
        loss = made.loss(batch([30] * 64, seed=3))
        loss.backward()
        assert made.table.centre.weight.grad is not None
        found.append((loss.detach(), made.table.centre.weight.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_histories_and_candidates_share_the_rows() -> None:
    """A table owned by another feature, in two histories of different lengths."""
    features = (
        Categorical("user"),
        Categorical("item"),
        Sequence("history_item", share_embedding="item", history="clicks"),
        Sequence("tags", share_embedding="item", history="carts"),
    )
    made = ResEmbedding(net("din", schema(features)), item_graph(ROWS), ResidualConfig())
    assert made._features == ["item", "history_item", "tags"]
    examples = batch([5, 0, 3, 9], seed=1)
    with torch.no_grad():
        assert torch.equal(made.eval()(examples), made.fold()(examples))


def test_a_model_without_a_candidate_is_refused() -> None:
    base = net("din", schema())
    alone = schema((Categorical("item"), Sequence("tags")))
    base.schema = alone
    with pytest.raises(DataError, match="no history shares the candidate's table"):
        ResEmbedding(base, item_graph(ROWS), ResidualConfig())


@pytest.mark.parametrize("weights", ["average", "counts", "gcn", "attention"])
def test_a_graph_is_of_its_settings(weights: Any) -> None:
    import numpy as np

    met = histories([np.array([2, 3, 4]), np.array([3, 2, -1, 5])])
    config = ResEmbeddingConfig(weights=weights, neighbours=1, window=1)
    graph = config.make_graph(met, 6, seed=0)
    assert len(graph) == 6
    assert graph.neighbours[graph.offsets[2] : graph.offsets[3]].tolist() == [2, 3]
    assert graph.neighbours[graph.offsets[5] :].tolist() == [5]  # Next to an unknown one alone.
    assert (config.table().attention is not None) == (weights == "attention")
    other = ResEmbeddingConfig(weights=weights, neighbours=1, graph="random")
    assert (
        np.diff(other.make_graph(met, 6, seed=0).offsets).tolist()
        == np.diff(graph.offsets).tolist()
    )
