from __future__ import annotations

import numpy as np
import pytest
import torch

from recops_models.generative.windows import cut_windows, items_at, window_batches
from synthetic_histories import histories

ROWS = [np.arange(start, start + n) for start, n in ((0, 23), (40, 1), (50, 2), (60, 6))]


def test_windows_hold_every_target_once_behind_its_own_past() -> None:
    some = histories(ROWS)
    windows = items_at(some, cut_windows(some, 5, np.random.default_rng(0)))
    assert windows.shape[1] == 6
    _check_targets([windows])


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_batches_hold_every_target_once(batch: int) -> None:
    some = histories(ROWS)
    batches = window_batches(some, 5, batch, np.random.default_rng(0))
    _check_targets([items_at(some, places) for places in batches])


def test_batches_have_about_as_many_targets_and_little_padding() -> None:
    lengths = np.random.default_rng(0).geometric(0.1, 2000) + 1
    some = histories([np.arange(n) for n in lengths])
    batches = window_batches(some, 50, 64, np.random.default_rng(1))
    windows = sum(map(len, batches))
    targets = torch.tensor([int((places[:, 1:] >= 0).sum()) for places in batches])
    assert len(batches) == -(-windows // 64)
    assert (targets - targets.double().mean()).abs().max() <= 50  # A window's, at most.
    assert sum(places[:, 1:].numel() for places in batches) < 1.1 * targets.sum()


def test_batches_come_in_another_order_each_time() -> None:
    some = histories([np.arange(n) for n in range(2, 50)])
    first, again, other = (
        window_batches(some, 50, 4, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert all(map(torch.equal, first, again))
    widths = [[places.shape[1] for places in batches] for batches in (first, other)]
    assert widths[0] != widths[1]
    assert widths[0] != sorted(widths[0])


@pytest.mark.parametrize("rows", [[], [np.arange(1), np.arange(0)]])
def test_histories_that_tell_no_next_event_are_refused(rows: list[np.ndarray]) -> None:
    said = "window_batches: at least one history must have two events, got none"
    with pytest.raises(ValueError, match=said):
        window_batches(histories(rows), 5, 4, np.random.default_rng(0))


def _check_targets(batches: list[torch.Tensor]) -> None:
    targets: list[int] = []
    for windows in batches:
        following = (windows[:, 1:] > 0) & (windows[:, :-1] > 0)
        assert ((windows[:, 1:] - windows[:, :-1])[following] == 1).all()
        assert ((windows[:, 1:] > 0) <= (windows[:, :-1] > 0)).all()
        targets += (windows[:, 1:][windows[:, 1:] > 0] - 1).tolist()
    assert sorted(targets) == sorted(item for row in ROWS for item in row[1:].tolist())
