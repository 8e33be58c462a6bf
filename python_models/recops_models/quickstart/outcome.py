"""Results of a run, and their conversion to metrics, recommendations and a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

import numpy as np
from torch import Tensor

import recops
from recops_models.data.attributes import item_titles
from recops_models.data.dataset import Dataset
from recops_models.data.splits import Examples
from recops_models.evaluation.bootstrap import paired_bootstrap
from recops_models.evaluation.metrics import hits
from recops_models.evaluation.report import (
    CatalogueFigures,
    DatasetFigures,
    Difference,
    Level,
    ModelResult,
    Report,
    UserSample,
)
from recops_models.quickstart.settings import Settings
from recops_models.training.curve import Epoch
from recops_models.versions import versions

MODELS = {
    "unirec": "UniRec",
    "sasrec": "SASRec",
    "item-knn": "item-kNN",
    "popularity": "popularity",
}
"""Display names of a run's models; the first is the main model."""

_PAIRS = (
    ("unirec", "sasrec"),
    ("unirec", "item-knn"),
    ("sasrec", "item-knn"),
    ("unirec", "popularity"),
    ("sasrec", "popularity"),
)
"""Pairs of models to compare; the first pair is the report's headline."""

_LISTED, _PAST, _SAMPLES_PER_KIND = 10, 10, 2


@dataclass(frozen=True, eq=False)
class TestedModel:
    """Test results and training of one model.

    Attributes:
        items: ``[U, k]``, recommendations to the test users.
        ranks: ``[U]``, rank of each user's held-out item.
        test: test metrics.
        validation: validation metrics.
        curve: epochs of the training.
        seconds: training time.
    """

    __test__ = False  # Keeps pytest from collecting this class.

    items: Tensor
    ranks: Tensor
    test: Mapping[str, float]
    validation: Mapping[str, float]
    curve: list[Epoch]
    seconds: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """Results of a run.

    Attributes:
        settings: the configuration.
        dataset: the data set.
        examples: test users, their histories and held-out items.
        attributes: values of the item attributes in a path, by column.
        paths: ``[N, m + L]``, tokens of each item.
        vocab_sizes: number of tokens at each of the m + L positions.
        trie: trie of the paths.
        counts: ``[N]``, training events of each item.
        sid_metrics: quality of the semantic IDs.
        models: results by model.
        seconds: time of each stage.
    """

    settings: Settings
    dataset: Dataset
    examples: Examples
    attributes: Mapping[str, Sequence[str]]
    paths: Tensor
    vocab_sizes: tuple[int, ...]
    trie: recops.SidTrie
    counts: Tensor
    sid_metrics: Mapping[str, object]
    models: Mapping[str, TestedModel]
    seconds: Mapping[str, float]

    @property
    def real_items(self) -> float:
        """Share of the main model's recommendations whose path is in the trie."""
        items = self.models["unirec"].items[:, :_LISTED]
        return float(self.trie.contains(self.paths[items[items >= 0]]).double().mean())

    def differences(self) -> list[Difference]:
        """Return differences in HR@10 of two models, with paired bootstrap intervals over users."""
        rates = {name: hits(model.ranks, 10).numpy() for name, model in self.models.items()}
        differences = []
        for model, against in _PAIRS:
            low, high = paired_bootstrap(rates[model], rates[against], seed=self.settings.seed)
            value = float(rates[model].mean() - rates[against].mean())
            names = (MODELS[model], MODELS[against])
            differences.append(Difference(*names, "hr@10", value, low, high))
        return differences


def metrics(outcome: Outcome) -> dict[str, object]:
    """Return the content of ``metrics.json``."""
    main, *baselines = MODELS
    return {
        "data": outcome.dataset.name,
        "model": main,
        "seed": outcome.settings.seed,
        "split": "leave-one-out",
        **_figures(outcome.models[main]),
        "real_items": outcome.real_items,
        "baselines": {name: _figures(outcome.models[name]) for name in baselines},
        "differences": [
            {
                "metric": difference.metric,
                "model": difference.model,
                "against": difference.against,
                "value": difference.value,
                "interval": [difference.low, difference.high],
            }
            for difference in outcome.differences()
        ],
        "semantic_ids": dict(outcome.sid_metrics),
        "versions": versions(),
    }


def _figures(model: TestedModel) -> dict[str, object]:
    return {
        "test": dict(model.test),
        "validation": dict(model.validation),
        "train_seconds": round(model.seconds, 3),
    }


def recommendations(outcome: Outcome) -> dict[str, object]:
    """Return the content of ``recommendations.json``: sampled users with ids and titles."""
    titles = item_titles(outcome.dataset)
    keys = outcome.dataset.item_keys

    def items(indices: Iterable[int]) -> list[dict[str, object]]:
        return [
            {
                "item_id": keys[item],
                "title": titles[item],
                "path": outcome.paths[item].tolist(),
            }
            for item in indices
        ]

    users = []
    for row in _sampled_rows(outcome):
        history = outcome.examples.histories.take(np.array([row])).items
        users.append(
            {
                "user_id": _user_id(outcome, row),
                "history": items(history[-_PAST:]),
                "held_out": items(outcome.examples.targets.items[row : row + 1])[0],
                "recommended": {name: items(_list(outcome, name, row)) for name in MODELS},
            }
        )
    return {"data": outcome.dataset.name, "seed": outcome.settings.seed, "users": users}


def report(outcome: Outcome) -> Report:
    """Return the content of ``report.html``."""
    dataset, settings = outcome.dataset, outcome.settings
    titles = item_titles(dataset)
    return Report(
        title=f"recops quickstart · {dataset.name} · seed {settings.seed}",
        dataset=DatasetFigures(
            dataset.name,
            dataset.users.num_rows,
            dataset.items.num_rows,
            dataset.interactions.num_rows,
        ),
        tested_users=len(outcome.examples.users),
        models=[
            ModelResult(MODELS[name], model.test, [_row(epoch) for epoch in model.curve])
            for name, model in outcome.models.items()
        ],
        differences=outcome.differences(),
        catalogue=CatalogueFigures(
            _levels(outcome),
            len(outcome.attributes),
            outcome.paths.numpy(),
            titles,
            outcome.counts.numpy(),
        ),
        samples=[_sample(outcome, row, titles) for row in _sampled_rows(outcome)],
        real_items=outcome.real_items,
        configuration=_configuration(outcome),
        versions={**versions(), "kernels": recops.cpu_isa()},
        seconds=outcome.seconds,
    )


def _row(epoch: Epoch) -> dict[str, float]:
    return {"epoch": epoch.epoch + 1, "loss": epoch.train_loss, **epoch.validation}


def _levels(outcome: Outcome) -> list[Level]:
    levels = [Level(column, values) for column, values in outcome.attributes.items()]
    for number, size in enumerate(outcome.vocab_sizes[len(levels) :], 1):
        levels.append(Level(f"code {number}", [str(code) for code in range(size)]))
    return levels


def _configuration(outcome: Outcome) -> dict[str, str]:
    settings = outcome.settings
    return {
        "command": _command(settings),
        "split": "leave one out",
        "item vectors": settings.vectors or f"{settings.text_encoder} and co-occurrence",
        "semantic IDs": f"{settings.levels} levels of {settings.codes} codes",
        "history": f"{settings.unirec.history} items",
        "UniRec": f"width {settings.unirec.width}, {settings.unirec.beams} beams",
        "SASRec": f"width {settings.sasrec.width}, full softmax",
        "item-kNN": f"{settings.item_knn.neighbours} neighbours per item",
    }


def _command(settings: Settings) -> str:
    """Return the command that repeats the run."""
    words = ["recops quickstart", f"--data {quote(settings.data)}", f"--seed {settings.seed}"]
    if settings.text_encoder != Settings.text_encoder:
        words.append(f"--text-encoder {settings.text_encoder}")
    if settings.vectors is not None:
        words.append(f"--vectors {quote(settings.vectors)}")
    if settings.order is not None:
        words.append(f"--order {quote(settings.order)}")
    return " ".join([*words, "--quick"] if settings == settings.quick() else words)


def _sampled_rows(outcome: Outcome) -> list[int]:
    """Return rows of test users: up to two with a hit of the main model, and two without."""
    rng = np.random.default_rng(outcome.settings.seed)
    hit = (outcome.models["unirec"].ranks < _LISTED).numpy()
    rows: list[int] = []
    for kind in (hit, ~hit):
        candidates = rng.permutation(np.flatnonzero(kind))
        rows += candidates[:_SAMPLES_PER_KIND].tolist()
    return rows


def _sample(outcome: Outcome, row: int, titles: list[str]) -> UserSample:
    history = outcome.examples.histories.take(np.array([row])).items
    ranks = {name: int(model.ranks[row]) for name, model in outcome.models.items()}
    return UserSample(
        user_id=_user_id(outcome, row),
        num_interactions=len(history),
        history=[titles[item] for item in history[-_PAST:]],
        target=titles[outcome.examples.targets.items[row]],
        recommended={
            MODELS[name]: [titles[item] for item in _list(outcome, name, row)] for name in ranks
        },
        hits={MODELS[name]: rank if rank < _LISTED else None for name, rank in ranks.items()},
    )


def _list(outcome: Outcome, model: str, row: int) -> list[int]:
    items: list[int] = outcome.models[model].items[row, :_LISTED].tolist()
    return [item for item in items if item >= 0]


def _user_id(outcome: Outcome, row: int) -> str | int:
    return outcome.dataset.user_keys[int(outcome.examples.users[row])]
