"""Residual quantization inside a network: codes forward, gradients back to encoder, codebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from recops._checks import FLOATS, check_flag, check_tensor
from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops._codewords import check_codewords
from recops.ops.residual_quantization._codebooks import flatten
from recops.ops.residual_quantization._product_codes import pieces_of, stacks_of
from recops.state.codebooks import Codebooks

__all__ = ["straight_through"]


def straight_through(
    x: Tensor, codebooks: Codebooks, *, rotation: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Quantize x greedily, with the gradients that train its encoder and the codebooks.

    With ``codes`` of :func:`recops.rq_encode`, their codewords c_l, r₀ = x and r_{l+1} = r_l − c_l,
    and sg what no gradient passes:

    - ``quantized = Σ_l c_l``, with the gradient of x: the straight-through estimator;
    - ``commitment = Σ_l mean_n ‖r_l − sg(c_l)‖²``, whose gradient goes to x alone;
    - ``codebook_loss = Σ_l mean_n ‖sg(r_l) − c_l‖²``, the same value, whose gradient goes to the
      codebooks alone.

    A VQ-VAE adds ``codebook_loss + 0.25 · commitment`` to its loss.

    With ``rotation``, the gradient of ``quantized`` reaches x through the map that takes x to q:
    q = λ R x, R the rotation in the plane of x and q, λ = ‖q‖/‖x‖, both held constant. So angles
    between gradient and codeword are kept. Where x or q is zero there is no such map, and the
    estimator stays straight-through. R is for the sum of all levels, not for each of them: that is
    our reading, since the paper has one level. In a product of groups each piece of x is quantized,
    and turned, by itself; losses add up.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        codebooks: as :func:`recops.rq_encode` takes them. Codewords must be finite.
        rotation: whether to use the rotation trick.

    Returns:
        ``quantized [N, D]`` of x's dtype; ``codes [N, L]`` int32; ``commitment []`` and
        ``codebook_loss []``, float32 (float64 for float64), 0 for no rows. A row that is not finite
        has codes −1, is quantized to 0, and makes both losses NaN or infinite.

    Raises:
        TypeError, ValueError: as :func:`recops.rq_encode`.

    Time is O(N · D · Σ K_l), memory O(N · D) beside the results: residuals are recomputed in the
    backward pass. All sums are taken in order of rows: the same bits at any number of threads.

    Source: van den Oord et al., "Neural discrete representation learning", 2017; in levels: Lee et
    al., "Autoregressive image generation using residual quantization", 2022; the rotation: Fifty
    et al., "Restructuring vector quantization with the rotation trick", 2024, arXiv 2410.06424.

    Examples:
        >>> codebooks = torch.tensor([[[0.0, 0.0], [4.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]]])
        >>> x = torch.tensor([[4.0, 1.5]], requires_grad=True)
        >>> quantized, codes, commitment, codebook_loss = recops.straight_through(x, codebooks)
        >>> quantized.tolist(), codes.tolist(), commitment.item()
        ([[4.0, 1.0]], [[1, 0]], 2.5)
        >>> quantized.sum().backward()
        >>> x.grad
        tensor([[1., 1.]])
    """
    op = "straight_through"
    check_tensor(op, "x", x, ndim=2, dtypes=FLOATS)
    check_flag(op, "rotation", rotation)
    stacks = stacks_of(op, codebooks)
    pieces = pieces_of(op, x, stacks)
    if len(pieces) > 1:
        found = [
            straight_through(piece, stack, rotation=rotation)
            for piece, stack in zip(pieces, stacks, strict=True)
        ]
        quantized, codes, commitment, codebook_loss = zip(*found, strict=True)
        losses = torch.stack(commitment).sum(), torch.stack(codebook_loss).sum()
        return torch.cat(quantized, 1), torch.cat(codes, 1), *losses
    codewords, sizes = flatten(op, stacks[0])
    check_codewords(op, "codebooks", codewords, x)
    return ops.straight_through(x, codewords, sizes, rotation)


@torch.library.custom_op("recops::straight_through", mutates_args=())
def _straight_through(
    x: Tensor, codewords: Tensor, sizes: Sequence[int], rotation: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    codes, sq_error = ops.rq_encode(x, codewords, sizes)
    rows = sq_error if sizes else torch.zeros_like(sq_error)
    for residual in _residuals(x, codewords, codes, sizes[:-1]):
        rows = rows + torch.linalg.vector_norm(residual, dim=1).square_()
    loss = _mean(rows)
    quantized = ops.rq_decode(codes, codewords, sizes)
    return quantized.to(x.dtype), codes, loss, loss.clone()


@torch.library.custom_op("recops::straight_through_backward", mutates_args=())
def _straight_through_backward(
    grad_quantized: Tensor | None,
    grad_commitment: Tensor | None,
    grad_codebook_loss: Tensor | None,
    x: Tensor,
    codewords: Tensor,
    codes: Tensor,
    sizes: Sequence[int],
    rotation: bool,
) -> tuple[Tensor, Tensor]:
    """The gradients of x and of the codewords; zero without ``grad_codebook_loss``."""
    scale = 2 / max(len(x), 1)
    left: Tensor | None = None  # Σ r₁ … r_L
    sums: list[Tensor] = []
    for level, residual in enumerate(_residuals(x, codewords, codes, sizes)):
        if grad_codebook_loss is not None:
            total, _ = ops.accumulate_codes(residual, codes[:, level], sizes[level], None)
            sums.append(total.mul_(-scale * grad_codebook_loss))
        if grad_commitment is not None:
            left = residual if left is None else left.add_(residual)
    if left is None or grad_commitment is None:
        grad_x = x.new_zeros(x.shape, dtype=compute_dtype(x.dtype))
    else:
        grad_x = left.mul_(scale * grad_commitment)
    if grad_quantized is not None:
        passed = grad_quantized.to(grad_x.dtype)
        if rotation:
            passed = _rotate_back(passed, x, ops.rq_decode(codes, codewords, sizes))
        grad_x += passed
    grad_codewords = torch.cat(sums).to(codewords.dtype) if sums else torch.zeros_like(codewords)
    return grad_x.to(x.dtype), grad_codewords


def _residuals(
    x: Tensor, codewords: Tensor, codes: Tensor, sizes: Sequence[int]
) -> Iterator[Tensor]:
    """What each level leaves over, r₁ … r_L. A residual is the caller's once the next is there."""
    residual = x.to(compute_dtype(x.dtype))
    for level, size in enumerate(sizes):
        first = sum(sizes[:level])
        book = codewords[first : first + size]
        word = ops.rq_decode(codes[:, level : level + 1], book, [size])
        residual = torch.sub(residual, word, out=word if word.dtype == residual.dtype else None)
        yield residual


def _mean(rows: Tensor) -> Tensor:
    """The mean of ``rows [N]``, added in float64 and in order: torch's own depends on threads."""
    nothing, code = rows.new_empty((len(rows), 0)), rows.new_zeros(len(rows), dtype=torch.int32)
    _, total = ops.accumulate_codes(nothing, code, 1, rows)
    return total[0] / max(len(rows), 1)


def _rotate_back(gradient: Tensor, x: Tensor, quantized: Tensor) -> Tensor:
    """λ Rᵀ gradient, R = I − 2 h hᵀ + 2 q̂ x̂ᵀ with h the half-way direction of x̂ and q̂."""
    wide, target = x.to(gradient.dtype), quantized.to(gradient.dtype)
    norm = torch.linalg.vector_norm(wide, dim=1, keepdim=True)
    target_norm = torch.linalg.vector_norm(target, dim=1, keepdim=True)
    there = (norm > 0) & (target_norm > 0)
    start, end = wide / norm.where(there, 1), target / target_norm.where(there, 1)
    half = torch.nn.functional.normalize(start + end, dim=1)
    along_half = (half * gradient).sum(1, keepdim=True)
    along_end = (end * gradient).sum(1, keepdim=True)
    turned = gradient - 2 * along_half * half + 2 * along_end * start
    rotated: Tensor = turned * (target_norm / norm.where(there, 1))
    return rotated.where(there, gradient)


@_straight_through.register_fake
def _(x: Tensor, codewords: Tensor, sizes: Sequence[int], rotation: bool) -> tuple[Tensor, ...]:
    loss = x.new_empty((), dtype=compute_dtype(x.dtype))
    codes = x.new_empty((x.shape[0], len(sizes)), dtype=torch.int32)
    return x.new_empty(x.shape), codes, loss, loss.clone()


@_straight_through_backward.register_fake
def _(
    grad_quantized: Tensor | None,
    grad_commitment: Tensor | None,
    grad_codebook_loss: Tensor | None,
    x: Tensor,
    codewords: Tensor,
    codes: Tensor,
    sizes: Sequence[int],
    rotation: bool,
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), codewords.new_empty(codewords.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, codewords, ctx.sizes, ctx.rotation = inputs
    ctx.save_for_backward(x, codewords, output[1])
    ctx.set_materialize_grads(False)


def _grad(
    ctx: Any,
    grad_quantized: Tensor | None,
    grad_codes: None,
    grad_commitment: Tensor | None,
    grad_codebook_loss: Tensor | None,
) -> tuple[Tensor, Tensor | None, None, None]:
    x, codewords, codes = ctx.saved_tensors
    grad_x, grad_codewords = ops.straight_through_backward(
        grad_quantized,
        grad_commitment,
        grad_codebook_loss,
        x,
        codewords,
        codes,
        ctx.sizes,
        ctx.rotation,
    )
    return grad_x, None if grad_codebook_loss is None else grad_codewords, None, None


_straight_through.register_autograd(_grad, setup_context=_save)
