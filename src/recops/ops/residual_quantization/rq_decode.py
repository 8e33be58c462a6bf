"""Residual-quantization decoding: codes to vectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recops._checks import FLOATS, INDICES, check_tensor
from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops._autograd import register_autograd
from recops.ops.residual_quantization._codebooks import check_columns, flatten
from recops.ops.residual_quantization._product_codes import codebook_stacks, num_levels
from recops.state.codebooks import Codebooks

__all__ = ["rq_decode"]


def rq_decode(codes: Tensor, codebooks: Codebooks) -> Tensor:
    """Decode codes to the sums of their codewords: ``out[n] = Σ_l codebooks[l][codes[n, l]]``.

    For a product of groups, the decoded pieces are concatenated.

    Differentiable in ``codebooks``, any number of times. The gradient of a codeword is the sum of
    the gradients of the rows that use it. It is added in the order of rows, so it is bit-identical
    at any thread count.

    Args:
        codes: ``[N, L]`` int32 or int64. Code −1 (a row that could not be encoded) adds zero.
        codebooks: as in :func:`rq_encode`; float32, bfloat16, float16 or float64.

    Returns:
        ``[N, D]`` of the codebooks' dtype. Sums and gradients are accumulated in float32 (float64
        for float64) and rounded once.

    Raises:
        IndexError: a code is neither −1 nor in its codebook.
        TypeError, ValueError: a tensor has an unsupported dtype, or shapes do not match.

    Time is O(N · L · D). On a CUDA GPU, a code out of range raises an error only within
    :func:`recops.debug`; otherwise its row is NaN, and it has no gradient.

    Source: that of :func:`rq_encode`; the result is the sum q of DRQ, 2026. The rule that −1 adds
    zero is an addition of this library.

    Examples:
        >>> codebooks = torch.tensor([[[0.0, 0.0], [4.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]]])
        >>> recops.rq_decode(torch.tensor([[1, 0], [0, -1]]), codebooks)
        tensor([[4., 1.],
                [0., 0.]])
    """
    op = "rq_decode"
    check_tensor(op, "codes", codes, ndim=2, dtypes=INDICES)
    stacks = codebook_stacks(op, codebooks)
    if len(stacks) > 1:
        levels = [num_levels(op, group, stack) for group, stack in enumerate(stacks)]
        check_columns(op, codes, sum(levels))
        parts = zip(codes.split(levels, 1), stacks, strict=True)
        return torch.cat([rq_decode(part, stack) for part, stack in parts], 1)
    codewords, sizes = flatten(op, stacks[0])
    check_tensor(op, "codebooks", codewords, ndim=2, dtypes=FLOATS, device=codes.device)
    check_columns(op, codes, len(sizes))
    return ops.rq_decode(codes, codewords, sizes)


def _fake(codes: Tensor, codewords: Tensor, sizes: list[int]) -> Tensor:
    return codewords.new_empty((codes.shape[0], codewords.shape[1]))


def _fake_backward(grad: Tensor, codes: Tensor, sizes: list[int]) -> Tensor:
    return grad.new_empty((sum(sizes), grad.shape[1]))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    first, second, ctx.sizes = inputs
    ctx.save_for_backward(first if not first.is_floating_point() else second)


def _grad(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None]:
    (codes,) = ctx.saved_tensors
    return None, ops.rq_decode_backward(grad, codes, ctx.sizes), None


def _backward_grad(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    (codes,) = ctx.saved_tensors
    return ops.rq_decode(codes, grad, ctx.sizes), None, None


torch.library.register_fake("recops::rq_decode", _fake)
torch.library.register_fake("recops::rq_decode_backward", _fake_backward)
# Decoding is linear in the codewords and its backward pass in the gradient, so each is the
# derivative of the other.
register_autograd("rq_decode", _grad, _save)
torch.library.register_autograd("recops::rq_decode_backward", _backward_grad, setup_context=_save)
autocast_to_float32("rq_decode")
