"""From a batch of features to dense vectors: the candidate with its context, and histories."""

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
    """Events that are looked up beside each other.

    Attributes:
        name: of the history.
        sequences: the features that tell of its events.
        targets: for each of them, the candidate's feature of the same table; None where the
            candidate has none, such as the sign of an event.
        dim: d, the width of an event.
    """

    name: str
    sequences: tuple[str, ...]
    targets: tuple[str | None, ...]
    dim: int


class FeatureEmbedding(nn.Module):
    """Embedding tables of a schema, one row of ``width`` numbers a value; row 0, padding, is zero,
    and row 1, the unknown, begins there: what no rare value trained says nothing.

    A *history* is sequences event by event beside each other (item ⊕ category ⊕ sign …); its
    *query* is the candidate's features of the same tables, in the same order, and zero for those
    that a candidate lacks, so that both are d wide. Histories may be of different lengths (clicks,
    carts, dislikes): each is a model's to read by itself, those in ``apart``. The *context* is
    everything else, in the schema's order: categoricals, numbers, vectors, and the sum of each
    other sequence (the tags of an item, the histories that are not kept apart).

    Args:
        schema: fitted on the training part.
        width: of a row.
        std: of the normal law that other rows begin from; pretrained ones where their file says.
        history: the one history that is kept apart; None keeps all.

    Raises:
        DataError: there is no history, or none of this name; sequences of one do not fit each
            other; or pretrained vectors are unreadable or not ``width`` wide.
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
        self.width = width
        self.apart = _histories(schema.schema, width, history)
        events = [name for each in self.apart for name in each.sequences]
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
        # Once, for the compiler knows no groupby.
        self._columns = _runs(self._context, self._table)
        self._columns_with_history = _runs(
            [*self._context, *(schema.schema[name] for name in events)], self._table
        )
        self.history_dim = sum(each.dim for each in self.apart)
        self._widths = [_width(feature, width) for feature in self._context]
        self.context_dim = sum(self._widths)

    def places(self, names: Iterable[str]) -> list[int]:
        """Which columns of the context ``[B, context_dim]`` hold these features, in its order.

        Raises:
            ValueError: one is none of the context's.
        """
        wanted, start = set(names), 0
        found: list[int] = []
        known = [feature.name for feature in self._context]
        if unknown := sorted(wanted - set(known)):
            raise ValueError(
                f"FeatureEmbedding: no feature {unknown[0]!r} in the context; "
                f"there are {', '.join(known)}"
            )
        for name, width in zip(known, self._widths, strict=True):
            if name in wanted:
                found += range(start, start + width)
            start += width
        return found

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

    @property
    def context_features(self) -> tuple[Feature, ...]:
        """What :meth:`context` gives the columns of, in order."""
        return tuple(self._context)

    def columns(self, batch: Batch, names: Iterable[str]) -> list[Tensor]:
        """The columns of some features of the context, in the order of ``names``."""
        return [
            self._bags(batch, [name]) if name in self._table else _numbers(batch.features[name])
            for name in names
        ]

    def query(self, batch: Batch, history: History | None = None) -> Tensor:
        """``[B, d]``: the candidate, as an event of the history (the first) would be."""
        history = history or self.apart[0]
        rows = [
            torch.zeros_like(batch.group) if target is None else batch.features[target]
            for target in history.targets
        ]
        tables = [self._table_of(name) for name in history.sequences]
        return embedding_bags(list(zip(tables, rows, strict=True)))

    def keys(self, batch: Batch, history: History | None = None) -> Tensor:
        """``[B, T, d]``: the events of a history, the first; zero where there is none."""
        history = history or self.apart[0]
        rows, events = batch.features[history.sequences[0]].shape
        flat = {name: batch.features[name].flatten() for name in history.sequences}
        return self.events(flat, history).view(rows, events, history.dim)

    def events(self, ids: Mapping[str, Tensor], history: History | None = None) -> Tensor:
        """``[E, d]``: events of a history, the first, by each sequence's ids ``[E]``."""
        names = (history or self.apart[0]).sequences
        return embedding_bags([(self._table_of(name), ids[name]) for name in names])

    def histories(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the events ``[U, T, d]`` and lengths ``[U]`` of the first history.

        U is 1 if the batch is one request, else B.
        """
        if batch.is_one_request:
            keys = self.apart[0].sequences
            batch = batch._replace(
                features={name: batch.features[name][:1] for name in keys},
                lengths={name: batch.lengths[name][:1] for name in keys},
            )
        return self.keys(batch), self.lengths(batch)

    def beginnings(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The longest of the first history of those that begin alike: events ``[U, T, d]``; and for
        each row which of them it begins, and how many of its events it has, ``[B]`` each.

        The batch must know of beginnings.
        """
        assert batch.prefix_of is not None
        keys = self.apart[0].sequences
        longest, history = torch.unique(batch.prefix_of[keys[0]], return_inverse=True)
        whole = batch._replace(features={name: batch.features[name][longest] for name in keys})
        return self.keys(whole), history, self.lengths(batch)

    def states(self, batch: Batch, read: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """``[U, T, h]``: what ``read`` makes of each event of the first history, of events
        ``[U, T, d]`` and lengths ``[U]``, in their order.

        Where the batch knows of histories that begin alike, what they share is read once.
        """
        if batch.prefix_of is None:
            return read(*self.histories(batch))
        return states_along(read, *self.beginnings(batch))

    def lengths(self, batch: Batch, history: History | None = None) -> Tensor:
        """``[B]``: of a history, the first."""
        return batch.lengths[(history or self.apart[0]).sequences[0]]

    def _bags(self, batch: Batch, names: Iterable[str]) -> Tensor:
        return embedding_bags([(self._table_of(name), batch.features[name]) for name in names])

    def _table_of(self, name: str) -> Table:
        table = self.tables[self._table[name]]
        assert isinstance(table, Table)
        return table


def scanned_history(schema: FeatureSchema, chosen: str | None) -> str | None:
    """The history that a model of one sequence reads: the chosen one, or the schema's first."""
    return chosen or next(iter(schema.histories), None)


def with_target(events: Tensor, lengths: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """Histories that end with the candidate: ``[B, T + 1, d]`` and their lengths."""
    events, lengths = events.expand(len(query), -1, -1), lengths.expand(len(query))
    longer = torch.cat([events, torch.zeros_like(query)[:, None]], 1)
    place = lengths[:, None, None].expand(-1, 1, query.shape[1])
    return longer.scatter(1, place, query[:, None]), lengths + 1


def state_rows(users: int, query: Tensor) -> Tensor:
    """``[B]`` i64: which of the users' states each candidate ``[B, d]`` reads: its own, or the one
    that all share.
    """
    rows = torch.arange(len(query), device=query.device)
    return torch.zeros_like(rows) if users < len(query) else rows


def _histories(schema: FeatureSchema, width: int, only: str | None) -> tuple[History, ...]:
    found = schema.histories
    if not found:
        raise DataError("FeatureEmbedding: no sequence shares a categorical's embedding")
    if only is not None and only not in found:
        raise DataError(f"FeatureEmbedding: no history {only!r}; there are {', '.join(found)}")
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
        for name, sequences in found.items()
        if only is None or name == only
    )


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
