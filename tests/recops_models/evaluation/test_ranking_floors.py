"""Floors of ranking metrics."""

from __future__ import annotations

from recops_models.data import Dataset, leave_one_out
from recops_models.evaluation.metrics import RANKING_METRICS, evaluate
from recops_models.evaluation.ranking_floors import ranking_floors
from recops_models.generative.popularity import Popularity, item_counts


def test_floors_of_a_split(small: Dataset) -> None:
    split = leave_one_out(small)
    floors = ranking_floors(split)
    assert list(floors) == ["popularity", "last item"]
    counts = item_counts(split.histories(), small.items.num_rows)
    expected = evaluate(Popularity(counts), split.examples("test"), small.items.num_rows)
    assert floors["popularity"] == expected.metrics
    assert set(floors["last item"]) == set(RANKING_METRICS)
    assert floors["last item"]["hr@10"] > floors["popularity"]["hr@10"], "users prefer one genre"
