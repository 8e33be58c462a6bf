"""Click examples by the protocol of the league."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops_models.data import Dataset
from recops_models.data.histories import Histories, Int64Array
from recops_models.data.splits import leave_last_share
from recops_models.examples.click_sources import ClickData, Impressions, click_examples
from recops_models.examples.entity_columns import item_columns
from recops_models.examples.events import Events
from recops_models.examples.features import FittedSchema
from recops_models.examples.feedback import feedback_of
from recops_models.examples.fit_click import fit_click_schema
from recops_models.examples.loader import MemorySource, Source
from recops_models.examples.lookup import UNKNOWN
from recops_models.examples.maker import ExampleMaker
from recops_models.examples.negatives import sample_negatives
from recops_models.training.example_config import ExampleConfig

SPLIT = "last-tenth"


@dataclass(frozen=True)
class LeagueExamples:
    """Examples of one set.

    Attributes:
        clicks: training, validation and test examples; histories and rates of a test example hold
            all earlier events, also those of the test part.
        frozen: the test examples with histories and rates that end before the user's first test
            event.
    """

    clicks: ClickData
    frozen: Source


def league_examples(dataset: Dataset, config: ExampleConfig) -> LeagueExamples:
    """Return the examples of a data set.

    Each user's last tenth of the events, at least two, is test, and the tenth before it validation
    (:func:`~recops_models.data.splits.leave_last_share`). Every event of the training part is an
    example. Negatives of implicit feedback are drawn by popularity. In validation and test a
    negative is known to the model if and only if its positive is, so that being unknown does not
    predict the label.

    Args:
        dataset: the data.
        config: settings of examples.

    Raises:
        DataError: see :func:`~recops_models.examples.click.click_data`.
    """
    split = leave_last_share(dataset)
    feedback = config.feedback or feedback_of(dataset)
    events = Events.of(split, feedback, config.positive)
    fitted = fit_click_schema(
        events,
        feedback,
        max_len=config.max_len,
        rare_count=config.rare_count,
        rare_share=config.rare_share,
        signed=config.signed,
        running_rates=config.running_rates,
    )
    maker = ExampleMaker(events, fitted, config.targets_per_history)
    clicks = click_examples(
        maker,
        feedback,
        positive=config.positive,
        negatives=config.negatives,
        negatives_law=config.negatives_law,
        split_name=SPLIT,
    )
    if feedback == "explicit":
        rows, item, label = _labelled(events, 2)
    else:
        is_known = _known_items(events, fitted)
        validation = maker.block(*_with_matched_negatives(events, 1, is_known, config))
        rows, item, label = _with_matched_negatives(events, 2, is_known, config)
        clicks = dataclasses.replace(
            clicks,
            validation=MemorySource.of(validation),
            test=MemorySource.of(maker.block(rows, item, label)),
        )
    before_test = _first_events(events, 2)[events.user[rows]]
    frozen = maker.block(rows, item, label, at=before_test)
    return LeagueExamples(clicks, MemorySource.of(frozen))


def _labelled(events: Events, part: int) -> Impressions:
    """Return the events of a part with their own labels."""
    rows = events.part(part)
    return rows, events.item[rows].astype(np.int64), events.liked[rows].astype(np.float32)


def _with_matched_negatives(
    events: Events, part: int, is_known: NDArray[np.bool_], config: ExampleConfig
) -> Impressions:
    """Return the events of a part, each with negatives that are known if it is known.

    Known negatives are drawn by their training events. Unknown ones have hardly any, and are drawn
    by all their events. A negative has no event of the user in any part.
    """
    positives = events.histories(events.part(part))
    user, number = events.user[positives.rows], config.negatives
    item = np.empty((len(user), 1 + number), dtype=np.int64)
    item[:, 0] = positives.items
    train = events.part(0)
    others = np.setdiff1d(np.arange(len(events.user)), train)
    every, none = np.arange(len(events.user)), np.empty(0, dtype=np.int64)
    for flag, counted, excluded in ((True, train, others), (False, every, none)):
        chosen = np.flatnonzero(is_known[positives.items] == flag)
        if not len(chosen):
            continue
        items = np.flatnonzero(is_known == flag)
        index = np.full(len(is_known), -1)
        index[items] = np.arange(len(items))
        drawn = sample_negatives(
            _renumbered(events.histories(counted), index),
            len(items),
            number * np.bincount(user[chosen], minlength=len(positives)),
            law=config.negatives_law,
            power=1.0,
            seed=part,
            exclude=_renumbered(events.histories(excluded), index),
        )
        item[chosen, 1:] = items[drawn].reshape(-1, number)
    label = np.zeros(item.shape, dtype=np.float32)
    label[:, 0] = 1
    return np.repeat(positives.rows, 1 + number), item.ravel(), label.ravel()


def _renumbered(histories: Histories, index: Int64Array) -> Histories:
    return Histories(histories.offsets, index[histories.items], histories.rows)


def _known_items(events: Events, fitted: FittedSchema) -> NDArray[np.bool_]:
    """Return whether each item is in the vocabulary of the training part."""
    candidate = fitted.schema.candidate
    assert candidate is not None
    known: NDArray[np.bool_] = fitted.encode(item_columns(events.dataset))[candidate] > UNKNOWN
    return known


def _first_events(events: Events, part: int) -> Int64Array:
    """Return each user's first event of a part; −1 for users without one."""
    histories = events.histories(events.part(part))
    first = np.full(len(histories), -1)
    present = np.flatnonzero(histories.lengths)
    first[present] = histories.rows[histories.offsets[present]]
    return first
