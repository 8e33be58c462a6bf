"""AGE: a click model with an item gate, whose scores explore.

See :mod:`recops_models.click.age_scores` for the source and the definition of a score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recops_models.click.age_scores import AgeScorer, AgeScores, Exploration
from recops_models.click.loss import click_loss
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch
from recops_models.layers.counter_random import keys_of
from recops_models.layers.head_passes import HeadPasses
from recops_models.layers.mlp import MLP
from recops_models.setting_checks import check_at_least

_ROWS = 4096
"""Rows per batch, which bounds memory: a base may need a copy of the history per row."""


@dataclass(frozen=True)
class AgeConfig(Exploration):
    """Settings of the exploration and of the gate.

    Attributes:
        base: the name of a click model; ``base.hidden`` and so on are its settings.
        base_sizes: these settings, stored with a trained model.
        gate_hidden: widths of the hidden layers of f_dgu. The paper has two layers; their widths,
            64 and 32, are from a later implementation.
        item_features: names of the item's features that f_dgu reads; none: those of history events,
            such as item and category.

    Raises:
        ValueError: a layer below 1, and see :class:`~recops_models.click.age_scores.Exploration`.

    Example:
        >>> from recops_models.click.age import AgeConfig
        >>> config = AgeConfig(base="din", uncertainty="ucb", gate="off")
        >>> config.samples  # masks per row
        20
    """

    base: str = "din"
    base_sizes: Mapping[str, Any] | None = None
    gate_hidden: tuple[int, ...] = (64, 32)
    item_features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("age", self, gate_hidden=1)


class Age(ClickModel):
    """Click model f, and a gate ``f_dgu(sg(h_item))`` that predicts an item's mean click rate.

    The gate is an MLP. The loss is ``BCE(f(h), y) + BCE(f_dgu(sg(h_item)), y)`` (the paper). sg
    stops the gradient: the gate reads the embeddings and does not change them. The recipe clips the
    gradients of both nets separately, so f has the same bits as without a gate. Logits are those of
    the base; :meth:`explore` returns scores.

    With a base that is already trained, the gate "dgu" still needs training; "fixed" and "off" do
    not.

    h is ``base.bottom(batch)``. h_item are the columns of the item's features, since the first
    columns of a click model's bottom are its context, in the schema's order.

    Args:
        base: a click model.
        config: settings.

    Raises:
        ValueError: a head without a hidden layer, or of an unknown structure; a feature that the
            context lacks; no feature of an item.

    Example:
        >>> from recops_models.click.age import Age, AgeConfig
        >>> from recops_models.click.din import Din, DinConfig
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> model = Age(Din(schema, DinConfig(width=4)), AgeConfig(gate="off")).eval()
        >>> scores = model.explore(batch, seed=7)
        >>> scores.score.shape, scores.gate.tolist()
        (torch.Size([3]), [True, True, True])
    """

    config: AgeConfig  # type: ignore[assignment]  # No ClickConfig: the base has one.
    item_index: Tensor

    def __init__(self, base: ClickModel, config: AgeConfig) -> None:
        super(ClickModel, self).__init__(base.schema)  # ClickModel's would create tables.
        self.config = config
        self.base = base
        features = config.item_features or _event_features(base)
        self.item_columns = base.embedding.column_indices(features)
        if not self.item_columns:
            raise ValueError("age: item_features must name a feature of the item, got none")
        # A list as an index would be copied to the device in every step.
        self.register_buffer("item_index", torch.tensor(self.item_columns), persistent=False)
        self.gate = MLP(len(self.item_columns), config.gate_hidden, 1, activation_name="relu")
        if _linear_layers(base.head) == 1:
            raise ValueError(
                "age: base.hidden must have at least one layer, whose units dropout drops, got none"
            )
        HeadPasses(base.head)  # Raises an error for an unsupported head before training.
        # Plain attributes, since the base already registers these modules.
        vars(self).update(embedding=base.embedding, head=base.head)

    def output_dim(self) -> int:
        """Return the width of the base's bottom."""
        return self.base.output_dim()

    def bottom(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the base's bottom; in training, also the losses of base and gate."""
        x, auxiliary = self.base.bottom(batch)
        if not self.training:
            return x, None
        loss = click_loss(self.item_logits(x), batch.label, batch.weight)
        return x, loss if auxiliary is None else auxiliary + loss

    def item_logits(self, x: Tensor) -> Tensor:
        """Return the gate's logits ``[B]`` from ``[B, output_dim]``, without a gradient to x."""
        logits: Tensor = self.gate(x.detach()[:, self.item_index])
        return logits.squeeze(-1)

    @torch.no_grad()
    def explore(
        self,
        batch: Batch,
        *,
        seed: int,
        items: Tensor | None = None,
        impressions: Tensor | None = None,
        exploration: Exploration | None = None,
    ) -> AgeScores:
        """Return exploring scores of a user's candidates, or of any other rows.

        Dropout masks depend on ``seed``, the user (``batch.group``) and the item only, not on the
        order of rows or on batches. Use a new seed per request; otherwise a user meets the same
        masks again.

        Args:
            batch: B rows.
            seed: seed of the masks.
            items: ``[B]`` integers that identify items; None: rows of the schema's candidate, where
                all unknown items are one.
            impressions: ``[B]``, the number of impressions of each item; items at the limit do not
                explore.
            exploration: settings other than the model's.

        Raises:
            ValueError: the model is in training mode, or nothing identifies items.
        """
        parts = [batch] if len(batch.label) <= _ROWS else batch.split(_ROWS)
        x = torch.cat([self.base.bottom(part)[0] for part in parts])
        return self.explore_bottom(
            x, batch, seed=seed, items=items, impressions=impressions, exploration=exploration
        )

    @torch.no_grad()
    def explore_bottom(
        self,
        x: Tensor,
        batch: Batch,
        *,
        seed: int,
        items: Tensor | None = None,
        impressions: Tensor | None = None,
        exploration: Exploration | None = None,
    ) -> AgeScores:
        """Return :meth:`explore` from the base's bottom ``x [B, output_dim]``."""
        settings = exploration or self.config
        rate = self.item_logits(x).sigmoid() if settings.gate == "dgu" else None
        return self.scorer(settings).scores(
            x,
            self.keys(batch, seed, items, shared=settings.shared_mask),
            item_rate=rate,
            item_columns=self.item_columns,
            impressions=impressions,
        )

    def scorer(self, exploration: Exploration) -> AgeScorer:
        """Return a scorer for the base's head."""
        return AgeScorer(HeadPasses(self.base.head), exploration)

    def keys(
        self, batch: Batch, seed: int, items: Tensor | None = None, *, shared: bool = False
    ) -> Tensor:
        """Return mask keys ``[B]``, of the user alone if ``shared``; see :meth:`explore`."""
        if shared:
            return keys_of(seed, batch.group)
        return keys_of(seed, batch.group, item_ids(self.base, batch) if items is None else items)


def item_ids(model: ClickModel, batch: Batch) -> Tensor:
    """Return ``[B]`` i64, the candidate's row in its table.

    Raises:
        ValueError: the schema has no candidate.

    Example:
        >>> from recops_models.click.age import item_ids
        >>> from recops_models.click.din import Din, DinConfig
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> item_ids(Din(schema, DinConfig(width=4)), batch)
        tensor([2, 3, 6])
    """
    name = model.schema.schema.candidate
    if name is None:
        raise ValueError("age: items must be given: no sequence shares a categorical's embedding")
    return batch.features[name]


def _linear_layers(head: nn.Module) -> int:
    return sum(isinstance(layer, nn.Linear) for layer in head.children())


def _event_features(model: ClickModel) -> list[str]:
    """Return the candidate's features that events of a history have too."""
    shared = {
        name
        for history in model.embedding.separate_histories
        for name in history.targets
        if name is not None
    }
    return [name for name in model.schema.schema.tables if name in shared]
