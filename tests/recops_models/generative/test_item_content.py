"""Content vectors in UniRec's item table: events, item scores, new items, and catalogues."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from recops_models.generative.live_items import LiveItems
from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.generative.unirec.item_table import ItemTable
from synthetic_histories import NUM_ITEMS, paths

HISTORY = torch.tensor([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]])
TARGET = torch.tensor([[2, 3, 4, 0, 0, 0], [5, 6, 7, 8, 9, 10]])
LENGTHS = torch.tensor([3, 6])
SMALL = UniRecConfig(history=6, width=8, heads=2, expert_hidden=8, item_scores=0.5)
WITHOUT_EVENTS, WITHOUT_CONTENT = 9, 12


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for several threads.


def content() -> torch.Tensor:
    """Return vectors that are not of unit length; one item has none."""
    vectors = torch.randn(NUM_ITEMS, 5, generator=torch.Generator().manual_seed(3)) * 4
    vectors[WITHOUT_CONTENT] = 0
    return vectors


def build(**changes: object) -> UniRec:
    config = dataclasses.replace(SMALL, **changes)
    torch.manual_seed(0)
    prior = torch.ones(NUM_ITEMS)
    prior[WITHOUT_EVENTS] = 0
    return UniRec(*paths(), prior, config, content=content()).eval()


def trained(**changes: object) -> UniRec:
    """Return a model whose map of content is not zero."""
    model = build(item_content=True, **changes)
    assert model.item.project is not None
    torch.nn.init.normal_(model.item.project, std=0.3)
    return model


def embedding(model: UniRec, item: int) -> torch.Tensor:
    """Return ``E_i + W c_i`` of an item, from 0, by the formula."""
    assert model.item.project is not None
    unit = content()[item] / content()[item].norm().clamp(min=1e-12)
    return model.item.weight[item + 1] + model.item.project @ unit


def test_content_is_off_by_default_and_starts_without_effect() -> None:
    plain, with_content = build(), build(item_content=True)
    assert plain.item.content is None
    assert set(with_content.state_dict()) - set(plain.state_dict()) == {
        "item.content",
        "item.project",
    }
    one, other = (model.decode(HISTORY, LENGTHS, 10) for model in (plain, with_content))
    assert torch.equal(one.items, other.items)
    assert torch.equal(one.scores, other.scores)


def test_embeddings_are_sums_of_learned_rows_and_content() -> None:
    model = trained()
    expected = torch.stack([embedding(model, item) for item in range(NUM_ITEMS)])
    torch.testing.assert_close(model.item.all_items(), expected)
    item = torch.tensor([[3, 0, 11]])
    torch.testing.assert_close(model.item(item)[0, [0, 2]], expected[[2, 10]])
    assert model.item(item)[0, 1].eq(0).all()
    torch.testing.assert_close(model.item_vectors()[:, :8], expected)


def test_events_and_item_scores_read_content() -> None:
    model, plain = trained(), build()
    plain.load_state_dict(
        {name: value for name, value in model.state_dict().items() if name in plain.state_dict()}
    )
    summed = model.item.all_items().detach()
    plain.item.weight.data[1:] = summed  # A plain table of the sums is the same model.
    scores = [each.decode(HISTORY, LENGTHS, 30) for each in (model, plain)]
    known = (scores[0].items != WITHOUT_EVENTS) & (scores[0].items != WITHOUT_CONTENT)
    assert known.sum() > 40
    for row in range(2):
        by_item = [
            dict(zip(each.items[row].tolist(), each.scores[row].tolist(), strict=True))
            for each in scores
        ]
        for item in scores[0].items[row][known[row]].tolist():
            assert by_item[0][item] == pytest.approx(by_item[1][item], abs=1e-4)
    state = model.encode(HISTORY).state
    torch.testing.assert_close(state, plain.encode(HISTORY).state)
    assert model.scores is not None
    hidden, target = state[1, :2], torch.tensor([4, 6])
    by_formula = F.cross_entropy(
        model.scores.score_all(hidden, model.item), target - 1, reduction="none"
    )
    model.scores.negatives = 0
    torch.testing.assert_close(model.scores.loss(hidden, target, model.item), by_formula)


@pytest.mark.parametrize("item_scores", [0.0, 0.5])
def test_an_update_moves_items_without_events_towards_similar_items(item_scores: float) -> None:
    model = build(item_content=True, item_scores=item_scores)
    before = model.item.all_items().detach().clone()
    loss = model.loss(HISTORY, TARGET)
    loss.backward()
    assert model.item.project is not None
    assert model.item.project.grad is not None
    with torch.no_grad():
        model.item.project -= 10 * model.item.project.grad
    moved = model.item.all_items().detach() - before
    assert moved[WITHOUT_EVENTS].norm() > 1e-3
    assert moved[WITHOUT_CONTENT].eq(0).all()
    twin = content()
    twin[30] = 2 * twin[WITHOUT_EVENTS]  # Only the direction counts.
    table = ItemTable(NUM_ITEMS, 8, twin)
    assert table.project is not None
    table.project.data = model.item.project.detach()
    table.weight.data.zero_()
    vectors = table.all_items()
    torch.testing.assert_close(vectors[30], vectors[WITHOUT_EVENTS])


def test_scores_of_items_without_events_have_their_own_content() -> None:
    model = trained()
    assert model.scores is not None
    with torch.no_grad():
        model.scores.bias.weight[1:].normal_()
    state, items = torch.randn(1, 8), torch.tensor([[3, WITHOUT_EVENTS, WITHOUT_CONTENT, 20]])
    scores = model.scores(state, items + 1, model.item)[0]
    hidden = model.scores.norm(state)[0]
    learned = model.item.weight[items[0] + 1] @ hidden + model.scores.bias.weight[items[0] + 1, 0]
    by_content = torch.stack(
        [(embedding(model, i) - model.item.weight[i + 1]) @ hidden for i in items[0].tolist()]
    )
    expected = learned + by_content
    expected[1] = learned[[0, 2, 3]].mean() + by_content[1]
    expected[2] = learned[2] + by_content[[0, 1, 3]].mean()
    torch.testing.assert_close(scores, expected)


def test_new_items_of_a_live_catalogue_have_their_content() -> None:
    live = LiveItems(trained())
    (twin,) = live.insert(paths()[0][[WITHOUT_EVENTS]], 3 * content()[[WITHOUT_EVENTS]]).tolist()
    (other,) = live.insert(paths()[0][[WITHOUT_EVENTS]], content()[[20]]).tolist()
    states = [
        live.model.encode(torch.tensor([[4, 1 + item, 6]])).state[0]
        for item in (WITHOUT_EVENTS, twin, other)
    ]
    torch.testing.assert_close(states[0], states[1])
    assert not torch.allclose(states[0], states[2], atol=1e-2)
    assert live.model.scores is not None
    scores = live.model.scores(
        torch.randn(1, 8), 1 + torch.tensor([[3, WITHOUT_EVENTS, twin, other]]), live.model.item
    )[0]
    torch.testing.assert_close(scores[1], scores[2])
    assert (scores[1] - scores[3]).abs() > 1e-2
    assert live.model.item.weight is live._trained.item.weight
    assert live._trained.item.content is not None
    assert len(live._trained.item.content) == NUM_ITEMS + 1


def test_another_catalogue_keeps_rows_and_reads_content_of_new_items() -> None:
    model = trained()
    rows = torch.tensor([5, -1, 7, WITHOUT_CONTENT, -1])
    vectors = content()[rows.clamp(min=0)]
    vectors[1], vectors[4] = content()[11], 0
    tokens = paths()[0][rows.clamp(min=0)]
    other = model.with_paths(rows, tokens, content=vectors)
    expected = torch.stack([embedding(model, item) for item in (5, 11, 7, WITHOUT_CONTENT)])
    expected[1] -= model.item.weight[12]
    torch.testing.assert_close(other.item.all_items()[:4], expected)
    assert other.item.all_items()[4].eq(0).all()
    assert (other.decode(torch.tensor([[1, 2]]), torch.tensor([2]), 3).items >= 0).all()


def test_missing_content_is_an_error_that_names_the_setting() -> None:
    config = dataclasses.replace(SMALL, item_content=True)
    message = r"UniRec: item_content=true needs content \[40, D\], a vector per item, got None"
    with pytest.raises(ValueError, match=message):
        UniRec(*paths(), torch.ones(NUM_ITEMS), config)
    with pytest.raises(ValueError, match=r"item_content=true .* got \[39, 5\]"):
        UniRec(*paths(), torch.ones(NUM_ITEMS), config, content=content()[1:])
    with pytest.raises(ValueError, match=r"item_content=true needs content \[2, D\].* got None"):
        trained().with_paths(torch.tensor([0, 1]), paths()[0][:2])
    live = LiveItems(trained())
    for wrong in (None, torch.ones(1, 4), torch.ones(2, 5)):
        with pytest.raises(ValueError, match=r"LiveItems.insert: .* needs content \[1, 5\]"):
            live.insert(paths()[0][:1], wrong)
    assert len(live.catalog) == NUM_ITEMS
    assert live.insert(paths()[0][:1], torch.ones(1, 5)).tolist() == [NUM_ITEMS]
