"""What a codebook holds once its codewords are seen with noise: overlap and effective capacity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import recops
from recops_models.tokenizers.diagnosis.content import NoiseFigures

RHOS = (0.1, 0.25, 0.5, 1.0, 2.0)
"""Noise, as shares of the spread of what a level encodes."""


def level_inputs(latents: Tensor, codes: Tensor, codebooks: Sequence[Tensor]) -> Iterator[Tensor]:
    """What each level was given, one at a time: r₀ = latents ``[N, d]``, r_{l+1} = r_l −
    codebooks[l][codes_l].
    """
    residual = latents.double()
    for level, book in enumerate(codebooks):
        yield residual
        residual = residual - book.double()[codes[:, level].long()]


def spread_per_dim(inputs: Tensor) -> float:
    """The root mean square of ``inputs [N, d]`` about their mean, per dimension."""
    return float((inputs - inputs.mean(dim=0)).square().mean().sqrt())


def capacity(
    codebook: Tensor, loads: NDArray[np.float64], scale: float, rhos: Sequence[float]
) -> list[NoiseFigures]:
    """Overlap and effective capacity of a level at σ = ρ · scale, one entry a ρ.

    With π the usage and κ_ij the overlap of two Gaussians of variance σ² about codewords i and j:
    O_π = Σ_ij π_i π_j κ_ij; K_eff = 1 / O_π; ln K_eff = ln K − distribution − geometry, where the
    distribution penalty ln K − ln(1/Σπ²) comes of uneven use and the geometry penalty
    ln(1/Σπ²) − ln K_eff of codewords that lie too close. 1 ≤ K_eff ≤ 1/Σπ² ≤ exp(H(π)) ≤ K.

    Source: DRQ, arXiv 2606.01844: O_π, K_eff and the two penalties are the paper's; that κ is the
    Bhattacharyya coefficient exp(−‖c_i − c_j‖² / 8σ²) is our inference.

    Args:
        codebook: ``[K, d]``.
        loads: ``[K]``, the weight on each code.
        scale: > 0.
        rhos: > 0.
    """
    usage = torch.from_numpy(loads / loads.sum())
    even = -float(usage.square().sum().log())
    found: list[NoiseFigures] = []
    for rho in rhos:
        overlap, _ = recops.codebook_overlap(codebook.double(), usage, rho * scale)
        # Rounding apart, no overlap lies below Σπ² or above 1.
        log_capacity = min(max(-float(overlap.log()), 0.0), even)
        found.append(
            {
                "rho": rho,
                "sigma": rho * scale,
                "overlap": float(np.exp(-log_capacity)),
                "k_eff": float(np.exp(log_capacity)),
                "distribution_penalty": max(0.0, float(np.log(len(usage))) - even),
                "geometry_penalty": even - log_capacity,
            }
        )
    return found
