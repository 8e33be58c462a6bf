"""Reference of residual quantization; see :mod:`recops.ops.residual_quantization`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from recops._dtypes import compute_dtype, widened
from recops.reference import _product_codes as product
from recops.reference._cosine_codes import nearest_codes as _cosine_nearest
from recops.reference._cosine_codes import rq_encode_beams as _cosine_beams
from recops.state.codebooks import Codebooks


def _scores(x: Tensor, codebook: Tensor) -> Tensor:
    """Return ½‖c‖² − x·c, ``[N, K]``; it orders codewords like ‖x − c‖²."""
    half_norms = codebook.square().sum(1) / 2  # (K,)
    return torch.addmm(half_norms, x, codebook.T, alpha=-1)


def rq_encode(
    x: Tensor, codebooks: Codebooks, *, beam: int = 1, metric: str = "l2"
) -> tuple[Tensor, Tensor]:
    """Compute :func:`recops.rq_encode` in PyTorch."""
    stacks = product.groups(codebooks)
    if len(stacks) > 1:
        pieces = product.cut(x, stacks)
        results = [
            rq_encode(piece, books, beam=beam, metric=metric)
            for piece, books in zip(pieces, stacks, strict=True)
        ]
        return torch.cat([codes for codes, _ in results], 1), torch.stack(
            [error for _, error in results]
        ).sum(0)
    if beam > 1 or metric == "cosine":
        paths, sq_error = rq_encode_beams(x, stacks[0], beam=beam, metric=metric)
        return paths[:, 0], sq_error[:, 0]
    residual = widened(x)
    finite = residual.isfinite().all(1)
    levels = [torch.empty((len(x), 0), dtype=torch.int32)]
    for codebook in map(widened, stacks[0]):
        codes = _scores(residual, codebook).argmin(1)  # (N,); ties go to the first
        residual = residual - codebook[codes]
        levels.append(codes.int()[:, None])
    codes = torch.cat(levels, 1).masked_fill(~finite[:, None], -1)
    return codes, residual.square().sum(1).masked_fill(~finite, torch.nan)


def rq_encode_beams(
    x: Tensor, codebooks: Codebooks, *, beam: int, metric: str = "l2"
) -> tuple[Tensor, Tensor]:
    """Compute :func:`recops.rq_encode_beams` in PyTorch."""
    stacks = product.groups(codebooks)
    if len(stacks) > 1:
        pieces = product.cut(x, stacks)
        results = [
            rq_encode_beams(piece, books, beam=beam, metric=metric)
            for piece, books in zip(pieces, stacks, strict=True)
        ]
        return product.combine(results, beam)
    search = _cosine_beams if metric == "cosine" else _l2_beams
    x = widened(x)
    finite = x.isfinite().all(1)
    clean = x.masked_fill(~finite[:, None], 0)
    paths, sq_error = search(clean, [widened(book) for book in stacks[0]], beam)
    missing = beam - paths.shape[1]
    sq_error = torch.nn.functional.pad(sq_error, (0, missing), value=torch.inf)
    paths = torch.nn.functional.pad(paths.int(), (0, 0, 0, missing), value=-1)
    paths = paths.masked_fill(~finite[:, None, None], -1)
    return paths, sq_error.masked_fill(~finite[:, None], torch.nan)


def _l2_beams(x: Tensor, codebooks: list[Tensor], beam: int) -> tuple[Tensor, Tensor]:
    """Return the paths that exist and their squared errors, for finite rows."""
    n, dim = x.shape
    paths = torch.empty((n, 1, 0), dtype=torch.int32)  # (N, beams, l), in the order of paths
    residual = x[:, None]  # (N, beams, D)
    for codebook in codebooks:
        size = len(codebook)
        error = (residual[:, :, None] - codebook).square().sum(3).flatten(1)  # (N, beams · K)
        # The stable sort gives ties to the lower path; the second sort restores the path order.
        best = error.sort(dim=1, stable=True).indices[:, :beam].sort(dim=1).values
        parents, codes = best // size, best % size
        paths = paths.gather(1, parents[:, :, None].expand(-1, -1, paths.shape[2]))
        paths = torch.cat([paths, codes.int()[:, :, None]], 2)
        residual = residual.gather(1, parents[:, :, None].expand(-1, -1, dim)) - codebook[codes]
    sq_error, order = residual.square().sum(2).sort(dim=1, stable=True)
    return paths.gather(1, order[:, :, None].expand_as(paths)), sq_error


def rq_decode(codes: Tensor, codebooks: Codebooks) -> Tensor:
    """Compute :func:`recops.rq_decode` in PyTorch."""
    stacks = product.groups(codebooks)
    if len(stacks) > 1:
        parts = codes.split([len(books) for books in stacks], 1)
        return torch.cat([rq_decode(c, books) for c, books in zip(parts, stacks, strict=True)], 1)
    books = stacks[0]
    total = torch.zeros((len(codes), books[0].shape[1]), dtype=compute_dtype(books[0].dtype))
    for level, codebook in zip(codes.long().unbind(1), map(widened, books), strict=True):
        total = total + codebook[level.clamp(min=0)] * (level >= 0)[:, None]
    return total.to(books[0].dtype)


def nearest_codes(
    x: Tensor, codebook: Tensor, *, k: int = 1, metric: str = "l2"
) -> tuple[Tensor, Tensor]:
    """Compute :func:`recops.nearest_codes` in PyTorch."""
    x, codebook = widened(x), widened(codebook)
    finite = x.isfinite().all(1, keepdim=True)
    if metric == "cosine":
        index, sq_distance = _cosine_nearest(x, codebook, k)
    else:
        # The stable sort gives ties to the lower index.
        index = _scores(x, codebook).sort(dim=1, stable=True).indices[:, :k]  # (N, k)
        sq_distance = (x[:, None] - codebook[index]).square().sum(2)
    return index.int().masked_fill(~finite, -1), sq_distance.masked_fill(~finite, torch.nan)


def code_flip_rate(
    x: Tensor, codebooks: Tensor | Iterable[Tensor], sigma: Tensor, *, samples: int, seed: int
) -> Tensor:
    """Compute :func:`recops.code_flip_rate` in PyTorch, with noise from another generator."""
    generator = torch.Generator().manual_seed(seed)
    x = widened(x)
    residual = x[x.isfinite().all(1)]
    rates = []
    for codebook, scale in zip(map(widened, codebooks), sigma, strict=True):
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
    """Compute :func:`recops.accumulate_codes` in PyTorch."""
    x = widened(x)
    weight = x.new_ones(len(x)) if weight is None else weight.to(x.dtype)
    has_code = index >= 0
    index, x, weight = index[has_code].long(), x[has_code], weight[has_code]
    sums = x.new_zeros((num_codes, x.shape[1])).index_add(0, index, x * weight[:, None])
    weights = weight.new_zeros(num_codes).index_add(0, index, weight)
    return sums, weights


def _mean(rows: Tensor) -> Tensor:
    """Return the mean of ``rows``, or 0 without rows."""
    return rows.sum() / max(len(rows), 1)


def straight_through(
    x: Tensor, codebooks: Codebooks, *, rotation: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute :func:`recops.straight_through` in PyTorch."""
    stacks = product.groups(codebooks)
    if len(stacks) > 1:
        pieces = zip(product.cut(x, stacks), stacks, strict=True)
        results = [straight_through(piece, books, rotation=rotation) for piece, books in pieces]
        parts, codes_of_parts, commitments, codebook_losses = zip(*results, strict=True)
        return (
            torch.cat(parts, 1),
            torch.cat(codes_of_parts, 1),
            torch.stack(commitments).sum(),
            torch.stack(codebook_losses).sum(),
        )
    books = stacks[0]
    codes, _ = rq_encode(x, books)
    residual = wide = widened(x)
    commitment = codebook_loss = wide.new_zeros(())
    for level, book in enumerate(books):
        codeword = widened(rq_decode(codes[:, level : level + 1], [book]))
        commitment = commitment + _mean((residual - codeword.detach()).square().sum(1))
        codebook_loss = codebook_loss + _mean((residual.detach() - codeword).square().sum(1))
        residual = residual - codeword.detach()
    quantized = widened(rq_decode(codes, books)).detach()
    if rotation:
        rotated = _rotate(wide, quantized)
        quantized = quantized + rotated - rotated.detach()
    else:
        quantized = quantized + wide - wide.detach()
    return quantized.to(x.dtype), codes, commitment, codebook_loss


def _rotate(x: Tensor, target: Tensor) -> Tensor:
    """Rotate and scale x onto the target, by constants; return x where either is zero."""
    norm, target_norm = x.norm(dim=1, keepdim=True).detach(), target.norm(dim=1, keepdim=True)
    from_, to = x.detach() / norm, target / target_norm
    half = (from_ + to) / (from_ + to).norm(dim=1, keepdim=True).clamp(min=1e-12)
    rotated = (
        x - 2 * half * (half * x).sum(1, keepdim=True) + 2 * to * (from_ * x).sum(1, keepdim=True)
    )
    scaled: Tensor = rotated * (target_norm / norm)
    return scaled.where((norm > 0) & (target_norm > 0), x)


def pack_codes(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    """Compute :func:`recops.pack_codes` in PyTorch."""
    widths = [(size - 1).bit_length() for size in sizes]
    packed = torch.zeros((len(codes), (sum(widths) + 7) // 8), dtype=torch.uint8)
    for row, code in enumerate(codes.tolist()):
        bits = [c >> bit & 1 for c, width in zip(code, widths, strict=True) for bit in range(width)]
        for position, bit in enumerate(bits):
            packed[row, position // 8] |= bit << position % 8
    return packed


def unpack_codes(packed: Tensor, sizes: Sequence[int]) -> Tensor:
    """Compute :func:`recops.unpack_codes` in PyTorch."""
    codes = torch.zeros((len(packed), len(sizes)), dtype=torch.int32)
    for row, data in enumerate(packed.tolist()):
        number = int.from_bytes(bytes(data), "little")
        for level, size in enumerate(sizes):
            width = (size - 1).bit_length()
            codes[row, level] = number & (1 << width) - 1
            number >>= width
    return codes
