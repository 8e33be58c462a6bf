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
from recops_models.examples.history_rows import history_rows
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
            columns.events,
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
        self._rates = events.running_rates if RATES[0] in names else None
        sequences: list[Sequence] = schema.of_type(Sequence)
        self._max_len = max(sequence.max_len for sequence in sequences)
        self._signed = SIGN in names
        # Events sorted by user and time. The history of an event ends before it in this order.
        order = np.lexsort((events.time_rank, events.user))
        in_history = self._in_history[order]
        self._ends: Int64Array = np.empty(len(order), dtype=np.int64)
        self._ends[order] = np.cumsum(in_history) - in_history
        order = order[in_history]
        self._starts = np.searchsorted(events.user[order], np.arange(len(self._user_ids)))
        self._histories = {
            sequence.name: history_rows(sequence, events, columns)[order] for sequence in sequences
        }

    def training_histories(self) -> Histories:
        """Return the histories of all training users, up to the end of the training part.

        Items are rows of the candidate's table.
        """
        events, train = self.events, self.events.part(0)
        trained = np.zeros(len(self._user_ids), dtype=np.bool_)
        trained[events.user[train]] = True
        rows = np.arange(events.bounds[1])  # Context, then train.
        rows = rows[trained[events.user[: len(rows)]] & self._in_history[: len(rows)]]
        histories = events.histories(rows)
        return Histories(histories.offsets, self._items["item"][histories.items], histories.rows)

    @property
    def _in_history(self) -> NDArray[np.bool_]:
        """Mask ``[E]`` of the events that histories contain."""
        return np.ones(len(self.events.user), dtype=np.bool_) if self._signed else self.events.liked

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
        user, at = self.events.user[rows], rows if at is None else at
        block = self._block(user, item, self._ends[at], self.events.time_rank[at], label, rows)
        if not self.events.labels:
            return block
        is_positive = item == self.events.item[rows]
        for task, values in self.events.labels.items():
            task_label = (values[rows] & is_positive).astype(np.float32)
            block.columns[task_feature(task)] = Column(task_label)
        return block

    def after_all_events(self, user: Int64Array, item: Int64Array) -> Block:
        """Return examples that show ``item`` to ``user`` after all events, with label 0.

        Both arguments are indices.
        """
        starts = np.append(self._starts, len(next(iter(self._histories.values()))))
        time_rank = np.full(len(user), len(self.events.user))
        label = np.zeros(len(user), dtype=np.float32)
        return self._block(user, item, starts[user + 1], time_rank, label)

    def _block(
        self,
        user: Int64Array,
        item: Int64Array,
        ends: Int64Array,
        time_rank: Int64Array,
        label: NDArray[np.float32],
        rows: Int64Array | None = None,
    ) -> Block:
        run, starts = None, self._starts[user]
        if self._targets == 1:
            starts = np.maximum(starts, ends - self._max_len)
        else:
            run, starts = shared_histories(user, starts, ends, self._targets, self._max_len)
        columns = {name: Column(values, user) for name, values in self._users.items()}
        columns |= {name: Column(values, item) for name, values in self._items.items()}
        for name, values in self._event_values.request(user, item, time_rank, rows).items():
            columns[name] = Column(values)
        if self._rates is not None:
            rates = self._rates.features(user, item, time_rank)
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
