"""Loss of click models."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from recops_models import workers
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch, task_feature


def click_loss(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean of ``−w (y log σ(x) + (1 − y) log(1 − σ(x)))`` of logits x; 0 for B = 0.

    With several workers, return this worker's share of the mean over all of them.

    It is computed in float32 from logits: for a probability rounded to 1, log(1 − p) would be −∞.

    Args:
        logits: x ``[B]``.
        label: y ``[B]``, 0 or 1.
        weight: w ``[B]``; None: 1.

    Example:
        >>> import torch
        >>> from recops_models.click.loss import click_loss
        >>> click_loss(torch.zeros(2), label=torch.tensor([1.0, 0.0]))  # log 2
        tensor(0.6931)
    """
    total = F.binary_cross_entropy_with_logits(logits.float(), label, weight, reduction="sum")
    return workers.share_of_ratio(total, len(label))


def training_loss(model: ClickModel, batch: Batch) -> Tensor:
    """Return :func:`click_loss` of a model's logits plus the model's auxiliary loss.

    A model of several labels adds the loss of each other label, times ``label_weight``.

    Example:
        >>> from recops_models.click.din import Din, DinConfig
        >>> from recops_models.click.loss import training_loss
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> model = Din(schema, DinConfig(width=4))
        >>> training_loss(model, batch).backward()
        >>> model.embedding.tables["item"].weight.grad.shape  # 5 items + 2 rows
        torch.Size([7, 4])
    """
    x, auxiliary = model.bottom(batch)
    if len(model.labels) == 1:
        loss = click_loss(model.logits(x), batch.label, batch.weight)
    else:
        clicks, *others = model.label_logits(x).unbind(-1)
        loss = click_loss(clicks, batch.label, batch.weight)
        for label, logits in zip(model.labels[1:], others, strict=True):
            other = click_loss(logits, batch.features[task_feature(label)], batch.weight)
            loss = loss + model.config.label_weight * other
    return loss if auxiliary is None else loss + auxiliary
