"""Composite of codebook overlap, over blocks of rows of the pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from recops.ops._data_checks import DataChecks, Error
from recops.ops._shapes import check_dim, check_numel, check_shape

_OP = "codebook_overlap"
_WIDTHS = {"bhattacharyya": 8, "product": 4}
"""Squared distance over the exponent, in units of σ²."""

_BLOCK_VALUES = 1 << 24
"""Largest number of coordinates of codeword pairs per block."""


def codebook_overlap(
    codebook: Tensor, usage: Tensor, sigma: float, kernel: str
) -> tuple[Tensor, Tensor]:
    """Compute ``recops::codebook_overlap``.

    Much slower than a dedicated kernel: differences of all pairs, ``[K, K, D]``, go through memory,
    in blocks of rows.
    """
    _check_arguments(codebook, usage, sigma, kernel)
    checks = DataChecks(optional=True)
    for name, values in (("codebook", codebook), ("usage", usage)):
        checks.add(~values.isfinite(), _not_finite(name))
    checks.read()
    sums = [_kernel(differences, sigma, kernel)[0] @ usage for _, differences in _blocks(codebook)]
    row_sums = torch.cat(sums)
    return (usage * row_sums).sum(), row_sums


def codebook_overlap_backward(
    grad_overlap: Tensor,
    grad_row_sums: Tensor,
    codebook: Tensor,
    usage: Tensor,
    sigma: float,
    kernel: str,
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of codebook and usage, with κ symmetric.

    With r = κ u and a = g_overlap · u + g_rows, they are
    ``∂c_i = Σ_j (a_i u_j + a_j u_i) · κ'_ij · 2 (c_i − c_j)`` and ``∂u = κ a + g_overlap · r``.
    Much slower than a dedicated kernel, as in the forward pass.
    """
    _check_arguments(codebook, usage, sigma, kernel)
    check_numel(_OP, "grad_overlap", grad_overlap, 1)
    check_shape(_OP, "grad_row_sums", grad_row_sums, len(codebook))
    weight = grad_overlap * usage + grad_row_sums
    grad_codebook, grad_usage = [], []
    for rows, differences in _blocks(codebook):
        overlap, slope = _kernel(differences, sigma, kernel)
        pairs = weight[rows, None] * usage + usage[rows, None] * weight
        grad_codebook.append((2 * (pairs * slope)[:, :, None] * differences).sum(1))
        grad_usage.append(overlap @ weight + grad_overlap * (overlap @ usage))
    return torch.cat(grad_codebook), torch.cat(grad_usage)


def _blocks(codebook: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks of rows and their differences ``[rows, K, D]`` to all codewords."""
    size = max(1, _BLOCK_VALUES // max(1, codebook.numel()))
    for first in range(0, len(codebook), size):
        rows = slice(first, first + size)
        yield rows, codebook[rows, None] - codebook


def _kernel(differences: Tensor, sigma: float, kernel: str) -> tuple[Tensor, Tensor]:
    """Return κ of pairs of codewords and its derivative by the squared distance."""
    sq_distance = differences.square().sum(2)
    if kernel == "minimum":
        scale = 2 * math.sqrt(2) * sigma
        is_distinct = sq_distance > 0
        distance = sq_distance.where(is_distinct, 1).sqrt()
        overlap = torch.erfc(distance / scale).where(is_distinct, 1)
        density = torch.exp(-sq_distance / scale**2) / (math.sqrt(math.pi) * scale)
        return overlap, (-density / distance).where(is_distinct, 0)
    width = _WIDTHS[kernel] * sigma * sigma
    overlap = torch.exp(-sq_distance / width)
    return overlap, -overlap / width


def _not_finite(name: str) -> Error:
    return lambda wrong: ValueError(f"{_OP}: {name} must be finite, got {name}[{wrong[0]}]")


def _check_arguments(codebook: Tensor, usage: Tensor, sigma: float, kernel: str) -> None:
    check_dim(_OP, "codebook", codebook, 2)
    check_shape(_OP, "usage", usage, len(codebook))
    if not sigma > 0:
        raise ValueError(f"{_OP}: sigma must be positive, got {sigma:g}")
    if kernel not in (*_WIDTHS, "minimum"):
        raise ValueError(
            f"{_OP}: kernel must be 'bhattacharyya', 'product' or 'minimum', got '{kernel}'"
        )
