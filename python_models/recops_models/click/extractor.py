"""An extractor of knowledge: DIN with towers of their own for users and items, and several tasks.

For KEEP (arXiv 2208.10174). Confirmed: it is supervised by several tasks on the super-domain, its
backbone is DIN, its knowledge is about users, items and their interaction. Inferred: every formula,
width and weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recops_models.click.din import DinConfig
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch
from recops_models.examples.click_schema import of_user
from recops_models.examples.features import FittedSchema
from recops_models.examples.tasks import DOMAIN
from recops_models.layers.history_attention import HistoryAttention
from recops_models.layers.mlp import MLP, ActivationName
from recops_models.layers.pair_knowledge import PairKnowledge


@dataclass(frozen=True)
class ExtractorConfig(DinConfig):
    """Sizes, beside those of DIN; ``hidden`` is of the heads.

    Attributes:
        knowledge_width: d, of a row of knowledge.
        tower_hidden: the widths of the hidden layers of both towers.
        domain_width: of a domain's row, which the heads alone read.
        task_weight: of every task but clicks.
    """

    hidden: tuple[int, ...] = (64,)
    activation: ActivationName = "prelu"
    knowledge_width: int = 64
    tower_hidden: tuple[int, ...] = (128,)
    domain_width: int = 8
    task_weight: float = 1.0


class Extractor(ClickModel):
    """``logit_t = MLP_t([K_u, K_i, K_ui, s, e_domain])`` for each task t, clicks first.

    - ``K_u = MLP([user, mean of the history])``: no candidate enters, so that it can be stored.
    - ``K_i = MLP([item, what is told of it])``: likewise.
    - ``K_ui``: of both, see :class:`~recops_models.layers.pair_knowledge.PairKnowledge`.
    - s, DIN's interest of the history in the candidate, goes to the heads and is not stored: a
      downstream model has its own.

    The domain enters the heads alone, and what differs between domains need not be in knowledge.
    ``forward`` gives clicks.

    Args:
        schema: the features, fitted.
        config: sizes.
        tasks: names; the first is clicks.
        domains: how many there are.
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
        names = [feature.name for feature in self.embedding.context_features]
        self.user_features = [name for name in names if of_user(name)]
        self.item_features = [name for name in names if not of_user(name)]
        d = config.knowledge_width
        self.attention = HistoryAttention(self.embedding, config.attention)
        user_width = self.embedding.width_of(self.user_features) + self.embedding.history_dim
        self.user_tower = self._tower(user_width)
        self.item_tower = self._tower(self.embedding.width_of(self.item_features))
        self.pair = PairKnowledge(d, d)
        self.domain = nn.Embedding(domains, config.domain_width)
        self.head = config.head(self.output_dim())
        self.heads = nn.ModuleList(config.head(self.output_dim()) for _ in tasks[1:])

    def output_dim(self) -> int:
        """The width of what the heads read."""
        config = self.config
        return 3 * config.knowledge_width + self.embedding.history_dim + config.domain_width

    def bottom(self, batch: Batch) -> tuple[Tensor, None]:
        """``[B, output_dim]``: what the heads read."""
        user, item = self.of_users(batch), self.of_items(batch)
        interests = self.attention(self.embedding, batch)
        domain = self.domain(batch.features[DOMAIN])
        return torch.cat([user, item, self.pair(user, item), *interests, domain], -1), None

    def of_users(self, batch: Batch) -> Tensor:
        """``K_u [B, d]``."""
        means = []
        for history in self.embedding.apart:
            keys = self.embedding.keys(batch, history)  # (B, T, d): zero past the length
            lengths = self.embedding.lengths(batch, history)
            means.append(keys.sum(1) / lengths.clamp(min=1)[:, None])
        columns = self.embedding.columns(batch, self.user_features)
        knowledge: Tensor = self.user_tower(torch.cat([*columns, *means], -1))
        return knowledge

    def of_items(self, batch: Batch) -> Tensor:
        """``K_i [B, d]``."""
        columns = self.embedding.columns(batch, self.item_features)
        knowledge: Tensor = self.item_tower(torch.cat(columns, -1))
        return knowledge

    def task_logits(self, batch: Batch) -> Tensor:
        """``[B, tasks]``."""
        x, _ = self.bottom(batch)
        return torch.cat([head(x) for head in (self.head, *self.heads)], -1)

    def _tower(self, width: int) -> MLP:
        config = self.config
        return MLP(
            width,
            config.tower_hidden,
            config.knowledge_width,
            activation_name=config.activation,
            dropout=config.dropout,
        )
