"""Recommendations of an AGE model that explore."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import torch
from torch import Tensor

from recops_models.click.age import Age
from recops_models.click.age_scores import AgeScores
from recops_models.examples.candidates import Candidates
from recops_models.exploration.policy import named_policy
from recops_models.generative.ranker import Ranking, top_unseen
from recops_models.recipes.answers import RequestItems
from recops_models.recipes.click_answers import ClickAnswers
from recops_models.recipes.ranking_table import ranking_table
from recops_models.recipes.request_events import RequestEvents
from recops_models.training.device import device_of, to_device, to_host


class ExploringList(NamedTuple):
    """The k items for one user, first to last.

    Attributes:
        items: ``[k]`` i64, item indices; −1 where there are no more.
        scores: ``[k]`` f32, ŷ_e, which determines the choice; −inf where there are no more.
        plain_scores: ``[k]`` f32, ŷ, click probabilities without exploration.
        explored: ``[k]`` bool, whether the item is not among the k best by ŷ.
    """

    items: Tensor
    scores: Tensor
    plain_scores: Tensor
    explored: Tensor


def exploring_lists(
    answers: ClickAnswers, events: RequestEvents, items: RequestItems, k: int, *, seed: int
) -> Iterator[ExploringList]:
    """Yield each user's k items with the highest ŷ_e; see :func:`exploring_list`.

    Args:
        answers: the answers of an AGE model.
        events: the requests.
        items: the items of each request.
        k: length of a list.
        seed: seed of all draws; use a different one for every visit of a user.
    """
    model, candidates = answers.model, answers.candidates(events)
    assert isinstance(model, Age)
    excluded = items.excluded(events.dataset.items.num_rows)
    for user, others in zip(events.users.tolist(), excluded, strict=True):
        yield exploring_list(candidates, model, user, k, excluded=others, seed=seed)


def exploring_list(
    candidates: Candidates, model: Age, user: int, k: int, *, excluded: Tensor, seed: int
) -> ExploringList:
    """Return the k items with the highest ŷ_e.

    The masks of Monte Carlo dropout depend only on ``seed``, the user and the item. An item's
    number of events counts as its impressions, so well-known items keep ŷ (``max_impressions``).

    Args:
        candidates: the catalogue as inputs of the model.
        model: the model in evaluation mode.
        user: index of the user.
        k: length of the list.
        excluded: indices of the items that the user does not receive.
        seed: seed of all draws; use a different one for every visit of a user.
    """
    device, batch = device_of(model), candidates.shown_to(user)
    is_available = torch.ones(len(batch.group), dtype=torch.bool)
    is_available[excluded] = False
    length = min(k, int(is_available.sum()))
    items = torch.full((k,), -1, dtype=torch.int64)
    scores, plain_scores = torch.full((2, k), -torch.inf)
    explored = torch.zeros(k, dtype=torch.bool)
    if not length:
        return ExploringList(items, scores, plain_scores, explored)
    calls: list[AgeScores] = []
    policy = named_policy(f"age-{model.config.uncertainty}", model, on_scores=calls.append)
    choice = to_host(
        policy.choose(
            to_device(batch, device),
            seed=seed,
            k=length,
            available=is_available.to(device),
            impressions=candidates.item_counts().to(device),
        )
    )
    plain = to_host(calls[0].y)
    items[:length] = choice.items[0]
    scores[:length] = choice.scores[0, choice.items[0]]
    plain_scores[:length] = plain[choice.items[0]]
    plain_list, _ = top_unseen(plain[None], [excluded], length)
    explored[:length] = ~torch.isin(choice.items[0], plain_list[0])
    return ExploringList(items, scores, plain_scores, explored)


def exploring_table(
    lists: Sequence[ExploringList], user_keys: pa.ChunkedArray, item_ids: pa.ChunkedArray
) -> pa.Table:
    """Return :func:`~.ranking_table.ranking_table` with ``plain_score`` f32 and ``explored`` bool.

    Args:
        lists: one list per user, of equal lengths.
        user_keys: ids of these users.
        item_ids: ids of all items, by index.
    """
    items, scores, plain_scores, explored = (torch.stack(parts) for parts in _columns(lists))
    table = ranking_table(Ranking(items, scores), user_keys, item_ids)
    is_item = items >= 0
    table = table.append_column("plain_score", pa.array(plain_scores[is_item].numpy()))
    return table.append_column("explored", pa.array(explored[is_item].numpy()))


def _columns(lists: Sequence[ExploringList]) -> Iterator[tuple[Tensor, ...]]:
    return zip(*lists, strict=True)
