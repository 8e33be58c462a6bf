"""DIN: target attention of the candidate to the events of the history.

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
    """Settings in addition to those of every click model.

    Attributes:
        attention_hidden: widths of the hidden layers of the attention's MLP.
        attention_activation: activation of the hidden layers; not Dice.
        attention_weights: "softmax" (the released code), "raw" (the paper), or "uniform" (a
            control: the mean of the history, independent of the candidate).
        history: the only history that is attended to; the others are summed. None: DIN attends to
            each history, and a model that reads events in order takes the first one.

    Raises:
        ValueError: a layer below 1, and see :class:`~recops_models.click.model.ClickConfig`.

    Example:
        >>> from recops_models.click.din import DinConfig
        >>> DinConfig().attention(width=16).pair.hidden
        80
        >>> DinConfig(attention_hidden=(0,))
        Traceback (most recent call last):
            ...
        ValueError: din: attention_hidden must be ≥ 1, got (0,)
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
        """Return a new attention over events of this width."""
        return TargetAttention(
            width,
            self.attention_hidden,
            activation_name=self.attention_activation,
            weights=self.attention_weights,
        )


class Din(ClickModel):
    """``logit = MLP([context, Σ_t w_t e_t, …])``, with weights w of target attention per history.

    Args:
        schema: the features, fitted.
        config: sizes.

    Example:
        >>> from recops_models.click.din import Din, DinConfig
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> model = Din(schema, DinConfig(width=4)).eval()
        >>> model(batch).sigmoid().shape  # click probabilities
        torch.Size([3])
    """

    def __init__(self, schema: FittedSchema, config: DinConfig) -> None:
        super().__init__(schema, config, history=config.history)
        self.attention = HistoryAttention(self.embedding, config.attention)
        self.head = config.head(self.output_dim())

    def bottom(self, batch: Batch) -> tuple[Tensor, None]:
        """Return the input of the MLP, ``[B, output_dim]``."""
        context = self.embedding.context(batch)  # [(B, …)]
        interests = self.attention(self.embedding, batch)  # [(B, d)]
        return torch.cat([*context, *interests], -1), None
