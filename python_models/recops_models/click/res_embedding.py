"""Res-embedding under any click model: its item table, centre and residual, while it is trained.

See :mod:`recops_models.layers.residual_table` for the source, and what of it is confirmed.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from torch import Tensor, nn

from recops_models.click.loss import training_loss
from recops_models.click.model import ClickModel
from recops_models.data.errors import DataError
from recops_models.data.histories import Histories
from recops_models.examples.batch import Batch
from recops_models.examples.features import Categorical, Sequence
from recops_models.graphs.cooccurrence import cooccurrence_counts
from recops_models.graphs.item_graph import ItemGraph
from recops_models.layers.residual_table import ResidualConfig, ResidualTable
from recops_models.setting_checks import check_above_zero, check_at_least

NetT = TypeVar("NetT", bound=nn.Module)


@dataclass(frozen=True)
class ResEmbeddingConfig:
    """Which graph, and how it is used, beside the net whose item table it makes.

    Attributes:
        base: a click model by name; its own settings are ``base.hidden`` and so on.
        window: k: items at most so many events apart are met together.
        neighbours: m: of each item the most frequent ones that count.
        per_user_cap: how often at most one user counts for a pair; none: always.
        weights: "average" of the neighbours, by "counts", "gcn", or "attention".
        self_weight: of an item among its neighbours, in units of the largest.
        attention: the hidden width of "attention".
        graph: "cooccurrence"; or, controls, "random": as many neighbours drawn for each item by
            itself, or "self": none, so that centre and residual are two plain rows.
        residual_decay: λ of the residuals, which under Adam end at most about 1 / λ large.
        residual_scale: where they begin, in units of a plain table's deviation.
        residual: false: centres alone.
        graph_file: the ``graph.safetensors`` of an earlier run, to spare the counting; it is
            refused if it was made of other histories or settings.

    Raises:
        ValueError: a size below 1, a negative decay, a scale outside [0, 1], a weight of the loop
            that is not positive.
    """

    base: str = "din"
    window: int = 1
    neighbours: int = 20
    per_user_cap: int | None = 1
    weights: Literal["average", "counts", "gcn", "attention"] = "average"
    self_weight: float = 1.0
    attention: int = 16
    graph: Literal["cooccurrence", "random", "self"] = "cooccurrence"
    residual_decay: float = 10.0
    residual_scale: float = 0.1
    residual: bool = True
    graph_file: str | None = None

    def __post_init__(self) -> None:
        name = "res-embedding"
        check_at_least(name, self, window=1, neighbours=1, per_user_cap=1, attention=1)
        check_at_least(name, self, residual_decay=0, residual_scale=0)
        check_above_zero(name, self, "self_weight")
        if self.residual_scale > 1:
            raise ValueError(f"{name}: residual_scale must be ≤ 1, got {self.residual_scale}")

    def table(self) -> ResidualConfig:
        """Of the table."""
        width = self.attention if self.weights == "attention" else None
        return ResidualConfig(self.residual_decay, self.residual_scale, self.residual, width)

    def graph_settings(self) -> dict[str, object]:
        """What the graph depends on beside the histories."""
        names = ("window", "neighbours", "per_user_cap", "weights", "self_weight", "graph")
        return {name: getattr(self, name) for name in names}

    def make_graph(self, histories: Histories, rows: int, seed: int) -> ItemGraph:
        """Of histories of the training part.

        Args:
            histories: items are rows of the table, −1 unknown.
            rows: V of the table, padding and unknown among them.
            seed: of the random control.
        """
        if self.graph == "self":
            histories = Histories(np.zeros(1, dtype=np.int64), histories.items[:0], histories.rows)
        counts = cooccurrence_counts(
            histories,
            rows,
            window=self.window,
            per_user_cap=self.per_user_cap,
            keep=self.neighbours,
        )
        graph = ItemGraph.of(
            counts,
            neighbours=self.neighbours,
            weights="average" if self.weights == "attention" else self.weights,
            self_weight=self.self_weight,
            without=1,
        )
        return graph.at_random(seed) if self.graph == "random" else graph


class ResEmbedding(nn.Module):
    """A click model whose table of the candidate, which histories share, is a
    :class:`~recops_models.layers.residual_table.ResidualTable`.

    The model itself is not told: it looks rows up as before. :meth:`fold` gives it back with a
    plain table.

    Args:
        base: any click model; its table is replaced.
        graph: of the rows of that table.
        config: how.

    Raises:
        DataError: no candidate shares its table with a history.
        ValueError: see :class:`~recops_models.layers.residual_table.ResidualTable`.
    """

    def __init__(self, base: ClickModel, graph: ItemGraph, config: ResidualConfig) -> None:
        super().__init__()
        schema = base.schema.schema
        if schema.candidate is None:
            raise DataError("ResEmbedding: no history shares the candidate's table")
        self.base, self._name = base, schema.table(schema.candidate)
        self._features = [
            feature.name
            for feature in schema.features
            if isinstance(feature, (Categorical, Sequence))
            and schema.table(feature.name) == self._name
        ]
        table = base.embedding.tables[self._name]
        assert isinstance(table, nn.Embedding)
        base.embedding.tables[self._name] = ResidualTable(table, graph, config)

    @property
    def table(self) -> ResidualTable:
        """The candidate's."""
        table = self.base.embedding.tables[self._name]
        assert isinstance(table, ResidualTable)
        return table

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[B]``."""
        with self.table.reading(self._ids(batch)):
            logits: Tensor = self.base(batch)
            return logits

    def loss(self, batch: Batch) -> Tensor:
        """The cross-entropy, and what the base has of its own beside it."""
        with self.table.reading(self._ids(batch)):
            return training_loss(self.base, batch)

    def fold(self) -> ClickModel:
        """The base with a plain table, whose logits are the same to the bit.

        Everything else is shared with this model, not copied: take it when training is done, or
        for a look in between.
        """
        base = _shallow(self.base)
        base.embedding = embedding = _shallow(base.embedding)
        embedding.tables = _shallow(embedding.tables)
        embedding.tables[self._name] = self.table.fold()
        return base

    def _ids(self, batch: Batch) -> list[Tensor]:
        return [batch.features[name] for name in self._features]


def _shallow(module: NetT) -> NetT:
    """Another module of the same parts."""
    twin = copy.copy(module)
    for name in ("_parameters", "_buffers", "_modules"):
        vars(twin)[name] = dict(vars(module)[name])
    return twin
