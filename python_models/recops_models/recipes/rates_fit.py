"""Fit of the click baselines to training examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recops_models.click.rates import Rates, RatesConfig
from recops_models.evaluation.click_metrics import ClickMetrics
from recops_models.examples.batch import Batch
from recops_models.examples.click import ClickData
from recops_models.examples.known import known_candidates
from recops_models.layers.boosted_trees import BoostedTrees
from recops_models.layers.rate_features import CountLookup, RateFeatures
from recops_models.layers.rate_table import RateTable
from recops_models.recipes.boosting import first_trees, fit_trees
from recops_models.recipes.rate_counter import RateCounter
from recops_models.training.curve import LOWER_IS_BETTER
from recops_models.training.device import array

_BATCH = 4096
_FOLDS = 5
_SIZES = 30
"""Number of sizes of a boosting that validation compares."""


def fit_rates(data: ClickData, config: RatesConfig, *, seed: int) -> Rates:
    """Count the training examples, then fit the head to their rates.

    For the head, the counts of an example leave out all users of its fold, one of five. No rate
    therefore contains the example's own label. Validation chooses the number of trees.

    Args:
        data: click examples.
        config: settings.
        seed: seed of sampled negatives and of the boosting.

    Raises:
        ValueError: an unknown score, or all training labels are equal.
        DataError: the examples have no candidate.

    Complexity:
        O(N (T + log N)) time for N examples with histories of T events, and the boosting; O(N F)
        memory.
    """
    untrained = RateFeatures(data.fitted, config)
    columns = None if config.is_boosted else untrained.columns(config.scores)
    counts = _Folds.of(data, untrained, seed)
    features = RateFeatures(data.fitted, config, counts.tables)
    rows = [
        (features(batch, counts.without(fold)), batch.label)
        for batch, fold in _training(data, seed)
    ]
    x, label = (array(torch.cat(column)) for column in zip(*rows, strict=True))
    if label.min() == label.max():
        raise ValueError(f"rates: training labels must be 0 and 1, all {len(label):,} are equal")
    head: BoostedTrees | nn.Linear
    if columns is None:
        head = _chosen_size(fit_trees(x, label, config, seed), features, data, config.select)
    else:
        head = _regression(x[:, columns], label)
    return Rates(features, head, data.fitted, config)


@dataclass(frozen=True)
class _Folds:
    """CountLookup of all training examples, and of each fold.

    Attributes:
        tables: counts by the name of the table.
        by_fold: counts of each fold; the keys are ``key * folds + fold``.
    """

    tables: dict[str, RateTable]
    by_fold: dict[str, RateTable]

    @classmethod
    def of(cls, data: ClickData, features: RateFeatures, seed: int) -> _Folds:
        counters = {name: RateCounter() for name in features.table_names}
        for batch, fold in _training(data, seed):
            positive = array(batch.label > 0)
            for name, keys in features.keys(batch).items():
                folded = array(_with_fold(keys, fold)).reshape(len(positive), -1)
                counters[name].add(folded.ravel(), np.repeat(positive, folded.shape[1]))
        return cls(
            {name: counter.table(_FOLDS) for name, counter in counters.items()},
            {name: counter.table() for name, counter in counters.items()},
        )

    def without(self, fold: Tensor) -> CountLookup:
        """Return the counts without the fold of each example, given as ``[B]``."""

        def counts(name: str, keys: Tensor) -> tuple[Tensor, Tensor]:
            examples, positives = self.tables[name](keys)
            own_examples, own_positives = self.by_fold[name](_with_fold(keys, fold))
            return examples - own_examples, positives - own_positives

        return counts


def _training(data: ClickData, seed: int) -> Iterator[tuple[Batch, Tensor]]:
    """Yield the training examples, and the fold of each; the same ones in every pass."""
    has_users = data.fitted.schema.group is not None
    for batch in data.train.batches(_BATCH, seed=seed):
        yield batch, (batch.group if has_users else torch.arange(len(batch.label))) % _FOLDS


def _with_fold(keys: Tensor, fold: Tensor) -> Tensor:
    """Return keys that also identify the fold; absent keys remain absent."""
    fold = fold if keys.ndim == 1 else fold[:, None]
    return torch.where(keys < 0, keys, keys * _FOLDS + fold)


def _chosen_size(
    trees: BoostedTrees, features: RateFeatures, data: ClickData, select: str
) -> BoostedTrees:
    """Return as many trees as give the best validation metric; all if it is undefined."""
    total = len(trees.root)
    sizes = np.unique(np.linspace(1, total, min(total, _SIZES)).round().astype(np.int64))
    last = torch.from_numpy(sizes - 1)
    metrics = [ClickMetrics() for _ in sizes]
    for batch in data.validation.batches(_BATCH, seed=None):
        logits = trees.leaves(features(batch)).cumsum(1)[:, last] + trees.bias
        known = known_candidates(data.fitted.schema, batch)
        for each, column in zip(metrics, logits.unbind(1), strict=True):
            each.update(column, batch.label, batch.group, known)
    values = np.array([each.compute()[select] for each in metrics])
    if np.isnan(values).any():
        return trees
    best = np.argmin(values) if select in LOWER_IS_BETTER else np.argmax(values)
    return first_trees(trees, int(sizes[best]))


def _regression(x: NDArray[np.float32], label: NDArray[np.float32]) -> nn.Linear:
    """Return a logistic regression of ``label [N]`` on ``x [N, k]``."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        fitted = LogisticRegression(C=1e6, max_iter=1000).fit(x.astype(np.float64), label)
    head = nn.Linear(x.shape[1], 1).requires_grad_(False)
    head.weight.copy_(torch.from_numpy(fitted.coef_))
    head.bias.copy_(torch.from_numpy(fitted.intercept_))
    return head
