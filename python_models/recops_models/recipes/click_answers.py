"""Answers of click models, which score every allowed item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from recops_models.click.label_scores import label_scores
from recops_models.click.model import ClickScorer
from recops_models.data.dataset import Dataset
from recops_models.data.event_columns import EventColumn
from recops_models.examples.batch import Batch
from recops_models.examples.candidates import Candidates
from recops_models.examples.event_features import is_request_feature, request_feature
from recops_models.examples.running_rates import RATES
from recops_models.examples.stated_values import feature_rows
from recops_models.generative.ranker import Ranking, top_unseen
from recops_models.recipes.answers import Answers, RequestItems
from recops_models.recipes.job import Job
from recops_models.recipes.request_events import RequestEvents
from recops_models.training.device import device_of, to_device, to_host
from recops_models.training.example_config import ExampleConfig

if TYPE_CHECKING:
    import pyarrow as pa

CANDIDATES = 4096
"""Candidates per batch; a model may copy the history for each of them."""


class ClickAnswers(Answers):
    """Lists of a click model, by click probability.

    Args:
        model: the click model.
        examples: how its examples were built.
        weights: label → weight of the score, see
            :func:`~recops_models.click.label_scores.label_scores`; None: the click probability.
    """

    needs_events = False  # The first example of each user in training has an empty history.

    def __init__(
        self,
        model: ClickScorer,
        examples: ExampleConfig,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.model, self._examples, self._weights = model, examples, weights
        names = [feature.name for feature in model.schema.schema.features]
        self.keeps_others = RATES[0] in names or any(map(is_request_feature, names))

    @torch.no_grad()
    def batches(self, events: RequestEvents, items: RequestItems, k: int) -> Iterator[Ranking]:
        """See :meth:`Answers.batches`; a batch is one request."""
        num_items = events.dataset.items.num_rows
        candidates = self.candidates(events)
        for row, user in enumerate(events.users.tolist()):
            allowed = None if items.allowed is None else items.allowed[row].unique()
            scores = torch.full((num_items,), -torch.inf)
            if allowed is None or len(allowed):
                shown = slice(None) if allowed is None else allowed
                scores[shown] = self._scores(candidates.shown_to(user, allowed))
            yield top_unseen(scores[None], [items.banned[row]], k)

    def request_columns(self, dataset: Dataset) -> tuple[EventColumn, ...]:
        """See :meth:`Answers.request_columns`."""
        names = {feature.name for feature in self.model.schema.schema.features}
        return tuple(
            column for column in dataset.event_columns if request_feature(column.name) in names
        )

    @torch.no_grad()
    def scores(
        self, events: RequestEvents, items: Sequence[Tensor], columns: pa.Table | None = None
    ) -> list[Tensor]:
        """See :meth:`Answers.scores`."""
        if columns is None:
            return super().scores(events, items)
        candidates = self.candidates(events)
        rows = feature_rows(columns, self.model.schema)
        bounds = np.cumsum([0, *map(len, items)])
        scores = []
        for row, (user, shown) in enumerate(zip(events.users.tolist(), items, strict=True)):
            own = slice(bounds[row], bounds[row + 1])
            batch = candidates.shown_to(user, shown)
            stated = {name: torch.from_numpy(values[own]) for name, values in rows.items()}
            scores.append(self._scores(batch._replace(features={**batch.features, **stated})))
        return scores

    def _scores(self, batch: Batch) -> Tensor:
        """Return the scores f32 ``[B]`` of a batch on the host."""
        batch = to_device(batch, device_of(self.model))
        parts = batch.split(CANDIDATES)
        return to_host(torch.cat([label_scores(self.model, part, self._weights) for part in parts]))

    def candidates(self, events: RequestEvents) -> Candidates:
        """Return the catalogue as inputs of the model, after the events of the requests."""
        return Candidates(
            events.dataset,
            self.model.schema,
            feedback=self._examples.feedback,
            positive=self._examples.positive,
            stated=events.stated,
        )


def click_answers(
    job: Job, model: nn.Module, weights: Mapping[str, float] | None = None
) -> ClickAnswers:
    """Return the answers of a click model.

    Args:
        job: the job that was trained.
        model: the trained model.
        weights: label → weight of the score; None: the click probability.

    Raises:
        ValueError: the model is no click model, or does not predict a label.
    """
    examples = job.parts.get("examples")
    if isinstance(model, ClickScorer) and isinstance(examples, ExampleConfig):
        return ClickAnswers(model, examples, weights)
    raise ValueError(f"{job.model}: {type(model).__name__} recommends no items")
