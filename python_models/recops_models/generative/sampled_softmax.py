"""Softmax over a target and sampled negative items."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sampled_softmax_loss(
    positive: Tensor, negative: Tensor, is_target: Tensor, num_items: int
) -> Tensor:
    """Return ``−log(exp s / (exp s + N/K Σ_k exp s_k))`` for each target, ``[n]``.

    K negatives are drawn uniformly from N items, so that the denominator estimates the sum over all
    items.

    Source: Jean et al., On Using Very Large Target Vocabulary for Neural Machine Translation, 2015
    (arXiv 1412.2007).

    Args:
        positive: ``[n]``, scores s of the targets.
        negative: ``[n, K]``, scores s_k of the drawn items.
        is_target: ``[n, K]`` bool, whether a drawn item is the target; it is ignored.
        num_items: N.

    Complexity:
        O(n K).

    Example:
        >>> import torch
        >>> from recops_models.generative.sampled_softmax import sampled_softmax_loss
        >>> negative = torch.tensor([[0.0, 5.0]])
        >>> is_target = torch.tensor([[False, True]])
        >>> sampled_softmax_loss(torch.tensor([0.0]), negative, is_target, num_items=2)  # log 2
        tensor([0.6931])
    """
    raised = negative + math.log(num_items / negative.shape[1])
    logits = torch.cat([positive[:, None], raised.masked_fill(is_target, -torch.inf)], -1)
    return logits.logsumexp(-1) - positive
