"""Res-embedding around every click model: training, folding, and the item graph of its settings."""

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
from recops_models.layers.residual_table import ResidualConfig
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
    wrapped = model(base).eval()
    examples = batch([5, 0, 3, 9], seed=1)
    table = wrapped.table
    with torch.no_grad():
        expected = wrapped(examples)
        with wrapped.folded() as folded:
            assert torch.equal(folded(examples), expected)
        assert wrapped.table is table
        assert torch.equal(wrapped(examples), expected)
        folded = wrapped.fold()
        assert torch.equal(folded(examples), expected)
    assert isinstance(folded.embedding.tables["item"], nn.Embedding)
    assert list(folded.state_dict()) == list(net(base, schema()).state_dict())


def test_an_error_while_the_table_is_folded_restores_it() -> None:
    wrapped = model("din")
    table = wrapped.table
    with pytest.raises(KeyboardInterrupt), wrapped.folded():
        raise KeyboardInterrupt
    assert wrapped.table is table


@pytest.mark.parametrize("base", CLICK)
@pytest.mark.parametrize("cost", [0, 1000])
def test_every_base_trains(base: str, cost: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gathered rows or the whole table: centres and residuals learn, padding does not."""
    monkeypatch.setattr("recops_models.layers.residual_table._GATHER", cost)
    wrapped = model(base)
    before = {name: value.clone() for name, value in wrapped.table.state_dict().items()}
    optimizers = make_optimizers(wrapped, TrainingConfig(learning_rate=0.005, tables="adam"))
    losses = []
    for _ in range(30):
        loss = wrapped.loss(batch([5, 0, 3, 9, 7, 2], seed=2))
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    for name in ("centre.weight", "residual.weight"):
        after = wrapped.table.state_dict()[name]
        assert not torch.equal(after[2:], before[name][2:]), name
        assert (after[0] == 0).all()


@pytest.mark.parametrize("tables", ["sparse-adam", "rowwise-adagrad"])
def test_sparse_optimizers_change_only_rows_that_the_batch_reads(tables: Any) -> None:
    wrapped = model("din")
    assert wrapped.table.residual is not None
    wrapped.table.residual.decay = 0.0
    before = wrapped.table.residual.weight.detach().clone()
    optimizers = make_optimizers(wrapped, TrainingConfig(learning_rate=0.05, tables=tables))
    examples = batch([3, 2], seed=2)
    wrapped.loss(examples).backward()
    for optimizer in optimizers:
        optimizer.step()
    read = torch.cat([examples.features[name].ravel() for name in ("item", "history_item")])
    changed = (wrapped.table.residual.weight != before).any(1).nonzero()[:, 0].tolist()
    assert set(changed) <= set(read.tolist())
    assert changed


def test_the_base_starts_with_the_weights_it_has_alone() -> None:
    wrapped = model("dien")
    torch.manual_seed(0)
    alone = net("dien", schema())
    for name, value in alone.state_dict().items():
        if name != "embedding.tables.item.weight":
            assert torch.equal(value, wrapped.base.state_dict()[name]), name


def test_without_neighbours_and_residuals_it_equals_the_plain_model() -> None:
    """If each item is its only neighbour, loss and gradient equal those of a plain table."""
    torch.manual_seed(0)
    alone = net("din", schema())
    torch.manual_seed(0)
    config = ResEmbeddingConfig(graph="self", residual=False)
    graph = config.make_graph(histories([]), ROWS, seed=0)
    wrapped = ResEmbedding(net("din", schema()), graph, config.table())
    examples = batch([5, 0, 3, 9], seed=1)
    losses = wrapped.loss(examples), training_loss(alone, examples)
    assert torch.equal(*losses)
    for loss in losses:
        loss.backward()
    gradient = wrapped.table.centre.weight.grad
    expected = alone.embedding.tables["item"].weight.grad
    assert isinstance(gradient, torch.Tensor)
    assert isinstance(expected, torch.Tensor)
    assert torch.equal(gradient, expected)


def test_the_number_of_threads_changes_no_bit(set_threads: Callable[[int], None]) -> None:
    results = []
    for threads in (1, 2):
        set_threads(threads)
        wrapped = model("din")
        loss = wrapped.loss(batch([30] * 64, seed=3))
        loss.backward()
        assert wrapped.table.centre.weight.grad is not None
        results.append((loss.detach(), wrapped.table.centre.weight.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_all_features_of_the_item_table_read_the_same_rows() -> None:
    """The candidate and two histories of different lengths share a table."""
    features = (
        Categorical("user"),
        Categorical("item"),
        Sequence("history_item", share_embedding="item", history="clicks"),
        Sequence("tags", share_embedding="item", history="carts"),
    )
    wrapped = ResEmbedding(net("din", schema(features)), item_graph(ROWS), ResidualConfig())
    assert wrapped._features == ["item", "history_item", "tags"]
    examples = batch([5, 0, 3, 9], seed=1)
    with torch.no_grad():
        expected = wrapped.eval()(examples)
        assert torch.equal(wrapped.fold()(examples), expected)


def test_a_model_without_a_candidate_is_refused() -> None:
    base = net("din", schema())
    alone = schema((Categorical("item"), Sequence("tags")))
    base.schema = alone
    with pytest.raises(DataError, match="no history shares the candidate's table"):
        ResEmbedding(base, item_graph(ROWS), ResidualConfig())


@pytest.mark.parametrize("weights", ["average", "counts", "gcn", "attention"])
def test_the_graph_follows_its_settings(weights: Any) -> None:
    import numpy as np

    events = histories([np.array([2, 3, 4]), np.array([3, 2, -1, 5])])
    config = ResEmbeddingConfig(weights=weights, neighbours=1, window=1)
    graph = config.make_graph(events, 6, seed=0)
    assert len(graph) == 6
    assert graph.neighbours[graph.offsets[2] : graph.offsets[3]].tolist() == [2, 3]
    assert graph.neighbours[graph.offsets[5] :].tolist() == [5]  # Its only neighbour is unknown.
    assert (config.table().attention is not None) == (weights == "attention")
    other = ResEmbeddingConfig(weights=weights, neighbours=1, graph="random")
    assert (
        np.diff(other.make_graph(events, 6, seed=0).offsets).tolist()
        == np.diff(graph.offsets).tolist()
    )
