"""Examples of the parts of a split: with the data's own labels, or with sampled negatives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recops_models.data.dataset import Repeats
from recops_models.data.errors import DataError
from recops_models.data.histories import Histories, Int64Array
from recops_models.examples.block import Block
from recops_models.examples.events import Events
from recops_models.examples.features import FittedSchema
from recops_models.examples.feedback import LIKED, Feedback, rating_warning
from recops_models.examples.importance import ImportanceWeights, importance_weights
from recops_models.examples.loader import ExampleRows, MemorySource, Source
from recops_models.examples.maker import ExampleMaker
from recops_models.examples.negatives import (
    Law,
    evaluation_sampler,
    other_items,
    training_sampler,
)
from recops_models.examples.own_examples import OwnExamples

Impressions: TypeAlias = tuple[Int64Array, Int64Array, NDArray[np.float32]]
"""Rows of the events, the items shown at them, and the labels: ``[n]`` each."""

Draw: TypeAlias = Callable[[tuple[int, int]], Impressions]
"""Function of a seed that returns the impressions of a part."""


@dataclass(frozen=True)
class ClickData:
    """Training, validation and test examples of a click model.

    Attributes:
        name: name of the data set.
        fitted: the features, with vocabularies of the training part.
        train: training examples.
        validation: validation examples.
        test: test examples.
        split: ``"global-time"``, ``"leave-one-out"``, ``"by-user"``, or ``"given"``.
        notes: remarks for a report: the rule for labels, and dropped rows.
        negatives: origin of the negatives, for tables: ``"real"``, ``"given"``, or number and
            distribution, such as ``"1 by popularity"``.
        histories: returns one history per training user, up to the end of the training part; items
            are rows of the candidate's table. None if only examples are available.
        positives: share of positive training examples; None if unknown before reading.
        repeats: treatment of repeats in the data set.
        labels: names of the labels in addition to clicks, the weakest first.
        files: files that the examples are streamed from; empty for tables in memory.
    """

    name: str
    fitted: FittedSchema
    train: Source
    validation: Source
    test: Source
    split: str
    notes: tuple[str, ...] = ()
    negatives: str = "given"
    histories: Callable[[], Histories] | None = None
    positives: float | None = None
    repeats: Repeats = "drop"
    labels: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def click_examples(
    maker: ExampleMaker,
    feedback: Feedback,
    *,
    positive: float,
    negatives: int,
    negatives_law: Law,
    max_weight: float | None = None,
    seed: int = 0,
    split_name: str = "given",
) -> ClickData:
    """Return the training, validation and test examples of the events of ``maker``.

    Args:
        maker: builds the examples.
        feedback: "explicit": each event is an example with its label. "implicit": each event is a
            positive and gets ``negatives`` sampled items.
        positive: see :func:`~recops_models.examples.click.click_data`.
        negatives: see :func:`~recops_models.examples.click.click_data`.
        negatives_law: see :func:`~recops_models.examples.click.click_data`.
        max_weight: bound of the weights by inverse propensity; None: training examples have no
            weights.
        seed: see :func:`~recops_models.examples.click.click_data`.
        split_name: the name of the split, for reports.

    Raises:
        DataError: weights without explicit feedback or propensities.
    """
    dataset, events = maker.events.dataset, maker.events
    weights = None if max_weight is None else _weights(events, feedback, max_weight)

    def draw_of(part: int) -> Draw:
        if feedback == "explicit":
            return _labelled(events, part)
        if dataset.repeats == "keep":
            return _with_other_items(events, part, negatives, negatives_law)
        return _with_negatives(events, part, negatives, negatives_law)

    def block_of(impressions: Impressions) -> Block:
        rows, item, label = impressions
        return maker.block(rows, item, label, at=events.list_starts(rows))

    def examples_of(part: int, weight: NDArray[np.float32] | None = None) -> ExampleRows:
        """Return the examples of a part that do not change between epochs."""
        if feedback == "explicit" and maker.targets == 1:
            first, stop = map(int, events.bounds[part : part + 2])
            return OwnExamples(maker, first, stop - first, weight)
        block = block_of(draw_of(part)((seed, part)))
        return block if weight is None else dataclasses.replace(block, weight=weight)

    validation, test = (examples_of(part) for part in (1, 2))
    notes = [events.rule]
    warning = rating_warning(dataset, feedback, positive)
    if warning is not None:
        notes.append(warning)
    if feedback == "explicit":
        origin = "real"
        examples = examples_of(0, None if weights is None else weights.weight)
        if weights is not None:
            notes.append(
                f"loss=ips: effective sample size {weights.effective:,.0f} of {len(examples):,} "
                f"examples; {weights.clipped:.1%} of the weights clipped at {max_weight:g} × mean"
            )
        liked = events.feedback_class[events.bounds[0] : events.bounds[1]] == LIKED
        train, share = MemorySource.of(examples), float(liked.astype(np.float32).mean())
    else:
        origin, share = f"{negatives} by {negatives_law}", 1 / (1 + negatives)
        draw_train = draw_of(0)

        def training_block(seed: int | None, epoch: int) -> Block:
            return block_of(draw_train((seed or 0, epoch)))

        train = MemorySource(len(events.part(0)) * (1 + negatives), training_block)
        drawn = "items other than that of the event"
        if dataset.repeats == "drop":
            drawn = (
                "in training, items without a training event of the user; in validation and test, "
                "items without any event of the user"
            )
        notes.append(f"negatives: {origin} per event; {drawn}")
    return ClickData(
        dataset.name,
        maker.fitted,
        train,
        MemorySource.of(validation),
        MemorySource.of(test),
        split_name,
        tuple(notes),
        origin,
        maker.training_histories,
        share,
        repeats=dataset.repeats,
        labels=dataset.labels,
    )


def _with_other_items(events: Events, part: int, negatives: int, law: Law) -> Draw:
    """Return the draw of each event of a part with ``negatives`` items other than its own.

    Training draws items of the training part only: another one would reveal its label.
    """
    num_items = events.dataset.items.num_rows
    counts = np.bincount(events.item[events.part(0)], minlength=num_items)
    drawn = np.flatnonzero(counts) if part == 0 else np.arange(num_items)
    rows = events.part(part)
    target = drawn.searchsorted(events.item[rows])

    def draw(seed: tuple[int, int]) -> Impressions:
        number = int(np.random.default_rng(seed).integers(2**62))
        others = other_items(target, counts[drawn], negatives, law=law, seed=number)
        item = np.column_stack([events.item[rows], drawn[others]])
        label = np.zeros(item.shape, dtype=np.float32)
        label[:, 0] = 1
        return np.repeat(rows, 1 + negatives), item.ravel(), label.ravel()

    return draw


def _weights(events: Events, feedback: Feedback, bound: float) -> ImportanceWeights:
    """Return the weights of the training part."""
    name = events.dataset.name
    if events.propensity is None:
        raise DataError(f"{name}: loss=ips requires the column propensity of a policy's log")
    if feedback != "explicit":
        raise DataError(f"{name}: loss=ips requires labels of impressions, not sampled negatives")
    return importance_weights(events.propensity[events.part(0)], bound)


def _labelled(events: Events, part: int) -> Draw:
    """Return the events of a part, labelled 1 if liked and 0 otherwise, for any seed."""
    rows = events.part(part)
    label = events.liked[rows].astype(np.float32)
    impressions = rows, events.item[rows].astype(np.int64), label
    return lambda _: impressions


def _with_negatives(events: Events, part: int, negatives: int, law: Law) -> Draw:
    """Return the draw of each event of a part with ``negatives`` negative items."""
    train = events.histories(events.part(0))
    if part == 0:
        positives = train
        before = events.histories(np.arange(events.bounds[0]))
        sample = training_sampler(train, before, law)
    else:
        positives = events.histories(events.part(part))
        others = np.setdiff1d(np.arange(len(events)), events.part(0))
        num_items = events.dataset.items.num_rows
        sample = evaluation_sampler(train, events.histories(others), num_items, law)
    rows = np.repeat(positives.rows, 1 + negatives).reshape(-1, 1 + negatives)
    label = np.zeros(rows.shape, dtype=np.float32)
    label[:, 0] = 1

    def draw(seed: tuple[int, int]) -> Impressions:
        counts = positives.lengths * negatives
        negative = sample(counts, int(np.random.default_rng(seed).integers(2**62)))
        item = np.column_stack([positives.items, negative.reshape(-1, negatives)])
        return rows.ravel(), item.ravel(), label.ravel()

    return draw
