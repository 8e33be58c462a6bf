from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from recops_models.generative.unirec import GradScope, UniRec, UniRecConfig
from recops_models.layers.content_summary import ContentSummary
from synthetic_histories import NUM_ITEMS, histories, paths


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # These models are so small that a second thread only waits for the first.


def build(**changes: int) -> UniRec:
    torch.manual_seed(0)
    tokens, sizes = paths()
    if changes.get("num_attributes") == 0:
        tokens, sizes = tokens[:, 1:], sizes[1:]
    config = UniRecConfig(**{"history": 6, "width": 8, "heads": 2, "expert_hidden": 8, **changes})
    prior = torch.arange(float(NUM_ITEMS))
    return UniRec(tokens, sizes, prior, config).eval()


HISTORY = torch.tensor([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]])
TARGET = torch.tensor([[2, 3, 4, 0, 0, 0], [5, 6, 7, 8, 9, 10]])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_attributes": 0},
        {"history_layers": 0, "layers": 2},
        {"hash_width": 0},
        {"experts": 1},
    ],
)
def test_every_variant_learns_and_recommends(changes: dict[str, int]) -> None:
    model = build(**changes)
    loss = model.loss(HISTORY, TARGET)
    loss.backward()
    assert torch.isfinite(loss)
    ranking = model.recommend(histories([np.arange(3), np.arange(30)]), 10)
    assert ranking.items.shape == ranking.scores.shape == (2, 10)


def test_decodes_real_items_that_were_not_met_best_first() -> None:
    model = build()
    past = histories([np.arange(5), np.arange(33)])
    items, scores = model.recommend(past, NUM_ITEMS)
    assert set(items[0].tolist()) - {-1} == set(range(5, NUM_ITEMS))
    assert set(items[1].tolist()) - {-1} == set(range(33, NUM_ITEMS))
    assert (scores[0, :-1] >= scores[0, 1:]).all()
    order = items[0].tolist()
    assert order.index(38) == order.index(39) + 1  # One path: the prior puts 39 first.


def test_scores_are_the_loss_of_the_path() -> None:
    model = build()
    items, scores = model.recommend(histories([np.array([3, 4, 5, 6, 7, 8])]), NUM_ITEMS)
    history = torch.tensor([[4, 5, 6, 7, 8, 9]])
    for place in (0, 7):
        target = torch.zeros_like(history)
        target[0, -1] = items[0, place] + 1
        torch.testing.assert_close(-model.loss(history, target), scores[0, place])


def test_the_future_does_not_change_the_past() -> None:
    model = build()
    only_first = TARGET.clone()
    only_first[:, 1:] = 0
    changed = HISTORY.clone()
    changed[:, 1:] = 11
    torch.testing.assert_close(model.loss(HISTORY, only_first), model.loss(changed, only_first))


def test_an_unused_task_gets_no_gradient() -> None:
    model = build(scenes=3)
    model.loss(HISTORY, TARGET, task=1).backward()
    used = model.start.tables[0].weight.grad
    assert used is not None
    assert used[[0, 2]].eq(0).all()
    assert used[1].ne(0).any()


def test_content_summary_knows_the_order_and_fills_its_buckets() -> None:
    torch.manual_seed(0)
    summary = ContentSummary((400, 400), 4)
    x, y = torch.tensor([3]), torch.tensor([7])
    assert summary.buckets(x, y)[0, :2].tolist() == summary.buckets(y, x)[0, :2].tolist()
    assert not torch.equal(summary(x, y), summary(y, x))
    one, other = torch.cartesian_prod(torch.arange(1, 401), torch.arange(1, 401)).unbind(1)
    load = torch.bincount(summary.buckets(one, other)[:, 2], minlength=summary.table.num_embeddings)
    assert load.max() <= 2 * load.double().mean()


def test_content_summary_learns_an_exclusive_or() -> None:
    torch.manual_seed(0)
    x, y = torch.cartesian_prod(torch.arange(1, 9), torch.arange(1, 9)).unbind(1)
    label = ((x + y) % 2).float()  # No function of x alone plus one of y alone gives it.
    summary, linear = ContentSummary((8, 8), 8), torch.nn.Linear(24, 1)
    optimizer = torch.optim.Adam([*summary.parameters(), *linear.parameters()], lr=0.05)
    for _ in range(200):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            linear(summary(x, y))[:, 0], label
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2


@pytest.mark.parametrize("scope", ["all", "last_step", "last_head"])
def test_the_log_probabilities_of_paths_are_the_loss_whatever_their_gradient_reaches(
    scope: GradScope,
) -> None:
    model = build()
    found = model.path_log_probs(HISTORY, TARGET, scope=scope)
    assert found.shape == (int((TARGET > 0).sum()), model.steps)
    assert torch.equal(-found.sum(-1).mean(), model.loss(HISTORY, TARGET))


def test_the_last_heads_gradient_reaches_that_head_alone() -> None:
    model = build()
    last = model.steps - 1
    model.path_log_probs(HISTORY, TARGET, scope="last_head").sum().backward()
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert reached == {f"head.{last}.{name}" for name, _ in model.head[last].named_parameters()}


def test_the_last_steps_gradient_reaches_the_backbone_but_no_other_head() -> None:
    model = build()
    model.path_log_probs(HISTORY, TARGET, scope="last_step").sum().backward()
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert "item.weight" in reached
    assert {name.split(".")[1] for name in reached if name.startswith("head.")} == {
        str(model.steps - 1)
    }


def test_each_request_and_each_target_has_its_own_task() -> None:
    model = build(scenes=3)
    each = torch.tensor([[0, 1, 2, 0, 0, 0], [2, 2, 1, 1, 0, 0]])
    found = model.path_log_probs(HISTORY, TARGET, each)
    for task in range(3):
        of_task = each[TARGET > 0] == task
        torch.testing.assert_close(
            found[of_task], model.path_log_probs(HISTORY, TARGET, task)[of_task]
        )
    rows = torch.tensor([2, 1])
    torch.testing.assert_close(
        model.path_log_probs(HISTORY, TARGET, rows),
        model.path_log_probs(HISTORY, TARGET, rows[:, None].expand(2, 6)),
    )
    lengths = torch.tensor([3, 6])
    both = model.decode(HISTORY, lengths, 5, task=rows)
    torch.testing.assert_close(both.scores[1], model.decode(HISTORY, lengths, 5, task=1).scores[1])


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (3, "UniRec: task must be from 0 to 2, got 3"),
        (-1, "UniRec: task must be from 0 to 2, got -1"),
        (torch.tensor([0, 1, 2]), r"UniRec: task must be a number, \[2\] or \[2, 6\], got shape"),
    ],
)
def test_refuses_a_task_that_it_does_not_know(task: int | torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(scenes=3).loss(HISTORY, TARGET, task)
