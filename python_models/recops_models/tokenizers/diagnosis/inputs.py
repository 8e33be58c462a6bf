"""Inputs of a diagnosis: semantic IDs, with tokenizer, vectors and user behaviour if available."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from recops.files import CorruptFileError, read_json
from recops_models.data import Dataset, load, named_split
from recops_models.data.attributes import AUTO, item_attributes
from recops_models.data.errors import DataError
from recops_models.data.splits import Split, SplitName
from recops_models.item_vectors import ItemVectors, load_item_vectors, read_item_vectors
from recops_models.item_vectors.row_order import BY_ID
from recops_models.out_folder import TRAINING_KIND
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.diagnosis.plane import Plane
from recops_models.tokenizers.diagnosis.space import Space
from recops_models.tokenizers.registry import load_tokenizer
from recops_models.tokenizers.sid_folder import CONFIG, CONFIG_KIND, SIDS
from recops_models.tokenizers.sids import Sids, read_sids


@dataclass
class DiagnosisInputs:
    """Semantic IDs and related data.

    Attributes:
        name: title on the page.
        sids: the IDs.
        tokenizer: the tokenizer of the IDs, or None.
        vectors: ``[N, D]``, the tokenized vectors, in the order of the IDs, or None.
        exposure: ``[N]``, number of training events per item, or None.
        pairs: ``[E, 2]`` rows of items, each user's last known event and the next held-out one, or
            None.
        attributes: ``[N, m]``, tokens that a decoder generates before the codes, or None.
        config: configuration of the run that wrote the IDs.
        missing: missing input → reason.
    """

    name: str
    sids: Sids
    tokenizer: Tokenizer | None = None
    vectors: Tensor | None = None
    exposure: Tensor | None = None
    pairs: Tensor | None = None
    attributes: Tensor | None = None
    config: dict[str, object] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def is_of_training(self) -> bool:
        """True if ``recops train`` made the IDs."""
        return "model" in self.config

    @property
    def codes(self) -> Tensor:
        """``[N, L]`` int32."""
        return torch.from_numpy(self.sids.codes)

    def named(self, key: str) -> str | None:
        """Return the text at ``key`` of the configuration, such as the data set at ``"data"``."""
        name = self.config.get(key)
        return name if isinstance(name, str) else None


def open_folder(
    folder: Path,
    *,
    data: str | None = None,
    vectors: Path | None = None,
    order: str | None = None,
    attributes: Sequence[str] = (AUTO,),
) -> DiagnosisInputs:
    """Read the output of ``recops tokenize``, or of ``recops train`` for a model with semantic IDs.

    Only ``sids.parquet`` is required. The folder holds item vectors if they were built from a data
    set; a user's vectors are read again from the file in ``config.json``.

    Args:
        folder: holds ``sids.parquet``, and optionally ``tokenizer.safetensors``,
            ``item_vectors.safetensors`` and ``config.json``.
        data: a data set that replaces the one in ``config.json``.
        vectors: a file that replaces the one in ``config.json``.
        order: the item of each row of ``vectors``, if that is a ``.npy`` file; replaces the order
            in ``config.json``. See :func:`~recops_models.item_vectors.row_order.check_order`.
        attributes: columns of the data set's items, coarse to fine. By default, those that a
            model in ``folder`` decodes, or else the one with the fewest values.

    Raises:
        CorruptFileError: a file is damaged.
        DataError: there is no ``sids.parquet``, or ``data``, ``vectors`` or ``attributes`` do not
            fit.
        ValueError: ``order`` is missing, or has no meaning for ``vectors``.
    """
    files = find_sids(folder)
    if files is None:
        raise DataError(f"{folder}: holds no sids.parquet; `recops tokenize --out` writes one")
    inputs = DiagnosisInputs(folder.name, read_sids(files / SIDS))
    if (folder / CONFIG).exists():
        inputs.config = _read_config(folder / CONFIG)
    else:
        inputs.missing[CONFIG] = "not in the folder, so data set and vectors are unknown"
    if (files / "tokenizer.safetensors").exists():
        inputs.tokenizer = load_tokenizer(files / "tokenizer.safetensors")
    else:
        inputs.missing["tokenizer.safetensors"] = "not in the folder, so there are no codebooks"
    with _recording_missing(inputs, "vectors", strict=vectors is not None):
        inputs.vectors = _vectors(inputs, files, vectors, order)
    named = data or inputs.named("data")
    if named is not None:
        has_attributes = tuple(attributes) != (AUTO,)
        with _recording_missing(inputs, "data", strict=data is not None or has_attributes):
            columns = attributes if has_attributes else decoded_attributes(inputs)
            add_data(inputs, _load_data(folder, named), columns)
    elif tuple(attributes) != (AUTO,):
        raise DataError(f"{folder}: attributes need the data set; name it with --data")
    return inputs


def _load_data(folder: Path, name: str) -> Dataset:
    """Return the data set that a configuration names; a model may store it in its own folder."""
    return load(folder / name.removeprefix("@") if name.startswith("@") else name)


def find_sids(folder: Path) -> Path | None:
    """Return the folder of ``sids.parquet``; None if there is none.

    This is ``folder``, or the folder of the first stage if ``folder`` is a training of two stages.
    """
    if (folder / SIDS).exists():
        return folder
    if not (folder / CONFIG).exists():
        return None
    try:
        first_stage = folder / str(_read_config(folder / CONFIG).get("model"))
    except CorruptFileError:
        return None
    return first_stage if (first_stage / SIDS).exists() else None


def _read_config(path: Path) -> dict[str, object]:
    """Return the configuration of ``recops tokenize``.

    For ``recops train``, return the settings of semantic IDs under the same names.

    Raises:
        CorruptFileError: the file is damaged, or belongs to another command.
    """
    try:
        return read_json(path, kind=CONFIG_KIND)
    except CorruptFileError:
        try:
            training = read_json(path, kind=TRAINING_KIND)
        except CorruptFileError:
            training = None
        if training is None:
            raise
    sids, inputs = training.get("sids") or {}, training.get("inputs") or {}
    names = ("model", "data", "split", "seed")
    return {
        **{name: training.get(name) for name in names},
        **{name: value for name, value in sids.items() if name != "vectors_order"},
        "order": sids.get("vectors_order"),
        "decoded_attributes": inputs.get("attributes", []),
    }


def decoded_attributes(inputs: DiagnosisInputs) -> Sequence[str]:
    """Return the attributes that the trained model decodes before the codes."""
    names = inputs.config.get("decoded_attributes")
    return [str(name) for name in names] if isinstance(names, list) and names else (AUTO,)


def of_dataset(dataset: Dataset, attributes: Sequence[str] = (AUTO,)) -> DiagnosisInputs:
    """Return the semantic IDs that are part of a data set (letter-beauty, office).

    Raises:
        DataError: the data set has no semantic IDs, or not the attributes.
    """
    if "sid" not in dataset.items.column_names:
        raise DataError(f"{dataset.name}: has no semantic IDs; `recops tokenize` creates them")
    codes = np.stack(dataset.items["sid"].to_numpy()).astype(np.int32)
    inputs = DiagnosisInputs(dataset.name, Sids(dataset.item_vocabulary.ids, codes))
    inputs.config = {"data": dataset.name, "method": "part of the data set"}
    inputs.missing["tokenizer.safetensors"] = "the data set has codes without codebooks"
    add_data(inputs, dataset, attributes)
    return inputs


def plane_of(inputs: DiagnosisInputs) -> Plane | None:
    """Return the projection of level 0; None without codebooks or vectors."""
    if inputs.tokenizer is None or inputs.vectors is None:
        return None
    space = Space.of(inputs.tokenizer, inputs.vectors)
    if space.codebooks is None or space.latents is None:
        return None
    return Plane.of(space.codebooks[0], space.latents, inputs.codes[:, 0])


def held_out_pairs(split: Split, *parts: str) -> Tensor:
    """Return each user's last known item and first held-out item, ``[E, 2]`` i64 item indices.

    The pairs are not filtered: a pair may also occur in training histories.

    Args:
        split: the split.
        parts: parts of held-out events; validation and test by default.
    """
    pairs = []
    for part in parts or ("validation", "test"):
        examples = split.examples(part)
        known, _ = examples.histories.last(1)
        pairs.append(np.stack([known[:, 0], examples.targets.first().items], axis=1))
    return torch.from_numpy(np.concatenate(pairs))


def add_data(inputs: DiagnosisInputs, dataset: Dataset, attributes: Sequence[str]) -> None:
    """Add behaviour and attributes of the items from a data set."""
    inputs.sids = _numbered_by(dataset, inputs.sids)
    _add_behaviour(inputs, named_split(dataset, _split_name(inputs))[1])
    columns = item_attributes(dataset, attributes)
    row = dataset.item_vocabulary.index(inputs.sids.item_ids, missing="mark")
    if not columns:
        inputs.missing["chain"] = f"{dataset.name} has no attribute with several values"
    elif (row < 0).any():
        inputs.missing["chain"] = f"{dataset.name} lacks some of the items with an ID"
    else:
        tokens = np.stack([attribute.tokens[row] for attribute in columns], axis=1)
        inputs.attributes = torch.from_numpy(tokens)
        inputs.config = {**inputs.config, "attributes": [each.column for each in columns]}


def _split_name(inputs: DiagnosisInputs) -> SplitName | None:
    """Return the split in ``config.json``; None: the default."""
    name = inputs.config.get("split")
    return next((split for split in get_args(SplitName) if split == name), None)


def _numbered_by(dataset: Dataset, sids: Sids) -> Sids:
    """Return ``sids`` with the item ids of ``dataset`` if both have text ids; −1: unknown item."""
    keys = dataset.text_keys("item")
    if keys is None or not sids.keys or not isinstance(sids.keys[0], str):
        return sids
    index = pc.index_in(pa.array(sids.keys, pa.string()), value_set=keys.combine_chunks())
    rows = pc.fill_null(index, -1).to_numpy(zero_copy_only=False)
    return replace(sids, item_ids=np.where(rows < 0, -1, dataset.item_vocabulary.ids[rows]))


def _add_behaviour(inputs: DiagnosisInputs, split: Split) -> None:
    """Add exposure and pairs by rows of the IDs; events of items without an ID are ignored."""
    catalogue = split.dataset.item_vocabulary.ids
    order = np.argsort(inputs.sids.item_ids)
    index = np.searchsorted(inputs.sids.item_ids[order], catalogue).clip(max=len(order) - 1)
    row = np.where(inputs.sids.item_ids[order[index]] == catalogue, order[index], -1)
    events = row[split.histories().items]
    counts = np.bincount(events[events >= 0], minlength=len(order))
    if counts.any():
        inputs.exposure = torch.from_numpy(counts)
    else:
        inputs.missing["exposure"] = f"{split.dataset.name} has no event of an item with an ID"
    pairs = row[held_out_pairs(split).numpy()]
    pairs = pairs[(pairs >= 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1])]
    if len(pairs):
        inputs.pairs = torch.from_numpy(pairs)
    else:
        inputs.missing["pairs"] = f"{split.dataset.name} has no held-out pair of items with IDs"


def _vectors(
    inputs: DiagnosisInputs, folder: Path, file: Path | None, order: str | None
) -> Tensor | None:
    """Return the vectors in the order of the IDs; None if there are none."""
    stored, named = folder / "item_vectors.safetensors", inputs.named("vectors")
    if file is None and named is not None and not stored.exists():
        file = Path(named)
    if file is not None:
        items = _load_vectors(inputs, file, order)
    elif stored.exists():
        items = read_item_vectors(stored)
    else:
        inputs.missing["vectors"] = "not in the folder and not in config.json; pass --vectors"
        return None
    index = np.searchsorted(items.item_ids, inputs.sids.item_ids).clip(max=len(items) - 1)
    if (items.item_ids[index] != inputs.sids.item_ids).any():
        raise DataError("the vectors lack some of the items with semantic IDs")
    return torch.from_numpy(items.vectors[index])


def _load_vectors(inputs: DiagnosisInputs, file: Path, order: str | None) -> ItemVectors:
    """Return the vectors in ``file`` by ascending item id.

    Without an ``order``, the rows of ``.npy`` have the order of the run that created the IDs. If
    its configuration names none, that run read them by ascending item id.
    """
    if file.suffix != ".parquet" and order is None:
        order = inputs.named("order") or (BY_ID if inputs.named("vectors") else None)
    by_id = np.argsort(inputs.sids.item_ids)
    keys = inputs.sids.keys
    named = None
    if keys and isinstance(keys[0], str):
        named = pa.chunked_array([pa.array(keys, pa.string()).take(by_id)])
    return load_item_vectors(file, inputs.sids.item_ids[by_id], named, order=order)


@contextmanager
def _recording_missing(inputs: DiagnosisInputs, name: str, *, strict: bool) -> Iterator[None]:
    """Record a data error as missing input ``name``; raise it if ``strict``."""
    try:
        yield
    except DataError as error:
        if strict:
            raise
        inputs.missing[name] = str(error)
