"""Conversion of codebooks from and to faiss; needs the package ``faiss-cpu``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from recops._checks import check_tensor
from recops.ops.residual_quantization._codebooks import flatten

__all__ = ["codebooks_from_faiss", "codebooks_to_faiss"]


def codebooks_from_faiss(quantizer: Any) -> list[Tensor] | list[list[Tensor]]:
    """Copy the codebooks of a trained ``faiss.ResidualQuantizer`` or of a product of them.

    With these codebooks, :func:`recops.rq_encode` at beam 1 returns the codes of faiss at
    ``max_beam_size = 1``. Only near ties may differ, because the order of summation differs.

    Args:
        quantizer: a ``ResidualQuantizer`` or a ``ProductResidualQuantizer``, or an index with one
            as ``rq`` or ``prq`` (IndexResidualQuantizer, IndexProductResidualQuantizer).

    Returns:
        One ``[2**nbits[l], D]`` float32 tensor per level; for a product one such list per group.

    Raises:
        ImportError: faiss is not installed.
        ValueError: the quantizer is not trained.
    """
    faiss = _faiss()
    quantizer = getattr(quantizer, "prq", getattr(quantizer, "rq", quantizer))
    if not quantizer.is_trained:
        raise ValueError("codebooks_from_faiss: quantizer must be trained, got one that is not")
    if hasattr(quantizer, "nsplits"):
        pieces = [quantizer.subquantizer(split) for split in range(quantizer.nsplits)]
        return [_levels(faiss, piece) for piece in pieces]
    return _levels(faiss, quantizer)


def codebooks_to_faiss(codebooks: Tensor | Iterable[Tensor], *, beam: int = 1) -> Any:
    """Build a trained ``faiss.ResidualQuantizer`` with these codebooks.

    Args:
        codebooks: ``[L, K, D]`` or L tensors ``[K_l, D]``, float32; every K_l a power of two.
        beam: ``max_beam_size`` of the quantizer.

    Raises:
        ImportError: faiss is not installed.
        TypeError: the codebooks have another dtype.
        ValueError: the size of a level is not a power of two.
    """
    faiss = _faiss()
    op = "codebooks_to_faiss"
    words, sizes = flatten(op, codebooks)
    check_tensor(op, "codebooks", words, ndim=2, dtypes=(torch.float32,))
    for level, size in enumerate(sizes):
        if size < 2 or size & (size - 1):
            raise ValueError(f"{op}: codebooks[{level}] must hold a power of two, got {size}")
    bits = faiss.UInt64Vector()
    for size in sizes:
        bits.push_back(size.bit_length() - 1)
    quantizer = faiss.ResidualQuantizer(words.shape[1], bits)
    quantizer.max_beam_size = beam
    faiss.copy_array_to_vector(
        words.detach().cpu().contiguous().numpy().ravel(), quantizer.codebooks
    )
    quantizer.is_trained = True
    return quantizer


def _levels(faiss: Any, quantizer: Any) -> list[Tensor]:
    words = torch.from_numpy(faiss.vector_to_array(quantizer.codebooks).copy())
    sizes = [2**bits for bits in faiss.vector_to_array(quantizer.nbits).tolist()]
    # After progressive training the array has unused space at the end.
    return list(words.view(-1, quantizer.d)[: sum(sizes)].split(sizes))


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError("recops.faiss needs faiss: pip install faiss-cpu") from error
    return faiss
