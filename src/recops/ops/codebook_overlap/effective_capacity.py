"""Effective capacity of a codebook."""

from __future__ import annotations

from torch import Tensor

from recops.ops.codebook_overlap.codebook_overlap import OverlapKernel, codebook_overlap

__all__ = ["effective_capacity"]


def effective_capacity(
    codebook: Tensor, usage: Tensor, sigma: float, *, kernel: OverlapKernel = "bhattacharyya"
) -> Tensor:
    """Compute the effective capacity 1 / overlap of a codebook.

    It is the size of a uniform codebook without overlap that has the same expected confusion. If
    usage sums to 1, the capacity is from 1 to 1 / Σ usage², which is at most the number of codes in
    use. It is K if usage is uniform and no codewords overlap. It never grows with sigma. It does
    not change if a codeword is duplicated and its usage is divided between the copies.

    Arguments, errors, gradients and complexity are those of :func:`codebook_overlap`.

    Returns:
        ``[]`` float32 (float64 for a float64 codebook).

    Source: K_eff of DRQ, 2026; see :func:`codebook_overlap`.

    Examples:
        >>> codebook = torch.tensor([[0.0], [100.0], [100.0]])
        >>> usage = torch.tensor([0.5, 0.25, 0.25])
        >>> recops.effective_capacity(codebook, usage, 1.0)  # the last two coincide
        tensor(2.)
    """
    overlap, _ = codebook_overlap(codebook, usage, sigma, kernel=kernel)
    return 1 / overlap
