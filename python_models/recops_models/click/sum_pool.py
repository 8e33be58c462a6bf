"""Sum pooling: the history is the sum of its events, independent of the candidate.

The Embedding & MLP model that DIN and DIEN call BaseModel: Zhou et al., Deep Interest Network, KDD
2018, §4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from recops_models.click.model import ClickConfig, ClickModel
from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema


@dataclass(frozen=True)
class SumPoolConfig(ClickConfig):
    """Settings, those of every click model.

    Example:
        >>> from recops_models.click.sum_pool import SumPoolConfig
        >>> config = SumPoolConfig(width=8, hidden=(32,))
        >>> config.head(input_dim=24)[-1].in_features
        32
    """

    model: ClassVar[str] = "sum-pool"


class SumPool(ClickModel):
    """``logit = MLP([context, Σ_t e_t])``.

    Args:
        schema: the features, fitted.
        config: sizes.

    Example:
        >>> from recops_models.click.sum_pool import SumPool, SumPoolConfig
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> model = SumPool(schema, SumPoolConfig(width=4))
        >>> model(batch).shape
        torch.Size([3])
        >>> model.output_dim()  # 4 per categorical and sequence, 1 for the price
        21
    """

    def __init__(self, schema: FittedSchema, config: SumPoolConfig) -> None:
        super().__init__(schema, config)
        self.head = config.head(self.output_dim())

    def bottom(self, batch: Batch) -> tuple[Tensor, None]:
        """Return the input of the MLP, ``[B, output_dim]``."""
        return torch.cat(self.embedding.context(batch, with_history=True), -1), None
