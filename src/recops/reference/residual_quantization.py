"""Residual quantization in plain PyTorch; :mod:`recops.ops.residual_quantization` says more."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from recops.ops.product_codes import Codebooks
from recops.reference import product_codes as product
from recops.reference.cosine_codes import nearest_codes as _cosine_nearest
from recops.reference.cosine_codes import rq_encode_beams as _cosine_beams


def _compute(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _scores(x: Tensor, codebook: Tensor) -> Tensor:
    """½‖c‖² − x·c, which orders codewords as ‖x − c‖² does. (N, K)"""
    half_norms = codebook.square().sum(1) / 2  # (K,)
    return torch.addmm(half_norms, x, codebook.T, alpha=-1)


def rq_encode(
    x: Tensor, codebooks: Codebooks, *, beam: int = 1, metric: str = "l2"
) -> tuple[Tensor, Tensor]:
    """See :func:`recops.rq_encode`."""
    stacks = product.groups(codebooks)
    if len(stacks) > 1:
        pieces = product.cut(x, stacks)
        found = [
            rq_encode(piece, books, beam=beam, metric=metric)
            for piece, books in zip(pieces, stacks, strict=True)
        ]
        return torch.cat([codes for codes, _ in found], 1), torch.stack(
            [error for _, error in found]
        ).sum(0)
    if beam > 1 or metric == "cosine":
        paths, sq_error = rq_encode_beams(x, stacks[0], beam=beam, metric=metric)
        return paths[:, 0], sq_error[:, 0]
    residual = _compute(x)
    finite = residual.isfinite().all(1)
    levels = [torch.empty((len(x), 0), dtype=torch.int32)]
    for codebook in map(_compute, stacks[0]):
        codes = _scores(residual, codebook).argmin(1)  # (N,), the first minimum
        residual = residual - codebook[codes]
        levels.append(codes.int()[:, None])
    codes = torch.cat(levels, 1).masked_fill(~finite[:, None], -1)
    return codes, residual.square().sum(1).masked_fill(~finite, torch.nan)


def rq_encode_beams(
    x: Tensor, codebooks: Codebooks, *, beam: int, metric: str = "l2"
) -> tuple[Tensor, Tensor]:
    """See :func:`recops.rq_encode_beams`."""
    stacks = product.groups(codebooks)
    if len(stacks) > 1:
        pieces = product.cut(x, stacks)
        found = [
            rq_encode_beams(piece, books, beam=beam, metric=metric)
            for piece, books in zip(pieces, stacks, strict=True)
        ]
        return product.combine(found, beam)
    search = _cosine_beams if metric == "cosine" else _l2_beams
    x = _compute(x)
    finite = x.isfinite().all(1)
    clean = x.masked_fill(~finite[:, None], 0)
    paths, sq_error = search(clean, [_compute(book) for book in stacks[0]], beam)
    missing = beam - paths.shape[1]
    sq_error = torch.nn.functional.pad(sq_error, (0, missing), value=torch.inf)
    paths = torch.nn.functional.pad(paths.int(), (0, 0, 0, missing), value=-1)
    paths = paths.masked_fill(~finite[:, None, None], -1)
    return paths, sq_error.masked_fill(~finite[:, None], torch.nan)


def _l2_beams(x: Tensor, codebooks: list[Tensor], beam: int) -> tuple[Tensor, Tensor]:
    """Only paths that exist, of finite rows."""
    n, dim = x.shape
    paths = torch.empty((n, 1, 0), dtype=torch.int32)  # (N, beams, l), in the order of paths
    residual = x[:, None]  # (N, beams, D)
    for codebook in codebooks:
        size = len(codebook)
        error = (residual[:, :, None] - codebook).square().sum(3).flatten(1)  # (N, beams · K)
        # A stable sort keeps the lower path first; sorted again, the kept are in order of paths.
        kept = error.sort(dim=1, stable=True).indices[:, :beam].sort(dim=1).values
        parents, codes = kept // size, kept % size
        paths = paths.gather(1, parents[:, :, None].expand(-1, -1, paths.shape[2]))
        paths = torch.cat([paths, codes.int()[:, :, None]], 2)
        residual = residual.gather(1, parents[:, :, None].expand(-1, -1, dim)) - codebook[codes]
    sq_error, order = residual.square().sum(2).sort(dim=1, stable=True)
    return paths.gather(1, order[:, :, None].expand_as(paths)), sq_error


def rq_decode(codes: Tensor, codebooks: Codebooks) -> Tensor:
    """See :func:`recops.rq_decode`."""
    stacks = product.groups(codebooks)
    if len(stacks) > 1:
        parts = codes.split([len(books) for books in stacks], 1)
        return torch.cat([rq_decode(c, books) for c, books in zip(parts, stacks, strict=True)], 1)
    books = stacks[0]
    total = torch.zeros((len(codes), books[0].shape[1]), dtype=_compute(books[0]).dtype)
    for level, codebook in zip(codes.long().unbind(1), map(_compute, books), strict=True):
        total = total + codebook[level.clamp(min=0)] * (level >= 0)[:, None]
    return total.to(books[0].dtype)


def nearest_codes(
    x: Tensor, codebook: Tensor, *, k: int = 1, metric: str = "l2"
) -> tuple[Tensor, Tensor]:
    """See :func:`recops.nearest_codes`."""
    x, codebook = _compute(x), _compute(codebook)
    finite = x.isfinite().all(1, keepdim=True)
    if metric == "cosine":
        index, sq_distance = _cosine_nearest(x, codebook, k)
    else:
        # A stable sort keeps the lower index first at equal scores.
        index = _scores(x, codebook).sort(dim=1, stable=True).indices[:, :k]  # (N, k)
        sq_distance = (x[:, None] - codebook[index]).square().sum(2)
    return index.int().masked_fill(~finite, -1), sq_distance.masked_fill(~finite, torch.nan)


def code_flip_rate(
    x: Tensor, codebooks: Tensor | Iterable[Tensor], sigma: Tensor, *, samples: int, seed: int
) -> Tensor:
    """See :func:`recops.code_flip_rate`; the noise is another generator's."""
    generator = torch.Generator().manual_seed(seed)
    x = _compute(x)
    residual = x[x.isfinite().all(1)]
    rates = []
    for codebook, scale in zip(map(_compute, codebooks), sigma, strict=True):
        codes = _scores(residual, codebook).argmin(1)
        flips = residual.new_zeros(len(residual))
        for _ in range(samples):
            noise = torch.randn(residual.shape, generator=generator, dtype=residual.dtype)
            flips += _scores(residual + scale * noise, codebook).argmin(1) != codes
        rates.append((flips / samples).mean())
        residual = residual - codebook[codes]
    return torch.stack(rates).to(x.dtype)


def accumulate_codes(
    x: Tensor, index: Tensor, num_codes: int, *, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """See :func:`recops.accumulate_codes`."""
    x = _compute(x)
    weight = x.new_ones(len(x)) if weight is None else weight.to(x.dtype)
    kept = index >= 0
    index, x, weight = index[kept].long(), x[kept], weight[kept]
    sums = x.new_zeros((num_codes, x.shape[1])).index_add(0, index, x * weight[:, None])
    weights = weight.new_zeros(num_codes).index_add(0, index, weight)
    return sums, weights
