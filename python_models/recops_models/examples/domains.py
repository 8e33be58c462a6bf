"""Split of a data set into a super-domain's earlier and a small domain's later events.

Knowledge is extracted from events of all domains in an early window, and used to train a model on
the later events of one domain (KEEP)::

                   before the cut        after the cut
    small domain   window + context      train, validation, test
    other domains  window                unused
"""

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

from recops_models.data.column_roles import is_list
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import Int64Array
from recops_models.data.splits import PARTS, Split, SplitName, global_time, leave_one_out
from recops_models.examples.tasks import AUTO, DEFAULT_VALUE
from recops_models.setting_checks import check_above_zero, check_at_least, check_shares

DOMAIN_ID = "domain:id"
"""Column of the super-domain's interactions with the index of the event's domain."""

_EVENT = "domain:event"
"""Temporary column with the row of each event in the data set."""

Cut = Literal["clock", "order"]


@dataclass(frozen=True)
class DomainConfig:
    """Configuration of the super-domain's window and the small domain.

    Attributes:
        domain_column: column with the domain: of the interactions, such as ``"domain"``, or of the
            items, such as ``"category"``; a list may name several domains. None: one domain.
        domain: the small domain, a value of ``domain_column``; None: all domains.
        until: share of all events, the earliest ones, in the super-domain's window; in [0, 1). 0 is
            for external knowledge: the window is empty.
        cut: ``"clock"``: the window ends at one time for all users. ``"order"``: it holds each
            user's first events, for sources without times; this does not prevent leakage between
            users.
        validation: share of the small domain's events after the window. With cut ``"order"``, each
            user's last event but one is validation instead.
        test: share of the small domain's events after the window. With cut ``"order"``, each user's
            last event is test instead.
        slices: number of consecutive time slices to train on, as an online model does; the last
            state is kept. 0: train on all events at once.
        passes: epochs per slice.
        task_labels: labels that the extractor learns in addition to clicks: columns of the
            interactions, such as ``"bought"``, positive above 0. ``"auto"``: whether an event was
            kept (not disliked), and whether its value is above the median.
        task_value: column of that value, such as ``"price"``; None: no such task.

    Raises:
        ValueError: a share is outside [0, 1), validation or test is 0, ``slices`` is negative, or
            ``passes`` is 0.
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
    """Assignment of a data set's events to window and small domain.

    Attributes:
        dataset: the data.
        before: ``[E]``, whether an event is in the super-domain's window.
        inside: ``[E]``, whether an event is in the small domain.
        config: configuration of the cut.
    """

    dataset: Dataset
    before: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    config: DomainConfig

    @classmethod
    def of(cls, dataset: Dataset, config: DomainConfig) -> Domains:
        """Assign the events of ``dataset``.

        Raises:
            DataError: there is no such column or domain; the cut needs times that the source lacks;
                or the small domain has no event after the window.
        """
        inside = _inside(dataset, config)
        before = _before(dataset, config)
        if not (~before & inside).any():
            raise DataError(
                f"{dataset.name}: no event of the small domain after until={config.until:g}"
            )
        return cls(dataset, before, inside, config)

    @property
    def split_name(self) -> SplitName:
        """Name of the split of the small domain's events after the window."""
        return "global-time" if self.config.cut == "clock" else "leave-one-out"

    def super_domain(self) -> Split:
        """Return the split of the window's events, with the column :data:`DOMAIN_ID`.

        Its validation part, the last events, selects the extractor's epoch.

        Raises:
            DataError: the window has no events, or too few to split.
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
        """Return the split of the small domain's events, with the small domain's items.

        Events after the window are train, validation and test; earlier ones are context.
        """
        part, inside = self.parts(), self.inside
        events = self.dataset.interactions.filter(pa.array(inside))
        members = pc.is_in(self.dataset.items["item_id"], events["item_id"].unique())
        items = self.dataset.items.filter(members)
        small = dataclasses.replace(self.dataset, interactions=events, items=items)
        return Split.of(small, part[inside])

    def parts(self) -> Int64Array:
        """Return the part ``[E]`` of each event: 0 train, 1 validation, 2 test, 3 context.

        Events of other domains have −1.
        """
        later = np.flatnonzero(~self.before & self.inside)
        table = self.dataset.interactions.take(pa.array(later))
        after_window = dataclasses.replace(
            self.dataset, interactions=table.append_column(_EVENT, pa.array(later))
        )
        if self.config.cut == "order":
            split = leave_one_out(after_window)
        else:
            shares = {"validation": self.config.validation, "test": self.config.test}
            split = global_time(after_window, **shares)
        part = np.where(self.inside, 3, -1)
        for index, name in enumerate(PARTS):
            part[getattr(split, name)[_EVENT].to_numpy()] = index
        return part

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all domains with events; "" is the domain of events without one."""
        return self._domains[0]

    @cached_property
    def _domains(self) -> tuple[tuple[str, ...], Int64Array]:
        """Domain names, and the domain index ``[E]`` of each event; the first of several."""
        column, events = self.config.domain_column, self.dataset.interactions
        if column is None:
            return ("",), np.zeros(events.num_rows, dtype=np.int64)
        values, rows = _values(self.dataset, column)
        encoded = _first(values).take(pa.array(rows)).dictionary_encode()
        return tuple(encoded.dictionary.to_pylist()), encoded.indices.to_numpy().astype(np.int64)

    @cached_property
    def item_domains(self) -> Int64Array | None:
        """Domain index ``[I]`` of each item, the first of several; −1 for a domain without events.

        None if the domain is not a column of the items.
        """
        column = self.config.domain_column
        if column is None or column in self.dataset.interactions.column_names:
            return None
        values = _first(_one_array(self.dataset.items[column]))
        index = pc.index_in(values, pa.array(self.names, pa.string()))
        return np.asarray(pc.fill_null(index, -1).to_numpy().astype(np.int64))


def _before(dataset: Dataset, config: DomainConfig) -> NDArray[np.bool_]:
    if config.cut == "order":
        user = dataset.user_vocabulary.index(dataset.interactions["user_id"].to_numpy())
        counts = np.bincount(user, minlength=dataset.users.num_rows)
        position = np.empty(len(user), dtype=np.int64)
        order = np.argsort(user, kind="stable")
        position[order] = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.asarray(position < np.round(config.until * counts[user]))
    if dataset.time != "seconds":
        raise DataError(
            f"{dataset.name}: cut=clock needs times in seconds, which the source lacks; "
            "cut=order takes each user's first events instead"
        )
    times = dataset.interactions["timestamp"].to_numpy()
    return np.asarray(times < times[min(int(len(times) * config.until), len(times) - 1)])


def _inside(dataset: Dataset, config: DomainConfig) -> NDArray[np.bool_]:
    """Return whether each event ``[E]`` is in the small domain."""
    if config.domain is None:
        return np.ones(dataset.interactions.num_rows, dtype=np.bool_)
    if config.domain_column is None:
        raise DataError(f"{dataset.name}: domain={config.domain} needs a domain_column")
    values, rows = _values(dataset, config.domain_column)
    matches = np.zeros(len(values), dtype=np.bool_)
    if is_list(values.type):
        parent = pc.list_parent_indices(values).to_numpy()
        matches[parent[_equal(pc.list_flatten(values), config.domain)]] = True
    else:
        matches = _equal(values, config.domain)
    if not matches.any():
        raise DataError(
            f"{dataset.name}: column {config.domain_column} never has the value {config.domain!r}"
        )
    return np.asarray(matches[rows])


def _values(dataset: Dataset, column: str) -> tuple[pa.Array, Int64Array]:
    """Return a column of the interactions or items, and the row ``[E]`` in it of each event."""
    events, items = dataset.interactions, dataset.items
    if column in events.column_names:
        return _one_array(events[column]), np.arange(events.num_rows)
    if column in items.column_names:
        rows = dataset.item_vocabulary.index(events["item_id"].to_numpy())
        return _one_array(items[column]), rows
    known = sorted({*events.column_names, *items.column_names} - {"user_id", "item_id"})
    raise DataError(
        f"{dataset.name}: neither interactions nor items have a column {column!r}; available: "
        + ", ".join(known)
    )


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def _equal(column: pa.Array, value: str) -> NDArray[np.bool_]:
    equal = pc.fill_null(pc.equal(column.cast(pa.string()), value), False)
    return np.asarray(equal.to_numpy(zero_copy_only=False))


def _first(column: pa.Array) -> pa.Array:
    """Return the values as text, the first of a list; "" if missing."""
    if not is_list(column.type):
        return pc.fill_null(column.cast(pa.string()), "")
    texts = ["" if not row else str(row[0]) for row in column.to_pylist()]
    return pa.array(texts, pa.string())


def slices_of(split: Split, number: int) -> list[Split]:
    """Return one split per slice of the training part, in time order, with equal event counts.

    The events of earlier slices become context.

    Raises:
        ValueError: ``number`` is not in [1, number of training events].
    """
    rows = split.train.num_rows
    if not 1 <= number <= rows:
        raise ValueError(f"slices_of: number must be 1 to {rows:,} (events), got {number}")
    ends = [rows * index // number for index in range(number + 1)]
    return [
        dataclasses.replace(
            split,
            train=split.train.slice(start, end - start),
            context=pa.concat_tables([split.context, split.train.slice(0, start)]),
        )
        for start, end in itertools.pairwise(ends)
    ]
