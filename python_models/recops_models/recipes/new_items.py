"""New items for a trained UniRec: vectors, codes by its tokenizer, a place in its catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from recops_models.data.attributes import (
    MISSING,
    Attribute,
    attribute_text,
    encode_attribute,
    item_titles,
)
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.new_items import KEY, read_new_items
from recops_models.generative.live_items import LiveItems
from recops_models.generative.unirec import UniRec
from recops_models.item_vectors import load_item_vectors
from recops_models.item_vectors.content import ContentEncoder
from recops_models.item_vectors.minilm import minilm_vectors
from recops_models.item_vectors.svd import Float32Array
from recops_models.recipes.catalogue import check_catalogue
from recops_models.recipes.input_config import InputConfig
from recops_models.recipes.job import Job
from recops_models.recipes.parts import part
from recops_models.recipes.semantic_ids import SemanticIds, chosen_attributes, load_semantic_ids
from recops_models.recipes.sid_config import SidConfig
from recops_models.training.alignment_config import AlignmentConfig

_CONTENT_WIDTH = 64
"""As :func:`~recops_models.item_vectors.build_item_vectors` makes it."""
_SAME_SPACE = 0.99
"""Mean cosine of items' vectors, made anew, with those of training: a corrected title or two, and
the rounding of another machine, stay above."""


@dataclass(frozen=True, eq=False)
class InsertedItems:
    """A trained model with further items, whose indices follow those of its data set.

    Attributes:
        live: the catalogue, and the model over it.
        keys: the new items' ids, as the file has them.
        titles: how they are called.
        codes: ``[n, L]``, their semantic IDs.
    """

    live: LiveItems
    keys: list[str]
    titles: list[str]
    codes: Tensor


def insert_new_items(
    job: Job, dataset: Dataset, model: UniRec, folder: Path, path: Path
) -> InsertedItems:
    """Give the items of a file a place among those that ``model`` decodes; nothing is trained.

    Their vectors are made as those of training were: from columns of the same names, in the space
    that the data set's own items span, with zeros where events would stand; or, where training took
    vectors from a file, they stand in ``path`` as one list column of floats. The tokenizer that
    training left, which stays as it is, makes codes of them.

    Args:
        job: what the model was trained by.
        dataset: what it was trained on.
        model: trained.
        folder: what training left.
        path: see :func:`~recops_models.data.new_items.read_new_items`.

    Raises:
        CorruptFileError: a file in ``folder`` is damaged.
        DataError: an unfit file; an attribute's value that training did not know; a data set whose
            items, their descriptions or attributes are no longer those of training.
        FileNotFoundError: ``folder`` holds no tokenizer.
        ValueError: the attributes were shuffled, or the codes are made of events alone.
    """
    inputs = part(job.parts, "inputs", InputConfig)
    if inputs.shuffle_attributes:
        raise ValueError("new items: shuffle_attributes must be false, as theirs cannot be dealt")
    config = part(job.parts, "sids", SidConfig)
    if config.collaborative:
        raise ValueError(
            "new items: collaborative must be false, as codes that are made of events say nothing "
            "of an item without any"
        )
    check_catalogue(folder, job, dataset)
    table = read_new_items(path, dataset)
    made = load_semantic_ids(_with_tokenizer(job, folder))
    if config.vectors is not None:
        vectors = _own_vectors(path, table, made)
    else:
        vectors = _vectors(dataset, table, config, made, job.seed)
    codes = made.tokenizer.encode(torch.from_numpy(vectors))
    attributes = chosen_attributes(dataset, inputs, job.seed)
    columns = [_tokens(path, table, attribute) for attribute in attributes]
    live = LiveItems(model)
    live.insert(torch.cat([*columns, codes.long()], 1))
    return InsertedItems(live, table[KEY].to_pylist(), item_titles(dataset, table), codes)


def _with_tokenizer(job: Job, folder: Path) -> Path:
    """Where training left its semantic IDs: in the folder of the first stage, if there were two.

    The job tells, and not the files: one that was trained before into the same folder may have left
    a first stage there.
    """
    two = part(job.parts, "alignment", AlignmentConfig).align != "none"
    return folder / job.model if two else folder


def _vectors(
    dataset: Dataset, table: pa.Table, config: SidConfig, made: SemanticIds, seed: int
) -> Float32Array:
    """Content as :func:`~recops_models.item_vectors.build_item_vectors` has it, and no company."""
    if config.text_encoder == "minilm":
        content = minilm_vectors(dataset, table)
    else:
        encoder = ContentEncoder(dataset, dim=_CONTENT_WIDTH, seed=seed)
        _check_space(dataset, encoder.vectors, made.vectors.vectors)
        content = encoder.encode(table)
    width = made.vectors.vectors.shape[1]
    return np.pad(content, ((0, 0), (0, width - content.shape[1])))


def _check_space(dataset: Dataset, now: Float32Array, trained: Float32Array) -> None:
    """Words and directions are found anew: of other texts, or other numbers, they are others, and
    codes in them would say nothing. ``now [N, d]`` are unit rows, ``trained [N, ≥ d]`` begin so.
    """
    width = min(now.shape[1], trained.shape[1])
    alike = (now[:, :width] * trained[:, :width]).sum(1)[now.any(axis=1)]
    cosine = float(alike.mean()) if len(alike) else 1.0
    if not cosine >= _SAME_SPACE:
        raise DataError(
            f"{dataset.name} describes its items otherwise than in training (their vectors, made "
            f"anew, have a mean cosine of {cosine:.3f} with those of then): new items would get "
            "codes of another space; train again"
        )


def _own_vectors(path: Path, table: pa.Table, made: SemanticIds) -> Float32Array:
    if path.suffix != ".parquet":
        raise DataError(f"{path}: must be Parquet with a vector an item, as training had its own")
    given = load_item_vectors(path, np.arange(len(table)), table[KEY])
    width = made.vectors.vectors.shape[1]
    if given.vectors.shape[1] != width:
        raise DataError(
            f"{path}: vectors must be of {width} numbers, as those of training, got "
            f"{given.vectors.shape[1]}"
        )
    return given.vectors


def _tokens(path: Path, table: pa.Table, attribute: Attribute) -> Tensor:
    tokens = encode_attribute(attribute, table)
    if (tokens < 0).any():
        row = int((tokens < 0).argmax())
        value = attribute_text(attribute, table)[row].as_py()
        raise DataError(
            f"{path}: {attribute.column} of item {table[KEY][row]} must be one of "
            f"{', '.join(attribute.values[:20])}, got {'nothing' if value == MISSING else value}"
        )
    return torch.from_numpy(tokens)[:, None]
