"""Balanced codes for a batch by optimal transport."""

from __future__ import annotations

import torch
from torch import Tensor

from recops_models.tokenizers.clustering.threads import one_thread

_ROUNDS = 10
_TINY = 1e-300


def sinkhorn_assignment(
    x: Tensor, codebook: Tensor, *, epsilon: float = 0.003, iterations: int = 50
) -> Tensor:
    """Return each row's most probable code in the transport plan that uses all codes equally.

    With costs d_nk = ‖x_n − c_k‖², shifted and scaled to [−1, 1], the plan P minimises ``Σ P d + ε
    Σ P (log P − 1)`` with row mass 1/B and column mass 1/K. Sinkhorn's alternating scaling computes
    it. ``index[n] = argmax_k P_nk``; ties go to the lowest k.

    The plan is balanced, but its argmax need not be: equal rows get equal codes.
    :func:`recops.balance_assignment` enforces a capacity.

    Args:
        x: ``[B, D]`` floating point, finite.
        codebook: ``[K, D]``, finite.
        epsilon: ε > 0, in units of half the range of the costs. A larger ε makes the plan more even
            and less dependent on distance.
        iterations: number of alternating scalings, at least 1.

    Returns:
        ``[B]`` int32; not differentiable. Computed in float64 on one thread, so the result does not
        depend on the number of threads.

    Raises:
        ValueError: wrong shapes, non-finite values, or ``epsilon`` or ``iterations`` out of range.

    Time is O(B · K · (D + iterations)) and memory O(B · K), for one batch.

    Source: Cuturi, "Sinkhorn distances", 2013. The use for the last level of semantic IDs, the
    scaling of costs, ε and the iterations are those of LC-Rec (Zheng et al., 2024).
    """
    name = "sinkhorn_assignment"
    if x.ndim != 2 or codebook.ndim != 2 or x.shape[1] != codebook.shape[1] or not len(codebook):
        raise ValueError(
            f"{name}: x must be [B, D] and codebook [K, D] with K ≥ 1, "
            f"got {list(x.shape)} and {list(codebook.shape)}"
        )
    if not 0 < epsilon < torch.inf or iterations < 1:
        raise ValueError(
            f"{name}: epsilon must be positive and iterations at least 1, "
            f"got {epsilon} and {iterations}"
        )
    if not len(x):
        return torch.empty(0, dtype=torch.int32)
    with one_thread():
        exponent = _costs(x.detach().double(), codebook.detach().double()) / -epsilon
        if not exponent.isfinite().all():
            raise ValueError(f"{name}: x, codebook and their squared distances must be finite")
        return _scale(exponent, iterations).argmax(dim=1).int()


def _scale(exponent: Tensor, iterations: int) -> Tensor:
    """Return the logarithm of the plan ``[B, K]`` up to a constant; overwrites ``exponent``."""
    # The plan is diag(u) exp(exponent) diag(v). One of ten rounds scales the exponents instead, so
    # that u and v stay in the range of float64.
    for first in range(0, iterations, _ROUNDS):
        exponent -= exponent.logsumexp(dim=0)
        exponent -= exponent.logsumexp(dim=1, keepdim=True)
        kernel = exponent.exp()
        u, v = exponent.new_ones(len(exponent)), exponent.new_ones(exponent.shape[1])
        for _ in range(min(_ROUNDS, iterations - first) - 1):
            v = 1 / (kernel.T @ u).clamp(min=_TINY)
            u = 1 / (kernel @ v).clamp(min=_TINY)
        exponent += u.log()[:, None] + v.log()
    return exponent


def _costs(x: Tensor, codebook: Tensor) -> Tensor:
    costs = torch.cdist(x, codebook).square()
    low, high = costs.min(), costs.max()
    return (costs - (low + high) / 2) / ((high - low) / 2).clamp(min=_TINY)
