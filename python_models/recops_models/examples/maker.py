"""From events to examples: who met which item, after which history."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.errors import DataError
from recops_models.data.histories import Histories, Int64Array
from recops_models.examples.block import Block, Column, Ragged
from recops_models.examples.click_schema import (
    SIGN,
    encoded,
    item_columns,
    keys,
    numbers,
    user_columns,
)
from recops_models.examples.events import Events
from recops_models.examples.features import (
    Categorical,
    FeatureSchema,
    FittedSchema,
    Numeric,
    Sequence,
)
from recops_models.examples.fit_schema import SchemaFit
from recops_models.examples.running_rates import RATES
from recops_models.examples.shared_histories import shared_histories


def fit_schema(schema: FeatureSchema, events: Events) -> FittedSchema:
    """What the training part's events show: vocabularies, means and deviations."""
    train = events.part(0)
    fit = SchemaFit(schema)
    names = [feature.name for feature in schema.features]
    for columns, index in (
        (user_columns(events.dataset), events.user),
        (item_columns(events.dataset), events.item),
    ):
        shown = pa.array(index[train])
        for name in set(names) & set(columns):
            if isinstance(schema[name], Categorical):
                fit.update({name: keys(columns[name]).take(shown)})
            else:
                fit.update({name: pa.array(numbers(columns[name])).take(shown)})
    if SIGN in names:
        fit.update({SIGN: pa.array(events.said[train])})
    if RATES[0] in names:
        rates = events.running_rates.features(
            events.user[train], events.item[train], events.place[train]
        )
        fit.update({name: pa.array(values) for name, values in rates.items()})
    return fit.finish()


class ExampleMaker:
    """Blocks of (user, item, label, where the history ends).

    A history holds its user's events before the example, with the sign of each where the schema has
    :data:`~recops_models.examples.click_schema.SIGN`, else those alone that were liked. It is not
    copied out: an example knows where its own ends among its user's events.

    Args:
        events: all of them.
        fitted: of :func:`~recops_models.examples.click_schema.click_schema`.
        targets: how many neighbouring examples of a user have histories that begin alike, see
            :func:`~recops_models.examples.shared_histories.shared_histories`; 1: none have.

    Raises:
        DataError: the schema has a feature that the data set lacks.
    """

    def __init__(self, events: Events, fitted: FittedSchema, targets: int = 1) -> None:
        self.events, self.fitted, self._targets = events, fitted, targets
        dataset, schema = events.dataset, fitted.schema
        self._user_ids = dataset.users["user_id"].to_numpy()
        self._users = encoded(user_columns(dataset), fitted)
        self._items = encoded(item_columns(dataset), fitted)
        made = {*self._users, *self._items, *RATES}
        for feature in schema.features:
            if isinstance(feature, (Categorical, Numeric)) and feature.name not in made:
                raise DataError(f"{dataset.name}: nothing tells of feature {feature.name!r}")
        names = [feature.name for feature in schema.features]
        self._rates = events.running_rates if RATES[0] in names else None
        sequences: list[Sequence] = schema.of_type(Sequence)
        self._max_len = max(sequence.max_len for sequence in sequences)
        self._signed = SIGN in names
        # By user: what lies before an event in this order is its history's end.
        order = np.lexsort((events.place, events.user))
        kept = self._in_history[order]
        self._ends: Int64Array = np.empty(len(order), dtype=np.int64)
        self._ends[order] = np.cumsum(kept) - kept
        order = order[kept]
        self._starts = np.searchsorted(events.user[order], np.arange(len(self._user_ids)))
        self._histories = {
            sequence.name: fitted.lookup(SIGN).rows(events.said[order]).astype(np.int32)
            if sequence.name == SIGN
            else self._items[sequence.share_embedding or ""].astype(np.int32)[events.item[order]]
            for sequence in sequences
        }

    def training_histories(self) -> Histories:
        """What histories may hold of the events of all who are trained on, up to the end of the
        training part; items are rows of the candidate's table.
        """
        events, train = self.events, self.events.part(0)
        trained = np.zeros(len(self._user_ids), dtype=np.bool_)
        trained[events.user[train]] = True
        rows = np.arange(events.bounds[1])  # What is known of users who are not trained on, first.
        rows = rows[trained[events.user[: len(rows)]] & self._in_history[: len(rows)]]
        found = events.histories(rows)
        return Histories(found.offsets, self._items["item"][found.items], found.rows)

    @property
    def _in_history(self) -> NDArray[np.bool_]:
        """``[E]``: which events histories hold."""
        return np.ones(len(self.events.user), dtype=np.bool_) if self._signed else self.events.liked

    def block(self, rows: Int64Array, item: Int64Array, label: NDArray[np.float32]) -> Block:
        """Examples that show ``item`` to the users of events ``rows``, at their moment."""
        user = self.events.user[rows]
        return self._block(user, item, self._ends[rows], self.events.place[rows], label)

    def after_all(self, user: Int64Array, item: Int64Array) -> Block:
        """Examples without a label that show ``item`` to ``user``, indices, behind all events."""
        starts = np.append(self._starts, len(next(iter(self._histories.values()))))
        place = np.full(len(user), len(self.events.user))
        label = np.zeros(len(user), dtype=np.float32)
        return self._block(user, item, starts[user + 1], place, label)

    def _block(
        self,
        user: Int64Array,
        item: Int64Array,
        ends: Int64Array,
        place: Int64Array,
        label: NDArray[np.float32],
    ) -> Block:
        run, starts = None, self._starts[user]
        if self._targets == 1:
            starts = np.maximum(starts, ends - self._max_len)
        else:
            run, starts = shared_histories(user, starts, ends, self._targets, self._max_len)
        columns = {name: Column(values, user) for name, values in self._users.items()}
        columns |= {name: Column(values, item) for name, values in self._items.items()}
        if self._rates is not None:
            rates = self._rates.features(user, item, place)
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
