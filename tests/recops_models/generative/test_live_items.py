from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import recops
from recops_models.generative.live_items import LiveItems
from recops_models.generative.unirec import UniRec, UniRecConfig
from synthetic_histories import NUM_ITEMS, histories, paths


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # the models are too small for several threads


def build(prior: torch.Tensor | None = None, item_scores: float = 0.0) -> UniRec:
    torch.manual_seed(0)
    tokens, sizes = paths()
    config = UniRecConfig(
        history=6, width=8, heads=2, expert_hidden=8, item_scores=item_scores, beams=60
    )
    prior = torch.arange(1.0, NUM_ITEMS + 1) if prior is None else prior
    return UniRec(tokens, sizes, prior, config).eval()


def test_new_items_are_decoded_like_trained_ones() -> None:
    model, live = build(), LiveItems(build())
    twin = live.insert(paths()[0][7:8])
    assert twin.tolist() == [NUM_ITEMS]
    past = histories([np.array([3, 4, 5]), np.array([12])])
    items, scores = live.model.recommend(past, NUM_ITEMS + 1)
    before, old = model.recommend(past, NUM_ITEMS)
    for row in range(2):
        rank = {item: i for i, item in enumerate(items[row].tolist())}
        assert rank[NUM_ITEMS] == rank[7] + 1  # one path: items with events come first
        assert scores[row, rank[NUM_ITEMS]] == scores[row, rank[7]]
        trained = [item for item in items[row].tolist() if item not in (NUM_ITEMS, -1)]
        assert trained == [item for item in before[row].tolist() if item >= 0]
    assert NUM_ITEMS not in model.recommend(past, NUM_ITEMS).items
    assert torch.equal(old[:, 0], scores[:, 0])


def test_a_new_item_gets_the_mean_item_score() -> None:
    live, past = LiveItems(build(item_scores=1.0)), histories([np.array([3, 4, 5])])
    (twin,) = live.insert(paths()[0][7:8]).tolist()
    ranked = live.model.recommend(past, 60)
    live.model.config = dataclasses.replace(live.model.config, item_scores=0.0)
    by_path = live.model.recommend(past, 60)
    item_scores = {}
    for sign, (items, scores) in ((1, ranked), (-1, by_path)):
        for item, score in zip(items[0].tolist(), scores[0].tolist(), strict=True):
            item_scores[item] = item_scores.get(item, 0) + sign * score
    item_scores = {item: score for item, score in item_scores.items() if item >= 0}
    new = item_scores.pop(twin)
    assert len(item_scores) == NUM_ITEMS - 3
    assert np.std(list(item_scores.values())) > 0.01
    assert new == pytest.approx(np.mean(list(item_scores.values())), abs=1e-4)


def test_a_history_reads_only_the_tokens_of_a_new_item() -> None:
    prior = torch.ones(NUM_ITEMS)
    prior[9] = 0  # without training events: a zero embedding
    live = LiveItems(build(prior))
    assert live.model.item.weight[10].eq(0).all()
    (twin,) = live.insert(paths()[0][9:10]).tolist()
    cold, new = histories([np.array([3, 9, 5])]), histories([np.array([3, twin, 5])])
    (one, a), (other, b) = (live.model.recommend(past, 20) for past in (cold, new))
    keep = [i for i, item in enumerate(one[0].tolist()) if item not in (9, twin)]
    matching = [i for i, item in enumerate(other[0].tolist()) if item not in (9, twin)]
    assert one[0, keep].tolist()[:15] == other[0, matching].tolist()[:15]
    assert torch.equal(a[0, keep][:15], b[0, matching][:15])


def test_removed_items_are_not_recommended_but_allowed_in_histories() -> None:
    live = LiveItems(build())
    serving = live.model
    live.insert(paths()[0][:3])
    live.remove(torch.tensor([5, NUM_ITEMS + 1]))
    items = set(live.model.recommend(histories([np.array([3, 5])]), 60).items[0].tolist())
    assert items - {-1} == set(range(NUM_ITEMS + 3)) - {3, 5, NUM_ITEMS + 1}
    assert 5 in serving.recommend(histories([np.array([3])]), NUM_ITEMS).items
    assert live.catalog.version == 3


class DeviceTensor(torch.Tensor):
    """Tensor that numpy cannot read, like one on an accelerator."""

    def numpy(self, *, force: bool = False) -> np.ndarray:
        raise TypeError("copy it to the CPU first")

    def cpu(self, *arguments: Any, **options: Any) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


def test_paths_may_be_on_a_device() -> None:
    model, device_paths = build(), paths()[0].as_subclass(DeviceTensor)
    model.paths = model.paths.as_subclass(DeviceTensor)
    live = LiveItems(model)
    (twin,) = live.insert(device_paths[7:8]).tolist()
    live.remove(torch.tensor([5]).as_subclass(DeviceTensor))
    assert len(live.catalog) == NUM_ITEMS
    assert torch.equal(live.model.paths[twin + 1].cpu(), live.model.paths[8].cpu())


def test_items_keep_their_priors_through_changes() -> None:
    live = LiveItems(build())
    live.remove(torch.tensor([0, 17]))
    (twin,) = live.insert(paths()[0][38:39]).tolist()
    items = live.model.recommend(histories([np.array([3])]), 60).items[0].tolist()
    first = items.index(39)
    assert items[first : first + 3] == [39, 38, twin]  # one path, by training events


def test_weights_are_shared() -> None:
    live = LiveItems(build())
    live.insert(paths()[0][:1])
    assert live.model.item.weight is live._trained.item.weight
    assert live._trained.num_items == NUM_ITEMS
    assert len(live._trained.paths) == NUM_ITEMS + 1


def test_invalid_items_are_an_error_and_change_nothing() -> None:
    live = LiveItems(build())
    for wrong in (torch.tensor([[0, 9, 0]]), torch.tensor([[0, 1]])):
        with pytest.raises(ValueError, match=r"SidCatalog.insert: "):
            live.insert(wrong)
    with pytest.raises(ValueError, match=r"SidCatalog.remove: "):
        live.remove(torch.tensor([77]))
    assert len(live.catalog) == NUM_ITEMS
    assert live.insert(paths()[0][:1]).tolist() == [NUM_ITEMS]


def test_a_trie_of_another_model_is_an_error() -> None:
    trie = recops.SidTrie.from_sids(torch.tensor([[0, 1]]))
    with pytest.raises(ValueError, match="trie must have the model's vocab_sizes"):
        build().with_catalogue(paths()[0], torch.ones(NUM_ITEMS), trie)


@pytest.mark.parametrize("change", ["insert", "remove"])
def test_a_model_with_a_changed_catalogue_is_an_error(change: str) -> None:
    live = LiveItems(build())
    getattr(live, change)(paths()[0][:1] if change == "insert" else torch.tensor([5]))
    with pytest.raises(ValueError, match=f"LiveItems: model must decode the {NUM_ITEMS} items"):
        LiveItems(live.model)
