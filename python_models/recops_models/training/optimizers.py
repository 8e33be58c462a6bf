"""The optimizers of one training, and clipping that knows sparse gradients."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from recops_models.layers.decaying_rows import DecayingRows
from recops_models.training.config import TrainingConfig
from recops_models.training.rowwise_adagrad import RowwiseAdagrad


def make_optimizers(model: nn.Module, config: TrainingConfig) -> list[Optimizer]:
    """AdamW for the network, and for the tables what ``config.tables`` says.

    A table is the weight of an ``nn.Embedding``, whose ``sparse`` flag is set to what its optimizer
    reads. One of :class:`~recops_models.layers.decaying_rows.DecayingRows` decays by itself, at its
    group's rate, and not by ``weight_decay`` too. Each parameter group carries its ``peak``, from
    which :func:`set_learning_rate` goes. Neighbours with the same settings are one group, for a
    step has work of its own for each group.

    Raises:
        ValueError: sparse optimizers for a model without tables.
    """
    modules = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    sparse = config.tables in ("sparse-adam", "rowwise-adagrad")
    if sparse and not modules:
        raise ValueError(f"training: tables={config.tables}, but the model has no embedding table")
    for module in modules:
        module.sparse = sparse
    decaying = [module for module in modules if isinstance(module, DecayingRows)]
    alone = {id(module.weight) for module in decaying}
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
        groups.append((table_rate, decay, [table for table in tables if id(table) not in alone]))
        groups.append((table_rate, 0.0, [table for table in tables if id(table) in alone]))
    optimizers: list[Optimizer] = [torch.optim.AdamW(_merged(groups), lr=rate, fused=True)]
    table_group = {"params": tables, "peak": table_rate}
    if config.tables == "sparse-adam":
        optimizers.append(torch.optim.SparseAdam([table_group], lr=table_rate))
    elif config.tables == "rowwise-adagrad":
        optimizers.append(RowwiseAdagrad([table_group], lr=table_rate))
    for module in decaying:
        _decay_with(optimizers[-1], module)
    return optimizers


def check_dense(config: TrainingConfig) -> None:
    """That the optimizer of tables takes dense gradients, which a model has that reads one as a
    whole.

    Raises:
        ValueError: it does not.
    """
    if config.tables == "sparse-adam":
        raise ValueError(
            f"training: tables={config.tables} is for tables that are only looked up, and this "
            "model also reads one as a whole; take rowwise-adagrad or adamw"
        )


def _decay_with(optimizer: Optimizer, rows: DecayingRows) -> None:
    """Have every step of the rows' optimizer decay them, at the rate that it then has."""

    def before_step(*_: object) -> None:
        for group in optimizer.param_groups:  # A checkpoint puts others in their place.
            if any(parameter is rows.weight for parameter in group["params"]):
                rows.advance(float(group["lr"]))

    optimizer.register_step_pre_hook(before_step)


def _merged(groups: Iterable[tuple[float, float, list[nn.Parameter]]]) -> list[dict[str, Any]]:
    """Of peak, weight decay and parameters, which keep their order: checkpoints count them."""
    return [
        {
            "params": [each for *_, some in alike for each in some],
            "peak": peak,
            "weight_decay": decay,
        }
        for (peak, decay), alike in groupby(groups, key=itemgetter(0, 1))
    ]


def set_learning_rate(optimizers: Iterable[Optimizer], config: TrainingConfig, at: float) -> None:
    """Every group's rate after ``at`` epochs."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = config.rate(group["peak"], at)


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> None:
    """Scale all gradients by ``min(1, limit / (norm + 1e-6))``, ``norm`` that of them as one.

    As :func:`torch.nn.utils.clip_grad_norm_`, to the bit; but a sparse gradient is summed over
    repeated rows first, and counts by what it then holds.
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
