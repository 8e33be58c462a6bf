"""Training configuration of all models."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from recops_models.setting_checks import check_at_least

TableOptimizer = Literal["adamw", "adam", "sparse-adam", "rowwise-adagrad"]
Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class TrainingConfig:
    """Training configuration of one stage.

    Attributes:
        epochs: maximum number of passes over the training part.
        batch: examples per step (windows for next-item models).
        learning_rate: peak rate, reached after ``warmup_epochs`` of linear increase.
        weight_decay: decoupled weight decay of matrices and, with ``tables="adamw"``, of tables.
        warmup_epochs: length of the linear increase in epochs; 0: none.
        decay: share of the peak rate after ``epochs``; the rate falls along half a cosine.
        clip: maximum norm of the gradient; 0: no clipping.
        patience: number of epochs without a better validation ``select`` before training stops.
        select: validation metric that chooses the best epoch; "last": the last epoch.
        tables: optimizer of embedding tables. ``"adamw"`` and ``"adam"`` (without weight decay)
            update every row at every step. ``"sparse-adam"`` and ``"rowwise-adagrad"`` update only
            the rows of the batch; the latter stores one number of state per row.
        table_learning_rate: peak rate of the tables; None: ``learning_rate``.
        precision: ``"bf16"`` runs matrix products of training steps in bfloat16 (autocast);
            weights, optimizers and evaluation stay float32.
        compile: whether :func:`torch.compile` compiles the loss and its gradient.
        checkpoint_minutes: time between checkpoints within an epoch; 0: after every step. There is
            always a checkpoint after every epoch. It changes no result.

    Raises:
        ValueError: ``epochs``, ``batch`` or ``patience`` below 1; another number negative or not
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
        """Return the learning rate after ``epoch`` epochs: linear warm-up, then cosine decay."""
        warmup = min(1.0, (epoch + 0.01) / self.warmup_epochs) if self.warmup_epochs else 1.0
        cosine = 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))
        return peak * warmup * (self.decay + (1 - self.decay) * cosine)


@dataclass(frozen=True)
class ChoiceConfig:
    """Validation users that choose a ranker's best epoch.

    Attributes:
        validation_users: maximum number of users to evaluate after every epoch; None: all. The
            sample does not depend on the seed. The final metrics cover all users.

    Raises:
        ValueError: ``validation_users`` below 1.
    """

    validation_users: int | None = None

    def __post_init__(self) -> None:
        check_at_least("training", self, validation_users=1)
