"""Click examples of a data set and a split: user, item, label and the history before."""

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
    """Return click examples of ``dataset``.

    The history of an example holds its user's earlier events. Events of the same second are in the
    order of the source. The example itself and later events are never in the history.

    Explicit feedback: every event is an example. It is positive if it is liked: the label is 1, the
    feedback is "liked", or the rating is at least ``positive`` (one star less is neutral, fewer is
    disliked). Histories hold all events, each with its sign.

    Implicit feedback: every event is a positive example with ``negatives`` negative examples: items
    without an event of the user. A negative has the history of its positive.

    - Training negatives are items of the training part without a training event of the user. They
      are redrawn in each epoch.
    - Validation and test negatives are items without any event of the user, drawn once.

    Args:
        dataset: the data.
        split: a split, or its name; None takes the default of
            :func:`~recops_models.data.splits.named_split`, by time if times are in seconds.
        max_len: maximum length of a history.
        targets_per_history: number of consecutive events of a user whose histories start at the
            same event, and which are batched together. Models that encode a history once for all
            candidates, such as memory networks, then encode it once per group. With 1, every
            history is as long as possible and examples are shuffled individually.
        feedback: kind of feedback; None is explicit if the source has labels, feedback or ratings.
        positive: lowest rating that counts as liked.
        negatives: negatives per positive of implicit feedback.
        negatives_law: distribution of negatives. ``"popularity"``: proportional to the item's
            training events, as in the released code of DIEN and CAN, so that popularity does not
            predict the label. ``"uniform"``: counting events then beats most models. See
            :func:`~recops_models.examples.negatives.sample_negatives`.
        rare_count: users, items and attributes with fewer training events count as unknown.
        rare_share: the rarest values, together at most this share of the training part, also count
            as unknown, so that the row of unknown values is trained.
        signed: whether histories hold all events with signs, or only liked ones. Explicit feedback
            only.
        running_rates: whether earlier like rates of user and item are features, see
            :class:`~recops_models.examples.running_rates.RunningRates`; None: for explicit
            feedback.
        seed: seed of the validation and test negatives.
        fitted: fitted schema of a trained model; None fits one to the training part.

    Raises:
        DataError: labels other than 0 and 1, feedback or features that the source lacks, a part
            without examples, or a user with events on every item.
        ValueError: ``negatives`` or ``targets_per_history`` is not positive.
    """
    for argument, count in (("negatives", negatives), ("targets_per_history", targets_per_history)):
        if count < 1:
            raise ValueError(f"click_data: {argument} must be 1 or more, got {count}")
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
        sources, origin = [labelled(maker, part) for part in range(3)], "real"
    else:
        origin = f"{negatives} by {negatives_law}"
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
            f"negatives: {origin} per event; in training, items without a training event of the "
            "user; in validation and test, items without any event of the user"
        )
    return ClickData(
        dataset.name,
        maker.fitted,
        train,
        validation,
        test,
        split_name,
        tuple(notes),
        origin,
        maker.training_histories,
    )
