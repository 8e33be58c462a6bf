"""Overlap and effective capacity of codebooks under noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import recops
from recops_models.tokenizers.diagnosis.content import NoiseFigures

RHOS = (0.1, 0.25, 0.5, 1.0, 2.0)
"""Noise levels ρ = σ / spread of the level's input."""


def level_inputs(latents: Tensor, codes: Tensor, codebooks: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield the input of each level: r₀ = latents, r_{l+1} = r_l − codebooks[l][codes_l]."""
    residual = latents.double()
    for level, book in enumerate(codebooks):
        yield residual
        residual = residual - book.double()[codes[:, level].long()]


def spread_per_dim(inputs: Tensor) -> float:
    """Return the root mean square deviation of ``inputs [N, d]`` from their mean, per dimension."""
    return float((inputs - inputs.mean(dim=0)).square().mean().sqrt())


def capacity(
    codebook: Tensor, loads: NDArray[np.float64], scale: float, rhos: Sequence[float]
) -> list[NoiseFigures]:
    """Return the overlap and the effective capacity of a level at σ = ρ · scale, per ρ.

    With the usage π, and the overlap κ_ij of two Gaussians of variance σ² around codewords i and j:
    O_π = Σ_ij π_i π_j κ_ij and K_eff = 1 / O_π. Then ln K_eff = ln K − distribution − geometry. The
    distribution penalty ln K − ln(1/Σπ²) comes from uneven use, the geometry penalty ln(1/Σπ²) −
    ln K_eff from close codewords. 1 ≤ K_eff ≤ 1/Σπ² ≤ exp(H(π)) ≤ K.

    Source: DRQ (arXiv 2606.01844) defines O_π, K_eff and the penalties. The Bhattacharyya
    coefficient κ = exp(−‖c_i − c_j‖² / 8σ²) is our inference.

    Args:
        codebook: ``[K, d]``.
        loads: ``[K]``, weight of each code.
        scale: spread of the level's input, > 0.
        rhos: noise levels, > 0.
    """
    usage = torch.from_numpy(loads / loads.sum())
    even = -float(usage.square().sum().log())
    figures: list[NoiseFigures] = []
    for rho in rhos:
        overlap, _ = recops.codebook_overlap(codebook.double(), usage, rho * scale)
        # The overlap is between Σπ² and 1, except for rounding.
        log_capacity = min(max(-float(overlap.log()), 0.0), even)
        figures.append(
            {
                "rho": rho,
                "sigma": rho * scale,
                "overlap": float(np.exp(-log_capacity)),
                "k_eff": float(np.exp(log_capacity)),
                "distribution_penalty": max(0.0, float(np.log(len(usage))) - even),
                "geometry_penalty": even - log_capacity,
            }
        )
    return figures
