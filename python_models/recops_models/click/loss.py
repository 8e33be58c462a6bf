"""The loss of click models."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch


def click_loss(logits: Tensor, label: Tensor) -> Tensor:
    """``−mean(y log σ(x) + (1 − y) log(1 − σ(x)))`` of logits x and labels y ``[B]``; 0 for B = 0.

    On logits, in float32: log(1 − p) of a probability rounded to 1 would be −∞.
    """
    total = F.binary_cross_entropy_with_logits(logits.float(), label, reduction="sum")
    return total / max(len(label), 1)


def training_loss(model: ClickModel, batch: Batch) -> Tensor:
    """``click_loss`` of a model's logits, and what the model adds to it."""
    x, auxiliary = model.bottom(batch)
    loss = click_loss(model.logits(x), batch.label)
    return loss if auxiliary is None else loss + auxiliary
