"""New items for a trained UniRec: vectors, codes by its tokenizer, entries in its catalogue."""

from __future__ import annotations

import dataclasses
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
from recops_models.data.histories import Int64Array
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
from recops_models.recipes.known_ids import KnownIds
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.semantic_ids import TokenizedItems, chosen_attributes, load_semantic_ids
from recops_models.recipes.sid_config import SidConfig
from recops_models.training.alignment_config import AlignmentConfig

CONTENT_WIDTH = 64
"""Width of the content part of :func:`~recops_models.item_vectors.build_item_vectors`."""
_SAME_SPACE = 0.99
"""Lowest accepted mean cosine of the items' new vectors with those of training. A few corrected
titles, and the rounding of another machine, stay above it."""


@dataclass(frozen=True, eq=False)
class InsertedItems:
    """A trained model with further items, whose indices follow those of its data set.

    Attributes:
        live: the catalogue with the new items, and its model.
        table: the new items: ``item_key``, their ids as in the file, and the columns of the data
            set's items.
        titles: titles of the new items.
        codes: ``[n, L]``, semantic IDs of the new items.
    """

    live: LiveItems
    table: pa.Table
    titles: list[str]
    codes: Tensor

    @property
    def keys(self) -> list[str]:
        """Ids of the new items."""
        keys: list[str] = self.table[KEY].to_pylist()
        return keys


def insert_new_items(
    job: Job, dataset: Dataset, model: UniRec, folder: Path, path: Path
) -> InsertedItems:
    """Add the items of a file to those that ``model`` can recommend, without training.

    Their vectors are built as in training: from columns of the same names, in the space of the data
    set's items, with zeros for the part of the events. If training read vectors from a file,
    ``path`` has them as one list column of floats. The tokenizer of the training encodes them.

    Args:
        job: the job that was trained.
        dataset: the data set of the training.
        model: the trained model.
        folder: folder of the training.
        path: see :func:`~recops_models.data.new_items.read_new_items`.

    Raises:
        CorruptFileError: a file in ``folder`` is damaged.
        DataError: the file is unfit; an attribute value is unknown from training; the items of the
            data set, their descriptions or attributes have changed since training.
        FileNotFoundError: ``folder`` has no tokenizer.
        ValueError: the attributes were shuffled, or the codes come from events.
    """
    inputs = part(job.parts, "inputs", InputConfig)
    if inputs.shuffle_attributes:
        raise ValueError(
            "new items: shuffle_attributes must be false; a new item has no shuffled attribute"
        )
    config = part(job.parts, "sids", SidConfig)
    if config.collaborative:
        raise ValueError(
            "new items: collaborative must be false, as these codes come from events, and a new "
            "item has none"
        )
    check_catalogue(folder, job, dataset)
    table = read_new_items(path, dataset)
    sids = load_semantic_ids(sid_folder(job.model, job.parts, folder))
    if config.vectors is not None:
        vectors = _file_vectors(path, table, sids)
    else:
        known = KnownIds.load(folder)
        items = np.arange(len(sids.codes)) if known is None else known.rows(dataset, "item")
        vectors = _content_vectors(dataset, table, config, sids, items, job.seed)
    content = torch.from_numpy(vectors)
    codes = sids.tokenizer.encode(content)
    attributes = chosen_attributes(dataset, inputs, job.seed)
    columns = [_tokens(path, table, attribute) for attribute in attributes]
    live = LiveItems(model)
    live.insert(torch.cat([*columns, codes.long()], 1), content)
    return InsertedItems(live, table, item_titles(dataset, table), codes)


def sid_folder(model: str, parts: Parts, folder: Path) -> Path:
    """Return the folder of the semantic IDs: that of the first stage, if there are two.

    The settings decide, because an earlier training in the same folder may have left such a folder.
    """
    if "alignment" not in parts:
        return folder
    has_alignment = part(parts, "alignment", AlignmentConfig).align != "none"
    return folder / model if has_alignment else folder


def _content_vectors(
    dataset: Dataset,
    table: pa.Table,
    config: SidConfig,
    sids: TokenizedItems,
    rows: Int64Array,
    seed: int,
) -> Float32Array:
    """Return content vectors, with zeros for the part of the events.

    See :func:`~recops_models.item_vectors.build_item_vectors`.
    """
    if config.text_encoder == "minilm":
        content = minilm_vectors(dataset, table)
    else:
        is_known = rows >= 0
        known = dataclasses.replace(dataset, items=dataset.items.filter(pa.array(is_known)))
        encoder = ContentEncoder(known, dim=CONTENT_WIDTH, seed=seed)
        _check_space(dataset, encoder.vectors, sids.vectors.vectors[rows[is_known]])
        content = encoder.encode(table)
    width = sids.vectors.vectors.shape[1]
    return np.pad(content, ((0, 0), (0, width - content.shape[1])))


def _check_space(dataset: Dataset, now: Float32Array, trained: Float32Array) -> None:
    """Check that the content space is that of training.

    Vocabulary and directions are fitted again, so other texts or numbers give another space, in
    which codes are meaningless. ``now [N, d]`` has unit rows; so have the first d columns of
    ``trained``.
    """
    width = min(now.shape[1], trained.shape[1])
    cosines = (now[:, :width] * trained[:, :width]).sum(1)[now.any(axis=1)]
    cosine = float(cosines.mean()) if len(cosines) else 1.0
    if not cosine >= _SAME_SPACE:
        raise DataError(
            f"{dataset.name} describes its items differently than in training (the mean cosine of "
            f"the items' vectors now and then is {cosine:.3f}), so the codes of new items would be "
            "meaningless: train again"
        )


def _file_vectors(path: Path, table: pa.Table, sids: TokenizedItems) -> Float32Array:
    if path.suffix != ".parquet":
        raise DataError(f"{path}: must be Parquet with one vector per item, as in training")
    vectors = load_item_vectors(path, np.arange(len(table)), table[KEY])
    width = sids.vectors.vectors.shape[1]
    if vectors.vectors.shape[1] != width:
        raise DataError(
            f"{path}: vectors must have {width} numbers, as in training, got "
            f"{vectors.vectors.shape[1]}"
        )
    return vectors.vectors


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
