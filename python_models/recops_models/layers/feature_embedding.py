"""Embeddings of a batch's features: the candidate, its context, and the histories."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recops_models.data.errors import DataError
from recops_models.examples.batch import Batch
from recops_models.examples.features import (
    Categorical,
    Feature,
    FeatureSchema,
    FittedSchema,
    Numeric,
    Sequence,
    Vector,
)
from recops_models.examples.lookup import UNKNOWN, Lookup
from recops_models.layers.column_modules import ColumnModules
from recops_models.layers.embedding_bags import Table, embedding_bags
from recops_models.layers.states_at import states_along


class History(NamedTuple):
    """Sequences that describe the same events, such as the item and the category of each click.

    Attributes:
        name: name of the history.
        sequences: names of the sequence features.
        targets: per sequence, the candidate's feature that shares its table; None if there is none,
            as for the sign of an event.
        dim: d, the width of an event's embedding.

    Example:
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.layers.feature_embedding import FeatureEmbedding
        >>> embedding = FeatureEmbedding(tiny_click_data()[0], width=4)
        >>> (history,) = embedding.separate_histories
        >>> history.sequences, history.dim
        (('history_item', 'history_category'), 8)
    """

    name: str
    sequences: tuple[str, ...]
    targets: tuple[str | None, ...]
    dim: int


class FeatureEmbedding(nn.Module):
    """Embedding tables of a schema, with one row of ``width`` numbers per value.

    Row 0, padding, is zero. Row 1, the unknown value, starts at zero: a value that training never
    showed then has no effect.

    An *event* of a history is the concatenation of its sequences' rows (item ⊕ category ⊕ sign …).
    Its *query* is the concatenation of the candidate's features of the same tables, in the same
    order, with zeros for sequences without such a feature. A schema may have several histories
    (clicks, carts, dislikes), of different lengths. Those in ``separate_histories`` are read event
    by event. The *context* is everything else, in the schema's order: categoricals, numbers,
    vectors, and the sum of every other sequence (histories that are not separate). A list of
    categories, such as an item's tags, is the mean of its rows wherever it is read.

    Args:
        schema: fitted on the training part.
        width: width of a row.
        std: standard deviation of initial rows; pretrained rows start from their file.
        history: the only separate history; None: all histories are separate.

    Raises:
        DataError: there is no history, or none of this name; the sequences of a history do not fit
            each other; or pretrained vectors are unreadable or do not have ``width`` columns.

    Example:
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.layers.feature_embedding import FeatureEmbedding
        >>> schema, batch = tiny_click_data()
        >>> embedding = FeatureEmbedding(schema, width=4)
        >>> embedding.keys(batch).shape, embedding.lengths(batch).tolist()  # events
        (torch.Size([3, 2, 8]), [2, 1, 0])
        >>> embedding.query(batch).shape  # the candidate as an event
        torch.Size([3, 8])
        >>> [column.shape for column in embedding.context(batch)]
        [torch.Size([3, 12]), torch.Size([3, 1])]
    """

    def __init__(
        self,
        schema: FittedSchema,
        width: int,
        *,
        std: float = 0.01,
        history: str | None = None,
    ) -> None:
        super().__init__()
        features = schema.schema.features
        self._table = {
            feature.name: schema.schema.table(feature.name)
            for feature in features
            if isinstance(feature, (Categorical, Sequence))
        }
        self._lists = frozenset(
            name for name in self._table if schema.schema.max_values(name) is not None
        )
        self.width = width
        self.separate_histories = _histories(schema.schema, width, history)
        events = [name for each in self.separate_histories for name in each.sequences]
        self._context = [feature for feature in features if feature.name not in events]
        self.tables = ColumnModules()
        for name, owner in schema.schema.tables.items():
            table = nn.Embedding(schema.cardinality(name), width, padding_idx=0)
            nn.init.normal_(table.weight, std=std)
            with torch.no_grad():
                table.weight[: UNKNOWN + 1] = 0
            if owner.pretrained is not None:
                _start_from(table, Path(owner.pretrained), schema.lookup(name))
            self.tables[name] = table
        self._owners = {self.tables.key(name): name for name in schema.schema.tables}
        # Computed here because torch.compile does not support groupby.
        self._columns = _runs(self._context, self._table)
        self._columns_with_history = _runs(
            [*self._context, *(schema.schema[name] for name in events)], self._table
        )
        self.history_dim = sum(each.dim for each in self.separate_histories)
        self._widths = [_width(feature, width) for feature in self._context]
        self.context_dim = sum(self._widths)

    def value_rows(self) -> dict[str, str]:
        """Return the name of each table's weights, and the feature that numbers its rows."""
        names = {f"tables.{key}.weight": owner for key, owner in self._owners.items()}
        present = dict(self.named_parameters())
        return {name: owner for name, owner in names.items() if name in present}

    def weight_name(self, feature: str) -> str:
        """Return the name, from the model, of the weights of a feature's table."""
        return f"embedding.tables.{self.tables.key(self._table[feature])}.weight"

    def column_indices(self, names: Iterable[str]) -> list[int]:
        """Return the indices of some features' columns in the context, ascending.

        Args:
            names: features of the context ``[B, context_dim]``.

        Raises:
            ValueError: a feature is not in the context.
        """
        chosen, start = set(names), 0
        indices: list[int] = []
        known = [feature.name for feature in self._context]
        if unknown := sorted(chosen - set(known)):
            raise ValueError(
                f"FeatureEmbedding: no feature {unknown[0]!r} in the context; "
                f"available: {', '.join(known)}"
            )
        for name, width in zip(known, self._widths, strict=True):
            if name in chosen:
                indices += range(start, start + width)
            start += width
        return indices

    def context(self, batch: Batch, *, with_history: bool = False) -> list[Tensor]:
        """Return the columns of the context, ``[B, context_dim]`` together.

        With ``with_history``, the sums of the events, ``[B, history_dim]`` together, follow. They
        come from the same lookup, and no event is written out.
        """
        columns: list[Tensor] = []
        for in_tables, names in self._columns_with_history if with_history else self._columns:
            if in_tables:
                columns.append(self._bags(batch, names))
            else:
                columns += [_numbers(batch.features[name]) for name in names]
        return columns

    @property
    def context_features(self) -> tuple[Feature, ...]:
        """Features of the context, in the order of its columns."""
        return tuple(self._context)

    def columns(self, batch: Batch, names: Iterable[str]) -> list[Tensor]:
        """Return the columns of some features of the context, in the order of ``names``."""
        return [
            self._bags(batch, [name]) if name in self._table else _numbers(batch.features[name])
            for name in names
        ]

    def query(self, batch: Batch, history: History | None = None) -> Tensor:
        """Return the candidate ``[B, d]`` as an event of a history; default: the first history."""
        history = history or self.separate_histories[0]
        rows = {
            name: torch.zeros_like(batch.group) if target is None else batch.features[target]
            for name, target in zip(history.sequences, history.targets, strict=True)
        }
        return self._pooled(rows)

    def keys(self, batch: Batch, history: History | None = None) -> Tensor:
        """Return a history's events ``[B, T, d]``, zero past its length; default: the first."""
        history = history or self.separate_histories[0]
        rows, events = batch.features[history.sequences[0]].shape[:2]
        flat = {name: batch.features[name].flatten(0, 1) for name in history.sequences}
        return self.events(flat, history).view(rows, events, history.dim)

    def events(self, ids: Mapping[str, Tensor], history: History | None = None) -> Tensor:
        """Return event embeddings ``[E, d]`` of a history from ids per sequence.

        Args:
            ids: ``[E]``, or ``[E, L]`` for lists, by the name of the sequence.
            history: default: the first one.
        """
        names = (history or self.separate_histories[0]).sequences
        return self._pooled({name: ids[name] for name in names})

    def histories(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the events ``[U, T, d]`` and lengths ``[U]`` of the first history.

        U is 1 if the batch is one request, else B.
        """
        if batch.is_one_request:
            keys = self.separate_histories[0].sequences
            batch = batch._replace(
                features={name: batch.features[name][:1] for name in keys},
                lengths={name: batch.lengths[name][:1] for name in keys},
            )
        return self.keys(batch), self.lengths(batch)

    def beginnings(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the longest of histories that share a beginning, and each row's part of it.

        The histories are those of the first separate history; ``batch.prefix_of`` must be set.

        Returns:
            Events ``[U, T, d]``; the index ``[B]`` of each row's history among these U; and the
                number ``[B]`` of its events that the row has.
        """
        assert batch.prefix_of is not None
        keys = self.separate_histories[0].sequences
        longest, history = torch.unique(batch.prefix_of[keys[0]], return_inverse=True)
        full = batch._replace(features={name: batch.features[name][longest] for name in keys})
        return self.keys(full), history, self.lengths(batch)

    def states(self, batch: Batch, read: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Return ``read``'s state ``[U, T, h]`` after each event of the first history.

        If ``batch.prefix_of`` is set, shared beginnings are read once and U is B.

        Args:
            batch: the examples.
            read: maps events ``[U, T, d]`` and lengths ``[U]`` to states.
        """
        if batch.prefix_of is None:
            return read(*self.histories(batch))
        return states_along(read, *self.beginnings(batch))

    def lengths(self, batch: Batch, history: History | None = None) -> Tensor:
        """Return the lengths ``[B]`` of a history; default: the first one."""
        return batch.lengths[(history or self.separate_histories[0]).sequences[0]]

    def _bags(self, batch: Batch, names: Iterable[str]) -> Tensor:
        return self._pooled({name: batch.features[name] for name in names})

    def _pooled(self, ids: Mapping[str, Tensor]) -> Tensor:
        """Return ``[B, Σ width]``: sums of rows, and means of the rows of a list.

        Args:
            ids: ``[B]``, ``[B, T]``, or ``[B, T, L]`` for sequences of lists, by feature.
        """
        flat = {name: each.flatten(0, -2) if each.ndim == 3 else each for name, each in ids.items()}
        if self._lists.isdisjoint(ids):
            return embedding_bags([(self._table_of(name), each) for name, each in flat.items()])
        columns = []
        for name, each in ids.items():
            sums = embedding_bags([(self._table_of(name), flat[name])])
            if name in self._lists and flat[name].ndim == 2:
                sums = sums / (flat[name] != 0).sum(1, keepdim=True).clamp(min=1)
            columns.append(sums if each.ndim < 3 else sums.view(*each.shape[:2], -1).sum(1))
        return torch.cat(columns, -1)

    def _table_of(self, name: str) -> Table:
        table = self.tables[self._table[name]]
        assert isinstance(table, Table)
        return table


def scanned_history(schema: FeatureSchema, chosen: str | None) -> str | None:
    """Return the history of a single-sequence model: the chosen one, or the schema's first.

    Example:
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.layers.feature_embedding import scanned_history
        >>> schema, _ = tiny_click_data()
        >>> scanned_history(schema.schema, None)
        'history'
    """
    return chosen or next(iter(schema.histories), None)


def with_target(events: Tensor, lengths: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """Append the candidate to the histories: ``[B, T + 1, d]`` and their lengths ``[B]``.

    Example:
        >>> import torch
        >>> from recops_models.layers.feature_embedding import with_target
        >>> events = torch.tensor([[[1.0], [2.0]], [[3.0], [0.0]]])
        >>> candidates = torch.tensor([[7.0], [8.0]])
        >>> longer, lengths = with_target(events, torch.tensor([2, 1]), candidates)
        >>> longer[..., 0].tolist(), lengths.tolist()
        ([[1.0, 2.0, 7.0], [3.0, 8.0, 0.0]], [3, 2])
    """
    events, lengths = events.expand(len(query), -1, -1), lengths.expand(len(query))
    longer = torch.cat([events, torch.zeros_like(query)[:, None]], 1)
    position = lengths[:, None, None].expand(-1, 1, query.shape[1])
    return longer.scatter(1, position, query[:, None]), lengths + 1


def state_rows(users: int, query: Tensor) -> Tensor:
    """Return the index ``[B]`` i64 of the state that each candidate reads.

    Args:
        users: number of states: B, or 1 if all candidates share one.
        query: candidates ``[B, d]``.

    Example:
        >>> import torch
        >>> from recops_models.layers.feature_embedding import state_rows
        >>> candidates = torch.zeros(3, 8)
        >>> state_rows(3, candidates), state_rows(1, candidates)
        (tensor([0, 1, 2]), tensor([0, 0, 0]))
    """
    rows = torch.arange(len(query), device=query.device)
    return torch.zeros_like(rows) if users < len(query) else rows


def _histories(schema: FeatureSchema, width: int, only: str | None) -> tuple[History, ...]:
    histories = schema.histories
    if not histories:
        raise DataError("FeatureEmbedding: no sequence shares a categorical's embedding")
    if only is not None and only not in histories:
        raise DataError(f"FeatureEmbedding: no history {only!r}; available: {', '.join(histories)}")
    categorical = {feature.name for feature in schema.of_type(Categorical)}
    return tuple(
        History(
            name,
            tuple(sequence.name for sequence in sequences),
            tuple(
                sequence.share_embedding if sequence.share_embedding in categorical else None
                for sequence in sequences
            ),
            width * len(sequences),
        )
        for name, sequences in histories.items()
        if only is None or name == only
    )


def _runs(features: Iterable[Feature], tables: Container[str]) -> list[tuple[bool, list[str]]]:
    """Group adjacent features by whether they have a table; return flags and names."""
    runs = groupby(features, lambda feature: feature.name in tables)
    return [(in_tables, [feature.name for feature in run]) for in_tables, run in runs]


def _numbers(values: Tensor) -> Tensor:
    """Return a numeric feature as ``[B, 1]``, and a vector feature as it is."""
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
    """Copy pretrained vectors from a file into the rows of the ids that the vocabulary has."""
    from recops_models.item_vectors.files import load_item_vectors

    vectors = load_item_vectors(path)
    if vectors.vectors.shape[1] != table.embedding_dim:
        raise DataError(
            f"{path}: vectors are {vectors.vectors.shape[1]} wide, the table {table.embedding_dim}"
        )
    rows = lookup.rows(vectors.item_ids)
    with torch.no_grad():
        table.weight[torch.from_numpy(rows[rows > 1])] = torch.from_numpy(vectors.vectors[rows > 1])
