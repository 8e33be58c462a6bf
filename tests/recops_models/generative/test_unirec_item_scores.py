"""Scores of whole items in addition to scores of paths."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.generative.unirec.item_scores import ItemScores
from recops_models.generative.unirec.item_table import ItemTable
from synthetic_histories import NUM_ITEMS, paths

HISTORY = torch.tensor([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]])
TARGET = torch.tensor([[2, 3, 4, 0, 0, 0], [5, 6, 7, 8, 9, 10]])


def build(item_scores: float, beams: int = 50) -> UniRec:
    torch.manual_seed(0)
    tokens, sizes = paths()
    config = UniRecConfig(
        history=6, width=8, heads=2, expert_hidden=8, item_scores=item_scores, beams=beams
    )
    return UniRec(tokens, sizes, torch.arange(float(NUM_ITEMS)), config).eval()


def scorer(negatives: int) -> tuple[ItemScores, ItemTable]:
    torch.manual_seed(0)
    table = ItemTable(NUM_ITEMS, 8)
    scores = ItemScores(torch.ones(NUM_ITEMS), UniRecConfig(width=8, heads=2, negatives=negatives))
    nn.init.normal_(scores.bias.weight)
    return scores, table


def test_scores_are_dot_products_with_the_table_plus_a_bias() -> None:
    scores, table = scorer(8)
    state, item = torch.randn(2, 8), torch.tensor([[3, 4, 5], [6, 7, 8]])
    item_scores = scores(state, item, table)
    expected = F.layer_norm(state, (8,))[1] @ table.weight[7] + scores.bias.weight[7, 0]
    torch.testing.assert_close(item_scores[1, 1], expected)


def test_the_sampled_loss_estimates_the_loss_over_all_items() -> None:
    scores, table = scorer(200_000)
    state, target = torch.randn(4, 8), torch.tensor([1, 7, 7, 40])
    all_scores = scores(state, torch.arange(1, 1 + NUM_ITEMS).expand(4, -1), table)
    expected = F.cross_entropy(all_scores, target - 1, reduction="none")
    torch.testing.assert_close(scores.loss(state, target, table), expected, atol=0.02, rtol=0)


def test_items_are_ranked_by_path_and_item_scores() -> None:
    plain, scored = build(0.0), build(0.5)
    scored.load_state_dict(plain.state_dict(), strict=False)
    assert scored.scores is not None
    lengths = torch.tensor([3, 6])
    by_path = plain.decode(HISTORY, lengths, NUM_ITEMS)
    by_both = scored.decode(HISTORY, lengths, NUM_ITEMS)
    for row in range(2):
        path = dict(zip(by_path.items[row].tolist(), by_path.scores[row].tolist(), strict=True))
        items = by_both.items[row]
        state = scored.encode(HISTORY).state[row, lengths[row] - 1]
        own = scored.scores(state[None], items[None] + 1, scored.item)[0]
        expected = torch.tensor([path[item] for item in items.tolist()]) + 0.5 * own
        torch.testing.assert_close(by_both.scores[row], expected)
        assert (by_both.scores[row].diff() <= 0).all()
    assert not torch.equal(by_path.items, by_both.items)


def test_only_new_items_found_by_the_beams_are_ranked() -> None:
    plain, scored = build(0.0, beams=12), build(1.0, beams=12)
    scored.load_state_dict(plain.state_dict(), strict=False)
    lengths, excluded = torch.tensor([3, 6]), [torch.arange(3), torch.arange(38)]
    ranking = scored.decode(HISTORY, lengths, 5, excluded)
    wide = plain.decode(HISTORY, lengths, 12, excluded)
    for few, many in zip(ranking.items.tolist(), wide.items.tolist(), strict=True):
        assert set(few) - {-1} <= set(many)
    assert ranking.items[1].tolist()[2:] == [-1, -1, -1]
    assert set(ranking.items[1].tolist()[:2]) == {38, 39}


def test_the_loss_is_the_sum_of_path_and_item_losses() -> None:
    model = build(1.0).eval()
    torch.manual_seed(1)
    both = model.loss(HISTORY, TARGET)
    torch.manual_seed(1)
    targets = model.target_log_probs(HISTORY, TARGET)
    paths = model.path_log_probs(HISTORY, TARGET).sum(-1)
    items = paths - targets
    assert items.shape == (int((TARGET > 0).sum()),)
    assert (items > 0).all()
    torch.testing.assert_close(both, items.mean() - paths.mean())
    (paths.detach() - targets).sum().backward()
    assert model.item.weight.grad is not None
    assert model.item.weight.grad[1:].any(1).all()
    plain = build(0.0).eval()
    paths = plain.path_log_probs(HISTORY, TARGET).sum(-1)
    assert plain.target_log_probs(HISTORY, TARGET).equal(paths)


def test_items_without_training_events_get_the_mean_score() -> None:
    torch.manual_seed(0)
    table, events = ItemTable(NUM_ITEMS, 8), torch.ones(NUM_ITEMS)
    events[[4, 5]] = 0
    scores = ItemScores(events, UniRecConfig(width=8, heads=2, negatives=2000))
    item = torch.tensor([[1, 5, 2, 0, NUM_ITEMS + 3, 6]])
    item_scores = scores(torch.randn(1, 8), item, table)[0]
    torch.testing.assert_close(item_scores[[1, 3, 4, 5]], item_scores[[0, 2]].mean().expand(4))
    scores.loss(torch.randn(3, 8), torch.tensor([1, 2, 3]), table).sum().backward()
    assert table.weight.grad is not None
    assert (~table.weight.grad.any(1)).nonzero()[:, 0].tolist() == [0, 5, 6]


@pytest.mark.parametrize("items", [1, 2])
def test_catalogues_of_one_and_two_items_have_a_loss(items: int) -> None:
    scores = ItemScores(torch.ones(items), UniRecConfig(width=8, heads=2, negatives=4))
    losses = scores.loss(torch.randn(3, 8), torch.tensor([1, 1, items]), ItemTable(2, 8))
    assert torch.isfinite(losses).all()


def test_without_negatives_the_loss_is_over_all_items_with_events() -> None:
    torch.manual_seed(0)
    table, events = ItemTable(NUM_ITEMS, 8), torch.ones(NUM_ITEMS)
    events[4] = 0
    scores = ItemScores(events, UniRecConfig(width=8, heads=2, negatives=0))
    nn.init.normal_(scores.bias.weight)
    state, target = torch.randn(3, 8), torch.tensor([1, 7, NUM_ITEMS])
    known = torch.tensor([i for i in range(1, 1 + NUM_ITEMS) if i != 5])
    all_scores = scores(state, known.expand(3, -1), table)
    expected = all_scores.logsumexp(-1) - scores(state, target[:, None], table)[:, 0]
    torch.testing.assert_close(scores.loss(state, target, table), expected)
