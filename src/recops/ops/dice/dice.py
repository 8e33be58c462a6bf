"""Dice: an activation that adapts to the distribution of its input."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from recops._checks import FLOATS, check_number, check_tensor
from recops._dtypes import compute_dtype, parameter_dtypes
from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops._autograd import refuse_derivative, register_autograd

__all__ = ["dice"]


def dice(
    x: Tensor,
    alpha: Tensor,
    mean: Tensor | None = None,
    var: Tensor | None = None,
    *,
    eps: float = 1e-8,
) -> tuple[Tensor, Tensor, Tensor]:
    """Apply Dice, a PReLU whose gate is normalised by the mean and variance of each column.

    ``out = p x + (1 − p) α x`` with ``p = σ((x − mean) / √(var + eps))``, σ the logistic function.
    Without ``mean`` and ``var`` arguments, the mean and the biased variance of the batch are used,
    and gradients of x flow through them. ``mean`` and ``var`` arguments receive no gradient.

    Differentiable once in ``x`` and ``alpha``. The backward pass keeps x, α, mean and var and
    recomputes the other values.

    Args:
        x: ``[B, N]`` float32, bfloat16, float16 or float64, any strides.
        alpha: α ``[N]`` of x's dtype, or float32 if x is 16-bit.
        mean: ``[N]`` of the same dtypes, or None; needs ``var``.
        var: ``[N]``, not negative; needs ``mean``.
        eps: at least 0.

    Returns:
        ``out [B, N]``, ``mean [N]`` and ``var [N]``. ``out`` has x's dtype; it is computed in
        float32 (float64 for float64) and rounded once. ``mean`` and ``var`` are the arguments, or
        the statistics of the batch in float32 (float64 for float64), 0 if B = 0; they have no
        gradient. The batch variance is computed from differences to the mean. Sums run over the
        rows in order, so results are bit-identical at any thread count.

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes do not match, only one of ``mean`` and ``var`` is given, or ``eps`` is
            negative.
        NotImplementedError: a second derivative is computed.

    Time is O(B · N); extra memory is O(N).

    Source: Zhou et al., "Deep interest network for click-through rate prediction", KDD 2018, §5.2,
    with its ε of 1e-8.

    Examples:
        >>> out, mean, var = recops.dice(torch.tensor([[-1.0], [1.0]]), torch.tensor([0.25]))
        >>> out.flatten(), mean, var
        (tensor([-0.4517,  0.7983]), tensor([0.]), tensor([1.]))
    """
    op = "dice"
    check_tensor(op, "x", x, ndim=2, dtypes=FLOATS)
    dtype = compute_dtype(x.dtype)
    columns = {"alpha": alpha}
    if mean is not None and var is not None:
        columns |= {"mean": mean, "var": var}
    elif mean is not None or var is not None:
        alone = "var" if mean is None else "mean"
        raise ValueError(f"{op}: mean and var must be given both or neither, got {alone} alone")
    for name, tensor in columns.items():
        check_tensor(op, name, tensor, ndim=1, dtypes=parameter_dtypes(x), device=x.device)
        if tensor.shape[0] != x.shape[1]:
            raise ValueError(
                f"{op}: {name} must have {x.shape[1]} entries, one per column of x, "
                f"got {tensor.shape[0]}"
            )
    check_number(op, "eps", eps, least=0, most=math.inf)
    if alpha.dtype != dtype:  # Tensor.to without effect would take as long as all checks.
        alpha = alpha.to(dtype)
    if mean is None or var is None:
        return ops.dice(x, alpha, None, None, eps)
    out, _, _ = ops.dice(x, alpha, mean.to(dtype), var.to(dtype), eps)
    return out, mean, var


def _fake_dice(
    x: Tensor, alpha: Tensor, mean: Tensor | None, var: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), alpha.new_empty(alpha.shape), alpha.new_empty(alpha.shape)


def _fake_backward(
    grad: Tensor,
    x: Tensor,
    alpha: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
    of_batch: bool,
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), alpha.new_empty(alpha.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, alpha, mean, _, ctx.eps = inputs
    _, used_mean, used_var = output
    ctx.of_batch = mean is None
    ctx.mark_non_differentiable(used_mean, used_var)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, alpha, used_mean, used_var)


def _grad(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 5
    x, alpha, mean, var = ctx.saved_tensors
    grads = ops.dice_backward(grad, x, alpha, mean, var, ctx.eps, ctx.of_batch)
    return *grads, None, None, None


torch.library.register_fake("recops::dice", _fake_dice)
torch.library.register_fake("recops::dice_backward", _fake_backward)
register_autograd("dice", _grad, _save)
refuse_derivative("dice_backward", "dice has")
autocast_to_float32("dice")
