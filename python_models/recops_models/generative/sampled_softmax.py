"""Softmax over a target and sampled negative items."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

LookUp: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Function from items ``[m]`` to their vectors ``[m, d]`` and biases ``[m]``."""


def negatives_shape(num_targets: int, negatives: int) -> tuple[int, int]:
    """Return ``(G, K)``, the shape of the negatives of a batch: K targets share K negatives.

    Look-ups of negatives then cost about those of the targets. One set of K for the whole batch
    needs fewer, but then all targets share its noise, which lowers the ranking quality of short
    trainings.

    Example:
        >>> from recops_models.generative.sampled_softmax import negatives_shape
        >>> negatives_shape(num_targets=600, negatives=256)
        (3, 256)
    """
    return -(-num_targets // negatives), negatives


def sampled_softmax_loss(
    state: Tensor, target: Tensor, drawn: Tensor, look_up: LookUp, num_items: int
) -> Tensor:
    """Return ``−log(exp s / (exp s + N/K Σ_k exp s_k))`` for each target, ``[n]``.

    ``s(i) = ⟨h, e_i⟩ + b_i`` scores an item i for a state h. K negatives are drawn uniformly from N
    items, so that the denominator estimates the sum over all items. Each of G equal parts of the
    targets has its own K negatives. A negative that equals its target is ignored.

    Source: Jean et al., On Using Very Large Target Vocabulary for Neural Machine Translation, 2015
    (arXiv 1412.2007), which shares the negatives within a part of the training data.

    Args:
        state: ``[n, d]``.
        target: ``[n]`` i64.
        drawn: ``[G, K]`` i64, see :func:`negatives_shape`.
        look_up: returns e and b of items.
        num_items: N.

    Complexity:
        O(n K d + G K d).

    Example:
        >>> import torch
        >>> from recops_models.generative.sampled_softmax import sampled_softmax_loss
        >>> def look_up(item):
        ...     return item[:, None].float(), torch.zeros(len(item))
        >>> state, target, drawn = torch.zeros(1, 1), torch.tensor([1]), torch.tensor([[1, 0]])
        >>> sampled_softmax_loss(state, target, drawn, look_up, num_items=2)  # log 2
        tensor([0.6931])
    """
    (count, width), (groups, negatives) = state.shape, drawn.shape
    # One look-up has one gradient of the table's size.
    vectors, bias = look_up(torch.cat([target, drawn.flatten()]))
    positive = (state * vectors[:count]).sum(-1) + bias[:count]
    size = -(-count // max(groups, 1))
    padding = groups * size - count
    negative = torch.baddbmm(
        bias[count:].view(groups, 1, negatives),
        F.pad(state, (0, 0, 0, padding)).view(groups, size, width),
        vectors[count:].view(groups, negatives, width).mT,
    )  # (G, ⌈n / G⌉, K)
    is_target = drawn[:, None] == F.pad(target, (0, padding)).view(groups, size, 1)
    raised = (negative + math.log(num_items / negatives)).masked_fill(is_target, -torch.inf)
    logits = torch.cat([positive[:, None], raised.flatten(0, 1)[:count]], -1)
    return logits.logsumexp(-1) - positive
