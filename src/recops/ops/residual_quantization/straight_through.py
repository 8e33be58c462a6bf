"""Differentiable residual quantization, to train an encoder and its codebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from recops._checks import check_flag
from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops.residual_quantization._product_codes import check_pieces
from recops.state.codebooks import Codebooks

__all__ = ["straight_through"]


def straight_through(
    x: Tensor, codebooks: Codebooks, *, rotation: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Quantize x greedily, with gradients that train its encoder and the codebooks.

    Let c_l be the codewords of the ``codes`` from :func:`recops.rq_encode`, r₀ = x and
    r_{l+1} = r_l − c_l. sg stops gradients. The results are:

    - ``quantized = Σ_l c_l``, whose gradient passes to x unchanged (straight-through estimator);
    - ``commitment = Σ_l mean_n ‖r_l − sg(c_l)‖²``, whose gradient goes to x alone;
    - ``codebook_loss = Σ_l mean_n ‖sg(r_l) − c_l‖²``, the same value, whose gradient goes to the
      codebooks alone.

    A VQ-VAE adds ``codebook_loss + 0.25 · commitment`` to its loss.

    With ``rotation``, the gradient of ``quantized`` passes to x through the map q = λ R x. R is the
    rotation in the plane of x and q = ``quantized``, and λ = ‖q‖/‖x‖; both are constants. This
    preserves the angle between gradient and codeword. If x or q is zero, the map does not exist and
    the estimator is straight-through. R rotates to the sum of all levels; this is our
    interpretation, because the paper has only one level. In a product of groups each piece of x is
    quantized and rotated separately, and the losses are added.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        codebooks: as in :func:`recops.rq_encode`. Codewords must be finite.
        rotation: whether to use the rotation trick.

    Returns:
        ``quantized [N, D]`` of x's dtype; ``codes [N, L]`` int32; ``commitment []`` and
        ``codebook_loss []``, float32 (float64 for float64), 0 without rows. A row that is not
        finite has codes −1 and quantized value 0, and makes both losses NaN or infinite.

    Raises:
        TypeError, ValueError: as in :func:`recops.rq_encode`.

    Time is O(N · D · Σ K_l) and extra memory O(N · D): the backward pass recomputes the residuals.
    All sums run over the rows in order, so results are bit-identical at any thread count.

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
    check_flag(op, "rotation", rotation)
    pieces = check_pieces(op, x, codebooks)
    results = [ops.straight_through(*piece, rotation) for piece in pieces]
    if len(results) == 1:
        return results[0]
    quantized, codes, commitment, codebook_loss = zip(*results, strict=True)
    losses = torch.stack(commitment).sum(), torch.stack(codebook_loss).sum()
    return torch.cat(quantized, 1), torch.cat(codes, 1), *losses


@torch.library.custom_op("recops::straight_through", mutates_args=())
def _straight_through(
    x: Tensor, codewords: Tensor, sizes: Sequence[int], rotation: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if codewords.shape[-1:] != x.shape[-1:]:  # Without levels, rq_encode does not compare them.
        raise ValueError(
            f"straight_through: codewords must have the columns of x, {list(x.shape[-1:])}, "
            f"got {list(codewords.shape[-1:])}"
        )
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
    """Return the gradients of x and of the codewords; the latter are 0 without their loss."""
    scale = 2 / max(len(x), 1)
    residual_sum: Tensor | None = None  # Σ r₁ … r_L
    sums: list[Tensor] = []
    for level, residual in enumerate(_residuals(x, codewords, codes, sizes)):
        if grad_codebook_loss is not None:
            total, _ = ops.accumulate_codes(residual, codes[:, level], sizes[level], None)
            sums.append(total.mul_(-scale * grad_codebook_loss))
        if grad_commitment is not None:
            residual_sum = residual if residual_sum is None else residual_sum.add_(residual)
    if residual_sum is None or grad_commitment is None:
        grad_x = x.new_zeros(x.shape, dtype=compute_dtype(x.dtype))
    else:
        grad_x = residual_sum.mul_(scale * grad_commitment)
    if grad_quantized is not None:
        grad = grad_quantized.to(grad_x.dtype)
        if rotation:
            grad = _rotate_back(grad, x, ops.rq_decode(codes, codewords, sizes))
        grad_x += grad
    grad_codewords = torch.cat(sums).to(codewords.dtype) if sums else torch.zeros_like(codewords)
    return grad_x.to(x.dtype), grad_codewords


def _residuals(
    x: Tensor, codewords: Tensor, codes: Tensor, sizes: Sequence[int]
) -> Iterator[Tensor]:
    """Yield the residuals r₁ … r_L; the caller may overwrite one after taking the next."""
    residual = x.to(compute_dtype(x.dtype))
    for level, size in enumerate(sizes):
        first = sum(sizes[:level])
        book = codewords[first : first + size]
        word = ops.rq_decode(codes[:, level : level + 1], book, [size])
        residual = torch.sub(residual, word, out=word if word.dtype == residual.dtype else None)
        yield residual


def _mean(rows: Tensor) -> Tensor:
    """Return the mean of ``rows [N]``, summed in float64 in order, unlike torch's mean."""
    empty, code = rows.new_empty((len(rows), 0)), rows.new_zeros(len(rows), dtype=torch.int32)
    _, total = ops.accumulate_codes(empty, code, 1, rows)
    return total[0] / max(len(rows), 1)


def _rotate_back(gradient: Tensor, x: Tensor, quantized: Tensor) -> Tensor:
    """Return λ Rᵀ gradient, R = I − 2 h hᵀ + 2 q̂ x̂ᵀ, with h the direction of x̂ + q̂."""
    wide, target = x.to(gradient.dtype), quantized.to(gradient.dtype)
    norm = torch.linalg.vector_norm(wide, dim=1, keepdim=True)
    target_norm = torch.linalg.vector_norm(target, dim=1, keepdim=True)
    nonzero = (norm > 0) & (target_norm > 0)
    start, end = wide / norm.where(nonzero, 1), target / target_norm.where(nonzero, 1)
    half = torch.nn.functional.normalize(start + end, dim=1)
    along_half = (half * gradient).sum(1, keepdim=True)
    along_end = (end * gradient).sum(1, keepdim=True)
    rotated = gradient - 2 * along_half * half + 2 * along_end * start
    scaled: Tensor = rotated * (target_norm / norm.where(nonzero, 1))
    return scaled.where(nonzero, gradient)


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
