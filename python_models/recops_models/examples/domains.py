"""A super-domain's earlier events, and a small domain's later ones."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data.dataset import Dataset, is_list
from recops_models.data.errors import DataError
from recops_models.data.histories import Int64Array
from recops_models.data.splits import Split, SplitName, global_time, leave_one_out
from recops_models.examples.events import PARTS
from recops_models.examples.tasks import AUTO, DEFAULT_VALUE
from recops_models.setting_checks import check_above_zero, check_at_least, check_shares

DOMAIN_ID = "domain:id"
"""The column of the super-domain's interactions that tells which of all domains an event is of."""

_EVENT = "domain:event"
"""The column that numbers events while they are split."""

Cut = Literal["clock", "order"]


@dataclass(frozen=True)
class DomainConfig:
    """Which events are the super-domain's, and which the small domain's.

    Attributes:
        domain_column: what tells a domain: a column of the interactions, such as ``"domain"``, or
            of items, such as ``"category"``, where a list may name several. None: there is one.
        domain: the small domain, a value of that column; None: all of them.
        until: the share of all events, the earliest ones, that the super-domain's window holds,
            within [0, 1); 0, where knowledge comes from elsewhere, leaves all of them behind it.
        cut: ``"clock"``: at one moment for everybody. ``"order"``: each user's own first events,
            where a source knows no times; then nothing guards against leakage between users.
        validation: the share of the small domain's later events, of a clock's cut; by order, each
            user's last event but one is validation, and the last one test.
        test: likewise.
        slices: training goes on over so many slices of time, each once, as an online model's does,
            and its last state is kept; 0: over all of it at once, as usual.
        passes: over each slice, before the next one.
        task_labels: what the extractor learns in addition to clicks: columns of the interactions
            whose values above 0 are positive, such as ``"bought"``; ``"auto"``: whether an event
            was kept, and whether its value is above the median.
        task_value: the column of those values, such as ``"price"``; none: no such task.

    Raises:
        ValueError: a share outside [0, 1), or none of validation or test; a negative number of
            slices, no pass.
    """

    domain_column: str | None = None
    domain: str | None = None
    until: float = 0.7
    cut: Cut = "clock"
    validation: float = 0.15
    test: float = 0.25
    slices: int = 0
    passes: int = 1
    task_labels: tuple[str, ...] = (AUTO,)
    task_value: str | None = DEFAULT_VALUE

    def __post_init__(self) -> None:
        check_shares("domains", self, "until", "validation", "test")
        check_above_zero("domains", self, "validation", "test")
        check_at_least("domains", self, slices=0, passes=1)


@dataclass(frozen=True, eq=False)
class Domains:
    """How the events of a data set fall into domains and time.

    Attributes:
        dataset: all of it.
        before: ``[E]``: which events the super-domain's window holds.
        inside: ``[E]``: which are the small domain's.
        config: how it was cut.
    """

    dataset: Dataset
    before: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    config: DomainConfig

    @classmethod
    def of(cls, dataset: Dataset, config: DomainConfig) -> Domains:
        """Cut a data set.

        Raises:
            DataError: no such column or domain, a clock's cut where there are no times, or nothing
                on a side of it.
        """
        inside = _inside(dataset, config)
        before = _before(dataset, config)
        if not (~before & inside).any():
            raise DataError(
                f"{dataset.name}: no event of the small domain behind until={config.until:g}"
            )
        return cls(dataset, before, inside, config)

    @property
    def split_name(self) -> SplitName:
        """How the small domain's later events are cut."""
        return "global-time" if self.config.cut == "clock" else "leave-one-out"

    def super_domain(self) -> Split:
        """The window's events, with :data:`DOMAIN_ID`; the last of them choose the extractor's
        epoch.

        Raises:
            DataError: there are none, or too few to be cut.
        """
        if not self.before.any():
            raise DataError(
                f"{self.dataset.name}: no event before until={self.config.until:g}, from which "
                "knowledge could be extracted"
            )
        table = self.dataset.interactions.append_column(DOMAIN_ID, pa.array(self._domains[1]))
        table = table.filter(pa.array(self.before))
        seen = dataclasses.replace(self.dataset, interactions=table)
        if self.config.cut == "order":
            return leave_one_out(seen)
        return global_time(seen, validation=0.05, test=0.01)

    def small_domain(self) -> Split:
        """The small domain's events: those behind the cut are train, validation and test, those
        before it are in histories alone. Its catalogue is the small domain's.
        """
        part, inside = self.parts(), self.inside
        events = self.dataset.interactions.filter(pa.array(inside))
        members = pc.is_in(self.dataset.items["item_id"], events["item_id"].unique())
        items = self.dataset.items.filter(members)
        small = dataclasses.replace(self.dataset, interactions=events, items=items)
        return Split.of(small, part[inside])

    def parts(self) -> Int64Array:
        """``[E]``: of the small domain's events 0 train, 1 validation, 2 test, and 3 for those
        before the cut; −1 for those of other domains.
        """
        later = np.flatnonzero(~self.before & self.inside)
        table = self.dataset.interactions.take(pa.array(later))
        asked = dataclasses.replace(
            self.dataset, interactions=table.append_column(_EVENT, pa.array(later))
        )
        if self.config.cut == "order":
            split = leave_one_out(asked)
        else:
            shares = {"validation": self.config.validation, "test": self.config.test}
            split = global_time(asked, **shares)
        part = np.where(self.inside, 3, -1)
        for index, name in enumerate(PARTS):
            part[getattr(split, name)[_EVENT].to_numpy()] = index
        return part

    @property
    def names(self) -> tuple[str, ...]:
        """Of all domains that events are of; "" stands for none."""
        return self._domains[0]

    @cached_property
    def _domains(self) -> tuple[tuple[str, ...], Int64Array]:
        """The names, and ``[E]``: of each event; of several, the first."""
        column, events = self.config.domain_column, self.dataset.interactions
        if column is None:
            return ("",), np.zeros(events.num_rows, dtype=np.int64)
        values, places = _values(self.dataset, column)
        encoded = _first(values).take(pa.array(places)).dictionary_encode()
        return tuple(encoded.dictionary.to_pylist()), encoded.indices.to_numpy().astype(np.int64)

    @cached_property
    def of_items(self) -> Int64Array | None:
        """``[I]``: of each item, of several the first, −1 of one that no event is of; None where
        items tell of no domain.
        """
        column = self.config.domain_column
        if column is None or column in self.dataset.interactions.column_names:
            return None
        values = _first(_whole(self.dataset.items[column]))
        places = pc.index_in(values, pa.array(self.names, pa.string()))
        return np.asarray(pc.fill_null(places, -1).to_numpy().astype(np.int64))


def _before(dataset: Dataset, config: DomainConfig) -> NDArray[np.bool_]:
    if config.cut == "order":
        user = dataset.user_vocabulary.index(dataset.interactions["user_id"].to_numpy())
        counts = np.bincount(user, minlength=dataset.users.num_rows)
        place = np.empty(len(user), dtype=np.int64)
        order = np.argsort(user, kind="stable")
        place[order] = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.asarray(place < np.round(config.until * counts[user]))
    if dataset.time != "seconds":
        raise DataError(
            f"{dataset.name}: knows no times, so that knowledge of earlier events cannot be told "
            "from knowledge of later ones; cut=order takes each user's own first events"
        )
    times = dataset.interactions["timestamp"].to_numpy()
    return np.asarray(times < times[min(int(len(times) * config.until), len(times) - 1)])


def _inside(dataset: Dataset, config: DomainConfig) -> NDArray[np.bool_]:
    """``[E]``: which events are of the small domain."""
    if config.domain is None:
        return np.ones(dataset.interactions.num_rows, dtype=np.bool_)
    if config.domain_column is None:
        raise DataError(f"{dataset.name}: domain={config.domain} needs a domain_column")
    values, places = _values(dataset, config.domain_column)
    found = np.zeros(len(values), dtype=np.bool_)
    if is_list(values.type):
        parent = pc.list_parent_indices(values).to_numpy()
        found[parent[_equal(pc.list_flatten(values), config.domain)]] = True
    else:
        found = _equal(values, config.domain)
    if not found.any():
        raise DataError(
            f"{dataset.name}: nothing has {config.domain!r} as its {config.domain_column}"
        )
    return np.asarray(found[places])


def _values(dataset: Dataset, column: str) -> tuple[pa.Array, Int64Array]:
    """A column of the interactions or of items, and ``[E]``: which of its places is an event's."""
    events, items = dataset.interactions, dataset.items
    if column in events.column_names:
        return _whole(events[column]), np.arange(events.num_rows)
    if column in items.column_names:
        return _whole(items[column]), dataset.item_vocabulary.index(events["item_id"].to_numpy())
    known = sorted({*events.column_names, *items.column_names} - {"user_id", "item_id"})
    raise DataError(
        f"{dataset.name}: neither interactions nor items have a column {column!r}; there are "
        + ", ".join(known)
    )


def _whole(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def _equal(column: pa.Array, value: str) -> NDArray[np.bool_]:
    same = pc.fill_null(pc.equal(column.cast(pa.string()), value), False)
    return np.asarray(same.to_numpy(zero_copy_only=False))


def _first(column: pa.Array) -> pa.Array:
    """The values as text, of a list its first; "" where there is none."""
    if not is_list(column.type):
        return pc.fill_null(column.cast(pa.string()), "")
    texts = ["" if not row else str(row[0]) for row in column.to_pylist()]
    return pa.array(texts, pa.string())


def slices_of(split: Split, number: int) -> list[Split]:
    """A split for each of ``number`` slices of the training part, of equal counts, in time order:
    what came in slices before it is context.

    Raises:
        ValueError: fewer events than slices, or no slice.
    """
    rows = split.train.num_rows
    if not 1 <= number <= rows:
        raise ValueError(f"slices_of: number must be 1 to {rows:,} (events), got {number}")
    ends = [rows * place // number for place in range(number + 1)]
    return [
        dataclasses.replace(
            split,
            train=split.train.slice(start, end - start),
            context=pa.concat_tables([split.context, split.train.slice(0, start)]),
        )
        for start, end in itertools.pairwise(ends)
    ]
