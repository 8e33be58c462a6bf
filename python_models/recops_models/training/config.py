"""How to train: what every model's training can be told."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from recops_models.setting_checks import check_at_least

TableOptimizer = Literal["adamw", "adam", "sparse-adam", "rowwise-adagrad"]
Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        epochs: at most so many passes over the training part.
        batch: examples (windows, for next-item models) per step.
        learning_rate: the peak, after ``warmup_epochs`` of linear rise.
        weight_decay: decoupled, on matrices and, with ``tables="adamw"``, on tables.
        warmup_epochs: how long the rate rises; 0: not at all.
        decay: over ``epochs``, the rate falls along half a cosine to this share of its peak.
        clip: the gradient's norm is cut to this; 0: never.
        patience: stop after so many epochs without a better validation ``select``.
        select: the validation metric whose best epoch is kept; "last" keeps the last one.
        tables: the optimizer of embedding tables. ``"adamw"`` and ``"adam"`` (no weight decay)
            visit every row at every step; ``"sparse-adam"`` and ``"rowwise-adagrad"`` the rows of
            the batch alone, the latter with one number of state a row.
        table_learning_rate: the tables' own peak; None: ``learning_rate``.
        precision: ``"bf16"`` runs matrix products of training steps in bfloat16 (autocast);
            weights, optimizers and evaluation stay float32.
        compile: the loss and its gradient through :func:`torch.compile`.
        checkpoint_minutes: how often the state is kept within an epoch; 0: after every step. It is
            kept after every epoch in any case. It changes no result.

    Raises:
        ValueError: no epoch, no example a step, no patience; another number that is below 0 or not
            finite.
    """

    epochs: int = 15
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_epochs: float = 1.0
    decay: float = 0.1
    clip: float = 1.0
    patience: int = 5
    select: str = "ndcg@10"
    tables: TableOptimizer = "adamw"
    table_learning_rate: float | None = None
    precision: Precision = "float32"
    compile: bool = False
    checkpoint_minutes: float = field(default=5.0, compare=False)

    def __post_init__(self) -> None:
        check_at_least("training", self, epochs=1, batch=1, patience=1)
        check_at_least("training", self, learning_rate=0, table_learning_rate=0, weight_decay=0)
        check_at_least("training", self, warmup_epochs=0, decay=0, clip=0, checkpoint_minutes=0)

    def rate(self, peak: float, epoch: float) -> float:
        """The learning rate after ``epoch`` epochs: linear warm-up, then half a cosine down."""
        warmup = min(1.0, (epoch + 0.01) / self.warmup_epochs) if self.warmup_epochs else 1.0
        cosine = 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))
        return peak * warmup * (self.decay + (1 - self.decay) * cosine)


@dataclass(frozen=True)
class ChoiceConfig:
    """By whom a ranker's best epoch is chosen.

    Attributes:
        validation_users: at most so many users of the validation part are asked after every epoch,
            drawn once, the same whatever the seed; None: all. What is told in the end is of all.

    Raises:
        ValueError: fewer than one.
    """

    validation_users: int | None = None

    def __post_init__(self) -> None:
        check_at_least("training", self, validation_users=1)
