"""Floors of click metrics: counting baselines, which every click model should beat."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.evaluation.click_metrics import ClickMetrics
from recops_models.examples.batch import Batch
from recops_models.examples.click import ClickData
from recops_models.examples.features import FeatureSchema, Sequence
from recops_models.examples.known import known_candidates
from recops_models.examples.running_rates import RATES
from recops_models.training.device import array

Float64Array = NDArray[np.float64]

_BATCH = 8192
_FOLDS = 5
_STRENGTH = 10
_BOUGHT = ("bought before", "bought last")
_USER_RATE, _ITEM_RATE = RATES.index("user_rate"), RATES.index("item_rate")


def floors(data: ClickData, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return the test metrics of counting baselines, by name.

    - ``"popularity"``: number of positive training examples of the item, calibrated by logistic
      regression;
    - ``"item rate"``, ``"user rate"``: smoothed share of positives;
    - ``"item and user rate"``: ``logit = logit(item rate) + logit(user rate) − logit(p)``, with p
      the training part's share of positives;
    - ``"boosted counts"``: scikit-learn's gradient boosting on both rates and both counts, with a
      tenth of the training part for early stopping;
    - if the data keeps repeats, ``"bought before"``: number of the user's recent events with the
      item, and ``"bought last"``: one over the number of events since the last of them (0 without
      one). Both are calibrated by logistic regression.

    If the examples have running rates
    (:class:`~recops_models.examples.running_rates.RunningRates`), the rates and counts are these
    features, which cover all earlier events. Otherwise they are counted in the training part. For
    a training example of the boosting, they are then counted in four of five folds, without the
    fold of the example, so that they do not contain its label.

    Args:
        data: click examples.
        seed: seed of the training negatives, the folds and the boosting.

    Returns:
        baseline → metrics of
        :meth:`~recops_models.evaluation.click_metrics.ClickMetrics.compute`.

    Raises:
        ValueError: the schema has no candidate.

    Complexity:
        O(N log N) for N examples, and the boosting.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    if data.fitted.schema.candidate is None:
        raise ValueError(
            f"floors: {data.name} must have a history, which defines the candidate's feature"
        )
    train, test = _Part.of(data, "train", seed), _Part.of(data, "test", None)
    train_counts, test_counts = _counts(train, test, seed)
    item_rate, user_rate = test_counts[:, _ITEM_RATE], test_counts[:, _USER_RATE]
    liked = np.bincount(train.item[train.label], minlength=_size(train, test))
    train_popularity, test_popularity = (
        np.log1p(liked[part.item])[:, None] for part in (train, test)
    )
    with threadpool_limits(limits=1):  # OpenMP's threads wait for each other on a busy machine.
        regression = LogisticRegression().fit(train_popularity, train.label)
        popularity = regression.predict_proba(test_popularity)
        bought = {}
        if data.repeats == "keep":
            for name, of_train, of_test in zip(_BOUGHT, train.bought, test.bought, strict=True):
                regression = LogisticRegression().fit(of_train[:, None], train.label)
                bought[name] = regression.predict_proba(of_test[:, None])[:, 1]
        trees = HistGradientBoostingClassifier(early_stopping=True, random_state=seed)
        boosted = trees.fit(train_counts, train.label).predict_proba(test_counts)
    probabilities = {
        "popularity": popularity[:, 1],
        "item rate": item_rate,
        "user rate": user_rate,
        "item and user rate": _sigmoid(
            _logit(item_rate) + _logit(user_rate) - _logit(train.label.mean())
        ),
        "boosted counts": boosted[:, 1],
        **bought,
    }
    return {name: test.measure(probability) for name, probability in probabilities.items()}


class _Part(NamedTuple):
    """Columns of the examples of one part.

    Attributes:
        item: ``[N]`` i64.
        user: ``[N]`` i64.
        label: ``[N]`` bool.
        known: ``[N]`` bool, whether the item is in the training vocabulary.
        bought: number of earlier events with the item, and one over the number of events since the
            last of them, ``[2, N]`` f64.
        rates: ``[N, 4]`` f64, :data:`RATES`, if available.
    """

    item: NDArray[np.int64]
    user: NDArray[np.int64]
    label: NDArray[np.bool_]
    known: NDArray[np.bool_]
    bought: Float64Array
    rates: Float64Array | None

    @classmethod
    def of(cls, data: ClickData, part: str, seed: int | None) -> _Part:
        schema = data.fitted.schema
        candidate = schema.candidate
        assert candidate is not None
        names = [feature.name for feature in schema.features]
        has_rates = RATES[0] in names
        rows = []
        for batch in getattr(data, part).batches(_BATCH, seed=seed):
            rates = [batch.features[name] for name in RATES] if has_rates else []
            is_known = known_candidates(schema, batch)
            bought = _bought(schema, batch, is_known)
            row = [batch.features[candidate], batch.group, batch.label > 0, is_known, *bought]
            rows.append([*row, *rates])
        columns = [array(torch.cat(column)) for column in zip(*rows, strict=True)]
        item, user, label, known = columns[:4]
        running_rates = None
        if has_rates:
            moments = np.array([data.fitted.moments[name] for name in RATES])
            standardised = np.stack(columns[6:], 1).astype(np.float64)
            running_rates = standardised * moments[:, 1] + moments[:, 0]
        return cls(item, user, label, known, np.stack(columns[4:6]), running_rates)

    def measure(self, probability: Float64Array) -> dict[str, float]:
        metrics = ClickMetrics(logits=False)
        columns = (np.clip(probability, 0, 1), self.label, self.user, self.known)
        metrics.update(*(torch.from_numpy(column) for column in columns))
        return metrics.compute()


def _bought(schema: FeatureSchema, batch: Batch, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return the columns of :attr:`_Part.bought`, from the history of the candidate."""
    assert schema.candidate is not None
    history = next(
        feature.name
        for feature in schema.of_type(Sequence)
        if feature.share_embedding == schema.candidate
    )
    events, length = batch.features[history], batch.lengths[history]
    position = torch.arange(1, events.shape[1] + 1)
    is_item = (events == batch.features[schema.candidate][:, None]) & known[:, None]
    is_item &= position <= length[:, None]
    last = (is_item * position).amax(1)
    since = torch.where(last > 0, 1 / (length - last + 1).double(), 0)
    return is_item.sum(1).double(), since


def _counts(train: _Part, test: _Part, seed: int) -> tuple[Float64Array, Float64Array]:
    """Return :data:`RATES` ``[N, 4]`` of the training part and of the test part."""
    if train.rates is not None and test.rates is not None:
        return train.rates, test.rates
    users, together = np.unique(np.concatenate([train.user, test.user]), return_inverse=True)
    fold = np.random.default_rng(seed).integers(_FOLDS, size=len(train.label))
    columns: list[list[Float64Array]] = [[], []]
    for first, second, size in (
        (together[: len(train.user)], together[len(train.user) :], len(users)),
        (train.item, test.item, _size(train, test)),
    ):
        # [folds, size]: examples and positives of each value in each fold.
        cell = fold * size + first
        shown, liked = (
            np.bincount(cell[rows], minlength=_FOLDS * size).reshape(_FOLDS, size)
            for rows in (slice(None), train.label)
        )
        for part, of_fold, value in ((0, fold, first), (1, None, second)):
            n, likes = (
                table.sum(0)[value] - (0 if of_fold is None else table[of_fold, value])
                for table in (shown, liked)
            )
            rate = (likes + _STRENGTH * train.label.mean()) / (n + _STRENGTH)
            scale = 1 if of_fold is None else _FOLDS / (_FOLDS - 1)
            columns[part] += [rate, np.log1p(n * scale)]
    train_counts, test_counts = (np.stack(each, 1) for each in columns)
    return train_counts, test_counts


def _size(train: _Part, test: _Part) -> int:
    return int(max(train.item.max(), test.item.max())) + 1


def _logit(probability: Float64Array | float) -> Float64Array:
    clipped = np.clip(probability, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _sigmoid(logit: Float64Array) -> Float64Array:
    return np.asarray(1 / (1 + np.exp(-logit)))
