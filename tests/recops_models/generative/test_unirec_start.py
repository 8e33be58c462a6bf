"""What is asked for, and where: the first query of a path."""

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


def test_a_table_has_a_row_a_task_and_unused_rows_get_no_gradient() -> None:
    table = start("table")
    tasks = torch.tensor([[4, 1], [4, 4]])
    table(tasks, tasks.shape).sum().backward()
    (weight,) = table.parameters()
    assert weight.shape == (6, 16)
    assert weight.grad is not None
    assert weight.grad.any(1).tolist() == [False, True, False, False, True, False]


def test_a_factorised_task_is_its_objective_and_its_scene() -> None:
    model = start("factorised")
    objective, scene = model.parameters()
    assert objective.shape == (2, 16)
    assert scene.shape == (3, 16)
    found = model(torch.tensor([5, 0]), torch.Size((2, 1)))
    torch.testing.assert_close(found[0, 0], objective[1] + scene[2])  # 5 = 1 · 3 + 2.
    found.sum().backward()
    assert objective.grad is not None
    assert scene.grad is not None
    assert objective.grad.any(1).all()
    assert scene.grad.any(1).tolist() == [True, False, True]


def test_a_shared_start_is_the_same_for_all_tasks() -> None:
    found = start("shared")(torch.arange(6), torch.Size((6, 1)))
    assert (found == found[:1]).all()


@pytest.mark.parametrize("bos", ["table", "factorised", "shared"])
def test_an_unknown_task_is_one_line(bos: Bos) -> None:
    with pytest.raises(ValueError, match="UniRec: task must be from 0 to 5, got 6"):
        start(bos)(6, torch.Size((2, 1)))


def test_scenes_of_opposite_preferences_need_a_start_of_their_own() -> None:
    """In scene 0 users walk up the ring of items, in scene 1 down: histories do not tell which."""
    place = torch.arange(NUM_ITEMS)
    history = place[:, None].repeat(2, 1) + 1  # One event.
    target = torch.cat([(place + 1) % NUM_ITEMS, (place - 1) % NUM_ITEMS])[:, None] + 1
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
    assert losses["shared"] > 0.5  # At best it doubts between two: ln 2.
