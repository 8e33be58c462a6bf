from __future__ import annotations

import numpy as np
import pytest
import torch

from recops_models.generative.windows import (
    Windows,
    at_rows,
    cut_windows,
    items_at,
    target_rows,
    window_batches,
)
from synthetic_histories import histories

ROWS = [np.arange(start, start + n) for start, n in ((0, 23), (40, 1), (50, 2), (60, 6))]


def test_windows_hold_every_target_once_after_its_history() -> None:
    source = histories(ROWS)
    windows = items_at(source, cut_windows(source, 5, np.random.default_rng(0)))
    assert windows.shape[1] == 6
    _check_targets([windows])


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_batches_hold_every_target_once(batch: int) -> None:
    source = histories(ROWS)
    batches = window_batches(source, 5, batch, np.random.default_rng(0))
    _check_targets([items_at(source, positions) for positions in batches])


def test_rows_select_targets_in_row_major_order() -> None:
    items = torch.tensor([[4, 5, 0, 0], [1, 2, 3, 9]])
    windows = Windows.of(items)
    target = items[:, 1:]
    assert windows.rows.tolist() == target_rows(target).tolist() == [0, 3, 4, 5]
    assert at_rows(target, windows.rows).tolist() == target[target > 0].tolist()
    vectors = torch.randn(2, 3, 4)
    assert torch.equal(at_rows(vectors, windows.rows), vectors[target > 0])


def test_batches_have_similar_numbers_of_targets_and_little_padding() -> None:
    lengths = np.random.default_rng(0).geometric(0.1, 2000) + 1
    source = histories([np.arange(n) for n in lengths])
    batches = window_batches(source, 50, 64, np.random.default_rng(1))
    windows = sum(map(len, batches))
    targets = torch.tensor([int((positions[:, 1:] >= 0).sum()) for positions in batches])
    assert len(batches) == -(-windows // 64)
    assert (targets - targets.double().mean()).abs().max() <= 50  # the targets of one window
    assert sum(positions[:, 1:].numel() for positions in batches) < 1.1 * targets.sum()


def test_the_order_of_batches_depends_on_the_seed() -> None:
    source = histories([np.arange(n) for n in range(2, 50)])
    first, again, other = (
        window_batches(source, 50, 4, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert all(map(torch.equal, first, again))
    widths = [[positions.shape[1] for positions in batches] for batches in (first, other)]
    assert widths[0] != widths[1]
    assert widths[0] != sorted(widths[0])


@pytest.mark.parametrize("rows", [[], [np.arange(1), np.arange(0)]])
def test_histories_without_a_next_event_are_an_error(rows: list[np.ndarray]) -> None:
    message = "window_batches: at least one history must have two events, got none"
    with pytest.raises(ValueError, match=message):
        window_batches(histories(rows), 5, 4, np.random.default_rng(0))


def _check_targets(batches: list[torch.Tensor]) -> None:
    targets: list[int] = []
    for windows in batches:
        consecutive = (windows[:, 1:] > 0) & (windows[:, :-1] > 0)
        assert ((windows[:, 1:] - windows[:, :-1])[consecutive] == 1).all()
        assert ((windows[:, 1:] > 0) <= (windows[:, :-1] > 0)).all()
        targets += (windows[:, 1:][windows[:, 1:] > 0] - 1).tolist()
    assert sorted(targets) == sorted(item for row in ROWS for item in row[1:].tolist())
