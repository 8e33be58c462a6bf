"""Gradient boosting by scikit-learn, as the module :class:`BoostedTrees`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from recops_models.click.rates import RatesConfig
from recops_models.data.histories import AnyArray
from recops_models.layers.boosted_trees import BoostedTrees
from recops_models.training.device import array

_CHECKED = 1000
"""Training rows on which the module is compared with scikit-learn."""

Nodes = dict[str, AnyArray]


def fit_trees(
    x: NDArray[np.float32], label: NDArray[np.float32], config: RatesConfig, seed: int
) -> BoostedTrees:
    """Return ``config.trees`` trees that minimise the log loss, fitted on one thread.

    Args:
        x: ``[N, F]``.
        label: ``[N]``, 0 or 1.
        config: settings.
        seed: seed of the sample that defines the bins of the inputs.

    Raises:
        RuntimeError: the installed scikit-learn stores trees in an unknown form.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    boosting = HistGradientBoostingClassifier(
        max_iter=config.trees,
        max_leaf_nodes=config.leaves,
        learning_rate=config.learning_rate,
        min_samples_leaf=config.leaf_examples,
        l2_regularization=config.l2,
        early_stopping=False,
        random_state=seed,
    )
    with threadpool_limits(limits=1):  # OpenMP's threads wait for each other on a busy machine.
        boosting.fit(x, label)
        expected = boosting.decision_function(x[:_CHECKED])
    # scikit-learn has no public access to the trees, so the result is compared.
    nodes = [each[0].nodes for each in boosting._predictors]
    trees = trees_of_nodes(nodes, np.asarray(boosting._baseline_prediction).item())
    actual = array(trees(torch.from_numpy(x[:_CHECKED])))[:, 0]
    if not np.allclose(actual, expected, rtol=1e-4, atol=1e-4):
        raise RuntimeError("rates: boosting needs another version of scikit-learn")
    return trees


def trees_of_nodes(trees: Sequence[AnyArray], bias: float) -> BoostedTrees:
    """Return the module of scikit-learn's trees.

    Args:
        trees: nodes of each tree, with the fields of scikit-learn's ``TreePredictor.nodes``.
        bias: prediction before the first tree.
    """
    parts = [_ordered(nodes) for nodes in trees]
    starts = np.cumsum([0, *(len(part["value"]) for part in parts)])
    for part, start in zip(parts, starts, strict=False):
        part["child"] += start
    nodes = {
        name: torch.from_numpy(np.concatenate([part[name] for part in parts]))
        for name in ("feature", "threshold", "child", "value")
    }
    return BoostedTrees(root=torch.from_numpy(starts[:-1]), bias=torch.tensor(bias), **nodes)


def first_trees(trees: BoostedTrees, count: int) -> BoostedTrees:
    """Return the sum of the first ``count`` trees."""
    end = [*array(trees.root), len(trees.feature)][count]
    nodes = {
        name: getattr(trees, name)[:end].clone()
        for name in ("feature", "threshold", "child", "value")
    }
    return BoostedTrees(root=trees.root[:count].clone(), bias=trees.bias.clone(), **nodes)


def _ordered(nodes: AnyArray) -> Nodes:
    """Return the nodes of one tree in an order in which siblings are adjacent."""
    order: list[int] = [0]
    child: list[int] = []
    for node in order:  # Breadth first: the list grows while it is read.
        if nodes["is_leaf"][node]:
            child.append(len(child))
        else:
            child.append(len(order))
            order += [int(nodes["left"][node]), int(nodes["right"][node])]
    nodes = nodes[order]
    is_leaf = nodes["is_leaf"].astype(np.bool_)
    return {
        "feature": np.where(is_leaf, 0, nodes["feature_idx"]).astype(np.int64),
        "threshold": np.where(is_leaf, np.inf, _float32_below(nodes["num_threshold"])),
        "child": np.array(child, dtype=np.int64),
        "value": np.where(is_leaf, nodes["value"], 0.0),
    }


def _float32_below(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 numbers that do not exceed ``numbers``.

    A float32 input is at most the result if and only if it is at most the number.
    """
    rounded = numbers.astype(np.float32)
    return np.where(rounded > numbers, np.nextafter(rounded, np.float32(-np.inf)), rounded)
