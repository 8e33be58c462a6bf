"""The main job: interactions → item vectors → semantic IDs → trie → models → test → report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from recops.files import write_file, write_json
from recops_models.data import Dataset, leave_one_out
from recops_models.data.attributes import item_paths
from recops_models.evaluation.metrics import evaluate, ranking_metrics, target_ranks
from recops_models.evaluation.report import render
from recops_models.generative.popularity import Popularity, item_counts
from recops_models.generative.recommender import Recommender
from recops_models.generative.sasrec import SASRec
from recops_models.generative.unirec import UniRec
from recops_models.quickstart.outcome import Outcome, Tested, metrics, recommendations, report
from recops_models.quickstart.progress import Progress
from recops_models.quickstart.run_folder import RunFolder
from recops_models.quickstart.settings import Settings
from recops_models.quickstart.stages import OUTPUTS, Stages
from recops_models.tokenizers import sid_metrics

_Model = TypeVar("_Model", bound=nn.Module)


def quickstart(
    settings: Settings, dataset: Dataset, out: Path, *, resume: bool, progress: Progress
) -> Outcome:
    """Run the stages that are not finished yet, and leave the report in ``out``.

    Args:
        settings: everything the results depend on.
        dataset: what ``settings.data`` names.
        out: the run's folder; see :class:`RunFolder` for what may be in it.
        resume: go on with the run that is there.
        progress: is told of every step.

    Raises:
        ValueError: the folder holds another run; the data cannot be split or tokenized.
        CorruptFileError: a file of the run that is resumed is damaged.
        KeyboardInterrupt: handed on; finished stages and epochs are kept.
    """
    split = leave_one_out(dataset)
    train, validation, test = (
        split.histories(),
        split.examples("validation"),
        split.examples("test"),
    )
    if not len(test.users):
        raise ValueError(f"{dataset.name}: no user has three events, so nothing can be held out")
    folder = RunFolder(out, settings.config(), outputs=OUTPUTS, resume=resume)
    stages = Stages(settings, folder, progress, resume=resume)

    vectors = stages.item_vectors(dataset, split.train)
    tokenizer, sids = stages.semantic_ids(vectors)
    codes = torch.from_numpy(sids.codes)
    spelled = item_paths(dataset, codes, tokenizer.vocab_sizes)
    paths, vocab_sizes = spelled.tokens, spelled.vocab_sizes
    trie = stages.trie(paths, torch.from_numpy(vectors.item_ids), vocab_sizes)

    counts = item_counts(train, len(paths))
    sizes = dataclasses.replace(settings.unirec, attributes=int(spelled.attribute is not None))
    unirec = _seeded(settings.seed, lambda: UniRec(paths, vocab_sizes, counts, sizes))
    sasrec = _seeded(settings.seed, lambda: SASRec(len(paths), settings.sasrec))
    fits = {
        "unirec": stages.trained("unirec", unirec, train, validation),
        "sasrec": stages.trained("sasrec", sasrec, train, validation),
    }
    popularity = Popularity(counts)
    models: dict[str, Recommender] = {"unirec": unirec, "sasrec": sasrec, "popularity": popularity}
    lists = stages.test_lists(models, test, len(paths))

    progress.start("report")
    targets = torch.from_numpy(test.targets.items)
    tested = {}
    for name, items in lists.items():
        ranks = target_ranks(items, targets)
        found = fits.get(name)
        tested[name] = Tested(
            items=items,
            ranks=ranks,
            test=ranking_metrics(items, ranks, len(paths)),
            validation=(
                found.curve[found.best_epoch].validation
                if found is not None
                else evaluate(models[name], validation, len(paths)).metrics
            ),
            curve=[] if found is None else found.curve,
            seconds=0.0 if found is None else found.seconds,
        )
    outcome = Outcome(
        settings=settings,
        dataset=dataset,
        examples=test,
        attribute=spelled.attribute,
        paths=paths,
        vocab_sizes=vocab_sizes,
        trie=trie,
        counts=counts,
        sid_metrics=sid_metrics(tokenizer, torch.from_numpy(vectors.vectors), codes),
        models=tested,
        # A training's own seconds, which count the epochs of earlier sittings too.
        seconds={**folder.seconds, **{name: found.seconds for name, found in fits.items()}},
    )
    write_json(out / "metrics.json", metrics(outcome), kind="metrics")
    write_json(out / "recommendations.json", recommendations(outcome), kind="recommendations")
    write_file(out / "report.html", render(report(outcome)).encode())
    return outcome


def _seeded(seed: int, make: Callable[[], _Model]) -> _Model:
    """A model whose initial weights depend on ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
