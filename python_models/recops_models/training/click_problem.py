"""Click or not? By the clock where there are times, else each user's last events are held out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from recops_models.data import Dataset
from recops_models.evaluation.click_metrics import ClickMetrics
from recops_models.examples.candidates import candidates
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.feedback import Feedback
from recops_models.examples.known import known_candidates
from recops_models.examples.negatives import Law
from recops_models.generative.recommender import Ranking, top_unseen
from recops_models.training.click_task import ClickTask, predictions
from recops_models.training.problem import Measured
from recops_models.training.ranking_problem import met

if TYPE_CHECKING:
    from recops_models.training.job import Job


@dataclass(frozen=True)
class ExampleConfig:
    """Which examples are made of a data set; see :func:`~recops_models.examples.click.click_data`.

    Attributes:
        max_len: T, the most recent events that are read.
        feedback: "explicit", "implicit" (every event is a click, whatever it was rated), or none:
            explicit where the source has labels or ratings.
        positive: the least rating that counts as liking, of explicit feedback.
        negatives: sampled items beside each event, of implicit feedback.
        negatives_law: by which they are drawn.
        rare_count: values that training shows fewer times count as unknown.
        rare_share: so do the rarest, together at most this share of training.
        signed: whether histories of explicit feedback hold all events, each with its sign, or what
            was liked alone.
        running_rates: whether how often user and item liked and were liked before are features;
            none: of explicit feedback.
    """

    max_len: int = 50
    feedback: Feedback | None = None
    positive: float = 4.0
    negatives: int = 1
    negatives_law: Law = "popularity"
    rare_count: int = 2
    rare_share: float = 1e-3
    signed: bool = True
    running_rates: bool | None = None


class ClickProblem:
    """Examples of (user, item, history, click).

    Args:
        data: a data set, of which the job says how to make examples; or examples.
        job: what is trained.
        model: a trained one, whose vocabularies are taken.
    """

    def __init__(self, data: Dataset | ClickData, job: Job, model: Any = None) -> None:
        assert job.examples is not None
        self.dataset, self.examples = None, job.examples
        if isinstance(data, Dataset):
            self.dataset = data
            fitted = None if model is None else model.schema
            data = click_data(data, job.split, fitted=fitted, **dataclasses.asdict(job.examples))
        elif job.split is not None:
            raise ValueError(f"{data.name} is split already: leave out the split {job.split}")
        self.data, self.name, self.split, self.notes = data, data.name, data.split, data.notes

    def task(self, batch: int, model: Any) -> ClickTask:
        return ClickTask(self.data.train, self.data.validation, batch)

    def measure(self, model: Any, part: str) -> Measured:
        import pyarrow as pa

        metrics = ClickMetrics()
        rows = []
        for logits, batch in predictions(model, getattr(self.data, part)):
            known = known_candidates(model.schema.schema, batch)
            metrics.update(logits, batch.label, batch.group, known)
            rows.append((batch.group, batch.label, logits.float().sigmoid(), known))
        names = ("user", "label", "probability", "known")
        columns = zip(names, zip(*rows, strict=True), strict=True)
        table = {name: torch.cat(parts).numpy() for name, parts in columns}
        return Measured(metrics.compute(), pa.table(table))

    @torch.no_grad()
    def recommend(self, model: Any, user: int, k: int) -> Ranking:
        """Scores are probabilities: of the whole catalogue, behind what the user liked."""
        if self.dataset is None:
            raise ValueError(f"{self.name} holds examples, but no catalogue to recommend from")
        histories = met(self.dataset, user)
        batch = candidates(
            self.dataset,
            self.data.fitted,
            user,
            feedback=self.examples.feedback,
            positive=self.examples.positive,
        )
        return top_unseen(model.predict(batch).sigmoid()[None], histories, k)
