"""Click metrics beside scikit-learn, torchmetrics and the definition."""

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
    """The definition, pair by pair; a tie counts half."""
    pairs = [
        (a > b) + 0.5 * (a == b)
        for a, clicked in zip(scores, label, strict=True)
        for b, other in zip(scores, label, strict=True)
        if clicked and not other
    ]
    return float(np.mean(pairs)) if pairs else math.nan


def examples(rows: int = 400, users: int = 23, seed: int = 0, levels: int | None = None):
    """Logits that know something, labels, users; ``levels``: round them so that many tie."""
    rng = np.random.default_rng(seed)
    label = rng.random(rows) < 0.3
    scores = (rng.normal(size=rows) + label - 1).astype(np.float32)
    if levels is not None:
        scores = np.round(scores * levels) / levels
    return scores, label, rng.integers(users, size=rows) * 10**12


def metrics(scores, label, group, *, logits: bool = True, batch: int = 37) -> ClickMetrics:
    found = ClickMetrics(logits=logits)
    tensors = torch.from_numpy(scores), torch.from_numpy(label).float(), torch.from_numpy(group)
    for parts in zip(*(tensor.split(batch) for tensor in tensors), strict=True):
        found.update(*parts)
    return found


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
    found = grouped_auc(scores, label, user)
    expected = sum(each[u] * n for u, n in weights.items()) / sum(weights.values())
    assert found.value == pytest.approx(expected, abs=1e-14)
    assert 0 < found.left_out == len(each) - len(weights)
    assert found.groups == len(weights)


def test_all_tied_is_a_half_and_order_alone_counts() -> None:
    label = np.array([True, False, False])
    assert auc(np.ones(3), label) == 0.5
    scores, label, user = examples()
    assert grouped_auc(scores, label, user) == grouped_auc(3 * scores - 7, label, user)
    assert auc(-scores, label) == pytest.approx(1 - auc(scores, label))


@pytest.mark.parametrize("logits", [True, False])
def test_metrics_agree_with_scikit_learn_and_torchmetrics(logits: bool) -> None:
    scores, label, user = examples(2_000)
    probability = 1 / (1 + np.exp(-scores.astype(np.float64)))
    found = metrics(scores if logits else probability, label, user, logits=logits).compute()
    assert found["auc"] == pytest.approx(roc_auc_score(label, scores))
    assert found["gauc"] == pytest.approx(grouped_auc(scores, label, user).value)
    assert found["logloss"] == pytest.approx(log_loss(label, probability), rel=1e-6)
    assert found["pcoc"] == pytest.approx(probability.sum() / label.sum(), rel=1e-6)
    theirs = BinaryCalibrationError(n_bins=15)(
        torch.from_numpy(probability), torch.from_numpy(label).long()
    )
    assert found["ece"] == pytest.approx(theirs.item(), abs=1e-6)


def test_the_batches_do_not_matter() -> None:
    some = examples()
    assert metrics(*some, batch=1).compute() == metrics(*some, batch=1_000).compute()


def test_calibrated_scores_are_found_calibrated() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(200_000)
    label = rng.random(200_000) < probability
    found = metrics(probability, label, np.zeros(200_000, np.int64), logits=False, batch=50_000)
    assert found.compute()["pcoc"] == pytest.approx(1, abs=0.01)
    assert found.compute()["ece"] < 0.01
    assert metrics(probability / 2, label, np.zeros(200_000, np.int64), logits=False).compute()[
        "pcoc"
    ] == pytest.approx(0.5, abs=0.01)


def test_extreme_scores_keep_the_loss_finite_and_apart() -> None:
    label, group = torch.tensor([0.0, 1.0]), torch.tensor([1, 1])
    of_logits = ClickMetrics()
    of_logits.update(torch.tensor([40.0, 50.0]), label, group)  # Both are 1 after float32 sigmoid.
    assert of_logits.compute()["auc"] == 1
    assert of_logits.compute()["logloss"] == pytest.approx(20)
    of_probabilities = ClickMetrics(logits=False)
    of_probabilities.update(torch.tensor([1.0, 0.0]), label, group)
    assert of_probabilities.compute()["logloss"] == pytest.approx(52 * math.log(2))


def test_sixteen_bit_scores_are_taken() -> None:
    scores, label, user = examples()
    half = torch.from_numpy(scores).bfloat16()
    found = ClickMetrics()
    found.update(half, torch.from_numpy(label), torch.from_numpy(user))
    assert found.compute()["auc"] == pytest.approx(roc_auc_score(label, half.float().numpy()))


@pytest.mark.parametrize("label", [[], [0, 0], [1, 1]])
def test_what_is_not_defined_is_nan(label: list[int]) -> None:
    found = ClickMetrics()
    rows = len(label)
    found.update(torch.zeros(rows), torch.tensor(label), torch.arange(rows))
    values = found.compute()
    assert math.isnan(values["auc"])
    assert math.isnan(values["gauc"])
    assert math.isnan(values["pcoc"]) == (sum(label) == 0)
    assert found.grouped_auc()[1:] == (0, rows)
    assert all(math.isnan(value) for value in ClickMetrics().compute().values())


@pytest.mark.parametrize(
    ("scores", "label", "logits", "message"),
    [
        ([[0.1]], [[1]], True, r"must be equal \[B\]"),
        ([0.1, 0.2], [1], True, r"must be equal \[B\]"),
        ([math.nan], [1], True, "scores must be finite"),
        ([1.5], [1], False, "probabilities within"),
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


def test_auc_of_known_candidates_is_that_of_their_examples_alone() -> None:
    scores, label, user = (torch.from_numpy(values) for values in examples())
    known = torch.from_numpy(np.random.default_rng(1).random(len(label)) < 0.6)
    found = ClickMetrics()
    found.update(scores, label.float(), user, known)
    values = found.compute()
    assert values["auc"] == pytest.approx(roc_auc_score(label, scores))
    assert values["auc_known"] == pytest.approx(roc_auc_score(label[known], scores[known]))
    with pytest.raises(ValueError, match=r"known must be \(400,\), got \(3,\)"):
        found.update(scores, label.float(), user, known[:3])


def test_without_word_of_what_is_known_all_is() -> None:
    values = metrics(*examples()).compute()
    assert values["auc_known"] == values["auc"]
