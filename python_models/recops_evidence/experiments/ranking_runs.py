"""Trainings of rankers, with metrics of liked items and of the steps of decoding."""

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
from recops_models.recipes.files import MODEL, load_model
from recops_models.recipes.predictions import PREDICTIONS

_CUTOFFS = (10, 50)
_POSITIVE = 4.0
"""Minimum rating of a liked event."""
_QUICK_USERS = 200


@dataclass(frozen=True)
class RankingRuns(Training):
    """Trainings of rankers with each user's last event as test; a quick run has 200 users.

    If the data has likes, test also has ``hr@10_liked`` and ``hr@50_liked`` over users whose test
    event is liked: label 1, a liked class, or a rating of at least 4. Generative models that need
    no user or scene also have ``beam_recall@t`` with 50 beams.
    """

    def config(self, run: Run) -> dict[str, object]:
        """Return the job and the number of users."""
        return {**super().config(run), "users": _QUICK_USERS if run.quick else None}

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """See :meth:`Training.measure`."""
        data = self._dataset(run, data)
        validation, test = super().measure(run, data, folder, callbacks)
        if run.test:
            split = named_split(some_users(data, run.share), job_of(run).split)[1]
            test |= _liked(split, folder)
            test |= self._recall(split, folder)
        return validation, test

    def floors_config(self, run: Run) -> object | None:
        """Return the data and its size."""
        return {"data": run.data, "split": job_of(run).split, "quick": run.quick}

    def floors(self, run: Run, data: Dataset) -> dict[str, Metrics]:
        """Return the floors: popularity, and co-occurrence with the last item."""
        return super().floors(run, self._dataset(run, data))

    def _dataset(self, run: Run, data: Dataset) -> Dataset:
        """Return the data set of a run."""
        if not run.quick:
            return data
        return some_users(data, min(1.0, _QUICK_USERS / data.users.num_rows))

    def _recall(self, split: Split, folder: Path) -> Metrics:
        """Return the beam recall of the run's model, if it is generative."""
        model = load_model(folder / MODEL)
        if not isinstance(model, PathRanker) or model.inputs.names:
            return {}
        return {**beam_recall(model, split.examples("test").next_events(), beams=LIST_LENGTH)}


@dataclass(frozen=True)
class SceneRuns(RankingRuns):
    """Trainings on synthetic users of two scenes, drawn per seed.

    Attributes:
        law: generator of the users.
        name: name of the data in claims.
    """

    law: SyntheticScenes
    name: str = "opposite scenes"

    def config(self, run: Run) -> dict[str, object]:
        """Return the job and the generator."""
        return {**super().config(run), "law": dataclasses.asdict(self.law)}

    def load(self, data: str) -> Dataset:
        """Draw one example; runs draw by their own seeds."""
        return self.law.draw(0)

    def takes(self, data: str) -> bool:
        """Return whether ``data`` is the generator's name."""
        return data == self.name

    def user_draws(self, run: Run, folder: Path, test: Metrics) -> UserDraws | None:
        """Return None: every seed has other users, so seeds include their variance."""
        return None

    def floors_config(self, run: Run) -> object | None:
        """Return the generator and the seed."""
        law = dataclasses.asdict(self.law)
        return {"floors": super().floors_config(run), "law": law, "seed": run.seed}

    def _dataset(self, run: Run, data: Dataset) -> Dataset:
        return super()._dataset(run, self.law.draw(run.seed))


def _liked(split: Split, folder: Path) -> Metrics:
    """Return hit rates of liked events, and add a column ``liked`` to the stored ranks."""
    dataset = split.dataset
    if feedback_of(dataset) == "implicit":
        return {}
    questions = split.examples("test").next_events()
    classes = classes_of(split.test, "explicit", _POSITIVE, name=dataset.name)
    is_liked = classes[questions.targets.rows] == LIKED
    ranks = read_table(folder / PREDICTIONS).select(["user", "rank"])
    table = ranks.append_column("liked", pa.array(is_liked))
    write_table(folder / PREDICTIONS, table)
    liked = torch.from_numpy(table.filter(table["liked"])["rank"].to_numpy().copy())
    return {f"hr@{k}_liked": hits(liked, k).mean().item() if len(liked) else None for k in _CUTOFFS}
