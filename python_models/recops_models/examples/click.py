"""Click examples of a data set and a split: user, item, label and the history before."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from recops_models.data.dataset import Dataset
from recops_models.data.splits import PARTS, Split, SplitName, named_split
from recops_models.examples.click_sources import ClickData, click_examples
from recops_models.examples.events import Events
from recops_models.examples.features import FittedSchema
from recops_models.examples.feedback import Feedback, feedback_of
from recops_models.examples.fit_click import fit_click_schema
from recops_models.examples.importance import ClickLoss
from recops_models.examples.knowledge_features import with_knowledge
from recops_models.examples.lookup import Lookup
from recops_models.examples.maker import ExampleMaker
from recops_models.examples.negatives import Law
from recops_models.examples.tasks import column_labels

__all__ = ["PARTS", "ClickData", "click_data"]


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
    loss: ClickLoss = "cross-entropy",
    max_weight: float = 10.0,
    seed: int = 0,
    fitted: FittedSchema | None = None,
    knowledge: Mapping[str, Lookup] | None = None,
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
    - If the data set keeps repeats, all negatives are items other than that of the event, see
      :func:`~recops_models.examples.negatives.other_items`.

    If the data set has ``labels``, batches have the feature
    :func:`~recops_models.examples.batch.task_feature` of each.

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
        loss: ``"ips"`` weights training examples by inverse propensity; see
            :func:`~recops_models.examples.importance.importance_weights`.
        max_weight: bound of these weights, in multiples of their mean.
        seed: seed of the validation and test negatives.
        fitted: fitted schema of a trained model; None fits one to the training part.
        knowledge: maps from ids to rows of external knowledge, which a new schema has as features,
            see :func:`~recops_models.examples.knowledge_features.with_knowledge`.

    Raises:
        DataError: labels other than 0 and 1, feedback or features that the source lacks, a part
            without examples, a user with events on every item, or ``"ips"`` without real labels and
            propensities.
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
    if dataset.labels:
        labels = column_labels(split, events, dataset.labels)
        events = dataclasses.replace(events, labels=labels)
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
        fitted = with_knowledge(fitted, knowledge) if knowledge else fitted
    return click_examples(
        ExampleMaker(events, fitted, targets_per_history),
        feedback,
        positive=positive,
        negatives=negatives,
        negatives_law=negatives_law,
        max_weight=max_weight if loss == "ips" else None,
        seed=seed,
        split_name=name,
    )
