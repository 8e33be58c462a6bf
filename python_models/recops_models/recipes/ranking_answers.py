"""Answers of models that rank the catalogue by a history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recops_models.data.dataset import Dataset
from recops_models.data.histories import Histories
from recops_models.examples.scenes import SceneConfig, Scenes
from recops_models.generative.history_scorer import HistoryScorer
from recops_models.generative.path_ranker import PathRanker
from recops_models.generative.popularity import Popularity
from recops_models.generative.ranker import REQUESTS, Ranker, Ranking, in_batches
from recops_models.generative.windows import request_windows
from recops_models.recipes.answers import Answers, RequestItems
from recops_models.recipes.job import Job
from recops_models.recipes.request_events import RequestEvents
from recops_models.training.device import device_of, to_device


class PopularityAnswers(Answers):
    """Most popular items, the same for all users except for the filter."""

    needs_events = False

    def __init__(self, model: Popularity) -> None:
        self._model = model

    def batches(self, events: RequestEvents, items: RequestItems, k: int) -> Iterator[Ranking]:
        """See :meth:`Answers.batches`."""
        excluded = items.excluded(events.dataset.items.num_rows)
        for start in range(0, len(events.users), REQUESTS):
            batch = excluded[start : start + REQUESTS]
            yield self._model.decode(to_device(batch, device_of(self._model)), k)


class RankerAnswers(Answers):
    """Lists of a ranker, which scores all items."""

    def __init__(self, model: Ranker | HistoryScorer) -> None:
        self._model = model

    @torch.no_grad()
    def batches(self, events: RequestEvents, items: RequestItems, k: int) -> Iterator[Ranking]:
        """See :meth:`Answers.batches`."""
        model, excluded = self._model, items.excluded(events.dataset.items.num_rows)
        for rows, histories in _batches(events.histories):
            history, lengths = request_windows(histories, model.window, device_of(model))
            yield model.decode(history, lengths, k, to_device(excluded[rows], device_of(model)))


class PathInputs(NamedTuple):
    """Inputs of a path ranker for B requests, on its device; see :meth:`PathRanker.decode`.

    Attributes:
        history: ``[B, T]`` i64, 1-based items, right-padded with 0.
        lengths: ``[B]`` i64.
        task: ``[B]`` i64, or one task for all.
        user: ``[B]`` i64, 1-based; None: the model reads no user.
    """

    history: Tensor
    lengths: Tensor
    task: int | Tensor
    user: Tensor | None


class PathAnswers(Answers):
    """Lists of a path ranker, by beam search among the allowed items.

    Args:
        model: the ranker.
        scenes: scenes of events; None: the model has no scenes.
        scene: index of the scene of all requests; None: that of the last event of each history.
    """

    def __init__(self, model: PathRanker, scenes: Scenes | None, scene: int | None = None) -> None:
        self.model, self._scenes, self._scene = model, scenes, scene

    @torch.no_grad()
    def batches(self, events: RequestEvents, items: RequestItems, k: int) -> Iterator[Ranking]:
        """See :meth:`Answers.batches`."""
        for rows, histories in _batches(events.histories):
            inputs = self.inputs(events, rows, histories)
            allowed = None if items.allowed is None else items.allowed[rows]
            banned, allowed = to_device((items.banned[rows], allowed), device_of(self.model))
            history, lengths, task, user = inputs
            yield self.model.decode(history, lengths, k, banned, task, user=user, allowed=allowed)

    def inputs(self, events: RequestEvents, rows: slice, histories: Histories) -> PathInputs:
        """Return the inputs of some requests.

        Args:
            events: all requests.
            rows: positions of these requests.
            histories: their histories.
        """
        reads = self.model.inputs
        task: int | Tensor = self._scene or 0
        if self._scene is None and self._scenes is not None and reads.tasks:
            last = histories.rows[histories.offsets[1:] - 1]
            scene = self._scenes.of_events(events.dataset.interactions.take(last))
            task = torch.from_numpy(scene)
        user = torch.from_numpy(events.known[rows] + 1) if reads.users else None
        device = device_of(self.model)
        windows = request_windows(histories, self.model.window, device)
        return PathInputs(*windows, *to_device((task, user), device))


def ranking_answers(job: Job, model: nn.Module, dataset: Dataset, scene: str | None) -> Answers:
    """Return the answers of a model that ranks the catalogue.

    Raises:
        ValueError: the model does not rank, or has no such scene.
    """
    if isinstance(model, Popularity):
        return PopularityAnswers(model)
    if isinstance(model, PathRanker):
        config = job.parts.get("scenes")
        scenes = Scenes.of(dataset, config) if isinstance(config, SceneConfig) else None
        index = scenes.index(scene) if scenes is not None and scene is not None else None
        return PathAnswers(model, scenes, index)
    if isinstance(model, (Ranker, HistoryScorer)):
        return RankerAnswers(model)
    raise ValueError(f"{job.model}: {type(model).__name__} recommends no items")


def _batches(histories: Histories) -> Iterator[tuple[slice, Histories]]:
    """Yield the rows of each batch of requests, and their histories."""
    for number, batch in enumerate(in_batches(histories, REQUESTS)):
        start = number * REQUESTS
        yield slice(start, start + REQUESTS), batch
