"""First query of a path per task."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from recops_models.generative.unirec import Bos, UniRec, UniRecConfig
from recops_models.generative.unirec.decoder import TaskStart
from synthetic_histories import NUM_ITEMS, paths

CONFIG = UniRecConfig(
    history=6, width=16, heads=2, expert_hidden=16, head_hidden=16, item_scores=0.0, dropout=0.0
)


def start(bos: Bos, objectives: int = 2, scenes: int = 3) -> TaskStart:
    torch.manual_seed(0)
    config = dataclasses.replace(CONFIG, objectives=objectives, scenes=scenes, bos=bos)
    return TaskStart(config)


def test_a_table_has_one_row_per_task_and_unused_rows_get_no_gradient() -> None:
    table = start("table")
    tasks = torch.tensor([[4, 1], [4, 4]])
    table(tasks, tasks.shape).sum().backward()
    (weight,) = table.parameters()
    assert weight.shape == (6, 16)
    assert weight.grad is not None
    assert weight.grad.any(1).tolist() == [False, True, False, False, True, False]


def test_a_factorised_start_is_the_sum_of_objective_and_scene() -> None:
    model = start("factorised")
    objective, scene = model.parameters()
    assert objective.shape == (2, 16)
    assert scene.shape == (3, 16)
    queries = model(torch.tensor([5, 0]), torch.Size((2, 1)))
    torch.testing.assert_close(queries[0, 0], objective[1] + scene[2])  # 5 = 1 · 3 + 2
    queries.sum().backward()
    assert objective.grad is not None
    assert scene.grad is not None
    assert objective.grad.any(1).all()
    assert scene.grad.any(1).tolist() == [True, False, True]


def test_a_shared_start_is_equal_for_all_tasks() -> None:
    queries = start("shared")(torch.arange(6), torch.Size((6, 1)))
    assert (queries == queries[:1]).all()


@pytest.mark.parametrize("bos", ["table", "factorised", "shared"])
def test_an_unknown_task_is_an_error(bos: Bos) -> None:
    with pytest.raises(ValueError, match="UniRec: task must be from 0 to 5, got 6"):
        start(bos)(6, torch.Size((2, 1)))


def test_scenes_with_opposite_preferences_need_different_starts() -> None:
    """Users walk up the ring of items in scene 0 and down in scene 1, after equal histories."""
    item = torch.arange(NUM_ITEMS)
    history = item[:, None].repeat(2, 1) + 1  # one event
    target = torch.cat([(item + 1) % NUM_ITEMS, (item - 1) % NUM_ITEMS])[:, None] + 1
    scene = torch.arange(2).repeat_interleave(NUM_ITEMS)
    losses = {}
    for bos in ("table", "shared"):
        torch.manual_seed(0)
        tokens, sizes = paths()
        config = dataclasses.replace(CONFIG, history=1, scenes=2, bos=bos)
        model = UniRec(tokens, sizes, torch.zeros(NUM_ITEMS), config)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(60):
            loss = model.loss(history, target, scene)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses[bos] = loss.item()
    assert losses["table"] < 0.25
    assert losses["shared"] > 0.5  # at best ln 2, for two equally likely items
