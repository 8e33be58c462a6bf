"""One training, from a data set to a folder from which to evaluate and recommend."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from recops.files import read_json, write_json
from recops_models.data import Dataset, Split, leave_one_out
from recops_models.data.attributes import item_paths
from recops_models.evaluation.metrics import evaluate
from recops_models.generative.popularity import Popularity, item_counts
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.generative.saved import SavedModel, save_model
from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.item_vectors import TextEncoder, build_item_vectors
from recops_models.tokenizers import RQKMeans, Sids, save_sids
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import Epoch, Fit
from recops_models.training.next_item import NextItem
from recops_models.training.trainer import fit
from recops_models.versions import versions

MODELS = ("popularity", "sasrec", "unirec")

_CONFIG = "training-config"
_Config = TypeVar("_Config")


@dataclass(frozen=True)
class SidConfig:
    """How semantic IDs are made: ``levels`` of at most ``codes`` codewords, of which vectors."""

    levels: int = 3
    codes: int = 256
    text_encoder: TextEncoder = "tfidf"


@dataclass(frozen=True)
class Job:
    """What to train; the outcome depends on nothing else.

    Attributes:
        model: one of :data:`MODELS`.
        data: a named data set, or a folder.
        seed: of every random draw.
        sizes: of the model; None for popularity.
        training: how to train; None for popularity.
        sids: UniRec's semantic IDs; None for the others.
    """

    model: str
    data: str
    seed: int = 0
    sizes: SASRecConfig | UniRecConfig | None = None
    training: TrainingConfig | None = None
    sids: SidConfig | None = None

    @classmethod
    def of(
        cls, model: str, data: str, settings: Mapping[str, str], *, seed: int, quick: bool
    ) -> Job:
        """A job with the defaults of its model, changed by ``settings``; ``quick``: two epochs.

        Raises:
            ValueError: an unknown model or setting, or a value that is none.
        """
        if model not in MODELS:
            raise ValueError(f"no model {model!r}; there are {', '.join(MODELS)}")
        parts: dict[str, Any] = {}
        if model != "popularity":
            parts["sizes"] = UniRecConfig() if model == "unirec" else SASRecConfig()
            parts["training"] = TrainingConfig(epochs=2) if quick else TrainingConfig()
        if model == "unirec":
            parts["sids"] = SidConfig()
        known = {f.name: key for key, part in parts.items() for f in dataclasses.fields(part)}
        known.pop("attributes", None)  # The data says how many there are.
        for name, text in settings.items():
            if name not in known:
                there = ", ".join(sorted(known)) or "none"
                raise ValueError(f"{model} has no setting {name!r}; there are: {there}")
            parts[known[name]] = _changed(parts[known[name]], name, text)
        return cls(model, data, seed, **parts)

    def config(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)


def _changed(config: _Config, name: str, text: str) -> _Config:
    kind = type(getattr(config, name))
    try:
        return dataclasses.replace(config, **{name: kind(text)})  # type: ignore[type-var]
    except ValueError:
        raise ValueError(f"setting {name}={text}: {kind.__name__} is due") from None


@dataclass(frozen=True)
class Trained:
    """A trained model and what it reached."""

    model: SavedModel
    metrics: dict[str, Any]
    curve: list[Epoch] = field(default_factory=list)


def run_job(
    job: Job,
    dataset: Dataset,
    folder: Path,
    *,
    resume: bool = False,
    test: bool = True,
    on_step: Callable[[int, float, float], None] = lambda *_: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Trained:
    """Train, choose the epoch on validation, measure once on test, leave everything in ``folder``.

    Leaves ``config.json``, ``model.safetensors``, ``metrics.json``, ``curves.json``, TensorBoard
    events, and for UniRec ``tokenizer.safetensors``, ``sids.parquet`` and ``trie.safetensors``.

    Raises:
        ValueError: ``resume`` with another job than the folder's; data that cannot be split.
        KeyboardInterrupt: handed on; the folder keeps the last finished epoch.
    """
    split = leave_one_out(dataset)
    validation = split.examples("validation")
    if not len(validation.users):
        raise ValueError(f"{dataset.name}: no user has three events, so nothing can be held out")
    if resume and (folder / "config.json").exists():
        _refuse_another(job, folder)
    _write_job(folder, job)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        model = _build(job, split, folder)
    done: Fit | None = None
    if job.training is not None and not isinstance(model, Popularity):
        with _events(folder) as write:

            def tell(epoch: Epoch) -> None:
                write(epoch)
                on_epoch(epoch)

            done = fit(
                model,
                NextItem(
                    split.histories(),
                    validation,
                    dataset.items.num_rows,
                    window=model.window,
                    batch=job.training.batch,
                ),
                job.training,
                seed=job.seed,
                folder=folder,
                resume=resume,
                on_step=on_step,
                on_epoch=tell,
            )
        rows = [epoch.row() for epoch in done.curve]
        write_json(folder / "curves.json", {"rows": rows}, kind="curves")
    save_trained(folder, job, model)
    num_items = dataset.items.num_rows
    metrics = {
        "data": dataset.name,
        "model": job.model,
        "seed": job.seed,
        "split": "leave-one-out",
        "test": _measure_test(model, split, folder) if test else {},
        "validation": evaluate(model, validation, num_items).metrics,
        "train_seconds": 0.0 if done is None else round(done.seconds, 3),
        "versions": versions(),
    }
    write_json(folder / "metrics.json", metrics, kind="metrics")
    return Trained(model, metrics, [] if done is None else done.curve)


def _measure_test(model: SavedModel, split: Split, folder: Path) -> dict[str, float]:
    import pyarrow as pa

    from recops_models.data.storage import write_table

    test = split.examples("test")
    found = evaluate(model, test, split.dataset.items.num_rows)
    table = pa.table({"user": test.users, "rank": found.ranks.numpy()})
    write_table(folder / "predictions.parquet", table)
    return found.metrics


def save_trained(folder: Path, job: Job, model: SavedModel) -> None:
    """Leave in ``folder`` what :func:`load_job` and ``load_model`` read."""
    _write_job(folder, job)
    save_model(folder / "model.safetensors", model)


def _write_job(folder: Path, job: Job) -> None:
    write_json(folder / "config.json", job.config(), kind=_CONFIG)


def load_job(folder: Path) -> Job:
    """The job whose files are in ``folder``.

    Raises:
        FileNotFoundError: there are none.
        CorruptFileError: ``config.json`` is damaged, or not a training's.
    """
    if not (folder / "config.json").exists():
        raise FileNotFoundError(f"{folder} holds no training: `recops train … --out {folder}`")
    found = read_json(folder / "config.json", kind=_CONFIG)
    sizes = UniRecConfig if found["model"] == "unirec" else SASRecConfig
    for key, kind in {"sizes": sizes, "training": TrainingConfig, "sids": SidConfig}.items():
        if found[key] is not None:
            found[key] = kind(**found[key])
    return Job(**found)


def _refuse_another(job: Job, folder: Path) -> None:
    found = load_job(folder)
    for entry in dataclasses.fields(Job):
        ours, theirs = getattr(job, entry.name), getattr(found, entry.name)
        if ours != theirs:
            raise ValueError(
                f"{folder} holds a training with {entry.name} {theirs}, not {ours}: "
                "leave out --resume to start anew, or name another folder with --out"
            )


def _build(job: Job, split: Split, folder: Path) -> SavedModel:
    """The untrained model; UniRec's tokenizer, SIDs and trie go to ``folder``."""
    dataset = split.dataset
    counts = item_counts(split.histories(), dataset.items.num_rows)
    if isinstance(job.sizes, SASRecConfig):
        return SASRec(dataset.items.num_rows, job.sizes)
    if job.sizes is None or job.sids is None:
        return Popularity(counts)
    items = build_item_vectors(
        dataset, split.train, text_encoder=job.sids.text_encoder, seed=job.seed
    )
    points = torch.from_numpy(items.vectors)
    tokenizer = RQKMeans(job.sids.levels, min(job.sids.codes, len(points)))
    codes = tokenizer.fit(points, torch.from_numpy(items.item_ids), seed=job.seed).encode(points)
    paths = item_paths(dataset, codes, tokenizer.vocab_sizes)
    sizes = dataclasses.replace(job.sizes, attributes=int(paths.attribute is not None))
    model = UniRec(paths.tokens, paths.vocab_sizes, counts, sizes)
    tokenizer.save(folder / "tokenizer.safetensors")
    save_sids(folder / "sids.parquet", Sids(items.item_ids, codes.numpy()))
    model.trie.save(folder / "trie.safetensors")
    return model


@contextmanager
def _events(folder: Path) -> Iterator[Callable[[Epoch], None]]:
    """A function that adds an epoch to the folder's TensorBoard events, which begin anew."""
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    with SummaryWriter(str(folder)) as writer:

        def write(epoch: Epoch) -> None:
            for name, value in epoch.row().items():
                if name != "epoch":
                    writer.add_scalar(name, value, epoch.epoch + 1)
            writer.flush()

        yield write
