"""Item vectors: content and co-occurrence.

A vector concatenates two blocks of unit length: content (text and attributes of the catalogue) and
co-occurrence (of training events only). A block without data is zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import pyarrow as pa

from recops_models.data.dataset import Dataset
from recops_models.data.histories import Histories
from recops_models.item_vectors.content import content_vectors
from recops_models.item_vectors.cooccurrence import cooccurrence_vectors
from recops_models.item_vectors.files import (
    ItemVectors,
    load_item_vectors,
    read_item_vectors,
    write_item_vectors,
)
from recops_models.item_vectors.minilm import minilm_vectors

TextEncoder = Literal["tfidf", "minilm"]

__all__ = [
    "ItemVectors",
    "TextEncoder",
    "build_item_vectors",
    "item_vectors_of",
    "load_item_vectors",
    "read_item_vectors",
    "write_item_vectors",
]


def build_item_vectors(
    dataset: Dataset,
    train: pa.Table,
    *,
    text_encoder: TextEncoder = "tfidf",
    dim: int = 64,
    seed: int = 0,
) -> ItemVectors:
    """Return the vectors of all items of a data set, float32, by ascending item id.

    Args:
        dataset: its ``items`` determine the content block.
        train: the training part of its interactions, which determines the co-occurrence block.
            Validation and test events are not used.
        text_encoder: ``"tfidf"`` (TF-IDF of words and attributes, then SVD) or ``"minilm"`` (a
            sentence encoder of 384 dimensions; needs the extra ``recops[minilm]``).
        dim: width of the co-occurrence block, and of the content block with ``"tfidf"``. A block is
            narrower if there are fewer items or features.
        seed: seed of the randomised SVDs.

    Raises:
        ModuleNotFoundError: the packages of ``"minilm"`` are not installed.
    """
    histories = Histories.of(train, dataset.user_vocabulary, dataset.item_vocabulary)
    return item_vectors_of(dataset, [histories], text_encoder=text_encoder, dim=dim, seed=seed)


def item_vectors_of(
    dataset: Dataset,
    blocks: Iterable[Histories],
    *,
    text_encoder: TextEncoder = "tfidf",
    dim: int = 64,
    seed: int = 0,
) -> ItemVectors:
    """Return :func:`build_item_vectors` from training histories, which may come in blocks."""
    if text_encoder == "minilm":
        content = minilm_vectors(dataset)
    else:
        content = content_vectors(dataset, dim=dim, seed=seed)
    cooccurrence = cooccurrence_vectors(blocks, dataset.items.num_rows, dim=dim, seed=seed)
    return ItemVectors(dataset.item_vocabulary.ids, np.concatenate([content, cooccurrence], axis=1))
