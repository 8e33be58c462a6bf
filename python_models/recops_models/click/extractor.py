"""Knowledge extractor of KEEP: DIN with a user tower, an item tower and several tasks.

KEEP (arXiv 2208.10174). Confirmed: it is supervised by several tasks on the super-domain, its
backbone is DIN, and its knowledge is about users, items and their interaction. Inferred: every
formula, width and weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from recops_models.click.din import DinConfig
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch
from recops_models.examples.entity_columns import is_user_feature
from recops_models.examples.features import FittedSchema, Numeric, Vector
from recops_models.examples.task_maker import DOMAIN
from recops_models.layers.history_attention import HistoryAttention
from recops_models.layers.mlp import MLP, ActivationName
from recops_models.layers.pair_knowledge import PairKnowledge
from recops_models.setting_checks import check_at_least


@dataclass(frozen=True)
class ExtractorConfig(DinConfig):
    """Settings in addition to those of DIN; ``hidden`` is that of the heads.

    Attributes:
        width: width of an embedding, and d, of a knowledge vector.
        tower_hidden: widths of the hidden layers of both towers.
        domain_width: width of a domain's embedding, which only the heads read.
        task_weight: loss weight of every task except clicks.

    Raises:
        ValueError: a size below 1, a negative weight; and see
            :class:`~recops_models.click.din.DinConfig`.

    Example:
        >>> from recops_models.click.extractor import ExtractorConfig
        >>> ExtractorConfig(task_weight=-1.0)
        Traceback (most recent call last):
            ...
        ValueError: extractor: task_weight must be ≥ 0, got -1.0
    """

    model: ClassVar[str] = "extractor"
    width: int = 32
    hidden: tuple[int, ...] = (64,)
    activation: ActivationName = "prelu"
    tower_hidden: tuple[int, ...] = (128,)
    domain_width: int = 8
    task_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self.model, self, tower_hidden=1, domain_width=1, task_weight=0)


class Extractor(ClickModel):
    """``logit_t = MLP_t([K_u, K_i, K_ui, s, e_domain]) + v_t·K_ui`` for each task t, clicks first.

    - ``K_u = Σ_f e_f + MLP(x)``, where e_f are the rows of the user's features and x is these and
      the mean of the history. It does not depend on the candidate, so it can be stored.
    - ``K_i``: the same, of the item's features, without a history.
    - ``K_ui``: of both, see :class:`~recops_models.layers.pair_knowledge.PairKnowledge`.
    - s, DIN's interest of the candidate, is an input of the heads and is not stored: a downstream
      model has its own.

    Only the heads read the domain, so knowledge need not contain differences between domains.
    ``forward`` returns the logits of clicks.

    The model contains a factorization machine, ``v·(Σ e_u ∘ Σ e_i)``, since MLPs are slow to learn
    products: without it, on synthetic clicks of six tastes, towers of MLPs were no better than item
    biases.

    Args:
        schema: the features, fitted.
        config: sizes.
        tasks: names; the first is clicks.
        domains: number of domains.

    Example:
        >>> import torch
        >>> from recops_models.click.extractor import Extractor, ExtractorConfig
        >>> from recops_models.examples.task_maker import DOMAIN
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> model = Extractor(schema, ExtractorConfig(width=4), tasks=("click", "like"), domains=2)
        >>> batch.features[DOMAIN] = torch.tensor([0, 1, 0])
        >>> model.task_logits(batch).shape
        torch.Size([3, 2])
        >>> model.of_users(batch).shape
        torch.Size([3, 4])
    """

    config: ExtractorConfig

    def __init__(
        self,
        schema: FittedSchema,
        config: ExtractorConfig,
        tasks: tuple[str, ...] = ("click",),
        domains: int = 1,
    ) -> None:
        super().__init__(schema, config)
        self.tasks = tasks
        # Features with a table come first: _known sums their rows.
        features = sorted(
            self.embedding.context_features,
            key=lambda feature: isinstance(feature, (Numeric, Vector)),
        )
        self.user_features = [feature.name for feature in features if is_user_feature(feature.name)]
        self.item_features = [
            feature.name for feature in features if not is_user_feature(feature.name)
        ]
        self.user_rows, self.item_rows = (
            sum(not isinstance(schema.schema[name], (Numeric, Vector)) for name in names)
            for names in (self.user_features, self.item_features)
        )
        d = config.width
        self.attention = HistoryAttention(self.embedding, config.attention)
        user_width = (
            len(self.embedding.column_indices(self.user_features)) + self.embedding.history_dim
        )
        self.user_tower = self._tower(user_width)
        self.item_tower = self._tower(len(self.embedding.column_indices(self.item_features)))
        self.pair = PairKnowledge(d, d)
        self.domain = nn.Embedding(domains, config.domain_width)
        self.head = TaskHead(self.output_dim(), config)
        self.heads = nn.ModuleList(TaskHead(self.output_dim(), config) for _ in tasks[1:])

    def output_dim(self) -> int:
        """Return the width of the heads' input."""
        config = self.config
        return 3 * config.width + self.embedding.history_dim + config.domain_width

    def bottom(self, batch: Batch) -> tuple[Tensor, None]:
        """Return the input of the heads, ``[B, output_dim]``."""
        user, item = self.of_users(batch), self.of_items(batch)
        interests = self.attention(self.embedding, batch)
        domain = self.domain(batch.features[DOMAIN])
        return torch.cat([user, item, self.pair(user, item), *interests, domain], -1), None

    def of_users(self, batch: Batch) -> Tensor:
        """Return ``K_u [B, d]``."""
        means = []
        for history in self.embedding.separate_histories:
            keys = self.embedding.keys(batch, history)  # (B, T, d): zero past the length
            lengths = self.embedding.lengths(batch, history)
            means.append(keys.sum(1) / lengths.clamp(min=1)[:, None])
        columns = self.embedding.columns(batch, self.user_features)
        return self._known(self.user_tower, self.user_rows, columns, means)

    def of_items(self, batch: Batch) -> Tensor:
        """Return ``K_i [B, d]``."""
        columns = self.embedding.columns(batch, self.item_features)
        return self._known(self.item_tower, self.item_rows, columns, [])

    def task_logits(self, batch: Batch) -> Tensor:
        """Return ``[B, tasks]``."""
        x, _ = self.bottom(batch)
        return torch.cat([head(x) for head in (self.head, *self.heads)], -1)

    def _known(self, tower: MLP, rows: int, columns: list[Tensor], more: list[Tensor]) -> Tensor:
        """Return ``[B, d]``: the sum of the first ``rows`` columns, and the tower's output."""
        known: Tensor = tower(torch.cat([*columns, *more], -1))
        for row in columns[:rows]:
            known = known + row
        return known

    def _tower(self, width: int) -> MLP:
        config = self.config
        return MLP(
            width,
            config.tower_hidden,
            config.width,
            activation_name=config.activation,
            dropout=config.dropout,
        )


class TaskHead(nn.Module):
    """``MLP(z) + v·K_ui``, where K_ui is the third block of d columns of z; v starts at 1.

    Args:
        input_width: width of z.
        config: d, and the MLP's sizes.

    Example:
        >>> import torch
        >>> from recops_models.click.extractor import ExtractorConfig, TaskHead
        >>> head = TaskHead(input_width=20, config=ExtractorConfig(width=4))
        >>> head(torch.zeros(3, 20)).shape
        torch.Size([3, 1])
    """

    def __init__(self, input_width: int, config: ExtractorConfig) -> None:
        super().__init__()
        d = config.width
        self.mlp = config.head(input_width)
        self.product = nn.Parameter(torch.ones(d))
        self.pair = slice(2 * d, 3 * d)

    def forward(self, z: Tensor) -> Tensor:
        """``[B, 1]``."""
        out: Tensor = self.mlp(z) + (z[:, self.pair] @ self.product)[:, None]
        return out
