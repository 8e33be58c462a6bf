"""Context of the requests of a call."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from recops_models.data.event_columns import Per
from recops_models.recipes.request_context import stated_values
from recops_models.recipes.request_events import RequestEvents

if TYPE_CHECKING:
    from recops_models.api.items import Reader
    from recops_models.data.frames import Frame
    from recops_models.recipes.answers import Answers


def in_context(
    reader: Reader,
    answers: Answers,
    events: RequestEvents,
    context: Frame | None,
    offers: Frame | None,
    *,
    model: str,
) -> RequestEvents:
    """Return requests with the context of :meth:`recops_models.api.model.Model.recommend`.

    Args:
        reader: reader of the call's arguments.
        answers: the answers of the model.
        events: the requests.
        context: values of the requests.
        offers: values of the items.
        model: name of the model, for errors.

    Raises:
        DataError: the model reads no such column, a value has another type, or rows contradict
            each other.
    """
    readable = answers.request_columns(events.dataset)
    frames: list[tuple[str, Per, Frame | None]] = [
        ("context", "request", None if context is None else _with_rows(context)),
        ("offers", "item", offers),
    ]
    stated = tuple(
        stated_values(
            f"{reader.call}: {name}", per, reader.table(frame, name), events, readable, model=model
        )
        for name, per, frame in frames
        if frame is not None
    )
    return dataclasses.replace(events, stated=stated)


def _with_rows(context: Frame) -> Frame:
    """Return a dict with single values, such as ``{"device": "app"}``, as a dict of columns."""
    if not isinstance(context, Mapping):
        return context
    is_value = all(
        value is None or isinstance(value, (str, int, float, np.generic))
        for value in context.values()
    )
    return {name: [value] for name, value in context.items()} if is_value else context
