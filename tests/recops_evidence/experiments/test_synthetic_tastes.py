"""Synthetic clicks of users with one of two tastes: their signal, and what carries none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("pyarrow", reason="the evidence needs recops[models]")

from recops_evidence.experiments.synthetic_tastes import SyntheticTastes
from recops_models.evaluation.grouped_auc import auc
from recops_models.examples.batch import Batch
from recops_models.examples.click import PARTS

LAW = SyntheticTastes(items=60, examples=6000)


def _batch(seed: int, part: str) -> Batch:
    return next(getattr(LAW.draw(seed), part).batches(100_000, seed=None))


def _arrays(batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    item, history = (batch.features[name].numpy() - 2 for name in ("item", "history_item"))
    return item, history, batch.label.numpy() == 1


def test_clicks_depend_on_their_seed() -> None:
    one, same, other = (_batch(seed, "train") for seed in (0, 0, 1))
    assert torch.equal(one.features["history_item"], same.features["history_item"])
    assert torch.equal(one.label, same.label)
    assert not torch.equal(one.label, other.label)
    assert [len(_batch(0, part).label) for part in PARTS] == [6000, 3000, 3000]


def test_the_product_of_two_sides_predicts_clicks_and_neither_side_does() -> None:
    """The sides are estimated from co-occurrences in histories, without labels."""
    item, history, label = _arrays(_batch(0, "train"))
    counts = np.zeros((6000, LAW.items))
    np.add.at(counts, (np.arange(6000)[:, None], history), 1)
    together = np.cov(counts.T)
    np.fill_diagonal(together, 0)
    side = np.sign(np.linalg.eigh(together)[1][:, -1])
    assert abs(side.sum()) < 4
    taste = side[history].sum(1)
    # A tenth of the histories is tied or shows the wrong side.
    assert auc(side[item] * taste, label) == pytest.approx(LAW.sure, abs=0.03)
    for alone in (side[item], taste, np.abs(taste)):
        assert auc(alone, label) == pytest.approx(0.5, abs=0.03)
