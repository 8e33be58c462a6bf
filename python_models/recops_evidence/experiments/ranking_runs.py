"""Runs that are trainings of rankers, with figures that tell where and for whom they find items."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch

from recops_evidence.experiments.synthetic_scenes import SyntheticScenes
from recops_evidence.experiments.training import Training, job_of, some_users
from recops_evidence.harness.experiment import Metrics, Run
from recops_evidence.harness.user_draws import UserDraws
from recops_models.callbacks import Callbacks
from recops_models.data import Dataset, named_split
from recops_models.data.splits import Split
from recops_models.data.storage import read_table, write_table
from recops_models.evaluation.beam_recall import beam_recall
from recops_models.evaluation.metrics import LIST_LENGTH, hits
from recops_models.examples.feedback import LIKED, classes_of, feedback_of
from recops_models.generative.path_ranker import PathRanker
from recops_models.recipes.files import load_model
from recops_models.recipes.run import MODEL, PREDICTIONS

_CUTOFFS = (10, 50)
_POSITIVE = 4.0
"""From which rating on an event counts as one that a recommender wants."""
_QUICK_USERS = 200


@dataclass(frozen=True)
class RankingRuns(Training):
    """Trainings of rankers, each user's last event for test; a quick one knows 200 of the users.

    Beside what ``recops train`` measures, test has ``hr@10_liked`` and ``hr@50_liked``, over users
    whose test event is liked (labels of 1, liked classes, ratings from 4 on), where the data tells
    likes: as near as public data comes to figures of orders only. Of models that spell and need not
    be told who asks, or where, there is ``beam_recall@t`` as well, of 50 beams.
    """

    def config(self, run: Run) -> dict[str, object]:
        """The job, and of how many users."""
        return {**super().config(run), "users": _QUICK_USERS if run.quick else None}

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """See :meth:`Training.measure`."""
        data = self._made(run, data)
        validation, test = super().measure(run, data, folder, callbacks)
        if run.test:
            split = named_split(some_users(data, run.share), job_of(run).split)[1]
            test |= _liked(split, folder)
            test |= self._recall(split, folder)
        return validation, test

    def floors_config(self, run: Run) -> object | None:
        """The data, and how much of it."""
        return {"data": run.data, "split": job_of(run).split, "quick": run.quick}

    def floors(self, run: Run, data: Dataset) -> dict[str, Metrics]:
        """Popularity, and co-occurrence with the last item."""
        return super().floors(run, self._made(run, data))

    def _made(self, run: Run, data: Dataset) -> Dataset:
        """The data set that a run is made on."""
        if not run.quick:
            return data
        return some_users(data, min(1.0, _QUICK_USERS / data.users.num_rows))

    def _recall(self, split: Split, folder: Path) -> Metrics:
        """Of the model that the run left, where it spells."""
        model = load_model(folder / MODEL)
        if not isinstance(model, PathRanker) or model.inputs.names:
            return {}
        return {**beam_recall(model, split.examples("test").next_events(), beams=LIST_LENGTH)}


@dataclass(frozen=True)
class SceneRuns(RankingRuns):
    """Trainings on users of two scenes, drawn anew for every seed.

    Attributes:
        law: of what they want.
        name: that claims have it under, as data.
    """

    law: SyntheticScenes
    name: str = "opposite scenes"

    def config(self, run: Run) -> dict[str, object]:
        """The job, and the law."""
        return {**super().config(run), "law": dataclasses.asdict(self.law)}

    def load(self, data: str) -> Dataset:
        """An example of it: runs draw their own."""
        return self.law.draw(0)

    def takes(self, data: str) -> bool:
        """Its own name alone."""
        return data == self.name

    def user_draws(self, run: Run, folder: Path, test: Metrics) -> UserDraws | None:
        """None: every seed draws users of its own, so that seeds differ by them already."""
        return None

    def floors_config(self, run: Run) -> object | None:
        """The law, and the draw."""
        law = dataclasses.asdict(self.law)
        return {"floors": super().floors_config(run), "law": law, "seed": run.seed}

    def _made(self, run: Run, data: Dataset) -> Dataset:
        return super()._made(run, self.law.draw(run.seed))


def _liked(split: Split, folder: Path) -> Metrics:
    """Of the ranks that the run left; beside each of them is then whether its event is liked."""
    dataset = split.dataset
    if feedback_of(dataset) == "implicit":
        return {}
    asked = split.examples("test").next_events()
    said = classes_of(split.test, "explicit", _POSITIVE, name=dataset.name)[asked.targets.rows]
    left = read_table(folder / PREDICTIONS).select(["user", "rank"])
    table = left.append_column("liked", pa.array(said == LIKED))
    write_table(folder / PREDICTIONS, table)
    liked = torch.from_numpy(table.filter(table["liked"])["rank"].to_numpy().copy())
    return {f"hr@{k}_liked": hits(liked, k).mean().item() if len(liked) else None for k in _CUTOFFS}
