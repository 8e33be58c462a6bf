"""The loss of click models."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def click_loss(logits: Tensor, label: Tensor) -> Tensor:
    """``−mean(y log σ(x) + (1 − y) log(1 − σ(x)))`` of logits x and labels y ``[B]``; 0 for B = 0.

    On logits, in float32: log(1 − p) of a probability rounded to 1 would be −∞.
    """
    total = F.binary_cross_entropy_with_logits(logits.float(), label, reduction="sum")
    return total / max(len(label), 1)
