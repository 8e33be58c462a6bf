"""The folder of one run of ``recops tokenize``: its files at the start, and at the end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from recops.files import file_digest, read_json, write_json
from recops_models.data.dataset import Dataset
from recops_models.data.digest import dataset_digest
from recops_models.item_vectors import ItemVectors, write_item_vectors
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.fitting import PARTIAL
from recops_models.tokenizers.metrics import SidMetrics
from recops_models.tokenizers.registry import load_tokenizer
from recops_models.tokenizers.sids import Sids, save_sids
from recops_models.versions import versions

CONFIG, METRICS, SIDS = "config.json", "metrics.json", "sids.parquet"
TOKENIZER, VECTORS = "tokenizer.safetensors", "item_vectors.safetensors"
CONFIG_KIND = "tokenizer-config"


class Tokenized(Protocol):
    """A catalogue, in memory or streamed, that a fitted tokenizer can be measured on."""

    def sids(self, tokenizer: Tokenizer) -> Sids:
        """Every item's codes."""
        ...

    def metrics(self, tokenizer: Tokenizer) -> SidMetrics:
        """See :func:`~recops_models.tokenizers.metrics.sid_metrics`."""
        ...


def digests(
    dataset: Dataset | None, vectors: Path | None, pairs: Path | None, row_ids: Path | None = None
) -> dict[str, str | None]:
    """What tells whether a run still has the input that it began with: SHA-256 of each."""
    return {
        "data_sha256": None if dataset is None else dataset_digest(dataset),
        "vectors_sha256": _digest(vectors),
        "pairs_sha256": _digest(pairs),
        "order_sha256": _digest(row_ids),
    }


def _digest(path: Path | None) -> str | None:
    """None of a file that is not readable: whoever reads it says why."""
    with suppress(OSError):
        return None if path is None else file_digest(path)
    return None


def holds_run(folder: Path, config: Mapping[str, object]) -> bool:
    """Whether the folder holds a run, which ``--resume`` goes on with.

    Raises:
        ValueError: it holds one of another configuration, or of other input.
    """
    if not (folder / CONFIG).exists():
        return False
    found = read_json(folder / CONFIG, kind=CONFIG_KIND)
    for key in (*config, *found):
        if config.get(key) != found.get(key):
            raise ValueError(
                f"{folder} holds semantic IDs with {key} {found.get(key)}, not {config.get(key)}: "
                "leave out --resume to start anew, or name another folder with --out"
            )
    return True


def start(
    folder: Path, config: Mapping[str, object], items: ItemVectors | None, *, resume: bool
) -> None:
    """Say from the start whose files the folder holds; ``items`` are kept in it."""
    if not resume:
        # The configuration last: without it, nothing of what is left would be gone on with.
        for name in (VECTORS, TOKENIZER, SIDS, METRICS, *PARTIAL, CONFIG):
            (folder / name).unlink(missing_ok=True)
    write_json(folder / CONFIG, config, kind=CONFIG_KIND)
    if items is not None:
        write_item_vectors(folder / VECTORS, items)


def finished_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer, where the run came so far."""
    path = folder / TOKENIZER
    return load_tokenizer(path) if path.exists() else None


def seconds_of_fit(folder: Path) -> float:
    """What a finished run's fit took; 0 where it was stopped before it told."""
    path = folder / METRICS
    return float(read_json(path, kind="metrics")["train_seconds"]) if path.exists() else 0.0


def finish(
    folder: Path,
    config: Mapping[str, object],
    tokenizer: Tokenizer,
    catalogue: Tokenized,
    seconds: float,
) -> SidMetrics:
    """Leave semantic IDs, tokenizer and metrics; the metrics."""
    metrics = catalogue.metrics(tokenizer)
    save_sids(folder / SIDS, catalogue.sids(tokenizer))
    tokenizer.save(folder / TOKENIZER)
    for name in PARTIAL:
        (folder / name).unlink(missing_ok=True)
    source = {name: config[name] for name in ("data", "vectors", "seed")}
    result = {**source, "model": config["method"], **metrics, "train_seconds": seconds}
    write_json(folder / METRICS, {**result, "versions": versions()}, kind="metrics")
    return metrics
