"""Output folder of ``recops tokenize``."""

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

_DIGEST = "_sha256"
"""End of the keys of :func:`digests`."""


class Tokenized(Protocol):
    """Catalogue, in memory or streamed, on which a fitted tokenizer is evaluated."""

    def evaluate(self, tokenizer: Tokenizer) -> tuple[Sids, SidMetrics]:
        """Return the codes of all items, and their metrics.

        See :func:`~recops_models.tokenizers.metrics.sid_metrics`.
        """
        ...


def digests(
    dataset: Dataset | None, vectors: Path | None, pairs: Path | None, row_ids: Path | None = None
) -> dict[str, str | None]:
    """Return the SHA-256 of each input of a run, to detect changes when it resumes."""
    return {
        "data_sha256": None if dataset is None else dataset_digest(dataset),
        "vectors_sha256": _digest(vectors),
        "pairs_sha256": _digest(pairs),
        "order_sha256": _digest(row_ids),
    }


def _digest(path: Path | None) -> str | None:
    """Return None for an unreadable file; the code that reads it raises the error."""
    with suppress(OSError):
        return None if path is None else file_digest(path)
    return None


def holds_run(folder: Path, config: Mapping[str, object]) -> bool:
    """Return whether the folder holds a run that ``--resume`` can continue.

    Raises:
        ValueError: the run has another configuration or other input.
    """
    if not (folder / CONFIG).exists():
        return False
    stored = read_json(folder / CONFIG, kind=CONFIG_KIND)
    for key in (*config, *stored):
        if config.get(key) != stored.get(key):
            raise ValueError(
                f"{folder} holds semantic IDs with {key} {stored.get(key)}, not {config.get(key)}: "
                "omit --resume to start again, or choose another folder with --out"
            )
    return True


def check_replaceable(folder: Path, config: Mapping[str, object]) -> None:
    """Check that a new run loses no finished semantic IDs of another configuration.

    Newer data of the same name counts as the same configuration.

    Raises:
        ValueError: the folder has finished semantic IDs of another configuration.
    """
    if not (folder / CONFIG).exists() or not (folder / METRICS).exists():
        return
    stored = read_json(folder / CONFIG, kind=CONFIG_KIND)
    for key in config:
        if not key.endswith(_DIGEST) and config[key] != stored.get(key):
            raise ValueError(
                f"{folder} holds semantic IDs with {key} {stored.get(key)}, not {config[key]}: "
                "name another folder, or replace them (--force, force=True)"
            )


def start(
    folder: Path, config: Mapping[str, object], items: ItemVectors | None, *, resume: bool
) -> None:
    """Write the configuration and the item vectors; delete files of an earlier run."""
    if not resume:
        # CONFIG last: after an interruption here, --resume cannot continue from leftover files.
        for name in (VECTORS, TOKENIZER, SIDS, METRICS, *PARTIAL, CONFIG):
            (folder / name).unlink(missing_ok=True)
    write_json(folder / CONFIG, config, kind=CONFIG_KIND)
    if items is not None:
        write_item_vectors(folder / VECTORS, items)


def finished_tokenizer(folder: Path) -> Tokenizer | None:
    """Return the fitted tokenizer; None if the fit did not finish."""
    path = folder / TOKENIZER
    return load_tokenizer(path) if path.exists() else None


def seconds_of_fit(folder: Path) -> float:
    """Return the duration of the fit; 0 if the run did not write its metrics."""
    path = folder / METRICS
    return float(read_json(path, kind="metrics")["train_seconds"]) if path.exists() else 0.0


def finish(
    folder: Path,
    config: Mapping[str, object],
    tokenizer: Tokenizer,
    catalogue: Tokenized,
    seconds: float,
) -> SidMetrics:
    """Write semantic IDs, tokenizer and metrics, and return the metrics."""
    sids, metrics = catalogue.evaluate(tokenizer)
    save_sids(folder / SIDS, sids)
    tokenizer.save(folder / TOKENIZER)
    for name in PARTIAL:
        (folder / name).unlink(missing_ok=True)
    source = {name: config[name] for name in ("data", "vectors", "seed")}
    result = {**source, "model": config["method"], **metrics, "train_seconds": seconds}
    write_json(folder / METRICS, {**result, "versions": versions()}, kind="metrics")
    return metrics
