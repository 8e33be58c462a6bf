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
    set_threads(1)  # These models are so small that a second thread only waits for the first.


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
    torch.manual_seed(0)  # Of dropout.
    loss, targets = task.loss(model, batch)
    assert targets == (batch.items[:, 1:] > 0).sum()
    return loss


def test_windows_weights_and_loss_are_those_of_next_items_to_the_bit() -> None:
    model, task, plain = build(), plain_task(), NextItemTask(ring_dataset())
    (seed, ours), (plain_seed, theirs) = (
        each.start_epoch(model, 16, seed=3, epoch=1, skip=2) for each in (task, plain)
    )
    assert seed == plain_seed
    pairs = list(zip(ours, theirs, strict=True))
    for (share, batch), (plain_share, items) in pairs:
        assert share == plain_share
        assert torch.equal(batch.items, items)
    (_, batch), _ = pairs[0]
    torch.manual_seed(0)
    expected, _ = plain.loss(model, batch.items)
    assert torch.equal(loss_of(task, model, batch), expected)


def test_a_target_brings_what_its_own_event_says() -> None:
    batch = first_batch(plain_task())
    target = batch.items[:, 1:]
    there = target > 0
    assert torch.equal(batch.targets.level[there], (target[there] - 1) % 3)
    for items, user in zip(batch.items, batch.user.tolist(), strict=True):
        met = TRAIN.items[TRAIN.offsets[user - 1] : TRAIN.offsets[user]]
        assert set((items[items > 0] - 1).tolist()) <= set(met.tolist())


def test_equal_rewards_change_nothing() -> None:
    model, task = aligned(align="rft")
    batch = first_batch(task)
    same = torch.full_like(batch.targets.reward, 3.3)
    equal = batch._replace(targets=batch.targets._replace(reward=same))
    plain = loss_of(plain_task(), model, batch)
    assert torch.equal(loss_of(task, model, equal), plain)
    assert not torch.equal(loss_of(task, model, batch), plain)
    _, without = aligned(align="rft", reward_strength=0.0)
    assert torch.equal(loss_of(without, model, batch), plain)


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
def test_preferences_touch_what_their_scope_says(scope: GradScope) -> None:
    model, task = aligned(dpo_grad_scope=scope)
    loss = task.preference(model.train(), first_batch(task))
    torch.testing.assert_close(loss, torch.tensor(math.log(2)))  # At the reference, dropout or not.
    assert model.training
    loss.backward()
    moved = {
        name
        for name, weight in model.named_parameters()
        if weight.grad is not None and weight.grad.any()
    }
    last = f"head.{model.steps - 1}."
    assert any(name.startswith(last) for name in moved)
    assert not any(name.startswith("head.") and not name.startswith(last) for name in moved)
    backbone = {name for name in moved if not name.startswith("head.")}
    assert bool(backbone) == (scope == "last_step")
    assert all(weight.grad is None for weight in task.reference.parameters())


def test_preferences_are_learnt_and_prefixes_stay_as_they_are() -> None:
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


def test_engaged_hits_are_those_of_the_highest_level() -> None:
    events = HeldOutEvents(
        VALIDATION, torch.zeros(4, dtype=torch.int64), torch.tensor([0, 2, 2, 1]), levels=3
    )
    ranks = torch.tensor([0, 50, 9, 0])
    assert events.engaged(ranks) == {"hr@10_engaged": 0.5}
    alone = HeldOutEvents(
        VALIDATION, torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.int64), levels=1
    )
    assert alone.engaged(ranks) == {}
    assert "hr@10_engaged" not in alone.metrics
