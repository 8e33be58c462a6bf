"""Click examples from a data set and a split: who met which item, after which history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recops_models.data.dataset import Dataset
from recops_models.data.histories import Histories
from recops_models.data.splits import Split, SplitName, named_split
from recops_models.examples.click_schema import click_schema
from recops_models.examples.click_sources import labelled, with_negatives
from recops_models.examples.events import PARTS, Events
from recops_models.examples.features import FittedSchema
from recops_models.examples.feedback import Feedback, feedback_of, rating_warning
from recops_models.examples.loader import Source
from recops_models.examples.maker import ExampleMaker, fit_schema
from recops_models.examples.negatives import Law

__all__ = ["PARTS", "ClickData", "click_data"]


@dataclass(frozen=True)
class ClickData:
    """What a click model is trained on, chosen by, and measured on.

    Attributes:
        name: the data set's.
        fitted: the features, with vocabularies of the training part.
        split: ``"global-time"``, ``"leave-one-out"``, ``"by-user"``, or ``"given"``.
        notes: what a report should tell: how labels came about, what was left out.
        negatives: where those of evaluation and training come from, for tables: ``"real"``, the law
            of their draw and how many beside each event, or ``"given"``.
        histories: makes the events of all who are trained on, up to the end of the training part,
            each user's once; items are rows of the candidate's table. None: examples are all there
            is.
        files: that the examples are streamed from; none of tables.
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
    files: tuple[Path, ...] = ()


def click_data(
    dataset: Dataset,
    split: Split | SplitName | None = None,
    *,
    max_len: int = 50,
    targets_per_history: int = 1,
    feedback: Feedback | None = None,
    positive: float = 4.0,
    negatives: int = 1,
    negatives_law: Law = "popularity",
    rare_count: int = 2,
    rare_share: float = 1e-3,
    signed: bool = True,
    running_rates: bool | None = None,
    seed: int = 0,
    fitted: FittedSchema | None = None,
) -> ClickData:
    """Click examples of ``dataset``.

    An example's history is its user's events before it, in time and, within one second, in the
    order of the source; never itself or anything later.

    Explicit feedback: every event is an example, positive where it was liked: the label of the
    source is 1, its feedback "liked", or its rating ``positive`` or more (one star less is neutral,
    fewer are dislikes). Histories hold all events, each with its sign.
    Implicit: every event is a positive and brings ``negatives`` items that the user did not meet:
    in training, among the items of the training part, anew in each epoch, disjoint from the user's
    training events; in validation and test, among all items, drawn once, disjoint from all of the
    user's events. A negative has the history of its positive.

    Args:
        dataset: the data.
        split: or its name; None takes what :func:`~recops_models.data.splits.named_split` does, by
            the clock where times are real.
        max_len: of a history.
        targets_per_history: the histories of so many neighbouring events of a user begin alike,
            with the last ``max_len`` before the last of them, and those examples follow each other
            into a batch: what reads a history once for all candidates, as a memory does, reads it
            once for all of them. 1: every history is as long as it can be, and all are shuffled.
        feedback: None takes labels, feedback and ratings where there are any.
        positive: the least rating that counts as liking.
        negatives: per positive, of implicit feedback.
        negatives_law: ``"popularity"``: by the number of training events, as in the released code
            of DIEN and CAN, so that how popular an item is tells nothing; or ``"uniform"``, under
            which a count of events beats most models. See
            :func:`~recops_models.examples.negatives.sample_negatives`.
        rare_count: users, items and attributes that the training part shows fewer times count as
            unknown.
        rare_share: so do the rarest, together at most this share of the training part: the row that
            stands for what training does not know is trained as every other is.
        signed: False: histories hold what was liked alone. Of explicit feedback.
        running_rates: whether how often the user liked and the item was liked before are features,
            see :class:`~recops_models.examples.running_rates.RunningRates`; None: of explicit
            feedback.
        seed: of the negatives in validation and test.
        fitted: the schema of a model already trained, in place of one learnt here, with the
            features that it has.

    Raises:
        DataError: labels other than 0 and 1, feedback or features that the source does not have, a
            part without examples, or a user who met every item.
        ValueError: ``negatives`` or ``targets_per_history`` is not positive.
    """
    for asked, count in (("negatives", negatives), ("targets_per_history", targets_per_history)):
        if count < 1:
            raise ValueError(f"click_data: {asked} must be 1 or more, got {count}")
    name: str = "given"
    if not isinstance(split, Split):
        name, split = named_split(dataset, split, clock=True)
    feedback = feedback or feedback_of(dataset)
    events = Events.of(split, feedback, positive)
    if fitted is None:
        fitted = fit_click_schema(
            events,
            feedback,
            max_len=max_len,
            rare_count=rare_count,
            rare_share=rare_share,
            signed=signed,
            running_rates=running_rates,
        )
    return click_examples(
        ExampleMaker(events, fitted, targets_per_history),
        feedback,
        positive=positive,
        negatives=negatives,
        negatives_law=negatives_law,
        seed=seed,
        split_name=name,
    )


def fit_click_schema(
    events: Events,
    feedback: Feedback,
    *,
    max_len: int,
    rare_count: int,
    rare_share: float,
    signed: bool,
    running_rates: bool | None,
) -> FittedSchema:
    """Choose the features of click examples and fit them on the training part.

    The arguments are those of :func:`click_data`.

    Raises:
        DataError: see :func:`~recops_models.examples.click_schema.click_schema`.
    """
    explicit = feedback == "explicit"
    schema = click_schema(
        events.dataset,
        max_len=max_len,
        rare_count=rare_count,
        rare_share=rare_share,
        signed=signed and explicit,
        running_rates=explicit if running_rates is None else running_rates,
    )
    return fit_schema(schema, events)


def click_examples(
    maker: ExampleMaker,
    feedback: Feedback,
    *,
    positive: float,
    negatives: int,
    negatives_law: Law,
    seed: int = 0,
    split_name: str = "given",
) -> ClickData:
    """Return the training, validation and test examples of the events of ``maker``.

    Args:
        maker: builds the examples.
        feedback: "explicit": each event is an example with its label. "implicit": each event is a
            positive and gets ``negatives`` sampled items.
        positive: see :func:`click_data`.
        negatives: see :func:`click_data`.
        negatives_law: see :func:`click_data`.
        seed: see :func:`click_data`.
        split_name: the name of the split, for reports.
    """
    dataset, events = maker.events.dataset, maker.events
    if feedback == "explicit":
        sources, drawn = [labelled(maker, part) for part in range(3)], "real"
    else:
        drawn = f"{negatives} by {negatives_law}"
        sources = [
            with_negatives(maker, part, negatives, negatives_law, (seed, part) if part else None)
            for part in range(3)
        ]
    train, validation, test = sources
    notes = [events.rule]
    warning = rating_warning(dataset.interactions, feedback, positive)
    if warning is not None:
        notes.append(warning)
    if feedback == "implicit":
        notes.append(
            f"negatives: {drawn} beside each event; in training, items that the user does not meet "
            "there; in validation and test, items that the user meets nowhere"
        )
    return ClickData(
        dataset.name,
        maker.fitted,
        train,
        validation,
        test,
        split_name,
        tuple(notes),
        drawn,
        maker.training_histories,
    )
