"""Attributes before codes increase the hit rate if users prefer one attribute value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from recops_models.data import Examples, Histories
from recops_models.evaluation.beam_recall import beam_recall
from recops_models.evaluation.metrics import evaluate
from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.generative.windows import items_at, window_batches
from synthetic_histories import histories

pytestmark = pytest.mark.usefixtures("one_thread")

ITEMS, KINDS, CODES, USERS = 1000, 10, 16, 400


@dataclass(frozen=True)
class Shop:
    """Users who interact with random items of one kind; codes are independent of kinds."""

    kind: Tensor
    codes: Tensor
    train: Histories
    test: Examples

    @classmethod
    def of(cls, seed: int) -> Shop:
        rng = np.random.default_rng(seed)
        kind = rng.integers(KINDS, size=ITEMS)
        codes = torch.from_numpy(rng.integers(CODES, size=(ITEMS, 2)))
        walks = [
            rng.choice(np.flatnonzero(kind == rng.integers(KINDS)), size=13, replace=False)
            for _ in range(USERS)
        ]
        train = histories([walk[:-1] for walk in walks])
        targets = histories([walk[-1:] for walk in walks])
        test = Examples(np.arange(USERS), train, targets)
        return cls(torch.from_numpy(kind), codes, train, test)


def trained(shop: Shop, attribute: Tensor, seed: int) -> UniRec:
    """Train a small UniRec with ``attribute [N]`` before the codes, for 12 epochs."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    paths = torch.cat([attribute[:, None], shop.codes], 1)
    # Without item scores, so that only paths rank items.
    config = UniRecConfig(history=12, width=32, heads=2, item_scores=0, dropout=0.1, beams=50)
    model = UniRec(paths, (KINDS, CODES, CODES), torch.ones(ITEMS), config)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(12):
        for positions in window_batches(shop.train, 12, 32, rng):
            items = items_at(shop.train, positions)
            loss = model.loss(items[:, :-1].contiguous(), items[:, 1:].contiguous())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


@pytest.mark.slow
def test_a_true_attribute_beats_a_shuffled_one() -> None:
    """The control has equal numbers of weights, beams and tokens per path."""
    gains, recalls = [], []
    for seed in range(3):
        shop = Shop.of(seed)
        shuffled = shop.kind[torch.randperm(ITEMS, generator=torch.Generator().manual_seed(seed))]
        true, control = trained(shop, shop.kind, seed), trained(shop, shuffled, seed)
        metrics = [evaluate(model, shop.test, ITEMS).metrics for model in (true, control)]
        gains.append(metrics[0]["hr@50"] - metrics[1]["hr@50"])
        recalls.append(beam_recall(true, shop.test, beams=2)["beam_recall@1"])
    # A kind has about 100 items, 12 of them in the history: 50 random new items of the kind contain
    # the next item in more than half of all cases, 50 random items in one of twenty.
    assert min(gains) > 0.2
    assert min(recalls) > 0.9  # two beams of ten kinds
