"""Pipeline of the quickstart: item vectors, semantic IDs, trie, models, test and report."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import torch
from torch import Tensor

from recops.files import write_file, write_json
from recops_models.callbacks import Callbacks
from recops_models.data.dataset import Dataset
from recops_models.evaluation.metrics import ranking_metrics, target_ranks
from recops_models.evaluation.report import render
from recops_models.generative.popularity import Popularity
from recops_models.generative.unirec import UniRec
from recops_models.quickstart.outcome import (
    Outcome,
    TestedModel,
    metrics,
    recommendations,
    report,
)
from recops_models.quickstart.run_folder import RunFolder
from recops_models.quickstart.settings import Settings
from recops_models.quickstart.stages import OUTPUTS, TRAINED, Stages
from recops_models.recipes.catalogue import recorded_attributes
from recops_models.recipes.semantic_ids import load_semantic_ids
from recops_models.recipes.stage import TrainResult
from recops_models.tokenizers.metrics import sid_metrics
from recops_models.training.device import AUTO, HOST, resolve_device
from recops_models.training.ranking_task import RankingTask


def quickstart(
    settings: Settings,
    dataset: Dataset,
    out: Path,
    *,
    resume: bool,
    callbacks: Callbacks,
    device: str | torch.device = AUTO,
) -> Outcome:
    """Run the unfinished stages, and write the report to ``out``.

    Args:
        settings: everything that the results depend on.
        dataset: the data set that ``settings.data`` names.
        out: folder of the run; see :class:`RunFolder` for its allowed content.
        resume: continue the run in ``out``.
        callbacks: receive the stages and their progress.
        device: where the models run; see
            :func:`~recops_models.training.device.resolve_device`.

    Raises:
        ValueError: ``out`` holds another run; the data cannot be split or tokenized; missing
            device.
        CorruptFileError: a file of the run to resume is damaged.
        KeyboardInterrupt: the run was stopped; the folder has the finished stages and epochs.
    """
    counts = pc.value_counts(dataset.interactions["user_id"]).field("counts")
    if (pc.max(counts).as_py() or 0) < 3:
        raise ValueError(f"{dataset.name}: no user has three events, so nothing can be held out")
    folder = RunFolder(out, settings.config(), outputs=OUTPUTS, resume=resume)
    stages = Stages(settings, folder, callbacks, resume=resume, device=resolve_device(device))
    results = {name: stages.train(name, dataset) for name in TRAINED}
    lists = stages.recommend(results)

    callbacks.start("report")
    unirec, popularity = (results[name].model.to(HOST) for name in ("unirec", "popularity"))
    task = results["unirec"].task
    assert isinstance(unirec, UniRec)
    assert isinstance(popularity, Popularity)
    assert isinstance(task, RankingTask)
    sids = load_semantic_ids(folder / "unirec")
    vectors = torch.from_numpy(sids.vectors.vectors)
    outcome = Outcome(
        settings=settings,
        dataset=dataset,
        examples=task.test,
        attributes=recorded_attributes(folder / "unirec"),
        paths=unirec.paths[1:] - 1,
        vocab_sizes=tuple(unirec.vocab_sizes),
        trie=unirec.trie,
        counts=popularity.counts.long(),
        sid_metrics=sid_metrics(sids.tokenizer, vectors, sids.codes),
        models={name: _tested(results[name], lists[name]) for name in TRAINED},
        # Training times include epochs before a resumption.
        seconds={
            **folder.seconds,
            **{name: result.seconds for name, result in results.items() if result.curve},
        },
    )
    write_json(out / "recommendations.json", recommendations(outcome), kind="recommendations")
    write_file(out / "report.html", render(report(outcome)).encode())
    # Written last: this file shows that the run is complete.
    write_json(out / "metrics.json", metrics(outcome), kind="metrics")
    return outcome


def _tested(result: TrainResult, items: Tensor) -> TestedModel:
    """Measure a model by its recommendations ``items [U, k]`` to the test users."""
    task = result.task
    assert isinstance(task, RankingTask)
    ranks = target_ranks(items, torch.from_numpy(task.test.targets.items))
    if result.best is None:
        validation = task.measure(result.model, "validation")[0]
    else:
        validation = result.best.validation
    return TestedModel(
        items=items,
        ranks=ranks,
        test=ranking_metrics(items, ranks, task.num_items),
        validation=validation,
        curve=list(result.curve),
        seconds=result.seconds,
    )
