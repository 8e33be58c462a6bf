"""The loss of click models."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from recops_models.examples.batch import Batch


def click_loss(logits: Tensor, label: Tensor) -> Tensor:
    """``−mean(y log σ(x) + (1 − y) log(1 − σ(x)))`` of logits x and labels y ``[B]``; 0 for B = 0.

    On logits, in float32: log(1 − p) of a probability rounded to 1 would be −∞.
    """
    total = F.binary_cross_entropy_with_logits(logits.float(), label, reduction="sum")
    return total / max(len(label), 1)


def training_loss(model: Any, batch: Batch) -> Tensor:
    """``click_loss`` of a model's predictions, and what the model adds to it."""
    logits, added = logits_and_auxiliary(model, batch)
    return click_loss(logits, batch.label) + added


def logits_and_auxiliary(model: Any, batch: Batch) -> tuple[Tensor, Tensor | float]:
    """``[B]``, and the loss that the model has of its own, 0 for most."""
    if not hasattr(model, "bottom_and_auxiliary"):
        return model.predict(batch), 0.0
    x, auxiliary = model.bottom_and_auxiliary(batch)
    return model.head(x).squeeze(-1), auxiliary


def bottom_and_auxiliary(model: Any, batch: Batch) -> tuple[Tensor, Tensor | float]:
    """``[B, output_dim]``, what the model's MLP reads, and the loss that it has of its own."""
    if not hasattr(model, "bottom_and_auxiliary"):
        return model.bottom(batch), 0.0
    found: tuple[Tensor, Tensor] = model.bottom_and_auxiliary(batch)
    return found
