"""Res-embedding: a click model whose item table is a sum of centres and residuals.

See :mod:`recops_models.layers.residual_table` for the source, and what of it is confirmed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True)
class ResEmbeddingConfig:
    """Settings of the item graph and of the item table.

    Attributes:
        base: the name of a click model; ``base.hidden`` and so on are its settings.
        window: k: two items co-occur when they are at most k events apart.
        neighbours: m: each item keeps its m most frequent neighbours.
        per_user_cap: the largest number of co-occurrences of a pair that count per user; none: all.
        weights: weights of the neighbours: "average", "counts", "gcn" or "attention".
        self_weight: weight of an item among its own neighbours, relative to the largest count.
        attention: hidden width of "attention".
        graph: "cooccurrence"; "random": a control with the same number of random
            neighbours per item; "self": a control without neighbours, in which a row is the sum
            of two plain rows.
        residual_decay: λ, weight decay of the residuals. Under Adam, residuals stay below about
            1 / λ in absolute value.
        residual_scale: standard deviation of initial residuals, relative to a plain table's.
        residual: False: centres alone.
        graph_file: the ``graph.safetensors`` of an earlier run, which saves counting again. A file
            of other histories or settings is refused.

    Raises:
        ValueError: a size below 1, a negative decay, a scale outside [0, 1], or a ``self_weight``
            that is not positive.

    Example:
        >>> import numpy as np
        >>> from recops_models.click.res_embedding import ResEmbeddingConfig
        >>> from recops_models.data.histories import Histories
        >>> one_user = Histories(np.array([0, 3]), items=np.array([2, 3, 4]), rows=np.arange(3))
        >>> graph = ResEmbeddingConfig(neighbours=2).make_graph(one_user, rows=5, seed=0)
        >>> graph.neighbours[graph.offsets[3] : graph.offsets[4]]  # of row 3
        array([2, 3, 4], dtype=int32)
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
        """Return the settings of the item table."""
        width = self.attention if self.weights == "attention" else None
        return ResidualConfig(self.residual_decay, self.residual_scale, self.residual, width)

    def graph_settings(self) -> dict[str, object]:
        """Return the settings that change the graph."""
        names = ("window", "neighbours", "per_user_cap", "weights", "self_weight", "graph")
        return {name: getattr(self, name) for name in names}

    def make_graph(self, histories: Histories, rows: int, seed: int) -> ItemGraph:
        """Build the item graph from the histories of the training part.

        Args:
            histories: items are rows of the table; −1 is unknown.
            rows: V, the number of rows of the table, with padding and the unknown item.
            seed: seed of the random control.
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
    """Click model in training, with centres and residuals as its item table.

    The table is a :class:`~recops_models.layers.residual_table.ResidualTable`, which the candidate
    and the histories share. The base model looks rows up as usual. :meth:`fold` returns the base
    with a plain table again.

    Args:
        base: any click model; its item table is replaced.
        graph: a graph of the rows of that table.
        config: settings of the new table.

    Raises:
        DataError: no history shares the candidate's table.
        ValueError: see :class:`~recops_models.layers.residual_table.ResidualTable`.

    Example:
        >>> import numpy as np
        >>> from recops_models.click.din import Din, DinConfig
        >>> from recops_models.click.res_embedding import ResEmbedding, ResEmbeddingConfig
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> config = ResEmbeddingConfig()
        >>> one_user = Histories(np.array([0, 3]), items=np.array([2, 3, 4]), rows=np.arange(3))
        >>> graph = config.make_graph(one_user, rows=schema.cardinality("item"), seed=0)
        >>> model = ResEmbedding(Din(schema, DinConfig(width=4)), graph, config.table()).eval()
        >>> before = model(batch)
        >>> bool((model.fold()(batch) == before).all())  # the plain table has the same rows
        True
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
        """Item table with centres and residuals."""
        table = self.base.embedding.tables[self._name]
        assert isinstance(table, ResidualTable)
        return table

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[B]``."""
        with self.table.reading(self._ids(batch)):
            logits: Tensor = self.base(batch)
            return logits

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy plus the auxiliary loss of the base, a scalar."""
        with self.table.reading(self._ids(batch)):
            return training_loss(self.base, batch)

    @contextmanager
    def folded(self) -> Iterator[ClickModel]:
        """Give the base a plain table with the same rows, inside a ``with`` block.

        Its logits equal those of this model bit for bit. Do not use this model in the block.
        """
        table = self.table
        try:
            yield self.fold()
        finally:
            self.base.embedding.tables[self._name] = table

    def fold(self) -> ClickModel:
        """Return the base with a plain table, which replaces :attr:`table`.

        Its logits equal those of this model bit for bit. This model cannot be used afterwards.
        """
        self.base.embedding.tables[self._name] = self.table.fold()
        return self.base

    def _ids(self, batch: Batch) -> list[Tensor]:
        return [batch.features[name] for name in self._features]
