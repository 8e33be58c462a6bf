"""Fit of the features of click examples to the training part."""

from __future__ import annotations

from recops_models.examples.click_schema import click_schema
from recops_models.examples.events import Events
from recops_models.examples.features import FittedSchema
from recops_models.examples.feedback import Feedback
from recops_models.examples.fit_schema import fit_schema
from recops_models.examples.training_columns import training_columns


def fit_click_schema(
    events: Events,
    feedback: Feedback,
    *,
    max_len: int,
    rare_count: int,
    rare_share: float,
    signed: bool,
    running_rates: bool | None,
    event_requests: bool = True,
) -> FittedSchema:
    """Choose the features of click examples and fit them on the training part.

    The arguments are those of :func:`~recops_models.examples.click.click_data` and
    :func:`~recops_models.examples.click_schema.click_schema`.

    Raises:
        DataError: see :func:`~recops_models.examples.click_schema.click_schema`.
    """
    explicit = feedback == "explicit"
    schema = click_schema(
        events.dataset.name,
        events.user_columns,
        events.item_columns,
        events.columns,
        max_len=max_len,
        rare_count=rare_count,
        rare_share=rare_share,
        signed=signed and explicit,
        running_rates=explicit if running_rates is None else running_rates,
        event_requests=event_requests,
        lists=events.dataset.reads_lists,
    )
    columns = training_columns(schema, events)
    return fit_schema(schema, columns)
