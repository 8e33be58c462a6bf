"""Training windows cut from histories."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recops_models.data.histories import Histories


class Windows(NamedTuple):
    """Windows of histories and their targets ``items[:, 1:]``.

    Example:
        >>> import torch
        >>> from recops_models.generative.windows import Windows
        >>> windows = Windows.of(torch.tensor([[4, 5, 6], [7, 8, 0]]))
        >>> windows.rows
        tensor([0, 1, 2])
    """

    items: Tensor
    """``[W, T + 1]`` i64, 1-based, right-padded with 0."""
    rows: Tensor
    """``[n]`` i64, see :func:`target_rows`."""

    @classmethod
    def of(cls, items: Tensor) -> Windows:
        """Return the windows with these items."""
        return cls(items, target_rows(items[:, 1:]))


def target_rows(target: Tensor) -> Tensor:
    """Return the positions ``[n]`` i64 in ``target.flatten()`` of the targets, which are above 0.

    The number of targets depends on data, so on a device other than the CPU this waits for the
    device. Batches hold the result, which is computed before they are copied to the device.

    Example:
        >>> import torch
        >>> from recops_models.generative.windows import target_rows
        >>> target_rows(torch.tensor([[5, 6], [8, 0]]))
        tensor([0, 1, 2])
    """
    return (target > 0).flatten().nonzero()[:, 0]


def at_rows(values: Tensor, rows: Tensor) -> Tensor:
    """Return ``values [B, T, …]`` at ``rows [n]`` of the B · T flattened positions, ``[n, …]``.

    Example:
        >>> import torch
        >>> from recops_models.generative.windows import at_rows
        >>> at_rows(torch.tensor([[5, 6], [8, 0]]), rows=torch.tensor([0, 2]))
        tensor([5, 8])
    """
    return values.flatten(0, 1).index_select(0, rows)


def window_batches(
    histories: Histories, length: int, batch: int, rng: np.random.Generator
) -> list[Tensor]:
    """Return the windows of :func:`cut_windows` as batches of similar length, in random order.

    Batches of random windows would mostly be padding where histories are short. Each batch has
    about the same number of targets, that of ``batch`` windows of average length, so all targets
    have about equal weight.

    Args:
        histories: training histories.
        length: T, the model's window.
        batch: average number of windows per batch.
        rng: draws the cuts, the windows that share a batch, and the order of batches.

    Returns:
        event positions ``[W, L + 1]`` i64 per batch, right-padded with −1; L ≤ T is the number of
        targets of its longest window.

    Raises:
        ValueError: no history has two events.

    Example:
        >>> import numpy as np
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.windows import window_batches
        >>> histories = Histories(np.array([0, 4, 6]), items=np.arange(6), rows=np.arange(6))
        >>> batches = window_batches(histories, length=4, batch=2, rng=np.random.default_rng(0))
        >>> [tuple(batch.shape) for batch in batches]
        [(2, 4)]
    """
    windows = cut_windows(histories, length, rng)
    if not len(windows):
        raise ValueError(
            "window_batches: at least one history must have two events, got none: there is nothing "
            "to learn from"
        )
    windows = windows[torch.from_numpy(rng.permutation(len(windows)))]
    targets = (windows >= 0).sum(1) - 1
    order = targets.argsort(stable=True)
    windows, targets = windows[order], targets[order]
    targets_before, batches = targets.cumsum(0) - targets, -(-len(windows) // batch)
    _, sizes = (targets_before * batches // targets.sum()).unique_consecutive(return_counts=True)
    longest = np.asarray(targets[sizes.cumsum(0) - 1])
    parts = windows.split([int(size) for size in np.asarray(sizes)])
    return [parts[i][:, : longest[i] + 1] for i in rng.permutation(len(parts))]


def cut_windows(histories: Histories, length: int, rng: np.random.Generator) -> Tensor:
    """Cut histories into windows of ``length + 1`` events that overlap by one.

    In a window, each event but the first is a target, and the events before it are its history. The
    cuts are random, so over many epochs a target is predicted from histories of all lengths.

    Args:
        histories: training histories.
        length: T, the model's window.
        rng: draws the first cut of each history.

    Returns:
        positions in ``histories.items``, ``[W, length + 1]`` i64, right-padded with −1.

    Example:
        >>> import numpy as np
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.windows import cut_windows
        >>> histories = Histories(np.array([0, 4, 6]), items=np.arange(6), rows=np.arange(6))
        >>> cut_windows(histories, length=4, rng=np.random.default_rng(0))
        tensor([[ 0,  1,  2,  3, -1],
                [ 4,  5, -1, -1, -1]])
    """
    lengths = histories.lengths
    targets = np.maximum(lengths - 1, 0)
    is_long = targets > length
    shift = np.where(is_long, rng.integers(length, size=len(lengths)), 0)
    counts = -(-(targets + shift) // length)
    owner = np.repeat(np.arange(len(lengths)), counts)
    nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    start = np.maximum(nth * length - shift[owner], 0)
    stop = np.minimum((nth + 1) * length - shift[owner], targets[owner])
    position = start[:, None] + np.arange(length + 1)
    first = histories.offsets[:-1][owner][:, None]
    return torch.from_numpy(np.where(position <= stop[:, None], position + first, -1))


def items_at(histories: Histories, positions: Tensor) -> Tensor:
    """Return the 1-based items at ``positions``; 0 at position −1.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.windows import items_at
        >>> histories = Histories(np.array([0, 3]), items=np.array([7, 8, 9]), rows=np.arange(3))
        >>> items_at(histories, torch.tensor([[0, 2, -1]]))
        tensor([[ 8, 10,  0]])
    """
    items = torch.from_numpy(histories.items)
    return (items[positions] + 1).where(positions >= 0, 0)


def last_windows(histories: Histories, length: int) -> tuple[Tensor, Tensor]:
    """Return the last events of each history, and their number.

    Returns:
        items ``[U, length]`` i64, 1-based, right-padded with 0; lengths ``[U]`` i64.

    Example:
        >>> import numpy as np
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.windows import last_windows
        >>> items = np.array([7, 8, 9, 5])
        >>> histories = Histories(np.array([0, 3, 4]), items, rows=np.arange(4))
        >>> last_windows(histories, length=2)
        (tensor([[ 9, 10],
                [ 6,  0]]), tensor([2, 1]))
    """
    items, lengths = histories.last(length)
    return torch.from_numpy(items + 1), torch.from_numpy(lengths)


def request_windows(
    histories: Histories, length: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the inputs of requests: :func:`last_windows` on ``device``.

    On the CPU, T is the number of events of the longest window, so a model computes little padding.
    On other devices T is ``length``, so all batches have the same shape.

    Returns:
        items ``[U, T]`` i64, 1-based, right-padded with 0; lengths ``[U]`` i64.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.windows import request_windows
        >>> histories = Histories(np.array([0, 2]), items=np.array([7, 8]), rows=np.arange(2))
        >>> request_windows(histories, length=50, device=torch.device("cpu"))
        (tensor([[8, 9]]), tensor([2]))
    """
    if device.type == "cpu":
        length = min(length, int(histories.lengths.max(initial=1)))
    items, lengths = last_windows(histories, length)
    return items.to(device), lengths.to(device)
