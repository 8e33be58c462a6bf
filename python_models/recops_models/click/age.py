"""AGE: any click model, with a gate beside it that knows the item alone, and scores that explore.

See :mod:`recops_models.click.age_scores` for the source and for how a score comes about.
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
"""Rows whose inputs of the head are computed at once: a base may write out the history of each."""


@dataclass(frozen=True)
class AgeConfig(Exploration):
    """How scores explore, beside the model that is explored with.

    Attributes:
        base: a click model by name; its own settings are ``base.hidden`` and so on.
        base_sizes: those, as a trained model keeps them.
        gate_hidden: the widths of the hidden layers of f_dgu (64-32: two layers are the paper's,
            their widths a later implementation's).
        item_features: what f_dgu reads, features of the item by name; none: those that the events
            of a history have too, such as item and category.

    Raises:
        ValueError: a layer below 1, and see
            :class:`~recops_models.click.age_scores.Exploration`.
    """

    base: str = "din"
    base_sizes: Mapping[str, Any] | None = None
    gate_hidden: tuple[int, ...] = (64, 32)
    item_features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("age", self, gate_hidden=1)


class Age(ClickModel):
    """A click model f and a gate ``f_dgu(sg(h_item))``, an MLP on the item's embeddings that comes
    to the item's average rate of clicks.

    Trained by ``L = BCE(f(h), y) + BCE(f_dgu(sg(h_item)), y)`` (the paper). sg stops the gradient:
    the gate shares the embeddings and never moves them, so that f learns what it would learn alone,
    to the bit: the recipe cuts both nets' gradients apart. Its logits are the base's;
    :meth:`explore` gives the scores.

    Over a base that is trained already, gate "dgu" knows nothing until it is trained as well;
    "fixed" and "off" need no training.

    h is ``base.bottom(batch)``, and h_item those of its columns that hold the item's features: a
    click model puts its context, in the schema's order, before all else.

    Args:
        base: a click model.
        config: how scores explore, and the sizes of the gate.

    Raises:
        ValueError: a head without a hidden layer, or one that cannot be read layer by layer; a
            feature that the context lacks, no feature of an item.
    """

    config: AgeConfig  # type: ignore[assignment] # The base's sizes are its own.

    def __init__(self, base: ClickModel, config: AgeConfig) -> None:
        super(ClickModel, self).__init__()  # The tables are the base's.
        self.schema, self.config = base.schema, config
        self.base = base
        features = config.item_features or _of_events(base)
        self.item_columns = base.embedding.places(features)
        if not self.item_columns:
            raise ValueError("age: item_features must name a feature of the item, got none")
        self.gate = MLP(len(self.item_columns), config.gate_hidden, 1, activation_name="relu")
        if _linear_layers(base.head) == 1:
            raise ValueError(
                "age: base.hidden must name a layer, whose units are dropped, got none"
            )
        HeadPasses(base.head)  # Refuses what it cannot read, before anything is trained.
        # There to use, but no part of this module beside the base.
        vars(self).update(embedding=base.embedding, head=base.head)

    def output_dim(self) -> int:
        """The base's."""
        return self.base.output_dim()

    def bottom(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The base's; in training its loss and that of the gate, which reads the labels."""
        x, auxiliary = self.base.bottom(batch)
        if not self.training:
            return x, None
        loss = click_loss(self.item_logits(x), batch.label)
        return x, loss if auxiliary is None else auxiliary + loss

    def item_logits(self, x: Tensor) -> Tensor:
        """Logits ``[B]`` of f_dgu, from ``[B, output_dim]``; no gradient reaches x."""
        logits: Tensor = self.gate(x.detach()[:, self.item_columns])
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
        """Scores that explore, of a user's candidates or of any other rows.

        Masks are a function of ``seed``, the user (``batch.group``) and the item: neither the order
        of rows nor how they are cut into batches changes them. Give every request a seed of its
        own, or the same user meets the same masks again.

        Args:
            batch: B rows.
            seed: of the masks.
            items: ``[B]`` integers that tell items apart; None: the schema's candidate, whose
                unknown items are one.
            impressions: ``[B]``, how often each was shown; those at the limit do not explore.
            exploration: other settings than the model's.

        Raises:
            ValueError: the model is in training, or there is nothing to tell items apart.
        """
        how = exploration or self.config
        parts = [batch] if len(batch.label) <= _ROWS else batch.split(_ROWS)
        x = torch.cat([self.base.bottom(part)[0] for part in parts])
        rate = self.item_logits(x).sigmoid() if how.gate == "dgu" else None
        return self.scorer(how).scores(
            x,
            self.keys(batch, seed, items, shared=how.shared_mask),
            item_rate=rate,
            item_columns=self.item_columns,
            impressions=impressions,
        )

    def scorer(self, exploration: Exploration) -> AgeScorer:
        """A scorer on the base's head."""
        return AgeScorer(HeadPasses(self.base.head), exploration)

    def keys(
        self, batch: Batch, seed: int, items: Tensor | None = None, *, shared: bool = False
    ) -> Tensor:
        """``[B]``: keys of masks; ``shared``: of the user alone. See :meth:`explore`."""
        if shared:
            return keys_of(seed, batch.group)
        return keys_of(seed, batch.group, item_ids(self.base, batch) if items is None else items)


def item_ids(model: ClickModel, batch: Batch) -> Tensor:
    """``[B]`` i64: rows of the table of what is shown.

    Raises:
        ValueError: no history tells what that is.
    """
    name = model.schema.schema.candidate
    if name is None:
        raise ValueError("age: items must be given: no sequence shares a categorical's embedding")
    return batch.features[name]


def _linear_layers(head: nn.Module) -> int:
    return sum(isinstance(layer, nn.Linear) for layer in head.children())


def _of_events(model: ClickModel) -> list[str]:
    """The candidate's features that events of a history have too."""
    found = {name for each in model.embedding.apart for name in each.targets if name is not None}
    return [name for name in model.schema.schema.tables if name in found]
