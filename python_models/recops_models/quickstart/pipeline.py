"""The main job: interactions → item vectors → semantic IDs → trie → models → test → report."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

import recops
from recops.files import write_file, write_json
from recops_models.callbacks import Callbacks
from recops_models.data.attributes import item_paths
from recops_models.data.dataset import Dataset
from recops_models.data.splits import Examples, leave_one_out
from recops_models.evaluation.metrics import ranking_metrics, target_ranks
from recops_models.evaluation.report import render
from recops_models.generative.popularity import item_counts
from recops_models.quickstart.outcome import Outcome, Tested, metrics, recommendations, report
from recops_models.quickstart.run_folder import RunFolder
from recops_models.quickstart.settings import Settings
from recops_models.quickstart.stages import OUTPUTS, TRAINED, Stages
from recops_models.recipes.semantic_ids import TRIE, chosen_attributes, load_semantic_ids
from recops_models.recipes.stage import TrainResult
from recops_models.tokenizers.metrics import sid_metrics


def quickstart(
    settings: Settings, dataset: Dataset, out: Path, *, resume: bool, callbacks: Callbacks
) -> Outcome:
    """Run the stages that are not finished yet, and leave the report in ``out``.

    Args:
        settings: everything the results depend on.
        dataset: what ``settings.data`` names.
        out: the run's folder; see :class:`RunFolder` for what may be in it.
        resume: go on with the run that is there.
        callbacks: receive every stage and its progress.

    Raises:
        ValueError: the folder holds another run; the data cannot be split or tokenized.
        CorruptFileError: a file of the run that is resumed is damaged.
        KeyboardInterrupt: handed on; finished stages and epochs are kept.
    """
    split = leave_one_out(dataset)
    test = split.examples("test")
    if not len(test.users):
        raise ValueError(f"{dataset.name}: no user has three events, so nothing can be held out")
    folder = RunFolder(out, settings.config(), outputs=OUTPUTS, resume=resume)
    stages = Stages(settings, folder, callbacks, resume=resume)
    trained = {name: stages.trained(name, dataset) for name in TRAINED}
    num_items = dataset.items.num_rows
    lists = stages.test_lists(trained, test, num_items)

    callbacks.start("report")
    made = load_semantic_ids(out / "unirec")
    attributes = chosen_attributes(dataset, settings.inputs, settings.seed)
    spelled = item_paths(made.codes, made.tokenizer.vocab_sizes, attributes)
    outcome = Outcome(
        settings=settings,
        dataset=dataset,
        examples=test,
        attributes=spelled.attributes,
        paths=spelled.tokens,
        vocab_sizes=spelled.vocab_sizes,
        trie=recops.SidTrie.load(out / "unirec" / TRIE),
        counts=item_counts(split.histories(), num_items),
        sid_metrics=sid_metrics(made.tokenizer, torch.from_numpy(made.vectors.vectors), made.codes),
        models={name: _tested(trained[name], lists[name], test, num_items) for name in TRAINED},
        # A training's own seconds, which count the epochs of earlier sittings too.
        seconds={
            **folder.seconds,
            **{name: each.seconds for name, each in trained.items() if each.curve},
        },
    )
    write_json(out / "recommendations.json", recommendations(outcome), kind="recommendations")
    write_file(out / "report.html", render(report(outcome)).encode())
    # The last file: where it stands, the run is whole.
    write_json(out / "metrics.json", metrics(outcome), kind="metrics")
    return outcome


def _tested(result: TrainResult, items: Tensor, test: Examples, num_items: int) -> Tested:
    """Measure a model by its recommendations to the test users."""
    ranks = target_ranks(items, torch.from_numpy(test.targets.items))
    if result.best is None:
        validation = result.task.measure(result.model, "validation")[0]
    else:
        validation = result.best.validation
    return Tested(
        items=items,
        ranks=ranks,
        test=ranking_metrics(items, ranks, num_items),
        validation=validation,
        curve=list(result.curve),
        seconds=result.seconds,
    )
