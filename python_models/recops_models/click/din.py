"""DIN: a history is what of it matters to the candidate.

Zhou et al., Deep Interest Network for Click-Through Rate Prediction, KDD 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from recops_models.click.model import ClickConfig, ClickModel
from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.layers.history_attention import HistoryAttention
from recops_models.layers.mlp import ActivationName
from recops_models.layers.target_attention import AttentionWeights, TargetAttention
from recops_models.setting_checks import check_at_least


@dataclass(frozen=True)
class DinConfig(ClickConfig):
    """Sizes, beside those of every click model.

    Attributes:
        attention_hidden: the widths of the hidden layers of the attention's MLP.
        attention_activation: between them; not Dice.
        attention_weights: "softmax" (the released code), "raw" (the paper), or "uniform" (the mean
            of the history, whatever the candidate: a control).
        history: of several, the one that is read; the others are summed. None: DIN attends each by
            itself, and a model that reads in order takes the first.

    Raises:
        ValueError: a layer below 1, and see :class:`~recops_models.click.model.ClickConfig`.
    """

    model: ClassVar[str] = "din"
    attention_hidden: tuple[int, ...] = (80, 40)
    attention_activation: ActivationName = "sigmoid"
    attention_weights: AttentionWeights = "softmax"
    history: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self.model, self, attention_hidden=1)

    def attention(self, width: int) -> TargetAttention:
        """A new attention to events of this width."""
        return TargetAttention(
            width,
            self.attention_hidden,
            activation_name=self.attention_activation,
            weights=self.attention_weights,
        )


class Din(ClickModel):
    """``logit = MLP([context, Σ_t w_t e_t, …])``, ``w`` by target attention to the candidate, for
    each history.

    Args:
        schema: the features, fitted.
        config: sizes.
    """

    def __init__(self, schema: FittedSchema, config: DinConfig) -> None:
        super().__init__(schema, config, history=config.history)
        self.attention = HistoryAttention(self.embedding, config.attention)
        self.head = config.head(self.output_dim())

    def bottom(self, batch: Batch) -> tuple[Tensor, None]:
        """``[B, output_dim]``: what the MLP reads."""
        context = self.embedding.context(batch)  # [(B, …)]
        interests = self.attention(self.embedding, batch)  # [(B, d)]
        return torch.cat([*context, *interests], -1), None
