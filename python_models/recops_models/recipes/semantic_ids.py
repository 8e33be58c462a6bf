"""Semantic IDs of a data set's items, and their files in a training's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from recops_models import workers
from recops_models.data.attributes import (
    Attribute,
    ItemPaths,
    item_attributes,
    item_paths,
    shuffled,
)
from recops_models.data.dataset import Dataset
from recops_models.item_vectors import (
    ItemVectors,
    item_vectors_of,
    load_item_vectors,
    read_item_vectors,
    write_item_vectors,
)
from recops_models.recipes.collaborative import collaborative_vectors
from recops_models.recipes.input_config import InputConfig
from recops_models.recipes.parts import part
from recops_models.recipes.ranking import AnyRankingTask, training_counts
from recops_models.recipes.sid_config import SidConfig
from recops_models.recipes.stage import StageContext
from recops_models.tokenizers.fitting import FitShare
from recops_models.tokenizers.methods.balanced_rq import BalancedRQ
from recops_models.tokenizers.methods.rq_kmeans import RQKMeans
from recops_models.tokenizers.registry import load_tokenizer
from recops_models.tokenizers.sids import Sids, load_sids, save_sids

VECTORS, TOKENIZER, SIDS = "item_vectors.safetensors", "tokenizer.safetensors", "sids.parquet"
TRIE = "trie.safetensors"

SID_FILES = (VECTORS, TOKENIZER, SIDS, TRIE)
"""Files of a stage that builds semantic IDs and trains a model on them."""


@dataclass(frozen=True, eq=False)
class TokenizedItems:
    """Item vectors, tokenizer, and ``codes [N, L]`` i32 by item index."""

    vectors: ItemVectors
    tokenizer: RQKMeans
    codes: Tensor


def make_semantic_ids(
    task: AnyRankingTask, config: SidConfig, context: StageContext
) -> TokenizedItems:
    """Return item vectors, their tokenizer and codes; a resumed stage loads existing files.

    With several workers, the first one does all of it.
    """
    return workers.on_first(lambda: _semantic_ids(task, config, context))


def _semantic_ids(task: AnyRankingTask, config: SidConfig, context: StageContext) -> TokenizedItems:
    vectors = _vectors(task, config, context)
    if context.resume and _exist(context.folder, TOKENIZER, SIDS):
        return load_semantic_ids(context.folder)
    points, ids = torch.from_numpy(vectors.vectors), torch.from_numpy(vectors.item_ids)
    kind: type[RQKMeans] = RQKMeans
    weights = None
    if config.method == "balanced-rq":
        kind, weights = BalancedRQ, training_counts(task).float()
    tokenizer = kind(config.levels, min(config.codes, len(points)))
    context.callbacks.start("semantic IDs")
    show = FitShare(tokenizer.stages, context.callbacks)
    tokenizer.fit(
        points, ids, seed=context.seed, weights=weights, callbacks=show, device=context.device
    )
    codes = tokenizer.encode(points, weights=weights)
    tokenizer.save(context.folder / TOKENIZER)
    save_sids(context.folder / SIDS, Sids(vectors.item_ids, codes.numpy(), task.dataset.item_keys))
    return TokenizedItems(vectors, tokenizer, codes)


def make_paths(task: AnyRankingTask, context: StageContext) -> tuple[ItemPaths, Tensor]:
    """Return each item's path: the attributes in the settings, then the semantic ID.

    The second result is the items' vectors, ``[N, D]`` f32.

    Raises:
        DataError: unknown attribute.
    """
    inputs = part(context.settings, "inputs", InputConfig)
    attributes = chosen_attributes(task.dataset, inputs, context.seed)
    sids = make_semantic_ids(task, part(context.settings, "sids", SidConfig), context)
    paths = item_paths(sids.codes, sids.tokenizer.vocab_sizes, attributes)
    return paths, torch.from_numpy(sids.vectors.vectors)


def chosen_attributes(dataset: Dataset, inputs: InputConfig, seed: int) -> list[Attribute]:
    """Return the attributes in ``inputs``, shuffled with ``seed`` if ``inputs`` says so."""
    attributes = item_attributes(dataset, inputs.attributes)
    return shuffled(attributes, seed) if inputs.shuffle_attributes else attributes


def load_semantic_ids(folder: Path) -> TokenizedItems:
    """Load the files of :func:`make_semantic_ids`.

    Raises:
        FileNotFoundError: a file is missing.
        CorruptFileError: a file is damaged.
    """
    codes = torch.from_numpy(load_sids(folder / SIDS).codes)
    tokenizer = load_tokenizer(folder / TOKENIZER)
    assert isinstance(tokenizer, RQKMeans)
    return TokenizedItems(read_item_vectors(folder / VECTORS), tokenizer, codes)


def _vectors(task: AnyRankingTask, config: SidConfig, context: StageContext) -> ItemVectors:
    """Return the vectors of a SASRec, of a file, or of texts, attributes and events."""
    if context.resume and _exist(context.folder, VECTORS):
        return read_item_vectors(context.folder / VECTORS)
    context.callbacks.start("item vectors")
    dataset = task.dataset
    if config.collaborative:
        vectors = collaborative_vectors(context, dataset)
    elif config.vectors is not None:
        vectors = load_item_vectors(
            Path(config.vectors),
            dataset.item_vocabulary.ids,
            dataset.text_keys("item"),
            order=config.vectors_order,
        )
    else:
        vectors = item_vectors_of(
            dataset, task.histories(), text_encoder=config.text_encoder, seed=context.seed
        )
    context.start_output()
    write_item_vectors(context.folder / VECTORS, vectors)
    return vectors


def _exist(folder: Path, *names: str) -> bool:
    return all((folder / name).exists() for name in names)
