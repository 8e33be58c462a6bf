from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

import recops
from recops_models.generative.path_ranker import GradScope
from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.layers.content_summary import P1, P2, ContentSummary
from synthetic_histories import NUM_ITEMS, histories, paths


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # the models are too small for several threads


def build(users: torch.Tensor | None = None, **changes: object) -> UniRec:
    torch.manual_seed(0)
    tokens, sizes = paths()
    if changes.get("num_attributes") == 0:
        tokens, sizes = tokens[:, 1:], sizes[1:]
    small = UniRecConfig(history=6, width=8, heads=2, expert_hidden=8)
    config = dataclasses.replace(small, **changes)
    prior = torch.arange(float(NUM_ITEMS))
    return UniRec(tokens, sizes, prior, config, users).eval()


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
        {"events": "concat"},
        {"item_scores": 0.0},
        {"bos": "shared"},
    ],
)
def test_every_variant_trains_and_recommends(changes: dict[str, object]) -> None:
    model = build(**changes)
    loss = model.loss(HISTORY, TARGET)
    loss.backward()
    assert torch.isfinite(loss)
    ranking = model.recommend(histories([np.arange(3), np.arange(30)]), 10)
    assert ranking.items.shape == ranking.scores.shape == (2, 10)


def test_decodes_new_items_of_the_catalogue_best_first() -> None:
    model = build(item_scores=0.0)
    past = histories([np.arange(5), np.arange(33)])
    items, scores = model.recommend(past, NUM_ITEMS)
    assert set(items[0].tolist()) - {-1} == set(range(5, NUM_ITEMS))
    assert set(items[1].tolist()) - {-1} == set(range(33, NUM_ITEMS))
    assert (scores[0, :-1] >= scores[0, 1:]).all()
    order = items[0].tolist()
    assert order.index(38) == order.index(39) + 1  # one path: 39 has the higher prior


def test_scores_are_log_probabilities_of_paths() -> None:
    model = build(item_scores=0.0)
    items, scores = model.recommend(histories([np.array([3, 4, 5, 6, 7, 8])]), NUM_ITEMS)
    history = torch.tensor([[4, 5, 6, 7, 8, 9]])
    for rank in (0, 7):
        target = torch.zeros_like(history)
        target[0, -1] = items[0, rank] + 1
        torch.testing.assert_close(-model.loss(history, target), scores[0, rank])


def test_later_events_do_not_change_earlier_losses() -> None:
    model = build(item_scores=0.0)
    only_first = TARGET.clone()
    only_first[:, 1:] = 0
    changed = HISTORY.clone()
    changed[:, 1:] = 11
    torch.testing.assert_close(model.loss(HISTORY, only_first), model.loss(changed, only_first))


def test_content_summary_depends_on_the_order_and_fills_its_buckets() -> None:
    torch.manual_seed(0)
    summary = ContentSummary((400, 400), 4)
    x, y = torch.tensor([3]), torch.tensor([7])
    assert summary.buckets(x, y)[0, :2].tolist() == summary.buckets(y, x)[0, :2].tolist()
    assert not torch.equal(summary(x, y), summary(y, x))
    one, other = torch.cartesian_prod(torch.arange(1, 401), torch.arange(1, 401)).unbind(1)
    load = torch.bincount(summary.buckets(one, other)[:, 2], minlength=summary.table.num_embeddings)
    assert load.max() <= 2 * load.double().mean()


@pytest.mark.parametrize(
    ("sizes", "expected"), [((4000, 4000), 63_496), ((8, 8), 16), ((27, 1), 9), ((1, 1), 1)]
)
def test_content_summary_has_the_number_of_buckets_of_the_formula(
    sizes: tuple[int, int], expected: int
) -> None:
    assert ContentSummary(sizes, 1).table.num_embeddings == expected


def test_content_summary_hashes_in_64_bits() -> None:
    summary = ContentSummary((4000, 4000), 1)
    tokens = torch.tensor([4000, 3999], dtype=torch.int32)
    x, y = 4000, 3999
    exact = [(x + y) % 63_496, x * y % 63_496, (P1 * x + P2 * y) % 63_496]
    assert summary.buckets(tokens[:1], tokens[1:])[0].tolist() == exact


@pytest.mark.parametrize(("summary", "learnt"), [(True, True), (False, False)])
def test_only_the_content_summary_learns_an_exclusive_or_of_tokens(
    summary: bool, learnt: bool
) -> None:
    torch.manual_seed(0)
    x, y = torch.cartesian_prod(torch.arange(1, 9), torch.arange(1, 9)).unbind(1)
    label = ((x + y) % 2).float()  # not a sum of functions of x and of y
    tables = [torch.nn.Embedding(9, 12), torch.nn.Embedding(9, 12)]
    hashed, linear = ContentSummary((8, 8), 8), torch.nn.Linear(24, 1)
    modules = [*tables, hashed, linear]
    weights = [weight for module in modules for weight in module.parameters()]
    optimizer = torch.optim.Adam(weights, lr=0.05)
    for _ in range(200):
        fields = hashed(x, y) if summary else torch.cat([tables[0](x), tables[1](y)], -1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(linear(fields)[:, 0], label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (loss.item() < 0.2) == learnt


@pytest.mark.parametrize("scope", ["all", "last_step", "last_head"])
def test_path_log_probs_sum_to_the_loss_in_every_gradient_scope(
    scope: GradScope,
) -> None:
    model = build(item_scores=0.0)
    log_probs = model.path_log_probs(HISTORY, TARGET, scope=scope)
    assert log_probs.shape == (int((TARGET > 0).sum()), model.steps)
    assert torch.equal(-log_probs.sum(-1).mean(), model.loss(HISTORY, TARGET))


def test_scope_last_head_trains_only_the_last_head() -> None:
    model = build()
    last = model.steps - 1
    model.path_log_probs(HISTORY, TARGET, scope="last_head").sum().backward()
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert reached == {f"head.{last}.{name}" for name, _ in model.head[last].named_parameters()}


def test_scope_last_step_trains_the_backbone_and_the_last_head() -> None:
    model = build()
    model.path_log_probs(HISTORY, TARGET, scope="last_step").sum().backward()
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert "item.weight" in reached
    assert {name.split(".")[1] for name in reached if name.startswith("head.")} == {
        str(model.steps - 1)
    }


def test_tasks_can_differ_between_requests_and_targets() -> None:
    model = build(scenes=3)
    each = torch.tensor([[0, 1, 2, 0, 0, 0], [2, 2, 1, 1, 0, 0]])
    log_probs = model.path_log_probs(HISTORY, TARGET, each)
    for task in range(3):
        of_task = each[TARGET > 0] == task
        torch.testing.assert_close(
            log_probs[of_task], model.path_log_probs(HISTORY, TARGET, task)[of_task]
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
def test_an_unknown_task_is_an_error(task: int | torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(scenes=3).loss(HISTORY, TARGET, task)


def test_users_are_read_by_their_fields() -> None:
    users = torch.tensor([[0, 0], [1, 2], [2, 0]])
    model = build(users)
    losses = [model.loss(HISTORY, TARGET, user=torch.tensor(user)) for user in ([1, 2], [0, 0])]
    assert torch.equal(
        model.path_log_probs(HISTORY, TARGET, user=torch.tensor([0, 0])),
        model.path_log_probs(HISTORY, TARGET),
    )
    assert not torch.equal(losses[0], losses[1])
    model.loss(HISTORY, TARGET, user=torch.tensor([1, 0])).backward()
    assert model.user is not None
    gradient = model.user.tables[0].weight.grad
    assert gradient is not None
    assert gradient.any(1).tolist() == [False, True, False]
    lengths, users = torch.tensor([3, 6]), torch.tensor([2, 1])
    both = model.decode(HISTORY, lengths, 5, user=users)
    alone = model.decode(HISTORY[1:], lengths[1:], 5, user=users[1:])
    torch.testing.assert_close(both.scores[1:], alone.scores)
    for unknown in (-1, 3):
        with pytest.raises(IndexError):
            model.decode(HISTORY, lengths, 5, user=torch.tensor([0, unknown]))


def test_invalid_arguments_are_errors() -> None:
    tokens, sizes = paths()
    prior = torch.zeros(NUM_ITEMS)
    with pytest.raises(ValueError, match=r"UniRec: paths must be \[N, 2\], a token for each of"):
        UniRec(tokens, sizes[1:], prior, UniRecConfig())
    with pytest.raises(
        ValueError, match=r"num_attributes must be less than the 3 tokens of a path"
    ):
        UniRec(tokens, sizes, prior, UniRecConfig(num_attributes=3))
    with pytest.raises(ValueError, match=r"UniRec: prior must be \[40\], got \[3\]"):
        UniRec(tokens, sizes, prior[:3], UniRecConfig())
    with pytest.raises(ValueError, match="unirec: heads must divide width 64, got 3"):
        UniRecConfig(heads=3)
    with pytest.raises(ValueError, match="unirec: layers must be ≥ 1, got 0"):
        UniRecConfig(layers=0)
    with pytest.raises(ValueError, match="unirec: item_scores must be ≥ 0, got -1"):
        UniRecConfig(item_scores=-1)
    with pytest.raises(ValueError, match=r"item_scores must be 0 if item_loss is 0.* got 2"):
        UniRecConfig(item_loss=0)


CATALOGUE = torch.tensor([[0, 1, 2], [1, 0, 1], [1, 1, 0]])
"""Paths of three items; each token is in the model's vocabularies."""


def trie(sids: torch.Tensor, items: list[int]) -> recops.SidTrie:
    return recops.SidTrie.from_sids(sids, torch.tensor(items), vocab_sizes=paths()[1])


@pytest.mark.parametrize(
    ("foreign", "tokens", "message"),
    [
        (recops.SidTrie.from_sids(CATALOGUE), CATALOGUE, "trie must have the model's vocab_sizes"),
        (trie(CATALOGUE, [0, 1, 7]), CATALOGUE, "trie must hold items from 0 to 2, .* got 7"),
        (trie(CATALOGUE, [0, 1, -2]), CATALOGUE, "trie must hold items from 0 to 2, .* got -2"),
        (trie(CATALOGUE[[0, 2, 1]], [0, 1, 2]), CATALOGUE, "trie must have .* got item 2 on"),
        (trie(CATALOGUE, [0, 1, 2]), CATALOGUE - 1, "paths must be from 0 to .* at step 0, got -1"),
    ],
)
def test_a_catalogue_of_another_model_is_an_error(
    foreign: recops.SidTrie, tokens: torch.Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=f"UniRec.with_catalogue: {message}"):
        build().with_catalogue(tokens, torch.ones(3), foreign)


def test_a_nan_item_score_is_an_error() -> None:
    model = build(item_scores=1.0)
    assert model.scores is not None
    with torch.no_grad():
        model.scores.bias.weight[3] = torch.nan
    with pytest.raises(ValueError, match="item scores must be numbers, got NaN in request 0"):
        model.decode(HISTORY, torch.tensor([3, 2]), 40)


def test_an_empty_history_is_an_error() -> None:
    with pytest.raises(ValueError, match="UniRec: lengths must be 1 or more, got 0 for history 1"):
        build().decode(HISTORY, torch.tensor([3, 0]), 5)


def test_padding_rows_are_zero() -> None:
    model = build()
    tables = [model.item, *model.prefix.token]
    assert all((table.weight[0] == 0).all() and table.weight.any() for table in tables)


def test_item_scores_need_an_item_with_training_events() -> None:
    tokens, sizes = paths()
    config = UniRecConfig(history=6, width=8, heads=2, expert_hidden=8)
    model = UniRec(tokens, sizes, torch.zeros(NUM_ITEMS), config)
    with pytest.raises(ValueError, match="UniRec: prior must be above 0 for at least one item"):
        model.loss(HISTORY, TARGET)


def test_no_histories_give_an_empty_ranking() -> None:
    assert build().recommend(histories([]), 4).items.shape == (0, 4)
