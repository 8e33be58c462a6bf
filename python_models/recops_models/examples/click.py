"""Click examples from a data set and a split: who met which item, after which history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import Histories, Int64Array
from recops_models.data.splits import Split, SplitName, named_split
from recops_models.examples.block import Block, Column, Ragged
from recops_models.examples.features import Categorical, FeatureSchema, FittedSchema, Sequence
from recops_models.examples.fit_schema import SchemaFit
from recops_models.examples.loader import MemorySource, Source
from recops_models.examples.lookup import as_keys
from recops_models.examples.negatives import Law, sample_negatives

PARTS = ("train", "validation", "test")

Feedback = Literal["explicit", "implicit"]


@dataclass(frozen=True)
class ClickData:
    """What a click model is trained on, chosen by, and measured on.

    Attributes:
        name: the data set's.
        fitted: the features, with vocabularies of the training part.
        split: ``"global-time"``, ``"leave-one-out"``, ``"by-user"``, or ``"given"``.
        notes: what a report should tell: how labels came about, what was left out.
    """

    name: str
    fitted: FittedSchema
    train: Source
    validation: Source
    test: Source
    split: str
    notes: tuple[str, ...] = ()


def click_schema(
    dataset: Dataset, *, max_len: int = 50, rare_count: int = 2, rare_share: float = 1e-3
) -> FeatureSchema:
    """User, item, the item's single-valued attributes, and the histories of each of these.

    Args:
        dataset: the data.
        max_len: of a history.
        rare_count: ``min_count`` of every categorical.
        rare_share: as of :class:`~recops_models.examples.features.Categorical`, of each.
    """
    attributes = [
        name
        for name in dataset.item_columns("attribute")
        if not pa.types.is_nested(dataset.items[name].type)
    ]
    described = ["item", *attributes]
    return FeatureSchema(
        (
            *(
                Categorical(name, min_count=rare_count, rare_share=rare_share)
                for name in ("user", *described)
            ),
            *(Sequence(f"history_{name}", max_len, share_embedding=name) for name in described),
        )
    )


def feedback_of(dataset: Dataset) -> Feedback:
    """``"explicit"`` where the source has labels or ratings, else ``"implicit"``."""
    columns = dataset.interactions.column_names
    return "explicit" if "label" in columns or "rating" in columns else "implicit"


def labels_of(
    events: pa.Table, feedback: Feedback, positive: float, *, name: str
) -> NDArray[np.float32]:
    """``[E]``, 0 or 1: whether each event was liked; all of them where feedback is implicit.

    Raises:
        DataError: labels other than 0 and 1, or neither labels nor ratings; it names ``name``.
    """
    if feedback == "implicit":
        return np.ones(events.num_rows, dtype=np.float32)
    if "label" in events.column_names:
        label: NDArray[np.float32] = events["label"].to_numpy().astype(np.float32)
        wrong = (label != 0) & (label != 1)
        if wrong.any():
            raise DataError(
                f"{name}: labels must be 0 or 1, found {label[wrong][0]:g} "
                f"in {int(wrong.sum()):,} rows"
            )
        return label
    if "rating" not in events.column_names:
        raise DataError(f"{name}: explicit feedback needs a label or rating column")
    liked: NDArray[np.bool_] = events["rating"].to_numpy() >= positive
    return liked.astype(np.float32)


def click_data(
    dataset: Dataset,
    split: Split | SplitName | None = None,
    *,
    max_len: int = 50,
    feedback: Feedback | None = None,
    positive: float = 4.0,
    negatives: int = 1,
    negatives_law: Law = "uniform",
    rare_count: int = 2,
    rare_share: float = 1e-3,
    seed: int = 0,
    fitted: FittedSchema | None = None,
) -> ClickData:
    """Click examples of ``dataset``.

    An example's history is its user's positive events before it, in time and, within one second, in
    the order of the source; never itself or anything later. Histories are not copied out: an
    example holds where its own ends among its user's positives.

    Explicit feedback: the label is the source's, or whether the rating is ``positive`` or more.
    Implicit: every event is a positive and brings ``negatives`` items that the user did not meet:
    in training, among the items of the training part, anew in each epoch, disjoint from the user's
    training events; in validation and test, among all items, drawn once, disjoint from all of the
    user's events. A negative has the history of its positive.

    Args:
        dataset: the data.
        split: or its name; None takes what :func:`~recops_models.data.splits.named_split` does, by
            the clock where times are real.
        max_len: of a history.
        feedback: None takes labels and ratings where there are any.
        positive: the least rating that counts as liking.
        negatives: per positive, of implicit feedback.
        negatives_law: ``"uniform"``, or ``"popularity"``: by the number of training events to the
            power 3/4, see :func:`~recops_models.examples.negatives.sample_negatives`.
        rare_count: users, items and attributes that the training part shows fewer times count as
            unknown.
        rare_share: so do the rarest, together at most this share of the training part: the row that
            stands for what training does not know is trained as every other is.
        seed: of the negatives in validation and test.
        fitted: the schema of a model already trained, in place of one learnt here; ``max_len`` is
            then its own.

    Raises:
        DataError: labels other than 0 and 1, feedback that the source does not have, a part without
            examples, or a user who met every item.
        ValueError: ``negatives`` is not positive.
    """
    if negatives < 1:
        raise ValueError(f"click_data: negatives must be 1 or more, got {negatives}")
    name: str = "given"
    if not isinstance(split, Split):
        name, split = named_split(dataset, split, clock=True)
    events = _Events.of(split, feedback or feedback_of(dataset), positive)
    if fitted is None:
        schema = click_schema(
            dataset, max_len=max_len, rare_count=rare_count, rare_share=rare_share
        )
        fitted = _fit(schema, events)
    else:
        max_len = max(feature.max_len for feature in fitted.schema.of_type(Sequence))
    examples = _Examples(events, fitted, max_len)
    if events.explicit:
        sources = [_listed(examples, events.part(index)) for index in range(3)]
        note = "labels of the source" if events.labelled else f"label: rating ≥ {positive:g}"
    else:
        sources = [
            _with_negatives(
                examples, index, negatives, negatives_law, None if index == 0 else (seed, index)
            )
            for index in range(3)
        ]
        note = f"{negatives} sampled, never met items for each event, as negatives"
    train, validation, test = sources
    return ClickData(dataset.name, fitted, train, validation, test, name, (note,))


@dataclass(frozen=True, eq=False)
class _Events:
    """Context and all parts, one after the other, which keeps every user's own order."""

    dataset: Dataset
    user: Int64Array
    item: Int64Array
    label: NDArray[np.float32]
    bounds: Int64Array
    explicit: bool
    labelled: bool

    @classmethod
    def of(cls, split: Split, feedback: Feedback, positive: float) -> _Events:
        dataset = split.dataset
        tables = [getattr(split, part) for part in ("context", *PARTS)]
        for part, table in zip(PARTS, tables[1:], strict=True):
            if not table.num_rows:
                raise DataError(f"{dataset.name}: the {part} part is empty")
        events = pa.concat_tables(tables)
        explicit, labelled = feedback == "explicit", "label" in events.column_names
        label = labels_of(events, feedback, positive, name=dataset.name)
        return cls(
            dataset,
            dataset.user_vocabulary.index(events["user_id"].to_numpy()),
            dataset.item_vocabulary.index(events["item_id"].to_numpy()),
            label,
            np.cumsum([table.num_rows for table in tables]),
            explicit,
            labelled,
        )

    def part(self, index: int) -> Int64Array:
        """The rows of one part."""
        return np.arange(self.bounds[index], self.bounds[index + 1])

    def histories(self, rows: Int64Array) -> Histories:
        """Every user's events among ``rows``."""
        order = rows[np.argsort(self.user[rows], kind="stable")]
        counts = np.bincount(self.user[rows], minlength=self.dataset.users.num_rows)
        return Histories(np.concatenate([[0], np.cumsum(counts)]), self.item[order], order)


class _Examples:
    """Blocks of (user, item, label, where the history ends)."""

    def __init__(self, events: _Events, fitted: FittedSchema, max_len: int) -> None:
        self.events = events
        self._max_len = max_len
        dataset = events.dataset
        self._user_ids = dataset.users["user_id"].to_numpy()
        self._user_rows = fitted.lookup("user").rows(self._user_ids)
        self._item_rows = {
            feature.name: fitted.lookup(feature.name).rows(item_column(dataset, feature.name))
            for feature in fitted.schema.of_type(Categorical)
            if feature.name != "user"
        }
        # Positives by user: what lies before an event in this order is its history's end.
        order = np.argsort(events.user, kind="stable")
        liked = events.label[order] > 0
        self._ends: Int64Array = np.empty(len(order), dtype=np.int64)
        self._ends[order] = np.cumsum(liked) - liked
        self._starts = np.searchsorted(events.user[order][liked], np.arange(len(self._user_ids)))
        items = events.item[order][liked]
        self._histories = {
            f"history_{name}": rows.astype(np.int32)[items]
            for name, rows in self._item_rows.items()
        }

    def block(self, rows: Int64Array, item: Int64Array, label: NDArray[np.float32]) -> Block:
        """Examples that show ``item`` to the users of events ``rows``, at their moment."""
        user, ends = self.events.user[rows], self._ends[rows]
        lengths = np.minimum(ends - self._starts[user], self._max_len)
        return Block(
            {"user": Column(self._user_rows, user)}
            | {name: Column(values, item) for name, values in self._item_rows.items()},
            (Ragged(ends, lengths, dict(self._histories)),),
            label,
            Column(self._user_ids, user),
        )


def _fit(schema: FeatureSchema, events: _Events) -> FittedSchema:
    """Vocabularies of what the training part's events show."""
    train, dataset = events.part(0), events.dataset
    fit = SchemaFit(schema)
    fit.update(
        {"user": dataset.users["user_id"].combine_chunks().take(pa.array(events.user[train]))}
    )
    for feature in schema.of_type(Categorical)[1:]:
        column = item_column(dataset, feature.name)
        fit.update({feature.name: column.take(pa.array(events.item[train]))})
    return fit.finish()


def item_column(dataset: Dataset, name: str) -> pa.Array:
    """The values of feature ``name``, one for each item of the catalogue."""
    column = dataset.items["item_id" if name == "item" else name]
    return as_keys(pa.concat_arrays([as_keys(chunk) for chunk in column.chunks]))


def _listed(examples: _Examples, rows: Int64Array) -> Source:
    block = examples.block(rows, examples.events.item[rows], examples.events.label[rows])
    return MemorySource(len(rows), lambda *_: block)


def _with_negatives(
    examples: _Examples, part: int, negatives: int, law: Law, fixed: tuple[int, int] | None
) -> Source:
    """Each event of a part and ``negatives`` items beside it, drawn by ``fixed`` or per epoch."""
    events = examples.events
    mine = events.histories(events.part(part))
    rows = np.repeat(mine.rows, 1 + negatives).reshape(-1, 1 + negatives)
    label = np.zeros(rows.shape, dtype=np.float32)
    label[:, 0] = 1
    draw = _training_draw(mine, law) if fixed is None else _evaluation_draw(events, law)

    def block(seed: tuple[int, int]) -> Block:
        drawn = draw(mine.lengths * negatives, int(np.random.default_rng(seed).integers(2**62)))
        item = np.column_stack([mine.items, drawn.reshape(-1, negatives)])
        return examples.block(rows.ravel(), item.ravel(), label.ravel())

    if fixed is None:
        return MemorySource(rows.size, lambda seed, epoch: block((seed or 0, epoch)))
    once = block(fixed)
    return MemorySource(rows.size, lambda *_: once)


def _training_draw(train: Histories, law: Law) -> Callable[[Int64Array, int], Int64Array]:
    """Items of the training part alone: an item whose vector is never trained as a positive would
    tell its label.
    """
    known, dense = np.unique(train.items, return_inverse=True)
    positives = Histories(train.offsets, dense.astype(np.int64), train.rows)
    return lambda counts, seed: known[
        sample_negatives(positives, len(known), counts, law=law, seed=seed)
    ]


def _evaluation_draw(events: _Events, law: Law) -> Callable[[Int64Array, int], Int64Array]:
    """Items that the user meets in no part; how popular one is, training alone says."""
    train = events.part(0)
    others = np.setdiff1d(np.arange(len(events.user)), train)
    positives, exclude = events.histories(train), events.histories(others)
    num_items = events.dataset.items.num_rows
    return lambda counts, seed: sample_negatives(
        positives, num_items, counts, law=law, seed=seed, exclude=exclude
    )
