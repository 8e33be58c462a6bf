"""Codebooks of faiss' residual quantizers, in and out. Needs the package ``faiss-cpu``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from recops._checks import check_tensor
from recops.ops.residual_quantization._codebooks import flatten

__all__ = ["codebooks_from_faiss", "codebooks_to_faiss"]


def codebooks_from_faiss(quantizer: Any) -> list[Tensor] | list[list[Tensor]]:
    """The codebooks of a trained ``faiss.ResidualQuantizer``, a copy, or of a product of them.

    With them, :func:`recops.rq_encode` at beam 1 gives the codes that faiss gives at
    ``max_beam_size = 1``, but for near ties, which another order of summation may decide otherwise.

    Args:
        quantizer: the quantizer or a ``ProductResidualQuantizer``, or an index that holds one as
            ``rq`` or ``prq`` (IndexResidualQuantizer, IndexProductResidualQuantizer).

    Returns:
        one ``[2**nbits[l], D]`` float32 tensor a level; for a product a list of such lists, a
        group each.

    Raises:
        ImportError: faiss is not installed.
        ValueError: not trained.
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
    """A trained ``faiss.ResidualQuantizer`` with these codebooks.

    Args:
        codebooks: ``[L, K, D]`` or L tensors ``[K_l, D]``, float32; every K_l a power of two.
        beam: its ``max_beam_size``.

    Raises:
        ImportError: faiss is not installed.
        TypeError: codebooks of another dtype.
        ValueError: a level whose size is no power of two.
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
    # Progressive training keeps room for further codewords; those of the levels come first.
    return list(words.view(-1, quantizer.d)[: sum(sizes)].split(sizes))


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError("recops.faiss needs faiss: pip install faiss-cpu") from error
    return faiss
