"""Latency of one request, for ``recops recommend --timing``."""

from __future__ import annotations

from recops_models.generative.latency import latency
from recops_models.recipes.answers import RequestItems
from recops_models.recipes.ranking_answers import PathAnswers
from recops_models.recipes.recommending import ReadyModel
from recops_models.recipes.request_events import RequestEvents
from recops_models.training.device import to_device


def request_timing(
    ready: ReadyModel, events: RequestEvents, k: int, items: RequestItems | None = None
) -> str:
    """Return one line on the latency of a user's request.

    Args:
        ready: the model.
        events: one request.
        k: number of items.
        items: the items of the request; None: all without hidden ones.

    Raises:
        ValueError: the model does not generate items token by token.
    """
    answers, name = ready.answers, type(ready.model).__name__
    if not isinstance(answers, PathAnswers):
        raise ValueError(f"--timing: the model must be unirec or tiger, got {name}")
    model = answers.model
    history, lengths, task, user = answers.inputs(events, slice(0, 1), events.histories)
    items = items or RequestItems(events.hidden_items())
    banned, allowed = to_device((items.banned, items.allowed), model.device)
    beams = max(min(k, len(ready.item_ids)), model.beams)
    timing = latency(
        model,
        history,
        lengths,
        beams=beams,
        banned=banned,
        allowed=allowed,
        task=task,
        user=user,
    )
    return (
        f"{timing.total:.2f} ms per request with {beams} beams: encode {timing.encode:.2f}, "
        f"steps {timing.steps:.2f}, beam {timing.beam:.2f}"
    )
