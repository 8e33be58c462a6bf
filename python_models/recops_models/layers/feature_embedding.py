"""From a batch of features to dense vectors: the candidate with its context, and its history."""

from __future__ import annotations

from collections.abc import Container, Iterable
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor, nn

from recops_models.data.errors import DataError
from recops_models.examples.batch import Batch
from recops_models.examples.features import (
    Categorical,
    Feature,
    FittedSchema,
    Numeric,
    Sequence,
    Vector,
)
from recops_models.examples.lookup import UNKNOWN, Lookup
from recops_models.layers.embedding_bags import embedding_bags


class FeatureEmbedding(nn.Module):
    """Embedding tables of a schema, one row of ``width`` numbers a value; row 0, padding, is zero,
    and row 1, the unknown, begins there: what no rare value trained says nothing.

    The *history* is those sequences that share a categorical's table, event by event beside each
    other (item ⊕ category …); the *query* is those categoricals of the candidate, in the same
    order, so that both are d = ``history_dim`` wide. The *context* is everything but the history,
    in the schema's order: categoricals, numbers, vectors, and the sum of each other sequence (the
    tags of an item).

    Args:
        schema: fitted on the training part.
        width: of a row.
        std: of the normal law that other rows begin from; pretrained ones where their file says.

    Raises:
        DataError: no sequence is a history, its sequences are not those of one history, or
            pretrained vectors are unreadable or not ``width`` wide.
    """

    def __init__(self, schema: FittedSchema, width: int, *, std: float = 0.01) -> None:
        super().__init__()
        features = schema.schema.features
        self._table = {
            feature.name: schema.schema.table(feature.name)
            for feature in features
            if isinstance(feature, (Categorical, Sequence))
        }
        self.history = _history(features)
        self._context = [feature for feature in features if feature not in self.history]
        self.tables = nn.ModuleDict()
        for name, owner in schema.schema.tables.items():
            table = nn.Embedding(schema.cardinality(name), width, padding_idx=0)
            nn.init.normal_(table.weight, std=std)
            with torch.no_grad():
                table.weight[: UNKNOWN + 1] = 0
            if owner.pretrained is not None:
                _start_from(table, Path(owner.pretrained), schema.lookup(name))
            self.tables[name] = table
        # Once, for the compiler knows no groupby.
        self._columns = _runs(self._context, self._table)
        self._columns_with_history = _runs([*self._context, *self.history], self._table)
        self.history_dim = width * len(self.history)
        self.context_dim = sum(_width(feature, width) for feature in self._context)

    def context(self, batch: Batch, *, with_history: bool = False) -> list[Tensor]:
        """The columns of ``[B, context_dim]``, for the model to put beside the others at once.

        ``with_history`` the sums of the events, ``[B, history_dim]``, are behind them: looked up in
        the same call, never written out event by event.
        """
        columns: list[Tensor] = []
        for in_tables, names in self._columns_with_history if with_history else self._columns:
            if in_tables:
                columns.append(self._bags(batch, names))
            else:
                columns += [_numbers(batch.features[name]) for name in names]
        return columns

    def query(self, batch: Batch) -> Tensor:
        """``[B, d]``: the candidate, as an event of the history would be."""
        targets = [feature.share_embedding or "" for feature in self.history]
        return self._bags(batch, targets)

    def keys(self, batch: Batch) -> Tensor:
        """``[B, T, d]``: the events; zero where there is none."""
        names = [feature.name for feature in self.history]
        rows, events = batch.features[names[0]].shape
        bags = [(self._table_of(name), batch.features[name].flatten()) for name in names]
        return embedding_bags(bags).view(rows, events, self.history_dim)

    def histories(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The histories, each once: events ``[U, T, d]`` and lengths ``[U]``.

        U is 1 where all rows read one history, such as those of one user's candidates: rows of a
        tensor that :meth:`torch.Tensor.expand` made. Else it is B.
        """
        keys = [feature.name for feature in self.history]
        tensors = [batch.features[name] for name in keys] + [batch.lengths[name] for name in keys]
        if len(tensors[0]) > 1 and all(tensor.stride(0) == 0 for tensor in tensors):
            batch = batch._replace(
                features={name: batch.features[name][:1] for name in keys},
                lengths={name: batch.lengths[name][:1] for name in keys},
            )
        return self.keys(batch), self.lengths(batch)

    def lengths(self, batch: Batch) -> Tensor:
        """``[B]``: of the histories."""
        return batch.lengths[self.history[0].name]

    def _bags(self, batch: Batch, names: Iterable[str]) -> Tensor:
        return embedding_bags([(self._table_of(name), batch.features[name]) for name in names])

    def _table_of(self, name: str) -> nn.Embedding:
        table = self.tables[self._table[name]]
        assert isinstance(table, nn.Embedding)
        return table


def _history(features: tuple[Feature, ...]) -> list[Sequence]:
    categorical = {feature.name for feature in features if isinstance(feature, Categorical)}
    found = [
        feature
        for feature in features
        if isinstance(feature, Sequence) and feature.share_embedding in categorical
    ]
    if not found:
        raise DataError("FeatureEmbedding: no sequence shares a categorical's embedding")
    targets = [feature.share_embedding for feature in found]
    if len(set(targets)) < len(targets) or len({feature.max_len for feature in found}) > 1:
        names = ", ".join(repr(feature.name) for feature in found)
        raise DataError(
            f"FeatureEmbedding: {names} are not one history: each must share another feature's "
            "embedding, and all have one max_len"
        )
    return found


def _runs(features: Iterable[Feature], tables: Container[str]) -> list[tuple[bool, list[str]]]:
    """Names of neighbours that all have a table, or none."""
    runs = groupby(features, lambda feature: feature.name in tables)
    return [(in_tables, [feature.name for feature in run]) for in_tables, run in runs]


def _numbers(values: Tensor) -> Tensor:
    """A numeric feature is a column, a vector some."""
    return values[:, None] if values.ndim == 1 else values


def _width(feature: Feature, width: int) -> int:
    match feature:
        case Numeric():
            return 1
        case Vector(size=size):
            return size
        case _:
            return width


def _start_from(table: nn.Embedding, path: Path, lookup: Lookup) -> None:
    """Put a file's vectors into the rows of the ids that it knows."""
    from recops_models.item_vectors.files import load_item_vectors

    read = load_item_vectors(path)
    if read.vectors.shape[1] != table.embedding_dim:
        raise DataError(
            f"{path}: vectors are {read.vectors.shape[1]} wide, the table {table.embedding_dim}"
        )
    rows = lookup.rows(read.item_ids)
    with torch.no_grad():
        table.weight[torch.from_numpy(rows[rows > 1])] = torch.from_numpy(read.vectors[rows > 1])
