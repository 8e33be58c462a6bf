"""Alignment task: rewards and preferences in addition to the next-item loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from recops_models.examples.engagement import EngagementConfig
from recops_models.examples.scenes import SceneConfig
from recops_models.generative.path_losses import preference_margins
from recops_models.generative.path_ranker import GradScope
from recops_models.generative.popularity import item_counts
from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.training.alignment_config import AlignmentConfig
from recops_models.training.alignment_task import AlignmentTask
from recops_models.training.next_item_task import NextItemTask
from recops_models.training.path_events import HeldOutEvents, PathWindows
from recops_models.training.path_task import PathTask
from synthetic_histories import NUM_ITEMS, paths, ring, ring_dataset

TRAIN, VALIDATION = ring()
ENGAGEMENT = EngagementConfig(engagement="rank", level_edges=(1.0, 2.0))
"""Level and reward of an event are its item modulo 3."""


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


def build() -> UniRec:
    torch.manual_seed(0)
    tokens, sizes = paths()
    config = UniRecConfig(history=8, width=16, heads=2, expert_hidden=16, dropout=0.3, beams=10)
    return UniRec(tokens, sizes, item_counts(TRAIN, NUM_ITEMS), config)


def aligned(**changes: Any) -> tuple[UniRec, AlignmentTask]:
    config = AlignmentConfig(**{"align": "both", **changes})
    return build(), AlignmentTask(
        ring_dataset(), ENGAGEMENT, SceneConfig(), config, reference=build()
    )


def plain_task() -> PathTask:
    return PathTask(ring_dataset(), ENGAGEMENT, SceneConfig(), AlignmentConfig())


def first_batch(task: PathTask) -> PathWindows:
    _, batches = task.start_epoch(build(), 16, seed=0, epoch=0, skip=0)
    return next(batches)[1]


def loss_of(task: PathTask, model: UniRec, batch: PathWindows) -> torch.Tensor:
    torch.manual_seed(0)  # Fix the dropout masks.
    loss, targets = task.loss(model, batch)
    assert targets == (batch.items[:, 1:] > 0).sum()
    return loss


def test_without_alignment_batches_and_loss_equal_the_next_item_task() -> None:
    model, task, plain = build(), plain_task(), NextItemTask(ring_dataset())
    (seed, batches), (plain_seed, plain_batches) = (
        each.start_epoch(model, 16, seed=3, epoch=1, skip=2) for each in (task, plain)
    )
    assert seed == plain_seed
    pairs = list(zip(batches, plain_batches, strict=True))
    for (share, batch), (plain_share, windows) in pairs:
        assert share == plain_share
        assert torch.equal(batch.items, windows.items)
        assert torch.equal(batch.rows, windows.rows)
    (_, batch), (_, windows) = pairs[0]
    torch.manual_seed(0)
    expected, _ = plain.loss(model, windows)
    assert torch.equal(loss_of(task, model, batch), expected)


def test_targets_have_the_level_of_their_event() -> None:
    batch = first_batch(plain_task())
    target = batch.items[:, 1:]
    is_target = target > 0
    assert torch.equal(batch.targets.level[is_target], (target[is_target] - 1) % 3)
    for items, user in zip(batch.items, batch.user.tolist(), strict=True):
        user_items = TRAIN.items[TRAIN.offsets[user - 1] : TRAIN.offsets[user]]
        assert set((items[items > 0] - 1).tolist()) <= set(user_items.tolist())


def test_equal_rewards_do_not_change_the_loss() -> None:
    model, task = aligned(align="rft")
    batch = first_batch(task)
    same = torch.full_like(batch.targets.reward, 3.3)
    equal = batch._replace(targets=batch.targets._replace(reward=same))
    plain = loss_of(plain_task(), model, batch)
    assert torch.equal(loss_of(task, model, equal), plain)
    assert not torch.equal(loss_of(task, model, batch), plain)
    _, without_strength = aligned(align="rft", reward_strength=0.0)
    assert torch.equal(loss_of(without_strength, model, batch), plain)


def test_both_losses_add_up() -> None:
    model, both = aligned()
    batch = first_batch(both)
    rewarded, preferred = (
        loss_of(aligned(align=align)[1], model, batch) for align in ("rft", "dpo")
    )
    plain = loss_of(plain_task(), model, batch)
    torch.testing.assert_close(preferred - plain, torch.tensor(0.15 * math.log(2)))
    torch.testing.assert_close(loss_of(both, model, batch) - rewarded, preferred - plain)


@pytest.mark.parametrize("scope", ["last_head", "last_step"])
def test_preference_gradients_stay_within_their_scope(scope: GradScope) -> None:
    model, task = aligned(dpo_grad_scope=scope)
    loss = task.preference(model.train(), first_batch(task))
    torch.testing.assert_close(loss, torch.tensor(math.log(2)))  # The margin is 0 at the reference.
    assert model.training
    loss.backward()
    with_gradient = {
        name
        for name, weight in model.named_parameters()
        if weight.grad is not None and weight.grad.any()
    }
    last = f"head.{model.steps - 1}."
    assert any(name.startswith(last) for name in with_gradient)
    assert not any(name.startswith("head.") and not name.startswith(last) for name in with_gradient)
    backbone = {name for name in with_gradient if not name.startswith("head.")}
    assert bool(backbone) == (scope == "last_step")
    assert all(weight.grad is None for weight in task.reference.parameters())


def test_preferences_are_learnt_and_prefix_probabilities_do_not_change() -> None:
    model, task = aligned(dpo_beta=1.0)
    batch = first_batch(task)
    history, target = batch.items[:, :-1], batch.items[:, 1:]

    def accuracy() -> float:
        return float((preference_margins(*task.paired(model, batch)) > 0).double().mean())

    before = model.eval().path_log_probs(history, target)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    assert accuracy() == 0  # At the reference, no margin is above 0.
    for _ in range(10):
        optimizer.zero_grad()
        task.preference(model, batch).backward()
        optimizer.step()
    assert accuracy() > 0.8
    after = model.path_log_probs(history, target)
    assert torch.equal(before[:, :-1], after[:, :-1])
    assert not torch.equal(before[:, -1], after[:, -1])


def test_engaged_hits_count_the_highest_level() -> None:
    events = HeldOutEvents(
        VALIDATION, torch.zeros(4, dtype=torch.int64), torch.tensor([0, 2, 2, 1]), levels=3
    )
    ranks = torch.tensor([0, 50, 9, 0])
    assert events.engaged(ranks) == {"hr@10_engaged": 0.5}
    one_level = HeldOutEvents(
        VALIDATION, torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.int64), levels=1
    )
    assert one_level.engaged(ranks) == {}
    assert "hr@10_engaged" not in one_level.metrics
