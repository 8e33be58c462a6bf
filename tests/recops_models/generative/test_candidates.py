"""Candidates beyond the beams: their path scores, and the union that is ranked."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from recops_models.data.histories import Histories
from recops_models.generative.candidates import path_scores, with_candidates
from recops_models.generative.item_knn import ItemKNN, ItemKNNConfig
from recops_models.generative.live_items import LiveItems
from recops_models.generative.path_ranker import PathRanker
from recops_models.generative.ranker import Ranking
from recops_models.generative.tiger import TIGER, TIGERConfig
from recops_models.generative.unirec import UniRec, UniRecConfig
from synthetic_histories import NUM_ITEMS, paths

HISTORY = torch.tensor([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]])
LENGTHS = torch.tensor([3, 6])


def unirec(**changes: object) -> UniRec:
    torch.manual_seed(0)
    tokens, sizes = paths()
    small = UniRecConfig(history=6, width=8, heads=2, expert_hidden=8, item_scores=0.5)
    config = dataclasses.replace(small, **changes)
    item_knn = knn() if config.reads_item_knn else None
    prior = torch.arange(1.0, 1 + NUM_ITEMS)
    return UniRec(tokens, sizes, prior, config, item_knn=item_knn).eval()


def knn(num_items: int = NUM_ITEMS) -> ItemKNN:
    """Return an item-kNN of histories ``i, i + 1, …, i + 4`` modulo the number of items."""
    items = (np.arange(num_items)[:, None] + np.arange(5)).ravel() % num_items
    train = Histories(np.arange(0, len(items) + 1, 5), items, np.arange(len(items)))
    return ItemKNN.fit(train, num_items, ItemKNNConfig(window=4, neighbours=8), seed=0)


def tiger() -> TIGER:
    torch.manual_seed(0)
    tokens, sizes = paths()
    config = TIGERConfig(
        history=6, width=8, heads=2, hidden=8, encoder_layers=1, decoder_layers=2, beams=50
    )
    return TIGER(tokens, sizes, torch.arange(float(NUM_ITEMS)), config).eval()


@pytest.mark.parametrize("build", [lambda: unirec(item_scores=0.0), tiger])
def test_path_scores_are_those_of_beam_search(build: type[PathRanker]) -> None:
    model = build()
    ranking = model.decode(HISTORY, LENGTHS, NUM_ITEMS)
    encoded = model.encode_requests(HISTORY, LENGTHS)
    torch.testing.assert_close(path_scores(model, encoded, ranking.items), ranking.scores)


def test_no_item_has_no_score() -> None:
    model = unirec()
    encoded = model.encode_requests(HISTORY, LENGTHS)
    scores = path_scores(model, encoded, torch.tensor([[3, -1], [-1, 4]]))
    assert scores.isneginf().tolist() == [[False, True], [True, False]]


def test_an_item_in_both_lists_occurs_once() -> None:
    model = unirec()
    encoded = model.encode_requests(HISTORY, LENGTHS)
    beams = model.decode(HISTORY, LENGTHS, 4)
    more = torch.cat([beams.items[:, :2], torch.tensor([[-1], [-1]])], 1)
    union = with_candidates(model, encoded, beams, more)
    assert union.items[:, :4].equal(beams.items)
    assert union.scores[:, :4].equal(beams.scores)
    assert (union.items[:, 4:] == -1).all()
    assert union.scores[:, 4:].isneginf().all()


def test_candidates_that_the_beams_missed_get_the_scores_of_wide_beams() -> None:
    wide = unirec().decode(HISTORY, LENGTHS, NUM_ITEMS)
    narrow = unirec(beams=2, candidates="scores")
    ranking = narrow.rank_encoded(narrow.encode_requests(HISTORY, LENGTHS), 2, None, None)
    assert (ranking.items >= 0).sum(1).tolist() != [2, 2]  # The two lists differ.
    for row in range(2):
        expected = dict(zip(wide.items[row].tolist(), wide.scores[row].tolist(), strict=True))
        items = [item for item in ranking.items[row].tolist() if item >= 0]
        assert len(set(items)) == len(items)
        assert ranking.scores[row, : len(items)].tolist() == pytest.approx(
            [expected[item] for item in items], abs=1e-5
        )
        assert (ranking.scores[row, : len(items)].diff() <= 0).all()


@pytest.mark.parametrize("source", ["item-knn", "all"])
def test_item_knn_adds_its_best_items(source: str) -> None:
    model = unirec(beams=3, candidates=source)
    assert model.item_knn is not None
    best = model.item_knn.decode(HISTORY, LENGTHS, 3).items
    ranking = model.rank_encoded(model.encode_requests(HISTORY, LENGTHS), 3, None, None)
    beams = unirec(beams=3).decode(HISTORY, LENGTHS, 3).items
    wide = unirec().decode(HISTORY, LENGTHS, NUM_ITEMS)
    for row in range(2):
        items = [item for item in ranking.items[row].tolist() if item >= 0]
        assert set(items) >= {*best[row].tolist(), *beams[row].tolist()}
        assert source == "all" or set(items) == {*best[row].tolist(), *beams[row].tolist()}
        expected = dict(zip(wide.items[row].tolist(), wide.scores[row].tolist(), strict=True))
        assert ranking.scores[row, : len(items)].tolist() == pytest.approx(
            [expected[item] for item in items], abs=1e-5
        )


def test_item_knn_needs_no_item_scores() -> None:
    model = unirec(beams=2, item_scores=0.0, candidates="item-knn")
    assert (model.decode(HISTORY, LENGTHS, 2).items >= 0).all()


def test_item_knn_must_fit_the_setting_and_the_catalogue() -> None:
    tokens, sizes = paths()
    prior = torch.ones(NUM_ITEMS)
    beams, both = (UniRecConfig(candidates=name) for name in ("beams", "item-knn"))
    with pytest.raises(ValueError, match='candidates "item-knn" must have an item_knn, got no'):
        UniRec(tokens, sizes, prior, both)
    with pytest.raises(ValueError, match='candidates "beams" must have no item_knn, got an'):
        UniRec(tokens, sizes, prior, beams, item_knn=knn())
    with pytest.raises(ValueError, match=f"item_knn must have {NUM_ITEMS} items, got 9"):
        UniRec(tokens, sizes, prior, both, item_knn=knn(9))


def test_item_knn_ignores_events_of_items_added_after_training() -> None:
    live = LiveItems(unirec(beams=3, item_scores=0.0, candidates="item-knn"))
    live.insert(paths()[0][:1])
    new = HISTORY.clone()
    new[0, 0] = NUM_ITEMS + 1
    assert (live.model.decode(new, LENGTHS, 3).items >= 0).all()


def test_item_knn_follows_the_items_to_another_catalogue() -> None:
    model = unirec(beams=3, candidates="all")
    tokens, _ = paths()
    rows = torch.cat([torch.tensor([-1]), torch.arange(NUM_ITEMS - 5).flip(0)])
    other = model.with_paths(rows, tokens[rows.clamp(min=0)])
    assert model.item_knn is not None
    assert other.item_knn is not None
    events, lengths = torch.tensor([[3, 4, 6]]), torch.tensor([3])
    new_index = {int(row): index for index, row in enumerate(rows) if row >= 0}
    history = torch.tensor([[1 + new_index[int(event) - 1] for event in events[0]]])
    scores = model.item_knn.score_all(events, lengths)[0]
    moved = other.item_knn.score_all(history, lengths)[0]
    torch.testing.assert_close(moved[1:], scores[rows[1:]], atol=1e-6, rtol=0)
    assert moved[0] < 1e-6  # Only what breaks ties.
    assert (scores > 1e-3).any()
    assert (other.decode(history, lengths, 3).items >= 0).all()


@pytest.mark.parametrize("source", ["scores", "item-knn", "all"])
def test_excluded_and_allowed_items_hold_for_candidates(source: str) -> None:
    model = unirec(beams=3, candidates=source)
    excluded = [torch.arange(0, 20), torch.arange(10, 40)]
    allowed = [torch.arange(15, 30), torch.arange(5, 12)]
    ranking = model.decode(HISTORY, LENGTHS, 10, excluded, allowed=allowed)
    assert set(ranking.items[0].tolist()) <= {-1, *range(20, 30)}
    assert set(ranking.items[1].tolist()) <= {-1, *range(5, 10)}
    assert source == "item-knn" or (ranking.items >= 0).any(1).all()


def test_removed_items_are_no_candidates() -> None:
    live = LiveItems(unirec(beams=NUM_ITEMS, candidates="scores"))
    live.remove(torch.arange(10))
    live.insert(paths()[0][:1])
    items = live.model.decode(HISTORY, LENGTHS, NUM_ITEMS).items
    assert set(items[0].tolist()) - {-1} == set(range(10, NUM_ITEMS + 1))


def test_candidates_by_score_need_item_scores() -> None:
    for source in ("scores", "all"):
        with pytest.raises(ValueError, match='unirec: candidates must be "beams" or "item-knn" if'):
            UniRecConfig(item_scores=0, candidates=source)


def test_more_candidates_change_the_ranking_of_narrow_beams() -> None:
    beams = unirec(beams=2, item_scores=50.0).decode(HISTORY, LENGTHS, 2)
    model = unirec(beams=2, item_scores=50.0, candidates="scores")
    union = model.decode(HISTORY, LENGTHS, 2)
    assert isinstance(union, Ranking)
    assert (union.scores.sum(1) >= beams.scores.sum(1)).all()
    assert not union.items.equal(beams.items)
