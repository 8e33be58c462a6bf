"""Draws of users from the predictions that runs left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recops_models.data.storage import write_table
from recops_models.evaluation.bootstrap import (
    bootstrap_auc_difference,
    paired_bootstrap,
    percentiles,
)
from recops_models.evaluation.grouped_auc import auc
from recops_models.evidence.harness import user_draws as harness
from recops_models.evidence.harness.user_draws import user_draws

rng = np.random.default_rng(0)
USER = rng.integers(1000, 1060, size=600) * 10**12
LABEL = rng.random(600) < 0.4


def write(folder: Path, **columns: np.ndarray) -> Path:
    folder.mkdir()
    write_table(folder / "predictions.parquet", pa.table(columns))
    return folder


def scores(seed: int, skill: float) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=600)
    return 1 / (1 + np.exp(-noise - skill * LABEL))


def arms(folder: Path, seeds: int) -> tuple[list[Path], list[Path], list[np.ndarray]]:
    """Folders of two arms; and all scores."""
    found = [[scores(10 * arm + seed, 1.0 - arm) for seed in range(seeds)] for arm in range(2)]
    first, second = (
        [
            write(folder / f"{arm}-{seed}", user=USER, label=LABEL.astype("f4"), probability=values)
            for seed, values in enumerate(of_arm)
        ]
        for arm, of_arm in enumerate(found)
    )
    return first, second, found[0] + found[1]


@pytest.mark.parametrize("metric", ["auc", "gauc"])
def test_of_one_seed_it_is_the_bootstrap_of_that_seed(metric: str, tmp_path: Path) -> None:
    first, second, (ours, theirs) = arms(tmp_path, 1)
    expected = bootstrap_auc_difference(ours, theirs, LABEL, USER, metric=metric)
    assert percentiles(user_draws(metric, first, second), 0.95) == expected


def test_seeds_are_pooled_under_the_same_draws_of_users(tmp_path: Path) -> None:
    first, second, found = arms(tmp_path, 4)
    low, high = percentiles(user_draws("auc", first, second), 0.95)
    areas = [auc(values, LABEL) for values in found]
    measured = np.mean(areas[:4]) - np.mean(areas[4:])
    assert low < measured < high
    alone = percentiles(user_draws("auc", first[:1], second[:1]), 0.95)
    assert high - low < alone[1] - alone[0]
    assert not user_draws("auc", first, first).any()


def test_of_ranks_it_is_the_paired_bootstrap_of_each_users_mean(tmp_path: Path) -> None:
    ranks = rng.integers(0, 20, size=(4, 50))
    folders = [
        write(tmp_path / f"{i}", user=np.arange(50), rank=row) for i, row in enumerate(ranks)
    ]
    hit = (ranks < 10).astype(float)
    expected = paired_bootstrap(hit[:2].mean(0), hit[2:].mean(0))
    drawn = user_draws("hr@10", folders[:2], folders[2:])
    assert percentiles(drawn, 0.95) == pytest.approx(expected)


def test_metrics_that_are_no_users_own_have_none(tmp_path: Path) -> None:
    first, second, _ = arms(tmp_path, 1)
    assert user_draws("pcoc", first, second) is None
    assert user_draws("beam_recall@3", first, second) is None


def test_of_predictions_that_are_gone_there_are_none(tmp_path: Path) -> None:
    first, second, _ = arms(tmp_path, 2)
    (second[1] / "predictions.parquet").unlink()
    assert user_draws("auc", first, second) is None


def test_an_arm_of_several_claims_is_drawn_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, draw = [], harness.draw_users
    monkeypatch.setattr(
        harness, "draw_users", lambda *asked, **sizes: drawn.append(asked) or draw(*asked, **sizes)
    )
    first, second, _ = arms(tmp_path, 2)
    found = [user_draws("auc", first, second) for _ in range(2)]
    assert np.array_equal(*found)
    assert len(drawn) == 4
    assert np.array_equal(user_draws("auc", second, first), -found[0])
    assert len(drawn) == 4
    user_draws("gauc", first, second)
    assert len(drawn) == 8
