"""Other libraries' exact searches on a GPU, if they are installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from torch import Tensor

PeerSearch = Callable[[Tensor], object]


def faiss_search(codebook: Tensor) -> PeerSearch | None:
    """Return the search of faiss's flat GPU index over a codebook, or None without faiss-gpu."""
    faiss = _module("faiss")
    if faiss is None or not hasattr(faiss, "StandardGpuResources"):
        return None
    importlib.import_module("faiss.contrib.torch_utils")  # accepts tensors
    flat = faiss.IndexFlatL2(codebook.shape[1])
    flat.add(codebook.float().cpu().numpy())
    index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), codebook.device.index or 0, flat)
    return lambda x: index.search(x, 1)


def nearest_by_cuvs(codebook: Tensor) -> PeerSearch | None:
    """Return cuVS's brute-force search over a codebook, or None without cuVS."""
    brute_force = _module("cuvs.neighbors.brute_force")
    if brute_force is None:
        return None
    index = brute_force.build(codebook.float().contiguous(), metric="sqeuclidean")
    return lambda x: brute_force.search(index, x, 1)


def _module(name: str) -> Any | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
