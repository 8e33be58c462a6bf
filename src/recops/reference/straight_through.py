"""Straight-through quantization in plain PyTorch; :mod:`recops.ops.straight_through` says more."""

from __future__ import annotations

import torch
from torch import Tensor

from recops.ops.product_codes import Codebooks
from recops.reference.product_codes import cut, groups
from recops.reference.residual_quantization import _compute, rq_decode, rq_encode


def straight_through(
    x: Tensor, codebooks: Codebooks, *, rotation: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See :func:`recops.straight_through`."""
    stacks = groups(codebooks)
    if len(stacks) > 1:
        pieces = zip(cut(x, stacks), stacks, strict=True)
        found = [straight_through(piece, books, rotation=rotation) for piece, books in pieces]
        parts, lists, pulls, pushes = zip(*found, strict=True)
        return (
            torch.cat(parts, 1),
            torch.cat(lists, 1),
            torch.stack(pulls).sum(),
            torch.stack(pushes).sum(),
        )
    books = stacks[0]
    codes, _ = rq_encode(x, books)
    residual = wide = _compute(x)
    commitment = codebook_loss = wide.new_zeros(())
    for level, book in enumerate(books):
        codeword = _compute(rq_decode(codes[:, level : level + 1], [book]))
        commitment = commitment + (residual - codeword.detach()).square().sum(1).mean()
        codebook_loss = codebook_loss + (residual.detach() - codeword).square().sum(1).mean()
        residual = residual - codeword.detach()
    quantized = _compute(rq_decode(codes, books)).detach()
    if rotation:
        moved = _rotate(wide, quantized)
        quantized = quantized + moved - moved.detach()
    else:
        quantized = quantized + wide - wide.detach()
    return quantized.to(x.dtype), codes, commitment, codebook_loss


def _rotate(x: Tensor, target: Tensor) -> Tensor:
    """x, rotated and stretched onto the target by constants; x itself where either is zero."""
    norm, target_norm = x.norm(dim=1, keepdim=True).detach(), target.norm(dim=1, keepdim=True)
    from_, to = x.detach() / norm, target / target_norm
    half = (from_ + to) / (from_ + to).norm(dim=1, keepdim=True).clamp(min=1e-12)
    turned = (
        x - 2 * half * (half * x).sum(1, keepdim=True) + 2 * to * (from_ * x).sum(1, keepdim=True)
    )
    stretched: Tensor = turned * (target_norm / norm)
    return stretched.where((norm > 0) & (target_norm > 0), x)
