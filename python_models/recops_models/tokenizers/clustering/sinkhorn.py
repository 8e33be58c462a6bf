"""Codes for a batch by optimal transport: near codewords, evenly used."""

from __future__ import annotations

import torch
from torch import Tensor

from recops_models.tokenizers.clustering.threads import one_thread

_ROUNDS = 10
_TINY = 1e-300


def sinkhorn_assignment(
    x: Tensor, codebook: Tensor, *, epsilon: float = 0.003, iterations: int = 50
) -> Tensor:
    """The likeliest code of every row in the transport plan that uses all codes alike.

    With costs d_nk = ‖x_n − c_k‖², shifted and scaled to [−1, 1], the plan is the P that minimises
    ``Σ P d + ε Σ P (log P − 1)`` with rows of mass 1/B and columns of mass 1/K, found by Sinkhorn's
    alternate scaling; ``index[n] = argmax_k P_nk``, the lowest k at ties.

    Only the plan is balanced, not its argmax: equal rows get equal codes. Where no code may pass a
    capacity, use :func:`recops.balance_assignment`.

    Args:
        x: ``[B, D]`` floating point, finite.
        codebook: ``[K, D]``, finite.
        epsilon: ε > 0, in units of half the spread of the costs; the larger, the more even the
            plan and the less it heeds distance.
        iterations: of both scalings, at least 1.

    Returns:
        ``[B]`` int32. Computed in float64 on one thread, so the same bits anywhere; not
        differentiable.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, epsilon or iterations out of
            range.

    Time is O(B · K · (D + iterations)), memory O(B · K): meant for batches.

    Source: Cuturi, "Sinkhorn distances", 2013; for the last level of semantic IDs: LC-Rec (Zheng et
    al., 2024), whose scaling of costs, ε and iterations these are.
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
            raise ValueError(f"{name}: x and codebook must be finite, their squared distances too")
        return _scale(exponent, iterations).argmax(dim=1).int()


def _scale(exponent: Tensor, iterations: int) -> Tensor:
    """The logarithm of the plan ``[B, K]``, up to its mass, in the memory of ``exponent``."""
    # The plan is diag(u) exp(exponent) diag(v). One round of ten works on the exponents themselves,
    # so that neither u nor v leaves the range of float64.
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
