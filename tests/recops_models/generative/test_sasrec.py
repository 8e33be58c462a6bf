from __future__ import annotations

import numpy as np
import pytest
import torch

from recops_models.generative.sasrec import SASRec, SASRecConfig
from synthetic_histories import histories


@pytest.fixture
def model() -> SASRec:
    torch.manual_seed(0)
    return SASRec(20, SASRecConfig(history=6, width=8, heads=2)).eval()


def test_shapes(model: SASRec) -> None:
    history = torch.tensor([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]])
    assert model.encode(history).shape == (2, 6, 8)
    assert model.logits(model.encode(history)).shape == (2, 6, 20)
    assert model.loss(history, history.roll(-1, 1)).shape == ()


def test_events_do_not_attend_to_later_ones(model: SASRec) -> None:
    history = torch.tensor([[1, 2, 3, 4, 5, 6]])
    changed = history.clone()
    changed[0, 3:] = torch.tensor([9, 0, 0])
    torch.testing.assert_close(model.encode(history)[:, :3], model.encode(changed)[:, :3])


def test_recommends_new_items_from_the_last_events(model: SASRec) -> None:
    long = np.arange(10)
    ranking = model.recommend(histories([long, long[:3]]), 20)
    assert set(ranking.items[0].tolist()) - {-1} == set(range(10, 20))
    assert set(ranking.items[1].tolist()) - {-1} == set(range(3, 20))
    state = model.encode(torch.from_numpy(long[None, -6:] + 1))[0, -1]
    best = model.logits(state)[10:].argmax() + 10
    assert ranking.items[0, 0] == best


def test_an_empty_history_is_an_error(model: SASRec) -> None:
    history = torch.zeros(2, model.window, dtype=torch.int64)
    with pytest.raises(ValueError, match="SASRec: lengths must be 1 or more, got 0 for history 1"):
        model.decode(history, torch.tensor([3, 0]), 5)


def test_the_sampled_loss_estimates_the_loss_over_all_items() -> None:
    torch.manual_seed(0)
    full = SASRec(20, SASRecConfig(history=6, width=8, heads=2)).eval()
    torch.nn.init.normal_(full.item.weight)
    torch.nn.init.normal_(full.item_bias)
    sampled = SASRec(20, SASRecConfig(history=6, width=8, heads=2, negatives=100_000)).eval()
    sampled.load_state_dict(full.state_dict())
    history = torch.tensor([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]])
    target = torch.tensor([[2, 3, 20, 0, 0, 0], [5, 6, 7, 8, 9, 10]])
    torch.testing.assert_close(
        sampled.loss(history, target), full.loss(history, target), atol=0.02, rtol=0
    )
    few = SASRec(20, SASRecConfig(history=6, width=8, heads=2, negatives=3))
    few.loss(history, target).backward()
    assert few.item.weight.grad is not None
    assert few.item.weight.grad[1:].any(1).sum() < 20  # Only events, targets and drawn items.
