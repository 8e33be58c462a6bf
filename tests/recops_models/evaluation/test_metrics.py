"""Ranking metrics, compared with torchmetrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.retrieval import RetrievalHitRate, RetrievalNormalizedDCG

from recops_models.data import Examples
from recops_models.evaluation.metrics import (
    LIST_LENGTH,
    evaluate,
    gains,
    hits,
    ranking_metrics,
    target_ranks,
)
from recops_models.generative.ranker import Ranking
from synthetic_histories import histories

ITEMS = torch.tensor([[4, 2, 7], [1, 0, -1], [2, 4, 1]])


def test_metrics_of_a_small_example() -> None:
    ranks = target_ranks(ITEMS, torch.tensor([2, 1, 9]))
    assert ranks.tolist() == [1, 0, LIST_LENGTH]  # An absent target is a miss at every cutoff.
    assert hits(ranks, 50).tolist() == [1, 1, 0]
    assert hits(ranks, 1).tolist() == [0, 1, 0]
    assert gains(ranks, 2).tolist() == pytest.approx([1 / math.log2(3), 1, 0])
    metrics = ranking_metrics(ITEMS, ranks, 10)
    assert metrics["coverage"] == 5 / 10  # 0, 1, 2, 4 and 7; padding is not an item.


def test_ranking_metrics_agree_with_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    items = torch.stack([torch.randperm(100, generator=generator)[:50] for _ in range(60)])
    targets = torch.randint(100, (60,), generator=generator)
    ranks = target_ranks(items, targets)
    scores = -torch.arange(50.0).expand(60, 50).flatten()
    relevant = (items == targets[:, None]).flatten()
    query = torch.arange(60).repeat_interleave(50)
    values = ranking_metrics(items, ranks, 100)
    for name, metric in {
        "hr@10": RetrievalHitRate(top_k=10),
        "hr@50": RetrievalHitRate(top_k=50),
        "ndcg@10": RetrievalNormalizedDCG(top_k=10),
    }.items():
        assert values[name] == pytest.approx(metric(scores, relevant, indexes=query).item())


def test_a_miss_in_a_small_catalogue_is_not_a_hit() -> None:
    past = histories([np.array([0, 1])])
    examples = Examples(np.array([0]), past, histories([np.array([1])]))

    class Unseen:
        def recommend(self, histories: object, k: int) -> Ranking:
            return Ranking(torch.tensor([[2, 3]]), torch.tensor([[1.0, 0.5]]))

    metrics = evaluate(Unseen(), examples, 4).metrics
    assert (metrics["hr@10"], metrics["hr@50"], metrics["ndcg@10"]) == (0, 0, 0)


def test_evaluate_refuses_several_targets() -> None:
    past = histories([np.array([0])])
    examples = Examples(np.array([0]), past, histories([np.array([1, 2])]))

    class Nothing:
        def recommend(self, histories: object, k: int) -> Ranking:
            raise AssertionError

    with pytest.raises(ValueError, match="one held-out event"):
        evaluate(Nothing(), examples, 3)
