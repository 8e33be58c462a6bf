"""Click metrics, compared with scikit-learn, torchmetrics and the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torchmetrics.classification import BinaryCalibrationError

from recops_models.evaluation.click_metrics import ClickMetrics
from recops_models.evaluation.grouped_auc import auc, group_aucs, grouped_auc


def pair_auc(scores: np.ndarray, label: np.ndarray) -> float:
    """Return the AUC by its definition over pairs; a tie counts one half."""
    pairs = [
        (a > b) + 0.5 * (a == b)
        for a, clicked in zip(scores, label, strict=True)
        for b, other in zip(scores, label, strict=True)
        if clicked and not other
    ]
    return float(np.mean(pairs)) if pairs else math.nan


def examples(rows: int = 400, users: int = 23, seed: int = 0, levels: int | None = None):
    """Return informative logits, labels and users; ``levels`` rounds the logits to cause ties."""
    rng = np.random.default_rng(seed)
    label = rng.random(rows) < 0.3
    scores = (rng.normal(size=rows) + label - 1).astype(np.float32)
    if levels is not None:
        scores = np.round(scores * levels) / levels
    return scores, label, rng.integers(users, size=rows) * 10**12


def metrics(scores, label, group, *, logits: bool = True, batch: int = 37) -> ClickMetrics:
    accumulator = ClickMetrics(logits=logits)
    tensors = torch.from_numpy(scores), torch.from_numpy(label).float(), torch.from_numpy(group)
    for parts in zip(*(tensor.split(batch) for tensor in tensors), strict=True):
        accumulator.update(*parts)
    return accumulator


@pytest.mark.parametrize("levels", [None, 1, 4])
def test_auc_agrees_with_scikit_learn_and_the_definition(levels) -> None:
    scores, label, _ = examples(levels=levels)
    assert auc(scores, label) == pytest.approx(roc_auc_score(label, scores), abs=1e-14)
    assert auc(scores, label) == pytest.approx(pair_auc(scores, label), abs=1e-14)


@pytest.mark.parametrize("levels", [None, 1, 4])
def test_gauc_is_the_weighted_mean_of_the_users_aucs(levels) -> None:
    scores, label, user = examples(levels=levels, users=60)
    each = {u: pair_auc(scores[user == u], label[user == u]) for u in np.unique(user)}
    value, size = group_aucs(scores, label, user)
    np.testing.assert_allclose(value, list(each.values()), atol=1e-14)
    assert size.tolist() == [int((user == u).sum()) for u in each]
    weights = {u: (user == u).sum() for u, value in each.items() if not math.isnan(value)}
    result = grouped_auc(scores, label, user)
    expected = sum(each[u] * n for u, n in weights.items()) / sum(weights.values())
    assert result.value == pytest.approx(expected, abs=1e-14)
    assert 0 < result.left_out == len(each) - len(weights)
    assert result.groups == len(weights)


def test_auc_of_ties_is_one_half_and_only_the_order_counts() -> None:
    label = np.array([True, False, False])
    assert auc(np.ones(3), label) == 0.5
    scores, label, user = examples()
    assert grouped_auc(scores, label, user) == grouped_auc(3 * scores - 7, label, user)
    assert auc(-scores, label) == pytest.approx(1 - auc(scores, label))


@pytest.mark.parametrize("logits", [True, False])
def test_metrics_agree_with_scikit_learn_and_torchmetrics(logits: bool) -> None:
    scores, label, user = examples(2_000)
    probability = 1 / (1 + np.exp(-scores.astype(np.float64)))
    values = metrics(scores if logits else probability, label, user, logits=logits).compute()
    assert values["auc"] == pytest.approx(roc_auc_score(label, scores))
    assert values["gauc"] == pytest.approx(grouped_auc(scores, label, user).value)
    assert values["logloss"] == pytest.approx(log_loss(label, probability), rel=1e-6)
    assert values["pcoc"] == pytest.approx(probability.sum() / label.sum(), rel=1e-6)
    expected = BinaryCalibrationError(n_bins=15)(
        torch.from_numpy(probability), torch.from_numpy(label).long()
    )
    assert values["ece"] == pytest.approx(expected.item(), abs=1e-6)


def test_metrics_do_not_depend_on_the_batches() -> None:
    some = examples()
    assert metrics(*some, batch=1).compute() == metrics(*some, batch=1_000).compute()


def test_calibrated_scores_have_pcoc_one_and_low_ece() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(200_000)
    label = rng.random(200_000) < probability
    group = np.zeros(200_000, np.int64)
    values = metrics(probability, label, group, logits=False, batch=50_000).compute()
    assert values["pcoc"] == pytest.approx(1, abs=0.01)
    assert values["ece"] < 0.01
    halved = metrics(probability / 2, label, group, logits=False).compute()
    assert halved["pcoc"] == pytest.approx(0.5, abs=0.01)


def test_extreme_scores_have_a_finite_loss_and_stay_distinct() -> None:
    label, group = torch.tensor([0.0, 1.0]), torch.tensor([1, 1])
    of_logits = ClickMetrics()
    of_logits.update(torch.tensor([40.0, 50.0]), label, group)  # Sigmoid rounds both to 1.
    assert of_logits.compute()["auc"] == 1
    assert of_logits.compute()["logloss"] == pytest.approx(20)
    of_probabilities = ClickMetrics(logits=False)
    of_probabilities.update(torch.tensor([1.0, 0.0]), label, group)
    assert of_probabilities.compute()["logloss"] == pytest.approx(52 * math.log(2))


def test_sixteen_bit_scores_are_accepted() -> None:
    scores, label, user = examples()
    half = torch.from_numpy(scores).bfloat16()
    accumulator = ClickMetrics()
    accumulator.update(half, torch.from_numpy(label), torch.from_numpy(user))
    expected = roc_auc_score(label, half.float().numpy())
    assert accumulator.compute()["auc"] == pytest.approx(expected)


@pytest.mark.parametrize("label", [[], [0, 0], [1, 1]])
def test_undefined_metrics_are_nan(label: list[int]) -> None:
    accumulator = ClickMetrics()
    rows = len(label)
    accumulator.update(torch.zeros(rows), torch.tensor(label), torch.arange(rows))
    values = accumulator.compute()
    assert math.isnan(values["auc"])
    assert math.isnan(values["gauc"])
    assert math.isnan(values["pcoc"]) == (sum(label) == 0)
    assert accumulator.grouped_auc()[1:] == (0, rows)
    assert all(math.isnan(value) for value in ClickMetrics().compute().values())


@pytest.mark.parametrize(
    ("scores", "label", "logits", "message"),
    [
        ([[0.1]], [[1]], True, r"must have the same shape \[B\]"),
        ([0.1, 0.2], [1], True, r"must have the same shape \[B\]"),
        ([math.nan], [1], True, "scores must be finite"),
        ([1.5], [1], False, "must be probabilities in"),
        ([0.5], [2], True, "label must be 0 or 1"),
        ([0.5], [math.nan], True, "label must be 0 or 1"),
    ],
)
def test_bad_input(scores, label, logits: bool, message: str) -> None:
    label = torch.tensor(label)
    with pytest.raises(ValueError, match=message):
        ClickMetrics(logits=logits).update(
            torch.tensor(scores), label, torch.zeros_like(label, dtype=torch.int64)
        )


def test_auc_known_uses_only_examples_with_known_candidates() -> None:
    scores, label, user = (torch.from_numpy(values) for values in examples())
    known = torch.from_numpy(np.random.default_rng(1).random(len(label)) < 0.6)
    accumulator = ClickMetrics()
    accumulator.update(scores, label.float(), user, known)
    values = accumulator.compute()
    assert values["auc"] == pytest.approx(roc_auc_score(label, scores))
    assert values["auc_known"] == pytest.approx(roc_auc_score(label[known], scores[known]))
    with pytest.raises(ValueError, match=r"known must be \(400,\), got \(3,\)"):
        accumulator.update(scores, label.float(), user, known[:3])


def test_all_candidates_are_known_by_default() -> None:
    values = metrics(*examples()).compute()
    assert values["auc_known"] == values["auc"]


def test_gauc_is_below_one_half_for_random_labels_and_scores_that_follow_them() -> None:
    """Guide to metrics, "Scores that follow labels"; the other metrics stay at chance level."""
    rng = np.random.default_rng(0)
    users, history, events, decay = 2000, 100, 20, 0.5 ** (1 / 10)
    label = rng.random((users, history + events)) < 0.4
    mean, weight = np.full(users, 0.4), np.ones(users)
    live = np.empty((users, events))
    for time in range(history + events):
        if time >= history:
            live[:, time - history] = mean / weight
        mean, weight = mean * decay + label[:, time], weight * decay + 1
    frozen = np.repeat(live[:, :1], events, axis=1)
    group = np.repeat(np.arange(users), events)
    flat = label[:, history:].ravel()
    values = {
        name: metrics(scores.ravel(), flat, group, logits=False, batch=10_000).compute()
        for name, scores in (("live", live), ("frozen", frozen))
    }
    assert 0.3 < values["live"]["gauc"] < 0.4
    assert values["frozen"]["gauc"] == 0.5
    for each in values.values():
        assert each["auc"] == pytest.approx(0.5, abs=0.02)
    assert values["live"]["logloss"] == pytest.approx(values["frozen"]["logloss"], abs=0.01)
