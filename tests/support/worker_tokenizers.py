"""Fits of tokenizers that one worker or several compute, with results as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from recops_models.item_vectors.vector_file import VectorFile
from recops_models.tokenizers import make_tokenizer
from recops_models.training.distributed import join_workers


def fit(method: str, settings: Mapping[str, str], path: str, in_memory: bool) -> dict[str, Any]:
    """Fit a tokenizer of two levels and 16 codes.

    Args:
        method: name of the method.
        settings: texts of its settings.
        path: Parquet file of vectors.
        in_memory: read all vectors first.

    Returns:
        "codebooks", "codes" of all vectors, "decoded" for the first ones, and their "error".
    """
    torch.set_num_threads(1)
    file = VectorFile(Path(path))
    vectors = torch.cat([torch.from_numpy(block) for block in file.vectors()])
    tokenizer = make_tokenizer(method, 2, 16, settings)
    with join_workers("cpu"):
        if in_memory:
            ids = torch.arange(len(vectors))
            pairs = torch.stack([ids[:-1], ids[1:]], dim=1) if tokenizer.uses_pairs else None
            tokenizer.fit(vectors, ids, seed=3, device="cpu", pairs=pairs)
        else:
            tokenizer.fit_file(file, seed=3, device="cpu")
    codes = tokenizer.encode(vectors)
    decoded = tokenizer.decode(codes)
    return {
        "decoded": decoded[:50].tolist(),
        "error": float((decoded - vectors).square().sum()),
        "codebooks": [book.tolist() for book in tokenizer.codebooks or ()],
        "codes": codes.tolist(),
    }
