"""Semantic IDs of a catalogue from Python."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops import SidTrie
from recops._hub import HubApi, local_folder, upload
from recops.files import read_json, write_file
from recops_models.api.temporary_folder import TemporaryFolder, output_folder
from recops_models.callbacks import CallbackList, Callbacks
from recops_models.data import columns
from recops_models.data.checks import plain_text
from recops_models.data.column_roles import is_list
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.frames import (
    ARROW,
    Frame,
    VectorsLike,
    from_arrow,
    is_frame,
    library_of,
    to_arrow,
)
from recops_models.item_vectors import ItemVectors, build_item_vectors
from recops_models.out_folder import out_folder
from recops_models.settings import JsonObject
from recops_models.tokenizers import make_tokenizer, sid_folder
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.catalogue import Catalogue, read_catalogue
from recops_models.tokenizers.registry import load_tokenizer
from recops_models.tokenizers.sids import Sids, load_sids
from recops_models.training.device import AUTO, array, resolve_device


class SemanticIds:
    """Semantic IDs of a catalogue, with their tokenizer.

    Args:
        folder: folder of ``recops tokenize``, of :func:`tokenize` or of :meth:`save_pretrained`.
        library: library of the frames that :attr:`sids` returns.
        owner: temporary folder to keep while this object is in use; None: the folder stays.

    Attributes:
        folder: the files.
        tokenizer: the fitted tokenizer.

    Raises:
        CorruptFileError: a file is damaged.
        FileNotFoundError: a file is missing.

    Example:
        >>> import numpy as np
        >>> import recops_models as rm
        >>> points = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
        >>> ids = rm.tokenize(points, levels=2, codes=8)
        >>> len(ids), ids.codes.shape
        (50, torch.Size([50, 2]))
        >>> ids.encode(points[:3]).shape  # codes of new vectors
        torch.Size([3, 2])
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        library: str = ARROW,
        owner: TemporaryFolder | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.tokenizer: Tokenizer = load_tokenizer(self.folder / sid_folder.TOKENIZER)
        self._sids: Sids = load_sids(self.folder / sid_folder.SIDS)
        self._library, self._owner = library, owner

    def __len__(self) -> int:
        return len(self._sids)

    @property
    def sids(self) -> Frame:
        """Frame with ``item_id`` and ``c0``, ``c1``, …; one row per item."""
        codes = self._sids.codes
        keys = self._sids.keys or self._sids.item_ids
        levels = {f"c{level}": codes[:, level] for level in range(codes.shape[1])}
        return from_arrow(pa.table({"item_id": keys, **levels}), self._library)

    @property
    def codes(self) -> Tensor:
        """``[N, L]`` i32, in the order of :attr:`sids`."""
        return torch.from_numpy(self._sids.codes)

    @cached_property
    def metrics(self) -> JsonObject:
        """Reconstruction error, collisions and usage of codes, the content of ``metrics.json``."""
        content = read_json(self.folder / sid_folder.METRICS, kind="metrics")
        return {key: value for key, value in content.items() if key != "format"}

    def trie(self) -> SidTrie:
        """Return the trie of all semantic IDs; its item ids are rows of :attr:`sids`."""
        return SidTrie.from_sids(self.codes, vocab_sizes=self.tokenizer.vocab_sizes)

    def encode(self, vectors: VectorsLike) -> Tensor:
        """Return the codes ``[n, L]`` i32 of vectors ``[n, D]``.

        Raises:
            DataError: the vectors are not numbers.
            ValueError: the vectors have another width, or are not finite.
        """
        return self.tokenizer.encode(torch.from_numpy(_numbers("encode", vectors)))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the semantic IDs and their tokenizer to a folder, which is created if missing.

        Raises:
            OSError: the folder cannot be written.
        """
        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        if out.resolve() == self.folder.resolve():
            return
        for name in _FILES:
            if (self.folder / name).exists():
                write_file(out / name, (self.folder / name).read_bytes())

    @classmethod
    def from_pretrained(cls, folder_or_repo: str | Path) -> SemanticIds:
        """Load semantic IDs from a folder or from a Hugging Face repository, ``"owner/name"``."""
        return cls(local_folder(folder_or_repo, "SemanticIds.from_pretrained"))

    def push_to_hub(self, repo: str, *, private: bool = True, api: HubApi | None = None) -> str:
        """Upload semantic IDs and tokenizer to a Hugging Face repository; return its address.

        Args:
            repo: ``"owner/name"``; created if missing.
            private: whether a new repository is private.
            api: a ``huggingface_hub.HfApi``; None: one with the stored token.
        """
        return upload(self.save_pretrained, repo, private=private, api=api)


_FILES = (
    sid_folder.SIDS,
    sid_folder.TOKENIZER,
    sid_folder.CONFIG,
    sid_folder.METRICS,
    sid_folder.VECTORS,
)


def tokenize(
    vectors_or_data: Dataset | Frame | VectorsLike,
    *,
    method: str = "rq-kmeans",
    levels: int = 3,
    codes: int = 256,
    seed: int = 0,
    device: str = AUTO,
    settings: Mapping[str, object] | None = None,
    out: str | Path | None = None,
    force: bool = False,
    callbacks: Callbacks | Sequence[Callbacks] = (),
) -> SemanticIds:
    """Compute a semantic ID for every item: a few codes, of which similar items share the first.

    Args:
        vectors_or_data: vectors ``[N, D]`` as a tensor or an array, whose row i is item i; a frame
            with ``item_id`` and one column of lists; or a data set, whose text, attributes and
            training events give the vectors.
        method: ``"rq-kmeans"``, ``"balanced-rq"``, ``"rq-vae"``, ``"rqp-vae"``, ``"drq-vae"``,
            ``"drq-vae-cl"`` or ``"fsq"``.
        levels: codes per item, L.
        codes: codewords per level, K.
        seed: of every random draw.
        device: where the tokenizer is fitted.
        settings: values by the names of ``recops tokenize --set``.
        out: folder for the files, created if missing; None: a temporary one that lives as long as
            the result.
        force: replace finished semantic IDs with other settings in ``out``.
        callbacks: receive stages and progress.

    Raises:
        ValueError: an unknown method or setting, too few vectors for the codes, or ``out`` has
            semantic IDs with other settings.
        DataError: vectors are missing or not finite, or an id is repeated.

    Example:
        >>> import numpy as np
        >>> import recops_models as rm
        >>> points = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
        >>> ids = rm.tokenize(points, levels=2, codes=8)
        >>> ids.sids.column_names
        ['item_id', 'c0', 'c1']
        >>> ids.trie().num_items
        50
    """
    texts = {name: _as_text(value) for name, value in (settings or {}).items()}
    tokenizer = make_tokenizer(method, levels, codes, texts)
    catalogue, library = _catalogue(vectors_or_data, seed)
    if tokenizer.uses_pairs and catalogue.pairs is None:
        raise ValueError(
            f"tokenize: {method} uses pairs of items that occur together: give a data set"
        )
    catalogue.check(tokenizer)
    chosen = resolve_device(device)
    dataset = vectors_or_data if isinstance(vectors_or_data, Dataset) else None
    config = {
        "data": None if dataset is None else dataset.name,
        "vectors": None,
        "method": method,
        "seed": seed,
        **tokenizer.config(),
        **sid_folder.digests(dataset, None, None),
    }
    if isinstance(callbacks, Sequence):
        callbacks = CallbackList(*callbacks)
    folder, owner = output_folder(out)
    with out_folder(folder, kind=sid_folder.CONFIG_KIND):
        if not force:
            sid_folder.check_replaceable(folder, config)
        sid_folder.start(folder, config, catalogue.items, resume=False)
        started = time.perf_counter()
        catalogue.fit(tokenizer, seed=seed, callbacks=callbacks, folder=folder, device=chosen)
        sid_folder.finish(folder, config, tokenizer, catalogue, time.perf_counter() - started)
    return SemanticIds(folder, library=library, owner=owner)


def _catalogue(source: Dataset | Frame | VectorsLike, seed: int) -> tuple[Catalogue, str]:
    """Return the items to tokenize, and the library of the caller's frames."""
    if isinstance(source, Dataset):

        def make(dataset: Dataset, train: pa.Table) -> ItemVectors:
            return build_item_vectors(dataset, train, seed=seed)

        return read_catalogue(source, make), source.library
    if is_frame(source):
        return _catalogue_of_frame(source), library_of(source)
    vectors = _numbers("tokenize", source)
    if vectors.ndim != 2:
        raise DataError(f"tokenize: vectors must be [N, D], got {list(vectors.shape)}")
    _check_finite(vectors)
    items = ItemVectors(np.arange(len(vectors)), np.ascontiguousarray(vectors))
    return Catalogue(items, weights=torch.ones(len(items))), ARROW


def _catalogue_of_frame(frame: Frame) -> Catalogue:
    """Return the items of a frame with ``item_id`` and one column of lists."""
    table = to_arrow(frame, "tokenize: vectors")
    lists = [
        name
        for name in table.column_names
        if is_list(table[name].type) or pa.types.is_fixed_size_list(table[name].type)
    ]
    if "item_id" not in table.column_names or len(lists) != 1:
        available = ", ".join(table.column_names) or "none"
        raise DataError(
            f"tokenize: vectors must have item_id and one column of lists (columns: {available})"
        )
    column = table[lists[0]].combine_chunks()
    widths = np.unique(pa.compute.list_value_length(column).fill_null(-1).to_numpy())
    if len(widths) != 1 or widths[0] < 1:
        raise DataError(f"tokenize: {lists[0]} must hold lists of one length, got {widths[:3]}")
    values = column.flatten().cast(pa.float32()).to_numpy(zero_copy_only=False)
    vectors = values.reshape(table.num_rows, -1)
    _check_finite(vectors)
    text = columns.id_text(plain_text(table["item_id"]))
    if len(text.unique()) < len(text):
        raise DataError("tokenize: item_id must be unique")
    if columns.mostly_integers(text):
        ids, faults = columns.parse_integer_ids(text, "item_id")
        for reason, rows in faults:
            if rows.any():
                raise DataError(f"tokenize: {reason} in row {int(rows.argmax()) + 1}")
        order, keys = np.argsort(ids, kind="stable"), None
        ids = ids[order]
    else:
        order = pa.compute.array_sort_indices(text.combine_chunks()).to_numpy()
        ids, keys = np.arange(len(order)), text.take(pa.array(order)).to_pylist()
    items = ItemVectors(ids, np.ascontiguousarray(vectors[order]))
    return Catalogue(items, weights=torch.ones(len(items)), keys=keys)


def _numbers(call: str, vectors: VectorsLike) -> NDArray[np.float32]:
    """Return vectors as an array.

    Raises:
        DataError: they are not numbers, or rows differ in length.
    """
    try:
        if isinstance(vectors, Tensor):
            return array(vectors.float())
        return np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{call}: vectors must be [N, D] numbers, got {type(vectors).__name__} ({error})"
        ) from error


def _check_finite(vectors: np.ndarray) -> None:
    is_finite = np.isfinite(vectors).all(axis=1)
    if not is_finite.all():
        raise DataError(f"tokenize: vectors must be finite, row {int(is_finite.argmin())} is not")


def _as_text(value: object) -> str:
    """Return a typed setting as ``--set`` writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ",".join(str(each) for each in value)
    return "none" if value is None else str(value)
