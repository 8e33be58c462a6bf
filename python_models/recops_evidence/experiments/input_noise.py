"""What a first codebook holds once the vectors themselves are seen with noise."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

import recops
from recops_models.tokenizers import Tokenizer
from recops_models.tokenizers.diagnosis.capacity import spread_per_dim

_LEAST_SHARE = 1e-6


class InputNoise(NamedTuple):
    """Of level 0: its effective capacity, and the share of items whose code the noise changes."""

    k_eff: float
    flips: float


def under_input_noise(
    tokenizer: Tokenizer, vectors: Tensor, codes: Tensor, rho: float, *, seed: int
) -> InputNoise | None:
    """Effective capacity and flips of level 0 under noise on the vectors; None without codebooks.

    ``x̃ = x + ρ s ε`` with s the spread of the vectors per dimension and ε ~ N(0, I): the same for
    every method, however wide the space that its codebooks stand in. With e(x) what level 0 is
    given, ``Σ = mean (e(x̃) − e(x)) (e(x̃) − e(x))ᵀ`` is what that noise has become, and two
    codewords overlap by ``κ_ij = exp(−(c_i − c_j)ᵀ Σ⁻¹ (c_i − c_j) / 8)``, the Bhattacharyya
    coefficient of two Gaussians of covariance Σ; ``K_eff = 1 / Σ_ij π_i π_j κ_ij``. It is the same
    for every invertible linear map of the latents, and for latents with dimensions that hold
    nothing. Where level 0 is given the vectors themselves, Σ comes close to ρ² s² I.

    Source: K_eff is DRQ's (arXiv 2606.01844); that the noise is the input's, and κ, are ours.

    Args:
        tokenizer: fitted.
        vectors: ``[N, D]`` f32.
        codes: ``[N, L]``, theirs.
        rho: ρ > 0.
        seed: of the noise.

    Complexity:
        O(N · d² + d³ + K² · d), and encoding N vectors.
    """
    books = tokenizer.codebooks
    if books is None:
        return None
    generator = torch.Generator().manual_seed(seed)
    scale = rho * spread_per_dim(vectors.double())
    noisy = vectors + scale * torch.randn(vectors.shape, generator=generator)
    moved = (tokenizer.latents(noisy) - tokenizer.latents(vectors)).double()
    value, axes = torch.linalg.eigh(moved.T @ moved / len(moved))
    # A direction that noise never takes shall not divide by zero.
    value = value.clamp(min=max(float(value[-1]) * _LEAST_SHARE, torch.finfo(value.dtype).tiny))
    white = books[0].double() @ (axes / value.sqrt())
    usage = torch.bincount(codes[:, 0].long(), minlength=len(white)).double()
    overlap, _ = recops.codebook_overlap(white, usage / usage.sum(), 1.0)
    flipped = tokenizer.encode(noisy)[:, 0] != codes[:, 0]
    return InputNoise(float(1 / overlap), float(flipped.double().mean()))
