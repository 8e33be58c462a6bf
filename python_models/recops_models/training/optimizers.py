"""Optimizers of a training, and gradient clipping for sparse gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from recops_models import workers
from recops_models.layers.decaying_rows import DecayingRows
from recops_models.layers.learned_table import LearnedTable
from recops_models.training.config import TrainingConfig
from recops_models.training.gradients import sum_gradients
from recops_models.training.rowwise_adagrad import RowwiseAdagrad


def make_optimizers(model: nn.Module, config: TrainingConfig) -> list[Optimizer]:
    """Return AdamW for the network, and the optimizer ``config.tables`` for embedding tables.

    A table is the weight of a :class:`~recops_models.layers.learned_table.LearnedTable`, such as an
    ``nn.Embedding``. Its ``sparse`` flag is set to the kind of gradient that its optimizer needs. A
    :class:`~recops_models.layers.decaying_rows.DecayingRows` applies its own decay, at the rate of
    its group, and has no ``weight_decay``. Each parameter group has its ``peak`` rate, which
    :func:`set_learning_rate` reads. Adjacent groups with equal settings are merged, because each
    group costs time per step.

    Raises:
        ValueError: a sparse optimizer for a model without tables.
    """
    modules = [module for module in model.modules() if isinstance(module, LearnedTable)]
    sparse = config.tables in ("sparse-adam", "rowwise-adagrad")
    if sparse and not modules:
        raise ValueError(f"training: tables={config.tables}, but the model has no embedding table")
    for module in modules:
        module.sparse = sparse
    decaying = [module for module in model.modules() if isinstance(module, DecayingRows)]
    decaying_ids = {id(module.weight) for module in decaying}
    ids = {id(module.weight) for module in modules}
    tables = [parameter for parameter in model.parameters() if id(parameter) in ids]
    others = [parameter for parameter in model.parameters() if id(parameter) not in ids]
    rate = config.learning_rate
    table_rate = rate if config.table_learning_rate is None else config.table_learning_rate
    matrices = [parameter for parameter in others if parameter.ndim > 1]
    vectors = [parameter for parameter in others if parameter.ndim <= 1]
    groups = [(rate, config.weight_decay, matrices), (rate, 0.0, vectors)]
    if not sparse:
        decay = config.weight_decay if config.tables == "adamw" else 0.0
        plain = [table for table in tables if id(table) not in decaying_ids]
        lazy = [table for table in tables if id(table) in decaying_ids]
        groups += [(table_rate, decay, plain), (table_rate, 0.0, lazy)]
    optimizers: list[Optimizer] = [torch.optim.AdamW(_merged(groups), lr=rate, fused=True)]
    table_group = {"params": tables, "peak": table_rate}
    if config.tables == "sparse-adam":
        optimizers.append(torch.optim.SparseAdam([table_group], lr=table_rate))
    elif config.tables == "rowwise-adagrad":
        optimizers.append(RowwiseAdagrad([table_group], lr=table_rate))
    for rows in decaying:
        _decay_with(optimizers[-1], rows)
    return optimizers


def check_dense(config: TrainingConfig) -> None:
    """Check that the optimizer of tables accepts dense gradients.

    Models that read a whole table give dense gradients.

    Raises:
        ValueError: the optimizer accepts only sparse gradients.
    """
    if config.tables == "sparse-adam":
        raise ValueError(
            f"training: tables={config.tables} needs sparse gradients, but this model also reads a "
            "table as a whole; use rowwise-adagrad or adamw"
        )


def check_gradients(optimizers: Iterable[Optimizer], config: TrainingConfig) -> None:
    """Check that SparseAdam, if present, gets no dense gradient.

    Raises:
        ValueError: a table of SparseAdam has a dense gradient.
    """
    for optimizer in optimizers:
        if isinstance(optimizer, torch.optim.SparseAdam):
            tables = (table for group in optimizer.param_groups for table in group["params"])
            if any(table.grad is not None and not table.grad.is_sparse for table in tables):
                check_dense(config)


def _decay_with(optimizer: Optimizer, rows: DecayingRows) -> None:
    """Decay ``rows`` before each step of their optimizer, at its current rate."""

    def before_step(*_: object) -> None:
        for group in optimizer.param_groups:  # Loading a checkpoint replaces the groups.
            if any(parameter is rows.weight for parameter in group["params"]):
                rows.advance(float(group["lr"]))

    optimizer.register_step_pre_hook(before_step)


def _merged(groups: Iterable[tuple[float, float, list[nn.Parameter]]]) -> list[dict[str, Any]]:
    """Merge adjacent groups of peak rate and weight decay.

    Parameters keep their order, which numbers them in checkpoints.
    """
    return [
        {
            "params": [each for *_, parameters in equal for each in parameters],
            "peak": peak,
            "weight_decay": decay,
        }
        for (peak, decay), equal in groupby(groups, key=itemgetter(0, 1))
    ]


def set_learning_rate(optimizers: Iterable[Optimizer], config: TrainingConfig, at: float) -> None:
    """Set the rate of every group to its value after ``at`` epochs."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = config.rate(group["peak"], at)


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> None:
    """Scale all gradients by ``min(1, limit / (norm + 1e-6))``, where ``norm`` is their joint norm.

    Dense gradients are scaled bit-identically to :func:`torch.nn.utils.clip_grad_norm_`. Repeated
    rows of a sparse gradient are summed first.
    """
    pieces: list[Tensor] = []
    for parameter in parameters:
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            pieces.append(parameter.grad.values())
        else:
            pieces.append(parameter.grad)
    if not pieces:
        return
    scale = (limit / (nn.utils.get_total_norm(pieces) + 1e-6)).clamp(max=1.0)
    for piece in pieces:
        piece.mul_(scale)


def update_weights(
    loss: Tensor,
    optimizers: Sequence[Optimizer],
    clipped: Iterable[nn.Module],
    config: TrainingConfig,
) -> None:
    """Run the backward pass of a loss, clip the gradients, and update the weights.

    Gradients are first summed over all workers.

    Args:
        loss: mean loss of a step, or this worker's share of it.
        optimizers: those of :func:`make_optimizers`.
        clipped: modules whose gradients are clipped to ``config.clip``, each by its own norm.
        config: the training settings.

    Raises:
        ValueError: see :func:`check_gradients`.
    """
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    if workers.several():
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        sum_gradients([parameter for group in groups for parameter in group["params"]])
    for net in clipped:
        clip_gradients(net.parameters(), config.clip)
    check_gradients(optimizers, config)
    for optimizer in optimizers:
        optimizer.step()
