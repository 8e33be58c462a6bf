"""Other libraries' kernels on a GPU. A missing peer raises an error with the reason."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

import recops
from recops.benchmarks.registry import Thunk

PeerSearch = Callable[[Tensor], object]
FlashStep = Callable[[Tensor, Tensor, Tensor, int], object]
"""Function of the logits ``[B, M, V]``, the beams' nodes, their scores, and the new beams."""


def built_at_first_call(build: Callable[[], Callable[..., object]], *arguments: object) -> Thunk:
    """Return a call of what ``build`` returns, which is built at the first call.

    The benchmark calls each peer once before it times them, and reports the error of a peer that
    cannot be built.
    """
    built = cache(build)
    return lambda: built()(*arguments)


def faiss_search(codebook: Tensor) -> PeerSearch:
    """Return the search of faiss's flat GPU index over a codebook.

    Raises:
        ImportError: faiss is missing, or is a build without GPUs.
    """
    faiss = importlib.import_module("faiss")
    if not hasattr(faiss, "StandardGpuResources"):
        raise ImportError("this build of faiss has no GPU indexes")
    importlib.import_module("faiss.contrib.torch_utils")  # accepts tensors
    flat = faiss.IndexFlatL2(codebook.shape[1])
    flat.add(codebook.float().cpu().numpy())
    index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), codebook.device.index or 0, flat)
    return lambda x: index.search(x, 1)


def cuvs_search(codebook: Tensor) -> PeerSearch:
    """Return cuVS's brute-force search over a codebook.

    Raises:
        ImportError: cuVS is missing.
    """
    brute_force = importlib.import_module("cuvs.neighbors.brute_force")
    index = brute_force.build(codebook.float().contiguous(), metric="sqeuclidean")
    return lambda x: brute_force.search(index, x, 1)


def flash_kmeans_search(codebook: Tensor) -> PeerSearch:
    """Return the assignment kernel of flash-kmeans for a codebook.

    It multiplies float32 in TF32, so codes may differ.

    Raises:
        ImportError: flash-kmeans is missing.
    """
    kernels = importlib.import_module("flash_kmeans.assign_euclid_triton")
    centroids = codebook[None].contiguous()

    def search(x: Tensor) -> object:
        squares = x.float().square().sum(1)[None]
        return kernels.euclid_assign_triton(x[None], centroids.to(x.dtype), squares)

    return search


def flashrec_step(trie: recops.SidTrie, level: int) -> FlashStep:
    """Return a step with FlashRec's fused mask and selection, for nodes of one level.

    A dense table holds the allowed tokens of each node. FlashRec masks only the best
    ``2 · num_beams`` tokens of a beam, so it may lose beams.

    Raises:
        ImportError: FlashRec is missing, or could not compile its kernels.
    """
    kernels: Any = importlib.import_module("flashrec.kernel.beam_trie")
    if not kernels.try_load_beam_trie():
        raise ImportError("FlashRec could not compile its CUDA kernels")
    first, end = trie.level_starts()[level : level + 2]
    counts = trie.first_child[first : end + 1].diff().long()
    children = slice(int(trie.first_child[first]), int(trie.first_child[end]))
    allowed = torch.zeros(
        (end - first, max(trie.vocab_sizes)), dtype=torch.bool, device=trie.device
    )
    parents = torch.arange(end - first, device=trie.device).repeat_interleave(counts)
    allowed[parents, trie.tokens[children].long()] = True

    def step(logits: Tensor, nodes: Tensor, scores: Tensor, num_beams: int) -> object:
        candidates = min(logits.shape[2], 2 * num_beams)
        log_probs, tokens = logits.log_softmax(2, dtype=torch.float32).topk(candidates)
        return kernels.genrec_mask_topk_expand(
            scores, log_probs, tokens, select_k=num_beams, node_ids=nodes.long() - first,
            allow_table=allowed, apply_expand=False, apply_advance=False,
        )  # fmt: skip

    return step
