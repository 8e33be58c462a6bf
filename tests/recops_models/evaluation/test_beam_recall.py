"""Recall of a beam search after each step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from recops_models.data import Examples
from recops_models.evaluation.beam_recall import beam_recall
from recops_models.evaluation.metrics import target_ranks
from recops_models.generative.path_ranker import PathRanker
from recops_models.generative.tiger import TIGER, TIGERConfig
from recops_models.generative.unirec import UniRec, UniRecConfig
from synthetic_histories import NUM_ITEMS, histories, paths, ring


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


@pytest.fixture
def model() -> TIGER:
    torch.manual_seed(0)
    config = TIGERConfig(
        history=6, width=8, heads=2, encoder_layers=1, decoder_layers=1, hidden=8, beams=4
    )
    return TIGER(*paths(), torch.zeros(NUM_ITEMS), config).eval()


def test_beam_recall_decreases_and_bounds_the_hit_rate(model: TIGER) -> None:
    assert isinstance(model, PathRanker)
    _, asked = ring()
    recall = beam_recall(model, asked, beams=4, batch=50)
    assert list(recall) == ["beam_recall@1", "beam_recall@2", "beam_recall@3"]
    shares = list(recall.values())
    assert sorted(shares, reverse=True) == shares
    items = model.recommend(asked.histories, 4).items
    ranks = target_ranks(items, torch.from_numpy(asked.targets.items))
    assert shares[-1] >= (ranks < 4).double().mean()


def test_beams_for_all_items_miss_only_excluded_items(model: TIGER) -> None:
    _, asked = ring()
    is_excluded = [
        target in history
        for target, history in zip(
            asked.targets.items,
            np.split(asked.histories.items, asked.histories.offsets[1:-1]),
            strict=True,
        )
    ]
    recall = beam_recall(model, asked, beams=NUM_ITEMS)
    assert recall["beam_recall@3"] == pytest.approx(1 - np.mean(is_excluded), abs=1e-9)


def test_bad_input_is_named(model: TIGER) -> None:
    _, asked = ring(3)
    with pytest.raises(ValueError, match="beams must be 1 or more, got 0"):
        beam_recall(model, asked, beams=0)
    two = histories([np.array([1, 2])] * 3)
    with pytest.raises(ValueError, match="one held-out event"):
        beam_recall(model, Examples(asked.users, asked.histories, two), beams=2)


@pytest.mark.parametrize(("scenes", "users"), [(2, None), (1, torch.tensor([[0], [1], [2]]))])
def test_a_model_that_needs_user_or_task_is_refused(
    scenes: int, users: torch.Tensor | None
) -> None:
    config = UniRecConfig(history=6, width=8, heads=2, scenes=scenes)
    model = UniRec(*paths(), torch.zeros(NUM_ITEMS), config, users).eval()
    _, asked = ring()
    with pytest.raises(ValueError, match="beam_recall: model must only need histories"):
        beam_recall(model, asked, beams=2)


def test_a_model_with_a_shared_start_token_needs_no_task() -> None:
    config = UniRecConfig(history=6, width=8, heads=2, scenes=2, bos="shared")
    model = UniRec(*paths(), torch.zeros(NUM_ITEMS), config).eval()
    assert not model.inputs.names
    _, asked = ring()
    recall = beam_recall(model, asked, beams=2)
    assert all(0 <= share <= 1 for share in recall.values())
