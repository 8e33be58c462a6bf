"""Click or not? By the clock where there are times, else each user's last events are held out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from recops_models.data.dataset import Dataset
from recops_models.data.splits import SplitName
from recops_models.evaluation.click_metrics import ClickMetrics
from recops_models.examples.candidates import Candidates
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.features import FittedSchema
from recops_models.examples.feedback import Feedback
from recops_models.examples.known import known_candidates
from recops_models.examples.negatives import Law
from recops_models.generative.ranker import Ranking, top_unseen
from recops_models.setting_checks import check_at_least, check_shares
from recops_models.training.click_task import predictions
from recops_models.training.problem import Measured, Problem
from recops_models.training.ranking_problem import nothing_met

_CANDIDATES = 4096
"""Scored at once: a model may write out the history of each."""


@dataclass(frozen=True)
class ExampleConfig:
    """Which examples are made of a data set; see :func:`~recops_models.examples.click.click_data`.

    Attributes:
        max_len: T, the most recent events that are read.
        targets_per_history: of how many neighbouring events of a user the histories begin alike, so
            that a memory or a GRU reads them once; more of them make its training faster, and
            batches of fewer users.
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

    Raises:
        ValueError: no event, no target, no negative, no count of the rare; a share outside [0, 1).
    """

    max_len: int = 50
    targets_per_history: int = 1
    feedback: Feedback | None = None
    positive: float = 4.0
    negatives: int = 1
    negatives_law: Law = "popularity"
    rare_count: int = 2
    rare_share: float = 1e-3
    signed: bool = True
    running_rates: bool | None = None

    def __post_init__(self) -> None:
        check_at_least(
            "examples", self, max_len=1, targets_per_history=1, negatives=1, rare_count=1
        )
        check_shares("examples", self, "rare_share")


class ClickProblem(Problem[nn.Module]):
    """Examples of (user, item, history, click), for any module from a batch of them to logits.

    Args:
        data: a data set; or examples.
        examples: how they are made of a data set.
        split: how a data set is cut, if not as usual.
        fitted: the vocabularies of a trained model, which are taken.

    Raises:
        ValueError: a split of what is split already.
        DataError: no examples can be made of the data set.
    """

    def __init__(
        self,
        data: Dataset | ClickData,
        examples: ExampleConfig,
        split: SplitName | None = None,
        fitted: FittedSchema | None = None,
    ) -> None:
        self.dataset, self.examples = None, examples
        if isinstance(data, Dataset):
            self.dataset = data
            data = click_data(data, split, fitted=fitted, **dataclasses.asdict(examples))
        elif split is not None:
            raise ValueError(f"{data.name} is split already: leave out the split {split}")
        self.data, self.name, self.split, self.notes = data, data.name, data.split, data.notes

    def measure(self, model: nn.Module, part: str) -> Measured:
        import pyarrow as pa

        metrics = ClickMetrics()
        rows = []
        for logits, batch in predictions(model, getattr(self.data, part)):
            known = known_candidates(self.data.fitted.schema, batch)
            metrics.update(logits, batch.label, batch.group, known)
            rows.append((batch.group, batch.label, logits.float().sigmoid(), known))
        names = ("user", "label", "probability", "known")
        columns = zip(names, zip(*rows, strict=True), strict=True)
        table = {name: torch.cat(parts).numpy() for name, parts in columns}
        return Measured(metrics.compute(), pa.table(table))

    @torch.no_grad()
    def recommend(self, model: nn.Module, user: int, k: int) -> Ranking:
        """Scores are probabilities: of the whole catalogue, behind what the user liked."""
        candidates = self.candidates
        met = candidates.met(user)
        if not len(met):
            assert self.dataset is not None
            raise nothing_met(self.dataset, user)
        shown = candidates.shown_to(user)
        logits = torch.cat([model(part) for part in shown.split(_CANDIDATES)])
        return top_unseen(logits.sigmoid()[None], [met], k)

    @cached_property
    def candidates(self) -> Candidates:
        """The catalogue, as the model is shown it.

        Raises:
            ValueError: there is no catalogue, only examples.
        """
        if self.dataset is None:
            raise ValueError(f"{self.name} holds examples, but no catalogue to recommend from")
        return Candidates(
            self.dataset,
            self.data.fitted,
            feedback=self.examples.feedback,
            positive=self.examples.positive,
        )
