"""Reference of codes by cosine; see :mod:`recops.ops.residual_quantization`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import normalize


def distances(x: Tensor, codebook: Tensor) -> Tensor:
    """Return 2 − 2 cos of rows and codewords ``[…, K]``; the cosine with a zero vector is 0."""
    tiny = torch.finfo(x.dtype).tiny
    return 2 - 2 * normalize(x, dim=-1, eps=tiny) @ normalize(codebook, dim=-1, eps=tiny).T


def nearest_codes(x: Tensor, codebook: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Compute :func:`recops.nearest_codes` in PyTorch by cosine, for finite rows."""
    sq_distance, index = distances(x, codebook).sort(dim=1, stable=True)
    return index[:, :k], sq_distance[:, :k]


def rq_encode_beams(x: Tensor, codebooks: Iterable[Tensor], beam: int) -> tuple[Tensor, Tensor]:
    """Compute :func:`recops.rq_encode_beams` by cosine, only for finite rows and real paths."""
    residual = x[:, None]  # (N, beams, D), in the order of paths
    paths = torch.empty((len(x), 1, 0), dtype=torch.int64)
    score = x.new_zeros((len(x), 1))
    for codebook in codebooks:
        total = (score[:, :, None] + distances(residual, codebook)).flatten(1)  # (N, beams · K)
        best = total.sort(dim=1, stable=True).indices[:, :beam].sort(dim=1).values
        score = total.gather(1, best)
        parents, codes = best // len(codebook), best % len(codebook)
        row = torch.arange(len(x))[:, None]
        paths = torch.cat([paths[row, parents], codes[:, :, None]], 2)
        residual = residual[row, parents] - codebook[codes]
    sq_error, order = residual.square().sum(2).sort(dim=1, stable=True)
    return paths.gather(1, order[:, :, None].expand_as(paths)), sq_error
