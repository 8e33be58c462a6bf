"""Events of requests: histories of any users, numbered as a trained model numbers items."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from recops_models.data import columns
from recops_models.data.column_roles import is_list
from recops_models.data.dataset import Dataset, entity_keys
from recops_models.data.errors import DataError
from recops_models.data.histories import Histories, Int64Array
from recops_models.data.times import parse_times
from recops_models.examples.feedback import FEEDBACK_COLUMNS
from recops_models.examples.stated_values import StatedValues

_LIKED = {"label": 1.0, "feedback": 2.0}
"""Value of an event without feedback; without a rating it has the highest one of the data."""

_FIRST_NEW_USER = 1 << 62
"""Id of the first new user of data with text ids, which the data numbers from 0."""


@dataclass(frozen=True, eq=False)
class RequestEvents:
    """Data set in which the events of some users are those of a request.

    Attributes:
        dataset: the catalogue, the users and their events.
        users: ``[U]`` i64, indices of the requests' users in ``dataset``.
        known: ``[U]`` i64, index of each user in the data of the training; −1: a new user.
        keys: ``[U]``, ids of the users as in the request.
        unknown_items: number of events that were left out because their item is unknown.
        stated: values of event columns at the moment of the requests. Without them, a request has
            the values of the user's last event, and an item those of its last event.
    """

    dataset: Dataset
    users: Int64Array
    known: Int64Array
    keys: pa.ChunkedArray
    unknown_items: int = 0
    stated: tuple[StatedValues, ...] = ()

    @cached_property
    def histories(self) -> Histories:
        """The events of each request, ``[U]`` histories; rows are those of the interactions."""
        dataset = self.dataset
        events = dataset.interactions.select(["user_id", "item_id"])
        ids = pa.array(dataset.user_vocabulary.ids[self.users])
        own = np.flatnonzero(columns.mask(pc.is_in(events["user_id"], value_set=ids)))
        histories = Histories.of(
            events.take(pa.array(own)), dataset.user_vocabulary, dataset.item_vocabulary
        ).take(self.users)
        return dataclasses.replace(histories, rows=own[histories.rows])

    def seen_items(self) -> list[Tensor]:
        """Return the items of each request's events."""
        lengths = self.histories.lengths.tolist()
        return list(torch.from_numpy(self.histories.items).split(lengths))

    def hidden_items(self) -> list[Tensor]:
        """Return the items that each request leaves out: those of its events, or none.

        A data set that keeps repeats leaves out none.
        """
        if self.dataset.repeats == "drop":
            return self.seen_items()
        return [torch.empty(0, dtype=torch.int64)] * len(self.users)

    @classmethod
    def of_known_users(cls, dataset: Dataset, users: Int64Array) -> RequestEvents:
        """Return the requests of users of ``dataset``, given by index, with all their events."""
        return cls(dataset, users, users, entity_keys(dataset, "user").take(pa.array(users)))

    @classmethod
    def of_histories(
        cls, dataset: Dataset, histories: pa.Table, *, positive: float, keeps_others: bool
    ) -> RequestEvents:
        """Return the requests of the users in a table of events.

        Args:
            dataset: the catalogue, and the users and columns that the model knows.
            histories: columns ``user_id`` and ``item_id``, optionally ``timestamp`` and the columns
                of the data's interactions. Without times, rows are in order. Without feedback,
                events count as liked. Event columns of the schema that are missing are null; any
                other missing column has the data's most frequent value.
            positive: lowest rating that counts as liked.
            keeps_others: also keep the data's events of all other users.

        Raises:
            DataError: a column is missing or unreadable.
        """
        for name in ("user_id", "item_id"):
            if name not in histories.column_names:
                available = ", ".join(histories.column_names) or "none"
                raise DataError(f"histories: no column {name!r} (columns: {available})")
        item = columns.row_of(entity_keys(dataset, "item"), histories["item_id"])
        events = _events(dataset, histories.filter(pa.array(item >= 0)), positive)
        events["item_id"] = dataset.item_vocabulary.ids[item[item >= 0]]
        asked = columns.id_text(histories["user_id"])
        keys = pc.unique(asked)
        if pc.any(pc.equal(keys, "")).as_py():
            raise DataError("histories: user_id is missing in a row")
        known = columns.row_of(entity_keys(dataset, "user"), pa.chunked_array([keys]))
        ids = _user_ids(dataset, keys, known)
        row = pc.index_in(asked, value_set=keys).to_numpy()
        events["user_id"] = ids[row[item >= 0]]
        table = pa.table(events).select(dataset.interactions.column_names)
        if keeps_others:
            is_other = pc.invert(pc.is_in(dataset.interactions["user_id"], pa.array(ids)))
            table = pa.concat_tables([dataset.interactions.filter(is_other), table])
        order = np.argsort(table["timestamp"].to_numpy(), kind="stable")
        users = _users(dataset, keys, ids, known, keeps_others)
        requests = dataclasses.replace(
            dataset, interactions=table.take(pa.array(order)), users=users
        )
        own_type = entity_keys(dataset, "user").type
        as_asked = keys if pa.types.is_string(own_type) else keys.cast(pa.int64())
        return cls(
            requests,
            requests.user_vocabulary.index(ids),
            known,
            pa.chunked_array([as_asked]),
            int((item < 0).sum()),
        )


def _events(
    dataset: Dataset, histories: pa.Table, positive: float
) -> dict[str, pa.ChunkedArray | pa.Array | np.ndarray]:
    """Return the columns of the data's interactions, without the ids."""
    count = histories.num_rows
    read: dict[str, pa.ChunkedArray | pa.Array | np.ndarray] = {}
    for field in dataset.interactions.schema:
        name = field.name
        if name in ("user_id", "item_id"):
            continue
        if name == "timestamp":
            read[name] = _times(dataset, histories)
        elif name in histories.column_names:
            read[name] = cast_column("histories", histories[name], field)
        else:
            read[name] = (
                pa.array(np.full(count, 0)).cast(field.type)
                if count == 0
                else pa.repeat(_missing_value(dataset, name, positive).cast(field.type), count)
            )
    return read


def _times(dataset: Dataset, histories: pa.Table) -> Int64Array:
    if "timestamp" not in histories.column_names:
        return np.arange(histories.num_rows)
    times, faults = parse_times(histories["timestamp"], "timestamp", dataset.time_format)
    for reason, rows in faults:
        if rows.any():
            raise DataError(f"histories: {reason} in row {int(rows.argmax()) + 1}")
    return times


def cast_column(argument: str, column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """Return a column of a request with the type of the data's column.

    Args:
        argument: name of the argument, for errors.
        column: the column.
        field: name and type of the data's column.

    Raises:
        DataError: the column cannot be read as that type.
    """
    try:
        return column.cast(field.type)
    except pa.ArrowException as error:
        raise DataError(
            f"{argument}: column {field.name!r} must hold {field.type}, got {column.type}"
        ) from error


def _missing_value(dataset: Dataset, name: str, positive: float) -> pa.Scalar:
    """Return the value of a column that ``histories`` lacks."""
    kind = dataset.interactions[name].type
    if is_list(kind) or any(column.name == name for column in dataset.event_columns):
        return pa.scalar(None, kind)
    if name in _LIKED:
        return pa.scalar(_LIKED[name])
    column = dataset.interactions[name]
    if name in FEEDBACK_COLUMNS:
        highest = pc.max(column).as_py()
        return pa.scalar(positive if highest is None else max(positive, highest))
    counts = pc.value_counts(column)
    if not len(counts):
        return pa.scalar(None, column.type)
    return counts[int(np.argmax(counts.field("counts").to_numpy()))]["values"]


def _user_ids(dataset: Dataset, keys: pa.Array, known: Int64Array) -> Int64Array:
    """Return an id for each user: the data's own, or one that the data does not have."""
    own = dataset.users["user_id"].to_numpy()
    if dataset.text_keys("user") is not None:
        new = _FIRST_NEW_USER + np.arange(len(keys))
    else:
        new, faults = columns.parse_integer_ids(pa.chunked_array([keys]), "user_id")
        for reason, rows in faults:
            if rows.any():
                key = keys[int(rows.argmax())]
                raise DataError(f"histories: {reason}, as the data's ids are: {key}")
    ids: Int64Array = new.copy()
    ids[known >= 0] = own[known[known >= 0]]
    return ids


def _users(
    dataset: Dataset, keys: pa.Array, ids: Int64Array, known: Int64Array, keeps_others: bool
) -> pa.Table:
    """Return the users by ascending id; new users have null attributes."""
    is_new = known < 0
    new = pa.table({"user_id": ids[is_new]})
    if dataset.text_keys("user") is not None:
        new = new.append_column("user_key", keys.filter(pa.array(is_new)))
    old = dataset.users
    if not keeps_others:
        old = old.take(pa.array(np.sort(known[~is_new])))
    table = pa.concat_tables([old, new], promote_options="default") if new.num_rows else old
    order = np.argsort(table["user_id"].to_numpy(), kind="stable")
    return table.take(pa.array(order)).combine_chunks()
