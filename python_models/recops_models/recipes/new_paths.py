"""Token paths of items that a generative model was not trained on, by its frozen tokenizer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from recops_models.data.attributes import MISSING, Attribute, encode_attribute
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import Int64Array
from recops_models.generative.path_ranker import PathRanker
from recops_models.item_vectors import ItemVectors, load_item_vectors, write_item_vectors
from recops_models.item_vectors.content import ContentEncoder
from recops_models.item_vectors.minilm import minilm_vectors
from recops_models.item_vectors.procrustes import procrustes
from recops_models.item_vectors.svd import Float32Array
from recops_models.recipes.catalogue import recorded_attributes
from recops_models.recipes.earlier import EarlierTraining
from recops_models.recipes.new_items import CONTENT_WIDTH, sid_folder
from recops_models.recipes.parts import part
from recops_models.recipes.semantic_ids import (
    SIDS,
    TOKENIZER,
    VECTORS,
    TokenizedItems,
    load_semantic_ids,
)
from recops_models.recipes.sid_config import SidConfig
from recops_models.tokenizers.methods.rq_kmeans import RQKMeans
from recops_models.tokenizers.sids import Sids, save_sids
from recops_models.training.device import to_host


@dataclass(frozen=True, eq=False)
class ItemCodes:
    """Paths of all items of a data set, with those of new items.

    Attributes:
        paths: ``[N', S]`` i64, tokens from 0.
        vectors: item vectors ``[N', D]``, by ascending item id.
        codes: ``[N', L]`` i32.
        without_content: number of new items whose vector is zero; they have the code of a zero
            vector.
        tokenizer: the tokenizer of the training.
    """

    paths: Tensor
    vectors: ItemVectors
    codes: Tensor
    without_content: int
    tokenizer: RQKMeans

    @property
    def content(self) -> Tensor:
        """Item vectors ``[N', D]``."""
        return torch.from_numpy(self.vectors.vectors)

    def save(self, folder: Path, dataset: Dataset) -> None:
        """Write the files of :func:`~recops_models.recipes.semantic_ids.make_semantic_ids`."""
        write_item_vectors(folder / VECTORS, self.vectors)
        self.tokenizer.save(folder / TOKENIZER)
        sids = Sids(self.vectors.item_ids, self.codes.numpy(), dataset.item_keys)
        save_sids(folder / SIDS, sids)


def item_codes(earlier: EarlierTraining, dataset: Dataset, rows: Int64Array) -> ItemCodes:
    """Return the paths of a data set's items for a trained model.

    Known items keep their paths. A new item gets codes from its content: the text and attributes
    are encoded in the space of the known items, rotated onto the vectors of training
    (:func:`~recops_models.item_vectors.procrustes.procrustes`), with zeros for the part of the
    events. Codes from a file of vectors need that file to have the item. An attribute value that
    the model does not know becomes the missing value, or else the most frequent one.

    Args:
        earlier: the training, of a path ranker.
        dataset: the current data set.
        rows: ``[N']`` i64, the model's index of each item of ``dataset``; −1: a new item.

    Raises:
        CorruptFileError: a file of the training is damaged.
        FileNotFoundError: its folder has no tokenizer.
    """
    model = earlier.model
    assert isinstance(model, PathRanker)
    sids = load_semantic_ids(sid_folder(earlier.name, earlier.parts, earlier.folder))
    is_new = rows < 0
    new = dataset.items.filter(pa.array(is_new))
    vectors = np.zeros((len(rows), sids.vectors.vectors.shape[1]), dtype=np.float32)
    vectors[~is_new] = sids.vectors.vectors[rows[~is_new]]
    vectors[is_new] = _new_vectors(earlier, dataset, new, rows, sids)
    codes = torch.zeros(len(rows), sids.codes.shape[1], dtype=sids.codes.dtype)
    codes[~is_new] = sids.codes[rows[~is_new]]
    if is_new.any():
        codes[is_new] = sids.tokenizer.encode(torch.from_numpy(vectors[is_new]))
    known = to_host(model.paths)[1:] - 1
    paths = known.new_zeros(len(rows), known.shape[1])
    paths[~is_new] = known[rows[~is_new]]
    columns = _attribute_tokens(earlier.folder, known, new)
    tokens = torch.cat([*columns, codes[is_new].long()], 1)
    if tokens.shape[1] < known.shape[1]:  # The last token differs between items with one code.
        size = model.trie.vocab_sizes[-1]
        tokens = torch.cat([tokens, _collision_tokens(known, tokens, size)], 1)
    paths[is_new] = tokens
    ids = dataset.item_vocabulary.ids
    without = int((~vectors[is_new].any(axis=1)).sum())
    return ItemCodes(paths, ItemVectors(ids, vectors), codes, without, sids.tokenizer)


def _new_vectors(
    earlier: EarlierTraining,
    dataset: Dataset,
    new: pa.Table,
    rows: Int64Array,
    sids: TokenizedItems,
) -> Float32Array:
    """Return vectors ``[n, D]`` of the new items; zero rows for items without content."""
    config = part(earlier.parts, "sids", SidConfig)
    width = sids.vectors.vectors.shape[1]
    nothing = np.zeros((new.num_rows, width), dtype=np.float32)
    if config.collaborative or not new.num_rows:
        return nothing
    if config.vectors is not None:
        keys = new["item_key"] if "item_key" in new.column_names else None
        try:
            loaded = load_item_vectors(
                Path(config.vectors),
                new["item_id"].to_numpy(),
                keys,
                order=config.vectors_order,
            ).vectors
        except (DataError, FileNotFoundError):
            return nothing
        return loaded if loaded.shape[1] == width else nothing
    if config.text_encoder == "minilm":
        content = minilm_vectors(dataset, new)
    else:
        is_known = pa.array(rows >= 0)
        known = dataclasses.replace(dataset, items=dataset.items.filter(is_known))
        encoder = ContentEncoder(known, dim=CONTENT_WIDTH, seed=earlier.seed)
        target = sids.vectors.vectors[rows[rows >= 0]]
        columns = min(encoder.vectors.shape[1], width)
        space = encoder.vectors[:, :columns]
        rotation = procrustes(space, target[:, :columns])
        content = encoder.encode(new)[:, :columns] @ rotation
    vectors = nothing
    vectors[:, : content.shape[1]] = content
    return vectors


def _attribute_tokens(folder: Path, known: Tensor, new: pa.Table) -> list[Tensor]:
    """Return a column ``[n, 1]`` of tokens per attribute that the model was trained with."""
    columns = []
    for position, (name, values) in enumerate(recorded_attributes(folder).items()):
        attribute = Attribute(name, values, np.empty(0, dtype=np.int64))
        tokens = torch.from_numpy(encode_attribute(attribute, new))
        common = int(known[:, position].mode().values) if len(known) else 0
        other = values.index(MISSING) if MISSING in values else common
        columns.append(tokens.where(tokens >= 0, other)[:, None])
    return columns


def _collision_tokens(known: Tensor, codes: Tensor, size: int) -> Tensor:
    """Return the last token ``[n, 1]`` of each path: the next free one, at most ``size`` − 1."""
    used: dict[tuple[int, ...], int] = {}
    for *code, last in known.tolist():
        used[tuple(code)] = max(used.get(tuple(code), 0), last + 1)
    tokens = []
    for code in map(tuple, codes.tolist()):
        tokens.append(min(used.get(code, 0), size - 1))
        used[code] = used.get(code, 0) + 1
    return torch.tensor(tokens, dtype=torch.int64)[:, None]
