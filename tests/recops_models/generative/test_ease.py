"""EASE solves its ridge regressions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recops_models.data.histories import Histories
from recops_models.generative import ease
from recops_models.generative.ease import EASE, EASEConfig


def train() -> Histories:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, size=50)
    return Histories(
        np.concatenate([[0], np.cumsum(lengths)]),
        rng.integers(7, size=lengths.sum()),
        np.arange(lengths.sum()),
    )


def matrix(histories: Histories, items: int) -> torch.Tensor:
    x = torch.zeros(len(histories), items, dtype=torch.float64)
    user = np.repeat(np.arange(len(histories)), histories.lengths)
    x[torch.from_numpy(user), torch.from_numpy(histories.items)] = 1
    return x


def test_each_item_is_regressed_on_the_others() -> None:
    histories, items, l2 = train(), 8, 3.0  # Item 7 has no event.
    weights = EASE.fit(histories, items, EASEConfig(l2=l2)).weights
    x = matrix(histories, items)
    for item in range(items):
        others = [other for other in range(items) if other != item]
        a = x[:, others]
        expected = torch.linalg.solve(a.T @ a + l2 * torch.eye(len(others)), a.T @ x[:, item])
        torch.testing.assert_close(weights[others, item].double(), expected, rtol=1e-4, atol=1e-6)
        assert weights[item, item] == 0


def test_scores_sum_the_weights_of_recent_items() -> None:
    model = EASE.fit(train(), 7, EASEConfig(l2=2.0, decay=0.5))
    scores = model.score_all(torch.tensor([[3, 1, 3, 0]]), torch.tensor([3]))
    expected = 0.5 * model.weights[0] + model.weights[2]  # The repeated item counts as last.
    torch.testing.assert_close(scores[0], expected)


def test_scores_of_a_batch_equal_a_product_with_the_weights() -> None:
    model, rng = EASE.fit(train(), 7, EASEConfig(l2=2.0, decay=0.5)), np.random.default_rng(1)
    history = torch.from_numpy(rng.integers(1, 8, size=(20, 6)))
    lengths = torch.from_numpy(rng.integers(0, 7, size=20))
    history[torch.arange(6) >= lengths[:, None]] = 0
    x = torch.zeros(20, 8)
    for step in range(6):  # Later events overwrite earlier ones.
        for user in range(20):
            x[user, history[user, step]] = 0.5 ** float(lengths[user] - 1 - step)
    torch.testing.assert_close(model.score_all(history, lengths), x[:, 1:] @ model.weights)


def test_short_histories_are_not_padded_to_the_window() -> None:
    model, histories = EASE.fit(train(), 7, EASEConfig(l2=2.0, history=200)), train()
    items, lengths = histories.last(200)
    scores = model.score_all(torch.from_numpy(items + 1), torch.from_numpy(lengths))
    ranking = model.recommend(histories, 3)
    for user, items_of_user in enumerate(ranking.items):
        best = scores[user].clone()
        best[items[user, : lengths[user]]] = -torch.inf
        listed = items_of_user[items_of_user >= 0]
        torch.testing.assert_close(best[listed], best.topk(len(listed)).values)


def test_a_large_catalogue_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "MOST_ITEMS", 5)
    with pytest.raises(ValueError, match="ease: the catalogue must have at most 5 items, got 7"):
        EASE.fit(train(), 7, EASEConfig())


@pytest.mark.parametrize("settings", [{"l2": 0.0}, {"decay": 0.0}, {"decay": 2.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"ease: {next(iter(settings))} must be"):
        EASEConfig(**settings)


def test_the_inverse_is_mirrored_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = EASE.fit(train(), 8, EASEConfig(l2=3.0)).weights
    monkeypatch.setattr(ease, "_ROWS", 3)
    assert EASE.fit(train(), 8, EASEConfig(l2=3.0)).weights.equal(at_once)
