"""The models that can be trained, by name: sizes, defaults, the problem they solve.

A new click model is one line here. What it owes: a constructor of ``(schema, config)`` that keeps
both as attributes, and ``predict(batch)``; and, to be a net of a rocket, what it can share: an
``embedding``, and a ``head`` upon ``bottom(batch)``. One with a loss of its own beside the
cross-entropy has ``bottom_and_auxiliary(batch)`` too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from recops_models.click.can import Can, CanConfig
from recops_models.click.dien import Dien, DienConfig
from recops_models.click.din import Din, DinConfig
from recops_models.click.gru_attention import GruAttention, GruAttentionConfig
from recops_models.click.rocket import Rocket, RocketConfig
from recops_models.click.sum_pool import SumPool, SumPoolConfig
from recops_models.data.attributes import item_paths
from recops_models.examples.features import FittedSchema
from recops_models.generative.popularity import Popularity, item_counts
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.item_vectors import TextEncoder, build_item_vectors
from recops_models.layers.coaction import pairs_of
from recops_models.layers.pair_features import PairTable
from recops_models.tokenizers import RQKMeans, Sids, save_sids
from recops_models.training.click_problem import ClickProblem, ExampleConfig
from recops_models.training.config import TrainingConfig
from recops_models.training.problem import Problem
from recops_models.training.ranking_problem import RankingProblem
from recops_models.training.rocket_problem import RocketProblem

if TYPE_CHECKING:
    from recops_models.training.job import Job

_Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class SidConfig:
    """How semantic IDs are made: ``levels`` of at most ``codes`` codewords, of which vectors."""

    levels: int = 3
    codes: int = 256
    text_encoder: TextEncoder = "tfidf"


@dataclass(frozen=True)
class Entry:
    """What is known of a model before it is made.

    Attributes:
        model: its class.
        problem: what it is trained on and measured by, from data, job and a trained model or None.
        defaults: the parts of a job that it has: ``sizes``, ``training`` and others.
        build: a new model, from the problem and the job; it may leave files in the folder.
        restore: one of the shape that a file's weights, sizes and schema tell.
        export: what of a trained model is kept, and goes to a file.
    """

    model: type[nn.Module]
    problem: Callable[[Any, Job, Any], Problem]
    defaults: Mapping[str, Any]
    build: Callable[[Any, Job, Path], nn.Module]
    restore: Callable[[_Weights, Any, Any], nn.Module]
    export: Callable[[Any], nn.Module] = lambda model: model


def parts_of(model: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a job for ``model``, each with its defaults.

    A rocket's are also the sizes of its nets, ``light`` and ``booster``; which models these are,
    ``chosen`` may say under the same names.

    Raises:
        ValueError: no such net, or no light net.
    """
    parts = dict(MODELS[model].defaults)
    if model != "rocket":
        return parts
    light, booster = _nets({**vars(parts["sizes"]), **chosen})
    if booster is not None:
        parts["booster"] = MODELS[booster].defaults["sizes"]
    sizes = MODELS[light].defaults["sizes"]
    parts["light"] = dataclasses.replace(sizes, hidden=_LIGHT_HIDDEN)
    return parts


def _nets(chosen: Mapping[str, Any]) -> tuple[str, str | None]:
    """The names of a rocket's light net and booster."""
    light, booster = (
        None if chosen[net] in (None, "none") else str(chosen[net]) for net in ("light", "booster")
    )
    light = light or booster
    there = [name for name, entry in MODELS.items() if entry.problem is ClickProblem]
    for name in (light, booster or light):
        if name not in there:
            raise ValueError(f"rocket: no net {name!r}; there are {', '.join(there)}")
    assert light is not None
    return light, booster


def name_of(model: nn.Module) -> str:
    """The name under which a model's class is known."""
    return next(name for name, entry in MODELS.items() if entry.model is type(model))


def _unirec(problem: RankingProblem, job: Job, folder: Path) -> UniRec:
    """UniRec on new semantic IDs; its tokenizer, SIDs and trie go to ``folder``."""
    assert job.sids is not None
    dataset = problem.dataset
    items = build_item_vectors(
        dataset, problem.parts.train, text_encoder=job.sids.text_encoder, seed=job.seed
    )
    points = torch.from_numpy(items.vectors)
    tokenizer = RQKMeans(job.sids.levels, min(job.sids.codes, len(points)))
    codes = tokenizer.fit(points, torch.from_numpy(items.item_ids), seed=job.seed).encode(points)
    paths = item_paths(dataset, codes, tokenizer.vocab_sizes)
    sizes = dataclasses.replace(job.sizes, attributes=int(paths.attribute is not None))
    model = UniRec(paths.tokens, paths.vocab_sizes, _counts(problem), sizes)
    tokenizer.save(folder / "tokenizer.safetensors")
    save_sids(folder / "sids.parquet", Sids(items.item_ids, codes.numpy()))
    model.trie.save(folder / "trie.safetensors")
    return model


def _restored_unirec(weights: _Weights, sizes: UniRecConfig, _: None) -> UniRec:
    paths = weights["paths"][1:] - 1  # Inside, tokens count from 1 below a row of padding.
    vocab_sizes = [len(weights[f"token.{i}.weight"]) - 1 for i in range(paths.shape[1])]
    return UniRec(paths, vocab_sizes, weights["prior"], sizes)


def _counts(problem: RankingProblem) -> Tensor:
    return item_counts(problem.train, problem.num_items)


def _rocket(problem: RocketProblem, job: Job, folder: Path) -> Rocket:
    """The light net first: it begins as it would alone."""
    schema = problem.data.fitted
    light, booster = _nets(vars(job.sizes))
    teacher = None if job.sizes.teacher is None else _teacher(Path(job.sizes.teacher), schema)
    return Rocket(
        MODELS[light].model(schema, job.light),
        None if booster is None else MODELS[booster].model(schema, job.booster),
        job.sizes,
        teacher=teacher,
    )


def _teacher(path: Path, schema: FittedSchema) -> Any:
    from recops_models.saved import load_model  # Which needs to know the models.

    teacher = load_model(path)
    ours, theirs = schema.state()[0], teacher.schema.state()[0]
    if ours.keys() != theirs.keys() or any(not torch.equal(ours[k], theirs[k]) for k in ours):
        raise ValueError(f"rocket: {path} was trained with other vocabularies than this data's")
    return teacher


def _refuse(weights: _Weights, sizes: Any, schema: Any) -> Rocket:
    raise ValueError("rocket: a file holds the light net, under its own name")


def _click(model: Callable[[Any, Any], nn.Module], sizes: Any) -> Entry:
    assert isinstance(model, type)
    return Entry(
        model=model,
        problem=ClickProblem,
        defaults={"sizes": sizes, "training": _CLICK_TRAINING, "examples": ExampleConfig()},
        build=lambda problem, job, folder: model(problem.data.fitted, job.sizes),
        restore=lambda weights, sizes, schema: model(schema, sizes),
    )


def _can(problem: ClickProblem, job: Job, folder: Path) -> Can:
    """CAN; its table of pairs, where it has one, of the training part's first pass."""
    fitted, sizes = problem.data.fitted, job.sizes
    if sizes.interaction != "cartesian":
        return Can(fitted, sizes)
    batches = problem.data.train.batches(1024, seed=job.seed)
    pairs = pairs_of(fitted, sizes.pairs)
    return Can(fitted, sizes, PairTable.fit(pairs, sizes.width, batches, sizes.min_count))


def _restored_can(weights: _Weights, sizes: CanConfig, schema: FittedSchema) -> Can:
    if sizes.interaction != "cartesian":
        return Can(schema, sizes)
    pairs = pairs_of(schema, sizes.pairs)
    keys = [len(weights[f"unit.keys_{p}"]) for p in range(len(pairs))]
    return Can(schema, sizes, PairTable(pairs, sizes.width, keys))


# On ml-100k, seed 0: DIN takes 7 s an epoch (one core of a shared cloud machine).
_CLICK_TRAINING = TrainingConfig(epochs=6, batch=256, learning_rate=1e-3, patience=2, select="auc")
# Validation AUC on ml-100k, seed 0: sum pooling 0.693 with it, 0.685 without; DIN 0.694 and 0.693.
_CLICK_DROPOUT = 0.3
_LIGHT_HIDDEN = (16, 8)

MODELS: dict[str, Entry] = {
    "popularity": Entry(
        model=Popularity,
        problem=RankingProblem,
        defaults={},
        build=lambda problem, job, folder: Popularity(_counts(problem)),
        restore=lambda weights, sizes, schema: Popularity(weights["counts"]),
    ),
    "sasrec": Entry(
        model=SASRec,
        problem=RankingProblem,
        defaults={"sizes": SASRecConfig(), "training": TrainingConfig()},
        build=lambda problem, job, folder: SASRec(problem.num_items, job.sizes),
        restore=lambda weights, sizes, schema: SASRec(len(weights["item_bias"]), sizes),
    ),
    "unirec": Entry(
        model=UniRec,
        problem=RankingProblem,
        defaults={
            "sizes": UniRecConfig(),
            "training": TrainingConfig(),
            "sids": SidConfig(),
        },
        build=_unirec,
        restore=_restored_unirec,
    ),
    "sum-pool": _click(SumPool, SumPoolConfig(dropout=_CLICK_DROPOUT)),
    "din": _click(Din, DinConfig(dropout=_CLICK_DROPOUT)),
    "dien": _click(Dien, DienConfig(dropout=_CLICK_DROPOUT)),
    "can": dataclasses.replace(
        _click(Can, CanConfig(dropout=_CLICK_DROPOUT)), build=_can, restore=_restored_can
    ),
    "gru-attention": _click(GruAttention, GruAttentionConfig(dropout=_CLICK_DROPOUT)),
    "rocket": Entry(
        model=Rocket,
        problem=RocketProblem,
        defaults={
            "sizes": RocketConfig(),
            "training": _CLICK_TRAINING,
            "examples": ExampleConfig(),
        },
        build=_rocket,
        restore=_refuse,
        export=lambda rocket: rocket.export(),
    ),
}
"""By the name on the command line."""
