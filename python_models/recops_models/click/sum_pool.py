"""Sum pooling: a history is the sum of its events, whatever the candidate.

The Embedding & MLP model that DIN and DIEN call BaseModel: Zhou et al., Deep Interest Network, KDD
2018, §4.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.layers.feature_embedding import FeatureEmbedding
from recops_models.layers.mlp import MLP, ActivationName


@dataclass(frozen=True)
class SumPoolConfig:
    """Sizes; the MLP is that of DIEN's released code.

    Attributes:
        width: of an embedding.
        hidden: the widths of the MLP's hidden layers.
        activation: between them.
        dropout: on them.
    """

    width: int = 16
    hidden: tuple[int, ...] = (200, 80)
    activation: ActivationName = "dice"
    dropout: float = 0.0

    def head(self, input_dim: int) -> MLP:
        """A new MLP from what a model made of an example to its logit."""
        return MLP(input_dim, self.hidden, 1, activation_name=self.activation, dropout=self.dropout)


class SumPool(nn.Module):
    """``logit = MLP([context, Σ_t e_t])``.

    Args:
        schema: the features, fitted.
        config: sizes.
    """

    def __init__(self, schema: FittedSchema, config: SumPoolConfig) -> None:
        super().__init__()
        self.schema, self.config = schema, config
        self.embedding = FeatureEmbedding(schema, config.width)
        self.head = config.head(self.output_dim())

    def output_dim(self) -> int:
        """The width of what the MLP reads."""
        return self.embedding.context_dim + self.embedding.history_dim

    def bottom(self, batch: Batch) -> Tensor:
        """``[B, output_dim]``: what the MLP reads."""
        return torch.cat(self.embedding.context(batch, with_history=True), -1)

    def predict(self, batch: Batch) -> Tensor:
        """Logits ``[B]``."""
        logits: Tensor = self.head(self.bottom(batch))
        return logits.squeeze(-1)
