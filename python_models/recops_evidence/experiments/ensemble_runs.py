"""Trainings of one ranker, or of two UniRecs that rank as an ensemble."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from recops_evidence.experiments.ranking_runs import RankingRuns
from recops_evidence.experiments.training import job_of, some_users
from recops_evidence.harness.experiment import Metrics, Run
from recops_models.callbacks import Callbacks, Portion
from recops_models.data import Dataset
from recops_models.data.storage import write_table
from recops_models.evaluation.metrics import Evaluation, evaluate
from recops_models.generative.ensemble import Ensemble
from recops_models.generative.unirec import UniRec
from recops_models.recipes.files import MODEL, load_model
from recops_models.recipes.job import save_job
from recops_models.recipes.predictions import PREDICTIONS
from recops_models.recipes.run import load_trained, task_of
from recops_models.recipes.semantic_ids import SIDS, TOKENIZER, VECTORS
from recops_models.training.path_task import PathTask

CODES = ("own", "shared")
"""Values of an arm's setting ``codes_of_two``: the second model has its own semantic IDs, or shares
those of the first one. An arm without the setting is one model, as in :class:`RankingRuns`."""

_SETTING = "codes_of_two"
_FAR = 1000
"""Distance of the second training's seed from the first one's; no run has such a seed."""


@dataclass(frozen=True)
class EnsembleRuns(RankingRuns):
    """Trainings of one ranker, or of an :class:`Ensemble` of two UniRecs."""

    def config(self, run: Run) -> dict[str, object]:
        """Return the job and the codes of a second model."""
        config = super().config(run.without(_SETTING))
        codes = run.choice(_SETTING, CODES, model="unirec")
        return config if codes is None else {**config, _SETTING: codes}

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """See :meth:`Training.measure`."""
        codes, member_run = run.choice(_SETTING, CODES, model="unirec"), run.without(_SETTING)
        if codes is None:
            return super().measure(member_run, data, folder, callbacks)
        first, second = folder / "first", folder / "second"
        for member in (first, second):
            member.mkdir(exist_ok=True)
        member_run = dataclasses.replace(member_run, test=False)
        super().measure(member_run, data, first, Portion(callbacks, 0.0, 0.5))
        other = dataclasses.replace(member_run, seed=run.seed + _FAR)
        if codes == "shared":
            save_job(second, job_of(other))  # A started training reuses these files.
            for name in (VECTORS, TOKENIZER, SIDS):
                shutil.copyfile(first / name, second / name)
        super().measure(other, data, second, Portion(callbacks, 0.5, 0.5))
        sampled = some_users(self._dataset(run, data), run.share)
        return _measure_ensemble(first, second, sampled, folder, test=run.test)

    def floors_config(self, run: Run) -> object | None:
        """See :meth:`RankingRuns.floors_config`."""
        return super().floors_config(run.without(_SETTING))

    def floors(self, run: Run, data: Dataset) -> dict[str, Metrics]:
        """See :meth:`RankingRuns.floors`."""
        return super().floors(run.without(_SETTING), data)


def _measure_ensemble(
    first: Path, second: Path, data: Dataset, folder: Path, *, test: bool
) -> tuple[Metrics, Metrics]:
    """Measure the ensemble of two trainings, and write the ranks of test to ``folder``."""
    job, _ = load_trained(first)
    task = task_of(job, data)
    assert isinstance(task, PathTask)
    models = [load_model(member / MODEL) for member in (first, second)]

    def evaluated(part: str) -> Evaluation:
        events = task.held_out(part)
        rankers = (model for model in models if isinstance(model, UniRec))
        ensemble = Ensemble([events.requests(ranker) for ranker in rankers])
        return evaluate(ensemble, events.examples, task.num_items)

    validation: Metrics = {**evaluated("validation").metrics}
    if not test:
        return validation, {}
    test_result = evaluated("test")
    users = data.user_vocabulary.ids[task.held_out("test").examples.users]
    ranks = pa.table({"user": users, "rank": test_result.ranks.numpy()})
    write_table(folder / PREDICTIONS, ranks)
    return validation, {**test_result.metrics}
