"""What a click model is: a bottom that reads an example, a head that makes its logit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.layers.feature_embedding import FeatureEmbedding
from recops_models.layers.mlp import MLP, ActivationName
from recops_models.setting_checks import check_at_least, check_shares


@dataclass(frozen=True)
class ClickConfig:
    """Sizes that every click model has; the MLP is that of DIEN's released code.

    Attributes:
        width: of an embedding.
        hidden: the widths of the MLP's hidden layers.
        activation: between them.
        dropout: on them.
        table_std: of the normal law that embeddings begin from. A recurrence upon small numbers is
            linear, and slow to learn: at 0.1 it has a start.

    Raises:
        ValueError: a width below 1, a dropout outside [0, 1), a negative deviation.
    """

    model: ClassVar[str] = "click model"
    """Whose sizes they are, in what errors say."""

    width: int = 16
    hidden: tuple[int, ...] = (200, 80)
    activation: ActivationName = "dice"
    dropout: float = 0.0
    table_std: float = 0.01

    def __post_init__(self) -> None:
        check_at_least(self.model, self, width=1, hidden=1, table_std=0)
        check_shares(self.model, self, "dropout")

    def head(self, input_dim: int) -> MLP:
        """A new MLP from what a model made of an example to its logit."""
        return MLP(input_dim, self.hidden, 1, activation_name=self.activation, dropout=self.dropout)


def check_quirks(model: str, compat: Sequence[str], known: Sequence[str]) -> None:
    """``compat`` names quirks of a model's released code that there are.

    Raises:
        ValueError: it does not; the text names ``model``.
    """
    for quirk in compat:
        if quirk not in known:
            raise ValueError(f"{model}: compat must be of {', '.join(known)}, got {quirk!r}")


class ClickModel(nn.Module, ABC):
    """``logit = head(bottom(batch))``.

    A subclass makes its layers, the ``head`` upon ``output_dim()`` numbers last, and says what
    ``bottom`` is. Whatever wraps a click model (a rocket, a co-action, a plug-in) goes by these.

    Attributes:
        schema: the features, fitted.
        config: sizes.
        embedding: the features' tables.
        head: from ``[B, output_dim]`` to ``[B, 1]``.

    Args:
        schema: see the attribute.
        config: see the attribute.
        width: of a row of the tables; None: the configuration's.
        history: the one history that is kept apart; None: all are.
    """

    head: nn.Module

    def __init__(
        self,
        schema: FittedSchema,
        config: ClickConfig,
        *,
        width: int | None = None,
        history: str | None = None,
    ) -> None:
        super().__init__()
        self.schema, self.config = schema, config
        width = config.width if width is None else width
        self.embedding = FeatureEmbedding(schema, width, std=config.table_std, history=history)

    def output_dim(self) -> int:
        """The width of what the head reads: the context, and a history's worth of interest."""
        return self.embedding.context_dim + self.embedding.history_dim

    @abstractmethod
    def bottom(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """``[B, output_dim]``, what the head reads; and, in training, the loss that the model has
        of its own beside the cross-entropy, a scalar. None: it has none, or is not in training.
        """

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[B]``."""
        return self.logits(self.bottom(batch)[0])

    def logits(self, x: Tensor) -> Tensor:
        """``[B]`` of what :meth:`bottom` made, ``[B, output_dim]``."""
        logits: Tensor = self.head(x)
        return logits.squeeze(-1)
