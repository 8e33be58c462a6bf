"""Reference of DIEN's auxiliary loss; see :mod:`recops.ops.next_event`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from recops._dtypes import compute_dtype


def next_event_loss(
    states: Tensor,
    events: Tensor,
    drawn: Tensor,
    layers: Sequence[Tensor],
    *,
    lengths: Tensor | None = None,
) -> Tensor:
    """Compute :func:`recops.next_event_loss` in PyTorch."""
    wide = compute_dtype(states.dtype)
    states, events = states.to(wide), events.to(wide)
    layers = [each.to(wide) for each in layers]
    rows, steps, _ = events.shape
    device = states.device
    lengths = torch.full((rows,), steps, device=device) if lengths is None else lengths
    valid = torch.arange(1, max(steps, 1), device=device) < lengths[:, None]
    positive, negative = events[:, 1:][valid], events.flatten(0, 1)[drawn[valid].long()]

    def scores(candidates: Tensor) -> Tensor:
        x = torch.cat([states[:, :-1][valid], candidates], -1)
        for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
            x = F.linear(x, weight, bias).sigmoid()
        return F.linear(x, layers[-2], layers[-1])[:, 0]

    is_different = (positive != negative).any(-1)
    return F.softplus(-scores(positive)).sum() + F.softplus(scores(negative))[is_different].sum()
