"""Conversion of events to blocks of click examples."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.errors import DataError
from recops_models.data.histories import Histories, Int64Array
from recops_models.examples.batch import task_feature
from recops_models.examples.block import Block, Column, Ragged
from recops_models.examples.click_schema import SIGN
from recops_models.examples.encoded_columns import encode_columns
from recops_models.examples.event_features import history_feature
from recops_models.examples.event_values import EventValues
from recops_models.examples.events import Events
from recops_models.examples.features import Categorical, FittedSchema, Numeric, Sequence
from recops_models.examples.feedback import LIKED
from recops_models.examples.history_rows import HistoryRows
from recops_models.examples.running_rates import RATES
from recops_models.examples.shared_histories import shared_histories


class ExampleMaker:
    """Maker of blocks of examples (user, item, label, history).

    A history holds the user's events before the example. If the schema has
    :data:`~recops_models.examples.click_schema.SIGN`, it holds all events with their classes,
    otherwise only liked ones. Histories are not copied: an example stores the end of its range in
    the user's events.

    Args:
        events: all events of a split.
        fitted: fitted schema of :func:`~recops_models.examples.click_schema.click_schema`.
        targets: number of consecutive examples of a user whose histories start at the same event,
            see :func:`~recops_models.examples.shared_histories.shared_histories`.

    Raises:
        DataError: the schema has a feature that the data set lacks.
    """

    def __init__(self, events: Events, fitted: FittedSchema, targets: int = 1) -> None:
        self.events, self.fitted, self._targets = events, fitted, targets
        dataset, schema = events.dataset, fitted.schema
        of_events = {history_feature(each.name): values for each, values in events.columns.items()}
        columns = encode_columns(
            dataset.name,
            fitted,
            users=events.user_columns,
            items=events.item_columns,
            events={**of_events, SIGN: pa.array(events.feedback_class)},
        )
        self._user_ids = dataset.users["user_id"].to_numpy()
        self._users, self._items = columns.users, columns.items
        self._event_values = EventValues(
            schema,
            events.columns,
            {name: rows for name, rows in columns.events.items() if name != SIGN},
            user=events.user,
            item=events.item,
            time_rank=events.time_rank,
            has_offers=events.is_explicit,
        )
        available = {*self._users, *self._items, *RATES, *self._event_values.request_features}
        for feature in schema.features:
            if isinstance(feature, (Categorical, Numeric)) and feature.name not in available:
                raise DataError(f"{dataset.name}: no column has the feature {feature.name!r}")
        names = [feature.name for feature in schema.features]
        self._has_rates = RATES[0] in names
        sequences: list[Sequence] = schema.of_type(Sequence)
        self._max_len = max(sequence.max_len for sequence in sequences)
        self._signed = SIGN in names
        self._rows = HistoryRows(events, signed=self._signed)
        self._histories = {
            sequence.name: self._rows.values(sequence, columns) for sequence in sequences
        }

    def training_histories(self) -> Histories:
        """Return the histories of all training users, up to the end of the training part.

        Items are rows of the candidate's table.
        """
        events, train = self.events, self.events.part(0)
        trained = np.zeros(len(self._user_ids), dtype=np.bool_)
        trained[events.user[train]] = True
        rows = np.arange(events.bounds[1])  # Context, then train.
        is_inside = trained[events.user[rows]]
        if not self._signed:
            is_inside &= events.liked[rows]
        rows = rows[is_inside]
        histories = events.histories(rows)
        return Histories(histories.offsets, self._items["item"][histories.items], histories.rows)

    @property
    def targets(self) -> int:
        """Number of consecutive examples whose histories start at the same event."""
        return self._targets

    def block(
        self,
        rows: Int64Array,
        item: Int64Array,
        label: NDArray[np.float32],
        at: Int64Array | None = None,
    ) -> Block:
        """Return examples that show ``item`` to the users of the events ``rows``.

        Other items than that of the event have the label 0 of every task. A task is therefore
        learnt on all impressions (the entire space), not only on clicks.

        Args:
            rows: ``[n]``, events.
            item: ``[n]``, items.
            label: ``[n]``, 0 or 1.
            at: ``[n]``, events of the same users. Histories and rates end before them; None: before
                the events ``rows``.
        """
        events, at = self.events, rows if at is None else at
        is_own = np.array_equal(at, rows) and np.array_equal(item, events.item[rows])
        block = self._block(
            events.user[rows].astype(np.int64),
            item,
            self._rows.ends(at),
            events.time_ranks(at),
            label,
            rows,
            is_own=is_own,
        )
        if not self.events.labels:
            return block
        is_positive = item == events.item[rows]
        for task, values in events.labels.items():
            task_label = (values[rows] & is_positive).astype(np.float32)
            block.columns[task_feature(task)] = Column(task_label)
        return block

    def after_all_events(self, user: Int64Array, item: Int64Array) -> Block:
        """Return examples that show ``item`` to ``user`` after all events, with label 0.

        Both arguments are indices.
        """
        time_rank = np.full(len(user), len(self.events))
        label = np.zeros(len(user), dtype=np.float32)
        return self._block(user, item, self._rows.starts[user + 1], time_rank, label)

    def own_block(self, rows: Int64Array) -> Block:
        """Return examples of the events ``rows``, with their items and labels."""
        events = self.events
        label = (events.feedback_class[rows] == LIKED).astype(np.float32)
        return self.block(
            rows, events.item[rows].astype(np.int64), label, at=events.list_starts(rows)
        )

    def history_lengths(self, rows: Int64Array) -> Int64Array:
        """Return the lengths of the histories of :meth:`own_block`.

        Several examples per history change them.
        """
        starts, at = self._rows.starts[self.events.user[rows]], self.events.list_starts(rows)
        lengths: Int64Array = np.minimum(self._rows.ends(at) - starts, self._max_len)
        return lengths

    def _block(
        self,
        user: Int64Array,
        item: Int64Array,
        ends: Int64Array,
        time_rank: Int64Array,
        label: NDArray[np.float32],
        rows: Int64Array | None = None,
        *,
        is_own: bool = False,
    ) -> Block:
        run, starts = None, self._rows.starts[user]
        if self._targets == 1:
            starts = np.maximum(starts, ends - self._max_len)
        else:
            run, starts = shared_histories(user, starts, ends, self._targets, self._max_len)
        columns = {name: Column(values, user) for name, values in self._users.items()}
        columns |= {name: Column(values, item) for name, values in self._items.items()}
        for name, values in self._event_values.request(user, item, time_rank, rows).items():
            columns[name] = Column(values)
        if self._has_rates:
            if rows is not None and is_own:
                rates = self.events.rates(rows)  # Without a search.
            else:
                rates = self.events.running_rates.features(user, item, time_rank)
            columns |= {
                name: Column(self.fitted.standardised(name, values))
                for name, values in rates.items()
            }
        return Block(
            columns,
            (Ragged(ends, ends - starts, dict(self._histories)),),
            label,
            Column(self._user_ids, user),
            run,
        )
