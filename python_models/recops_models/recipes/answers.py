"""Answers to requests: the best items of each user, among those that a request allows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recops_models.click.model import ClickScorer
from recops_models.data.dataset import Dataset
from recops_models.data.histories import Histories
from recops_models.examples.candidates import Candidates
from recops_models.examples.running_rates import RATES
from recops_models.examples.scenes import SceneConfig, Scenes
from recops_models.generative.history_scorer import HistoryScorer
from recops_models.generative.path_ranker import PathRanker
from recops_models.generative.popularity import Popularity
from recops_models.generative.ranker import REQUESTS, Ranker, Ranking, concatenate, top_unseen
from recops_models.generative.windows import last_windows
from recops_models.recipes.job import Job
from recops_models.recipes.request_events import RequestEvents
from recops_models.training.device import device_of, to_device, to_host
from recops_models.training.example_config import ExampleConfig

_CANDIDATES = 4096
"""Candidates per batch; a model may copy the history for each of them."""


@dataclass(frozen=True, eq=False)
class RequestItems:
    """Items that requests may receive, by index.

    Attributes:
        banned: items of each of U requests that it never receives.
        allowed: the only items that each of U requests receives; None: all.
    """

    banned: Sequence[Tensor]
    allowed: Sequence[Tensor] | None = None


class Answers(ABC):
    """Model that answers requests.

    Attributes:
        keeps_others: whether an answer depends on the events of other users.
    """

    keeps_others = False

    @abstractmethod
    def rank(self, events: RequestEvents, items: RequestItems, k: int) -> Ranking:
        """Return the ``k`` best items of each request, ``[U, k]``.

        Args:
            events: the requests; every user has an event, unless the model reads none.
            items: the items of each request.
            k: number of items.
        """

    def scores(self, events: RequestEvents, items: Sequence[Tensor]) -> list[Tensor]:
        """Return the scores f32 of chosen items of each request, on the scale of :meth:`rank`.

        Args:
            events: the requests.
            items: ``[n_u]`` i64 for each of U requests, indices of items.
        """
        nothing = torch.empty(0, dtype=torch.int64)
        most = max((len(chosen.unique()) for chosen in items), default=0)
        only = RequestItems([nothing] * len(items), items)
        ranking = self.rank(events, only, max(1, most))
        scores = []
        for chosen, best, values in zip(items, *ranking, strict=True):
            row = torch.full((events.dataset.items.num_rows,), -torch.inf)
            row[best[best >= 0]] = values[best >= 0].float()
            scores.append(row[chosen])
        return scores


class PopularityAnswers(Answers):
    """Most popular items, the same for all users except for the filter."""

    def __init__(self, model: Popularity) -> None:
        self._model = model

    def rank(self, events: RequestEvents, items: RequestItems, k: int) -> Ranking:
        """See :meth:`Answers.rank`."""
        excluded = _excluded(items, events.dataset.items.num_rows)
        return to_host(self._model.decode(to_device(excluded, device_of(self._model)), k))


class RankerAnswers(Answers):
    """Lists of a ranker, which scores all items."""

    def __init__(self, model: Ranker | HistoryScorer) -> None:
        self._model = model

    @torch.no_grad()
    def rank(self, events: RequestEvents, items: RequestItems, k: int) -> Ranking:
        """See :meth:`Answers.rank`."""
        device = device_of(self._model)
        excluded = to_device(_excluded(items, events.dataset.items.num_rows), device)
        parts = []
        for rows, histories in _batches(events):
            history, lengths = to_device(last_windows(histories, self._model.window), device)
            parts.append(self._model.decode(history, lengths, k, excluded[rows]))
        return concatenate(parts, k)


class PathAnswers(Answers):
    """Lists of a path ranker, by beam search among the allowed items.

    Args:
        model: the ranker.
        scenes: scenes of events; the last event of a history gives the scene of its request.
    """

    def __init__(self, model: PathRanker, scenes: Scenes | None) -> None:
        self._model, self._scenes = model, scenes

    @torch.no_grad()
    def rank(self, events: RequestEvents, items: RequestItems, k: int) -> Ranking:
        """See :meth:`Answers.rank`."""
        parts, device = [], device_of(self._model)
        for rows, histories in _batches(events):
            last = histories.rows[histories.offsets[1:] - 1]
            reads = self._model.inputs
            task: int | Tensor = 0
            if self._scenes is not None and reads.tasks:
                scene = self._scenes.of_events(events.dataset.interactions.take(last))
                task = torch.from_numpy(scene)
            user = torch.from_numpy(events.known[rows] + 1) if reads.users else None
            allowed = None if items.allowed is None else items.allowed[rows]
            inputs = (*last_windows(histories, self._model.window), items.banned[rows], task)
            history, lengths, banned, task = to_device(inputs, device)
            user, allowed = to_device((user, allowed), device)
            parts.append(
                self._model.decode(history, lengths, k, banned, task, user=user, allowed=allowed)
            )
        return concatenate(parts, k)


class ClickAnswers(Answers):
    """Lists of a click model, by click probability.

    Args:
        model: the click model.
        examples: how its examples were built.
    """

    def __init__(self, model: ClickScorer, examples: ExampleConfig) -> None:
        self._model, self._examples = model, examples
        names = [feature.name for feature in model.schema.schema.features]
        self.keeps_others = RATES[0] in names

    @torch.no_grad()
    def rank(self, events: RequestEvents, items: RequestItems, k: int) -> Ranking:
        """See :meth:`Answers.rank`."""
        num_items = events.dataset.items.num_rows
        candidates = Candidates(
            events.dataset,
            self._model.schema,
            feedback=self._examples.feedback,
            positive=self._examples.positive,
        )
        parts = []
        for row, user in enumerate(events.users.tolist()):
            allowed = None if items.allowed is None else items.allowed[row].unique()
            scores = torch.full((num_items,), -torch.inf)
            if allowed is None or len(allowed):
                batch = to_device(candidates.shown_to(user, allowed), device_of(self._model))
                logits = torch.cat([self._model(part) for part in batch.split(_CANDIDATES)])
                shown = slice(None) if allowed is None else allowed
                scores[shown] = to_host(logits.float().sigmoid())
            parts.append(top_unseen(scores[None], [items.banned[row]], k))
        return concatenate(parts, k)


def answers_of(job: Job, model: nn.Module, dataset: Dataset) -> Answers:
    """Return the answers of a trained model.

    Args:
        job: the job that was trained.
        model: the trained model.
        dataset: the catalogue, with the events that define the scenes.

    Raises:
        ValueError: the model answers no requests.
    """
    if isinstance(model, Popularity):
        return PopularityAnswers(model)
    if isinstance(model, PathRanker):
        config = job.parts.get("scenes")
        scenes = Scenes.of(dataset, config) if isinstance(config, SceneConfig) else None
        return PathAnswers(model, scenes)
    if isinstance(model, (Ranker, HistoryScorer)):
        return RankerAnswers(model)
    examples = job.parts.get("examples")
    if isinstance(model, ClickScorer) and isinstance(examples, ExampleConfig):
        return ClickAnswers(model, examples)
    raise ValueError(f"{job.model}: {type(model).__name__} recommends no items")


def _batches(events: RequestEvents) -> list[tuple[slice, Histories]]:
    """Return the rows of each batch of requests, and their histories."""
    data = events.dataset
    everyone = Histories.of(data.interactions, data.user_vocabulary, data.item_vocabulary)
    starts = range(0, len(events.users), REQUESTS)
    slices = [slice(start, start + REQUESTS) for start in starts]
    return [(rows, everyone.take(events.users[rows])) for rows in slices]


def _excluded(items: RequestItems, num_items: int) -> list[Tensor]:
    """Return the items that each request does not receive."""
    if items.allowed is None:
        return list(items.banned)
    excluded = []
    for banned, allowed in zip(items.banned, items.allowed, strict=True):
        is_excluded = torch.ones(num_items, dtype=torch.bool)
        is_excluded[allowed] = False
        is_excluded[banned] = True
        excluded.append(is_excluded.nonzero().squeeze(1))
    return excluded
