"""Bootstrap draws of users from the stored predictions of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recops_evidence.experiments.predictions import prediction_draws
from recops_evidence.harness.user_draws import user_difference
from recops_models.data.storage import write_table
from recops_models.evaluation.bootstrap import (
    bootstrap_auc_difference,
    paired_bootstrap,
    percentiles,
)

rng = np.random.default_rng(0)
USER = rng.integers(1000, 1060, size=600) * 10**12
LABEL = rng.random(600) < 0.4


def write(folder: Path, **columns: np.ndarray) -> Path:
    folder.mkdir()
    write_table(folder / "predictions.parquet", pa.table(columns))
    return folder


@pytest.mark.parametrize("metric", ["auc", "gauc"])
def test_draws_of_clicks_match_the_bootstrap_of_two_models(metric: str, tmp_path: Path) -> None:
    scores = [1 / (1 + np.exp(-rng.normal(size=600) - skill * LABEL)) for skill in (1.0, 0.0)]
    draws = [
        prediction_draws(
            write(tmp_path / f"{arm}", user=USER, label=LABEL.astype("f4"), probability=values),
            ["auc", "gauc", "log_loss", "pcoc"],
        )
        for arm, values in enumerate(scores)
    ]
    assert list(draws[0].figures) == ["auc", "gauc"]
    difference = user_difference(metric, draws[:1], draws[1:])
    assert difference is not None
    expected = bootstrap_auc_difference(*scores, LABEL, USER, metric=metric)
    assert percentiles(difference, 0.95) == pytest.approx(expected, abs=1e-6)


def test_draws_of_selected_clicks_use_only_their_users(tmp_path: Path) -> None:
    scores, is_selected = rng.random(600), USER % 3 == 0
    columns = {"user": USER, "label": LABEL.astype("f4"), "probability": scores}
    draws = prediction_draws(
        write(tmp_path / "a", **columns, few=is_selected), ["auc_few", "auc_never"]
    )
    assert list(draws.figures) == ["auc_few"]
    probability = np.where(is_selected, scores, rng.random(600))
    changed_draws = prediction_draws(
        write(tmp_path / "b", **{**columns, "probability": probability}, few=is_selected),
        ["auc_few"],
    )
    assert (draws.figures["auc_few"] == changed_draws.figures["auc_few"]).all(), (
        "unselected clicks do not count"
    )
    selected = {name: values[is_selected] for name, values in columns.items()}
    mean = prediction_draws(write(tmp_path / "c", **selected), ["auc"]).figures["auc"].mean()
    assert draws.figures["auc_few"].mean() == pytest.approx(mean, abs=0.01)


def test_draws_of_ranks_match_the_paired_bootstrap_of_users(tmp_path: Path) -> None:
    ranks = rng.integers(0, 20, size=(2, 300))
    liked = rng.random(300) < 0.5
    draws = [
        prediction_draws(
            write(tmp_path / f"{arm}", user=np.arange(300).astype(str), rank=row, liked=liked),
            ["hr@10", "ndcg@10", "hr@10_liked", "hr@10_never", "beam_recall@3", "coverage"],
        )
        for arm, row in enumerate(ranks)
    ]
    assert list(draws[0].figures) == ["hr@10", "ndcg@10", "hr@10_liked"]
    hit, gain = (ranks < 10).astype(float), np.where(ranks < 10, 1 / np.log2(ranks + 2), 0)
    for metric, (first, second) in (
        ("hr@10", hit),
        ("ndcg@10", gain),
        ("hr@10_liked", hit[:, liked]),
    ):
        difference = user_difference(metric, draws[:1], draws[1:])
        assert difference is not None
        expected = paired_bootstrap(first, second)
        assert percentiles(difference, 0.95) == pytest.approx(expected, abs=0.02)
        assert difference.mean() == pytest.approx((first - second).mean(), abs=0.005)
